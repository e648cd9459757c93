"""One self-contained page for a study, with report.md and the figures beside it: the answer first, then the doubts."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from lawful import store
from lawful.report import arms, interactive, keystrokes, tables, truth, words
from lawful.report.arms import arm_charts, arm_tables
from lawful.report.charts import Chart
from lawful.report.evidence import Evidence, read_evidence, severity
from lawful.report.figures import write_figures
from lawful.report.gallery import gallery
from lawful.report.law_curve import law_curve
from lawful.report.listening import listening
from lawful.report.markdown import markdown
from lawful.report.markup import Html, data, join, tag
from lawful.report.tables import number
from lawful.report.words import Table

SEVERITY_NAMES = ("severe", "caution", "note")
# Nothing may be fetched, from anywhere: what the page needs is in it.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; form-action 'none'"
)


def write_report(folder: Path) -> Path:
    """Write report.html, report.md and figures/ of a study's folder; the path of the page.

    Reads only the folder. Every file is written whole or not at all. Raises ValueError where the folder holds no study.
    """
    here = store.Store(folder)
    evidence = read_evidence(here.folder)
    drawn = [*arm_charts(evidence), *gallery(evidence)]
    write_figures(drawn, here.figures)
    keystrokes.write_pictures(keystrokes.keystrokes(evidence), here.figures)
    store.write_text(here.report_markdown, markdown(evidence, drawn))
    store.write_text(here.report, page(evidence, drawn))
    return here.report


def page(evidence: Evidence, drawn: Sequence[Chart]) -> str:
    """The whole document."""
    study = evidence.study
    charts = {
        "palettes": interactive.palettes(list(drawn)),
        "charts": [interactive.figure(chart) for chart in drawn],
    }
    sections = [
        _answer(evidence),
        _truth(evidence),
        _law(evidence, drawn),
        *_other_questions(evidence, drawn),
        _all_arms(evidence),
        keystrokes.section(keystrokes.keystrokes(evidence)),
        _learned(evidence),
        listening(evidence),
        _doubts(evidence),
        _training(evidence, drawn),
        _runs(evidence),
        _repeat(evidence),
    ]
    shown = [section for section in sections if section]
    body = join(
        tag("a", "Skip to the answer", class_="skip", href="#answer"),
        tag("main", shown, id="top"),
        tag("footer", tag("p", f"Written by lawful {_version(study)} from {evidence.folder.name}.")),
        data("charts", charts),
        tag("script", Html(interactive.plotly_script())) if drawn else None,
        tag("script", Html(_asset("page.js"))),
    )
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="description", content=words.headline(evidence)),
        tag("title", f"{study.get('name', 'study')}: {study.get('question', '')}"),
        tag("style", Html(_asset("page.css"))),
    )
    return "<!doctype html>\n" + tag("html", tag("head", head), tag("body", body), lang="en") + "\n"


def _answer(evidence: Evidence) -> Html:
    study = evidence.study
    refused = bool(evidence.answers) and evidence.answers[0].get("status") == "refused"
    progress = words.progress_sentence(evidence)
    faults = [str(fault) for fault in study.get("faults") or ()]
    severe = words.severe_doubts(evidence)
    return tag(
        "section",
        tag(
            "p",
            tag("span", study.get("name", "study"), class_="name"),
            tag("span", f"{study.get('scale', '')} scale"),
            tag("span", f"{len(evidence.rungs) - len(evidence.missing)} of {len(evidence.rungs)} runs"),
            tag("span", str(study.get("created") or "")[:10]) if study.get("created") else None,
            class_="eyebrow",
        ),
        tag("p", study.get("question", ""), class_="question"),
        tag("h1", _powers(words.headline(evidence)), class_="refused" if refused else None),
        _notice("The study is not finished", [progress], "progress") if progress else None,
        _notice("What is wrong with this as evidence", faults, "faults") if faults else None,
        _notice("Severe doubts", severe, "faults") if severe else None,
        _facts(words.key_facts(evidence), "key"),
        _navigation(evidence),
        id="answer",
    )


def _navigation(evidence: Evidence) -> Html:
    entries = [("#truth", truth.TITLE)] if truth.truth_table(evidence) else []
    entries += [("#law", "The law")] if evidence.rows else []
    entries += [
        (f"#question-{answer['question']['name']}", str(answer["question"]["name"]).replace("--", ", "))
        for answer in evidence.answers[1:]
    ]
    entries += [("#doubts", "Doubts"), ("#training", "Training")] if evidence.curves else [("#doubts", "Doubts")]
    entries += [("#runs", "Runs"), ("#repeat", "Repeat it")]
    return tag(
        "nav", tag("ul", [tag("li", tag("a", name, href=place)) for place, name in entries]), aria_label="On this page"
    )


def _truth(evidence: Evidence) -> Html | None:
    table = truth.truth_table(evidence)
    if table is None:
        return None
    sentence = tag("p", truth.truth_sentence(evidence), class_="lede")
    return tag("section", tag("h2", truth.TITLE), sentence, _table(table), id="truth")


def _law(evidence: Evidence, drawn: Sequence[Chart]) -> Html | None:
    if not evidence.answers:
        alone = [chart for chart in drawn if chart.kind != "training"]
        if not alone:
            return None
        return tag("section", tag("h2", "The runs"), _charts(alone), id="law")
    answer = evidence.answers[0]
    own = _own_charts(answer, drawn)
    extra = [chart for chart in drawn if chart.kind == "arms"]
    heading = "The law" if answer.get("fit") else "The arms" if answer.get("comparison") else "No law is claimed"
    if not answer.get("fit"):
        own = own or [chart for chart in drawn if chart.kind == "runs"]
    return tag(
        "section",
        tag("h2", heading),
        tag("p", answer["question"].get("asks", ""), class_="lede"),
        _not_drawn(answer),
        _charts([*extra, *own[:1]]),
        _fit(answer),
        _compared(answer),
        _charts(own[1:]),
        _held_out(evidence, answer),
        id="law",
    )


def _other_questions(evidence: Evidence, drawn: Sequence[Chart]) -> list[Html]:
    made = []
    for answer in evidence.answers[1:]:
        question = answer["question"]
        made.append(
            tag(
                "section",
                tag("h2", question.get("asks") or question["name"]),
                tag(
                    "p",
                    _powers(words.answer_sentence(answer)),
                    class_="lede sentence refused" if answer.get("status") == "refused" else "lede sentence",
                ),
                _charts(_own_charts(answer, drawn)),
                _fit(answer),
                _compared(answer),
                _held_out(evidence, answer),
                id=f"question-{question['name']}",
            )
        )
    for question in evidence.unanswered:
        if evidence.rows:
            made.append(
                tag(
                    "section",
                    tag("h2", question.get("asks") or question["name"]),
                    tag("p", "Not fitted yet.", class_="lede"),
                    id=f"question-{question['name']}",
                )
            )
    return made


def _fit(answer: Mapping[str, Any]) -> Html | None:
    if not answer.get("fit"):
        return None
    return tag(
        "div",
        tag(
            "div",
            tag("h3", "Fitted parameters"),
            _table(words.parameters_table(answer)),
            tag(
                "p",
                "L = ",
                tag("span", _powers(words.fit_formula(answer["fit"])), class_="formula"),
                class_="note",
            ),
        ),
        tag("div", tag("h3", "How it was fitted"), _facts(words.fit_facts(answer), "plain")),
        class_="columns",
    )


def _compared(answer: Mapping[str, Any]) -> Html | None:
    found = [*arm_tables(answer), *words.comparison_tables(answer)]
    return join(*(join(tag("h3", table.title), _table(table)) for table in found)) if found else None


def _held_out(evidence: Evidence, answer: Mapping[str, Any]) -> Html | None:
    if not answer.get("held_out"):
        return None
    return join(
        tag("h3", "The held-out forecast, and what came"),
        tag(
            "p", f"Mean absolute error {words.held_out_summary(answer)}. {words.held_out_registered(evidence, answer)}"
        ),
        _folded(words.held_out_table(evidence, answer)),
    )


def _all_arms(evidence: Evidence) -> Html | None:
    """The arms of the whole study: the answers in one paragraph, every cell of the ladder, others' figures beside."""
    found = [arms.text_table(evidence), arms.reported_table(evidence), arms.counts_table(evidence)]
    paragraph = arms.in_words(evidence)
    if not paragraph and not any(table.rows for table in found):
        return None
    return tag(
        "section",
        tag("h2", "In words, and cell by cell"),
        tag("p", _powers(paragraph), class_="lede") if paragraph else None,
        [join(tag("h3", table.title), _folded(table)) for table in found if table.rows],
        id="arms",
    )


