"""Partial pooling of a parameter over arms: the value of each is drawn from a normal of unknown mean and spread.

What the runs of an arm say of its value is the profile of its fit, as a Student likelihood: the values of the other
parameters, and the size of the noise, are each arm's own. The mean and the spread have uniform priors (Gelman 2006,
Bayesian Analysis 1, section 4.2), and everything is summed over a grid of them: no spread is chosen and then taken for
known, which would leave intervals of arms too narrow where the estimate happens to be 0.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lawful.fitting import noise, solver
from lawful.fitting.profiles import search_limits
from lawful.fitting.search import Point
from lawful.laws import Array

FAR = 4.5  # standard errors up to which a profile is followed; it goes on as a straight line
POINTS = 24  # of a profile on either side
ROUNDS = 6  # of widening or narrowing where FAR lies
CELLS = 80  # of an arm's values, over its own profile and again over all arms
MEANS, SPREADS = 61, 40  # of the grid: by three times as many an interval of 8 arms moves by less than 2 % of its width
REACH = 5.5  # the means go to sinh(REACH) = 122 units on either side
GROWTH = 1.6  # of cells in the tails
NARROWEST = 8  # arms at whose own values further means lie
LEAST_SPREAD, LARGEST_SPREAD = 0.03, 20.0  # beside 0, in units of the scatter of the arms' values
STEEP, STEP = 8.0, 0.004  # of the table of the normal's distribution function
FLAT = 1e-3  # relative: densities that differ by less are one height
LEVEL = 0.95


@dataclass(frozen=True)
class Profile:
    """What an arm's runs say of one parameter: the signed root of the likelihood ratio, in standard errors, at values.

    low, high   the bounds of the parameter
    """

    values: Array
    scores: Array
    dof: float
    low: float
    high: float

    @property
    def best(self) -> float:
        return float(self.values[np.argmin(np.abs(self.scores))])

    @property
    def stderr(self) -> float:
        """Half of the interval of one standard error; of a parameter at its bound the one side that there is."""
        ends = np.array([self.at_score(-1.0), self.at_score(1.0)])
        ends = np.clip(ends, self.low, self.high)
        return float(max(ends[1] - ends[0], 1e-300) / 2)

    def at_score(self, score: float) -> float:
        if score < self.scores[0] or score > self.scores[-1]:
            end = 0 if score < self.scores[0] else -1
            return float(self.values[end] + (score - self.scores[end]) / self._slope(end))
        return float(np.interp(score, self.scores, self.values))

    def log_likelihood(self, at: Array) -> Array:
        score = np.interp(at, self.values, self.scores)
        for end, is_beyond in ((0, at < self.values[0]), (-1, at > self.values[-1])):
            beyond = self.scores[end] + (at - self.values[end]) * self._slope(end)
            score = np.where(is_beyond, beyond, score)
        return np.asarray(-(self.dof + 1) / 2 * np.log1p(score**2 / self.dof))

    def _slope(self, end: int) -> float:
        """The slope of the score beyond an end, per unit of the value."""
        a, b = (0, 1) if end == 0 else (-2, -1)
        rise = (self.scores[b] - self.scores[a]) / (self.values[b] - self.values[a])
        return float(max(rise, 1e-300))


@dataclass(frozen=True)
class Drawn:
    """One arm's value after pooling: its middle, its interval, and the share of the way to the mean that it moved."""

    value: float
    ci95: tuple[float, float]
    share: float


@dataclass(frozen=True)
class Hierarchy:
    """mean: its middle; spread: the standard deviation between arms, where its density is highest (as of REML); 0 where
    arms need not differ."""

    mean: float
    mean_ci95: tuple[float, float]
    spread: float
    spread_ci95: tuple[float, float]
    arms: tuple[Drawn, ...]


