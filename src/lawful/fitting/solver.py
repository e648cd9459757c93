"""Minimises a law's misfit for many problems at once: exact gradients and Hessians, batched safeguarded Newton.

A batch holds the starts of one fit, or the resamples of a bootstrap: one law, one set of rows, many weightings.
The misfit is  F = sum_i w_i rho(r_i / scale)  with r the residual of log L (or of L) and rho the Huber function with a
threshold (1, or infinity for least squares). Dividing by the scale makes tolerances mean the same for every objective:
scipy's L-BFGS-B on an unscaled mean loss stops after two iterations far above the optimum and reports success.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from lawful.laws import Array, Axes, Law, Term

ROWS_PER_CHUNK = 60_000  # residuals handled at once: the working arrays stay in a core's cache
MOST_STEPS = 100
RIDGE, STALLED = 1e-8, 1e-12  # relative: along a flat ridge steps promise a little and bring nothing
NO_MISFIT = 1e-12  # per row: a misfit below it is rounding, and relative measures start there
DECREMENT = 1e-13  # relative; the last step taken below it leaves a misfit right to rounding


@dataclass(frozen=True)
class Problem:
    """What is minimised. Parameters stand in the law's order: coefficients, then shapes.

    loss        observed, shape (rows,), or (problems, rows) where each problem has losses of its own
    is_log      residuals are log L - log loss; else L - loss
    scale       of the residuals: Huber's delta, or sigma for squares
    is_squares  squares instead of Huber
    low, high   bounds, shape (parameters,), or (problems, parameters) where they differ; equal where fixed
    """

    law: Law
    x: Axes
    loss: Array
    is_log: bool
    scale: float
    is_squares: bool
    low: Array
    high: Array

    @functools.cached_property
    def target(self) -> Array:
        return np.asarray(np.log(self.loss) if self.is_log else self.loss)

    def take(self, rows: slice | Array) -> Problem:
        """The same for some of the problems, where each has bounds or losses of its own."""
        if self.low.ndim == 1 and self.loss.ndim == 1:
            return self
        low, high, loss = (own[rows] if own.ndim == 2 else own for own in (self.low, self.high, self.loss))
        return replace(self, low=low, high=high, loss=loss)

    @property
    def rows(self) -> int:
        return int(self.loss.shape[-1])


@dataclass(frozen=True)
class Solution:
    """Per problem: parameters (problems, parameters), misfit F, relative Newton decrement, steps taken."""

    parameters: Array
    misfit: Array
    decrement: Array
    steps: Array


@dataclass(frozen=True)
class Local:
    """The misfit around a point: value, gradient, exact Hessian, and the reweighted Gauss-Newton matrix above it."""

    misfit: Array
    gradient: Array
    hessian: Array
    majorant: Array


def solve(
    problem: Problem,
    starts: Array,
    weights: Array | None = None,
    *,
    tolerance: float = DECREMENT,
    is_near: bool = False,
) -> Solution:
    """Descend from each start, shape (problems, parameters); weights of the rows, shape (problems, rows).

    A narrow Huber is almost flat-sided, and is reached through wider ones, unless the starts are near already.
    """
    size = max(1, ROWS_PER_CHUNK // max(problem.rows, 1))
    pieces = []
    for first in range(0, len(starts), size):
        chosen = slice(first, first + size)
        part = problem.take(chosen)
        w = None if weights is None else weights[chosen]
        if is_near:
            pieces.append(_descend(part, starts[chosen], w, tolerance, blend=0.0))
        else:
            pieces.append(_descend_in_stages(part, starts[chosen], w, tolerance))
    return Solution(
        *(
            np.concatenate([getattr(piece, name) for piece in pieces])
            for name in ("parameters", "misfit", "decrement", "steps")
        )
    )


def residuals(problem: Problem, parameters: Array) -> Array:
    """Shape (problems, rows), in the residual's own unit."""
    level = problem.law.predict(dict(zip(problem.law.parameters, parameters.T, strict=True)), problem.x)
    away: Array = (np.log(np.maximum(level, 1e-300)) if problem.is_log else level) - problem.target
    return away


