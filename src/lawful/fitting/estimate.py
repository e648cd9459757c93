"""`lawful.fit`: a law fitted to a table of runs, with a certificate of convergence, intervals and warnings."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lawful.checks import NaturalInt, checked, shown
from lawful.errors import DeclarationError, Refusal, TableError
from lawful.fitting import noise, solver, uncertainty
from lawful.fitting import prior as priors
from lawful.fitting.data import Sample, held_out_sample, read_table, refuse_too_little, sample
from lawful.fitting.default_law import resolved
from lawful.fitting.error_bars import weighed
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
from lawful.fitting.result import Fit
from lawful.laws import Array, Axes, Law, bounds_of, with_bounds

OBJECTIVES = ("robust", "hoffmann", "lad", "l2", "l2-raw")
HUBER = 1.345  # in robust sigmas: 95 % efficient under normal noise (Huber 1981)
HOFFMANN_DELTA = 1e-3  # arXiv:2203.15556, on log loss
LAD_DELTA = 1e-8  # so narrow that the optimum interpolates as many rows as there are parameters
LEAST_DELTA = 1e-7  # of the robust default, for data with no noise at all
STARTS = 16
FEW_STARTS = 3  # beside a point that is known to be near
SEARCHED_ROWS = 5_000  # of a larger table, on which all starts descend; the best then go on with every row
NARROW = 2e-4
RACED_STEPS = 12  # of a race of starts: then those that lie lowest go on, as many as GO_ON says
GO_ON = (4, 4, 2, 1, 1)
CLEAR_FALL = 10.0  # robust sigmas: what falls by more along an axis needs no test
LARGEST_STDERR = 10.0  # of a coefficient, in typical losses: beyond it the number says nothing
NO_GAIN = 1e-6  # of a degree of freedom's share of the misfit: what an axis brings is rounding
NO_FALL = 0.05  # level of the test that it falls at all
SINGULAR = 1e-9  # a scaled eigenvalue of smaller size is 0 but for rounding
AGREES = 1e-6  # two starts that differ by less in misfit, relatively, reached the same optimum


@checked
def fit(
    source: Any,
    law: str | Law | None = None,
    *,
    objective: str = "robust",
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    flops: str | None = None,
    unique_tokens: str | None = None,
    cluster: str | None = None,
    stderr: str | None = None,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, Any] | None = None,  # infinity, too, which `checked` refuses in a number
    prior: Mapping[str, Any] | None = None,
    draws: NaturalInt = 1000,
    seed: NaturalInt = 0,
    keep_held_out: bool = False,
) -> Fit:
    """Fit `law` to a table of runs (anything `read_runs` takes; the keywords from params to stderr name its columns).

    law         by default the one that the table can carry, by how its params and tokens vary
    objective   robust (Huber on log loss, delta = 1.345 robust sigma), hoffmann (delta 1e-3), lad, l2 (log), l2-raw,
                or huber:DELTA
    cluster     column whose values mark rows that share noise; "none" makes every row its own cluster
    stderr      column of the standard errors of the losses, by which rows weigh under the robust objective; by default
                one that is called so; "none": they do not
    fixed       parameter -> value; bounds: parameter -> (low, high), in place of the law's own; names as in
                law.parameters
    prior       parameter -> (mean, standard error): what you know of it beside these runs, as a normal distribution
    draws       bootstrap refits over clusters

    Raises Refusal where the data cannot determine the law, another LawfulError for a bad table or argument.
    """
    columns = {
        "params": params,
        "tokens": tokens,
        "loss": loss,
        "flops": flops,
        "unique_tokens": unique_tokens,
        "cluster": cluster,
        "stderr": stderr,
    }
    is_named = law is not None
    if law is not None:
        law, bounds = with_bounds(law, bounds or {})
    table = read_table(source, columns)
    choice = resolved(law, table)
    law, fixed = choice.law.holding(fixed or {})
    data = sample(table, law, columns, keep_held_out=keep_held_out)
    how: Any = {"objective": objective, "fixed": fixed, "bounds": bounds, "prior": prior}
    found = fit_sample(data, law, **how, draws=draws, seed=seed)
    from lawful.fitting.cautions import ranked
    from lawful.fitting.ranking import with_ranking

    said = [] if choice.caution is None else [choice.caution]
    if not keep_held_out and (kept_back := held_out_sample(table, law, columns)) is not None:
        from lawful.fitting.holdout import about_held_out, score_held_out

        found = replace(found, held_out=score_held_out(found, kept_back))
        said += about_held_out(found.held_out)
    found = replace(found, warnings=ranked((*found.warnings, *said)))
    return found if is_named or prior else with_ranking(found)


@np.errstate(all="ignore")  # a table may drive a law to infinities; they are shown as such
def fit_sample(
    data: Sample,
    law: Law,
    *,
    objective: str = "robust",
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    prior: Mapping[str, Any] | None = None,
    draws: int = 1000,
    seed: int = 0,
    has_sensitivity: bool = True,
) -> Fit:
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
    found = Fit(
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
    from lawful.fitting.cautions import cautions, sensitivity
    from lawful.fitting.form import doubt

    if has_sensitivity:
        found = replace(found, sensitivity=sensitivity(found, data, point))
    about_form = doubt(point, data, spread.noise)
    return replace(found, known_doubt=about_form, warnings=cautions(found, given, about_form))


@dataclass(frozen=True)
class Point:
    """The best point found, and what shows that it is one."""

    problem: solver.Problem
    parameters: Array
    misfit: float
    decrement: float
    starts: int
    agree: int
    steps: int
    delta: float | None

    @property
    def is_free(self) -> Array:
        return self.problem.low < self.problem.high

    @property
    def residuals(self) -> Array:
        residuals: Array = solver.residuals(self.problem, self.parameters[None])[0]
        return residuals

    @property
    def residuals_log(self) -> Array:
        """As if the residual were of log loss; over the rows' relative noise, as `residuals`."""
        return replace(self, problem=replace(self.problem, is_log=True)).residuals

    @property
    def fitted(self) -> Array:
        """The loss of each row under the law."""
        law = self.problem.law
        return law.predict(dict(zip(law.parameters, self.parameters, strict=True)), self.problem.x)

    @property
    def objective_value(self) -> float:
        return self.misfit * self.problem.scale**2


