"""A law fitted to the rows of a sample: the point, its certificate, its intervals, and what a reader must be told."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lawful.errors import Refusal
from lawful.fitting import derivatives, noise, solver, uncertainty
from lawful.fitting import prior as priors
from lawful.fitting.cautions import cautions
from lawful.fitting.cost import cost_of
from lawful.fitting.data import Sample, refuse_too_little, sample
from lawful.fitting.error_bars import weighed
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.form import doubt
from lawful.fitting.optimum import Spending, growth
from lawful.fitting.quantiles import f_tail
from lawful.fitting.records import (
    Convergence,
    FitData,
    Goodness,
    Objective,
    Parameter,
    PriorUsed,
    Residual,
    Sensitivity,
)
from lawful.fitting.search import FEW_STARTS, Point, best_point, limits, robust_sigma, side_of
from lawful.fitting.sensitivity import sensitivity
from lawful.fitting.sisters import FORM_DRAWS, Alternatives
from lawful.fitting.starts import grid_starts
from lawful.laws import Axes, Law
from lawful.tables import Observations

CLEAR_FALL = 10.0  # robust sigmas: what falls by more along an axis needs no test
LARGEST_STDERR = 10.0  # of a coefficient, in typical losses: beyond it the number says nothing
NO_GAIN = 1e-6  # of a degree of freedom's share of the misfit: what an axis brings is rounding
NO_FALL = 0.05  # level of the test that it falls at all
SHARES = ("N_exponent", "D_exponent")  # of the best size and data against C = 6 N D, in the order of `growth`
SINGULAR = 1e-9  # a scaled eigenvalue of smaller size is 0 but for rounding


def fit_table(
    table: Observations,
    law: Law,
    columns: Mapping[str, str | None],
    *,
    objective: str = "robust",
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    draws: int = 1000,
    seed: int = 0,
    keep_held_out: bool = False,
    prior: Mapping[str, tuple[float, float]] | None = None,
) -> FittedLaw:
    """A law fitted to the rows of a table that count.

    columns   role -> column, as data.sample takes them
    """
    law, fixed = law.holding(fixed or {})
    data = sample(table, law, columns, keep_held_out=keep_held_out)
    return fit_sample(data, law, objective=objective, fixed=fixed, bounds=bounds, prior=prior, draws=draws, seed=seed)


@np.errstate(all="ignore")  # a table may drive a law to infinities; they are shown as such
def fit_sample(
    data: Sample,
    law: Law,
    *,
    objective: str = "robust",
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    prior: Mapping[str, tuple[float, float]] | None = None,
    draws: int = 1000,
    seed: int = 0,
    has_sensitivity: bool = True,
) -> FittedLaw:
    """has_sensitivity   with how the parameters move under other choices: some 30 further fits, of which no severe
    warning comes
    """
    low, high = limits(law, fixed or {}, bounds or {})
    is_free = low < high
    known = priors.checked(prior or {}, law, low, high)
    refuse_too_little(data, law, int(is_free.sum()))
    given, (data, order) = data, data.in_order()
    bars = None
    if objective == "robust":
        data, bars = weighed(data, law, low, high)
    point = best_point(data, law, objective, low, high)
    _refuse_no_fall(point, data)
    spread = uncertainty.estimate(point, data, draws=draws, seed=seed)
    stated: tuple[PriorUsed, ...] = ()
    if known:
        alone, before = point, spread
        point = priors.with_prior(alone, before.noise, known)
        spread = uncertainty.estimate(point, data, draws=draws, seed=seed)
        with_and_without = (_parameters(one, own, fixed or {}) for one, own in ((alone, before), (point, spread)))
        stated = priors.used(alone, before.noise, known, *with_and_without)
    goodness = _goodness(point, data, spread.noise)
    params = _parameters(point, spread, fixed or {})
    residuals = _residuals(point, data, goodness.sigma_log)
    found = FittedLaw(
        model=law,
        formula=law.formula,
        params=params,
        objective=Objective(objective, point.objective_value, point.delta, point.problem.is_log),
        convergence=_certificate(point),
        goodness=goodness,
        data=_facts(given),
        covariance=tuple(map(tuple, spread.covariance.tolist())),
        draws=tuple(map(tuple, spread.draws.tolist())),
        sensitivity=Sensitivity(),
        residuals=tuple(residuals[i] for i in np.argsort(order)),  # in the table's order
        warnings=(),
        interval_method=spread.method,
        dof=spread.dof,
        spread_slopes=dict(data.spread_slopes if objective == "robust" else {}),
        error_bars=bars,
        bounds={name: (float(low), float(high)) for name, (low, high) in (bounds or {}).items()},
        seed=seed,
        priors=stated,
        versions={"lawful": _version(), "numpy": np.__version__, "python": platform.python_version()},
    )
    if has_sensitivity:
        found = replace(found, sensitivity=sensitivity(found, data, point))
    about_form = doubt(point, data, spread.noise)
    if about_form.alternatives is not None:
        found = replace(found, params=_over_forms(found, about_form.alternatives))
    return replace(found, known_doubt=about_form, warnings=cautions(found, given, about_form))


def _over_forms(fit: FittedLaw, among: Alternatives) -> dict[str, Parameter]:
    """The parameters; the exponents of the best size and data, which `allocate` gives too, with intervals that hold
    those of the laws that forecasts average over, at the largest compute of the data."""
    own = [name for name in SHARES if name in fit.derived]
    if not own:
        return dict(fit.params)
    flops = max(6 * row.axes["params"] * row.axes["tokens"] for row in fit.residuals)
    parts = among.drawn(FORM_DRAWS, fit.seed)
    of_each = [growth(law, values, flops, Spending(cost_of(None, 0.0, {}))) for law, values in parts]
    params = dict(fit.params)
    for name, drawn in zip(SHARES, map(np.concatenate, zip(*of_each, strict=True)), strict=True):
        (low, high), middle = params[name].ci95, params[name].value
        least, most = uncertainty.percentiles(drawn, middle, 1.0, is_share=True)
        params[name] = replace(params[name], ci95=(min(low, max(least, 0.0)), max(high, min(most, 1.0))))
    return params


def _refuse_no_fall(point: Point, data: Sample) -> None:
    """Raises Refusal where the losses do not fall along an axis: the law fits no better than the same law with that
    axis held; or not better at 5 %, and what slope there is goes up. An exponent would be that of a term which is not
    there."""
    problem, sigma = point.problem, robust_sigma(point)
    levels = problem.response.level(problem.levels(point.parameters))
    is_at_bound = any(side_of(point, i) for i in range(len(point.parameters)))
    for axis in problem.law.fitted_axes:
        held = replace(problem, x=Axes({**data.x.logs, axis: np.zeros(data.n)}, data.x.pivot))
        fall = np.ptp(levels - problem.response.level(held.levels(point.parameters)))
        if fall > CLEAR_FALL * sigma and not is_at_bound:
            continue
        starts = np.concatenate([point.parameters[None], grid_starts(held, keep=FEW_STARTS)[0]])
        without = float(solver.solve(held, starts).misfit.min())
        nothing = solver.NO_MISFIT * data.n
        dof = max(data.n - int(point.is_free.sum()), 1)
        ratio = (without - point.misfit - nothing) / (max(point.misfit, nothing) / dof)
        if ratio < NO_GAIN or (f_tail(ratio, 1, dof) > NO_FALL and _is_wrong_way(data, problem.law, axis)):
            column = data.column.get(axis, axis)
            named_so = axis if column == axis else f"{axis} ({column})"
            if limiting := _limiting(point, axis):
                raise Refusal(
                    "no_fall",
                    f"{problem.law.spec} fits no better than without {named_so} in these {data.n} runs, with "
                    f"{' and '.join(limiting)} at a bound. Where the loss may go the other way with {column}, give "
                    f"other bounds: --bounds {limiting[0]}=LOW:HIGH (-inf:inf for a coefficient of either sign). Else "
                    f"take runs over a wider range of {column}, or a law that does not read it.",
                )
            if not problem.response.is_log:
                raise Refusal(
                    "no_fall",
                    f"{data.column['loss']} does not change with {named_so} in these {data.n} runs: "
                    f"{problem.law.spec} fits no better than without it. A law may go one way only: of a metric that "
                    "rises, take one that rises (`lawful explain sigmoid`, or a formula such as 1 - a*N^-b). Else take "
                    f"runs over a wider range of {column}.",
                )
            raise Refusal(
                "no_fall",
                f"The loss does not fall with {named_so} in these {data.n} runs: {problem.law.spec} fits no better "
                f"than without it. Take runs over a wider range of {column}, or a law that does not read it.",
            )


def _limiting(point: Point, axis: str) -> list[str]:
    """Those parameters at a bound by which a law reads a column."""
    law = point.problem.law
    at_bounds = {name for i, name in enumerate(law.parameters) if side_of(point, i)}
    return [of_text for name, of_text in law.ways_along(axis).items() if name in at_bounds]


def _is_wrong_way(data: Sample, law: Law, axis: str) -> bool:
    """Whether what slope there is goes up. Which way another response than a loss should go, nobody knows."""
    return data.response.is_log and _slope(data, law, axis) >= 0


def _slope(data: Sample, law: Law, axis: str) -> float:
    """The slope of log loss along the logarithm of an axis, by least squares; the other axes are held fixed."""
    columns = [data.x[axis], np.ones(data.n), *(data.x[other] for other in law.fitted_axes if other != axis)]
    finite = [np.exp(column) if np.isneginf(column).any() else column for column in columns]
    return float(np.linalg.lstsq(np.stack(finite, axis=1), np.log(data.loss), rcond=None)[0][0])


def _certificate(point: Point) -> Convergence:
    names = point.problem.law.parameters
    sides = {name: side for i, name in enumerate(names) if (side := side_of(point, i))}
    inside = np.array([bool(f) and name not in sides for name, f in zip(names, point.is_free, strict=True)])
    here = derivatives.local(point.problem, point.parameters[None], None)
    matrix = here.hessian[0][np.ix_(inside, inside)]
    size = 1 / np.sqrt(np.maximum(np.abs(np.diag(matrix)), 1e-300))
    scaled = matrix * size[:, None] * size[None, :] if len(size) else np.eye(1)
    eigenvalues, directions = np.linalg.eigh(scaled)
    problems = []
    if not point.decrement < 1e-9:
        problems.append(f"the relative Newton decrement is {point.decrement:.1e}, not below 1e-9")
    if abs(eigenvalues[0]) < SINGULAR:
        moved = [str(name) for name in np.array(names)[inside][np.abs(directions[:, 0]) > 0.1]]
        problems.append(
            "the Hessian is singular to rounding: a flat ridge, the parameters are not identified. "
            f"Other values of {' and '.join(moved)} together fit as well"
        )
    elif not eigenvalues[0] > 0:
        problems.append("the Hessian is not positive definite at the point")
    if point.agree < 2:
        problems.append(f"only {point.agree} of {point.starts} starts reached the best misfit")
    return Convergence(
        not problems and not sides,
        point.decrement,
        tuple(eigenvalues.tolist()),
        point.starts,
        point.agree,
        point.steps,
        tuple(sides),
        tuple(problems),
    )


def _parameters(point: Point, spread: uncertainty.Spread, fixed: Mapping[str, float]) -> dict[str, Parameter]:
    out = {}
    problem, units = point.problem, point.problem.units()
    units[: len(problem.law.coefficients)] = derivatives.largest_of_interest(problem, point.parameters, units[0])
    ranges = np.minimum(problem.high - problem.low, units * LARGEST_STDERR)
    for i, name in enumerate(point.problem.law.parameters):
        value = float(point.parameters[i])
        if name in fixed:
            out[name] = Parameter(name, value, 0.0, (value, value), "fixed")
        else:
            side = side_of(point, i)
            stderr = spread.stderr[name]
            if side or stderr > ranges[i]:  # linear about a point beside a bound, or wider than all that is possible
                stderr = math.nan
            out[name] = Parameter(name, value, stderr, spread.ci95[name], "fitted", side)
    for name, value in spread.derived.items():
        stderr = spread.stderr[name] if spread.ci95[name] != (0.0, math.inf) else math.nan
        out[name] = Parameter(name, value, stderr, spread.ci95[name], "derived")
    return out


def _goodness(point: Point, data: Sample, around: noise.Noise) -> Goodness:
    residual = point.residuals_log
    n, free = data.n, int(point.is_free.sum())
    rss = float((residual**2).sum())
    count = free + 1  # and the noise's sigma
    # of a normal likelihood on log loss; the constant n log 2 pi is left out, as it cancels between laws
    deviance = n * np.log(max(rss, 1e-300) / n)
    aicc = deviance + 2 * count + (2 * count * (count + 1) / (n - count - 1) if n > count + 1 else np.inf)
    sigma_run, lack = uncertainty.replicates(data, residual, free, around)
    return Goodness(
        n,
        data.clusters,
        data.clusters - free,
        float(np.sqrt(rss / n)),
        robust_sigma(point),
        float(aicc),
        float(deviance + count * np.log(n)),
        sigma_run,
        lack,
    )


def _residuals(point: Point, data: Sample, sigma: float) -> tuple[Residual, ...]:
    fitted = point.fitted
    away = data.response.away(data.loss, fitted)
    scale = np.maximum(sigma * np.broadcast_to(point.problem.relative, data.n), 1e-12 * point.problem.typical)
    return tuple(
        Residual(
            run,
            int(data.cluster[i]),
            {axis: float(v[i]) for axis, v in data.values.items()},
            float(data.loss[i]),
            float(fitted[i]),
            float(away[i]),
            float(away[i] / scale[i]),
            None if data.errors is None else float(data.errors[i]),
        )
        for i, run in enumerate(data.run_names)
    )


def _facts(data: Sample) -> FitData:
    return FitData(
        source=data.observations.source,
        sha256=data.observations.sha256,
        columns=dict(data.column),
        n=data.n,
        clusters=data.clusters,
        levels={axis: len(np.unique(np.round(np.log(v), 6))) for axis, v in data.values.items()},
        domain={axis: (float(v.min()), float(v.max())) for axis, v in data.values.items()},
        loss_range=(float(data.loss.min()), float(data.loss.max())),
        pivot=dict(data.x.pivot),
        dropped=tuple(dict(row) for row in data.observations.dropped),
        alike=len(data.observations.alike()),
        loss_unit=data.observations.loss_unit,
        response=data.response,
    )


def _version() -> str:
    from lawful import __version__

    return __version__
