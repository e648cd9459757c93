"""A table that no study made has the same first screen: its answer, the chart that shows it, its doubts, its rows."""

from __future__ import annotations

import math
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lawful.cli import app
from lawful.fitting.answer_table import answer_table, with_run_names
from lawful.fitting.answers import Answer
from lawful.fitting.curve_interval import mean_interval
from lawful.report import scales
from lawful.report.law_curve import law_curve
from lawful.report.next_command import next_command
from lawful.report.page import all_charts, leading_chart
from lawful.report.table_page import evidence_of_table, write_table_page
from lawful.schema import Question
from lawful.tables import Observations, read_by_role, write_csv

ALPHA = 0.35


def rows(arms: dict[str, float], held_out: bool = False) -> list[dict]:
    """Losses of a planted law of size: an arm of gain g is as good as g times the size."""
    dice = random.Random(4)
    return [
        {
            **({"arm": arm} if len(arms) > 1 else {}),
            "params": n,
            "loss": (1.5 + 300 * (gain * n) ** -ALPHA) * math.exp(dice.gauss(0, 0.001)),
            **({"held_out": "yes" if n > 5e8 else "no"} if held_out else {}),
            "seed": seed,
        }
        for arm, gain in arms.items()
        for n in (1e6, 3e6, 1e7, 3e7, 1e8, 1e9)
        for seed in (0, 1, 2)
    ]


def read(made: list[dict]) -> Observations:
    return with_run_names(read_by_role(made, {}))


def answers_of(made: list[dict]):
    return answer_table(read(made), draws=0)


def test_the_answer_of_a_table_is_its_law_with_the_held_out_runs_forecast():
    (answer,) = answers_of(rows({"one": 1.0}, held_out=True))
    cut = float(re.search(r"by ([\d.]+) %", answer.headline)[1])
    assert cut == pytest.approx(100 * (1 - 10**-ALPHA), abs=2)
    inside = sum(row.is_inside for row in answer.held_out)
    said = {3: "held-out forecasts held.", 2: "not all held-out forecasts held."}  # two of three misses are no chance
    assert len(answer.held_out) == 3 and answer.headline.endswith(said[inside])


def test_a_table_of_two_arms_is_answered_by_their_comparison():
    lead, *each = answers_of(rows({"gelu": 1.0, "swiglu": 1.25}))
    assert [one.arm for one in each] == ["gelu", "swiglu"] and lead.comparison is not None
    assert lead.headline.startswith("swiglu needs 2") and "fewer parameters than gelu" in lead.headline  # 1 - 1/1.25
    made = rows({"gelu": 1.0, "swiglu": 1.25})
    evidence = evidence_of_table(read(made), [lead, *each], Path("page.html"))
    chart = leading_chart(evidence, all_charts(evidence))
    assert chart is not None and "cross" not in chart.title  # which they nowhere do
    fits = [one.fit for one in each if one.fit]
    assert all(any(row["reason"] == "another arm" for row in fit.data.dropped) for fit in fits) and len(fits) == 2
    assert "rows_dropped" not in {one.code for one in evidence.warnings}  # the other arm's rows are on the same page
    saved = float(re.search(r"needs ([\d.]+) %", lead.headline)[1])
    assert saved == pytest.approx(20, abs=2)


def test_rows_that_cannot_be_fitted_are_a_page_that_says_so(tmp_path):
    made = rows({"one": 1.0})[:3]
    (answer,) = answers_of(made)
    assert answer.status == "refused" and answer.headline.startswith("No law is claimed: ")
    page = write_table_page(read(made), [answer], tmp_path / "page.html").read_text()
    assert "No law is claimed: " in page and answer.basis in page and "of 0 runs" not in page


def test_a_page_that_asks_does_not_write_the_name_of_its_file_with_another_first_letter(tmp_path):
    path = tmp_path / "sweep.csv"
    made = [{"optimizer": row.pop("arm"), **row} for row in rows({"adam": 1.0, "muon": 1.3})]
    write_csv(path, made, columns=["optimizer", "params", "seed", "loss"])
    (answer,) = answer_table(with_run_names(read_by_role(str(path), {})), draws=0)
    assert answer.basis.startswith("Runs at one point of the law differ in 'optimizer'")


def test_every_fitted_row_of_a_table_is_a_mark_of_the_chart_that_leads():
    made = rows({"one": 1.0}, held_out=True)
    evidence = evidence_of_table(read(made), answers_of(made), Path("page.html"))
    lead = leading_chart(evidence, all_charts(evidence))
    assert lead is not None and sum(len(points.x) for points in lead.points) == len(made)


def test_each_row_of_a_history_keeps_its_own_tokens_and_loss_on_the_page():
    dice = random.Random(5)
    made = [
        {"run": f"r{n:g}", "params": n, "tokens": 1e8 * step,
         "loss": (1.5 + 300 * n**-ALPHA + 300 * (1e8 * step) ** -0.3) * math.exp(dice.gauss(0, 0.001))}
        for n in (1e6, 4e6, 1.6e7, 6.4e7, 2.56e8)
        for step in range(1, 9)
    ]  # fmt: skip
    evidence = evidence_of_table(read(made), answers_of(made), Path("page.html"))
    assert [(row["tokens"], row["loss"]) for row in evidence.rows] == [(row["tokens"], row["loss"]) for row in made]
    lead = leading_chart(evidence, all_charts(evidence))
    assert lead is not None and sum(len(points.x) for points in lead.points) == len(made)
    assert "fitted to 40 rows" in lead.caption


