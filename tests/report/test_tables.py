"""Numbers are written with units and sensible digits."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lawful.report import answer_tables, tables, words
from lawful.report.charts import Axis
from lawful.report.marks import axis_title, loss_title
from lawful.report.scales import log_ticks, thinned, tick_text
from lawful.response import LOG
from lawful.schema import CorpusRecord, StudyPlan


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (999, "999"), (1000, "1.00k"), (12_432, "12.4k"), (999_999, "1.00M"), (1.5e9, "1.50B"), ("nan", "–")],
)
def test_counts_have_three_digits_and_a_unit(value: object, shown: str) -> None:
    assert tables.count(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(2.1e15, "2.10 PFLOPs"), (9.9996e11, "1.00 TFLOPs"), (5e5, "500 kFLOPs"), (None, "–")]
)
def test_flops_have_their_prefix(value: object, shown: str) -> None:
    assert tables.flops(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.25, "0.2 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3599.9, "1 h"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_durations_have_two_units(value: float, shown: str) -> None:
    assert tables.seconds(value) == shown


def test_an_estimate_has_the_digits_that_its_interval_supports() -> None:
    assert tables.estimate(0.381527, 0.302, 0.46299) == "0.382"
    assert tables.interval(0.302, 0.46299) == "[0.302, 0.463]"
    assert tables.estimate(15.61, 8.1, 31.2) == "15.6"
    assert tables.estimate(15.61, 0, 1.5e308) == "15.61"  # wider than a float can say: the data set no bound
    assert tables.interval(None, 1) == "–"
    assert tables.interval("nan", 1) == tables.interval("-inf", 1) == "at most 1"
    assert (tables.interval(0.31, "inf"), tables.interval(0.0, "inf")) == ("at least 0.31", "not determined")


def test_markdown_cells_cannot_break_out_of_their_table() -> None:
    table = tables.markdown_table(("a|b", "c"), [("<b>x</b>\nnext", "`*_[link](x)")], right=(1,))
    lines = table.split("\n")
    assert len(lines) == 3
    assert lines[1] == "| --- | ---: |"
    assert "<b>" not in table
    assert lines[2].count("|") == 3


@pytest.mark.parametrize(("low", "high"), [(1.8, 2.3), (1.5, 3.4), (1e4, 2e6), (1e9, 1e21), (0.001, 5.0)])
def test_logarithmic_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 3 <= len(ticks) <= 14
    assert all(low * 0.999 <= tick <= high * 1.001 for tick in ticks)
    assert all(math.isclose(tick, float(f"{tick:.2e}"), rel_tol=1e-9) for tick in ticks)


def test_a_digit_that_is_no_number_stays_as_it_is() -> None:
    assert tables.readable("size=²,tokens=125000") == "size=², tokens=125k"
    assert tables.readable(f"size={'9' * 5000}") == f"size={'9' * 5000}"


def test_an_interval_that_holds_every_loss_is_not_printed_as_numbers() -> None:
    assert answer_tables._forecast_interval(LOG, 1.9, 2.1) == "[1.9000, 2.1000]"
    assert answer_tables._forecast_interval(LOG, 1e-75, 3.6e74) == "not determined"
    assert answer_tables._forecast_interval(LOG, None, None) == tables.DASH


def test_an_axis_of_someone_elses_table_says_what_its_column_stands_for() -> None:
    assert axis_title("N", "params") == "Parameters N"
    assert axis_title("params_active_precise", "params") == "Parameters N (params_active_precise)"
    assert axis_title("dataset_size", "tokens") == "Training tokens D (dataset_size)"
    assert axis_title("params_total", "params") == "Parameters N (all, embeddings counted)"
    assert loss_title((), "val_loss") == "Loss (val_loss)"


def test_an_axis_of_large_budgets_is_marked_by_powers_of_ten_and_not_by_exa():
    axis = Axis(title="Training compute C (FLOPs)", is_flops=True)
    assert [tick_text(value, axis) for value in (2e9, 5e15, 1e18, 2e21)] == ["2G", "5P", "1e18", "2e21"]
    texts = ["5P", "10P", "20P", "50P", "100P", "200P", "500P", "1e18", "2e18", "5e18"]
    assert thinned(texts, 4) == {1, 4, 7}


def test_data_that_a_program_made_up_are_called_synthetic_beside_the_scale():
    real, made_up = (CorpusRecord(fingerprint="0", vocabulary=98, is_synthetic=is_made) for is_made in (False, True))
    study = replace(StudyPlan.example(), scale="quick")
    assert words.scale_of(replace(study, corpora={"emg": real})) == "quick scale: a small version"
    assert words.scale_of(replace(study, corpora={"emg": made_up})).endswith("a small version, on synthetic data")
