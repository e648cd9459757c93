"""Claims put to the test on their own points: planted ones. Those of the originals: tests/test_claims.py."""

from __future__ import annotations

import re

import numpy as np
import pytest

import lawful
from lawful.errors import LawfulError
from lawful.fitting.replay import replay


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
    assert replay(points(sigma=0.001), "alpha=0.3", law="power_floor:params").verdict == "supported"
    found = replay(points(), "alpha = .45", law="power_floor:params")
    assert found.verdict == "contradicted"
    assert "none of it lies within 10 % of 0.45, [0.405, 0.495]" in found.sentence


def test_a_claim_is_supported_by_the_whole_interval_within_the_share_and_contradicted_by_none_of_it():
    """The verdict by hand from the fit's own interval, over shares and claims."""
    low, high = lawful.fit(points(), "power_floor:params").params["alpha"].ci95
    for claimed in (0.27, 0.295, 0.3, 0.31, 0.33, 0.4):
        for within in (0.01, 0.05, 0.1, 0.3):
            near = (claimed * (1 - within), claimed * (1 + within))
            expected = "not decided"
            if near[0] <= low and high <= near[1]:
                expected = "supported"
            if high < near[0] or near[1] < low:
                expected = "contradicted"
            found = replay(points(), f"alpha={claimed}", law="power_floor:params", within=within)
            assert found.verdict == expected, (claimed, within)
    for within in (0.0, -0.1, float("nan"), float("inf")):
        with pytest.raises(LawfulError, match=r"within: expected a share above 0, such as 0\.1"):
            replay(points(), "alpha=0.3", law="power_floor:params", within=within)


def test_of_claims_that_exclude_each_other_at_most_one_is_supported():
    said = [replay(points(sigma=0.02), f"alpha={a}", law="power_floor:params").verdict for a in (0.206, 0.336, 0.461)]
    assert said.count("supported") <= 1


def test_the_runs_that_would_decide_are_more_than_there_are_and_about_as_many_do():
    found = replay(points(12, sigma=0.006), "alpha=0.3", law="power_floor:params")
    assert found.verdict == "not decided"
    about, low, high = (
        int(number.replace(",", ""))
        for number in re.search(
            r"About ([\d,]+) runs like these would decide \(([\d,]+) to ([\d,]+)\)", found.sentence
        ).groups()
    )
    assert 12 < low <= about <= high
    more = [
        replay(points(2 * about, sigma=0.006, seed=s), "alpha=0.3", law="power_floor:params").verdict for s in range(8)
    ]
    fewer = [replay(points(12, sigma=0.006, seed=s), "alpha=0.3", law="power_floor:params").verdict for s in range(8)]
    assert more.count("supported") > fewer.count("supported")


def test_of_identical_arms_neither_beats_the_other():
    random = np.random.default_rng(2)
    verdicts = []
    for _ in range(12):
        rows = [
            {
                "arm": arm,
                "params": x,
                "seed": s,
                "loss": (1.5 + (x / 1e7) ** -0.3) * np.exp(0.004 * random.standard_normal()),
            }
            for arm in "ab"
            for x in np.geomspace(1e5, 1e9, 8)
            for s in range(2)
        ]
        verdicts.append(replay(rows, "a beats b above 1e6", law="power_floor:params", draws=0).verdict)
    assert verdicts.count("not decided") >= 10


def test_three_points_decide_nothing():
    found = replay(points(3), "alpha=0.3", law="power_floor:params")
    assert found.verdict == "not decided"
    assert "needs at least 4 runs; got 3" in found.sentence


def test_an_interval_that_holds_everything_decides_nothing():
    assert replay(points(6, sigma=0.2), "alpha=0.3", law="power_floor:params").verdict == "not decided"


def test_a_lead_is_supported_on_its_side_and_contradicted_on_the_other():
    claims = {
        "b beats a above 3e7": "supported",
        "b beats a above 1e6": "contradicted",
        "a beats b below 3e6": "supported",
        "b beats a above 1e12": "not decided",
    }
    found = {claim: replay(two(), claim, law="power_floor:params").verdict for claim in claims}
    assert found == claims


def shaped(vocabulary=50_000):
    """Twelve decoders whose loss is a power of their parameters without embeddings, counted by hand; `params` holds
    what their author called their size, embeddings included."""
    random = np.random.default_rng(3)
    rows = []
    for width in (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536):
        blocks = 12 * 4 * width**2
        loss = (1.5 + 20 * blocks**-0.3) * np.exp(0.002 * random.standard_normal())
        rows.append({"d_model": width, "n_layer": 4, "vocab_size": vocabulary, "loss": loss})
        rows[-1]["params"] = blocks + vocabulary * width
    return rows


def test_where_shapes_are_given_the_claim_is_tested_under_counts_made_from_them():
    found = replay(shaped(), "alpha=0.3", law="power_floor:params")
    assert found.verdict == "not decided"  # it holds without embeddings and fails with them
    said = " ".join(found.reasons)
    assert "The verdict depends on how things are counted." in said
    assert "As counted in the table: contradicted" in said
    assert "With N counted from the shapes without embeddings: supported" in said
    assert "With N counted from the shapes with embeddings: contradicted" in said
    without = [{**row, "params": 12 * 4 * row["d_model"] ** 2, "vocab_size": 1} for row in shaped()]
    assert replay(without, "alpha=0.3", law="power_floor:params").verdict == "supported"


def test_compute_is_counted_from_the_shapes_where_the_law_reads_it():
    rows, random = [], np.random.default_rng(4)
    for row in shaped():
        tokens = 20 * 12 * 4 * row["d_model"] ** 2
        flops = 6 * 12 * 4 * row["d_model"] ** 2 * tokens
        loss = (1.5 + 20 * (flops / 1e9) ** -0.15) * np.exp(0.001 * random.standard_normal())
        rows.append({**row, "tokens": tokens, "flops": flops, "loss": loss})
    found = replay(rows, "alpha=0.15", law="power_floor:flops")
    assert "With C = 6 N D, N counted from the shapes without embeddings: supported" in " ".join(found.reasons)


def test_a_claim_that_is_not_understood_is_an_error_with_the_two_forms():
    with pytest.raises(LawfulError, match="NAME=NUMBER, or ARM beats ARM above NUMBER"):
        replay(points(), "alpha is about a third")
    with pytest.raises(LawfulError, match="no parameter 'beta'"):
        replay(points(), "beta=0.3", law="power_floor:params")
