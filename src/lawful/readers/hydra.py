"""Hydra multirun: each job's settings, beside what the job wrote: a table, a JSON object, or a tracker's log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from lawful.errors import TableError
from lawful.plugins import RawRow, Reader, Remark, readers_of, separated
from lawful.readers import any_below, files_below, json_of, rows_or_refuse, run_name, settings, yaml_of
from lawful.storage.json_files import Json
from lawful.tables.source import read_rows

OVERRIDES, CONFIG = "overrides.yaml", "config.yaml"
_TABLES = ("*.csv", "*.tsv", "*.json", "*.jsonl", "*.parquet")


class Hydra(Reader):
    about = "Hydra jobs: each job's settings beside what it wrote"
    is_outer = True

    def reads(self, path: Path) -> bool:
        return any_below(path, _is_job, OVERRIDES)

    def rows(self, path: Path) -> Iterator[RawRow | Remark]:
        return rows_or_refuse(path, "Hydra jobs that wrote a table or a JSON object", _rows(path))


def _is_job(overrides: Path) -> bool:
    return overrides.parent.name == ".hydra"


def _jobs(path: Path) -> Iterator[Path]:
    return (file.parent.parent for file in filter(_is_job, files_below(path, OVERRIDES)))


def _rows(path: Path) -> Iterator[RawRow | Remark]:
    without = []
    for job in _jobs(path):
        run = run_name(path, job)
        config = _settings(job)
        rows, said = _written(job)
        yield from map(Remark, said)
        if not rows:
            without.append(run)
        for row in rows:
            own = f"{run}/{row['run']}" if row.get("run") not in (None, "") and len(rows) > 1 else run
            is_one = len({str(row.get("run", "")) for row in rows}) == 1
            yield {**config, **row, "run": run if is_one else own}
    if without:
        yield Remark(f"{len(without)} jobs wrote nothing that is read: {', '.join(without[:5])}")


def _settings(job: Path) -> dict[str, Json]:
    """The whole configuration of a job, or its overrides where that was not kept."""
    file = job / ".hydra" / CONFIG
    if file.is_file() and not file.is_symlink():
        return settings(file, yaml_of(file))
    overrides = yaml_of(job / ".hydra" / OVERRIDES)
    if not isinstance(overrides, list):
        raise TableError(f"{job / '.hydra' / OVERRIDES}: expected a list of overrides, got another thing.")
    pairs = [str(text).lstrip("+").partition("=") for text in overrides if not str(text).startswith("~")]
    return settings(job, {name: value for name, _, value in pairs})


def _written(job: Path) -> tuple[list[RawRow], tuple[str, ...]]:
    """The rows that a job wrote: by a tracker, or as the one table or JSON object in its folder."""
    if reader := next((reader for reader in readers_of(job) if not reader.is_outer), None):
        rows, said = separated(reader.rows(job))
        return rows, (reader.about, *said)
    files = list(files_below(job, *_TABLES, depth=0))
    if len(files) > 1:
        named = ", ".join(file.name for file in files[:5])
        raise TableError(f"{job}: expected one table or JSON object from this job, got {len(files)}: {named}.")
    if not files:
        return [], ()
    if files[0].suffix == ".json" and isinstance(value := json_of(files[0]), dict) and not _is_table(value.values()):
        return [{name.partition(".")[2]: cell for name, cell in settings(files[0], value, "result").items()}], ()
    table = read_rows(files[0])
    return list(table.rows), table.said


def _is_table(values: Iterable[Json]) -> bool:
    return any(isinstance(value, list) for value in values)
