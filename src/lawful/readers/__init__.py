"""Readers of what run trackers and trainers write, one file each; the base class is lawful.plugins.Reader.

Here is what they share: they look for files without following links, and read JSON and YAML within limits.
"""

from __future__ import annotations

import fnmatch
import itertools
import os
import sqlite3
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lawful.errors import LawfulError, MissingDependency, TableError
from lawful.plugins import RawRow, Remark
from lawful.storage.json_files import MOST_JSON_BYTES, MOST_NESTED, Json, no_json, parse_json, reading
from lawful.tables.cells import number_or_text
from lawful.tables.formats import flattened, once_each
from lawful.tables.names import name_of
from lawful.tables.pooled import SEEDS
from lawful.tables.vocabulary import LETTERS, VOCABULARY

MOST_ENTRIES = 200_000  # files and folders below one folder: a thousand runs have some ten thousand
MOST_DEPTH = 16  # folders one in the other
MOST_YAML_BYTES = 2**24  # of one file of settings; PyYAML needs a second for each million
MOST_DATABASE_ROWS = 5_000_000  # of one table: some 2 GB in memory
MOST_DATABASE_STEPS = 1_000_000  # thousands of instructions of SQLite: some minutes
MOST_TABLES = 1000
# what a run has one of: logged at one step, it holds at all steps
_OF_RUN = {*SEEDS, *(name for role in ("params", "unique_tokens") for group in VOCABULARY[role] for name in group)}
_LETTERS_OF_RUN = (LETTERS["params"], LETTERS["unique_tokens"])


def files_below(root: Path, *patterns: str, depth: int = MOST_DEPTH) -> Iterator[Path]:
    """The files below a folder whose names fit one of the patterns, in the order of their names. Links are not
    followed. Raises TableError where there are too many, or where one is a pipe, socket or device."""
    if not root.is_dir():
        raise TableError(f"{root}: expected a folder, got a file or nothing.")
    left = MOST_ENTRIES
    waiting = [(root, 0)]
    while waiting:
        folder, level = waiting.pop(0)
        with os.scandir(folder) as entries:
            here = sorted(entries, key=lambda entry: entry.name)
        left -= len(here)
        if left < 0:
            raise TableError(f"{root}: expected at most {MOST_ENTRIES:,} files and folders below it, got more.")
        inner = []
        for entry in here:
            if entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False):
                if level < depth:
                    inner.append((Path(entry.path), level + 1))
            elif any(fnmatch.fnmatchcase(entry.name, pattern) for pattern in patterns):
                if not entry.is_file(follow_symlinks=False):  # whoever reads a pipe waits until somebody writes
                    raise TableError(f"{entry.path}: expected a file, got a pipe, socket or device.")
                yield Path(entry.path)
        waiting[:0] = inner


def holds(root: Path, *patterns: str, depth: int = MOST_DEPTH) -> bool:
    """Whether such a file is below the folder. Never fails: what cannot be looked at holds nothing."""
    try:
        return root.is_dir() and next(files_below(root, *patterns, depth=depth), None) is not None
    except TableError as error:
        return "pipe" in str(error)  # its rows() says so
    except OSError:
        return False


def any_below(root: Path, is_of_kind: Callable[[Path], bool], *patterns: str, depth: int = MOST_DEPTH) -> bool:
    """Whether a file below the folder, with such a name, is of a kind. Never fails, as `holds`."""
    try:
        return root.is_dir() and any(map(is_of_kind, files_below(root, *patterns, depth=depth)))
    except (OSError, TableError):
        return False


def of_kind(root: Path, is_of_kind: Callable[[Path], bool], *patterns: str) -> tuple[list[Path], list[Remark]]:
    """The files of a kind below a folder, of those with such names; and that the others are not read."""
    own: list[Path] = []
    others: list[Path] = []
    for file in files_below(root, *patterns):
        (own if is_of_kind(file) else others).append(file)
    names = ", ".join(file.relative_to(root).as_posix() for file in others[:3]) + (", ..." if len(others) > 3 else "")
    return own, [Remark(f"files of another kind are not read: {len(others)} ({names})")] if others else []


