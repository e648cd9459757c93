"""Each confound is found where it is and not where it is not; the small studies' own plans are the other examples."""

from __future__ import annotations

from typing import Any

import pytest

from lawful import linter

SIZES = (10_000, 40_000, 160_000, 640_000)


def rung(params: int, *, arm: str = "", seed: int = 0, bracket: float | None = None, **changed: Any) -> dict[str, Any]:
    """A rung of a sound ladder: 20 tokens for each parameter, rate and batch by smooth rules."""
    tokens = 20 * params
    at = {"size": params, "arm": arm, "seed": seed} | ({} if bracket is None else {"rate": bracket})
    sound = {
        "id": f"{params}-{arm}-{seed}-{bracket}",
        "label": f"size={params}",
        "at": at,
        "arm": arm,
        "seed": seed,
        "is_held_out": False,
        "bracket": bracket,
        "params_non_embedding": params,
        "params_embedding": 1000,
        "params_total": params + 1000,
        "tokens": tokens,
        "flops": 6 * params * tokens,
        "steps": 500,
        "batch_tokens": round(tokens**0.57),
        "learning_rate": 2 * params**-0.5 * (bracket or 1.0),
        "weight_decay": tokens**0.57 / (2 * params**-0.5 * 0.3 * tokens),
        "schedule": "wsd",
        "precision": "fp32",
        "corpus": "text",
    }
    return {**sound, **changed}


LADDER = [rung(size, arm=arm, seed=seed) for size in SIZES for arm in ("a", "b") for seed in (0, 1)]
TEXT = {"text": {"fingerprint": "1", "train_tokens": 20_000_000}}


def codes(rungs: list[dict[str, Any]], corpora: dict[str, Any] = TEXT) -> list[str]:
    return [warning["code"] for warning in linter.declared(rungs, corpora, "arm")]


def changed(index: int, **values: Any) -> list[dict[str, Any]]:
    """The sound ladder with something changed at every rung of one size."""
    return [{**row, **values} if row["params_non_embedding"] == SIZES[index] else row for row in LADDER]


def test_a_sound_ladder_has_nothing_to_answer_for() -> None:
    assert codes(LADDER) == []


@pytest.mark.parametrize(
    ("code", "rungs"),
    [
        ("rate-jumps", changed(2, learning_rate=0.02)),
        ("mixed-precision", changed(3, precision="bf16")),
        ("mixed-schedules", changed(1, schedule="cosine")),
        ("few-sizes", [row for row in LADDER if row["params_non_embedding"] in SIZES[:3]]),
        ("vocabulary-dominates", changed(0, params_embedding=11_000, params_total=21_000)),
        ("one-seed", [row for row in LADDER if row["seed"] == 0]),
        ("few-steps", changed(0, steps=80)),
        ("decay-varies", changed(3, weight_decay=8.0)),
        ("unequal-arms", [{**r, "flops": r["flops"] * (1.1 if r["arm"] == "b" else 1)} for r in LADDER]),
    ],
)
def test_a_confound_is_named(code: str, rungs: list[dict[str, Any]]) -> None:
    assert code in codes(rungs)


def test_arms_that_differ_a_little_are_noted_with_by_how_much() -> None:
    rungs = [{**r, "flops": r["flops"] * (1.02 if r["arm"] == "b" else 1)} for r in LADDER]
    (warning,) = linter.declared(rungs, TEXT, "arm")
    assert (warning["code"], warning["severity"]) == ("arms-residue", "note")
    assert "within 2.0%" in warning["sentence"]


def test_tokens_beyond_the_unique_ones_are_a_note_up_to_four_epochs_and_a_warning_beyond() -> None:
    for unique, severity in ((6_000_000, "note"), (1_000_000, "warning")):
        found = linter.declared(LADDER, {"text": {"fingerprint": "1", "train_tokens": unique}}, "arm")
        assert [(w["code"], w["severity"]) for w in found] == [("repeated-data", severity)]


def test_sizes_that_want_more_tokens_than_there_are_are_named_by_a_bound() -> None:
    (warning,) = linter.declared(LADDER, {"text": {"fingerprint": "1", "train_tokens": 1_000_000}}, "arm")
    largest = max(row["params_non_embedding"] for row in LADDER)
    assert ("enough for 50,000 parameters" in warning["sentence"]) == (largest > 50_000)


