"""The plan of a study whose runs are commands: their folders, the state of their code, and warnings; no torch."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lawful import linter
from lawful.checks import refuse_lines
from lawful.command import CommandRun, LogPattern
from lawful.command.code import Code
from lawful.command.declare import settled
from lawful.command.template import placed
from lawful.errors import DeclarationError
from lawful.planning.written import Plan, import_laws, study_plan
from lawful.schema import Warning
from lawful.study import Rung, Study, planned_run


def is_of_commands(study: Study) -> bool:
    return any(isinstance(rung.run, CommandRun) for rung in study.ladder)


def has_training(study: Study) -> bool:
    return not all(isinstance(rung.run, CommandRun) for rung in study.ladder)


def plan_commands(
    study: Study,
    *,
    workers: int = 0,
    cores: int = 1,
    settings: Mapping[str, str] | None = None,
    command: str = "",
    study_file: Path | None = None,
) -> Plan:
    """Settle where each command runs and which state of the code that is; nothing is started but git.

    workers    commands that run at once; 0: as many as there are `cores` for
    """
    import_laws(study.questions)
    base = Path.cwd() if study_file is None else study_file.resolve().parent
    runs = [(rung, rung.run) for rung in study.ladder if isinstance(rung.run, CommandRun)]
    codes: dict[Path, Code] = {}
    rungs: list[Rung] = []
    problems: dict[str, str] = {}  # what is wrong -> with which rung
    for rung, run in runs:
        try:
            rungs.append(replace(rung, run=_settled(run, base, codes)))
        except DeclarationError as error:
            problems.setdefault(str(error).removesuffix("."), rung.label)
    problems |= _shared_files(rungs)
    refuse_lines("the commands cannot be run", [f"{label}: {why}." for why, label in problems.items()])
    planned = [planned_run(rung, study.arm) for rung in rungs]
    most = max(run.cores for _, run in runs)
    own = replace(
        study_plan(study, rungs, planned, settings=settings, command=command, study_file=study_file),
        workers=workers or max(1, cores // most),
        warnings=(*_of_code(rungs), *linter.declared_commands(planned, study.arm)),
    )
    return Plan(study=own, runs={run.run: rung.run for run, rung in zip(planned, rungs, strict=True)})


def _settled(run: CommandRun, base: Path, codes: dict[Path, Code]) -> CommandRun:
    folder = (base / Path(run.cwd).expanduser()).resolve()
    if not folder.is_dir():
        raise DeclarationError(f"cwd: expected a folder, got {folder}, which is none")
    program = run.arguments("folder")[0]
    path = dict(run.environment).get("PATH")
    there = folder / program if "/" in program else shutil.which(program, path=path)
    if there is None or not Path(there).exists():
        raise DeclarationError(f"expected a program that is installed, got {program!r}")
    if folder not in codes:
        codes[folder] = Code(folder)
    return settled(run, cwd=str(folder), code=codes[folder].of(run.words))


def _shared_files(rungs: list[Rung]) -> dict[str, str]:
    """Files outside the runs' own folders from which several runs would read: one would take another's numbers."""
    readers: dict[Path, str] = {}
    problems = {}
    for rung in rungs:
        assert isinstance(rung.run, CommandRun)
        for source in rung.run.reads:
            if isinstance(source, LogPattern):
                continue
            path = Path("/own") / placed(source.file, "/own")
            if not path.is_relative_to("/own") or ".." in path.parts:
                other = readers.setdefault(path, rung.label)
                if other != rung.label:
                    why = f"reads: {other} and {rung.label} read the same file {source.file}; put {{folder}} or a name"
                    problems[f"{why} of the rung into it"] = rung.label
    return problems


def _of_code(rungs: list[Rung]) -> list[Warning]:
    bare = {rung.run.cwd for rung in rungs if isinstance(rung.run, CommandRun) and not rung.run.code}
    return [
        Warning(
            "code-unknown",
            "note",
            f"{folder} is in no git repository, and the command names no file in it: a change of the program will "
            "not be noticed.",
        )
        for folder in sorted(bare)
    ]
