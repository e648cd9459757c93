"""Cells: the same run is fitted, left out or refused whatever way its yes, no, status and nothing are written."""

import datetime
import decimal
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lawful
from lawful.errors import LawfulError, Refusal, TableError
from lawful.fitting.data import sample
from lawful.fitting.isoflop import isoflop
from lawful.fitting.search import best_point, limits
from lawful.laws import named
from lawful.report.evidence import read_evidence
from lawful.tables import COLUMNS, read_rows, read_runs
from lawful.tables.cells import number_or_text, numbers_or_texts
from records import write_plan

YES = ("yes", "Yes", "YES", "y", "true", "True", "TRUE", "T", "t", "1", "1.0", "on", "x", "X", " yes ")
NO = ("no", "No", "NO", "n", "false", "False", "FALSE", "F", "f", "0", "0.0", "off", "", "-", " no ")
GALLERY = Path(__file__).parent.parent / "docs" / "gallery"
CASES = Path(os.environ["LAWFUL_DATA"]).parent / "cases" / "tables" if "LAWFUL_DATA" in os.environ else None


def planted(**spoilt: Any) -> list[dict[str, Any]]:
    """Runs of L = 1.8 + 400 N^-.34 + 410 D^-.28; those of the largest size have a loss a fifth too high, as runs that
    must not be fitted."""
    rng = np.random.default_rng(0)
    rows = []
    for n in np.geomspace(1e7, 1e9, 6):
        for d in np.geomspace(1e9, 8e10, 4):
            loss = (1.8 + 400 * n**-0.34 + 410 * d**-0.28) * np.exp(0.002 * rng.standard_normal())
            is_spoilt = n > 9e8
            marks = {name: pair[0] if is_spoilt else pair[1] for name, pair in spoilt.items()}
            rows.append({"N": int(n), "D": int(d), "loss": float(loss * (1.2 if is_spoilt else 1)), **marks})
    return rows


def as_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def alpha_of(source: Any) -> tuple[int, float]:
    """How many rows are fitted, and their exponent; what else a fit says of them takes most of its time."""
    law = named("chinchilla")
    data = sample(source, law, {})
    point = best_point(data, law, "robust", *limits(law, {}, {}))
    return data.n, dict(zip(law.parameters, point.parameters, strict=True))["alpha"]


@pytest.fixture(scope="module")
def right() -> tuple[int, float]:
    """What the rows that count give, with nothing beside them."""
    n, alpha = alpha_of([row for row in planted() if row["N"] < 9e8])
    assert n == 20
    assert alpha == pytest.approx(0.34, abs=0.02)
    assert abs(alpha_of(planted())[1] - alpha) > 0.1  # with the spoilt rows it is quite another law
    return n, alpha


