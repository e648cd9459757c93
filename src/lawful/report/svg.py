"""A chart as SVG that fits any width without a script: its lines stretch, its marks and its text do not.

Places are shares of the plot: lines and bands are paths in a box of SIDE x SIDE that is stretched over the plot, marks
and labels stand at per cents of it. Colours are variables of the page (`palette`), so that light, dark and paper each
have their own. page.js adds what a pointer or a key does.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Sequence

from lawful.report import charts, scales
from lawful.report.charts import Chart, Dash, Line, Points, Symbol
from lawful.report.markup import Html, join, tag
from lawful.report.scales import Limits, Scale

SIDE = 1000  # of the box of the paths; one decimal of it is finer than any screen
UNSEEN = 0.6  # units of that box, by which the edge of a band may be off: a third of a pixel
NARROW, ROOMY = 5, 9  # labels along x that stand side by side on a phone, and on a page
LOW = 0.12  # share of an axis y between labels that do not run into each other in a low chart on a phone
MANY = 150  # marks from which on they are smaller
MOST_MARKS = 2_000  # of a chart; of more, a group becomes one path of dots, which say nothing under a pointer
MOST_OPEN = 200  # held-out runs that keep their marks there
LAST = 0.97  # share of an axis from which on a label in its middle would leave the chart
LEFT = "--left"  # the property of page.css for the room at the left of a chart
DIGIT = 7.2  # pixels that a character of an axis label takes, at most
_DASHES: dict[Dash, str | None] = {"solid": None, "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3"}
_SHAPES: dict[Symbol, str] = {
    "circle": "M4.5,0a4.5,4.5 0 1,1 -9,0a4.5,4.5 0 1,1 9,0z",
    "square": "M-4,-4h8v8h-8z",
    "triangle": "M0,-5.2L5,3.8H-5z",
    "diamond": "M0,-5.5L5.5,0L0,5.5L-5.5,0z",
    "cross": "M-1.7,-5h3.4v3.3h3.3v3.4h-3.3v3.3h-3.4v-3.3h-3.3v-3.4h3.3z",
    "x": "M-5,-2.8L-2.8,-5L0,-2.2L2.8,-5L5,-2.8L2.2,0L5,2.8L2.8,5L0,2.2L-2.8,5L-5,2.8L-2.2,0z",
}


def shapes() -> Html:
    """The shapes of all marks: once in a page, before its charts."""
    made = [tag("path", id=f"mark-{name}", d=shape) for name, shape in _SHAPES.items()]
    return tag("svg", tag("defs", made), width="0", height="0", class_="shapes", aria_hidden="true")


def palette(drawn: Iterable[Chart]) -> str:
    """Style: every colour that the charts use as a variable, on light, on dark and on paper."""
    of_page = {"ink", "muted", "paper"}  # page.css has them
    used = {mark.colour for one in drawn for marks in (one.bands, one.lines, one.points) for mark in marks}
    roles = sorted({*charts.LIGHT, *used} - of_page)

    def variables(is_dark: bool) -> str:
        return "".join(f"--{role}:{charts.resolve(role, is_dark=is_dark)};" for role in roles)

    return (
        f".plot,.legend{{{variables(False)}}}"
        f"@media screen and (prefers-color-scheme:dark){{.plot,.legend{{{variables(True)}}}}}"
    )


def plot(chart: Chart, name: str, within: Limits | None = None) -> Html:
    """The picture and its legend. `within`: limits of x and y that are not the chart's own."""
    x, y = (
        Scale(axis=axis, low=low, high=high)
        for axis, (low, high) in zip((chart.x, chart.y), within or scales.limits(chart), strict=True)
    )
    y_ticks = [(value, scales.tick_text(value, chart.y)) for value in y.ticks()]
    left = round(14 + DIGIT * max((len(text) for _, text in y_ticks), default=2))
    size = "small" if sum(len(points.x) for points in chart.points) > MANY else None
    picture = tag(
        "svg",
        _axes(chart, x, y, y_ticks, left),
        tag(
            "svg",
            _stretched(chart, x, y),
            _dots(chart, x, y),
            viewBox=f"0 0 {SIDE} {SIDE}",
            preserveAspectRatio="none",
            class_="paths",
        ),
        _references(chart, x, y),
        tag("g", [_marks(points, x, y) for points in _marked(chart)], class_="marks"),
        class_="area",
        aria_hidden="true",
    )
    return join(
        tag(
            "div",
            picture,
            class_="plot",
            data_chart=name,
            data_x=_ends_of(x),
            data_y=_ends_of(y),
            data_size=size,
            role="group",
            tabindex="0",
            aria_label=chart.alt,
            style=f"{LEFT}:{left}px",
        ),
        _legend(chart),
    )


