"""The plan of a study that has commands beside our own runs: each kind is planned as it is alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lawful import linter
from lawful.command import CommandRun
from lawful.planning.commands import plan_commands
from lawful.planning.written import Plan
from lawful.study import Study


def with_commands(study: Study, ours: Plan, *, cores: int, study_file: Path | None) -> Plan:
    """The plan of the whole study. ours: that of its own runs alone."""
    commands = study.of_rungs([rung for rung in study.ladder if isinstance(rung.run, CommandRun)])
    theirs = plan_commands(commands, cores=cores, study_file=study_file)
    by_rung = {planned.rung: planned for planned in (*ours.study.runs, *theirs.study.runs)}
    runs = tuple(by_rung[rung.label] for rung in study.ladder)
    found = (*ours.study.warnings, *theirs.study.warnings, *linter.declared_commands(runs, study.arm))
    whole = replace(ours.study, runs=runs, warnings=tuple(dict.fromkeys(found)))
    return Plan(study=whole, runs={**ours.runs, **theirs.runs}, missing_data=ours.missing_data)
