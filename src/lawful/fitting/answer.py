"""Answers a study's declared questions from its folder: fit, predict what was held out, say what was left out."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lawful import linter
from lawful.errors import DeclarationError, Refusal, TableError
from lawful.fitting import truth
from lawful.fitting.answer_records import ArmPair, Excluded, SisterLaw
from lawful.fitting.answer_words import crossings_sentence, law_sentence
from lawful.fitting.answers import Answer, write_answer
from lawful.fitting.asked import (
    arm_names,
    asked_about,
    asked_together,
    columns_of,
    expect_columns,
    expect_laws,
    held_out_to_come,
    law_asked,
    not_held_out,
    of_arm,
    question_rows,
    with_coordinates,
)
from lawful.fitting.compare import compare
from lawful.fitting.crossover import LEVEL, between
from lawful.fitting.data import coordinates, refuse_missing
from lawful.fitting.estimate import fit
from lawful.fitting.gap import fit_both
from lawful.fitting.headline import of_one_setting, of_truth
from lawful.fitting.paired import paired
from lawful.fitting.records import HeldOut
from lawful.fitting.registered import Forecast, read_forecasts
from lawful.fitting.result import Fit
from lawful.laws import Law
from lawful.laws.power import Power
from lawful.laws.power_floor import PowerFloor
from lawful.linter.groups import all_but
from lawful.schema import Observation, Question, StudyPlan, Warning
from lawful.storage.layout import Store
from lawful.tables import Observations, is_of_ladder, read_runs


def answer_study(folder: str | Path, *, draws: int = 1000, seed: int = 0) -> list[Answer]:
    """Answer every question of the study in `folder` and write fits/QUESTION.json; a refusal is an answer too.

    Raises LawfulError only where the folder is not a study's, its table cannot be read, or a question's law is the
    user's own and was not named in this process (expect_laws).
    """
    home = Store(Path(folder))
    study = home.read_study()
    expect_laws(study)
    table = with_coordinates(read_runs(home.folder), study)
    registered = read_forecasts(home).forecasts
    design = [one for one in (*study.warnings, *linter.observed(study.runs, table.rows)) if one.severity == "severe"]
    design += linter.untuned(study.runs, study.questions, table.rows)
    to_come = held_out_to_come(study, table)
    answers = []
    for question in study.questions:
        found = _answer(question, table, registered, to_come, draws=draws, seed=seed)
        if isinstance(found, _Arms):
            asked = [_answer(one, table, registered, to_come, draws=draws, seed=seed) for one in found.questions]
            each = [answer for answer in asked if isinstance(answer, Answer)]
            answers += [_with_crossings(_compared(question, found), each, found), *each]
        else:
            answers.append(found)
    together = asked_together(study)
    if together is not None:
        found = _answer(together, table, registered, to_come, draws=draws, seed=seed)
        if isinstance(found, _Arms):
            answers.insert(0, _with_crossings(_compared(together, found), answers, found))
    answers = [answer.with_headline(design) for answer in answers]
    if answers[0].status == "refused" and (losses := _of_one_setting(study, table, answers[0].question.loss)):
        answers[0] = answers[0].saying(of_one_setting(losses, answers[0].refusal or ""))
    if planted := {answer.name: answer.truth for answer in answers if answer.truth}:
        answers[0] = answers[0].saying(of_truth(answers[0].said, planted))
    for answer in answers:
        write_answer(home.fit(answer.name), answer)
    return answers


def _of_one_setting(study: StudyPlan, table: Observations, loss: str) -> dict[str, list[float]]:
    """The losses of each arm where the ladder has one setting, of which only the seed varies; empty otherwise."""
    own = [run for run in study.runs if run.is_of_ladder]
    if any(len({all_but("seed", run) for run in own if run.arm == arm}) > 1 for arm in {run.arm for run in own}):
        return {}
    found: dict[str, list[float]] = {}
    for row in table.rows:
        known = row.get(loss)
        if row.get("status") == "finished" and isinstance(known, (int, float)) and is_of_ladder(row):
            found.setdefault(str(row.get("arm") or ""), []).append(float(known))
    return found


@dataclass(frozen=True)
class _Arms:
    """One question for each arm."""

    questions: list[Question]
    law: Law
    columns: Mapping[str, str]
    fitted: Observations
    excluded: tuple[Excluded, ...]


def _compared(question: Question, arms: _Arms) -> Answer:
    try:
        found = compare(arms.fitted, "arm", law=arms.law, **arms.columns)  # type: ignore[arg-type]
    except (Refusal, DeclarationError, TableError) as refusal:
        sentence = f"The arms cannot be compared: {refusal}"
        code = refusal.code if isinstance(refusal, Refusal) else None
        return _refused(question, refusal, sentence, arms.excluded, code)
    return Answer(
        question=question,
        status="answered",
        sentence=found.sentence,
        excluded=arms.excluded,
        warnings=found.warnings,
        comparison=found,
        truth=truth.of_arms(question.truth, found),
    )


def answer_arms(question: Question, each: Sequence[Answer], law: Law, rows: Observations) -> Answer:
    """The comparison of arms whose own answers are known; rows: the rows of all arms, with their roles."""
    arms = _Arms([answer.question for answer in each], law, {}, rows, ())
    return _with_crossings(_compared(question, arms), each, arms)


def _refused(
    question: Question, refusal: Exception, sentence: str, excluded: Sequence[Excluded], code: str | None = None
) -> Answer:
    return Answer(
        question=question,
        status="refused",
        refusal=str(refusal),
        sentence=sentence,
        excluded=tuple(excluded),
        code=code,
    )


def _with_crossings(compared: Answer, each: Sequence[Answer], arms: _Arms) -> Answer:
    """The comparison with the places where each two arms cross, if the law has one axis. Where arms cross, that is the
    answer; the comparison's own sentence still says in what they differ."""
    fits = {str(answer.arm): answer.fit for answer in each}
    if any(fit is not None and len(fit.model.inputs) > 1 for fit in fits.values()):
        return compared
    pairs: list[ArmPair] = []
    severe: list[Warning] = []
    combined = list(itertools.combinations(fits, 2))
    level = 1 - (1 - LEVEL) / max(len(combined), 1)  # the level of each pair, so that all hold at once (Bonferroni)
    is_shown = compared.comparison is None or compared.comparison.verdict != "no difference shown"  # of all at once
    for first, second in combined:
        a, b = fits[first], fits[second]
        if a is None or b is None:
            missing = " and ".join(arm for arm in (first, second) if fits[arm] is None)
            pairs.append(ArmPair(arms=(first, second), refusal=f"no law of {missing}"))
            continue
        try:
            joint = fit_both(arms.fitted, "arm", (first, second), arms.law, arms.columns)
            joint = joint if is_shown else dataclasses.replace(joint, p=1.0)
            one = between(joint, {first: a, second: b}, level=level)
        except (Refusal, DeclarationError, TableError) as refusal:
            pairs.append(ArmPair(arms=(first, second), refusal=str(refusal)))
            continue
        severe += [warning for warning in one.warnings if warning.severity == "severe"]
        pairs.append(ArmPair(arms=(first, second), crossing=one.crossing))
    known = [pair.crossing for pair in pairs if pair.crossing is not None]
    where = crossings_sentence(pairs)
    if compared.status != "answered":
        parts = [where, compared.sentence]
    elif any(one.at is not None for one in known):
        parts = [where]
    else:
        parts = [compared.sentence, where]  # no arms cross: their difference comes first
    if known:
        compared = dataclasses.replace(compared, status="answered", refusal=None, code=None)
    return dataclasses.replace(
        compared,
        crossings=tuple(pairs),
        sentence=" ".join(part for part in parts if part),
        warnings=tuple(dict.fromkeys((*compared.warnings, *severe))),
    )


