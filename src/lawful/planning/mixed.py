"""The plan of a study that trains with our own loop beside somebody else's: each part planned as it is alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lawful import linter
from lawful.command import CommandRun
from lawful.planning.commands import plan_commands
from lawful.planning.plan import make_plan
from lawful.planning.probes import Progress, silent
from lawful.planning.written import Plan, study_plan
from lawful.run import Precision
from lawful.study import Study


def plan_mixed(
    study: Study,
    *,
    data: Path | None = None,
    device_name: str = "auto",
    workers: int = 0,
    cores: int = 1,
    stacked: int = 0,
    precision: Precision | None = None,
    settings: Mapping[str, str] | None = None,
    command: str = "",
    study_file: Path | None = None,
    is_timed: bool = True,
    is_elsewhere: bool = False,
    progress: Progress = silent,
) -> Plan:
    """As make_plan, of Runs and Commands in one ladder."""
    ours = make_plan(
        _part(study, is_of_commands=False),
        data=data,
        device_name=device_name,
        workers=workers,
        cores=cores,
        stacked=stacked,
        precision=precision,
        study_file=study_file,
        is_timed=is_timed,
        is_elsewhere=is_elsewhere,
        progress=progress,
    )
    theirs = plan_commands(_part(study, is_of_commands=True), cores=cores, study_file=study_file)
    by_rung = {planned.rung: planned for planned in (*ours.study.runs, *theirs.study.runs)}
    runs = [by_rung[rung.label] for rung in study.ladder]
    found = (*ours.study.warnings, *theirs.study.warnings, *linter.declared_commands(runs, study.arm))
    whole = replace(
        study_plan(study, study.ladder, runs, settings=settings, command=command, study_file=study_file),
        precision=ours.study.precision,
        precision_probe=ours.study.precision_probe,
        device=ours.study.device,
        gpus=ours.study.gpus,
        workers=ours.study.workers,
        corpora=ours.study.corpora,
        warnings=tuple(dict.fromkeys(found)),
    )
    return Plan(study=whole, runs={**ours.runs, **theirs.runs}, missing_data=ours.missing_data)


def _part(study: Study, *, is_of_commands: bool) -> Study:
    return study.of_rungs([rung for rung in study.ladder if isinstance(rung.run, CommandRun) == is_of_commands])