@pytest.mark.parametrize(("yes", "no"), list(zip(YES, NO, strict=True)), ids=repr)
def test_held_out_is_read_however_it_is_written(tmp_path: Path, right: tuple[int, float], yes: str, no: str) -> None:
    rows = planted(held_out=(yes, no))
    expected = [row["N"] > 9e8 for row in rows]
    path = as_csv(tmp_path / "runs.csv", rows)
    (tmp_path / "runs.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    for source in (path, tmp_path / "runs.jsonl", rows):
        assert [cell is True for cell in read_runs(source).values("held_out")] == expected
    assert alpha_of(path) == pytest.approx(right)


@pytest.mark.parametrize(
    ("yes", "no"),
    [(True, False), (1, 0), (1.0, 0.0), (np.True_, np.False_), (np.int64(1), np.int64(0)), (1, None), (True, np.nan)],
    ids=repr,
)
def test_typed_truth_values_are_read_in_memory_json_and_frames(
    tmp_path: Path, right: tuple[int, float], yes: Any, no: Any
) -> None:
    pandas = pytest.importorskip("pandas")
    rows = planted(held_out=(yes, no))
    plain = [
        {k: v.item() if isinstance(v, np.generic) else None if v != v else v for k, v in row.items()} for row in rows
    ]
    path = tmp_path / "runs.jsonl"
    path.write_text("\n".join(map(json.dumps, plain)), encoding="utf-8")
    for source in (rows, pandas.DataFrame(rows), pandas.DataFrame(rows).convert_dtypes(), path):
        assert alpha_of(source) == pytest.approx(right)


def test_the_refusals_of_undecayed_losses_and_padding_hold_in_every_spelling(tmp_path: Path) -> None:
    for yes, no in [pair for pair in zip(YES, NO, strict=True) if pair[1] not in ("", "-")]:
        for column, code in (("is_decayed", "undecayed_losses"), ("masks_padding", "padding_in_loss")):
            path = as_csv(tmp_path / "runs.csv", planted(**{column: (no, yes)}))
            with pytest.raises(Refusal) as refusal:
                lawful.fit(path, draws=0)
            assert refusal.value.code == code


def test_an_empty_is_decayed_or_masks_padding_is_unknown_and_refuses_nothing(tmp_path: Path) -> None:
    for column in ("is_decayed", "masks_padding"):
        for empty in ("", "NA", "null", "None", "nan"):
            path = as_csv(tmp_path / "runs.csv", planted(**{column: (empty, "yes")}))
            assert {cell for cell in read_runs(path).values(column) if cell != ""} == {True}
        assert lawful.fit(path, draws=0).goodness.n == 24


@pytest.mark.parametrize("cell", ["maybe", "2", "0.5", "yes!", "train"])
def test_a_cell_that_says_neither_yes_nor_no_is_refused_by_name(tmp_path: Path, cell: str) -> None:
    for column in ("held_out", "is_decayed", "masks_padding", "Held Out"):
        path = as_csv(tmp_path / "runs.csv", planted(**{column: (cell, "no")}))
        with pytest.raises(TableError, match=rf"row 21, column '{column}': expected yes or no .*, got '?{cell}'?"):
            read_runs(path)
    with pytest.raises(TableError, match=r"row 21, column 'held_out'.*got '\[1\]'"):
        read_runs(planted(held_out=([1], False)))


def test_the_columns_that_decide_are_known_under_their_other_names(right: tuple[int, float]) -> None:
    for name in ("held_out", "HELD_OUT", "Held_Out", "held-out", "Held Out", "heldout", "is_held_out"):
        assert alpha_of(planted(**{name: ("YES", "NO")})) == pytest.approx(right)
    for name in ("status", "State", "state", "STATUS", "run_state", "Run State"):
        found = lawful.fit(planted(**{name: ("crashed", "finished")}), draws=0)
        assert (found.goodness.n, found.params["alpha"].value) == pytest.approx(right)
        assert [row["reason"] for row in found.data.dropped] == ["not finished: crashed"] * 4
        assert [row["row"] for row in found.data.dropped] == [21, 22, 23, 24]
        assert "4 rows were left out: 4 not finished: crashed" in found.summary()
    both = planted(State=("finished", "crashed"), status=("failed", "completed"))  # its own name goes first
    assert alpha_of(both) == pytest.approx(right)


FINISHED = ("finished", "FINISHED", "Finished", "complete", "completed", "COMPLETED", "success", "succeeded", "done")
NOT_FINISHED = (
    "crashed", "FAILED", "Failed", "killed", "running", "RUNNING", "canceled", "CANCELLED", "preempted", "diverged",
    "OUT_OF_MEMORY", "timed-out", "Not finished", "in progress", "queued", "CANCELLED by 1000", "failed: out of memory",
)  # fmt: skip


@pytest.mark.parametrize("word", FINISHED)
def test_a_run_that_finished_in_a_trackers_word_is_fitted(right: tuple[int, float], word: str) -> None:
    table = read_runs(planted(status=("failed", word)))
    assert len(table.of_ladder()) == 20
    assert table.values("status")[0] == word  # as written, for --where


@pytest.mark.parametrize("word", NOT_FINISHED)
def test_a_run_that_did_not_finish_is_left_out_and_listed(tmp_path: Path, word: str) -> None:
    rows = planted(status=(word, "finished"))
    for source in (rows, as_csv(tmp_path / "runs.csv", rows)):
        kept = read_runs(source).of_ladder()
        assert len(kept) == 20
        assert {row["reason"] for row in kept.dropped} == {f"not finished: {word}"}


@pytest.mark.parametrize("word", ["California", "terminated", "finished?", "completed with errors", "7", "unknown"])
def test_a_status_that_nobody_knows_is_refused_once_by_name(word: str) -> None:
    with pytest.raises(TableError, match="row 21, column 'State': expected the state of a run") as refusal:
        read_runs(planted(State=(word, "finished")))
    assert str(refusal.value).count("expected the state") == 1
    assert repr(word) in str(refusal.value)


def test_nothing_is_one_thing_in_a_frame_a_file_and_memory(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    nothing = [np.nan, pandas.NaT, pandas.NA, None, float("nan"), np.float32("nan"), np.datetime64("NaT")]
    texts = ["", "nan", "NaN", " ", "", "", ""]
    for column in ("arm", "cluster", "bracket", "held_out", "status", "accuracy", "note", "started"):
        rows = [{"N": 10**i, "D": 10**9, "loss": 3.0 - i / 10} for i in range(1, 8)]
        in_memory = [{**row, column: cell} for row, cell in zip(rows, nothing, strict=True)]
        frame = pandas.DataFrame(rows).assign(**{column: pandas.Series(nothing, dtype=object)})
        in_text = texts if COLUMNS.get(column, ("",))[0] != "text" else [""] * 7  # an arm may be called nan
        path = as_csv(tmp_path / "runs.csv", [{**r, column: c} for r, c in zip(rows, in_text, strict=True)])
        for source in (in_memory, frame, path):
            table = read_runs(source)
            assert table.values(column) == [""] * 7
            assert len(table.of_ladder()) == 7
    empty = pandas.DataFrame(planted()).assign(flops=np.nan, arm=None, bracket=pandas.NA)
    assert read_runs(empty).roles == {"params": "N", "tokens": "D", "loss": "loss"}  # as without these columns


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "NA", "N/A", "null", "None", "-", "#N/A"])
@pytest.mark.parametrize("column", ["loss", "val_loss"])
def test_a_run_without_its_loss_is_refused_by_row_and_column(tmp_path: Path, cell: str, column: str) -> None:
    rows = [{"N": 10**i, "D": 10**9, column: 3.0} for i in range(1, 4)]
    rows[1][column] = cell  # type: ignore[assignment]
    expected = rf"row 2, column '{column}': expected a positive loss, got an empty cell"
    for source in (as_csv(tmp_path / "runs.csv", rows), rows):
        with pytest.raises(TableError, match=expected):
            read_runs(source)
    crashed = [{**row, "status": "crashed" if row[column] == cell else "finished"} for row in rows]
    table = read_runs(crashed)
    assert len(table.of_ladder()) == 2
    assert np.isnan(table.numbers(column)).tolist() == [False, True, False]
    with pytest.raises(TableError, match="row 1, column 'N': expected a number, got 'abc'"):
        read_rows([{"N": "abc"}]).numbers("N")


