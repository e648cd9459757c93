"""What a fit is in Python: names, levels, tables in and out, pictures, short texts, and examples that run."""

import doctest
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import polars
import pytest

import lawful
from lawful.errors import DeclarationError, LawfulError, StoreError
from lawful.fitting import profiles, uncertainty

RANDOM = np.random.default_rng(11)
SIZES, TOKENS = np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 6e10, 5)


def rows(gain: float = 1.0, **more: object) -> list[dict[str, object]]:
    """L = 1.7 + 400 N^-.34 + 410 D^-.28, the form of arXiv:2203.15556."""
    return [
        {"N": n, "D": d, "loss": (1.7 + 400 * (gain * n) ** -0.34 + 410 * d**-0.28) * np.exp(shake), **more}
        for n in SIZES
        for d in TOKENS
        for shake in [0.003 * RANDOM.standard_normal()]
    ]


RUNS = rows()


@pytest.fixture(scope="module")
def fit() -> lawful.Fit:
    return lawful.fit(RUNS, "chinchilla", draws=200)


def test_a_parameter_is_had_by_its_name(fit: lawful.Fit) -> None:
    assert fit["alpha"] is fit.params["alpha"]
    assert float(fit["alpha"]) == fit["alpha"].value
    assert "alpha" in fit and "loss" not in fit and 3 not in fit
    with pytest.raises(DeclarationError, match="has no parameter 'alhpa'; it has alpha"):
        fit["alhpa"]


def test_intervals_at_another_level_are_nested_around_those_of_95_per_cent(fit: lawful.Fit) -> None:
    assert fit.interval_method == uncertainty.BOOTSTRAP
    assert fit.conf_int() == {name: one.ci95 for name, one in fit.params.items()}
    levels = [fit.conf_int(level) for level in (0.5, 0.9, 0.95, 0.99)]
    for name, one in fit.params.items():
        lows, highs = zip(*(found[name] for found in levels), strict=True)
        assert list(lows) == sorted(lows, reverse=True) and list(highs) == sorted(highs), name
        assert lows[0] < one.value < highs[0]


def test_profiles_at_another_level_are_near_those_that_a_fit_at_that_level_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = [{"N": n, "loss": 1.7 + 400 * n**-0.34 + 0.004 * RANDOM.standard_normal()} for n in np.geomspace(1e6, 1e9, 9)]
    found = lawful.fit(few, "power_floor", draws=0).conf_int(0.8)
    monkeypatch.setattr(profiles, "LEVEL", 0.8)
    exact = lawful.fit(few, "power_floor", draws=0)
    for name in exact.free:
        low, high = exact.params[name].ci95
        assert found[name] == pytest.approx((low, high), abs=0.08 * (high - low)), name


def test_a_level_that_is_an_alpha_is_refused(fit: lawful.Fit) -> None:
    with pytest.raises(DeclarationError, match=r"for intervals of 95 %, level=0.95"):
        fit.conf_int(0.05)


def test_a_fit_predicts_a_table_of_either_library_as_it_does_each_point(fit: lawful.Fit) -> None:
    at = {"N": [1e8, 7e9], "D": [2e10, 1.4e11]}
    one_by_one = [fit.predict(params=n, tokens=d) for n, d in zip(at["N"], at["D"], strict=True)]
    for table in (pandas.DataFrame(at), polars.DataFrame(at), at, lawful.read_runs(RUNS)):
        found = fit.predict(table)
        if len(found) == 2:
            assert list(found) == one_by_one
    assert list(fit.predict(params=at["N"], tokens=np.array(at["D"]))) == one_by_one
    assert np.asarray(found) == pytest.approx([row.predicted for row in fit.residuals], rel=2e-3)
    frame = fit.predict(pandas.DataFrame(at, index=["a", "b"])).to_frame(polars.DataFrame)
    assert frame.columns == ["params", "tokens", "value", "low", "high", "extrapolation"]
    assert frame["value"].to_list() == [one.value for one in one_by_one]


def test_the_default_interval_is_that_of_the_command_line(fit: lawful.Fit) -> None:
    assert fit.predict(params=1e8, tokens=2e10).interval == "new_run"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            ({"N": [1e8], "tokens": [1e9]},),
            "the fit read tokens from a column 'D', in units of one; memory has 'N', 'to",
        ),
        (({"N": ["many"], "D": [1e9]},), "expected a number, got 'many'"),
        (({"N": [1e8, ""], "D": [1e9, 1e9]},), "row 2"),
        ((7e9,), "expected a table"),
    ],
)
def test_a_table_that_cannot_be_predicted_is_refused(fit: lawful.Fit, given: tuple[object], says: str) -> None:
    with pytest.raises(LawfulError, match=says):
        fit.predict(*given)


