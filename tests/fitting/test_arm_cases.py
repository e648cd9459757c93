"""Small tables of arms on which an earlier version was wrong. Their truths are planted; `../cases` from LAWFUL_DATA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import lawful
from lawful.fitting.paired import paired
from lawful.fitting.replay import replay
from lawful.tables import read_runs

pytestmark = pytest.mark.needs_data


@pytest.fixture
def case(data_folder: Path) -> Callable[[str], Path]:
    folder = data_folder.parent / "cases" / "statistics"
    if not folder.exists():
        pytest.skip(f"{folder} does not exist: the cases lie beside the data")
    return lambda name: folder / f"{name}.csv"


NULLS = ("null_5x2_cross", "null_8x2_cross", "null_8x2_lead_a", "null_8x3_cross", "tie_identical_arms")


@pytest.mark.parametrize("name", NULLS)
def test_identical_arms_neither_cross_nor_lead(case, name):
    found = lawful.crossover(case(f"crossover_{name}"), draws=0)
    assert (found.at, found.leader) == (None, None)
    assert found.sentence.startswith("Neither a crossing nor a lead over the whole range of the data is established")


def test_arms_that_cross_at_a_million_have_it_in_their_set(case):
    found = lawful.crossover(case("crossover_cross_5x1_cross"), draws=0)
    assert any(low <= 1e6 <= high for low, high in found.set95)


def test_that_one_of_identical_arms_beats_the_other_is_not_decided(case):
    assert replay(case("replay_beats_identical_arms"), "a beats b above 1e6", draws=0).verdict == "not decided"


def test_claims_that_exclude_each_other_are_not_all_supported(case):
    verdicts = [replay(case("replay_two_claims"), f"alpha={a}", draws=200).verdict for a in (0.206, 0.336, 0.461)]
    assert verdicts.count("supported") <= 1
    assert replay(case("replay_two_claims"), "alpha=0.3", draws=200).verdict != "contradicted"  # the truth


@pytest.mark.parametrize("name", ["floordiff_0.02_auto", "floordiff_0.04_auto"])
def test_floors_apart_are_no_exponents_apart(case, name):
    found = lawful.compare(case(f"compare_{name}"), law="power_floor:flops")
    assert found.decision != "exponents differ"
    (difference,) = found.differences
    assert difference.ci95[0] < 0 < difference.ci95[1]


def test_of_identical_arms_that_differ_as_one_table_in_seventy_does_nothing_more_is_said(case):
    """Kept because an earlier test alarmed on it: one of the twenty in which a test at 5 % may. That exponents
    differ is not said."""
    found = lawful.compare(case("compare_null_own"), law="power_floor:flops")
    assert 0.005 < found.p < 0.07
    assert found.decision == "not decided" and found.verdict != "exponents differ"


def test_arms_of_which_only_the_floor_differs(case):
    found = lawful.compare(case("floor_auto_floor_only"), law="chinchilla")
    assert found.decision != "exponents differ"
    assert found.verdict in ("the floor differs", "the arms differ")
    floors = [found.params[arm]["E"] for arm in found.arms]
    assert abs(floors[1] - floors[0]) > 0


def test_half_the_compute_is_said_of_compute_only(case):
    table = case("multiplier_params_vs_flops_true_0.5")
    (compute,) = lawful.compare(table, law="power_floor:flops").multipliers
    assert compute.of == "compute" and compute.ci95[0] < 0.5 < compute.ci95[1]
    (params,) = lawful.compare(table, law="power_floor:params").multipliers
    assert params.of == "parameters" and params.ci95[0] < 0.5**0.5 < params.ci95[1]


def test_branches_of_three_trunks_decide_nothing(case):
    assert not paired(read_runs(case("paired_trunk_null_2arms")), "tokens").is_decided
