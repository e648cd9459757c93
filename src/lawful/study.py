"""Study: a question, its ladder of rungs, and how it will be answered; declared before any training."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any

import lawful
from lawful import plugins, trust
from lawful.checks import (
    PositiveFloat,
    argument,
    check_fields,
    checked,
    conform,
    field_problems,
    in_file_of_user,
    nearest,
    refuse_lines,
    shown,
    words_of,
)
from lawful.command import Command, CommandRun
from lawful.command.planned import number_columns, planned_command
from lawful.errors import DeclarationError, LawfulError
from lawful.laws import Law, bounds_of, label, named, stored
from lawful.run import STUDY_FILE, Run
from lawful.schema import Cell, Coordinate, LawData, Observation, PlannedRun, StudyPlan
from lawful.schema import Question as Question
from lawful.tables import BEST, COLUMNS, TASK_COLUMNS, current_name

Coordinates = Mapping[str, Coordinate]
Scale = typing.Literal["smoke", "quick", "full", "published"]
SCALES: tuple[str, ...] = typing.get_args(Scale)
MOST_RUNGS = 100_000  # of a grid; more is a slip, and would fill the memory before anybody is told
LONGEST_NAME = 100  # letters; names become file names, which hold 255 bytes


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A run at named coordinates: fitted, held out, or part of a learning-rate bracket.

    run         a Run, or a Command, which is filled in with the coordinates
    bracket     how many times the rate of the rung whose other coordinates it shares; never fitted, only looked at for
                whether the ladder's own rate is the best of those tried. Its coordinate is called `rate`
    """

    at: Coordinates
    run: Run | CommandRun
    held_out: bool = False
    bracket: PositiveFloat | None = None

    def __init__(
        self,
        *,
        at: Coordinates,
        run: Run | Command | CommandRun,
        held_out: bool = False,
        bracket: float | None = None,
    ) -> None:
        given = {"at": at, "run": run, "held_out": held_out, "bracket": bracket}
        for name, value in given.items():
            object.__setattr__(self, name, value)
        if not isinstance(run, (Run, Command, CommandRun)):
            raise DeclarationError(f"Rung: run: expected a Run or a Command, got {shown(run)}.")
        if isinstance(run, Command):
            object.__setattr__(self, "run", run.filled(at))
        check_fields(self)
        if type(seed := self.at.get("seed", 0)) is not int:
            raise DeclarationError(f"Rung: at: seed: expected a whole number, got {shown(seed)}.")

    @property
    def label(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.at.items())

    @property
    def seed(self) -> int:
        return int(self.at.get("seed", 0 if isinstance(self.run, CommandRun) else self.run.init_seed))

    @property
    def training(self) -> Run:
        """The Run. Raises DeclarationError for a command."""
        if isinstance(self.run, CommandRun):
            raise DeclarationError(f"{self.label}: expected a Run, got the command {shown(self.run.text)}.")
        return self.run

    @property
    def starts_from(self) -> Run | None:
        return None if isinstance(self.run, CommandRun) else self.run.starts_from