def misfit(problem: Problem, parameters: Array, weights: Array | None = None) -> Array:
    z = np.abs(residuals(problem, parameters)) / problem.scale
    rho = 0.5 * z**2 if problem.is_squares else np.where(z <= 1, 0.5 * z**2, z - 0.5)
    return np.asarray((rho if weights is None else weights * rho).sum(-1))


def _descend_in_stages(problem: Problem, starts: Array, weights: Array | None, tolerance: float) -> Solution:
    """Through ever narrower Hubers, each a good start for the next."""
    steps = np.zeros(len(starts), dtype=int)
    if not problem.is_squares:
        spread = float(np.median(np.abs(residuals(problem, starts)))) * 1.5
        scale = min(spread, 0.3 * float(np.std(problem.target)) + problem.scale)
        while scale > 2 * problem.scale:
            stage = _descend(replace(problem, scale=scale), starts, weights, tolerance=1e-4)
            starts, steps = stage.parameters, steps + stage.steps
            scale /= 5
    last = _descend(problem, starts, weights, tolerance)
    return replace(last, steps=steps + last.steps)


@np.errstate(over="ignore", invalid="ignore")  # a step gone too far is not taken
def _descend(problem: Problem, starts: Array, weights: Array | None, tolerance: float, blend: float = 1.0) -> Solution:
    """Newton with the exact Hessian, blended towards the majorant at first, and wherever a step fails to descend."""
    best = np.clip(starts, problem.low, problem.high)
    count = len(best)
    misfits, decrements, steps = np.empty(count), np.full(count, np.inf), np.zeros(count, dtype=int)
    active = np.arange(count)
    theta, mix = best.copy(), np.full(count, blend)
    here = local(problem, theta, weights)
    misfits[:] = here.misfit
    for _ in range(MOST_STEPS):
        w = None if weights is None else weights[active]
        part = problem.take(active)
        step, decrement = _newton_step(part, theta, here, mix)
        relative = decrement / np.maximum(here.misfit, NO_MISFIT * problem.rows)
        trial = np.clip(theta + step, part.low, part.high)
        there = local(part, trial, w)
        is_down = (decrement >= 0) & (there.misfit <= here.misfit)
        is_close = (decrement >= 0) & (relative < tolerance) & (mix <= 1)
        is_stalled = (relative < RIDGE) & (np.abs(here.misfit - there.misfit) <= STALLED * here.misfit)
        steps[active] += 1
        theta = np.where(is_down[:, None], trial, theta)
        here = Local(
            *(
                np.where(is_down.reshape(-1, *[1] * (new.ndim - 1)), new, old)
                for new, old in zip(_fields(there), _fields(here), strict=True)
            )
        )
        best[active], misfits[active] = theta, here.misfit
        decrements[active] = np.where(decrement >= 0, relative, np.inf)
        shrunk = np.where(mix < 1e-3, 0.0, mix / 10)
        mix = np.where(is_down, shrunk, np.maximum(mix * 6, 0.02))
        go_on = ~is_close & ~is_stalled & (mix < 1e12)
        active, theta, mix = active[go_on], theta[go_on], mix[go_on]
        if not len(active):
            break
        here = Local(*(part[go_on] for part in _fields(here)))
    return Solution(best, np.nan_to_num(misfits, nan=np.inf), decrements, steps)


def _fields(here: Local) -> tuple[Array, Array, Array, Array]:
    return here.misfit, here.gradient, here.hessian, here.majorant


def _newton_step(problem: Problem, theta: Array, here: Local, blend: Array) -> tuple[Array, Array]:
    """The step, and half of -gradient . step (negative where the blended matrix does not give descent)."""
    pushed_out = ((theta <= problem.low) & (here.gradient > 0)) | ((theta >= problem.high) & (here.gradient < 0))
    is_free = ~pushed_out & (problem.low < problem.high)
    gradient = np.where(is_free, here.gradient, 0.0)
    b = blend[:, None, None]
    matrix = np.maximum(0.0, 1 - b) * here.hessian + b * here.majorant
    pair = is_free[:, :, None] & is_free[:, None, :]
    matrix = np.where(pair, matrix, 0.0)
    diagonal = np.einsum("bii->bi", matrix)
    ridge = 1e-13 * np.abs(diagonal) + 1e-16 * np.abs(diagonal).max(-1, keepdims=True) + 1e-280
    diagonal += np.where(is_free, ridge, 1.0)
    # scaled to a unit diagonal, since coefficients and exponents differ in size
    size = 1 / np.sqrt(np.abs(diagonal))
    scaled = matrix * size[:, :, None] * size[:, None, :]
    try:
        step = -np.linalg.solve(scaled, (gradient * size)[..., None])[..., 0] * size
    except np.linalg.LinAlgError:
        eye = 1e-9 * np.eye(theta.shape[1])
        step = -np.linalg.solve(scaled + eye, (gradient * size)[..., None])[..., 0] * size
    return step, -0.5 * (gradient * step).sum(-1)


