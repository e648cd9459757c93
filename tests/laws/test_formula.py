"""A law as a formula: a grammar reads its text, its derivatives are exact, it fits as a hand-written law does."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import lawful
from lawful.cli import app
from lawful.errors import DeclarationError, LawfulError, Refusal, TableError
from lawful.fitting import derivatives
from lawful.fitting.problem import Problem
from lawful.fitting.search import limits
from lawful.formula import parse
from lawful.laws import Axes, Law, named, stored, to_data
from lawful.laws.formula import Formula
from lawful.testing.test_laws import ordinary

Row = dict[str, Any]
SPANS = {
    "params": (1e7, 1e10),
    "tokens": (1e9, 1e12),
    "flops": (1e17, 1e22),
    "unique_tokens": (1e10, 1e11),
    "lr": (1e-4, 1e-2),
    "experts": (1, 64),
}
LETTERS = {"N": "params", "D": "tokens", "C": "flops", "U": "unique_tokens", "lr": "lr", "experts": "experts"}
PYTHON = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "min": np.minimum,
    "max": np.maximum,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "bend": lambda x, at, width: (1 + (x / at) ** (1 / width)) ** width,
}
REPEATED = "E + A/N^alpha + B/(min(D, U)*(1 + R_star*(1 - exp(-max(D/U - 1, 0)/R_star))))^beta"
BROKEN = "E + b*N^-alpha*bend(N, x_break, width)^-change"
KAPLAN = "((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D"
RATE_OPTIMUM = "E + A/N^alpha + B/D^beta + k*log(`lr`/(c*N^-g))^2"
TEXTS = [
    "E + A/N^alpha + B/D^beta",
    KAPLAN,
    BROKEN,
    REPEATED,
    RATE_OPTIMUM,
    "floor + range/(1 + (N/half)^alpha)",
    "E + (A*N^(-a/k) + B*D^(-b/k))^k",
    "E + A*(N^-a + R*D^-b)^k",
    "R0 + (A - R0)/(1 + (C_mid/C)^B)",
    "E + a/(N + s)^b",
    "E + A/max(D, T)^b + sqrt(q/N)",
    "E*logistic(r*log(N)) + A*tanh(s*N) + 1/N^b",
    "E + A/(N/h^2)^a + B*log(N) + N^-c*D^(-c*d)",
    "A*N^-a*`experts`^(-b + c*log(N)/10) + E",
]
BY_LEVEL = [
    "E[kind] + A/N^alpha[kind]",
    "E + A[kind]/(N + s[kind])^b",
    "E + (A/N)^(alpha[kind]/beta) + exp(-r[kind]*N)",
]


def points(law: Law, rows: int = 60) -> Axes:
    rng = np.random.default_rng(0)
    values = {axis: np.exp(rng.uniform(*np.log(SPANS.get(axis, (1, 1))), rows)) for axis in law.inputs}
    return Axes.of(values | {axis: np.arange(rows) % len(own) + 1.0 for axis, own in law.categories.items()})


@pytest.mark.parametrize("text", TEXTS)
def test_the_value_is_that_of_the_text(text: str) -> None:
    """Python itself works the text out, with the parameters in the units of the text."""
    law = Formula(text)
    x, values = points(law), ordinary(law)
    names = {**values, **law.derived(values, x.pivot)}
    names |= {letter: x.pivot[axis] * np.exp(x[axis]) for letter, axis in LETTERS.items() if axis in law.inputs}
    expected = eval(text.replace("^", "**").replace("`", ""), {"__builtins__": {}}, {**PYTHON, **names})
    np.testing.assert_allclose(law.predict(values, x), expected, rtol=1e-11)


@pytest.mark.parametrize("text", BY_LEVEL)
def test_the_value_with_levels_is_that_of_the_text_for_each_level(text: str) -> None:
    law = Formula(text, levels={"kind": ("x", "y")})
    sizes, values = np.geomspace(1e7, 1e10, 10), ordinary(law)
    codes = np.tile([1.0, 2.0], 5)
    x = Axes.of({"params": sizes, "kind": codes})
    names = {**values, **law.derived(values, x.pivot)}
    for code, level in ((1.0, "x"), (2.0, "y")):
        own = {name.removesuffix(f"[{level}]"): value for name, value in names.items()}
        plain = text.replace("[kind]", "").replace("^", "**")
        expected = eval(plain, {"__builtins__": {}}, {**PYTHON, **own, "N": sizes[codes == code]})
        np.testing.assert_allclose(law.predict(values, x)[codes == code], expected, rtol=1e-11)


@pytest.mark.parametrize("text", [*TEXTS, *BY_LEVEL])
@pytest.mark.parametrize("is_log", [True, False])
def test_gradient_and_hessian_agree_with_central_differences(text: str, is_log: bool) -> None:
    law = Formula(text, levels={"kind": ("x", "y")} if "[" in text else {})
    x, theta = points(law), np.array([ordinary(law)[name] for name in law.parameters])
    loss = law.predict(ordinary(law), x) * np.exp(0.05 * np.random.default_rng(1).standard_normal(60))
    problem = Problem(law, x, loss, is_log, 0.1, True, *limits(law, {}, {}))
    here = derivatives.local(problem, theta[None], None)
    steps = 1e-5 * np.eye(len(theta))
    up, down = theta + steps, theta - steps
    gradient = (problem.misfit(up) - problem.misfit(down)) / 2e-5
    np.testing.assert_allclose(here.gradient[0], gradient, rtol=1e-5, atol=1e-5 * np.abs(gradient).max())
    hessian = (derivatives.local(problem, up, None).gradient - derivatives.local(problem, down, None).gradient) / 2e-5
    np.testing.assert_allclose(here.hessian[0], hessian, rtol=1e-5, atol=1e-6 * np.abs(hessian).max())


def rows_of(law: Law, values: dict[str, float], sizes: int = 6, lengths: int = 6, noise: float = 0.004) -> list[Row]:
    rows: list[Row] = [
        {"params": n, "tokens": d, "unique_tokens": 2e10}
        for n in np.geomspace(1e7, 1e10, sizes)
        for d in np.geomspace(1e9, 1e12, lengths)
    ]
    level = law.predict(values, Axes.of({axis: [row[axis] for row in rows] for axis in law.inputs}))
    loss = level * np.exp(noise * np.random.default_rng(3).standard_normal(len(rows)))
    return [{**row, "loss": float(one)} for row, one in zip(rows, loss, strict=True)]


@pytest.mark.parametrize(
    ("spec", "text", "values"),
    [
        ("chinchilla", TEXTS[0], {"E": 1.7, "A_pivot": 0.5, "B_pivot": 0.4, "alpha": 0.35, "beta": 0.3}),
        ("power_floor:params", "E + a/N^alpha", {"E": 1.7, "a_pivot": 0.5, "alpha": 0.35}),
        (
            "broken_power:params",
            BROKEN,
            {"E": 1.0, "b_pivot": 1.0, "alpha": 0.1, "change": 0.4, "log_break": 0.0, "width": 0.4},
        ),
        (
            "data_constrained",
            REPEATED,
            {"E": 1.7, "A_pivot": 0.5, "B_pivot": 0.4, "alpha": 0.35, "beta": 0.3, "R_star": 10.0},
        ),
        ("kaplan", KAPLAN, {"c_pivot": 2.0, "alpha_N": 0.08, "alpha_D": 0.1, "log_ratio": 0.3}),
    ],
)
@pytest.mark.parametrize("draws", [0, 200])
def test_it_fits_as_the_hand_written_law_does(spec: str, text: str, values: dict[str, float], draws: int) -> None:
    law = named(spec)
    sizes, lengths = (14, 3) if ":" in spec else (6, 6)
    rows = rows_of(law, {name: values[name] for name in law.parameters}, sizes, lengths)
    bounds = {s.name: (s.low, s.high) for s in law.shapes if s.name in ("alpha", "change", "width")}
    mine, theirs = (lawful.fit(rows, one, draws=draws) for one in (Formula(text, bounds=bounds), law))
    assert mine.convergence.is_certified
    assert mine.objective.value == pytest.approx(theirs.objective.value, rel=1e-6)
    shared = mine.params.keys() & theirs.params.keys()
    assert len(shared) >= len(law.parameters) - 2, "both say almost the same numbers"
    for name in shared:
        assert mine.params[name].value == pytest.approx(theirs.params[name].value, rel=1e-6), name
        assert mine.params[name].ci95 == pytest.approx(theirs.params[name].ci95, rel=1e-6), name


PLANTED = {  # text -> its parameters, the inputs, its bounds
    "E + A/N^alpha + B/D^beta": ({"E": 1.7, "A": 400.0, "alpha": 0.34, "B": 410.0, "beta": 0.28}, {}),
    KAPLAN: ({"N_c": 8.8e13, "alpha_N": 0.076, "D_c": 5.4e13, "alpha_D": 0.095}, {}),
    RATE_OPTIMUM: (
        {"E": 1.7, "A": 400.0, "alpha": 0.34, "B": 410.0, "beta": 0.28, "k": 0.05, "c": 0.3, "g": 0.25},
        {},
    ),
    "E + A*N^-a*`experts`^(-b + c*log(N))": ({"E": 1.0, "A": 40.0, "a": 0.2, "b": 0.25, "c": 0.01}, {}),
    "floor + range/(1 + (N/half)^alpha)": ({"floor": 0.1, "range": 0.8, "half": 3e8, "alpha": 0.7}, {}),
    "low + rise*(1 - 1/(1 + (C/half)^s))": ({"low": 0.25, "rise": 0.6, "half": 1e20, "s": 0.5}, {}),
    "top - A/N^alpha": ({"top": 0.9, "A": 10.0, "alpha": 0.2}, {}),
    "c + k*exp(r*log(N) + s*log(D))": (
        {"c": 1.8, "k": 40.0, "r": -0.2, "s": -0.05},
        {"r": (-10.0, 10.0), "s": (-10.0, 10.0)},
    ),
    "s + A*N^-a": ({"s": -0.3, "A": 20.0, "a": 0.15}, {"s": (-5.0, 5.0)}),
}


@pytest.mark.parametrize("text", PLANTED)
def test_planted_parameters_are_found(text: str) -> None:
    """The losses are worked out by Python, without the law."""
    truth, bounds = PLANTED[text]
    inputs = [name for name in LETTERS if name in {word.strip("`") for word in _words(text)}]
    rng = np.random.default_rng(5)
    x = {name: np.exp(rng.uniform(*np.log(SPANS[LETTERS[name]]), 80)) for name in inputs}
    x = {name: np.round(value) if name == "experts" else value for name, value in x.items()}
    level = eval(text.replace("^", "**").replace("`", ""), {"__builtins__": {}}, {**PYTHON, **truth, **x})
    loss = level * np.exp(0.001 * rng.standard_normal(80))
    columns = {LETTERS[name]: value for name, value in x.items()} | {"loss": loss}
    rows = [{name: float(value[i]) for name, value in columns.items()} for i in range(80)]
    found = lawful.fit(rows, Formula(text, bounds=bounds), draws=0)
    assert found.convergence.is_certified
    for name, value in truth.items():
        given = found.params[name]
        assert abs(given.value - value) < 4 * given.stderr, f"{name}: {given.value} +- {given.stderr}"
        assert given.stderr < abs(value), f"{name} is determined"


def _words(text: str) -> list[str]:
    return "".join(one if one.isalnum() or one in "_`" else " " for one in text).split()


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("E + A/N^alpha + ", "", "got the end"),
        ("E + A N^-alpha", "N^", "expected an operator"),
        ("E + (A/N^alpha", "", "to close the parenthesis"),
        ("E + A/N^alpha)", ")", "expected an operator"),
        ("E + A/N^alpha + B[2]*N", "2]", "expected B[COLUMN], got '2'"),
        ("E + A/N^alpha[", "", "expected alpha[COLUMN], got the end"),
        ("E + A[optimizer/N", "/N", "expected ']' after A[optimizer"),
        ("E + A[optimizer]/N + A/D", "A/D", "expected A with the same column everywhere"),
        ("E + A[lr]/N + `lr`", "`lr`", "lr is read as a number, and elsewhere by its levels"),
        ("E + [A]/N", "[", "expected a number, a name or a parenthesis, got '['"),
        ("E + A.real/N", ".real", "no formula holds '.'"),
        ("E + eval(N)", "eval", "no function is called 'eval'"),
        ("E + A(1 + N)", "A(", "A product is written with *"),
        ("E + exp(N, 2)", "exp", "exp takes 1 argument, got 2"),
        ("E + exp/N", "exp", "expected exp(...)"),
        ("E + A/0/N", "0", "divides by 0"),
        ("E + A*9^9^9^9/N", "9^9/N", "no finite number"),
        ("E + A*1e999/N", "1e999", "no finite number"),
        ("E + `learning rate/N", "`learning", "ends with another `"),
        ("E + " + "(" * 60 + "N" + ")" * 60, "", "inside each other"),
        ("E + " + "-" * 60 + "N", "", "inside each other"),
        ("E" + " + N" * 240, "", "at most 400 numbers, names and operations"),
        ("input(E) + E/N", "E/N", "as an input and as a parameter"),
        ("E + A*bend(N, a, 1/(1 + w))", "bend", "width of bend"),
        ("E + A/N^alpha + B/D²", "²", "a power is written N^2"),
    ],
)
def test_a_wrong_formula_is_an_error_with_a_caret_under_the_place(text: str, place: str, says: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        Formula(text)
    message, shown, caret = str(caught.value).split("\n")
    assert says in message
    assert caret.strip() == "^"
    if place:
        assert shown[caret.index("^") :].startswith(place)


@pytest.mark.parametrize(
    ("text", "settings", "says"),
    [
        ("E + alpha", {}, "reads no input"),
        ("1 + 1/N", {}, "no parameter"),
        ("E + A/N^alpha", {"bounds": {"gamma": (0, 1)}}, "no parameter gamma"),
        ("E + A/N^alpha", {"bounds": {"alpha": (1, 0)}}, r"expected \(LOW, HIGH\)"),
        ("E + A/N^alpha", {"bounds": {"alpha": (0, np.inf)}}, "two finite numbers"),
        ("E + A/N^alpha", {"start": {"E": 1.0}}, "enters linearly"),
        ("E + A/N^alpha", {"start": {"alpha": 30.0}}, "inside its bounds"),
        ("E + k*(log(N) - m)^2", {}, "where to seek m"),
        ("E + k*(log(N) - log(c))^2", {}, "where to seek c"),
        ("E + A/N^alpha + alpha_pivot*A_pivot", {}, "under one name"),
        (" + ".join(f"a{i}/N^b{i}" for i in range(20)), {}, "at most 40 parameters, 12 of them"),
    ],
)
def test_a_law_that_cannot_be_fitted_says_why(text: str, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        _ = Formula(text, **settings).for_table(["params"], {"params": "params"}).shapes


LR_ROWS = [
    {"params": n, "tokens": 1e10, "lr": lr, "E": e, "loss": 2 + 40 * n**-0.3 + 0.1 * np.log(lr / 1e-3) ** 2 + 0.1 / e}
    for n in (1e7, 3e7, 1e8, 3e8)
    for lr, e in ((1e-4, 1), (1e-3, 2), (1e-2, 4))
]


def test_columns_of_the_table_are_inputs_and_other_names_parameters() -> None:
    law = Formula("F + A/N^a + k*log(lr/c)^2").for_table(LR_ROWS[0].keys(), {"params": "params"})
    assert law.text == "F + A/N^a + k*log(`lr`/c)^2"
    assert law.inputs == ("params", "lr")
    assert law.reading == "inputs: N (params), lr; parameters: F, A, a, k, c"


def test_the_column_of_a_role_is_read_by_that_role_and_the_loss_is_no_input() -> None:
    law = Formula("F + A/n_params^a").for_table(["n_params", "loss"], {"params": "n_params", "loss": "loss"})
    assert law.inputs == ("params",)
    with pytest.raises(DeclarationError, match="reads loss, which is what it should give"):
        Formula("F + A/N^a + b*loss").for_table(["params", "loss"], {"params": "params", "loss": "loss"})


def test_a_name_that_may_be_both_is_an_error_with_both_readings() -> None:
    with pytest.raises(DeclarationError, match=r"input\(E\) for the column, else param\(E\)"):
        lawful.fit(LR_ROWS, "E + A/N^a")
    assert Formula("param(E) + A/N^a").for_table(LR_ROWS[0], {}).inputs == ("params",)
    assert Formula("F + A/N^a/input(E)^b").for_table(LR_ROWS[0], {}).inputs == ("params", "E")
    as_bounded = Formula("E + A/N^a", bounds={"E": (0, 5)}).for_table(LR_ROWS[0], {})
    assert as_bounded.inputs == ("params",), "who gives bounds has said that it is a parameter"
    with pytest.raises(DeclarationError, match=r"input\(D\) for the column, else input\(tokens\)"):
        Formula("F + A/D^a").for_table(["D", "tokens"], {"tokens": "tokens"})


@pytest.mark.parametrize("text", ["F + A/N^a + B/lr^b", "F + A/N^a + k*log(lr/c)^2", "F + A/N^a + B/(lr*N)"])
def test_a_zero_is_refused_where_the_law_is_not_finite(text: str) -> None:
    rows = [{**row, "lr": row["lr"] - 1e-4} for row in LR_ROWS]
    with pytest.raises(TableError, match="'lr' holds 0, where .* is no finite number"):
        lawful.fit(rows, text)


def test_a_zero_is_read_where_the_law_is_finite_and_a_number_below_it_is_refused() -> None:
    rng = np.random.default_rng(3)
    shares = [0.0, 0.1, 0.25, 0.5]
    rows = [
        {
            "params": n,
            "code": share,
            "loss": (1 + 40 * n**-0.3 + 0.2 * np.exp(-3 * share)) * np.exp(rng.normal(0, 1e-3)),
        }
        for n in np.geomspace(1e7, 1e10, 8)
        for share in shares
    ]
    text, bounds = "E + A/N^a + k*exp(t*code)", {"t": (-20.0, 20.0)}
    found = lawful.fit(rows, text, bounds=bounds, draws=200)
    low, high = found.params["t"].ci95
    assert low < -3 < high and high - low < 2
    assert found.predict(params=1e9, code=0.0).value == pytest.approx(1.28, abs=0.01)
    with pytest.raises(LawfulError, match="code: expected a number of at least 0, got -0.1"):
        found.predict(params=1e9, code=-0.1)
    with pytest.raises(TableError, match="reads numbers from 0 on, some above it, got -0.1"):
        lawful.fit([{**row, "code": row["code"] - 0.1} for row in rows], text, bounds=bounds)


def test_a_column_with_an_odd_name_is_an_input_between_backticks() -> None:
    rows = [{**row, "peak lr (max)": row["lr"]} for row in LR_ROWS]
    found = lawful.fit(rows, "F + A/N^a + k*log(`peak lr (max)`/c)^2", draws=0)
    assert found.params["c"].value == pytest.approx(1e-3, rel=0.2)
    assert found.predict(params=1e8, **{"peak lr (max)": 1e-3}).value == pytest.approx(2.26, abs=0.1)


def test_text_bounds_and_settings_are_stored_and_built_again(tmp_path: Path) -> None:
    law = lawful.Law(
        "F + A/N^a", bounds={"F": (-1, 5), "a": (0.05, 3.0)}, start={"a": 0.3}, name="mine", source="a guess"
    )
    assert isinstance(law, Formula)
    assert stored(to_data(law)) == law
    assert stored(json.loads(json.dumps(to_data(law)))) == law
    assert named(Formula("F + A/N^a").spec) == Formula("F + A/N^a")
    found = lawful.fit(LR_ROWS, "F + A/N^a + k*log(lr/c)^2", bounds={"F": (0.0, 3.0)}, draws=0)
    found.to_json(tmp_path / "fit.json")
    again = lawful.Fit.from_json(tmp_path / "fit.json")
    assert again == found
    assert again.model.bounds == {"F": (0.0, 3.0)}
    assert again.predict(params=1e9, lr=1e-3) == found.predict(params=1e9, lr=1e-3)


def test_bounds_of_a_coefficient_hold_in_the_units_of_the_text() -> None:
    rows = rows_of(named("power_floor:params"), {"E": 1.7, "a_pivot": 0.5, "alpha": 0.35}, lengths=2)
    free = lawful.fit(rows, "E + a/N^alpha", draws=0)
    held = lawful.fit(rows, "E + a/N^alpha", bounds={"a": (1.0, 100.0)}, draws=0)
    assert free.params["a"].value > 200
    assert held.params["a"].value == pytest.approx(100.0)
    for pair in ((1.0, 1e6), (0.0, np.inf)):
        wide = lawful.fit(rows, "E + a/N^alpha", bounds={"a": pair}, draws=0)
        assert wide.params["a"].value == pytest.approx(free.params["a"].value, rel=1e-5)


@pytest.mark.parametrize(
    "settings", [{}, {"bounds": {"h": (1e6, 1e10)}}, {"bounds": {"h": (0, 1e10)}}, {"start": {"h": 1e8, "a": 0.5}}]
)
def test_a_scale_is_found_whatever_is_told_of_its_range(settings: dict[str, Any]) -> None:
    sizes = np.geomspace(1e6, 1e10, 30)
    losses = (1 + 2 / (1 + (sizes / 1e8) ** 0.6)) * np.exp(0.001 * np.random.default_rng(8).standard_normal(30))
    rows = [{"params": n, "loss": one} for n, one in zip(sizes, losses, strict=True)]
    found = lawful.fit(rows, Formula("E + r/(1 + (N/h)^a)", **settings), draws=0)
    assert found.convergence.is_certified
    assert found.params["h"].value == pytest.approx(1e8, rel=0.05)


def optimizer_rows(noise: float = 0.002) -> list[Row]:
    rng = np.random.default_rng(6)
    alpha, factor = {"adamw": 0.3, "muon": 0.4, "sgd": 0.25}, {"adamw": 60.0, "muon": 300.0, "sgd": 25.0}
    return [
        {
            "params": n,
            "optimizer": o,
            "loss": (1.5 + factor[o] * n ** -alpha[o]) * np.exp(noise * rng.standard_normal()),
        }
        for n in np.geomspace(1e6, 1e10, 12)
        for o in alpha
    ]


def test_a_parameter_has_one_value_for_each_level_of_a_column() -> None:
    """As three fits of one law each would have it, but for the floor that they share."""
    rows = optimizer_rows()
    found = lawful.fit(rows, "E + A[optimizer]/N^alpha[optimizer]", draws=0)
    assert found.convergence.is_certified
    for level, alpha, factor in (("adamw", 0.3, 60.0), ("muon", 0.4, 300.0), ("sgd", 0.25, 25.0)):
        low, high = found.params[f"alpha[{level}]"].ci95
        assert low < alpha < high and high - low < 0.1
        assert found.params[f"A[{level}]"].ci95[0] < factor < found.params[f"A[{level}]"].ci95[1]
    assert found.predict(params=1e8, optimizer="muon").value == pytest.approx(1.5 + 300 * 1e8**-0.4, rel=0.003)
    assert found.predict(params=1e8, optimizer="muon").at == {"params": 1e8, "optimizer": "muon"}
    with pytest.raises(
        DeclarationError, match=r"expected one of the levels that were fitted \(adamw, muon, sgd\), got"
    ):
        found.predict(params=1e8, optimizer="lion")
    assert stored(json.loads(json.dumps(to_data(found.model)))) == found.model
    assert lawful.Fit.from_json(found.to_json()) == found


def test_a_scale_has_levels_and_bounds_hold_for_each() -> None:
    rng, half = np.random.default_rng(9), {"a": 3e7, "b": 3e8}
    rows = [
        {"params": n, "kind": k, "loss": (1 + 2 / (1 + (n / half[k]) ** 0.6)) * np.exp(0.001 * rng.standard_normal())}
        for n in np.geomspace(1e6, 1e10, 16)
        for k in half
    ]
    for bounds in ({}, {"h": (1e5, 1e11)}):
        found = lawful.fit(rows, "E + r/(1 + (N/h[kind])^s)", bounds=bounds, draws=0)
        assert found.convergence.is_certified
        assert found.params["h[a]"].value == pytest.approx(3e7, rel=0.1)
        assert found.params["h[b]"].value == pytest.approx(3e8, rel=0.1)
    held = lawful.fit(rows, "E + r/(1 + (N/h[kind])^s)", bounds={"h[a]": (1e6, 1e9), "h[b]": (1e6, 1e8)}, draws=0)
    assert 1e6 * (1 - 1e-9) <= held.params["h[b]"].value <= 1e8 * (1 + 1e-9)


def test_levels_of_one_scale_are_bounded_together_or_asked_for() -> None:
    text = "E + r/(1 + (N/h[kind])^s)"
    columns, levels = ["params", "kind"], {"kind": ("a", "b")}
    with pytest.raises(DeclarationError, match=r"where to seek h\[b\] cannot be told"):
        Formula(text, bounds={"h[a]": (1e6, 1e9)}, levels=levels).for_table(columns, {"params": "params"})
    mixed = Formula("E + exp(-r[kind]*`lr`)", bounds={"r[a]": (1e-3, 1e5), "r[b]": (0.5, 2.0)}, levels=levels)
    assert mixed.parameters == ("E", "log_r[a]", "r[b]")
    x = Axes.of({"lr": [0.5, 0.5], "kind": [1.0, 2.0]})
    got = mixed.predict({"E": 1.0, "log_r[a]": np.log(3.0), "r[b]": 1.5}, x)
    np.testing.assert_allclose(got, 1 + np.exp([-1.5, -0.75]))


def test_a_column_of_levels_must_be_there_and_filled() -> None:
    rows = optimizer_rows()
    with pytest.raises(DeclarationError, match="the table has no column 'optimiser'"):
        lawful.fit(rows, "E + A[optimiser]/N^alpha")
    with pytest.raises(TableError, match="'optimizer': expected a level in each row, got an empty cell"):
        lawful.fit([{**rows[0], "optimizer": ""}, *rows[1:]], "E + A[optimizer]/N^alpha")


def test_a_signed_coefficient_is_found_where_bounds_allow_it() -> None:
    rows = [{**row, "loss": row["loss"] - 0.05 * np.log(row["params"])} for row in LR_ROWS]
    text = "F + A/N^0.3 + q*log(N) + k*log(lr/c)^2"
    signed = lawful.fit(rows, text, bounds={"q": (-np.inf, np.inf)}, draws=0)
    assert signed.params["q"].value == pytest.approx(-0.05, abs=0.02)
    assert lawful.fit(rows, text, draws=0).params["q"].value >= 0


@pytest.mark.parametrize(("text", "name"), [("F + A/N^a + q*lr", "q"), ("F + A*exp(-q*lr)/N^a", "q")])
def test_where_only_a_sign_is_in_the_way_the_refusal_says_so(text: str, name: str) -> None:
    rng = np.random.default_rng(6)
    way = -40.0 if "exp" not in text else 40.0
    rows = [
        {**row, "loss": (2 + 40 * row["params"] ** -0.3 + way * row["lr"]) * np.exp(0.002 * rng.standard_normal())}
        for row in LR_ROWS
    ]
    with pytest.raises(Refusal, match=f"with {name} at a bound.*--bounds {name}=LOW:HIGH") as caught:
        lawful.fit(rows, text, draws=0)
    assert "does not fall" not in str(caught.value), "it does, or it rises, and the law cannot follow"
    assert lawful.fit(rows, text, bounds={name: (-500.0, 500.0)}, draws=0).params[name].value < 0


def test_a_base_whose_exponent_is_an_input_is_found() -> None:
    """r^lr times a power of N: on each row another power of r, which takes up no unit of N."""
    rng = np.random.default_rng(5)
    rows = [
        {**row, "loss": (1.7 + 300 * (row["params"] * 0.3 ** (100 * row["lr"])) ** -0.3) * (1 + noise)}
        for row, noise in zip(LR_ROWS, 0.001 * rng.standard_normal(len(LR_ROWS)), strict=True)
    ]
    fit = lawful.fit(rows, "F + A/(N*r^(100*lr))^a")
    for name, planted in {"F": 1.7, "A": 300, "r": 0.3, "a": 0.3}.items():
        assert fit.params[name].ci95[0] < planted < fit.params[name].ci95[1]


def test_a_fixed_value_is_in_the_units_of_the_formula_and_leaves_the_fit_that_bounds_around_it_give() -> None:
    rows = [{**row, "loss": 1.7 + 300 * row["params"] ** -0.3 + 5 * np.exp(-row["lr"] / 0.004)} for row in LR_ROWS]
    text = "F + A/N^a + k*exp(-lr/h)"
    fixed = lawful.fit(rows, text, fixed={"A": 310.0, "h": 0.004}, draws=0)
    assert fixed.formula == "F + 310/N^a + k*exp(-`lr`/0.004)"
    near = lawful.fit(rows, text, bounds={"A": (309.999, 310.001), "h": (0.0039999, 0.0040001)}, draws=0)
    for name in ("F", "a", "k"):
        assert fixed.params[name].value == pytest.approx(near.params[name].value, rel=1e-4)
    assert stored(to_data(fixed.model)).formula == fixed.formula
    with pytest.raises(DeclarationError, match="fixed: h: expected a number from 0 to inf, got -1"):
        lawful.fit(rows, text, fixed={"h": -1.0}, draws=0)


@pytest.mark.parametrize(("text", "names"), [("E0 + F + A/N^a", "E0 and F"), ("F + (A/N^a)^b", "log_A and a and b")])
def test_parameters_that_stand_for_one_another_are_named(text: str, names: str) -> None:
    rng = np.random.default_rng(5)
    rows = [
        {"params": n, "loss": (1.7 + 300 * n**-0.3) * np.exp(0.002 * rng.standard_normal())}
        for n in np.geomspace(1e6, 1e9, 12)
    ]
    sentences = [one.sentence for one in lawful.fit(rows, text, draws=0).warnings if one.code == "not_certified"]
    assert len(sentences) == 1
    assert f"Other values of {names} together fit as well" in sentences[0]


def test_a_law_that_is_no_number_on_the_rows_is_refused() -> None:
    with pytest.raises(DeclarationError, match="a logarithm or a root of what is negative"):
        lawful.fit(LR_ROWS, "F + A/N^a + k*sqrt(log(lr))")


def test_a_coefficient_that_is_far_larger_than_a_loss_has_an_interval() -> None:
    rng = np.random.default_rng(2)
    sizes = np.geomspace(1e6, 1e10, 24)
    losses = (1.5 + 3e7 / np.log(sizes) ** 6) * np.exp(0.002 * rng.standard_normal(24))
    rows = [{"params": n, "loss": one} for n, one in zip(sizes, losses, strict=True)]
    coefficient = lawful.fit(rows, "E + A/log(N)^6", draws=0).params["A"]
    assert coefficient.ci95[0] < 3e7 < coefficient.ci95[1]
    assert coefficient.stderr < 1e6


def test_two_arms_are_compared_under_a_formula_as_under_the_hand_written_law() -> None:
    rng = np.random.default_rng(4)
    rows = [
        {"arm": arm, "params": n, "loss": (1.7 + factor * 400 * n**-0.34) * np.exp(0.003 * rng.standard_normal())}
        for arm, factor in (("a", 1.0), ("b", 0.93))
        for n in np.geomspace(1e7, 1e10, 12)
    ]
    mine, theirs = (lawful.compare(rows, "arm", law=law) for law in ("E + A/N^alpha", "power_floor:params"))
    assert mine.sentence == theirs.sentence


def test_arms_are_compared_under_bounds_and_values_in_the_units_of_the_formula() -> None:
    rng = np.random.default_rng(4)
    rows = [
        {"arm": arm, "params": n, "loss": (1.7 + factor * 400 * n**-0.34) * np.exp(0.003 * rng.standard_normal())}
        for arm, factor in (("a", 1.0), ("b", 0.93))
        for n in np.geomspace(1e7, 1e10, 12)
    ]
    free = lawful.compare(rows, "arm", law="E + A/N^alpha")
    wide = lawful.compare(rows, "arm", law="E + A/N^alpha", bounds={"A": (0, np.inf)})
    assert wide.sentence == free.sentence
    held = lawful.compare(rows, "arm", law="E + A/N^alpha", fixed={"A": 400.0})
    assert held.sentence == lawful.compare(rows, "arm", law="E + 400/N^alpha").sentence


def test_random_texts_are_formulas_or_lawfuls_own_errors() -> None:
    rng = np.random.default_rng(11)
    pieces = [*"+-*/^(),N D.E[]`\n", "alpha", "2", "1e3", "exp(", "log(", "max(", "bend(", "input(", "**", "é", "\x00"]
    read = 0
    for number in range(3000):
        text = str(rng.choice(TEXTS)) if number % 2 else ""
        for _ in range(rng.integers(1, 4) if number % 2 else rng.integers(1, 25)):
            first, last = np.sort(rng.integers(0, len(text) + 1, 2))
            text = text[:first] + str(rng.choice(pieces)) + text[min(last, first + 2) :]
        try:
            law = Formula(text)
            _ = law.for_table(["lr"], {}).parameters
            read += 1
        except LawfulError as error:
            assert len(str(error)) < 1000
    assert read > 20, "some are formulas"


@pytest.mark.parametrize(
    "text",
    [
        "E + " + "(a + b*" * 39 + "N" + ")" * 39,
        "E + " + "N^(b*" * 19 + "N" + ")" * 19,
        "E + " + "bend(" * 39 + "N" + ", a, w)" * 39,
        "E + " + "max(N, " * 39 + "D" + ")" * 39,
        "E + " + "*".join(f"(a{i} + N)" for i in range(30)),
        "E + " + "log(" * 39 + "N" + ")" * 39,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    before = time.process_time()
    try:
        law = Formula(text).for_table([], {})
        law.predict(ordinary(law), points(law))
    except LawfulError:
        pass
    assert time.process_time() - before < 2


def test_numbers_are_worked_out_and_powers_bind_as_on_paper() -> None:
    assert parse.parse("2^3^2 - -4*2") == parse.Num(520.0)
    assert parse.parse("-2^2") == parse.Num(-4.0)
    assert parse.parse("2**-1") == parse.Num(0.5)


def test_the_command_line_fits_a_formula(tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    names = ("params", "tokens", "lr", "loss")
    lines = [",".join(names), *(",".join(f"{row[name]:.9g}" for name in names) for row in LR_ROWS)]
    table.write_text("\n".join(lines) + "\n")
    law = ["--law", "F + A/N^a + k*log(lr/c)^2", "--draws", "0"]
    done = CliRunner().invoke(app, ["fit", str(table), *law, "--bounds", "F=0:5"])
    assert done.exit_code == 0, done.output
    assert "inputs: N (params), lr; parameters: F, A, a, k, c" in done.output
    done = CliRunner().invoke(app, ["predict", str(table), *law, "--params", "1e9", "--at", "lr=1e-3"])
    assert done.exit_code == 0, done.output
    assert "lr 0.001: 2." in done.output
    done = CliRunner().invoke(app, ["holdout", str(table), *law, "--largest", "params"])
    assert done.exit_code in (0, 4), done.output
    done = CliRunner().invoke(app, ["fit", str(table), "--law", "F + A//N"])
    assert done.exit_code == 1
    assert str(done.exception).endswith("F + A//N\n        ^")


def test_runs_are_held_out_where_a_law_has_levels_and_where_an_input_is_zero() -> None:
    found = lawful.fit(optimizer_rows(), "E + A[optimizer]/N^alpha", draws=0)
    largest = found.holdout(largest="params")
    assert len(largest.rows) == 3
    assert {row.prediction.at["optimizer"] for row in largest.rows} == {"adamw", "muon", "sgd"}
    assert "optimizer one of adamw, muon, sgd" in found.summary()
    rng = np.random.default_rng(5)
    rows = [
        {"code": a, "web": b, "loss": (2 + 1.1 * np.exp(-1.6 * a + 0.4 * b)) * np.exp(rng.normal(0, 0.001))}
        for a in (0.0, 0.1, 0.2, 0.3, 0.5)
        for b in (0.0, 0.1, 0.25, 0.5)
    ]
    law = Formula("E + k*exp(s*`code` + t*`web`)", bounds={"s": (-9.0, 9.0), "t": (-9.0, 9.0)})
    over = lawful.fit(rows, law, draws=0).holdout()
    assert len(over.rows) == 4
    assert max(abs(row.error_relative) for row in over.rows) < 0.01
    assert all(np.isfinite([row.last_value, row.straight_line]).all() for row in over.rows)


def test_arms_that_a_law_tells_apart_already_are_not_compared() -> None:
    with pytest.raises(DeclarationError, match="parameters of its own for each optimizer"):
        lawful.compare(optimizer_rows(), "optimizer", law="E + A[optimizer]/N^alpha")


def test_a_column_that_a_named_law_reads_and_the_table_lacks_is_named() -> None:
    with pytest.raises(TableError, match="the law reads a column 'bits'; the table has params, tokens, lr, E, loss"):
        lawful.fit([{**row, "tokens": 1e10 * row["E"]} for row in LR_ROWS], "precision")


def test_a_table_has_a_page_with_a_law_of_free_sign(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    lines = ["params,tokens,mix,loss"]
    for n in np.geomspace(1e6, 1e9, 5):
        for mix in (0.1, 0.5, 1.0):
            loss = (1.7 + 300 * n**-0.3 - 0.2 * mix) * np.exp(0.002 * rng.standard_normal())
            lines.append(f"{n:.0f},10000000000,{mix},{loss}")
    (tmp_path / "runs.csv").write_text("\n".join(lines))
    page = str(tmp_path / "page.html")
    asked = ["report", str(tmp_path / "runs.csv"), "--out", page, "--law", "E + A/N^alpha + k*mix", "--bounds"]
    done = CliRunner().invoke(app, [*asked, "k=-inf:inf"])
    assert done.exit_code == 0, done.output
    assert "the loss falls by" in done.output
    assert re.search(r"[-−]0\.(19|20)", Path(page).read_text()), "the coefficient, below 0"
    wrong = CliRunner().invoke(app, [*asked, "q=0:1"])
    assert "--bounds: q: expected parameters of a formula" in str(wrong.exception)
