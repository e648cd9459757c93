"""Read a table as it is, from wherever it is; no column of it is required. Every reader of tables begins here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lawful import plugins
from lawful.errors import TableError
from lawful.schema import Cell
from lawful.storage.layout import Store
from lawful.tables import formats
from lawful.tables.cells import (
    Point,
    Row,
    are_lone,
    as_number,
    as_plain,
    as_text,
    first_said,
    in_words,
    is_empty,
    is_state,
    number_or_text,
    numbers_of,
    numbers_or_texts,
    plain_number,
    point_of,
    torn,
    yes_or_no,
)
from lawful.tables.chart import is_of_chart, of_chart
from lawful.tables.columns import COLUMNS, current_name, with_current_names
from lawful.tables.names import name_of
from lawful.tables.observations import OWN, Observations
from lawful.tables.pooled import may_tell
from lawful.tables.rows import Columns
from lawful.tables.standard_input import DASH, STANDARD_INPUT, standard_input
from lawful.tables.text import read_text
from lawful.tables.write import is_quoted, unquoted

_SPACES = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"  # of ASCII, as str.strip() takes them off
_OF_ODD_NUMBERS = frozenset("+-0123456789.,eE '’\u00a0\u2009\u202f")
MOST_PROBLEMS = 8  # in one message
# other names of the columns that decide whether a run is fitted
_ALSO_CALLED = {
    "state": "status",
    "run_state": "status",
    "run_status": "status",
    "trial_status": "status",
    "is_held_out": "held_out",
    "heldout": "held_out",
}
_YES_NO_COLUMNS = tuple(name for name, (kind, _) in COLUMNS.items() if kind == "yes/no")


def read_rows(source: Any, named: Sequence[str] = ()) -> Observations:
    """A table as it is, no column of it required; every reader of tables begins here, and every cell is read by one
    parser.

    Numbers are numbers and an empty cell is "", whatever the source has for it: NaN, NaT, None, null. The columns that
    decide whether a run is fitted stand under their own names, also where the table calls them State or HELD_OUT.

    named   what the user said of columns: those of which a name stands in it are kept, however large a text table is

    Raises TableError that names the rows whose yes/no or status cannot be read.
    """
    table = read_columns(source, named)
    return replace(table, rows=tuple(table.rows))


def read_columns(source: Any, named: Sequence[str] = ()) -> Observations:
    """As read_rows; the rows of a text file are kept as columns."""
    if isinstance(source, Observations):
        table = replace(source, rows=tuple(_plain_rows(source.rows)))
    else:
        table = of_chart(_under_current_names(_read(source, named)))
    problems: list[str] = []
    for name, columns in _deciding(table.columns).items():
        cells, odd = _states(table, columns) if name == "status" else _yes_and_no(table, columns)
        table = table.with_cells(name, cells)
        problems += odd
    refuse(table.source, problems)
    return table


def _read(source: Any, named: Sequence[str]) -> Observations:
    if formats.is_frame(source):
        return Observations(tuple(_plain_rows(formats.frame_rows(source))), "DataFrame")
    if not isinstance(source, (str, Path)):
        return Observations(tuple(_plain_rows(formats.memory_rows(source))), "memory")
    if "://" in str(source):
        return _of_address(str(source))
    if str(source) == DASH:
        with standard_input() as file:
            return replace(_read(file, named), source=STANDARD_INPUT)
    path = Path(source)
    if path.is_dir():
        if (own := Store(path).observations).exists():
            rows, _, _ = _of_text(own, named)
            return Observations(rows, str(path))
        return _of_reader(path, plugins.readers_of(path))
    if not path.exists():
        raise TableError(f"{path}: no such file; expected a table (CSV, JSONL, Parquet, ...), or a study's folder.")
    if not path.is_file():  # whoever reads a pipe waits until somebody writes, perhaps for ever
        raise TableError(
            f"{path}: expected a file, got a pipe, socket or device; write the table into a file, or send "
            "it to standard input (`-` in place of the name)."
        )
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix not in (".gz", ".bz2", ".xz")), "").lower()
    said: tuple[str, ...] = ()
    if kind in (".csv", ".tsv", ".txt", ".dat", ".md"):
        rows, said, lone = _of_text(path, named)
        return Observations(rows, str(path), said=said, lone=lone)
    if kind in (".json", ".jsonl") and (readers := plugins.readers_of(path)):
        return _of_reader(path, readers)
    if kind in (".jsonl", ".ndjson"):
        records, said = formats.json_lines(path)
    elif kind == ".json":
        records, said = formats.json_table(path)
    elif kind == ".parquet":
        records = formats.parquet_rows(path)
    elif kind in (".feather", ".arrow"):
        records = formats.feather_rows(path)
    elif kind in (".xlsx", ".xlsm"):
        records, said = formats.excel_rows(path)
    else:
        return _of_reader(path, plugins.readers_of(path))
    return Observations(tuple(_plain_rows(records)), str(path), said=said)


def _of_reader(path: Path, readers: Sequence[plugins.Reader]) -> Observations:
    """What the first of the registered readers for a folder or file makes of it."""
    if not readers:
        what = "observations.csv, or what a run tracker writes" if path.is_dir() else "a table by its name"
        known = ".csv, .tsv, .txt, .md, .json, .jsonl, .parquet, .feather or .xlsx"
        got = "neither" if path.is_dir() else (repr(path.suffix) if path.suffix else "no suffix")
        raise TableError(f"{path}: expected {what} ({known}), got {got}.")
    rows, said = plugins.separated(readers[0].rows(path))
    if readers[1:] and not readers[0].is_outer:  # that one reads through the others
        others = ", ".join(reader.about.partition(":")[0] or type(reader).__name__ for reader in readers[1:])
        said = (*said, f"not read, though they are there: {others}")
    about = readers[0].about
    return Observations(tuple(_plain_rows(rows)), str(path), said=(about, *said) if about else said)


def _of_address(address: str) -> Observations:
    """What a registered reader finds at wandb://entity/project and the like."""
    reader = plugins.reader_at(address)
    if reader is None:
        raise TableError(f"{address}: expected a file, a folder or wandb://ENTITY/PROJECT, got another address.")
    rows, said = plugins.separated(reader.rows_at(address))
    return Observations(tuple(_plain_rows(rows)), address, said=(reader.about, *said) if reader.about else said)


