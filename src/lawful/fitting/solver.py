"""Minimises a law's misfit for many problems at once: exact gradients and Hessians, batched safeguarded Newton.

A batch holds the starts of one fit, or the resamples of a bootstrap: one law, one set of rows, many weightings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lawful.fitting.derivatives import Local, Room, local, majorant
from lawful.fitting.problem import Problem
from lawful.laws import Array

ROWS_PER_CHUNK = 60_000  # residuals handled at once: of 15,000 to 120,000 tried, about the fastest
MOST_STEPS = 100
RIDGE, STALLED = 1e-8, 1e-12  # relative: along a flat ridge steps promise a little and bring nothing
NO_MISFIT = 1e-12  # per row: a misfit below it is rounding, and relative measures start there
DECREMENT = 1e-13  # relative; the last step taken below it leaves a misfit right to rounding
LEAST_BLEND = 1e-3  # of the majorant in a step's matrix: with less, the Hessian alone is tried
ROUGH = 1e-4  # the same, of a stage on the way
FAR, NEAR = 1.5, 0.3  # times the median residual: the widest Huber that starts are led through


@dataclass(frozen=True)
class Solution:
    """Per problem: parameters (problems, parameters), misfit F, relative Newton decrement, steps taken."""

    parameters: Array
    misfit: Array
    decrement: Array
    steps: Array


def solve(
    problem: Problem,
    starts: Array,
    weights: Array | None = None,
    *,
    tolerance: float = DECREMENT,
    is_near: bool = False,
    most_steps: int = MOST_STEPS,
) -> Solution:
    """Descend from each start, shape (problems, parameters); weights of the rows, shape (problems, rows).

    A narrow Huber is almost flat-sided, and is reached through wider ones: fewer where the starts are known to be near.
    """
    size = max(1, ROWS_PER_CHUNK // max(problem.rows, 1))
    pieces = []
    for first in range(0, len(starts), size):
        chosen = slice(first, first + size)
        part = problem.take(chosen)
        w = None if weights is None else weights[chosen]
        pieces.append(_descend_in_stages(part, starts[chosen], w, tolerance, is_near, most_steps))
    return joined(pieces)


def joined(pieces: Sequence[Solution]) -> Solution:
    """One after another."""
    parts = ((piece.parameters, piece.misfit, piece.decrement, piece.steps) for piece in pieces)
    return Solution(*map(np.concatenate, zip(*parts, strict=True)))


def _descend_in_stages(
    problem: Problem, starts: Array, weights: Array | None, tolerance: float, is_near: bool, most_steps: int
) -> Solution:
    """Through ever narrower Hubers, each a good start for the next."""
    steps, blend = np.zeros(len(starts), dtype=int), 0.0 if is_near else 1.0
    if not problem.is_squares:
        spread = float(np.median(np.abs(problem.residuals(starts)))) * (NEAR if is_near else FAR)
        scale = min(spread, 0.3 * float(np.std(problem.target)) + problem.scale)
        while problem.scale * 2 < scale < np.inf:
            stage = _descend(replace(problem, scale=scale), starts, weights, ROUGH, blend, most_steps)
            starts, steps = stage.parameters, steps + stage.steps
            scale /= 5
    last = _descend(problem, starts, weights, tolerance, blend, most_steps)
    return replace(last, steps=steps + last.steps)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # a step gone too far is not taken
def _descend(
    problem: Problem, starts: Array, weights: Array | None, tolerance: float, blend: float, most_steps: int
) -> Solution:
    """Newton with the exact Hessian, blended towards the majorant at first, and wherever a step fails to descend."""
    best = np.clip(starts, problem.low, problem.high)
    count = len(best)
    misfits, decrements, steps = np.empty(count), np.full(count, np.inf), np.zeros(count, dtype=int)
    active = np.arange(count)
    theta, mix = best.copy(), np.full(count, blend)
    room = Room(problem, count)
    here = local(problem, theta, weights, room, has_above=blend > 0)
    misfits[:] = here.misfit
    for _ in range(most_steps):
        w = None if weights is None else weights[active]
        has_above = here.above is not None and bool(2 * np.count_nonzero(mix >= LEAST_BLEND) > len(mix))
        part = problem.take(active)
        step, decrement = _newton_step(part, theta, here, mix, w, room)
        relative = decrement / np.maximum(here.misfit, NO_MISFIT * problem.rows)
        trial = np.clip(theta + step, part.low, part.high)
        there = local(part, trial, w, room, has_above=has_above)
        is_down = (decrement >= 0) & (there.misfit <= here.misfit)
        if not is_down.all():
            _follow_valley(part, trial, here, there, is_down, w, room)
        is_close = (decrement >= 0) & (relative < tolerance) & (mix <= 1)
        is_stalled = (relative < RIDGE) & (np.abs(here.misfit - there.misfit) <= STALLED * here.misfit)
        steps[active] += 1
        theta = np.where(is_down[:, None], trial, theta)
        here = here.where(is_down, there)
        best[active], misfits[active] = theta, here.misfit
        decrements[active] = np.where(decrement >= 0, relative, np.inf)
        shrunk = np.where(mix < LEAST_BLEND, 0.0, mix / 10)
        mix = np.where(is_down, shrunk, np.maximum(mix * 6, 0.02))
        go_on = ~is_close & ~is_stalled & (mix < 1e12)
        active, theta, mix = active[go_on], theta[go_on], mix[go_on]
        if not len(active):
            break
        if not go_on.all():
            here = here.take(go_on)
    return Solution(best, np.nan_to_num(misfits, nan=np.inf), decrements, steps)


def _newton_step(
    problem: Problem, theta: Array, here: Local, blend: Array, weights: Array | None, room: Room
) -> tuple[Array, Array]:
    """The step, and half of -gradient . step (negative where the blended matrix does not give descent)."""
    is_free = _is_free(theta, here.gradient, problem.low, problem.high)
    gradient = np.where(is_free, here.gradient, 0.0)
    matrix = here.hessian.copy()
    blended = np.flatnonzero(blend)
    if len(blended):
        if here.above is None:
            w = None if weights is None else weights[blended]
            above = majorant(problem.take(blended), theta[blended], w, room)
        else:
            above = here.above[blended]
        b = blend[blended, None, None]
        matrix[blended] = np.maximum(0.0, 1 - b) * matrix[blended] + b * above
    step = _solved(matrix, gradient, is_free, room.ridge)
    return step, -0.5 * (gradient * step).sum(-1)


def _solved(matrix: Array, gradient: Array, is_free: Array, ridge: Array) -> Array:
    """The step of each problem to where the gradient would be zero; of parameters that are not free, none."""
    if not is_free.all():
        matrix = np.where(is_free[:, :, None] & is_free[:, None, :], matrix, 0.0)
    diagonal = np.einsum("bii->bi", matrix)
    diagonal += np.where(is_free, 1e-13 * np.abs(diagonal) + ridge, 1.0)
    # scaled to a unit diagonal, since coefficients and exponents differ in size
    size = 1 / np.sqrt(np.abs(diagonal))
    scaled = matrix * size[:, :, None] * size[:, None, :]
    try:
        return np.asarray(-np.linalg.solve(scaled, (gradient * size)[..., None])[..., 0] * size)
    except np.linalg.LinAlgError:
        eye = 1e-9 * np.eye(matrix.shape[1])
        return np.asarray(-np.linalg.solve(scaled + eye, (gradient * size)[..., None])[..., 0] * size)


def _follow_valley(
    problem: Problem, trial: Array, here: Local, there: Local, is_down: Array, weights: Array | None, room: Room
) -> None:
    """Where a step went up, fit the coefficients to the new shapes by one step of their own, and keep what then lies
    below. The shapes and the coefficient of a term lie along a curved valley, which a straight step leaves."""
    number = room.coefficients
    chosen = np.flatnonzero(~is_down & np.isfinite(there.misfit))
    if not len(chosen):
        return
    part, w, at = problem.take(chosen), None if weights is None else weights[chosen], trial[chosen]
    above = majorant(part, at, w, room) if there.above is None else there.above[chosen]
    gradient, low, high = there.gradient[chosen, :number], part.low[..., :number], part.high[..., :number]
    is_free = _is_free(at[:, :number], gradient, low, high)
    step = _solved(above[:, :number, :number].copy(), gradient * is_free, is_free, room.ridge[:number])
    at[:, :number] = np.clip(at[:, :number] + step, low, high)
    found = local(part, at, w, room, has_above=there.above is not None)
    is_better = found.misfit < here.misfit[chosen] * (1 - STALLED)
    kept = chosen[is_better]
    trial[kept] = at[is_better]
    there.put(kept, found.take(is_better))
    is_down[kept] = True


def _is_free(theta: Array, gradient: Array, low: Array, high: Array) -> Array:
    """Which parameters may move: those that are not fixed, and not held at a bound by the gradient."""
    pushed_out = ((theta <= low) & (gradient > 0)) | ((theta >= high) & (gradient < 0))
    return np.asarray(~pushed_out & (low < high))
