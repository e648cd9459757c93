"""Every question gives the same answer in other units of params, tokens, FLOPs and loss, with its rows in another
order, and under other names of runs and arms."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from planted import chinchilla_loss

import lawful
from lawful.fitting.cost import exact_cost
from lawful.fitting.paired import paired
from lawful.fitting.replay import replay

N, D, C, LOSS = 1e-6, 1e-9, 1e-18, 1e2  # millions, billions, exaFLOPs, per cent
BUDGET, POINT = 3e20, {"params": 3e10, "tokens": 3e12}


def surface():
    rng = np.random.default_rng([20, 1])
    return [
        {"params": n, "tokens": d, "flops": 6.6 * n * d, "run": f"r{i}-{j}", "seed": (i + j) % 2,
         "loss": float(chinchilla_loss(n, d) * np.exp(0.003 * rng.standard_normal()))}
        for i, n in enumerate(np.geomspace(1e7, 1e10, 7))
        for j, d in enumerate(np.geomspace(1e9, 1e12, 5))
    ]  # fmt: skip


def curves():
    rng = np.random.default_rng([20, 2])
    return [
        {"params": n, "tokens": c / 6.5 / n, "flops": c, "run": f"{c:.0e}-{i}",
         "loss": float(chinchilla_loss(n, c / 6.5 / n) * np.exp(0.001 * rng.standard_normal()))}
        for c in np.geomspace(1e18, 1e20, 4)
        for i, n in enumerate((c / 240) ** 0.5 * np.geomspace(0.2, 5, 7))
    ]  # fmt: skip


def arms():
    rng = np.random.default_rng([20, 3])
    return [
        {"arm": arm, "params": n, "tokens": 1e9, "seed": seed, "run": f"{arm}{i}-{seed}",
         "loss": float((1.8 + 1.2 * (n / 3e7) ** -alpha) * np.exp(0.003 * rng.standard_normal()))}
        for arm, alpha in (("plain", 0.3), ("gated", 0.4))
        for i, n in enumerate(np.geomspace(1e6, 1e9, 6))
        for seed in range(2)
    ]  # fmt: skip


def in_units(rows):
    scale = {"params": N, "tokens": D, "flops": C, "loss": LOSS}
    scaled = [{name: cell * scale.get(name, 1) for name, cell in row.items()} for row in rows]
    as_they_are = {name: "1" for name in ("params", "tokens", "flops") if name in rows[0]}
    return lawful.read_runs(scaled, units=as_they_are)  # else it is asked whether they are in millions


def shuffled(rows):
    """Each arm's rows keep their places among those of the other, so that the arms stay first and second."""
    rng = np.random.default_rng(4)
    pools = {arm: iter(rng.permutation([i for i, row in enumerate(rows) if row.get("arm") == arm]).tolist())
             for arm in {row.get("arm") for row in rows}}  # fmt: skip
    return [rows[next(pools[row.get("arm")])] for row in rows]


def renamed(rows):
    rng = np.random.default_rng(5)
    names = {"plain": "z", "gated": "a"}
    return [{**row, "run": f"{rng.random()}", **({"arm": names[row["arm"]]} if "arm" in row else {})} for row in rows]


def one_fit(rows, law="chinchilla", draws=200):
    return lawful.fit(rows, law, draws=draws)


