"""Whether the law's form is that of the data: trends in its residuals, rungs that stand off, and its sister laws.

A trend is an F test of smooth terms (powers of log N and log D and their products) added to the linearised law. Noise
may be heavy-tailed, or change with size, or be shared by the rows of a run. So residuals are clipped as Huber's
function does and whitened for what a cluster's rows share. The F value is also held against those of residuals whose
signs were drawn by cluster (Wu 1986; Cameron, Gelbach and Miller 2008). The larger of the two probabilities counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lawful.fitting import noise, solver
from lawful.fitting.data import Sample
from lawful.fitting.quantiles import f_tail, t_cdf, t_quantile
from lawful.laws import Array, Axes, Law, bounds_of, named, on_axis

if TYPE_CHECKING:
    from lawful.fitting.estimate import Point
    from lawful.fitting.result import Fit

MISFIT = 0.003  # level of the test of trends, of a severe warning
FAR_BETTER = 0.0005  # level at which a sister law fits better, where a trend is suspected as well: also severe
SUSPECTED = 0.1  # level of the test of trends from which on sister laws are fitted, and forecasts average over them
TOP_RUNG = 0.01  # level, of all axes together, at which the largest rung lies above the law of the others
ANY_RUNG = 0.003  # of all other rungs and directions together
FLIPS = 1999  # draws of signs
MOST_ROWS = 5_000  # from here on, signs are not drawn: the F test alone holds
SEPARABLE = 5  # levels of an axis, of which a law takes three up: with four, any of them could be the one that is off
LEAST_DOF = 2  # of the residuals beside the added terms
MANY_LEVELS = 10  # of one axis, from which on a fifth power is tried too
UNKNOWN = 20.0  # standard error of a log loss that nothing determines, and the largest: e^20 is no loss any more
NEW = 1e-3  # share of a term's length that must be left beside the law and the terms before it
MOSTLY = 0.95  # weight of the fitted law, from which on forecasts are its own
SAME = 1e-6  # relative: rms of residuals that differ by less are those of one curve
NEARLY = 1.5  # where no law fits: rms of residuals, over the least, up to which a law has an equal part
CONTENDER = 10.0  # in AICc, above the best law, up to which a law has a part in a forecast
SURFACE = ("chinchilla", "coupled", "kaplan", "data_limited")
LINE = ("power_floor", "power", "broken_power", "saturating")

MAY_LACK_FLOOR = ("broken_power",)  # with E = 0 too; the others have a sister without floor, or hardly move


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
    `whole` of all of it."""

    trend: float
    rung: Rung | None
    whole: float

    @property
    def is_suspected(self) -> bool:
        return self.trend < SUSPECTED or self.rung is not None


@dataclass(frozen=True)
class Sister:
    """A law fitted to the rows of a fit as a point, with the covariance of its free parameters off their bounds."""

    name: str
    law: Law
    values: Mapping[str, float]
    free: tuple[str, ...]
    covariance: Array
    dof: float
    trend: float
    rmse_log: float
    pivot: Mapping[str, float]
    domain: Mapping[str, tuple[float, float]]

    def loss(self, values: Mapping[str, Any], at: Mapping[str, Any]) -> Array:
        """As Fit.loss."""
        return self.law.predict(values, Axes.of(at, self.pivot))

    def log_loss(self, at: Mapping[str, float]) -> tuple[float, float]:
        """Log loss at one point, and its standard error."""
        x = Axes.of({axis: [value] for axis, value in at.items()}, self.pivot)
        ends = np.full(len(self.law.parameters), np.inf)
        problem = solver.Problem(self.law, x, np.ones(1), True, 1.0, True, -ends, ends)
        slopes = solver.slopes(problem, np.array([self.values[name] for name in self.law.parameters]))[0]
        own = slopes[[self.law.parameters.index(name) for name in self.free]]
        value = float(np.log(self.loss(self.values, at)[0]))
        return value, float(np.sqrt(max(own @ self.covariance @ own, 0.0)))

    def drawn(self, draws: int, rng: np.random.Generator) -> dict[str, Array]:
        """Parameters drawn from Student's t around the point, inside their bounds, each of shape (draws,)."""
        size = np.sqrt(np.diag(self.covariance))
        size = np.where(size > 0, size, 1e-12)  # 0: the rows say nothing about it, and a draw leaves it where it is
        scaled = self.covariance / np.outer(size, size)
        values, vectors = np.linalg.eigh(scaled)
        root = vectors * np.sqrt(np.maximum(values, 0))
        dof = max(self.dof, 3.0)
        steps = (rng.standard_normal((draws, len(size))) @ root.T) * np.sqrt(dof / rng.chisquare(dof, (draws, 1)))
        out = {name: np.full(draws, value) for name, value in self.values.items()}
        bounds = bounds_of(self.law)
        for j, name in enumerate(self.free):
            out[name] = np.clip(out[name] + steps[:, j] * size[j], *bounds[name])
        return out


