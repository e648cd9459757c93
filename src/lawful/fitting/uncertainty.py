"""How far a fit would have moved: bootstrap over clusters where they are many, profiles with t quantiles where few."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import fdtrc, stdtrit

from lawful.fitting import noise, solver
from lawful.fitting.data import Sample
from lawful.laws import Array

if TYPE_CHECKING:
    from lawful.fitting.estimate import Point

MANY_CLUSTERS = 30  # from here on the bootstrap's own percentiles are used
LEVEL = 0.95


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
    law, free = point.problem.law, point.is_free
    values = dict(zip(law.parameters, point.parameters, strict=True))
    derived = {name: float(value) for name, value in law.derived(values, data.x.pivot).items()}
    drawn = resample(point, data, draws=draws, seed=seed)
    around = noise.measure(point, data)
    if data.clusters >= MANY_CLUSTERS and draws >= 200:
        table = dict(zip(law.parameters, drawn.T, strict=True))
        table |= law.derived(table, data.x.pivot)
        stderr = {name: float(np.std(column)) for name, column in table.items()}
        ci95 = {name: _percentiles(column) for name, column in table.items()}
        covariance = np.atleast_2d(np.cov(drawn[:, free].T))
        dof = float(max(data.clusters - int(free.sum()), 1))
        return Spread("bootstrap over clusters, percentiles", stderr, ci95, derived, covariance, drawn, dof, around)
    names = [name for name, is_free in zip(law.parameters, free, strict=True) if is_free]
    dofs = {name: around.dof(contrast) for name, contrast in zip(names, np.eye(len(names)), strict=True)}
    stderr = {name: float(np.sqrt(around.covariance[j, j])) for j, name in enumerate(names)}
    ci95 = profile_intervals(point, around, dofs)
    for name, value in derived.items():

        def log_of(parameters: Array, name: str = name) -> Any:
            return np.log(law.derived(dict(zip(law.parameters, parameters, strict=True)), data.x.pivot)[name])

        slope = gradient(log_of, point.parameters)[free]
        relative = float(np.sqrt(max(slope @ around.covariance @ slope, 0.0)))
        reach = float(stdtrit(around.dof(slope), 0.5 + LEVEL / 2)) * relative
        stderr[name] = value * relative
        ci95[name] = (value * float(np.exp(-min(reach, 700))), value * float(np.exp(min(reach, 700))))
    return Spread(
        "profile likelihood with t quantiles",
        stderr,
        ci95,
        derived,
        around.covariance,
        drawn,
        min(dofs.values()),
        around,
    )


def profile_intervals(point: Point, around: noise.Noise, dofs: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Per parameter, the values at which the misfit, minimised over the others, is not too much above its minimum.

    The rise is measured as t^2: scaled as if rows were independent, then by how much clusters widen this parameter.
    All ends are sought at once, by the secant rule on the signed root of the rise, which is nearly a straight line.
    """
    names = list(dofs)
    position = [point.problem.law.parameters.index(name) for name in names]
    quantile = np.array([stdtrit(dofs[name], 0.5 + LEVEL / 2) for name in names])
    widen = np.diag(around.covariance) / np.maximum(np.diag(around.plain), 1e-300)
    step = quantile * np.sqrt(np.diag(around.covariance))
    which = np.repeat(position, 2)
    side = np.tile([-1.0, 1.0], len(names))
    target = np.repeat(quantile, 2)
    scale = np.repeat(around.steepness / np.maximum(widen, 1e-300), 2)
    low, high = point.problem.low[which], point.problem.high[which]
    centre = point.parameters[which]
    bound = np.where(side < 0, low, high)
    bound = np.where(np.isfinite(bound), bound, centre + 1e3 * np.maximum(np.abs(centre), 1.0))
    inner, rise_inner = centre.copy(), np.zeros(len(which))
    outer, rise_outer = bound.copy(), np.full(len(which), np.nan)  # nan: not yet known to be outside
    at = centre + np.clip(side * np.repeat(step, 2), np.minimum(bound - centre, 0), np.maximum(bound - centre, 0))
    start = np.repeat(point.parameters[None], len(which), axis=0)
    rows = np.arange(len(which))
    for _ in range(14):
        start[rows, which] = at
        lows = np.repeat(point.problem.low[None], len(which), axis=0)
        highs = np.repeat(point.problem.high[None], len(which), axis=0)
        lows[rows, which] = highs[rows, which] = at
        pinned = replace(point.problem, low=lows, high=highs)
        found = solver.solve(pinned, start)
        rise = np.sqrt(np.maximum(2 * (found.misfit - point.misfit) * scale, 0.0))
        is_outside = rise >= target
        outer = np.where(is_outside, at, outer)
        rise_outer = np.where(is_outside, rise, rise_outer)
        inner = np.where(is_outside, inner, at)
        rise_inner = np.where(is_outside, rise_inner, rise)
        start = np.where(is_outside[:, None], start, found.parameters)
        if np.all((np.abs(rise - target) < 1e-3 * target) | (~is_outside & (at == bound))):
            break
        share = (target - rise_inner) / np.maximum(rise_outer - rise_inner, 1e-12)
        between = inner + np.clip(share, 0.02, 0.98) * (outer - inner)
        further = inner + np.clip(
            (target / np.maximum(rise_inner, 1e-3 * target) - 1) * (inner - centre) * 1.1, -1e9, 1e9
        )
        further = np.where(side < 0, np.maximum(further, bound), np.minimum(further, bound))
        settled = np.abs(rise - target) < 1e-3 * target
        at = np.where(settled, at, np.where(np.isnan(rise_outer), further, between))
    ends = at.reshape(-1, 2)
    return {name: (float(a), float(b)) for name, (a, b) in zip(names, ends, strict=True)}


