"""The contract of families, on every form that a Decoder has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lawful.families.decoder import Decoder
from lawful.kernels import block
from lawful.testing import test_families as contract

DECODERS = [
    Decoder(vocab_size=65, width=32, depth=2, heads=4, context=16, mlp=mlp, positions=positions, is_tied=is_tied)
    for mlp in ("gelu", "swiglu")
    for positions in ("rope", "learned")
    for is_tied in (True, False)
] + [Decoder(vocab_size=65, width=32, depth=2, heads=4, context=16, separator=64)]
CHECKS = [
    contract.test_counts_by_group_sum_to_what_the_model_holds,
    contract.test_flops_agree_with_torchs_own_counter,
    contract.test_the_same_generator_gives_the_same_weights_and_another_seed_others,
    contract.test_no_position_sees_its_future,
    contract.test_a_family_survives_json,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("family", DECODERS, ids=str)
def test_a_decoder_keeps_the_contract_in_each_of_its_forms(family: Decoder, check: Callable[[Any], None]) -> None:
    check(family)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("family", DECODERS, ids=str)
def test_a_decoder_computes_in_half_precision_what_it_does_in_fp32_within_rounding(
    family: Decoder, precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract.test_in_half_precision_a_family_computes_what_it_does_in_fp32_within_rounding(
        family, precision, monkeypatch
    )


def test_a_decoder_that_knows_where_a_text_starts_sees_nothing_before_it() -> None:
    contract.test_a_family_that_knows_where_a_text_starts_sees_nothing_before_it(DECODERS[-1])


def test_a_decoder_as_torch_compile_traces_it_computes_in_bf16_what_it_does_in_fp32_within_rounding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(block, "is_faster", lambda *_: False)
    contract.assert_as_in_fp32(DECODERS[0], torch.bfloat16, lambda model: torch.compile(model, backend="aot_eager"))