@dataclass(frozen=True, kw_only=True)
class Study:
    """A declaration; all its problems are reported at once, before the first second of training.

    held_out    column of `at` -> value: those rungs are never fitted, only predicted
    arm         the coordinate that names the arms, if the study compares any
    faults      what is known to be wrong with this design as evidence; the plan and the report print it
    reported    figures that others published for rungs of this ladder, laid beside ours: each {"at": coordinates,
                name: value, ...}
    """

    name: str
    question: str
    ladder: Sequence[Rung]
    questions: Sequence[Question]
    held_out: Mapping[str, Coordinate] = field(default_factory=dict)
    arm: str | None = None
    scale: str = "quick"
    faults: Sequence[str] = ()
    reported: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        head = f"study {shown(self.name)} cannot be planned"
        refuse_lines(head, [f"{problem}." for problem in field_problems(self).values()])
        marked = [replace(rung, held_out=rung.held_out or self._matches_held_out(rung)) for rung in self.ladder]
        object.__setattr__(self, "ladder", tuple(marked))
        refuse_lines(head, [*self._of_names(), *self._of_ladder(), *self._of_reported(), *self._of_questions()])

    @property
    def _axes(self) -> dict[str, list[Coordinate]]:
        names = dict.fromkeys(name for rung in self.ladder for name in rung.at)
        return {name: sorted({rung.at[name] for rung in self.ladder if name in rung.at}, key=_order) for name in names}

    def _of_names(self) -> list[str]:
        names = [question.name for question in self.questions]
        problems = [
            f"{what}: expected a name that can be a file's, got {shown(name)}."
            for what, name in (("name", self.name), ("scale", self.scale), *(("question", name) for name in names))
            if not _is_file_name(name)
        ]
        problems += [
            f"question {name!r}: expected a name without --, which divides a question from its arm."
            for name in names
            if "--" in name
        ]
        return problems + [
            f"questions: two are called {name!r}; each needs its own name."
            for name in sorted({name for name in names if names.count(name) > 1})
        ]

    def _of_ladder(self) -> list[str]:
        """What is wrong with the rungs, whatever is asked of them."""
        if not self.ladder:
            return ["ladder: expected at least one rung, got none."]
        problems = []
        for name, value in self.held_out.items():
            levels = self._axes.get(name, [])
            if value not in levels:
                some = ", ".join(str(level) for level in levels) or "not an axis here"
                problems.append(f"held_out: no rung has {name}={value}; {name}s are {some}.")
        runs = {rung.run for rung in self.ladder}
        for rung in self.ladder:
            if (parent := rung.starts_from) is None:
                continue
            if parent not in runs:
                problems.append(f"ladder: {rung.label} starts from a run that is not in this ladder.")
            if parent.starts_from is not None or parent.family != rung.training.family:
                problems.append(
                    f"ladder: {rung.label} must start from a run of the same family that started from nothing itself."
                )
        labels: dict[str, str] = {}
        runs_of: dict[str, str] = {}
        for rung in self.ladder:
            if runs_of.setdefault(rung.label, rung.run.id) != rung.run.id:
                problems.append(
                    f"ladder: two different runs are called {rung.label}; give them a coordinate that tells them apart."
                )
            if rung.run.id not in labels:
                labels[rung.run.id] = rung.label
            elif labels[rung.run.id] == rung.label:
                problems.append(f"ladder: {rung.label} is listed twice; a run is trained once.")
            else:
                first = labels[rung.run.id]
                problems.append(f"ladder: {first} and {rung.label} are the same run; some coordinate is not used.")
        if not self._fitted:
            problems.append(
                "held_out: every rung is held out, or only tries another learning rate; nothing is left to fit."
            )
        elif self.arm is not None:
            problems += self._of_arms(self.arm)
        return problems

    def _of_arms(self, arm: str) -> list[str]:
        if arm not in self._axes:
            return [f"arm: no axis is called {arm!r}; the axes are {', '.join(self._axes)}."]
        if without := [rung.label for rung in self.ladder if arm not in rung.at]:
            return [f"arm: every rung needs the coordinate {arm!r}; {without[0]} has none."]
        levels = dict.fromkeys(str(rung.at[arm]) for rung in self._fitted)
        if len(levels) < 2:
            return [f"arm: expected at least two values of {arm!r} to compare, got {', '.join(levels)}; leave arm out."]
        return []

    def _of_reported(self) -> list[str]:
        problems = []
        for number, entry in enumerate(self.reported, start=1):
            try:
                at = conform(entry.get("at"), Coordinates)
                conform({name: value for name, value in entry.items() if name != "at"}, Mapping[str, float])
            except DeclarationError as error:
                problems.append(f"reported, number {number}: {error}.")
                continue
            problems += [
                f"reported, number {number}: no axis is called {name!r}; the axes are {', '.join(self._axes)}."
                for name in at
                if name not in self._axes
            ]
        return problems

    def _of_questions(self) -> list[str]:
        if not self.questions:
            return ["questions: expected at least one, got none; nothing would be fitted."]
        arm = self.arm if all(self.arm in rung.at for rung in self.ladder) else None  # else it is said already
        rows = [_planned_row(rung, arm) for rung in self.ladder if _is_of_ladder(rung)]
        return [
            f"question {question.name!r}: {problem}."
            for question in self.questions
            for problem in _question_problems(question, self, rows)
        ]

    @property
    def _fitted(self) -> list[Rung]:
        return [rung for rung in self.ladder if _is_of_ladder(rung) and not rung.held_out]

    def _matches_held_out(self, rung: Rung) -> bool:
        if not self.held_out or rung.starts_from is not None:  # a fine-tuning is never fitted, nor forecast
            return False
        return all(rung.at.get(name) == value for name, value in self.held_out.items())