def shown(unit):
    """What every question answers: (quantity, numbers, what its unit is multiplied by). `unit` scales what is asked."""
    n, d, c, y = unit
    table, iso, both = (yield surface), (yield curves), (yield arms)
    found = one_fit(table)
    for name in ("alpha", "beta", "N_exponent", "gamma"):
        yield f"fit {name}", [found.params[name].value, *found.params[name].ci95], 1
    yield "fit E", [found.params["E"].value, *found.params["E"].ci95], y
    prediction = found.predict(params=POINT["params"] * n, tokens=POINT["tokens"] * d, interval="new_run")
    yield "predict", [prediction.value, prediction.low, prediction.high], y
    yield "predict how far", [prediction.extrapolation], 1
    best = found.allocate(flops=BUDGET * n * d)
    dear = found.allocate(flops=BUDGET * c, cost=exact_cost(table))
    for label, one, cost in (("allocate", best, 1), ("allocate exact", dear, 1)):
        for name, scale in (("params", n), ("tokens", d), ("loss", y), ("N_exponent", 1)):
            interval = getattr(one, name)
            yield f"{label} {name}", [interval.value, interval.low, interval.high], scale * cost
        yield f"{label} band", [end.value for end in one.band], n
        yield f"{label} without the law", [x for r in one.readings for x in (r.params, r.low, r.high)], n
    stops = found.diminishing_returns(threshold=0.02 * y)
    yield "diminishing returns", [stops.at.value, stops.at.low, stops.at.high], n * d
    held = found.holdout(top=2)
    yield "holdout", [held.rmse_log, held.reach, held.straight_line_rmse_log, held.last_value_rmse_log], 1
    for target, name in (("beta", "beta"), ({"params": POINT["params"] * n, "tokens": POINT["tokens"] * d}, "point")):
        design = lawful.design(found, target=target)
        yield f"design {name}", [design.stderr_now, design.best.stderr_after], 1
        yield f"design {name} where", [design.best.at["params"]], n
    power = lawful.power(at={"params": np.geomspace(1e6, 1e9, 6) * n}, shift=0.02, sigma=0.005)
    yield "power", [power.stderr_one_seed, power.seeds], 1

    read = lawful.isoflop(iso)
    yield "isoflop", [read.N_exponent, *read.N_exponent_ci95, read.D_exponent, read.surface_exponent], 1
    yield "isoflop size", [one.params for one in read.curves], n
    yield "isoflop tokens", [one.tokens for one in read.curves], d
    yield "isoflop loss", [one.loss for one in read.curves], y

    compared = lawful.compare(both)
    yield "compare", [compared.exponents_p, *compared.differences[0].ci95, *compared.multipliers[0].ci95], 1
    yield "compare p", [round(compared.p, 2)], 1
    crossing = lawful.crossover(both, draws=0)
    yield "crossover", [crossing.at, *crossing.set95[0], *crossing.shared_range], n
    yield "crossover p", [crossing.better_small_probability, crossing.better_large_probability], 1
    gap = paired(lawful.read_runs(both), "params").gaps[0]
    yield "paired", [gap.mean, *gap.ci95], y
    yield "paired slope", list(gap.slope_ci95), y
    rows = list(both)
    claims = [f"{rows[-1]['arm']} beats {rows[0]['arm']} above {3e8 * n}", "alpha=0.31"]
    first = dataclasses.replace(both, rows=both.rows[:12]) if isinstance(both, lawful.Observations) else both[:12]
    verdicts = [replay(both, claims[0], draws=0).verdict, replay(first, claims[1], draws=0).verdict]
    yield "replay", [len(one) for one in verdicts], 1


def answers(change=lambda rows: rows, unit=(1.0, 1.0, 1.0, 1.0)):
    asked = shown(unit)
    out, item = {}, next(asked)
    while item is not None:
        if callable(item):
            item = asked.send(change(item()))
            continue
        name, numbers, scale = item
        out[name] = np.array(numbers, dtype=float) / scale
        item = next(asked, None)
    return out


@pytest.fixture(scope="module")
def as_they_are():
    return answers()


def expect_same(found, expected):
    assert found.keys() == expected.keys()
    wrong = {
        name: (found[name].tolist(), expected[name].tolist())
        for name in expected
        if found[name].shape != expected[name].shape
        or not np.allclose(found[name], expected[name], rtol=2e-5, atol=1e-9)
    }
    assert not wrong


def test_every_question_answers_the_same_in_other_units(as_they_are):
    expect_same(answers(in_units, (N, D, C, LOSS)), as_they_are)


def test_every_question_answers_the_same_with_its_rows_in_another_order(as_they_are):
    expect_same(answers(shuffled), as_they_are)


def test_every_question_answers_the_same_under_other_names_of_runs_and_arms(as_they_are):
    expect_same(answers(renamed), as_they_are)


def test_the_order_of_rows_is_not_lost_on_the_way(as_they_are):
    rows = surface()
    assert [one.run for one in one_fit(rows, draws=0).residuals] == [row["run"] for row in rows]
    assert dataclasses.asdict(one_fit(rows, draws=0).residuals[3])["observed"] == rows[3]["loss"]
