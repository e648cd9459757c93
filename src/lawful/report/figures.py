"""A chart as a picture: PNG for slides and drafts, SVG for print, both drawn by matplotlib without a display."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lawful.drawing import expect_matplotlib
from lawful.errors import DeclarationError
from lawful.report import charts, scales
from lawful.report.charts import Chart
from lawful.report.scales import Scale
from lawful.report.tables import printable
from lawful.storage.atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("png", "svg", "pdf")
# inches: the columns of two-column journals are 89 and 183 mm wide
PAPER: dict[int, tuple[float, float]] = {1: (3.5, 3.2), 2: (7.2, 4.0)}
WIDE = 5.0  # inches, below which texts are smaller
BESIDE: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
BELOW: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.0, -0.24), "ncols": 2, "columnspacing": 1.0}
DOTS_PER_INCH = 160
LONGEST_TITLE = 9  # characters of a line for each inch of width
_MARKERS = {"circle": "o", "square": "s", "triangle": "^", "diamond": "D", "cross": "P", "x": "X"}
_STYLES = {"solid": "-", "dash": (0, (5, 2)), "dot": (0, (1, 1.6)), "dashdot": (0, (5, 1.6, 1, 1.6))}


def write_figures(drawn: list[Chart], folder: Path) -> list[Path]:
    """FOLDER/NAME.png and FOLDER/NAME.svg for every chart; the same chart gives the same bytes.

    Raises MissingDependency where matplotlib is not installed.
    """
    expect_matplotlib("pictures of the charts")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    as_png: Any = FigureCanvasAgg  # their stubs leave print_png and print_svg untyped
    as_svg: Any = FigureCanvasSVG
    written = []
    with _settings():
        for chart in drawn:
            figure = draw(chart)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # laid out once, for both kinds
            png, svg = io.BytesIO(), io.BytesIO()
            as_png(figure).print_png(png, metadata={"Software": None})
            as_svg(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
            for kind, buffer in (("png", png), ("svg", svg)):
                path = folder / f"{chart.name}.{kind}"
                write_bytes(path, buffer.getvalue())
                written.append(path)
    return written


def save(chart: Chart, path: Path, columns: int | None = None) -> None:
    """One chart, as the kind of picture that the path's end names; columns: as wide as one or two of a paper.

    The same chart gives the same bytes; a text stays a text. Raises DeclarationError for another end.
    """
    kind = expect_kind(path)
    drawn = io.BytesIO()
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with _settings():
        figure = draw(chart, columns)
        figure.savefig(drawn, format=kind, metadata=dates.get(kind))
    write_bytes(path, drawn.getvalue())


def expect_kind(path: Path) -> str:
    """png, svg or pdf. Raises DeclarationError for another end, MissingDependency where nothing can draw it."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise DeclarationError(f"expected a picture that ends in {', '.join(KINDS)}, got {path.name!r}.")
    expect_matplotlib(path.name)
    return kind


def _settings() -> Any:
    """parse_math: a $ in a name from data is a $, no formula."""
    from matplotlib import rc_context

    return rc_context(
        {
            "svg.hashsalt": "lawful",
            "svg.fonttype": "none",  # text stays text: found, selected, set in the fonts of the paper
            "pdf.fonttype": 42,
            "font.size": 9,
            "axes.unicode_minus": True,
            "text.parse_math": False,
        }
    )


