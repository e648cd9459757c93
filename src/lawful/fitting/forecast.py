"""Forecasts of the held-out runs, written with their intervals and a hash before any of those runs may start."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lawful import store
from lawful.errors import LawfulError
from lawful.fitting.answer import answer_study, question_rows, with_coordinates
from lawful.fitting.data import coordinates
from lawful.store import Store
from lawful.table import Observations, read_runs


def register_forecasts(folder: str | Path) -> dict[str, Any]:
    """Fit the anchors, forecast every held-out run for every question, and write forecasts.json; what it holds.

    Once a held-out run has begun, the file stands as it is. A question whose fit is refused has no forecast, and
    without anchors there is no file.
    sha256 is of the canonical JSON of `forecasts`, so that a later reader can see that they were not changed.
    """
    home = Store(Path(folder))
    study = home.read_study()
    held_out = [rung for rung in study["rungs"] if rung["is_held_out"]]
    has_begun = any(home.metrics(rung["id"]).exists() for rung in held_out)
    if has_begun:
        return store.read_json(home.forecasts) if home.forecasts.exists() else {}
    try:
        table = with_coordinates(read_runs(home.folder), study)
    except LawfulError:
        return {}  # no anchor has ended: nothing can be forecast
    to_come = Observations(tuple(_row(rung) for rung in held_out), source=str(home.study))
    forecasts = []
    for answer in answer_study(folder):
        if answer.fit is None:
            continue
        for row in question_rows(answer.question, table, to_come):
            at = coordinates(row, answer.fit.model, answer.fit.data["columns"])
            prediction = answer.fit.predict(**at, interval="new_run")
            forecasts.append(
                {
                    "question": answer.question["name"],
                    "run": row["run"],
                    "rung": row["rung"],
                    "predicted": prediction.value,
                    "interval": [prediction.low, prediction.high],
                    "runs_fitted": answer.fit.goodness.n,
                }
            )
    plain = store.plain(forecasts)
    written = {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "sha256": digest(plain),
        "forecasts": plain,
    }
    store.write_json(home.forecasts, written)
    return written


def digest(forecasts: Any) -> str:
    return hashlib.sha256(json.dumps(forecasts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _row(rung: Mapping[str, Any]) -> dict[str, Any]:
    """What the plan knows of a run that is to come, as a row of the table."""
    return {**rung["at"], **rung, "run": rung["id"], "rung": rung["label"], "held_out": True, "status": "finished"}