def _of_text(path: Path, named: Sequence[str]) -> tuple[Sequence[Row], tuple[str, ...], frozenset[str]]:
    """The typed rows of a text file, how it was read, and the columns whose cells are all like 1.234."""
    text = read_text(
        path,
        lambda column: (
            bool(_own_kind(column)) or may_tell(column) or is_of_chart(column) or any(column in n for n in named)
        ),
    )
    header = [unquoted(name) for name in text.header]
    is_own = OWN <= set(header)
    if is_own and (odd := [said for said in text.said if "encoding" in said]):
        raise TableError(f"{path}: expected a table that lawful wrote, in UTF-8, got {odd[0]}; it is damaged.")
    if is_own:
        columns_of_rows = zip(*text.rows, strict=True) if text.rows else ((),) * len(header)
        own = [_own_cells(name, cells) for name, cells in zip(header, columns_of_rows, strict=True)]
        return tuple(dict(zip(header, row, strict=True)) for row in zip(*own, strict=True)), (), frozenset()
    columns = [_stripped([row[i] for row in text.rows]) for i in range(len(header))] if text.rows else []
    text.rows.clear()  # a million rows of texts take half of a gigabyte
    lone = frozenset(name for name, cells in zip(header, columns, strict=False) if are_lone(cells))
    cells, said = _typed_columns(path, header, columns, text.delimiter)
    return Columns(dict(zip(header, cells, strict=False))), text.said + said, lone


def _shared(cells: Sequence[Cell]) -> list[Cell]:
    """Equal texts as one object: all rows of a run have its name."""
    first: dict[str, str] = {}
    return [first.setdefault(cell, cell) if isinstance(cell, str) else cell for cell in cells]


def _stripped(cells: list[str]) -> list[str]:
    text = "".join(cells)
    return cells if text.isascii() and not any(space in text for space in _SPACES) else [cell.strip() for cell in cells]


def _typed_columns(
    path: Path, header: Sequence[str], texts: list[list[str]], delimiter: str
) -> tuple[list[Sequence[Cell]], tuple[str, ...]]:
    columns: list[Sequence[Cell]] = []
    odd = {}
    for i, name in enumerate(header[: len(texts)]):
        cells = list(map(unquoted, texts[i])) if "'" in "".join(texts[i]) else texts[i]
        texts[i] = []  # a column of texts takes more room than one of numbers
        kind = COLUMNS[name][0] if name in COLUMNS else ""
        if kind in ("text", "yes/no"):
            columns.append(_shared(cells))
            continue
        parsed = numbers_or_texts(cells, is_number=bool(kind))
        strange = {cell for cell in parsed if isinstance(cell, str) and cell and not is_empty(cell)}
        if strange and all(set(cell) <= _OF_ODD_NUMBERS for cell in strange):
            odd[i] = cells
        columns.append(_shared(parsed) if 0 < len(strange) < len(parsed) / 2 else parsed)
    commas = []
    point: Point | None = "," if delimiter == ";" else None  # spreadsheets write semicolons for that reason
    for i, cells in odd.items():
        try:
            own = point_of(cell for cell in cells if "," in cell)
            if own and (lone := [cell for cell in torn(cells, own) if "." in cell]):
                raise TableError(f"{lone[0]!r} may be {lone[0].replace('.', '')}, or have three decimals")
            numbers = numbers_of(cells, own or point)
        except TableError as error:
            raise TableError(
                f"{path}: column {header[i]!r}: expected one way to write numbers, got two: {error}."
            ) from None
        if numbers is None:
            continue
        commas_in = sum(_is_comma_decimal(cell, number) for cell, number in zip(cells, numbers, strict=True))
        if commas_in and delimiter == "," and 2 * commas_in < sum(number != "" for number in numbers):
            continue  # one cell like 12,34 in a column of whole numbers is damaged sooner than written so
        columns[i] = numbers
        if commas_in:
            commas.append(header[i])
    if not commas:
        return columns, ()
    return columns, (f"a comma before the decimals of {', '.join(map(repr, commas))}",)