def planned_run(rung: Rung, arm: str | None, *, corpus: str = "") -> PlannedRun:
    """What is known of a run before it is trained, but for what it costs here."""
    if isinstance(rung.run, CommandRun):
        own_arm = str(rung.at[arm]) if arm else ""
        return planned_command(
            rung.run, label=rung.label, at=rung.at, held_out=rung.held_out, arm=own_arm, seed=rung.seed
        )
    run = rung.run
    counts = run.family.param_counts()
    return PlannedRun(
        run=run.id,
        rung=rung.label,
        at=dict(rung.at),
        held_out=rung.held_out,
        bracket=rung.bracket,
        starts_from="" if run.starts_from is None else run.starts_from.id,
        cluster=run.trunk_id,
        params_by_group=dict(counts.by_group),
        arm=str(rung.at[arm]) if arm else "",
        seed=rung.seed,
        params_total=counts.total,
        params_embedding=counts.embedding,
        params_non_embedding=counts.non_embedding,
        tokens=run.tokens,
        flops=int(run.rule.training_flops_per_token(run.family, run.context) * run.tokens),
        flops_6nd=6 * counts.non_embedding * run.tokens,
        steps=run.steps,
        batch_tokens=run.batch_size * run.context,
        context=run.context,
        learning_rate=run.optimizer.learning_rate,
        weight_decay=run.optimizer.weight_decay,
        schedule=run.schedule.shape,
        precision=run.precision,
        family=type(run.family).__name__,
        decay_start=run.decay_start,
        decay_fraction=float(run.schedule.decay_fraction) if run.schedule.shape == "wsd" else None,
        rate_floor=None if run.schedule.shape == "constant" else float(run.schedule.floor),
        corpus=corpus,
    )


# what a question's `where` may name of a run that is not trained yet, beside its coordinates; the plan settles more
_KNOWN_BEFORE = (
    *("rung", "held_out", "arm", "seed", "params_total", "params_embedding", "params_non_embedding", "tokens", "flops"),
    *("flops_6nd", "steps", "batch_tokens", "context", "learning_rate", "weight_decay", "schedule", "family"),
)


def _planned_row(rung: Rung, arm: str | None) -> Observation:
    """The columns that are known before training, with the rung's coordinates."""
    columns = planned_run(rung, arm).columns()
    own = {name: columns[name] for name in _KNOWN_BEFORE if name in columns}
    return {**rung.at, **{f"at_{name}": value for name, value in rung.at.items()}, **own}


def _is_of_ladder(rung: Rung) -> bool:
    """As table.is_of_ladder says of its row."""
    return rung.bracket is None and rung.starts_from is None


def _question_problems(question: Question, study: Study, rows: Sequence[Observation]) -> list[str]:
    """Why a question could never be answered by these runs. rows: what is known of the ladder before it is trained."""
    problems, matching = _matching(question, rows)
    arms = {row["arm"] for row in matching if not row["held_out"]} - {""}
    numbers = _number_columns(study, rows)
    read = {"loss"}
    law: Law | None = None
    if question.law == "paired":
        axes = [axis for axis in study._axes if axis != study.arm]
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
        elif column is not None and current_name(column).startswith(BEST) and not _keep_best(study):
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


