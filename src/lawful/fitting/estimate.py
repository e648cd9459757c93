"""`lawful.fit`: a law fitted to a table of runs, with a certificate of convergence, intervals and warnings."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lawful.checks import NaturalInt, checked, shown
from lawful.errors import DeclarationError
from lawful.fitting import noise, solver, uncertainty
from lawful.fitting.data import Sample, refuse_too_little, sample
from lawful.fitting.result import Convergence, Fit, Goodness, Objective, Parameter, Residual
from lawful.laws import Array, Law, bounds_of, named

OBJECTIVES = ("robust", "hoffmann", "lad", "l2", "l2-raw")
HUBER = 1.345  # in robust sigmas: 95 % efficient under normal noise (Huber 1981)
HOFFMANN_DELTA = 1e-3  # arXiv:2203.15556, on log loss
LAD_DELTA = 1e-8  # so narrow that the optimum interpolates as many rows as there are parameters
LEAST_DELTA = 1e-7  # of the robust default, for data with no noise at all
STARTS = 16
FEW_STARTS = 3  # beside a point that is known to be near
SEARCHED_ROWS = 5_000  # of a larger table, on which all starts descend; the best then go on with every row
NARROW = 2e-4
AGREES = 1e-6  # two starts that differ by less in misfit, relatively, reached the same optimum


@checked
def fit(
    source: Any,
    law: str | Law = "chinchilla",
    *,
    objective: str = "robust",
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    flops: str | None = None,
    unique_tokens: str | None = None,
    cluster: str | None = None,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, Any] | None = None,  # infinity, too, which `checked` refuses in a number
    draws: NaturalInt = 1000,
    seed: NaturalInt = 0,
    keep_held_out: bool = False,
) -> Fit:
    """Fit `law` to a table of runs (anything `read_runs` takes; the keywords from params to cluster name its columns).

    objective   robust (Huber on log loss, delta = 1.345 robust sigma), hoffmann (delta 1e-3), lad, l2 (log), l2-raw,
                or huber:DELTA
    cluster     column whose values mark rows that share noise; "none" makes every row its own cluster
    fixed       parameter -> value; bounds: parameter -> (low, high); names as in law.parameters
    draws       bootstrap refits over clusters

    Raises Refusal where the data cannot determine the law, another LawfulError for a bad table or argument.
    """
    law = named(law)
    columns = {
        "params": params,
        "tokens": tokens,
        "loss": loss,
        "flops": flops,
        "unique_tokens": unique_tokens,
        "cluster": cluster,
    }
    for name, pair in (bounds or {}).items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(type(end) in (int, float) for end in pair):
            raise DeclarationError(f"bounds: {name}: expected two numbers (low, high), got {shown(pair)}.")
    data = sample(source, law, columns, keep_held_out=keep_held_out)
    return fit_sample(data, law, objective=objective, fixed=fixed, bounds=bounds, draws=draws, seed=seed)


@np.errstate(all="ignore")  # a table may drive a law to infinities; they are shown as such
def fit_sample(
    data: Sample,
    law: Law,
    *,
    objective: str = "robust",
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Fit:
    low, high = limits(law, fixed or {}, bounds or {})
    is_free = low < high
    refuse_too_little(data, law, int(is_free.sum()))
    point = best_point(data, law, objective, low, high)
    spread = uncertainty.estimate(point, data, draws=draws, seed=seed)
    goodness = _goodness(point, data, spread.noise)
    params = _parameters(point, spread, fixed or {})
    found = Fit(
        model=law,
        formula=law.formula,
        params=params,
        objective=Objective(objective, point.objective_value, point.delta, point.problem.is_log),
        convergence=_certificate(point),
        goodness=goodness,
        data=_facts(data),
        covariance=tuple(map(tuple, spread.covariance.tolist())),
        draws=tuple(map(tuple, spread.draws.tolist())),
        sensitivity={},
        residuals=_residuals(point, data, goodness.sigma_log),
        warnings=(),
        interval_method=spread.method,
        dof=spread.dof,
        bounds={name: (float(low), float(high)) for name, (low, high) in (bounds or {}).items()},
        seed=seed,
        versions={"lawful": _version(), "numpy": np.__version__, "python": platform.python_version()},
    )
    from lawful.fitting.cautions import cautions, sensitivity
    from lawful.fitting.form import doubt

    found = replace(found, sensitivity=sensitivity(found, data, point))
    return replace(found, warnings=cautions(found, doubt(point, data, spread.noise)))


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
        return replace(self, problem=replace(self.problem, is_log=True)).residuals

    @property
    def objective_value(self) -> float:
        return self.misfit * self.problem.scale**2


def limits(law: Law, fixed: Mapping[str, float], bounds: Mapping[str, tuple[float, float]]) -> tuple[Array, Array]:
    """Bounds of every parameter in the law's order; equal where fixed. All bad names are reported at once."""
    problems = [f"{name!r}" for name in (*fixed, *bounds) if name not in law.parameters]
    if problems:
        raise DeclarationError(f"{law.name}: no parameter {', '.join(problems)}; it has {', '.join(law.parameters)}.")
    hard = bounds_of(law)
    for name, (low, high) in bounds.items():
        hard[name] = (max(low, hard[name][0]), min(high, hard[name][1]))
        if not hard[name][0] < hard[name][1]:
            raise DeclarationError(f"bounds: {name} must lie inside {hard[name]}, got ({low}, {high}).")
    for name, value in fixed.items():
        if not hard[name][0] <= value <= hard[name][1]:
            raise DeclarationError(f"fixed: {name} must lie inside {hard[name]}, got {value}.")
        hard[name] = (float(value), float(value))
    low, high = np.array([hard[name] for name in law.parameters], dtype=float).T
    return low, high


