"""The interval of a difference, from two intervals, is the one that statistics knows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lawful.fitting.difference import difference


def test_of_symmetric_intervals_it_is_the_root_of_the_sum_of_squares() -> None:
    value, (low, high) = difference(1.0, (0.7, 1.3), 1.5, (1.1, 1.9))
    assert value == pytest.approx(0.5)
    assert (low, high) == pytest.approx((0.5 - 0.5, 0.5 + 0.5))


def test_of_lopsided_intervals_it_holds_the_true_difference_as_often_as_it_says() -> None:
    """Means of ten exponential draws, whose exact intervals are lopsided (Gamma quantiles of shape 10)."""
    from scipy.stats import gamma

    dice = np.random.Generator(np.random.PCG64(0))
    shape, truth, draws = 10, (1.0, 1.6), 2000
    low, high = gamma.ppf([0.025, 0.975], shape)
    held = 0
    for _ in range(draws):
        means = [scale * dice.gamma(shape) / shape for scale in truth]
        ends = [(mean * shape / high, mean * shape / low) for mean in means]
        _, (bottom, top) = difference(means[0], ends[0], means[1], ends[1])
        held += bottom <= truth[1] - truth[0] <= top
    assert abs(held / draws - 0.95) < 3 * math.sqrt(0.95 * 0.05 / draws) + 0.01


def test_turned_round_it_is_its_own_negative() -> None:
    value, (low, high) = difference(2.0, (1.9, 2.4), 3.0, (2.2, 3.1))
    back, (bottom, top) = difference(3.0, (2.2, 3.1), 2.0, (1.9, 2.4))
    assert (back, bottom, top) == pytest.approx((-value, -high, -low))