def _ends_of(scale: Scale) -> str:
    return f"{scale.low:.6g} {scale.high:.6g} {scale.axis.scale} {'flops' if scale.axis.is_flops else ''}".strip()


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def _axes(chart: Chart, x: Scale, y: Scale, y_ticks: Sequence[tuple[float, str]], left: int) -> list[Html]:
    x_ticks = [(value, scales.tick_text(value, chart.x)) for value in x.ticks()]
    texts, shares = [text for _, text in x_ticks], [x.share(value) for value, _ in x_ticks]
    roomy, narrow = (scales.apart(shares, scales.thinned(texts, room), 0.6 / room) for room in (ROOMY, NARROW))
    made: list[Html] = []
    y_shares = [y.share(value) for value, _ in y_ticks]
    kept = scales.apart(y_shares, set(range(len(y_ticks))), LOW)
    for index, (value, text) in enumerate(y_ticks):
        at = _percent(1 - y.share(value))
        dense = "" if index in kept else " dense"
        made.append(tag("text", text, y=at, dx="-7", dy=".33em", class_=f"tick y{dense}"))
    for index, (value, text) in enumerate(x_ticks):
        at = _percent(x.share(value))
        if index in roomy:
            dense = "" if index in narrow else " dense"
            last = " last" if x.share(value) > LAST else ""
            made.append(tag("text", text, x=at, y="100%", dy="1.5em", class_=f"tick x{dense}{last}"))
    made.append(tag("text", chart.y.title, dx=str(-left), dy="-.9em", class_="title"))
    made.append(tag("text", chart.x.title, x="100%", y="100%", dy="2.9em", class_="title x"))
    return made


def _stretched(chart: Chart, x: Scale, y: Scale) -> list[Html]:
    """The grid, bands, the diagonal and lines."""
    across = [
        f"M0,{_short(SIDE * (1 - y.share(value)))}L{SIDE},{_short(SIDE * (1 - y.share(value)))}" for value in y.ticks()
    ]
    down = [f"M{_short(SIDE * x.share(value))},0L{_short(SIDE * x.share(value))},{SIDE}" for value in x.ticks()]
    made = [tag("path", d="".join(across + down), class_="grid")]
    for band in chart.bands:
        there = _places(band.x, band.high, x, y)
        back = _places(band.x, band.low, x, y)
        if len(there) > 1 and len(back) > 1:
            corners = [*_thinned(there), *reversed(_thinned(back))]
            d = "M" + "L".join(f"{left:.0f},{top:.0f}" for left, top in corners) + "z"
            fill, legend = f"var(--{band.colour})", band.legend or None
            made.append(tag("path", d=d, class_="band", fill=fill, fill_opacity=band.opacity, data_legend=legend))
    if chart.has_identity:
        low, high = max(x.low, y.low), min(x.high, y.high)
        start, end = _points_of((low, high), (low, high), x, y)
        made.append(tag("path", d=f"M{start}L{end}", class_="identity"))
    made += [drawn for line in chart.lines if (drawn := _line(line, x, y))]
    return made


def _line(line: Line, x: Scale, y: Scale) -> Html | None:
    places = _points_of(line.x, line.y, x, y)
    if len(places) < 2:
        return None
    return tag(
        "path",
        tag("title", line.hover or line.name) if line.hover or line.name else None,
        d="M" + "L".join(places),
        class_="line thin" if line.is_thin else "line",
        stroke=f"var(--{line.colour})",
        stroke_dasharray=_DASHES[line.dash],
        data_legend=line.legend or None,
        data_run=line.run or None,
    )


