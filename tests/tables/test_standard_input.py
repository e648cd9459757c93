"""A table may come through standard input; what it is, its content tells."""

import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from lawful.cli import app
from lawful.errors import TableError
from lawful.tables import read_runs

from .foreign import RUNS

ROWS = [{"params": n, "tokens": d, "val_loss": loss} for n, d, loss in RUNS]


def as_csv(sign: str = ",") -> bytes:
    lines = [list(ROWS[0]), *(list(map(str, row.values())) for row in ROWS)]
    return "".join(sign.join(cells) + "\n" for cells in lines).encode()


def packed(make: str) -> bytes:
    pandas = pytest.importorskip("pandas")
    into = io.BytesIO()
    getattr(pandas.DataFrame(ROWS), make)(into, **({} if make == "to_feather" else {"index": False}))
    return into.getvalue()


CONTENTS = {
    "commas": as_csv,
    "semicolons": lambda: as_csv(";"),
    "gzip": lambda: gzip.compress(as_csv()),
    "gzipped JSON": lambda: gzip.compress(json.dumps(ROWS).encode()),
    "records": lambda: json.dumps(ROWS).encode(),
    "JSON lines": lambda: "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
    "UTF-8 with a mark": lambda: b"\xef\xbb\xbf" + as_csv(),
    "Parquet": lambda: packed("to_parquet"),
    "Feather": lambda: packed("to_feather"),
    "Excel": lambda: packed("to_excel"),
}


def send(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))


@pytest.mark.parametrize("kind", CONTENTS)
def test_the_content_of_standard_input_tells_its_format(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    send(monkeypatch, CONTENTS[kind]())
    table = read_runs("-")
    assert table.source == "standard input"
    assert table.numbers("val_loss").tolist() == [loss for _, _, loss in RUNS]


def test_errors_name_standard_input_and_it_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    send(monkeypatch, as_csv() + b"1,2\n")
    with pytest.raises(TableError, match=r"^standard input: row 21 \(line 22\): expected 3 cells, got 2"):
        read_runs("-")
    with pytest.raises(TableError, match="standard input: expected a table, got nothing"):
        read_runs("-")


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(part) for part in arguments], input=as_csv())


def test_commands_take_standard_input(tmp_path: Path) -> None:
    checked = run("check", "-")
    assert checked.exit_code == 0 and "next: lawful fit - --law chinchilla" in checked.output
    fitted = run("fit", "-", "--draws", 0)
    assert fitted.exit_code == 0 and "chinchilla: L =" in fitted.output
    written = run("convert", "-", tmp_path / "tidy.csv")
    assert written.exit_code == 0 and len(read_runs(tmp_path / "tidy.csv")) == 20
