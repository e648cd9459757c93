"""The laws of the catalogue: their texts say what they mean, planted parameters are found, intervals hold."""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import lawful
from lawful.cli import app
from lawful.codes import CODES
from lawful.errors import LawfulError
from lawful.fitting import derivatives, solver
from lawful.fitting.data import sample
from lawful.fitting.problem import Problem
from lawful.fitting.quantiles import t_quantile
from lawful.fitting.search import limits
from lawful.fitting.starts import grid_starts
from lawful.formula.names import ROLES
from lawful.laws import FORMULA, Law, named
from lawful.laws.formula import Formula
from lawful.testing.test_laws import LAWS

TABLES = 40  # a right 95 % interval misses in 8 or more of them once in 10,000 times
MOST_MISSED = 7
NOISE = 0.002
SIZES, LENGTHS, COMPUTE = np.geomspace(1e7, 1e10, 6), np.geomspace(1e9, 1e12, 6), np.geomspace(1e17, 1e23, 40)
# law -> its parameters in the units of its text, and the values of its inputs, of which every combination is a run
PLANTED: dict[str, tuple[dict[str, float], dict[str, Any]]] = {
    "shifted": ({"E": 1.5, "A": 700.0, "s": 1e8, "alpha": 0.35}, {"params": np.geomspace(1e6, 1e11, 40)}),
    "data_constrained_full": (
        {"E": 1.9, "B": 1500.0, "h": 0.05, "alpha": 0.35, "R_N": 5.3, "R_D": 15.4},
        {"params": SIZES, "tokens": np.geomspace(1e9, 1e11, 5), "unique_tokens": np.array([1e8, 1e9, 1e10, 1e11])},
    ),
    "mixture_of_experts": (
        {"K": 12.0, "a": 0.08, "b": 0.09, "c": 0.0075},
        {"params": SIZES, "experts": np.array([1.0, 2, 4, 8, 16, 32, 64, 128])},
    ),
    "granularity": (
        {"E": 1.5, "g": 200.0, "gamma": 0.6, "a": 400.0, "alpha": 0.34, "B": 410.0, "beta": 0.28},
        {"params": SIZES, "tokens": LENGTHS[::2], "granularity": np.array([1.0, 2, 4, 8, 16])},
    ),
    "learning_rate_batch": (
        {"E": 1.5, "A": 400.0, "alpha": 0.34, "B": 410.0, "beta": 0.28}
        | {"k": 0.03, "c": 1.79, "a": 0.713, "b": 0.307, "m": 0.02, "d": 0.58, "e": 0.571},
        {
            "params": SIZES[::2],
            "tokens": LENGTHS[::2],
            "lr": np.geomspace(3e-4, 1e-2, 3),
            "batch": np.geomspace(1e5, 4e6, 3),
        },
    ),
    "precision": (
        {"E": 1.7, "A": 400.0, "alpha": 0.34, "g": 2.4, "B": 410.0, "beta": 0.28},
        {"params": SIZES, "tokens": LENGTHS[::2], "bits": np.array([2.0, 3, 4, 6, 8, 16])},
    ),
    "vocabulary": (
        {"E": 0.8, "A1": 50.0, "alpha1": 0.25, "A2": 40.0, "alpha2": 0.3, "B": 200.0, "beta": 0.27},
        {"params_non_vocab": SIZES, "params_vocab": np.geomspace(1e5, 1e9, 6), "tokens": LENGTHS[::2]},
    ),
    "mixture": (
        {"E": 2.1, "k": 1.1, "t1": -1.6, "t2": 0.4},
        {"share_1": np.array([0.0, 0.1, 0.2, 0.3, 0.5]), "share_2": np.array([0.0, 0.1, 0.25, 0.4, 0.5])},
    ),
    "sigmoid": ({"R0": 0.2, "gain": 0.6, "C_mid": 1e20, "B": 0.5}, {"flops": COMPUTE}),
    "downstream": (
        {"eps": 0.75, "k": 0.5, "a": 300.0, "alpha": 0.34, "b": 250.0, "beta": 0.28},
        {"params": np.geomspace(1e7, 1e10, 8), "tokens": np.geomspace(1e9, 1e12, 8)},
    ),
    "downstream_two_steps": (
        {"E": 1.4, "A": 80.0, "alpha": 0.22, "B": 180.0, "beta": 0.24, "eps": 0.76, "k": 1.5, "g": 1.0},
        {"params": SIZES[::2], "tokens": LENGTHS[::2], "is_error": np.array([0.0, 1.0])},
    ),
    "downstream_of_loss": ({"eps": 0.85, "k": 2.1, "g": 0.75}, {"upstream_loss": np.linspace(2, 5, 40)}),
    "annealing": (
        {"E": 2.4, "A": 0.5, "alpha": 0.5, "gain": 0.3},
        {"rate_sum": np.geomspace(0.2, 20, 12), "annealed": np.array([0.0, 0.05, 0.1, 0.3])},
    ),
    "parallel": (
        {"E": 1.3, "A": 800.0, "alpha": 0.2, "k": 0.33},
        {"params": SIZES, "streams": np.array([1.0, 2, 4, 8])},
    ),
}
CATALOGUE = [name for name, law in LAWS.items() if isinstance(law, Formula) and name != FORMULA]
each_law = pytest.mark.parametrize("name", CATALOGUE)