def best_point(data: Sample, law: Law, objective: str, low: Array, high: Array, *, near: Array | None = None) -> Point:
    """The best of many starts; of few, and `near` (another fit's parameters), where one is given.

    The robust default first estimates its delta.
    """
    if objective == "robust":
        delta = _robust_delta(data, law, low, high, near)
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


def _robust_delta(data: Sample, law: Law, low: Array, high: Array, near: Array | None) -> float:
    """1.345 robust sigmas, from the residuals of a fit that starts at squares and is repeated until delta settles."""
    point = _minimise(problem_of(data, law, low, high, is_log=True, delta=None), None, near)
    delta = max(HUBER * robust_sigma(point), LEAST_DELTA)
    for _ in range(3):
        problem = problem_of(data, law, low, high, is_log=True, delta=delta)
        found = solver.solve(problem, point.parameters[None])
        settled = as_point(problem, found, delta)
        delta = max(HUBER * robust_sigma(settled), LEAST_DELTA)
    return delta


def robust_sigma(point: Point) -> float:
    """Of log residuals: the median absolute one, scaled to a normal's sigma and for the parameters fitted."""
    free, n = int(point.is_free.sum()), len(point.problem.loss)
    return float(1.4826 * np.median(np.abs(point.residuals_log)) * np.sqrt(n / max(n - free, 1)))


def problem_of(data: Sample, law: Law, low: Array, high: Array, *, is_log: bool, delta: float | None) -> solver.Problem:
    scale = delta if delta is not None else (0.01 if is_log else 0.01 * float(np.median(data.loss)))
    return solver.Problem(law, data.x, data.loss, is_log, scale, delta is None, low, high)


def _minimise(problem: solver.Problem, delta: float | None, near: Array | None) -> Point:
    number = STARTS if delta is None or delta > NARROW else 2 * STARTS  # a narrow Huber has more local optima
    few = _thinned(problem)
    starts = solver.grid_starts(few, keep=number if near is None else FEW_STARTS)[0]
    if near is not None:
        starts = np.concatenate([near[None], starts])
    found = solver.solve(few, starts)
    if few is problem:
        return as_point(problem, found, delta)
    rough = as_point(few, found, delta)
    best = _optima(found)[:FEW_STARTS]  # the other starts have shown whether there is another
    point = as_point(problem, solver.solve(problem, found.parameters[best], is_near=True), delta)
    return replace(point, starts=rough.starts, agree=rough.agree)


def _thinned(problem: solver.Problem) -> solver.Problem:
    """The same on rows drawn from a large table: to find the optimum's basin takes no more."""
    if problem.rows <= SEARCHED_ROWS:
        return problem
    rows = np.sort(np.random.default_rng(0).choice(problem.rows, SEARCHED_ROWS, replace=False))
    return replace(problem, x=problem.x.take(rows), loss=problem.loss[rows])


