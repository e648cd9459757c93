"""What the plan says about cost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lawful.run import Run
from lawful.studies import quickstart, shakespeare
from lawful.train import device, plan
from lawful.train.plan import _one_precision, _own_steps

CPU = torch.device("cpu")


@pytest.mark.parametrize(("budgets", "saved"), [(5, 31 / 19), (9, 2.25)])
def test_budgets_that_share_a_trunk_cost_what_arithmetic_says(budgets: int, saved: float) -> None:
    """Over a range of 16 with a decay of .2: (1 - f) longest + f (sum of all), against the sum of all."""
    steps = [round(1000 * 16 ** (i / (budgets - 1))) for i in range(budgets)]
    rows = [{"cluster": "trunk", "steps": n, "decay_start": n - round(0.2 * n)} for n in steps]
    assert sum(steps) / sum(_own_steps(rows)) == pytest.approx(saved, rel=0.01)


@pytest.mark.parametrize(("gain", "expected"), [(0.8, "fp32"), (1.05, "fp32"), (1.5, "bf16")])
def test_one_precision_for_the_whole_ladder_is_what_a_probe_finds_faster(
    gain: float, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAWFUL_CACHE", str(tmp_path))
    monkeypatch.setattr(device, "has_matrix_units", lambda: True)
    monkeypatch.setattr(plan, "_time_step", lambda run, *_: 1.0 if run.precision == "fp32" else 1 / gain)
    ladder = shakespeare.study("quick").ladder
    precision, found = _one_precision(ladder, CPU, lambda *_: None)
    assert precision == expected
    assert found is not None
    assert found["worker_seconds"]["fp32"] / found["worker_seconds"]["bf16"] == pytest.approx(gain)

    def unwanted(run: Run, *_: object) -> float:
        raise AssertionError("the same ladder on the same machine was probed again")

    monkeypatch.setattr(plan, "_time_step", unwanted)
    assert _one_precision(ladder, CPU, lambda *_: None) == (precision, found)


def test_a_ladder_of_tiny_models_or_a_cpu_without_matrix_units_is_fp32_without_a_probe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device, "has_matrix_units", lambda: True)
    assert _one_precision(quickstart.study("smoke").ladder, CPU, lambda *_: None) == ("fp32", None)
    monkeypatch.setattr(device, "has_matrix_units", lambda: False)
    assert _one_precision(shakespeare.study("quick").ladder, CPU, lambda *_: None) == ("fp32", None)
