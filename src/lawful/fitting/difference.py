"""The difference of two estimates made apart, from their intervals alone."""

from __future__ import annotations

import math


def difference(
    first: float, first95: tuple[float, float], second: float, second95: tuple[float, float]
) -> tuple[float, tuple[float, float]]:
    """second - first with its 95 % interval; the two estimates must be independent: no run in both.

    The method of variance estimates recovery (Zou and Donner 2008, Statistics in Medicine 27:1693): each end of the
    difference takes the distances from the estimates to the ends of their own intervals that bear on it. Intervals may
    be lopsided; of symmetric ones it gives the root of the sum of squares.
    """
    value = second - first
    down = math.hypot(second - second95[0], first95[1] - first)
    up = math.hypot(second95[1] - second, first - first95[0])
    return value, (value - down, value + up)