def _is_comma_decimal(cell: str, number: Cell) -> bool:
    return "," in cell and number != "" and number != plain_number(cell.replace(",", ""))


def _own_cells(column: str, cells: Sequence[str]) -> list[Cell]:
    """The cells of a column of a table that lawful wrote: texts where the schema says so (yes and no come later), or
    where they are quoted, else numbers where they read as such."""
    kind = _own_kind(column)
    if kind in ("text", "yes/no"):
        return [unquoted(cell) if is_quoted(cell) else cell.strip() for cell in cells]
    if any(map(is_quoted, cells)):
        number = bool(kind)
        return [unquoted(cell) if is_quoted(cell) else number_or_text(cell, is_number=number) for cell in cells]
    return list(numbers_or_texts(cells, is_number=bool(kind)))


def _own_kind(column: str) -> str:
    """The unit or kind of a column that lawful knows, or a plug-in; else empty."""
    if column in COLUMNS:
        return COLUMNS[column][0]
    return plugins.columns()[column].unit if column in plugins.columns() else ""


def _plain_rows(rows: Iterable[formats.Row]) -> Iterator[dict[str, Cell]]:
    """Rows of a source whose cells have types, as `_of_text` gives those of a text."""
    parsers: dict[str, Callable[[Any], Cell]] = {}
    for row in rows:
        for name in row.keys() - parsers.keys():
            kind = _own_kind(name) if row.keys() >= OWN else COLUMNS[name][0] if name in COLUMNS else ""
            parsers[name] = as_text if kind == "text" else as_number if kind not in ("", "yes/no") else as_plain
        yield {
            # most cells are such numbers already
            name: cell
            if (type(cell) is int or (type(cell) is float and cell == cell)) and parsers[name] is not as_text
            else parsers[name](cell)
            for name, cell in row.items()
        }


def _under_current_names(table: Observations) -> Observations:
    """Only a table that lawful wrote: in another's, best_loss may be anything."""
    if not table.is_of_study or all(current_name(name) == name for name in table.columns):
        return table
    return replace(table, rows=tuple(with_current_names(row) for row in table))


def _deciding(columns: Sequence[str]) -> dict[str, list[str]]:
    """The columns that decide whether a run is fitted: name in the schema -> its names here, its own first."""
    found: dict[str, list[str]] = {}
    for column in sorted(columns, key=lambda column: column not in COLUMNS):
        name = name_of(column)
        key = next((k for k in (name.key, name.path) if _ALSO_CALLED.get(k, k) in ("status", *_YES_NO_COLUMNS)), "")
        if key:
            found.setdefault(_ALSO_CALLED.get(key, key), []).append(column)
    return found


def _yes_and_no(table: Observations, columns: Sequence[str]) -> tuple[list[Cell], list[str]]:
    """True, False or "" for each row, as the first of these columns says that has something in it; the problems
    found."""
    found: list[Cell] = []
    problems = []
    for number, row in enumerate(table.rows, start=1):
        column, cell = first_said(row, columns, lambda cell: cell not in (True, False) and yes_or_no(cell) == "")
        value = cell if cell is True or cell is False else yes_or_no(cell)
        if value is None:
            problems.append(
                f"row {number}, column {column!r}: expected yes or no (or true and false, t and f, y and n, on and "
                f"off, 1 and 0, x and an empty cell), got {cell!r}."
            )
        found.append(value)
    return found, problems


def _states(table: Observations, columns: Sequence[str]) -> tuple[list[Cell], list[str]]:
    """The state of each row; the words that nobody knows, each once."""
    found: list[Cell] = []
    unknown: dict[str, str] = {}
    for number, row in enumerate(table.rows, start=1):
        column, cell = first_said(row, columns, lambda cell: cell == "")
        found.append(cell)
        if cell == "" or is_state(cell):
            continue
        unknown.setdefault(
            in_words(cell),
            f"row {number}, column {column!r}: expected the state of a run, a word such as finished, completed, "
            f"failed, crashed or running, got {cell!r}. Write one of these, or give the column another name if it "
            "holds something else.",
        )
    return found, list(unknown.values())


def refuse(source: str, problems: Sequence[str], hint: str = "") -> None:
    if problems:
        more = f"\n  and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        raise TableError(
            f"{source}: the table cannot be used:\n  " + "\n  ".join(problems[:MOST_PROBLEMS]) + more + hint
        )
