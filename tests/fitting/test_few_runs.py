"""A law of runs that determine next to nothing: its interval is wide or endless, never an error or a warning."""

from __future__ import annotations

import math

import numpy as np
import pytest

import lawful
from lawful.fitting.predict import of_one_run
from lawful.response import LOG


def test_the_interval_of_a_curve_that_nothing_determines_has_no_end() -> None:
    assert of_one_run(LOG, 2.0, 0.0, math.inf, 0.1) == (0.0, math.inf)
    assert of_one_run(LOG, 2.0, 1e-300, 1e300, 800.0) == (0.0, math.inf)


@pytest.mark.parametrize("seed", range(3))
def test_five_runs_near_each_other_are_predicted_with_an_interval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    flops = np.geomspace(6e10, 6e11, 5)
    rows = [{"flops": float(c), "loss": float(300 * c**-0.2 * np.exp(rng.normal(0, 0.05)))} for c in flops]
    fit = lawful.fit(rows, "power_floor:flops", draws=0)
    for at in (8e10, 1e18):
        found = fit.predict(flops=at, interval="new_run")
        assert 0 <= found.low <= found.value <= found.high
