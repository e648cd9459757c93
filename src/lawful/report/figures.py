"""A chart as a picture: PNG for slides and drafts, SVG for print, both drawn by matplotlib without a display."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lawful.errors import DeclarationError
from lawful.report import charts, tables
from lawful.report.charts import Axis, Chart
from lawful.storage.atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("png", "svg", "pdf")
DOTS_PER_INCH = 160
_MARKERS = {"circle": "o", "square": "s", "triangle": "^", "diamond": "D", "cross": "P", "x": "X"}
_STYLES = {"solid": "-", "dash": (0, (5, 2)), "dot": (0, (1, 1.6)), "dashdot": (0, (5, 1.6, 1, 1.6))}


def write_figures(drawn: list[Chart], folder: Path) -> list[Path]:
    """FOLDER/NAME.png and FOLDER/NAME.svg for every chart; the same chart gives the same bytes."""
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


def save(chart: Chart, path: Path) -> None:
    """One chart, as the kind of picture that the path's end names. Raises DeclarationError for another end."""
    kind = expect_kind(path)
    drawn = io.BytesIO()
    with _settings():
        figure = draw(chart)
        figure.axes[0].set_title(chart.title, loc="left")
        figure.savefig(drawn, format=kind)
    write_bytes(path, drawn.getvalue())


def expect_kind(path: Path) -> str:
    """png, svg or pdf. Raises DeclarationError for another end."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise DeclarationError(f"expected a picture that ends in {', '.join(KINDS)}, got {path.name!r}.")
    return kind


def _settings() -> Any:
    """parse_math: a $ in a name from data is a $, no formula."""
    from matplotlib import rc_context

    return rc_context({"svg.hashsalt": "lawful", "font.size": 9, "axes.unicode_minus": True, "text.parse_math": False})


def draw(chart: Chart) -> Figure:
    """The chart on white paper."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4) if chart.is_wide else (5.6, 4.2), layout="constrained", dpi=DOTS_PER_INCH)
    axes = figure.add_subplot()
    size = 26 if sum(len(points.x) for points in chart.points) <= 150 else 12
    _prepare(axes, chart)
    for band in chart.bands:
        axes.fill_between(
            band.x, band.low, band.high, color=charts.resolve(band.colour), alpha=0.16, linewidth=0, zorder=1
        )
    for line in chart.lines:
        axes.plot(
            line.x,
            line.y,
            color=charts.resolve(line.colour),
            linestyle=_STYLES[line.dash],
            linewidth=0.7 if line.is_thin else 1.4,
            alpha=0.75 if line.is_thin else 1.0,
            label=line.name if line.is_named else None,
            zorder=2,
        )
    for points in chart.points:
        colour = charts.resolve(points.colour)
        if points.low:
            below = [max(y - low, 0) for y, low in zip(points.y, points.low, strict=True)]
            above = [max(high - y, 0) for y, high in zip(points.y, points.high, strict=True)]
            axes.errorbar(points.x, points.y, yerr=[below, above], fmt="none", ecolor=colour, elinewidth=1, zorder=2)
        axes.scatter(
            points.x,
            points.y,
            s=size,
            marker=_MARKERS[points.symbol],
            facecolors=charts.LIGHT["paper"] if points.is_open else colour,
            edgecolors=colour if points.is_open else charts.LIGHT["paper"],
            linewidths=1.4 if points.is_open else 0.6,
            label=points.name,
            zorder=3,
        )
    _finish(axes, chart)
    return figure


def _prepare(axes: Axes, chart: Chart) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(charts.LIGHT["reference"])
    axes.grid(True, color=charts.LIGHT["grid"], linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=charts.LIGHT["muted"], which="both")
    axes.set_title(chart.title, loc="left", fontsize=10.5, color=charts.LIGHT["ink"])
    axes.set_xlabel(chart.x.title, color=charts.LIGHT["ink"])
    axes.set_ylabel(chart.y.title, color=charts.LIGHT["ink"])


def _finish(axes: Axes, chart: Chart) -> None:
    for axis, set_scale in ((chart.x, axes.set_xscale), (chart.y, axes.set_yscale)):
        set_scale(axis.scale)
    axes.margins(x=0.03, y=0.06)
    limits_x, limits_y = axes.get_xlim(), axes.get_ylim()
    if chart.has_identity:
        both = (max(min(limits_x[0], limits_y[0]), 1e-12), max(limits_x[1], limits_y[1]))
        axes.plot(both, both, color=charts.LIGHT["reference"], linewidth=1, zorder=1)
        limits_x = limits_y = both
    for reference in chart.references:
        axes.axhline(reference.y, color=charts.LIGHT["reference"], linewidth=1, linestyle=(0, (2, 2)), zorder=1)
        if reference.label:
            axes.annotate(
                reference.label,
                (1, reference.y),
                xycoords=("axes fraction", "data"),
                xytext=(-2, 2),
                textcoords="offset points",
                ha="right",
                va="bottom",
                fontsize=7.5,
                color=charts.LIGHT["muted"],
            )
    lows = [limits_y[0], *(reference.y / 1.02 for reference in chart.references if chart.y.scale == "log")]
    highs = [limits_y[1], *(reference.y * 1.04 for reference in chart.references if chart.y.scale == "log")]
    limits_y = (min(lows), max(highs))
    axes.set_xlim(limits_x)
    axes.set_ylim(limits_y)
    _ticks(axes.xaxis, chart.x, limits_x)
    _ticks(axes.yaxis, chart.y, limits_y)
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1 or chart.legend_title:
        legend = axes.legend(
            handles,
            labels,
            title=chart.legend_title or None,
            fontsize=7.5,
            title_fontsize=7.5,
            frameon=False,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            alignment="left",
        )
        legend.set_zorder(5)


def _ticks(axis: Any, spec: Axis, limits: tuple[float, float]) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    if spec.scale != "log":
        if spec.suffix:
            axis.set_major_formatter(lambda value, _: f"{value:g}{spec.suffix}")
        return
    places = log_ticks(*limits)
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(FixedFormatter([tick_text(place, spec) for place in places]))
    axis.set_minor_locator(NullLocator())


def log_ticks(low: float, high: float) -> list[float]:
    """Between 4 and about 9 places to mark on a logarithmic axis: decades, then 1-2-5, then even steps."""
    decades = math.log10(high / low)
    if decades > 0.9:
        digits = (1, 2, 5) if decades < 3 else (1,)
        every = max(1, round(decades / 8))
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return [d * 10.0**p for p in powers if p % every == 0 for d in digits if low <= d * 10.0**p <= high]
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough)
    first = math.ceil(low / step)
    return [index * step for index in range(first, math.floor(high / step) + 1)]


def tick_text(value: float, axis: Axis) -> str:
    """10k, 2M, 2.5; on an axis of FLOPs 10G, 2T, 1P: short enough for an axis."""
    if axis.is_flops:
        return tables.flops(f"{value:.3g}").removesuffix("FLOPs").replace(".00", "").replace(".0", "").replace(" ", "")
    return tables.general_count(value) if value >= 1000 else f"{value:.6g}"
