"""The probability that each arm is the best: near 1 over k among equals, sharper where pairs share their noise."""

import numpy as np
import pytest
from planted import two_arms

import lawful
from lawful.fitting.quantiles import t_cdf


def compared(rows, **how):
    return lawful.compare(rows, by="arm", law="power_floor:params", **how)


def test_a_clear_gain_is_the_best_and_probabilities_sum_to_one():
    best = compared(two_arms(np.random.default_rng(0), gain=1.6)).best
    assert best.probability["b"] > 0.99 and sum(best.probability.values()) == pytest.approx(1.0)
    assert set(best.at) == {"params"}


def test_pairs_that_share_their_noise_tell_more():
    rows = two_arms(np.random.default_rng(1), gain=1.02, sigma=0.001, sigma_pair=0.01, seeds=3)
    paired, apart = (compared(rows, paired=is_paired).best.probability["b"] for is_paired in (True, False))
    assert paired > 0.97 > apart


def test_among_equal_arms_each_is_the_best_about_as_often_as_it_is_said():
    """The mean of what is said of one of two equal arms is a half, and it is not sure of itself too often."""
    said = [compared(two_arms(np.random.default_rng(seed), runs=6)).best.probability["a"] for seed in range(5)]
    assert np.mean(said) == pytest.approx(0.5, abs=0.35)
    assert sum(max(one, 1 - one) > 0.975 for one in said) <= 1


def test_of_two_arms_it_is_the_tail_of_students_t():
    """The difference at the point over its error, by hand from the comparison's own multiplier: of one sign with it."""
    found = compared(two_arms(np.random.default_rng(3), gain=1.05, seeds=3))
    (factor,) = found.multipliers
    half = np.log(factor.ci95[1] / factor.ci95[0]) / 2
    z = -np.log(factor.value) / (half / 2.02)  # t of about 40 degrees of freedom
    assert found.best.probability["b"] == pytest.approx(t_cdf(z, 40), abs=0.03)


def test_where_the_metric_rises_the_highest_is_the_best():
    rng = np.random.default_rng(4)
    rows = [
        {"arm": arm, "flops": c, "acc": float(1 - (c / 1e15) ** -power + 0.002 * rng.standard_normal())}
        for arm, power in (("low", 0.15), ("high", 0.18))
        for c in np.geomspace(1e17, 1e20, 8)
    ]
    best = lawful.compare(lawful.read_runs(rows, loss="acc"), by="arm", law="1 - a*C^-b").best
    assert best.probability["high"] > 0.99
