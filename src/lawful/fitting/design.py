"""Which run to do next, and how many seeds a comparison needs: from the law's slopes, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lawful.checks import Part, PositiveFloat, argument, checked, refuse
from lawful.errors import DeclarationError
from lawful.fitting import derivatives, predict
from lawful.fitting.cautions import rests_on
from lawful.fitting.curve_interval import log_slopes
from lawful.fitting.fitted import FittedLaw, run_spread
from lawful.fitting.problem import Problem
from lawful.fitting.quantiles import normal_quantile
from lawful.fitting.records import expect_fit
from lawful.fitting.uncertainty import gradient
from lawful.laws import Array, Axes, Law, bounds_of, named
from lawful.schema import Warning

MOST_SEEDS = 1_000_000  # nobody trains more


@dataclass(frozen=True)
class Candidate:
    """A run that could be done: what it costs (in the unit of the design), and the target's standard error after it."""

    at: Mapping[str, float]
    cost: float
    stderr_after: float
    variance_saved: float
    variance_saved_per_cost: float


@dataclass(frozen=True)
class Design:
    """Candidates, best first by variance saved per unit of cost. The error is of the parameter, or of log loss at a
    point.

    unit   of costs: FLOPs; under a law of params or tokens alone, which does not say what a run costs, that axis
    """

    law: str
    target: str
    unit: str
    stderr_now: float
    candidates: tuple[Candidate, ...]
    best: Candidate
    best_within_budget: Candidate | None
    warnings: tuple[Warning, ...]

    def __repr__(self) -> str:
        at = ", ".join(f"{axis} {value:.3g}" for axis, value in self.best.at.items())
        return (
            f"<Design for {self.target}: standard error {self.stderr_now:.3g} now, {self.best.stderr_after:.3g} after "
            f"a run at {at} ({self.best.cost:.3g} {self.unit}), the best of {len(self.candidates)}>"
        )


def design(
    fit: FittedLaw,
    *,
    budget: float | None = None,
    target: str | Mapping[str, float] | None = None,
    candidates: Sequence[Mapping[str, float]] | None = None,
) -> Design:
    """Rank runs that could be done next by how much each would shrink the target's variance per FLOP.

    Parameters
    ----------
    fit
        Of any law. Under one of params or tokens alone, runs are ranked per parameter or token.
    budget
        FLOPs that one run may cost; refused under a law that does not price runs in FLOPs.
    target
        A parameter's name (default: the law's first exponent), or a point {"params": ..., "tokens": ...} whose
        predicted loss matters.
    candidates
        Points; by default the levels of the data, and two doublings beyond the largest.

    Returns
    -------
    Design
        The candidates, the best first, each with its cost and the target's standard error after it.

    Raises
    ------
    DeclarationError
        A target, candidate or budget that the law does not have.

    Notes
    -----
    Assumes that the law is right and that one run's log loss has the spread seen so far.

    Examples
    --------
    >>> plan = lawful.design(fit, target="alpha")
    >>> plan.best.stderr_after < plan.stderr_now
    True
    """
    expect_fit(fit)
    argument("budget", budget, PositiveFloat | None)
    argument("target", target, str | Mapping[str, float] | None)
    argument("candidates", candidates, Sequence[Mapping[str, PositiveFloat]] | None)
    inputs = fit.model.inputs
    for at in candidates or ():
        if set(at) != set(inputs):
            raise DeclarationError(
                f"candidates: {fit.law} reads {', '.join(inputs)}; got {', '.join(at) or 'nothing'}."
            )
    unit, price_of = price(inputs)
    if budget is not None and unit != "FLOPs":
        raise DeclarationError(
            f"budget: expected a law of FLOPs or of params and tokens, which says what a run costs; {fit.law} reads "
            f"{', '.join(inputs)}. Leave the budget out (runs are then ranked per unit of {unit}), or fit another law."
        )
    slope, label = _target(fit, target)
    covariance = np.array(fit.covariance)
    now = float(slope @ covariance @ slope)
    out = []
    for at in candidates or _grid(fit):
        j = log_slopes(fit, at)
        moved = covariance @ j
        saved = float((slope @ moved) ** 2 / (run_spread(fit, at) ** 2 + j @ moved))
        cost = price_of(at)
        out.append(Candidate(dict(at), cost, math.sqrt(max(now - saved, 0.0)), saved, saved / cost))
    if not out:
        raise DeclarationError("design: expected at least one candidate run, got none.")
    out.sort(key=lambda c: -c.variance_saved_per_cost)
    within = [c for c in out if budget is None or c.cost <= budget]
    best_within = max(within, key=lambda c: c.variance_saved) if within else None
    return Design(fit.law, label, unit, math.sqrt(now), tuple(out), out[0], best_within, rests_on(fit))


