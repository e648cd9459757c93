"""Whether the law's form is that of the data: what the tests of its residuals and its sister laws say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lawful.fitting import noise, solver
from lawful.fitting.data import Sample
from lawful.fitting.quantiles import f_tail
from lawful.fitting.sisters import Alternatives, Sister
from lawful.fitting.trends import LEAST_DOF, MISFIT, Form, Rung, is_at, look
from lawful.laws import Array, Axes, Law, named, on_axis

if TYPE_CHECKING:
    from lawful.fitting.estimate import Point
    from lawful.fitting.result import Fit

FAR_BETTER = 0.0005  # level at which a sister law fits better, where a trend is suspected as well: also severe
MOSTLY = 0.95  # weight of the fitted law, from which on forecasts are its own
SAME_CURVE = 1e-6  # relative: rms of residuals that differ by less are those of one curve
NEARLY = 1.5  # where no law fits: rms of residuals, over the least, up to which a law has an equal part
CONTENDER = 10.0  # in AICc, above the best law, up to which a law has a part in a forecast
SURFACE = ("chinchilla", "coupled", "kaplan", "data_limited")
LINE = ("power_floor", "power", "broken_power", "saturating")

MAY_LACK_FLOOR = ("broken_power",)  # with E = 0 too; the others have a sister without floor, or hardly move


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
    is_again = (errors[sisters] >= errors[0] * (1 - SAME_CURVE)) & (scores[sisters] >= scores[0])
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
    from lawful.table import read_runs

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

    kept = data.take(np.flatnonzero(~is_at(data, rung)))
    law, problem = point.problem.law, point.problem
    if kept.n <= int(point.is_free.sum()) + LEAST_DOF:
        return None
    found = best_point(kept, law, "robust", problem.low, problem.high)
    return _sister(f"{law.spec} without {rung.axis} {rung.size:.3g}", found, kept)


def _beside(law: Sister, data: Sample, rung: Rung) -> Array:
    """Log residuals, where the rung has a level of its own."""
    away = np.log(law.law.predict(law.values, data.x) / data.loss)
    is_here = is_at(data, rung)
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