def _number_columns(study: Study, rows: Sequence[Observation]) -> set[str]:
    """The columns of numbers that the table of this study can have."""
    runs = [rung.run for rung in study.ladder if isinstance(rung.run, Run)]
    commands = [(rung.run, rung.held_out) for rung in study.ladder if isinstance(rung.run, CommandRun)]
    coordinates = _numeric_coordinates(study, rows)
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


def _numeric_coordinates(study: Study, rows: Sequence[Observation]) -> set[str]:
    return {
        name
        for name in itertools.chain.from_iterable((axis, f"at_{axis}") for axis in study._axes)
        if all(isinstance(row.get(name, 0), (int, float)) for row in rows)
    }


def _keep_best(study: Study) -> bool:
    """Whether every run keeps the weights of its lowest loss."""
    return all(isinstance(rung.run, Run) and rung.run.keep_best for rung in study.ladder)


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


ROLES = ("params", "tokens", "flops", "unique_tokens")


def _is_file_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and name.isprintable() and name[0] not in ".-" and not set(name) & set("/\\")


def grid(rung: Callable[..., Run | Command], **axes: Sequence[Coordinate]) -> list[Rung]:
    """Every combination of the axes' values, as rungs of the run that `rung(**coordinates)` returns. What is wrong with
    any of them is told of all at once."""
    levels = {name: _levels(name, values) for name, values in axes.items()}
    _expect_arguments("grid", rung, levels)
    empty = [name for name, values in levels.items() if len(values) == 0]
    if empty:
        raise DeclarationError(f"grid: expected values on every axis, got none for {', '.join(empty)}.")
    if (size := math.prod(map(len, levels.values()))) > MOST_RUNGS:
        raise DeclarationError(f"grid: expected at most {MOST_RUNGS:,} rungs, got {size:,}.")
    rungs: list[Rung] = []
    wrong: dict[str, list[str]] = {}  # what is wrong -> with which rungs
    for point in product(*levels.values()):
        at = dict(zip(levels, point, strict=True))
        try:
            rungs.append(Rung(at=at, run=rung(**at)))
        except LawfulError as error:
            wrong.setdefault(str(error), []).append(",".join(f"{name}={value}" for name, value in at.items()))
    refuse_lines(
        "grid: these rungs cannot be declared",
        [f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {why}" for why, names in wrong.items()],
    )
    return rungs


def _levels(name: str, values: Any) -> tuple[Coordinate, ...]:
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
        raise DeclarationError(f"grid: {name}: expected a sequence of values, got {shown(values)}.")
    if len(values) > MOST_RUNGS:
        raise DeclarationError(f"grid: {name}: expected at most {MOST_RUNGS:,} values, got {len(values):,}.")
    return tuple(argument(f"grid: {name}", value, Coordinate) for value in values)


def _expect_arguments(what: str, rung: Callable[..., Run | Command], at: Mapping[str, Any]) -> None:
    """Raises DeclarationError where the function cannot be called by these names."""
    try:
        inspect.signature(rung).bind(**at)
    except TypeError as error:
        own = f"{getattr(rung, '__name__', 'rung')}{inspect.signature(rung)}"
        raise DeclarationError(
            f"{what}: expected the arguments of {own} as coordinates, got {', '.join(at) or 'none'} ({error})."
        ) from None


@checked
def bracket(
    rung: Callable[..., Run | Command], at: Coordinates, times: Sequence[PositiveFloat] = (0.5, 2.0)
) -> list[Rung]:
    """The run at `at` again, at multiples of its learning rate and nothing else changed."""
    _expect_arguments("bracket", rung, at)
    run = rung(**at)
    if isinstance(run, Command):
        raise DeclarationError("bracket: expected a rung that is a Run, got a Command; add its rate as a coordinate.")
    return [
        Rung(
            at={**at, "rate": factor},
            run=replace(run, optimizer=replace(run.optimizer, learning_rate=factor * run.optimizer.learning_rate)),
            bracket=factor,
        )
        for factor in times
    ]


def count(text: str | int | float) -> int:
    """1e6, 10M, 1_000_000, 4k, 2B are all counts. Raises LawfulError with what was expected."""
    if isinstance(text, (int, float)):
        number = float(text)
    else:
        cleaned = text.strip().replace("_", "")
        scale = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}.get(cleaned[-1:].lower(), 1.0)
        try:
            number = float(cleaned[:-1] if scale != 1.0 else cleaned) * scale
        except ValueError:
            raise DeclarationError(f"expected a count such as 1e6, 10M or 1_000_000, got {text!r}.") from None
    if not (0 <= number < math.inf and number == round(number)):
        raise DeclarationError(f"expected a whole number of at least 0, got {text!r}.")
    return round(number)


