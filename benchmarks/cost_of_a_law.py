"""What a law costs when runs are chosen: finished tables are replayed, row by row.

    OMP_NUM_THREADS=1 python benchmarks/cost_of_a_law.py [--planted 6] [--orders 1] [--seed 1] [--public]

A chooser begins with 8 rows spread over the cheap part of a table, and takes rows of it in rounds until it has all.
Printed for each table and chooser: the share of the table's FLOPs from which on the half-width of the N exponent stays
within 1.25 of the whole table's, and whether the interval at that point holds the truth (planted tables) or the whole
table's value (public ones; the rows are a part of it, so this is easier).

Choosers: next (lawful.next_runs), random (rows in random order), D-optimal (the largest gain of log det of the
information of the fitted law for each FLOP), and cheapest first. The law is not told.

Public tables stand in scaling_tables of the folder that LAWFUL_DATA names.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lawful.errors import Refusal
from lawful.fitting.curve_interval import log_slopes
from lawful.fitting.data import sample
from lawful.fitting.fit_sample import fit_sample
from lawful.fitting.fitted import FittedLaw, run_spread
from lawful.fitting.next_runs import next_runs
from lawful.laws import named
from lawful.tables import by_role, read_runs

START, START_SHARE = 8, 0.03  # rows that all choosers begin with, and the share of the FLOPs that they may take
NEAR = 1.25  # of the whole table's half-width
DRAWS = 200

Array = np.ndarray
Row = dict[str, float]
Chooser = Callable[[FittedLaw | None, list[int], list[Row], int, float, np.random.Generator], list[int]]


@dataclass(frozen=True, kw_only=True)
class Table:
    name: str
    rows: list[Row]
    truth: float | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    share: float
    is_covered: bool
    runs: int


def cost(row: Row) -> float:
    return 6 * row["params"] * row["tokens"]


def fitted(rows: list[Row]) -> FittedLaw | None:
    law = named("chinchilla")
    try:
        data = sample(by_role([{**row, "run": str(i)} for i, row in enumerate(rows)]), law, {})
        return fit_sample(data, law, draws=DRAWS, has_sensitivity=False)
    except Refusal:
        return None


def planted(seed: int) -> Table:
    """A grid over a decade and a half of sizes and two of tokens, of a law drawn at random."""
    rng = np.random.default_rng([seed, 28])
    alpha, beta = rng.uniform(0.25, 0.5, 2)
    floor, of_size, of_tokens = rng.uniform(1.2, 2.0), rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.9)
    sigma = float(np.exp(rng.uniform(np.log(0.002), np.log(0.008))))
    rows = [
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
    return Table(name=f"planted {seed}", rows=rows, truth=float(beta / (alpha + beta)))


def public() -> list[Table]:
    folder = Path(os.environ["LAWFUL_DATA"]) / "scaling_tables"
    tables = []
    hoffmann = read_runs(folder / "hoffmann_full_table.csv")
    tables.append(_table("Hoffmann", list(hoffmann), "N", "D", "loss"))
    svg = [
        {"params": n, "tokens": float(r["Training FLOP"]) / 6 / n, "loss": float(r["loss"])}
        for r in read_runs(folder / "chinchilla_svg_extracted.csv")
        for n in [float(r["Model Size"])]
    ]
    tables.append(Table(name="Chinchilla's 245", rows=svg, truth=None))
    porian = list(read_runs(folder / "porian_isoflop.csv"))
    for name in dict.fromkeys(str(r["cfg"]) for r in porian):
        tables.append(_table(f"Porian {name}", [r for r in porian if r["cfg"] == name], "N", "D", "loss"))
    return tables


def _table(name: str, rows: list, params: str, tokens: str, loss: str) -> Table:
    kept = [{"params": float(r[params]), "tokens": float(r[tokens]), "loss": float(r[loss])} for r in rows]
    return Table(name=name, rows=kept, truth=None)


def start(rows: list[Row], rng: np.random.Generator) -> list[int]:
    """Rows spread over the cheap part: the farthest from those taken among those that an equal share pays for."""
    costs = np.array([cost(row) for row in rows])
    at = np.log([[row["params"], row["tokens"]] for row in rows])
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


def by_next(fit, taken, rows, batch, seen, rng):  # type: ignore[no-untyped-def]
    rest = [i for i in range(len(rows)) if i not in taken]
    if fit is None:
        return by_cheapest(fit, taken, rows, batch, seen, rng)
    offered = [{"params": rows[i]["params"], "tokens": rows[i]["tokens"]} for i in rest]
    total = sum(cost(row) for row in rows)
    found = next_runs(
        fit, goal="N_exponent within 1e-9", budget=total, batch=batch, candidates=offered, seed=int(rng.integers(1e9))
    )
    out: list[int] = []
    for run in found.runs:
        for i in rest:
            if i not in out and rows[i]["params"] == run.at["params"] and rows[i]["tokens"] == run.at["tokens"]:
                out.append(i)
                break
    return out


def by_random(fit, taken, rows, batch, seen, rng):  # type: ignore[no-untyped-def]
    rest = [i for i in range(len(rows)) if i not in taken]
    return list(rng.permutation(rest)[:batch])


def by_cheapest(fit, taken, rows, batch, seen, rng):  # type: ignore[no-untyped-def]
    rest = [i for i in range(len(rows)) if i not in taken]
    return sorted(rest, key=lambda i: cost(rows[i]))[:batch]


def by_d_optimal(fit, taken, rows, batch, seen, rng):  # type: ignore[no-untyped-def]
    if fit is None:
        return by_cheapest(fit, taken, rows, batch, seen, rng)
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
    "cheapest": by_cheapest,
    "random": by_random,
}


def replay(table: Table, chooser: Chooser, seed: int, whole: FittedLaw) -> Outcome:
    rows, rng = table.rows, np.random.default_rng(seed)
    (low, high), truth = whole.params["N_exponent"].ci95, table.truth
    truth = whole.params["N_exponent"].value if truth is None else truth
    enough = NEAR * (high - low) / 2
    total = sum(cost(row) for row in rows)
    taken = start(rows, rng)
    trace: list[tuple[float, float, bool, int]] = []
    while True:
        is_all = len(taken) == len(rows)
        fit = whole if is_all else fitted([rows[i] for i in taken])
        share = sum(cost(rows[i]) for i in taken) / total
        if fit is None:
            trace.append((share, np.inf, False, len(taken)))
        else:
            low, high = fit.params["N_exponent"].ci95
            trace.append((share, (high - low) / 2, low <= truth <= high, len(taken)))
        if is_all:
            break
        batch = min(max(4, round(0.2 * len(taken))), len(rows) - len(taken))
        chosen = chooser(fit, taken, rows, batch, share, rng)
        if not chosen:
            raise RuntimeError(f"{table.name}: nothing was chosen of {len(rows) - len(taken)} rows")
        taken += [int(i) for i in chosen]
    last = max((i for i, one in enumerate(trace) if one[1] > enough), default=-1) + 1
    share, _, is_covered, runs = trace[min(last, len(trace) - 1)]
    return Outcome(share=share, is_covered=is_covered, runs=runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--planted", type=int, default=6, help="planted tables")
    parser.add_argument("--orders", type=int, default=1, help="starts of each table")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--public", action="store_true", help="also the public tables")
    parser.add_argument("--only", default=",".join(CHOOSERS), help="choosers")
    options = parser.parse_args()
    tables = [planted(options.seed * 1000 + i) for i in range(options.planted)]
    tables += public() if options.public else []
    names = options.only.split(",")
    shares: dict[str, list[float]] = {name: [] for name in names}
    covered: dict[str, list[bool]] = {name: [] for name in names}
    for table in tables:
        whole = fitted(table.rows)
        if whole is None:
            print(f"{table.name}: no law fits")
            continue
        low, high = whole.params["N_exponent"].ci95
        value = whole.params["N_exponent"].value
        print(f"{table.name}: {len(table.rows)} rows, N exponent {value:.3f} +- {(high - low) / 2:.3f}", flush=True)
        for name in names:
            began = time.process_time()
            found = [replay(table, CHOOSERS[name], options.seed + order, whole) for order in range(options.orders)]
            shares[name].append(float(np.median([one.share for one in found])))
            covered[name] += [one.is_covered for one in found]
            print(
                f"  {name:10} share {shares[name][-1]:.3f}, runs {np.median([one.runs for one in found]):.0f}, holds "
                f"{sum(one.is_covered for one in found)} of {len(found)} ({time.process_time() - began:.0f} s)",
                flush=True,
            )
    for name in names:
        print(
            f"{name:10} median share over {len(shares[name])} tables {np.median(shares[name]):.3f}; coverage "
            f"{np.mean(covered[name]):.3f} of {len(covered[name])}"
        )


if __name__ == "__main__":
    main()
