"""A page of very many runs: its size does not grow with each of them, and it says what it leaves out."""

from __future__ import annotations

import pytest

from lawful.report import gallery, runs, svg
from lawful.report.charts import Axis, Chart, Points
from lawful.schema import PlannedRun


def chart(marks: int, held_out: int = 0) -> Chart:
    groups = [("fitted", marks, False), ("held out", held_out, True)]
    return Chart(
        name="many",
        kind="law",
        title="Many runs",
        caption="",
        alt="",
        x=Axis(title="N"),
        y=Axis(title="Loss"),
        points=[
            Points(
                name=name,
                x=[1e6 + 1e3 * i for i in range(number)],
                y=[3 + 1e-4 * i for i in range(number)],
                colour="arm0",
                is_open=is_open,
                runs=[f"{name}-{i}" for i in range(number)],
            )
            for name, number, is_open in groups
            if number
        ],
    )


def test_marks_beyond_a_limit_are_one_path_of_which_each_place_stands_once() -> None:
    few, many = svg.plot(chart(svg.MOST_MARKS), "few"), svg.plot(chart(svg.MOST_MARKS + 1), "many")
    assert few.count("<use") == svg.MOST_MARKS and "dots" not in few
    assert many.count("<use") == 0 and many.count('class="dots"') == 1
    assert 500 < many.count("h0") <= svg.MOST_MARKS + 1
    assert len(many) < len(few) / 3


def test_held_out_runs_keep_their_marks_and_texts_among_many() -> None:
    drawn = chart(svg.MOST_MARKS, held_out=10)
    assert svg.plot(drawn, "many").count("<use") == 10 + 2  # two in the legend
    assert {run for run, _ in svg.said([drawn]).values()} == {f"held out-{i}" for i in range(10)}


def test_of_many_rows_those_that_did_not_finish_are_listed_and_the_page_says_how_many_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runs, "MOST_LISTED", 3)
    rows = [{"run": str(i), "status": "failed" if i == 7 else "finished"} for i in range(9)]
    assert [row["run"] for row in runs._listed(rows)] == ["7", "0", "1"]
    assert runs._listed(rows[:3]) == rows[:3]
    assert "3 of 9 rows are listed." in str(runs.only_some(3, 9)) and runs.only_some(9, 9) is None


def test_of_many_courses_some_of_every_size_are_drawn_and_each_that_diverged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "MOST_COURSES", 4)
    from dataclasses import replace

    planned = [replace(PlannedRun.example(), run=f"run{i}") for i in range(31)]
    drawn = gallery._spread(planned, {"run3": "diverged"})
    assert [one.run for one in drawn] == ["run0", "run3", "run10", "run20", "run30"]
    assert gallery._spread(planned[:4], {}) == planned[:4]