def test_times_decimals_and_nested_cells_do_not_stand_in_the_way_of_a_fit(right: tuple[int, float]) -> None:
    when = datetime.datetime(2024, 5, 1, 12, 30)
    rows = [
        {**row, "started": when, "day": when.date(), "took": when - when, "tags": ["a", when], "config": {"lr": None}}
        for row in planted(held_out=(True, False))
    ]
    assert alpha_of(rows) == pytest.approx(right)
    assert read_runs(rows).values("started")[0] == "2024-05-01T12:30:00"
    exact = [{**row, "loss": decimal.Decimal(repr(row["loss"])), "N": decimal.Decimal(row["N"])} for row in rows]
    assert alpha_of(exact) == pytest.approx(right)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows)
    frame.loc[3, "started"] = pandas.NaT
    assert alpha_of(frame) == pytest.approx(right)


def test_a_frame_with_two_columns_of_one_name_is_refused() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([[1e6, 3.0, 2.0]], columns=["N", "loss", "loss"])
    with pytest.raises(TableError, match="two columns are called 'loss'"):
        read_runs(frame)


def test_an_isoflop_reads_no_held_out_run() -> None:
    rows = []
    for budget in np.geomspace(1e18, 1e20, 4):
        best = (budget / 6 / 20) ** 0.5
        for step in range(-3, 4):
            n = best * 1.5**step
            rows.append({"N": n, "flops": budget, "loss": 2 + budget**-0.05 + 0.01 * step**2, "held_out": "NO"})
    spoilt = [{**row, "N": row["N"] * 1.01, "loss": 0.5, "held_out": "YES"} for row in rows[::7]]
    assert isoflop([*rows, *spoilt]).N_exponent == pytest.approx(isoflop(rows).N_exponent)


