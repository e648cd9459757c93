"""report.md: the same answer, doubts and numbers as the page, for a terminal, a pull request or a lab notebook."""

from __future__ import annotations

from collections.abc import Sequence

from lawful.report import answer_tables, arms, campaign, rates, study_tables, tables, truth, words
from lawful.report.charts import Chart
from lawful.report.evidence import Evidence
from lawful.report.rests_on import rests_on
from lawful.report.table import Table
from lawful.report.tables import markdown_text

SEVERITY_NAMES = ("severe", "caution", "note")


def markdown(evidence: Evidence, drawn: Sequence[Chart]) -> str:
    """The whole document; figures are linked by their relative paths."""
    study = evidence.study
    parts = [f"# {markdown_text(study.name)}", f"*{markdown_text(study.question)}*"]
    parts += [f"**{markdown_text(words.headline(evidence))}**", markdown_text(words.basis(evidence))]
    if progress := words.progress_sentence(evidence):
        parts.append(markdown_text(f"The study is not finished: {progress}"))
    if failed := words.failed_sentences(evidence):
        parts += ["## Runs failed", _bullets(failed)]
    if study.faults:
        parts += ["## What is wrong with this as evidence", _bullets(study.faults)]
    if severe := words.severe_doubts(evidence):
        parts += ["## Severe doubts", _bullets(severe)]
    if rests := rests_on(evidence, is_short=True):
        parts.append(markdown_text(rests))
    parts.append(_facts([*words.first_facts(evidence), *words.key_facts(evidence)]))
    if known := truth.truth_table(evidence):
        parts += [f"## {truth.TITLE}", truth.truth_sentence(evidence), _table(known)]
        parts += _pictures([chart for chart in drawn if chart.kind == "truth"])
    for index, answer in enumerate(evidence.answers):
        parts.append(f"## {markdown_text(answer.question.asks or answer.name)}")
        if index:
            parts.append(f"**{markdown_text(answer.headline)}**")
        parts.append(markdown_text(words.answer_sentence(answer)))
        parts += _pictures([chart for chart in drawn if chart.kind == "law" and chart.question == answer.name])
        if answer.fit:
            parts.append(_table(answer_tables.parameters_table(answer, answer.fit)))
            parts.append(_facts(answer_tables.fit_facts(answer, answer.fit)))
        for table in arms.arm_tables(answer):
            parts += [f"### {markdown_text(table.title)}", _table(table)]
        parts.append(markdown_text(words.comparison_sentence(answer)))
        for table in answer_tables.comparison_tables(answer):
            parts += [f"### {markdown_text(table.title)}", _table(table)]
        if answer.held_out:
            parts += ["### The held-out forecast, and what came", words.held_out_registered(evidence, answer)]
            parts.append(_table(answer_tables.held_out_table(evidence, answer)))
        if answer.added:
            parts += [f"### {words.ADDED_TITLE}", words.added_runs(answer)]
            parts.append(_table(answer_tables.added_table(evidence, answer)))
    for waiting in evidence.unanswered:
        parts += [f"## {markdown_text(waiting.asks or waiting.name)}", "Not fitted yet."]
    if said := arms.in_words(evidence):
        parts += ["## In words", *(f"**{markdown_text(asks)}** {markdown_text(sentence)}" for asks, sentence in said)]
    for table in (arms.text_table(evidence), arms.reported_table(evidence), arms.counts_table(evidence)):
        if table.rows:
            parts += [f"## {markdown_text(table.title)}", _table(table)]
    parts += _pictures([chart for chart in drawn if chart.kind == "runs"])
    parts += _pictures([chart for chart in drawn if chart.kind == "arms"])
    if evidence.campaign:
        sentences = campaign.campaign_sentences(evidence.campaign, evidence.answers)
        parts += [f"## {campaign.TITLE}", *map(markdown_text, sentences)]
        parts += _pictures([chart for chart in drawn if chart.kind == "campaign"])
        parts.append(_table(campaign.campaign_table(evidence.campaign)))
    parts += _doubts(evidence)
    parts += (part for content in evidence.plugin_contents["doubts"] for part in content.markdown)
    if (about_rates := rates.rates(evidence)) is not None:
        parts += [f"## {rates.TITLE}", markdown_text(about_rates[0]), *map(_table, about_rates[1])]
    if evidence.baselines:
        parts += ["## Did the models learn more than counts?", words.baseline_sentence(evidence)]
        parts.append(_table(study_tables.baselines_table(evidence)))
    parts += (part for content in evidence.plugin_contents["baselines"] for part in content.markdown)
    if curves := _pictures([chart for chart in drawn if chart.kind == "training"]):
        parts += ["## Training", *curves]
        for sentence, table in study_tables.collapse_tables(evidence):
            parts += [sentence, _table(table)]
    if residuals := _pictures([chart for chart in drawn if chart.kind == "residuals"]):
        parts += ["## Residuals", *residuals]
    parts += ["## Runs", _table(_runs(evidence)), "## How to repeat it"]
    if study.command:
        parts.append(f"```\n{study.command.replace('```', '')}\n```")
    parts += [_facts(study_tables.repeat_facts(evidence))]
    if study.corpora:
        parts.append(_table(study_tables.corpora_table(evidence)))
    return tables.printable("\n\n".join(part for part in parts if part) + "\n")


def _doubts(evidence: Evidence) -> list[str]:
    parts = ["## Doubts"]
    warnings = evidence.warnings
    if warnings:
        lines = [f"{SEVERITY_NAMES[item.rank]} ({item.code}): {item.sentence}" for item in warnings]
        parts.append(_bullets(lines))
    else:
        parts.append("No warning was raised by the design or the fit.")
    excluded = study_tables.left_out_table(evidence)
    if excluded.rows:
        parts += ["### What was left out, and why", _table(excluded)]
    for answer, fit in ((answer, answer.fit) for answer in evidence.fitted[:1] if answer.fit):
        for table in answer_tables.sensitivity_tables(fit):
            parts += [f"### {markdown_text(table.title)}", _table(table)]
        if also := answer_tables.also_table(answer, fit):
            parts += [f"### {markdown_text(also.title)}", _table(also)]
    return parts


def _runs(evidence: Evidence) -> Table:
    rows = [
        (
            str(row.get("run") or ""),
            tables.readable(row.get("rung")),
            str(row.get("status") or "") + (", held out" if row.get("held_out") else ""),
            tables.count(row.get("params_non_embedding")),
            tables.count(row.get("tokens")),
            tables.flops(row.get("flops")),
            tables.loss(row.get("loss")),
        )
        for row in evidence.rows
    ]
    return Table(
        title="Runs", header=("Run", "Rung", "Status", "N", "Tokens", "Compute", "Loss"), rows=rows, right=(3, 4, 5, 6)
    )


def _pictures(drawn: Sequence[Chart]) -> list[str]:
    return [
        f"![{markdown_text(chart.alt)}](figures/{chart.name}.png)\n\n*{markdown_text(chart.caption)}*"
        for chart in drawn
    ]


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"- {markdown_text(name)}: {markdown_text(text)}" for name, text in facts)


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {markdown_text(sentence)}" for sentence in sentences)


def _table(table: Table) -> str:
    return tables.markdown_table(table.header, table.rows, right=table.right)