def _learned(evidence: Evidence) -> Html | None:
    if not evidence.baselines:
        return None
    return tag(
        "section",
        tag("h2", "Did the models learn more than counts?"),
        tag("p", words.baseline_sentence(evidence), class_="lede"),
        _table(words.baselines_table(evidence)),
        id="baselines",
    )


def _doubts(evidence: Evidence) -> Html:
    warnings = evidence.warnings
    parts: list[Any] = [tag("h2", "Doubts")]
    if warnings:
        parts.append(
            tag(
                "ul",
                [
                    tag(
                        "li",
                        tag(
                            "span",
                            SEVERITY_NAMES[severity(warning)],
                            class_=f"badge {SEVERITY_NAMES[severity(warning)]}",
                        ),
                        tag(
                            "div",
                            tag("p", str(warning.get("sentence", ""))),
                            tag(
                                "p", tag("code", str(warning.get("code", ""))), f" · {warning['about']}", class_="note"
                            ),
                        ),
                    )
                    for warning in warnings
                ],
                class_="warnings",
            )
        )
    else:
        parts.append(tag("p", "No warning was raised by the design or the fit."))
    parts.append(tag("h3", "What was left out, and why"))
    if evidence.left_out:
        parts.append(_left_out(evidence))
    elif any(answer.get("fit") for answer in evidence.answers):
        parts.append(tag("p", "Nothing: every run that finished and was not held out is in the fit."))
    else:
        parts.append(tag("p", "Nothing was left out; nothing was fitted either."))
    sensitivity = [table for answer in evidence.fitted[:1] for table in words.sensitivity_tables(answer)]
    if sensitivity:
        parts.append(tag("h3", "How the answer moves when the analysis does"))
        for table in sensitivity:
            parts += [tag("h4", table.title), _table(table)]
    also = words.also_table(evidence.fitted[0]) if evidence.fitted else None
    if also:
        parts += [tag("h3", also.title), _table(also)]
    return tag("section", parts, id="doubts")


