"""JSON and JSON lines, read within limits of size and depth; errors name the file."""

from __future__ import annotations

import errno
import itertools
import json
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lawful.errors import LawfulError, MissingDependency, StoreError
from lawful.schema import Json as Json

log = logging.getLogger(__name__)
MOST_JSON_BYTES = 2**28  # a study of a thousand runs has a few million; in memory they become 25 times as many
MOST_NESTED = 100  # lists and objects of JSON, one in the other
MOST_LINE_BYTES = 2**24  # of a record or table


def read_json(path: Path) -> dict[str, Any]:
    """Raises LawfulError naming the file when it is not a JSON object."""
    if (size := path.stat().st_size) > MOST_JSON_BYTES:
        raise StoreError(f"{path}: expected JSON of at most {MOST_JSON_BYTES:,} bytes, got a file of {size:,}.")
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, a number of too many digits, too deep a nest
        seen = _seen_instead(path, error) if isinstance(error, UnicodeDecodeError) else no_json(error)
        raise StoreError(f"{path}: expected JSON, got {seen}.") from None
    if not isinstance(value, dict):
        raise StoreError(f"{path}: expected a JSON object, got {type(value).__name__}.")
    return value


def parse_json(text: str | bytes, **how: Any) -> Any:
    """json.loads, and RecursionError where lists hold lists deeper than any function that walks through them may go.

    how   keywords of json.loads
    """
    value = json.loads(text, **how)
    opening = (b"[", b"{") if isinstance(text, bytes) else ("[", "{")
    if sum(map(text.count, opening)) <= MOST_NESTED:  # type: ignore[arg-type]
        return value
    level = [value]
    for _ in range(MOST_NESTED):
        if not level:
            return value
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
    raise RecursionError


def read_bytes(path: Path, most: int = MOST_JSON_BYTES) -> bytes:
    """Raises LawfulError where the file is larger: its name may be all that is left of a few bytes of an archive."""
    if (size := path.stat().st_size) > most:
        raise StoreError(f"{path}: expected a file of at most {most:,} bytes, got one of {size:,}.")
    return path.read_bytes()


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a record that may end in a torn one (a killed writer); a missing file is empty.

    A damaged line is passed over and logged; the lines after it stand.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number in itertools.count(1):
            line = file.readline(MOST_LINE_BYTES)
            if not line.endswith(b"\n"):
                return
            if (value := object_of(line)) is not None:
                yield value
            else:
                log.warning("%s: line %d is damaged and left out; the others stand.", path, number)


def object_of(line: bytes) -> dict[str, Any] | None:
    """The JSON object that a line holds; None where the line is damaged or holds something else."""
    try:
        value = parse_json(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


@contextmanager
def reading(path: Path, what: str, kind: type[LawfulError] = StoreError) -> Iterator[None]:
    """Turn whatever a library raises over a file that is not `what` into one error of this kind that names the file.

    Only a call of the library belongs inside: an error of our own code would be taken for damage of the file. Errors
    of the system (a missing permission, a full disk) go through as they are, and so does a StoreError, which names its
    own file.
    """
    try:
        yield
    except (MissingDependency, StoreError):
        raise
    except LawfulError as error:
        if str(path) in str(error):
            raise
        raise kind(f"{path}: {error}") from error
    except Exception as error:
        # libraries raise OSErrors without a number, and go to places before the beginning of a damaged file
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise kind(f"{path}: expected {what}, got {_seen_instead(path, error)}.") from error


# how files of other kinds begin -> what they are, and what to do
_BEGINNINGS = {
    b"\x1f\x8b": "a gzip-compressed file; unpack it first",
    b"PK\x03\x04": "a zip archive or an Excel file; unpack it, or save the table as CSV",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF document",
    b"PAR1": "a Parquet file; its name must end in .parquet",
    b"\x89HDF": "an HDF5 file",
}


def _seen_instead(path: Path, error: Exception) -> str:
    """What a file that does not parse is, as far as can be told."""
    begin = b""
    if path.is_file():
        with path.open("rb") as file:
            begin = file.read(8)
    for magic, words in _BEGINNINGS.items():
        if begin.startswith(magic) and isinstance(error, UnicodeDecodeError):
            return words
    if isinstance(error, UnicodeDecodeError):
        return f"text that is not UTF-8 (byte 0x{error.object[error.start]:02x}); save it as UTF-8"
    said = " ".join(str(error).split())[:200]
    return f"a file that does not parse ({type(error).__name__}{said and ': '}{said})"


def no_json(error: ValueError | RecursionError) -> str:
    """What json.loads took offence at."""
    if isinstance(error, json.JSONDecodeError):
        return f"text that is no JSON (at line {error.lineno}, column {error.colno})"
    return "lists nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"


def as_text(value: Any) -> str:
    """As json.dumps(plain(value), indent=1), which is written in Python and ten times as slow."""
    import msgspec

    content = plain(value)
    try:
        return msgspec.json.format(json.dumps(content, allow_nan=False), indent=1)
    except msgspec.DecodeError:  # half a character, which Python's JSON can spell
        return json.dumps(content, indent=1, allow_nan=False)


def plain(value: Any) -> Any:
    """JSON-ready: tuples become lists, paths text, NaN and infinities the strings "nan", "inf", "-inf"."""
    if value is None or type(value) in (str, int, bool):  # first: tables are made of these
        return value
    if type(value) is float:
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    raise TypeError(f"expected plain data for JSON, got {type(value).__name__}: {value!r}")
