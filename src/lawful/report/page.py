"""One self-contained page for a study, with report.md and the figures beside it: the answer first, then the doubts."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lawful.errors import MissingDependency
from lawful.report import answer_tables, parts, rates, study_tables, tables, truth, words
from lawful.report.arms import arm_charts
from lawful.report.calculator import calculator, has_calculator
from lawful.report.campaign import TITLE as CAMPAIGN
from lawful.report.campaign import campaign_chart, campaign_section
from lawful.report.charts import Chart
from lawful.report.evidence import Evidence, read_evidence
from lawful.report.figures import write_figures
from lawful.report.gallery import gallery, together
from lawful.report.markdown import markdown
from lawful.report.markup import Html, join, tag
from lawful.report.page_law import MOST_RESIDUALS, all_arms, law, law_heading, learned, other_questions, own_charts
from lawful.report.rests_on import rests_on
from lawful.report.runs import MOST_LISTED, only_some, runs
from lawful.report.table import Table
from lawful.report.truth_chart import truth_chart
from lawful.schema import Cell, Warning
from lawful.storage.atomic import write_bytes, write_text
from lawful.storage.layout import Store

log = logging.getLogger(__name__)

SEVERITY_NAMES = ("severe", "caution", "note")
PUBLISHED = "Published by lawful"  # how the footer begins of a page that left its folder


def write_report(folder: Path) -> Path:
    """Write report.html, report.md and figures/ of a study's folder; the path of the page.

    Reads only the folder. Every file is written whole or not at all. Raises StoreError where the folder holds no study.
    """
    here = Store(folder)
    evidence = read_evidence(here.folder)
    drawn = all_charts(evidence)
    try:
        write_figures(drawn, here.figures)
    except MissingDependency as error:  # the page has its charts all the same
        log.warning("%s was not written: %s", here.figures, error)
    for content in itertools.chain(*evidence.plugin_contents.values()):
        for name, data in content.figures.items():
            write_bytes(here.figures / name, data)
    write_text(here.report_markdown, markdown(evidence, drawn))
    write_text(here.report, page(evidence, drawn))
    return here.report


def all_charts(evidence: Evidence) -> list[Chart]:
    """Every chart; of two that show the arms along one axis, the one with their laws' bands."""
    with_laws = arm_charts(evidence)
    known = {chart.x for chart in with_laws}
    single = [chart for chart in (truth_chart(evidence), campaign_chart(evidence)) if chart]
    drawn = [
        *single,
        *with_laws,
        *(chart for chart in gallery(evidence) if chart.kind != "arms" or chart.x not in known),
    ]
    return together(evidence, drawn)


def page(evidence: Evidence, drawn: Sequence[Chart], *, live: Html | None = None) -> str:
    """The whole document: the answer, the law and its forecast, the doubts, what they rest on, how to repeat it."""
    study = evidence.study
    lead = leading_chart(evidence, drawn)
    rest = [chart for chart in drawn if chart is not lead]
    sections = [
        _answer(evidence, lead),
        _truth(evidence),
        law(evidence, rest),
        *other_questions(evidence, rest),
        all_arms(evidence),
        campaign_section(evidence, drawn),
        calculator(evidence),
        _doubts(evidence),
        *(content.html for content in evidence.plugin_contents["doubts"]),
        _rates(evidence),
        learned(evidence),
        *(content.html for content in evidence.plugin_contents["baselines"]),
        _training(evidence, drawn),
        *([runs(evidence), _repeat(evidence)] if evidence.runs else [_rows(evidence), _again(evidence)]),
    ]
    return parts.document(
        f"{study.name}: {study.question}",
        words.headline(evidence),
        [section for section in sections if section],
        drawn,
        _footer(evidence),
        live=live,
    )


def _footer(evidence: Evidence) -> str:
    study = evidence.study
    if evidence.shared_table is not None:
        return f"{PUBLISHED} {study.versions.lawful}."
    return f"Written by lawful {study.versions.lawful} from {evidence.folder.name if evidence.runs else study.name}."


def leading_chart(evidence: Evidence, drawn: Sequence[Chart]) -> Chart | None:
    """The one chart that shows the answer: it leads the page."""
    if not evidence.answers:
        return next((chart for chart in drawn if chart.kind not in ("training", "residuals", "campaign")), None)
    planted = next((chart for chart in drawn if chart.kind == "truth"), None)
    if planted is not None:
        return planted
    answer = evidence.answers[0]
    own = own_charts(answer, drawn)
    others = [chart for kind in ("arms", "runs") for chart in drawn if chart.kind == kind]
    return next(iter([*own, *others] if answer.fit is None else own), None)


def finding_as_title(lead: Chart, evidence: Evidence) -> Chart:
    """The leading chart as it stands alone, in a paper or on a slide: under what was found."""
    return replace(lead, title=words.headline(evidence) or lead.title)