def resample(point: Point, data: Sample, *, draws: int, seed: int) -> Array:
    """Refits with clusters drawn with replacement, shape (draws, parameters); the better of two starts each."""
    if draws == 0:
        return np.empty((0, len(point.parameters)))
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, data.clusters, (draws, data.clusters))
    counts = np.stack([np.bincount(row, minlength=data.clusters) for row in picks]).astype(float)
    weights = counts[:, data.cluster]
    from_point = solver.solve(point.problem, np.repeat(point.parameters[None], draws, axis=0), weights)
    starts = solver.grid_starts(point.problem, weights, keep=1, cells=100)[:, 0]
    from_grid = solver.solve(point.problem, starts, weights)
    is_better = from_grid.misfit < from_point.misfit
    return np.where(is_better[:, None], from_grid.parameters, from_point.parameters)


def replicates(data: Sample, residual: Array, free: int) -> tuple[float | None, dict[str, float] | None]:
    """Pooled spread of log residuals between clusters at the same axes, and the F test of lack of fit against it."""
    keys = np.round(np.log(np.stack(list(data.values.values()), axis=1)), 6)
    _, group = np.unique(keys, axis=0, return_inverse=True)
    group = group.ravel()
    within, dof = 0.0, 0
    for g in range(int(group.max()) + 1):
        rows = np.flatnonzero(group == g)
        if len(np.unique(data.cluster[rows])) > 1:
            within += float(((residual[rows] - residual[rows].mean()) ** 2).sum())
            dof += len(rows) - 1
    if dof == 0:
        return None, None
    sigma = float(np.sqrt(within / dof))
    between_dof = data.n - dof - free
    if between_dof < 1 or within <= 0:
        return sigma, None
    ratio = (float((residual**2).sum()) - within) / between_dof / (within / dof)
    return sigma, {
        "F": ratio,
        "dof": between_dof,
        "dof_replicates": dof,
        "p": float(fdtrc(between_dof, dof, max(ratio, 0.0))),
    }


def _percentiles(column: Array) -> tuple[float, float]:
    low, high = np.quantile(column, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return float(low), float(high)


def gradient(function: Callable[[Array], Any], at: Array) -> Array:
    """Central differences of a smooth scalar function."""
    slope = np.zeros(len(at))
    for i in range(len(at)):
        step = np.zeros(len(at))
        step[i] = 1e-6 * max(abs(at[i]), 1e-3)
        slope[i] = (function(at + step) - function(at - step)) / (2 * step[i])
    return slope