def _refuse_no_fall(point: Point, data: Sample) -> None:
    """Raises Refusal where the losses do not fall along an axis: the law fits no better than the same law with that
    axis held; or not better at 5 %, and what slope there is goes up. An exponent would be that of a term which is not
    there."""
    problem, sigma = point.problem, robust_sigma(point)
    logs = np.log(np.maximum(solver.levels(problem, point.parameters), 1e-300))
    is_at_bound = any(side_of(point, i) for i in range(len(point.parameters)))
    for axis in problem.law.fitted_axes:
        held = replace(problem, x=Axes({**data.x.logs, axis: np.zeros(data.n)}, data.x.pivot))
        fall = np.ptp(logs - np.log(np.maximum(solver.levels(held, point.parameters), 1e-300)))
        if fall > CLEAR_FALL * sigma and not is_at_bound:
            continue
        starts = np.concatenate([point.parameters[None], solver.grid_starts(held, keep=FEW_STARTS)[0]])
        without = float(solver.solve(held, starts).misfit.min())
        nothing = solver.NO_MISFIT * data.n
        dof = max(data.n - int(point.is_free.sum()), 1)
        ratio = (without - point.misfit - nothing) / (max(point.misfit, nothing) / dof)
        if ratio < NO_GAIN or (f_tail(ratio, 1, dof) > NO_FALL and _slope(data, problem.law, axis) >= 0):
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


