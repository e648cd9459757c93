"""Whether the law's form is that of the data: what the tests of its residuals and its sister laws say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lawful.errors import DeclarationError
from lawful.fitting import noise
from lawful.fitting.data import Sample
from lawful.fitting.default_law import laws_of_share
from lawful.fitting.error_bars import geometric_mean, relative_noise
from lawful.fitting.quantiles import f_tail
from lawful.fitting.records import FitRecord
from lawful.fitting.replicates import spread_of
from lawful.fitting.rolling import is_surprised, rolled
from lawful.fitting.search import (
    HUBER,
    LEAST_DELTA,
    Point,
    beside,
    best_point,
    has_idle_shape,
    limits,
    problem_of,
    robust_sigma,
    side_of,
)
from lawful.fitting.sisters import Alternatives, Sister
from lawful.fitting.trends import LEAST_DOF, MISFIT, MOST_ROWS, SUSPECTED, Form, Rung, is_at, look
from lawful.laws import ONE_AXIS, Array, Axes, Law, bounds_of, named, on_axis
from lawful.schema import Observation
from lawful.tables import by_role

FAR_BETTER = 0.0005  # level at which a sister law fits better, where a trend is suspected as well: also severe
MOSTLY = 0.95  # weight of the fitted law, from which on forecasts are its own
SAME_CURVE = 1e-6  # relative: rms of residuals that differ by less are those of one curve
LEAST_WEIGHT = 0.01  # of a law by errors on runs left out, below which it has no part
AS_GOOD = 2.0  # in AICc, above the best law, up to which a rung that is off is named beside it
CONTENDER = 10.0  # in AICc, above the best law, up to which a law has a part in a forecast
# how likely each sister is, beside the fitted law, where no test suspects the form. Planted, the half-width of L at 10
# times the data grows under the right law by 7 to 14 % at .25, by 21 to 42 % at 1; of 8 sizes with 3 seeds, where the
# sisters weigh most, by a third at .25 and by a fifth at .2
LESS_LIKELY = 0.225
SURFACE = ("chinchilla", "coupled", "kaplan", "data_limited")
OVERTRAINED = "overtrained"
LINE = ("power_floor", "power", "broken_power", "saturating")
FLOORS = ("E", "floor")  # what laws call their irreducible loss
MAY_LACK_FLOOR = ("broken_power",)  # with E = 0 too; the others have a sister without floor, or hardly move


@dataclass(frozen=True)
class Fixed:
    """Parameters that the user fixed, and the probability of so much a better fit with them free, if they are right."""

    names: tuple[str, ...]
    p: float


@dataclass(frozen=True)
class Doubt:
    """The form of one fit.

    better         the sister law that fits far better, if one does
    alternatives   what forecasts average over
    fixed          where values that the user fixed are in doubt; `better` then has them free
    rival          a rung that stands off: an explanation nearly as good as the law that is the best
    """

    form: Form
    is_misfit: bool
    better: Sister | None
    alternatives: Alternatives | None
    fixed: Fixed | None = None
    rival: Rung | None = None


def doubt(point: Point, data: Sample, around: noise.Noise) -> Doubt:
    """Sister laws are fitted only where the tests suspect the form: point fits, of a tenth of a second each.

    A rung that is off is one explanation of a trend, and each sister law is another: the best by AICc is named, and
    forecasts average over all that come near.
    """
    inner = _off_bounds(point)  # a floor held at 0 follows no bend: below 0 it would hide one from the tests
    form = look(inner, data, around if inner is point else noise.measure(inner, data))
    if point.problem.prior is not None:  # no other law would heed it
        return Doubt(form, form.trend < MISFIT, None, None)
    if not point.is_free.all():
        return _of_fixed(point, data, form)
    if not form.is_suspected:
        return Doubt(form, False, None, None)
    if not data.response.is_log:  # the sister laws are of losses that fall
        return Doubt(form, form.trend < MISFIT, None, None)
    points = [point, *_sister_points(point, data)]
    laws = [_sister(_name(one), one, data) for one in points]
    away, counts = [one.residuals_log for one in points], [_sought(one) + 1 for one in points]
    if form.rung is not None and (without := _without(point, data, form.rung)) is not None:
        laws.append(without)
        away.append(_beside(without, data, form.rung))
        counts.append(counts[0] + 1)  # the rung's own level
    scores, tail = _compared(points, np.array(away), np.array(counts), data)
    errors = np.array([law.rmse_log for law in laws])
    if not np.isfinite(scores[0]):  # no more independent rows than parameters: nothing chooses between the laws
        form = replace(form, trend=form.whole, rung=None)
        return Doubt(form, form.trend < MISFIT, None, _by_left_out(points, data, is_fitting=False))
    scores = _without_again(scores, errors, len(points))
    best = int(np.argmin(scores))
    weights = _weights(scores)
    if len(laws) > len(points):  # nobody knows which is off, the rung or the others: half of its part to each
        weights[0] += weights[-1] / 2
        weights[-1] /= 2
        if best == len(points):
            return Doubt(form, False, None, _average(laws, weights, True, data))
    elif form.rung is not None:  # without it nothing can be fitted
        return Doubt(form, False, None, None)
    rival = form.rung if scores[len(points) :].min(initial=np.inf) - scores[best] <= AS_GOOD else None
    form = replace(form, trend=form.whole, rung=None)
    is_misfit = form.trend < MISFIT or (best > 0 and tail(best) < FAR_BETTER)
    better = laws[best] if best > 0 else None
    if not is_misfit and weights[0] > MOSTLY:
        return Doubt(form, is_misfit, better, None, rival=rival)
    is_fitting = _trend_of(points[best], data) >= MISFIT
    if not is_fitting or is_surprised(_off_bounds(points[best]), data):
        # AICc chooses between wrong laws, and is too sure of itself
        return Doubt(form, is_misfit, better, _by_left_out(points, data, is_fitting), rival=rival)
    return Doubt(form, is_misfit, better, _average(laws, weights, is_fitting, data), rival=rival)


def _of_fixed(point: Point, data: Sample, form: Form) -> Doubt:
    """Values that are fixed are the user's own knowledge, which no other law would heed, and answers keep to them. The
    same law with them free tests them: of all tests of a wrong value it has the most power."""
    law, low, high = point.problem.law, point.problem.low, point.problem.high
    if data.n < len(law.parameters) + LEAST_DOF:
        return Doubt(form, form.trend < MISFIT, None, None)
    own = limits(law, {}, {})
    ends = (np.where(point.is_free, given, wide) for given, wide in zip((low, high), own, strict=True))
    # both by the robust objective, as another one's optimum is none of the comparison's
    held = best_point(data, law, "robust", low, high, near=point.parameters)
    points = [held, best_point(data, law, "robust", *ends, near=point.parameters)]
    fixed = tuple(name for name, is_free in zip(law.parameters, point.is_free, strict=True) if not is_free)
    laws = [_sister(_name(held), held, data), _sister(f"{law.spec} with {' and '.join(fixed)} free", points[1], data)]
    away = np.array([one.residuals_log for one in points])
    _, tail = _compared(points, away, np.array([len(one.free) + 1 for one in laws]), data)
    p = tail(1)
    is_misfit = min(form.trend, p) < MISFIT
    if not p < SUSPECTED:
        return Doubt(form, is_misfit, None, None)
    return Doubt(replace(form, rung=None), is_misfit, laws[1], None, Fixed(fixed, p))


def unsuspected(fit: FitRecord, law: Law, of_sisters: float = LESS_LIKELY) -> Alternatives | None:
    """What a forecast averages over where no test suspects the form: the absence of a trend in a few runs does not
    prove it, and outside the data laws that fit as well go apart. None where the fitted law has nearly all weight."""
    if fit.priors or any(p.role == "fixed" for p in fit.params.values()) or fit.goodness.n > MOST_ROWS:
        return None
    if not (fit.data.response.is_log or fit.data.response.is_share):
        return None
    point, data = point_of(fit, law)
    points = [point, *_sister_points(point, data)]
    laws = [_sister(_name(one), one, data) for one in points]
    counts = np.array([_sought(one) + 1 for one in points])
    away = np.array([one.residuals_log for one in points])
    scores, _ = _compared(points, away, counts, data)
    if not np.isfinite(scores[0]) and fit.data.response.is_share:  # a wrong law's rows of one cluster are off together
        squares = np.maximum(np.square(away).sum(axis=1), 1e-300)
        scores = data.n * np.log(squares) + [for_parameters(data.n, k) for k in counts]
    if not np.isfinite(scores[0]):
        return None
    scores = _without_again(scores, np.array([law.rmse_log for law in laws]), len(points))
    weights = _weights(scores, of_sisters)
    return None if weights[0] > MOSTLY else _average(laws, weights, True, data)


def floorless(fit: FitRecord, law: Law) -> Sister | None:
    """The same law with a floor of 0, where these runs do not exclude that and no floor below 0 was asked for. None
    elsewhere."""
    floors = [name for name in FLOORS if name in law.coefficients]
    if not fit.data.response.is_log or fit.priors or fit.goodness.n > MOST_ROWS or len(floors) != 1:
        return None
    floor = fit.params[floors[0]]
    if (
        floor.role != "fitted"
        or not floor.ci95[0] <= 0
        or fit.bounds.get(floor.name, bounds_of(law)[floor.name])[0] < 0
    ):
        return None
    _, data = point_of(fit, law)
    fixed = {name: p.value for name, p in fit.params.items() if p.role == "fixed"} | {floor.name: 0.0}
    others = {name: pair for name, pair in fit.bounds.items() if name != floor.name}
    return _sister(f"{law.spec} without floor", beside(data, law, *limits(law, fixed, others)), data)


def cannot_tell(fit: FitRecord, law: Law) -> bool:
    """Whether the runs are so few that no law with one more parameter could have a part in a forecast."""
    free = sum(fit.params[name].role == "fitted" for name in law.parameters)
    rows, count = fit.goodness.n, free + 1
    if not _sisters_of(law) or not fit.data.response.is_log:
        return False
    return rows <= count + 2 or for_parameters(rows, count + 1) - for_parameters(rows, count) > CONTENDER


def _without_again(scores: Array, errors: Array, laws: int) -> Array:
    """A sister that fits no better is a part of what the fitted law says already: its score becomes infinite."""
    is_again = np.isin(np.arange(len(scores)), range(1, laws))
    return np.where(is_again & (errors >= errors[0] * (1 - SAME_CURVE)), np.inf, scores)


def _weights(scores: Array, of_sisters: float = 1.0) -> Array:
    """Akaike's weights (Burnham and Anderson 2002, 2.9). of_sisters: how likely each is beforehand, beside the fitted
    law."""
    over = scores - scores.min()
    weights = np.exp(-np.maximum(over, 0) / 2) * (over <= CONTENDER)
    weights[1:] *= of_sisters
    return np.asarray(weights / weights.sum())


def _trend_of(point: Point, data: Sample) -> float:
    inner = _off_bounds(point)
    return look(inner, data, noise.measure(inner, data)).trend


def _average(laws: Sequence[Sister], weights: Array, is_fitting: bool, data: Sample) -> Alternatives:
    chosen = np.flatnonzero(weights > 0).tolist()
    return Alternatives(tuple(laws[i] for i in chosen), tuple(float(weights[i]) for i in chosen), is_fitting, data.n)


def _by_left_out(points: Sequence[Point], data: Sample, is_fitting: bool) -> Alternatives:
    """Weights and widths by errors on runs left out, of all laws of these axes."""
    found = rolled([*points, *_only_left_out(points[0].problem.law, data)], data)
    parts = [
        (_sister(_name(point), point, found.data), float(weight))
        for point, weight in zip(found.points, found.weights, strict=True)
        if weight > LEAST_WEIGHT
    ]
    total = sum(weight for _, weight in parts)
    laws, weights = tuple(law for law, _ in parts), tuple(weight / total for _, weight in parts)
    return Alternatives(laws, weights, is_fitting, data.n, found.growth)


def _only_left_out(law: Law, data: Sample) -> list[Point]:
    """A law whose form resembles the others too closely to be an alternative where one of them fits."""
    other = named(OVERTRAINED)
    if set(law.inputs) != {"params", "tokens"} or law == other or data.n < len(other.parameters) + LEAST_DOF:
        return []
    return [beside(data, other, *limits(other, {}, {}))]


def of_fit(fit: FitRecord, law: Law) -> Doubt:
    """What the tests say of the form of a finished fit."""
    point, data = point_of(fit, law)
    around = noise.measure(point, data)
    if fit.priors:
        form = look(_off_bounds(point), data, around)
        return Doubt(form, form.trend < MISFIT, None, None)
    return doubt(point, data, around)


def point_of(fit: FitRecord, law: Law) -> tuple[Point, Sample]:
    """The point of a finished fit, and its rows, which stand in its residuals."""
    values = {axis: np.array([row.axes[axis] for row in fit.residuals]) for axis in law.inputs}
    rows: list[Observation] = [{**row.axes, "loss": row.observed, "run": str(i)} for i, row in enumerate(fit.residuals)]
    x, loss = Axes.of(values, fit.data.pivot), np.array([row.observed for row in fit.residuals])
    cluster = np.unique([row.cluster for row in fit.residuals], return_inverse=True)[1]
    response = fit.data.response
    spread = spread_of(x, loss, np.zeros(len(loss)), cluster).expected_variance(x.logs) if fit.spread_slopes else 1.0
    errors = None if fit.error_bars is None else np.array([row.error for row in fit.residuals], dtype=float)
    own = response.noise(np.array([row.predicted for row in fit.residuals]))
    row_noise = None
    if errors is not None and fit.error_bars is not None:
        row_noise = relative_noise(errors, fit.error_bars.extra, own)
    elif response.is_share and fit.objective.name == "robust":
        row_noise = own / geometric_mean(own)
    table = by_role(rows, response)
    data = Sample(table, x, values, loss, cluster, {}, fit.spread_slopes, spread, errors, row_noise)
    data, _ = data.in_order()
    fixed = {name: p.value for name, p in fit.params.items() if p.role == "fixed"}
    low, high = limits(law, fixed, fit.bounds)
    problem = problem_of(data, law, low, high, is_log=fit.objective.is_log, delta=fit.objective.delta)
    parameters = np.array([fit.params[name].value for name in law.parameters])
    misfit = float(problem.misfit(parameters[None])[0])
    return Point(problem, parameters, misfit, 0.0, 0, 0, 0, fit.objective.delta), data


def _sister_points(point: Point, data: Sample) -> list[Point]:
    """The laws of the same axes that the rows can carry."""
    own = point.problem.law
    found: list[Point] = []
    for law in _sisters_of(own) if data.response.is_log else laws_of_share(own, data.response):
        for fixed in ({}, {"E": 0.0}) if law.name in MAY_LACK_FLOOR else ({},):
            if (law == own and not fixed) or data.n < len(law.parameters) - len(fixed) + LEAST_DOF:
                continue
            with_floor = found[-1] if found else point
            if fixed and with_floor.problem.law == law and side_of(with_floor, 0) == "low":
                continue  # the same curve again: it would count twice
            try:
                found.append(beside(data, law, *limits(law, fixed, {})))
            except DeclarationError:  # it is no number on some rows, whatever its parameters
                continue
    return [one for one in found if not has_idle_shape(one)]  # else a simpler law, which counts twice


def _sisters_of(law: Law) -> list[Law]:
    """With the law itself."""
    if set(law.inputs) == {"params", "tokens"}:
        return [named(name) for name in SURFACE]
    if len(law.inputs) == 1 and law.inputs[0] in ONE_AXIS:
        return [on_axis(named(name), law.inputs[0]) for name in LINE]
    return []


def _name(point: Point) -> str:
    law, problem = point.problem.law, point.problem
    is_flat = problem.low[0] == problem.high[0] == 0 and law.coefficients[0] == "E"
    return f"{law.spec} without floor" if is_flat else law.spec


def _off_bounds(point: Point) -> Point:
    """The same with the parameters at their bounds held there."""
    low, high = point.problem.low.copy(), point.problem.high.copy()
    at_bound = [i for i in range(len(low)) if side_of(point, i) is not None]
    if not at_bound:
        return point
    low[at_bound] = high[at_bound] = point.parameters[at_bound]
    return replace(point, problem=replace(point.problem, low=low, high=high))


def _sought(point: Point) -> int:
    """The number of parameters that were sought. A coefficient at 0 does not count: the law without its term is a
    simpler one. A shape that ended at its bound was sought like the others."""
    coefficients = len(point.problem.law.coefficients)
    return sum(
        bool(is_free) and (i >= coefficients or side_of(point, i) is None) for i, is_free in enumerate(point.is_free)
    )


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
        float(np.sqrt((point.residuals_log**2).mean())),
        data.x.pivot,
        {axis: (float(values.min()), float(values.max())) for axis, values in data.values.items()},
        data.response,
    )


def for_parameters(rows: float, count: int) -> float:
    """What AICc adds for them; infinite where rows are too few."""
    return 2 * count + 2 * count * (count + 1) / (rows - count - 1) if rows > count + 1 else np.inf


def _without(point: Point, data: Sample, rung: Rung) -> Sister | None:
    """The same law on the rows beside the rung. None where these do not determine it."""
    kept = data.take(np.flatnonzero(~is_at(data, rung)))
    law, problem = point.problem.law, point.problem
    if kept.n <= int(point.is_free.sum()) + LEAST_DOF:
        return None
    found = beside(kept, law, problem.low, problem.high)
    return _sister(f"{law.spec} without {rung.axis} {rung.size:.3g}", found, kept)


def _beside(law: Sister, data: Sample, rung: Rung) -> Array:
    """Log residuals over the rows' relative noise, where the rung has a level of its own."""
    away = np.log(law.law.predict(law.values, data.x) / data.loss) / data.relative
    is_here = is_at(data, rung)
    return np.asarray(np.where(is_here, away - np.median(away[is_here]), away))


