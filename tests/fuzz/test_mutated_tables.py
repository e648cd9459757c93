"""A table in which something is damaged is refused by its name, or each number is what a strict reader makes of it."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lawful.errors import LawfulError
from lawful.tables import read_runs

MUTATIONS = int(os.environ.get("LAWFUL_FUZZ_TABLES", 500))
FIRST = int(os.environ.get("LAWFUL_FUZZ_FIRST", 0))  # the seed of the first; `make fuzz` may take others
PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
MULTIPLE = re.compile(rf"({PLAIN.pattern}) ?([kmbgt])", re.ASCII | re.IGNORECASE)
UNITS = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
NOTHING = ("", "nan", "na", "n/a", "#n/a", "<na>", "nat", "null", "none", "-", "--", "missing", "?")
SIGNS = {".csv": ",", ".tsv": "\t", ".txt": ";"}
STRANGE = ",;\t|. -+eE_\"'#0159BMkNa{}[]:٣½é\u00a0\n\r\\"
COLUMNS = {"params": "params", "tokens": "tokens", "loss": "val_loss"}


def rows_of(draw: random.Random) -> list[dict[str, Any]]:
    found = []
    for number in range(draw.randint(5, 9)):
        n, d = 10 ** draw.uniform(6, 9), 10 ** draw.uniform(8, 11)
        loss = 1.8 + 400 * n**-0.34 + 410 * d**-0.28
        count = (round, lambda x: float(f"{x:.3e}"))[number % 2]
        found.append({"run": f"run-{number}", "params": count(n), "tokens": count(d), "val_loss": round(loss, 5)})
    return found


def delimited(sign: str) -> Callable[[list[dict[str, Any]]], str]:
    def write(rows: list[dict[str, Any]]) -> str:
        out = io.StringIO()
        table = csv.DictWriter(out, list(rows[0]), delimiter=sign, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        return out.getvalue()

    return write


def with_decimal_commas(rows: list[dict[str, Any]]) -> str:
    return delimited(";")([{name: str(cell).replace(".", ",") for name, cell in row.items()} for row in rows])


FORMATS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    ".csv": delimited(","),
    ".tsv": delimited("\t"),
    ".txt": with_decimal_commas,
    ".jsonl": lambda rows: "".join(json.dumps(row) + "\n" for row in rows),
    ".json": json.dumps,
}


def mutated(content: bytes, draw: random.Random) -> bytes:
    """One to three edits: a bit, a byte, a sign, a cell, or a line."""
    for _ in range(draw.randint(1, 3)):
        if not content:
            break
        place = draw.randrange(len(content))
        kind = draw.choice(("bit", "byte", "insert", "drop", "sign", "cell", "line", "digit"))
        if kind == "bit":
            content = content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]
        elif kind == "byte":
            content = content[:place] + draw.choice(STRANGE).encode() + content[place + 1 :]
        elif kind == "insert":
            content = content[:place] + draw.choice(STRANGE).encode() + content[place:]
        elif kind == "drop":
            content = content[:place] + content[place + draw.randint(1, 4) :]
        else:
            found = list(
                re.finditer(
                    {"sign": rb"[0-9.]+", "cell": rb"[^,;\t\n]+[,;\t]?", "line": rb"[^\n]*\n", "digit": rb"\d"}[kind],
                    content,
                )
            )
            if found:
                part = draw.choice(found)
                new = {
                    "sign": b"-" + part[0],
                    "cell": b"" if draw.random() < 0.5 else b",",
                    "line": part[0] * 2,
                    "digit": str(draw.randrange(10)).encode(),
                }[kind]
                content = content[: part.start()] + new + content[part.end() :]
    return content


def strict_rows(kind: str, content: bytes, *, above: int = 0) -> list[dict[str, Any]]:
    """As csv and json of the standard library read it, from below the lines above the table. Raises ValueError where
    they do not."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    if kind in SIGNS:
        lines = [line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#")]
        table = [cells for cells in csv.reader(lines, delimiter=SIGNS[kind], strict=True) if cells][above:]
        header = [name.strip() for name in table[0]]
        rows = [cells for cells in table[1:] if [cell.strip() for cell in cells] != header]  # a repeated header is said
        return [dict(zip(header, cells, strict=False)) for cells in rows]
    parts = [text] if kind == ".json" else [line for line in text.splitlines() if line.strip()]
    values = [json.loads(part, object_pairs_hook=once) for part in parts]
    return values[0] if kind == ".json" else values


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("twice")
    return dict(pairs)


def strict_number(kind: str, cell: Any, *, is_count: bool) -> float | None:
    """None: nothing, or no number."""
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return float(cell)
    if not isinstance(cell, str):
        return None
    cell = cell.strip()
    if kind == ".txt" and re.fullmatch(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?(?: ?[kKmMbB])?", cell, re.ASCII):
        cell = cell.replace(",", ".")
    if PLAIN.fullmatch(cell):
        return float(cell)
    if is_count and (parts := MULTIPLE.fullmatch(cell)):
        return float(parts[1]) * UNITS[parts[2].lower()]
    return None


def judged(kind: str, content: bytes, path: Path) -> bool:
    """Whether the table was read; AssertionError where it was read wrong."""
    path.write_bytes(content)
    try:
        table = read_runs(path)
    except LawfulError as error:
        assert path.name in str(error), error
        return False
    left_out = re.match(r"(\d+) lines? above the table left out", " ".join(table.said))
    strict = strict_rows(kind, content, above=int(left_out[1]) if left_out else 0)
    gone = {row["row"] for row in table.dropped}
    kept = [row for number, row in enumerate(strict, start=1) if number not in gone]
    assert len(kept) == len(table), (table.said, table.dropped)
    for role, column in table.roles.items():
        if role not in ("params", "tokens", "loss") or column not in strict[0]:
            continue  # no number, or converted, which is said
        for row, own in zip(kept, table, strict=True):
            number, expected = own.get(column), strict_number(kind, row.get(column), is_count=role != "loss")
            if expected is None:
                cell = row.get(column)
                is_nothing = cell is None or (isinstance(cell, str) and cell.strip().lower() in NOTHING)
                assert number in ("", None) and is_nothing, (column, cell, number)
                continue
            assert math.isclose(number, expected, rel_tol=1e-15), (column, row, number)
    return True


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_table_is_refused_by_name_or_read_as_a_strict_reader_reads_it(kind: str, tmp_path: Path) -> None:
    read = 0
    for seed in range(FIRST, FIRST + MUTATIONS // len(FORMATS)):
        draw = random.Random(f"{kind} {seed}")
        honest = FORMATS[kind](rows_of(draw)).encode()
        content = mutated(honest, draw)
        try:
            read += judged(kind, content, tmp_path / f"runs{kind}")
        except Exception as error:
            raise AssertionError(f"seed {seed}: {content!r}") from error
    assert 0 < read < MUTATIONS // len(FORMATS)  # some are read, some are refused