def _slope(data: Sample, law: Law, axis: str) -> float:
    """Of log loss along the logarithm of an axis, the others held: by least squares."""
    columns = [data.x[axis], np.ones(data.n), *(data.x[other] for other in law.fitted_axes if other != axis)]
    finite = [np.exp(column) if np.isneginf(column).any() else column for column in columns]
    return float(np.linalg.lstsq(np.stack(finite, axis=1), np.log(data.loss), rcond=None)[0][0])


def limits(law: Law, fixed: Mapping[str, float], bounds: Mapping[str, Any]) -> tuple[Array, Array]:
    """Bounds of every parameter in the law's order; equal where fixed. Bounds that are given replace the law's own,
    and may be wider: a floor below 0 is one that was asked for. All bad names are reported at once."""
    for name, pair in bounds.items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(type(end) in (int, float) for end in pair):
            raise DeclarationError(f"bounds: {name}: expected two numbers (low, high), got {shown(pair)}.")
    problems = [f"{name!r}" for name in (*fixed, *bounds) if name not in law.parameters]
    if problems:
        raise DeclarationError(f"{law.name}: no parameter {', '.join(problems)}; it has {', '.join(law.parameters)}.")
    hard = bounds_of(law)
    for name, (low, high) in bounds.items():
        if not low < high:
            raise DeclarationError(f"bounds: {name}: expected LOW below HIGH, got ({low}, {high}).")
        if name not in law.coefficients and not np.isfinite([low, high]).all():
            raise DeclarationError(f"bounds: {name}: expected two finite numbers, got ({low}, {high}).")
        if name not in law.coefficients and not _has_sign_of(low, hard[name][0]):
            raise DeclarationError(f"bounds: {name} is positive in {law.formula}; got ({low}, {high}).")
        hard[name] = (low, high)
    for name, value in fixed.items():
        if name in bounds and not hard[name][0] <= value <= hard[name][1]:
            raise DeclarationError(f"fixed: {name} must lie inside its bounds {hard[name]}, got {value}.")
        if not _has_sign_of(value, hard[name][0]):
            raise DeclarationError(f"fixed: {name} is positive in {law.formula}; got {value}.")
        hard[name] = (float(value), float(value))
    low, high = np.array([hard[name] for name in law.parameters], dtype=float).T
    return low, high


def _has_sign_of(value: float, low: float) -> bool:
    """Whether a value is as positive as a parameter's lowest: formulas divide by widths, and by some exponents."""
    return value > 0 if low > 0 else value >= 0 if low == 0 else True


def beside(data: Sample, law: Law, low: Array, high: Array) -> Point:
    """The best point by the robust objective of a law that is held against another. Nobody reads how many starts agree:
    those that lag behind are left there, and the last search starts from the point whose sigma is the robust delta's.
    """
    settled, delta = _settled(data, law, low, high, None, is_raced=True)
    problem = problem_of(data, law, low, high, is_log=True, delta=delta)
    return _minimise(problem, delta, settled.parameters, is_raced=True)


def best_point(data: Sample, law: Law, objective: str, low: Array, high: Array, *, near: Array | None = None) -> Point:
    """The best of many starts; of few, and `near` (another fit's parameters), where one is given.

    The robust default first estimates its delta, and weighs rows by how noisy replicates are at their size; the others
    are what they are called.
    """
    if objective != "robust":
        data = replace(data, spread_slopes={})
    if objective == "robust":
        _, delta = _settled(data, law, low, high, near)
        return _minimise(problem_of(data, law, low, high, is_log=True, delta=delta), delta, near)
    if objective in ("l2", "l2-raw"):
        problem = problem_of(data, law, low, high, is_log=objective == "l2", delta=None)
        return _minimise(problem, None, near)
    delta = _named_delta(objective)
    return _minimise(problem_of(data, law, low, high, is_log=True, delta=delta), delta, near)


