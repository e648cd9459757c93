"""Named recipes, each with its source, for the settings that follow from a rung's size, tokens and batch.

N counts parameters without embeddings, D tokens, B tokens in a batch. Published laws are extrapolated below 50M
parameters, so use each as the centre of a bracket of learning rates, not as the answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lawful.checks import NonNegativeFloat, PositiveFloat, PositiveInt, checked, conform, shown
from lawful.errors import DeclarationError

MAX_DEPTH = 256  # of the shapes that decoder_shape looks at; the deepest published decoders have 126 blocks


class RateAndBatch(NamedTuple):
    learning_rate: float  # peak
    batch_tokens: float


def step_law(params: float, tokens: float) -> RateAndBatch:
    """lr = 1.79 N^-0.713 D^0.307 and B = 0.58 D^0.571 tokens (Step Law, arXiv:2503.04715, for AdamW and cosine decay).

    The batch follows the tokens and not the size: at a fixed budget C = 6 N D a larger model sees fewer tokens and gets
    a smaller batch. A well-known isoFLOP script derives both from N, which gave a run 14 times the decay it asked for.
    """
    _expect_positive(params=params, tokens=tokens)
    return RateAndBatch(1.79 * params**-0.713 * tokens**0.307, 0.58 * tokens**0.571)


def rate_for_batch(learning_rate: float, *, batch_tokens: float, tuned_batch_tokens: float) -> float:
    """Square-root scaling of a tuned rate to another batch, as for Adam near its noise scale (arXiv:2205.10287)."""
    _expect_positive(learning_rate=learning_rate, batch_tokens=batch_tokens, tuned_batch_tokens=tuned_batch_tokens)
    return float(learning_rate * (batch_tokens / tuned_batch_tokens) ** 0.5)


def decay_for_timescale(timescale: float, *, learning_rate: float, batch_tokens: float, tokens: float) -> float:
    """The weight decay whose memory spans `timescale` of the run: tau = B / (lr wd D) (arXiv:2505.13738)."""
    _expect_positive(timescale=timescale, learning_rate=learning_rate, batch_tokens=batch_tokens, tokens=tokens)
    return batch_tokens / (learning_rate * timescale * tokens)


def timescale_of(weight_decay: float, *, learning_rate: float, batch_tokens: float, tokens: float) -> float:
    """The inverse of decay_for_timescale: the share of the run that the weights remember."""
    _expect_positive(weight_decay=weight_decay, learning_rate=learning_rate, batch_tokens=batch_tokens, tokens=tokens)
    return batch_tokens / (learning_rate * weight_decay * tokens)


def tokens_by_ratio(params: int, tokens_per_param: float = 20.0) -> int:
    """D = ratio x N; 20 is near the optimum of arXiv:2203.15556."""
    _expect_positive(params=params, tokens_per_param=tokens_per_param)
    return round(params * tokens_per_param)


def isoflop_tokens(flops: float, params: int) -> int:
    """D = C / 6N: the tokens that a budget C pays for at this size."""
    _expect_positive(flops=flops, params=params)
    return round(flops / (6 * params))


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The shape of a decoder without biases: width, depth and heads, and the non-embedding parameters they give."""

    width: int
    depth: int
    heads: int
    params_non_embedding: int