@dataclass(frozen=True)
class Alternatives:
    """What a forecast averages over where the form is in doubt: laws with their weights, which sum to 1.

    is_fitting   the best of them has no trend in its residuals; else intervals grow by the best law's misfit, and more
                 with the distance from the data
    rows         of the table
    """

    laws: tuple[Sister, ...]
    weights: tuple[float, ...]
    is_fitting: bool
    rows: int

    @property
    def best(self) -> Sister:
        return self.laws[int(np.argmax(self.weights))]

    @property
    def listed(self) -> str:
        """kaplan 85 %, coupled 15 %"""
        shares = sorted(zip(self.weights, self.laws, strict=True), key=lambda pair: -pair[0])
        return ", ".join(f"{law.name} {100 * share:.0f} %" for share, law in shares if share > 0.005)

    @property
    def run_spread(self) -> float:
        return self.best.rmse_log * float(np.sqrt(self.rows / max(self.rows - len(self.best.free), 1)))

    def interval(self, at: Mapping[str, float], level: float, domain: Mapping[str, Sequence[float]]) -> Array:
        """Loss at one point: the mean of the laws' logarithms, and quantiles of the mixture of their t distributions.
        Shape (3,)."""
        means, errors = np.array([law.log_loss(at) for law in self.laws]).T
        errors = np.nan_to_num(errors, nan=UNKNOWN, posinf=UNKNOWN).clip(max=UNKNOWN)
        if not self.is_fitting:
            errors = np.hypot(errors, self.best.rmse_log * self._reach(at, domain))
        weights = np.array(self.weights)
        dofs = [law.dof for law in self.laws]

        def below(x: float) -> float:
            parts = zip(weights, means, errors, dofs, strict=True)
            return float(sum(w * t_cdf((x - mean) / max(error, 1e-12), dof) for w, mean, error, dof in parts))

        ends = []
        for share in (0.5 - level / 2, 0.5 + level / 2):
            reach = [t_quantile(0.5 + level / 2, dof) * error for dof, error in zip(dofs, errors, strict=True)]
            low, high = float((means - 2 * np.array(reach)).min()), float((means + 2 * np.array(reach)).max())
            for _ in range(50):
                middle = (low + high) / 2
                low, high = (middle, high) if below(middle) < share else (low, middle)
            ends.append((low + high) / 2)
        return np.asarray(np.exp([float(weights @ means), *ends]))

    @staticmethod
    def _reach(at: Mapping[str, float], domain: Mapping[str, Sequence[float]]) -> float:
        """1 inside the data; one more for each width of the data (on a log scale) outside of them."""
        most = 1.0
        for axis, value in at.items():
            low, high = domain[axis]
            outside = max(np.log(value / high), np.log(low / value), 0.0)
            most = max(most, 1 + outside / max(np.log(high / low), 1e-12))
        return most

    def drawn(self, draws: int, seed: int) -> list[tuple[Sister, dict[str, Array]]]:
        """Parameters of each law that has a part, as many as its weight says."""
        rng = np.random.default_rng(seed)
        counts = [round(draws * weight) for weight in self.weights]
        return [(law, law.drawn(count, rng)) for law, count in zip(self.laws, counts, strict=True) if count > 1]


@dataclass(frozen=True)
class Doubt:
    """The form of one fit. better: the sister law that fits far better, if one does; alternatives: see there."""

    form: Form
    is_misfit: bool
    better: Sister | None
    alternatives: Alternatives | None


