"""Rolling origins: fit laws without the largest runs, for several shares of runs left out, and forecast these runs.

Where no law has the form of the runs, a criterion such as AICc chooses between wrong laws and is too sure of itself.
So laws are weighed by the errors of their forecasts at earlier origins, and the interval widens with the distance from
the data as these errors did. The fits weigh large runs more: a wrong law must have errors somewhere, and they should be
far from the forecasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lawful.fitting import derivatives, solver
from lawful.fitting.data import LEAST_LEVELS, Sample
from lawful.fitting.search import Point, as_point
from lawful.fitting.sisters import UNKNOWN, Beyond, Growth
from lawful.laws import ONE_AXIS, Array

SHARES = (0.125, 0.25, 0.375, 0.5)  # of the runs, or of the sizes, that are left out as the largest
SPARE = 2  # rows that a fit has beyond its parameters
# a law's weight is its error to the power of minus this, as for so many independent errors on left-out runs. With 4 to
# 8 the errors on public tables differ by 5 %
SHARPNESS = 6.0
DISCOUNT = 0.3  # a run's weight is its compute to this power: ten times the compute doubles it
# a law is not believed if its squared errors on left-out runs exceed their expected variance by this factor. 8 of 180
# planted surfaces exceed it under their own law
SURPRISED = 1.5
MOST_ROWS = 1_000  # a larger table is sampled at random: so many rows are enough to weigh laws
LEAST_ERROR = 1e-9  # of log loss: smaller ones are rounding


@dataclass(frozen=True)
class Direction:
    """An order of the runs, by powers of axes, and the ways in which a forecast may lie beyond them.

    leaves   what is left out at the large end: a share of the runs, or of the levels; nothing if it is not known which
             end of the axis is the far one
    """

    order: Mapping[str, int]
    ways: tuple[Mapping[str, int], ...]
    leaves: Literal["runs", "levels", "nothing"]


@dataclass(frozen=True)
class Rolled:
    """Laws fitted with a discount, their weights, and how their average's errors grew on the rows of `data`."""

    points: tuple[Point, ...]
    weights: Array
    growth: Growth
    data: Sample


def directions(data: Sample) -> list[Direction]:
    """Compute and sizes of a surface; of a line, its axis. A larger model on as many tokens lies beyond the runs in its
    size and in its tokens for each parameter."""
    axes = list(data.x.logs)
    if set(axes) == {"params", "tokens"}:
        compute, size = {"params": 1, "tokens": 1}, {"params": 1}
        return [
            Direction(compute, (compute,), "runs"),
            Direction(size, (size, {"params": 1, "tokens": -1}), "levels"),
        ]
    is_line = len(axes) == 1 and axes[0] in ONE_AXIS
    return [Direction({axis: 1}, ({axis: 1},), "levels" if is_line else "nothing") for axis in axes]


def along(data: Sample, powers: Mapping[str, int]) -> Array:
    """The log of a product of powers of axes, at each row."""
    with np.errstate(divide="ignore"):  # an input may be 0
        return np.asarray(sum(power * np.log(data.values[axis]) for axis, power in powers.items()))


def largest(data: Sample, direction: Direction, shares: Sequence[float]) -> list[Array]:
    """The rows that are left out as the largest, a mask for each share; so many sizes stay as a law needs."""
    amount = np.round(along(data, direction.order), 6)
    if direction.leaves == "nothing":
        return []
    if direction.leaves == "runs":
        return [amount > np.quantile(amount, 1 - share) for share in shares]
    levels = np.unique(amount)
    most = len(levels) - LEAST_LEVELS
    if most < 1:
        return []
    numbers = sorted({min(max(1, round(share * len(levels))), most) for share in shares})
    return [amount >= levels[-number] for number in numbers]


def rolled(points: Sequence[Point], data: Sample) -> Rolled:
    """Fit and weigh the laws of some points; each point is the best fit to all rows."""
    points, data = _thinned(points, data)
    ways = directions(data)
    count = np.ones(data.n)
    if ways[0].leaves != "nothing":
        compute = along(data, ways[0].order)
        count = np.exp(DISCOUNT * (compute - compute.max()))
    free = max(int(point.is_free.sum()) for point in points)
    origins = _origins(ways, data, free)
    kept = np.array([np.ones(data.n, dtype=bool), *(~mask for _, mask in origins)])
    fitted = [_fitted(point, kept * count) for point in points]
    away = np.array([errors for _, errors in fitted])  # (laws, origins, rows)
    decided = [i for i, (number, _) in enumerate(origins, start=1) if number == 0] or [0]
    left = [away[:, i, ~kept[i]] if i else away[:, 0] for i in decided]
    squares = np.mean([np.square(one).mean(axis=1) for one in left], axis=0)
    score = np.maximum(squares, LEAST_ERROR**2)
    weights = (score / score.min()) ** (-SHARPNESS / 2)
    weights /= weights.sum()
    average = np.tensordot(weights, away, 1)
    variance = float(count @ average[0] ** 2 / count.sum() * data.n / max(data.n - free, 1))
    parts = [
        _growth(data, way, [(mask, average[i]) for i, (own, mask) in enumerate(origins, 1) if own == number], variance)
        for number, way in enumerate(ways)
    ]
    growth = Growth(float(np.sqrt(variance)), tuple(parts), float(max(len(origins) - 1, 1)))
    return Rolled(tuple(point for point, _ in fitted), weights, growth, data)


