"""Models of one size for the study equilibrium: every arm with the same number of non-embedding parameters, nearly."""

from __future__ import annotations

import math
from functools import partial

from lawful.domains.equilibrium.families.equilibrium import Equilibrium
from lawful.errors import DeclarationError
from lawful.families import Family
from lawful.families.decoder import Decoder
from lawful.families.mlp import WindowMLP
from lawful.recipes import decoder_shape

VOCABULARY = 65  # the characters of the whole text, at every size
TOLERANCE = 0.05  # by which the arms' sizes may be off the one that is asked for
# A state's width and its feed-forward's, as in the built-in sizes: mlp_width is 5 x width in recurrent_core, 2.4 x in
# full; the plain MLP's embedding is a fifth of its width. Heads of 32, as at full; two at least
CORE_RATIO, FULL_RATIO, EMBEDDING_RATIO, HEAD_SIZE = 5.0, 2.4, 0.2, 32


def _families(
    looped: int, core: tuple[int, ...], full: tuple[int, ...], mlp: tuple[int, ...], decoder: tuple[int, ...]
) -> dict[str, Family]:
    """The families at one size. looped: a width; core: (width, heads, mlp_width); full: as core, with 3 layers; mlp:
    (embedding width, width, depth); decoder: (width, depth, heads)."""
    equilibrium = partial(Equilibrium, vocab_size=VOCABULARY, context=128)
    return {
        "looped_mlp": equilibrium(variant="looped_mlp", width=looped, window=8),
        "recurrent_core": equilibrium(variant="recurrent_core", width=core[0], heads=core[1], mlp_width=core[2]),
        "full": equilibrium(variant="full", width=full[0], heads=full[1], mlp_width=full[2], depth=3),
        "mlp": WindowMLP(vocab_size=VOCABULARY, window=8, embedding_width=mlp[0], width=mlp[1], depth=mlp[2]),
        "transformer": Decoder(
            vocab_size=VOCABULARY, width=decoder[0], depth=decoder[1], heads=decoder[2], context=128, is_tied=False
        ),
    }


# Matched in non-embedding parameters within 5 %: about 3.2K, 10K and 300K
FAMILIES = {
    "smoke": _families(19, (20, 2, 98), (12, 2, 43), (8, 33, 2), (16, 1, 2)),
    "quick": _families(33, (36, 2, 167), (24, 2, 48), (14, 59, 2), (20, 2, 2)),
    "full": _families(182, (192, 6, 987), (128, 4, 311), (64, 348, 2), (80, 4, 4)),
}


def families_of(size: int) -> dict[str, Family]:
    """All models with `size` non-embedding parameters within 5 %. Raises DeclarationError where one cannot have it."""
    looped = max(1, round(math.sqrt(size / 9)))
    core_width = _width(math.sqrt(size / (3 + CORE_RATIO)))
    core = (core_width, _heads(core_width), max(1, round(size / core_width - 3 * core_width - 1)))
    full_width = _width(math.sqrt(size / (11 + 3 * FULL_RATIO)))
    full = (full_width, _heads(full_width), max(1, round((size / full_width - 11 * full_width - 3) / 3)))
    embedding = max(1, round(EMBEDDING_RATIO * math.sqrt(size / (1 + 8 * EMBEDDING_RATIO))))
    mlp = (embedding, max(1, round(math.sqrt((4 * embedding) ** 2 + size) - 4 * embedding)), 2)
    try:
        shape = decoder_shape(size, aspect=16, head_size=10, tolerance=TOLERANCE)
    except DeclarationError as error:
        raise DeclarationError(f"size: {str(error).removeprefix('decoder_shape: ')}") from None
    found = _families(looped, core, full, mlp, (shape.width, shape.depth, shape.heads))
    sizes = {name: family.param_counts().non_embedding for name, family in found.items()}
    if off := [f"{name} {params:,}" for name, params in sizes.items() if abs(params / size - 1) > TOLERANCE]:
        raise DeclarationError(
            f"size: expected one that every model can have within {TOLERANCE:.0%}, got {size:,}; the nearest are "
            f"{', '.join(off)}."
        )
    return found


def _width(ideal: float) -> int:
    """A multiple of 4: two heads of an even size, and more where it is wide."""
    step = 4 if ideal < 2 * HEAD_SIZE else HEAD_SIZE
    return max(step, step * round(ideal / step))


def _heads(width: int) -> int:
    return max(2, width // HEAD_SIZE)
