"""Laws of accuracies and of other metrics than losses: noise, intervals, words, and what is refused."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import lawful
from lawful.cli import app
from lawful.errors import LawfulError, Refusal, TableError
from lawful.fitting import Fit
from lawful.fitting.against import against
from lawful.fitting.answer_table import answer_of_fit
from lawful.fitting.curve_interval import mean_interval
from lawful.fitting.default_law import resolved
from lawful.fitting.headline import of_fit
from lawful.fitting.holdout import holdout
from lawful.fitting.ranking import with_ranking
from lawful.report.calculator import calculation
from lawful.report.law_charts import question_charts
from lawful.report.law_curve import law_curve
from lawful.report.table_page import evidence_of_table
from lawful.tables import Observations, read_runs, write_csv
from lawful.tables.convert import tidy

COMPUTE = np.repeat(np.geomspace(1e18, 1e22, 12), 2)
ITEMS = 2_000


def rise(flops: Any, middle: float = 1e20, steepness: float = 0.6) -> Any:
    return 0.25 + 0.6 / (1 + (middle / np.asarray(flops)) ** steepness)


def planted(seed: int = 0, times: float = 1.0, middle: float = 1e20, steepness: float = 0.6) -> list[dict[str, float]]:
    """A sigmoid above a chance level of .25, with the noise of counts."""
    draw = np.random.default_rng(seed)
    right = draw.binomial(ITEMS, rise(COMPUTE, middle, steepness)) / ITEMS
    return [
        {"flops": flops, "seed": i % 2, "hellaswag_acc": times * share, "n": ITEMS}
        for i, (flops, share) in enumerate(zip(COMPUTE, right, strict=True))
    ]


def table(rows: list[dict[str, float]], **how: Any) -> Observations:
    return read_runs(rows, loss="hellaswag_acc", **{"chance": 0.25, "trials": "n"} | how)


@cache
def fitted() -> Fit:
    return lawful.fit(table(planted()), "sigmoid", draws=0)


def test_the_point_is_that_of_a_binomial_likelihood() -> None:
    """Against scipy's minimum of the likelihood; the robust fit moves by a part of the standard error."""
    optimize = pytest.importorskip("scipy.optimize")
    share = np.array([row["hellaswag_acc"] for row in planted()])

    def misfit(p: Any) -> float:
        law = np.clip(p[0] + p[1] / (1 + np.exp(-p[3] * (np.log(COMPUTE / 1e20) - p[2]))), 1e-6, 1 - 1e-6)
        return float(-ITEMS * (share * np.log(law) + (1 - share) * np.log(1 - law)).sum())

    best = optimize.minimize(misfit, (0.25, 0.6, 0.0, 0.6), method="Nelder-Mead", options={"maxiter": 4000}).x
    found = fitted().params
    for name, value in zip(("R0", "gain", "log_C_mid", "B"), best, strict=True):
        assert found[name].value == pytest.approx(value, abs=0.7 * found[name].stderr), name


def test_its_intervals_hold_the_truth_and_end_at_chance_and_one() -> None:
    found = fitted()
    assert found.params["ceiling"].ci95[0] < 0.85 < found.params["ceiling"].ci95[1]
    for flops in (1e8, 1e16, 1e23, 1e40):
        mean, run = (found.predict(flops=flops, interval=kind) for kind in ("mean", "new_run"))  # type: ignore[arg-type]
        assert 0.25 <= mean.low <= mean.value <= mean.high <= 1.0
        assert mean.low <= rise(flops) <= mean.high
        assert 0.0 <= run.low < mean.low and mean.high < run.high <= 1.0
    assert found.predict(flops=1e8, interval="new_run").low < 0.25  # a run at chance may have fewer right answers


def test_rows_at_chance_and_below_it_are_fitted_as_they_are() -> None:
    rows = planted(middle=1e22, steepness=2.0)
    assert sum(row["hellaswag_acc"] <= 0.25 for row in rows) > 5
    found = lawful.fit(table(rows), "sigmoid", draws=0, fixed={"R0": 0.25})
    assert found.goodness.n == len(rows)
    assert {"at_chance", "ceiling_open"} <= {one.code for one in found.warnings}
    assert not {"at_chance", "ceiling_open"} & {one.code for one in fitted().warnings}


@pytest.mark.parametrize(("chance", "is_worse"), [(0.5, True), (0.25, False), (0.2, False)])
def test_a_chance_level_that_the_law_lies_below_is_said(chance: float, is_worse: bool) -> None:
    found = lawful.fit(table(planted(), chance=chance), "sigmoid", draws=0)
    said = [one.sentence for one in found.warnings if one.code == "below_chance"]
    assert bool(said) == is_worse
    if said:
        below = (rise(COMPUTE) < chance).sum()
        assert "the chance level 0.5" in said[0] and abs(int(said[0].split()[1]) - below) <= 2