def doubt(point: Point, data: Sample, around: noise.Noise) -> Doubt:
    """Sister laws are fitted only where the tests suspect the form: point fits, of a tenth of a second each.

    A rung that is off is one explanation of a trend, and each sister law is another: the best by AICc is named, and
    forecasts average over all that come near.
    """
    inner = _off_bounds(point)  # a floor held at 0 follows no bend: below 0 it would hide one from the tests
    form = look(inner, data, around if inner is point else noise.measure(inner, data))
    if not form.is_suspected:
        return Doubt(form, False, None, None)
    if not point.is_free.all():  # what is fixed is the user's own knowledge, which other laws would not heed
        return Doubt(form, form.trend < MISFIT, None, None)
    points = [point, *_sister_points(point, data)]
    laws = [_sister(_name(one), one, data) for one in points]
    away, counts = [one.residuals_log for one in points], [len(law.free) + 1 for law in laws]
    if form.rung is not None and (without := _without(point, data, form.rung)) is not None:
        laws.append(without)
        away.append(_beside(without, data, form.rung))
        counts.append(counts[0] + 1)  # the rung's own level
    scores, tail = _compared(points, np.array(away), np.array(counts), data)
    sisters = np.arange(1, len(points))
    errors = np.array([law.rmse_log for law in laws])
    if not np.isfinite(scores).any():  # no more independent rows than parameters: nothing chooses between the laws
        is_near = errors[: len(points)] <= NEARLY * np.nanmin(errors[: len(points)])
        form = replace(form, trend=form.whole, rung=None)
        return Doubt(form, form.trend < MISFIT, None, _average(laws, is_near / is_near.sum(), False, data))
    is_again = (errors[sisters] >= errors[0] * (1 - SAME)) & (scores[sisters] >= scores[0])
    scores[sisters[is_again]] = np.inf  # a sister that found no use for what it has more is the fitted law again
    best = int(np.argmin(scores))
    weights = np.exp(-np.maximum(scores - scores[best], 0) / 2) * (scores <= scores[best] + CONTENDER)
    weights = weights / weights.sum()
    if len(laws) > len(points):  # nobody knows which is off, the rung or the others: half of its part to each
        weights[0] += weights[-1] / 2
        weights[-1] /= 2
        if best == len(points):
            return Doubt(form, False, None, _average(laws, weights, True, data))
    elif form.rung is not None:  # without it nothing can be fitted
        return Doubt(form, False, None, None)
    form = replace(form, trend=form.whole, rung=None)
    is_misfit = form.trend < MISFIT or (best > 0 and tail(best) < FAR_BETTER)
    better = laws[best] if best > 0 else None
    if not is_misfit and weights[0] > MOSTLY:
        return Doubt(form, is_misfit, better, None)
    is_fitting = laws[best].trend >= MISFIT
    if not is_fitting:  # then AICc chooses between wrong laws, and is too sure of itself
        is_near = (errors <= NEARLY * errors[best]) & np.isfinite(scores)
        weights = is_near / is_near.sum()
    return Doubt(form, is_misfit, better, _average(laws, weights, is_fitting, data))


def _average(laws: Sequence[Sister], weights: Array, is_fitting: bool, data: Sample) -> Alternatives:
    chosen = np.flatnonzero(weights > 0).tolist()
    return Alternatives(tuple(laws[i] for i in chosen), tuple(float(weights[i]) for i in chosen), is_fitting, data.n)


def of_fit(fit: Fit) -> Doubt:
    """The same from a finished fit, whose rows stand in its residuals."""
    from lawful.fitting.estimate import Point, limits, problem_of
    from lawful.tables import read_runs

    values = {axis: np.array([row.axes[axis] for row in fit.residuals]) for axis in fit.model.inputs}
    rows = [{**row.axes, "loss": row.observed, "run": str(i)} for i, row in enumerate(fit.residuals)]
    data = Sample(
        read_runs(rows),
        Axes.of(values, fit.data["pivot"]),
        values,
        np.array([row.observed for row in fit.residuals]),
        np.unique([row.cluster for row in fit.residuals], return_inverse=True)[1],
        {},
        fit.spread_slopes,
    )
    data, _ = data.in_order()
    fixed = {name: p.value for name, p in fit.params.items() if p.role == "fixed"}
    low, high = limits(fit.model, fixed, fit.bounds)
    problem = problem_of(data, fit.model, low, high, is_log=fit.objective.is_log, delta=fit.objective.delta)
    parameters = np.array([fit.values[name] for name in fit.model.parameters])
    misfit = float(solver.misfit(problem, parameters[None])[0])
    point = Point(problem, parameters, misfit, 0.0, 0, 0, 0, fit.objective.delta)
    return doubt(point, data, noise.measure(point, data))


