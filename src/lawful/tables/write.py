"""Write the table that lawful writes, and read it back cell by cell as it was written."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lawful.errors import TableError
from lawful.schema import Cell
from lawful.storage.atomic import write_text
from lawful.tables.cells import Row
from lawful.tables.columns import COLUMNS
from lawful.tables.text import text_lines, text_rows

# What a spreadsheet takes for a formula, and would run: such a text is written with an apostrophe in front. So is what
# follows a semicolon, a tab or an end of line in a text: many spreadsheets begin a cell there, and heed no quotes then
_FORMULA = "(?='*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20])"
_BEGINS = "(?:^|(?<=[;|\t\r\n]))"
_TO_QUOTE, _QUOTED = re.compile(_BEGINS + _FORMULA), re.compile(f"{_BEGINS}'{_FORMULA}")


def is_quoted(cell: str) -> bool:
    """Whether the cell is a text that write_csv put an apostrophe into."""
    return "'" in cell and _QUOTED.search(cell) is not None


def unquoted(cell: str) -> str:
    """The text as it was before write_csv."""
    return _QUOTED.sub("", cell) if is_quoted(cell) else cell


def _quoted(text: str) -> str:
    """The inverse; numbers stay as they are, also those that are kept as text."""
    if not _TO_QUOTE.search(text):
        return text
    try:
        float(text)
    except ValueError:
        return _TO_QUOTE.sub("'", text)
    return text


def write_csv(path: Path, rows: Iterable[Row], columns: Sequence[str] | None = None) -> None:
    """Schema columns first and in order, then any others; numbers keep every digit (repr round-trips)."""
    rows = list(rows)
    extra = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in COLUMNS]
    names = columns or [*COLUMNS, *extra]
    buffer = io.StringIO()
    # the writer ends its lines with both, so that a cell with either is put in quotes; we keep one of them
    lines: Any = SimpleNamespace(write=lambda line: buffer.write(line[:-2] + "\n"))
    writer = csv.DictWriter(lines, names, restval="", lineterminator="\r\n")
    writer.writerow({name: _quoted(name) for name in names})
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    write_text(path, buffer.getvalue())


def _cell(value: Cell) -> Cell:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return _quoted(value)
    return repr(float(value)) if isinstance(value, float) else value  # a numpy float is one, with another repr


def read_cells(path: Path) -> list[dict[str, str]]:
    """The rows of a study's table, each cell as it was given to be written; none where there is no such file."""
    if not path.exists():
        return []
    lines, _ = text_lines(path, is_own=True)
    header, *rows = [cells for _, cells in text_rows(path, lines) if cells] or [[]]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise TableError(
                f"{path}: row {number} has another number of cells than the header; the table is damaged, and nothing "
                "is written over it. Take it from a copy; or remove it, and it is made again from the runs in runs/."
            )
    return [{unquoted(name): unquoted(cell) for name, cell in zip(header, row, strict=True)} for row in rows]
