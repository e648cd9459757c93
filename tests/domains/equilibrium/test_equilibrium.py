"""The study of equilibrium propagation: its arms are a fair comparison, its axes vary one thing each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lawful.domains.equilibrium.studies import equilibrium
from lawful.errors import LawfulError
from lawful.study import Rung


def of(study_rungs: tuple[Rung, ...], **at: object) -> list[Rung]:
    return [rung for rung in study_rungs if all(rung.at[name] == value for name, value in at.items())]


@pytest.mark.parametrize("scale", ["smoke", "quick", "full"])
def test_arms_are_matched_in_non_embedding_parameters_within_five_per_cent(scale: str) -> None:
    rungs = equilibrium.study(scale, arms=equilibrium.ARMS).ladder
    sizes = {str(rung.at["arm"]): rung.run.family.param_counts().non_embedding for rung in rungs}
    assert set(sizes) == set(equilibrium.ARMS)
    assert max(sizes.values()) / min(sizes.values()) < 1.05


def test_rule_and_architecture_can_be_told_apart() -> None:
    rungs = equilibrium.study("quick").ladder
    (propagated, *_), (unrolled, *_) = of(rungs, arm="eqprop-looped_mlp"), of(rungs, arm="unrolled-looped_mlp")
    assert propagated.run.family == unrolled.run.family
    assert propagated.run.rule != unrolled.run.rule
    assert propagated.run.optimizer == unrolled.run.optimizer


def test_every_length_sees_as_many_tokens_a_step_and_in_all() -> None:
    rungs = of(equilibrium.study("quick").ladder, characters=15_000)
    assert {rung.at["length"] for rung in rungs} == {16, 64, 128}
    assert {rung.run.batch_size * rung.run.context for rung in rungs} == {512}
    assert len({rung.run.tokens for rung in rungs}) == 1


def test_sizes_are_those_asked_for_and_each_seed_reads_another_stretch() -> None:
    rungs = of(equilibrium.study("quick").ladder, length=64, steps=256)
    assert {rung.at["arm"] for rung in rungs} >= {"eqprop-full", "eqprop-recurrent_core", "backprop-transformer"}
    assert sorted({rung.at["characters"] for rung in rungs}) == [1_000, 4_000, 15_000, 50_000]
    for rung in rungs:
        corpus = rung.run.corpus
        assert corpus.first_characters == rung.at["characters"]
        assert corpus.from_character == 60_000 * rung.seed
        assert rung.run.keep_best


@pytest.mark.parametrize("scale", ["quick", "full"])
def test_the_learning_rate_of_each_arm_is_bracketed_at_its_own_size(scale: str) -> None:
    rungs = equilibrium.study(scale).ladder
    tried = {(str(rung.at["arm"]), rung.bracket, rung.run.family) for rung in rungs if rung.bracket}
    own = {(str(rung.at["arm"]), rung.run.family) for rung in rungs if not rung.bracket}
    assert tried == {(arm, times, family) for arm, family in own for times in (0.5, 2.0)}
    assert not any("not tuned" in fault for fault in equilibrium.study(scale).faults)


def test_a_scale_without_brackets_says_that_its_rate_is_not_tuned() -> None:
    study = equilibrium.study("smoke")
    assert not any(rung.bracket for rung in study.ladder)
    assert any("not tuned" in fault for fault in study.faults)


def test_every_run_is_in_the_precision_that_a_nudge_needs() -> None:
    for scale in ("smoke", "quick", "full"):
        assert {rung.run.precision for rung in equilibrium.study(scale).ladder} == {"fp32"}


def test_the_published_scale_uses_the_rule_the_original_used_and_lists_its_faults() -> None:
    study = equilibrium.study("published")
    unrolled = {str(rung.at["arm"]): getattr(rung.run.rule, "steps", None) for rung in study.ladder}
    assert unrolled == {
        "backprop-transformer": None,
        "unrolled-looped_mlp": 20,
        "unrolled-recurrent_core": 20,
        "unrolled-full": 15,
    }
    assert len(study.faults) >= 6 and len(study.reported) == 24
    quick = equilibrium.study("published", form="quick")
    assert sorted({rung.at["characters"] for rung in quick.ladder}) == [1_000, 5_000, 10_000]
    assert {rung.run.context for rung in quick.ladder} == {32} and len(quick.reported) == 12


def test_the_published_table_is_the_originals_own(data_file: Callable[[str], Path]) -> None:
    import csv

    names = {"backprop": "backprop-transformer"} | {
        f"eqprop_{variant}": f"unrolled-{variant}" for variant in equilibrium.VARIANTS
    }
    with data_file("scaling_tables/unrolled_equilibrium_vs_backprop.csv").open(newline="") as file:
        theirs = {
            (names[row["model_type"]], int(row["dataset_size"])): (float(row["perplexity"]), int(row["n_params"]))
            for row in csv.DictReader(file)
            if row["epochs"] == "30"
        }
    ours = {(arm, size): value for arm, rows in equilibrium.PUBLISHED.items() for size, value in rows.items()}
    assert ours.keys() == theirs.keys()
    for key, (perplexity, parameters) in theirs.items():
        assert ours[key] == (pytest.approx(perplexity, abs=6e-4), parameters)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(LawfulError, match="arms: expected some of eqprop-looped_mlp.*got backprop-lstm"):
        equilibrium.study(arms=("backprop-lstm",))
    with pytest.raises(LawfulError, match="lengths: expected divisors of 512"):
        equilibrium.study(lengths=(48,))
    with pytest.raises(LawfulError, match="published scale is fixed"):
        equilibrium.study("published", steps=10)
    with pytest.raises(LawfulError, match="form, epochs: they belong to the published scale"):
        equilibrium.study("quick", form="quick")
