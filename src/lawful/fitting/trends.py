"""Tests of a fitted law's residuals: trends along the axes, and rungs that stand off.

A trend is an F test of smooth terms (powers of log N and log D and their products) added to the linearised law: of
all of them, and of the simpler half, which has more power against a plain bend. Noise may be heavy-tailed, or change
with size, or be shared by the rows of a run. So residuals are clipped as Huber's function does and whitened for what a
cluster's rows share. For a verdict the F value is also held against those of residuals whose signs were drawn by
cluster (Wu 1986; Cameron, Gelbach and Miller 2008): what is left beside the added terms, so that a true trend is not
drawn as if it were noise. The larger of the two probabilities counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lawful.fitting import derivatives, noise
from lawful.fitting.data import Sample
from lawful.fitting.quantiles import f_tail, t_cdf
from lawful.fitting.search import HUBER, Point, robust_sigma
from lawful.laws import Array

MISFIT = 0.003  # level of the test of trends, of a severe warning
SUSPECTED = 0.1  # level of the test of trends from which on sister laws are fitted, and forecasts average over them
TOP_RUNG = 0.01  # level, of all axes together, at which the largest rung lies above the law of the others
ANY_RUNG = 0.003  # of all other rungs and directions together
FLIPS = 1999  # draws of signs
FLOOR = 2 / (FLIPS + 1)  # the least probability that two tests by signs can come to
MOST_ROWS = 5_000  # from here on, signs are not drawn: the F test alone holds
SEPARABLE = 5  # levels of an axis, of which a law takes three up: with four, any of them could be the one that is off
LEAST_DOF = 2  # of the residuals beside the added terms
MANY_LEVELS = 10  # of one axis, from which on a fifth power is tried too
NEW = 1e-3  # share of a term's length that must be left beside the law and the terms before it


@dataclass(frozen=True)
class Rung:
    """A level of one axis that stands off the law of the other rows. shift: of log loss; p: of its own test."""

    axis: str
    size: float
    shift: float
    p: float
    is_top: bool


@dataclass(frozen=True)
class Form:
    """trend: probability of so strong a trend under the law; where a rung is named, of what is left without it, and
    `whole` of all of it. hint: as `whole`, if the noise were normal: enough to look at other laws."""

    trend: float
    rung: Rung | None
    whole: float
    hint: float

    @property
    def is_suspected(self) -> bool:
        return self.hint < SUSPECTED or self.rung is not None


@np.errstate(all="ignore")
def look(point: Point, data: Sample, around: noise.Noise) -> Form:
    """The tests of one fitted point."""
    lens = _Lens.of(point, data, around)
    whole, hint = _trend(lens, None)
    rung = _rung(lens) if data.response.is_log else None
    if rung is not None and (left := _trend(lens, is_at(data, rung))[0]) >= MISFIT:
        return Form(left, rung, whole, hint)
    return Form(whole, None, whole, hint)


@dataclass(frozen=True)
class _Lens:
    """The linearised law and its residuals (observed beyond fitted, on the response's scale), whitened for clusters."""

    data: Sample
    slopes: Array
    clipped: Array
    raw: Array
    shrink: Array | None  # per row: share of its cluster's mean that whitening takes away

    @classmethod
    def of(cls, point: Point, data: Sample, around: noise.Noise) -> _Lens:
        on_log = replace(point.problem, is_log=data.response.is_log)
        slopes = derivatives.slopes(on_log, point.parameters)[:, point.is_free]
        raw = -point.residuals_log
        limit = max(HUBER * robust_sigma(point), 1e-12 * (1.0 if data.response.is_log else point.problem.typical))
        size = np.bincount(data.cluster).astype(float)
        shrink = None
        if data.clusters < data.n and around.variance_cluster > 0:
            shrink = (1 - 1 / np.sqrt(1 + size * around.variance_cluster / around.variance_row))[data.cluster]
        return cls(data, slopes, np.clip(raw, -limit, limit), raw, shrink)

    def whitened(self, columns: Array) -> Array:
        if self.shrink is None:
            return columns
        means = noise.totals(columns, self.data.cluster) / np.bincount(self.data.cluster)[:, None]
        return np.asarray(columns - self.shrink[:, None] * means[self.data.cluster])

    def basis(self, extra: Array | None = None) -> Array:
        """Orthonormal, of the law's slopes and more columns."""
        columns = self.slopes if extra is None else np.column_stack([self.slopes, extra])
        return orthonormal(self.whitened(columns))


def orthonormal(columns: Array, beside: Array | None = None, least: float = 1e-10) -> Array:
    """A basis of the columns, in their order, of what lies outside `beside`; columns with nothing new are left out."""
    basis = np.zeros((len(columns), 0)) if beside is None else beside
    first = basis.shape[1]
    for column in columns.T:
        length = np.linalg.norm(column)
        if not 0 < length < np.inf:
            continue
        left = column / length
        for _ in range(2):  # twice is enough (Kahan)
            left = left - basis @ (basis.T @ left)
        if (rest := np.linalg.norm(left)) > least:
            basis = np.column_stack([basis, left / rest])
    return np.asarray(basis[:, first:])


def _trend(lens: _Lens, rung: Array | None) -> tuple[float, float]:
    """Probability of so strong a trend; and if the noise were normal."""
    data = lens.data
    law = lens.basis(None if rung is None else rung[:, None].astype(float))
    n, p = law.shape
    added = orthonormal(lens.whitened(_smooth(data)), law, NEW)
    q = min(added.shape[1], max((n - p) // 2, 0))
    if q == 0 or n - p - q < LEAST_DOF:
        return 1.0, 1.0
    left = lens.whitened(lens.clipped[:, None])
    left = left - law @ (law.T @ left)
    tests = [added[:, :number] for number in sorted({(q + 1) // 2, q})]
    normal = [_by_f(terms, left, n - p - terms.shape[1]) for terms in tests]
    hint = min(1.0, len(tests) * min(normal))  # Bonferroni's
    if hint > SUSPECTED or n > MOST_ROWS:
        return hint, hint
    both = [max(p, _by_signs(terms, left, law, data)) for p, terms in zip(normal, tests, strict=True)]
    return min(1.0, len(tests) * min(both)), hint


def _by_f(added: Array, left: Array, dof: int) -> float:
    seen = float(_F(added, left, dof)[0])
    return f_tail(seen, added.shape[1], dof) if np.isfinite(seen) else (0.0 if seen > 0 else 1.0)


def _by_signs(added: Array, left: Array, law: Array, data: Sample) -> float:
    dof = len(left) - law.shape[1] - added.shape[1]
    leverage = (law**2).sum(1) + (added**2).sum(1)
    rest = (left - added @ (added.T @ left))[:, 0]
    rest = rest / np.maximum(1 - leverage, 0.05)  # as HC3 does, for rows that the law follows closely
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (FLIPS, data.clusters))
    signs = signs[np.abs(signs.sum(1)) < data.clusters]  # all alike: the residuals themselves; of few, often drawn
    drawn = (signs[:, data.cluster] * rest).T
    drawn -= law @ (law.T @ drawn)
    seen = float(_F(added, left, dof)[0])
    return float((1 + (_F(added, drawn, dof) >= seen).sum()) / (len(signs) + 1))


def _F(added: Array, left: Array, dof: int) -> Array:
    """The F statistic of each column of residuals."""
    explained, total = ((added.T @ left) ** 2).sum(0), (left**2).sum(0)
    return np.asarray(explained / added.shape[1] / (np.maximum(total - explained, 1e-300) / dof))


def _smooth(data: Sample) -> Array:
    """Powers and products of the axes' logarithms, the simplest first, each axis scaled to reach 1."""
    own = [u for axis, u in data.x.logs.items() if axis in data.values]
    finite = [np.exp(u) if np.isneginf(u).any() else u for u in own]  # what may be 0 is taken as it is
    scaled = [u / max(float(np.abs(u).max()), 1e-12) for u in finite]
    levels = [len(np.unique(np.round(u, 6))) for u in scaled]
    if len(scaled) == 1:
        most = 5 if levels[0] >= MANY_LEVELS else min(4, levels[0] - 1)
        return np.column_stack([scaled[0] ** power for power in range(2, most + 1)] or [scaled[0]])
    u, v = scaled[:2]
    return np.column_stack([u * v, u**2, v**2, u**3, v**3, u**2 * v, u * v**2])


def _rung(lens: _Lens) -> Rung | None:
    """The level that stands off most, if one does. Only levels of two clusters or more: one run that is off is an
    outlier, and no word about its rung."""
    data = lens.data
    law = lens.basis()
    n, p = law.shape
    if n - p - 1 < LEAST_DOF:
        return None
    left = lens.whitened(lens.raw[:, None])[:, 0]
    left = left - law @ (law.T @ left)
    tests: list[tuple[bool, Rung]] = []
    axes = [axis for axis in data.values if axis in ("params", "tokens", "flops")]
    for axis in axes:
        log = np.round(data.x.logs[axis], 6)
        levels = np.unique(log)
        if len(levels) < SEPARABLE or len(levels) > n // 2:
            continue
        for level in levels:
            is_here = log == level
            own = np.unique(data.cluster[is_here])
            if len(own) < 2:
                continue
            column = lens.whitened(is_here[:, None].astype(float))[:, 0]
            column = column - law @ (law.T @ column)
            length = float(column @ column)
            if length < NEW:
                continue
            shift = float(column @ left) / length
            is_between = len(np.unique(data.cluster[~is_here])) + len(own) == data.clusters
            dof = max((data.clusters if is_between else n) - p - 1, 1)
            rest = left - shift * column
            sigma = float(np.sqrt(rest @ rest / (n - p - 1)))
            counted = np.bincount(data.cluster[is_here])
            errors = shift + np.bincount(data.cluster[is_here], rest[is_here])[own] / counted[own]
            noisy = float(np.std(errors, ddof=1)) if len(own) > 2 else 0.0  # noise may be larger here than elsewhere
            score = shift * np.sqrt(length) / max(sigma, noisy, 1e-12)
            is_agreed = np.quantile(np.sign(shift) * errors, 0.25, method="lower") > sigma
            is_top = bool(level == levels[-1] and shift > 0)
            size = float(np.exp(level) * data.x.pivot[axis])
            p_one = t_cdf(-abs(score), dof) if np.isfinite(score) else 1.0
            tests.append((bool(is_agreed), Rung(axis, size, shift, p_one if is_top else 2 * p_one, is_top)))
    if not tests:
        return None
    tops, others = len(axes), sum(not rung.is_top for _, rung in tests)
    shares = [
        (rung.p / (TOP_RUNG / tops if rung.is_top else ANY_RUNG / others), rung)
        for is_agreed, rung in tests
        if is_agreed
    ]
    share, rung = min(shares, key=lambda pair: pair[0], default=(1.0, None))
    return rung if share < 1 else None


def is_at(data: Sample, rung: Rung) -> Array:
    return np.asarray(np.abs(np.log(data.values[rung.axis] / rung.size)) < 1e-5)
