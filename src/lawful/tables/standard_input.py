"""Standard input as a table: `-` in place of a file. Its format is told by how it begins, as it has no name."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lawful.errors import LawfulError, TableError
from lawful.unpack import LEAST_ROOM, beginning

DASH = "-"
STANDARD_INPUT = "standard input"
_PART = 2**20  # bytes read in one go
# how a table begins -> the end of the name of such a file; any other is delimited text
_BEGINNINGS = {b"PAR1": ".parquet", b"ARROW1": ".feather", b"PK\x03\x04": ".xlsx", b"{": ".json", b"[": ".json"}


@contextmanager
def standard_input() -> Iterator[Path]:
    """A file with what standard input holds, which is read to its end; afterwards the file is gone. Errors inside name
    standard input in place of it.

    Raises TableError where standard input is closed or empty (nothing was sent, or it was read before), or too long.
    """
    stream = None if sys.stdin is None else sys.stdin.buffer
    part = b"" if stream is None else stream.read(_PART)
    if stream is None or not part:
        raise TableError(
            f"{STANDARD_INPUT}: expected a table, got nothing: `lawful check - < runs.csv` sends one, once; or name a "
            "file in place of `-`."
        )
    head = beginning(part).removeprefix(b"\xef\xbb\xbf").lstrip()
    suffix = next((end for begin, end in _BEGINNINGS.items() if head.startswith(begin)), ".csv")
    with tempfile.NamedTemporaryFile(prefix="lawful-", suffix=suffix) as file:
        size = 0
        while part:
            size += len(part)
            if size > LEAST_ROOM:
                raise TableError(f"{STANDARD_INPUT}: expected at most {LEAST_ROOM:,} bytes, got more.")
            file.write(part)
            part = stream.read(_PART)
        file.flush()
        try:
            yield Path(file.name)
        except LawfulError as error:
            error.args = tuple(str(said).replace(file.name, STANDARD_INPUT) for said in error.args)
            raise
