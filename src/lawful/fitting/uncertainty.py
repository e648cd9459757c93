"""How far a fit would have moved: bootstrap over clusters, the cluster-robust covariance, spread between replicates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import fdtrc, stdtrit

from lawful.fitting import solver
from lawful.fitting.data import Sample
from lawful.laws import Array

if TYPE_CHECKING:
    from lawful.fitting.estimate import Point

MANY_CLUSTERS = 20  # from here on the bootstrap's own percentiles are used; below, t intervals


@dataclass(frozen=True)
class Spread:
    """stderr and ci95 by name, of fitted and derived parameters; covariance of the free ones; bootstrap draws."""

    method: str
    stderr: Mapping[str, float]
    ci95: Mapping[str, tuple[float, float]]
    derived: Mapping[str, float]
    covariance: Array
    draws: Array


def estimate(point: Point, data: Sample, *, draws: int, seed: int) -> Spread:
    law, free = point.problem.law, point.is_free
    values = dict(zip(law.parameters, point.parameters, strict=True))
    derived = {name: float(value) for name, value in law.derived(values, data.x.pivot).items()}
    sandwich = cluster_covariance(point, data)
    drawn = resample(point, data, draws=draws, seed=seed)
    is_many = data.clusters >= MANY_CLUSTERS and draws >= 200
    if is_many:
        table = dict(zip(law.parameters, drawn.T, strict=True))
        table |= law.derived(table, data.x.pivot)
        stderr = {name: float(np.std(column)) for name, column in table.items()}
        ci95 = {name: _percentiles(column) for name, column in table.items()}
        return Spread(
            "bootstrap percentiles over clusters",
            stderr,
            ci95,
            derived,
            np.cov(drawn[:, free].T).reshape(free.sum(), free.sum()),
            drawn,
        )
    dof = max(data.clusters - int(free.sum()), 1)
    t = float(stdtrit(dof, 0.975))
    stderr, ci95 = {}, {}
    for i, name in enumerate(law.parameters):
        if free[i]:
            j = int(free[:i].sum())
            stderr[name] = float(np.sqrt(max(sandwich[j, j], 0.0)))
            low, high = values[name] - t * stderr[name], values[name] + t * stderr[name]
            ci95[name] = (max(low, point.problem.low[i]), min(high, point.problem.high[i]))
    for name, value in derived.items():

        def of(parameters: Array, name: str = name) -> Any:
            return np.log(law.derived(dict(zip(law.parameters, parameters, strict=True)), data.x.pivot)[name])

        slope = _gradient(of, point.parameters)[free]
        relative = float(np.sqrt(max(slope @ sandwich @ slope, 0.0)))
        stderr[name] = value * relative
        ci95[name] = (value * float(np.exp(-t * relative)), value * float(np.exp(t * relative)))
    return Spread(f"t with {dof} degrees of freedom on cluster-robust errors", stderr, ci95, derived, sandwich, drawn)


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


def cluster_covariance(point: Point, data: Sample) -> Array:
    """Sandwich over clusters of the free parameters, with the small-sample factor of Stata: G/(G-1) (n-1)/(n-p)."""
    free = point.is_free
    here = solver.local(point.problem, point.parameters[None], None)
    bread = here.hessian[0][np.ix_(free, free)]
    scores = solver.scores(point.problem, point.parameters)[:, free]
    sums = np.zeros((data.clusters, scores.shape[1]))
    np.add.at(sums, data.cluster, scores)
    inverse = np.linalg.pinv(bread, hermitian=True)
    groups, n, p = data.clusters, data.n, int(free.sum())
    factor = groups / max(groups - 1, 1) * (n - 1) / max(n - p, 1)
    return np.asarray(factor * inverse @ sums.T @ sums @ inverse)


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


def _percentiles(column: Array, level: float = 0.95) -> tuple[float, float]:
    tail = (1 - level) / 2
    low, high = np.quantile(column, [tail, 1 - tail])
    return float(low), float(high)


def _gradient(function: Callable[[Array], Any], at: Array) -> Array:
    """Central differences of a smooth scalar function."""
    slope = np.zeros(len(at))
    for i in range(len(at)):
        step = np.zeros(len(at))
        step[i] = 1e-6 * max(abs(at[i]), 1e-3)
        slope[i] = (function(at + step) - function(at - step)) / (2 * step[i])
    return slope
