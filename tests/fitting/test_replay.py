"""Claims put to the test on their own points: planted ones, and those of two originals."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import lawful
from lawful.fitting.replay import replay

TABLES = Path(os.environ.get("LAWFUL_DATA", "")) / "scaling_tables"
published = pytest.mark.skipif(not TABLES.is_dir(), reason="the published tables are not here; LAWFUL_DATA names them")


def points(n=12, sigma=0.003, exponent=0.3, seed=0):
    random = np.random.default_rng(seed)
    sizes = np.geomspace(1e5, 1e9, n)
    noise = np.exp(sigma * random.standard_normal(n))
    return [{"params": x, "loss": (1.5 + 20 * x**-exponent) * e} for x, e in zip(sizes, noise, strict=True)]


def two(sigma=0.002):
    """b has the higher exponent and is ahead above 1e7."""
    random = np.random.default_rng(1)
    return [
        {"arm": arm, "params": x, "loss": (1.5 + (x / 1e7) ** -alpha) * np.exp(sigma * random.standard_normal())}
        for arm, alpha in (("a", 0.2), ("b", 0.3))
        for x in np.geomspace(1e5, 1e9, 12)
    ]


def test_a_true_exponent_is_supported_and_a_false_one_contradicted():
    assert replay(points(), "alpha=0.3", law="power_floor:params").verdict == "supported"
    found = replay(points(), "alpha = .45", law="power_floor:params")
    assert found.verdict == "contradicted"
    assert "0.45 lies outside" in found.sentence


def test_three_points_decide_nothing():
    found = replay(points(3), "alpha=0.3", law="power_floor:params")
    assert found.verdict == "not decidable"
    assert "needs at least 4 runs; got 3" in found.sentence


def test_an_interval_that_holds_everything_decides_nothing():
    assert replay(points(6, sigma=0.2), "alpha=0.3", law="power_floor:params").verdict == "not decidable"


def test_a_lead_is_supported_on_its_side_and_contradicted_on_the_other():
    claims = {
        "b beats a above 3e7": "supported",
        "b beats a above 1e6": "contradicted",
        "a beats b below 3e6": "supported",
        "b beats a above 1e12": "not decidable",
    }
    found = {claim: replay(two(), claim, law="power_floor:params").verdict for claim in claims}
    assert found == claims


def test_a_claim_that_is_not_understood_is_an_error_with_the_two_forms():
    with pytest.raises(ValueError, match="NAME=NUMBER, or ARM beats ARM above NUMBER"):
        replay(points(), "alpha is about a third")
    with pytest.raises(ValueError, match="no parameter 'beta'"):
        replay(points(), "beta=0.3", law="power_floor:params")


@published
@pytest.mark.parametrize(("arch", "claim"), [("transformer", "alpha=0.142"), ("lstm", "alpha=0.118")])
def test_the_exponents_of_the_music_original_do_not_follow_from_its_points(arch, claim):
    table = lawful.read_runs(TABLES / "symbolic_music_runs.csv", params="params_total", loss="val_loss")
    one = table.where(lambda row: row["arch"] == arch, "another architecture")
    assert replay(one, claim, law="power_floor:params").verdict != "supported"


@published
@pytest.mark.parametrize("variant", ["looped_mlp", "recurrent_core", "full"])
def test_equilibrium_propagation_winning_above_20_000_characters_is_contradicted_by_its_own_table(variant):
    table = lawful.read_runs(TABLES / "unrolled_equilibrium_vs_backprop.csv", tokens="dataset_size", loss="loss")
    found = replay(table, f"eqprop_{variant} beats backprop above 20000", law="power_floor:tokens", by="model_type")
    assert found.verdict == "contradicted"


def test_the_rule_that_exponents_within_five_percent_are_equal_misfires_on_a_constant_gain():
    """Without a floor, as the original fitted: the same curve, at twice the compute."""
    flops = np.geomspace(1e15, 1e18, 4)
    exponents = [
        lawful.fit(
            [{"flops": c, "loss": 1.5 + 1.2 * (gain * c / 3e16) ** -0.15} for c in flops], "power:flops", draws=0
        )
        .params["alpha"]
        .value
        for gain in (1.0, 2.0)
    ]
    assert abs(exponents[1] / exponents[0] - 1) > 0.05
