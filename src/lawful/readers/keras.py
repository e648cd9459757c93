"""Keras CSVLogger: a folder of files, one a run, each with a line for each epoch; RUN.json beside RUN.csv may hold its
settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lawful.errors import TableError
from lawful.plugins import RawRow, Reader, Remark
from lawful.readers import (
    any_below,
    begin_of,
    by_step,
    counted,
    json_object,
    of_kind,
    rows_or_refuse,
    settings,
    step_of,
    typed,
)
from lawful.tables.text import read_text


class Keras(Reader):
    about = "Keras CSVLogger: a row for each epoch of each run, one file a run"

    def reads(self, path: Path) -> bool:
        return any_below(path, _is_log, "*.csv", "*.log")

    def rows(self, path: Path) -> Iterator[RawRow | Remark]:
        return rows_or_refuse(path, "logs of Keras' CSVLogger", _rows(path))


def _is_log(file: Path) -> bool:
    """CSVLogger writes `epoch` first, then the metrics in the order of their names."""
    first, *others = begin_of(file).partition(b"\n")[0].strip().replace(b";", b",").replace(b"\t", b",").split(b",")
    return first == b"epoch" and b"step" not in others and any(name.endswith(b"loss") for name in others)


def _rows(path: Path) -> Iterator[RawRow | Remark]:
    again: dict[str, int] = {}
    no_metrics = []
    files, others = of_kind(path, _is_log, "*.csv", "*.log")
    for file in files:
        run = file.relative_to(path).with_suffix("").as_posix()
        if run in again:
            raise TableError(f"{file}: expected one log of the run {run!r}, got two; remove one of them.")
        beside = file.with_suffix(".json")
        config = settings(beside, json_object(beside)) if beside.is_file() and not beside.is_symlink() else {}
        text = read_text(file)
        records = []
        for number, cells in enumerate(text.rows, start=2):
            row = {name: typed(cell) for name, cell in zip(text.header, cells, strict=True) if cell.strip() != "NA"}
            if "loss" in row:  # the mean over an epoch of training
                row["train/loss"] = row.pop("loss")
            records.append((step_of(f"{file}: line {number}", row.get("epoch", "")), row))
        table, again[run] = by_step(records, restarts=True)
        if not table:
            no_metrics.append(run)
        yield from ({"run": run, "step": epoch, **config, **row} for epoch, row in table.items())
    yield from others
    yield from counted("epochs logged before a restart, which came again, are left out", again)
    if no_metrics:
        yield Remark(f"no epoch in the log of {', '.join(no_metrics[:5])}")
