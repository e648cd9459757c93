"""Where the parameters inside the terms of a formula are sought."""

from __future__ import annotations

import math

from lawful.errors import DeclarationError

Range = tuple[float, float]

# bounds of a parameter and where starts are laid, by kind; published exponents reach 5.66
EXPONENT, RATE, SCALE = (1e-3, 20.0, (0.05, 1.5)), (1e-4, 1e4, (0.05, 100.0)), (-30.0, 30.0, (-5.0, 5.0))


def sought(
    name: str, kind: str, bounds: Range | None, start: Range | None, *, is_log: bool
) -> tuple[float, float, Range]:
    """Lowest value, highest value, and the range where starts are laid; of the logarithm where that is fitted.

    kind            of the parameter, as normal.py tells it
    bounds, start   as given, in the unit of the text
    """
    given_bounds, given_start = bounds, start
    low, high, starts = EXPONENT if kind == "exponent" else SCALE if is_log else RATE
    if is_log:
        bounds, start = (own and (_log(own[0], own[1]), math.log(own[1])) for own in (bounds, start))
    if bounds is not None:
        if not (math.isfinite(bounds[0]) and math.isfinite(bounds[1])):
            raise DeclarationError(f"law: bounds: {name}: expected two finite numbers, got {given_bounds}.")
        low, high = bounds
        usual = (max(low, starts[0] if low >= 0 else -starts[1]), min(high, starts[1]))  # of either sign
        starts = usual if kind in ("exponent", "rate") and usual[0] < usual[1] else bounds
    elif start is not None and is_log:
        low, high = start[0] + SCALE[0], start[1] + SCALE[1]
    if start is not None:
        if not (low <= start[0] and start[1] <= high):
            raise DeclarationError(f"law: start: {name}: expected it inside its bounds, got {given_start}.")
        starts = start
    return low, high, starts


def _log(low: float, high: float) -> float:
    """The logarithm of a lowest value; 0 counts as the lowest scale that is sought below the highest value."""
    return math.log(low) if low > 0 else math.log(high) + SCALE[0]