def _answer(evidence: Evidence, lead: Chart | None) -> Html:
    """The first screen: the question, the headline, what it rests on, the chart that shows it."""
    study = evidence.study
    refused = bool(evidence.answers) and evidence.answers[0].status == "refused"
    progress = words.progress_sentence(evidence)
    failed = words.failed_sentences(evidence)
    faults = list(study.faults)
    severe = words.severe_in_short(evidence)
    rests = rests_on(evidence, is_short=True)
    return tag(
        "section",
        tag(
            "p",
            tag("span", study.name, class_="name"),
            tag("span", words.how_many_runs(evidence)) if evidence.missing or not rests else None,
            tag("span", words.scale_of(study)) if study.scale else None,
            tag("span", study.created[:10], class_="date") if study.created else None,
            class_="eyebrow",
        ),
        tag("p", study.question, class_="question"),
        tag("h1", parts.unbroken(words.headline(evidence)), class_="refused" if refused else None),
        tag("p", parts.unbroken(said), class_="basis") if (said := words.basis(evidence)) else None,
        tag("p", parts.unbroken(rests), class_="basis rests") if rests else None,
        parts.notice("The study is not finished", [progress], "progress") if progress else None,
        tag("div", parts.chart(lead, has_caption=False), class_="charts lead") if lead else None,
        parts.facts(words.first_facts(evidence), "first"),
        tag("p", parts.powers(lead.caption), class_="note under") if lead else None,
        _also_asked(evidence),
        parts.facts(words.key_facts(evidence), "key"),
        parts.notice("Runs failed", failed, "faults") if failed else None,
        parts.notice("What is wrong with this as evidence", faults, "faults") if faults else None,
        parts.notice("Severe doubts", severe, "faults") if severe else None,
        _navigation(evidence),
        id="answer",
    )


def _rows(evidence: Evidence) -> Html:
    """The rows of a table that no study made."""
    names = [name for name in dict.fromkeys(name for row in evidence.rows for name in row) if name != "status"]
    listed = evidence.rows[:MOST_LISTED]
    rows = [tuple(_plain(row.get(name, "")) for name in names) for row in listed]
    numeric = tuple(i for i, name in enumerate(names) if all(_is_number(row.get(name)) for row in evidence.rows))
    table = Table(title="Every row of the table", header=tuple(names), rows=rows, right=numeric)
    runs_of = [str(row.get("run") or "") for row in listed]
    some = only_some(len(listed), len(evidence.rows))
    return tag("section", tag("h2", "Runs"), some, parts.table(table, runs=runs_of), id="runs")


def _plain(cell: Cell) -> str:
    """A whole number without its point: a column of counts is read as floats."""
    return f"{cell:.0f}" if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15 else str(cell)


def _is_number(cell: Cell) -> bool:
    return tables.number(cell) is not None


def _again(evidence: Evidence) -> Html:
    facts = [("Versions", f"lawful {evidence.study.versions.lawful}")]
    facts += [
        ("Fit", f"seed {one.fit.seed}, table {one.fit.data.sha256[:16]}") for one in evidence.fitted[:1] if one.fit
    ]
    command = evidence.study.command
    return tag(
        "section",
        tag("h2", "How to repeat it"),
        tag("pre", tag("code", command)) if command else None,
        parts.facts(facts, "plain"),
        id="repeat",
    )


def _also_asked(evidence: Evidence) -> Html | None:
    """The headlines of a study's other questions."""
    others = [one for one in evidence.answers[1:] if not evidence.parent(one)]
    if not others:
        return None
    said = [(one.question.asks or one.name, one.headline, f"#question-{one.name}") for one in others]
    items = [tag("li", tag("a", asks, href=place), " ", parts.powers(text)) for asks, text, place in said]
    return tag("div", tag("h2", "Also asked"), tag("ul", items), class_="also")


def _navigation(evidence: Evidence) -> Html:
    entries = [("#truth", truth.TITLE)] if truth.truth_table(evidence) else []
    entries += [("#law", law_heading(evidence))] if evidence.rows else []
    entries += [
        (f"#question-{answer.name}", words.question_name(answer.name))
        for answer in evidence.answers[1:]
        if not evidence.parent(answer)
    ]
    entries += [("#campaign", CAMPAIGN)] if evidence.campaign else []
    entries += [("#calculator", "Calculator")] if has_calculator(evidence) else []
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
    return tag("section", tag("h2", truth.TITLE), sentence, parts.table(table), id="truth")


