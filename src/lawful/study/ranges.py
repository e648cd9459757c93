"""Range: an axis of a grid by its two ends, where a campaign may choose between them."""

from __future__ import annotations

from dataclasses import dataclass

from lawful.checks import PositiveInt, check_fields, shown
from lawful.errors import DeclarationError

MOST_LEVELS = 50


@dataclass(frozen=True, init=False)
class Range:
    """An axis of a grid from `low` to `high`, in place of a list of its values.

    The ladder has `levels` values, evenly spaced in their logarithm. A campaign (`lawful run --until`) may also choose
    the values half way between two of them. Whole ends give whole numbers: 1_000_000, not 1e6.

    Parameters
    ----------
    low, high : int or float
        The ends, above 0.
    levels : int
        Values of the ladder: `lawful run` without --until trains these.
    multiple : int
        The values are rounded to multiples of it: a width that must divide by its heads.

    Examples
    --------
    >>> Range(16, 256, levels=3).ladder
    (16, 64, 256)
    >>> Range(16, 256, levels=3).reachable
    (16, 32, 64, 128, 256)
    """

    low: int | float
    high: int | float
    levels: PositiveInt
    multiple: PositiveInt

    def __init__(self, low: int | float, high: int | float, *, levels: int = 5, multiple: int = 1) -> None:
        given = {"low": low, "high": high, "levels": levels, "multiple": multiple}
        for name, value in given.items():
            object.__setattr__(self, name, value)
        check_fields(self)
        problem = ""
        if not 0 < self.low < self.high:
            problem = f"expected ends above 0, the lower first, got {shown(low)} and {shown(high)}"
        elif not 2 <= self.levels <= MOST_LEVELS:
            problem = f"levels: expected from 2 to {MOST_LEVELS}, got {shown(levels)}"
        elif self.multiple > 1 and not self._is_whole:
            problem = f"multiple: expected whole ends beside it, got {shown(low)} and {shown(high)}"
        elif self.multiple > 1 and (self.low % self.multiple or self.high % self.multiple):
            problem = f"multiple: expected ends that are multiples of {multiple}, got {shown(low)} and {shown(high)}"
        if problem:
            raise DeclarationError(f"Range: {problem}.")

    @property
    def ladder(self) -> tuple[int | float, ...]:
        """The values that the ladder has."""
        return self._values(self.levels)

    @property
    def reachable(self) -> tuple[int | float, ...]:
        """The values that a campaign may choose, those of the ladder among them."""
        return tuple(sorted({*self._values(2 * self.levels - 1), *self.ladder}))

    @property
    def _is_whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def _values(self, count: int) -> tuple[int | float, ...]:
        ratio = self.high / self.low
        inner = [self.low * ratio ** (i / (count - 1)) for i in range(1, count - 1)]
        if self._is_whole:
            inner = [round(value / self.multiple) * self.multiple for value in inner]
        return tuple(dict.fromkeys((self.low, *inner, self.high)))