def _named_delta(objective: str) -> float:
    if objective == "hoffmann":
        return HOFFMANN_DELTA
    if objective == "lad":
        return LAD_DELTA
    kind, _, number = objective.partition(":")
    try:
        if kind == "huber" and 0 < float(number) < np.inf:
            return float(number)
    except ValueError:
        pass
    raise DeclarationError(f"objective: expected one of {', '.join(OBJECTIVES)} or huber:DELTA, got {objective!r}.")


def _settled(
    data: Sample, law: Law, low: Array, high: Array, near: Array | None, *, is_raced: bool = False
) -> tuple[Point, float]:
    """1.345 robust sigmas, from the residuals of a fit that starts at squares and is repeated until delta settles; and
    the last of these fits."""
    settled = _minimise(problem_of(data, law, low, high, is_log=True, delta=None), None, near, is_raced=is_raced)
    delta = max(HUBER * robust_sigma(settled), LEAST_DELTA)
    for _ in range(3):
        problem = problem_of(data, law, low, high, is_log=True, delta=delta)
        found = solver.solve(
            problem, settled.parameters[None], most_steps=RACED_STEPS if is_raced else solver.MOST_STEPS
        )
        settled = as_point(problem, found, delta)
        delta = max(HUBER * robust_sigma(settled), LEAST_DELTA)
    return settled, delta


def robust_sigma(point: Point) -> float:
    """Of log residuals: the median absolute one, scaled to a normal's sigma and for the parameters fitted."""
    free, n = int(point.is_free.sum()), len(point.problem.loss)
    return float(1.4826 * np.median(np.abs(point.residuals_log)) * np.sqrt(n / max(n - free, 1)))


def problem_of(data: Sample, law: Law, low: Array, high: Array, *, is_log: bool, delta: float | None) -> solver.Problem:
    scale = delta if delta is not None else (0.01 if is_log else 0.01 * float(np.median(data.loss)))
    return solver.Problem(law, data.x, data.loss, is_log, scale, delta is None, low, high, data.relative)


def _minimise(problem: solver.Problem, delta: float | None, near: Array | None, *, is_raced: bool = False) -> Point:
    """is_raced   starts that lag behind are left there"""
    number = STARTS if delta is None or delta > NARROW else 2 * STARTS  # a narrow Huber has more local optima
    few = _thinned(problem)
    starts = solver.grid_starts(few, keep=number if near is None else FEW_STARTS)[0]
    if near is not None:
        starts = np.concatenate([near[None], starts])
    _refuse_zeros(few, starts)
    found = _raced(few, starts) if is_raced else solver.solve(few, starts)
    if not np.isfinite(found.misfit).any():
        raise DeclarationError(
            f"law: {problem.law.spec} is no number on some rows at all parameters tried: look for a logarithm "
            "or a root of what is negative there, and for bounds that allow it."
        )
    if few is problem:
        return as_point(problem, found, delta)
    rough = as_point(few, found, delta)
    best = _optima(found)[:FEW_STARTS]  # the other starts have shown whether there is another
    point = as_point(problem, solver.solve(problem, found.parameters[best], is_near=True), delta)
    return replace(point, starts=rough.starts, agree=rough.agree)


def _raced(problem: solver.Problem, starts: Array) -> solver.Solution:
    """In rounds of RACED_STEPS, after which the lowest go on. The race ends when the first of few has arrived."""
    found = solver.solve(problem, starts, most_steps=RACED_STEPS)
    for number in GO_ON:
        if len(found.misfit) <= GO_ON[0] and found.decrement[np.argmin(found.misfit)] < solver.DECREMENT:
            break
        found = solver.solve(problem, found.parameters[_optima(found)[:number]], most_steps=RACED_STEPS)
    return found


