"""Optuna: the trials of the studies in a SQLite storage, read without the package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lawful.errors import TableError
from lawful.plugins import RawRow, Reader, Remark
from lawful.readers import database, database_rows, rows_or_refuse, tables_of
from lawful.storage.json_files import Json, no_json, parse_json

_TABLES = {"studies", "trials", "trial_params", "trial_values", "trial_user_attributes"}


class Optuna(Reader):
    about = "Optuna studies: a row for each trial"

    def reads(self, path: Path) -> bool:
        return not path.is_dir() and _TABLES <= tables_of(path)

    def rows(self, path: Path) -> Iterator[RawRow | Remark]:
        return rows_or_refuse(path, "Optuna trials", _rows(path))


def _rows(path: Path) -> Iterator[RawRow | Remark]:
    with database(path) as connection:

        def rows(table: str, *columns: str) -> list[Any]:
            return database_rows(path, connection, table, columns)

        names = dict(rows("studies", "study_id", "study_name"))
        metrics = {  # of study.set_metric_names
            study: _json(path, text)
            for study, key, text in rows("study_system_attributes", "study_id", "key", "value_json")
            if key == "study:metric_names"
        }
        trials: dict[Any, dict[str, Json]] = {}
        studies = {}
        for trial, study, number, state in rows("trials", "trial_id", "study_id", "number", "state"):
            run = f"{names.get(study, study)}/{number}" if len(names) > 1 else number
            trials[trial] = {"run": run, "study": names.get(study, ""), "status": str(state).lower()}
            studies[trial] = study
        for trial, name, value, text in rows(
            "trial_params", "trial_id", "param_name", "param_value", "distribution_json"
        ):
            if trial in trials:
                trials[trial][f"params.{name}"] = _param(path, value, _json(path, text))
        for trial, name, text in rows("trial_user_attributes", "trial_id", "key", "value_json"):
            if trial in trials:
                trials[trial][f"user_attrs.{name}"] = _json(path, text)
        for trial, objective, value, kind in rows("trial_values", "trial_id", "objective", "value", "value_type"):
            if trial in trials:
                own = metrics.get(studies[trial])
                is_named = isinstance(own, list) and isinstance(objective, int) and objective < len(own)
                name = str(own[objective]) if is_named and isinstance(own, list) else f"value {objective}"
                trials[trial]["value" if name == "value 0" else name] = (
                    float(kind[:3].lower()) if "INF" in str(kind) else value
                )
    yield from trials.values()


def _param(path: Path, value: float, distribution: Json) -> Json:
    """The value of a parameter: a choice is stored by its place in the list, a whole number as a float."""
    if not isinstance(distribution, dict) or not isinstance(distribution.get("attributes"), dict):
        raise TableError(f"{path}: expected the distribution of a parameter, got {distribution!r:.60}.")
    if (choices := distribution["attributes"].get("choices")) is not None:
        place = int(value)
        if not isinstance(choices, list) or not 0 <= place < len(choices):
            raise TableError(f"{path}: expected a choice of a parameter, got number {place}.")
        choice: Json = choices[place]
        return choice
    return int(value) if str(distribution.get("name", "")).startswith("Int") else value


def _json(path: Path, text: Json) -> Json:
    try:
        value: Json = parse_json(str(text))
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: expected JSON in a cell, got {no_json(error)}.") from None
    return value
