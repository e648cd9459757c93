"""Rows weigh by the error bars that a table gives, and a warning says where these disagree with the scatter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import lawful
from lawful.errors import TableError
from lawful.fitting import Fit
from lawful.tables import read_runs

GRID = [(n, d) for n in (1e7, 3e7, 1e8, 3e8, 1e9) for d in (1e9, 4e9, 1.6e10, 6.4e10, 2.56e11, 1e12)]


def planted(seed: int, times: float = 1.0, beside: float = 0.0) -> list[dict[str, float]]:
    """L = 1.8 + 400 N^-.34 + 410 D^-.28 with bars between .1 and 2 % of the loss.

    times    how many bars the real error is
    beside   standard deviation of log loss that no bar tells of
    """
    draw = np.random.default_rng(seed)
    rows = []
    for n, d in GRID:
        true, bar = 1.8 + 400 * n**-0.34 + 410 * d**-0.28, float(np.exp(draw.uniform(*np.log([0.001, 0.02]))))
        loss = true * math.exp(float(np.hypot(times * bar, beside)) * draw.standard_normal())
        rows.append({"params": n, "tokens": d, "val_loss": loss, "val_loss_se": bar * loss})
    return rows


def fitted(rows: Any, **how: Any) -> Fit:
    return lawful.fit(rows, "chinchilla", draws=0, **how)


def test_rows_weigh_as_in_weighted_least_squares_of_scipy() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    rows = planted(1)
    n, d, y, bar = np.array([list(row.values()) for row in rows]).T

    def log_loss(at: Any, e: float, a: float, b: float, alpha: float, beta: float) -> Any:
        return np.log(e + a * (at[0] / 1e8) ** -alpha + b * (at[1] / 3e10) ** -beta)

    values, covariance = optimize.curve_fit(
        log_loss, (n, d), np.log(y), p0=(1.8, 0.8, 0.5, 0.34, 0.28), sigma=bar / y, absolute_sigma=False
    )
    errors = np.sqrt(np.diag(covariance))
    found = fitted(rows)
    for i, name in ((0, "E"), (3, "alpha"), (4, "beta")):
        assert found.params[name].value == pytest.approx(values[i], abs=0.5 * errors[i]), name
        assert found.params[name].stderr == pytest.approx(errors[i], rel=0.3), name
    assert found.params["alpha"].stderr < 0.8 * fitted(rows, stderr="none").params["alpha"].stderr


def test_intervals_hold_the_truth() -> None:
    """Of 200 such tables 94 % of the intervals held alpha, and they were .6 as wide as without the bars."""
    intervals = [fitted(planted(seed)).params["alpha"].ci95 for seed in range(8)]
    assert sum(low <= 0.34 <= high for low, high in intervals) >= 6


@pytest.mark.parametrize(
    ("times", "beside", "words"), [(1, 0, ""), (3, 0, "leave out"), (1, 0.02, "leave unexplained"), (0.2, 0, "single")]
)
def test_bars_that_disagree_with_the_scatter_are_warned_of(times: float, beside: float, words: str) -> None:
    found = fitted(planted(0, times, beside))
    said = [warning.sentence for warning in found.warnings if warning.code == "error_bars_disagree"]
    assert bool(said) == bool(words) and words in " ".join(said)
    assert found.error_bars is not None and found.error_bars.is_off == bool(words)


def test_what_the_bars_leave_unexplained_is_estimated() -> None:
    extra = [bars.extra for seed in range(3) if (bars := fitted(planted(seed, 1, 0.02)).error_bars)]
    assert np.median(extra) == pytest.approx(0.02, rel=0.3)


def test_the_bars_are_in_the_text_and_survive_json() -> None:
    found = fitted(planted(0))
    assert "rows weigh by their error bars, val_loss_se: 0.1" in found.summary()
    again = Fit.from_json(found.to_json())
    assert again.error_bars == found.error_bars and again.residuals == found.residuals
    assert again.doubt.form == found.doubt.form
    assert found.holdout().fit.error_bars is not None


def told(columns: dict[str, Any], **how: Any) -> Any:
    rows = [{"params": r["params"], "tokens": r["tokens"], "val_loss": r["val_loss"]} for r in planted(0)]
    bars = [r["val_loss_se"] for r in planted(0)]
    return read_runs(
        [{**row, **{name: make(bar) for name, make in columns.items()}} for row, bar in zip(rows, bars, strict=True)],
        **how,
    )


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("val_loss_se", 1.0),
        ("Val Loss (SEM)", 1.0),
        ("loss_std_err", 1.0),
        ("stderr", 1.0),
        ("val_loss ± 95 half", 1.96),
        ("val_loss_ci95_halfwidth", 1.96),
    ],
)
def test_a_name_says_what_error_bars_are(name: str, times: float) -> None:
    table = told({name: lambda bar: bar * times})
    bars = table.numbers(table.roles["stderr"])
    assert bars.tolist() == pytest.approx([row["val_loss_se"] for row in planted(0)], rel=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "val_loss_std",
        "val_loss ±",
        "val_loss_ci95",
        "val_loss_ci_low",
        "val_loss_sd",
        "train_loss_se",
        "val_loss_se_percent",
        "rel_val_loss_se",
    ],
)
def test_bars_whose_name_does_not_say_what_they_are_are_not_used_and_that_is_said(name: str) -> None:
    table = told({name: lambda bar: bar})
    assert "stderr" not in table.roles and table.roles["loss"] == "val_loss"
    assert any(f"error bars {name!r}" in said and "--stderr-column COLUMN" in said for said in table.said)
    assert told({name: lambda bar: bar}, stderr=name).roles["stderr"] == name


def test_two_kinds_of_bars_that_differ_are_asked_about() -> None:
    with pytest.raises(TableError, match="could each be the error bars.*--stderr-column"):
        told({"val_loss_se": lambda bar: bar, "val_loss_sem": lambda bar: 2 * bar})
    agree = told({"val_loss_se": lambda bar: bar, "val_loss_ci95_half": lambda bar: 1.96 * bar})
    assert agree.roles["stderr"] == "val_loss_se"


def test_bars_of_a_perplexity_are_those_of_its_logarithm() -> None:
    rows = [
        {"params": r["params"], "tokens": r["tokens"], "ppl": math.exp(r["val_loss"]), "ppl_se": 0.02}
        for r in planted(0)
    ]
    table = read_runs(rows)
    expected = [0.02 / math.exp(row["val_loss"]) for row in planted(0)]
    assert table.numbers(table.roles["stderr"]).tolist() == pytest.approx(expected)


def test_a_bar_that_is_missing_is_said_and_a_column_that_was_told_is_refused_for_it() -> None:
    rows = [{**row, "val_loss_se": "" if i == 3 else row["val_loss_se"]} for i, row in enumerate(planted(0))]
    assert any("not each run has one" in said for said in read_runs(rows).said)
    with pytest.raises(TableError, match="row 4, column 'val_loss_se': expected a positive standard error"):
        read_runs(rows, stderr="val_loss_se")
