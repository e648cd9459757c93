"""The pictures of the report's part about typing: errors by size and person, an example, the keyboard."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lawful.domains.emg.records import SPLITS, Example, PeopleErrors, SplitDetails
from lawful.domains.emg.tokenizers.keys import BACKSPACE, ENTER, SHIFT, SPACE
from lawful.report.charts import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 160
# Rows of a US keyboard, the first key of each and how far it is moved to the right of the row above, in keys
ROWS = (("1234567890-=", 0.0), ("qwertyuiop[]", 0.5), ("asdfghjkl;'", 0.75), ("zxcvbnm,./", 1.25))
NAMES = {SPACE: "space", ENTER: "enter", BACKSPACE: "backspace", SHIFT: "shift", "": "nothing"}


@dataclass(frozen=True, kw_only=True)
class Picture:
    name: str
    title: str
    caption: str
    alt: str
    png: bytes
    svg: bytes


def errors_by_size(people: PeopleErrors) -> Picture:
    figure, axes = _canvas(7.2, 4.2)
    for (split, who), colour in zip(SPLITS.items(), (LIGHT["arm0"], LIGHT["arm1"]), strict=True):
        found = people.splits.get(split)
        if not found:
            continue
        if curve := found.curve:
            low, high = _hundred(curve.low), _hundred(curve.high)
            axes.fill_between(curve.params, low, high, color=colour, alpha=0.14, linewidth=0)
            axes.plot(curve.params, _hundred(curve.cer), color=colour, linewidth=1.4)
        for size in found.sizes:
            rates = _hundred(size.by_user.values())
            axes.scatter([size.params] * len(rates), rates, s=9, color=colour, alpha=0.45, linewidths=0)
        axes.scatter(
            [size.params for size in found.sizes],
            [100 * size.cer for size in found.sizes],
            s=34,
            facecolors=[LIGHT["paper"] if size.is_held_out else colour for size in found.sizes],
            edgecolors=colour,
            label=who,
            zorder=3,
        )
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Parameters of front end and body")
    axes.set_ylabel("Character error rate, %")
    axes.legend(frameon=False, fontsize=8)
    return _picture(
        figure,
        "typing-errors",
        "Error against size, by person",
        "Large marks: all people of a split, the mean over seeds (open: held out). Small marks: one person each. "
        "Lines: the bounded law and its 95 % band over users and seeds.",
    )


def example_read(example: Example, rung: str) -> Picture:
    """rung: the run that read it, in words."""
    from matplotlib.figure import Figure

    # [rows, frames, 32] -> the labelled windows laid end to end: what lies before and after each is cut off
    power = np.array(example.power)
    emissions = len(example.blank)
    first = example.past
    laid = np.concatenate([row[first : first + own] for row, own in zip(power, example.emissions, strict=True)]).T
    figure = Figure(figsize=(9.0, 4.6), layout="constrained", dpi=DOTS_PER_INCH)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.1, 1.0])
    upper.imshow(laid, aspect="auto", cmap="viridis", interpolation="nearest", origin="lower")
    upper.axhline(15.5, color=LIGHT["paper"], linewidth=1)
    upper.set_yticks([7.5, 23.5], ["left wrist", "right wrist"])
    upper.set_title("Mean log power of each electrode", loc="left", fontsize=9)
    lower.fill_between(range(emissions), example.blank, color=LIGHT["grid"], linewidth=0, label="blank")
    for key, probability in sorted(example.keys.items()):
        (line,) = lower.plot(probability, linewidth=1)
        peaks = [at for at, p in enumerate(probability) if p > 0.4 and p == max(probability[max(0, at - 3) : at + 4])]
        for at in peaks:
            lower.annotate(
                {SPACE: "␣"}.get(key, key) if key not in (ENTER, BACKSPACE, SHIFT) else named(key),
                (at, probability[at]),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color=line.get_color(),
            )
    lower.set_ylim(0, 1.15)
    lower.set_ylabel("Probability")
    lower.set_xlabel("Emission")
    shown = {ENTER: "/", BACKSPACE: "<", SHIFT: "^"}
    true, seen = ("".join(shown.get(key, key) for key in text) for text in (example.reference, example.decoded))
    lower.set_title(f"true  {true}\nread {seen}", loc="left", fontsize=9, family="monospace")
    return _picture(
        figure,
        "typing-example",
        "What the best model reads",
        f"The first seconds of {example.session} (validation): signal, emissions, and the text as typed and as read "
        f"by {rung}. < is a backspace, / enter.",
    )


def keyboard(details: SplitDetails, rung: str) -> Picture | None:
    """None where no key was decoded. rung: the run that read them, in words."""
    totals: dict[str, list[int]] = {}
    worst: dict[str, tuple[int, str]] = {}
    for true, seen, times in details.confusions:
        if not true:
            continue
        total = totals.setdefault(true, [0, 0])
        total[1] += times
        if true != seen:
            total[0] += times
            worst[true] = max(worst.get(true, (0, "")), (times, seen))
    if not totals:
        return None
    figure, axes = _canvas(8.6, 3.6)
    axes.set_axis_off()
    places: dict[str, tuple[float, float]] = {
        key: (shift + column, -row) for row, (keys, shift) in enumerate(ROWS) for column, key in enumerate(keys)
    }
    places |= {SPACE: (5.0, -4.0), ENTER: (12.2, -2.0), BACKSPACE: (12.4, 0.0), SHIFT: (0.0, -3.0)}
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    for key, (x, y) in places.items():
        wide = {SPACE: 5.0, ENTER: 1.6, BACKSPACE: 1.6, SHIFT: 1.1}.get(key, 0.92)
        wrong, times = totals.get(key, [0, 0])
        share = wrong / times if times else 0.0
        colour = colormaps["OrRd"](min(share, 1.0)) if times else LIGHT["paper"]
        axes.add_patch(Rectangle((x, y), wide, 0.92, facecolor=colour, edgecolor=LIGHT["reference"], linewidth=0.8))
        ink = LIGHT["paper"] if share > 0.6 else LIGHT["ink"] if times else LIGHT["reference"]
        label = named(key) if key in NAMES else key
        axes.text(x + 0.08, y + 0.86, label, ha="left", va="top", fontsize=8, color=ink)
        if times:
            taken = f"\n→ {named(worst[key][1])}" if key in worst else ""
            axes.text(x + wide / 2, y + 0.08, f"{100 * share:.0f} %{taken}", ha="center", fontsize=5.5, color=ink)
    axes.set_xlim(-0.2, 14.3)
    axes.set_ylim(-4.2, 1.2)
    axes.set_aspect("equal")
    return _picture(
        figure,
        "typing-keys",
        "Which keys are misread",
        f"Share of each key's presses that {rung} misread in the validation sessions, and "
        "what it most often read instead. White: never typed there.",
    )


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=DOTS_PER_INCH)
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _picture(figure: Figure, name: str, title: str, caption: str) -> Picture:
    """The same data gives the same bytes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    as_png: Any = FigureCanvasAgg  # their stubs leave print_png and print_svg untyped
    as_svg: Any = FigureCanvasSVG
    png, svg = io.BytesIO(), io.BytesIO()
    with rc_context({"svg.hashsalt": "lawful", "svg.fonttype": "none", "font.size": 9}):
        as_png(figure).print_png(png, metadata={"Software": None})
        as_svg(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
    return Picture(
        name=name, title=title, caption=caption, alt=f"{title}. {caption}", png=png.getvalue(), svg=svg.getvalue()
    )


def named(key: str) -> str:
    return NAMES.get(key, key)


def _hundred(values: Iterable[float]) -> list[float]:
    return [100 * value for value in values]
