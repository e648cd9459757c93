"""What a law costs when runs are chosen: finished tables are replayed, row by row.

    OMP_NUM_THREADS=1 python benchmarks/cost_of_a_law.py [--planted 6] [--orders 1] [--seed 1] [--public] [--growth .2]

A chooser begins with 8 rows spread over the cheap part of a table, and takes rows of it in rounds until it has all.
Two goals: the N exponent, and the lowest loss at 10 times the table's largest compute. Printed for each table, goal and
chooser: the share of the table's FLOPs from which on the half-width stays within 1.25 of the whole table's, and whether
the interval at that point holds the truth (planted tables) or the whole table's value (public ones; the rows are a part
of it, so this is easier).

Choosers: next (lawful.next_runs, told the goal), D-optimal (the largest gain of log det of the information of the
fitted law for each FLOP), suggest_runs (the rule of simple-scaling-laws 0.2.0, design.suggest_runs, on lawful's fits:
the largest fall of the variance of log N* at 10 times the compute for each FLOP, over the fit's draws), cheapest first,
and random. The law is not told.

Public tables stand in scaling_tables of the folder that LAWFUL_DATA names.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lawful.errors import Refusal
from lawful.fitting.cost import cost_of
from lawful.fitting.curve_interval import log_slopes
from lawful.fitting.data import sample
from lawful.fitting.fit_sample import fit_sample
from lawful.fitting.fitted import FittedLaw, run_spread
from lawful.fitting.goal import fitting_goal, interval_of, largest_compute, read_goal
from lawful.fitting.next_runs import next_runs
from lawful.fitting.optimum import Spending, best_size
from lawful.laws import named
from lawful.tables import by_role, read_runs

START, START_SHARE = 8, 0.03  # rows that all choosers begin with, and the share of the FLOPs that they may take
NEAR = 1.25  # of the whole table's half-width
DRAWS = 200

N_EXPONENT = "N_exponent within 1e-9"  # no goal is met before the table is at its end
SURFACE = ("params", "tokens")

Array = np.ndarray
Row = dict[str, float | str]
Chooser = Callable[[FittedLaw | None, list[int], list[Row], int, str, np.random.Generator], list[int]]


@dataclass(frozen=True, kw_only=True)
class Table:
    """truth: goal -> the planted answer, if the table is planted."""

    name: str
    rows: list[Row]
    truth: Mapping[str, float]

    @property
    def goals(self) -> tuple[str, str]:
        return N_EXPONENT, f"L at {10 * max(map(cost, self.rows)):.6g} within 1e-6 %"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    share: float
    is_covered: bool
    runs: int


def cost(row: Row) -> float:
    return 6 * float(row["params"]) * float(row["tokens"])


def fitted(rows: list[Row]) -> FittedLaw | None:
    law = named("chinchilla")
    try:
        data = sample(by_role([{**row, "run": str(i)} for i, row in enumerate(rows)]), law, {})
        return fit_sample(data, law, draws=DRAWS, has_sensitivity=False)
    except Refusal:
        return None


def interval(goal: str, fit: FittedLaw) -> tuple[float, float]:
    try:
        return interval_of(fitting_goal(read_goal(goal), fit), fit)
    except Refusal:  # this law has no best size
        return -np.inf, np.inf


def planted(seed: int) -> Table:
    """A grid over a decade and a half of sizes and two of tokens, of a law drawn at random."""
    rng = np.random.default_rng([seed, 28])
    alpha, beta = rng.uniform(0.25, 0.5, 2)
    floor, of_size, of_tokens = rng.uniform(1.2, 2.0), rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.9)
    sigma = float(np.exp(rng.uniform(np.log(0.002), np.log(0.008))))
    rows: list[Row] = [
        {
            "params": float(n),
            "tokens": float(d),
            "loss": float(
                (floor + of_size * (n / 3e7) ** -alpha + of_tokens * (d / 1e9) ** -beta)
                * np.exp(sigma * rng.standard_normal())
            ),
        }
        for n in np.geomspace(5e6, 2e8, 9)
        for d in np.geomspace(1e8, 1e10, 9)
    ]
    flops = 10 * max(map(cost, rows))
    sizes = np.geomspace(1e5, 1e12, 100_000)
    lowest = (floor + of_size * (sizes / 3e7) ** -alpha + of_tokens * (flops / 6 / sizes / 1e9) ** -beta).min()
    table = Table(name=f"planted {seed}", rows=rows, truth={})
    answers = (float(beta / (alpha + beta)), float(np.log(lowest)))
    return replace(table, truth=dict(zip(table.goals, answers, strict=True)))


def public() -> list[Table]:
    folder = Path(os.environ["LAWFUL_DATA"]) / "scaling_tables"
    tables = []
    hoffmann = read_runs(folder / "hoffmann_full_table.csv")
    tables.append(_table("Hoffmann", list(hoffmann), "N", "D", "loss"))
    svg: list[Row] = [
        {"params": n, "tokens": float(r["Training FLOP"]) / 6 / n, "loss": float(r["loss"])}
        for r in read_runs(folder / "chinchilla_svg_extracted.csv")
        for n in [float(r["Model Size"])]
    ]
    tables.append(Table(name="Chinchilla's 245", rows=svg, truth={}))
    porian = list(read_runs(folder / "porian_isoflop.csv"))
    for name in dict.fromkeys(str(r["cfg"]) for r in porian):
        tables.append(_table(f"Porian {name}", [r for r in porian if r["cfg"] == name], "N", "D", "loss"))
    for name in ("hot", "cool_end"):
        runs = list(read_runs(folder / f"gemstones_{name}.jsonl"))
        rows = _table("", runs, "params_active_precise", "tokens", "final_loss").rows
        named_so = [{**row, "cluster": str(run["run_name"])} for row, run in zip(rows, runs, strict=True)]
        tables.append(Table(name=f"Gemstones {name}", rows=named_so, truth={}))
    return tables


def _table(name: str, rows: list, params: str, tokens: str, loss: str) -> Table:
    kept: list[Row] = [{"params": float(r[params]), "tokens": float(r[tokens]), "loss": float(r[loss])} for r in rows]
    return Table(name=name, rows=kept, truth={})


def start(rows: list[Row], rng: np.random.Generator) -> list[int]:
    """Rows spread over the cheap part: the farthest from those taken among those that an equal share pays for."""
    costs = np.array([cost(row) for row in rows])
    at = np.log([[float(row[axis]) for axis in SURFACE] for row in rows])
    at = (at - at.min(0)) / np.ptp(at, axis=0)
    left = max(START_SHARE * costs.sum(), START * 1.5 * np.sort(costs)[START])
    taken: list[int] = []
    for number in range(START):
        may = np.flatnonzero(costs <= left / (START - number))
        may = may[~np.isin(may, taken)]
        if not taken:
            pick = int(rng.choice(may))
        else:
            away = np.min(((at[may][:, None] - at[taken][None]) ** 2).sum(-1), axis=1)
            pick = int(may[np.argmax(away)])
        taken.append(pick)
        left -= costs[pick]
    return taken


def by_next(fit, taken, rows, batch, goal, rng):  # type: ignore[no-untyped-def]
    rest = [i for i in range(len(rows)) if i not in taken]
    if fit is None:
        return by_cheapest(fit, taken, rows, batch, goal, rng)
    trunks = {rows[i]["cluster"]: str(number) for number, i in enumerate(taken) if "cluster" in rows[i]}
    offered = []
    for i in rest:
        offered.append({axis: rows[i][axis] for axis in SURFACE})
        if "cluster" in rows[i]:
            offered[-1]["branch_of"] = trunks.get(rows[i]["cluster"], f"new {rows[i]['cluster']}")
    total, seed = sum(map(cost, rows)), int(rng.integers(1e9))
    try:
        found = next_runs(fit, goal=goal, budget=total, batch=batch, candidates=offered, seed=seed)
    except Refusal:  # this law has no best size
        return by_cheapest(fit, taken, rows, batch, goal, rng)
    out: list[int] = []
    for run in found.runs:
        at = (*run.at.values(), run.branch_of)
        own = (
            i for i, one in zip(rest, offered, strict=True) if (*(one[a] for a in run.at), one.get("branch_of")) == at
        )
        out.append(next(i for i in own if i not in out))
    return out


def by_suggest_runs(fit, taken, rows, batch, goal, rng):  # type: ignore[no-untyped-def]
    if fit is None or not fit.draws:
        return by_cheapest(fit, taken, rows, batch, goal, rng)
    rest = [i for i in range(len(rows)) if i not in taken]
    spending, draws = Spending(cost_of(None, 0.0, {})), fit.drawn
    size, edge = best_size(fit, draws, 10 * largest_compute(fit), spending)
    is_inside = edge == 0
    if is_inside.sum() < 20:
        return by_cheapest(fit, taken, rows, batch, goal, rng)
    at = {axis: np.array([rows[i][axis] for i in rest]) for axis in SURFACE}
    values = np.log(fit.loss(draws, at))[is_inside]
    joint = np.cov(np.column_stack([np.log(size[is_inside]), values]), rowvar=False)
    noise, costs, out = run_spread(fit) ** 2, np.array([cost(rows[i]) for i in rest]), []
    for _ in range(min(batch, len(rest))):
        score = joint[0, 1:] ** 2 / (np.diag(joint)[1:] + noise) / costs
        score[[rest.index(i) for i in out]] = -np.inf  # each row is there once
        pick = int(np.argmax(score))
        moved = joint[:, 1 + pick].copy()
        joint = joint - np.outer(moved, moved) / (moved[1 + pick] + noise)
        out.append(rest[pick])
    return out


def by_random(fit, taken, rows, batch, goal, rng):  # type: ignore[no-untyped-def]
    rest = [i for i in range(len(rows)) if i not in taken]
    return list(rng.permutation(rest)[:batch])


def by_cheapest(fit, taken, rows, batch, goal, rng):  # type: ignore[no-untyped-def]
    rest = [i for i in range(len(rows)) if i not in taken]
    return sorted(rest, key=lambda i: cost(rows[i]))[:batch]


def by_d_optimal(fit, taken, rows, batch, goal, rng):  # type: ignore[no-untyped-def]
    if fit is None:
        return by_cheapest(fit, taken, rows, batch, goal, rng)
    rest = [i for i in range(len(rows)) if i not in taken]
    sigma, covariance = run_spread(fit), np.array(fit.covariance)
    slopes = {i: log_slopes(fit, {axis: rows[i][axis] for axis in ("params", "tokens")}) / sigma for i in rest}
    out: list[int] = []
    for _ in range(min(batch, len(rest))):
        gains = {
            i: np.log1p(max(slopes[i] @ covariance @ slopes[i], 0.0)) / cost(rows[i]) for i in rest if i not in out
        }
        pick = max(gains, key=gains.__getitem__)
        moved = covariance @ slopes[pick]
        covariance = covariance - np.outer(moved, moved) / (1 + slopes[pick] @ moved)
        out.append(pick)
    return out


CHOOSERS: dict[str, Chooser] = {
    "next": by_next,
    "D-optimal": by_d_optimal,
    "suggest_runs": by_suggest_runs,
    "cheapest": by_cheapest,
    "random": by_random,
}


def replay(table: Table, chooser: Chooser, seed: int, whole: FittedLaw, goal: str, growth: float) -> list[Outcome]:
    """Of each goal of the table; the chooser is told one."""
    rows, rng, total = table.rows, np.random.default_rng(seed), sum(map(cost, table.rows))
    ends = {one: interval(one, whole) for one in table.goals}
    truths = {one: table.truth.get(one, sum(ends[one]) / 2) for one in ends}
    taken = start(rows, rng)
    trace: list[tuple[float, int, list[tuple[float, float]]]] = []
    while True:
        is_all = len(taken) == len(rows)
        fit = whole if is_all else fitted([rows[i] for i in taken])
        found = [(-np.inf, np.inf) if fit is None else interval(one, fit) for one in ends]
        trace.append((sum(cost(rows[i]) for i in taken) / total, len(taken), found))
        if is_all:
            break
        batch = min(max(4, round(growth * len(taken))), len(rows) - len(taken))
        chosen = chooser(fit, taken, rows, batch, goal, rng)
        if not chosen:
            raise RuntimeError(f"{table.name}: nothing was chosen of {len(rows) - len(taken)} rows")
        taken += [int(i) for i in chosen]
    out = []
    for number, (one, (low, high)) in enumerate(ends.items()):
        wide = [
            i for i, (_, _, found) in enumerate(trace) if not found[number][1] - found[number][0] <= NEAR * (high - low)
        ]
        share, runs, found = trace[min(max(wide, default=-1) + 1, len(trace) - 1)]
        is_covered = found[number][0] <= truths[one] <= found[number][1]
        out.append(Outcome(share=share, is_covered=is_covered, runs=runs))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--planted", type=int, default=6, help="planted tables")
    parser.add_argument("--orders", type=int, default=1, help="starts of each table")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--public", action="store_true", help="also the public tables")
    parser.add_argument("--only", default=",".join(CHOOSERS), help="choosers")
    parser.add_argument("--tables", default="", help="only those with this in their name")
    parser.add_argument("--growth", type=float, default=0.2, help="rows of a round, as a share of those taken")
    options = parser.parse_args()
    tables = [planted(options.seed * 1000 + i) for i in range(options.planted)]
    tables += public() if options.public else []
    names = options.only.split(",")
    shares: dict[tuple[str, int], list[float]] = {(name, goal): [] for name in names for goal in (0, 1)}
    covered: dict[tuple[str, int], list[bool]] = {key: [] for key in shares}
    for table in tables:
        if options.tables not in table.name:
            continue
        whole = fitted(table.rows)
        if whole is None:
            print(f"{table.name}: no law fits")
            continue
        halves = [(high - low) / 2 for low, high in (interval(goal, whole) for goal in table.goals)]
        print(
            f"{table.name}: {len(table.rows)} rows, half-widths {halves[0]:.3f} and {100 * halves[1]:.2f} %", flush=True
        )
        for name in names:
            began = time.process_time()
            of_orders: list[tuple[Outcome, ...]] = []
            for order in range(options.orders):
                how = (CHOOSERS[name], options.seed + order, whole)
                first = replay(table, *how, table.goals[0], options.growth)
                other = replay(table, *how, table.goals[1], options.growth) if name == "next" else first
                of_orders.append((first[0], other[1]))
            said = []
            for goal, outcomes in enumerate(zip(*of_orders, strict=True)):
                shares[name, goal].append(float(np.median([one.share for one in outcomes])))
                covered[name, goal] += [one.is_covered for one in outcomes]
                said.append(
                    f"share {shares[name, goal][-1]:.3f}, holds {sum(one.is_covered for one in outcomes)} of "
                    f"{len(outcomes)}"
                )
            seconds = time.process_time() - began
            print(f"  {name:12} N exponent {said[0]}; L at 10 times {said[1]} ({seconds:.0f} s)", flush=True)
    for (name, goal), of_tables in shares.items():
        print(
            f"{name:12} {('N exponent', 'L at 10 times')[goal]}: median share over {len(of_tables)} tables "
            f"{np.median(of_tables):.3f}; coverage {np.mean(covered[name, goal]):.3f} of {len(covered[name, goal])}"
        )


if __name__ == "__main__":
    main()
