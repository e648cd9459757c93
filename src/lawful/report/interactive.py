"""A chart as a Plotly figure in plain data; colours stand as roles, which the page's script fills in by theme."""

from __future__ import annotations

import math
from importlib import resources

from lawful.report import charts
from lawful.report.charts import Axis, Chart
from lawful.report.figures import log_ticks, tick_text
from lawful.storage.json_files import Json

_SYMBOLS = {
    "circle": "circle",
    "square": "square",
    "triangle": "triangle-up",
    "diamond": "diamond",
    "cross": "cross",
    "x": "x",
}


def plotly_script() -> str:
    """plotly.js as the installed package carries it: the page's only library, inlined once."""
    text = (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def palettes(drawn: list[Chart]) -> dict[str, dict[str, str]]:
    """Role -> colour, for light and for dark, of every role that the charts use."""
    roles = set(charts.LIGHT)
    for chart in drawn:
        roles |= {mark.colour for marks in (chart.bands, chart.lines, chart.points) for mark in marks}
    return {
        theme: {f"@{role}": charts.resolve(role, is_dark=theme == "dark") for role in sorted(roles)}
        for theme in ("light", "dark")
    }


Limits = tuple[tuple[float, float], tuple[float, float]]


def figure(chart: Chart, within: Limits | None = None) -> dict[str, Json]:
    """{"name", "data", "layout"}; colours are "@role", and "@role/0.2" with an opacity. `within`: limits of x and y
    that are not the chart's own."""
    traces = [*_bands(chart), *_lines(chart), *_points(chart)]
    named: set[str] = set()
    for trace in traces:  # one legend entry for what is toggled together
        if trace["showlegend"]:
            name = str(trace["name"])
            trace["showlegend"] = name not in named
            named.add(name)
    return {"name": chart.name, "data": traces, "layout": _layout(chart, within or limits(chart))}


def _bands(chart: Chart) -> list[dict[str, Json]]:
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [*band.x, *reversed(band.x)],
            "y": [*band.high, *reversed(band.low)],
            "fill": "toself",
            "fillcolor": f"@{band.colour}/0.16",
            "line": {"width": 0},
            "hoverinfo": "skip",
            "name": "95 % band",
            "legendgroup": band.legend,
            "showlegend": False,
        }
        for band in chart.bands
    ]


def _lines(chart: Chart) -> list[dict[str, Json]]:
    traces = []
    for line in chart.lines:
        trace: dict[str, Json] = {
            "type": "scatter",
            "mode": "lines",
            "x": list(line.x),
            "y": list(line.y),
            "name": line.name,
            "line": {"color": f"@{line.colour}", "width": 1.2 if line.is_thin else 2, "dash": line.dash},
            "opacity": 0.8 if line.is_thin else 1,
            "legendgroup": line.legend,
            "showlegend": line.is_named,
        }
        if line.hover:
            trace["text"] = _plain_text(line.hover)
            trace["hovertemplate"] = "%{text}<br>%{x:.3s} tokens, loss %{y:.4f}<extra></extra>"
        else:
            trace["hovertemplate"] = "%{y:.4f} by the %{fullData.name}<extra></extra>"
        traces.append(trace)
    return traces


def _points(chart: Chart) -> list[dict[str, Json]]:
    traces = []
    size = 9 if sum(len(points.x) for points in chart.points) <= 150 else 6
    for points in chart.points:
        trace: dict[str, Json] = {
            "type": "scatter",
            "mode": "markers",
            "x": list(points.x),
            "y": list(points.y),
            "name": points.name,
            "marker": {
                "symbol": _SYMBOLS[points.symbol] + ("-open" if points.is_open else ""),
                "size": size,
                "color": f"@{points.colour}",
                "line": {
                    "color": f"@{points.colour}" if points.is_open else "@paper",
                    "width": 2 if points.is_open else 1,
                },
            },
            "text": [_plain_text(text) for text in points.hover],
            "hovertemplate": "%{text}<extra></extra>",
            "legendgroup": points.legend,
            "showlegend": True,
        }
        if points.low:
            trace["error_y"] = {
                "type": "data",
                "symmetric": False,
                "array": [high - y for y, high in zip(points.y, points.high, strict=True)],
                "arrayminus": [y - low for y, low in zip(points.y, points.low, strict=True)],
                "color": f"@{points.colour}",
                "thickness": 1.2,
                "width": 3,
            }
        traces.append(trace)
    return traces


