"""Patterns over a log find whole numbers with units, padded and coloured, and nothing that only looks like one."""

from __future__ import annotations

import math
import time

import pytest

from lawful.command.numbers import compiled, number_of, plain_text
from lawful.command.reads import COLUMNS
from lawful.errors import DeclarationError


def found(pattern: str, line: str) -> dict[str, float] | None:
    match = compiled(pattern, tuple(COLUMNS)).search(plain_text(line))
    return match and {name: number_of(value) for name, value in match.groupdict().items()}


@pytest.mark.parametrize(
    ("pattern", "line", "expected"),
    [
        ("val loss {loss}", "val loss 3.2", {"loss": 3.2}),
        ("val loss {loss}", "\x1b[1;32mval loss\x1b[0m \x1b[31m3.2\x1b[0m", {"loss": 3.2}),
        ("val loss: {loss}", "| val   loss  :3.2|", {"loss": 3.2}),
        ("loss={loss}", "loss = -1.5e-3,", {"loss": -0.0015}),
        (
            "step {step} ... val loss {loss}",
            "step 2000: train loss 1.7, val loss 1.8925.",
            {"step": 2000, "loss": 1.8925},
        ),
        ("step {step}: train loss {_}, val loss {loss}", "step 10: train loss 2, val loss 3", {"step": 10, "loss": 3}),
        ("total : {params}", "total                   : 1,384,124,976", {"params": 1_384_124_976}),
        ("number of parameters: {params}", "number of parameters: 10.65M", {"params": 10_650_000}),
        ("params {params}", "params 124.4 million", {"params": 124_400_000}),
        ("tokens: {tokens}", "tokens: 1.5 B;", {"tokens": 1.5e9}),
        ("tokens: {tokens}", "tokens: 2e9", {"tokens": 2e9}),
        ("tokens {tokens}", "tokens 10_000_000 seen", {"tokens": 1e7}),
        ("flops {flops}", "flops 3k", {"flops": 3000}),
        ("loss {loss}", "loss -inf", {"loss": -math.inf}),
    ],
)
def test_a_number_is_found(pattern: str, line: str, expected: dict[str, float]) -> None:
    assert found(pattern, line) == expected


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("loss {loss}", "train_loss 3.1"),
        ("loss {loss}", "val/loss 3.1"),
        ("loss {loss}", "loss 3.25.1"),
        ("loss {loss}", "loss 12%"),
        ("loss {loss}", "loss 3M"),  # a loss has no unit
        ("loss {loss}", "loss nano"),
        ("loss {loss}", "loss n/a"),
        ("params {params}", "params 3 GFLOPs"),
        ("params {params}", "params 3Mi"),
        ("step {step}, loss {loss}", "step 3"),
    ],
)
def test_what_only_looks_like_a_number_is_none(pattern: str, line: str) -> None:
    assert found(pattern, line) is None


def test_nan_is_a_number_that_says_so() -> None:
    values = found("loss {loss}", "loss NaN")
    assert values and math.isnan(values["loss"])


@pytest.mark.parametrize("pattern", ["val loss", "loss {perplexity}", "loss {loss} {loss}"])
def test_a_pattern_that_reads_nothing_known_is_refused(pattern: str) -> None:
    with pytest.raises(DeclarationError):
        compiled(pattern, tuple(COLUMNS))


def test_the_log_of_nanochat_that_lost_its_counts_is_read() -> None:
    """Keys padded to one width, thousands with commas: https://github.com/karpathy/nanochat/pull/580."""
    counts = {"wte": 25_165_824, "transformer_matrices": 84_934_656, "lm_head": 25_165_824, "total": 135_266_304}
    log = ["Parameter counts:", *(f"{name:24s}: {count:,}" for name, count in counts.items())]
    log += [
        "Total batch size 524,288 => gradient accumulation steps: 1",
        "Total number of training tokens: 1,310,720,000",
    ]
    lines = [found("total : {params}", line) for line in log]
    assert [values for values in lines if values] == [{"params": 135_266_304}]
    lines = [found("Total number of training tokens: {tokens}", line) for line in log]
    assert [values for values in lines if values] == [{"tokens": 1_310_720_000}]
    assert found("Total training FLOPs estimate: {flops}", "Total training FLOPs estimate: 1.063e+18") == {
        "flops": 1.063e18
    }
    line = "Step 00500 | Validation bpb: 0.912345"
    assert found("Step {step} | Validation bpb: {loss}", line) == {"step": 500, "loss": 0.912345}


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("loss={loss}", "loss=3,214"),  # with a decimal comma
        ("loss {loss}", "loss 3.2×10^-1"),
        ("params {params}", "params 1 234 567"),
        ("params {params}", "params 1'234'567"),
        ("params {params}", "params 1\u202f234"),
    ],
)
def test_a_part_of_a_number_is_none(pattern: str, line: str) -> None:
    assert found(pattern, line) is None


def test_what_has_a_group_of_three_digits_after_it_may_be_whole() -> None:
    assert found("step {step}", "step 12 100 ms") == {"step": 12}
    assert found("tokens {tokens}", "tokens 2000 345") == {"tokens": 2000}
    assert found("loss {loss}", "loss 1,234.5") == {"loss": 1234.5}


def test_a_flood_of_digits_is_read_in_a_moment() -> None:
    began = time.process_time()
    assert found("loss {loss}", "loss " + "1" * 60_000 + "x") is None
    assert time.process_time() - began < 1
