"""From a study's folder to its table: one observation for each run that has ended."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.tables import read_cells, with_current_names, write_csv

OVER = ("finished", "diverged")  # a failed run is tried again


def observations(folder: Path) -> list[dict[str, Any]]:
    """A row of table.COLUMNS per run with a result.json, in the order of the plan; reads nothing but JSON."""
    store = Store(folder)
    study = store.read_study()
    rows = []
    for rung in study["rungs"]:
        if store.result(rung["id"]).exists():
            result = read_json(store.result(rung["id"]))
            rows.append(_row(study, rung, result))
    return rows


def write_observations(folder: Path) -> list[Mapping[str, Any]]:
    """Write the table and return its rows: those of the runs in runs/, and those of the old table whose run is not
    there.

    A folder may be shared without its runs, or copied in part. A row of the old table is then kept unchanged until its
    run has a result that says more. A row whose run is not in the plan (the study was planned again without it) gets a
    date in `left_plan`. The table is not written if the runs add nothing to it.
    """
    store = Store(folder)
    study = store.read_study()
    found = {row["run"]: row for row in observations(folder)}
    planned: dict[str, list[Mapping[str, Any]]] = {rung["id"]: [] for rung in study["rungs"]}
    others = []
    is_changed = bool(found)
    for row in map(with_current_names, read_cells(store.observations)):
        run = row.get("run")
        if run not in planned:
            if run and not row.get("left_plan"):
                row["left_plan"] = str(study.get("created") or "yes")
                is_changed = True
            others.append(row)
        elif run not in found or _worth(row) > _worth(found[run]):
            if row.get("left_plan"):
                row["left_plan"] = ""
                is_changed = True
            planned[run].append(row)
    for run, row in found.items():
        planned[run] = planned[run] or [row]
    rows = [*itertools.chain(*planned.values()), *others]
    if is_changed or not store.observations.exists():
        write_csv(store.observations, rows)
    return rows


def statuses(store: Store, study: Mapping[str, Any]) -> dict[str, str]:
    """Run id -> finished, diverged, failed or waiting, for every run of the plan.

    If a run has no record of its own (the folder was shared without its runs), the table says whether it is over.
    """
    found = {}
    in_table = over_in_table(store)
    for rung in study["rungs"]:
        run = rung["id"]
        if store.result(run).exists():
            found[run] = str(read_json(store.result(run))["status"])
        elif run in in_table and not store.metrics(run).exists():
            found[run] = in_table[run]["status"]
        else:
            found[run] = "waiting"
    return found


def over_in_table(store: Store) -> dict[str, dict[str, str]]:
    """The rows of the table whose runs are over, by run."""
    return {row["run"]: row for row in read_cells(store.observations) if row.get("run") and _worth(row) == 2}


def begun(store: Store, study: Mapping[str, Any]) -> set[str]:
    """The runs of the plan that have begun. A run that failed before its first step has not."""
    known = {row.get("run") for row in read_cells(store.observations) if _worth(row)}
    known |= {run for run, status in statuses(store, study).items() if status in OVER}
    return {rung["id"] for rung in study["rungs"] if rung["id"] in known or store.metrics(rung["id"]).exists()}


def _worth(row: Mapping[str, Any]) -> int:
    """2: the run is over; 1: it is said to be finished, but has no loss; 0: it failed."""
    if row.get("status") == "finished":
        return 1 if row.get("loss") in (None, "") else 2
    return 2 if row.get("status") in OVER else 0


def _row(study: Mapping[str, Any], rung: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """What the plan declared, then what training found; a coordinate that is no column becomes one."""
    # is_decayed is decided by what the run really did; stack and threads are how a plan would run it today
    apart = ("id", "at", "corpus", "params_by_group", "is_decayed", "stack", "threads")
    declared = {name: value for name, value in rung.items() if name not in apart}
    coordinates = {f"at_{name}": value for name, value in rung["at"].items()}
    facts = study["corpora"][rung["corpus"]]
    found = {
        name: None if value in ("nan", "inf", "-inf") else value for name, value in with_current_names(result).items()
    }
    row = {
        "study": study["name"],
        "run": rung["id"],
        "rung": rung["label"],
        "tokenizer": facts["tokenizer"],
        "vocabulary": facts["vocabulary"],
        "data_fingerprint": facts["fingerprint"],
        "validation_fingerprint": facts.get("validation_fingerprint", ""),
        "corpus": facts.get("corpus", rung["corpus"]),
        **declared,
        **found,
        **coordinates,
    }
    for name in ("label", "is_held_out", "seconds_estimate", "decay_start", "own_flops"):
        row.pop(name, None)
    row["held_out"] = rung["is_held_out"]
    return row
