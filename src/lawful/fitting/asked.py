"""Which rows, law and columns a declared question asks about, and what it leaves out."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lawful.errors import DeclarationError, Refusal
from lawful.fitting.answer_records import Excluded
from lawful.fitting.default_law import levels_of, on_its_axis
from lawful.laws import BUILT_IN, Law, stored, to_data
from lawful.schema import Cell, Coordinate, Observation, PlannedRun, Question, StudyPlan
from lawful.storage.layout import Store
from lawful.tables import Observations, is_finished, is_of_ladder, read_runs, why_off_ladder


@dataclass(frozen=True)
class Declared:
    """What a question of a study fits: which rows, which law, which columns by role."""

    name: str
    rows: Observations
    law: Law
    columns: Mapping[str, str]


def declared(
    folder: str | Path,
    *,
    name: str | None = None,
    suits: Callable[[Law], bool] = lambda law: True,
    compares: bool = False,
) -> Declared | None:
    """The study's question of that name, or its first that fits a law which suits; None where none does. compares: arms
    are compared, so of a study that asks about each arm apart the question about all of them is the first.

    Raises LawfulError where that question cannot be asked of the table (the next one's rows are no answer to it), and
    for a question with a law of the user's own that this process was not given by name.
    """
    home = Store(Path(folder))
    study = home.read_study()
    known = [question.name for question in study.questions]
    if name is not None and name not in known:
        raise DeclarationError(f"question: {study.name} asks no {name!r}; it asks {', '.join(known)}.")
    table = with_coordinates(read_runs(home.folder), study)
    for question in questions_of(study) if compares else study.questions:
        if question.law == "paired" or name not in (None, question.name):
            continue
        if not (question.law in ("power", "power_floor") or suits(stored(question.law_spec))):
            continue  # only rows tell the axis of these two
        rows = not_held_out(asked_about(question, table, []))
        law = law_asked(question, rows)
        if suits(law):
            return Declared(question.name, rows, law, columns_of(question, law))
    return None


def questions_of(study: StudyPlan) -> tuple[Question, ...]:
    """What a study is asked, the question that answers it first: its own questions, and before them one that compares
    its arms, where it asks about each apart and by one law."""
    together = asked_together(study)
    return study.questions if together is None else (together, *study.questions)


def asked_together(study: StudyPlan) -> Question | None:
    """The comparison of arms of which a study asks one by one; None where it compares them itself, or cannot."""
    by_arm = {question.arm: question for question in study.questions if question.arm is not None}
    first = study.questions[0] if study.questions else None
    if first is None or len(by_arm) < 2 or len(by_arm) < len(study.questions):
        return None

    def but_arm(question: Question) -> dict[str, Coordinate | tuple[Coordinate, ...]]:
        return {name: value for name, value in question.where.items() if name != "arm"}

    asked = [(one.law, one.columns, one.fixed, but_arm(one)) for one in by_arm.values()]
    if first.law == "paired" or first.fixed or any(one != asked[0] for one in asked):
        return None
    name = "arms" if "arms" not in {question.name for question in study.questions} else "arms-together"
    where = {**but_arm(first), "arm": tuple(by_arm)}
    return dataclasses.replace(first, name=name, asks=study.question, where=where, truth={})


def question_rows(question: Question, table: Observations, extra: Observations) -> tuple[Observation, ...]:
    """Those of the `extra` rows that the question asks about, where "max" and "min" are over the table's own."""
    finished = tuple(row for row in table if is_finished(row))
    both = dataclasses.replace(table, rows=(*finished, *extra))
    wanted = {id(row) for row in extra}
    return tuple(row for row in _matching(both, question.where, []) if id(row) in wanted)


def row_to_come(study: StudyPlan, planned: PlannedRun) -> dict[str, Cell]:
    """What the plan knows of a run that is to come, as a row of the table."""
    corpus = study.corpora.get(planned.corpus)
    known: dict[str, Cell] = {"unique_tokens": corpus.train_tokens if corpus else None, "status": "finished"}
    return {**planned.at, **planned.columns(), **known, "held_out": True}


def held_out_to_come(study: StudyPlan, table: Observations) -> Observations:
    """The held-out runs of the plan that have not ended."""
    ended = {row.get("run") for row in table.rows}
    waiting = [planned for planned in study.runs if planned.held_out and planned.run not in ended]
    return Observations(tuple(row_to_come(study, planned) for planned in waiting), source=table.source)


def expect_laws(study: StudyPlan) -> None:
    """Raise DeclarationError for a question with a law of the user's own that this process was not given by name: a
    study's folder may come from elsewhere, so its text alone imports no file."""
    for question in study.questions:
        try:
            spec = question.law_spec
            place, colon, _ = spec.partition(":") if isinstance(spec, str) else ("", "", "")
            if colon and place not in BUILT_IN:
                stored(spec)
        except DeclarationError as error:
            raise DeclarationError(f"{study.name}, question {question.name!r}: {error}") from None


def with_coordinates(table: Observations, study: StudyPlan) -> Observations:
    """Rows with the coordinates of their rung (size, arm, ...) as further columns, so that `where` can name them; the
    study's name stands for its folder, which may move."""
    at = {planned.run: planned.at for planned in study.runs}
    rows = tuple({**at.get(str(row.get("run")), {}), **row} for row in table)
    return dataclasses.replace(table, rows=rows, source=study.name)


def asked_about(question: Question, table: Observations, excluded: list[Excluded]) -> Observations:
    finished = _without(
        table, is_finished, excluded, lambda row: f"{row['status']}: {row.get('reason') or 'no reason'}"
    )
    own = _without(finished, is_of_ladder, excluded, lambda row: why_off_ladder(row) or "")
    return _matching(own, question.where, excluded)


def expect_columns(table: Observations, *columns: str) -> None:
    """A column that the table does not have is an error of the question."""
    missing = [repr(column) for column in columns if table.known_as(column) not in table.columns]
    if table.rows and missing:
        raise DeclarationError(f"{table.source}: no column {', '.join(missing)}; it has {', '.join(table.columns)}.")


def not_held_out(rows: Observations) -> Observations:
    return rows.where(lambda row: row.get("held_out") is not True, "held out")


def columns_of(question: Question, law: Law) -> dict[str, str]:
    """By role, as far as the law needs them."""
    needed = {"loss", *law.inputs, *(("params", "tokens") if "flops" in law.inputs else ())}
    return {role: column for role, column in question.columns.items() if role in needed}


def arm_names(table: Observations) -> list[str]:
    if "arm" not in table.columns:
        return []
    return list(dict.fromkeys(str(value) for value in table.values("arm") if value not in (None, "")))


def of_arm(question: Question, arm: str) -> Question:
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in arm)
    where = {**question.where, "arm": arm}
    asks = f"{question.asks} ({arm})"
    return dataclasses.replace(question, name=f"{question.name}--{safe}", asks=asks, where=where, truth={})


