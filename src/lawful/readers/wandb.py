"""Weights & Biases: offline run folders, read without the package, and a project through its API.

A run folder holds run-ID.wandb: a record file in LevelDB's log format (blocks of 32 KiB, each record a checksum, a
length and a kind), whose records are protobuf messages of wandb/proto/wandb_internal.proto. Only the fields that are
needed are read: history, summary, config, run and exit.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lawful.errors import MissingDependency, TableError
from lawful.plugins import RawRow, Reader, Remark
from lawful.readers import begin_of, by_step, counted, files_below, held_by_run, holds, rows_or_refuse, settings
from lawful.storage.json_files import Json, parse_json
from lawful.tables.formats import flattened

RECORDS = "run-*.wandb"
BLOCK = 2**15  # bytes of a block of the log; a record that does not fit goes on in the next
HEAD = b":W&B"  # of the file, then two bytes 0xBEE1 and the version
# fields of Record, and of the messages in it, in wandb_internal.proto
_HISTORY, _SUMMARY, _CONFIG, _RUN, _EXIT = 2, 3, 5, 17, 18
_KEY, _NESTED_KEY, _VALUE_JSON = 1, 2, 16
_RUN_ID, _PROJECT, _RUN_CONFIG, _GROUP, _DISPLAY_NAME = 1, 3, 4, 6, 8
MOST_RUNS = 100_000  # of a project, through the API


class WandB(Reader):
    scheme = "wandb"
    about = "W&B runs: a row for each step of each run's history"

    def reads(self, path: Path) -> bool:
        if path.is_dir():
            return holds(path, RECORDS)
        return path.suffix == ".wandb" and begin_of(path, 4) == HEAD

    def rows(self, path: Path) -> Iterator[RawRow | Remark]:
        return rows_or_refuse(path, "W&B runs", _rows(path))

    def rows_at(self, address: str) -> Iterator[RawRow | Remark]:
        return rows_or_refuse(address, "W&B runs", _rows_of_project(address))


@dataclass
class _Run:
    """One run: its records may stand in several files, where it was resumed."""

    id: str = ""
    name: str = ""
    project: str = ""
    group: str = ""
    exit_code: int | None = None
    config: dict[str, Json] = field(default_factory=dict)
    summary: dict[str, Json] = field(default_factory=dict)
    history: list[tuple[int, dict[str, Json]]] = field(default_factory=list)


def _rows(path: Path) -> Iterator[RawRow | Remark]:
    files = list(files_below(path, RECORDS)) if path.is_dir() else [path]
    runs: dict[str, _Run] = {}
    for file in sorted(files, key=_time):  # a run that was resumed has several
        torn = _read(file, runs)
        if torn:
            yield Remark(f"{file}: the last record is torn, as a killed writer leaves it")
    again = {}
    told = [name for name in ("project", "group") if len({getattr(run, name) for run in runs.values()}) > 1]
    for run in runs.values():
        table, again[run.id] = by_step(run.history, restarts=True)
        logged = {name for row in table.values() for name in row}
        own = {name: value for name, value in run.summary.items() if name not in logged and not name.startswith("_")}
        if own or not table:
            table.setdefault(max(table, default=0), {}).update(own)
        state = "unfinished" if run.exit_code is None else "failed" if run.exit_code else "finished"
        fixed: dict[str, Json] = {"run": run.id, "name": run.name, "status": state}
        fixed |= {name: getattr(run, name) for name in told}  # what is different may be the data set
        fixed |= run.config
        for step, row in zip(table, held_by_run(list(table.values())), strict=True):
            if row:
                yield {**fixed, "step": step, **row}
    yield from counted("steps logged before a resume, which came again, are left out", again)
    if unfinished := [run.id for run in runs.values() if run.exit_code is None]:
        yield Remark(f"{len(unfinished)} runs without an end: running, or killed ({', '.join(unfinished[:3])})")


def _time(file: Path) -> str:
    """When a run began: its folder is called run-20260131_120000-ID, or offline-run-..."""
    found = re.search(r"\d{8}_\d{6}", file.parent.name)
    return found[0] if found else ""


def _read(file: Path, runs: dict[str, _Run]) -> bool:
    """Put what the file says of its run into `runs`; whether its end is torn."""
    own = _Run()
    torn = [False]
    for number, record in enumerate(_records(file, torn), start=1):
        place = f"{file}: record {number}"
        try:
            _apply(own, record)
        except (IndexError, struct.error, UnicodeDecodeError, RecursionError, ValueError) as error:
            if isinstance(error, TableError):
                raise TableError(f"{place}: {error}") from None
            raise TableError(f"{place}: expected a record of W&B, got one that does not parse.") from None
    run = runs.setdefault(own.id or file.stem.removeprefix("run-"), _Run(id=own.id or file.stem.removeprefix("run-")))
    run.name = own.name or run.name
    run.project, run.group = own.project or run.project, own.group or run.group
    run.exit_code = own.exit_code
    run.config.update(own.config)
    run.summary.update(own.summary)
    run.history += own.history
    return torn[0]


def _apply(run: _Run, record: bytes) -> None:
    for kind, message in _fields(record):
        if not isinstance(message, bytes):
            continue
        if kind == _HISTORY:
            items = dict(_items(message, 1))
            step = next(
                (
                    value
                    for number, part in _fields(message)
                    if number == 2 and isinstance(part, bytes)
                    for name, value in _fields(part)
                    if name == 1
                ),
                items.get("_step", 0),
            )
            if not isinstance(step, int):
                raise TableError(f"expected the number of a step, got {step!r}.")
            row = {name: value for name, value in _flat(items).items() if not name.startswith("_")}
            run.history.append((step, row))
        elif kind == _SUMMARY:
            run.summary.update(_flat(dict(_items(message, 1))))
        elif kind == _CONFIG:
            run.config.update(settings(Path(run.id), _config(message)))
        elif kind == _RUN:
            for number, part in _fields(message):
                if isinstance(part, bytes) and number == _RUN_CONFIG:
                    run.config.update(settings(Path(run.id), _config(part)))
                elif isinstance(part, bytes) and number == _RUN_ID:
                    run.id = part.decode()
                elif isinstance(part, bytes) and number == _PROJECT:
                    run.project = part.decode()
                elif isinstance(part, bytes) and number == _GROUP:
                    run.group = part.decode()
                elif isinstance(part, bytes) and number == _DISPLAY_NAME:
                    run.name = part.decode()
        elif kind == _EXIT:
            codes = [value for number, value in _fields(message) if number == 1 and isinstance(value, int)]
            run.exit_code = codes[0] if codes else 0


def _config(message: bytes) -> dict[str, Json]:
    return {name: value for name, value in _items(message, 1) if not name.startswith("_wandb")}


def _flat(items: RawRow) -> dict[str, Json]:
    """Cells of numbers and texts; pictures and the like, which are objects with a `_type`, are none."""
    return flattened({name: cell for name, cell in items.items() if not (isinstance(cell, dict) and "_type" in cell)})


def _items(message: bytes, field_number: int) -> Iterator[tuple[str, Json]]:
    """Key and value of each item of a history, summary or config record."""
    for number, part in _fields(message):
        if number == field_number and isinstance(part, bytes):
            key, nested, text = "", [], b""
            for name, value in _fields(part):
                if isinstance(value, bytes):
                    if name == _KEY:
                        key = value.decode()
                    elif name == _NESTED_KEY:
                        nested.append(value.decode())
                    elif name == _VALUE_JSON:
                        text = value
            cell = parse_json(text)
            yield ".".join(nested) or key, float(cell) if cell in ("NaN", "Infinity", "-Infinity") else cell


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: number and value, an integer or bytes. Raises IndexError where it is torn."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise IndexError(kind)
        if at + size > len(message):
            raise IndexError(at)
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 127) << place
        if byte < 128:
            return value - 2**64 if value >= 2**63 else value, at
    raise IndexError(at)


def _records(file: Path, torn: list[bool]) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format. A torn end sets torn[0]; damage is a TableError."""
    with file.open("rb") as stream:
        if not stream.read(7).startswith(HEAD):
            raise TableError(f"{file}: expected a W&B record file, which begins with {HEAD.decode()}, got another one.")
        left = BLOCK - 7
        parts: list[bytes] = []
        while True:
            if left < 7:  # too little for a header: zeros, up to the next block
                stream.read(left)
                left = BLOCK
            header = stream.read(7)
            if len(header) < 7:
                torn[0] = bool(header or parts)
                return
            checksum, length, kind = struct.unpack("<IHB", header)
            data = stream.read(length)
            if len(data) < length:
                torn[0] = True
                return
            if length > left - 7 or kind not in (1, 2, 3, 4) or zlib.crc32(bytes([kind]) + data) != checksum:
                raise TableError(f"{file}: expected W&B records, got a damaged one at byte {stream.tell() - length:,}.")
            left -= 7 + length
            parts = [data] if kind in (1, 2) else [*parts, data]  # whole or first; middle or last
            if kind in (1, 4):
                yield b"".join(parts)
                parts = []


