"""Arms: what differs is found, what does not is not, and pairs, clusters and shared floors count."""

import numpy as np
import pytest
from planted import two_arms

import lawful
from lawful.errors import LawfulError, Refusal
from lawful.fitting.compare import holm


def compared(seed=0, floor="own", paired=False, **planted):
    return lawful.compare(
        two_arms(np.random.default_rng(seed), **planted), law="power_floor", floor=floor, paired=paired
    )


def test_identical_arms_are_called_identical_with_a_bound_on_what_was_missed():
    found = compared(1)
    assert found.verdict == "identical"
    assert "is excluded at 5 %" in found.sentence
    assert found.differences[0].equivalence > abs(found.differences[0].value)


def test_a_constant_gain_is_a_coefficient_and_its_compute_multiplier_is_right():
    found = compared(2, gain=1.2)
    assert found.verdict == "coefficients differ"
    (multiplier,) = found.multipliers
    assert multiplier.ci95[0] < 1 / 1.2 < multiplier.ci95[1]  # a gain of 1.2 in N is N / 1.2 at the same loss


def test_a_shift_of_the_exponent_is_found():
    found = compared(3, shift=0.06, floor="shared")
    assert found.verdict == "exponents differ"
    (difference,) = found.differences
    assert difference.ci95[0] < 0.06 < difference.ci95[1]
    assert "alpha of b is +0.0" in found.sentence


def test_a_shift_of_the_floor_is_found():
    assert compared(4, lift=0.1).verdict == "the floor differs"


def test_a_constant_gain_measured_well_is_told_from_a_shift_of_the_exponent():
    found = compared(2, gain=1.2, floor="auto", seeds=6, sigma=0.001)
    assert found.decision == "exponents agree"
    assert found.differences[0].equivalence < found.matters["alpha"] == pytest.approx(0.035, rel=0.1)
    assert "the exponents agree" in found.sentence
    assert found.more_seeds is None


def test_what_noise_hides_is_not_decided_and_the_seeds_asked_for_would_decide_it():
    found = compared(3, gain=1.2, floor="shared", seeds=2, sigma=0.05)
    assert found.decision == "not decided"
    assert f"{found.more_seeds} more seeds per arm would show" in found.sentence
    enough = 2 + found.more_seeds
    shift = found.matters["alpha"]
    seen = [compared(s, shift=shift, floor="shared", seeds=enough, sigma=0.05).verdict for s in range(20)]
    assert seen.count("exponents differ") >= 12  # four in five: below 12 of 20 by chance once in a hundred


def test_arms_share_their_floor_unless_a_test_rejects_it():
    shared, own = compared(4, floor="auto"), compared(4, floor="auto", lift=0.1)
    assert (shared.floor, own.floor) == ("shared", "own")
    assert own.floor_p < 0.05 < shared.floor_p
    assert compared(4).floor_p is None


def test_where_a_test_chooses_the_floors_a_constant_gain_is_no_more_often_taken_for_an_exponent():
    """A closed test: the exponents' p is never below that of floors and exponents together."""
    for seed in range(12):
        by_test = compared(seed, gain=1.5, floor="auto", seeds=2)
        told = compared(seed, gain=1.5, floor=by_test.floor, seeds=2)
        assert by_test.steps[-1].p >= told.steps[-1].p
        assert by_test.steps[:-1] == told.steps[:-1]
    assert compared(3, shift=0.06, floor="auto").decision == "exponents differ"


def test_a_floor_that_the_runs_do_not_show_is_said_to_be_none():
    rng = np.random.default_rng(5)  # steeper and steeper, where a floor makes a curve flatter and flatter
    table = [
        {**row, "loss": 20 * row["params"] ** -(0.1 + 0.02 * np.log10(row["params"])) * np.exp(rng.normal(0, 0.003))}
        for row in two_arms(rng)
    ]
    found = lawful.compare(table, law="power_floor", floor="shared")
    assert [caution.code for caution in found.warnings] == ["at_bound"]
    assert "no floor" in found.warnings[0].sentence


def test_the_ladders_misfits_fall_as_parameters_are_freed():
    misfits = [step.misfit for step in compared(5).steps]
    assert misfits == sorted(misfits, reverse=True)


def test_a_floor_per_arm_costs_precision():
    own, shared = (compared(6, floor=floor).differences[0].stderr for floor in ("own", "shared"))
    assert own > 2 * shared


def test_pairs_that_share_noise_are_told_apart_more_finely():
    table = two_arms(np.random.default_rng(7), sigma=0.001, sigma_pair=0.01)
    paired, unpaired = (lawful.compare(table, law="power_floor", paired=p).differences[0].stderr for p in (True, False))
    assert paired < 0.5 * unpaired
    assert lawful.compare(table, law="power_floor").is_paired


def test_three_arms_are_compared_two_by_two_with_holms_correction():
    rng = np.random.default_rng(8)
    table = [*two_arms(rng), *({**row, "arm": "c"} for row in two_arms(rng, shift=0.1) if row["arm"] == "b")]
    found = lawful.compare(table, law="power_floor", floor="shared")
    assert [(d.first, d.second) for d in found.differences] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert all(d.p_holm >= d.p for d in found.differences)
    assert [d.p_holm < 0.05 for d in found.differences] == [False, True, True]


def test_holms_correction_agrees_with_a_hand_sum():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_one_arm_or_too_few_runs_are_refused():
    table = two_arms(np.random.default_rng(9), runs=3, seeds=1)
    with pytest.raises(Refusal, match="arm a: power_floor has 3 free parameters and needs at least 4 runs; got 3"):
        lawful.compare(table, law="power_floor")
    with pytest.raises(Refusal, match="at least two arms"):
        lawful.compare([row for row in table if row["arm"] == "a"], law="power_floor")


def test_crossing_arms_cross_where_they_were_planted():
    rng = np.random.default_rng(10)
    rows = [
        {"arm": arm, "tokens": d, "loss": float((1.0 + a * (d / 1e7) ** -b) * np.exp(0.005 * rng.standard_normal()))}
        for arm, a, b in (("steady", 2.0, 0.3), ("slow", 2.0, 0.2))
        for d in np.geomspace(1e5, 1e9, 10)
    ]
    found = lawful.crossover(rows, law="power_floor:tokens")
    assert found.at == pytest.approx(1e7, rel=0.3)
    assert (found.better_small, found.better_large) == ("slow", "steady")
    assert any(low < found.at < high for low, high in found.set95)
    assert "cross at tokens" in found.sentence


def test_arms_that_do_not_cross_have_no_point():
    rows = [
        {"arm": arm, "params": n, "loss": float(lift + 900 * n**-0.5)}
        for arm, lift in (("a", 1.0), ("b", 1.5))
        for n in np.geomspace(1e5, 1e9, 8)
    ]
    for row, e in zip(rows, np.random.default_rng(0).standard_normal(16), strict=True):
        row["loss"] *= np.exp(0.002 * e)
    found = lawful.crossover(rows)
    assert found.at is None
    assert found.probability < 0.05
    assert found.better_small == found.better_large == "a"


def test_a_crossover_wants_one_axis_and_two_arms():
    table = two_arms(np.random.default_rng(11))
    with pytest.raises(LawfulError, match="law of one axis"):
        lawful.crossover(table, law="chinchilla")
    with pytest.raises(LawfulError, match="no arm is called c; there are a, b"):
        lawful.crossover(table, arms=("a", "c"))