def test_per_cent_gives_the_same_law_as_shares() -> None:
    per_cent = lawful.fit(table(planted(times=100.0)), "sigmoid", draws=0)
    for name, own in fitted().params.items():
        assert per_cent.params[name].value == pytest.approx(own.value, rel=1e-6), name


def test_counts_that_scatter_further_are_said_to() -> None:
    rows = [{**row, "n": 100 * ITEMS} for row in planted()]
    found = lawful.fit(table(rows), "sigmoid", draws=0)
    assert found.error_bars is not None and found.error_bars.scatter > 5
    assert "overdispersed" in {one.code for one in found.warnings}
    width, own = (np.ptp(one.params["ceiling"].ci95) for one in (found, fitted()))
    assert width == pytest.approx(own, rel=0.2)  # intervals follow the scatter


def test_no_word_says_that_an_accuracy_is_a_loss_or_falls() -> None:
    found = fitted()
    held = holdout(found)
    answer = answer_of_fit(table(planted()), found)
    said = [of_fit(found).sentence, held.sentence, answer.sentence, answer.question.asks, found.summary()]
    said += [one.sentence for one in found.warnings]
    assert "rises from" in said[0] and "rises from" in answer.sentence
    assert not any(word in text.lower() for text in said for word in ("loss", "falls", "log odds")), said
    assert 0 < held.rmse_log < 0.1 and held.coverage >= 0.5


def test_a_fit_keeps_its_response_in_json(tmp_path: Any) -> None:
    found = fitted()
    again = Fit.from_json(json.loads(json.dumps(found.to_json())))
    assert again.data.response == found.data.response
    assert again.predict(flops=1e23) == found.predict(flops=1e23)
    assert again.doubt.form.trend == pytest.approx(found.doubt.form.trend, rel=1e-3)
    older = found.to_json()
    del older["data"]["response"]  # type: ignore[union-attr,index,arg-type]
    assert Fit.from_json(older).data.response.is_log


def test_a_rising_formula_is_fitted_and_said_to_rise() -> None:
    draw = np.random.default_rng(3)
    share = 1 - 0.3 * (COMPUTE / 1e20) ** -0.15
    rows = [
        {"flops": flops, "seed": i % 2, "acc": float(draw.binomial(5_000, one) / 5_000)}
        for i, (flops, one) in enumerate(zip(COMPUTE, share, strict=True))
    ]
    found = lawful.fit(rows, "1 - a*(C/1e20)^-b", loss="acc", draws=0)
    low, high = found.params["b"].ci95
    assert low < 0.15 < high and "rises" in of_fit(found).sentence
    beside = {one.law for one in with_ranking(found).ranking}  # laws of shares, none of losses that fall
    assert beside == {found.law, "sigmoid", "top - a*C^-b", "1 - a*C^-b"}
    ahead = found.predict(flops=1e24, interval="mean")  # over the laws that fit as well
    assert sum(ahead.laws.values()) == pytest.approx(1.0) and len(ahead.laws) > 1
    assert set(ahead.laws) <= {found.model.name, "sigmoid", "formula"} | beside
    assert ahead.low < 1 - 0.3 * 1e4**-0.15 < ahead.high < 1


def test_forecasts_of_an_accuracy_average_over_the_laws_that_fit_as_well() -> None:
    """A rising power is planted, which a sigmoid follows as well inside the data."""
    draw = np.random.default_rng(0)
    share = 1 - 0.3 * (COMPUTE / 1e20) ** -0.15
    kept = [
        (c, i % 2, draw.binomial(ITEMS, one) / ITEMS) for i, (c, one) in enumerate(zip(COMPUTE, share, strict=True))
    ]
    rows = [{"flops": c, "seed": seed, "acc": right, "n": ITEMS} for c, seed, right in kept]
    found = lawful.fit(rows, "sigmoid", loss="acc", trials="n", draws=0)
    own = mean_interval(found, {"flops": 1e24})
    ahead = found.predict(flops=1e24, interval="mean")
    right = 1 - 0.3 * 1e4**-0.15
    assert ahead.laws["1 - a*C^-b"] > 0.1 and ahead.low < right < ahead.high
    assert ahead.high - ahead.low > 1.2 * (own[1] - own[0])
    assert any("averages over" in one.sentence and "1 - a*C^-b" in one.sentence for one in ahead.warnings)


