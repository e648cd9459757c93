"""Records of a study for tests, built through the real types."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lawful.schema import PlannedRun, StudyPlan
from lawful.storage.codec import write_study
from lawful.storage.layout import Store


def planned_run(run: str, **fields: Any) -> PlannedRun:
    """A small run of that id; its rung and cluster are called by the id, unless said otherwise."""
    return replace(PlannedRun.example(), run=run, **{"rung": run, "cluster": run, **fields})


def write_plan(folder: Path, *runs: PlannedRun, **fields: Any) -> StudyPlan:
    """A study of these runs into folder/study.json."""
    study = replace(StudyPlan.example(), runs=runs, **fields)
    write_study(Store(folder).study, study)
    return study


def edit_plan(folder: Path, **fields: Any) -> StudyPlan:
    """The plan that lies in the folder, with other values of some fields."""
    study = replace(Store(folder).read_study(), **fields)
    write_study(Store(folder).study, study)
    return study