def test_where_takes_yes_and_no_as_the_table_does(tmp_path: Path) -> None:
    from lawful.cli.asked import Table

    path = as_csv(tmp_path / "runs.csv", planted(held_out=("TRUE", "FALSE")))
    for text, n in (("held_out=no", 20), ("held_out=False", 20), ("held_out!=no", 4), ("held_out=1", 4)):
        assert len(Table(source=str(path), where=[text]).read()[0]) == n


def test_the_report_reads_a_table_as_a_fit_does(tmp_path: Path) -> None:
    rows = [
        {"run": f"r{i}", "rung": "a", "arm": "", "seed": i, "loss": 3.0, **marks}
        for i, marks in enumerate(
            (
                {"held_out": "T", "is_decayed": "NO", "masks_padding": "off", "status": "FINISHED", "accuracy": "NA"},
                {"held_out": "F", "is_decayed": "1.0", "masks_padding": "x", "status": "Done", "accuracy": 0.5},
                {"held_out": "", "is_decayed": "", "masks_padding": "", "status": "killed", "accuracy": ""},
            )
        )
    ]
    as_csv(tmp_path / "observations.csv", rows)
    write_plan(tmp_path)
    evidence = read_evidence(tmp_path)
    for row, fitted in zip(evidence.rows, read_rows(tmp_path / "observations.csv"), strict=True):
        assert {name: "" if cell is None else cell for name, cell in row.items()} == fitted
    marks = [[row[name] for name in ("held_out", "is_decayed", "masks_padding", "accuracy")] for row in evidence.rows]
    assert marks == [[True, False, False, None], [False, True, True, 0.5], [None, None, None, None]]
    assert [row["run"] for row in evidence.finished] == ["r0", "r1"]
    assert [(one.reason, one.runs) for one in evidence.left_out] == [("killed: no reason recorded", (("r2", "a"),))]
    rows[1]["held_out"] = "perhaps"
    as_csv(tmp_path / "observations.csv", rows)
    with pytest.raises(LawfulError, match=r"observations\.csv: .*\n.*row 2, column 'held_out': expected yes or no"):
        read_evidence(tmp_path)