def expected_losses(law: Law, truth: dict[str, float], columns: dict[str, Any]) -> np.ndarray:
    """What Python makes of the law's text."""
    assert isinstance(law, Formula)
    letters = {letter: columns[axis] for letter, axis in ROLES.items() if axis in columns}
    letters |= {"x": columns[law.axis]} if law.axis else {}
    known = {"exp": np.exp, "log": np.log, "min": np.minimum, "max": np.maximum, **truth, **columns, **letters}
    return np.asarray(eval(law.text.replace("^", "**").replace("`", ""), {"__builtins__": {}}, known))


@functools.cache
def rows_of(name: str) -> tuple[list[dict[str, float]], np.ndarray]:
    """Rows without a loss, and the losses without noise."""
    truth, inputs = PLANTED[name]
    grid = np.meshgrid(*inputs.values(), indexing="ij")
    columns = {column: values.ravel() for column, values in zip(inputs, grid, strict=True)}
    rows = [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]
    return rows, expected_losses(named(name), truth, columns)


def test_every_law_of_the_catalogue_is_planted_here() -> None:
    assert set(PLANTED) == set(CATALOGUE)


@each_law
def test_planted_parameters_are_found(name: str) -> None:
    rows, level = rows_of(name)
    loss = level * np.exp(NOISE * np.random.default_rng(7).standard_normal(len(rows)))
    table = [{**row, "loss": float(one)} for row, one in zip(rows, loss, strict=True)]
    found = lawful.fit(table, name, draws=0)
    assert found.law == named(name).spec
    assert found.convergence.is_certified
    for parameter, value in PLANTED[name][0].items():
        low, high = found.params[parameter].ci95
        wider = 1.5 * (high - low)
        assert low - wider < value < high + wider, f"{parameter}: {value} far outside [{low}, {high}]"
        assert high - low < 2 * abs(value), f"{parameter} is determined"


