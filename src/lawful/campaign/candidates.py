"""The runs that a campaign can choose: the rungs that its study reaches, with what they cost and where they lie."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lawful.command import CommandRun
from lawful.errors import DeclarationError
from lawful.fitting.data import LEAST_LEVELS
from lawful.fitting.goal import SHARES, Goal
from lawful.laws import Array, Law, has_axis, named, stored
from lawful.schema import Cell, PlannedRun, Question
from lawful.study import Rung, Study, planned_run
from lawful.study.rungs import is_of_ladder
from lawful.tables import current_name
from lawful.tables.responses import is_share


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A run that can be chosen.

    trunk    what it shares with the candidates that differ from it only in their length; "" where there are none
    point    its N and D
    """

    rung: Rung
    columns: Mapping[str, Cell]
    flops: float
    trunk: str
    point: tuple[float, float]

    @property
    def label(self) -> str:
        return self.rung.label

    def at(self, columns: Mapping[str, str]) -> dict[str, float]:
        """Where it lies on a law's axes. columns: axis -> column of the table."""
        found = {axis: self.columns.get(column) for axis, column in columns.items()}
        numbers = {axis: float(cell) for axis, cell in found.items() if isinstance(cell, (int, float))}
        if lacking := [columns[axis] for axis in found if axis not in numbers]:
            raise DeclarationError(
                f"--until: expected runs whose {', '.join(lacking)} is a number that is known before they run; "
                f"{self.label} has none."
            )
        return numbers


def asked_question(study: Study, goal: Goal) -> Question:
    """The question whose law the campaign narrows: the first whose law prices runs and knows the goal.

    Raises DeclarationError where there is none.
    """
    if study.arm is not None:
        raise DeclarationError(
            f"--until: expected a study of one arm, got one that compares {study.arm}: a campaign narrows the answer "
            "of one law. Run the arms as studies of their own, or the whole ladder without --until."
        )
    problems = []
    for question in study.questions:
        if question.law == "paired":
            problems.append(f"question {question.name!r}: it compares arms, and has no law.")
            continue
        try:
            _expect_loss(question)
            _expect_goal(goal, _priced_law(question), question.fixed)
        except DeclarationError as error:
            problems.append(f"question {question.name!r}: {error}")
            continue
        return question
    raise DeclarationError("--until: " + "\n  ".join(problems))


def _expect_loss(question: Question) -> None:
    """Raises DeclarationError before the first run where the metric is no loss, for which no run can be chosen."""
    if is_share(question.loss):
        raise DeclarationError(
            f"expected a law of a loss, got one of {question.loss}, a share of right answers. Ask for the loss of the "
            "same runs; or run the ladder without --until."
        )


def _priced_law(question: Question) -> Law:
    """Raises DeclarationError where it does not say what a run costs."""
    law = named(question.law) if isinstance(question.law, str) else stored(question.law_spec)
    inputs = set(law.inputs)
    if (has_axis(law) and ":" not in str(question.law)) or not ({"params", "tokens"} <= inputs or "flops" in inputs):
        raise DeclarationError(
            f"expected a law of params and tokens, or of flops, which says what a run costs; it has "
            f"{question.law if isinstance(question.law, str) else law.spec}. Ask for another (chinchilla, "
            "power_floor:flops)."
        )
    return law


def law_columns(question: Question) -> dict[str, str]:
    """Axis -> column, of those that the question's law reads."""
    roles = {"flops": "flops", **question.columns}
    return {axis: current_name(roles.get(axis, axis)) for axis in _priced_law(question).inputs}


def _expect_goal(goal: Goal, law: Law, fixed: Mapping[str, float]) -> None:
    """Raises DeclarationError before the first run where the law will not know the goal's answer."""
    inputs = set(law.inputs)
    if goal.name in fixed:
        raise DeclarationError(f"{goal.name} is fixed at {fixed[goal.name]:g}, and no run narrows it.")
    if goal.at is not None:
        if set(goal.at) != inputs:
            raise DeclarationError(f"{law.spec} reads {', '.join(law.inputs)}; the goal names {', '.join(goal.at)}.")
        return
    if inputs == {"params", "tokens"} and (goal.flops is not None or goal.name in SHARES):
        return
    if goal.flops is None and goal.name in law.parameters:
        return
    if goal.flops is None and goal.name in law.derived(dict.fromkeys(law.parameters, 0.5), dict.fromkeys(inputs, 1.0)):
        return
    names = ", ".join([*law.parameters, *(SHARES if inputs == {"params", "tokens"} else ())])
    raise DeclarationError(f"{law.spec} does not know {goal.text!r}; its parameters are {names}.")


