"""One speed-up of all rows of a variant against a reference law: the test of each value, and its inversion."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from lawful.fitting import derivatives
from lawful.fitting.data import Sample
from lawful.fitting.error_bars import geometric_mean
from lawful.fitting.fitted import FittedLaw, run_spread
from lawful.fitting.problem import Problem
from lawful.fitting.quantiles import LEVEL, f_tail, t_quantile
from lawful.fitting.replicates import resolution
from lawful.laws import Array, Axes, Law
from lawful.schema import Warning

MOST_SHIFT = 20.0  # of the log speed-up: beyond it, it is no number
NO_GAIN = math.log(100)  # of the log speed-up: no change of a recipe saves so much, so units or data differ
STEP = 1e-4  # of the log speed-up, for slopes
# level at which the variant's own scatter counts as larger than the reference's noise: at the margin, where a variant
# is 2 and 4 times as noisy, 4 runs are then passed in 2.8 %, intervals hold .944; with .25 in 3.4 %, .93 (3 runs: .917)
NOISIER = 0.5
LEAST_PAIRS = 4  # from which on the scatter of the pairs is their noise; below it twice that of the reference's runs


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A law with its error, along the log speed-up s of the variant's rows: log L where all moved axes have grown by
    e^s together; with pairs, less log L where the rows are."""

    law: Law
    values: Mapping[str, float]
    free: tuple[str, ...]
    covariance: Array
    at: Mapping[str, Array]
    pivot: Mapping[str, float]
    moved: tuple[str, ...]
    is_paired: bool

    def level(self, s: float) -> Array:
        """Shape (rows,)."""
        return self.log_loss(s) - (self.log_loss(0.0) if self.is_paired else 0.0)

    def slope(self, s: float) -> Array:
        """d level / d s, shape (rows,)."""
        return np.asarray((self.log_loss(s + STEP) - self.log_loss(s - STEP)) / (2 * STEP))

    def variance(self, s: float, lever: Array) -> float:
        """The variance of the levels' sum times the lever, from the error of the law's parameters."""
        slopes = self._slopes(s) - (self._slopes(0.0) if self.is_paired else 0.0)
        along = lever @ slopes
        return max(float(along @ self.covariance @ along), 0.0)

    def _axes(self, s: float | Array) -> Axes:
        factor = np.exp(np.asarray(s) / len(self.moved))
        return Axes.of({axis: v * factor if axis in self.moved else v for axis, v in self.at.items()}, self.pivot)

    def log_loss(self, s: float | Array) -> Array:
        """At the rows moved by s, shape (rows,): one for all, or one each."""
        return np.asarray(np.log(np.maximum(self.law.predict(self.values, self._axes(s)), 1e-300)))

    def _slopes(self, s: float) -> Array:
        """d log L / d parameter, shape (rows, free parameters)."""
        ends = np.full(len(self.law.parameters), np.inf)
        problem = Problem(self.law, self._axes(s), np.ones(len(self.log_loss(s))), True, 1.0, True, -ends, ends)
        slopes = derivatives.slopes(problem, np.array([self.values[name] for name in self.law.parameters]))
        return np.asarray(slopes[:, [self.law.parameters.index(name) for name in self.free]])


@dataclass(frozen=True, kw_only=True)
class Noise:
    """variance: of a log loss, of the typical row: that of the rows' sum times a lever, over `Search.square`;
    is_borrowed: from the reference's runs alone, or all but so."""

    variance: float
    dof: float
    is_borrowed: bool


