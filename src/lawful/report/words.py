"""The sentences and short facts that the page and report.md share, so that both give the same numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from lawful.costs import gpu_hours
from lawful.fitting.answers import Answer
from lawful.fitting.headline_fit import WIDE
from lawful.fitting.number_text import counted, factor, runs_counted, symbol_of
from lawful.fitting.records import HeldOut
from lawful.fitting.result import Fit
from lawful.report import tables
from lawful.report.evidence import Evidence
from lawful.report.marks import fitted_rows
from lawful.report.next_command import next_command
from lawful.report.rests_on import answers_together, rests_on
from lawful.report.tables import number
from lawful.schema import Observation, RunRecord, StudyPlan, Warning

KINDS = {
    "misfit": "a formula that does not fit",
    "not_identified": "a parameter that is not determined",
    "not_certified": "a fit without a certain optimum",
    "ridge": "parameters not determined one by one",
    "held_out_missed": "forecasts that missed",
}  # short names of severe doubts, by code
ABOUT_FORECASTS = ("fewer than promised", "the forecasts' 95 % intervals")  # how such a part of a basis ends, begins
FAILURES = 3  # reasons of failed runs that stand at the top


def headline(evidence: Evidence) -> str:
    """The answer as one can quote it: the first question's own, word for word; else why there is none yet."""
    if evidence.answers:
        return evidence.answers[0].headline
    if not evidence.rows:
        return "No run has finished yet, so there is no answer."
    done = len(evidence.finished)
    return f"No law has been fitted yet; {tables.many(done, 'run')} {'has' if done == 1 else 'have'} finished."


def answer_sentence(answer: Answer) -> str:
    if answer.sentence:
        return answer.sentence
    if answer.status == "refused":
        return f"No law is claimed. {answer.refusal or 'The fit was refused.'}"
    return "The question was fitted, but its answer has no sentence."


def comparison_sentence(answer: Answer) -> str:
    """In what the arms differ, where the answer's own sentence does not say it: empty otherwise."""
    sentence = answer.comparison.sentence if answer.comparison else ""
    return "" if sentence in answer_sentence(answer) else sentence


def question_name(name: str) -> str:
    """loss--gelu is loss, gelu."""
    return name.replace("--", ", ")


def arm_of(answer: Answer) -> str:
    return str(answer.question.where.get("arm") or question_name(answer.name))


def alike(warnings: Sequence[Warning]) -> list[list[Warning]]:
    """Warnings of one code and severity together, in the order of the first of each."""
    groups: dict[tuple[str, int], list[Warning]] = {}
    for warning in warnings:
        groups.setdefault((warning.code, warning.rank), []).append(warning)
    return list(groups.values())


def progress_sentence(evidence: Evidence) -> str | None:
    """Says so when a study is not done; None when it is."""
    total, missing = len(evidence.runs), len(evidence.missing)
    if not missing:
        return None
    return f"{total - missing} of {total} runs have ended; what stands here will change as the rest do."


def failed_sentences(evidence: Evidence) -> list[str]:
    """How many runs failed, and why; nothing where none did. One that diverged did not fail: that is a result."""
    reasons: dict[str, list[str]] = {}
    for row in evidence.rows:
        if row.get("status") == "failed":
            reasons.setdefault(str(row.get("reason") or "no reason recorded"), []).append(str(row.get("rung")))
    failed = sum(map(len, reasons.values()))
    if not failed:
        return []
    found = [f"{failed} of {len(evidence.runs)} runs failed and stand in no fit; `lawful resume` tries them again."]
    for reason, rungs in list(reasons.items())[:FAILURES]:
        others = f" and {len(rungs) - 1} more" if len(rungs) > 1 else ""
        found.append(f"{tables.readable(rungs[0])}{others}: {reason}")
    return found


def severe_doubts(evidence: Evidence) -> list[str]:
    """What a reader must know before believing the answer."""
    return [_with_question(evidence, warning) for warning in evidence.severe]


def severe_in_short(evidence: Evidence) -> list[str]:
    """Each kind of severe doubt once: its first, and how many more there are; all of them stand further below."""
    groups = alike(evidence.severe)
    return [
        _with_question(evidence, first) + (f" {len(others)} more like it below, under Doubts." if others else "")
        for first, *others in groups
    ]


