"""What every law must do: exact derivatives, a text that builds it again, and planted parameters found."""

import numpy as np
import pytest

from lawful.errors import LawfulError
from lawful.fitting import derivatives, fit, solver
from lawful.fitting.problem import Problem
from lawful.fitting.search import limits
from lawful.fitting.starts import grid_starts
from lawful.laws import Axes, named

# parameters at which each law is checked, ordinary ones
AT = {
    "power:params": {"a_pivot": 3.0, "alpha": 0.1},
    "power_floor:tokens": {"E": 1.7, "a_pivot": 0.6, "alpha": 0.3},
    "chinchilla": {"E": 1.8, "A_pivot": 0.4, "B_pivot": 0.5, "alpha": 0.34, "beta": 0.28},
    "kaplan": {"c_pivot": 2.4, "alpha_N": 0.2, "alpha_D": 0.3, "log_ratio": 0.4},
    "broken_power:params": {"E": 1.2, "b_pivot": 1.4, "alpha": 0.1, "change": 0.4, "log_break": 0.5, "width": 0.6},
    "data_constrained": {"E": 1.8, "A_pivot": 0.4, "B_pivot": 0.5, "alpha": 0.34, "beta": 0.28, "R_star": 5.0},
    "coupled": {"E": 1.6, "c_pivot": 0.8, "alpha": 0.35, "beta": 0.3, "log_ratio": 0.4, "k": 0.5},
    "data_limited": {"E": 1.8, "A_pivot": 0.4, "B_pivot": 0.5, "alpha": 0.34, "beta": 0.28, "log_unique": -1.5},
    "overtrained": {"E": 1.8, "A_pivot": 0.4, "B_pivot": 0.5, "eta": 0.15},
    "saturating:flops": {"floor": 0.1, "range": 0.7, "alpha": 0.9, "log_half": 0.3},
}


def rows(law, count=48, seed=0):
    rng = np.random.default_rng(seed)
    spans = {"params": (1e6, 1e10), "tokens": (1e8, 1e12), "flops": (1e15, 1e21), "unique_tokens": (1e9, 2e10)}
    return {axis: np.exp(rng.uniform(*np.log(spans[axis]), count)) for axis in law.inputs}


@pytest.mark.parametrize("spec", AT)
@pytest.mark.parametrize("is_log", [True, False])
def test_gradient_and_hessian_agree_with_central_differences(spec, is_log):
    law = named(spec)
    x = Axes.of(rows(law))
    theta = np.array([AT[spec][name] for name in law.parameters])
    rng = np.random.default_rng(1)
    loss = law.predict(AT[spec], x) * np.exp(0.05 * rng.standard_normal(48))
    low, high = limits(law, {}, {})
    problem = Problem(law, x, loss, is_log, 0.1, True, low, high)
    here = derivatives.local(problem, theta[None], None)
    steps = 1e-5 * np.eye(len(theta))
    up, down = theta + steps, theta - steps
    gradient = (problem.misfit(up) - problem.misfit(down)) / 2e-5
    np.testing.assert_allclose(here.gradient[0], gradient, rtol=1e-5, atol=1e-6 * np.abs(gradient).max())
    hessian = (derivatives.local(problem, up, None).gradient - derivatives.local(problem, down, None).gradient) / 2e-5
    np.testing.assert_allclose(here.hessian[0], hessian, rtol=1e-5, atol=1e-6 * np.abs(hessian).max())


@pytest.mark.parametrize("spec", AT)
def test_planted_parameters_are_found(spec):
    law = named(spec)
    values = rows(law, 60)
    x = Axes.of(values)
    low, high = limits(law, {}, {})
    problem = Problem(law, x, law.predict(AT[spec], x), True, 0.01, True, low, high)
    found = solver.solve(problem, grid_starts(problem)[0])
    best = dict(zip(law.parameters, found.parameters[found.misfit.argmin()], strict=True))
    assert best == pytest.approx(AT[spec], rel=2e-4)


@pytest.mark.parametrize("spec", AT)
def test_a_law_is_built_again_from_its_text(spec):
    assert named(named(spec).spec) == named(spec)
    assert "arXiv" in named(spec).source


def test_derived_coefficients_give_the_papers_formula():
    law = named("chinchilla")
    x = Axes.of(rows(law))
    a = AT["chinchilla"] | law.derived(AT["chinchilla"], x.pivot)
    params, tokens = (np.exp(x[axis]) * x.pivot[axis] for axis in ("params", "tokens"))
    by_hand = a["E"] + a["A"] * params ** -a["alpha"] + a["B"] * tokens ** -a["beta"]
    np.testing.assert_allclose(law.predict(AT["chinchilla"], x), by_hand, rtol=1e-12)
    law = named("kaplan")
    a = AT["kaplan"] | law.derived(AT["kaplan"], x.pivot)
    by_hand = ((a["N_c"] / params) ** (a["alpha_N"] / a["alpha_D"]) + a["D_c"] / tokens) ** a["alpha_D"]
    np.testing.assert_allclose(law.predict(AT["kaplan"], x), by_hand, rtol=1e-12)
    law = named("overtrained")
    a = AT["overtrained"] | law.derived(AT["overtrained"], x.pivot)
    flops, multiple = 6 * params * tokens, tokens / params
    by_hand = a["E"] + (a["a"] * multiple ** a["eta"] + a["b"] * multiple ** -a["eta"]) * flops ** -a["eta"]
    np.testing.assert_allclose(law.predict(AT["overtrained"], x), by_hand, rtol=1e-12)


def test_repeated_tokens_are_worth_less_and_new_ones_the_same():
    law = named("data_constrained")
    at = {"params": [1e8] * 3, "tokens": [1e9, 1e10, 1e10], "unique_tokens": [1e10, 1e10, 1e9]}
    pivot = {"params": 1e8, "tokens": 1e9, "unique_tokens": 1e9}
    short, fresh, repeated = law.predict(AT["data_constrained"], Axes.of(at, pivot))
    plain = named("chinchilla")
    values = {name: AT["data_constrained"][name] for name in plain.parameters}
    both = plain.predict(values, Axes.of({k: at[k] for k in ("params", "tokens")}, pivot))
    assert short == pytest.approx(both[0], rel=1e-12)
    assert fresh == pytest.approx(both[1], rel=1e-12)
    assert both[0] > repeated > fresh


def test_an_unknown_law_or_axis_is_an_error_that_names_what_is_near():
    with pytest.raises(LawfulError, match="there are chinchilla and others"):
        named("chincilla")
    with pytest.raises(LawfulError, match="params, tokens, flops"):
        named("power_floor:width")


def test_a_users_own_law_is_one_file(tmp_path):
    (tmp_path / "half.py").write_text(
        "from lawful.laws import Law, Term\n"
        "class Half(Law):\n"
        "    name, formula, source = 'half', 'E + a N^-1/2', 'none'\n"
        "    inputs, coefficients, shapes = ('params',), ('E', 'a'), ()\n"
        "    def terms(self, shape, x):\n"
        "        return Term(), Term(-0.5 * x['params'])\n"
    )
    params = np.geomspace(1e6, 1e9, 8)
    rows = [{"params": n, "loss": 2 + 900 * n**-0.5} for n in params]
    found = fit(rows, named(f"{tmp_path}/half.py:Half"), draws=0)
    assert found.params["E"].value == pytest.approx(2, rel=1e-9)
