"""A plan that is ready to be written into a study's folder, and what every plan records; no torch."""

from __future__ import annotations

import datetime
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lawful
from lawful import trust
from lawful.command import CommandRun, trusted
from lawful.errors import DeclarationError, StoreError
from lawful.laws import named
from lawful.registry import installed_version
from lawful.replan import expect_room, replace_plan
from lawful.run import Run, to_json
from lawful.schema import PlannedRun, Question, Reported, StudyFile, StudyPlan, Versions
from lawful.storage.atomic import write_many_json
from lawful.storage.cache import sha256_of
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.storage.lease import claimed
from lawful.study import Rung, Study

PLANNING_PATIENCE = 1.0  # seconds in which a process that died while planning is told from one that lives


@dataclass(frozen=True, kw_only=True)
class Plan:
    """study    what becomes study.json
    runs     complete Runs, or commands, by id
    missing_data    why a corpus cannot be had on this machine; then the plan cannot be written
    """

    study: StudyPlan
    runs: Mapping[str, Run | CommandRun]
    missing_data: str | None = None

    def write(self, folder: Path, *, register: Callable[[], None] = lambda: None) -> None:
        """runs/ID/run.json each, then study.json, so that a folder with study.json is complete.

        register    called before anything is written, while no other process can plan into the folder
        Raises StoreError where the folder holds something else, or records of this study that would be lost, and while
        another process plans into it.
        """
        if self.missing_data:
            raise DeclarationError(self.missing_data)
        expect_room(folder, self.study)  # before anything is written there
        store = Store(folder)
        with claimed(store.planning, patience_seconds=PLANNING_PATIENCE) as lease:
            if lease is None:
                raise StoreError(
                    f"{folder}: another process is planning a study into this folder; look at what it made "
                    f"(`lawful status {folder}`), or choose another --out."
                )
            expect_room(folder, self.study)
            register()
            own = {run.id: to_json(run) for run in self.runs.values()}
            paths = {run.id: store.run(run.id) for run in self.runs.values()}
            changed = {
                path: own[run]
                for run, path in paths.items()
                if not path.exists() or (isinstance(self.runs[run], CommandRun) and read_json(path) != own[run])
            }
            write_many_json(changed)
            if commands := {run: own[run] for run in own if isinstance(self.runs[run], CommandRun)}:
                trust.remember(trusted.hash_of(commands), f"commands of {folder.resolve()}")
            replace_plan(folder, self.study)


def study_plan(
    study: Study,
    rungs: Sequence[Rung],
    runs: Sequence[PlannedRun],
    *,
    settings: Mapping[str, str] | None,
    command: str,
    study_file: Path | None,
) -> StudyPlan:
    """What the declaration says, with the planned runs; what was measured or prepared for them is still to be added."""
    return StudyPlan(
        name=study.name,
        question=study.question,
        scale=study.scale,
        settings=dict(settings or {}),
        held_out=dict(study.held_out),
        arm=study.arm,
        faults=tuple(study.faults),
        reported=tuple(
            Reported(at=entry["at"], figures={name: value for name, value in entry.items() if name != "at"})
            for entry in study.reported
        ),
        axes={
            name: tuple(dict.fromkeys(rung.at[name] for rung in rungs if name in rung.at))
            for name in dict.fromkeys(name for rung in rungs for name in rung.at)
        },
        runs=tuple(runs),
        questions=tuple(study.questions),
        corpora={},  # of commands none
        versions=versions(),
        command=command,
        study_file=None if study_file is None else own_file(study_file),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def import_laws(questions: Sequence[Question]) -> None:
    """The laws are imported here, as the study's own code was, so that they may answer later."""
    for question in questions:
        if isinstance(question.law, str) and question.law != "paired":
            named(question.law)


def own_file(path: Path) -> StudyFile:
    """The study's own file, which this user trusts from now on: it has run here."""
    sha256 = sha256_of(path)
    trust.remember(sha256, f"study file {path.resolve()}")
    return StudyFile(path=str(path.resolve()), sha256=sha256)


def versions() -> Versions:
    return Versions(
        lawful=lawful.__version__,
        commit=_commit(),
        python=platform.python_version(),
        platform=platform.platform(),
        torch=installed_version("torch"),  # commands are planned and fitted without it
        numpy=installed_version("numpy"),
        scipy=installed_version("scipy"),
    )


def _commit() -> str:
    """The commit of the checkout that lawful runs from, with "+changes" where files differ; "" for a package."""
    here = Path(__file__).resolve().parent
    try:
        head = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
        tracked = subprocess.run(
            ["git", "-C", str(here), "ls-files", "--error-unmatch", __file__], capture_output=True, timeout=10
        )
        changed = subprocess.run(
            ["git", "-C", str(here), "status", "--porcelain", "--untracked-files=no", "."],
            capture_output=True,
            text=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
    return "" if tracked.returncode else head + ("+changes" if changed else "")
