"""A Run is plain data, its id a hash of itself, and nothing from outside can make it name code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lawful.corpora.tiny_shakespeare import TinyShakespeare
from lawful.errors import LawfulError
from lawful.families.decoder import Decoder
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule, from_json, to_json
from lawful.tasks.next_token import NextToken

RUN = Run(
    family=Decoder(vocab_size=65, width=16, depth=1, heads=1, context=8),
    corpus=TinyShakespeare(),
    task=NextToken(),
    rule=Backprop(),
    optimizer=AdamW(learning_rate=1e-3),
    schedule=Schedule(warmup_steps=2),
    steps=100,
    batch_size=4,
    context=8,
    precision="fp32",
    data_fingerprint="0123456789abcdef",
)


def test_a_run_survives_json_with_its_id() -> None:
    again = from_json(to_json(RUN))
    assert again == RUN and again.id == RUN.id


def test_ids_do_not_move_between_versions() -> None:
    assert (RUN.id, RUN.trunk_id) == ("207907ef2734", "86503cab8d91")  # as of 2026-11-22: folders hold such ids


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": AdamW(learning_rate=1.1e-3)},
        {"schedule": Schedule(warmup_steps=3)},
        {"steps": 101},
        {"data_seed": 1},
        {"precision": "bf16"},
        {"starts_from": RUN},
        {"data_fingerprint": "fedcba9876543210"},
        {"family": Decoder(vocab_size=65, width=16, depth=1, heads=1, context=8, dropout=0.1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_field_is_a_new_run(change: dict[str, object]) -> None:
    assert replace(RUN, **change).id != RUN.id


def test_runs_that_differ_only_in_length_share_a_trunk_and_others_do_not() -> None:
    assert replace(RUN, steps=400).trunk_id == RUN.trunk_id
    assert replace(RUN, init_seed=1).trunk_id != RUN.trunk_id
    assert replace(RUN, batch_size=8).trunk_id != RUN.trunk_id


def test_a_cosine_run_shares_nothing_since_its_rate_depends_on_its_length() -> None:
    cosine = replace(RUN, schedule=Schedule(shape="cosine", warmup_steps=2))
    assert cosine.trunk_id == cosine.id != replace(cosine, steps=400).trunk_id
    assert cosine.decay_start == 0


def test_tokens_and_decay_by_hand() -> None:
    assert RUN.tokens == 100 * 4 * 8
    assert RUN.decay_start == 80


@pytest.mark.parametrize("where", ["os:system", "subprocess:Popen", "study_file:Evil", "", "lawful.storage.atomic:os"])
def test_json_cannot_name_code_to_run(where: str) -> None:
    with pytest.raises(LawfulError, match="expected"):
        from_json({"is": where})


def test_unknown_fields_and_unknown_types_are_named() -> None:
    spec = to_json(RUN)
    spec["optimizer"]["momentum"] = 0.9
    with pytest.raises(LawfulError, match="AdamW has no field momentum; it has beta1"):
        from_json(spec)
    with pytest.raises(LawfulError, match="does not have"):
        from_json({"is": "lawful.run:SGD"})


def test_a_run_holds_plain_data_only() -> None:
    with pytest.raises(LawfulError, match="plain data only"):
        to_json(object())
    with pytest.raises(LawfulError, match="family: expected plain data"):
        replace(RUN, family=object())
