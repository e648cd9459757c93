"""Lightning's CSVLogger: version_*/metrics.csv and the hparams.yaml beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lawful.plugins import RawRow, Reader, Remark
from lawful.readers import (
    any_below,
    begin_of,
    by_step,
    counted,
    held_by_run,
    of_kind,
    rows_or_refuse,
    run_name,
    settings,
    step_of,
    typed,
    yaml_of,
)
from lawful.tables.text import read_text

METRICS, HPARAMS = "metrics.csv", "hparams.yaml"


class Lightning(Reader):
    about = "Lightning metrics.csv: a row for each step of each run, what was logged at a step together"

    def reads(self, path: Path) -> bool:
        return any_below(path, _is_metrics, METRICS)

    def rows(self, path: Path) -> Iterator[RawRow | Remark]:
        return rows_or_refuse(path, "Lightning's metrics.csv", _rows(path))


def _is_metrics(file: Path) -> bool:
    """CSVLogger writes a column `step`; a file of hparams beside it tells it from other tables."""
    header = begin_of(file).partition(b"\n")[0].strip().split(b",")
    return b"step" in header and (b"epoch" in header or file.with_name(HPARAMS).is_file())


def _rows(path: Path) -> Iterator[RawRow | Remark]:
    replaced: dict[str, int] = {}
    files, others = of_kind(path, _is_metrics, METRICS)
    for file in files:
        run = run_name(path, file.parent)
        hparams = file.with_name(HPARAMS)
        is_there = hparams.is_file() and not hparams.is_symlink()
        config = settings(hparams, yaml_of(hparams), "hparams") if is_there else {}
        text = read_text(file)
        records = []
        for number, cells in enumerate(text.rows, start=2):
            row = {name: typed(cell) for name, cell in zip(text.header, cells, strict=True) if cell.strip()}
            records.append((step_of(f"{file}: line {number}", row.pop("step", "")), row))
        table, replaced[run] = by_step(records, restarts=False)
        for step, row in zip(table, held_by_run(list(table.values())), strict=True):
            yield {"run": run, "step": step, **config, **row}
    yield from others
    yield from counted("values logged again at their step replace the former ones", replaced)
