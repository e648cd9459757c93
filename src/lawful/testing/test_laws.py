"""What every law must do: exact derivatives, a text that builds it again, and planted parameters found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lawful.fitting import derivatives, solver
from lawful.fitting.problem import Problem
from lawful.fitting.search import limits
from lawful.fitting.starts import grid_starts
from lawful.laws import Axes, Law, named, stored, to_data
from lawful.testing import loaded

SPANS = {
    "params": (1e6, 1e10),
    "tokens": (1e8, 1e12),
    "flops": (1e15, 1e21),
    "unique_tokens": (1e9, 2e10),
    "is_error": (0.1, 0.9),
}
ANY = (0.5, 2.0)  # of a column: what it holds only the law knows
LAWS = {name: one() if isinstance(one, type) else one for name, one in loaded("laws").items()}
each_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)


def ordinary(law: Law) -> dict[str, float]:
    """Parameters at which the law is checked: a coefficient near 1, a shape a third of the way along its starts."""
    values = {name: 1.0 / (1 + number) for number, name in enumerate(law.coefficients)}
    for shape in law.shapes:
        low, high = shape.starts or (shape.low, shape.high)
        values[shape.name] = low + 0.3 * (high - low)
    return values


def problem_of(law: Law, *, is_log: bool, scatter: float) -> Any:
    rng = np.random.default_rng(0)
    spans = {axis: np.log(SPANS.get(axis, ANY)) for axis in law.inputs}
    x = Axes.of({axis: np.exp(rng.uniform(low, high, 60)) for axis, (low, high) in spans.items()})
    loss = law.predict(ordinary(law), x) * np.exp(scatter * rng.standard_normal(60))
    lowest, highest = limits(law, {}, {})
    return Problem(law, x, loss, is_log, 0.1 if scatter else 0.01, True, lowest, highest)


@each_law
@pytest.mark.parametrize("is_log", [True, False])
def test_gradient_and_hessian_agree_with_central_differences(law: Law, is_log: bool) -> None:
    problem = problem_of(law, is_log=is_log, scatter=0.05)
    theta = np.array([ordinary(law)[name] for name in law.parameters])
    here = derivatives.local(problem, theta[None], None)
    steps = 1e-5 * np.eye(len(theta))
    up, down = theta + steps, theta - steps
    gradient = (problem.misfit(up) - problem.misfit(down)) / 2e-5
    np.testing.assert_allclose(here.gradient[0], gradient, rtol=1e-5, atol=1e-6 * np.abs(gradient).max())
    hessian = (derivatives.local(problem, up, None).gradient - derivatives.local(problem, down, None).gradient) / 2e-5
    np.testing.assert_allclose(here.hessian[0], hessian, rtol=1e-5, atol=1e-6 * np.abs(hessian).max())


@each_law
def test_planted_parameters_are_found(law: Law) -> None:
    problem = problem_of(law, is_log=True, scatter=0.0)
    found = solver.solve(problem, grid_starts(problem)[0])
    best = dict(zip(law.parameters, found.parameters[found.misfit.argmin()], strict=True))
    assert best == pytest.approx(ordinary(law), rel=2e-4)


@each_law
def test_a_law_is_built_again_from_its_text_and_its_data(law: Law) -> None:
    assert named(law.spec) == law
    assert stored(to_data(law)) == law
    assert law.source and law.formula


@pytest.mark.parametrize("name", LAWS)
def test_a_law_calls_itself_as_it_is_registered(name: str) -> None:
    assert LAWS[name].name == name
