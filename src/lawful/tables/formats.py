"""Formats of tables: each function gives the rows of a file or of an object in memory, as mappings with cells as they
are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lawful import unpack
from lawful.checks import shown
from lawful.errors import MissingDependency, TableError
from lawful.storage.json_files import MOST_JSON_BYTES, Json, no_json, parse_json, reading
from lawful.tables.header import MOST_ROWS, header_of
from lawful.tables.text import MOST_CELLS, text_lines

Row = Mapping[str, Any]


def json_lines(path: Path) -> tuple[list[Row], tuple[str, ...]]:
    """One JSON object a line; and how the file was read."""
    lines, said = text_lines(path)
    return list(_objects(path, lines)), said


def _objects(path: Path, lines: Iterable[str]) -> Iterator[Row]:
    names: set[str] = set()
    for number, line in enumerate((line for line in lines if line.strip()), start=1):
        try:
            row = parse_json(line, object_pairs_hook=once_each)
        except TableError as error:
            raise TableError(f"{path}: row {number}: {error}") from None
        except (ValueError, RecursionError) as error:  # no JSON, a number of too many digits, too deep a nest
            raise TableError(f"{path}: row {number}: expected a JSON object, got {no_json(error)}.") from None
        if not isinstance(row, dict):
            raise TableError(f"{path}: row {number}: expected a JSON object, got {type(row).__name__}.")
        flat = flattened(row)
        names.update(flat)
        if number * len(names) > MOST_CELLS:
            raise TableError(f"{path}: expected a table of at most {MOST_CELLS:,} cells, got more.")
        yield flat


def json_table(path: Path) -> tuple[list[Row], tuple[str, ...]]:
    """A list of records, or an object of columns, in any of the ways that pandas writes them (records, columns, split,
    index, table); and how it was read."""
    lines, said = text_lines(path)
    text = "".join(lines)
    if len(text) > MOST_JSON_BYTES:
        raise TableError(f"{path}: expected JSON of at most {MOST_JSON_BYTES:,} characters, got {len(text):,}.")
    try:
        value = parse_json(text, object_pairs_hook=once_each)
    except TableError as error:
        raise TableError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        if sum(1 for line in lines if line.strip()) > 1 and lines[0].lstrip().startswith("{"):
            return list(_objects(path, lines)), (*said, "one JSON object a line")
        raise TableError(f"{path}: expected JSON, got {no_json(error)}.") from None
    rows, how = _of_json(path, value)
    return rows, (*said, how)


def _of_json(path: Path, value: Json) -> tuple[list[Row], str]:
    if isinstance(value, dict) and {"columns", "data"} <= value.keys() and isinstance(value["columns"], list):
        names = [str(name) for name in value["columns"]]
        records = [dict(zip(names, cells, strict=False)) for cells in value["data"] if isinstance(cells, list)]
        if len(records) != len(value["data"]) or any(len(cells) != len(names) for cells in value["data"]):
            raise TableError(f"{path}: expected {len(names)} cells in each row of `data`, got another number.")
        return [flattened(row) for row in records], "JSON with `columns` and `data`"
    if isinstance(value, dict) and {"schema", "data"} <= value.keys() and isinstance(value["data"], list):
        return _of_json(path, value["data"])
    if isinstance(value, list):
        for number, row in enumerate(value, start=1):
            if not isinstance(row, dict):
                raise TableError(f"{path}: row {number}: expected a JSON object, got {type(row).__name__}.")
        return [flattened(row) for row in value], "a list of JSON objects"
    if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
        return columns_to_rows(str(path), value), "a JSON object of columns"
    if isinstance(value, dict) and value and all(isinstance(part, dict) for part in value.values()):
        keys = [list(part) for part in value.values()]
        if all(names == keys[0] for names in keys) and [*map(str, range(len(keys[0])))] == keys[0]:
            columns = {name: list(part.values()) for name, part in value.items()}
            return columns_to_rows(str(path), columns), "a JSON object of columns"
        if list(value) == [*map(str, range(len(value)))]:
            return [flattened(row) for row in value.values()], "a JSON object of rows"
    raise TableError(
        f"{path}: expected a table in JSON (a list of objects, or an object of columns), got "
        f"{'an object with ' + ', '.join(map(repr, list(value)[:5])) if isinstance(value, dict) else shown(value)}."
    )


def columns_to_rows(source: str, columns: Mapping[str, Sequence[Any]]) -> list[Row]:
    """The rows of columns of one length."""
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        raise TableError(f"{source}: expected columns of one length, got {lengths}.")
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def flattened(row: Mapping[str, Json]) -> dict[str, Json]:
    """Objects within the row as columns a.b; lists stay. Raises TableError where two would have one name."""
    if not any(isinstance(value, dict) for value in row.values()):
        return dict(row)
    flat: dict[str, Json] = {}
    for name, value in row.items():
        inner = {f"{name}.{key}": cell for key, cell in flattened(value).items()} if isinstance(value, dict) else {}
        for key, cell in (inner or {name: "" if value == {} else value}).items():
            if key in flat:
                raise TableError(f"two members are called {key!r}; each needs its own name.")
            flat[key] = cell
    return flat


def once_each(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """The members of a JSON object. Raises TableError where two have one name: the last would hide the others."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise TableError(f"two members are called {twice!r}; each needs its own name.")
    return found