def _layout(chart: Chart, within: Limits) -> dict[str, Json]:
    limits_x, limits_y = within
    shapes: list[Json] = []
    annotations: list[Json] = []
    layout: dict[str, Json] = {
        "xaxis": _axis(chart.x, limits_x),
        "yaxis": _axis(chart.y, limits_y),
        "showlegend": bool(chart.legend_title)
        or sum(len(marks) > 0 for marks in (chart.lines, chart.points)) > 1
        or len(chart.points) > 1,
        "shapes": shapes,
        "annotations": annotations,
    }
    if chart.legend_title:
        layout["legend"] = {"title": {"text": _plain_text(chart.legend_title) + "&nbsp; "}}
    for reference in chart.references:
        shapes.append(
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": reference.y,
                "y1": reference.y,
                "layer": "below",
                "line": {"color": "@reference", "width": 1, "dash": "dot"},
            }
        )
        if reference.label:
            annotations.append(
                {
                    "xref": "paper",
                    "x": 1,
                    "xanchor": "right",
                    "y": math.log10(reference.y) if chart.y.scale == "log" else reference.y,
                    "yanchor": "bottom",
                    "text": _plain_text(reference.label),
                    "showarrow": False,
                    "font": {"size": 11, "color": "@muted"},
                    "bgcolor": "@paper/0.75",
                    "borderpad": 0,
                }
            )
    if chart.has_identity:
        low, high = min(limits_x[0], limits_y[0]), max(limits_x[1], limits_y[1])
        shapes.append(
            {
                "type": "line",
                "x0": low,
                "y0": low,
                "x1": high,
                "y1": high,
                "layer": "below",
                "line": {"color": "@reference", "width": 1},
            }
        )
    return layout


def limits(chart: Chart) -> Limits:
    """(lowest, highest) of x and of y that the chart shows."""
    xs = [x for marks in (chart.lines, chart.points) for mark in marks for x in mark.x]
    ys = [y for marks in (chart.lines, chart.points) for mark in marks for y in mark.y]
    ys += [reference.y for reference in chart.references]
    ys += [y for points in chart.points for y in (*points.low, *points.high)]
    if chart.has_identity:
        xs = ys = xs + ys
    return _padded(xs, chart.x), _padded(ys, chart.y)


def _padded(values: list[float], axis: Axis) -> tuple[float, float]:
    good = [value for value in values if math.isfinite(value) and (axis.scale == "linear" or value > 0)]
    low, high = min(good), max(good)
    if axis.scale == "log":
        room = max((high / low) ** 0.04, 1.01)
        return low / room, high * room
    room = max(0.06 * (high - low), 1e-9)
    return low - room, high + room


def _axis(axis: Axis, limits: tuple[float, float]) -> dict[str, Json]:
    spec: dict[str, Json] = {"title": {"text": _plain_text(axis.title)}, "type": axis.scale}
    if axis.scale == "log":
        places = log_ticks(*limits)
        spec["range"] = [math.log10(limits[0]), math.log10(limits[1])]
        spec["tickvals"] = places
        spec["ticktext"] = [tick_text(place, axis) for place in places]
    else:
        spec["range"] = list(limits)
        spec["ticksuffix"] = axis.suffix
    return spec


def _plain_text(text: str) -> str:
    """Plotly reads a small HTML in its labels: text from data shows its angle brackets instead."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("\n", "<br>")
