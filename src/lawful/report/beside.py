"""Two studies, or two states of one, on one page: their answers, what lies between their parameters, charts, runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from lawful.errors import DeclarationError
from lawful.report import parts, scales, tables, words
from lawful.report.answers_beside import what_differs
from lawful.report.charts import Chart
from lawful.report.declared import Pair, declaration_table
from lawful.report.differences import Entry, differences, exponents, shared
from lawful.report.evidence import read_evidence
from lawful.report.markup import Html, tag
from lawful.report.page import SEVERITY_NAMES, all_charts
from lawful.report.scales import Limits
from lawful.report.table import Table
from lawful.report.tables import number
from lawful.storage.atomic import write_text


def write_beside(first: Path, second: Path, out: Path | None = None) -> Path:
    """Write the page, by default FIRST/beside-SECOND.html, and return its path.

    Reads each folder as its own report left it. Raises LawfulError where one holds no study or both are the same.
    """
    if first.resolve() == second.resolve():
        raise DeclarationError(f"{second}: expected two folders to lay side by side, got the same one twice.")
    pair = (read_evidence(first), read_evidence(second))
    path = out or first / f"beside-{second.resolve().name}.html"
    write_text(path, beside(pair, _labels(first, second)))
    return path


def beside(pair: Pair, labels: tuple[str, str]) -> str:
    """The whole document: `labels` name the two studies throughout."""
    drawn = [{chart.name: chart for chart in all_charts(one)} for one in pair]
    both = [name for name in drawn[0] if name in drawn[1]]
    found = differences(pair)
    one, two = (evidence.answers[0] if evidence.answers else None for evidence in pair)
    sentence = what_differs((one, two), labels, exponents(pair, found))
    sections = [
        _answers(pair, labels, sentence),
        tag(
            "section",
            tag("h2", "Parameters, and what lies between them"),
            tag("p", parts.powers(parameters_sentence(found, labels)), class_="lede full"),
            parts.table(differences_table(found, labels)),
            tag("p", _shared_words(pair), class_="note"),
            id="differences",
        )
        if found
        else tag("section", tag("p", parameters_sentence(found, labels)), id="differences"),
        _figures(drawn, both, labels),
        _section("declaration", declaration_table(pair, labels), "The two declarations agree."),
        _section("doubts", _doubts_table(pair, labels), "Neither study raised a warning."),
        _section("runs", _runs_table(pair, labels), "Every rung that is in both has the same loss, or none is."),
        tag(
            "section",
            tag("h2", "How to repeat them"),
            [tag("pre", tag("code", one.study.command)) for one in pair],
            id="repeat",
        ),
    ]
    return parts.document(
        f"{labels[0]} beside {labels[1]}",
        sentence,
        [section for section in sections if section],
        [*drawn[0].values(), *drawn[1].values()],
        f"Written by lawful from {labels[0]} and {labels[1]}.",
    )


def parameters_sentence(found: Sequence[Entry], labels: tuple[str, str]) -> str:
    """In a sentence: which parameters differ, of those that can be compared."""
    compared = [entry for entry in found if entry.value is not None]
    if not compared:
        reason = next((entry.reason for entry in found), "no question was fitted in both")
        return f"{labels[0]} and {labels[1]} cannot be compared parameter by parameter: {reason}."
    sure = [(entry, entry.interval) for entry in compared if entry.interval]
    if not sure:
        most = max(compared, key=lambda entry: entry.moved)
        return (
            f"The two share runs; what moved most is {_named(most, found)}, from {_value(most, 0)} to "
            f"{_value(most, 1)}: {tables.percent(most.moved)} of the width of its interval."
        )
    apart = [(entry, (low, high)) for entry, (low, high) in sure if low > 0 or high < 0]
    apart.sort(key=lambda pair: pair[0].params[0].role != "fitted")  # what is derived follows from what is fitted
    if not apart:
        return f"No difference between {labels[0]} and {labels[1]} is shown in {_listed([e for e, _ in sure], found)}."
    said = [
        f"{_named(entry, found)} is {_value(entry, 0)} in {labels[0]} and {_value(entry, 1)} in {labels[1]}, a "
        f"difference of {tables.estimate(entry.value, *interval)} {tables.interval(*interval)}"
        for entry, interval in apart
    ]
    rest = [entry for entry, interval in sure if (entry, interval) not in apart]
    more = f"; no difference is shown in {_listed(rest, found)}" if rest else ""
    return "; ".join(said) + more + "."


def differences_table(found: Sequence[Entry], labels: tuple[str, str]) -> Table:
    rows = []
    for entry in found:
        interval = entry.interval or (None, None)
        digits = entry.interval or entry.params[0].ci95
        rows.append(
            (
                words.question_name(entry.question),
                tables.symbol(entry.name),
                _value(entry, 0),
                _interval(entry, 0),
                _value(entry, 1),
                _interval(entry, 1),
                tables.DASH if entry.value is None else tables.estimate(entry.value, *digits),
                tables.interval(*interval),
                _in_words(entry, labels),
            )
        )
    header = ("Question", "Parameter", labels[0], "95 % interval", labels[1], "95 % interval", "Difference")
    return Table(
        title="Parameters side by side",
        header=(*header, "95 % interval", "In words"),
        rows=rows,
        right=(2, 3, 4, 5, 6, 7),
    )


def _shared_words(pair: Pair) -> str:
    count = len(shared(pair))
    if count:
        return (
            f"{tables.many(count, 'run')} of {len(pair[0].finished)} and {len(pair[1].finished)} are the same in "
            "both, so the two estimates are not independent and their difference has no interval of its own."
        )
    return (
        "No run is in both. The interval of a difference is made of the two intervals (Zou and Donner 2008), each for "
        "itself: of twenty parameters that do not differ, one will seem to."
    )


def _in_words(entry: Entry, labels: tuple[str, str]) -> str:
    if entry.value is None:
        return f"not compared: {entry.reason}"
    if entry.interval is None:
        return f"moved by {tables.percent(entry.moved)} of the interval's width"
    low, high = entry.interval
    if low > 0 or high < 0:
        return f"{'higher' if low > 0 else 'lower'} in {labels[1]}"
    return "no difference shown"


def _named(entry: Entry, found: Sequence[Entry]) -> str:
    several = len({other.question for other in found}) > 1
    of = f" of {words.question_name(entry.question)}" if several else ""
    return tables.symbol(entry.name) + of


def _listed(entries: Sequence[Entry], found: Sequence[Entry]) -> str:
    return ", ".join(_named(entry, found) for entry in entries)


def _value(entry: Entry, which: int) -> str:
    param = entry.params[which]
    return tables.estimate(param.value, *param.ci95) if math.isfinite(param.value) else tables.DASH


def _interval(entry: Entry, which: int) -> str:
    param = entry.params[which]
    return tables.DASH if param.role == "fixed" else tables.interval(*param.ci95)


def _answers(pair: Pair, labels: tuple[str, str], sentence: str) -> Html:
    columns = [
        tag(
            "div",
            tag("p", tag("b", label), f" · {one.study.name}, {one.study.scale} scale", class_="which"),
            tag("h2", one.study.question),
            tag(
                "p",
                parts.powers(words.headline(one)),
                class_="lede sentence" + (" refused" if one.answers and one.answers[0].status == "refused" else ""),
            ),
            parts.facts(words.key_facts(one), "plain"),
        )
        for one, label in zip(pair, labels, strict=True)
    ]
    return tag(
        "section",
        tag("p", tag("span", f"{labels[0]} beside {labels[1]}", class_="name"), class_="eyebrow"),
        tag("h1", parts.powers(sentence)),
        tag("div", columns, class_="beside"),
        id="answer",
    )


def _figures(drawn: Sequence[Mapping[str, Chart]], both: Sequence[str], labels: tuple[str, str]) -> Html | None:
    if not both:
        return None
    made = [
        [
            tag("h3", drawn[0][name].title),
            tag(
                "div",
                [
                    parts.chart(charts[name], name=f"{side}-{name}", title=label, within=within)
                    for side, charts, label, within in zip(
                        ("first", "second"), drawn, labels, _aligned(drawn[0][name], drawn[1][name]), strict=True
                    )
                ],
                class_="charts",
            ),
        ]
        for name in both
    ]
    return tag("section", tag("h2", "Charts on the same axes"), made, id="charts-beside")


def _aligned(one: Chart, two: Chart) -> list[Limits]:
    """The limits of both charts: the same where their axes measure the same."""
    limits = [scales.limits(chart) for chart in (one, two)]
    shared = [
        (min(a[0], b[0]), max(a[1], b[1])) if first == second else None
        for a, b, first, second in zip(*limits, (one.x, one.y), (two.x, two.y), strict=True)
    ]
    return [(shared[0] or x, shared[1] or y) for x, y in limits]


def _section(place: str, table: Table, otherwise: str) -> Html:
    content = parts.folded(table) if table.rows else tag("p", otherwise)
    return tag("section", tag("h2", table.title), content, id=place)


def _doubts_table(pair: Pair, labels: tuple[str, str]) -> Table:
    codes: dict[str, dict[int, list[str]]] = {}
    rank: dict[str, int] = {}
    for side, evidence in enumerate(pair):
        for warning in evidence.warnings:
            codes.setdefault(warning.code, {}).setdefault(side, []).append(warning.sentence)
            rank[warning.code] = min(warning.rank, rank.get(warning.code, 2))
    rows = [
        (code, SEVERITY_NAMES[rank[code]], *(_sentences(codes[code].get(side)) for side in (0, 1)))
        for code in sorted(codes, key=lambda code: rank[code])
    ]
    return Table(title="Doubts", header=("Code", "Severity", *labels), rows=rows)


def _sentences(found: Sequence[str] | None) -> str:
    if not found:
        return tables.DASH
    return found[0] + (f" And {len(found) - 1} more like it." if len(found) > 1 else "")


def _runs_table(pair: Pair, labels: tuple[str, str]) -> Table:
    """Rungs by their coordinates, where their losses are not the very same; nothing where no rung is in both."""
    known = [{str(row.get("rung")): number(row.get("loss")) for row in evidence.finished} for evidence in pair]
    rows = []
    for rung in dict.fromkeys((*known[0], *known[1])) if known[0].keys() & known[1].keys() else ():
        one, two = (losses.get(rung) for losses in known)
        if one != two:
            gap = tables.DASH if one is None or two is None else f"{two - one:+.4f}"
            rows.append((tables.readable(rung), tables.loss(one), tables.loss(two), gap))
    return Table(title="Runs that differ", header=("Rung", *labels, "Difference"), rows=rows, right=(1, 2, 3))


def _labels(first: Path, second: Path) -> tuple[str, str]:
    """The folders' names; with those of their parents where they are the same."""
    one, two = first.resolve(), second.resolve()
    if one.name != two.name:
        return one.name, two.name
    return f"{one.parent.name}/{one.name}", f"{two.parent.name}/{two.name}"