def parquet_rows(path: Path) -> list[Row]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependency.of("pyarrow", extra="table", what=f"{path}: reading Parquet", error=error) from None
    rows: list[Row] = []
    num_bytes, most = 0, unpack.room(path)
    with reading(path, "a Parquet table", TableError), pyarrow.parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        _expect_table(path, names, file.metadata.num_rows * file.metadata.num_columns)
        for batch in file.iter_batches(batch_size=1000):
            num_bytes += batch.nbytes
            if num_bytes > most:  # a text that is stored once may stand in every row
                raise TableError(f"{path}: expected at most {most:,} bytes in a file of its size, got more.")
            rows += batch.to_pylist()
    return [flattened(row) for row in rows]


def feather_rows(path: Path) -> list[Row]:
    try:
        import pyarrow.feather
    except ImportError as error:
        raise MissingDependency.of("pyarrow", extra="table", what=f"{path}: reading Feather", error=error) from None
    with reading(path, "a Feather table", TableError):
        table = pyarrow.feather.read_table(path)
        _expect_table(path, table.column_names, table.num_rows * table.num_columns)
        if table.nbytes > unpack.room(path):
            raise TableError(f"{path}: expected at most {unpack.room(path):,} bytes in a file of its size, got more.")
        rows = table.to_pylist()
    return [flattened(row) for row in rows]


def excel_rows(path: Path) -> tuple[list[Row], tuple[str, ...]]:
    """The first sheet that has columns; its first row is the header, below a title. Formulas give the values that were
    saved."""
    try:
        import openpyxl  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingDependency.of("openpyxl", extra="table", what=f"{path}: reading Excel", error=error) from None
    with reading(path, "an Excel workbook", TableError):
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        filled = []
        for sheet in book.worksheets:
            cells = []
            for row in sheet.iter_rows(values_only=True):
                cells.append(row)
                if len(cells) * len(row) > MOST_CELLS:
                    raise TableError(f"{path}: expected a table of at most {MOST_CELLS:,} cells, got more.")
            if any(cell is not None for row in cells for cell in row):
                filled.append((sheet.title, cells))
        book.close()
    if not filled:
        raise TableError(f"{path}: expected a header and rows, got an empty workbook.")
    # a sheet of notes has one column
    title, cells = next(((name, rows) for name, rows in filled if any(_filled(row) > 1 for row in rows)), filled[0])
    cells = [row for row in cells if _filled(row)]
    top = header_of([["" if cell is None else str(cell).strip() for cell in row] for row in cells[:MOST_ROWS]])
    used = [
        i for i in range(len(top.names)) if any(i < len(row) and row[i] is not None for row in cells[top.rows - 1 :])
    ]
    if nameless := [i for i in used if not top.names[i]]:
        raise TableError(f"{path}: sheet {title!r}: column {nameless[0] + 1} has cells and no name in the first row.")
    names = [top.names[i] for i in used]
    _expect_table(path, names, 0)
    rows: list[Row] = [
        {name: row[i] if i < len(row) else None for name, i in zip(names, used, strict=True)}
        for row in cells[top.rows :]
    ]
    others = [name for name, _ in filled if name != title]
    said = f"sheet {title!r}" + (f" (not {', '.join(map(repr, others))})" if others else "")
    return rows, (said, *top.said)