def _doubts(evidence: Evidence) -> Html:
    """Warnings, what was left out, and how the answer moves when the analysis does."""
    made: list[Html | None] = [tag("h2", "Doubts")]
    if evidence.warnings:
        made.append(tag("ul", [_warning(alike) for alike in words.alike(evidence.warnings)], class_="warnings"))
    else:
        made.append(tag("p", "No warning was raised by the design or the fit."))
    made.append(tag("h3", "What was left out, and why"))
    if evidence.left_out:
        made.append(_left_out(evidence))
    elif evidence.fitted:
        made.append(tag("p", "Nothing: every run that finished and was not held out is in the fit."))
    else:
        made.append(tag("p", "Nothing was left out; nothing was fitted either."))
    leading = evidence.fitted[0] if evidence.fitted else None
    sensitivity = answer_tables.sensitivity_tables(leading.fit) if leading and leading.fit else []
    if leading and sensitivity:
        about = f" ({words.question_name(leading.name)})" if len(evidence.fitted) > 1 else ""
        made.append(tag("h3", f"How the answer moves when the analysis does{about}"))
        made += [join(tag("h4", table.title), parts.table(table)) for table in sensitivity]
    also = answer_tables.also_table(leading, leading.fit) if leading and leading.fit else None
    if also:
        made.append(parts.titled(also))
    return tag("section", made, id="doubts")


def _warning(alike: Sequence[Warning]) -> Html:
    """One code's warnings: the first, and the others folded away."""
    first, *others = alike
    name = SEVERITY_NAMES[first.rank]
    more = None
    if others:
        listed = [tag("li", f"{one.sentence} ({one.about})") for one in others]
        more = tag("details", tag("summary", f"{len(others)} more like it"), tag("ul", listed))
    return tag(
        "li",
        tag("span", name, class_=f"badge {name}"),
        tag(
            "div",
            tag("p", first.sentence),
            tag("p", tag("code", first.code), f" · {first.about}", class_="note"),
            more,
        ),
    )


def _training(evidence: Evidence, drawn: Sequence[Chart]) -> Html | None:
    """How every run trained, and what each law left over."""
    curves = [chart for chart in drawn if chart.kind == "training"]
    residuals = [chart for chart in drawn if chart.kind == "residuals"]
    if not curves and not residuals:
        return None
    left_over = parts.charts(residuals)
    if left_over and len(residuals) > MOST_RESIDUALS:
        left_over = tag("details", tag("summary", f"Residuals of {len(residuals)} laws"), left_over)
    collapsed = [
        tag("div", tag("p", sentence), tag("details", tag("summary", "By size"), parts.table(table)), class_="after")
        for sentence, table in study_tables.collapse_tables(evidence)
    ]
    return tag(
        "section",
        tag("h2", "Training and residuals" if curves and residuals else "Training" if curves else "Residuals"),
        parts.charts(curves, heading=bool(residuals)),
        collapsed,
        left_over,
        id="training",
    )


def _repeat(evidence: Evidence) -> Html:
    study = evidence.study
    command = study.command
    return tag(
        "section",
        tag("h2", "How to repeat it"),
        tag("pre", tag("code", command)) if command else None,
        parts.facts(study_tables.repeat_facts(evidence), "plain"),
        parts.folded(study_tables.corpora_table(evidence), least=8) if study.corpora else None,
        _beside_the_page(is_shared=evidence.shared_table is not None),
        id="repeat",
    )


def _beside_the_page(*, is_shared: bool) -> Html:
    """Which files lie in the page's folder; of a published page, fewer."""
    files = {
        "report.md": None,
        "observations.csv": "the table that the fit reads",
        "fits/": "every answer as JSON",
        "figures/": "each chart as PNG and SVG",
        "cite.bib": "how to cite it",
    }
    for name in ("report.md", "fits/") if is_shared else ("cite.bib",):
        del files[name]
    named = [join(tag("code", name), f" ({about})" if about else None) for name, about in files.items()]
    listed = [join(one, ", ") for one in named[:-1]]
    return tag("p", "Beside this page: ", listed, "and ", named[-1], ".", class_="after")


def _rates(evidence: Evidence) -> Html | None:
    found = rates.rates(evidence)
    if found is None:
        return None
    sentence, shown = found
    lede = tag("p", sentence, class_="lede")
    return tag("section", tag("h2", rates.TITLE), lede, *map(parts.table, shown), id="rates")


def _left_out(evidence: Evidence) -> Html:
    """As study_tables.left_out_table says it, long lists of runs folded away."""
    table = study_tables.left_out_table(evidence)
    rows = []
    for group, row in zip(evidence.left_out, table.rows, strict=True):
        which = [tag("li", tag("code", run), f" {tables.readable(rung)}") for run, rung in group.runs]
        listed: Html = tag("ul", which, class_="list")
        if len(which) > 3:
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
    return tag("div", inner, class_="scroll", tabindex="0", role="group", aria_label=table.title)
