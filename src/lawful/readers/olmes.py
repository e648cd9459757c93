"""OLMES (evaluations of OLMo): metrics-all.jsonl, a row for each model.

The file format follows the public source of allenai/olmes: a line for each task, with task_name, task_config, metrics
and model_config.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lawful.errors import TableError
from lawful.plugins import RawRow, Reader, Remark
from lawful.readers import begin_of, files_below, holds, rows_or_refuse, run_name, settings
from lawful.storage.json_files import Json
from lawful.tables.formats import json_lines

METRICS = "metrics-all.jsonl"
_ABOUT_MODEL = ("model", "revision", "model_path")


class Olmes(Reader):
    about = "OLMo evaluations (metrics-all.jsonl): a row for each file, a column TASK/METRIC for each number"

    def reads(self, path: Path) -> bool:
        return holds(path, METRICS) if path.is_dir() else path.name == METRICS and begin_of(path, 1) == b"{"

    def rows(self, path: Path) -> Iterator[RawRow | Remark]:
        return rows_or_refuse(path, f"metrics in {METRICS}", _rows(path))


def _rows(path: Path) -> Iterator[RawRow | Remark]:
    for file in files_below(path, METRICS) if path.is_dir() else [path]:
        row: dict[str, Json] = {"run": run_name(path if path.is_dir() else path.parent, file.parent)}
        tasks, _ = json_lines(file)
        for number, task in enumerate(tasks, start=1):
            name = task.get("task_config.metadata.alias") or task.get("task_name")
            if not isinstance(name, str):
                raise TableError(f"{file}: row {number}: expected a text `task_name`, got {name!r}.")
            row |= settings(
                file, {key: task[f"model_config.{key}"] for key in _ABOUT_MODEL if f"model_config.{key}" in task}
            )
            for column, cell in task.items():
                if column.startswith("metrics.") and isinstance(cell, (int, float)) and not isinstance(cell, bool):
                    own = f"{name}/{column.removeprefix('metrics.')}"
                    if own in row and row[own] != cell:
                        raise TableError(f"{file}: row {number}: expected each task once, got {name!r} twice.")
                    row[own] = cell
        if len(row) > 1:
            yield row
