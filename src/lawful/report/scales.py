"""Where the axes of a chart end and what is marked on them: the same on the page, as PNG, as SVG and as PDF."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lawful.report import tables
from lawful.report.charts import Axis, Chart, Reference

# how far bands and the intervals of forecasts may lengthen an axis at either end, in spans of its marks and lines: the
# runs keep two thirds of it, and what reaches further is cut
BAND_ROOM = 0.25
LEAST_TICKS = 4
REFERENCE_ROOM = 0.15  # how far a reference line may: one further away is named at the edge
Limits = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """An axis between its limits."""

    axis: Axis
    low: float
    high: float

    def share(self, value: float) -> float:
        """Where a value lies: 0 at the lower limit, 1 at the upper one; nan where the axis cannot show it."""
        if self.axis.scale == "linear":
            return (value - self.low) / (self.high - self.low)
        return math.log(value / self.low) / math.log(self.high / self.low) if value > 0 else math.nan

    def value(self, share: float) -> float:
        """The inverse of share."""
        if self.axis.scale == "linear":
            return self.low + share * (self.high - self.low)
        return float(self.low * (self.high / self.low) ** share)

    def ticks(self) -> list[float]:
        """At most 10 or so round values between the limits."""
        if self.axis.scale == "log":
            return log_ticks(self.low, self.high)
        return _even_ticks(self.low, self.high)


def limits(chart: Chart) -> Limits:
    """(lowest, highest) of x and of y that the chart shows: every mark and line, and of the bands, intervals and
    reference lines what leaves them most of the room."""
    own = [line for line in chart.lines if not (line.is_reference and chart.points)]
    xs = [x for marks in (chart.lines, chart.points) for mark in marks for x in mark.x]
    ys = [y for marks in (own, chart.points) for mark in marks for y in mark.y]
    intervals = [y for points in chart.points for y in (*points.low, *points.high)]
    if chart.kind == "truth" or chart.has_identity:  # they are what it shows
        ys += intervals
    if chart.has_identity:
        xs = ys = xs + ys
    x, y = _ends(xs, chart.x), _ends(ys, chart.y)
    bands = [end for band in chart.bands for end in (*band.low, *band.high)]
    y = _lengthened(y, [*bands, *intervals], chart.y, BAND_ROOM)
    near = [one.y for one in chart.references if _is_near(one, y, chart.y)]
    along = [level for line in chart.lines if line.is_reference for level in line.y]
    y = _lengthened(y, [*near, *along], chart.y, REFERENCE_ROOM)
    return _padded(x, chart.x), _padded(y, chart.y)


def off_the_chart(chart: Chart, y: Scale) -> tuple[list[Reference], list[Reference]]:
    """The reference lines above and below the limits of y."""
    return [one for one in chart.references if one.y > y.high], [one for one in chart.references if one.y < y.low]


def _is_near(reference: Reference, ends: tuple[float, float], axis: Axis) -> bool:
    return _lengthened(ends, [reference.y], axis, REFERENCE_ROOM) == _lengthened(ends, [reference.y], axis, math.inf)


def _lengthened(ends: tuple[float, float], values: Iterable[float], axis: Axis, room: float) -> tuple[float, float]:
    """The ends moved out to the values, each by at most `room` spans."""
    good = [value for value in values if _is_shown(value, axis)]
    if not good:
        return ends
    low, high = ends
    if axis.scale == "linear":
        most = room * (high - low)
        return max(min(low, *good), low - most) if good else low, min(max(high, *good), high + most)
    most = room * math.log(high / low) if math.isfinite(room) else math.inf
    return (
        low / math.exp(min(math.log(low / min(low, *good)), most)),
        high * math.exp(min(math.log(max(high, *good) / high), most)),
    )


def _is_shown(value: float, axis: Axis) -> bool:
    return math.isfinite(value) and (axis.scale == "linear" or value > 0)


def _ends(values: Sequence[float], axis: Axis) -> tuple[float, float]:
    good = [value for value in values if _is_shown(value, axis)]
    return min(good), max(good)


def _padded(ends: tuple[float, float], axis: Axis) -> tuple[float, float]:
    low, high = ends
    if axis.scale == "log":
        room = max((high / low) ** 0.04, 1.01)
        return low / room, high * room
    room = max(0.06 * (high - low), 1e-9)
    return low - room, high + room


def log_ticks(low: float, high: float) -> list[float]:
    """Between 4 and about 9 places to mark on a logarithmic axis: decades, then 1-2-5, then more digits, then even
    steps."""
    decades = math.log10(high / low)
    if decades <= 0.5:
        return _even_ticks(low, high)
    every = max(1, round(decades / 8))
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    made: list[float] = []
    for digits in ((1,), (1, 2, 5), (1, 2, 3, 5, 7), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8)):
        made = [d * 10.0**p for p in powers if p % every == 0 for d in digits if low <= d * 10.0**p <= high]
        if len(made) >= LEAST_TICKS:
            break
    return made


def _even_ticks(low: float, high: float) -> list[float]:
    """Ticks at the largest round step that gives enough of them."""
    unit = 10.0 ** math.ceil(math.log10(high - low))
    made: list[float] = []
    for step in (unit * factor for factor in (1, 0.5, 0.25, 0.2, 0.1, 0.05, 0.025, 0.02)):
        made = [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]
        if len(made) >= LEAST_TICKS:
            break
    return made


def tick_text(value: float, axis: Axis) -> str:
    """10k, 2M, 2.5; on an axis of FLOPs 10G, 2T, 1P, 1e18: short enough for an axis."""
    if axis.is_flops and value >= 1e18:  # few know E and Z, and nobody writes a budget with them
        return f"{value:.3g}".replace("e+", "e")
    if axis.is_flops:
        return tables.flops(f"{value:.3g}").removesuffix("FLOPs").replace(".00", "").replace(".0", "").replace(" ", "")
    text = tables.general_count(value) if value >= 1000 else f"{value:.6g}"
    return text.replace("-", "−") + axis.suffix


def thinned(texts: Sequence[str], room: int) -> set[int]:
    """Which labels stand where there is room for so many: of 1-2-5 the ones, else every other, and so on."""
    kept = list(range(len(texts)))
    ones = [index for index in kept if texts[index].partition("e")[0].rstrip("kMBTGP") in ("1", "10", "100")]
    if len(kept) > room and len(ones) >= 3:
        kept = ones
    while len(kept) > room:
        kept = kept[::2]
    return set(kept)


def apart(shares: Sequence[float], kept: set[int], gap: float) -> set[int]:
    """The labels that do not touch the next one: chosen from the right, at least `gap` of the axis apart."""
    chosen: list[int] = []
    for index in sorted(kept, reverse=True):
        if not chosen or shares[chosen[-1]] - shares[index] >= gap:
            chosen.append(index)
    return set(chosen)
