"""Minimises a law's misfit for many problems at once: exact gradients and Hessians, batched safeguarded Newton.

A batch holds the starts of one fit, or the resamples of a bootstrap: one law, one set of rows, many weightings.
The misfit is  F = sum_i w_i rho(r_i / scale)  with r the residual of log L (or of L) and rho the Huber function with a
threshold (1, or infinity for least squares). Dividing by the scale makes tolerances mean the same for every objective:
scipy's L-BFGS-B on an unscaled mean loss stops after two iterations far above the optimum and reports success.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lawful.laws import Array, Axes, Law, Term

ROWS_PER_CHUNK = 60_000  # residuals handled at once: of 15,000 to 120,000 tried, about the fastest
MOST_STEPS = 100
RIDGE, STALLED = 1e-8, 1e-12  # relative: along a flat ridge steps promise a little and bring nothing
NO_MISFIT = 1e-12  # per row: a misfit below it is rounding, and relative measures start there
DECREMENT = 1e-13  # relative; the last step taken below it leaves a misfit right to rounding
LEAST_BLEND = 1e-3  # of the majorant in a step's matrix: with less, the Hessian alone is tried
ROUGH = 1e-4  # the same, of a stage on the way
FAR, NEAR = 1.5, 0.3  # times the median residual: the widest Huber that starts are led through


@dataclass(frozen=True)
class Prior:
    """What is known of parameters beside the rows: half the sum of precision (parameter - mean)^2 joins the misfit.

    mean        shape (parameters,), or (problems, parameters)
    stderr      of the mean, shape (parameters,); infinite where nothing is known
    precision   1 / stderr^2 in units of the misfit, shape (parameters,)
    """

    mean: Array
    stderr: Array
    precision: Array

    def take(self, rows: slice | Array) -> Prior:
        return self if self.mean.ndim == 1 else replace(self, mean=self.mean[rows])

    def redrawn(self, around: Array, draws: int, rng: np.random.Generator) -> Prior:
        """With a mean of each draw, off `around` by its own error."""
        off = rng.standard_normal((draws, len(self.stderr))) * np.where(self.precision > 0, self.stderr, 0.0)
        return replace(self, mean=around + off)

    def misfit(self, parameters: Array) -> Array:
        return np.asarray(0.5 * ((parameters - self.mean) ** 2 @ self.precision))


@dataclass(frozen=True)
class Problem:
    """What is minimised. Parameters stand in the law's order: coefficients, then shapes.

    loss        observed, shape (rows,), or (problems, rows) where each problem has losses of its own
    is_log      residuals are log L - log loss; else L - loss
    scale       of the residuals: Huber's delta, or sigma for squares
    relative    noise of each row in units of that at the pivot, shape (rows,); 1 where it is the same everywhere. Every
                residual and slope that leaves this module is divided by it
    is_squares  squares instead of Huber
    low, high   bounds, shape (parameters,), or (problems, parameters) where they differ; equal where fixed
    prior       what is known of parameters beside the rows
    """

    law: Law
    x: Axes
    loss: Array
    is_log: bool
    scale: float
    is_squares: bool
    low: Array
    high: Array
    relative: Array | float = 1.0
    prior: Prior | None = None

    @functools.cached_property
    def target(self) -> Array:
        return np.asarray(np.log(self.loss) if self.is_log else self.loss)

    def take(self, rows: slice | Array) -> Problem:
        """The same for some of the problems, where each has bounds, losses or a prior of its own."""
        prior = None if self.prior is None else self.prior.take(rows)
        if self.low.ndim == 1 and self.loss.ndim == 1 and prior is self.prior:
            return self
        low, high, loss = (own[rows] if own.ndim == 2 else own for own in (self.low, self.high, self.loss))
        return replace(self, low=low, high=high, loss=loss, prior=prior)

    @property
    def scales(self) -> Array | float:
        return self.scale * self.relative

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
    """The misfit around a point: value, gradient, exact Hessian, and where it was asked for the majorant."""

    misfit: Array
    gradient: Array
    hessian: Array
    above: Array | None = None

    def take(self, chosen: Array) -> Local:
        above = None if self.above is None else self.above[chosen]
        return Local(self.misfit[chosen], self.gradient[chosen], self.hessian[chosen], above)

    def put(self, chosen: Array, other: Local) -> None:
        """Replace the chosen problems' by those of `other`."""
        self.misfit[chosen], self.gradient[chosen], self.hessian[chosen] = other.misfit, other.gradient, other.hessian
        if self.above is not None and other.above is not None:
            self.above[chosen] = other.above

    def where(self, is_down: Array, there: Local) -> Local:
        """`there` for the problems that went down."""
        above = None
        if self.above is not None and there.above is not None:
            above = np.where(is_down[:, None, None], there.above, self.above)
        return Local(
            np.where(is_down, there.misfit, self.misfit),
            np.where(is_down[:, None], there.gradient, self.gradient),
            np.where(is_down[:, None, None], there.hessian, self.hessian),
            above,
        )


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


