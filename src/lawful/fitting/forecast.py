"""Forecasts of the held-out runs, written with their intervals and a hash before any of those runs may start."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lawful.errors import Refusal, TableError
from lawful.fitting.answer import answer_study
from lawful.fitting.answers import Answer
from lawful.fitting.asked import question_rows, row_to_come, with_coordinates
from lawful.fitting.data import coordinates
from lawful.fitting.registered import NOTHING, Forecast, Forecasts, NoForecast, read_forecasts, write_forecasts
from lawful.observe import begun
from lawful.schema import PlannedRun, StudyPlan
from lawful.storage.layout import Store
from lawful.tables import Observations, is_finished, is_of_ladder, read_cells, read_runs


def register_forecasts(folder: str | Path) -> Forecasts:
    """Fit the anchors, forecast every held-out run for every question, and write forecasts.json; what it holds.

    Once a held-out run has begun, the forecasts that are written stand as they are; a run that has not begun and has
    none (a rung that was added later) still gets one, with its own date.
    refused    the questions that have no forecast, each with its reason: too few rungs, for one
    sha256     of the canonical JSON of `forecasts`, so that a later reader can see that they were not changed
    Raises LawfulError where the table cannot be read or an anchor has no loss: no held-out run may begin then.
    """
    home = Store(Path(folder))
    study = home.read_study()
    held_out = [planned for planned in study.runs if planned.held_out]
    seen = begun(home, study)
    to_come = [planned for planned in held_out if planned.run not in seen]
    has_begun = len(to_come) < len(held_out)
    written = read_forecasts(home)
    dated = [entry for entry in written.forecasts if entry.created]  # of runs that were added: they stand, too
    standing = written if has_begun else replace(written, forecasts=tuple(dated)) if dated else NOTHING
    known = {(entry.question, entry.run) for entry in dated}
    if to_come and known.issuperset((one.name, run.run) for one in study.questions for run in to_come):
        return standing  # as `lawful extend` has just forecast them
    made, refused = _forecasts(home, study, study, to_come)
    added = _unknown(standing, made)
    if has_begun and not added and home.forecasts.exists():
        return standing
    if has_begun and not added and not refused:
        return NOTHING
    now = _now()
    created = now
    if standing.forecasts:
        created = standing.created
        added = [replace(entry, created=now) for entry in added]
    return write_forecasts(home, created, (*standing.forecasts, *added), tuple(refused))


def register_added(folder: str | Path, plan: StudyPlan, answers: Sequence[Answer] | None = None) -> Forecasts:
    """Forecast the runs of a plan with more rungs, by the laws of the plan that is in the folder, before the new plan
    is written; what forecasts.json holds.

    Every new run of the ladder that has not begun is forecast, also one that will be fitted. What was registered before
    stands as it is. Each new forecast has its own date.

    answers    of the folder's plan, where the caller has just made them; None: they are made here
    """
    home = Store(Path(folder))
    former = home.read_study()
    known = {planned.run for planned in former.runs}
    seen = begun(home, plan)
    to_come = [run for run in plan.runs if run.run not in known | seen and run.is_of_ladder]
    standing = read_forecasts(home)
    made, refused = _forecasts(home, former, plan, to_come, answers)
    now = _now()
    added = [replace(entry, created=now) for entry in _unknown(standing, made)]
    if not added and not refused:
        return standing
    return write_forecasts(home, standing.created or now, (*standing.forecasts, *added), tuple(refused))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _unknown(standing: Forecasts, made: Sequence[Forecast]) -> list[Forecast]:
    known = {(entry.question, entry.run) for entry in standing.forecasts}
    return [entry for entry in made if (entry.question, entry.run) not in known]


def _forecasts(
    home: Store,
    study: StudyPlan,
    plan: StudyPlan,
    runs: Sequence[PlannedRun],
    answers: Sequence[Answer] | None = None,
) -> tuple[list[Forecast], list[NoForecast]]:
    """The forecasts of these runs, and the questions that have none with their reason.

    study    the plan of the folder, whose runs are fitted
    plan     the plan of the runs to come
    """
    if not runs:
        return [], []
    rows = read_cells(home.observations)
    if not rows:
        reason = "no run that may be fitted has ended"
        return [], [NoForecast(question=question.name, reason=reason) for question in study.questions]
    lacking = [row for row in rows if is_finished(row) and is_of_ladder(row) and not row.get("loss")]
    if lacking:
        named = ", ".join(f"{row.get('rung')} ({row.get('run')})" for row in lacking[:5])
        raise TableError(
            f"{home.observations}: expected a loss of every run that has finished, got none of {named}; "
            "remove runs/ID/result.json of such a run, and `lawful resume` trains it again."
        )
    table = with_coordinates(read_runs(home.folder), study)
    to_come = Observations(tuple(row_to_come(plan, planned) for planned in runs), source=str(home.study))
    made: list[Forecast] = []
    refused = []
    for answer in answer_study(home.folder) if answers is None else answers:
        name = answer.question.name
        if answer.code == "no_value":
            raise TableError(f"question {name!r}: {answer.refusal}")
        try:
            made += _of_question(answer, table, to_come)
        except Refusal as refusal:
            refused.append(NoForecast(question=name, reason=str(refusal)))
        if answer.status == "refused":
            refused.append(NoForecast(question=name, reason=str(answer.refusal)))
    return made, refused


def _of_question(answer: Answer, table: Observations, to_come: Observations) -> list[Forecast]:
    """Raises Refusal where it is not known beforehand where a run will lie on the law's axes."""
    if answer.fit is None:
        return []
    found = []
    for row in question_rows(answer.question, table, to_come):
        at = coordinates(row, answer.fit.model, answer.fit.data.columns)
        prediction = answer.fit.predict(**at, interval="new_run")
        found.append(
            Forecast(
                question=answer.name,
                run=str(row["run"]),
                rung=str(row["rung"]),
                predicted=prediction.value,
                interval=(prediction.low, prediction.high),
                runs_fitted=answer.fit.goodness.n,
            )
        )
    return found
