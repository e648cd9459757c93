"""A law as a list of operations gives the losses of the law itself."""

from __future__ import annotations

import numpy as np
import pytest

from lawful import laws
from lawful.fitting.traced import run, trace
from lawful.laws import Axes, bounds_of

TRACED = (
    "chinchilla", "kaplan", "coupled", "data_limited", "data_constrained", "power", "power_floor:tokens",
    "broken_power", "saturating", "overtrained", "E + A/N^alpha + B/D^beta", "E + (a/N + b/D)^c",
)  # fmt: skip


@pytest.mark.parametrize("name", TRACED)
def test_the_operations_of_a_law_give_its_loss(name: str) -> None:
    law, rng = laws.named(name), np.random.default_rng(1)
    pivot = {axis: 10.0 ** (6 + k) for k, axis in enumerate(law.inputs)}
    steps = trace(law, pivot)
    assert steps is not None
    for _ in range(5):
        values = {}
        for parameter, (low, high) in bounds_of(law).items():
            start = max(low, 0.05) if low >= 0 else max(low, -1.0)
            values[parameter] = float(rng.uniform(start, min(high, start + 1.5)))
        logs = {axis: np.array([rng.normal()]) for axis in law.inputs}
        (wanted,) = np.ravel(law.predict(values, Axes(logs, pivot)))
        given = [values[parameter] for parameter in law.parameters]
        assert run(steps, [float(logs[axis][0]) for axis in law.inputs], given) == pytest.approx(wanted, rel=1e-12)


def test_a_law_that_does_what_no_page_can_repeat_is_not_traced() -> None:
    law = laws.named("precision")
    assert trace(law, dict.fromkeys(law.inputs, 1.0)) is None