@pytest.mark.parametrize("path", sorted(GALLERY.glob("*/observations.csv")), ids=lambda path: path.parent.name)
def test_a_table_of_the_gallery_fits_alike_from_its_path_and_from_a_frame(path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    a, b = read_runs(path), read_runs(pandas.read_csv(path))
    assert a.columns == b.columns
    assert a.roles == b.roles
    for x, y in zip(a, b, strict=True):
        for name, cell in x.items():
            if isinstance(cell, (bool, str)):
                assert y[name] is cell or (type(y[name]) is str and y[name] == cell), name
            else:
                assert y[name] == pytest.approx(cell, rel=1e-13), name  # pandas rounds some another way
    arm = next(row.get("arm") for row in a if row.get("status") in ("finished", "", None))
    fits = [
        lawful.fit(
            table.where(lambda row: row.get("arm") == arm, "another arm"),
            "power:tokens" if path.parent.name == "equilibrium" else "power:flops",
            params="params_non_embedding",
            tokens="unique_tokens" if path.parent.name == "equilibrium" else "tokens",
            loss="loss",
            draws=0,
        )
        for table in (a, b)
    ]
    assert fits[0].goodness.n == fits[1].goodness.n > 3
    assert fits[0].data.dropped == fits[1].data.dropped
    for name, parameter in fits[0].params.items():
        assert fits[1].params[name].value == pytest.approx(parameter.value, rel=1e-6)


def case(name: str, **columns: str) -> Any:
    assert CASES is not None
    return lawful.fit(CASES / name, **{"draws": 200, **columns})  # type: ignore[arg-type]


@pytest.mark.skipif(CASES is None or not CASES.is_dir(), reason="the cases are not here; they lie beside LAWFUL_DATA")
def test_the_cases_of_an_outside_examination_give_their_right_values() -> None:
    for name in ("true", "yes", "1", "1.0", "Yes", "YES", "T", "x"):
        found = case(f"held_{name}.csv")
        assert found.goodness.n == 25
        assert len(found.data.dropped) == 5
        assert found.params["alpha"].value == pytest.approx(0.337, abs=0.0005)
        assert found.params["alpha"].ci95 == pytest.approx((0.320, 0.355), abs=0.006)
    found = case("held_int.jsonl")  # 18 runs, 3 of them held out
    assert (found.goodness.n, len(found.data.dropped)) == (15, 3)
    assert found.params["alpha"].ci95[0] < 0.34 < found.params["alpha"].ci95[1]
    for column, code in (("decayed", "undecayed_losses"), ("padding", "padding_in_loss")):
        for word in ("no", "FALSE", "0"):
            with pytest.raises(Refusal) as refusal:
                case(f"{column}_{word}.csv")
            assert refusal.value.code == code
    columns = {"params": "params.N", "tokens": "params.D", "loss": "metrics.val_loss"}
    tracked = [case(f"{name}.csv", **columns) for name in ("status_lower", "status_cap", "mlflow_upper")]
    for found in (*tracked, case("wandb_state.csv"), case("status_completed.csv")):
        assert (found.goodness.n, len(found.data.dropped)) == (27, 3)
        assert found.params["alpha"].value == pytest.approx(0.336, abs=0.0005)
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    base = case("base.csv").params
    assert case("timestamp.parquet").params["alpha"].value == pytest.approx(base["alpha"].value, rel=1e-6)
    assert base["alpha"].value == pytest.approx(0.341, abs=0.0005)


def test_a_deciding_column_is_known_as_other_programs_write_its_name(right: tuple[int, float]) -> None:
    for name in ("held.out", "heldOut", "isHeldOut", "held  out", "held_out?"):  # R, JSON, spreadsheets
        assert alpha_of(planted(**{name: ("yes", "no")})) == pytest.approx(right)
    for name in ("run.status", "runState", "run.state"):
        assert alpha_of(planted(**{name: ("crashed", "finished")})) == pytest.approx(right)


def test_where_one_tracker_says_nothing_the_other_is_heard(right: tuple[int, float]) -> None:
    for marks in (
        {"status": ("", ""), "State": ("crashed", "finished")},
        {"held_out": ("", "NA"), "Held Out": ("yes", "no")},
    ):
        assert alpha_of(planted(**marks)) == pytest.approx(right)
    below = [
        {**row, **({"State": "crashed"} if row["N"] > 9e8 else {"status": "finished"})} for row in planted()
    ]  # two exports, one below the other
    assert alpha_of(below) == pytest.approx(right)


def test_a_row_left_out_keeps_its_number(right: tuple[int, float]) -> None:
    rows = planted(held_out=(True, False))
    rows = [{**row, "status": "crashed" if i < 2 else "finished"} for i, row in enumerate(rows)]
    dropped = read_runs(rows).of_ladder().where(lambda row: row["held_out"] is not True, "held out").dropped
    assert [row["row"] for row in dropped] == [1, 2, 21, 22, 23, 24]


def test_a_quote_that_is_not_closed_takes_no_rows_with_it(tmp_path: Path) -> None:
    for first, second in (('"open', "x"), ('"open', '"shut'), ('"say \\"hi\\""', "x")):
        rows = [{**row, "note": "x"} for row in planted()]
        rows[9]["note"], rows[14]["note"] = first, second
        with pytest.raises(TableError, match=r"runs\.csv: the row that begins at line 11: expected each quote closed"):
            read_runs(as_csv(tmp_path / "runs.csv", rows))
    rows[9]["note"] = '"two\nlines, and ""quotes"""'
    assert read_runs(as_csv(tmp_path / "runs.csv", rows)).values("note")[9] == 'two\nlines, and "quotes"'


def test_what_stands_twice_is_refused_in_every_format(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"N": 1, "loss": 3}\n{"N": 2, "loss": 2, "loss": 9}\n', encoding="utf-8")
    with pytest.raises(TableError, match=r"row 2: two members are called 'loss'"):
        read_runs(path)
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table([[1], [2], [3]], names=["N", "loss", "loss"]), tmp_path / "runs.parquet")
    with pytest.raises(TableError, match="two columns are called 'loss'"):
        read_runs(tmp_path / "runs.parquet")