def _target(fit: FittedLaw, target: str | Mapping[str, float] | None) -> tuple[Array, str]:
    free = fit.free
    if target is None:
        target = next((s.name for s in fit.model.shapes if s.name in free), free[0])
    if isinstance(target, str):
        if target in free:
            return np.eye(len(free))[free.index(target)], target
        known = fit.model.derived(fit.values, fit.data.pivot)
        if target not in known:
            raise DeclarationError(
                f"target: no parameter is called {target!r}; there are {', '.join([*free, *known])}."
            )
        names = fit.model.parameters

        def value_of(parameters: Array) -> float:
            return float(fit.model.derived(dict(zip(names, parameters, strict=True)), fit.data.pivot)[target])

        whole = gradient(value_of, np.array([fit.values[name] for name in names]))
        return whole[[names.index(name) for name in free]], target
    at = predict.checked(fit, target)
    label = f"{'log loss' if fit.data.response.is_log else fit.data.columns['loss']} at " + ", ".join(
        f"{axis} {value:.4g}" for axis, value in at.items()
    )
    return log_slopes(fit, at), label


def _grid(fit: FittedLaw) -> list[dict[str, float]]:
    levels = {}
    for axis in fit.model.inputs:
        values = np.array([row.axes[axis] for row in fit.residuals])
        low, high = values.min(), values.max()
        levels[axis] = np.unique(np.geomspace(low, 4 * high, 12))
    axes = np.meshgrid(*levels.values(), indexing="ij")
    return [dict(zip(levels, map(float, point), strict=True)) for point in zip(*(a.ravel() for a in axes), strict=True)]


def price(inputs: Sequence[str]) -> tuple[str, Callable[[Mapping[str, float]], float]]:
    """The unit, and the cost of a run: 6 N D where both are known; a law of one axis is priced by that axis."""
    if {"params", "tokens"} <= set(inputs):
        return "FLOPs", lambda at: 6 * at["params"] * at["tokens"]
    return "FLOPs" if inputs[0] == "flops" else inputs[0], lambda at: at[inputs[0]]


@dataclass(frozen=True)
class Power:
    """How many seeds per arm show a shift; stderr_one_seed is of the difference, with one seed per arm."""

    parameter: str
    shift: float
    sigma: float
    floor: Literal["own", "shared"]
    seeds: int
    stderr_one_seed: float
    stderr_per_arm: float
    level: float
    power: float


