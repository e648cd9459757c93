"""TensorBoard: folders of event files, the values of one step together."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lawful.errors import MissingDependency, TableError
from lawful.plugins import RawRow, Reader, Remark
from lawful.readers import begin_of, counted, files_below, held_by_run, holds, rows_or_refuse, run_name
from lawful.schema import Cell
from lawful.storage.json_files import Json, reading

EVENTS = "events.out.tfevents.*"
MOST_EVENT_BYTES = 2**28  # of one event; pictures and graphs are such events, too
# folders within a run's folder: Keras and the Estimator write one log for each part of the data
_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid"), "validation"),
    **dict.fromkeys(("eval", "evaluation"), "eval"),
    "test": "test",
}
_TIME = re.compile(r"\d{9,}(?:\.\d+)?")  # the folder that SummaryWriter.add_hparams makes: the time


class TensorBoard(Reader):
    about = "TensorBoard logs: a row for each step of each run, the scalars of a step together"

    def reads(self, path: Path) -> bool:
        if path.is_dir():
            return holds(path, EVENTS)
        return "tfevents" in path.name and bool(begin_of(path, 1))

    def rows(self, path: Path) -> Iterator[RawRow | Remark]:
        return rows_or_refuse(path, "TensorBoard logs", _rows(path))


@dataclass
class _Log:
    """What the event files of one folder hold.

    series    tag -> its values in the order of their steps
    settings  of the hparams plug-in
    again     values that were replaced: logged before a restart at a step that came again
    odd       tag -> how many values were NaN or infinite
    """

    series: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    settings: dict[str, Json] = field(default_factory=dict)
    status: str = ""
    again: int = 0
    torn: list[str] = field(default_factory=list)


def _rows(path: Path) -> Iterator[RawRow | Remark]:
    files = list(files_below(path, EVENTS)) if path.is_dir() else [path]
    root = path if path.is_dir() else path.parent
    folders: dict[Path, list[Path]] = {}
    for file in files:
        folders.setdefault(file.parent, []).append(file)
    logs = {folder: _read(folder, own) for folder, own in folders.items()}
    again: dict[str, int] = {}
    not_finite: dict[str, dict[str, int]] = {}
    for name, parts in _runs(root, logs).items():
        table: dict[int, dict[str, Json]] = {}
        for tag, series in _columns(parts).items():
            for step, value in series:
                table.setdefault(step, {})[tag] = value
        settings = {f"hparams.{key}": value for log in parts.values() for key, value in log.settings.items()}
        state = next((log.status for log in parts.values() if log.status), "")
        fixed = {**settings, **({"status": state} if state else {})}
        yield from ({"run": name, "step": step, **fixed, **row} for step, row in _in_order(table))
        again[name] = sum(log.again for log in parts.values())
        for torn in (torn for log in parts.values() for torn in log.torn):
            yield Remark(f"{torn}: the last event is torn, as a killed writer leaves it")
        for tag, series in _columns(parts).items():
            odd = sum(value != value or abs(value) == float("inf") for _, value in series)
            not_finite.setdefault(tag, {})[name] = odd
    yield from counted("values logged before a restart, whose steps came again, are left out", again)
    for tag, counts in not_finite.items():
        yield from counted(f"{tag!r} is NaN or infinite", counts)


def _in_order(table: dict[int, dict[str, Json]]) -> list[tuple[int, dict[str, Json]]]:
    steps = sorted(table)
    return list(zip(steps, held_by_run([table[step] for step in steps]), strict=True))


def _runs(root: Path, logs: Mapping[Path, _Log]) -> dict[str, dict[str, _Log]]:
    """Run -> prefix of its tags -> the log; folders that are parts of one run are put together."""
    timed: dict[Path, int] = {}
    for folder in logs:
        timed[folder.parent] = timed.get(folder.parent, 0) + bool(_TIME.fullmatch(folder.name))
    runs: dict[str, dict[str, _Log]] = {}
    for folder, log in logs.items():
        run, prefix = folder, ""
        if folder.name in _PARTS:
            run, prefix = folder.parent, _PARTS[folder.name]
        elif folder.parent in logs and _TIME.fullmatch(folder.name) and log.settings and timed[folder.parent] == 1:
            run, prefix = folder.parent, "hparams"
        elif folder.parent in logs and len(log.series) == 1:  # SummaryWriter.add_scalars: TAG_PART holds TAG
            stem = next(iter(log.series)).replace("/", "_") + "_"
            if folder.name.startswith(stem):
                run, prefix = folder.parent, folder.name.removeprefix(stem)
        if run == root.parent:  # the user named RUN/train itself
            run = root
        parts = runs.setdefault(run_name(root, run), {})
        if prefix in parts:
            raise TableError(f"{folder}: expected one log of this part of the run, got two; name the folder of a run.")
        parts[prefix] = log
    return runs


def _columns(parts: Mapping[str, _Log]) -> dict[str, list[tuple[int, float]]]:
    """Column -> its values. A tag that several parts of a run log, with the same value at the same step, is one column;
    any other carries the name of its part."""
    columns: dict[str, list[tuple[int, float]]] = {}
    shared: dict[str, list[dict[int, float]]] = {}
    for log in parts.values():
        for tag, series in log.series.items():
            shared.setdefault(tag, []).append(dict(series))
    for prefix, log in parts.items():
        for tag, series in log.series.items():
            values = shared[tag]
            agree = len(values) > 1 and all(
                values[0][step] == other[step] for other in values[1:] for step in values[0].keys() & other.keys()
            )
            if agree and any(values[0].keys() & other.keys() for other in values[1:]):
                merged: dict[int, float] = {}
                for other in values:
                    merged.update(other)
                columns[tag] = sorted(merged.items())
            else:
                columns[f"{prefix}/{tag}" if prefix and prefix != "hparams" else tag] = series
    return columns


def _read(folder: Path, files: list[Path]) -> _Log:
    """The log of one folder. After a restart the later file counts from its first step of a tag on, as TensorBoard
    shows it."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as error:
        what = f"{folder}: reading TensorBoard logs"
        raise MissingDependency.of("tensorboard", extra="tensorboard", what=what, error=error) from None
    log = _Log()
    began: list[tuple[float, str, Path, list[Any]]] = []
    seen: dict[tuple[str, int], tuple[float, Path]] = {}
    for file in files:
        events = []
        for record in _records(file, log):
            with reading(file, "TensorBoard events", TableError):
                events.append(Event.FromString(record))
        began.append((events[0].wall_time if events else 0.0, file.name, file, events))
    kinds: dict[str, str] = {}
    times = {file: (start, max((e.wall_time for e in events), default=start)) for start, _, file, events in began}
    for _, _, file, events in sorted(began, key=lambda entry: entry[:2]):
        for event in events:
            for value in event.summary.value:
                kind = kinds.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
                if kind == "hparams" and value.tag.startswith("_hparams_/"):
                    with reading(file, "settings of the hparams plug-in", TableError):
                        data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                    log.settings.update(
                        {name: _setting(cell) for name, cell in data.session_start_info.hparams.items()}
                    )
                    if data.HasField("session_end_info"):
                        log.status = {1: "finished", 2: "failed", 3: "running"}.get(data.session_end_info.status, "")
                    continue
                if value.HasField("simple_value"):
                    number = float(value.simple_value)
                elif value.HasField("tensor") and kind in ("scalars", "") and not value.tensor.tensor_shape.dim:
                    with reading(file, "TensorBoard scalars", TableError):
                        cell = make_ndarray(value.tensor).item()
                    if not isinstance(cell, (int, float)):
                        continue
                    number = float(cell)
                else:
                    continue
                former, other = seen.get((value.tag, event.step), (number, file))
                if former != number and number == number and _at_once(times[other], times[file]):
                    raise TableError(
                        f"{folder}: expected one writer at a time, got two at once: {value.tag!r} at step {event.step} "
                        f"is {former:g} in {other.name} and {number:g} in {file.name}. They may be the ranks of one "
                        "training, or two runs: give each a folder of its own, or keep one of them."
                    )
                seen[value.tag, event.step] = number, file
                series = log.series.setdefault(value.tag, [])
                while series and series[-1][0] >= event.step:
                    series.pop()
                    log.again += 1
                series.append((event.step, number))
    return log


def _at_once(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two spans of time overlap: a restart comes after what it goes on with."""
    return one != other and max(one[0], other[0]) < min(one[1], other[1])


def _setting(value: Any) -> Cell:
    kind = value.WhichOneof("kind")
    cell = getattr(value, kind) if kind in ("number_value", "string_value", "bool_value") else ""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def _records(file: Path, log: _Log) -> Iterator[bytes]:
    """The records of an event file: length, checksum, data, checksum. A torn end is noted; damage is a TableError."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    with file.open("rb") as stream:
        while head := stream.read(12):
            if len(head) < 12:
                log.torn.append(str(file))
                return
            (length,) = struct.unpack("<Q", head[:8])
            if masked_crc32c(head[:8]) != struct.unpack("<I", head[8:])[0] or length > MOST_EVENT_BYTES:
                raise TableError(
                    f"{file}: expected TensorBoard events, got a damaged record at {stream.tell() - 12:,}."
                )
            data = stream.read(length + 4)
            if len(data) < length + 4:
                log.torn.append(str(file))
                return
            if masked_crc32c(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
                raise TableError(f"{file}: expected TensorBoard events, got a damaged record at {stream.tell():,}.")
            yield data[:-4]
