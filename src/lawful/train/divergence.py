"""Decide from its evaluations whether a run has diverged. (A loss that is not finite ends a run at once: loop.py.)"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lawful.plugins import PreparedData
from lawful.token_data import TokenData

ABOVE = 1.02  # a loss counts as above a level from this multiple on: at a high rate, healthy losses swing by 2 %
IN_A_ROW = 3  # evaluations; fewer may be a spike that the run recovers from
COUNTED_TOKENS = 2_000_000  # of each split: enough for the frequencies of single tokens, in milliseconds


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The losses that a run's loss is compared with; None if a level does not exist.

    start       the run's own loss before the first update. A healthy run may start above guessing (by 1/6 in our
                decoders, by more where it begins with another run's weights on other text) and fall slowly
    guessing    the loss of a uniform prediction
    lowest      the lowest loss so far
    counted     gives the loss of predicting by token frequencies; called only when it is needed
    """

    start: float | None
    guessing: float | None
    lowest: float | None
    counted: Callable[[], float | None] = lambda: None


def why_lost(loss: float, levels: Levels) -> str | None:
    """Why a run with this loss has diverged, in words; None if it has not.

    Either the loss is above both its start and guessing, or it is above token counting after it had been below.
    """
    known = [(levels.start, "its own start"), (levels.guessing, "guessing")]
    untrained = max(((level, name) for level, name in known if level is not None), default=None)
    if untrained is not None and loss > ABOVE * untrained[0]:
        return f"is above {untrained[0]:.4g}, that of {untrained[1]}"
    if levels.lowest is not None and loss > ABOVE * levels.lowest and (counted := levels.counted()) is not None:
        if levels.lowest < counted < loss:
            return f"is above {counted:.4g}, that of counting single tokens, after {levels.lowest:.4g} before"
    return None


def counted_loss(data: PreparedData) -> float | None:
    """The validation loss of predicting each target by its frequency in the training split (add-one smoothing). None
    if the data are not sequences of tokens."""
    if not isinstance(data, TokenData):
        return None
    counts = np.bincount(data.train[:COUNTED_TOKENS], minlength=data.vocab_size) + 1.0
    counts[: data.counted_from] = 0.0  # these are given, never predicted
    targets = np.asarray(data.validation[1:COUNTED_TOKENS])
    targets = targets[targets >= data.counted_from]
    return float(-np.log(counts[targets] / counts.sum()).mean()) if len(targets) else None