def units(problem: Problem) -> Array:
    """Of each parameter: coefficients are losses, shapes are of the order of 1."""
    typical = float(np.median(problem.loss))
    return np.repeat([typical, 1.0], [len(problem.law.coefficients), len(problem.law.shapes)])


def levels(problem: Problem, parameters: Array) -> Array:
    """The law's losses, shape (problems, rows), at parameters of shape (problems, parameters); or without problems."""
    return problem.law.predict(dict(zip(problem.law.parameters, parameters.T, strict=True)), problem.x)


def negligible(problem: Problem, parameters: Array, share: float) -> Array:
    """The change of each parameter that matters nowhere: of a coefficient, one that no row's loss feels by more than a
    share of the typical loss (a steep term may be tiny at the pivot and large at the smallest size)."""
    number = len(problem.law.coefficients)
    largest = np.abs(_levels(problem, parameters[None]).slope[:number, 0]).max(axis=1)
    felt = np.concatenate([np.maximum(largest, 1e-300), np.ones(len(problem.law.shapes))])
    return np.asarray(share * units(problem) / felt)


def largest_of_interest(problem: Problem, parameters: Array, losses: float) -> Array:
    """Of each coefficient, the size at which its term is so many losses large in the middle of the data, or more."""
    number = len(problem.law.coefficients)
    middle = np.median(np.abs(_levels(problem, parameters[None]).slope[:number, 0]), axis=1)
    return np.asarray(losses / np.clip(np.nan_to_num(middle), 1e-200, 1.0))


def residuals(problem: Problem, parameters: Array) -> Array:
    """Shape (problems, rows), in the residual's own unit, over the row's relative noise."""
    level = levels(problem, parameters)
    away: Array = (np.log(np.maximum(level, 1e-300)) if problem.is_log else level) - problem.target
    return away if isinstance(problem.relative, float) else away / problem.relative


def misfit(problem: Problem, parameters: Array, weights: Array | None = None) -> Array:
    """Of each problem at its own parameters, shape (problems,)."""
    rho = _rho(problem, parameters)
    known = 0.0 if problem.prior is None else problem.prior.misfit(parameters)
    return np.asarray((rho if weights is None else weights * rho).sum(-1) + known)


def misfit_of_each(problem: Problem, candidates: Array, weights: Array) -> Array:
    """Of every problem at every candidate, shape (problems, candidates): one matrix product."""
    found = np.asarray(weights @ _rho(problem, candidates).T)
    if problem.prior is not None:
        each = replace(problem.prior, mean=problem.prior.mean[..., None, :])
        found = found + each.misfit(candidates)
    return found


def _rho(problem: Problem, parameters: Array) -> Array:
    z = np.abs(residuals(problem, parameters)) / problem.scale
    return np.asarray(0.5 * z**2 if problem.is_squares else np.where(z <= 1, 0.5 * z**2, z - 0.5))


def _descend_in_stages(
    problem: Problem, starts: Array, weights: Array | None, tolerance: float, is_near: bool, most_steps: int
) -> Solution:
    """Through ever narrower Hubers, each a good start for the next."""
    steps, blend = np.zeros(len(starts), dtype=int), 0.0 if is_near else 1.0
    if not problem.is_squares:
        spread = float(np.median(np.abs(residuals(problem, starts)))) * (NEAR if is_near else FAR)
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
    room = _Room(problem, count)
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
    problem: Problem, theta: Array, here: Local, blend: Array, weights: Array | None, room: _Room
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
    problem: Problem, trial: Array, here: Local, there: Local, is_down: Array, weights: Array | None, room: _Room
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


