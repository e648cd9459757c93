"""Forecasts of runs that were not fitted: scored, compared with plain forecasts, with a verdict and an exit status."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from planted import chinchilla_loss
from typer.testing import CliRunner

import lawful
from lawful.cli import app
from lawful.errors import DeclarationError, Refusal
from lawful.fitting import Fit
from lawful.fitting.holdout import is_held
from lawful.fitting.records import HeldOutRow
from lawful.tables import write_csv


def grid(sigma=0.002, seed=0):
    rng = np.random.default_rng([20, seed])
    return [
        {"params": float(n), "tokens": float(d), "run": f"{i}-{j}",
         "loss": float(chinchilla_loss(n, d) * np.exp(sigma * rng.standard_normal()))}
        for i, n in enumerate(np.geomspace(1e7, 1e10, 6))
        for j, d in enumerate(np.geomspace(1e9, 1e12, 5))
    ]  # fmt: skip


def line(law, sigma, number=12, seed=1):
    rng = np.random.default_rng([20, seed])
    return [{"params": n, "loss": float(law(n) * np.exp(sigma * rng.standard_normal()))}
            for n in np.geomspace(1e5, 1e9, number)]  # fmt: skip


def test_a_right_law_holds_and_beats_the_plain_forecasts():
    found = lawful.fit(grid(), "chinchilla", draws=200).holdout(top=2)
    assert found.verdict == "held"
    assert found.rmse_log < min(found.straight_line_rmse_log, found.last_value_rmse_log) / 5
    (row,) = [row for row in found.rows if row.run == "5-4"]
    last = max((one for one in found.fit.residuals), key=lambda one: one.axes["params"] * one.axes["tokens"])
    assert row.last_value == pytest.approx(last.observed, rel=0.05)


def test_it_holds_out_by_the_largest_compute_size_or_data():
    found = lawful.fit(grid(), "chinchilla", draws=0)
    by = {
        largest: {row.run for row in found.holdout(largest=largest).rows} for largest in ("params", "tokens", "compute")
    }
    assert by["params"] == {f"5-{j}" for j in range(5)}
    assert by["tokens"] == {f"{i}-4" for i in range(6)}
    assert by["compute"] == {"5-4"}
    assert found.holdout().largest == "6 N D"
    with pytest.raises(DeclarationError, match="cannot be held out by the largest tokens"):
        lawful.fit(line(lambda n: 1 + n**-0.2, 0.001), "power_floor:params", draws=0).holdout(largest="tokens")


def test_a_wrong_law_misses():
    """A curve that turns up at the end: no power law foretells it."""
    found = lawful.fit(line(lambda n: 1 + 3 * n**-0.15 + (n / 7e8) ** 6 * 0.02, 0.001), "power_floor:params", draws=0)
    assert found.holdout().verdict == "missed"


def test_an_interval_that_holds_the_last_value_too_is_of_no_use():
    found = lawful.fit(line(lambda n: 1 + 3 * n**-0.3, 0.05, number=8), "power_floor:params", draws=0).holdout()
    assert found.verdict == "no use"
    assert all(row.prediction.low < row.last_value < row.prediction.high for row in found.rows)
    assert "do not say that the loss falls" in found.sentence


def test_misses_are_counted_as_a_binomial_says():
    def rows(n, misses):
        return [HeldOutRow("r", None, 1.0, 0.0, i >= misses) for i in range(n)]

    for n in (1, 2, 3, 10, 40):
        for misses in range(n + 1):
            tail = sum(math.comb(n, k) * 0.05**k * 0.95 ** (n - k) for k in range(misses, n + 1))
            if abs(tail - 0.05) > 1e-9:
                assert is_held(rows(n, misses)) == (tail > 0.05), (n, misses)
    assert not is_held(rows(1, 1))


def test_rows_that_a_table_holds_out_are_predicted_and_scored_by_fit(tmp_path):
    table = [{**row, "held_out": row["run"].startswith("5")} for row in grid()]
    table[0] = {**table[0], "status": "diverged"}
    found = lawful.fit(table, "chinchilla", draws=0)
    assert {row.run for row in found.held_out} == {f"5-{j}" for j in range(5)}
    alone = lawful.fit([row for row in table if not row["held_out"]], "chinchilla", draws=0)
    assert alone.held_out == ()
    for row in found.held_out:
        at = next(one for one in table if one["run"] == row.run)
        expected = alone.predict(params=at["params"], tokens=at["tokens"], interval="new_run")
        assert row.prediction.value == pytest.approx(expected.value)
        assert row.is_inside == (expected.low <= at["loss"] <= expected.high)
        assert row.error_relative == pytest.approx(expected.value / at["loss"] - 1)
    assert "held out by the table: 5 runs" in found.summary()
    assert Fit.from_json(json.loads(json.dumps(found.to_json()))).held_out == found.held_out
    wrong = [{**row, "loss": row["loss"] * (1.2 if row["held_out"] else 1)} for row in table]
    assert "held_out_missed" in {w.code for w in lawful.fit(wrong, "chinchilla", draws=0).warnings}
    write_csv(tmp_path / "runs.csv", table, columns=list(table[0]))
    asked = ["predict", str(tmp_path / "runs.csv"), "--params", "1e10", "--tokens", "1e12", "--draws", "0"]
    assert "held out by the table: 5 runs" in CliRunner().invoke(app, asked).output


def test_the_command_exits_by_the_verdict(tmp_path):
    for name, law, status in (
        ("right", lambda n: 1 + 3 * n**-0.15, 0),
        ("wrong", lambda n: 1 + 3 * n**-0.15 + (n / 7e8) ** 6 * 0.02, 4),
    ):
        table = line(law, 0.001, seed=2)
        write_csv(tmp_path / f"{name}.csv", table, columns=list(table[0]))
        result = CliRunner().invoke(app, ["holdout", str(tmp_path / f"{name}.csv"), "--draws", "0"])
        assert result.exit_code == status, result.output
        assert ("The forecasts held." in result.output) == (status == 0)


def test_an_average_over_laws_is_not_called_the_law():
    found = lawful.fit(line(lambda n: 1 + 3 * (1 + n / 1e7) ** -0.3, 0.001), "power_floor:params", draws=0).holdout()
    assert found.rows[0].prediction.laws
    assert "an average over" in found.sentence and "the law predicted" not in found.sentence


def test_a_run_that_is_held_out_is_held_out_with_its_earlier_rows():
    dice = np.random.default_rng(3)
    rows = [
        {"params": n, "tokens": 1e8 * step, "run": f"r{i}",
         "loss": float(chinchilla_loss(n, 1e8 * step) * np.exp(0.001 * dice.standard_normal()))}
        for i, n in enumerate(np.geomspace(1e6, 1e9, 7))
        for step in (1, 2, 4, 8, 16, 32)
    ]  # fmt: skip
    found = lawful.fit(rows, "chinchilla", draws=0).holdout()
    assert [row.run for row in found.rows] == ["r6"]
    assert {row.run for row in found.fit.residuals} == {f"r{i}" for i in range(6)}
    assert "Fitted on 36 rows of 6 runs" in found.sentence
    with pytest.raises(Refusal, match="do not reach the largest tokens"):
        lawful.fit(rows, "chinchilla", draws=0).holdout(largest="tokens")


def test_a_single_law_that_forecasts_is_named_and_not_called_an_average():
    bent = line(lambda n: 1 + 20 * n**-0.1 * (1 + n / 1e7) ** -0.4, 0.001, number=16)
    found = lawful.fit(bent, "power_floor:params", draws=0).holdout()
    assert list(found.rows[0].prediction.laws) == ["broken_power:params"]
    assert "broken_power:params predicted" in found.sentence and "average" not in found.sentence
