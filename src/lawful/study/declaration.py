"""Study: a question, its ladder of rungs, and how it will be answered; declared before any training."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lawful.checks import (
    conform,
    field_problems,
    refuse_lines,
    shown,
)
from lawful.errors import DeclarationError
from lawful.schema import Coordinate, Question
from lawful.study.questions import question_problems
from lawful.study.rungs import Coordinates, Rung, is_of_ladder, planned_row

LONGEST_NAME = 100  # letters; names become file names, which hold 255 bytes


@dataclass(frozen=True, kw_only=True)
class Study:
    """A declaration; all its problems are reported at once, before the first second of training.

    held_out    column of `at` -> value: those rungs are never fitted, only predicted
    arm         the coordinate that names the arms, if the study compares any
    faults      what is known to be wrong with this design as evidence; the plan and the report print it
    reported    figures that others published for rungs of this ladder, laid beside ours: each {"at": coordinates,
                name: value, ...}
    offered     rungs beside the ladder that a campaign (`lawful run --until`) may choose; those of the ladder that are
                marked so (Rung.is_offered) are moved here
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
    offered: Sequence[Rung] = ()

    def __post_init__(self) -> None:
        head = f"study {shown(self.name)} cannot be planned"
        refuse_lines(head, [f"{problem}." for problem in field_problems(self).values()])
        given = [*self.ladder, *(replace(rung, is_offered=True) for rung in self.offered)]
        marked = [replace(rung, held_out=rung.held_out or self._matches_held_out(rung)) for rung in given]
        object.__setattr__(self, "ladder", tuple(rung for rung in marked if not rung.is_offered))
        object.__setattr__(self, "offered", tuple(rung for rung in marked if rung.is_offered))
        refuse_lines(head, [*self._of_names(), *self._of_ladder(), *self._of_reported(), *self._of_questions()])

    def of_rungs(self, ladder: Sequence[Rung]) -> Study:
        """With this ladder alone, unchecked: what holds of the whole, such as its questions, need not hold of a
        part."""
        part = copy.copy(self)
        object.__setattr__(part, "ladder", tuple(ladder))
        object.__setattr__(part, "offered", ())
        return part

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
        """The problems of the rungs that do not depend on the questions."""
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
        for rung in (*self.ladder, *self.offered):
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
        arm = self.arm if all(self.arm in rung.at for rung in self.ladder) else None  # else: listed already
        rows = [planned_row(rung, arm) for rung in self.ladder if is_of_ladder(rung)]
        return [
            f"question {question.name!r}: {problem}."
            for question in self.questions
            for problem in question_problems(question, self.ladder, self.arm, rows)
        ]

    @property
    def _fitted(self) -> list[Rung]:
        return [rung for rung in self.ladder if is_of_ladder(rung) and not rung.held_out]

    def _matches_held_out(self, rung: Rung) -> bool:
        if not self.held_out or rung.starts_from is not None:  # a fine-tuning is never fitted, nor forecast
            return False
        return all(rung.at.get(name) == value for name, value in self.held_out.items())


def _is_file_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and name.isprintable() and name[0] not in ".-" and not set(name) & set("/\\")


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value
