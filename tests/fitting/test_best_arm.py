"""The probability that each arm is the best: right as often as it says, sharper where pairs share their noise."""

import numpy as np
import pytest
from planted import two_arms

import lawful
from lawful.fitting.best_arm import highest


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


@pytest.mark.parametrize(("arms", "shared"), [(2, 0.0), (4, 3.0), (8, 0.0)])
def test_when_it_says_p_the_arm_is_the_best_in_p(arms, shared):
    """True levels of spreads from 0 to 4 standard errors, as many tables of each, with noise that all arms share."""
    rng = np.random.default_rng(6)
    said, right = [], []
    for spread in (0.01, 0.5, 1, 2, 3, 4):
        for _ in range(120):
            true = spread * rng.standard_normal(arms)
            seen = true + rng.standard_normal(arms) + shared * rng.standard_normal()
            noise = rng.chisquare(12) / 12  # as it is estimated
            shares = highest(seen, noise * (np.eye(arms) + shared**2), 12.0, rng, draws=400)
            said.append(shares.max())
            right.append(shares.argmax() == true.argmax())
    said, right = np.array(said), np.array(right)
    assert said.mean() == pytest.approx(right.mean(), abs=0.04)
    for low, high in ((0.0, 0.5), (0.5, 0.75), (0.75, 0.95), (0.95, 1.01)):  # .1 and more too sure without pooling
        within = (said >= low) & (said < high)
        if (count := within.sum()) >= 30:
            expected = said[within].mean()
            error = np.sqrt(expected * (1 - expected) / count)
            assert right[within].mean() == pytest.approx(expected, abs=0.02 + 2.5 * error)


def test_the_probability_is_that_of_the_model_by_weighing_draws_of_its_prior():
    """Three arms of unequal errors: levels, spread and noise drawn from the prior, weighed by their likelihood."""
    seen, covariance, dof = np.array([0.0, 0.8, 1.5]), np.diag([0.2, 0.5, 1.1]), 6.0
    rng = np.random.default_rng(7)
    draws = 400_000
    noise = dof / rng.chisquare(dof, draws)
    share = rng.random(draws)
    typical = np.trace((np.eye(3) - 1 / 3) @ covariance) / 2
    true = (share / (1 - share) * np.sqrt(noise * typical))[:, None] * rng.standard_normal((draws, 3))
    # the mean has no prior: the likelihood of the differences from the third arm
    apart = np.array([[1, 0, -1], [0, 1, -1]])
    precision = np.linalg.inv(apart @ covariance @ apart.T)
    away = (seen - true) @ apart.T
    weight = np.exp(-np.einsum("di,ij,dj->d", away, precision, away) / 2 / noise) / noise
    by_hand = np.bincount(true.argmax(axis=1), weights=weight) / weight.sum()
    assert highest(seen, covariance, dof, rng) == pytest.approx(by_hand, abs=0.02)


def test_levels_without_error_or_all_equal_are_no_accident():
    rng = np.random.default_rng(8)
    assert list(highest(np.array([1.0, 3.0, 2.0]), np.zeros((3, 3)), 5.0, rng)) == [0.0, 1.0, 0.0]
    assert highest(np.zeros(2), np.zeros((2, 2)), 5.0, rng) == pytest.approx([0.5, 0.5], abs=0.02)


def test_where_the_metric_rises_the_highest_is_the_best():
    rng = np.random.default_rng(4)
    rows = [
        {"arm": arm, "flops": c, "acc": float(1 - (c / 1e15) ** -power + 0.002 * rng.standard_normal())}
        for arm, power in (("low", 0.15), ("high", 0.18))
        for c in np.geomspace(1e17, 1e20, 8)
    ]
    best = lawful.compare(lawful.read_runs(rows, loss="acc"), by="arm", law="1 - a*C^-b").best
    assert best.probability["high"] > 0.99