def draw(chart: Chart, columns: int | None = None) -> Figure:
    """The chart on white paper; columns: as wide as one or two of a paper, else as its marks need."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    size_in_inches = PAPER[columns] if columns else (7.2, 4.4) if chart.is_wide else (5.6, 4.2)
    figure = Figure(figsize=size_in_inches, layout="constrained", dpi=DOTS_PER_INCH)
    axes = figure.add_subplot()
    size = 26 if sum(len(points.x) for points in chart.points) <= 150 else 12
    _prepare(axes, chart, size_in_inches[0])
    named = set()
    for band in chart.bands:
        label = charts.band_name(band)
        colour = charts.resolve(band.colour)
        shade = axes.fill_between(band.x, band.low, band.high, color=colour, alpha=band.opacity, linewidth=0, zorder=1)
        if label not in named:
            shade.set_label(label)
            named.add(label)
    for line in chart.lines:
        axes.plot(
            line.x,
            line.y,
            color=charts.resolve(line.colour),
            linestyle=_STYLES[line.dash],
            linewidth=0.7 if line.is_thin else 1.4,
            alpha=0.75 if line.is_thin else 1.0,
            label=line.name if line.is_named and line.name not in named else None,
            zorder=2,
        )
        named.add(line.name)
    for points in chart.points:
        colour = charts.resolve(points.colour)
        if points.low:
            bars = axes.vlines(points.x, points.low, points.high, colors=colour, linewidth=1, zorder=2)
            if points.bars and points.bars not in named:
                bars.set_label(points.bars)
                named.add(points.bars)
        axes.scatter(
            points.x,
            points.y,
            s=size,
            marker=_MARKERS[points.symbol],
            facecolors=charts.LIGHT["paper"] if points.is_open else colour,
            edgecolors=colour if points.is_open or points.is_sheer else charts.LIGHT["paper"],
            alpha=0.6 if points.is_sheer and not points.is_open else None,
            linewidths=1.4 if points.is_open else 0.6,
            label=points.name if points.name not in named else None,
            zorder=3,
        )
        named.add(points.name)
    _finish(axes, chart, is_narrow=columns == 1)
    for text in figure.findobj(Text):
        text.set_text(printable(text.get_text()))  # a name from data may hold what no font and no file can
    return figure


def _prepare(axes: Axes, chart: Chart, inches: float) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(charts.LIGHT["reference"])
    axes.grid(True, color=charts.LIGHT["grid"], linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=charts.LIGHT["muted"], which="both")
    size, letters = (8.5, 1.35 * LONGEST_TITLE) if inches < WIDE else (10.5, LONGEST_TITLE)
    title = textwrap.fill(chart.title, round(letters * inches))
    axes.set_title(title, loc="left", fontsize=size, color=charts.LIGHT["ink"])
    if inches < WIDE:
        axes.tick_params(labelsize=7)
        axes.xaxis.label.set_fontsize(8)
        axes.yaxis.label.set_fontsize(8)
    axes.set_xlabel(chart.x.title, color=charts.LIGHT["ink"])
    axes.set_ylabel(chart.y.title, color=charts.LIGHT["ink"])


def _finish(axes: Axes, chart: Chart, *, is_narrow: bool) -> None:
    x, y = (
        Scale(axis=axis, low=low, high=high)
        for axis, (low, high) in zip((chart.x, chart.y), scales.limits(chart), strict=True)
    )
    axes.set_xscale(chart.x.scale)
    axes.set_yscale(chart.y.scale)
    axes.set_xlim(x.low, x.high)
    axes.set_ylim(y.low, y.high)
    _ticks(axes.xaxis, x)
    _ticks(axes.yaxis, y)
    if chart.has_identity:
        both = (max(x.low, y.low), min(x.high, y.high))
        axes.plot(both, both, color=charts.LIGHT["reference"], linewidth=1, zorder=1)
    above, below = scales.off_the_chart(chart, y)
    for reference in chart.references:
        if reference not in above and reference not in below:
            axes.axhline(reference.y, color=charts.LIGHT["reference"], linewidth=1, linestyle=(0, (2, 2)), zorder=1)
            _note(axes, reference.label, y.share(reference.y), 2)
    for sign, at, up, beyond in (("↑", 1.0, -9, above), ("↓", 0.0, 2, below)):
        if beyond:
            _note(axes, f"{sign} {', '.join(one.label for one in beyond)}", at, up)
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1 or chart.legend_title:
        legend = axes.legend(
            handles,
            labels,
            title=chart.legend_title or None,
            fontsize=7.5,
            title_fontsize=7.5,
            frameon=False,
            alignment="left",
            **(BELOW if is_narrow else BESIDE),
        )
        legend.set_zorder(5)


def _note(axes: Axes, text: str, at: float, up: float) -> None:
    """A text at the right end of the height `at`, from 0 to 1."""
    axes.annotate(
        text,
        (1, at),
        xycoords="axes fraction",
        xytext=(-2, up),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=7.5,
        color=charts.LIGHT["muted"],
    )


def _ticks(axis: Any, scale: Scale) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    places = scale.ticks()
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(FixedFormatter([scales.tick_text(place, scale.axis) for place in places]))
    axis.set_minor_locator(NullLocator())