def _filled(row: Sequence[Any]) -> int:
    return sum(cell is not None for cell in row)


def _expect_table(path: Path, names: Sequence[str], cells: int) -> None:
    if twice := [name for name in names if list(names).count(name) > 1]:
        raise TableError(f"{path}: two columns are called {twice[0]!r}; each needs its own name.")
    if cells > MOST_CELLS:
        raise TableError(f"{path}: expected a table of at most {MOST_CELLS:,} cells, got {cells:,}.")


def is_frame(source: Any) -> bool:
    """A DataFrame of pandas or polars, or a table of pyarrow; none of them is imported for this."""
    return hasattr(source, "columns") and any(hasattr(source, name) for name in ("to_dict", "to_dicts", "to_pylist"))


def frame_rows(frame: Any) -> Iterator[Row]:
    """The rows of a DataFrame or a table of pyarrow. A level of the index that has a name is a column, as in to_csv."""
    index = getattr(frame, "index", None)
    levels = (
        {str(name): index.get_level_values(i) for i, name in enumerate(index.names) if name is not None}
        if (index is not None)
        else {}
    )
    names = [str(name) for name in getattr(frame, "column_names", frame.columns)]
    for name in [*names, *levels]:
        is_twice = names.count(name) > 1
        if name in levels and name in names and not is_twice:  # set_index(..., drop=False)
            is_twice = list(map(str, levels.pop(name))) != list(map(str, frame.iloc[:, names.index(name)]))
        if is_twice:
            raise TableError(f"DataFrame: two columns are called {name!r}; each needs its own name.")
    if hasattr(frame, "to_pylist"):
        rows = frame.to_pylist()
    else:
        rows = frame.to_dicts() if hasattr(frame, "to_dicts") else frame.to_dict(orient="records")
    for number, row in enumerate(rows):
        cells = dict(zip(names, row.values(), strict=True))
        yield flattened({**{name: level[number] for name, level in levels.items()}, **cells})


def memory_rows(source: Any) -> list[Row]:
    """Rows in memory: mappings, a mapping of columns, or a structured array."""
    if isinstance(source, Mapping):
        if not all(hasattr(cells, "__len__") and not isinstance(cells, (str, bytes)) for cells in source.values()):
            raise TableError(f"expected a table: a mapping from column to its cells; got {shown(source)}.")
        rows: list[Any] = list(columns_to_rows("memory", source))
    elif getattr(getattr(source, "dtype", None), "names", None):
        rows = columns_to_rows("memory", {name: source[name].tolist() for name in source.dtype.names})
    elif isinstance(source, Iterable) and not isinstance(source, (str, bytes)):
        rows = list(source)
    else:
        raise TableError(f"expected a table: a path, a DataFrame or rows; got {shown(source)}.")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise TableError(f"row {number}: expected a mapping from column to value, got {shown(row)}.")
        if strange := [name for name in row if not isinstance(name, str)]:
            why = " (csv.DictReader puts the cells there that have no column)" if None in strange else ""
            raise TableError(f"row {number}: expected a text as a column's name, got {shown(strange[0])}{why}.")
    return [flattened(row) for row in rows]
