"""open_lm: one JSON file a model, as mlfoundations/scaling publishes them: hyperparameters, and results by data set.

The fields follow the public files of that repository.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from lawful.errors import TableError
from lawful.plugins import RawRow, Reader, Remark
from lawful.readers import any_below, begin_of, json_object, of_kind, rows_or_refuse, settings
from lawful.storage.json_files import Json

_KEPT = ("loss", "loss_tokens_lower_95", "loss_tokens_upper_95")


class OpenLM(Reader):
    about = "open_lm models: a row for each JSON file, a loss for each validation set"

    def reads(self, path: Path) -> bool:
        return any_below(path, _is_model, "*.json") if path.is_dir() else path.suffix == ".json" and _is_model(path)

    def rows(self, path: Path) -> Iterator[RawRow | Remark]:
        return rows_or_refuse(path, "models of open_lm", _rows(path))


def _is_model(file: Path) -> bool:
    begin = begin_of(file, 8192)
    return begin.lstrip()[:1] == b"{" and b'"hyperparameters"' in begin and b'"dataset_name"' in begin


def _rows(path: Path) -> Iterator[RawRow | Remark]:
    files, others = of_kind(path, _is_model, "*.json") if path.is_dir() else ([path], [])
    yield from others
    for file in files:
        model = json_object(file)
        results = model.get("results")
        if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
            raise TableError(f"{file}: expected a list `results` of objects, got another thing.")
        row = {"run": str(model.get("name") or file.stem), "dataset": model.get("dataset_name", "")}
        row |= settings(file, model.get("hyperparameters"))
        for number, result in enumerate(results, start=1):
            name = f"val/{_name(result.get('val_data'), number)}"
            for column in _KEPT:
                if f"{name}/{column}" in row:
                    raise TableError(f"{file}: results: expected each validation set once, got {name!r} twice.")
                if column in result:
                    row[f"{name}/{column}"] = result[column]
        yield row


def _name(data: Json, number: int) -> str:
    """A validation set is named by the folder that its shards are in."""
    first = data[0] if isinstance(data, list) and data else data
    return PurePosixPath(first).parent.name or first if isinstance(first, str) else f"validation {number}"
