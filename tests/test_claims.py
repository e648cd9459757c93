"""The five originals' claims: their verdicts are the tool's, they are these, and the page says so."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def module(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = found  # dataclasses look themselves up
    spec.loader.exec_module(found)
    return found


claims = module(ROOT / "docs" / "make" / "claims.py")
rule = module(ROOT / "examples" / "five_percent_rule.py")
EXPECTED = {
    "symbolic_music_runs.csv": [
        *[("alpha=0.142", "not decided")] * 3,  # with a floor, without, without the run that was cut short
        *[("alpha=0.118", "not decided")] * 2,
    ],
    "unrolled_equilibrium_vs_backprop.csv": [
        ("eqprop_looped_mlp beats backprop above 20000", "contradicted"),
        ("eqprop_recurrent_core beats backprop above 20000", "not decided"),  # its own law is not determined
        ("eqprop_full beats backprop above 20000", "not decided"),  # its exponent ends at its bound
    ],
    "shakespeare_published.csv": [("alpha=0.09", "not decided"), ("alpha=0.09", "not decided")],
    "emg_collapsed.csv": [("alpha=0.05", "not decided")],
}


each_claim = pytest.mark.parametrize(
    "claim",
    [
        pytest.param(claim, marks=() if claim.is_ours else pytest.mark.needs_data, id=claim.table)
        for claim in claims.CLAIMS
    ],
)


@functools.cache
def said(claim):
    return claims.replayed(claim)


@each_claim
def test_the_verdict_on_the_claim_of_an_original(claim):
    assert claims.verdicts(said(claim)) == EXPECTED[claim.table]


@pytest.mark.parametrize(
    ("table", "refusal"),
    [
        ("shakespeare_published.csv", "needs at least 4 runs; got 3"),
        ("emg_collapsed.csv", "no finished run is left to fit; 5 were left out"),
    ],
)
def test_three_points_and_collapsed_models_are_refused(table, refusal):
    (claim,) = (claim for claim in claims.CLAIMS if claim.table == table)
    assert refusal in next(iter(said(claim).values()))


@each_claim
def test_the_page_of_the_claims_is_what_the_tool_says_now(claim):
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    for command, output in said(claim).items():
        assert f"$ {command}\n{output.rstrip()}\n" in page, f"docs/claims.md is behind: make claims ({command})"


def test_the_rule_of_five_percent_misfires_on_a_constant_gain_and_three_anchors_are_refused():
    found = rule.misfires("three anchors, one seed", gain=2.0, draws=40)
    assert found.by_rule > 0.3
    assert found.by_test is None


def test_where_the_rule_misfires_the_comparison_does_so_less_often():
    found = rule.misfires("five sizes, three seeds", gain=2.0, draws=10)
    assert found.by_test is not None and found.by_test < 0.5 < found.by_rule