@each_law
def test_intervals_hold_in_forty_tables(name: str) -> None:
    """Each from the least squares of its own table, with t quantiles of the covariance."""
    rows, level = rows_of(name)
    table = [{**row, "loss": float(one)} for row, one in zip(rows, level, strict=True)]
    law = named(name)
    data = sample(lawful.read_runs(table), law, dict.fromkeys(("loss", "cluster")))
    low, high = limits(law, {}, {})
    exact = Problem(law, data.x, data.loss, True, NOISE, True, low, high)
    starts = grid_starts(exact)[0]
    found = solver.solve(exact, starts)
    truth = found.parameters[found.misfit.argmin()]
    assert law.derived(dict(zip(law.parameters, truth, strict=True)), data.x.pivot).keys() <= {
        *PLANTED[name][0],
        *getattr(law, "derive", {}),
    }
    noisy = data.loss * np.exp(NOISE * np.random.default_rng(1).standard_normal((TABLES, len(rows))))
    many = Problem(law, data.x, noisy, True, NOISE, True, low, high)
    fits = solver.solve(many, np.repeat(truth[None], TABLES, axis=0), is_near=True).parameters
    dof = len(rows) - len(truth)
    pulls = []
    for own, losses in zip(fits, noisy, strict=True):
        one = Problem(law, data.x, losses, True, NOISE, True, low, high)
        slopes = derivatives.slopes(one, own)
        size = 1 / np.linalg.norm(slopes, axis=0)
        variance = (one.residuals(own[None])[0] ** 2).sum() / dof
        error = np.sqrt(variance * np.diag(np.linalg.inv((slopes * size).T @ (slopes * size)))) * size
        pulls.append((own - truth) / error)
    missed = dict(zip(law.parameters, (np.abs(pulls) > t_quantile(0.975, dof)).sum(axis=0).tolist(), strict=True))
    assert max(missed.values()) <= MOST_MISSED, missed
    assert 0.6 < np.mean(np.square(pulls)) < 1.6, "the intervals are as wide as the fits scatter"


@pytest.mark.parametrize("name", [name for name in LAWS if name != FORMULA])
def test_a_law_says_what_its_parameters_are_and_when_to_use_it(name: str) -> None:
    law = LAWS[name]
    text = getattr(law, "text", law.formula)
    assert law.when.endswith(".") and law.when_not.endswith(".")
    assert law.meaning, "each parameter has a line"
    for parameter in law.meaning:
        known = re.findall(r"\w+", text)
        assert parameter in (*known, *getattr(law, "derive", {}), "R_star"), f"{parameter} is of the formula"
    if isinstance(law, Formula):
        own = {name.removeprefix("log_").removesuffix("_pivot") for name in law.parameters}
        assert own <= law.meaning.keys()


def test_the_command_lists_the_laws_in_eighty_columns() -> None:
    done = CliRunner().invoke(app, ["laws"])
    assert done.exit_code == 0, done.output
    assert max(map(len, done.output.splitlines())) <= 80
    assert set(LAWS) - {FORMULA} <= set(done.output.splitlines())
    assert "K*N^-a*`experts`^" in done.output


@pytest.mark.parametrize("name", LAWS)
def test_the_command_explains_a_law_in_eighty_columns(name: str) -> None:
    assert name not in CODES, "a word means one thing"
    done = CliRunner().invoke(app, ["explain", name])
    assert done.exit_code == 0, done.output
    assert max(map(len, done.output.splitlines())) <= 80
    assert LAWS[name].source.split()[0] in done.output


def test_an_unknown_word_is_refused_with_what_is_near() -> None:
    done = CliRunner().invoke(app, ["explain", "kaplann"])
    assert isinstance(done.exception, LawfulError)
    assert "kaplan" in str(done.exception)


def test_a_derived_quantity_has_an_interval_and_a_wrong_one_is_an_error() -> None:
    rng = np.random.default_rng(2)
    rows = [
        {"params": n, "tokens": d, "loss": (1.7 + 400 * n**-0.34 + 410 * d**-0.28) * np.exp(rng.normal(0, 0.002))}
        for n in SIZES
        for d in LENGTHS
    ]
    law = lawful.Law("E + A/N^alpha + B/D^beta", derive={"N_exponent": "beta/(alpha + beta)"})
    own = lawful.fit(rows, law, draws=0).params["N_exponent"]
    assert own.role == "derived"
    assert own.ci95[0] < 0.28 / 0.62 < own.ci95[1] < 0.6
    with pytest.raises(LawfulError, match="derive: a: expected a parameter: E, A, alpha; got gamma"):
        lawful.Law("E + A/N^alpha", derive={"a": "alpha/gamma"})
    with pytest.raises(LawfulError, match="E is a parameter"):
        lawful.Law("E + A/N^alpha", derive={"E": "alpha"})
