"""The chart that leads a page: every band and line has a word, no mark hides another, and misses are seen."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from lawful.fitting.answer_table import answer_table, with_run_names
from lawful.fitting.records import HeldOut
from lawful.fitting.truth import Recovered
from lawful.report import scales, svg
from lawful.report.charts import Axis, Band, Chart, Line, Points, Reference
from lawful.report.marks import MISSED, HeldRow, Look, held_points, see_through
from lawful.report.page import all_charts, leading_chart
from lawful.report.table_page import evidence_of_table
from lawful.report.truth_chart import truth_chart
from lawful.schema import Question
from lawful.tables import by_role


def held(observed: float) -> HeldRow:
    forecast = HeldOut(
        run="a", rung="a", params=1e6, tokens=1e6, seed=0, predicted=2.0, interval=(1.9, 2.1), observed=observed,
        error_relative=0.0, is_inside=1.9 <= observed <= 2.1,
    )  # fmt: skip
    return HeldRow(row={"run": "a", "params": 1e6, "loss": observed}, forecast=forecast)


def test_held_out_marks_keep_the_colour_of_their_group_and_only_a_miss_is_red():
    asked = Question(name="loss", asks="How?", law="power", params="params")
    look = Look(colour="level1of3", index=1, legend="level1")
    inside, missed = held_points([held(2.05), held(3.0)], "params", asked, look)
    assert (inside.name, inside.colour, list(inside.y)) == ("held out", "level1of3", [2.05])
    assert (missed.name, missed.colour, list(missed.y)) == (MISSED, "held_out", [3.0])
    assert inside.is_open and missed.is_open and inside.symbol == missed.symbol == look.symbol
    assert [*inside.low, *inside.high] == [*missed.low, *missed.high] == [1.9, 2.1]  # what had been forecast
    assert inside.bars == missed.bars


def test_bands_intervals_and_reference_lines_leave_the_runs_most_of_the_chart():
    x = [1.0, 10.0, 100.0]
    runs = Points(name="runs", x=x, y=[2.0, 1.5, 1.2], colour="arm0")
    wide = [1e-3, 1e-3, 1e-3], [1e3, 1e3, 1e3]
    chart = Chart(
        name="c", kind="law", title="", caption="", alt="", x=Axis(title="N"), y=Axis(title="loss"),
        bands=[Band(x=x, low=wide[0], high=wide[1], colour="arm0")],
        lines=[Line(name="n-gram models", x=x, y=[90.0, 80.0, 70.0], colour="reference", is_reference=True)],
        points=[runs, replace(runs, y=[1.9, 1.6, 1.3], low=wide[0], high=wide[1], bars="forecast", is_open=True)],
        references=[Reference(y=50.0, label="far")],
    )  # fmt: skip
    _, (low, high) = scales.limits(chart)
    assert math.log(2.0 / 1.2) / math.log(high / low) > 0.5
    drawn = str(svg.plot(chart, "c"))
    ends = [float(one) for one in re.findall(r'<line x1="[\d.]+%" x2="[\d.]+%" y1="([\d.]+)%"', drawn)]
    assert ends == [100.0] * 3 and drawn.count(">forecast<") == 1  # cut at the edge, and named in the legend


def test_the_lowest_and_the_highest_run_have_a_tick_near_them():
    for low, high in ((0.3, 0.8), (1.5, 2.5), (2.1, 19.0), (1.6, 2.0), (0.95, 1.25), (2.05, 3.35), (3.0, 400.0)):
        ticks = scales.log_ticks(low, high)
        gaps = [math.log(after / one) for one, after in zip([low, *ticks], [*ticks, high], strict=True)]
        assert len(ticks) >= 4 and max(gaps) < 0.36 * math.log(high / low), (low, high, ticks)


def test_marks_of_two_groups_at_one_place_stay_there_and_are_sheer():
    one = Points(name="a", x=[1.0], y=[1.0], colour="arm0", legend="arm0")
    first, second = see_through([one, replace(one, name="b", legend="arm1")])
    assert first.is_sheer and second.is_sheer and (*first.x, *first.y) == (*second.x, *second.y)
    (alone,) = see_through([one])
    assert not alone.is_sheer


def test_bands_and_the_line_of_the_n_gram_model_have_their_words_in_the_legend():
    x = [1.0, 10.0]
    chart = Chart(
        name="c", kind="law", title="", caption="", alt="", x=Axis(title="N"), y=Axis(title="loss"),
        bands=[Band(x=x, low=[1, 1], high=[2, 2], colour="arm0"),
               Band(x=x, low=[1, 1], high=[3, 3], colour="arm0", is_of_new_run=True)],
        lines=[Line(name="law", x=x, y=[1.5, 1.2], colour="arm0")],
        points=[Points(name="runs", x=x, y=[1.5, 1.2], colour="arm0")],
        references=[Reference(y=1.3, label="5-gram model 1.300", name="n-gram model")],
    )  # fmt: skip
    drawn = str(svg.plot(chart, "c"))
    legend = drawn[drawn.index('class="legend"') :]
    for word in ("95 % band of the curve", "95 % band of a new run", "n-gram model"):
        assert legend.count(word) == 1


def test_a_recovered_value_is_drawn_over_the_planted_one_and_a_miss_apart():
    truth = (
        Recovered("alpha", 0.5, 0.55, (0.45, 0.6), is_inside=True),
        Recovered("E", 2.0, 2.4, (2.2, 2.6), is_inside=False),
        Recovered("shift", 0.0, 0.1, (-0.1, 0.2), is_inside=True),
        Recovered("verdict", "exponents differ", "not decided", None, is_inside=False),
    )
    answer = SimpleNamespace(name="size", truth=truth)
    chart = truth_chart(cast(Any, SimpleNamespace(answers=(answer,))))
    assert chart is not None
    inside, missed = chart.points
    assert list(inside.y) == pytest.approx([1.1]) and list(inside.high) == pytest.approx([1.2])
    assert list(missed.y) == pytest.approx([1.2]) and missed.colour == "held_out"
    assert "1 value left out" in chart.caption


def test_the_chart_of_arms_that_are_compared_by_compute_has_compute_on_its_axis():
    dice = np.random.default_rng(3)
    rows = [
        {"arm": arm, "params": n, "tokens": d}
        | {"loss": (1.7 + 400 * (n * f) ** -0.34 + 410 * (d * f) ** -0.28) * math.exp(dice.normal(0, 0.002))}
        for arm, f in (("gelu", 1.0), ("swiglu", 1.2))
        for n in (3e6, 3e7, 3e8)
        for d in (1e8, 1e9, 1e10)
    ]
    table = with_run_names(by_role(rows))
    answers = answer_table(table, law="chinchilla", draws=0)
    evidence = evidence_of_table(table, answers, Path())
    chart = leading_chart(evidence, all_charts(evidence))
    assert chart is not None and "compute" in chart.x.title.lower()
    for points in chart.points:
        of_arm = [row for row in rows if row["arm"] == points.name]
        assert sorted(points.x) == pytest.approx(sorted(6 * row["params"] * row["tokens"] for row in of_arm), rel=1e-5)
    assert len(chart.lines) == 2  # one for each arm, or none
