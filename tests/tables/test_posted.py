"""Tables as people post them, in dialects that no library writes: read right, or asked about in words that help."""

from __future__ import annotations

from pathlib import Path

import pytest

import lawful
from lawful.errors import LawfulError
from lawful.tables import read_runs
from lawful.tables.cells import written_count
from lawful.tables.header import header_of

from .foreign import RUNS


def body(sign: str = ",") -> str:
    return "".join(f"{n:.0f}{sign}{d:.0f}{sign}{loss}\n" for n, d, loss in RUNS)


def scaled(sign: str = ",") -> str:
    return "".join(f"{n / 1e6}{sign}{d / 1e9}{sign}{loss}\n" for n, d, loss in RUNS)


def powers(cell: float) -> str:
    exponent = len(f"{cell:.0f}") - 1
    return f"{cell / 10**exponent:g}x10^{exponent}"


READ = {
    "a title in a line of its own": "Table 3: our runs, 2024\n\nparams;tokens;loss\n" + body(";"),
    "two lines above": "Our runs\nall on one GPU\nparams,tokens,loss\n" + body(),
    "a title in the first cell": "Our runs,,\nparams,tokens,loss\n" + body(),
    "units below the names": "params,tokens,loss\n[M],[B],[nats]\n" + scaled(),
    "units below, one without": "params,tokens,loss\n(M),(B),-\n" + scaled(),
    "groups as pandas writes them": "Model,Model,Eval\nparams,tokens,loss\n" + body(),
    "groups of merged cells": "Model,,Eval\nparams,tokens,loss\n" + body(),
    "names of two lines": '"Params\n(millions)","Tokens\n(billions)","Val\nloss"\n' + scaled(),
    "in M and in B": "params in M,train tokens in B,val loss\n" + scaled(),
    "powers of ten": "N,D,loss\n" + "".join(f"{powers(n)},{powers(d)},{loss}\n" for n, d, loss in RUNS),
}