def _optima(found: solver.Solution) -> Array:
    """A start of each optimum that was reached, the best first."""
    order = np.argsort(found.misfit)
    misfits = found.misfit[order]
    is_another = np.diff(misfits) > AGREES * misfits[1:]
    return np.concatenate([order[:1], order[1:][is_another]])


def as_point(problem: solver.Problem, found: solver.Solution, delta: float | None) -> Point:
    best = int(np.argmin(found.misfit))
    floor = max(float(found.misfit[best]), solver.NO_MISFIT * len(problem.loss))
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
    names = np.array(point.problem.law.parameters)
    at_bounds = tuple(names[i] for i in range(len(names)) if side_of(point, i))
    inside = np.array([bool(f) and names[i] not in at_bounds for i, f in enumerate(point.is_free)])
    here = solver.local(point.problem, point.parameters[None], None)
    matrix = here.hessian[0][np.ix_(inside, inside)]
    size = 1 / np.sqrt(np.maximum(np.abs(np.diag(matrix)), 1e-300))
    eigenvalues = np.linalg.eigvalsh(matrix * size[:, None] * size[None, :]) if len(size) else np.array([1.0])
    problems = []
    if not point.decrement < 1e-9:
        problems.append(f"the relative Newton decrement is {point.decrement:.1e}, not below 1e-9")
    if not eigenvalues[0] > 0:
        problems.append("the Hessian is not positive definite at the point")
    elif eigenvalues[0] < 1e-9:
        problems.append("the Hessian is singular to rounding: a flat ridge, the parameters are not identified")
    if point.agree < 2:
        problems.append(f"only {point.agree} of {point.starts} starts reached the best misfit")
    return Convergence(
        not problems,
        point.decrement,
        tuple(eigenvalues.tolist()),
        point.starts,
        point.agree,
        point.steps,
        at_bounds,
        tuple(problems),
    )


def side_of(point: Point, i: int) -> str | None:
    value, low, high = point.parameters[i], point.problem.low[i], point.problem.high[i]
    if not low < high:
        return None
    coefficient = i < len(point.problem.law.coefficients)
    reach = 1e-6 * (float(np.median(point.problem.loss)) if coefficient else 1.0)
    return "low" if value - low <= reach else "high" if high - value <= reach else None


def _parameters(point: Point, spread: uncertainty.Spread, fixed: Mapping[str, float]) -> dict[str, Parameter]:
    out = {}
    for i, name in enumerate(point.problem.law.parameters):
        value = float(point.parameters[i])
        if name in fixed:
            out[name] = Parameter(name, value, 0.0, (value, value), "fixed")
        else:
            side = side_of(point, i)
            out[name] = Parameter(name, value, spread.stderr[name], spread.ci95[name], "fitted", side)  # type: ignore[arg-type]
    for name, value in spread.derived.items():
        out[name] = Parameter(name, value, spread.stderr[name], spread.ci95[name], "derived")
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
    log = point.residuals_log
    return tuple(
        Residual(
            run,
            int(data.cluster[i]),
            {axis: float(v[i]) for axis, v in data.values.items()},
            float(data.loss[i]),
            float(data.loss[i] * np.exp(log[i])),
            float(-log[i]),
            float(-log[i] / max(sigma, 1e-12)),
        )
        for i, run in enumerate(data.run_names)
    )


def _facts(data: Sample) -> dict[str, Any]:
    return {
        "source": data.observations.source,
        "sha256": data.observations.sha256,
        "columns": dict(data.column),
        "n": data.n,
        "clusters": data.clusters,
        "levels": {axis: len(np.unique(np.round(np.log(v), 6))) for axis, v in data.values.items()},
        "domain": {axis: [float(v.min()), float(v.max())] for axis, v in data.values.items()},
        "loss_range": [float(data.loss.min()), float(data.loss.max())],
        "pivot": dict(data.x.pivot),
        "dropped": [dict(row) for row in data.observations.dropped],
    }


def _version() -> str:
    from lawful import __version__

    return __version__
