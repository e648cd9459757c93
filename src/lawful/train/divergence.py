"""When a run has diverged, by its evaluations. (A loss that is not finite ends a run at once, in the loop.)"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

ABOVE = 1.02  # of a level, to be above it: at a high rate a model hovers so far above what it has learned
IN_A_ROW = 3  # evaluations above, after which it is no spike
COUNTED_TOKENS = 2_000_000  # of each split: enough for the frequencies of single tokens, in milliseconds


@dataclass(frozen=True, kw_only=True)
class Levels:
    """What a run's loss is held against; None where there is no such number.

    start       its own before the first update. A healthy run may begin above guessing (by 1/6 in our decoders, by
                more where it goes on from another's weights on other text) and come down slowly
    guessing    of a uniform prediction
    lowest      the lowest seen so far
    counted     of predicting by the frequencies of single tokens; counted when it is first needed
    """

    start: float | None
    guessing: float | None
    lowest: float | None
    counted: Callable[[], float | None] = lambda: None


def why_lost(loss: float, levels: Levels) -> str | None:
    """Why a model with this loss knows nothing, in words; None where it may know something.

    It is above its own start and above guessing; or it was better than counting once and now is worse.
    """
    known = [(levels.start, "its own start"), (levels.guessing, "guessing")]
    untrained = max(((level, name) for level, name in known if level is not None), default=None)
    if untrained is not None and loss > ABOVE * untrained[0]:
        return f"is above {untrained[0]:.4g}, that of {untrained[1]}"
    if levels.lowest is not None and loss > ABOVE * levels.lowest and (counted := levels.counted()) is not None:
        if levels.lowest < counted < loss:
            return f"is above {counted:.4g}, that of counting single tokens, after {levels.lowest:.4g} before"
    return None


def counted_loss(data: Any) -> float | None:
    """On validation, of predicting each target by its frequency among those of the training split (plus one, so that
    none has none). None where the data are no runs of tokens."""
    if not hasattr(data, "train") or not hasattr(data, "counted_from"):
        return None
    counts = np.bincount(data.train[:COUNTED_TOKENS], minlength=data.vocab_size) + 1.0
    counts[: data.counted_from] = 0.0  # these are given, never predicted
    targets = np.asarray(data.validation[1:COUNTED_TOKENS])
    targets = targets[targets >= data.counted_from]
    return float(-np.log(counts / counts.sum())[targets].mean()) if len(targets) else None