class _Room:
    """Working arrays for up to `problems` at once, used again at every step: to fault in fresh pages for them would
    cost more than the arithmetic. Rows vary fastest, then problems."""

    def __init__(self, problem: Problem, problems: int) -> None:
        names = tuple(shape.name for shape in problem.law.shapes)
        self.coefficients = len(problem.law.coefficients)
        self.position = {name: self.coefficients + j for j, name in enumerate(names)}
        parameters, rows = self.coefficients + len(names), problem.rows
        stiffness = problem.rows / problem.scale**2  # of the misfit, by what all log losses have in common
        if not problem.is_log:
            stiffness *= float(np.median(problem.loss)) ** 2
        self.ridge = 1e-16 * stiffness / units(problem) ** 2
        self.slope = np.empty((parameters, problems, rows))
        self.left = np.empty((parameters + 1, problems, rows))
        self.level, self.part, self.pull, self.rho, self.stiff = np.empty((5, problems, rows))


@dataclass(frozen=True)
class _Levels:
    """The law and its first derivatives: level (problems, rows), slope dL/dtheta (parameters, problems, rows)."""

    level: Array
    slope: Array
    terms: tuple[Term, ...]
    position: dict[str, int]
    rest: Array | None = None  # the term without a coefficient, shape (problems, rows)

    def phi(self, k: int) -> Array:
        return self.slope[k] if self.rest is None or k < len(self.terms) - 1 else self.rest


def _levels(problem: Problem, theta: Array, room: _Room | None = None) -> _Levels:
    law, count = problem.law, len(theta)
    room = room or _Room(problem, count)
    position, number = room.position, room.coefficients
    terms = law.terms({name: theta[:, j, None] for name, j in position.items()}, problem.x)
    level, slope, part = room.level[:count], room.slope[:, :count], room.part[:count]
    is_filled = set()
    rest = np.empty_like(level) if len(terms) > number else None
    for k, term in enumerate(terms):
        phi = slope[k] if rest is None or k < number else rest
        if np.ndim(term.log):
            np.minimum(term.log, 150.0, out=phi)  # so that squares stay finite on the way
            np.exp(phi, out=phi)
        else:
            phi[:] = math.exp(term.log)
        if not isinstance(term.sign, float):
            phi *= term.sign
        if k < number:
            np.multiply(theta[:, k, None], phi, out=part)
        else:
            np.copyto(part, phi)
        np.add(level, part, out=level) if k else np.copyto(level, part)
        for name, first in term.first.items():
            j = position[name]
            if j in is_filled:
                slope[j] += part * first
            else:
                np.multiply(part, first, out=slope[j])
                is_filled.add(j)
    for j in set(position.values()) - is_filled:
        slope[j] = 0.0
    np.maximum(level, 1e-300, out=level)
    return _Levels(level, slope, terms, position, rest)


def local(
    problem: Problem, theta: Array, weights: Array | None, room: _Room | None = None, *, has_above: bool = False
) -> Local:
    """Value, gradient and Hessian at theta, shape (problems, parameters); analytic throughout.

    has_above   with the majorant, as `majorant` gives it
    """
    count, size = theta.shape
    room = room or _Room(problem, count)
    law = _levels(problem, theta, room)
    slope, level = law.slope, law.level
    left, pull, rho, stiff = room.left[:, :count], room.pull[:count], room.rho[:count], room.stiff[:count]

    z = _in_scales(problem, level, out=room.part[:count])
    np.clip(z, *((-np.inf, np.inf) if problem.is_squares else (-1, 1)), out=pull)
    np.equal(z, pull, out=stiff)  # d2 rho / dz2
    np.multiply(pull, -0.5, out=rho)
    rho += z
    rho *= pull  # z^2 / 2 inside Huber's delta, |z| - 1/2 outside
    scales = problem.scales
    lever = np.divide(pull, scales, out=left[size])
    stiff /= scales**2
    if weights is None:
        misfit = rho.sum(-1)
    else:
        misfit = np.einsum("bn,bn->b", rho, weights)
        lever *= weights
        stiff *= weights
    above = None
    if has_above:
        soft = np.full_like(z, 1.0) if weights is None else np.array(weights, dtype=float)
        if not problem.is_squares:
            soft /= np.maximum(np.abs(z), 1)
        soft /= scales**2
        if problem.is_log:
            soft /= level**2
        above = np.multiply(slope, soft, out=left[:size]).transpose(1, 0, 2) @ slope.transpose(1, 2, 0)
    if problem.is_log:  # from here lever is dF / dL, and stiff d2F / dL2
        stiff -= lever
        inverse = np.divide(1.0, level, out=level)
        lever *= inverse
        stiff *= inverse
        stiff *= inverse

    np.multiply(slope, stiff, out=left[:size])
    product = left.transpose(1, 0, 2) @ slope.transpose(1, 2, 0)  # Hessian and gradient in one
    hessian, gradient = product[:, :size], product[:, size]
    lifted = room.part[:count]
    for k, term in enumerate(law.terms):  # and sum_i dF/dL_i d2L_i
        names = list(term.first)
        is_linear = k < room.coefficients
        if names:
            np.multiply(lever, law.phi(k), out=lifted)
        for at, name in enumerate(names):
            j, first = law.position[name], term.first[name]
            if is_linear:
                _add(hessian, k, j, _sums(lifted, first))
            for other in names[at:]:
                bend = first * term.first[other]
                if (second := _second(term, name, other)) is not None:
                    bend = bend + second
                sums = _sums(lifted, bend)
                _add(hessian, j, law.position[other], theta[:, k] * sums if is_linear else sums)
    if (prior := problem.prior) is not None:
        misfit = misfit + prior.misfit(theta)
        gradient += prior.precision * (theta - prior.mean)
        hessian += np.diag(prior.precision)
        if above is not None:
            above += np.diag(prior.precision)
    return Local(misfit, gradient, hessian, above)


