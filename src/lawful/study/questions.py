"""What is wrong with the questions of a study, before anything is trained."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from lawful import plugins
from lawful.checks import (
    nearest,
    shown,
)
from lawful.command import CommandRun
from lawful.command.planned import number_columns
from lawful.errors import DeclarationError
from lawful.laws import Law, bounds_of, label, named, stored
from lawful.run import Run
from lawful.schema import Cell, LawData, Observation, Question
from lawful.study.rungs import Rung
from lawful.tables import BEST, COLUMNS, TASK_COLUMNS, current_name

ROLES = ("params", "tokens", "flops", "unique_tokens")


def question_problems(
    question: Question, ladder: Sequence[Rung], arm: str | None, rows: Sequence[Observation]
) -> list[str]:
    """Why a question could never be answered by these runs. rows: what is known of the ladder before it is trained."""
    problems, matching = _matching(question, rows)
    arms = {row["arm"] for row in matching if not row["held_out"]} - {""}
    numbers = _number_columns(ladder, rows)
    read = {"loss"}
    law: Law | None = None
    if question.law == "paired":
        axes = [axis for axis in _axes(ladder) if axis != arm]
        if question.along not in axes:
            problems.append(f"along: no coordinate is called {question.along!r}; there are {nearest('', axes)}")
        if not problems and len(arms) < 2:
            problems.append(
                f"the law paired compares arms; expected two or more, got {', '.join(map(str, arms)) or 'none'}"
            )
        problems += [f"{name}: the law paired has none" for name in ("truth", "fixed") if getattr(question, name)]
    else:
        try:
            law = _law_of(question, numbers, rows)
        except DeclarationError as error:
            problems.append(str(error).removesuffix("."))
            read = {"params", "tokens", "flops", "loss"}
        else:
            read |= _roles_of(question.law, law)
            own = [axis for axis in law.inputs if axis not in (*ROLES, *law.categories)]
            problems += [
                f"law: it reads {name!r}; no column of numbers is called so: there are {nearest(name, sorted(numbers))}"
                for name in own
                if name not in numbers
            ]
    for role, usual in (("params", Question.params), ("tokens", Question.tokens), ("flops", None), ("loss", None)):
        column = getattr(question, role)
        if role not in read and column != usual:
            problems.append(f"{role}={column!r}: the law {label(question.law_spec)} does not read {role}")
        elif role in read and column is not None and current_name(column) not in numbers:
            problems.append(
                f"{role}: no column of numbers is called {column!r}; there are {nearest(column, sorted(numbers))}"
            )
        elif column is not None and current_name(column).startswith(BEST) and not _keep_best(ladder):
            problems.append(f"{role}={column!r}: only runs with keep_best have it; set it for every run")
    if law is not None:
        problems += _parameter_problems(question, law, is_of_arms=len(arms) > 1)
    return problems


def _matching(question: Question, rows: Sequence[Observation]) -> tuple[list[str], Sequence[Observation]]:
    """What is wrong with `where`, and the rows that it leaves, as fitting/answer.py will choose them."""
    problems, left = [], rows
    known = list(dict.fromkeys(name for row in rows for name in row))
    for column, wanted in question.where.items():
        if column not in known:
            columns = (*COLUMNS, *plugins.columns())
            if (name := current_name(column)) not in columns and not name.startswith(("test_", BEST)):
                names = [*known, *(name for name in columns if name not in known)]
                problems.append(f"where: no column is called {column!r}; there are {nearest(column, names)}")
            continue  # else only the runs will tell
        levels = list(dict.fromkeys(row[column] for row in rows if column in row))
        texts = [str(level) for level in levels]
        fitted = [row[column] for row in left if column in row and not row["held_out"]]
        values: tuple[Cell, ...] = wanted if isinstance(wanted, tuple) else (wanted,)
        if wanted in ("max", "min") and fitted:
            if any(isinstance(level, str) for level in levels):
                problems.append(f"where: {column} is no number and has no {wanted}; it is {nearest('', texts)}")
                continue
            present = [level for level in fitted if isinstance(level, (int, float))]
            values = (max(present) if wanted == "max" else min(present),)
        elif missing := [value for value in values if value not in levels]:
            some = nearest(str(missing[0]), texts)
            problems.append(f"where: no rung has {column}={missing[0]}; {column} is {some}")
        left = [row for row in left if row.get(column) in values]
    if question.where and not problems and all(row["held_out"] for row in left):
        asked = " and ".join(f"{column}={wanted}" for column, wanted in question.where.items())
        problems.append(f"where: no rung that is fitted has {asked}; nothing is left to fit")
    return problems, left


def _law_of(question: Question, numbers: set[str], rows: Sequence[Observation]) -> Law:
    """The question's law; a formula reads the columns that the table will have."""
    law = named(question.law) if isinstance(question.law, str) else stored(question.law_spec)
    columns = sorted(numbers | {name for row in rows for name in row})
    return law.for_table(
        columns, question.columns, lambda name: sorted({str(row[name]) for row in rows if name in row})
    )


