"""MLflow: the file store mlruns/ and the database mlflow.db, read without the package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lawful.errors import TableError
from lawful.plugins import RawRow, Reader, Remark
from lawful.readers import (
    any_below,
    begin_of,
    by_step,
    counted,
    database,
    database_rows,
    files_below,
    held_by_run,
    rows_or_refuse,
    step_of,
    tables_of,
    text_of,
    typed,
    yaml_of,
)
from lawful.storage.json_files import Json

META = "meta.yaml"
# RunStatus of mlflow/protos/service.proto
_STATUS = {"1": "running", "2": "scheduled", "3": "finished", "4": "failed", "5": "killed"}
_TABLES = {"runs", "metrics", "params", "experiments"}  # of mlflow.db
MOST_PARAM_BYTES = 2**20  # MLflow itself allows 6,000 characters


class MLflow(Reader):
    about = "MLflow runs: a row for each step at which metrics of a run were logged"

    def reads(self, path: Path) -> bool:
        return any_below(path, _is_run, META, depth=3) if path.is_dir() else _TABLES <= tables_of(path)

    def rows(self, path: Path) -> Iterator[RawRow | Remark]:
        return rows_or_refuse(path, "MLflow runs with metrics", _rows(path) if path.is_dir() else _of_database(path))


def _is_run(meta: Path) -> bool:
    return b"run_id:" in (begin := begin_of(meta)) and b"artifact_uri:" in begin and b"lifecycle_stage:" in begin


@dataclass
class _Run:
    """experiment   its name, or its number where that is not told
    series       metric -> its records: time, step, value
    """

    id: str
    name: str
    experiment: str
    status: str
    is_deleted: bool
    params: dict[str, Json] = field(default_factory=dict)
    series: dict[str, list[tuple[int, int, float]]] = field(default_factory=dict)


def _joined(runs: Iterable[_Run]) -> Iterator[RawRow | Remark]:
    """The rows of the runs: the metrics of one step together, of values at one step the one logged last. Where the runs
    are of several experiments, each row says of which."""
    runs = list(runs)
    are_several = len({run.experiment for run in runs if not run.is_deleted}) > 1
    deleted, without, again = [], [], {}
    for run in runs:
        if run.is_deleted:
            deleted.append(run.id)
            continue
        table: dict[int, dict[str, Json]] = {}
        again[run.id] = 0
        for name, records in run.series.items():
            ordered = sorted(records, key=lambda record: record[:2])
            values, replaced = by_step(((step, {"": value}) for _, step, value in ordered), restarts=False)
            again[run.id] += replaced
            for step, row in values.items():
                table.setdefault(step, {})[f"metrics.{name}"] = row[""]
        if not table:
            without.append(run.id)
        fixed: dict[str, Json] = {"run": run.id, "name": run.name, "status": run.status}
        fixed |= {"experiment": run.experiment} if are_several else {}
        fixed |= {f"params.{name}": typed(value) for name, value in run.params.items()}
        rows = held_by_run([table[step] for step in sorted(table)])
        for step, row in zip(sorted(table), rows, strict=True):
            yield {**fixed, "step": step, **row}
    yield from counted("values logged again at their step replace the former ones", again)
    if deleted:
        yield Remark(f"{len(deleted)} deleted runs are left out: {', '.join(deleted[:3])}")
    if without:
        yield Remark(f"{len(without)} runs without a metric are left out: {', '.join(without[:3])}")


def _rows(path: Path) -> Iterator[RawRow | Remark]:
    return _joined(_of_files(path))


def _of_files(path: Path) -> Iterator[_Run]:
    for meta in files_below(path, META, depth=3):
        if not _is_run(meta):
            if (meta.parent / "metrics").is_dir() and b"model_id:" not in begin_of(
                meta
            ):  # a logged model has them, too
                raise TableError(f"{meta}: expected what MLflow writes about a run, got no run_id or no state of it.")
            continue
        about = yaml_of(meta)
        if not isinstance(about, Mapping):
            raise TableError(f"{meta}: expected what MLflow writes about a run, got {type(about).__name__}.")
        status = str(about.get("status", ""))
        yield _Run(
            id=str(about.get("run_id", meta.parent.name)),
            name=str(about.get("run_name", "")),
            experiment=_experiment(meta.parent.parent, str(about.get("experiment_id", ""))),
            status=_STATUS.get(status, status),
            is_deleted=about.get("lifecycle_stage") != "active",
            params={name: text_of(file, MOST_PARAM_BYTES).strip() for name, file in _named(meta.parent / "params")},
            series={name: _series(file) for name, file in _named(meta.parent / "metrics")},
        )


def _experiment(folder: Path, number: str) -> str:
    """The name of the experiment whose runs lie in this folder."""
    meta = folder / META
    if not meta.is_file() or meta.is_symlink():
        return number
    about = yaml_of(meta)
    return str(about.get("name", number)) if isinstance(about, Mapping) else number


def _of_database(path: Path) -> Iterator[RawRow | Remark]:
    with database(path) as connection:
        experiments = dict(database_rows(path, connection, "experiments", ("experiment_id", "name")))
        columns: tuple[str, ...] = ("run_uuid", "name", "status", "lifecycle_stage", "experiment_id")
        runs = {
            row[0]: _Run(
                id=str(row[0]),
                name=str(row[1] or ""),
                status=str(row[2]),
                is_deleted=row[3] != "active",
                experiment=str(experiments.get(row[4], row[4])),
            )
            for row in database_rows(path, connection, "runs", columns)
        }
        for run, name, value in database_rows(path, connection, "params", ("run_uuid", "key", "value")):
            if run in runs:
                runs[run].params[str(name)] = value
        columns = ("run_uuid", "key", "timestamp", "step", "value", "is_nan")
        for run, name, time, step, value, is_nan in database_rows(path, connection, "metrics", columns):
            if not isinstance(value, (int, float)):
                raise TableError(f"{path}: metric {name!r} of run {run}: expected a number, got {value!r}.")
            if run in runs:
                place = f"{path}: metric {name!r} of run {run}"
                record = (step_of(place, time), step_of(place, step), float("nan") if is_nan else float(value))
                runs[run].series.setdefault(str(name), []).append(record)
    yield from _joined(runs.values())


def _named(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files below a folder; MLflow writes the metric val/loss as the file loss in the folder val."""
    if folder.is_dir() and not folder.is_symlink():
        for file in files_below(folder, "*"):
            yield file.relative_to(folder).as_posix(), file


def _series(file: Path) -> list[tuple[int, int, float]]:
    """Time, step and value of each line. A line holds: time in ms, value, step."""
    records = []
    for number, line in enumerate(text_of(file).splitlines(), start=1):
        words = line.split(" ")
        value = typed(words[1]) if len(words) in (2, 3, 5) else ""
        value = float("nan") if len(words) > 1 and words[1].lower() == "nan" else value
        if not isinstance(value, (int, float)):
            raise TableError(f"{file}: line {number}: expected a time, a value and a step, got {line[:60]!r}.")
        step = step_of(f"{file}: line {number}", words[2] if len(words) > 2 else "0")
        records.append((step_of(f"{file}: line {number}", words[0]), step, float(value)))
    return records
