"""lm-evaluation-harness: results_*.json, a row for each model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lawful.errors import TableError
from lawful.plugins import RawRow, Reader, Remark
from lawful.readers import any_below, begin_of, counted, json_object, of_kind, rows_or_refuse
from lawful.storage.json_files import Json

RESULTS = "results*.json"


class LMEval(Reader):
    about = "lm-eval results: a row for each model, a column TASK/METRIC for each number"

    def reads(self, path: Path) -> bool:
        return any_below(path, _is_results, RESULTS) if path.is_dir() else _is_results(path)

    def rows(self, path: Path) -> Iterator[RawRow | Remark]:
        return rows_or_refuse(path, "results of lm-eval", _rows(path))


def _is_results(file: Path) -> bool:
    """The harness writes `results` first, with an alias and metrics such as `acc,none` in it."""
    begin = begin_of(file, 20_000)
    return begin.lstrip()[:1] == b"{" and b'"results"' in begin[:40] and b'"alias"' in begin and b'",' in begin


def _rows(path: Path) -> Iterator[RawRow | Remark]:
    files, others = of_kind(path, _is_results, RESULTS) if path.is_dir() else ([path], [])
    runs: dict[tuple[str, str], dict[str, Json]] = {}
    replaced: dict[str, int] = {}
    shots: dict[tuple[str, str, str], Json] = {}
    found = [(file, json_object(file)) for file in files]
    for file, value in sorted(found, key=lambda pair: (_date(pair[1]), str(pair[0]))):
        results, config = value.get("results"), value.get("config") or {}
        if not isinstance(results, dict) or not isinstance(config, dict):
            raise TableError(f"{file}: expected objects `results` and `config`, as lm-eval writes them.")
        name = str(value.get("model_name") or config.get("model") or file.parent.name)
        args = config.get("model_args")
        key = (name, str(args))
        row = runs.setdefault(key, {"run": name})
        if len({other for other, _ in runs} & {name}) and sum(other == name for other, _ in runs) > 1:
            row["run"] = f"{name} {args}"
        number = config.get("model_num_parameters")
        if isinstance(number, int) and not isinstance(number, bool) and number > 0:
            row["params"] = number
        if config.get("model_revision"):
            row["config.model_revision"] = config["model_revision"]
        for task, metrics in results.items():
            if not isinstance(metrics, dict):
                raise TableError(f"{file}: results, {task}: expected metrics by name, got {type(metrics).__name__}.")
            own = _shots(value, task)
            if (former := shots.setdefault((*key, task), own)) != own:
                raise TableError(
                    f"{file}: expected one evaluation of {task!r} of {name!r}, got one with {former} examples in the "
                    f"prompt and one with {own}; they are no replicates: put each into a folder of its own."
                )
            for metric, cell in metrics.items():
                if isinstance(cell, (int, float)) and not isinstance(cell, bool):
                    column = f"{task}/{metric.removesuffix(',none').replace(',', '/')}"
                    run = str(row["run"])
                    replaced[run] = replaced.get(run, 0) + (column in row and row[column] != cell)
                    row[column] = cell
    yield from runs.values()
    yield from others
    yield from counted("numbers of an earlier evaluation of the same task are replaced", replaced)


def _shots(value: RawRow, task: str) -> Json:
    """How many examples the prompt of a task has; None where the file does not say it."""
    told = value.get("n-shot")
    return told.get(task) if isinstance(told, dict) else None


def _date(value: RawRow) -> float:
    date = value.get("date")
    return float(date) if isinstance(date, (int, float)) else 0.0
