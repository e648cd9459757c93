"use strict";
// What `lawful predict` computes, from the law's operations, its draws or covariance, and its sister laws.
(() => {
  const UNITS = { k: 1e3, M: 1e6, B: 1e9, G: 1e9, T: 1e12, P: 1e15, E: 1e18, Z: 1e21 };
  const OPERATIONS = {
    add: (a, b) => a + b, subtract: (a, b) => a - b, multiply: (a, b) => a * b, divide: (a, b) => a / b,
    power: (a, b) => a ** b, maximum: (a, b) => Math.max(a, b), minimum: (a, b) => Math.min(a, b),
    logaddexp: (a, b) => (a === b ? a + Math.LN2 : Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)))),
    negative: (a) => -a, exp: Math.exp, log: Math.log, expm1: Math.expm1, log1p: Math.log1p, sqrt: Math.sqrt,
    tanh: Math.tanh, absolute: Math.abs, sign: Math.sign, square: (a) => a * a, reciprocal: (a) => 1 / a,
    greater: (a, b) => Number(a > b), greater_equal: (a, b) => Number(a >= b), less: (a, b) => Number(a < b),
    less_equal: (a, b) => Number(a <= b), equal: (a, b) => Number(a === b), isfinite: (a) => Number(Number.isFinite(a)),
    where: (a, b, c) => (a ? b : c),
  };

  function loss(law, values, at) {
    const found = [];
    for (const [name, a, b, c] of law.steps) {
      if (name === "number") found.push(a);
      else if (name === "parameter") found.push(values[a]);
      else if (name === "axis") found.push(Math.log(at[law.axes[a]] / law.pivot[a]));
      else found.push(OPERATIONS[name](found[a], found[b], found[c]));
    }
    return found[found.length - 1];
  }

  // Standard error of the log loss: slopes by central differences, then the covariance.
  function stderr(law, at) {
    const slopes = law.free.map((place) => {
      const step = 1e-5 * Math.max(Math.abs(law.values[place]), 1e-3);
      const [up, down] = [step, -step].map((move) => {
        const moved = law.values.slice();
        moved[place] += move;
        return Math.log(loss(law, moved, at));
      });
      return (up - down) / (2 * step);
    });
    let variance = 0;
    law.covariance.forEach((row, i) => row.forEach((cell, j) => { variance += slopes[i] * cell * slopes[j]; }));
    return Math.sqrt(Math.max(variance, 0));
  }

  function logGamma(x) {
    const terms = [76.18009172947146, -86.50532032941677, 24.01409824083091, -1.231739572450155, 0.1208650973866179e-2, -0.5395239384953e-5];
    let sum = 1.000000000190015;
    terms.forEach((term, k) => { sum += term / (x + 1 + k); });
    return (x + 0.5) * Math.log(x + 5.5) - (x + 5.5) + Math.log(2.5066282746310005 * sum / x);
  }

  // The regularised incomplete beta function, by Lentz's continued fraction.
  function beta(a, b, x) {
    if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
    if (x > (a + 1) / (a + b + 2)) return 1 - beta(b, a, 1 - x);
    const safe = (value) => (Math.abs(value) < 1e-300 ? 1e-300 : value);
    let c = 1, d = 1 / safe(1 - (a + b) * x / (a + 1)), fraction = d;
    for (let m = 1; m < 300; m += 1) {
      for (const step of [m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))]) {
        d = 1 / safe(1 + step * d);
        c = safe(1 + step / c);
        fraction *= d * c;
      }
      if (Math.abs(d * c - 1) < 1e-14) break;
    }
    return Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) * fraction / a;
  }

  function below(x, dof) {
    const half = beta(dof / 2, 0.5, dof / (dof + x * x)) / 2;
    return x > 0 ? 1 - half : half;
  }

  function quantile(sorted, share) {
    const place = share * (sorted.length - 1), under = Math.floor(place);
    return sorted[under] + (place - under) * ((sorted[under + 1] ?? sorted[under]) - sorted[under]);
  }

  // Of the curve: [value, low, high].
  function ofCurve(held, at) {
    const value = loss(held.law, held.law.values, at);
    if (held.draws.length) {
      const drawn = held.draws.map((draw) => loss(held.law, draw, at)).sort((a, b) => a - b);
      return [value, ...[0.025, 0.975].map((share) => value * (quantile(drawn, share) / value) ** held.widen)];
    }
    const reach = held.law.tail * stderr(held.law, at);
    let low = value * Math.exp(-reach);
    if (held.floorless) { // no floor lies below 0
      const least = loss(held.floorless, held.floorless.values, at);
      if (least <= value) low = Math.max(low, least * Math.exp(-held.floorless.tail * stderr(held.floorless, at)));
    }
    return [value, low, value * Math.exp(reach)];
  }

  // Standard error of a run's log loss, by the errors on runs left out: it grows with the distance from the data.
  function ofRuns(growth, at) {
    const more = growth.parts.map(([rate, ways]) => {
      const distances = ways.map(({ powers, low, high }) => {
        const log = Object.entries(powers).reduce((total, [axis, power]) => total + power * Math.log(at[axis]), 0);
        return Math.max(log - high, low - log, 0);
      });
      return rate * Math.max(...distances) ** 2;
    });
    return Math.sqrt(growth.sigma ** 2 + more.reduce((a, b) => a + b, 0));
  }

  // The average over several laws: the middle of a mixture of Student's t distributions.
  function ofSisters(held, at) {
    const means = held.sisters.map((law) => Math.log(loss(law, law.values, at)));
    let errors = held.sisters.map((law) => Math.min(stderr(law, at) || 0, 20));
    errors = errors.map((error, k) => (Number.isFinite(stderr(held.sisters[k], at)) ? error : 20));
    if (held.growth) errors = errors.map(() => ofRuns(held.growth, at));
    const most = Math.max(...held.weights);
    let weights = held.weights.map((weight, k) => (errors[k] <= 1 || weight === most ? weight : 0));
    const sum = weights.reduce((a, b) => a + b, 0);
    weights = weights.map((weight) => weight / sum);
    const share = (x) => weights.reduce((total, weight, k) => total + (weight ? weight * below((x - means[k]) / Math.max(errors[k], 1e-12), held.growth ? held.growth.dof : held.sisters[k].dof) : 0), 0);
    const reaches = held.sisters.map((law, k) => 2 * (held.growth ? held.growth.tail : law.tail) * errors[k]);
    const ends = [0.5, 0.025, 0.975].map((wanted) => {
      let low = Math.min(...means.map((mean, k) => mean - reaches[k])), high = Math.max(...means.map((mean, k) => mean + reaches[k]));
      for (let step = 0; step < 60; step += 1) {
        const middle = (low + high) / 2;
        if (share(middle) < wanted) low = middle;
        else high = middle;
      }
      return (low + high) / 2;
    });
    if (held.growth) ends[0] = Math.min(Math.max(weights.reduce((total, weight, k) => total + (weight ? weight * means[k] : 0), 0), ends[1]), ends[2]);
    else if (Math.max(...weights) > 0.5) ends[0] = Math.min(Math.max(means[weights.indexOf(Math.max(...weights))], ends[1]), ends[2]);
    return ends.map(Math.exp);
  }

  // {value, mean: [low, high], new_run: [low, high]}, as `lawful predict` has them.
  function predict(held, at) {
    const [value, low, high] = held.sisters.length ? ofSisters(held, at) : ofCurve(held, at);
    let spread = held.spread;
    for (const [axis, slope] of Object.entries(held.spread_slopes)) {
      const [least, most] = held.domain[axis];
      const here = slope < 0 ? Math.min(at[axis], most) : Math.max(at[axis], least);
      spread *= (here / held.pivot[axis]) ** slope;
    }
    const reach = held.tail * spread;
    const wide = [value * Math.exp(-Math.hypot(Math.log(value / low), reach)), value * Math.exp(Math.hypot(Math.log(high / value), reach))];
    const said = (ends) => (ends[1] > 0 && ends[1] < Math.max(ends[0], 1e-300) * 10 ** held.decades ? ends : [0, Infinity]);
    return { value, mean: said([low, high]), new_run: said(wide) };
  }

  // A column of the frontier at a budget: a straight line between its points on logarithmic axes; null outside.
  function between(xs, ys, x) {
    const k = xs.findIndex((one, index) => index && ((xs[index - 1] <= x && x <= one) || (xs[index - 1] >= x && x >= one)));
    if (k < 1 || ys[k] === null || ys[k - 1] === null) return null;
    const share = Math.log(x / xs[k - 1]) / Math.log(xs[k] / xs[k - 1]);
    return ys[k - 1] * (ys[k] / ys[k - 1]) ** share;
  }

  function number(text) {
    const found = text.trim().replace(/(\d)[, ](?=\d{3})/g, "$1").match(/^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*([kMBGTPEZ]?)$/);
    return found ? Number(found[1] + (found[2] || "")) * (UNITS[found[3]] || 1) : NaN;
  }

  const exact = (value) => Number(value.toPrecision(5)).toString();

  function count(value, isFlops) {
    const units = isFlops ? [[1e21, " Z"], [1e18, " E"], [1e15, " P"], [1e12, " T"], [1e9, " G"]] : [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];
    const [unit, name] = units.find(([size]) => value >= size) || [1, ""];
    return `${Number((value / unit).toPrecision(3))}${name}${isFlops ? "FLOPs" : ""}`;
  }

  const interval = ([low, high], shown) => (Number.isFinite(high) ? `[${shown(low)}, ${shown(high)}]` : "not determined");

  function lossLine(held, form) {
    const at = Object.fromEntries(held.axes.map((axis) => [axis, number(form.elements[axis].value)]));
    const wrong = held.axes.find((axis) => !(at[axis] > 0 && Number.isFinite(at[axis])));
    if (wrong) return `${wrong}: expected a positive number such as 70B or 1e9.`;
    const said = predict(held, at);
    const far = Math.max(...held.axes.map((axis) => Math.max(at[axis] / held.domain[axis][1], held.domain[axis][0] / at[axis])));
    return `Loss ${exact(said.value)}\n95 % interval of a new run ${interval(said.new_run, exact)}, of the curve ${interval(said.mean, exact)}`
      + ("params" in at && "tokens" in at ? `\n6ND is ${count(6 * at.params * at.tokens, true)}` : "")
      + (far > 1.001 ? `\nThis lies ${Number(far.toPrecision(2))} times outside the runs.` : "");
  }

  function bestLine(held, form) {
    const best = held.frontier, given = (name) => number(form.elements[name].value);
    const column = (name, end) => best[name].map((row) => row[end]);
    const atLeast = (value) => (value < 0.01 ? "less than 0.01" : count(value));
    const cost = (flops) => {
      const hours = flops / given("rate") / 3600, price = hours * given("price");
      return given("rate") > 0 && given("price") > 0 ? `\n${atLeast(hours)} GPU hours, price ${atLeast(price)}` : "";
    };
    const say = (flops) => ["params", "tokens", "loss"].map((name) => {
      const [value, low, high] = [0, 1, 2].map((end) => between(best.flops, column(name, end), flops));
      const shown = name === "loss" ? exact : (one) => count(one);
      const symbol = { params: "N*", tokens: "D*", loss: "loss" }[name];
      return `\n${symbol} ${shown(value)}${low === null || high === null ? "" : ` ${interval([low, high], shown)}`}`;
    }).join("");
    const range = `${count(best.flops[0], true)} to ${count(best.flops[best.flops.length - 1], true)}`;
    const budget = given("budget"), target = given("target"), lines = [];
    if (between(best.flops, best.flops, budget) === null) lines.push(`Budget: these runs decide the best use of ${range} only.`);
    else lines.push(`For ${count(budget, true)}, by ${best.law}, with 95 % intervals:${say(budget)}${cost(budget)}`);
    const needed = between(column("loss", 0), best.flops, target);
    if (needed === null) lines.push(`Loss ${form.elements.target.value}: no budget of ${range} has it as its least loss.`);
    else {
      const [early, late] = [1, 2].map((end) => between(column("loss", end), best.flops, target));
      const open = `${early === null ? "?" : count(early, true)}, ${late === null ? "?" : count(late, true)}`;
      lines.push(`Loss ${exact(target)} needs ${count(needed, true)} [${open}]:${say(needed)}${cost(needed)}`);
    }
    return lines.join("\n\n");
  }

  function start() {
    const place = document.getElementById("calculation");
    if (!place) return;
    const held = JSON.parse(place.textContent);
    for (const [id, line] of [["calculated-loss", lossLine], ["calculated-best", bestLine]]) {
      const output = document.getElementById(id);
      if (!output) continue;
      const form = output.closest("form"), write = () => { output.textContent = line(held, form); };
      form.addEventListener("input", write);
      form.addEventListener("submit", (event) => event.preventDefault());
      write();
    }
    window.lawfulPredict = (at) => predict(held, at);
  }
  start();
  window.lawfulCalculator = start; // again where a watched page is exchanged for a newer one
})();