def _answer(
    question: Question,
    table: Observations,
    registered: Sequence[Forecast],
    to_come: Observations,
    *,
    draws: int,
    seed: int,
) -> Answer | _Arms:
    excluded: list[Excluded] = []
    try:
        chosen = asked_about(question, table, excluded)
        fitted = not_held_out(chosen)
        if question.along is not None:  # the law paired
            expect_columns(table, question.along, "arm", "seed", question.loss)
            refuse_missing(fitted, {"loss": question.loss})
            return _in_pairs(question, question.along, fitted, excluded)
        law = law_asked(question, fitted)
        columns = columns_of(question, law)
        expect_columns(table, *columns.values())
        refuse_missing(chosen, columns)
        arms = arm_names(fitted)
        if len(arms) > 1:
            return _Arms([of_arm(question, arm) for arm in arms], law, columns, fitted, tuple(excluded))
        found = fit(fitted, law, **columns, fixed=question.fixed or None, draws=draws, seed=seed)  # type: ignore[arg-type]
        held = _held_out(found, [row for row in chosen if row.get("held_out") is True])
    except (Refusal, DeclarationError) as refusal:
        code = refusal.code if isinstance(refusal, Refusal) else None
        return _refused(question, refusal, f"Refused: {refusal}", excluded, code)
    except TableError as error:
        raise TableError(f"question {question.name!r}: {error}") from error
    held, moved = _as_registered(question, held, registered)
    forecast = {entry.run for entry in registered if entry.question == question.name}
    added = _held_out(found, [row for row in fitted if row.get("run") in forecast])
    return Answer(
        question=question,
        status="answered",
        sentence=law_sentence(found, held),
        held_out=held,
        excluded=tuple(excluded),
        warnings=(*_about_held_out(held, len(question_rows(question, table, to_come))), *moved, *found.warnings),
        also=_sisters(found, fitted, columns, chosen),
        truth=truth.of_fit(question.truth, found.params),
        added=_as_registered(question, added, registered)[0],
        fit=found,
    )