@pytest.mark.parametrize("kind", READ)
def test_a_posted_table_is_read_as_what_it_is(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(READ[kind])
    table = read_runs(path)
    for role, place in (("params", 0), ("tokens", 1), ("loss", 2)):
        assert table.numbers(table.roles[role]).tolist() == pytest.approx([run[place] for run in RUNS]), role


def test_what_stood_above_or_below_the_names_is_said(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    for kind, words in (
        ("a title in a line of its own", "1 line above the table left out: 'Table 3: our runs, 2024'"),
        ("a title in the first cell", "the title 'Our runs' above the table left out"),
        ("units below the names", "a row of units below the names"),
        ("groups of merged cells", "groups of columns above their names"),
    ):
        path.write_text(READ[kind])
        assert words in read_runs(path).said


def test_a_damaged_row_makes_no_preface_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "runs.tsv"
    lines = ["params\ttokens\tloss", *(f"{n:.0f}\t{d:.0f}\t{loss}" for n, d, loss in RUNS[:4])]
    path.write_text("\n".join([*lines, "20000000\t1000000000\t,", "20000000\t1000000000\t3.1"]))
    with pytest.raises(LawfulError, match="row 5, column 'loss'.*','"):
        read_runs(path)


def test_a_header_of_names_that_are_each_their_own_is_one_row() -> None:
    """A row of texts below it is a run."""
    assert header_of([["model", "size"], ["a", "small"], ["b", "7"]]).rows == 1
    assert header_of([["", "loss"], ["0", "3.1"]]).names == ["", "loss"]
    assert header_of([["params", "loss"], ["1e8", "3.1"], ["2e8", "3.0"]]).rows == 1
    assert header_of([["loss", ""], ["3.1", "note"]]).rows == 1


@pytest.mark.parametrize(
    ("text", "number"),
    [("2x10^7", 2e7), ("2 × 10⁷", 2e7), ("1.5*10**8", 1.5e8), ("10^9", 1e9), ("3·10⁻²", 0.03), ("2x107", None)],
)
def test_powers_of_ten_are_numbers(text: str, number: float | None) -> None:
    assert written_count(text, None) == number


def test_a_table_of_markdown_is_read_out_of_the_text_around_it(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    lines = "".join(
        f"| {n:.0f} | {d:.0f} | {'**' * (i == 3)}{y}{'**' * (i == 3)} |\n" for i, (n, d, y) in enumerate(RUNS)
    )
    path.write_text(
        f"# Results\n\nOur runs, all of them:\n\n| params | tokens | loss |\n|---|---|--:|\n{lines}\nBold: best.\n"
    )
    table = read_runs(path)
    assert table.numbers("loss").tolist() == [loss for _, _, loss in RUNS]


@pytest.mark.parametrize("column", ["gpu_hours", "data_GB", "train_chars"])
def test_losses_that_fall_with_a_column_nobody_knows_are_asked_about(column: str) -> None:
    rows = [{"params": n, column: d / 1e6, "loss": loss} for n, d, loss in RUNS]
    assert f"fall with {column!r}" in lawful.check(rows).problem
    with pytest.raises(LawfulError, match=f"--tokens-column {column}"):
        lawful.fit(rows, draws=0)
    assert lawful.fit(read_runs(rows, as_noise=[column]), "power_floor:params", draws=0).goodness.n == 20


def test_sizes_that_stand_in_names_alone_are_asked_about() -> None:
    rows = [{"model": f"gpt-{n / 1e6:g}M", "tokens": d, "loss": loss} for n, d, loss in RUNS]
    with pytest.raises(LawfulError, match="names in 'model' have sizes, such as 'gpt-20M'"):
        lawful.fit(rows, draws=0)
    one = [{"model": "gpt-125M", "tokens": d, "loss": loss} for n, d, loss in RUNS if n == 2e7]
    assert not lawful.check(one).problem


def test_a_grid_is_asked_about() -> None:
    rows = [{"N": n, "1e9": 3.0 - i, "4e9": 2.9 - i} for i, n in enumerate((1e7, 1e8))]
    assert "a grid" in lawful.check(rows).problem
    assert "no header" in lawful.check([{"1e7": n, "1e9": d, "3.1": loss} for n, d, loss in RUNS]).problem


@pytest.mark.parametrize("column", ["tokens/param", "D/N", "tokens per parameter"])
def test_a_ratio_of_data_to_size_is_no_amount_of_data(column: str) -> None:
    table = read_runs([{"N": n, column: d / n, "loss": loss} for n, d, loss in RUNS])
    assert table.numbers(table.roles["tokens"]).tolist() == pytest.approx([d for _, d, _ in RUNS])


def test_cells_that_were_merged_are_asked_about_by_check_and_fit() -> None:
    rows = [{"params": n if i % 4 == 0 else "", "tokens": d, "loss": loss} for i, (n, d, loss) in enumerate(RUNS)]
    assert "Where cells were merged" in lawful.check(rows).problem
    with pytest.raises(LawfulError, match="Where cells were merged"):
        lawful.fit(rows, draws=0)


def test_a_workbook_with_a_title_groups_or_a_sheet_of_notes_is_read(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    tops = {
        "title": [["Our runs"], [], ["params", "tokens", "loss"]],
        "groups": [["Model", None, "Eval"], ["params", "tokens", "loss"]],
        "notes": [["params", "tokens", "loss"]],
    }
    for name, top in tops.items():
        book = openpyxl.Workbook()
        sheet = book.active
        if name == "notes":
            sheet.append(["see the other sheet"])
            sheet = book.create_sheet("runs")
        for row in [*top, *RUNS]:
            sheet.append(list(row))
        book.save(tmp_path / f"{name}.xlsx")
        table = read_runs(tmp_path / f"{name}.xlsx")
        assert table.numbers(table.roles["loss"]).tolist() == [loss for _, _, loss in RUNS], name
    assert "sheet 'runs' (not 'Sheet')" in table.said


def test_the_lowest_loss_over_data_sets_is_no_way_on() -> None:
    for column, is_choice in (("dataset", False), ("lr", True)):
        rows = [{"N": n, "D": d, column: x, "loss": loss + x / 10} for n, d, loss in RUNS for x in (1, 2)]
        with pytest.raises(LawfulError, match="no replicates") as refused:
            lawful.fit(rows, draws=0)
        for said in (str(refused.value), lawful.check(rows).summary()):
            assert (f"--best-over {column}" in said) == is_choice