@dataclass(frozen=True)
class _Levels:
    """The law and its first derivatives: level (problems, rows), slope dL/dtheta (problems, parameters, rows)."""

    level: Array
    slope: Array
    phis: list[Array]
    parts: list[Array]
    terms: tuple[Term, ...]
    position: dict[str, int]


def _levels(problem: Problem, theta: Array) -> _Levels:
    law = problem.law
    position = {shape.name: len(law.coefficients) + j for j, shape in enumerate(law.shapes)}
    terms = law.terms({name: theta[:, j, None] for name, j in position.items()}, problem.x)
    slope = np.zeros((*theta.shape, problem.rows))
    phis, parts = [], []
    for k, term in enumerate(terms):
        phi = slope[:, k]
        np.minimum(term.log, 150.0, out=phi)  # so that squares stay finite on the way
        np.exp(phi, out=phi)
        part = theta[:, k, None] * phi
        for name, first in term.first.items():
            slope[:, position[name]] += part * first
        phis.append(phi)
        parts.append(part)
    return _Levels(np.maximum(np.add.reduce(parts), 1e-300), slope, phis, parts, terms, position)


def local(problem: Problem, theta: Array, weights: Array | None) -> Local:
    """Value, gradient and both matrices at theta, shape (problems, parameters); analytic throughout."""
    law = _levels(problem, theta)
    slope, parts, phis, terms, level, position = law.slope, law.parts, law.phis, law.terms, law.level, law.position
    count, size = theta.shape

    z = ((np.log(level) if problem.is_log else level) - problem.target) / problem.scale
    pull = z if problem.is_squares else np.clip(z, -1, 1)
    w = 1.0 if weights is None else weights
    misfit = (w * pull * (z - 0.5 * pull)).sum(-1)  # z^2 / 2 inside Huber's delta, |z| - 1/2 outside
    stiff = np.broadcast_to(w / problem.scale**2, z.shape)  # d2F / dr2 inside
    force = w * pull / problem.scale  # dF / dr
    lever = force / level if problem.is_log else force  # dF / dL

    curvature = np.zeros((count, size, size))  # sum_i dF/dL_i  d2L_i
    for k, term in enumerate(terms):
        leant = lever * phis[k]
        for name, first in term.first.items():
            j = position[name]
            curvature[:, k, j] += (leant * first).sum(-1)
        pushed = lever * parts[k]
        names = list(term.first)
        for at, name in enumerate(names):
            moved = pushed * term.first[name]
            for other in names[at:]:
                i, j = sorted((position[name], position[other]))
                curvature[:, i, j] += (moved * term.first[other]).sum(-1)
        for (name, other), second in term.second.items():
            i, j = sorted((position[name], position[other]))
            curvature[:, i, j] += (pushed * second).sum(-1)
    upper = np.triu(np.ones((size, size)), 1)
    curvature += np.swapaxes(curvature * upper, 1, 2)

    if problem.is_log:
        slope /= level[:, None, :]  # dr / dtheta
    turned = np.swapaxes(slope, 1, 2)
    inside = stiff if problem.is_squares else stiff * (pull == z)
    soft = stiff if problem.is_squares else stiff / np.maximum(np.abs(z), 1)
    gradient = (slope @ force[..., None])[..., 0]
    hessian = (slope * (inside - force if problem.is_log else inside)[:, None, :]) @ turned + curvature
    majorant = (slope * soft[:, None, :]) @ turned
    return Local(misfit, gradient, hessian, majorant)