@checked
def power(
    law: str | Law = "power_floor",
    values: Mapping[str, float] | None = None,
    *,
    at: Mapping[str, float | Iterable[float]],
    shift: float,
    sigma: PositiveFloat,
    parameter: str | None = None,
    floor: Literal["own", "shared"] = "own",
    level: Part = 0.05,
    target_power: Part = 0.8,
) -> Power:
    """Seeds per arm to see that a shape parameter differs by `shift` between two arms, each trained at the points `at`.

    law, values   the law expected and its parameters at the pivot of `at` (default: E 1.7, every other term 2 at the
                  pivot, exponents of .2: about what small language models on characters and words show)
    sigma         spread of log loss between seeds
    floor         own: each arm has its irreducible loss; shared: one for both
    """
    law = named(law)
    points: dict[str, Sequence[float]] = {
        axis: argument(axis, list(values) if isinstance(values, Iterable) else values, Sequence[PositiveFloat])
        for axis, values in at.items()
    }
    usual = {**dict.fromkeys(law.coefficients, 2.0), **{shape.name: 0.2 for shape in law.shapes}, "E": 1.7}
    expected = {**usual, **(values or {})}
    expected = {name: expected[name] for name in law.parameters}
    name = parameter or law.shapes[0].name
    if name not in law.parameters:
        raise DeclarationError(f"parameter: {law.name} has no {name!r}; it has {', '.join(law.parameters)}.")
    if not (0 < sigma < 100 and 0 < abs(shift) < math.inf):  # of log loss: 100 is no spread but a slip
        raise DeclarationError(
            f"power: expected sigma above 0 and below 100, and a shift other than 0, got {sigma} and {shift}."
        )
    refuse("power", [*_misplaced(law, points), *_unlikely(law, values or {})])
    x = Axes.of(points)
    loss = law.predict(expected, x)
    if not (loss > 0).all():
        raise DeclarationError(f"power: expected values that give a loss above 0, got {expected}.")
    bounds = np.full(len(law.parameters), np.nan)
    problem = Problem(law, x, loss, True, sigma, True, bounds, bounds)
    slopes = derivatives.slopes(problem, np.array([expected[p] for p in law.parameters]))
    shifted = {**expected, name: expected[name] + shift}
    refuse("power", [f"shift: {text.removeprefix('value: ')}" for text in _unlikely(law, {name: shifted[name]})])
    # a smaller exponent leaves the floor less clear: the arm that has it has the larger error
    second_slopes = derivatives.slopes(problem, np.array([shifted[p] for p in law.parameters]))
    n, p = slopes.shape
    shared = [law.parameters.index("E")] if floor == "shared" and "E" in law.parameters else []
    own = [i for i in range(p) if i not in shared]
    # columns: shared ones, the first arm's own, the second arm's own
    nothing = np.zeros((n, len(own)))
    both = np.block(
        [[slopes[:, shared], slopes[:, own], nothing], [second_slopes[:, shared], nothing, second_slopes[:, own]]]
    )
    if len(np.unique(np.round(np.stack(list(x.logs.values())), 9), axis=1).T) < p:
        raise DeclarationError(f"power: {law.name} has {p} parameters and needs at least as many distinct points.")
    covariance = sigma * sigma * np.linalg.inv(both.T @ both)
    first = len(shared) + own.index(law.parameters.index(name))
    second = first + len(own)
    stderr = math.sqrt(covariance[first, first] + covariance[second, second] - 2 * covariance[first, second])
    needed = (normal_quantile(1 - level / 2) + normal_quantile(target_power)) * stderr / abs(shift)
    if not needed < math.sqrt(MOST_SEEDS):
        raise DeclarationError(f"power: a shift of {shift:g} takes more than {MOST_SEEDS:,} seeds per arm to be seen.")
    return Power(
        name,
        shift,
        sigma,
        floor,
        max(1, math.ceil(needed**2)),
        stderr,
        math.sqrt(covariance[first, first]),
        level,
        target_power,
    )


def _misplaced(law: Law, at: Mapping[str, Sequence[float]]) -> list[str]:
    """Why these points are not points of the law."""
    if set(at) != set(law.inputs):
        return [f"{law.name} reads {', '.join(law.inputs)}; got points of {', '.join(at) or 'nothing'}"]
    if len({len(values) for values in at.values()}) > 1:
        found = " and ".join(f"{len(values)} of {axis}" for axis, values in at.items())
        return [f"expected one value of each axis for every run, got {found}"]
    return [
        f"{axis}: expected positive numbers, got {min(values)}"
        for axis, values in at.items()
        if not all(0 < value < math.inf for value in values)
    ]


def _unlikely(law: Law, values: Mapping[str, float]) -> list[str]:
    """Values that the law's parameters cannot have."""
    bounds = bounds_of(law)
    problems = []
    for name, value in values.items():
        if name not in bounds:
            problems.append(f"value: {law.name} has no parameter {name!r}; it has {', '.join(bounds)}")
        elif not bounds[name][0] <= value <= bounds[name][1]:
            low, high = bounds[name]
            problems.append(f"value: {name}: expected a number from {low:g} to {high:g}, got {value:g}")
    return problems
