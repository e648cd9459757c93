"""Do intervals of a law of accuracies hold? Sigmoids and a rising power are planted, and the same rows fitted with each
response.

    OMP_NUM_THREADS=1 python benchmarks/accuracies.py --tables 100
    OMP_NUM_THREADS=1 python benchmarks/accuracies.py --tables 100 --ranking

A table has 2 runs at each of 12 budgets from 1e18 to 1e22 FLOPs. Counted are the tables whose 95 % interval holds the
planted parameter, and the law at ten times the largest budget; a refused table is a miss. `logit` is what `lawful fit`
does with an accuracy; `log` and `identity` are what its rows would give as a loss, and as any number.

With --ranking no law is named: counted are the tables in which the planted law predicts runs left out best, in which
another is said to be far better than the one fitted, and whose interval of that one (a sigmoid) holds the law at ten
times the largest budget.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import lawful
from lawful.errors import LawfulError
from lawful.fitting.data import sample
from lawful.fitting.fit_sample import fit_sample
from lawful.laws import named
from lawful.tables import read_runs

BUDGETS, LARGEST, CHANCE = np.geomspace(1e18, 1e22, 12), 1e22, 0.25
SIGMOID = {"R0": CHANCE, "gain": 0.6, "C_mid": 1e20, "B": 0.6}
POWER = {"a": 0.3, "b": 0.15}
RISING = "1 - a*(C/1e20)^-b"
RESPONSES = ("logit", "log", "identity")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """items: of the test; spread: standard deviation between runs on the logit scale; overdispersion: the share of
    beta-binomial variance; shift: factor on the middle of the sigmoid, 30 puts most rows at chance."""

    name: str
    items: int
    is_sigmoid: bool = True
    spread: float = 0.0
    overdispersion: float = 0.0
    shift: float = 1.0
    is_percent: bool = False
    is_counted: bool = True


CELLS = (
    Cell(name="sigmoid, 1,000 items", items=1_000),
    Cell(name="sigmoid, 1,000 items, half of the rows at chance", items=1_000, shift=10.0),
    Cell(name="sigmoid, 1,000 items, beta-binomial of twice the variance", items=1_000, overdispersion=0.001),
    Cell(name="rising power, 1,000 items", items=1_000, is_sigmoid=False),
    Cell(name="sigmoid, 200 items", items=200),
    Cell(name="sigmoid, 10,000 items, runs apart by .1 in logits", items=10_000, spread=0.1),
    Cell(name="sigmoid, 10,000 items", items=10_000),
    Cell(name="sigmoid, 1,000 items, not told how many", items=1_000, is_counted=False),
    Cell(name="sigmoid, 1,000 items, per cent", items=1_000, is_percent=True, is_counted=False),
)


def truth(cell: Cell, flops: np.ndarray | float) -> np.ndarray:
    if not cell.is_sigmoid:
        return np.asarray(1 - POWER["a"] * (np.asarray(flops) / 1e20) ** -POWER["b"])
    return np.asarray(CHANCE + SIGMOID["gain"] / (1 + (SIGMOID["C_mid"] * cell.shift / flops) ** SIGMOID["B"]))


def drawn(cell: Cell, dice: np.random.Generator) -> list[dict[str, float]]:
    rows = []
    for flops in np.repeat(BUDGETS, 2):
        share = float(truth(cell, flops))
        low = CHANCE if cell.is_sigmoid else 0.0
        if cell.spread:  # nothing at chance differs between runs: the spread is of what is above it
            odds = (share - low) / (1 - share) * np.exp(cell.spread * dice.standard_normal())
            share = (low + odds) / (1 + odds)
        if cell.overdispersion:
            size = 1 / cell.overdispersion - 1
            share = dice.beta(share * size, (1 - share) * size)
        right = dice.binomial(cell.items, share) / cell.items
        row = {"flops": float(flops), "seed": float(len(rows) % 2), "acc": right * (100 if cell.is_percent else 1)}
        rows.append({**row, "n": float(cell.items)} if cell.is_counted else row)
    return rows


def held(cell: Cell, rows: list[dict[str, float]], response: str, draws: int) -> dict[str, tuple[bool, float]] | None:
    """Parameter, or `L at 10 C` -> whether its interval holds the truth, and how wide it is; None: refused."""
    asked: dict[str, float] = {"chance": CHANCE if cell.is_sigmoid else 0.0} if response == "logit" else {}
    if cell.is_percent and response != "logit":
        rows = [{**row, "acc": row["acc"] / 100} for row in rows]
    trials = "n" if response == "logit" and cell.is_counted else None
    try:
        table = read_runs(rows, loss="acc", response=response, trials=trials, **asked)
        law = named("sigmoid" if cell.is_sigmoid else RISING)
        data = sample(table, law, {"cluster": "none"}, check=False)
        found = fit_sample(data, law, draws=draws, has_sensitivity=False)
    except LawfulError:
        return None
    planted = {"C_mid": 1e20 * cell.shift, "B": 0.6, "ceiling": 0.85} if cell.is_sigmoid else POWER
    ends = {name: found.params[name].ci95 for name in planted}
    out = {name: (low <= planted[name] <= high, high - low) for name, (low, high) in ends.items()}
    far = found.predict(flops=10 * LARGEST, interval="mean")
    run = found.predict(flops=LARGEST, interval="new_run")
    new = drawn(cell, np.random.default_rng(len(rows) + int(1e6 * rows[0]["acc"])))[-1]["acc"]
    new = new / 100 if cell.is_percent else new
    right = float(truth(cell, 10 * LARGEST))
    out["L at 10 C"] = (far.low <= right <= far.high, far.high - far.low)
    return {**out, "a new run": (run.low <= new <= run.high, run.high - run.low)}


def ranked(cell: Cell, rows: list[dict[str, float]]) -> tuple[bool, bool, bool]:
    """Whether the planted law comes first, another is said to be far better, and the forecast far outside holds."""
    found = lawful.fit(
        rows, loss="acc", response="logit", chance=CHANCE if cell.is_sigmoid else 0.0, cluster="none", draws=0
    )
    far = found.predict(flops=10 * LARGEST, interval="mean")
    first = found.ranking[0].law if found.ranking else ""
    planted = ("sigmoid",) if cell.is_sigmoid else ("1 - a*C^-b", "top - a*C^-b")
    is_said = any(one.code == "another_law" for one in found.warnings)
    return first in planted, is_said, far.low <= float(truth(cell, 10 * LARGEST)) <= far.high


def main(say: Callable[[str], None] = print) -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--tables", type=int, default=100)
    options.add_argument("--draws", type=int, default=400)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", default="", help="cells whose names hold this")
    options.add_argument("--responses", default=",".join(RESPONSES))
    options.add_argument("--ranking", action="store_true")
    told = options.parse_args()
    for number, cell in enumerate(CELLS):
        if told.only not in cell.name:
            continue
        say(cell.name)
        seeds = np.random.SeedSequence([told.seed, number]).spawn(told.tables)
        tables = [drawn(cell, np.random.default_rng(one)) for one in seeds]
        if told.ranking:
            first, said, held_far = np.mean([ranked(cell, rows) for rows in tables], axis=0)
            say(f"  planted law first {first:.2f}; another said to be far better {said:.2f}; L at 10 C {held_far:.2f}")
            continue
        for response in told.responses.split(","):
            found = [held(cell, rows, response, told.draws) for rows in tables]
            known = [one for one in found if one is not None]
            names = list(known[0]) if known else []
            parts = [
                f"{name} {sum(one[name][0] for one in known) / len(found):.2f} "
                f"({np.median([one[name][1] for one in known]):.3g})"
                for name in names
            ]
            say(f"  {response:9} {'; '.join(parts)}; refused {len(found) - len(known)} of {len(found)}")


if __name__ == "__main__":
    main()
