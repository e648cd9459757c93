"""How far a fit would have moved: bootstrap over clusters where they are many, profiles with t quantiles where few."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from lawful.fitting import derivatives, noise
from lawful.fitting.data import Sample
from lawful.fitting.profiles import profile_intervals, search_limits
from lawful.fitting.quantiles import LEVEL, f_tail, normal_quantile, t_quantile
from lawful.fitting.refits import redraw, resample
from lawful.fitting.search import AT_BOUND, Point
from lawful.laws import Array, bounds_of
from lawful.response import LOG, Response

MANY_CLUSTERS = 20  # from here on the bootstrap over clusters is used: it needs no model of what they share
# the same of accuracies that each are a cluster: with 24 the bootstrap held the law at ten times the compute in .89 of
# 80 tables, profiles in .95 and no wider (benchmarks/accuracies.py)
MANY_SHARES = 100
LEAST_DRAWS = 200  # below it there are no percentiles to speak of
MOST_WHITENED = 2_000  # rows in clusters for which a lack of fit is tested: the work grows as the cube
DECADES = 12.0  # more than lie between the smallest and the largest run ever made: an interval of them says nothing
ANY_SHARE = 1e-3  # a share that may be as small as this and as large as all but this may be any
RELATIVE_STEP, LEAST_STEP = 1e-6, 1e-9  # of differences: of a number, and where it is 0
BOOTSTRAP = "bootstrap over clusters, percentiles"
PROFILE = "profile likelihood, t quantiles"


@dataclass(frozen=True)
class Spread:
    """stderr and ci95 by name, of fitted and derived parameters; covariance of the free ones; bootstrap draws."""

    method: str
    stderr: Mapping[str, float]
    ci95: Mapping[str, tuple[float, float]]
    derived: Mapping[str, float]
    covariance: Array
    draws: Array
    dof: float
    noise: noise.Noise


def estimate(point: Point, data: Sample, *, draws: int, seed: int) -> Spread:
    """Bootstrap where clusters are many and draws asked for, else profiles; the draws follow the same choice."""
    law = point.problem.law
    values = dict(zip(law.parameters, point.parameters, strict=True))  # numpy's floats: 1e300**2 is inf, not an error
    derived = {name: float(value) for name, value in law.derived(values, data.x.pivot).items()}
    around = noise.measure(point, data)
    is_alone = data.response.is_share and data.clusters == data.n  # then the noise is known in its form
    if data.clusters >= (MANY_SHARES if is_alone else MANY_CLUSTERS) and draws >= LEAST_DRAWS:
        return _from_bootstrap(point, data, {**values, **derived}, derived, around, draws, seed)
    return _from_profiles(point, data, derived, around, draws, seed)


def _from_bootstrap(
    point: Point,
    data: Sample,
    values: Mapping[str, float],
    derived: Mapping[str, float],
    around: noise.Noise,
    draws: int,
    seed: int,
) -> Spread:
    law, free = point.problem.law, point.is_free
    drawn = resample(point, data, draws=draws, seed=seed)
    table = dict(zip(law.parameters, drawn.T, strict=True))
    table |= law.derived(table, data.x.pivot)
    dof = float(max(data.clusters - int(free.sum()), 1))
    widen = widening(dof)
    ci95 = {
        name: percentiles(column, values[name], widen, is_share=name in law.shares) for name, column in table.items()
    }
    stderr = {name: float(np.std(column)) for name, column in table.items()}
    covariance = np.atleast_2d(np.cov(drawn[:, free].T))
    return Spread(BOOTSTRAP, stderr, _in_range(point, ci95), derived, covariance, drawn, dof, around)


def _from_profiles(
    point: Point, data: Sample, derived: Mapping[str, float], around: noise.Noise, draws: int, seed: int
) -> Spread:
    law, free = point.problem.law, point.is_free
    names = [name for name, is_free in zip(law.parameters, free, strict=True) if is_free]
    dofs = {name: around.dof(contrast) for name, contrast in zip(names, np.eye(len(names)), strict=True)}
    stderr = {name: float(np.sqrt(max(around.covariance[j, j], 0.0))) for j, name in enumerate(names)}
    ci95 = profile_intervals(point, around, dofs)
    drawn = redraw(point, data, around, draws=draws, seed=seed)
    table = law.derived(dict(zip(law.parameters, drawn.T, strict=True)), data.x.pivot)
    least = derivatives.negligible(point.problem, point.parameters, LEAST_STEP)
    for name, value in derived.items():

        def value_of(parameters: Array, name: str = name) -> float:
            return float(law.derived(dict(zip(law.parameters, parameters, strict=True)), data.x.pivot)[name])

        slope = gradient(value_of, point.parameters, least)[free]
        stderr[name] = float(np.sqrt(max(slope @ around.covariance @ slope, 0.0)))
        if draws >= LEAST_DRAWS:
            stderr[name] = float(np.std(table[name])) if name in law.shares else stderr[name]
            ci95[name] = percentiles(np.asarray(table[name]), value, 1.0, is_share=name in law.shares)
        else:
            reach = t_quantile(0.5 + LEVEL / 2, around.dof(slope)) * stderr[name]
            ci95[name] = _symmetric(value, reach, is_share=name in law.shares)
    return Spread(
        PROFILE, stderr, _in_range(point, ci95), derived, around.covariance, drawn, min(dofs.values()), around
    )


def _in_range(point: Point, ci95: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Ends that the data determine. An end at a bound of the search is none: it becomes the end of what a parameter can
    be at all (0 or minus infinity, infinity). A bound that was asked for stays."""
    law, (lows, highs) = point.problem.law, search_limits(point.problem, point.parameters)
    own, unit = bounds_of(law), point.problem.units()
    found = {}
    for name, (low, high) in ci95.items():
        if name in law.parameters:
            i = law.parameters.index(name)
            reach = AT_BOUND * unit[i]
            low, high = max(low, lows[i]), min(high, highs[i])
            if i >= len(law.coefficients) and low - lows[i] <= reach and lows[i] == own[name][0]:
                low = 0.0 if lows[i] >= 0 else -math.inf
            if highs[i] - high <= reach and point.problem.high[i] == own[name][1]:
                high = math.inf
        elif name in law.shares:
            low, high = (0.0, 1.0) if low < ANY_SHARE and high > 1 - ANY_SHARE else (low, high)
        else:
            low, high = determined(low, high)
        found[name] = (float(low), float(high))
    return found