def candidates_of(study: Study, question: Question) -> list[Candidate]:
    """Every rung of the ladder, and every one that is offered, that the question asks about; in their order.

    Raises DeclarationError where N, D or FLOPs of one are known only after it ran.
    """
    rungs = [rung for rung in (*study.ladder, *study.offered) if is_of_ladder(rung)]
    planned = [planned_run(rung, study.arm) for rung in rungs]
    rows = [{**run.at, **{f"at_{name}": value for name, value in run.at.items()}, **run.columns()} for run in planned]
    asked, shared = _asked(rows, question), _trunks(rungs)
    out = []
    for number, (rung, run, row, trunk) in enumerate(zip(rungs, planned, rows, shared, strict=True)):
        if number not in asked:
            continue
        point = row.get(current_name(question.params)), row.get(current_name(question.tokens))
        size, tokens = (float(cell) if isinstance(cell, (int, float)) else 0.0 for cell in point)
        if not (size > 0 and tokens > 0 and _cost(run)):
            raise DeclarationError(
                f"--until: expected runs whose parameters, tokens and FLOPs are known before they run; {run.rung} "
                "tells them only when it ends. Give params= and tokens= of the Command."
            )
        out.append(Candidate(rung=rung, columns=row, flops=_cost(run), trunk=trunk, point=(size, tokens)))
    columns = law_columns(question)
    for one in out:
        one.at(columns)
    if not out:
        raise DeclarationError(f"--until: no rung is one that the question {question.name!r} asks about.")
    return out


def expect_fittable(candidates: Sequence[Candidate], question: Question, budget: float) -> None:
    """Raises DeclarationError before the first run where no choice of these runs, within the budget, is enough for a
    fit of the question's law."""
    law = _priced_law(question)
    count = len(law.parameters) - len(question.fixed) + 1
    if len(candidates) < count:
        raise DeclarationError(
            f"--until: {law.name} needs at least {count} runs; the study reaches {len(candidates)} that are not held "
            "out. Add levels or seeds."
        )
    least = sum(sorted(one.flops for one in candidates)[:count])
    why = f"{count} runs"
    for axis, column in law_columns(question).items():
        if axis not in law.fitted_axes:
            continue
        cheapest: dict[float, float] = {}
        for one in candidates:
            at = round(math.log(one.at({axis: column})[axis]), 6)
            cheapest[at] = min(one.flops, cheapest.get(at, math.inf))
        if len(cheapest) < LEAST_LEVELS:
            raise DeclarationError(
                f"--until: a law in {axis} needs at least {LEAST_LEVELS} levels of it; the runs that can be chosen "
                f"have {len(cheapest)}. Add levels, or ask for a law without {axis}."
            )
        if (cost := sum(sorted(cheapest.values())[:LEAST_LEVELS])) > least:
            least, why = cost, f"{LEAST_LEVELS} levels of {axis}"
    if least > budget:
        raise DeclarationError(
            f"--budget: expected at least {least:.3g} FLOPs beside the held-out run, for {why}, without which "
            f"{law.name} cannot be fitted; {budget:.3g} are left beside it. Raise it, or offer cheaper runs."
        )


def _cost(run: PlannedRun) -> float:
    return 0.0 if "flops" in run.unknown else float(run.flops)


def _trunks(rungs: Sequence[Rung]) -> list[str]:
    names = ["" if isinstance(rung.run, CommandRun) else rung.run.trunk_id for rung in rungs]
    count = Counter(names)
    return [name if count[name] > 1 else "" for name in names]


def _asked(rows: Sequence[Mapping[str, Cell]], question: Question) -> set[int]:
    """Which rows the question's `where` will choose in the table: one condition after another, "max" and "min" over the
    rows that may be fitted."""
    left = list(range(len(rows)))
    for name, wanted in question.where.items():
        column = name if any(name in row for row in rows) else current_name(name)
        values: Sequence[Cell] = wanted if isinstance(wanted, tuple) else (wanted,)
        if wanted in ("max", "min"):
            fitted = [rows[i].get(column) for i in left if not rows[i]["held_out"]]
            numbers = [cell for cell in fitted if isinstance(cell, (int, float))]
            values = ((max if wanted == "max" else min)(numbers),) if numbers else ()
        left = [i for i in left if rows[i].get(column) in values]
    return set(left)


def space_filling(
    candidates: Sequence[Candidate], done: Sequence[Candidate], count: int, budget: float
) -> list[Candidate]:
    """At most `count` runs that lie far from each other and from those that are done, in log N and log D.

    Each takes at most half of what the budget leaves when the runs after it are the cheapest; where no run costs so
    little, half of what is left; the first, where that pays none, all of it.
    """
    if not candidates:
        return []
    logs = np.log([one.point for one in candidates])
    span = np.maximum(np.ptp(logs, axis=0), 1e-12)
    places = logs / span
    taken = [np.log(one.point) / span for one in done]
    flops = np.array([one.flops for one in candidates])
    least = flops.min()
    chosen: list[int] = []
    left = budget
    while len(chosen) < count:
        after = least * (count - len(chosen) - 1)
        is_left = np.ones(len(flops), dtype=bool)
        is_left[chosen] = False
        limits = ((left - after) / 2, left / 2, 0.0 if chosen else left)
        is_open = next((one for limit in limits if (one := is_left & (flops <= limit)).any()), None)
        if is_open is None:
            break
        pick = _farthest(places, taken, is_open, flops)
        chosen.append(pick)
        taken.append(places[pick])
        left -= flops[pick]
    return [candidates[i] for i in chosen]


def _farthest(places: Array, taken: Sequence[Array], is_open: Array, flops: Array) -> int:
    """The open place that is farthest from all taken ones; the cheapest of equals, and of all where none is taken."""
    if taken:
        distance = np.min([np.hypot(*(places - one).T) for one in taken], axis=0).round(9)
    else:
        distance = np.zeros(len(places))
    distance = np.where(is_open, distance, -math.inf)
    return int(np.lexsort((flops, -distance))[0])