def _with_question(evidence: Evidence, warning: Warning) -> str:
    asked = [answer.name for answer in evidence.answers if evidence.parent(answer) is None]
    whole = {"design", "runs", "fit", *(asked if len(asked) == 1 else [])}  # needs no name where one question is asked
    return ("" if warning.about in whole else f"{warning.about}: ") + warning.sentence


def first_facts(evidence: Evidence) -> list[tuple[str, str]]:
    """What stands under the chart: the forecast and what came, the severest doubt, and what to do next."""
    answer = evidence.answers[0] if evidence.answers else None
    facts = [("Forecast, and what came", _forecast_and_outcome(evidence, answer))] if answer else []
    own = [one.sentence for one in evidence.severe if answer and one.about in (answer.name, "fit")]
    others = [sentence for sentence in severe_doubts(evidence) if not sentence.endswith(tuple(own))]
    doubts = [*own, *evidence.study.faults, *failed_sentences(evidence)[:1], *others]
    if doubts:
        kinds = [_kind_of(evidence, one) for one in doubts[:2]]
        kind = kinds[-1] if kinds[0] != kinds[-1] else ""
        more = f" {len(doubts) - 1} more below{kind}." if len(doubts) > 1 else ""
        facts.append(("Severest doubt", _in_short(_plainly(evidence, doubts[0])) + more))
    elif answer and answer.status == "answered":
        lesser = sum(one.severity == "warning" for one in evidence.warnings)
        said = f"None is severe; {tables.many(lesser, 'caution')}, below." if lesser else "None found."
        facts.append(("Severest doubt", said))
    if answer and answer.next_step:
        command = next_command(evidence, answer)
        step = answer.next_step.replace("`", "")
        facts.append(
            ("Next", step.replace(", and look at the residuals.", ".") + f" Run: {command}" if command else step)
        )
    return facts


def _kind_of(evidence: Evidence, sentence: str) -> str:
    """The kind of a severe doubt, as `: kind`; empty if it is none of the severe ones."""
    code = next((one.code for one in evidence.severe if sentence.endswith(one.sentence)), "")
    return f": {KINDS.get(code, code.replace('_', ' ').replace('-', ' '))}" if code else ""


OPEN = re.compile(r"(?:(?P<arm>.+): )?(?P<name>\w+) \((?P<found>.+)\): this table does not determine it\.")


def _plainly(evidence: Evidence, doubt: str) -> str:
    """A doubt without the numbers of its test; of a parameter that is not determined, what that parameter is."""
    found = OPEN.fullmatch(doubt)
    if found is None or not evidence.answers:
        return re.sub(r" \([^()]*\bp [=≤<] [^()]*\)", "", doubt)
    fits = [one.fit for one in evidence.answers if one.fit]
    means = next((text for fit in fits if (text := fit.model.meaning.get(found["name"]))), "")
    what = f"the {means.partition(',')[0]} is not determined ({found['name']} " if means else f"{found['name']} ("
    what = f"{found['arm']}: {what}" if found["arm"] else what[0].upper() + what[1:]
    return f"{what}{found['found']})."


def basis(evidence: Evidence) -> str:
    """The interval of the headline; of a refusal, its reason in full. On how many runs it rests, says rests_on."""
    answer = evidence.answers[0] if evidence.answers else None
    if answer is None or answer.status == "refused":
        return answer.basis if answer else ""
    found = answer.comparison
    count = counted(answer.fit) if answer.fit else runs_counted(found.n, found.clusters) if found else ""
    said = answer.basis.removesuffix(count).removesuffix("fitted on ").rstrip("; ")
    # how many forecasts held, and how wide they are, stands under the chart
    return "; ".join(part for part in said.split("; ") if not part.endswith(ABOUT_FORECASTS[0])
                     and not part.startswith(ABOUT_FORECASTS[1]))  # fmt: skip


MOST_LETTERS = 200  # of a doubt on the first screen; the whole stands below


def _in_short(sentence: str) -> str:
    """The first sentence of a doubt; of a very long one, its beginning."""
    first = sentence.partition(". ")[0].rstrip(".") + "."
    return first if len(first) <= MOST_LETTERS else first[:MOST_LETTERS].rpartition(" ")[0] + " …"


