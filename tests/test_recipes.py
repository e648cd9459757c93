"""Recipes by hand, and the trap of a well-known isoFLOP script kept as a test of the planner."""

from __future__ import annotations

import re

import pytest

from lawful.errors import LawfulError
from lawful.families.decoder import Decoder
from lawful.recipes import (
    decay_for_timescale,
    decoder_shape,
    isoflop_tokens,
    rate_for_batch,
    step_law,
    timescale_of,
    tokens_by_ratio,
)


def test_step_law_by_hand() -> None:
    """arXiv:2503.04715, at N = 1e8 and D = 1e10: 1.79 e^(-.713 ln 1e8 + .307 ln 1e10), .58 e^(.571 ln 1e10)."""
    rate, batch = step_law(1e8, 1e10)
    assert rate == pytest.approx(1.79 * 10 ** (-0.713 * 8 + 0.307 * 10))
    assert batch == pytest.approx(0.58 * 10**5.71)


def test_at_a_fixed_budget_the_batch_follows_the_tokens_and_the_decay_keeps_its_timescale() -> None:
    """Deriving batch and decay from N where they should follow D = C / 6N gave one run 14 times its decay."""
    budget = 1e19
    sizes = (1e7, 1e8, 1e9)
    batches = [step_law(size, budget / (6 * size)).batch_tokens for size in sizes]
    assert batches == sorted(batches, reverse=True), "a larger model at the same budget sees fewer tokens"
    for size in sizes:
        tokens = isoflop_tokens(budget, int(size))
        rate, batch = step_law(size, tokens)
        decay = decay_for_timescale(0.2, learning_rate=rate, batch_tokens=batch, tokens=tokens)
        assert timescale_of(decay, learning_rate=rate, batch_tokens=batch, tokens=tokens) == pytest.approx(0.2)


def test_square_root_batch_scaling_and_ratios() -> None:
    assert rate_for_batch(1e-3, batch_tokens=4096, tuned_batch_tokens=1024) == pytest.approx(2e-3)
    assert tokens_by_ratio(1_000_000) == 20_000_000
    assert isoflop_tokens(6e12, 1_000_000) == 1_000_000


@pytest.mark.parametrize("target", [1e5, 8e5, 1e6, 2.7e6, 6.3e6, 38e6])
def test_a_shape_has_the_asked_size_within_three_percent_and_the_counts_of_the_family(target: float) -> None:
    shape = decoder_shape(target)
    assert abs(shape.params_non_embedding / target - 1) <= 0.03
    family = Decoder(vocab_size=100, width=shape.width, depth=shape.depth, heads=shape.heads, context=32)
    assert family.param_counts().non_embedding == shape.params_non_embedding
    assert 32 / 1.5 <= shape.width / shape.depth <= 32 * 1.5


@pytest.mark.parametrize(
    ("lowest", "highest", "settings", "most_refused"),
    [
        (3e3, 1e9, {}, 40),  # below 1e5 a step of width is more than three percent: 93 were refused
        (1e5, 1e9, {}, 10),  # 56 were
        (1e6, 1e9, {}, 0),  # 25 were; 7.3e7 parameters had 24 of width for each block, and 7.8e7 had 44
        (1e6, 1e10, {"aspect": 38, "head_size": 64}, 0),
        (1e6, 1e10, {"aspect": 128, "head_size": 128}, 10),
    ],
)
def test_shapes_of_200_neighbouring_targets_change_smoothly_and_few_are_refused(
    lowest: float, highest: float, settings: dict[str, float], most_refused: int
) -> None:
    """Each width / depth lies within one step of depth of what is asked; where the depth changes, the ratio of two
    neighbours' is no more than whole blocks make it."""
    ratio = (highest / lowest) ** (1 / 199)
    shapes = []
    for number in range(200):
        target = lowest * ratio**number
        try:
            shape = decoder_shape(target, **settings)  # type: ignore[arg-type]
        except LawfulError:
            shapes.append(None)
            continue
        assert abs(shape.params_non_embedding / target - 1) <= 0.03
        assert shape.width % shape.heads == 0 and (shape.width // shape.heads) % 2 == 0
        assert settings.get("head_size", 16) / 2 <= shape.width / shape.heads <= 3 * settings.get("head_size", 16)
        shapes.append(shape)
    assert shapes.count(None) <= most_refused
    for one, other in zip(shapes, shapes[1:], strict=False):
        if one is None or other is None:
            continue
        change = (one.width / one.depth) / (other.width / other.depth)
        blocks = max(one.depth, other.depth) / min(one.depth, other.depth)
        assert abs(one.depth - other.depth) <= max(1, min(one.depth, other.depth) // 3)
        assert max(change, 1 / change) <= 1.05 * ratio**0.5 * blocks**1.5
    aspects = [shape.width / shape.depth for shape in shapes if shape is not None and shape.depth >= 4]
    assert max(aspects) / min(aspects) < 2


@pytest.mark.parametrize(("width", "depth", "head_size"), [(64, 2, 16), (128, 4, 32), (320, 10, 64), (768, 24, 64)])
def test_a_decoder_of_the_aspect_with_whole_heads_is_found_again(width: int, depth: int, head_size: int) -> None:
    target = 12 * depth * width**2 + (2 * depth + 1) * width
    shape = decoder_shape(target, head_size=head_size)
    assert (shape.width, shape.depth, shape.heads) == (width, depth, width // head_size)


def test_a_size_that_cannot_be_met_lists_the_nearest_reachable_ones() -> None:
    with pytest.raises(
        LawfulError, match=r"within 3%; the nearest reachable sizes are 292,230 \(90 wide, 3 deep\)"
    ) as e:
        decoder_shape(3.18e5)
    sizes = [int(size.replace(",", "")) for size in re.findall(r"([\d,]+) \(", str(e.value))]
    assert len(sizes) == 4
    assert [decoder_shape(size).params_non_embedding for size in sizes] == sizes


def test_nonsense_is_named() -> None:
    with pytest.raises(LawfulError, match="expected positive numbers, got tokens=0"):
        step_law(1e6, 0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"target": float("inf")}, "target: expected a number above 0, got inf"),
        ({"target": "1M"}, "target: expected a number above 0, got '1M'"),
        ({"target": 1e6, "aspect": float("inf")}, "aspect: expected a number above 0"),
        ({"target": 1e6, "head_size": 3.5}, "head_size: expected a whole number of at least 1, got 3.5"),
        ({"target": 1e6, "tolerance": float("nan")}, "tolerance: expected a number of at least 0, got nan"),
    ],
)
def test_a_shape_of_nonsense_is_refused_by_name(settings: dict[str, object], said: str) -> None:
    with pytest.raises(LawfulError, match=said):
        decoder_shape(**settings)  # type: ignore[arg-type]
    with pytest.raises(LawfulError, match="expected positive numbers, got params=inf"):
        step_law(float("inf"), 1e6)