def _roles_of(spec: str | LawData, law: Law) -> set[str]:
    """The roles of columns that a law reads; a power law that does not name its axis takes the one that varies."""
    inputs = {"params", "tokens"} if spec in ("power", "power_floor") else set(law.inputs)
    return inputs | ({"params", "tokens"} if "flops" in inputs else set())


def _number_columns(ladder: Sequence[Rung], rows: Sequence[Observation]) -> set[str]:
    """The columns of numbers that the table of this study can have."""
    runs = [rung.run for rung in ladder if isinstance(rung.run, Run)]
    commands = [(rung.run, rung.held_out) for rung in ladder if isinstance(rung.run, CommandRun)]
    coordinates = _numeric_coordinates(ladder, rows)
    if not commands:
        return _columns_of_training(runs) | coordinates
    told = number_columns(commands)
    return (told & _columns_of_training(runs) if runs else told) | coordinates


def _columns_of_training(runs: Sequence[Run]) -> set[str]:
    of_tasks = {name for run in runs for name in getattr(run.task, "columns", ())}
    others = {name for name, (kind, _) in COLUMNS.items() if kind not in ("text", "yes/no")} - TASK_COLUMNS
    parts = [part for run in runs for part in (run.family, run.rule)]
    others |= {name for part in parts for name in getattr(part, "columns", ())}
    judged = {"loss", "bits_per_byte", *of_tasks}
    return others | of_tasks | {f"{part}{name}" for part in ("test_", BEST, f"{BEST}test_") for name in judged}


def _numeric_coordinates(ladder: Sequence[Rung], rows: Sequence[Observation]) -> set[str]:
    return {
        name
        for name in itertools.chain.from_iterable((axis, f"at_{axis}") for axis in _axes(ladder))
        if all(isinstance(row.get(name, 0), (int, float)) for row in rows)
    }


def _axes(ladder: Sequence[Rung]) -> list[str]:
    return list(dict.fromkeys(name for rung in ladder for name in rung.at))


def _keep_best(ladder: Sequence[Rung]) -> bool:
    """Whether every run keeps the weights of its lowest loss."""
    return all(isinstance(rung.run, Run) and rung.run.keep_best for rung in ladder)


def _parameter_problems(question: Question, law: Law, *, is_of_arms: bool) -> list[str]:
    problems = []
    held, fixed = law.holding(question.fixed)
    of_law = held.parameters
    bounds = bounds_of(held)
    for name, value in fixed.items():
        if name not in of_law:
            problems.append(f"fixed: {law.name} has no parameter {name!r}; it has {', '.join(of_law)}")
        elif not bounds[name][0] <= value <= bounds[name][1]:
            problems.append(f"fixed: {name} lies from {bounds[name][0]:g} to {bounds[name][1]:g}, got {value:g}")
    if set(of_law) <= set(fixed):
        problems.append(f"fixed: every parameter of {law.name} is fixed; nothing is left to fit")
    verdicts = ("verdict", "decision") if is_of_arms else ()
    known = (*of_law, *(("multiplier", *verdicts) if is_of_arms else ()))
    for name, planted in question.truth.items():
        if name not in known:
            whose = "a comparison of arms" if is_of_arms else f"a fit of {law.name}"
            problems.append(f"truth: {whose} finds no {name!r}; it finds {', '.join(known)}")
        elif isinstance(planted, str) != (name in verdicts):
            kind = "a text" if name in verdicts else "a number"
            problems.append(f"truth: {name}: expected {kind}, got {shown(planted)}")
    return problems