def test_a_law_of_logarithms_that_rises_is_not_said_to_fall() -> None:
    draw = np.random.default_rng(7)
    rows = [
        {
            "flops": c,
            "seed": i % 2,
            "throughput": float(3.0 * (c / 1e18) ** 0.2 * np.exp(0.01 * draw.standard_normal())),
        }
        for i, c in enumerate(COMPUTE)
    ]
    data = read_runs(rows, loss="throughput")
    found = lawful.fit(data, "a*(C/1e18)^b", draws=0)
    assert found.params["b"].value == pytest.approx(0.2, abs=0.01)
    for text in (of_fit(found).sentence, answer_of_fit(data, found).sentence):
        assert "rises" in text and "falls" not in text


def test_numbers_below_zero_are_fitted_by_their_differences() -> None:
    """Shifted by a constant, the exponent is the same: no logarithm is taken."""
    draw = np.random.default_rng(4)
    reward = -3.0 + 4.0 * (1 - (COMPUTE / 1e18) ** -0.3) + 0.02 * draw.standard_normal(len(COMPUTE))
    found = []
    for shift in (0.0, 100.0):
        rows = [
            {"flops": c, "seed": i % 2, "reward": y + shift}
            for i, (c, y) in enumerate(zip(COMPUTE, reward, strict=True))
        ]
        law = lawful.Law("top - a*(C/1e18)^-b", bounds={"top": (-1000, 1000)})
        found.append(lawful.fit(rows, law, loss="reward", response="identity", draws=0))
    low, high = found[0].params["b"].ci95
    assert low < 0.3 < high
    assert found[1].params["b"].value == pytest.approx(found[0].params["b"].value, rel=1e-4)
    ahead = found[0].predict(flops=1e24, interval="mean")
    assert ahead.low < -3 + 4 * (1 - 1e6**-0.3) < ahead.high


def test_a_law_that_falls_is_refused_of_a_metric_that_rises() -> None:
    with pytest.raises(Refusal, match="does not change with flops"):
        lawful.fit(table(planted()), "power:flops", draws=0)


def test_what_asks_for_the_lowest_is_refused() -> None:
    rows = [{**row, "params": row["flops"] ** 0.5, "tokens": row["flops"] ** 0.5 / 6} for row in planted()]
    with pytest.raises(LawfulError, match="of which the lowest is best"):
        lawful.isoflop(table(rows))
    with pytest.raises(LawfulError, match="of which the lowest is best"):
        fitted().allocate(flops=1e22)


def test_without_a_law_an_accuracy_gets_one_that_rises_and_another_number_none() -> None:
    assert resolved(None, table(planted())).law.spec == "sigmoid"
    with pytest.raises(LawfulError, match="Name one: --law sigmoid"):
        resolved(None, read_runs(planted(), loss="hellaswag_acc", response="identity"))


def test_a_tidy_table_is_of_losses_alone() -> None:
    with pytest.raises(LawfulError, match="a tidy table: it is of a loss"):
        tidy(table(planted()))


def test_arms_of_an_accuracy_compare_by_what_they_need_for_the_same_one() -> None:
    """Planted: the second arm needs half of the compute. A middle of the rise is a place, and no exponent."""
    rows = [{**row, "arm": "adam"} for row in planted(5)]
    rows += [{**row, "arm": "muon"} for row in planted(6, middle=5e19)]
    found = lawful.compare(table(rows), law="sigmoid")
    (one,) = found.multipliers
    assert one.ci95[0] < 0.5 < one.ci95[1] < 1 and one.metric == "hellaswag acc"
    assert "loss" not in found.sentence and {d.parameter for d in found.differences} == {"B"}
    assert not any(e.is_excluded for e in found.explanations if e.name == "coefficients differ")


def test_an_objective_of_log_residuals_is_refused() -> None:
    with pytest.raises(LawfulError, match="is of the logarithm of a loss"):
        lawful.fit(table(planted()), "sigmoid", objective="hoffmann", draws=0)


def test_the_command_line_takes_the_response(tmp_path: Any) -> None:
    rows = planted()
    write_csv(tmp_path / "acc.csv", rows, columns=list(rows[0]))
    how = [
        "--law",
        "sigmoid",
        "--loss-column",
        "hellaswag_acc",
        "--chance",
        ".25",
        "--trials-column",
        "n",
        "--draws",
        "0",
    ]
    said = CliRunner().invoke(app, ["predict", str(tmp_path / "acc.csv"), "--flops", "1e23", *how])
    assert said.exit_code == 0 and "share of right answers; chance level 0.25" in said.output, said.output
    assert "sigmoid at flops 1e+23: 0.8" in said.output


def test_the_questions_of_a_loss_alone_refuse_another_metric() -> None:
    """The default threshold of diminishing returns is a share of a loss; the curves of equal compute have a lowest."""
    found = fitted()
    for ask in (found.diminishing_returns, lambda: found.allocate(flops=1e21), lambda: against(found, "hoffmann")):
        with pytest.raises(LawfulError, match="the response here is logit"):
            ask()