@dataclass(frozen=True, kw_only=True)
class Search:
    """The test of one speed-up against the rows, and its inversion.

    target   log loss of each row; with pairs, less the baseline's
    bars     standard error of each target, where the table gives one
    weight   log of what is moved beyond the largest row, where the speed-up changes with it; else None
    """

    curve: Curve
    reference: FittedLaw
    own: Sample
    target: Array
    bars: Array | None = None
    weight: Array | None = None

    @functools.cached_property
    def spread(self) -> Array:
        """The noise of each target as far as it is known before its scatter: what the reference's runs show, for both
        runs of a pair; not below its error bar."""
        points = [{axis: float(v[row]) for axis, v in self.own.values.items()} for row in range(self.own.n)]
        known = np.array([run_spread(self.reference, at) for at in points])
        known *= math.sqrt(2) if self.curve.is_paired else 1.0
        return np.asarray(known if self.bars is None else np.maximum(known, self.bars))

    @functools.cached_property
    def relative(self) -> Array:
        """The noise of each target in units of the typical one's, by error bars; alike where there are none."""
        return np.ones(self.own.n) if self.bars is None else self.spread / geometric_mean(self.spread)

    def square(self, lever: Array) -> float:
        """The variance of the targets' sum times the lever, where that of the typical one is 1."""
        return float(np.square(lever * self.relative).sum())

    def lever(self, s: float) -> Array:
        """What turns residuals of log loss into a step of s: by least squares; with `weight`, at the largest row."""
        return np.asarray(self.levers(self._columns(s))[0])

    def levers(self, columns: Array) -> Array:
        """The lever of each coefficient, shape (coefficients, rows); each row is weighed by its noise."""
        return np.asarray(np.linalg.pinv(columns / self.relative[:, None]) / self.relative)

    def _columns(self, s: float) -> Array:
        slope = self.curve.slope(s)
        size = max(float(np.abs(slope).max()), 1e-300)
        slope = slope / size * max(size, 1e-12)  # on a flat reference only the rows' relative weights remain
        return np.stack([slope] if self.weight is None else [slope, slope * self.weight], axis=1)

    def away(self, s: float, curve: Curve | None = None) -> Array:
        return np.asarray(self.target - (curve or self.curve).level(s))

    def curves(self) -> tuple[tuple[Curve, ...], Array]:
        """The reference's law; where its form is in doubt all laws that it may have, with their weights."""
        among = self.reference.alternatives
        if among is None:
            return (self.curve,), np.ones(1)
        curves = [
            replace(
                self.curve, law=one.law, values=one.values, free=one.free, covariance=one.covariance, pivot=one.pivot
            )
            for one in among.laws
        ]
        return tuple(curves), np.array(among.weights)

    def step(self, s: float, lever: Array) -> float:
        """How far the rows place the log speed-up above s."""
        curves, weights = self.curves()
        return float(sum(w * (lever @ self.away(s, one)) for one, w in zip(curves, weights, strict=True)))

    def variance(self, s: float, lever: Array) -> float:
        """The variance of the step from the error of the reference: over all laws that the reference may have, with
        their misfit if none fits."""
        curves, weights = self.curves()
        own = np.array([one.variance(s, lever) for one in curves])
        if len(curves) == 1:
            return float(own[0])
        steps = np.array([lever @ self.away(s, one) for one in curves])
        among = self.reference.alternatives
        misfit = 0.0
        if among is not None and not among.is_fitting:
            misfit = (among.best.rmse_log * float(np.abs(lever).sum())) ** 2
        return float(weights @ (own + (steps - weights @ steps) ** 2)) + misfit

    def root(self) -> float:
        """The log speed-up that fits the rows; an end of the search where none does."""

        def step(s: float) -> float:
            return self.step(s, self.lever(s))

        first, last = -MOST_SHIFT, MOST_SHIFT
        if step(first) < 0 or step(last) > 0:
            return first if step(first) < 0 else last
        return zero(step, first, last)

    def noise(self, s: float) -> Noise:
        """The noise of the rows: their own scatter about s, pooled with the scatter of the reference's runs, or their
        own alone if it is the larger. For pairs: their own scatter, or twice the reference's if pairs are few."""
        columns, away = self._columns(s), self.away(s)
        if abs(s) >= MOST_SHIFT:  # no speed-up gives these losses: their scatter about a line
            amount = np.sum([np.log(self.own.values[axis]) for axis in self.curve.moved], axis=0)
            columns, away = np.stack([np.ones(self.own.n), amount - amount.mean()], axis=1), self.away(0.0)
        away = away - columns @ (self.levers(columns) @ away)
        lever = self.lever(s)
        parameters = columns.shape[1]
        codes = np.unique(self.own.cluster, return_inverse=True)[1]
        clusters, dof = codes.max() + 1, int(codes.max()) + 1 - parameters
        borrowed = float((np.bincount(codes, np.abs(lever) * self.spread) ** 2).sum())
        rounding = float(((lever * resolution(self.own.loss) / self.own.loss) ** 2).sum()) / 12
        rounding *= 2 if self.curve.is_paired else 1
        square = self.square(lever)
        known = max(self.reference.goodness.dof, 1)
        if dof < 1 or (self.curve.is_paired and clusters < LEAST_PAIRS):
            return Noise(variance=(borrowed + rounding) / square, dof=known, is_borrowed=True)
        each = float(np.square(away / self.relative).sum()) / (self.own.n - parameters) * square
        by_cluster = float((np.bincount(codes, lever * away) ** 2).sum()) * clusters / dof
        own = each if clusters == self.own.n else max(each, by_cluster)
        if self.curve.is_paired or f_tail(own / max(borrowed, 1e-300), dof, known) < NOISIER:
            return Noise(variance=(own + rounding) / square, dof=dof, is_borrowed=False)
        pooled = (dof * own + known * borrowed) / (dof + known)
        return Noise(variance=(pooled + rounding) / square, dof=dof + known, is_borrowed=dof < 2)

    def t(self, s: float, noise: Noise) -> tuple[float, float]:
        """How many standard errors the speed-up lies above s, and their degrees of freedom."""
        lever = self.lever(s)
        step, law = self.step(s, lever), self.variance(s, lever)
        own = noise.variance * self.square(lever)
        total = max(law + own, 1e-300)
        dof = total**2 / max(law**2 / max(self.reference.dof, 1.0) + own**2 / noise.dof, 1e-300)
        return step / math.sqrt(total), round(float(np.clip(dof, 1.0, 1e6)), 3)

    def end(self, root: float, noise: Noise, side: float) -> float:
        """An end of the 95 % interval of the log speed-up, above (side 1) or below (-1); infinite where no speed-up is
        excluded on that side."""

        def inside(s: float) -> float:
            t, dof = self.t(s, noise)
            return side * t + t_quantile(0.5 + LEVEL / 2, dof)

        lever = self.lever(root)
        reach = 2 * math.sqrt(self.variance(root, lever) + noise.variance * self.square(lever))
        if inside(root) < 0:  # at an end of the search, and all of it is excluded
            return root
        inner = root
        while abs(outer := root + side * reach) <= 2 * MOST_SHIFT:
            if inside(outer) < 0:
                return zero(inside, inner, outer)
            inner, reach = outer, 1.5 * reach
        return side * math.inf


