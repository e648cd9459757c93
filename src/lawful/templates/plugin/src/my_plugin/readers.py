"""A reader gives the finished runs of a file or folder, as a program wrote them: column -> cell for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lawful.errors import TableError
from lawful.plugins import Reader

LARGEST = 100_000_000  # bytes; what is larger is refused before it is read


class Semicolons(Reader):
    """Columns parted by semicolons, all numbers: a header, then a run in each line."""

    suffixes = (".scsv",)
    about = "a table of semicolons: a run in each line"

    def rows(self, path: Path) -> Iterator[dict[str, float]]:
        if not path.is_file():  # a folder; a pipe, at which a reader would wait
            raise TableError(f"{path}: expected a file, got none.")
        if path.stat().st_size > LARGEST:
            raise TableError(f"{path}: expected at most {LARGEST:,} bytes, got {path.stat().st_size:,}.")
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            raise TableError(f"{path}: expected text in UTF-8, got other bytes.") from None
        header = lines[0].split(";") if lines else []
        for number, line in enumerate(lines[1:], 2):
            cells = line.split(";")
            if len(cells) != len(header):
                raise TableError(f"{path}, line {number}: expected {len(header)} cells, got {len(cells)}.")
            try:
                yield dict(zip(header, map(float, cells), strict=True))
            except ValueError:
                raise TableError(f"{path}, line {number}: expected numbers, got {line[:80]!r}.") from None