def test_what_a_corpus_must_say_about_its_rights_is_said() -> None:
    told = {"text": {**TEXT["text"], "notices": ["Folk songs: for non-commercial use only"]}}
    assert ("notice", "warning", "Folk songs: for non-commercial use only.") in [
        (found["code"], found["severity"], found["sentence"]) for found in linter.declared(LADDER, told, "arm")
    ]


def test_two_validation_sets_in_one_ladder_are_a_confound() -> None:
    rungs = [{**row, "corpus": "other" if row["seed"] else "text"} for row in LADDER]
    assert codes(rungs, {**TEXT, "other": {"fingerprint": "2", "train_tokens": 20_000_000}}) == ["validation-changes"]


def test_a_batch_from_the_size_at_fixed_compute_is_found_the_trap_of_a_well_known_script() -> None:
    flops = 6 * SIZES[1] * 20 * SIZES[1]
    rows = [rung(size, tokens=flops // (6 * size), flops=flops) for size in SIZES]
    by_size = [{**row, "batch_tokens": round(row["params_non_embedding"] ** 0.57)} for row in rows]
    by_tokens = [{**row, "batch_tokens": round(row["tokens"] ** 0.57)} for row in rows]
    assert "batch-follows-size" in codes(by_size)
    assert "batch-follows-size" not in codes(by_tokens)


def bracketed(losses: dict[float, float]) -> list[dict[str, str]]:
    """What the end of a bracket around the smallest rung says."""
    rungs = [rung(SIZES[0], bracket=None if factor == 1 else factor) for factor in losses]
    rows = [
        {"run": row["id"], "status": "finished", "loss": loss} for row, loss in zip(rungs, losses.values(), strict=True)
    ]
    return linter.observed(rungs, rows)


def test_a_best_rate_at_the_edge_of_its_bracket_is_a_warning() -> None:
    (found,) = bracketed({0.5: 2.1, 1.0: 2.0, 2.0: 1.95})
    assert found["code"] == "rate-at-edge"
    assert "2 times the one used" in found["sentence"]
    assert "0.0500" in found["sentence"]
    assert bracketed({0.5: 2.1, 1.0: 2.0, 2.0: 2.05}) == []
    assert bracketed({1.0: 2.0, 2.0: 1.95}) == []  # not all of it has ended


def test_an_edge_that_is_better_by_no_more_than_seeds_differ_is_only_a_note() -> None:
    rungs = [rung(SIZES[0], bracket=factor) for factor in (0.5, None, 2.0)] + [rung(SIZES[0], seed=1)]
    rows = [
        {"run": row["id"], "status": "finished", "loss": loss}
        for row, loss in zip(rungs, (2.1, 2.0, 1.98, 2.05), strict=True)
    ]
    (found,) = linter.observed(rungs, rows)
    assert (found["code"], found["severity"]) == ("rate-at-edge", "note")


def test_padding_that_counts_is_an_error() -> None:
    (found,) = linter.observed([], [{"run": "1", "status": "finished", "loss": 1.0, "masks_padding": False}])
    assert (found["code"], found["severity"]) == ("padding", "error")


@pytest.mark.parametrize(
    ("facts", "severity", "said"),
    [
        ({}, None, ""),  # music, and what was not measured
        ({"overlap": 0.0, "overlap_tokens": 20_000_000}, None, ""),
        (
            {"overlap": 0.0154, "overlap_tokens": 20_000_000},
            "note",
            "text: 1.5% of the validation text stands in the tr",
        ),
        (
            {"overlap": 0.0154, "overlap_tokens": 9_000_000},
            "note",
            "stands in the first 9,000,000 training tokens word",
        ),
        ({"overlap": 0.3, "overlap_tokens": 20_000_000}, "warning", "30.0%"),
    ],
)
def test_validation_text_that_stands_in_training_is_said(
    facts: dict[str, Any], severity: str | None, said: str
) -> None:
    found = linter.declared(LADDER, {"text": {**TEXT["text"], **facts}}, "arm")
    assert [(warning["code"], warning["severity"]) for warning in found] == (
        [("validation-in-training", severity)] if severity else []
    )
    assert all(said in warning["sentence"] for warning in found)
