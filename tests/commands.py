"""A small study of commands, for tests: trainers are plain Python scripts that the tests write."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lawful.command import Command, LogPattern
from lawful.command.record import CommandRun
from lawful.planning.commands import plan_commands
from lawful.planning.written import Plan
from lawful.schema import PlannedRun, RunRecord
from lawful.storage.layout import Store
from lawful.study import Question, Rung, Study

QUESTION = Question(name="size", asks="How does the loss fall with size?", law="power_floor:params")
VAL_LOSS = LogPattern("val loss {loss}")


def script(folder: Path, text: str, name: str = "train.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def command(arguments: str = "", *, program: str = "train.py", **settings: Any) -> Command:
    known: dict[str, Any] = {"params": 1000, "tokens": 10_000, "reads": VAL_LOSS}
    return Command(f"{sys.executable} {program} {arguments}", **{**known, **settings})


def one(folder: Path, text: str, arguments: str = "", **settings: Any) -> CommandRun:
    """The one run of a planned study, whose program is `text`."""
    script(folder, text)
    planned = plan_one(folder, command(arguments, **settings))
    (run,) = planned.runs.values()
    assert isinstance(run, CommandRun)
    return run


def plan_one(folder: Path, run: Command, at: dict[str, Any] | None = None) -> Plan:
    planned = plan(folder, [Rung(at=at or {"seed": 0}, run=run)])
    planned.write(folder / "out")
    return planned


def plan(folder: Path, ladder: Sequence[Rung], **settings: Any) -> Plan:
    study = Study(name="toy", question="How?", ladder=ladder, questions=[QUESTION], **settings)
    return plan_commands(study, study_file=script(folder, "", "study.py"))


def store(folder: Path) -> Store:
    return Store(folder / "out")


def only(folder: Path) -> tuple[PlannedRun, RunRecord]:
    """The run of a study of one, and how it ended."""
    (planned,) = store(folder).read_study().runs
    result = store(folder).read_result(planned.run)
    assert result is not None
    return planned, result