def declare(module: ModuleType, scale: str | None = None, settings: Mapping[str, str] | None = None) -> Study:
    """The Study that a study file declares: its value `study`, or what its function `study(scale, **settings)` gives.

    settings    the texts of --set NAME=VALUE, converted by the function's annotations; an unknown name is an error
                that lists the known ones
    """
    settings = dict(settings or {})
    name = _file_of_user(module) or module.__name__
    found = getattr(module, "study", None)
    if isinstance(found, Study):
        if settings or scale not in (None, found.scale):
            raise DeclarationError(
                f"{name}: its study is a fixed value and takes neither --scale nor --set; "
                "make `study` a function of scale and typed settings to allow them."
            )
        return found
    if not callable(found):
        raise DeclarationError(f"{name}: expected a Study or a function that returns one, called `study`; got none.")
    known = _parameters(module)
    given: dict[str, Any] = {}
    if scale is not None:
        if not (scales := scales_of(module)):
            raise DeclarationError(f"{name}: this study has no scales; leave --scale out.")
        if scale not in scales:
            raise DeclarationError(f"--scale: expected one of {', '.join(scales)}, got {scale!r}.")
        given["scale"] = scale
    for setting, text in settings.items():
        if setting not in known or setting == "scale":
            names = ", ".join(sorted(set(known) - {"scale"})) or "none"
            raise DeclarationError(f"--set: this study has no setting {setting!r}; it has {names}.")
        try:
            given[setting] = convert(text, known[setting])
        except LawfulError as error:
            raise DeclarationError(f"--set {setting}: {str(error).removesuffix('.')}.") from None
    needed = inspect.signature(found).parameters
    if missing := [name for name in known if name not in given and needed[name].default is inspect.Parameter.empty]:
        options = ("--scale NAME" if one == "scale" else f"--set {one}=VALUE" for one in missing)
        raise DeclarationError(f"{name}: this study has no default for {', '.join(missing)}; give {' '.join(options)}.")
    with in_file_of_user(_file_of_user(module)):
        study = found(**given)
    if not isinstance(study, Study):
        raise DeclarationError(f"{name}: expected study() to return a Study, got {shown(study)}.")
    return study


def scales_of(module: ModuleType) -> tuple[str, ...]:
    """The scales that a study file takes: those of the annotation Literal; where it has none, its default and the usual
    ones; none where it takes no scale."""
    kind = _parameters(module).get("scale")
    if kind is None:
        return ()
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)
    usual = inspect.signature(module.study).parameters["scale"].default
    return tuple(dict.fromkeys((*([usual] if isinstance(usual, str) else []), *SCALES)))


def settings_of(module: ModuleType) -> dict[str, str]:
    """The settings that a study file takes: name -> what it is, and its default where it has one."""
    kinds = {name: kind for name, kind in _parameters(module).items() if name != "scale"}
    usual = inspect.signature(module.study).parameters if kinds else {}
    defaults = {name: usual[name].default for name in kinds}
    return {
        name: words_of(_without_none(kind))
        + ("" if defaults[name] in (None, inspect.Parameter.empty, "", ()) else f", default {_as_set(defaults[name])}")
        for name, kind in kinds.items()
    }


def _without_none(kind: Any) -> Any:
    """None beside a type is for leaving the setting out."""
    options = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, UnionType) else ()
    kept = tuple(option for option in options if option is not type(None))
    return typing.Union[kept] if kept else kind  # noqa: UP007  # of types that are known only now