def _forecast_and_outcome(evidence: Evidence, answer: Answer) -> str:
    items = held_out_of(*answers_together(evidence))
    if not items:
        held = {run.run for run in evidence.runs if run.held_out}
        if held and not held & {row.get("run") for row in evidence.rows}:
            return "The held-out runs are still to come."
        return "The held-out runs are of another question." if held else "No run was held out to test it."
    before = "before they began" if all(item.is_registered for item in items) else "from the other runs"
    inside = sum(item.is_inside for item in items)
    error = f"; mean error {tables.percent(sum(known) / len(known))}" if (known := errors_of(items)) else ""
    runs = len({item.run for item in items})
    what = tables.many(runs, "larger run" if _are_larger(evidence, answer) else "held-out run")
    forecast = f"{what} forecast" if runs == len(items) else f"{len(items)} forecasts of {what}, made"
    judged = ": fewer than promised" if inside < len(items) else ""
    ends = [item.interval for item in items if item.interval[0] > 0]
    widest = max((high / low for low, high in ends), default=1.0)
    if inside == len(items) and widest >= WIDE:
        judged = f", which span up to a factor of {factor(widest)}"
    return f"{forecast} {before}: {inside} of {len(items)} came inside their 95 % intervals{judged}{error}."


def _are_larger(evidence: Evidence, answer: Answer) -> bool:
    """Whether every held-out run has more parameters, or more tokens, than all others."""
    column = answer.question.params
    held = [number(row.get(column)) or 0.0 for row in evidence.finished if row.get("held_out")]
    others = [number(row.get(column)) or 0.0 for row in evidence.finished if not row.get("held_out")]
    return bool(held and others) and min(held) > max(others)


def key_facts(evidence: Evidence) -> list[tuple[str, str]]:
    """A few short facts that stand under the answer."""
    answer = evidence.answers[0] if evidence.answers else None
    facts = [*_what_it_rests_on(evidence, answer), *_ranges(evidence, answer)]
    asked = [one for one in answers_together(evidence) if one.held_out] if answer else []
    if asked:
        facts.append(("Held-out error", held_out_summary(*asked)))
    if hours := gpu_hours(evidence.runs, _results(evidence)):
        facts.append(("Cost", tables.gpu_hours_text(hours, evidence.study.price_per_gpu_hour)))
    return facts


def _results(evidence: Evidence) -> dict[str, RunRecord]:
    """How the runs ended, as far as the table says."""
    columns = ("seconds", "flops", "tokens_per_second")
    return {
        str(row["run"]): RunRecord(
            status="finished" if row.get("status") == "finished" else "failed",
            measured={name: number(row.get(name)) for name in columns},
        )
        for row in evidence.rows
        if row.get("run") and row.get("status")
    }


def _what_it_rests_on(evidence: Evidence, answer: Answer | None) -> list[tuple[str, str]]:
    if answer and answer.fit:
        return [
            ("Rests on", rests_on(evidence)),
            ("Law", f"{symbol_of(answer.fit)} = {fit_formula(answer.fit)}"),
        ]
    if answer and (found := answer.comparison):
        decision = found.decision.replace("not decided", "exponents: not decided")
        return [
            ("Rests on", rests_on(evidence)),
            ("Arms", ", ".join(found.arms)),
            ("Verdict", found.verdict if decision == found.verdict else f"{found.verdict}; {decision}"),
        ]
    finished = f"{len(evidence.finished)} of {len(evidence.runs)} runs"
    return [("Finished", finished if evidence.runs else how_many_runs(evidence))]


def how_many_runs(evidence: Evidence) -> str:
    """How many ended, of those planned; of a table, which has no plan, how many runs its rows are of."""
    if evidence.runs:
        return f"{len(evidence.runs) - len(evidence.missing)} of {len(evidence.runs)} runs done"
    runs = tables.many(len({row.get("run", number) for number, row in enumerate(evidence.rows)}), "run")
    return runs if runs == tables.many(len(evidence.rows), "run") else f"{len(evidence.rows)} rows of {runs}"


def _ranges(evidence: Evidence, answer: Answer | None) -> list[tuple[str, str]]:
    """The ranges of sizes and tokens of the runs."""
    question = answer.question if answer else evidence.study.questions[0]
    rows: Sequence[Observation] = (fitted_rows(evidence, answer) if answer else []) or _not_held_out(evidence)
    facts = []
    for column, name in ((question.params, "Sizes"), (question.tokens, "Tokens")):
        name = "Unique tokens" if column == "unique_tokens" else name
        values = [value for row in rows if (value := number(row.get(column))) is not None]
        if values and max(values) > min(values):
            decades = math.log10(max(values) / min(values))
            wide = f", {decades:.1f} decades" if decades >= 0.1 else ""
            facts.append((name, f"{tables.count(min(values))} to {tables.count(max(values))}{wide}"))
    return facts


