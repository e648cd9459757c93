"""What the study `activation` plans: matched arms, a sound ladder, and the original's grid as it really is."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lawful import linter
from lawful.schema import CorpusRecord, PlannedRun, Warning
from lawful.studies import activation
from lawful.study import planned_run


def planned(scale: str) -> list[PlannedRun]:
    """The plan's rungs, without preparing any text."""
    study = activation.study(scale)
    return [planned_run(rung, study.arm, corpus="text") for rung in study.ladder]


def warned(rungs: list[PlannedRun], unique_tokens: int) -> list[Warning]:
    text = CorpusRecord(fingerprint="1", vocabulary=512, train_tokens=unique_tokens)
    return linter.declared([replace(rung, is_decayed=True) for rung in rungs], {"text": text}, "arm")


def test_published_holds_what_its_author_built_and_not_what_its_labels_say() -> None:
    rungs = planned("published")
    gelu = {rung.at["width"]: rung for rung in rungs if rung.arm == "gelu"}
    # 0.8, 1.8, 6.3 and 49.6 million parameters without embeddings, in 1, 1, 2 and 7 layers
    assert [round(rung.params_non_embedding / 1e6, 1) for rung in gelu.values()] == [0.8, 1.8, 6.3, 49.6]
    depths = [round(rung.params_non_embedding / (12 * width**2)) for width, rung in gelu.items()]
    assert depths == [1, 1, 2, 7]
    assert [rung.held_out for rung in gelu.values()] == [False, False, False, True]
    assert [rung.tokens / rung.params_total for rung in gelu.values()] == pytest.approx([20] * 4, rel=1e-3)
    costs = [6 * rung.params_total * rung.tokens for rung in gelu.values() if not rung.held_out]
    assert math.log10(max(costs) / min(costs)) == pytest.approx(0.74, abs=0.01)
    assert [rung.learning_rate for rung in gelu.values()] == [2e-4, 1e-4, 1e-4, 6e-5]
    codes = {warning.code for warning in warned(rungs, 470_000_000)}
    assert {"few-sizes", "one-seed", "rate-jumps", "mixed-precision", "vocabulary-dominates"} <= codes
    assert [rung.precision for rung in gelu.values()] == ["fp32", "fp16", "fp16", "fp16"]


def test_quick_is_a_sound_ladder_whose_arms_are_equal_in_size_and_in_flops() -> None:
    rungs = planned("quick")
    assert [w for w in warned(rungs, 4_279_037) if w.severity != "note"] == []  # Python 3.11's own source
    own = [rung for rung in rungs if rung.bracket is None]
    for rung in own:
        (other,) = (r for r in own if r.at == {**rung.at, "arm": "swiglu"})
        assert (rung.params_non_embedding, rung.flops) == (other.params_non_embedding, other.flops)
    assert all(rung.tokens / rung.params_non_embedding == pytest.approx(20, rel=0.01) for rung in own)
    assert {rung.bracket for rung in rungs} == {None, 0.5, 2.0}
    assert {rung.at["width"] for rung in rungs if rung.bracket} == {24, 36}
    assert 3e13 < sum(rung.flops for rung in rungs) < 8e13


def test_full_has_the_sizes_it_was_asked_for_within_three_percent() -> None:
    rungs = [rung for rung in planned("full") if rung.arm == "gelu" and rung.bracket is None]
    sizes = sorted({rung.params_non_embedding for rung in rungs})
    assert sizes == pytest.approx(activation.FULL, rel=0.03)
    assert {rung.seed for rung in rungs} == {0, 1, 2}


def test_the_arms_of_one_seed_see_the_same_data_in_the_same_order() -> None:
    ladder = activation.study("quick").ladder
    for rung in ladder:
        pair = [other.run for other in ladder if {**other.at, "arm": ""} == {**rung.at, "arm": ""}]
        assert len(pair) == 2
        assert len({(run.data_seed, run.batch_size, run.steps, run.optimizer) for run in pair}) == 1


def test_an_isoflop_grid_gives_each_size_the_tokens_that_a_budget_pays_for() -> None:
    ladder = activation.study("quick", isoflop=(1e10, 4e10)).ladder
    rows = [planned_run(rung, "arm", corpus="text") for rung in ladder]
    assert all(row.flops_6nd == pytest.approx(row.at["flops"], rel=0.02) for row in rows)
    assert "batch-follows-size" not in {warning.code for warning in warned(rows, 4_279_037)}