def _as_set(value: object) -> str:
    """As --set takes it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _parameters(module: ModuleType) -> dict[str, Any]:
    """What a study's function can be told by name, and of what type: as annotated, or as its default."""
    found = getattr(module, "study", None)
    if isinstance(found, Study) or not callable(found):
        return {}
    with in_file_of_user(_file_of_user(module)):
        hints = typing.get_type_hints(found, include_extras=True)
    known = {}
    for name, parameter in inspect.signature(found).parameters.items():
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            usual = str if parameter.default in (None, parameter.empty) else type(parameter.default)
            known[name] = hints.get(name, usual)
    return known


def _file_of_user(module: ModuleType) -> str | None:
    """The file of a study that is not one of lawful's own."""
    path = getattr(module, "__file__", None)
    own = Path(lawful.__file__).parent
    return None if path is None or Path(path).is_relative_to(own) else path


def convert(text: str, kind: Any) -> Any:
    """A setting's text as its annotated type; None beside a type (`int | None`) is for leaving it out."""
    base = kind.__origin__ if typing.get_origin(kind) is typing.Annotated else kind
    origin, options = typing.get_origin(base), typing.get_args(base)
    options = tuple(option for option in options if option is not type(None))
    if origin in (typing.Union, UnionType):
        return convert(text, options[0])
    if origin is tuple:
        values = tuple(convert(part.strip(), options[0]) for part in text.split(",") if part.strip())
        if not values or len(set(values)) < len(values):
            raise DeclarationError(f"expected values with commas between them, each once, got {text!r}")
        return values
    if origin is typing.Literal:
        return conform({str(option): option for option in options}.get(text, text), kind)
    if base is int:
        return conform(count(text), kind)
    if base is float:
        try:
            number = float(text)
        except ValueError:
            raise DeclarationError(f"expected a number, got {text!r}") from None
        return conform(number, kind)
    if base is bool:
        if text.lower() not in ("yes", "no", "true", "false"):
            raise DeclarationError(f"expected yes or no, got {text!r}")
        return text.lower() in ("yes", "true")
    if base is str or base is Any:
        return text
    raise DeclarationError(f"a setting is a number, a text, yes or no, or several of one kind; its type is {base}")


def import_file(path: Path, *, sha256: str | None = None) -> ModuleType:
    """Import a user's own study file under the name `study_file`. This runs it, as `python FILE` would.

    sha256      what the file had when the study was planned; a changed file is refused
    """
    if not path.is_file() or path.suffix != ".py":
        what = f"a {path.suffix or 'file without suffix'}" if path.is_file() else "no such file"
        raise DeclarationError(f"{path}: expected a study's Python file, got {what}.")
    text = path.read_bytes()
    digest = hashlib.sha256(text).hexdigest()
    if sha256 is not None and digest != sha256:
        raise DeclarationError(
            f"{path}: expected the study file as it was planned (SHA-256 {sha256[:12]}), got a changed one "
            f"({digest[:12]}); `lawful run {path} --out DIR` plans it again and keeps the runs that are unchanged; "
            f"`lawful extend DIR {path}` adds rungs to a finished study."
        )
    with in_file_of_user(path):
        return trust.run_file(path, STUDY_FILE, text)


def own_file(study: StudyPlan) -> tuple[Path, str] | None:
    """The study's own Python file and its SHA-256 when it was planned, as study.json names them; None without one."""
    known = study.study_file
    return None if known is None else (Path(known.path), known.sha256)


def trusted_file(study: StudyPlan, folder: Path, *, trusted: str = "") -> tuple[Path, str] | None:
    """As own_file; raises StoreError where it may not run: neither has this user run a file of that SHA-256, nor is it
    `trusted`, the one that whoever started this process allowed."""
    known = own_file(study)
    if known is not None and known[1] != trusted and not trust.is_trusted(known[1]):
        raise trust.refusal(folder / "study.json", *known)
    return known


def own_module(study: StudyPlan, folder: Path, *, trusted: str = "") -> str | None:
    """Run the study's own file, if it has one and it may run, as it was planned; the module's name, for from_json."""
    known = trusted_file(study, folder, trusted=trusted)
    return import_file(known[0], sha256=known[1]).__name__ if known else None


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value