def begin_of(path: Path, size: int = 4096) -> bytes:
    """The first bytes of a file; nothing where it is none, or cannot be read. Never fails."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""


def text_of(path: Path, most: int = MOST_JSON_BYTES) -> str:
    """The text of a file in UTF-8. Raises TableError that names it where it is none, or too large."""
    if not path.is_file():
        raise TableError(f"{path}: expected a file, got none, or a pipe, socket or device.")
    if (size := path.stat().st_size) > most:
        raise TableError(f"{path}: expected a file of at most {most:,} bytes, got one of {size:,}.")
    with reading(path, "text in UTF-8", TableError):
        return path.read_text(encoding="utf-8-sig")


def json_of(path: Path) -> Json:
    """The value of a JSON file. Raises TableError that names the file."""
    text = text_of(path)
    try:
        value: Json = parse_json(text, object_pairs_hook=once_each)
    except TableError as error:
        raise TableError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: expected JSON, got {no_json(error)}.") from None
    return value


def json_object(path: Path) -> dict[str, Json]:
    """As json_of, of a file that holds an object."""
    value = json_of(path)
    if not isinstance(value, dict):
        raise TableError(f"{path}: expected a JSON object, got {type(value).__name__}.")
    return value


def yaml_of(path: Path) -> Json:
    """The value of a YAML file, in which each scalar is a text: no tag makes an object, no date or octal number is
    guessed. An alias is the text *NAME. Raises TableError that names the file."""
    text = text_of(path, MOST_YAML_BYTES)
    try:
        import yaml
    except ImportError as error:
        raise MissingDependency.of("yaml", extra="trackers", what=f"{path}: reading YAML", error=error) from None

    class Loader(yaml.BaseLoader):  # type: ignore[misc]
        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):  # a few of them, one in the other, stand for billions of items
                return yaml.ScalarNode("tag:yaml.org,2002:str", f"*{self.get_event().anchor}")
            self.depth += 1
            if self.depth > MOST_NESTED:
                raise TableError(f"{path}: expected at most {MOST_NESTED} lists or mappings one in the other.")
            node = super().compose_node(parent, index)
            self.depth -= 1
            if isinstance(node, yaml.MappingNode):
                names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
                if twice := [name for name in names if names.count(name) > 1] if len(names) < 1000 else []:
                    raise TableError(f"{path}: two members are called {twice[0]!r}; each needs its own name.")
            return node

    with reading(path, "YAML", TableError):
        loader = Loader(text)
        try:
            value: Json = loader.get_single_data()
        finally:
            loader.dispose()
    return value


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """A SQLite database, opened so that nothing is written, beside it neither. Raises TableError that names the file
    where it is damaged, or where a program is writing to it."""
    for end in ("-wal", "-journal"):
        beside = path.with_name(path.name + end)
        if beside.exists() and beside.stat().st_size:
            raise TableError(
                f"{path}: a program writes to this database, or was killed while it did ({beside.name} is not empty); "
                "wait for its end, or open and close it with its own program once."
            )
    address = f"file:{urllib.parse.quote(str(path.resolve()))}?mode=ro&immutable=1"
    with reading(path, "a SQLite database", TableError):
        connection = sqlite3.connect(address, uri=True)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            steps = itertools.count()
            connection.set_progress_handler(lambda: next(steps) > MOST_DATABASE_STEPS, 1000)
            yield connection
        finally:
            connection.close()


def tables_of(path: Path) -> frozenset[str]:
    """The tables of a SQLite database, views apart; none of another file. Never fails."""
    if begin_of(path, 16) != b"SQLite format 3\0":
        return frozenset()
    try:
        with database(path) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchmany(MOST_TABLES)
            return frozenset(str(name) for (name,) in rows)
    except (LawfulError, OSError):
        return frozenset()


def database_rows(path: Path, connection: sqlite3.Connection, table: str, columns: Sequence[str]) -> list[Any]:
    """The rows of a table, these columns of them. Raises TableError where it is no table, or too large."""
    kind = connection.execute("SELECT type FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    if kind != ("table",):  # a view is a program of whoever made the file
        raise TableError(f"{path}: expected a table {table!r} in this database, got none.")
    rows = connection.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchmany(MOST_DATABASE_ROWS + 1)
    if len(rows) > MOST_DATABASE_ROWS:
        raise TableError(f"{path}: expected at most {MOST_DATABASE_ROWS:,} rows in {table!r}, got more.")
    return rows


def typed(cell: Json) -> Json:
    """A text as the number that it writes, where it writes one."""
    return number_or_text(cell, is_number=False) if isinstance(cell, str) else cell


def settings(source: Path, values: Json, prefix: str = "config") -> dict[str, Json]:
    """The settings of a run as cells under names with a prefix, nested ones as a.b."""
    if values in (None, ""):
        return {}
    if not isinstance(values, Mapping):
        raise TableError(f"{source}: expected settings by name, got {type(values).__name__}.")
    try:
        flat = flattened({str(name): value for name, value in values.items()})
    except TableError as error:
        raise TableError(f"{source}: {error}") from None
    return {f"{prefix}.{name}": typed(value) for name, value in flat.items()}


def held_by_run(rows: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """The rows of one run, each with what the run has one of (parameters, a seed), also where it was not logged at each
    step."""
    first: dict[str, list[Json]] = {}
    for row in rows:
        for column, cell in row.items():
            if _is_of_run(column):
                first.setdefault(column, []).append(cell)
    once = {column: cells[0] for column, cells in first.items() if all(cell == cells[0] for cell in cells)}
    return [{**once, **row} for row in rows]


def _is_of_run(column: str) -> bool:
    name = name_of(column)
    return bool({name.path, name.last} & _OF_RUN) or name.letter in _LETTERS_OF_RUN


def run_name(root: Path, folder: Path) -> str:
    """What a run is called that was found in this folder below the root."""
    return folder.relative_to(root).as_posix() if folder != root else (root.name or root.resolve().name)


def counted(what: str, counts: Mapping[str, int]) -> Iterator[Remark]:
    """One remark for all runs of which the same is to be said; counts: run -> how often."""
    counts = {run: count for run, count in counts.items() if count}
    if counts:
        names = ", ".join(list(counts)[:3]) + (", ..." if len(counts) > 3 else "")
        yield Remark(f"{what}: {sum(counts.values())} in {len(counts)} runs ({names})")


def by_step(records: Iterable[tuple[int, RawRow]], *, restarts: bool) -> tuple[dict[int, dict[str, Json]], int]:
    """Step -> what was logged at it, in the order of steps; and how many values or steps were replaced.

    restarts   a step that is not above the one before begins a restart: what was logged from it on is left out
    """
    table: dict[int, dict[str, Json]] = {}
    replaced, last = 0, None
    for step, values in records:
        if restarts and last is not None and step <= last:
            again = [old for old in table if old >= step]
            replaced += len(again)
            for old in again:
                del table[old]
        row = table.setdefault(step, {})
        replaced += sum(1 for name, value in values.items() if name in row and row[name] != value)
        row.update(values)
        last = step
    return {step: table[step] for step in sorted(table)}, replaced


def step_of(place: object, value: Json) -> int:
    """A step as a whole number. Raises TableError where it is none."""
    number = typed(value)
    if isinstance(number, bool) or not isinstance(number, (int, float)) or number != number or abs(number) > 2**53:
        raise TableError(f"{place}: expected the number of a step, got {value!r}.")
    return int(number)


def rows_or_refuse(source: object, what: str, parts: Iterable[RawRow | Remark]) -> Iterator[RawRow | Remark]:
    """The parts; TableError where no row is among them, or where the source is a pipe, socket or device."""
    if isinstance(source, Path) and not source.is_dir() and not source.is_file():
        raise TableError(f"{source}: expected {what}, got no file, or a pipe, socket or device.")
    any_row = False
    for part in parts:
        any_row = any_row or not isinstance(part, Remark)
        yield part
    if not any_row:
        raise TableError(f"{source}: expected {what}, got none with a number in it.")


__all__ = [
    "any_below",
    "begin_of",
    "by_step",
    "counted",
    "database",
    "database_rows",
    "files_below",
    "held_by_run",
    "holds",
    "json_object",
    "json_of",
    "of_kind",
    "rows_or_refuse",
    "run_name",
    "settings",
    "step_of",
    "tables_of",
    "text_of",
    "typed",
    "yaml_of",
]