def _rows_of_project(address: str) -> Iterator[RawRow | Remark]:
    """A row for each run of wandb://entity/project: its config, and its summary, which has the last value of each
    metric."""
    place = address.partition("://")[2].strip("/")
    if len(place.split("/")) != 2:
        raise TableError(f"{address}: expected wandb://ENTITY/PROJECT.")
    try:
        import wandb
    except ImportError as error:
        raise MissingDependency.of("wandb", extra="wandb", what=f"{address}: asking W&B", error=error) from None
    yield Remark("of each run the summary: the last value of each metric, which may be of different steps")
    try:
        for number, run in enumerate(wandb.Api().runs(place), start=1):
            if number > MOST_RUNS:
                raise TableError(f"{address}: expected at most {MOST_RUNS:,} runs, got more.")
            config = {name: value for name, value in dict(run.config).items() if not name.startswith("_")}
            summary = json.loads(json.dumps(dict(run.summary), default=str))
            yield {
                "run": run.id,
                "name": run.name,
                "status": run.state,
                **settings(Path(address), config),
                **{name: cell for name, cell in _flat(summary).items() if not name.startswith("_")},
            }
    except (wandb.errors.Error, ValueError) as error:
        if isinstance(error, TableError):
            raise
        said = " ".join(str(error).split())[:200]
        raise TableError(f"{address}: expected the runs of a W&B project, got an answer that says: {said}.") from None