def test_a_table_of_size_and_data_without_a_column_of_compute_is_drawn_against_6nd(tmp_path):
    made = [{**row, "tokens": 20 * row["params"]} for row in rows({"gelu": 1.0, "swiglu": 1.25})]
    evidence = evidence_of_table(read(made), answers_of(made), tmp_path / "page.html")
    lead = leading_chart(evidence, all_charts(evidence))
    assert lead is not None and lead.x.title == "Training compute C (6ND)" and lead.x.is_flops
    assert sorted({x for points in lead.points for x in points.x})[0] == pytest.approx(6 * 1e6 * 2e7)


def test_report_of_a_file_writes_its_page_and_prints_the_headline_that_fit_prints(tmp_path):
    path = tmp_path / "runs.csv"
    write_csv(path, rows({"one": 1.0}), columns=["params", "loss", "seed"])
    done = CliRunner().invoke(app, ["report", str(path)], catch_exceptions=False)
    page = (tmp_path / "runs.html").read_text()
    headline = re.search(r"  (Ten times .*)\n", done.stdout)[1]
    assert headline.replace(" %", "\u00a0%") in page and page.count("<tr>") >= 18
    picture = tmp_path / "law.svg"
    fitted = CliRunner().invoke(app, ["fit", str(path), "--plot", str(picture)], catch_exceptions=False).stdout
    assert headline in fitted and "next: " in fitted and "decrement" not in fitted
    assert picture.read_text().count("<svg") == 1
    verbose = CliRunner().invoke(app, ["fit", str(path), "--verbose"], catch_exceptions=False).stdout
    assert "certified: decrement" in verbose


def test_a_picture_of_an_unknown_kind_is_refused_before_the_fit(tmp_path):
    path = tmp_path / "runs.csv"
    write_csv(path, rows({"one": 1.0}), columns=["params", "loss", "seed"])
    done = CliRunner().invoke(app, ["fit", str(path), "--plot", "law.bmp"])
    assert done.exit_code != 0 and "expected a picture that ends in png, svg, pdf" in str(done.exception)


def test_a_page_takes_the_columns_and_rows_that_it_is_told_and_a_study_takes_none(tmp_path, fabricate):
    path = tmp_path / "runs.csv"
    made = [{**{k: v for k, v in row.items() if k != "loss"}, "final_a": row["loss"]} for row in rows({"one": 1.0})]
    write_csv(path, made, columns=["params", "final_a", "seed"])
    told = ["report", str(path), "--loss-column", "final_a", "--where", "params<5e8", "--out", str(tmp_path / "p.html")]
    done = CliRunner().invoke(app, told, catch_exceptions=False)
    assert "; 15 runs" in done.stdout and "How does the final a fall" in done.stdout
    study = fabricate(tmp_path / "study", widths=(16, 32), tokens=(125_000,), seeds=1, held_out=False)
    for options in (["--where", "params<5e8"], ["--out", str(tmp_path / "p.html")]):
        refused = CliRunner().invoke(app, ["report", str(study), *options])
        assert (
            refused.exit_code != 0 and "for a table" in str(refused.exception) or "or a table" in str(refused.exception)
        )


def test_the_shade_of_a_chart_is_the_interval_that_a_forecast_of_the_curve_has() -> None:
    (answer,) = answer_table(read(rows({"one": 1.0})), draws=60)
    curve, fit = law_curve(answer), answer.fit
    assert fit is not None and curve is not None and fit.draws
    for size in (1e6, 2e9):
        found = curve.band(params=[size])
        assert found is not None
        assert (found[0][0], found[1][0]) == pytest.approx(mean_interval(fit, {"params": size}), rel=1e-6)


TOLD = "lawful report 'my runs.csv' --by model --tokens-column dataset_size --law power:params --out page.html"


@pytest.mark.parametrize(
    ("change", "command"),
    [
        (
            {"next_step": "Try --law 'E + A/N^a', which fits better."},
            "lawful report 'my runs.csv' --by model --tokens-column dataset_size --out page.html --law 'E + A/N^a'",
        ),
        ({"next_step": "Try --law coupled."}, TOLD.replace("--law power:params ", "") + " --law coupled"),
        (
            {"next_step": "Add sizes.", "status": "refused"},
            "lawful check 'my runs.csv' --tokens-column dataset_size",
        ),
        ({"next_step": "Add sizes."}, ""),
    ],
)
def test_the_next_step_has_its_whole_command(change: dict[str, str], command: str) -> None:
    made = rows({"one": 1.0})
    answer = replace(answers_of(made)[0], **change)
    evidence = evidence_of_table(read(made), [answer], Path("page.html"), TOLD)
    assert next_command(evidence, answer) == command
    assert next_command(replace(evidence, shared_table=b""), answer) == ""  # its reader does not have the table


def test_arms_of_one_size_each_are_drawn_along_their_data() -> None:
    made = [
        {"arm": arm, "params": n, "tokens": d, "loss": 2 + n / d}
        for arm, n in (("a", 1e6), ("b", 2e6))
        for d in (1e7, 1e8)
    ]
    asked = Question(name="loss", asks="Which?", law="chinchilla", params="params")
    answer = Answer(question=asked, status="refused", sentence="", refusal="too few", headline="No law.")
    evidence = evidence_of_table(read(made), [answer], Path())
    (chart,) = [one for one in all_charts(evidence) if one.kind == "arms"]
    assert "tokens" in chart.x.title and [one.x for one in chart.points] == [[1e7, 1e8]] * 2
    assert "0 tokens" not in chart.caption


def test_labels_of_an_axis_do_not_run_into_each_other() -> None:
    assert scales.apart([0.1, 0.5, 0.9, 0.99], {0, 1, 2, 3}, 0.12) == {0, 1, 3}
    assert scales.apart([0.1, 0.5, 0.9, 0.99], {0, 1, 2}, 0.12) == {0, 1, 2}
