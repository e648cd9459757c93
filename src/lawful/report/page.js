"use strict";
(() => {
  const UNITS = { k: 1e3, M: 1e6, B: 1e9, G: 1e9, T: 1e12, P: 1e15, E: 1e18, Z: 1e21, min: 60, h: 3600, d: 86400, ms: 1e-3 };

  const near = 24; // pixels from a mark or a line within which it is the one that is meant

  // A value on an axis as the axis writes it: 12.3k, 4.56M; FLOPs in G, T, P.
  function short(value, isFlops) {
    const units = isFlops ? [[1e21, "Z"], [1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]] : [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];
    const [unit, name] = units.find(([size]) => Math.abs(value) >= size) || [1, ""];
    return `${Number((value / unit).toPrecision(name ? 3 : 4))}${name}`;
  }

  // Of a plot: a function from a share of an axis to its value in words.
  function axis(text) {
    const [low, high, scale, kind] = text.split(" "), [from, to] = [Number(low), Number(high)];
    return (share) => short(scale === "log" ? from * (to / from) ** share : from + share * (to - from), kind === "flops");
  }

  // What is drawn, as places in pixels of the plot: marks, and the corners of lines.
  function places(plot) {
    const area = plot.querySelector(".area").getBoundingClientRect();
    const own = { left: area.left - plot.getBoundingClientRect().left, top: area.top - plot.getBoundingClientRect().top };
    const found = [];
    for (const mark of plot.querySelectorAll(".marks use")) {
      if (mark.closest(".is-off")) continue;
      found.push({ node: mark, x: parseFloat(mark.getAttribute("x")) / 100 * area.width, y: parseFloat(mark.getAttribute("y")) / 100 * area.height });
    }
    const lines = [];
    for (const path of plot.querySelectorAll(".paths .line:not(.is-off)")) {
      const corners = path.getAttribute("d").slice(1).split("L").map((pair) => pair.split(",").map(Number));
      lines.push({ node: path, corners: corners.map(([x, y]) => [x / 1000 * area.width, y / 1000 * area.height]) });
    }
    return { own, area, marks: found, lines };
  }

  // The nearest mark, else the nearest line at the corner that is nearest.
  function meant(seen, x, y) {
    let best = null, least = near;
    for (const mark of seen.marks) {
      const far = Math.hypot(mark.x - x, mark.y - y);
      if (far < least) [best, least] = [mark, far];
    }
    if (best) return best;
    for (const line of seen.lines) {
      for (const [left, top] of line.corners) {
        const far = Math.hypot(left - x, top - y);
        if (far < least) [best, least] = [{ node: line.node, x: left, y: top }, far];
      }
    }
    return best;
  }

  function words(plot, seen, at) {
    const said = at.node.querySelector("title");
    const text = at.node.dataset.says || (said ? said.textContent : "");
    if (!at.node.matches(".line")) return text;
    return `${text}\nat ${axis(plot.dataset.x)(at.x / seen.area.width)}: ${axis(plot.dataset.y)(1 - at.y / seen.area.height)}`;
  }

  function tell(plot, seen, at) {
    plot.querySelectorAll(".is-at").forEach((one) => one.classList.remove("is-at"));
    let tip = plot.querySelector(".tip");
    if (!at) return tip && tip.remove();
    at.node.classList.add("is-at");
    if (!tip) {
      tip = document.createElement("div");
      tip.className = "tip";
      tip.setAttribute("role", "status");
      plot.append(tip);
    }
    tip.textContent = words(plot, seen, at);
    const left = seen.own.left + at.x, top = seen.own.top + at.y;
    tip.style.left = `${Math.max(0, left + 14 + tip.offsetWidth > plot.clientWidth ? left - 14 - tip.offsetWidth : left + 14)}px`;
    tip.style.top = `${Math.max(0, Math.min(top - tip.offsetHeight / 2, plot.clientHeight - tip.offsetHeight))}px`;
  }

  // The pointer names what is near; of the keys, the arrows go from mark to mark from left to right.
  function makeTold(plot) {
    for (const title of plot.querySelectorAll(".area title")) { // else the browser shows it, too
      title.parentNode.dataset.says = title.textContent;
      title.remove();
    }
    let index = -1;
    const over = (event) => {
      const seen = places(plot);
      return [seen, meant(seen, event.clientX - seen.area.left, event.clientY - seen.area.top)];
    };
    plot.addEventListener("pointermove", (event) => tell(plot, ...over(event)));
    plot.addEventListener("pointerdown", (event) => tell(plot, ...over(event)));
    plot.addEventListener("pointerleave", () => tell(plot, null, null));
    plot.addEventListener("focusout", () => tell(plot, null, null));
    plot.addEventListener("click", (event) => {
      const at = over(event)[1];
      if (at && at.node.dataset.run) choose(at.node.dataset.run);
    });
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const seen = places(plot), marks = seen.marks.sort((a, b) => a.x - b.x || a.y - b.y);
      if (step && marks.length) {
        index = (index + step + marks.length) % marks.length;
        tell(plot, seen, marks[index]);
      } else if (event.key === "Enter" && marks[index] && marks[index].node.dataset.run) choose(marks[index].node.dataset.run);
      else if (event.key === "Escape") tell(plot, null, null);
      else return;
      event.preventDefault();
    });
  }

  // An entry of a legend shows and hides all that shares its key.
  function toggle(button) {
    const isOn = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", String(isOn));
    for (const one of button.closest("figure").querySelectorAll(".plot [data-legend]")) {
      if (one.dataset.legend === button.dataset.legend) one.classList.toggle("is-off", !isOn);
    }
  }

  function choose() {} // what a click on a run does

  function number(text) {
    const found = text.replace(/−/g, "-").replace(/(\d),(?=\d{3})/g, "$1").match(/^[^\d+-]*([+-]?\d[\d.]*(?:e[+-]?\d+)?)\s*([A-Za-z]*)/);
    if (!found) return NaN;
    return Number(found[1]) * (UNITS[found[2]] || (/^[kMGTPEZ](FLOP|i?B)/.test(found[2]) ? UNITS[found[2][0]] : 1));
  }

  function key(cell) {
    if (cell.dataset.value !== undefined) return cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
    return cell.classList.contains("right") ? number(cell.textContent) : cell.textContent;
  }

  function compare(a, b) {
    if (typeof a === "string" || typeof b === "string") return String(a).localeCompare(String(b), "en", { numeric: true });
    if (Number.isNaN(a)) return Number.isNaN(b) ? 0 : Infinity; // empty cells last, either way
    return Number.isNaN(b) ? -Infinity : a - b;
  }

  function sort(table, column, direction) {
    const headers = [...table.tHead.rows[0].cells];
    headers.forEach((other) => other.removeAttribute("aria-sort"));
    headers[column].setAttribute("aria-sort", direction);
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const order = compare(key(a.cells[column]), key(b.cells[column]));
      return direction === "descending" && Number.isFinite(order) ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }

  function makeSortable(table) {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      header.querySelector("button").addEventListener("click", () => {
        sort(table, column, header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
      });
    });
  }

  // A term is text found anywhere in the row, or COLUMN=VALUE: that column's whole value, as shown or exact.
  function matches(row, names, term) {
    const [name, value] = term.split("=");
    const column = value === undefined ? -1 : names.indexOf(name);
    if (column < 0) return row.textContent.toLowerCase().includes(term);
    const cell = row.cells[column];
    return cell.textContent.toLowerCase() === value || (value !== "" && Number(cell.dataset.value) === Number(value) && Boolean(cell.dataset.value));
  }

  function filter(tooled) {
    const table = tooled.querySelector("table"), count = tooled.querySelector("output");
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.toLowerCase());
    const terms = tooled.querySelector("input").value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) row.hidden = !terms.every((term) => matches(row, names, term));
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
  }

  function csv(tooled) {
    // an apostrophe keeps a spreadsheet from taking a text for a formula; numbers, with or without a unit, are none
    const isNumber = (text) => /^[+\-][\d.,e+\-]+( [%A-Za-z/]{1,8})?$/.test(text);
    const begins = /(^|[;|\t\r\n])(?='*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])/g;  // as in table.py
    const plain = (text) => (isNumber(text) ? text : text.replace(begins, "$1'"));
    const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
    const rows = [...tooled.querySelectorAll("tr")].filter((row) => !row.hidden);
    const text = rows.map((row) => [...row.cells].map((cell) => quoted(plain(cell.textContent))).join(",")).join("\n") + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `${tooled.dataset.name}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // Only what scrolls is a stop of the Tab key.
  function tabStops() {
    for (const frame of document.querySelectorAll(".scroll")) {
      const scrolls = frame.scrollWidth > frame.clientWidth || frame.scrollHeight > frame.clientHeight;
      if (scrolls) frame.setAttribute("tabindex", "0");
      else frame.removeAttribute("tabindex");
    }
  }

  // Once when the page opens; again when a watched page has been exchanged for a newer one.
  function start() {
    document.querySelectorAll(".plot").forEach(makeTold);
    for (const button of document.querySelectorAll(".legend button")) button.addEventListener("click", () => toggle(button));
    document.querySelectorAll("table.sortable").forEach(makeSortable);
    for (const tooled of document.querySelectorAll(".tooled")) {
      tooled.querySelector("input").addEventListener("input", () => filter(tooled));
      const button = tooled.querySelector("button.csv");
      if (button) button.addEventListener("click", () => csv(tooled));
    }
    tabStops();
  }

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((one) => { one.open = true; });
  });
  window.addEventListener("afterprint", () => {
    closed.forEach((one) => { one.open = false; });
  });
  window.addEventListener("resize", tabStops);
  document.addEventListener("toggle", tabStops, true);
  window.lawful = { start, sort, filter };
  start();
})();
