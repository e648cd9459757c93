"""The values of a large JSON list, or of JSON lines, one at a time: the whole is never in memory."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from lawful.errors import DataError
from lawful.storage.json_files import Json, no_json

READ_BYTES = 2**20  # at a time
BETWEEN = " \t\r\n,\ufeff"  # values; the last is the mark with which some programs begin a file


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Value(NamedTuple):
    value: Json
    end_bytes: int  # of the stream, up to the end of this value


def values_of(stream: Readable, path: Path, *, most_bytes: int) -> Iterator[Value]:
    """Each value of a JSON list, or of values one after another, as JSON lines are.

    most_bytes    of one value, which is held in memory. Raises DataError that names `path`
    """
    decode, parse = codecs.getincrementaldecoder("utf-8")().decode, json.JSONDecoder().raw_decode
    text, place, consumed, number = "", 0, 0, 0
    is_list = is_closed = is_end = False
    size = READ_BYTES
    while True:
        start = place
        while place < len(text) and (text[place] in BETWEEN or (is_list and text[place] == "]")):
            is_closed = is_closed or text[place] == "]"
            place += 1
        if place < len(text) and not number and not is_list and text[place] == "[":
            is_list = True
            place += 1
            consumed += len(text[start:place].encode())
            continue
        consumed += len(text[start:place].encode())
        found = _next(parse, text, place, path, number) if place < len(text) and not is_closed else None
        if found is not None and (found[1] < len(text) or is_end):  # a number may go on after what was read
            number += 1
            consumed += len(text[place : found[1]].encode())
            place = found[1]
            yield Value(found[0], consumed)
            continue
        if is_end:
            if place < len(text):
                raise DataError(f"{path}: expected JSON, got {text[place : place + 40]!r} after {number:,} values.")
            if is_list and not is_closed:
                raise DataError(f"{path}: expected a JSON list with its end, got {number:,} values and no end.")
            return
        text, place = text[place:], 0
        if len(text) > most_bytes:
            raise DataError(f"{path}: expected values of at most {most_bytes:,} bytes, got a longer one.")
        size = max(READ_BYTES, len(text))  # a long value is parsed again only when as much again was read
        piece = stream.read(size)
        is_end = not piece
        try:
            text += decode(piece, is_end)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: expected UTF-8, got byte 0x{error.object[error.start]:02x} after {number:,} values; the file "
                "is damaged or of another encoding."
            ) from None


class _Parse(Protocol):
    def __call__(self, text: str, place: int, /) -> tuple[Json, int]: ...


def _next(parse: _Parse, text: str, place: int, path: Path, number: int) -> tuple[Json, int] | None:
    """The value that begins at `place`, and where it ends; None where it is not whole, or no JSON."""
    try:
        return parse(text, place)
    except json.JSONDecodeError:
        return None
    except (ValueError, RecursionError) as error:  # a number of too many digits, too deep a nest
        raise DataError(f"{path}: expected JSON after {number:,} values, got {no_json(error)}.") from None