def _in_pairs(question: Question, along: str, rows: Observations, excluded: Sequence[Excluded]) -> Answer:
    found = paired(rows, along, loss=question.loss)
    return Answer(
        question=question,
        status="answered",
        sentence=found.sentence,
        excluded=tuple(excluded),
        warnings=found.warnings,
        paired=found,
    )


def _held_out(found: Fit, rows: Sequence[Observation]) -> tuple[HeldOut, ...]:
    out = []
    for row in rows:
        at = coordinates(row, found.model, found.data.columns)
        prediction = found.predict(**at, interval="new_run")
        observed = float(row[found.data.columns["loss"]] or 0.0)  # refuse_missing leaves no empty loss
        out.append(
            HeldOut(
                run=str(row.get("run", "")),
                rung=str(row.get("rung", "")),
                params=at.get("params"),
                tokens=at.get("tokens"),
                seed=seed if isinstance(seed := row.get("seed"), int) else None,
                predicted=prediction.value,
                interval=(prediction.low, prediction.high),
                observed=observed,
                error_relative=prediction.value / observed - 1,
                is_inside=prediction.low <= observed <= prediction.high,
            )
        )
    return tuple(out)


def _as_registered(
    question: Question, held: Sequence[HeldOut], registered: Sequence[Forecast]
) -> tuple[tuple[HeldOut, ...], tuple[Warning, ...]]:
    """The forecasts that were written before the held-out runs began are the ones that are scored."""
    earlier = {entry.run: entry for entry in registered if entry.question == question.name}
    out, moved = [], 0
    for row in held:
        if row.run not in earlier:
            out.append(row)
            continue
        value, (low, high) = earlier[row.run].predicted, earlier[row.run].interval
        moved += abs(row.predicted / value - 1) > 0.001
        out.append(
            dataclasses.replace(
                row,
                predicted=value,
                interval=(low, high),
                error_relative=value / row.observed - 1,
                is_inside=low <= row.observed <= high,
                is_registered=True,
            )
        )
    sentence = (
        f"{moved} held-out forecasts, written before those runs began, differ from what the law says now by over .1 %."
    )
    return tuple(out), (Warning("forecast_moved", "note", sentence),) if moved else ()


def _sisters(
    found: Fit, fitted: Observations, columns: Mapping[str, str], chosen: Observations
) -> tuple[SisterLaw, ...]:
    """The same rows under the law with its floor fixed at zero, or with one added; by AICc and held-out error."""
    tried = []
    for law, fixed in _sister_laws(found):
        entry = SisterLaw(law=law.spec, fixed=fixed, formula=law.formula)
        try:
            sister = fit(fitted, law, **columns, fixed=fixed, draws=0)  # type: ignore[arg-type]
        except Refusal as refusal:
            tried.append(dataclasses.replace(entry, refusal=str(refusal)))
            continue
        held = _held_out(sister, [row for row in chosen if row.get("held_out") is True])
        tried.append(
            dataclasses.replace(
                entry,
                n=sister.goodness.n,
                aicc=sister.goodness.aicc,
                delta_aicc=sister.goodness.aicc - found.goodness.aicc,
                params={name: p.value for name, p in sister.params.items()},
                held_out_error=float(np.mean([abs(row.error_relative) for row in held])) if held else None,
            )
        )
    return tuple(tried)


def _sister_laws(found: Fit) -> list[tuple[Law, dict[str, float]]]:
    law = found.model
    if type(law) is Power:  # exactly this class: a subclass may be a different law
        return [(PowerFloor(law.axis), {})]
    if type(law) is PowerFloor:
        return [(Power(law.axis), {})]
    return [(law, {"E": 0.0})] if "E" in found.free else []


def _about_held_out(held: Sequence[HeldOut], to_come: int) -> tuple[Warning, ...]:
    missed = [row for row in held if not row.is_inside]
    if not held and to_come:
        runs = "1 held-out run is" if to_come == 1 else f"{to_come} held-out runs are"
        return (Warning("held_out_to_come", "note", f"{runs} still to come: the law was not tested on any yet."),)
    if not held:
        return (
            Warning(
                "nothing_held_out",
                "note",
                "No held-out run matches the question: the law was not tested on a run it had not seen.",
            ),
        )
    if missed:
        return (
            Warning(
                "held_out_missed",
                "warning",
                f"{len(missed)} of {len(held)} held-out losses lie outside the 95 % interval for a new run.",
            ),
        )
    return ()
