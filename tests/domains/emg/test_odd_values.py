"""What a user declares of a study of typing is of its type and in its range, or refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lawful import studies
from lawful.domains.emg.corpora.emg import Emg
from lawful.domains.emg.families.ctc_encoder import CtcEncoder
from lawful.domains.emg.tasks.ctc import Ctc
from lawful.domains.emg.tokenizers.keys import Keys
from lawful.errors import DeclarationError, LawfulError
from lawful.families.decoder import Decoder
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule
from lawful.study import declare
from lawful.tasks.next_token import NextToken
from lawful.token_data import TokenData
from lawful.train.sample import _encoded

PARTS: dict[str, Any] = {
    "corpus": Emg(),
    "rule": Backprop(),
    "optimizer": AdamW(learning_rate=1e-3),
    "schedule": Schedule(warmup_steps=2),
    "steps": 20,
    "batch_size": 4,
}


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("difficulty", "4"),
        ("bodies", "lstm"),
        ("beam", "-1"),
        ("steps", "0"),
        ("personal", "maybe"),
        ("language_model_weight", "-1"),
        ("language_model_bonus", "nan"),
    ],
)
def test_a_setting_out_of_its_range_is_refused_by_name(setting: str, text: str) -> None:
    with pytest.raises(DeclarationError, match=f"^--set {setting}: expected"):
        declare(studies.find("emg")[0], None, {setting: text})


@pytest.mark.parametrize(
    ("make", "fields", "expected"),
    [
        (CtcEncoder, {"width": 8, "depth": 1, "heads": 0, "mlp_width": 8}, "CtcEncoder: heads"),
        (Ctc, {"beam": -1}, "Ctc: beam: .* at least 0"),
        (Emg, {"pool": 0.5}, "Emg: pool"),
    ],
)
def test_an_odd_field_is_refused_where_it_is_written(make: Any, fields: dict[str, Any], expected: str) -> None:
    with pytest.raises(LawfulError, match=expected):
        make(**fields)


def test_a_model_of_tokens_does_not_read_frames() -> None:
    decoder = Decoder(vocab_size=99, width=8, depth=1, heads=1, context=16)
    with pytest.raises(DeclarationError, match="three that read the same, .* Emg frames"):
        Run(family=decoder, task=NextToken(), context=16, **PARTS)


def test_an_encoder_needs_room_for_the_blank() -> None:
    encoder = CtcEncoder(classes=98, width=8, depth=1, heads=2, mlp_width=8)  # 98 keys, and no blank
    with pytest.raises(DeclarationError, match="at least 99, the 98 symbols of emg and 1 of the task; got 98"):
        Run(family=encoder, task=Ctc(), context=20, **PARTS)
    assert Run(family=replace(encoder, classes=99), task=Ctc(), context=20, **PARTS)


def test_a_prompt_that_no_key_types_is_refused() -> None:
    data = TokenData(fingerprint="", arrays={}, num_bytes={}, tokenizer=Keys())
    with pytest.raises(DeclarationError, match="--prompt: expected text that the tokenizer keys has symbols for"):
        _encoded(data, "\u65e5")


def test_no_loss_of_guessing_is_known() -> None:
    assert Ctc().worst_loss(None) is None


def test_ids_of_runs_are_those_of_before_the_move() -> None:
    """As of 2026-11-27, when the corpus stood in lawful/corpora: folders hold such ids."""
    runs = [rung.run for rung in declare(studies.find("emg")[0], "smoke").ladder]
    assert (runs[0].id, runs[-1].id) == ("0664423597e7", "15a1b716f6ed")
