"""Curves of one shape collapse; the size whose curve has another shape is named."""

from __future__ import annotations

import numpy as np
import pytest

from lawful.fitting.collapse import Course, collapse

FLOOR = 1.5
SIZES = (1e4, 3e4, 1e5, 3e5)


def courses(*, broken: float | None = None, noise: float = 0.002, seeds: int = 3, ratio: float = 20) -> list[Course]:
    """Reducible loss 40 N^-.3 (share of the run)^-.25; the broken size lags in the middle and catches up."""
    rng = np.random.default_rng(0)
    made = []
    for size in SIZES:
        for seed in range(seeds):
            share = np.linspace(0.1, 1.0, 10)
            lag = 0.15 * np.sin(np.pi * share) if size == broken else 0.0
            reducible = 40 * size**-0.3 * share**-0.25 * np.exp(lag + noise * rng.standard_normal(10))
            made.append(
                Course(
                    params=size,
                    seed=seed,
                    total_tokens=ratio * size,
                    tokens=share * ratio * size,
                    loss=FLOOR + reducible,
                )
            )
    return made


def test_curves_of_one_shape_lie_on_each_other() -> None:
    found = collapse(courses(), FLOOR)
    assert found is not None
    assert found.broken is None
    assert max(found.departs.values()) < 0.01
    assert found.seed_spread == pytest.approx(0.002 * 2**0.5, rel=0.4)  # of a difference of two points


@pytest.mark.parametrize("size", SIZES)
def test_the_size_that_breaks_away_is_named(size: float) -> None:
    found = collapse(courses(broken=size), FLOOR)
    assert found is not None
    assert found.broken == size


def test_one_seed_names_none() -> None:
    found = collapse(courses(broken=SIZES[1], seeds=1), FLOOR)
    assert found is not None
    assert (found.broken, found.seed_spread) == (None, None)
    assert max(found.departs, key=lambda size: found.departs[size]) == SIZES[1]


def test_curves_that_do_not_compare_give_nothing() -> None:
    assert collapse([], FLOOR) is None
    assert collapse([c for c in courses() if c.params in SIZES[:2]], FLOOR) is None
    assert collapse(courses()[:6] + courses(ratio=40)[6:], FLOOR) is None
    assert collapse(courses(), 100.0) is None  # a floor above the losses
