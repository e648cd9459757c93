"""From a study's folder to its table: one observation for each run that has ended."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Literal

from lawful.schema import Cell, CorpusRecord, Observation, PlannedRun, RunRecord, Status, StudyPlan
from lawful.storage.layout import Store
from lawful.tables import read_cells, with_current_names, write_csv

RunState = Status | Literal["waiting"]
OVER = ("finished", "diverged")  # a failed run is tried again


def observations(folder: Path) -> list[Observation]:
    """A row of tables.COLUMNS per run with a result.json, in the order of the plan; reads nothing but JSON."""
    store = Store(folder)
    study = store.read_study()
    ended = [(planned, store.read_result(planned.run)) for planned in study.runs]
    return [_row(study, planned, result) for planned, result in ended if result is not None]


def write_observations(folder: Path) -> list[Observation]:
    """Write the table and return its rows: those of the runs in runs/, and those of the old table whose run is not
    there.

    A folder may be shared without its runs, or copied in part. A row of the old table is then kept unchanged until its
    run has a result that says more. A row whose run is not in the plan (the study was planned again without it) gets a
    date in `left_plan`. The table is not written if the runs add nothing to it.
    """
    store = Store(folder)
    study = store.read_study()
    found = {str(row["run"]): row for row in observations(folder)}
    planned: dict[str, list[Observation]] = {run.run: [] for run in study.runs}
    others: list[Observation] = []
    is_changed = bool(found)
    for row in map(with_current_names, read_cells(store.observations)):
        run = row.get("run")
        if run not in planned:
            if run and not row.get("left_plan"):
                row["left_plan"] = study.created or "yes"
                is_changed = True
            others.append(row)
        elif run not in found or _worth(row) > _worth(found[run]):
            if row.get("left_plan"):
                row["left_plan"] = ""
                is_changed = True
            planned[run].append(row)
    for run, own in found.items():
        planned[run] = planned[run] or [own]
    rows = [*itertools.chain(*planned.values()), *others]
    if is_changed or not store.observations.exists():
        write_csv(store.observations, rows)
    return rows


def statuses(store: Store, study: StudyPlan) -> dict[str, RunState]:
    """Run id -> how it ended, or waiting, for every run of the plan.

    If a run has no record of its own (the folder was shared without its runs), the table says whether it is over.
    """
    found: dict[str, RunState] = {}
    in_table = over_in_table(store.observations)
    for run in (planned.run for planned in study.runs):
        if (result := store.read_result(run)) is not None:
            found[run] = result.status
        elif run in in_table and not store.metrics(run).exists():
            found[run] = "finished" if in_table[run]["status"] == "finished" else "diverged"
        else:
            found[run] = "waiting"
    return found


def over_in_table(path: Path) -> dict[str, dict[str, str]]:
    """The rows of a study's table whose runs are over, by run."""
    return {row["run"]: row for row in read_cells(path) if row.get("run") and _worth(row) == 2}


def begun(store: Store, study: StudyPlan) -> set[str]:
    """The runs of the plan that have begun. A run that failed before its first step has not."""
    known = {row.get("run") for row in read_cells(store.observations) if _worth(row)}
    known |= {run for run, status in statuses(store, study).items() if status in OVER}
    return {planned.run for planned in study.runs if planned.run in known or store.metrics(planned.run).exists()}


def _worth(row: Observation) -> int:
    """2: the run is over; 1: it is said to be finished, but has no loss; 0: it failed."""
    if row.get("status") == "finished":
        return 1 if row.get("loss") in (None, "") else 2
    return 2 if row.get("status") in OVER else 0


def _row(study: StudyPlan, planned: PlannedRun, result: RunRecord) -> dict[str, Cell]:
    """What the plan declared, then what training found; a coordinate that is no column becomes one."""
    return {
        "study": study.name,
        **planned.columns(),
        **({} if planned.kind == "command" else _corpus_columns(study.corpora[planned.corpus], planned.corpus)),
        **with_current_names(result.columns()),
        **{f"at_{name}": value for name, value in planned.at.items()},
    }


def _corpus_columns(corpus: CorpusRecord, name: str) -> dict[str, Cell]:
    return {
        "tokenizer": corpus.tokenizer,
        "vocabulary": corpus.vocabulary,
        "data_fingerprint": corpus.fingerprint,
        "validation_fingerprint": corpus.validation_fingerprint,
        "corpus": corpus.corpus or name,
    }