def _second(term: Term, name: str, other: str) -> Any:
    """The second derivative by two shapes, under either order of their names; None where it is zero."""
    found = term.second.get((name, other))
    return term.second.get((other, name)) if found is None else found


def majorant(problem: Problem, theta: Array, weights: Array | None, room: _Room | None = None) -> Array:
    """The reweighted Gauss-Newton matrix: never indefinite, and above the Hessian wherever the law is straight."""
    law = _levels(problem, theta, room)
    soft = np.ones_like(law.level) if weights is None else weights
    if not problem.is_squares:
        soft = soft / np.maximum(np.abs(_in_scales(problem, law.level)), 1)
    soft = soft / (problem.scales * (law.level if problem.is_log else 1.0)) ** 2
    above: Array = (law.slope * soft).transpose(1, 0, 2) @ law.slope.transpose(1, 2, 0)
    return above if problem.prior is None else above + np.diag(problem.prior.precision)


def _in_scales(problem: Problem, level: Array, out: Array | None = None) -> Array:
    """Residuals divided by the scale."""
    z: Array = np.subtract(np.log(level, out=out) if problem.is_log else level, problem.target, out=out)
    z /= problem.scales
    return z


def _sums(values: Array, factor: Any) -> Array:
    """Over rows, of values (problems, rows) times what broadcasts against them."""
    factor = np.asarray(factor)
    if factor.ndim == 1:
        return np.asarray(values @ factor)
    if factor.shape == values.shape:
        return np.asarray(np.einsum("bn,bn->b", values, factor))
    return np.asarray((values * factor).sum(-1))


def _add(matrix: Array, i: int, j: int, values: Array) -> None:
    """To a symmetric matrix's entry, and its mirror image."""
    matrix[:, i, j] += values
    if i != j:
        matrix[:, j, i] += values


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
    basis = np.stack(
        [
            np.broadcast_to(term.sign * np.exp(np.clip(term.log, -150, 150)), (len(shapes), rows)) / problem.loss
            for term in terms
        ]
    )  # (coefficients, cells, rows), relative to the loss; at last what has no coefficient
    is_fixed = problem.low[:number] == problem.high[:number]
    known = np.append(np.where(is_fixed, problem.low[:number], 0.0), np.ones(len(terms) - number))
    target = 1 - np.einsum("k,kcn->cn", known, basis)
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


def slopes(problem: Problem, parameters: Array) -> Array:
    """dr / dtheta of one point, over the rows' relative noise, shape (rows, parameters)."""
    return np.asarray(slopes_of_each(problem, parameters[None])[0])


def slopes_of_each(problem: Problem, parameters: Array) -> Array:
    """The same at many points, shape (points, rows, parameters)."""
    law = _levels(problem, parameters)
    return np.asarray((law.slope / (law.level if problem.is_log else 1.0) / problem.relative).transpose(1, 2, 0))
