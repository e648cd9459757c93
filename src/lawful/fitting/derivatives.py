"""Gradient and Hessian of a misfit, exact, for many problems at once; the slopes of its residuals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lawful.fitting.problem import Problem
from lawful.laws import Array, Term


@dataclass(frozen=True)
class Local:
    """The misfit around a point: value, gradient, exact Hessian, and the majorant if it was asked for."""

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
        """`there` for the problems whose misfit fell, else the present point."""
        above = None
        if self.above is not None and there.above is not None:
            above = np.where(is_down[:, None, None], there.above, self.above)
        return Local(
            np.where(is_down, there.misfit, self.misfit),
            np.where(is_down[:, None], there.gradient, self.gradient),
            np.where(is_down[:, None, None], there.hessian, self.hessian),
            above,
        )


def local(
    problem: Problem, theta: Array, weights: Array | None, room: Room | None = None, *, has_above: bool = False
) -> Local:
    """Value, gradient and Hessian at theta, shape (problems, parameters); analytic throughout.

    has_above   with the majorant, as `majorant` gives it
    """
    count, size = theta.shape
    room = room or Room(problem, count)
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


def majorant(problem: Problem, theta: Array, weights: Array | None, room: Room | None = None) -> Array:
    """The reweighted Gauss-Newton matrix: never indefinite, and at least the Hessian wherever the law is linear."""
    law = _levels(problem, theta, room)
    soft = np.ones_like(law.level) if weights is None else weights
    if not problem.is_squares:
        soft = soft / np.maximum(np.abs(_in_scales(problem, law.level)), 1)
    soft = soft / (problem.scales * (law.level if problem.is_log else 1.0)) ** 2
    above: Array = (law.slope * soft).transpose(1, 0, 2) @ law.slope.transpose(1, 2, 0)
    return above if problem.prior is None else above + np.diag(problem.prior.precision)


def slopes(problem: Problem, parameters: Array) -> Array:
    """dr / dtheta of one point, over the rows' relative noise, shape (rows, parameters)."""
    return np.asarray(slopes_of_each(problem, parameters[None])[0])


def slopes_of_each(problem: Problem, parameters: Array) -> Array:
    """The same at many points, shape (points, rows, parameters)."""
    law = _levels(problem, parameters)
    return np.asarray((law.slope / (law.level if problem.is_log else 1.0) / problem.relative).transpose(1, 2, 0))


def negligible(problem: Problem, parameters: Array, share: float) -> Array:
    """The change of each parameter that is too small to matter. For a coefficient, it changes no row's loss by more
    than a share of the typical loss (a steep term may be tiny at the pivot and large at the smallest size)."""
    number = len(problem.law.coefficients)
    largest = np.abs(_levels(problem, parameters[None]).slope[:number, 0]).max(axis=1)
    felt = np.concatenate([np.maximum(largest, 1e-300), np.ones(len(problem.law.shapes))])
    return np.asarray(share * problem.units() / felt)


def largest_of_interest(problem: Problem, parameters: Array, losses: float) -> Array:
    """For each coefficient: the value at which its term equals `losses` in the middle of the data, or more."""
    number = len(problem.law.coefficients)
    middle = np.median(np.abs(_levels(problem, parameters[None]).slope[:number, 0]), axis=1)
    return np.asarray(losses / np.clip(np.nan_to_num(middle), 1e-200, 1.0))


class Room:
    """Working arrays for up to `problems` at once, used again at every step: a new allocation would cost
    more time (page faults) than the arithmetic. Rows vary fastest, then problems."""

    def __init__(self, problem: Problem, problems: int) -> None:
        names = tuple(shape.name for shape in problem.law.shapes)
        self.coefficients = len(problem.law.coefficients)
        self.position = {name: self.coefficients + j for j, name in enumerate(names)}
        parameters, rows = self.coefficients + len(names), problem.rows
        stiffness = problem.rows / problem.scale**2  # of the misfit against a shift that all log losses share
        if not problem.is_log:
            stiffness *= problem.typical**2
        self.ridge = 1e-16 * stiffness / problem.units() ** 2
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


def _levels(problem: Problem, theta: Array, room: Room | None = None) -> _Levels:
    law, count = problem.law, len(theta)
    room = room or Room(problem, count)
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
    if problem.response.is_log:
        np.maximum(level, 1e-300, out=level)
    return _Levels(level, slope, terms, position, rest)


def _second(term: Term, name: str, other: str) -> Any:
    """The second derivative by two shapes, under either order of their names; None where it is zero."""
    found = term.second.get((name, other))
    return term.second.get((other, name)) if found is None else found


def _in_scales(problem: Problem, level: Array, out: Array | None = None) -> Array:
    """Residuals divided by the scale."""
    z: Array = np.subtract(np.log(level, out=out) if problem.is_log else level, problem.target, out=out)
    z /= problem.scales
    return z


def _sums(values: Array, factor: Any) -> Array:
    """Sums over rows of values (problems, rows) times a factor that broadcasts against them."""
    factor = np.asarray(factor)
    if factor.ndim == 1:
        return np.asarray(values @ factor)
    if factor.shape == values.shape:
        return np.asarray(np.einsum("bn,bn->b", values, factor))
    return np.asarray((values * factor).sum(-1))


def _add(matrix: Array, i: int, j: int, values: Array) -> None:
    """Add values to an entry of a symmetric matrix and to its mirror image."""
    matrix[:, i, j] += values
    if i != j:
        matrix[:, j, i] += values