def cautions(search: Search, noise: Noise, root: float) -> list[Warning]:
    said = [_not_believed(search)] if abs(root) > NO_GAIN else []
    if noise.is_borrowed:
        sentence = (
            f"{search.own.n} {'pairs' if search.curve.is_paired else 'runs'} are too few to show their own noise: it "
            "is taken from the reference's runs"
            f"{', as if the two of a pair shared none' if search.curve.is_paired else ''}. More seeds say more."
        )
        said.append(Warning("noise_borrowed", "note", sentence))
    if search.weight is not None:
        sentence = (
            "The speed-up changes with the size of the runs, so it is that at the largest run, along a line through "
            "all: see each run's own."
        )
        said.append(Warning("speed_up_moves", "warning", sentence))
    if (among := search.reference.alternatives) is not None:
        sentence = f"The reference's form is in doubt: the interval covers {among.listed}."
        said.append(Warning("form_uncertain", "note", sentence))
    return said


def _not_believed(search: Search) -> Warning:
    known, here = np.array([row.observed for row in search.reference.residuals]), search.own.loss
    sentence = (
        f"A factor beyond {math.exp(NO_GAIN):.3g} is no change of a recipe. The runs' losses are {here.min():.4g} to "
        f"{here.max():.4g}, the reference's {known.min():.4g} to {known.max():.4g}: see that both are of one unit and "
        "one validation set, and that params and tokens are counted alike."
    )
    return Warning("unlike_reference", "severe", sentence)


def zero(value: Callable[[float], float], first: float, last: float) -> float:
    """Where a function whose sign differs at the two ends is 0: by false position, the weight of an end that stays
    halved (the Illinois method); scipy's brentq takes .3 s to import."""
    at_first, at_last = value(first), value(last)
    middle = first
    for _ in range(100):
        before = middle
        middle = (
            (first * at_last - last * at_first) / (at_last - at_first) if at_first != at_last else (first + last) / 2
        )
        here = value(middle)
        if here == 0 or abs(middle - before) < 1e-9:
            break
        if (here > 0) == (at_last > 0):
            last, at_last, at_first = middle, here, at_first / 2
        else:
            first, at_first, at_last = middle, here, at_last / 2
    return middle