def test_a_table_in_other_units_than_the_fitted_numbers_is_refused_not_predicted() -> None:
    table = pandas.DataFrame([{**row, "N": row["N"] / 1e6} for row in RUNS]).rename(columns={"N": "params (M)"})
    found = lawful.fit(table, "chinchilla", draws=0)
    with pytest.raises(DeclarationError, match=r"read params from a column 'params \(M\) x 1e\+06', in units of one"):
        found.predict(table)
    assert found.predict(lawful.read_runs(table)).value[0] == pytest.approx(RUNS[0]["loss"], rel=0.02)


def test_a_law_with_levels_predicts_tables_and_names_the_row_of_an_unknown_one() -> None:
    table = pandas.DataFrame(
        {"optimizer": name, "N": n, "loss": 1.7 + 400 * (gain * n) ** -0.34}
        for name, gain in (("adam", 1.0), ("muon", 1.5))
        for n in SIZES
    )
    found = lawful.fit(table, "E + A[optimizer]/N^alpha", draws=0)
    assert found.predict(table).value == pytest.approx(table.loss, rel=1e-4)
    assert len(found.predict(table[:0])) == 0
    with pytest.raises(DeclarationError, match="DataFrame, row 2: optimizer: expected one of the levels"):
        found.predict(table.assign(optimizer=["adam", "lion", *["muon"] * 8]))


def test_arrays_of_two_lengths_and_a_bad_place_are_refused(fit: lawful.Fit) -> None:
    with pytest.raises(DeclarationError, match="arrays of one length, got others: params has 2, tokens has 1"):
        fit.predict(params=[1e8, 1e9], tokens=[1e9])
    with pytest.raises(DeclarationError, match=r"params: expected a number above 0, got -1. \(place 1"):
        fit.predict(params=[1e8, -1], tokens=1e9)


def test_a_fit_gives_its_parts_as_tables_of_either_library(fit: lawful.Fit) -> None:
    parameters = fit.to_frame()
    assert list(parameters.index) == list(fit.params)
    assert parameters.loc["alpha", "value"] == fit["alpha"].value
    residuals = fit.to_frame("residuals", polars.DataFrame)
    assert residuals["N"].to_list() == [row["N"] for row in RUNS]
    assert residuals["run"].to_list() == [str(number) for number in range(1, len(RUNS) + 1)]
    assert fit.to_frame("draws").shape == (200, len(fit.model.parameters))
    again = lawful.read_runs(lawful.read_runs(RUNS).to_frame(polars.DataFrame))
    assert [dict(row) for row in again] == [dict(row) for row in lawful.read_runs(RUNS)]


def test_the_names_of_statsmodels_say_what_they_say_there(fit: lawful.Fit) -> None:
    observed = np.array([row["loss"] for row in RUNS])
    law = [fit["E"].value + fit["A"].value * n ** -fit["alpha"].value + fit["B"].value * d ** -fit["beta"].value
           for n in SIZES for d in TOKENS]  # fmt: skip
    assert fit.fittedvalues == pytest.approx(law)
    assert fit.resid == pytest.approx(observed - law, abs=1e-12)
    assert (fit.nobs, fit.df_resid) == (25, 20)
    assert list(fit.bse) == list(fit.params) and fit.bse["alpha"] == fit["alpha"].stderr
    spread = np.sqrt(np.diag(fit.cov_params()))
    assert dict(zip(fit.free, spread, strict=True))["alpha"] == pytest.approx(fit.bse["alpha"], rel=0.5)


def test_predictions_of_a_frame_keep_its_index(fit: lawful.Fit) -> None:
    asked = pandas.DataFrame({"N": [1e8, 1e9, 2e9], "D": 1e10}, index=pandas.Index(["x", "y", "z"], name="model"))
    found = fit.predict(asked[asked.N > 5e8]).to_frame()
    assert found.index.equals(asked.index[1:]) and found.index.name == "model"
    assert fit.predict(params=[1e8], tokens=1e10).to_frame().index.tolist() == [0]