def determined(low: float, high: float) -> tuple[float, float]:
    """The interval, or (0, infinity) for a positive number whose interval spans DECADES or more."""
    return (0.0, math.inf) if low > 0 and not high < low * 10.0**DECADES else (float(low), float(high))


def says_nothing(low: float, high: float, response: Response = LOG) -> bool:
    """Whether an interval is as wide as none: its ends are no numbers, or lie as far apart as they can; of a loss, more
    than DECADES."""
    if response.is_log:
        return not 0 < high < max(low, 1e-300) * 10.0**DECADES
    is_whole = response.is_share and bool(low <= response.low + ANY_SHARE and high >= response.high - ANY_SHARE)
    return is_whole or not (math.isfinite(low) and math.isfinite(high))


def _symmetric(value: float, reach: float, *, is_share: bool) -> tuple[float, float]:
    """About the value: of a share, on the scale of log odds; of what is positive (A and B spread over decades), on that
    of logarithms."""
    if is_share and 0 < value < 1:
        odds = value / (1 - value)
        factor = math.exp(min(reach / (value * (1 - value)), 700.0))
        return 1 / (1 + factor / odds), 1 / (1 + 1 / (factor * odds))
    if value > 0:
        factor = math.exp(min(reach / value, 700.0))
        return value / factor, value * factor
    return value - reach, value + reach