def _refuse_zeros(problem: solver.Problem, starts: Array) -> None:
    """Raises TableError where an input is 0 in a row, and the law has no finite value there."""
    zeros = {axis: np.isneginf(log) for axis, log in problem.x.logs.items() if np.isneginf(log).any()}
    if not zeros:
        return
    law = problem.law
    shapes = starts[:, len(law.coefficients) :].T[..., None]
    terms = law.values_of_terms(dict(zip((shape.name for shape in law.shapes), shapes, strict=True)), problem.x)
    sizes = [np.where(np.isneginf(term.log), 0.0, term.log) for term in terms]
    is_finite = np.isfinite(sum(np.broadcast_to(size, (len(starts), problem.rows)) for size in sizes)).all(axis=0)
    for axis, is_zero in zeros.items():
        if (is_zero & ~is_finite).any():
            raise TableError(
                f"column {axis!r} holds 0, where {law.spec} is no finite number (a logarithm of 0, or 0 to a power "
                "below 0). Leave such rows out, or write a law that is finite there."
            )


def _thinned(problem: solver.Problem) -> solver.Problem:
    """The same on rows drawn from a large table: to find the optimum's basin takes no more."""
    if problem.rows <= SEARCHED_ROWS:
        return problem
    rows = np.sort(np.random.default_rng(0).choice(problem.rows, SEARCHED_ROWS, replace=False))
    relative = problem.relative if isinstance(problem.relative, float) else problem.relative[rows]
    return replace(problem, x=problem.x.take(rows), loss=problem.loss[rows], relative=relative)


def _optima(found: solver.Solution) -> Array:
    """A start of each optimum that was reached, the best first."""
    order = np.argsort(found.misfit)
    misfits = found.misfit[order]
    is_another = np.diff(misfits) > AGREES * misfits[1:]
    return np.concatenate([order[:1], order[1:][is_another]])


def as_point(problem: solver.Problem, found: solver.Solution, delta: float | None) -> Point:
    nothing = solver.NO_MISFIT * len(problem.loss)
    is_lowest = found.misfit <= found.misfit.min() + AGREES * nothing  # without noise, misfits differ by rounding alone
    best = int(np.lexsort((found.decrement, ~is_lowest))[0])
    floor = max(float(found.misfit[best]), nothing)
    agree = int((found.misfit - found.misfit[best] <= AGREES * floor).sum())
    return Point(
        problem,
        found.parameters[best],
        float(found.misfit[best]),
        float(found.decrement[best]),
        len(found.misfit),
        agree,
        int(found.steps[best]),
        delta,
    )


def _certificate(point: Point) -> Convergence:
    names = point.problem.law.parameters
    sides = {name: side for i, name in enumerate(names) if (side := side_of(point, i))}
    inside = np.array([bool(f) and name not in sides for name, f in zip(names, point.is_free, strict=True)])
    here = solver.local(point.problem, point.parameters[None], None)
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


def side_of(point: Point, i: int) -> str | None:
    value, low, high = point.parameters[i], point.problem.low[i], point.problem.high[i]
    if not low < high:
        return None
    reach = solver.negligible(point.problem, point.parameters, uncertainty.AT_BOUND)[i]
    return "low" if value - low <= reach else "high" if high - value <= reach else None


def _parameters(point: Point, spread: uncertainty.Spread, fixed: Mapping[str, float]) -> dict[str, Parameter]:
    out = {}
    problem, units = point.problem, solver.units(point.problem)
    units[: len(problem.law.coefficients)] = solver.largest_of_interest(problem, point.parameters, units[0])
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
            out[name] = Parameter(name, value, stderr, spread.ci95[name], "fitted", side)  # type: ignore[arg-type]
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
    log = np.log(fitted / data.loss)
    scale = np.maximum(sigma * np.broadcast_to(point.problem.relative, data.n), 1e-12)
    return tuple(
        Residual(
            run,
            int(data.cluster[i]),
            {axis: float(v[i]) for axis, v in data.values.items()},
            float(data.loss[i]),
            float(fitted[i]),
            float(-log[i]),
            float(-log[i] / scale[i]),
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
    )


def _version() -> str:
    from lawful import __version__

    return __version__
