"""Does the interval of a campaign hold the truth where it stops? Whole campaigns of planted laws, and rules to stop.

    OMP_NUM_THREADS=1 python benchmarks/campaigns.py [--campaigns 50] [--law chinchilla] [--bad 0] [--keep FILE]

Each campaign draws a law and a noise as `lawful.simulate_campaign` does, begins with 8 runs, and takes in rounds the
runs that `lawful.next_runs` chooses for the N exponent. No goal stops it: at each look the half-width is recorded, and
how far off the truth lies. Then each of several rules is tried for each of several goals: the campaign stops at the
first look after the start (which has no replicates) at which the rule holds, and one that never stops counts with its
last look. Printed for each rule: how many campaigns stop, and how often the interval held the truth at the stop, over
all campaigns and goals. --bad STEP puts
all runs at one point of the start off by STEP in log loss. --keep adds each campaign to a file of JSON lines, and
judges all that are in it: who was stopped goes on with the next seed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lawful.fitting.goal import fitting_goal, interval_of, largest_compute, read_goal
from lawful.fitting.simulate_campaign import START_SHARE, answer_of, looks
from lawful.fitting.simulated_runs import Row, Truth, cost_of_rows, reach_of, start_points, truth_of
from lawful.fitting.stopping import moves

WHERE = reach_of({"params": (1e6, 1e9), "tokens": (1e8, 1e10)})
BUDGET = 1e20
GOALS = (0.06, 0.05, 0.04, 0.03, 0.025, 0.02, 0.015, 0.012)
WIDER = (1.0, 1.1, 1.15, 1.2, 1.3)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One look: the half-width, how many half-widths the truth lies off the middle, how far the answer moves without
    the point that moves it most."""

    cost: float
    runs: int
    half: float
    off: float
    moved: float


@dataclass(frozen=True)
class BadPoint(Truth):
    """All runs at one point are off by `step`."""

    point: Mapping[str, float]
    step: float

    def row(self, at: Mapping[str, float], number: int, rng: np.random.Generator) -> Row:
        found = super().row(at, number, rng)
        is_bad = all(np.isclose(at[axis], self.point[axis]) for axis in at)
        return {**found, "loss": float(found["loss"]) * float(np.exp(self.step if is_bad else 0.0))}


def traced(law: str, seed: int, number: int, most: int, bad: float) -> list[Trace]:
    rng = np.random.default_rng([seed, number])
    truth = truth_of(law, WHERE, None, rng)
    points = start_points(WHERE, START_SHARE * BUDGET)
    if bad:
        truth = BadPoint(truth.law, truth.noise, points[int(rng.integers(len(points)))], bad)
    out: list[Trace] = []
    for fit, rows in looks(truth, "N_exponent within 1e-9", points, BUDGET, 8, WHERE, rng):
        goal = fitting_goal(read_goal("N_exponent within 1"), fit)
        low, high = interval_of(goal, fit)
        half, off = (high - low) / 2, abs(answer_of(goal, truth, largest_compute(fit)) - (low + high) / 2)
        moved = float(moves(goal, fit).max())
        out.append(Trace(cost=cost_of_rows(rows), runs=len(rows), half=half, off=off / half, moved=moved))
        if len(out) == most:
            break
    return out


Rule = Callable[[list[Trace], int, float], bool]


def widened(by: float) -> Rule:
    return lambda looks, i, goal: by * looks[i].half <= goal


def no_point_decides(by: float) -> Rule:
    return lambda looks, i, goal: by * looks[i].half <= goal and looks[i].moved <= goal


def two_looks(by: float) -> Rule:
    return lambda looks, i, goal: i > 1 and by * max(looks[i].half, looks[i - 1].half) <= goal


RULES = {"at the first look": widened, "no point decides": no_point_decides, "two looks in a row": two_looks}


def judged(campaigns: list[list[Trace]], rule: Rule, by: float) -> str:
    held, stops, costs = [], [], []
    for looks_of in campaigns:
        for goal in GOALS:
            at = next((i for i in range(1, len(looks_of)) if rule(looks_of, i, goal)), None)
            held.append(looks_of[-1 if at is None else at].off <= by)
            stops.append(at is not None)
            if at is not None:
                costs.append(looks_of[at].cost)
    of_stopped = np.mean([one for one, is_stop in zip(held, stops, strict=True) if is_stop])
    return (
        f"stops {np.mean(stops):.3f}, mean cost {np.mean(costs):.3g}; holds {np.mean(held):.3f} of all, "
        f"{of_stopped:.3f} of those that stop"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaigns", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--law", default="chinchilla")
    parser.add_argument("--looks", type=int, default=6, help="at most, of each campaign")
    parser.add_argument("--bad", type=float, default=0.0, help="log loss by which all runs at one point are off")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    began = time.process_time()
    found = []
    if options.keep and options.keep.exists():
        kept = options.keep.read_text().splitlines()
        found = [[Trace(**look) for look in json.loads(line)] for line in kept]
    for _ in range(options.campaigns):
        found.append(traced(options.law, options.seed, len(found), options.looks, options.bad))
        if options.keep:
            with open(options.keep, "a") as file:
                file.write(json.dumps([asdict(look) for look in found[-1]]) + "\n")
    found = [one for one in found if one]
    print(f"{len(found)} campaigns of {options.law}, bad {options.bad:g}: {time.process_time() - began:.0f} s")
    for i in range(options.looks):
        looks_at = [one[i] for one in found if len(one) > i]
        print(
            f"  look {i + 1}: {np.median([one.runs for one in looks_at]):.0f} runs, half-width "
            f"{np.median([one.half for one in looks_at]):.3f}, holds {np.mean([one.off <= 1 for one in looks_at]):.3f}"
        )
    for name, make in RULES.items():
        for by in WIDER:
            print(f"{name}, widened {by:g}: {judged(found, make(by), by)}")


if __name__ == "__main__":
    main()
