"""The best point of a law on rows: the bounds of its parameters, and many starts of which the lowest is taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lawful.errors import DeclarationError, TableError
from lawful.fitting import derivatives, solver
from lawful.fitting.data import Sample
from lawful.fitting.problem import Problem
from lawful.fitting.starts import grid_starts
from lawful.laws import Array, Bounds, Law, bounds_of

OBJECTIVES = ("robust", "hoffmann", "lad", "l2", "l2-raw")
OF_ANY_RESPONSE = ("robust", "l2-raw")  # the others are of log residuals by their names
HUBER = 1.345  # in robust sigmas: 95 % efficient under normal noise (Huber 1981)
HOFFMANN_DELTA = 1e-3  # arXiv:2203.15556, on log loss
LAD_DELTA = 1e-8  # so narrow that the optimum interpolates as many rows as there are parameters
LEAST_DELTA = 1e-7  # of the robust default, for data with no noise at all
STARTS = 16
FEW_STARTS = 3  # beside a point that is known to be near
GRID_ROWS = 500  # of a larger table, on which the grid looks for starts
SEARCHED_ROWS = 5_000  # of a larger table, on which all starts descend; the best then go on with every row
NARROW = 2e-4
RACED_STEPS = 12  # of a race of starts: then those that lie lowest go on, as many as GO_ON says
GO_ON = (4, 4, 2, 1, 1)
AGREES = 1e-6  # two starts that differ by less in misfit, relatively, reached the same optimum
AT_BOUND = 1e-6  # of a parameter's unit: what lies so near to a bound lies at it
UNFELT = 1e-9  # change of any log loss for one of a shape, up to which no row feels it


@dataclass(frozen=True)
class Point:
    """The best point found, and what shows that it is one."""

    problem: Problem
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
        residuals: Array = self.problem.residuals(self.parameters[None])[0]
        return residuals

    @property
    def residuals_log(self) -> Array:
        """As if the residual were on the response's scale, of a loss its logarithm; over the rows' relative noise, as
        `residuals`."""
        return replace(self, problem=replace(self.problem, is_log=self.problem.response.is_log)).residuals

    @property
    def fitted(self) -> Array:
        """The loss of each row under the law."""
        law = self.problem.law
        return law.predict(dict(zip(law.parameters, self.parameters, strict=True)), self.problem.x)

    @property
    def objective_value(self) -> float:
        return self.misfit * self.problem.scale**2


def side_of(point: Point, i: int) -> Literal["low", "high"] | None:
    value, low, high = point.parameters[i], point.problem.low[i], point.problem.high[i]
    if not low < high:
        return None
    reach = derivatives.negligible(point.problem, point.parameters, AT_BOUND)[i]
    return "low" if value - low <= reach else "high" if high - value <= reach else None


def has_idle_shape(point: Point) -> bool:
    """Whether no row feels a shape that was sought: one beyond all runs, such as a number of unique tokens which none
    exceeds. It may lie anywhere there, and the law is a simpler one."""
    first = len(point.problem.law.coefficients)
    felt = np.abs(derivatives.slopes(point.problem, point.parameters)[:, first:]).max(axis=0)
    return any(
        point.is_free[i] and side_of(point, i) is None and felt[i - first] < UNFELT
        for i in range(first, len(point.parameters))
    )


def limits(law: Law, fixed: Mapping[str, float], bounds: Bounds) -> tuple[Array, Array]:
    """Bounds of every parameter in the law's order; equal where fixed. Bounds that are given replace the law's own,
    and may be wider: a floor below 0 is one that was asked for. All bad names are reported at once."""
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
    problem = problem_of(data, law, low, high, is_log=data.response.is_log, delta=delta)
    return _minimise(problem, delta, settled.parameters, is_raced=True)


def by_squares(data: Sample, law: Law, low: Array, high: Array) -> Point:
    """The best point by least squares of a law that is one of hundreds tried: half the time of `beside`."""
    return _minimise(
        problem_of(data, law, low, high, is_log=data.response.is_log, delta=None), None, None, is_raced=True
    )


def best_point(data: Sample, law: Law, objective: str, low: Array, high: Array, *, near: Array | None = None) -> Point:
    """The best of many starts; of few, and `near` (another fit's parameters), where one is given.

    The robust default first estimates its delta, and weighs rows by how noisy replicates are at their size; the others
    are what they are called.
    """
    is_log = data.response.is_log
    if objective != "robust":
        data = replace(data, spread_slopes={})
    if not is_log and objective not in OF_ANY_RESPONSE:
        raise DeclarationError(
            f"objective: {objective} is of the logarithm of a loss; the response here is {data.response.kind}: "
            f"expected {' or '.join(OF_ANY_RESPONSE)}."
        )
    if objective == "robust":
        _, delta = _settled(data, law, low, high, near)
        return _minimise(problem_of(data, law, low, high, is_log=is_log, delta=delta), delta, near)
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
    is_log = data.response.is_log
    settled = _minimise(problem_of(data, law, low, high, is_log=is_log, delta=None), None, near, is_raced=is_raced)
    least = LEAST_DELTA * (1.0 if is_log else settled.problem.typical)
    delta = max(HUBER * robust_sigma(settled), least)
    for _ in range(3):
        problem = problem_of(data, law, low, high, is_log=is_log, delta=delta)
        found = solver.solve(
            problem, settled.parameters[None], most_steps=RACED_STEPS if is_raced else solver.MOST_STEPS
        )
        settled = as_point(problem, found, delta)
        delta = max(HUBER * robust_sigma(settled), least)
    return settled, delta


def robust_sigma(point: Point) -> float:
    """The median absolute residual on the response's scale, scaled to a normal's sigma and for the number of fitted
    parameters."""
    free, n = int(point.is_free.sum()), len(point.problem.loss)
    return float(1.4826 * np.median(np.abs(point.residuals_log)) * np.sqrt(n / max(n - free, 1)))


def problem_of(data: Sample, law: Law, low: Array, high: Array, *, is_log: bool, delta: float | None) -> Problem:
    response, is_squares = data.response, delta is None
    problem = Problem(law, data.x, data.loss, is_log, 0.01, is_squares, low, high, data.relative, response=response)
    return replace(problem, scale=delta if delta is not None else 0.01 * (1.0 if is_log else problem.typical))


def _minimise(problem: Problem, delta: float | None, near: Array | None, *, is_raced: bool = False) -> Point:
    """is_raced   starts that lag behind are left there"""
    number = STARTS if delta is None or delta > NARROW else 2 * STARTS  # a narrow Huber has more local optima
    few = _thinned(problem, SEARCHED_ROWS)
    starts = grid_starts(_thinned(few, GRID_ROWS), keep=number if near is None else FEW_STARTS)[0]
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


def _raced(problem: Problem, starts: Array) -> solver.Solution:
    """In rounds of RACED_STEPS, after which the lowest go on. The race ends when the first of few has arrived."""
    found = solver.solve(problem, starts, most_steps=RACED_STEPS)
    for number in GO_ON:
        if len(found.misfit) <= GO_ON[0] and found.decrement[np.argmin(found.misfit)] < solver.DECREMENT:
            break
        found = solver.solve(problem, found.parameters[_optima(found)[:number]], most_steps=RACED_STEPS)
    return found


def _refuse_zeros(problem: Problem, starts: Array) -> None:
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


def _thinned(problem: Problem, most: int) -> Problem:
    """The same on so many rows at most, drawn from a large table: to find the optimum's basin takes no more."""
    if problem.rows <= most:
        return problem
    rows = np.sort(np.random.default_rng(0).choice(problem.rows, most, replace=False))
    relative = problem.relative if isinstance(problem.relative, float) else problem.relative[rows]
    return replace(problem, x=problem.x.take(rows), loss=problem.loss[rows], relative=relative)


def _optima(found: solver.Solution) -> Array:
    """A start of each optimum that was reached, the best first."""
    order = np.argsort(found.misfit)
    misfits = found.misfit[order]
    is_another = np.diff(misfits) > AGREES * misfits[1:]
    return np.concatenate([order[:1], order[1:][is_another]])


def as_point(problem: Problem, found: solver.Solution, delta: float | None) -> Point:
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
