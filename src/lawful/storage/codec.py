"""The one codec of a study's records: study.json, result.json and fits/*.json to their types and back, checked.

What is read must have the declared types, each field and no other, finite numbers within their ranges, and the content
that its hash says. Everything else is one StoreError that names the file, the field, what was expected and what came.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lawful.checks import Unlimited, Within, nearest, shown
from lawful.errors import StoreError
from lawful.schema import FORMAT, RunRecord, StudyPlan
from lawful.storage.atomic import write_json
from lawful.storage.format_1 import from_format_1
from lawful.storage.json_files import Json, plain, read_json

if TYPE_CHECKING:
    from lawful.storage.lease import Lease

_NO_NUMBERS = frozenset({str, bool, type(None)})
_PLAIN_TYPES = _NO_NUMBERS | {int, float}
Record = TypeVar("Record")
MOST = 1e100  # larger numbers are no measurement, and their squares leave the range of floats
HASH = "sha256"  # of the canonical JSON of a file's other fields
NOT_FINITE = ("nan", "inf", "-inf")  # how JSON holds these numbers
# msgspec's names of types -> ours
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "null": "nothing",
    "object": "an object",
    "array": "a list",
}


def read_study(path: Path) -> StudyPlan:
    """study.json. A plan of format 1 is read too: its runs and table can be reported, and the study can go on."""
    raw = read_json(path)
    written = raw.get("format")
    if written == 1 and type(written) is int:
        return decode(from_format_1(path, raw), StudyPlan, path)
    if type(written) is not int or written != FORMAT:
        raise StoreError(
            f"{path}: expected format {FORMAT} or 1, got {shown(written)}; it was written by another version of "
            "lawful. Its table, observations.csv, can be read by any: `lawful fit FOLDER/observations.csv`."
        )
    expect_unchanged(raw, path)
    return decode({name: value for name, value in raw.items() if name != HASH}, StudyPlan, path)


def write_study(path: Path, study: StudyPlan) -> None:
    write_json(path, with_hash(to_plain(study)))


def read_result(path: Path) -> RunRecord:
    """result.json; one that was written before there was a hash in it is taken as it is."""
    raw = read_json(path)
    if HASH in raw or "format" in raw:
        expect_unchanged(raw, path)
    measured = {
        name: None if value in NOT_FINITE else value
        for name, value in raw.items()
        if name not in ("status", "reason", "format", HASH)
    }
    given = {name: raw[name] for name in ("status", "reason") if raw.get(name) is not None}
    return decode({**given, "measured": measured}, RunRecord, path)


def write_result(path: Path, result: RunRecord, *, lease: Lease | None = None) -> None:
    write_json(path, with_hash({"format": FORMAT, **plain(result.columns())}), lease=lease)


def decode(raw: Mapping[str, Json], kind: type[Record], path: Path) -> Record:
    """The record that the fields of a JSON object give. `path`: the file, for the message."""
    try:
        return converted(raw, kind)
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from None


def converted(raw: Mapping[str, Json], kind: type[Record], within: str = "") -> Record:
    """As `decode`, of data that no file holds. within: the place of the data, for the message."""
    import msgspec

    try:
        record = msgspec.convert(_with_numbers(raw, kind), kind)
    except msgspec.ValidationError as error:
        raise StoreError(_in_words(str(error), within)) from None
    for where, name, known in _unknown(raw, record, within):
        raise StoreError(f"{where or 'it'} has the field {shown(name)}; expected {nearest(name, known)}.")
    for where, problem in _odd_numbers(record, within):
        raise StoreError(f"{where}: {problem}.")
    return record


def to_plain(value: Any) -> Any:
    """JSON-ready: records become objects, tuples lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_plain(getattr(value, name)) for name in _field_names(type(value))}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) if type(item) is float else to_plain(item) for item in value]
    return plain(value)


def digest(content: Json) -> str:
    """SHA-256 of plain data, as canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def with_hash(content: Mapping[str, Json]) -> dict[str, Json]:
    return {**content, HASH: digest(content)}


def expect_unchanged(raw: Mapping[str, Json], path: Path) -> None:
    """Raise StoreError where the content is not that of the hash beside it."""
    named = raw.get(HASH)
    found = digest({name: value for name, value in raw.items() if name != HASH})
    if named != found:
        raise StoreError(
            f"{path}: expected the content as it was written (SHA-256 {shown(named)[:18]}), got a changed one "
            f"({found[:16]}): it was damaged or edited; take the file from a copy, or make it again."
        )


def _in_words(message: str, within: str) -> str:
    """msgspec's "Expected `int`, got `str` - at `$.runs[0].steps`" as runs[0].steps: expected ..., got ..."""
    said, _, place = message.partition(" - at `$")
    where = f"{within}{place.removesuffix('`')}".removeprefix(".")
    if missing := re.fullmatch(r"Object missing required field `(\w+)`", said):
        return f"{where or 'it'}: expected the field {missing[1]}, got none."
    for name in re.findall(r"`([^`]*)`", said):
        words = " or ".join(_WORDS.get(one, one) for one in name.split(" | "))
        said = said.replace(f"`{name}`", words)
    said = said[:1].lower() + said[1:].removesuffix(".")
    return f"{where}: {said}." if where else f"{said}."