def _training(evidence: Evidence, drawn: Sequence[Chart]) -> Html | None:
    curves = [chart for chart in drawn if chart.kind == "training"]
    if not curves:
        return None
    collapsed = [
        tag("div", tag("p", sentence), tag("details", tag("summary", "By size"), _table(table)))
        for sentence, table in words.collapse_tables(evidence)
    ]
    return tag("section", tag("h2", "Training"), _charts(curves, heading=False), collapsed, id="training")


def _runs(evidence: Evidence) -> Html:
    columns = _run_columns(evidence)
    rows = [_run_row(row, columns) for row in evidence.rows]
    rows += [
        _run_row(
            {
                **rung,
                "run": rung.get("id"),
                "rung": rung.get("label"),
                "held_out": rung.get("is_held_out"),
                "status": "not finished",
            },
            columns,
        )
        for rung in evidence.missing
    ]
    table = tag(
        "table",
        tag("caption", "Every run of the study. A header sorts by its column.", class_="hidden"),
        tag(
            "thead",
            tag(
                "tr",
                [
                    tag("th", tag("button", name, type="button"), scope="col", class_="right" if is_number else None)
                    for name, _, is_number in columns
                ],
            ),
        ),
        tag("tbody", rows),
        class_="sortable",
        id="runs-table",
    )
    path = store.Store(evidence.folder).observations
    download = None
    if path.exists():
        encoded = base64.b64encode(path.read_bytes()).decode()
        name = f"{evidence.study.get('name', 'study')}-observations.csv"
        download = tag("a", "Download as CSV", href=f"data:text/csv;base64,{encoded}", download=name, class_="button")
    return tag(
        "section",
        tag("h2", "Runs"),
        tag(
            "div",
            tag(
                "label",
                "Filter ",
                tag("input", type="search", id="runs-filter", placeholder="size=64, diverged, …", autocomplete="off"),
            ),
            tag("output", f"{len(rows)} runs", id="runs-count", for_="runs-filter", aria_live="polite"),
            download,
            class_="tools",
        ),
        tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="Table of runs"),
        id="runs",
    )