def _not_held_out(evidence: Evidence) -> list[Observation]:
    return [row for row in evidence.finished if not row.get("held_out")]


def scale_of(study: StudyPlan) -> str:
    """quick is the version of a study for an ordinary computer; whether its data are real is said beside it."""
    scale = "quick scale: a small version" if study.scale == "quick" else f"{study.scale} scale"
    is_synthetic = any(corpus.is_synthetic for corpus in study.corpora.values())
    return f"{scale}, on synthetic data" if is_synthetic else scale


def held_out_of(*answers: Answer) -> list[HeldOut]:
    return [item for answer in answers for item in answer.held_out]


def held_out_summary(*answers: Answer) -> str:
    """The mean absolute error of the forecasts and how many intervals held."""
    items = held_out_of(*answers)
    errors = errors_of(items)
    if not errors:
        is_to_come = any(one.code == "held_out_to_come" for answer in answers for one in answer.warnings)
        is_none = not items and not is_to_come
        return "nothing was held out" if is_none else "no held-out run has finished"
    inside = sum(item.is_inside for item in items)
    return f"{tables.percent(sum(errors) / len(errors))}, {inside} of {len(items)} in the interval"


ADDED_TITLE = "Runs that were added later: the forecast, and what came"


def added_runs(*answers: Answer) -> str:
    """How well the runs that were added to a finished study had been forecast."""
    items = [item for answer in answers for item in answer.added]
    errors = errors_of(items)
    error = f"mean absolute error {tables.percent(sum(errors) / len(errors))}, " if errors else ""
    inside = sum(item.is_inside for item in items)
    return (
        f"Of the runs that are fitted, {len(items)} came when the study was finished. The law of the runs before them "
        f"forecast each before it began: {error}{inside} of {len(items)} in the interval."
    )


def errors_of(items: Sequence[HeldOut]) -> list[float]:
    """The sizes of the relative errors, of those that are numbers."""
    return [abs(item.error_relative) for item in items if math.isfinite(item.error_relative)]


def held_out_registered(evidence: Evidence, *answers: Answer) -> str:
    """When the forecasts were made, and how one can tell that they were not changed since."""
    items = held_out_of(*answers)
    early = {item.run for item in items if item.is_registered}
    names = {answer.name for answer in answers}
    if not (early and evidence.registered.forecasts):
        reasons = [entry.reason for entry in evidence.registered.refused if entry.question in names]
        why = f" ({reasons[0]})" if reasons else ""
        return f"These runs were set aside before training; their forecasts were not written before they began{why}."
    written = sorted(
        {
            entry.created or evidence.registered.created
            for entry in evidence.registered.forecasts
            if entry.question in names and entry.run in early
        }
    )
    when = " and ".join(map(tables.moment, dict.fromkeys((written[0], written[-1]))))
    others = len({item.run for item in items} - early)
    late = f"; those of {tables.many(others, 'other run')} were not" if others else ""
    which = "any of these runs" if len(written) == 1 and not others else "the runs that they are of"
    return (
        f"The forecasts were written on {when}, before {which} began "
        f"(SHA-256 {evidence.registered.sha256[:16]}, forecasts.json){late}."
    )


def fit_formula(fit: Fit) -> str:
    axis = next(iter(fit.data.pivot), "")
    return tables.formula(fit.formula, axis, fit.data.columns.get(axis))


def baseline_sentence(evidence: Evidence) -> str:
    """Whether the best run beats the strongest count model."""
    known = [
        (value, str(item.get("name"))) for item in evidence.baselines if (value := number(item.get("loss"))) is not None
    ]
    losses = [value for row in evidence.finished if (value := number(row.get("loss"))) is not None]
    if not known or not losses:
        return ""
    strongest, name = min(known)
    gap = strongest - min(losses)
    word = "below" if gap > 0 else "above"
    verdict = "" if gap > 0 else " The models have not learned more than counting does."
    return f"The best run is {abs(gap):.3f} {word} the {name} count model, on the same validation tokens.{verdict}"
