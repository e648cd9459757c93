"""From a study's folder to its table: one observation for each run that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lawful import store as files
from lawful.store import Store
from lawful.table import with_current_names, write_csv


def observations(folder: Path) -> list[dict[str, Any]]:
    """A row of table.COLUMNS per run with a result.json, in the order of the plan; reads nothing but JSON."""
    store = Store(folder)
    study = store.read_study()
    rows = []
    for rung in study["rungs"]:
        if store.result(rung["id"]).exists():
            result = files.read_json(store.result(rung["id"]))
            rows.append(_row(study, rung, result))
    return rows


def write_observations(folder: Path) -> list[dict[str, Any]]:
    rows = observations(folder)
    write_csv(Store(folder).observations, rows)
    return rows


def _row(study: Mapping[str, Any], rung: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """What the plan declared, then what training found; a coordinate that is no column becomes one."""
    apart = ("id", "at", "corpus", "params_by_group", "is_decayed")  # the last is decided by what the run really did
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