def _run_columns(evidence: Evidence) -> list[tuple[str, str, bool]]:
    """(header, column, is a number); columns in which nothing differs from empty are left out."""
    every = [
        ("Run", "run", False),
        ("Arm", "arm", False),
        ("Rung", "rung", False),
        ("Status", "status", False),
        ("N", "params_non_embedding", True),
        ("N in all", "params_total", True),
        ("Tokens", "tokens", True),
        ("Compute", "flops", True),
        ("Rate", "learning_rate", True),
        ("Loss", "loss", True),
        ("Bits/byte", "bits_per_byte", True),
        ("Accuracy", "accuracy", True),
        ("Time", "seconds", True),
        ("A step", "seconds_per_step", True),
        ("An epoch", "seconds_per_epoch", True),
        ("Memory", "peak_memory_bytes", True),
        ("Tokens/s", "tokens_per_second", True),
        ("Speed", "flops_per_second", True),
    ]
    everything = [*evidence.rows, *evidence.missing]
    return [
        item
        for item in every
        if item[1] in ("run", "rung", "status") or any(row.get(item[1]) not in (None, "") for row in everything)
    ]


def _run_row(row: Mapping[str, Any], columns: Sequence[tuple[str, str, bool]]) -> Html:
    cells = []
    for _, column, is_number in columns:
        value = row.get(column)
        if is_number:
            exact = number(value)
            cells.append(
                tag("td", _run_cell(column, value), class_="right", data_value=repr(exact) if exact is not None else "")
            )
        elif column == "run":
            cells.append(tag("td", tag("code", str(value or ""))))
        elif column == "rung":
            cells.append(tag("td", tables.readable(value)))
        elif column == "status":
            state = str(value or "")
            cells.append(
                tag(
                    "td",
                    state + (", held out" if row.get("held_out") else ""),
                    title=str(row.get("reason") or "") or None,
                )
            )
        else:
            cells.append(tag("td", str(value if value is not None else "")))
    status = str(row.get("status") or "")
    return tag("tr", cells, class_={"finished": None, "diverged": "bad", "failed": "bad"}.get(status, "faint"))


def _run_cell(column: str, value: Any) -> str:
    if column in ("params_non_embedding", "params_total", "tokens", "tokens_per_second"):
        return tables.count(value)
    if column == "flops":
        return tables.flops(value)
    if column == "flops_per_second":
        return tables.flop_rate(value)
    if column == "seconds_per_step":
        milliseconds = number(value)
        return tables.DASH if milliseconds is None else f"{tables.general(1000 * milliseconds, 3)} ms"
    if column.startswith("seconds"):
        return tables.seconds(value)
    if column == "peak_memory_bytes":
        return tables.memory(value)
    if column == "accuracy":
        return tables.percent(value)
    return tables.loss(value) if column in ("loss", "bits_per_byte") else tables.general(value)


def _repeat(evidence: Evidence) -> Html:
    study = evidence.study
    command = str(study.get("command") or "")
    return tag(
        "section",
        tag("h2", "How to repeat it"),
        tag("pre", tag("code", command)) if command else None,
        _facts(words.repeat_facts(evidence), "plain"),
        _table(words.corpora_table(evidence)) if study.get("corpora") else None,
        tag(
            "p",
            "Beside this page: ",
            tag("code", "report.md"),
            ", ",
            tag("code", "observations.csv"),
            " (the table that the fit reads), ",
            tag("code", "fits/"),
            " (every answer as JSON) and ",
            tag("code", "figures/"),
            " (each chart as PNG and SVG).",
            class_="after",
        ),
        id="repeat",
    )


