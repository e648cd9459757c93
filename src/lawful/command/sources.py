"""The numbers of a run as its output grows: files are followed from where this attempt began, never from before it."""

from __future__ import annotations

import csv
import errno
import itertools
import math
import os
import re
import stat
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lawful.command import numbers
from lawful.command.reads import COLUMNS, JSONLines, LogPattern, Reads, TableFile
from lawful.command.template import placed
from lawful.errors import LawfulError
from lawful.storage.json_files import object_of

Values = Mapping[str, float]  # what is read, such as loss and step -> its number
MOST_LINE_BYTES = 2**20  # of JSON; a longer one is passed over
TAIL_BYTES = 4096  # by which a file that was continued is told from one that was written anew
MOST = 10**300  # of a whole number
MOST_TABLE_BYTES = 2**26  # of a table in which NaN is looked for
TABLE_SECONDS = 10.0  # between two looks at a table while it grows


class Source(ABC):
    """What one of a command's `reads` finds during one attempt."""

    @abstractmethod
    def poll(self, *, is_over: bool = False) -> list[Values]:
        """What is new, in its order."""

    def line(self, text: str) -> list[Values]:
        """What a line of the command's output tells."""
        return []

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it looked, for messages."""


def opened(source: Reads, folder: Path, cwd: Path) -> Source:
    """folder    the run's own
    cwd    where the command runs
    """
    if isinstance(source, LogPattern):
        return _Lines(source)
    path = folder / placed(source.file, str(folder))
    return _Followed(source, path) if isinstance(source, JSONLines) else _Table(source, path)


def finished_run(source: Reads, folder: Path) -> Source:
    """As opened, of a run that another program did before: all that its folder has counts."""
    if isinstance(source, LogPattern):
        return _Lines(source)
    path = folder / placed(source.file, str(folder))
    return (
        _Followed(source, path, is_over=True) if isinstance(source, JSONLines) else _Table(source, path, is_over=True)
    )


class _Lines(Source):
    def __init__(self, source: LogPattern) -> None:
        self._pattern = numbers.compiled(source.pattern, tuple(COLUMNS))
        self._lines = 0

    def poll(self, *, is_over: bool = False) -> list[Values]:
        return []

    def line(self, text: str) -> list[Values]:
        self._lines += 1
        found = self._pattern.search(text)
        return [{name: numbers.number_of(value) for name, value in found.groupdict().items()}] if found else []

    @property
    def place(self) -> str:
        return f"its output ({self._lines:,} lines)"


@dataclass(frozen=True)
class _Before:
    """A file as it was before this attempt: its length, its last bytes, when it was changed, and for each line a
    checksum of all up to its end."""

    size: int
    tail: bytes
    changed: tuple[int, int]
    lines: tuple[int, ...]

    @classmethod
    def of(cls, path: Path) -> _Before | None:
        try:
            facts = _facts(path)
            lines = tuple(checksum for checksum, _ in _checksums(path))
            return cls(facts.st_size, _tail(path, facts.st_size), (facts.st_mtime_ns, facts.st_ino), lines)
        except OSError:
            return None

    def common(self, path: Path) -> int:
        """How many bytes of a file that was written anew are the same lines as before: those of a trainer that cuts its
        record back to the step at which it goes on."""
        pairs = zip(self.lines, _checksums(path), strict=False)
        same = itertools.takewhile(lambda pair: pair[0] == pair[1][0], pairs)
        return max((end for _, (_, end) in same), default=0)


class _Followed(Source):
    """A file of JSON lines."""

    def __init__(self, source: JSONLines, path: Path, *, is_over: bool = False) -> None:
        """is_over    the run ended before: its numbers are no earlier attempt's"""
        self._names = source.names
        self._path = path
        self._before = None if is_over else _Before.of(path)
        self._start: int | None = None  # up to where this attempt's part is read
        self._tail = b""  # the bytes before that place, by which a file that was written anew is noticed
        self._rest = b""
        self._trouble = "no such file"

    def poll(self, *, is_over: bool = False) -> list[Values]:
        try:
            return self._read(is_over=is_over)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._trouble = error.strerror or str(error)
            return []

    def _read(self, *, is_over: bool) -> list[Values]:
        facts = _facts(self._path)
        before = self._before
        if before is not None and (facts.st_mtime_ns, facts.st_ino) == before.changed and facts.st_size == before.size:
            self._trouble = "the file is older than this attempt"
            return []
        if self._start is None or facts.st_size < self._start or _tail(self._path, self._start) != self._tail:
            is_continued = before is not None and facts.st_size >= before.size
            is_continued = is_continued and before is not None and _tail(self._path, before.size) == before.tail
            self._start = 0 if before is None else before.size if is_continued else before.common(self._path)
            self._tail, self._rest = _tail(self._path, self._start), b""
        with self._path.open("rb") as file:
            file.seek(self._start)
            read = file.read()
        self._start += len(read)
        self._tail = (self._tail + read)[-TAIL_BYTES:]
        *lines, self._rest = (self._rest + read).split(b"\n")
        if is_over:
            lines.append(self._rest)
        self._trouble = "no line of this attempt has it"
        return [values for line in lines if (values := _record(line, self._names))]

    @property
    def place(self) -> str:
        return f"{self._path} ({self._trouble})"


