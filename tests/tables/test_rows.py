"""Rows that are kept as columns are the same rows; what stands in a cell is a text, a number, yes or no, or nothing."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from lawful import read_runs
from lawful.tables import read_rows

HISTORY = "run,_step,n_params,tokens,val/loss\n" + "".join(
    f"r{run},{step},{run * 10**6},{run * step * 10**7},{f'{3 + 1 / step + run / 10:.6f}' if step % 2 == 0 else ''}\n"
    for run in (1, 2, 3)
    for step in (4, 3, 2, 1)
)


def test_a_history_in_a_file_is_read_as_the_same_rows_in_memory(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text(HISTORY)
    rows = [
        {name: cell if name == "run" else float(cell) if cell else None for name, cell in row.items()}
        for row in csv.DictReader(io.StringIO(HISTORY))
    ]
    for how in (None, "last", "min", "step=2", "ema=.5"):
        of_file = read_runs(tmp_path / "history.csv", reduce=how)
        in_memory = read_runs(rows, reduce=how)
        assert [dict(row) for row in of_file] == [dict(row) for row in in_memory]
        assert of_file.roles == in_memory.roles and of_file.dropped == in_memory.dropped
        assert len(of_file.dropped) == 12 - len(of_file)


def test_a_row_is_left_out_by_its_number_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text(HISTORY)
    found = read_runs(tmp_path / "history.csv", reduce="last")
    assert [row["_step"] for row in found] == [4, 4, 4]
    assert sorted(int(str(row["row"])) for row in found.dropped) == [2, 3, 4, 6, 7, 8, 10, 11, 12]
    assert {str(row["run"]) for row in found.dropped} == {"r1", "r2", "r3"}


def test_a_number_that_comes_many_times_keeps_its_kind(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b,loss\n" + "1,1.0,2.5\n" * 4 + "1.0,1,+2.5\n" * 4)
    rows = read_rows(tmp_path / "table.csv").rows
    assert [type(row["a"]) for row in rows] == [int] * 4 + [float] * 4
    assert [type(row["b"]) for row in rows] == [float] * 4 + [int] * 4


def test_a_list_in_a_cell_is_a_text() -> None:
    (row,) = read_rows([{"tags": ["a", 1, None], "shape": np.array([2, 3]), "loss": 2.0}]).rows
    assert row["tags"] == "['a', 1, '']" and row["shape"] == "[2, 3]" and row["loss"] == 2.0
