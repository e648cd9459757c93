"""The part of the page about laws: each question with its fit, its held-out runs and its arms."""

from __future__ import annotations

from collections.abc import Sequence

from lawful.fitting.answers import Answer
from lawful.report import answer_tables, arms, parts, study_tables, words
from lawful.report.arms import arm_tables
from lawful.report.charts import Chart
from lawful.report.evidence import Evidence
from lawful.report.law_curve import law_curve
from lawful.report.markup import Html, join, tag

MOST_RESIDUALS = 4  # charts of residuals that are shown; more are folded away


def law_heading(evidence: Evidence) -> str:
    if not evidence.answers:
        return "The runs"
    answer = evidence.answers[0]
    return "The law" if answer.fit else "The arms" if answer.comparison else "No law is claimed"


def law(evidence: Evidence, drawn: Sequence[Chart]) -> Html | None:
    """The first question's law, or what its arms differ in."""
    if not evidence.answers:
        alone = [chart for chart in drawn if chart.kind not in ("training", "residuals")]
        if not evidence.rows:
            return None
        return tag("section", tag("h2", law_heading(evidence)), parts.charts(alone), id="law")
    answer = evidence.answers[0]
    own = own_charts(answer, drawn)
    extra = [chart for chart in drawn if chart.kind == "arms"]
    if not answer.fit:
        own = own or [chart for chart in drawn if chart.kind == "runs"]
    asks = answer.question.asks
    return tag(
        "section",
        tag("h2", law_heading(evidence)),
        tag("p", asks, class_="lede") if asks != evidence.study.question else None,
        tag("p", parts.powers(words.answer_sentence(answer)), class_="lede full"),
        _not_drawn(answer),
        parts.charts([*extra, *own[:1]]),
        _fit(answer),
        _compared(answer),
        parts.charts(own[1:]),
        _held_out(evidence, answer),
        _each_arm(evidence, answer, drawn),
        id="law",
    )


def other_questions(evidence: Evidence, drawn: Sequence[Chart]) -> list[Html]:
    made = []
    for answer in evidence.answers[1:]:
        if evidence.parent(answer):
            continue
        made.append(
            tag(
                "section",
                tag("h2", answer.question.asks or answer.name),
                _sentence(answer),
                parts.charts(own_charts(answer, drawn)),
                _fit(answer),
                _compared(answer),
                _held_out(evidence, answer),
                _each_arm(evidence, answer, drawn),
                id=f"question-{answer.name}",
            )
        )
    for waiting in evidence.unanswered:
        if evidence.rows:
            made.append(
                tag(
                    "section",
                    tag("h2", waiting.asks or waiting.name),
                    tag("p", "Not fitted yet.", class_="lede"),
                    id=f"question-{waiting.name}",
                )
            )
    return made


def _each_arm(evidence: Evidence, answer: Answer, drawn: Sequence[Chart]) -> Html | None:
    """The law of each arm of a comparison, folded away under the arm's name."""
    made = [
        tag(
            "details",
            tag("summary", f"The law of {words.arm_of(own)} alone"),
            _sentence(own),
            parts.charts(own_charts(own, drawn)),
            _fit(own),
            class_="arm",
            id=f"question-{own.name}",
        )
        for own in evidence.arms_of(answer)
    ]
    return tag("div", made, class_="each") if made else None


def _sentence(answer: Answer) -> Html:
    refused = " refused" if answer.status == "refused" else ""
    return tag("p", parts.powers(words.answer_sentence(answer)), class_=f"lede sentence{refused}")


def _fit(answer: Answer) -> Html | None:
    if answer.fit is None:
        return None
    return tag(
        "div",
        tag(
            "div",
            tag("h3", "Fitted parameters"),
            parts.table(answer_tables.parameters_table(answer, answer.fit)),
            tag(
                "p",
                "L = ",
                tag("span", parts.powers(words.fit_formula(answer.fit)), class_="formula"),
                class_="note",
            ),
        ),
        tag("div", tag("h3", "How it was fitted"), parts.facts(answer_tables.fit_facts(answer, answer.fit), "plain")),
        class_="columns",
    )


def _compared(answer: Answer) -> Html | None:
    """Where the arms cross, then in what they differ: the verdict in words where the answer's sentence has only the
    crossings, and the tables."""
    verdict = words.comparison_sentence(answer)
    crossings, found = arm_tables(answer), answer_tables.comparison_tables(answer)
    if not (crossings or found):
        return None
    return join(
        [parts.titled(table) for table in crossings],
        tag("p", parts.powers(verdict), class_="after") if verdict else None,
        [parts.titled(table) for table in found],
    )


def _held_out(evidence: Evidence, answer: Answer) -> Html | None:
    """The forecasts of all arms of a comparison, in one table."""
    both = (answer, *evidence.arms_of(answer))
    asked, added = [one for one in both if one.held_out], [one for one in both if one.added]
    if not asked and not added:
        return None
    later = [
        tag("h3", words.ADDED_TITLE),
        tag("p", words.added_runs(*added)),
        parts.folded(answer_tables.added_table(evidence, *added)),
    ]
    if not asked:
        return join(later)
    return join(
        tag("h3", "The held-out forecast, and what came"),
        tag(
            "p",
            f"Mean absolute error {words.held_out_summary(*asked)}. {words.held_out_registered(evidence, *asked)}",
        ),
        parts.folded(answer_tables.held_out_table(evidence, *asked)),
        later if added else None,
    )


def all_arms(evidence: Evidence) -> Html | None:
    """The arms of the whole study: the answers one after another, every cell of the ladder, others' figures beside."""
    found = [arms.text_table(evidence), arms.reported_table(evidence), arms.counts_table(evidence)]
    said = arms.in_words(evidence)
    if not said and not any(table.rows for table in found):
        return None
    return tag(
        "section",
        tag("h2", "In words, and setting by setting" if said else "Setting by setting"),
        [tag("p", tag("b", asks), " ", parts.powers(sentence)) for asks, sentence in said],
        [parts.titled(table, folds=True) for table in found if table.rows],
        id="arms",
    )


def learned(evidence: Evidence) -> Html | None:
    if not evidence.baselines:
        return None
    return tag(
        "section",
        tag("h2", "Did the models learn more than counts?"),
        tag("p", words.baseline_sentence(evidence), class_="lede"),
        parts.table(study_tables.baselines_table(evidence)),
        id="baselines",
    )


def _not_drawn(answer: Answer) -> Html | None:
    if answer.fit is None or law_curve(answer):
        return None
    law = answer.fit.law
    sentence = f"Its law, {law}, is not one of lawful's own, and a report imports none unless it is named with --law."
    return parts.notice("The law was fitted but cannot be drawn here", [sentence], "progress")


def own_charts(answer: Answer, drawn: Sequence[Chart]) -> list[Chart]:
    return [chart for chart in drawn if chart.kind == "law" and chart.question == answer.name]