def test_headers_with_blanks_and_other_separators_in_a_text(tmp_path: Path) -> None:
    path = as_csv(tmp_path / "runs.csv", planted())
    text = path.read_text(encoding="utf-8")
    path.write_text("\n" + text.replace("N,D,loss", "N, D , loss"), encoding="utf-8")
    assert read_runs(path).columns == ["N", "D", "loss"]
    for sign in (";", "\t"):
        path.write_text(text.replace(",", sign).replace(".", ","), encoding="utf-8")
        assert read_runs(path).numbers("loss").tolist() == [row["loss"] for row in planted()]
    path = tmp_path / "runs.jsonl"
    path.write_text("\ufeff" + "\n".join(map(json.dumps, planted())), encoding="utf-8")
    assert len(read_runs(path)) == 24


def test_a_named_index_is_a_column_as_in_the_file_that_pandas_writes(tmp_path: Path, right: tuple[int, float]) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(planted(held_out=("yes", "no")))
    for index in (["held_out"], ["N", "held_out"]):
        assert alpha_of(frame.set_index(index)) == pytest.approx(right)
    assert alpha_of(frame.set_index("held_out", drop=False)) == pytest.approx(right)
    with pytest.raises(TableError, match="two columns are called 'held_out'"):
        read_runs(frame.set_index("held_out").assign(held_out="no"))
    trunks = frame.assign(run=[f"r{i // 2}" for i in range(24)]).set_index("run")
    trunks.to_csv(tmp_path / "runs.csv")
    for source in (trunks, tmp_path / "runs.csv"):
        assert lawful.fit(source, draws=0).goodness.clusters == 10


def test_a_frame_of_polars_is_read(right: tuple[int, float]) -> None:
    class Frame:  # what is used of one
        columns: tuple[str, ...] = ("N", "D", "loss", "held_out")

        def to_dict(self, *, as_series: bool = True) -> None: ...

        def to_dicts(self) -> list[dict[str, Any]]:
            return planted(held_out=(True, None))

    assert alpha_of(Frame()) == pytest.approx(right)


def test_names_that_are_no_texts_and_decimals_that_are_no_numbers_make_no_traceback() -> None:
    for name in (1, None, ("a", "b")):
        with pytest.raises(TableError, match="row 1: expected a text as a column's name, got"):
            read_runs([{"N": 1, "loss": 3, name: 2}])
    for text in ("sNaN", "NaN", "Infinity", "1E+99999"):
        table = read_runs([{"N": 1, "loss": 3, "note": decimal.Decimal(text)}])
        assert table.sha256
        with pytest.raises(TableError, match="expected a positive loss"):
            read_runs([{"N": 1, "loss": 3}, {"N": 2, "loss": decimal.Decimal(text)}])