def _compared(points: Sequence[Point], away: Array, count: Array, data: Sample) -> tuple[Array, Any]:
    """AICc of each law, from Huber's function of its log residuals, shape (laws, rows), at one threshold for all, and
    over as many rows as are independent; and tail(i), the probability of so large a gain of law i over the first by an
    F test. count: parameters of each law, and one of the noise."""
    limit = max(HUBER * float(np.nanmin([robust_sigma(one) for one in points])), LEAST_DELTA)
    away = np.nan_to_num(np.abs(away), nan=np.inf)  # a law without a loss at some row has no part
    misfit = np.where(away <= limit, away**2, limit * (2 * away - limit)).sum(1)
    around = noise.measure(points[int(np.argmin(misfit[: len(points)]))], data)
    shared = max(around.variance_cluster, 0.0) / (max(around.variance_cluster, 0.0) + around.variance_row)
    rows = data.n / (1 + (data.n / data.clusters - 1) * shared)
    least = max(float(misfit.min()) * 1e-12, 1e-300)
    scores = rows * np.log(np.maximum(misfit, least)) + np.array([for_parameters(rows, k) for k in count])

    def tail(i: int) -> float:
        more, dof = max(int(count[i] - count[0]), 1), rows - count[i] + 1
        if dof < LEAST_DOF or misfit[i] >= misfit[0]:
            return 1.0
        return f_tail((misfit[0] - misfit[i]) / more / (max(misfit[i], 1e-300) / dof), more, dof)

    return scores, tail