def is_surprised(point: Point, data: Sample) -> bool:
    """Whether runs left out lie farther from a law's forecasts than its own uncertainty allows, on average over the
    origins. A law without a trend in its residuals may fail so at its next forecast, too."""
    (point,), data = _thinned([point], data)
    free = point.is_free
    origins = _origins(directions(data), data, int(free.sum()))
    if not origins:
        return False
    kept = np.array([~mask for _, mask in origins])
    away = _fitted(point, kept.astype(float))[1] / data.relative
    slopes = derivatives.slopes(point.problem, point.parameters)[:, free]
    variance = float((point.residuals_log**2).sum()) / max(data.n - int(free.sum()), 1)
    ratios = []
    for own, errors in zip(kept, away, strict=True):
        inverse = np.linalg.pinv(slopes[own].T @ slopes[own], rcond=1e-10, hermitian=True)
        leverage = 1 + np.einsum("ij,jk,ik->i", slopes[~own], inverse, slopes[~own])
        ratios.append(float(np.mean(errors[~own] ** 2 / leverage)) / max(variance, LEAST_ERROR**2))
    return bool(np.mean(ratios) > SURPRISED)


def _thinned(points: Sequence[Point], data: Sample) -> tuple[Sequence[Point], Sample]:
    """The points and the rows; of a large table, a random sample of rows, which is enough to weigh laws."""
    if data.n <= MOST_ROWS:
        return points, data
    rows = np.sort(np.random.default_rng(0).choice(data.n, MOST_ROWS, replace=False))
    data = data.take(rows)
    return [
        replace(point, problem=replace(point.problem, x=data.x, loss=data.loss, relative=data.relative))
        for point in points
    ], data


def _origins(ways: Sequence[Direction], data: Sample, free: int) -> list[tuple[int, Array]]:
    """The number of a direction, and the rows that are left out; enough stay for a law of so many parameters."""
    return [
        (number, mask)
        for number, way in enumerate(ways)
        for mask in largest(data, way, SHARES)
        if mask.any() and (~mask).sum() >= free + SPARE
    ]


def _fitted(point: Point, weights: Array) -> tuple[Point, Array]:
    """Fits with these weights of the rows, shape (fits, rows): the first fit as a point, and the log errors of each fit
    on all rows."""
    problem = point.problem
    starts = np.repeat(point.parameters[None], len(weights), axis=0)
    found = solver.solve(problem, starts, weights, tolerance=solver.ROUGH, is_near=True)
    errors = np.log(np.maximum(problem.levels(found.parameters), 1e-300)) - np.log(problem.loss)
    errors = np.nan_to_num(errors, nan=UNKNOWN).clip(-UNKNOWN, UNKNOWN)
    first = solver.Solution(*(part[:1] for part in (found.parameters, found.misfit, found.decrement, found.steps)))
    return as_point(problem, first, point.delta), errors


def _growth(
    data: Sample, way: Direction, origins: Sequence[tuple[Array, Array]], variance: float
) -> tuple[float, tuple[Beyond, ...]]:
    """Variance for each square of log distance, the mean over the origins; where there is none, as much again as inside
    the data for each width of these."""
    rates = []
    for mask, errors in origins:
        ends = [_ends(data, powers, ~mask) for powers in way.ways]
        distance = np.max([one.distance(along(data, one.powers)[mask]) for one in ends], axis=0)
        more = max(float(np.mean(errors[mask] ** 2)) - variance, 0.0)
        rates.append(more / max(float(np.mean(distance**2)), 1e-12))
    whole = tuple(_ends(data, powers, np.ones(data.n, dtype=bool)) for powers in way.ways)
    amount = along(data, way.ways[0])
    width = max(float(np.ptp(amount[np.isfinite(amount)])), 1e-12)
    return (float(np.mean(rates)) if rates else variance / width**2), whole


def _ends(data: Sample, powers: Mapping[str, int], rows: Array) -> Beyond:
    amount = along(data, powers)[rows]
    return Beyond(powers, float(amount.min()), float(amount.max()))
