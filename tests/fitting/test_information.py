"""What runs teach about an answer, beside generalised least squares by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lawful.fitting.information import Knowledge, Points, State

ROWS, NEW, FREE = 6, 4, 3


def known(shared: np.ndarray, seed: int = 0, own: float = 1.0) -> Knowledge:
    rng = np.random.default_rng(seed)
    codes = np.arange(ROWS + NEW)
    points = Points(at={"params": np.exp(rng.standard_normal(ROWS + NEW))}, cell=codes, cluster=codes)
    states = tuple(
        State(law, 0.5, rng.standard_normal((ROWS + NEW, FREE)), rng.standard_normal(FREE), 0.01 * np.eye(FREE))
        for law in (0, 1)
    )
    return Knowledge(
        states=states,
        laws=("a", "b"),
        weights=np.array([0.5, 0.5]),
        answers=np.array([0.3, 0.4]),
        points=points,
        taken=tuple(range(ROWS)),
        first=ROWS,
        own=own,
        shared=shared,
        forecasts=rng.standard_normal((2, ROWS + NEW)),
        overlap=np.zeros((2, 2)),
    )


def some_shared() -> np.ndarray:
    at = np.linspace(0, 1, ROWS + NEW)
    return 0.7 * np.exp(-(((at[:, None] - at[None]) / 0.3) ** 2)) + 0.2 * (at[:, None] > 0.5) * (at[None] > 0.5)


def by_hand(one: State, shared: np.ndarray, taken: list[int], own: np.ndarray) -> float:
    covariance = np.diag(own) + shared[np.ix_(taken, taken)]
    slopes = one.slopes[taken]
    return float(one.gradient @ np.linalg.inv(one.prior + slopes.T @ np.linalg.inv(covariance) @ slopes) @ one.gradient)


def test_variances_are_those_of_generalised_least_squares_with_one_more_run_after_another() -> None:
    shared = some_shared()
    first = known(shared)
    between = 0.25 * 0.1**2
    rows = list(range(ROWS))
    now = [by_hand(one, shared, rows, np.ones(ROWS)) for one in first.states]
    assert first.variances() == pytest.approx(np.array(now) + between, rel=1e-6)
    after = first.after_each()
    for i in range(NEW):
        second = first.with_run(i)
        alone = [by_hand(one, shared, [*rows, ROWS + i], np.ones(ROWS + 1)) for one in first.states]
        left = second.variances() - np.array(alone)
        assert left[0] == pytest.approx(left[1])
        assert 0 <= left[0] <= between  # what is left of the difference between the laws
        assert second.variances() == pytest.approx(after[:, i], rel=1e-6)


def test_a_row_that_stands_for_several_counts_as_so_many() -> None:
    nothing = np.zeros((ROWS + NEW, ROWS + NEW))
    third = known(nothing, own=1 / 3)
    alone = [by_hand(one, nothing, list(range(ROWS)) * 3, np.ones(3 * ROWS)) for one in third.states]
    assert third.variances() - third._between(third.overlap) == pytest.approx(alone, rel=1e-6)


def test_without_a_point_the_rest_is_as_if_it_had_never_run() -> None:
    first = known(some_shared())
    others = first.without(2)
    rows = [0, 1, 3, 4, 5]
    alone = [by_hand(one, some_shared(), rows, np.ones(5)) for one in first.states]
    assert others.variances() - others._between(others.overlap) == pytest.approx(alone, rel=1e-6)