def replicates(
    data: Sample, residual: Array, free: int, around: noise.Noise
) -> tuple[float | None, dict[str, float] | None]:
    """Pooled spread of log residuals between clusters at the same axes, and the F test of lack of fit against it."""
    keys = np.round(np.log(np.stack(list(data.values.values()), axis=1)), 6)
    _, group = np.unique(keys, axis=0, return_inverse=True)
    group = group.ravel()
    pairs = np.unique(np.stack([group, data.cluster]), axis=1)
    is_repeated = np.bincount(pairs[0])[group] > 1  # more than one cluster at these axes
    all_groups = group
    group, residual_of = group[is_repeated], residual[is_repeated]
    count, total, square = (np.bincount(group, weights=w) for w in (None, residual_of, residual_of**2))
    seen = count > 0
    within = float((square[seen] - total[seen] ** 2 / count[seen]).sum())
    dof = int((count[seen] - 1).sum())
    if dof == 0:
        return None, None
    sigma = float(np.sqrt(within / dof))
    between_dof = data.n - dof - free
    if between_dof < 1 or within <= 0:
        return sigma, None
    total_squares = float((residual**2).sum())
    if data.clusters < data.n and around.variance_cluster > 0:
        if data.n > MOST_WHITENED:
            return sigma, None
        total_squares, within, dof = _whitened_squares(data, residual, all_groups, is_repeated, around)
        between_dof = data.n - dof - free
        if min(between_dof, dof) < 1 or within <= 0:
            return sigma, None
    ratio = (total_squares - within) / between_dof / (within / dof)
    return sigma, {
        "F": ratio,
        "dof": between_dof,
        "dof_replicates": dof,
        "p": f_tail(ratio, between_dof, dof),
    }


def _whitened_squares(
    data: Sample, residual: Array, group: Array, is_repeated: Array, around: noise.Noise
) -> tuple[float, float, int]:
    """Sum of squares, that between replicates, and its degrees of freedom, after what the rows of a cluster share was
    taken away: rows of one run are no replicates of each other's noise."""
    size = np.bincount(data.cluster).astype(float)
    shrink = 1 - 1 / np.sqrt(1 + size * around.variance_cluster / around.variance_row)
    cells = np.unique(np.where(is_repeated, group, group.max() + 1 + np.arange(data.n)), return_inverse=True)[1]
    columns = np.column_stack([residual, np.eye(int(cells.max()) + 1)[cells]])
    means = noise.totals(columns, data.cluster) / size[:, None]
    columns = columns - (shrink[:, None] * means)[data.cluster]
    left, basis = columns[:, 0], np.linalg.qr(columns[:, 1:])[0]
    inside = left - basis @ (basis.T @ left)
    return float(left @ left), float(inside @ inside), data.n - basis.shape[1]


def widening(dof: float, level: float = LEVEL) -> float:
    """Percentiles of resampled clusters are those of a normal noise of known size: their tails should be Student's.

    That residuals lack what was fitted away is not added: where rows are few, resamples are wide already. Measured at
    20 to 40 rows and 3 to 5 parameters, with five noises: .957 to .977, with it .967 to .989.
    """
    return t_quantile(0.5 + level / 2, dof) / normal_quantile(0.5 + level / 2)


def percentiles(
    column: Array, centre: float, widen: float, level: float = LEVEL, *, is_share: bool = False
) -> tuple[float, float]:
    """The middle `level` of the draws, widened about the point; of shares on the scale of log odds, of what is positive
    on that of logarithms."""
    low, high = map(float, np.quantile(column, [0.5 - level / 2, 0.5 + level / 2]))
    if is_share and 0 < min(low, centre) and max(high, centre) < 1:
        odds = centre / (1 - centre)
        first, last = (odds * (end / (1 - end) / odds) ** widen for end in (low, high))
        return first / (1 + first), last / (1 + last)
    if min(low, centre) > 0:
        return centre * (low / centre) ** widen, centre * (high / centre) ** widen
    return centre + (low - centre) * widen, centre + (high - centre) * widen


def gradient(function: Callable[[Array], float], at: Array, least: Array | float = LEAST_STEP) -> Array:
    """Central differences of a smooth scalar function.

    least   the smallest step of each argument (derivatives.negligible)
    """
    slope, steps = np.zeros(len(at)), np.maximum(RELATIVE_STEP * np.abs(at), least)
    for i in range(len(at)):
        step = np.zeros(len(at))
        step[i] = steps[i]
        slope[i] = (function(at + step) - function(at - step)) / (2 * step[i])
    return slope