def test_a_row_with_an_empty_cluster_stands_alone() -> None:
    rows = [{**row, "run": "" if i % 2 else f"r{i}"} for i, row in enumerate(planted())]
    assert lawful.fit(rows, draws=0).goodness.clusters == 24
    rows = [{**row, "group": i // 2 if i % 2 else float(i // 2)} for i, row in enumerate(planted())]
    assert lawful.fit(rows, draws=0, cluster="group").goodness.clusters == 12


def test_where_hears_an_empty_cell(tmp_path: Path) -> None:
    from lawful.cli.asked import Table

    rows = planted(held_out=("yes", ""), note=("x", ""))
    path = tmp_path / "runs.jsonl"
    path.write_text(
        "\n".join(json.dumps({name: cell for name, cell in row.items() if cell != ""}) for row in rows),
        encoding="utf-8",
    )
    for source in (path, as_csv(tmp_path / "runs.csv", rows)):
        for text, n in (("held_out=no", 20), ("held_out!=yes", 20), ("held_out=yes", 4), ("note=", 20), ("note!=", 4)):
            assert len(Table(source=str(source), where=[text]).read()[0]) == n, text


def test_isoflop_and_crossover_refuse_the_mixtures_that_a_fit_refuses() -> None:
    from lawful.fitting.crossover import crossover

    rows = [{**row, "arm": arm} for arm in "ab" for row in planted()]
    for mark in ({"loss_unit": "bits"}, {"schedule": "cosine"}):
        mixed = [{**row, name: "nats", **(mark if row["arm"] == "b" else {})} for row in rows for name in mark]
        for ask in (
            lambda mixed=mixed: isoflop(mixed),
            lambda mixed=mixed: crossover(mixed, "arm", law="power_floor:params", draws=50),
            lambda mixed=mixed: lawful.fit(mixed, draws=0),
        ):
            with pytest.raises(Refusal, match="expected one value in one fit"):
                ask()
    with pytest.raises(Refusal, match="masks_padding is no"):
        isoflop(planted(masks_padding=("no", "yes")))
    with pytest.raises(TableError, match="column 'flops': expected a positive count"):
        isoflop([{**row, "flops": 6 * row["N"] * row["D"] if i else ""} for i, row in enumerate(planted())])


def test_exact_flops_are_counted_on_finished_runs_alone() -> None:
    from lawful.fitting.cost import exact_cost

    rows = [{**row, "flops": 7.0 * row["N"] * row["D"], "status": "finished"} for row in planted()]
    half = [{**row, "flops": row["flops"] / 1000, "status": "crashed"} for row in rows[::3]]
    assert exact_cost([*rows, *half])(np.array([1e8])) == pytest.approx(7e8)
    with pytest.raises(TableError, match="flops has empty cells"):
        exact_cost([*rows[1:], {**rows[0], "flops": ""}])


@pytest.mark.parametrize(
    "odd", ["", "nan", "inf", "3_14", "٣", "1-2", "1.2.3", "-", ".", "e5", "+-5", "1e", "0x1", "n/a", "½"]
)
def test_a_column_is_read_at_once_as_cell_by_cell(odd: str) -> None:
    plain = [
        "0",
        "-5",
        "+7",
        "007",
        "1.",
        ".5",
        "-.5e-3",
        "1.e5",
        "1E400",
        "9" * 299 + "9",
        "9" * 301,
        "1.0",
        "1e3",
        "",
    ]
    for cells in (plain, [*plain, odd], [odd], [odd, "1.5"], plain[:10]):
        for is_number in (True, False):
            found = numbers_or_texts(cells, is_number=is_number)
            expected = [number_or_text(cell, is_number=is_number) for cell in cells]
            assert [(type(a), a) for a in found] == [(type(b), b) for b in expected]
