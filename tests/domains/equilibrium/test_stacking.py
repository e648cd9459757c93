"""The study compares seconds, which a stack of runs has not one by one."""

from __future__ import annotations

import pytest

from lawful.domains.equilibrium.studies import equilibrium
from lawful.errors import LawfulError
from lawful.planning import plan
from lawful.train import batched


def test_no_runs_are_stacked_whose_seconds_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eighteen transformers of one shape, beside arms that cannot be stacked: their seconds would be the stack's."""

    def unwanted(*_: object) -> tuple[int, float]:
        raise AssertionError("probed")

    monkeypatch.setattr(batched, "best_size", unwanted)
    declared = equilibrium.study("smoke")
    made = plan.make_plan(declared, device_name="cpu", workers=1, stacked=0, is_timed=False).study
    assert all(row.stack == "" for row in made.runs)
    with pytest.raises(LawfulError, match="--stack: the question 'time' compares seconds"):
        plan.make_plan(declared, device_name="cpu", workers=1, stacked=8)
