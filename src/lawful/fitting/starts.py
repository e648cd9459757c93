"""Where descents start: the best cells of a grid over a law's shapes."""

from __future__ import annotations

import numpy as np

from lawful.fitting.problem import Problem
from lawful.laws import Array

GRID_CELLS = 49  # of a coarse grid: for the second start of a resample's pilot, and of a profile's point


def grid_starts(problem: Problem, weights: Array | None = None, keep: int = 16, cells: int = 400) -> Array:
    """Starting parameters from a grid over the shapes with the coefficients solved for (variable projection).

    Shape (problems, keep, parameters): the best cells of each problem, by relative squared residuals. The residual sums
    of every problem and cell are matrix products, so thousands of resamples cost what one does.
    """
    law = problem.law
    number = len(law.coefficients)
    w = np.ones((1, len(problem.loss))) if weights is None else weights
    shapes = _shape_grid(problem, cells)
    terms = law.values_of_terms({s.name: shapes[:, j, None] for j, s in enumerate(law.shapes)}, problem.x)
    rows = len(problem.loss)
    unit = problem.loss if problem.response.is_log else problem.typical * np.broadcast_to(problem.relative, rows)
    basis = np.stack(
        [
            np.broadcast_to(term.sign * np.exp(np.clip(term.log, -150, 150)), (len(shapes), rows)) / unit
            for term in terms
        ]
    )  # (coefficients, cells, rows), relative to the loss or the noise; at last what has no coefficient
    is_fixed = problem.low[:number] == problem.high[:number]
    known = np.append(np.where(is_fixed, problem.low[:number], 0.0), np.ones(len(terms) - number))
    target = problem.loss / unit - np.einsum("k,kcn->cn", known, basis)
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
        floor = 0.01 * problem.typical  # where the plane leaves the positive quadrant, start just inside
        least = np.where(problem.low[free] < 0, -np.inf, floor * size / size.max(-1, keepdims=True))
        inside = np.maximum(solved, least)
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