def _left_out(evidence: Evidence) -> Html:
    """As words.left_out_table says it, long lists of runs folded away."""
    table = words.left_out_table(evidence)
    rows = []
    for group, row in zip(evidence.left_out, table.rows, strict=True):
        which = [tag("li", tag("code", run), f" {tables.readable(rung)}") for run, rung in group.runs]
        listed: Html = tag("ul", which, class_="list")
        if len(which) > 4:
            listed = tag("details", tag("summary", f"{len(which)} runs"), listed)
        cells = [
            tag("td", cell, class_="right" if index in table.right else None) for index, cell in enumerate(row[:-1])
        ]
        rows.append(tag("tr", cells, tag("td", listed)))
    head = [
        tag("th", name, scope="col", class_="right" if index in table.right else None)
        for index, name in enumerate(table.header)
    ]
    inner = tag(
        "table", tag("caption", table.title, class_="hidden"), tag("thead", tag("tr", head)), tag("tbody", rows)
    )
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=table.title)


def _not_drawn(answer: Mapping[str, Any]) -> Html | None:
    if not answer.get("fit") or law_curve(answer):
        return None
    sentence = f"Its law, {answer['fit'].get('law')}, is not on the machine that wrote this page."
    return _notice("The law was fitted but cannot be drawn here", [sentence], "progress")


def _own_charts(answer: Mapping[str, Any], drawn: Sequence[Chart]) -> list[Chart]:
    return [chart for chart in drawn if chart.kind == "law" and chart.question == answer["question"]["name"]]


def _charts(drawn: Sequence[Chart], *, heading: bool = True) -> Html | None:
    if not drawn:
        return None
    return tag("div", [_chart(chart, heading=heading) for chart in drawn], class_="charts")


def _chart(chart: Chart, *, heading: bool) -> Html:
    return tag(
        "figure",
        tag("h3", chart.title) if heading else None,
        tag("div", class_="plot", data_chart=chart.name, role="group", aria_label=chart.alt),
        tag("noscript", tag("p", f"This chart needs scripts; the same one is in figures/{chart.name}.svg.")),
        tag("figcaption", _powers(chart.caption)),
        class_="wide" if chart.is_wide else None,
        id=f"chart-{chart.name}",
    )


def _notice(title: str, sentences: Sequence[str], kind: str) -> Html:
    inner = (
        tag("p", sentences[0]) if len(sentences) == 1 else tag("ul", [tag("li", sentence) for sentence in sentences])
    )
    return tag("div", tag("h2", title), inner, class_=f"notice {kind}", role="note")


def _facts(facts: Sequence[tuple[str, str]], kind: str) -> Html | None:
    if not facts:
        return None
    entries = [tag("div", tag("dt", name), tag("dd", _powers(text))) for name, text in facts]
    return tag("dl", entries, class_=f"facts {kind}")


def _table(table: Table) -> Html:
    def side(index: int) -> str | None:
        return "right" if index in table.right else None

    return tag(
        "div",
        tag(
            "table",
            tag("caption", table.title, class_="hidden"),
            tag(
                "thead",
                tag(
                    "tr", [tag("th", name, scope="col", class_=side(index)) for index, name in enumerate(table.header)]
                ),
            ),
            tag(
                "tbody",
                [
                    tag("tr", [tag("td", _powers(cell), class_=side(index)) for index, cell in enumerate(row)])
                    for row in table.rows
                ],
            ),
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=table.title,
    )


def _powers(text: str) -> Html:
    """N^-0.38 with its power raised; the caret stays in the text, so that a copy of it still says what it said."""
    parts: list[Any] = []
    end = 0
    for found in re.finditer(r"\^([-−]?(?:[0-9.]*[0-9]|[a-zA-Zα-ω]+))", text):
        parts += [text[end : found.start()], tag("span", "^", class_="caret"), tag("sup", found[1])]
        end = found.end()
    return join(parts, text[end:])


def _folded(table: Table, most: int = 16) -> Html:
    """A long table behind a line that opens it."""
    if len(table.rows) <= most:
        return _table(table)
    return tag("details", tag("summary", f"{len(table.rows)} rows"), _table(table))


def _version(study: Mapping[str, Any]) -> str:
    return str((study.get("versions") or {}).get("lawful") or "")


def _asset(name: str) -> str:
    return (resources.files("lawful.report") / name).read_text(encoding="utf-8")
