"""Refits that show how far a fit would have moved: to resampled clusters, and to losses drawn from law and noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lawful.fitting import derivatives, noise, solver
from lawful.fitting.data import Sample
from lawful.fitting.problem import Problem
from lawful.fitting.search import Point
from lawful.fitting.starts import GRID_CELLS, grid_starts
from lawful.laws import Array

PILOTS = 64  # draws that descend from two starts; the others start at the best of their optima
PEERS = 512  # optima of other draws against which each draw's is held
BETTER = 1e-9  # relative: another optimum is better by more than rounding
MANY_ROWS, INDEPENDENT = 10_000, 1_000  # rows and clusters from which on a draw is one Newton step from the optimum
COUNTED_AT_ONCE = 2**17  # clusters drawn: more does not fit in a core's cache
CHECKED = 8  # draws that are refitted as well
STEP_AGREES = 0.1  # standard errors by which such a step may miss the refit, in the draws that are also refitted
LARGEST_MOVE = 50.0  # of a log loss in a draw: further, no law descends, and what is drawn says nothing anyway


def resample(point: Point, data: Sample, *, draws: int, seed: int) -> Array:
    """Refits with clusters drawn with replacement, shape (draws, parameters).

    The misfits of all draws at many parameters are one matrix product. So the pilots' optima, each the better of two
    starts, are the grid from which the draws start; and in the end each draw is held against the optima of many others,
    and descends again from any that is better.
    """
    if draws == 0:
        return np.empty((0, len(point.parameters)))
    problem, number = point.problem, data.clusters
    rng = np.random.default_rng(seed)
    is_large = data.n >= MANY_ROWS and number >= INDEPENDENT and problem.prior is None
    if is_large and (steps := _one_step_each(point, data, draws, rng)) is not None:
        return steps
    weights = _counts(rng, draws, number)[:, data.cluster]
    if problem.prior is not None:
        problem = replace(problem, prior=problem.prior.redrawn(problem.prior.mean, draws, rng))

    pilots, first = weights[:PILOTS], problem.take(slice(0, PILOTS))
    from_grid = grid_starts(problem, pilots, keep=1, cells=GRID_CELLS)[:, 0]
    from_point = np.repeat(point.parameters[None], len(pilots), axis=0)
    rough = [solver.solve(first, start, pilots, tolerance=solver.ROUGH) for start in (from_grid, from_point)]
    known = np.concatenate([point.parameters[None], *(found.parameters for found in rough)])
    start = known[problem.misfit_of_each(known, weights).argmin(axis=1)]
    found = solver.solve(problem, start, weights, is_near=True)

    known = found.parameters[:PEERS]
    misfits = problem.misfit_of_each(known, weights)
    worse = np.flatnonzero(misfits.min(axis=1) < found.misfit * (1 - BETTER))
    if len(worse):
        start = known[misfits[worse].argmin(axis=1)]
        found.parameters[worse] = solver.solve(problem.take(worse), start, weights[worse], is_near=True).parameters
    return found.parameters


def _counts(rng: np.random.Generator, draws: int, number: int) -> Array:
    """How often each cluster is drawn, shape (draws, clusters)."""
    counts = np.empty((draws, number))
    block = max(1, COUNTED_AT_ONCE // number)
    for first in range(0, draws, block):
        size = min(block, draws - first)
        picks = rng.integers(0, number, (size, number)) + number * np.arange(size)[:, None]
        counts[first : first + size] = np.bincount(picks.ravel(), minlength=size * number).reshape(size, number)
    return counts


def _one_step_each(point: Point, data: Sample, draws: int, rng: np.random.Generator) -> Array | None:
    """Each draw as one Newton step from the optimum: of the same order as a refit, at the cost of a matrix product
    (Davidson and MacKinnon 1999, "Bootstrap testing in nonlinear models"). Some draws are refitted too; None where
    those disagree, or where a bound holds the optimum."""
    problem, free = point.problem, np.flatnonzero(point.is_free)
    slope = derivatives.slopes(problem, point.parameters)[:, free]  # (rows, free)
    z = point.residuals / problem.scale
    pull = z if problem.is_squares else np.clip(z, -1, 1)
    upper = np.triu_indices(len(free))
    rows = np.concatenate(  # of each row: its share of the gradient, and of the Hessian where the law is straight
        [slope * (pull / problem.scale)[:, None], (slope[:, upper[0]] * slope[:, upper[1]]) * _stiff(z, pull, problem)],
        axis=1,
    )
    shares = np.zeros((data.clusters, rows.shape[1]))
    np.add.at(shares, data.cluster, rows)
    whole = derivatives.local(problem, point.parameters[None], None).hessian[0][np.ix_(free, free)]
    bend = whole[upper] - rows[:, len(free) :].sum(0)
    drawn = np.repeat(point.parameters[None], draws, axis=0)
    chunk = max(1, solver.ROWS_PER_CHUNK * 64 // data.clusters)
    for first in range(0, draws, chunk):
        counts = _counts(rng, min(chunk, draws - first), data.clusters)
        sums = counts @ shares
        hessian = np.empty((len(sums), len(free), len(free)))
        hessian[:, upper[0], upper[1]] = hessian[:, upper[1], upper[0]] = sums[:, len(free) :] + bend
        step = -np.linalg.solve(hessian, sums[:, : len(free), None])[..., 0]
        drawn[first : first + len(step), free] += step
        if first == 0:
            few = counts[: min(CHECKED, len(counts))]
    start = drawn[: len(few)].clip(problem.low, problem.high)
    refitted = solver.solve(problem, start, few[:, data.cluster], is_near=True).parameters
    spread = drawn[:, free].std(axis=0)
    is_inside = ((drawn > problem.low) & (drawn < problem.high))[:, free].all()
    misses = np.abs(drawn[: len(few)] - refitted)[:, free] / spread
    return drawn if is_inside and np.isfinite(spread).all() and misses.max() < STEP_AGREES else None


def _stiff(z: Array, pull: Array, problem: Problem) -> Array:
    """Second derivative of the misfit by the residual, shape (rows, 1)."""
    return np.asarray((z == pull)[:, None] / problem.scale**2)


def redraw(point: Point, data: Sample, around: noise.Noise, *, draws: int, seed: int) -> Array:
    """Refits to losses drawn from the fitted law and its noise, shape (draws, parameters), for few clusters.

    Each draw first draws the variances, as scaled inverse chi-squared with their degrees of freedom, so that the refits
    spread as Student's t and not as a normal.
    """
    if draws == 0:
        return np.empty((0, len(point.parameters)))
    rng = np.random.default_rng(seed)
    free = int(point.is_free.sum())
    row_dof, cluster_dof = around.rows - free, data.clusters - free
    shared = max(around.variance_cluster, 0.0)
    if shared > 0:
        row_dof = around.rows - data.clusters
    relative = point.problem.relative * np.sqrt(around.uneven)
    shake = np.sqrt(around.variance_row) * rng.standard_normal((draws, data.n)) * _scales(rng, draws, row_dof)
    effect = np.sqrt(shared) * rng.standard_normal((draws, data.clusters)) * _scales(rng, draws, cluster_dof)
    move = (shake + effect[:, data.cluster]) * relative
    level = point.fitted
    losses = level * np.exp(move.clip(-LARGEST_MOVE, LARGEST_MOVE)) if point.problem.is_log else level + move
    if point.problem.response.is_log and not point.problem.is_log:
        losses = np.maximum(losses, 0.01 * level)
    prior = point.problem.prior
    problem = replace(point.problem, loss=losses, prior=prior and prior.redrawn(point.parameters, draws, rng))
    from_point = solver.solve(problem, np.repeat(point.parameters[None], draws, axis=0))
    return from_point.parameters


def _scales(rng: np.random.Generator, draws: int, dof: int) -> Array:
    dof = max(dof, 3)  # fewer would give draws without a variance
    return np.sqrt(dof / rng.chisquare(dof, (draws, 1)))