def grid_starts(problem: Problem, weights: Array | None = None, keep: int = 16, cells: int = 400) -> Array:
    """Starting parameters from a grid over the shapes with the coefficients solved for (variable projection).

    Shape (problems, keep, parameters): the best cells of each problem, by relative squared residuals. The residual sums
    of every problem and cell are matrix products, so thousands of resamples cost what one does.
    """
    law = problem.law
    number = len(law.coefficients)
    w = np.ones((1, len(problem.loss))) if weights is None else weights
    shapes = _shape_grid(problem, cells)
    terms = law.terms({s.name: shapes[:, j, None] for j, s in enumerate(law.shapes)}, problem.x)
    rows = len(problem.loss)
    basis = np.stack(
        [np.broadcast_to(np.exp(np.clip(term.log, -150, 150)), (len(shapes), rows)) / problem.loss for term in terms]
    )  # (coefficients, cells, rows), relative to the loss
    is_fixed = problem.low[:number] == problem.high[:number]
    target = 1 - np.einsum("k,kcn->cn", np.where(is_fixed, problem.low[:number], 0.0), basis)
    free = np.flatnonzero(~is_fixed)
    coefficients = np.broadcast_to(problem.low[:number], (len(w), len(shapes), number)).copy()
    if len(free):
        gram = np.empty((len(w), len(shapes), len(free), len(free)))
        right = np.empty((len(w), len(shapes), len(free)))
        for a, k in enumerate(free):
            right[:, :, a] = w @ (basis[k] * target).T
            for b in range(a, len(free)):
                gram[:, :, a, b] = gram[:, :, b, a] = w @ (basis[k] * basis[free[b]]).T
        diagonal = np.einsum("wcii->wci", gram)
        diagonal += 1e-10 * diagonal + 1e-280
        size = 1 / np.sqrt(diagonal)
        solved = (
            np.linalg.solve(gram * size[..., :, None] * size[..., None, :], (right * size)[..., None])[..., 0] * size
        )
        floor = 0.01 * np.median(problem.loss)  # where the plane leaves the positive quadrant, start just inside
        inside = np.maximum(solved, floor * size / size.max(-1, keepdims=True))
        coefficients[..., free] = np.clip(inside, problem.low[free], problem.high[free])
        rss = (
            (w @ (target**2).T)
            - 2 * np.einsum("wci,wci->wc", coefficients[..., free], right)
            + np.einsum("wci,wcij,wcj->wc", coefficients[..., free], gram, coefficients[..., free])
        )
    else:
        rss = w @ (target**2).T
    order = np.argsort(rss, axis=1)[:, :keep]
    picked = np.take_along_axis(coefficients, order[..., None], axis=1)
    return np.concatenate([picked, shapes[order]], axis=-1)


def _shape_grid(problem: Problem, cells: int) -> Array:
    """Shape (cells, shapes): a product grid for up to two free shapes, seeded uniform draws for more."""
    number = len(problem.law.coefficients)
    low, high = problem.low[number:].copy(), problem.high[number:].copy()
    for j, shape in enumerate(problem.law.shapes):
        if shape.starts is not None and low[j] < high[j]:
            start_low, start_high = max(low[j], shape.starts[0]), min(high[j], shape.starts[1])
            if start_low < start_high:
                low[j], high[j] = start_low, start_high
    free = np.flatnonzero(low < high)
    if not len(free):
        return low[None, :]
    if len(free) <= 2:
        side = int(round(cells ** (1 / len(free)))) if len(free) == 2 else min(cells, 80)
        axes = [_spread(low[j], high[j], side) for j in free]
        points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    else:
        draws = np.random.default_rng(0).random((cells * (len(free) - 1), len(free)))
        points = np.stack(
            [_spread(low[j], high[j], 512)[(draws[:, a] * 512).astype(int)] for a, j in enumerate(free)], axis=1
        )
    grid = np.repeat(low[None, :], len(points), axis=0)
    grid[:, free] = points
    return grid


def _spread(low: float, high: float, number: int) -> Array:
    """Geometric where the range is positive: exponents of .05 and .1 differ as much as 1 and 2."""
    return np.geomspace(low, high, number) if low > 0 else np.linspace(low, high, number)


def slopes(problem: Problem, parameters: Array) -> Array:
    """dr / dtheta of one point, shape (rows, parameters)."""
    columns = _levels(problem, parameters[None])
    return np.asarray(columns.slope[0].T / (columns.level[0][:, None] if problem.is_log else 1.0))