@cache
def of_size_and_data() -> Fit:
    """An accuracy of size and data."""
    draw, grid = np.random.default_rng(1), [(n, d) for n in (1e7, 1e8, 1e9, 1e10) for d in (1e9, 1e10, 1e11)]
    shares = [0.9 - 20 * n**-0.25 - 30 * d**-0.25 + draw.normal(0, 0.003) for n, d in grid]
    rows = [
        {"params": n, "tokens": d, "run": f"{n:g} {d:g}", "acc": share}
        for (n, d), share in zip(grid, shares, strict=True)
    ]
    law = "top - a*(N/1e8)^-0.25 - b*(D/1e10)^-0.25"
    return lawful.fit(read_runs(rows, loss="acc", response="logit"), law, draws=0)


def test_charts_of_an_accuracy_have_no_best_use_of_compute_and_no_axis_of_logarithms() -> None:
    found = of_size_and_data()
    answer = answer_of_fit(found_table(found), found)
    charts = question_charts(evidence_of_table(found_table(found), [answer], Path("page.html")), answer)
    (by_compute,) = [chart for chart in charts if chart.name.endswith("by_compute")]
    assert by_compute.title == "Acc against compute" and by_compute.y.scale == "linear"
    assert not any("lowest" in line.name or "best" in line.name for line in by_compute.lines)
    assert "the metric is no loss" in by_compute.caption and "beats" not in by_compute.caption
    assert not any(chart.name.endswith(("isoflop", "best_size", "best_data")) for chart in charts)
    assert calculation(found) is None


def found_table(found: Fit) -> Observations:
    return read_runs(
        [{**row.axes, "run": row.run, "acc": row.observed} for row in found.residuals], loss="acc", response="logit"
    )


def test_the_band_of_one_more_run_in_a_chart_is_that_of_a_forecast() -> None:
    for found, rows in ((of_size_and_data(), found_table(of_size_and_data())), (fitted(), table(planted()))):
        at = {axis: 1.7 * high for axis, (_, high) in found.domain.items()}
        curve = law_curve(answer_of_fit(rows, found))
        assert curve is not None
        mean, run = found.predict(**at, interval="mean"), found.predict(**at)
        low, high = curve.new_run(np.array([mean.value]), (np.array([mean.low]), np.array([mean.high])), at)
        assert (low[0], high[0]) == pytest.approx((run.low, run.high))


ENDS = (0.0, 0.0, 0.02, 0.1, 0.2, 0.38, 0.5, 0.66, 0.74, 1.0)


def of_ends(metric, cells=ENDS, **more):
    return [{"flops": c, metric: y, **more} for c, y in zip(np.geomspace(1e18, 1e22, len(cells)), cells, strict=True)]


def test_accuracies_of_exactly_0_and_1_count_as_they_are():
    """By the quasi-likelihood of counts, which takes no logarithm: rows of .001 and .999 in their place move the law by
    little, and no row is left out."""
    cells = (ENDS, [min(max(one, 1e-3), 1 - 1e-3) for one in ENDS])
    plain, other = (lawful.fit(of_ends("acc", c, n=50), "sigmoid", loss="acc", trials="n", draws=0) for c in cells)
    assert plain.goodness.n == len(ENDS)
    assert plain.params["log_C_mid"].value == pytest.approx(other.params["log_C_mid"].value, abs=0.1)


def test_an_error_rate_of_0_as_a_loss_names_the_row_and_the_response_that_takes_it():
    wrong = [1 - one for one in ENDS]
    with pytest.raises(TableError, match="(?s)row 10, column 'error_rate'.* got 0.*--response logit.*--trials-column"):
        lawful.fit(of_ends("error_rate", wrong), "power", loss="error_rate")
    with pytest.raises(TableError, match="(?s)expected a positive loss, got 0.0[^-]*--skip-bad-rows"):
        lawful.fit(of_ends("loss", [*wrong]), "power")


def test_the_error_bar_of_an_accuracy_of_0_is_no_bar():
    bars = [{**row, "se": (row["acc"] * (1 - row["acc"]) / 50) ** 0.5} for row in of_ends("acc")]
    with pytest.raises(TableError, match="(?s)row 1, column 'se'.*exactly 0 or 1 .*--trials-column"):
        lawful.fit(bars, "sigmoid", loss="acc", stderr="se")


@pytest.mark.parametrize(("response", "value", "law"), [("logit", 0.0, "sigmoid"), ("identity", 0.0, "a - b*C^-k"),
                                                       ("logit", 1.0, "sigmoid")])  # fmt: skip
def test_a_metric_that_never_changes_is_refused_in_words(response, value, law):
    with pytest.raises(Refusal, match="in all 10 runs: nothing changes with flops"):
        lawful.fit(of_ends("metric", [value] * 10), law, loss="metric", response=response)