def profile(point: Point, around: noise.Noise, name: str) -> Profile:
    """The profile of a free parameter at a fitted point."""
    law = point.problem.law
    i = law.parameters.index(name)
    j = int(point.is_free[:i].sum())
    contrast = np.eye(int(point.is_free.sum()))[j]
    plain = float(around.plain[j, j])
    widen = max(float(around.covariance[j, j]) / plain, 1e-300) if plain > 0 else 1.0
    low, high = (float(end) for end in search_limits(point.problem, point.parameters)[:, i])
    centre = float(point.parameters[i])
    step = math.sqrt(max(float(around.covariance[j, j]), 0.0))
    if not 0 < step < math.inf:
        step = (high - low) / 50
    sides = []
    for side, bound in ((-1.0, low), (1.0, high)):
        values, scores = np.empty(0), np.empty(0)
        reach, room = FAR * step, abs(bound - centre)
        for _ in range(ROUNDS if room > 0 else 0):
            reach = min(reach, room)
            values = centre + side * reach * np.arange(1, POINTS + 1) / POINTS
            rise = np.maximum(_pinned(point, i, values) - point.misfit, 0.0)
            scores = np.sqrt(2 * rise * around.steepness / widen)
            if scores[POINTS // 8] > FAR:
                reach /= POINTS / 4
            elif scores[-1] < FAR and reach < room:
                reach *= 3
            else:
                break
        # a minimisation that stops short gives a score too large: no value lies nearer than one beyond it
        sides.append((values, side * np.minimum.accumulate(scores[::-1])[::-1]))
    (below, minus), (above, plus) = sides
    return Profile(
        np.concatenate([below[::-1], [centre], above]),
        np.concatenate([minus[::-1], [0.0], plus]),
        around.dof(contrast),
        float(point.problem.low[i]),
        float(point.problem.high[i]),
    )


def _pinned(point: Point, i: int, values: Array) -> Array:
    """The least misfit with parameter i at each of the values, which go outward from the point."""
    problem = point.problem
    low, high = (np.repeat(end[None], len(values), axis=0) for end in (problem.low, problem.high))
    low[:, i] = high[:, i] = values
    held = replace(problem, low=low, high=high)
    starts = np.repeat(point.parameters[None], len(values), axis=0)
    best = np.full(len(values), np.inf)
    for shift in (0, 1, -1):  # from the point, then from what its neighbours found
        found = solver.solve(held, np.where(np.arange(starts.shape[1]) == i, values[:, None], starts))
        best = np.fmin(best, found.misfit)
        starts = np.roll(found.parameters, 1 if shift == 0 else -1, axis=0)
    return best


def pooled(profiles: Sequence[Profile]) -> Hierarchy:
    best, stderr = np.array([one.best for one in profiles]), np.array([one.stderr for one in profiles])
    between = 1.4826 * float(np.median(np.abs(best - np.median(best))))
    scatter = math.hypot(float(np.median(stderr)), between)
    weight = 1 / (stderr**2 + between**2)
    centre, unit = float(weight @ best / weight.sum()), scatter / math.sqrt(len(profiles))
    # one arm far off is no part of the median's scatter, and is of the spread
    widest = max(scatter, math.sqrt(float(stderr**-2.0 @ (best - centre) ** 2 / (stderr**-2.0).sum())))
    reach = math.asinh(math.sinh(REACH) * widest / scatter)
    near = [best[i] + stderr[i] * np.linspace(-3, 3, 5) for i in np.argsort(stderr)[:NARROWEST]]
    means = np.unique(np.concatenate([centre + unit * np.sinh(np.linspace(-reach, reach, MEANS)), *near]))
    steps = (
        SPREADS * math.log(LARGEST_SPREAD / LEAST_SPREAD * widest / scatter) / math.log(LARGEST_SPREAD / LEAST_SPREAD)
    )
    spreads = np.append(0.0, np.geomspace(LEAST_SPREAD * scatter, LARGEST_SPREAD * widest, math.ceil(steps)))
    beside = centre + unit * np.sinh(np.linspace(-reach, reach, CELLS))
    tables = [_Cells.of(one, beside) for one in profiles]
    logs = np.array([np.log(np.maximum(one.evidence(means, spreads), 1e-300)) + one.top for one in tables])
    total = logs.sum(axis=0)
    weights = np.exp(total - total.max()) * _widths(means)[:, None] * _widths(spreads)
    weights /= weights.sum()
    of_spread = weights.sum(axis=0)
    low, high = _quantiles(means, weights.sum(axis=1), [0.025, 0.975])
    arms = []
    for one, of_arm, error in zip(tables, logs, stderr, strict=True):
        middle, ends = one.drawn(means, spreads, weights / np.exp(of_arm - one.top))
        share = float(of_spread @ (error**2 / (error**2 + spreads**2)))
        arms.append(Drawn(middle, ends, share))
    spread, ends_of_spread = _highest(spreads, of_spread / _widths(spreads))
    middle = _quantiles(means, weights.sum(axis=1), [0.5])[0]
    return Hierarchy(middle, (low, high), spread, ends_of_spread, tuple(arms))


@dataclass(frozen=True)
class _Cells:
    """An arm's values in cells: the edges, and the mean likelihood in each over the largest, exp(top)."""

    profile: Profile
    edges: Array
    likelihood: Array
    top: float

    @classmethod
    def of(cls, one: Profile, beside: Array) -> _Cells:
        own = np.linspace(one.values[0], one.values[-1], CELLS)
        step, most = own[1] - own[0], float(np.abs(beside - one.best).max())
        # beyond its own values cells grow from theirs to those of all arms
        tail = step * np.geomspace(1, max(most / step, 2.0), max(math.ceil(math.log(max(most / step, 2.0), GROWTH)), 2))
        edges = np.concatenate([own, own[0] - tail, own[-1] + tail, beside])
        edges = np.unique(np.clip(edges, one.low, one.high))
        ends, middle = one.log_likelihood(edges), one.log_likelihood((edges[1:] + edges[:-1]) / 2)
        top = float(max(ends.max(), middle.max()))
        at_ends = np.exp(ends - top)
        return cls(one, edges, (at_ends[1:] + 4 * np.exp(middle - top) + at_ends[:-1]) / 6, top)  # Simpson's rule

    def evidence(self, means: Array, spreads: Array) -> Array:
        """How likely the arm's runs are at each mean and spread, the first of which is 0, shape (means, spreads)."""
        jumps = self.likelihood - np.append(self.likelihood[1:], 0.0)
        out = np.zeros((len(means), len(spreads)))
        below = _below(self.edges[0], means, spreads)
        out -= self.likelihood[0] * below
        for edge, jump in zip(self.edges[1:], jumps, strict=True):
            out += jump * _below(edge, means, spreads)
        out[:, 0] = np.exp(self.profile.log_likelihood(means) - self.top)  # without spread an arm's value is the mean
        return np.maximum(out, 0.0)

    def drawn(self, means: Array, spreads: Array, weights: Array) -> tuple[float, tuple[float, float]]:
        """The middle and the interval of the arm's value. One whose density is higher at a bound than at the other end
        begins or ends at the bound: between two quantiles it would never hold it."""
        below = np.array([float((weights * _below(edge, means, spreads)).sum()) for edge in self.edges])
        mass = np.maximum(self.likelihood * np.diff(below), 0.0)
        share = np.append(0.0, np.cumsum(mass) / mass.sum())
        density = mass / np.diff(self.edges)

        def at(part: float) -> float:
            return float(np.interp(part, share, self.edges))

        low, high = at((1 - LEVEL) / 2), at((1 + LEVEL) / 2)
        at_low, at_high = (
            density[min(int(np.searchsorted(self.edges, end)) - 1, len(density) - 1)] for end in (low, high)
        )
        if self.edges[0] == self.profile.low and density[0] >= at_high:
            low, high = float(self.edges[0]), at(LEVEL)
        elif self.edges[-1] == self.profile.high and density[-1] >= at_low:
            low, high = at(1 - LEVEL), float(self.edges[-1])
        return at(0.5), (low, high)


def _below(edge: float, means: Array, spreads: Array) -> Array:
    """How much of each normal lies below an edge, shape (means, spreads)."""
    shares = _normal()
    least = 1e-9 * spreads[-1]
    z = (edge - means)[:, None] / np.maximum(spreads, least)
    place = np.clip((z + STEEP) / STEP, 0, len(shares) - 1.001)
    before = place.astype(int)
    return np.asarray(shares[before] + (place - before) * (shares[before + 1] - shares[before]))


@functools.cache
def _normal() -> Array:
    """The normal's distribution function in steps: between them it is straight to 5e-7."""
    return np.array([0.5 * math.erfc(-z / math.sqrt(2)) for z in np.arange(-STEEP, STEEP + STEP, STEP)])


def _widths(at: Array) -> Array:
    """The weights of the trapezoidal rule at these points."""
    steps = np.diff(at)
    return np.asarray((np.append(steps, 0.0) + np.append(0.0, steps)) / 2)


def _quantiles(at: Array, weights: Array, shares: Sequence[float]) -> list[float]:
    density = weights / np.maximum(_widths(at), 1e-300)
    mass = np.append(0.0, np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(at)))
    return [float(np.interp(share, mass / mass[-1], at)) for share in shares]


def _highest(at: Array, density: Array) -> tuple[float, tuple[float, float]]:
    """Where a density over values from 0 on is highest, and the values of highest density that hold LEVEL of it. It
    holds 0 where 0 is as plausible as what lies at the other end, which an interval between two quantiles never does.
    """
    fine = np.unique(np.concatenate([at, np.linspace(0, at[len(at) // 2], 2000), np.linspace(0, at[-1], 4000)]))
    height = np.interp(fine, at, density)
    mass = height * _widths(fine)
    order = np.argsort(-height)
    inside = np.zeros(len(fine), dtype=bool)
    inside[order[: int(np.searchsorted(np.cumsum(mass[order]) / mass.sum(), LEVEL)) + 1]] = True
    held = fine[inside]
    return float(fine[np.argmax(height >= (1 - FLAT) * height.max())]), (float(held[0]), float(held[-1]))
