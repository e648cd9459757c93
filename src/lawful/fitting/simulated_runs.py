"""What the runs of a simulated campaign are like, and where they can be done."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lawful.checks import PositiveFloat, argument
from lawful.errors import DeclarationError
from lawful.fitting.allocate import SURFACE
from lawful.fitting.fitted import FittedLaw, run_spread
from lawful.fitting.information import own_sister
from lawful.fitting.sisters import Sister
from lawful.laws import named

START = 8  # runs that a campaign begins with: enough to fit a law of five parameters, and to estimate its noise
START_LEVELS = 8  # of each axis, at which they lie
# what a law of the catalogue is taken to be: about what is published of language models in nats. Coefficients are
# losses in the middle of the ranges
FLOOR, COEFFICIENT = (1.2, 2.0), (0.3, 0.9)
MIDDLE = (0.25, 0.75)  # of a shape's usual values, on the scale of logarithms
NOISE = (0.002, 0.008)  # spread of log loss between seeds, of public tables

Row = dict[str, float | str]


@dataclass(frozen=True)
class Reach:
    """Where runs can be done: anywhere in ranges, of which `points` are a mesh, or at the points alone."""

    points: tuple[dict[str, float], ...]
    ranges: Mapping[str, tuple[float, float]] | None

    def left(self, rows: Sequence[Mapping[str, float | str]]) -> list[dict[str, float]] | None:
        """The points that were not run yet; None if runs are chosen from ranges."""
        if self.ranges is not None:
            return None
        done = Counter((row["params"], row["tokens"]) for row in rows)
        out = []
        for point in self.points:
            key = (point["params"], point["tokens"])
            if done[key]:
                done[key] -= 1
            else:
                out.append(point)
        return out


@dataclass(frozen=True)
class Truth:
    """A law with values, and the spread of one run's log loss about it."""

    law: Sister
    noise: float

    def row(self, at: Mapping[str, float], number: int, rng: np.random.Generator) -> Row:
        values = {name: np.array([value]) for name, value in self.law.values.items()}
        loss = self.law.loss(values, {axis: np.array([value]) for axis, value in at.items()})[0, 0]
        return {**at, "loss": float(loss * np.exp(self.noise * rng.standard_normal())), "run": f"run {number}"}


def reach_of(
    ranges: Mapping[str, tuple[float, float]] | None, candidates: Sequence[Mapping[str, float]] | None = None
) -> Reach:
    if (ranges is None) == (candidates is None):
        raise DeclarationError(f"simulate: expected ranges or candidates, got {'both' if ranges else 'neither'}.")
    if candidates is not None:
        given = argument("candidates", candidates, Sequence[Mapping[str, PositiveFloat]])
        if not given or any(set(one) != set(SURFACE) for one in given):
            raise DeclarationError("candidates: expected params and tokens of at least one run.")
        return Reach(tuple({axis: float(one[axis]) for axis in SURFACE} for one in given), None)
    ends = argument("ranges", ranges, Mapping[str, tuple[PositiveFloat, PositiveFloat]])
    if set(ends) != set(SURFACE):
        raise DeclarationError(f"ranges: expected params and tokens, got {', '.join(ends) or 'nothing'}.")
    for axis, (low, high) in ends.items():
        if not low < high:
            raise DeclarationError(f"ranges: {axis}: expected the smaller end first, got {low:g}..{high:g}.")
    levels = [np.geomspace(float(ends[axis][0]), float(ends[axis][1]), START_LEVELS) for axis in SURFACE]
    points = tuple({"params": float(n), "tokens": float(d)} for n in levels[0] for d in levels[1])
    return Reach(points, dict(ends))


def truth_of(prior: FittedLaw | str, where: Reach, noise: float | None, rng: np.random.Generator) -> Truth:
    if isinstance(prior, FittedLaw):
        sister = own_sister(prior)
        values = {name: float(column[0]) for name, column in sister.drawn(1, rng).items()}
        return Truth(replace(sister, values=values), run_spread(prior) if noise is None else noise)
    law = named(prior)
    values = {name: float(rng.uniform(*(FLOOR if name == "E" else COEFFICIENT))) for name in law.coefficients}
    for shape in law.shapes:
        low, high = np.log(shape.starts or (shape.low, shape.high))
        values[shape.name] = float(np.exp(rng.uniform(*np.quantile([low, high], MIDDLE))))
    ends = {axis: (min(p[axis] for p in where.points), max(p[axis] for p in where.points)) for axis in SURFACE}
    pivot = {axis: math.sqrt(low * high) for axis, (low, high) in ends.items()}
    own = Sister(prior, law, values, (), np.zeros((0, 0)), 1.0, 0.0, pivot, ends)
    return Truth(own, math.exp(rng.uniform(*np.log(NOISE))) if noise is None else noise)


def start_points(where: Reach, budget: float, rng: np.random.Generator | None = None) -> list[dict[str, float]]:
    """Points spread over the part that an equal share of the budget pays for; the cheapest where it pays for none. Each
    is the farthest from those taken."""
    mesh = np.array([[point[axis] for axis in SURFACE] for point in where.points])
    costs, count = 6 * mesh.prod(axis=1), min(START, len(mesh))
    scaled = np.log(mesh / mesh.min(axis=0))
    scaled = scaled / np.maximum(scaled.max(axis=0), 1e-12)
    may = np.flatnonzero(costs <= max(budget / START, np.sort(costs)[count - 1]))
    taken = [int(may[0]) if rng is None else int(rng.choice(may))]
    while len(taken) < count:
        away = ((scaled[may][:, None] - scaled[taken][None]) ** 2).sum(-1).min(axis=1)
        away[np.isin(may, taken)] = -1.0
        taken.append(int(may[np.argmax(away)]))
    return [where.points[i] for i in taken]


def cost_of_rows(rows: list[Row] | list[dict[str, float]]) -> float:
    return float(sum(6 * float(row["params"]) * float(row["tokens"]) for row in rows))