def _without(
    table: Observations,
    keep: Callable[[Observation], bool],
    excluded: list[Excluded],
    reason: Callable[[Observation], str],
) -> Observations:
    excluded += [
        Excluded(run=str(row.get("run", "")), rung=str(row.get("rung", "")), reason=reason(row))
        for row in table
        if not keep(row)
    ]
    return dataclasses.replace(table, rows=tuple(row for row in table if keep(row)))


def _matching(
    table: Observations, where: Mapping[str, Coordinate | tuple[Coordinate, ...]], excluded: list[Excluded]
) -> Observations:
    """Rows with the asked values; "max" and "min" are over the rows that may be fitted."""
    for name, wanted in where.items():
        column = table.known_as(name)
        expect_columns(table, column)
        if isinstance(wanted, tuple):
            listed = ", ".join(map(str, wanted))
            table = _with_cell(table, column, wanted, excluded, f"{column} is none of {listed}")
            continue
        value: Cell = wanted
        if wanted in ("max", "min"):
            present = [
                row[column] for row in table if row.get("held_out") is not True and row.get(column) not in (None, "")
            ]
            if not present:
                raise Refusal("no_rows", f"where: no run that may be fitted has a value of {column}.")
            value = (max if wanted == "max" else min)(present, key=_amount)
        reason = f"{column} is not {_MOST.get(str(wanted), '')}{_shown(value)}"
        table = _with_cell(table, column, (value,), excluded, reason)
    if not len(table):
        asked = " and ".join(f"{column}={_shown(wanted)}" for column, wanted in where.items())
        why = f"where: no finished run matches {asked}." if asked else f"no finished run is left{_why_none(excluded)}."
        raise Refusal("no_rows", why)
    return table


def _why_none(excluded: Sequence[Excluded]) -> str:
    """The commonest reason why runs were left out, with its runs."""
    if not excluded:
        return ""
    ((reason, number),) = Counter(item.reason for item in excluded).most_common(1)
    others = f"; {len(excluded) - number:,} for other reasons" if number < len(excluded) else ""
    return f": of {len(excluded):,} that were left out, {number:,} for this reason: {reason.rstrip('.')}{others}"


def _with_cell(
    table: Observations, column: str, wanted: tuple[Cell, ...], excluded: list[Excluded], reason: str
) -> Observations:
    """The rows with one of these values in the column."""
    return _without(table, lambda row: row.get(column) in wanted, excluded, lambda row: reason)


_MOST = {"max": "the largest, ", "min": "the smallest, "}


def _amount(cell: Cell) -> tuple[float, str]:
    """The order of cells: numbers, then texts."""
    return (cell, "") if isinstance(cell, (int, float)) else (math.inf, str(cell))


def _shown(value: Cell | tuple[Coordinate, ...]) -> str:
    """A count with separators, anything else as it is."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer():
        return f"{int(value):,}"
    return str(value)


def law_asked(question: Question, fitted: Observations) -> Law:
    """The question's law; one of lawful's own that names no axis takes the one that varies. Imports nothing."""
    spec = question.law_spec
    if not isinstance(spec, str) or spec not in ("power", "power_floor"):
        law = stored(spec).for_table(fitted.columns, question.columns, lambda name: levels_of(fitted, name))
        to_data(law)  # raises for one that the answer's file could not hold
        return law
    asked = {"params": fitted.known_as(question.params), "tokens": fitted.known_as(question.tokens)}
    known = {axis: column for axis, column in asked.items() if column in fitted.columns}
    others = {role: column for role, column in fitted.roles.items() if role not in asked}
    return on_its_axis(spec, dataclasses.replace(fitted, roles={**others, **known})).law
