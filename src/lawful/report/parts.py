"""What every section of a page is made of: tables, facts, notices, charts, and the document around them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

from lawful.report import svg
from lawful.report.charts import Chart
from lawful.report.markup import Html, data, join, tag
from lawful.report.scales import Limits
from lawful.report.table import Table

SORTED_FROM = 6  # rows from which on a header sorts by its column
TOOLS_FROM = 12  # rows from which on a table can be filtered and downloaded
PHONE_COLUMNS = 3  # that a phone shows beside each other
FOLDED_FROM = 17  # rows from which on a table stands behind a line that opens it
SAID = "said"  # id of the texts over marks, for page.js
# Nothing may be fetched, from anywhere: what the page needs is in it.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; form-action 'none'"
)


def document(
    title: str,
    description: str,
    sections: Sequence[Html],
    drawn: Sequence[Chart],
    footer: str,
    *,
    live: Html | None = None,
) -> str:
    """A whole page that needs nothing but itself.

    drawn   the charts in its sections
    live    a line that follows the study, of a page that is watched
    """
    body = join(
        tag("a", "Skip to the answer", class_="skip", href="#answer"),
        live,
        svg.shapes(),
        tag("main", list(sections), data(SAID, svg.said(drawn)), id="top"),
        tag("footer", tag("p", footer)),
        [tag("script", Html(asset(name))) for name in ("picture.js", "page.js", "calculator.js")],
        tag("script", Html(asset("watch.js"))) if live else None,
    )
    head = join(
        tag("meta", charset="utf-8"),
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content=POLICY + ("; connect-src 'self'" if live else ""),
        ),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="description", content=description),
        tag("title", title),
        tag("style", Html(asset("page.css"))),
        tag("style", Html(svg.palette(drawn)), id="palette"),
    )
    return "<!doctype html>\n" + tag("html", tag("head", head), tag("body", body), lang="en") + "\n"


def table(content: Table, *, runs: Sequence[str] = ()) -> Html:
    """Headers sort where there are many rows; where there are more still, the table filters and downloads as CSV. runs:
    that of each row, where a row is a run."""
    sorts = len(content.rows) >= SORTED_FROM
    is_tooled = len(content.rows) >= TOOLS_FROM
    # an interval beyond the edge of a phone is no interval: there such a row stands as a list of its cells
    labels = content.header if not is_tooled and _has_hidden_interval(content.header) else [None] * len(content.header)

    def side(index: int) -> str | None:
        return "right" if index in content.right else None

    head = [header(name, side(index), sorts=sorts) for index, name in enumerate(content.header)]
    rows = [
        tag(
            "tr",
            [tag("td", powers(cell), class_=side(index), data_label=labels[index]) for index, cell in enumerate(row)],
            data_run=run,
        )
        for row, run in itertools.zip_longest(content.rows, runs)
    ]
    if not is_tooled:
        return framed(content.title, head, rows, sorts=sorts)
    button = tag("button", "Download as CSV", type="button", class_="button csv")
    return tooled(framed(content.title, head, rows, sorts=sorts), button, len(rows), content.title)


def _has_hidden_interval(header: Sequence[str]) -> bool:
    return any("interval" in name.lower() for name in header[PHONE_COLUMNS:])


def folded(content: Table, *, least: int = FOLDED_FROM) -> Html:
    """A long table behind a line that opens it."""
    if len(content.rows) < least:
        return table(content)
    return tag("details", tag("summary", f"{len(content.rows)} rows"), table(content))


def header(name: str, side: str | None, *, sorts: bool) -> Html:
    return tag("th", tag("button", name, type="button") if sorts else name, scope="col", class_=side)


def framed(title: str, head: Sequence[Html], rows: Sequence[Html], *, sorts: bool) -> Html:
    """A table that scrolls inside its own frame, never the page."""
    inner = tag(
        "table",
        tag("caption", title + (". A header sorts by its column." if sorts else ""), class_="hidden"),
        tag("thead", tag("tr", list(head))),
        tag("tbody", list(rows)),
        class_="sortable" if sorts else None,
    )
    return tag("div", inner, class_="scroll", tabindex="0", role="group", aria_label=title)


def tooled(inner: Html, download: Html | None, rows: int, title: str, example: str = "") -> Html:
    """A table under its filter, the count of its rows, and its download."""
    field = tag(
        "input",
        type="search",
        placeholder=example or None,
        autocomplete="off",
        aria_label=f"Filter: {title}",
    )
    return tag(
        "div",
        tag(
            "div",
            tag("label", "Filter ", field),
            tag("output", f"{rows} rows", aria_live="polite"),
            download,
            class_="tools",
        ),
        inner,
        class_="tooled",
        data_name=re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-"),
    )


def titled(content: Table, *, folds: bool = False) -> Html:
    return join(tag("h3", content.title), folded(content) if folds else table(content))


def facts(entries: Sequence[tuple[str, str]], kind: str) -> Html | None:
    if not entries:
        return None
    shown = unbroken if kind == "first" else powers
    made = [tag("div", tag("dt", name), tag("dd", shown(text))) for name, text in entries]
    return tag("dl", made, class_=f"facts {kind}")


def notice(title: str, sentences: Sequence[str], kind: str) -> Html:
    inner = (
        tag("p", sentences[0]) if len(sentences) == 1 else tag("ul", [tag("li", sentence) for sentence in sentences])
    )
    return tag("div", tag("h2", title), inner, class_=f"notice {kind}", role="note")


def charts(drawn: Sequence[Chart], *, heading: bool = True) -> Html | None:
    if not drawn:
        return None
    return tag("div", [chart(one, heading=heading) for one in drawn], class_="charts")


def chart(
    one: Chart,
    *,
    heading: bool = True,
    name: str = "",
    title: str = "",
    has_caption: bool = True,
    within: Limits | None = None,
) -> Html:
    """`name`, `title` and `within` where they are not the chart's own: a page beside another's. has_caption: false
    where the caption stands elsewhere."""
    name = name or one.name
    return tag(
        "figure",
        tag("h3", title or one.title) if heading else None,
        svg.plot(one, name, within),
        tag("figcaption", powers(one.caption)) if has_caption else None,
        class_="wide" if one.is_wide and not title else None,
        id=f"chart-{name}",
    )


def powers(text: str) -> Html:
    """N^-0.38 with its power raised; the caret stays in the text, so that a copy of it still says what it said."""
    parts: list[Any] = []
    end = 0
    for found in re.finditer(r"\^([-−]?(?:[0-9.]*[0-9]|[a-zA-Zα-ω]+))", text):
        parts += [text[end : found.start()], tag("span", "^", class_="caret"), tag("sup", found[1])]
        end = found.end()
    return join(parts, text[end:])


def unbroken(text: str) -> Html:
    """As powers; a number and its %, and an option of a command, stay on one line."""
    shown = powers(re.sub(r"(?<=\d) %", "\u00a0%", text))
    return Html(re.sub(r"(?<![\w-])--[a-z][\w-]*", r'<span class="whole">\g<0></span>', shown))


def asset(name: str) -> str:
    return (resources.files("lawful.report") / name).read_text(encoding="utf-8")
