"""Intervals from profiles: the values of one parameter at which the misfit is not too much above its minimum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lawful.fitting import derivatives, noise, solver
from lawful.fitting.problem import Problem
from lawful.fitting.quantiles import LEVEL, t_quantile
from lawful.fitting.search import Point
from lawful.fitting.starts import GRID_CELLS, grid_starts
from lawful.laws import Array

PROFILE_ROUNDS = 40  # of the search for the ends of profiles: 5 to 10 are usual
PINNED_STARTS = 3  # from a grid, where a value is to count as outside
PROFILE_AGREES = 1e-3  # relative: an end is known to that share of t
PROFILE_CLOSE = 1e-4  # of the reach: values inside and outside that are so close are one end


@np.errstate(invalid="ignore")  # what is not known is nan
def profile_intervals(point: Point, around: noise.Noise, dofs: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Per parameter, the values at which the misfit, minimised over the others, is not too much above its minimum.

    The rise is measured as t^2: scaled as if rows were independent, then by how much clusters widen this parameter.
    All ends are sought at once, by the secant rule on the signed root of the rise, which is nearly a straight line.
    A minimisation that stops short gives a rise that is too large, so a value counts as outside only where its
    minimisation is certified; elsewhere the step from the last value inside is halved. An end that is never certified
    is nan: not determined.
    """
    problem, names = point.problem, list(dofs)
    which = np.repeat([problem.law.parameters.index(name) for name in names], 2)
    side = np.tile([-1.0, 1.0], len(names))
    target = np.repeat([t_quantile(0.5 + LEVEL / 2, dofs[name]) for name in names], 2)
    plain = np.diag(around.plain)
    widen = np.where(plain > 0, np.diag(around.covariance) / np.where(plain > 0, plain, 1.0), 1.0)
    scale = np.repeat(around.steepness / np.maximum(widen, 1e-300), 2)
    step = target * np.repeat(np.sqrt(np.diag(around.covariance)), 2)
    centre = point.parameters[which]
    bound = np.where(side < 0, *search_limits(problem, point.parameters)[:, which])
    ends = np.full(len(which), np.nan)
    inner, rise_inner = centre.copy(), np.zeros(len(which))
    outer, rise_outer = np.full((2, len(which)), np.nan)  # nan: nothing is known to be outside
    doubtful = np.full(len(which), np.nan)  # a value whose minimisation was not certified
    near = np.repeat(point.parameters[None], len(which), axis=0)  # the parameters at `inner`
    slope = np.zeros_like(near)  # of the others along the profile, from the last two values inside
    far = near.copy()  # the parameters at `outer`
    at = centre + side * np.minimum(step, np.abs(bound - centre))
    for round_ in range(PROFILE_ROUNDS):
        j = np.flatnonzero(np.isnan(ends) & np.isfinite(at))
        if not len(j):
            break
        moved = near[j] + slope[j] * (at[j] - inner[j])[:, None]
        enough = point.misfit + target[j] ** 2 / (2 * scale[j])
        found, is_solved = _pinned(problem, which[j], at[j], [near[j], moved], far[j], enough, point.misfit)
        rise = np.sqrt(np.maximum(2 * (found.misfit - point.misfit) * scale[j], 0.0))
        is_inside = rise < target[j]
        is_end = is_solved & (np.abs(rise - target[j]) < PROFILE_AGREES * target[j]) | is_inside & (at[j] == bound[j])
        ends[j[is_end]] = at[j[is_end]]

        k = j[is_inside]
        slope[k] = (found.parameters[is_inside] - near[k]) / np.where(at == inner, np.inf, at - inner)[k, None]
        inner[k], rise_inner[k], near[k] = at[k], rise[is_inside], found.parameters[is_inside]
        is_outside = ~is_inside & is_solved
        k = j[is_outside]
        outer[k], rise_outer[k], far[k] = at[k], rise[is_outside], found.parameters[is_outside]
        k = j[~is_inside & ~is_solved]
        doubtful[k] = at[k]
        is_close = np.abs(outer - inner) < PROFILE_CLOSE * np.abs(outer - centre)  # where the profile jumps
        ends = np.where(np.isnan(ends) & is_close, outer, ends)

        share = np.clip((target - rise_inner) / np.maximum(rise_outer - rise_inner, 1e-12), 0.02, 0.98)
        between = inner + (share if round_ % 4 < 3 else 0.5) * (outer - inner)
        growth = np.clip(1.1 * (target / np.maximum(rise_inner, 1e-3 * target) - 1), 0.1, 9.0)
        further = inner + side * growth * np.maximum(np.abs(inner - centre), step / 4)
        at = np.where(np.isnan(outer), np.clip(further, *np.sort([centre, bound], axis=0)), between)
        is_past = side * (at - doubtful) >= 0
        at = np.where(is_past, (inner + doubtful) / 2, at)
    return {name: (float(low), float(high)) for name, (low, high) in zip(names, ends.reshape(-1, 2), strict=True)}


def search_limits(problem: Problem, parameters: Array) -> Array:
    """The least and the largest value of each parameter that are tried, shape (2, parameters): its bounds, and for a
    coefficient what makes a thousand times the losses of its term."""
    largest = derivatives.largest_of_interest(problem, parameters, 1e3 * float(np.max(np.abs(problem.loss))))
    reach = np.append(largest, np.full(len(problem.law.shapes), np.inf))
    return np.array([np.maximum(problem.low, -reach), np.minimum(problem.high, reach)])


def _pinned(
    problem: Problem,
    which: Array,
    at: Array,
    starts: list[Array],
    far: Array,
    enough: Array,
    least: float,
) -> tuple[solver.Solution, Array]:
    """The misfit minimised with parameter `which` held at `at`, and whether that is certified: another Newton step
    would change the rise above the `least` misfit by too little to matter, or several starts agree.

    Where the given starts leave a misfit of `enough` or more, the other side's and those of a grid are tried as well.
    """
    rows = np.arange(len(which))
    lows, highs = (np.repeat(end[None], len(which), axis=0) for end in (problem.low, problem.high))
    lows[rows, which] = highs[rows, which] = at

    def solved(owner: Array, start: Array) -> solver.Solution:
        return solver.solve(replace(problem, low=lows[owner], high=highs[owner]), start)

    owner = np.tile(rows, len(starts))
    found = solved(owner, np.concatenate(starts))
    above = rows[_lowest(found, owner, rows).misfit >= enough]
    others = np.empty(0, dtype=int)
    if len(above):
        grids = [
            grid_starts(replace(problem, low=lows[i], high=highs[i]), keep=PINNED_STARTS, cells=GRID_CELLS)[0]
            for i in above
        ]
        others = np.concatenate([above, np.repeat(above, [len(grid) for grid in grids])])
        found = solver.joined([found, solved(others, np.concatenate([far[above], *grids]))])
    every = np.concatenate([owner, others])
    best = _lowest(found, every, rows)
    tolerance = PROFILE_AGREES * np.maximum(enough - least, solver.NO_MISFIT * problem.rows)
    is_best = found.misfit - best.misfit[every] < tolerance[every]
    agree = np.bincount(others[is_best[len(owner) :]], minlength=len(rows))
    return best, (best.decrement * best.misfit < tolerance) | (agree > 1)


def _lowest(found: solver.Solution, owner: Array, rows: Array) -> solver.Solution:
    """The best of each owner's."""
    order = np.lexsort((found.misfit, owner))
    first = order[np.searchsorted(owner[order], rows)]
    return solver.Solution(found.parameters[first], found.misfit[first], found.decrement[first], found.steps[first])