def _points_of(xs: Sequence[float], ys: Sequence[float], x: Scale, y: Scale) -> list[str]:
    """As "left,top" in the box."""
    return [f"{_short(left)},{_short(top)}" for left, top in _places(xs, ys, x, y)]


def _places(xs: Sequence[float], ys: Sequence[float], x: Scale, y: Scale) -> list[tuple[float, float]]:
    """Left and top in the box; what an axis cannot show is left out, what lies far outside ends two boxes away."""
    places = []
    for one, other in zip(xs, ys, strict=True):
        across, up = x.share(one), y.share(other) if math.isfinite(other) else math.copysign(3, other)
        if not (math.isnan(across) or math.isnan(up)):
            places.append((SIDE * across, SIDE * (1 - min(max(up, -2), 3))))
    return places


def _thinned(corners: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners without those that lie within UNSEEN of the line between the ones kept (Ramer 1972)."""
    (left, top), (right, end) = corners[0], corners[-1]
    slope = (end - top) / (right - left) if right != left else 0.0
    far, most = 0, UNSEEN
    for index, (across, down) in enumerate(corners[1:-1], start=1):
        if (away := abs(down - top - slope * (across - left))) > most:
            far, most = index, away
    if not far:
        return [corners[0], corners[-1]]
    return [*_thinned(corners[: far + 1])[:-1], *_thinned(corners[far:])]


def _short(place: float) -> str:
    return f"{place:.1f}".rstrip("0").rstrip(".")


def _references(chart: Chart, x: Scale, y: Scale) -> list[Html]:
    above, below = scales.off_the_chart(chart, y)
    made = []
    for one in chart.references:
        if one in above or one in below:
            continue
        at = _percent(1 - y.share(one.y))
        made.append(tag("line", x2="100%", y1=at, y2=at, class_="reference"))
        if one.label:
            is_left = _crowd(chart, x, y, one.y, is_left=True) < _crowd(chart, x, y, one.y, is_left=False)
            place, class_ = ("0", "note start") if is_left else ("100%", "note")
            made.append(tag("text", one.label, x=place, y=at, dy="-.35em", dx="4" if is_left else None, class_=class_))
    for sign, at, dy, beyond in (("↑", "0", "1em", above), ("↓", "100%", "-.4em", below)):
        if beyond:
            text = f"{sign} {', '.join(one.label for one in beyond)}"
            made.append(tag("text", text, x="100%", y=at, dy=dy, class_="note"))
    return made


def _crowd(chart: Chart, x: Scale, y: Scale, level: float, *, is_left: bool) -> int:
    """How many marks and corners of lines lie where the label of a reference line at `level` would stand."""
    return sum(
        (x.share(one) < 0.5) == is_left and -0.03 < y.share(other) - y.share(level) < 0.09
        for drawn in (chart.points, chart.lines)
        for each in drawn
        for one, other in zip(each.x, each.y, strict=True)
    )


def _marked(chart: Chart) -> list[Points]:
    """The groups whose runs have a mark each."""
    if sum(len(points.x) for points in chart.points) <= MOST_MARKS:
        return list(chart.points)
    return [points for points in chart.points if points.is_open and len(points.x) <= MOST_OPEN]


def _dots(chart: Chart, x: Scale, y: Scale) -> list[Html]:
    """The other groups: runs at one place are one dot."""
    marked = {id(points) for points in _marked(chart)}
    return [
        tag(
            "path",
            d="".join(f"M{place}h0" for place in dict.fromkeys(_points_of(points.x, points.y, x, y))),
            class_="dots",
            stroke=f"var(--{points.colour})",
            data_legend=points.legend or None,
        )
        for points in chart.points
        if id(points) not in marked
    ]


def _marks(points: Points, x: Scale, y: Scale) -> Html:
    made = []
    for index, (one, other) in enumerate(zip(points.x, points.y, strict=True)):
        across, down = x.share(one), 1 - y.share(other)
        if math.isnan(across) or math.isnan(down):
            continue
        left = _percent(across)
        run, hover = _said_of(points, index)
        if points.low:
            low, high = (_percent(1 - _within(y, ends[index])) for ends in (points.low, points.high))
            made.append(tag("line", x1=left, x2=left, y1=low, y2=high))
        made.append(
            tag(
                "use",
                href=f"#mark-{points.symbol}",
                x=left,
                y=_percent(down),
                data_says=_key(run, hover) if run or hover else None,
            )
        )
    return tag(
        "g",
        made,
        class_=" ".join(["points", *["open"] * points.is_open, *["sheer"] * points.is_sheer]),
        style=f"--c:var(--{points.colour})",
        data_legend=points.legend or None,
    )


def _within(scale: Scale, end: float) -> float:
    """Where the end of an interval lies: at the edge of the chart where it lies outside."""
    return min(max(scale.share(end), 0.0), 1.0) if end > 0 or scale.axis.scale == "linear" else 0.0


def said(drawn: Iterable[Chart]) -> dict[str, tuple[str, str]]:
    """data-says of a mark -> its run and the text over it. Once in a page: one run has a mark in many charts."""
    found = {}
    for chart in drawn:
        for points in _marked(chart):
            for index in range(len(points.x)):
                run, hover = _said_of(points, index)
                if run or hover:
                    found[_key(run, hover)] = (run, hover)
    return found


def _said_of(points: Points, index: int) -> tuple[str, str]:
    return points.runs[index] if points.runs else "", points.hover[index] if points.hover else ""


def _key(run: str, hover: str) -> str:
    """Eight letters of a hash: two of a thousand texts are alike once in 10^8 pages."""
    return base64.urlsafe_b64encode(
        hashlib.blake2s(f"{run}\n{hover}".encode(errors="backslashreplace"), digest_size=6).digest()
    ).decode()


def _legend(chart: Chart) -> Html | None:
    """An entry for each name; what shares its key is shown, hidden and named together."""
    entries: dict[str, tuple[str, list[Html]]] = {}
    for line in chart.lines:
        if line.is_named:
            entries.setdefault(line.name, (line.legend, []))[1].append(_sample(line))
    for points in sorted(chart.points, key=lambda one: one.is_open):  # what was held out stands last
        own = next((line for line in chart.lines if line.legend and line.legend == points.legend), None)
        path = own and not (own.is_named or own.is_thin or points.is_open) and _sample(own)
        mark = join(path or None, tag("use", href=f"#mark-{points.symbol}", x="11", y="6"))
        kind = "points open" if points.is_open else "points"
        key = tag("g", mark, class_=kind, style=f"--c:var(--{points.colour})")
        entries.setdefault(points.name, (points.legend, []))[1].append(key)
    if len(entries) < 2 and not chart.legend_title and not _unlisted(chart):
        return None
    made = [
        tag("li", tag("button", tag("svg", keys[:1], width="22", height="12", aria_hidden="true"), name,
                      type="button", data_legend=legend or None, aria_pressed="true"))
        for name, (legend, keys) in entries.items()
    ]  # fmt: skip
    made += [
        tag("li", tag("svg", key, width="22", height="12", aria_hidden="true"), name, class_="key")
        for name, key in _unlisted(chart).items()
    ]
    return tag("ul", tag("li", chart.legend_title, class_="of") if chart.legend_title else None, made, class_="legend")


def _sample(line: Line) -> Html:
    return tag("path", d="M0,6H22", class_="line", stroke=f"var(--{line.colour})", stroke_dasharray=_DASHES[line.dash])


def _unlisted(chart: Chart) -> dict[str, Html]:
    """What bands and reference lines are: shown in the legend, and not hidden by it."""
    found: dict[str, Html] = {}
    colours = {band.colour for band in chart.bands}
    for band in chart.bands:
        colour = band.colour if len(colours) == 1 else "muted"  # one word for the bands of all colours
        fill = {"fill": f"var(--{colour})", "fill_opacity": 2 * band.opacity}
        found.setdefault(charts.band_name(band), tag("rect", width="22", height="12", **fill))
    for points in chart.points:
        if points.bars:
            bar = tag("line", x1="11", x2="11", y2="12", class_="bar")
            found.setdefault(points.bars, bar)
    for one in chart.references:
        if one.name:
            found.setdefault(one.name, tag("line", x2="22", y1="6", y2="6", class_="reference"))
    return found