def _unknown(raw: Json, record: Any, where: str) -> Iterator[tuple[str, str, list[str]]]:
    """Place, name and the known names of each field that came and is not in the record."""
    if isinstance(raw, dict):
        kind: type = type(record)
        known = _field_names(kind) if dataclasses.is_dataclass(kind) else ()
        if known and not raw.keys() <= _ranges(kind).keys():
            yield from ((where, name, list(known)) for name in raw if name not in known)
        for name in raw.keys() & _holders(kind) if known else raw:
            value = raw[name]
            if type(value) in (dict, list):  # what holds no fields can lack none
                inner = record.get(name) if isinstance(record, Mapping) else getattr(record, name, None)
                yield from _unknown(value, inner, f"{where}.{name}".removeprefix("."))
    elif isinstance(raw, list) and isinstance(record, (list, tuple)):
        for number, (one, other) in enumerate(zip(raw, record, strict=True)):
            if type(one) in (dict, list):
                yield from _unknown(one, other, f"{where}[{number}]")


def _with_numbers(raw: Json, hint: Any) -> Json:
    """The data with numbers in place of the texts "nan", "inf" and "-inf" where the type is AnyFloat."""
    if not _is_unlimited(hint) or raw is None:
        return raw
    if isinstance(raw, str):
        is_number = any(typing.get_origin(one) is typing.Annotated for one in (hint, *_options(hint)))
        return float(raw) if is_number and raw in NOT_FINITE else raw
    for option in _options(hint):
        raw = _with_numbers(raw, option)
    if isinstance(raw, dict) and isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = _hints(hint)
        return {name: _with_numbers(value, hints.get(name)) for name, value in raw.items()}
    parts = typing.get_args(hint)
    if isinstance(raw, dict) and len(parts) == 2:
        return {name: _with_numbers(value, parts[1]) for name, value in raw.items()}
    if isinstance(raw, list) and typing.get_origin(hint) is tuple:
        if all(type(one) is float for one in raw):  # draws are thousands of these
            return raw
        members = parts if parts[-1] is not ... else parts[:1] * len(raw)
        return [_with_numbers(value, part) for value, part in zip(raw, members, strict=False)] + raw[len(members) :]
    return raw


def _options(hint: Any) -> tuple[Any, ...]:
    """The types of a union; of another type none."""
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else ()


@functools.cache
def _is_unlimited(hint: Any) -> bool:
    """Whether an AnyFloat is the type or a part of it."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return any(map(_is_unlimited, _hints(hint).values()))
    marks = getattr(hint, "__metadata__", ())
    return any(isinstance(mark, Unlimited) for mark in marks) or any(map(_is_unlimited, typing.get_args(hint)))


def _odd_numbers(value: Any, where: str, within: Within | Unlimited | None = None) -> Iterator[tuple[str, str]]:
    """Place and problem of each number that is not finite, absurdly large or out of its field's range."""
    kind: type = type(value)
    if kind in _NO_NUMBERS or isinstance(within, Unlimited):
        return
    if kind is int or kind is float:
        if problem := _problem(value, within):
            yield where, problem
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if type(item) not in _NO_NUMBERS:
                yield from _odd_numbers(item, f"{where}.{key}", within)
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            if type(item) not in _NO_NUMBERS:
                yield from _odd_numbers(item, f"{where}[{number}]", within)
    elif dataclasses.is_dataclass(kind):
        counts = _counts(kind)
        for name, range_ in _numeric(kind).items():
            item = getattr(value, name)
            if type(item) not in _NO_NUMBERS and not (type(item) is int and name in counts and 0 < item < MOST):
                yield from _odd_numbers(item, f"{where}.{name}".removeprefix("."), range_)


def _problem(value: float, within: Within | None) -> str:
    """Empty where the number may stand here."""
    if not (math.isfinite(value) and abs(value) < MOST) if type(value) is float else abs(value) >= MOST:
        return f"expected a number below {MOST:g}, got {shown(value)}"
    if isinstance(within, Within) and not within.has(value):
        return f"expected a number {within}, got {shown(value)}"
    return ""


@functools.cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(one.name for one in dataclasses.fields(kind))


@functools.cache
def _hints(kind: type) -> Mapping[str, Any]:
    """Field -> its type."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {name: hints[name] for name in _field_names(kind)}


@functools.cache
def _ranges(kind: type) -> Mapping[str, Within | Unlimited | None]:
    """Field -> the range of its numbers."""
    return {name: next(_within(hint), None) for name, hint in _hints(kind).items()}


@functools.cache
def _holders(kind: type) -> frozenset[str]:
    """The fields in which there may be fields."""
    return frozenset(name for name, hint in _hints(kind).items() if not _parts_of(hint) <= _PLAIN_TYPES)


@functools.cache
def _numeric(kind: type) -> Mapping[str, Within | Unlimited | None]:
    """The fields in which there may be numbers, with their ranges."""
    return {name: range_ for name, range_ in _ranges(kind).items() if not _parts_of(_hints(kind)[name]) <= _NO_NUMBERS}


def _parts_of(hint: Any) -> set[Any]:
    """The types that a type is a union of; of a list of texts it is the text, of Literal the types of the choices."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return {type(choice) for choice in typing.get_args(hint)}
    if origin is typing.Annotated:
        return _parts_of(typing.get_args(hint)[0])
    if origin is tuple or _options(hint):
        return {part for one in typing.get_args(hint) if one is not ... for part in _parts_of(one)}
    return {hint}


@functools.cache
def _counts(kind: type) -> frozenset[str]:
    """The fields that may be any whole number above 0."""
    plain = (None, Within(at_least=0), Within(at_least=1))
    return frozenset(name for name, range_ in _ranges(kind).items() if range_ in plain)


def _within(hint: Any) -> Iterator[Within | Unlimited]:
    yield from (mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, (Within, Unlimited)))
    for part in typing.get_args(hint):
        yield from _within(part)