def test_a_run_without_a_name_is_called_by_its_row_however_the_table_is_sorted() -> None:
    shuffled = [RUNS[place] for place in np.random.default_rng(0).permutation(len(RUNS))]
    found = lawful.fit(shuffled, "chinchilla", draws=0)
    for number, (row, residual) in enumerate(zip(shuffled, found.residuals, strict=True), start=1):
        assert residual.run == str(number) and residual.observed == row["loss"]


def test_what_python_shows_is_short(fit: lawful.Fit) -> None:
    shown = repr(fit)
    assert shown.startswith("<Fit chinchilla, n 25: E 1.")
    for one in (fit, fit.predict(params=1e9, tokens=1e11), fit.predict(params=[1e9], tokens=1e11), lawful.design(fit)):
        assert len(repr(one)) < 500 and "\n" not in repr(one), repr(one)
    assert len(repr(lawful.read_runs(RUNS))) < 200


def test_a_notebook_shows_the_answer_its_chart_and_its_parameters(fit: lawful.Fit) -> None:
    shown = fit._repr_html_()
    assert (
        '<img alt="Loss against parameters N (N): 25 runs and the law chinchilla" src="data:image/png;base64,' in shown
    )
    assert "<td>alpha</td>" in shown
    assert len(shown) < 120_000


def test_the_law_is_drawn_into_axes_that_are_given(fit: lawful.Fit) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert fit.plot(ax=left) is figure and fit.plot_compute(ax=right) is figure
    marks = sum(len(line.get_xdata()) for line in left.lines if line.get_linestyle() == "None")
    assert marks == len(RUNS)
    (frontier,) = [line for line in right.lines if line.get_label() == "compute-optimal"]
    budget, best = frontier.get_xdata()[30], frontier.get_ydata()[30]
    assert best == pytest.approx(fit.allocate(flops=float(budget)).loss.value, rel=1e-3)
    with pytest.raises(DeclarationError, match="ax: expected Axes of matplotlib"):
        fit.plot(ax=figure)  # type: ignore[arg-type]


def test_a_question_to_a_fit_refuses_a_table() -> None:
    for ask in (lambda table: lawful.allocate(table, flops=1e20), lawful.holdout, lawful.design):
        with pytest.raises(DeclarationError, match=r"expected a fit, as lawful.fit\(runs\) gives it, got list"):
            ask(RUNS)


EXAMPLES: tuple[Callable[..., object], ...] = (
    lawful.fit,
    lawful.compare,
    lawful.crossover,
    lawful.allocate,
    lawful.isoflop,
    lawful.holdout,
    lawful.design,
    lawful.replay,
    lawful.load,
    lawful.read_runs,
    lawful.Fit.predict,
    lawful.Fit.conf_int,
    lawful.Fit.to_frame,
    lawful.Fit.plot,
)


@pytest.mark.parametrize("documented", EXAMPLES, ids=lambda one: one.__qualname__)
def test_the_example_of_a_docstring_runs(
    documented: Callable[..., object], fit: lawful.Fit, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    one_axis = [
        {"arm": arm, "N": n, "loss": 1.7 + 400 * (gain * n) ** -0.34 + 0.002 * RANDOM.standard_normal()}
        for arm, gain in (("base", 1.0), ("new", 1.5))
        for n in np.geomspace(1e6, 1e8, 8)
    ]
    budgets = [
        {"N": n, "D": c / 6 / n, "loss": 1.7 + 400 * n**-0.34 + 410 * (c / 6 / n) ** -0.28}
        for c in (1e18, 1e19, 1e20)
        for n in np.geomspace(0.1, 10, 9) * 0.6 * (c / 6) ** 0.46
    ]
    names = {"lawful": lawful, "fit": fit, "runs": RUNS, "arms": one_axis, "budgets": budgets}
    if documented is lawful.read_runs:
        names["read_runs"] = lawful.read_runs
    test = doctest.DocTestParser().get_doctest(documented.__doc__ or "", names, documented.__qualname__, None, 0)
    assert test.examples, "a public function has an example"
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not said, "".join(said)


def test_a_fit_is_a_mapping_of_its_parameters_to_python_too(fit: lawful.Fit) -> None:
    assert list(fit) == list(fit.params) and dict(fit) == dict(fit.params)


def test_a_fit_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file; expected a fit"):
        lawful.load(tmp_path / "none.json")
