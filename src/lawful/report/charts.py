"""A chart as plain data: what is drawn and what it says, before any renderer. figures.py and svg.py draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# Colours by role, so that one chart serves light, dark and print. Arms are Okabe and Ito's (2008), told apart by the
# colour-blind; levels of an axis are a ramp of rising luminance (viridis, its palest end cut off on white).
LIGHT = {
    "ink": "#1c2126",
    "muted": "#68727d",
    "grid": "#e4e7ea",
    "paper": "#ffffff",
    "held_out": "#c43d00",
    "reference": "#7a8490",
    "arm0": "#0072b2",
    "arm1": "#d55e00",
    "arm2": "#009e73",
    "arm3": "#aa4499",
    "arm4": "#b07a00",
    "arm5": "#56b4e9",
}
DARK = {
    "ink": "#e8eaed",
    "muted": "#9aa4af",
    "grid": "#2b3138",
    "paper": "#15181c",
    "held_out": "#ff8a4c",
    "reference": "#8b96a1",
    "arm0": "#56b4e9",
    "arm1": "#ff8a4c",
    "arm2": "#2fc79a",
    "arm3": "#d98cc4",
    "arm4": "#e6b13c",
    "arm5": "#8fa8ff",
}
ARMS = 6
_RAMP_LIGHT = ("#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ab861", "#8fb82a")
_RAMP_DARK = ("#8f7fd6", "#6b93d6", "#4fb3c4", "#43cba5", "#86dd72", "#cfd668")
Symbol = Literal["circle", "square", "triangle", "diamond", "cross", "x"]
SYMBOLS: tuple[Symbol, ...] = ("circle", "square", "triangle", "diamond", "cross", "x")

Kind = Literal["truth", "law", "residuals", "runs", "arms", "training", "campaign"]
Scale = Literal["log", "linear"]
Dash = Literal["solid", "dash", "dot", "dashdot"]
DASHES: tuple[Dash, ...] = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True, kw_only=True)
class Axis:
    title: str
    scale: Scale = "log"
    suffix: str = ""
    is_flops: bool = False  # marked in G, T, P rather than B and T


@dataclass(frozen=True, kw_only=True)
class Points:
    """Marks; `is_open` draws them hollow (held out). `low` and `high` are intervals in y, if there are any, `bars` what
    the legend calls them. `runs`: the run of each, where a mark is a run."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    symbol: Symbol = "circle"
    is_open: bool = False
    hover: Sequence[str] = ()
    runs: Sequence[str] = ()
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    bars: str = ""
    legend: str = ""  # entries that share it are shown, and toggled, as one
    is_sheer: bool = False  # marks of others may lie below


@dataclass(frozen=True, kw_only=True)
class Line:
    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    dash: Dash = "solid"
    is_thin: bool = False
    is_named: bool = False  # has its own entry in the legend
    legend: str = ""
    hover: str = ""
    run: str = ""  # whose course it is
    is_reference: bool = False  # as Reference: it takes no room from the marks


@dataclass(frozen=True, kw_only=True)
class Band:
    """Between low and high: of the mean curve, or (is_of_new_run, drawn paler) of one more run."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    colour: str
    legend: str = ""
    is_of_new_run: bool = False

    @property
    def opacity(self) -> float:
        return 0.08 if self.is_of_new_run else 0.16


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A horizontal line at y, labelled on the chart itself."""

    y: float
    label: str
    name: str = ""  # in the legend


def band_name(band: Band) -> str:
    """In the legend."""
    return "95 % band of a new run" if band.is_of_new_run else "95 % band of the curve"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """`name` is also the figures' file name; `alt` tells a reader who cannot see the chart what it shows.

    kind        of what: planted values, a question's law or its residuals, the runs without a law, the arms side by
                side, training, or the rounds of a campaign
    question    the name of the question that a law's chart belongs to
    """

    name: str
    kind: Kind
    question: str = ""
    title: str
    caption: str
    alt: str
    x: Axis
    y: Axis
    bands: Sequence[Band] = ()
    lines: Sequence[Line] = ()
    points: Sequence[Points] = ()
    references: Sequence[Reference] = ()
    has_identity: bool = False  # a diagonal y = x
    legend_title: str = ""
    is_wide: bool = False


def level_colours(levels: int) -> list[str]:
    """Names of colours for so many ordered levels: resolved by palette()."""
    return [f"level{index}of{levels}" for index in range(levels)]


def resolve(colour: str, *, is_dark: bool = False) -> str:
    """A role or a level's name as a hexadecimal colour."""
    if colour.startswith("level"):
        index, _, levels = colour.removeprefix("level").partition("of")
        return _ramp(_RAMP_DARK if is_dark else _RAMP_LIGHT, int(index), int(levels))
    return (DARK if is_dark else LIGHT)[colour]


def _ramp(stops: Sequence[str], index: int, levels: int) -> str:
    place = (index / (levels - 1) if levels > 1 else 0.4) * (len(stops) - 1)
    left = min(int(place), len(stops) - 2)
    share = place - left
    start, end = (tuple(int(stop[at : at + 2], 16) for at in (1, 3, 5)) for stop in stops[left : left + 2])
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(start, end, strict=True))
