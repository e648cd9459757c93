"""The windows of runs around the lowest point of each sweep: how wide, and how far skew moves what they read."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lawful.fitting.local_surface import Surface, cubic, least_runs, surface
from lawful.laws import Array

SMALLER, LARGER = 0.65, 1.6  # windows, in units of the usual: how far they move the law is part of its error
MOST_FLAT = 0.1  # of the cells: where more are flat, windows are wider
LEAST_WIDER = 1.1  # runs of the larger window over those of the usual, from which on the two say something of skew
LEAST_LEVELS = 3  # of a setting in a cell: two values have no lowest point between them


def sweep_surface(x: Array, log_loss: Array, size: float = 1.0) -> Surface | None:
    """None too where the cell has too few runs, or values of a setting."""
    levels = [len(np.unique(np.round(column, 9))) for column in x.T]
    if len(x) < least_runs(x.shape[1]) or min(levels) < LEAST_LEVELS:
        return None
    return surface(x, log_loss, size)


def window_size(x: Array, log_loss: Array, groups: Sequence[Array]) -> float:
    """How wide windows are, in units of the usual: as wide as it takes for the noise of this table to leave few cells
    flat. Of all cells alike: where each had its own, those that chance makes steep would be kept."""
    size = 1.0
    while True:
        each = [sweep_surface(x[rows], log_loss[rows], size) for rows in groups]
        found = [one for one in each if one is not None]
        is_whole = all(one is None or one.runs == len(rows) for one, rows in zip(each, groups, strict=True))
        shared = usual_noise(found)
        if not found or is_whole or np.mean([one.is_flat(shared) for one in found]) <= MOST_FLAT:
            return size
        size *= LARGER


def usual_noise(surfaces: Sequence[Surface | None]) -> float:
    """The usual variance of a run's log loss: the median over cells, so that one odd cell says nothing of others."""
    each = [one.squares / one.left for one in surfaces if one is not None and one.left > 0]
    return float(np.median(each)) if each else 0.0


def beyond(own: Surface, x: Array, log_loss: Array, size: float) -> Surface | None:
    """A second surface: by a larger window, or by a cubic on all runs if noise has widened the usual window (size
    above 1) or that window has all runs."""
    larger = sweep_surface(x, log_loss, LARGER * size)
    is_wider = larger is not None and larger.runs > LEAST_WIDER * own.runs
    if is_wider and size == 1:
        return larger
    return cubic(x, log_loss, own) or (larger if is_wider else None)


def biased_by(usual: Sequence[Surface], beyond: Sequence[Surface | None]) -> float:
    """Where the lowest points lie without skew's effect, from the readings towards those of `beyond` (below 0: away
    from them), as a multiple. A skewed valley biases a reading by the square of its window's width: the usual one by so
    many times what the larger one moves it. A cubic has no such bias. 0 where no cell has another reading."""
    pairs = [(one.runs, wide.runs) for one, wide in zip(usual, beyond, strict=True) if wide is not None]
    if not pairs:
        return 0.0
    wider = math.exp(sum(math.log(large / small) for small, large in pairs) / len(pairs))
    settings = len(usual[0].at)
    return -1 / (wider ** (2 / settings) - 1) if wider > LEAST_WIDER else 1.0
