"""On what an answer rests, in one line that adds up: how many runs were fitted, held out and left out, and why."""

from __future__ import annotations

from collections.abc import Sequence

from lawful.fitting.answers import Answer
from lawful.report import tables
from lawful.report.evidence import Evidence
from lawful.report.marks import levels_of, short_name
from lawful.report.tables import number
from lawful.schema import Observation
from lawful.tables.observations import OFF_LADDER, why_off_ladder

MOST_LEVELS = 12  # sizes or budgets that are counted: of more, their ends alone say enough
OTHER = "for other questions"


def rests_on(evidence: Evidence, *, is_short: bool = False) -> str:
    """As "24 runs: 20 fitted (2 variants, 5 sizes from 7.08k to 187k parameters, 2 seeds) and 4 held out at 440k
    parameters."

    Each run is counted once, of the runs planned, or of those that a table has. Empty without an answer. is_short:
    without the ends of what there are several of; a page says them below.
    """
    if not evidence.answers or evidence.answers[0].status == "refused":
        return ""
    answers = answers_together(evidence)
    rows = {_run(row, place): row for place, row in enumerate((*evidence.rows, *evidence.former))}
    runs = list(dict.fromkeys([*(planned.run for planned in evidence.runs), *rows]))
    fitted = _fitted(evidence, answers)
    tested = {item.run for answer in answers for item in answer.held_out}
    reasons = {item.run: item.reason for answer in reversed(answers) for item in answer.excluded}
    groups: dict[str, list[str]] = {"fitted": [], "held out": []}
    for run in runs:
        row = rows.get(run)
        kind = "fitted" if run in fitted else "held out" if run in tested else _why_not(row, reasons.get(run))
        groups.setdefault(kind, []).append(run)
    parts = [
        _part(kind, [rows[run] for run in of_kind if run in rows], len(of_kind), evidence.answers[0], is_short=is_short)
        for kind, of_kind in groups.items()
        if of_kind
    ]
    return f"{tables.many(len(runs), 'run')}: {_joined(parts)}."


def answers_together(evidence: Evidence) -> list[Answer]:
    """Those that the headline speaks of: the first and its arms; of planted values all."""
    first = evidence.answers[0]
    if any(answer.truth for answer in evidence.answers):
        return list(evidence.answers)
    own = evidence.arms_of(first)
    arms = first.comparison.arms if first.comparison else ()
    return [first, *(own or [one for one in evidence.answers if one.arm in arms])]


def _fitted(evidence: Evidence, answers: Sequence[Answer]) -> set[str]:
    """The runs that a law of these was fitted to; where none was, those that the answer compares."""
    used = {row.run for answer in answers if answer.fit for row in answer.fit.residuals}
    if used:
        return used
    left_out = {item.run for answer in answers for item in answer.excluded}
    compared = [row for row in evidence.finished if not row.get("held_out")]
    return {str(row.get("run")) for row in compared} - left_out


def _run(row: Observation, place: int) -> str:
    return str(row.get("run") or f"row {place}")


def _why_not(row: Observation | None, reason: str | None) -> str:
    """In few words, why a run is neither fitted nor forecast."""
    if row is None:
        return "still to come"
    if (status := str(row.get("status") or "finished")) != "finished":
        return status
    if row.get("left_plan"):
        return "no longer in the plan"
    if row.get("held_out"):
        return "held out of another question"
    reason = reason or why_off_ladder(row)
    if reason is None or " is not " in reason or " is none of " in reason:  # the question asks for others
        return OTHER
    if reason == OFF_LADDER["bracket"]:
        return "at other learning rates"
    return f"left out ({reason.replace(' (', ', ').replace(')', '')})"


def _part(kind: str, rows: Sequence[Observation], count: int, answer: Answer, *, is_short: bool) -> str:
    if kind == "fitted":
        span, groups = _span(rows, answer, is_short=is_short), _groups(answer, count, is_short=is_short)
        said = "; ".join(part for part in (span, groups) if part)
        return f"{count} fitted{f' ({said})' if said else ''}"
    if kind == "held out":
        ends = _ends([number(row.get(answer.question.params)) for row in rows])
        return f"{count} held out{f' at {ends} parameters' if ends else ''}"
    return f"{count} {kind.partition(' (')[0] if is_short else kind}"


def _span(rows: Sequence[Observation], answer: Answer, *, is_short: bool) -> str:
    """How many arms, sizes, budgets and seeds: only what there are several of."""
    question = answer.question
    arms = {str(row["arm"]) for row in rows if row.get("arm") not in (None, "")}
    parts = [f"{len(arms)} variants"] if len(arms) > 1 else []
    for axis, column, unit in (("params", question.params, "parameters"), ("tokens", question.tokens, "tokens")):
        values = [number(row.get(column)) for row in rows]
        if not any(values) and answer.fit:  # what a law reads may follow from other columns
            values = [one.axes.get(axis) for one in answer.fit.residuals]
        levels = levels_of(known, most=len(known)) if (known := [one for one in values if one and one > 0]) else []
        if len(levels) < 2:
            continue
        name = {"size": "sizes", "tokens": "training lengths"}.get(short_name(axis), short_name(axis))
        is_counted = len(levels) <= MOST_LEVELS
        if column == "unique_tokens":
            name, unit = "amounts of text", "tokens" if is_counted else "tokens of text"
        ends = "" if is_short and is_counted else f"{' from' * is_counted} {_ends(values)} {unit}"
        parts.append(f"{f'{len(levels)} {name}' if is_counted else ''}{ends}".strip())
    spent = {value for row in rows if (value := number(row.get(question.flops or "flops")))}
    if (
        question.flops != "seconds" and len(parts) == (len(arms) > 1) and 1 < len(spent) <= MOST_LEVELS
    ):  # of a table with neither sizes nor lengths
        parts.append(f"{len(spent)} amounts of compute")
    seeds = {row.get("seed") for row in rows if row.get("seed") not in (None, "")}
    return ", ".join([*parts, *([f"{len(seeds)} seeds"] if len(seeds) > 1 else [])])


def _ends(values: Sequence[float | None]) -> str:
    known = [one for one in values if one and one > 0]
    if not known:
        return ""
    low, high = min(known), max(known)
    return tables.count(high) if high <= low * 1.03 else f"{tables.count(low)} to {tables.count(high)}"


def _groups(answer: Answer, runs: int, *, is_short: bool) -> str:
    """What an independent group is, where there are fewer of them than runs."""
    of = answer.fit.goodness.clusters if answer.fit else answer.comparison.clusters if answer.comparison else runs
    if not 0 < of < runs or answer.truth:
        return ""
    return f"{of} independent groups" + ("" if is_short else ": runs that share noise count as one")


def _joined(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
