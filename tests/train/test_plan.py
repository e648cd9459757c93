"""What the plan says about cost."""

from __future__ import annotations

import pytest

from lawful.train.plan import _own_steps


@pytest.mark.parametrize(("budgets", "saved"), [(5, 31 / 19), (9, 2.25)])
def test_budgets_that_share_a_trunk_cost_what_arithmetic_says(budgets: int, saved: float) -> None:
    """Over a range of 16 with a decay of .2: (1 - f) longest + f (sum of all), against the sum of all."""
    steps = [round(1000 * 16 ** (i / (budgets - 1))) for i in range(budgets)]
    rows = [{"cluster": "trunk", "steps": n, "decay_start": n - round(0.2 * n)} for n in steps]
    assert sum(steps) / sum(_own_steps(rows)) == pytest.approx(saved, rel=0.01)