def _sister_points(point: Point, data: Sample) -> list[Point]:
    """The laws of the same axes that the rows can carry."""
    from lawful.fitting.estimate import best_point, limits

    own, inputs = point.problem.law, set(point.problem.law.inputs)
    known: list[Law] = []
    if inputs == {"params", "tokens"}:
        known = [named(name) for name in SURFACE]
    elif len(inputs) == 1 and next(iter(inputs)) in ("params", "tokens", "flops"):
        known = [on_axis(named(name), next(iter(inputs))) for name in LINE]
    found = []
    for law in known:
        for fixed in ({}, {"E": 0.0}) if law.name in MAY_LACK_FLOOR else ({},):
            if (law == own and not fixed) or data.n < len(law.parameters) - len(fixed) + LEAST_DOF:
                continue
            found.append(best_point(data, law, "robust", *limits(law, fixed, {})))
    return found


def _name(point: Point) -> str:
    law, problem = point.problem.law, point.problem
    is_flat = problem.low[0] == problem.high[0] == 0 and law.coefficients[0] == "E"
    return f"{law.spec} without floor" if is_flat else law.spec


def _off_bounds(point: Point) -> Point:
    """The same with the parameters at their bounds held there."""
    from lawful.fitting.estimate import side_of

    low, high = point.problem.low.copy(), point.problem.high.copy()
    at_bound = [i for i in range(len(low)) if side_of(point, i) is not None]
    if not at_bound:
        return point
    low[at_bound] = high[at_bound] = point.parameters[at_bound]
    return replace(point, problem=replace(point.problem, low=low, high=high))


def _sister(name: str, point: Point, data: Sample) -> Sister:
    inner = _off_bounds(point)
    problem = inner.problem
    law, free = problem.law, inner.is_free
    around = noise.measure(inner, data)
    dof = data.clusters - int(free.sum()) if around.variance_cluster > 0 else data.n - int(free.sum())
    return Sister(
        name,
        law,
        dict(zip(law.parameters, map(float, point.parameters), strict=True)),
        tuple(name for name, is_free in zip(law.parameters, free, strict=True) if is_free),
        around.covariance,
        float(max(dof, 1)),
        look(inner, data, around).trend,
        float(np.sqrt((point.residuals_log**2).mean())),
        data.x.pivot,
        {axis: (float(values.min()), float(values.max())) for axis, values in data.values.items()},
    )


def _without(point: Point, data: Sample, rung: Rung) -> Sister | None:
    """The same law on the rows beside the rung. None where these do not determine it."""
    from lawful.fitting.estimate import best_point

    kept = data.take(np.flatnonzero(~_is_at(data, rung)))
    law, problem = point.problem.law, point.problem
    if kept.n <= int(point.is_free.sum()) + LEAST_DOF:
        return None
    found = best_point(kept, law, "robust", problem.low, problem.high)
    return _sister(f"{law.spec} without {rung.axis} {rung.size:.3g}", found, kept)


def _beside(law: Sister, data: Sample, rung: Rung) -> Array:
    """Log residuals, where the rung has a level of its own."""
    away = np.log(law.law.predict(law.values, data.x) / data.loss)
    is_here = _is_at(data, rung)
    return np.asarray(np.where(is_here, away - np.median(away[is_here]), away))


def _compared(points: Sequence[Point], away: Array, count: Array, data: Sample) -> tuple[Array, Any]:
    """AICc of each law, from Huber's function of its log residuals, shape (laws, rows), at one threshold for all, and
    over as many rows as are independent; and tail(i), the probability of so large a gain of law i over the first by an
    F test. count: parameters of each law, and one of the noise."""
    from lawful.fitting.estimate import HUBER, LEAST_DELTA, robust_sigma

    limit = max(HUBER * min(map(robust_sigma, points)), LEAST_DELTA)
    away = np.abs(away)
    misfit = np.where(away <= limit, away**2, limit * (2 * away - limit)).sum(1)
    around = noise.measure(points[int(np.argmin(misfit[: len(points)]))], data)
    shared = max(around.variance_cluster, 0.0) / (max(around.variance_cluster, 0.0) + around.variance_row)
    rows = data.n / (1 + (data.n / data.clusters - 1) * shared)
    least = max(float(misfit.min()) * 1e-12, 1e-300)
    scores = rows * np.log(np.maximum(misfit, least)) + 2 * count
    scores += np.where(rows > count + 1, 2 * count * (count + 1) / np.maximum(rows - count - 1, 1e-9), np.inf)

    def tail(i: int) -> float:
        more, dof = max(int(count[i] - count[0]), 1), rows - count[i] + 1
        if dof < LEAST_DOF or misfit[i] >= misfit[0]:
            return 1.0
        return f_tail((misfit[0] - misfit[i]) / more / (max(misfit[i], 1e-300) / dof), more, dof)

    return scores, tail


