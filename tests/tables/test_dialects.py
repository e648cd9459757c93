"""Formats: one table of runs, however it is written, is read as the same numbers, or refused."""

import codecs
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lawful.errors import TableError
from lawful.tables import read_runs

ROWS: list[dict[str, Any]] = [
    {"params": n, "tokens": d, "loss": round(1.8 + 400 * n**-0.34 + 410 * d**-0.28, 5)}
    for n in (11_000_000, 70_000_000, 1_300_000_000)
    for d in (1_000_000_000, 9_000_000_000, 81_000_000_000)
]
HEADER = list(ROWS[0])


def lines(write: Callable[[Any], str] = str, sign: str = ",") -> list[str]:
    return [sign.join(HEADER), *(sign.join(write(cell) for cell in row.values()) for row in ROWS)]


def comma_decimals(cell: Any) -> str:
    return str(cell).replace(".", ",")


def grouped(sign: str, decimal: str) -> Callable[[Any], str]:
    def write(cell: Any) -> str:
        if isinstance(cell, int):
            return f"{cell:,}".replace(",", sign)
        return str(cell).replace(".", decimal)

    return write


DIALECTS: dict[str, tuple[str, bytes]] = {
    "commas": (".csv", "\n".join(lines()).encode()),
    "semicolons": (".csv", "\n".join(lines(sign=";")).encode()),
    "semicolons, decimal commas": (".csv", "\n".join(lines(comma_decimals, ";")).encode()),
    "semicolons, thousands and decimals of the continent": (".csv", "\n".join(lines(grouped(".", ","), ";")).encode()),
    "tabs": (".tsv", "\n".join(lines(sign="\t")).encode()),
    "tabs in .csv": (".csv", "\n".join(lines(sign="\t")).encode()),
    "bars": (".csv", "\n".join(lines(sign="|")).encode()),
    "spaces": (".txt", "\n".join(lines(sign="  ")).encode()),
    "spaces, thousands by commas": (".txt", "\n".join(lines(grouped(",", "."), "  ")).encode()),
    "thousands by commas, in quotes": (".csv", "\n".join(lines(lambda c: f'"{grouped(",", ".")(c)}"')).encode()),
    "thousands by points": (".csv", "\n".join(lines(grouped(".", "."))).encode()),
    "thousands by narrow spaces": (".csv", "\n".join(lines(grouped("\u202f", "."))).encode()),
    "decimal commas, in quotes": (".csv", "\n".join(lines(lambda c: f'"{comma_decimals(c)}"')).encode()),
    "a byte order mark": (".csv", codecs.BOM_UTF8 + "\n".join(lines()).encode()),
    "UTF-16": (".csv", "\n".join(lines()).encode("utf-16")),
    "UTF-16 without a mark": (".csv", "\n".join(lines()).encode("utf-16-le")),
    "Latin-1": (
        ".csv",
        ("\n".join([lines()[0] + ",modèle", *(line + ",é" for line in lines()[1:])])).encode("latin-1"),
    ),
    "ends of lines of Windows": (".csv", "\r\n".join(lines()).encode()),
    "comments": (".csv", "\n".join(["# written by hand", "# twice", *lines(), "# end"]).encode()),
    "blank lines before": (".csv", "\n".join(["", "", *lines(), "", ""]).encode()),
    "a spreadsheet's sep=": (".csv", "\n".join(["sep=;", *lines(sign=";")]).encode()),
    "rows of empty cells below": (".csv", "\n".join([*lines(), ",,", ",,"]).encode()),
    "a comma at each end": (".csv", "\n".join(line + "," for line in lines()).encode()),
    "spaces after commas": (".csv", "\n".join(lines(sign=", ")).encode()),
    "a header in a comment, as numpy.savetxt writes it": (".txt", ("# " + "\n".join(lines(sign=" "))).encode()),
    "gzip": (".csv.gz", gzip.compress("\n".join(lines()).encode())),
    "millions and billions": (
        ".csv",
        "\n".join(
            lines(
                lambda c: (
                    f"{c / 1e6:g}M"
                    if isinstance(c, int) and c < 1e9
                    else f"{c / 1e9:g} B"
                    if isinstance(c, int)
                    else str(c)
                )
            )
        ).encode(),
    ),
    "JSON lines": (".jsonl", "\n".join(map(json.dumps, ROWS)).encode()),
    "JSON lines, numbers as texts": (
        ".jsonl",
        "\n".join(json.dumps({k: str(v) for k, v in r.items()}) for r in ROWS).encode(),
    ),
    "JSON records": (".json", json.dumps(ROWS).encode()),
    "JSON columns": (".json", json.dumps({name: [row[name] for row in ROWS] for name in HEADER}).encode()),
    "JSON split": (".json", json.dumps({"columns": HEADER, "data": [list(row.values()) for row in ROWS]}).encode()),
    "JSON, nested": (
        ".json",
        json.dumps(
            [{"config": {"params": r["params"], "tokens": r["tokens"]}, "summary": {"loss": r["loss"]}} for r in ROWS]
        ).encode(),
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_table_is_read_as_the_same_numbers_in_every_dialect(dialect: str, tmp_path: Path) -> None:
    suffix, content = DIALECTS[dialect]
    file = tmp_path / f"runs{suffix}"
    file.write_bytes(content)
    table = read_runs(file)
    for role in HEADER:
        assert table.numbers(table.roles[role]).tolist() == [row[role] for row in ROWS]


@pytest.mark.parametrize(
    "what", ["pandas", "polars", "pyarrow", "columns", "structured", "parquet", "feather", "excel"]
)
def test_tables_of_other_libraries_are_read_as_the_same_numbers(what: str, tmp_path: Path) -> None:
    columns = {name: [row[name] for row in ROWS] for name in HEADER}
    if what == "columns":
        source: Any = columns
    elif what == "structured":
        source = np.array(
            [tuple(row.values()) for row in ROWS], dtype=[("params", "i8"), ("tokens", "i8"), ("loss", "f8")]
        )
    elif what in ("pandas", "excel"):
        pandas = pytest.importorskip("pandas")
        source = pandas.DataFrame(columns)
        if what == "excel":
            pytest.importorskip("openpyxl")
            source.to_excel(tmp_path / "runs.xlsx", index=False)
            source = tmp_path / "runs.xlsx"
    elif what == "polars":
        source = pytest.importorskip("polars").DataFrame(columns)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        source = pyarrow.table(columns)
        if what == "parquet":
            pytest.importorskip("pyarrow.parquet").write_table(source, tmp_path / "runs.parquet")
            source = tmp_path / "runs.parquet"
        elif what == "feather":
            pytest.importorskip("pyarrow.feather").write_feather(source, tmp_path / "runs.feather")
            source = tmp_path / "runs.feather"
    table = read_runs(source)
    assert [[row[name] for name in HEADER] for row in table] == [list(row.values()) for row in ROWS]


@pytest.mark.parametrize(
    ("cell", "why"),
    [("3_14", "3_14"), ("٣", "٣"), ("1.2.3", "1.2.3"), ("12,34", "12,34"), ("1e5x", "1e5x"), ("0x10", "0x10")],
)
def test_what_only_looks_like_a_number_is_refused_with_its_row_and_column(cell: str, why: str, tmp_path: Path) -> None:
    text = "\n".join(lines()).replace("81000000000", f'"{cell}"', 1)
    (tmp_path / "runs.csv").write_text(text, encoding="utf-8")
    with pytest.raises(TableError, match=f"row 3, column 'tokens'.*{why.replace('.', '[.]')}"):
        read_runs(tmp_path / "runs.csv")


def test_a_lone_point_in_whole_numbers_is_asked_about(tmp_path: Path) -> None:
    text = "\n".join(["params,tokens,loss", *(f"{n}.{n}00,2{n}.000,{4 - n / 10}" for n in range(1, 7))])
    (tmp_path / "runs.csv").write_text(text)
    with pytest.raises(TableError, match=r"'params'.*1\.234 may be 1234.*--unit params=1000"):
        read_runs(tmp_path / "runs.csv")
    table = read_runs(tmp_path / "runs.csv", units={"params": "1000", "tokens": "1e6"})
    assert table.numbers(table.roles["params"]).tolist() == [n * 1100 for n in range(1, 7)]
    assert table.numbers(table.roles["tokens"]).tolist() == [(20 + n) * 1e6 for n in range(1, 7)]


def test_what_was_chosen_in_reading_is_said(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_bytes("\n".join(["# c", *lines(comma_decimals, ";")]).encode("utf-16"))
    said = " ".join(read_runs(tmp_path / "runs.csv").said)
    for word in ("UTF-16", "1 comment line", "semicolons", "comma before the decimals of 'loss'", "params 'params'"):
        assert word in said


@pytest.mark.parametrize(
    "text",
    [
        "params,tokens,loss\n1,2\n",
        "params,tokens,loss\n1000000,20000000,3.5,7\n",
        'params,tokens,loss\n1000000,"20000000,3.5\n',
        "params,params,loss\n1000000,20000000,3.5\n",
        "params;tokens,loss\n1000000;20000000\n1;2;3\n",
        "params,loss\n1.000.000,3.5\n1,000.5,3.1\n",
    ],
)
def test_a_damaged_table_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(text)
    with pytest.raises(TableError, match=r"runs\.csv"):
        read_runs(tmp_path / "runs.csv")