class _Table(Source):
    """A table is read whole each time; each of its rows is told once."""

    def __init__(self, source: TableFile, path: Path, *, is_over: bool = False) -> None:
        self._names, self._path = source.names, path
        self._seen = None if is_over else self._state()
        self._before = [] if self._seen is None else self._read()
        self._told: list[Mapping[str, object]] = []
        self._trouble = "no such file"
        self._looked = -math.inf

    def poll(self, *, is_over: bool = False) -> list[Values]:
        import time

        now = time.monotonic()
        if not is_over and now - self._looked < TABLE_SECONDS:
            return []
        self._looked = now
        state = self._state()
        if state is None or state == self._seen:
            self._trouble = "no such file" if state is None else "it is older than this attempt"
            return []
        return self._rows(is_over=is_over)

    def _read(self) -> list[Mapping[str, object]]:
        from lawful.tables.source import read_rows

        try:
            return list(read_rows(self._path))
        except (LawfulError, OSError) as error:
            self._trouble = " ".join(str(error).split())[:300]
            return []

    def _rows(self, *, is_over: bool) -> list[Values]:
        self._trouble = ""
        rows = self._read()
        if rows != self._before:
            rows = rows[_common(rows, self._before) :]  # an earlier attempt wrote the others
        self._trouble = self._trouble or f"{len(rows)} rows of this attempt"
        known = _common(self._told, rows)
        self._told = rows or self._told
        found = [_numbers((name, row.get(column)) for name, column in self._names.items()) for row in rows[known:]]
        if is_over:  # the readers of tables take NaN for an empty cell
            found.append({name: math.nan for name, column in self._names.items() if _ends_in_nan(self._path, column)})
        return [values for values in found if values]

    def _state(self) -> object:
        """What tells whether it was written again; of a folder, its newest file."""
        try:
            if not self._path.is_dir():
                _facts(self._path)
                return _changed(self._path)
            return max((_changed(path) for path in self._path.rglob("*") if path.is_file()), default=None)
        except OSError:
            return None

    @property
    def place(self) -> str:
        return f"{self._path} ({self._trouble})"


def _common(rows: Sequence[Mapping[str, object]], others: Sequence[Mapping[str, object]]) -> int:
    """How many rows both begin with."""
    pairs = zip(rows, others, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _ends_in_nan(path: Path, column: str) -> bool:
    """Whether the last cell of a column that is not empty is NaN, in a text table or JSON."""
    is_text = path.suffix in (".csv", ".tsv", ".json", ".jsonl") and path.is_file()
    if not is_text or path.stat().st_size > MOST_TABLE_BYTES:
        return False
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    if "nan" not in text.lower():
        return False
    if path.suffix in (".json", ".jsonl"):
        cells = re.findall(rf'"{re.escape(column)}"\s*:\s*"?([-+.\w]+)', text)
    else:
        tables = [_text_rows(text, sign) for sign in ",;\t"]
        rows: list[list[str]] = next((one for one in tables if column in one[0]), [[]])
        place = rows[0].index(column) if column in rows[0] else 0
        cells = [row[place] for row in rows[1:] if place < len(row)]
    filled = [cell.lower().lstrip("-+") for cell in cells if cell]
    return bool(filled) and filled[-1] == "nan"


def _text_rows(text: str, sign: str) -> list[list[str]]:
    try:
        return [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=sign)] or [[]]
    except csv.Error:  # a cell of more than 131,072 letters
        return [[]]


def _changed(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_size


def _facts(path: Path) -> os.stat_result:
    """Raises OSError for a pipe or a device, whose reader would wait for ever."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "it is no file")
    return facts


def _checksums(path: Path) -> Iterator[tuple[int, int]]:
    """For each line: the checksum of the file up to the line's end, and the position of that end."""
    checksum = end = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return  # it may go on
            checksum, end = zlib.crc32(line, checksum), end + len(line)
            yield checksum, end


def _tail(path: Path, size: int) -> bytes:
    """The bytes before a place of a file."""
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL_BYTES))
        return file.read(min(size, TAIL_BYTES))


def _record(line: bytes, names: Mapping[str, str]) -> Values:
    """The numbers of a line of JSON; none where it is damaged or has none of them."""
    if len(line) > MOST_LINE_BYTES or b"{" not in line:
        return {}
    value = object_of(line) or {}
    return _numbers((name, _at(value, key)) for name, key in names.items())


def _at(value: object, key: str) -> object:
    """value[key], or value[a][b] for a key like a/b or a.b."""
    if not isinstance(value, dict):
        return None
    if key in value:
        return value[key]
    first, sign, rest = re.match(r"([^/.]*)([/.]?)(.*)", key, re.DOTALL).groups()  # type: ignore[union-attr]
    return _at(value.get(first), rest) if sign else None


def _numbers(cells: Iterable[tuple[str, object]]) -> dict[str, float]:
    found = {}
    for name, cell in cells:
        if isinstance(cell, str) and cell.strip().lower() in ("nan", "inf", "-inf", "infinity", "-infinity"):
            found[name] = float(cell)
        elif isinstance(cell, int) and not isinstance(cell, bool):
            found[name] = float(min(max(cell, -MOST), MOST))  # of hundreds of digits, too large for a float
        elif isinstance(cell, float):
            found[name] = cell
    return found