@np.errstate(all="ignore")
def look(point: Point, data: Sample, around: noise.Noise) -> Form:
    """The tests of one fitted point."""
    lens = _Lens.of(point, data, around)
    if (rung := _rung(lens)) is not None and (left := _trend(lens, _is_at(data, rung))) >= MISFIT:
        return Form(left, rung, _trend(lens, None))
    whole = _trend(lens, None)
    return Form(whole, None, whole)


@dataclass(frozen=True)
class _Lens:
    """The linearised law and its residuals (observed over fitted, log), whitened for clusters."""

    data: Sample
    slopes: Array
    clipped: Array
    raw: Array
    shrink: Array | None  # per row: share of its cluster's mean that whitening takes away

    @classmethod
    def of(cls, point: Point, data: Sample, around: noise.Noise) -> _Lens:
        from lawful.fitting.estimate import HUBER, robust_sigma

        on_log = replace(point.problem, is_log=True)
        slopes = solver.slopes(on_log, point.parameters)[:, point.is_free]
        raw = -point.residuals_log
        limit = max(HUBER * robust_sigma(point), 1e-12)
        size = np.bincount(data.cluster).astype(float)
        shrink = None
        if data.clusters < data.n and around.variance_cluster > 0:
            shrink = (1 - 1 / np.sqrt(1 + size * around.variance_cluster / around.variance_row))[data.cluster]
        return cls(data, slopes, np.clip(raw, -limit, limit), raw, shrink)

    def whitened(self, columns: Array) -> Array:
        if self.shrink is None:
            return columns
        size = np.bincount(self.data.cluster)
        means = np.stack([np.bincount(self.data.cluster, column) / size for column in columns.T], axis=1)
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


def _trend(lens: _Lens, rung: Array | None) -> float:
    data = lens.data
    law = lens.basis(None if rung is None else rung[:, None].astype(float))
    n, p = law.shape
    added = orthonormal(lens.whitened(_smooth(data)), law, NEW)
    added = added[:, : min(added.shape[1], max((n - p) // 2, 0))]
    q = added.shape[1]
    if q == 0 or n - p - q < LEAST_DOF:
        return 1.0
    left = lens.whitened(lens.clipped[:, None])
    left = left - law @ (law.T @ left)
    seen = float(_F(added, left, n - p - q)[0])
    by_f = f_tail(seen, q, n - p - q) if np.isfinite(seen) else (0.0 if seen > 0 else 1.0)
    if by_f > SUSPECTED or n > MOST_ROWS:
        return by_f
    wide = left[:, 0] / np.maximum(1 - (law**2).sum(1), 0.05)  # as HC3 does, for rows that the law follows closely
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (FLIPS, data.clusters))
    signs = signs[np.abs(signs.sum(1)) < data.clusters]  # all alike: the residuals themselves; of few, often drawn
    drawn = (signs[:, data.cluster] * wide).T
    drawn -= law @ (law.T @ drawn)
    return max(by_f, float((1 + (_F(added, drawn, n - p - q) >= seen).sum()) / (len(signs) + 1)))


def _F(added: Array, left: Array, dof: int) -> Array:
    """Of each column of residuals."""
    explained, total = ((added.T @ left) ** 2).sum(0), (left**2).sum(0)
    return np.asarray(explained / added.shape[1] / (np.maximum(total - explained, 1e-300) / dof))


def _smooth(data: Sample) -> Array:
    """Powers and products of the axes' logarithms, the simplest first, each axis scaled to reach 1."""
    scaled = [u / max(float(np.abs(u).max()), 1e-12) for axis, u in data.x.logs.items() if axis in data.values]
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


def _is_at(data: Sample, rung: Rung) -> Array:
    return np.asarray(np.abs(np.log(data.values[rung.axis] / rung.size)) < 1e-5)