@checked
def decoder_shape(
    target: PositiveFloat,
    *,
    aspect: PositiveFloat = 32.0,
    head_size: PositiveInt = 16,
    tolerance: NonNegativeFloat = 0.03,
) -> Shape:
    """A decoder within `tolerance` of `target` non-embedding parameters, its width / depth as near to `aspect` as whole
    blocks (at most MAX_DEPTH) allow, so that the shapes of a ladder change smoothly.

    If several widths fit, it has the heads nearest to `head_size`. If none fits at the depth nearest to the aspect, it
    has another depth, whose aspect is within a factor of sqrt(2). A block holds 12 width^2 + 2 width parameters
    (GELU, no biases), the last norm width more.

    Raises LawfulError that lists the nearest reachable sizes when none is within `tolerance`. This is common below
    100,000 parameters, since one step of width changes the size by more.
    """

    def ideal_width(depth: int) -> float:
        return math.sqrt(target / (12 * depth))

    def distance(depth: int) -> float:
        return abs(math.log(ideal_width(depth) / depth / aspect))

    first, *others = sorted(range(1, MAX_DEPTH + 1), key=distance)
    depths = [first, *(depth for depth in others if distance(depth) <= math.log(2) / 2)]
    head_sizes = _head_sizes(head_size)
    shapes = [
        Shape(width=heads * size, depth=depth, heads=heads, params_non_embedding=decoder_params(heads * size, depth))
        for depth in depths
        for size in head_sizes
        for heads in {max(1, int(ideal_width(depth) / size)), int(ideal_width(depth) / size) + 1}
    ]

    def error(shape: Shape) -> float:
        return abs(shape.params_non_embedding / target - 1)

    near = [shape for shape in shapes if error(shape) <= tolerance]
    if not near:
        sizes = {shape.params_non_embedding: shape for shape in sorted(shapes, key=error)}
        listed = ", ".join(
            f"{size:,} ({sizes[size].width} wide, {sizes[size].depth} deep)" for size in sorted(list(sizes)[:4])
        )
        raise DeclarationError(
            f"decoder_shape: no decoder with width / depth near {aspect:g} and heads of about {head_size} has "
            f"{target:,.0f} non-embedding parameters within {tolerance:.0%}; the nearest reachable sizes are {listed}."
        )
    return min(
        near,
        key=lambda shape: (depths.index(shape.depth), head_sizes.index(shape.width // shape.heads), error(shape)),
    )


def decoder_shapes(
    sizes: Sequence[PositiveInt], *, aspect: PositiveFloat = 32.0, head_size: PositiveInt = 16
) -> dict[int, tuple[int, int]]:
    """decoder_shape of each size: width -> (depth, heads), so that the width names the rung.

    Raises DeclarationError if a size cannot be reached, or two sizes have one width.
    """
    shapes: dict[int, Shape] = {}
    for size in sorted(sizes):
        try:
            shape = decoder_shape(size, aspect=aspect, head_size=head_size)
        except DeclarationError as error:
            raise DeclarationError(f"sizes: {str(error).removeprefix('decoder_shape: ')}") from None
        if other := shapes.get(shape.width):
            raise DeclarationError(
                f"sizes: expected sizes of different widths, got {other.params_non_embedding:,} and "
                f"{shape.params_non_embedding:,} parameters, both {shape.width} wide."
            )
        shapes[shape.width] = shape
    return {width: (shape.depth, shape.heads) for width, shape in shapes.items()}


def decoder_params(width: int, depth: int) -> int:
    """Non-embedding parameters of a GELU decoder without biases."""
    return depth * (12 * width * width + 2 * width) + width


def _head_sizes(head_size: int) -> list[int]:
    """Even numbers (rotary positions need pairs) from half to three times head_size, in order of preference: eighths of
    head_size, which are quick on a GPU, up to one and a half times, then the others, each the nearest first."""

    def distance(size: int) -> float:
        return abs(math.log(size / head_size))

    sizes = range(max(2, head_size // 4 * 2), max(2, 3 * head_size) + 1, 2)
    eighths = [size for size in sizes if size % max(2, head_size // 8) == 0 and distance(size) <= math.log(1.5)]
    return sorted(sizes, key=lambda size: (size not in eighths, distance(size)))


def _expect_positive(**values: float) -> None:
    wrong = [f"{name}={shown(value)}" for name, value in values.items() if not _is_positive(value)]
    if wrong:
        raise DeclarationError(f"expected positive numbers, got {', '.join(wrong)}.")


def _is_positive(value: object) -> bool:
    try:
        return conform(value, PositiveFloat) is not None
    except DeclarationError:
        return False
