"""Sessions in the layout of emg2qwerty: one HDF5 file each, a metadata.csv, and split files in YAML."""

from __future__ import annotations

import functools
import importlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from lawful import unpack
from lawful.domains.emg.splits import read_split, short
from lawful.errors import DataError, MissingDependency
from lawful.storage.atomic import write_whole
from lawful.storage.json_files import Json, no_json, reading

if TYPE_CHECKING:
    import h5py
GROUP, SERIES = "emg2qwerty", "timeseries"
RATE = 2000  # samples a second, of every published session
ELECTRODES = 16  # around each wrist
FIELDS = np.dtype([("emg_right", "<f4", (ELECTRODES,)), ("time", "<f8"), ("emg_left", "<f4", (ELECTRODES,))])
ATTRIBUTES = ("session_name", "user", "condition", "duration_mins", "keystrokes", "prompts")
MOST_SAMPLES = 24 * 3600 * RATE  # a day; sessions last minutes, some an hour or two
MOST_ROW_BYTES = 1024  # of a sample; the layout has 136
MOST_CHUNK_BYTES = 2**28  # that are unpacked to read one sample
MOST_GROWTH = 100  # times what is stored that a dataset may declare; noise hardly packs at all
MOST_SESSION_BYTES = 4 * 2**30  # of one file in the archive; the official ones have some 200 MB
CHECKED_SAMPLES = 2**16  # read at a time when a whole session is looked through: 9 MB
RATE_TOLERANCE = 0.02  # relative, of a recording's samples a second by its own clock
TIMES_AT_ONCE = 2**20  # of samples that are looked at together: 8 MB
MOST_OUTSIDE = 0.5  # of the keystrokes, outside the recording: its clock is then not the keyboard's
DRIFT = 1e-3  # relative: a clock that is off by more is told
GAP_SECONDS = 0.01  # between two samples: longer is a gap


@dataclass(frozen=True, kw_only=True)
class Keystroke:
    """`key` is a character or a name such as "Key.space"; start and end are unix seconds."""

    key: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Clock:
    """What a recording's own time says. Keystrokes are placed by it, as the official loader places them.

    rate       samples a second, gaps aside
    gaps       (seconds from the start, seconds long)
    outside    seconds from the start of keystrokes before the first sample or after the last: they are left out
    """

    rate: float
    gaps: tuple[tuple[float, float], ...]
    outside: tuple[float, ...]

    def remarks(self) -> list[str]:
        """What a user should know of it."""
        found = []
        if abs(self.rate / RATE - 1) > DRIFT:
            found.append(f"{self.rate:.1f} samples a second by its own clock ({self.rate / RATE - 1:+.2%} of {RATE})")
        if self.gaps:
            at, length = max(self.gaps, key=lambda gap: gap[1])
            found.append(f"{len(self.gaps)} gap(s) in its time, the longest of {length:.3f} s at {at:.3f} s")
        if self.outside:
            found.append(
                f"{len(self.outside)} keystroke(s) outside the recording, the first at {self.outside[0]:.3f} s"
            )
        return found


@dataclass(frozen=True, kw_only=True)
class Session:
    """What is known of a session without its signal; its first sample is of `start` (unix seconds).

    keystrokes    those within the recording
    positions     of each, in samples from the first, by the recording's own time
    """

    path: Path
    name: str
    user: str
    condition: str
    samples: int
    start: float
    keystrokes: tuple[Keystroke, ...]
    positions: tuple[float, ...]
    prompts: tuple[Mapping[str, Json], ...]
    clock: Clock

    @property
    def seconds(self) -> float:
        return self.samples / RATE

    def read(self, first: int = 0, last: int | None = None) -> np.ndarray:
        """Samples first to last as float32 [samples, 2, 16]: left wrist, right wrist. Reads no more than that."""
        return read_signal(self.path, first, self.samples if last is None else last)

    def pieces(self, samples: int) -> Iterator[np.ndarray]:
        """The whole session, `samples` at a time, as `read` gives it. Raises DataError where the file is damaged."""
        with reading(self.path, "a session (HDF5)", DataError), _open(self.path) as file:
            series = _series(self.path, file)
            for first in range(0, self.samples, samples):
                yield _bands(series[first : first + samples])


def read_signal(path: Path, first: int, last: int) -> np.ndarray:
    """As Session.read, for who knows the session already: its keystrokes and prompts are not parsed again."""
    with _open(path) as file:
        return _bands(_series(path, file)[first:last])


def read_session(path: Path) -> Session:
    """Everything but the signal; the time of every sample is looked at. Raises LawfulError naming the file and what is
    wrong with it."""
    with reading(path, "a session (HDF5)", DataError), _open(path) as file:
        series = _series(path, file)
        attributes = _attributes(path, file)
        keystrokes = sorted(
            (
                Keystroke(key=str(stroke["key"]), start=float(stroke["start"]), end=float(stroke["end"]))
                for stroke in _parsed(path, attributes, "keystrokes", ("key", "start", "end"))
            ),
            key=lambda stroke: stroke.start,
        )
        samples = len(series)
        if not samples:
            raise DataError(f"{path}: expected samples, got a session of zero length.")
        start = float(series[0]["time"])
        positions, rate, gaps = _placed(path, series, np.array([stroke.start for stroke in keystrokes]))
    is_inside = np.isfinite(positions)
    outside = tuple(stroke.start - start for stroke, inside in zip(keystrokes, is_inside, strict=True) if not inside)
    if len(outside) > MOST_OUTSIDE * len(keystrokes):
        raise DataError(
            f"{path}: expected keystrokes within the recording ({samples / rate:.1f} s), got {len(outside)} of "
            f"{len(keystrokes)} outside, the first at {outside[0]:.3f} s."
        )
    return Session(
        path=path,
        name=attributes["session_name"],
        user=attributes["user"],
        condition=attributes["condition"],
        samples=samples,
        start=start,
        keystrokes=tuple(stroke for stroke, inside in zip(keystrokes, is_inside, strict=True) if inside),
        positions=tuple(map(float, positions[is_inside])),
        prompts=tuple(_parsed(path, attributes, "prompts", ("name", "start", "end"))),
        clock=Clock(rate=rate, gaps=gaps, outside=outside),
    )


def _attributes(path: Path, file: h5py.File) -> dict[str, str]:
    group = file[GROUP]
    if missing := [name for name in ATTRIBUTES if name not in group.attrs]:
        raise DataError(f"{path}: expected the attributes {', '.join(ATTRIBUTES)}; missing: {', '.join(missing)}.")
    return {name: _text(group.attrs[name]) for name in ATTRIBUTES}


def _placed(
    path: Path, series: h5py.Dataset, starts: np.ndarray
) -> tuple[np.ndarray, float, tuple[tuple[float, float], ...]]:
    """Where each of these times (unix seconds) lies among the samples, NaN outside of them; samples a second; gaps.

    A position is that of the last sample at or before the time, and a part of the way to the next: the key is pressed
    in the samples [first, last) where the official loader finds it between the times of first and last - 1.
    """
    positions = np.full(len(starts), np.nan)
    gaps: list[tuple[float, float]] = []
    begin = before = float(series[0]["time"])
    for first in range(0, len(series), TIMES_AT_ONCE):
        piece = np.asarray(series.fields("time")[first : first + TIMES_AT_ONCE], dtype=float)
        time = np.concatenate([[before], piece])  # its first value is sample first - 1 (at the very start: sample 0)
        steps = np.diff(time)
        if not np.isfinite(piece).all() or (steps < 0).any():
            raise DataError(f"{path}: expected times that never decrease, got a step of {np.nanmin(steps):g} s.")
        gaps += [(float(time[at] - begin), float(steps[at])) for at in np.flatnonzero(steps > GAP_SECONDS)]
        inside = (starts >= time[0]) & (starts < time[-1])
        place = np.searchsorted(time, starts[inside], side="right") - 1
        positions[inside] = first - 1 + place + (starts[inside] - time[place]) / steps[place]
        before = float(piece[-1])
    positions[starts == before] = len(series) - 1
    length = before - begin - sum(length for _, length in gaps)
    rate = (len(series) - 1 - len(gaps)) / length if length > 0 else float("inf")
    if len(series) > 1 and not abs(rate / RATE - 1) < RATE_TOLERANCE:
        raise DataError(f"{path}: expected {RATE} samples a second, got {rate:.1f}.")
    return positions, rate, tuple(gaps)


def _series(path: Path, file: h5py.File) -> h5py.Dataset:
    """The samples, as they lie in this very file: a link or an external storage would bring in another of this machine,
    and a size that is only declared would be filled up in memory."""
    h5py = _h5py()
    place = file
    for name in (GROUP, SERIES):
        if name not in place.keys():
            raise DataError(f"{path}: expected the dataset {GROUP}/{SERIES}, got {short(list(place)[:8])}.")
        if not isinstance(link := place.get(name, getlink=True), h5py.HardLink):
            raise DataError(f"{path}: expected {name} to lie in the file, got a link to {_target(link)}.")
        place = place[name]
        if not isinstance(place, h5py.Dataset if name == SERIES else h5py.Group):
            raise DataError(f"{path}: expected the dataset {GROUP}/{SERIES}, got {name}: a {type(place).__name__}.")
    if place.is_virtual:
        raise DataError(f"{path}: expected {SERIES} to lie in the file, got a virtual dataset, made of other files.")
    if place.external:
        raise DataError(f"{path}: expected {SERIES} to lie in the file, got one in {short(place.external[0][0])}.")
    dtype, names = place.dtype, place.dtype.names or ()
    for field in ("emg_left", "emg_right", "time"):
        if field not in names:
            raise DataError(f"{path}: expected the field {field} in {SERIES}, got {short(names[:8]) or 'none'}.")
        if dtype[field].base.kind != "f":
            raise DataError(f"{path}: expected numbers in {field}, got {dtype[field].base}.")
    for field in ("emg_left", "emg_right"):
        if dtype[field].shape != (ELECTRODES,):
            raise DataError(f"{path}: expected {ELECTRODES} electrodes in {field}, got shape {dtype[field].shape}.")
    chunk = dtype.itemsize * int(np.prod(place.chunks or (1,), dtype=float))
    declared, stored = dtype.itemsize * int(np.prod(place.shape, dtype=float)), place.id.get_storage_size()
    if place.ndim != 1 or place.shape[0] > MOST_SAMPLES or dtype.itemsize > MOST_ROW_BYTES or chunk > MOST_CHUNK_BYTES:
        raise DataError(
            f"{path}: expected at most {MOST_SAMPLES:,} samples of {MOST_ROW_BYTES:,} bytes, in chunks of "
            f"{MOST_CHUNK_BYTES:,} bytes, got shape {short(place.shape)} of {dtype.itemsize:,} and {chunk:,}."
        )
    if declared > MOST_GROWTH * stored:
        raise DataError(f"{path}: expected samples, got {declared:,} bytes declared, of which {stored:,} are there.")
    return place


def _target(link: h5py.SoftLink | h5py.ExternalLink) -> str:
    return short(": ".join(str(part) for part in (getattr(link, "filename", None), link.path) if part))


def check_signal(session: Session) -> None:
    """Look through every sample, a bounded piece at a time. Raises DataError at the first that is not a number."""
    first = 0
    for piece in session.pieces(CHECKED_SAMPLES):
        if not (good := np.isfinite(piece)).all():
            row = int(np.flatnonzero(~good.all(axis=(1, 2)))[0]) + first
            raise DataError(
                f"{session.path}: expected numbers, got NaN or infinity at sample {row} ({row / RATE:.3f} s)."
            )
        first += len(piece)


def session_bytes(
    *,
    name: str,
    user: str,
    emg: np.ndarray,
    start: float,
    keystrokes: Sequence[Keystroke],
    prompts: Sequence[Mapping[str, Json]],
) -> bytes:
    """An HDF5 file as emg2qwerty distributes them, complete. emg: [samples, 2 (left, right), 16], any unit."""
    h5py = _h5py()
    rows = np.empty(len(emg), dtype=FIELDS)
    rows["emg_left"], rows["emg_right"] = emg[:, 0], emg[:, 1]
    rows["time"] = start + np.arange(len(emg)) / RATE
    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        group = file.create_group(GROUP)
        group.create_dataset(SERIES, data=rows)
        text = h5py.string_dtype()  # of variable length: a fixed one fails above 64 kB
        strokes = [{"key": stroke.key, "start": stroke.start, "end": stroke.end} for stroke in keystrokes]
        for attribute, value in {
            "session_name": name,
            "user": user,
            "condition": "on_keyboard",
            "keystrokes": json.dumps(strokes),
            "prompts": json.dumps(list(prompts)),
        }.items():
            group.attrs.create(attribute, value, dtype=text)
        group.attrs["duration_mins"] = len(emg) / RATE / 60
        group.attrs["daq_channels"] = ELECTRODES
        group.attrs["daq_sample_rate"] = float(RATE)
    return held.getvalue()


def extract(
    archive: Path,
    splits: Sequence[Path],
    into: Path,
    *,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> list[Path]:
    """Keep from the one big archive only the sessions of these splits, and metadata.csv; reads it once, front to back.

    Any tar that Python opens (.tar, .tar.gz). Ends as soon as all is found. What is there already is kept. Raises
    LawfulError where the archive ends without one of them.
    """
    if archive.exists() and not archive.is_file():  # a pipe would be waited for
        raise DataError(f"{archive}: expected an archive (.tar or .tar.gz), got something that is no file.")
    wanted = {f"{session}.hdf5" for split in splits for _, session in read_split(split)} | {"metadata.csv"}
    kept = {name: into / name for name in wanted if (into / name).exists()}
    for member, share, copy in _members(archive):
        name = Path(member.name).name  # only the file's own name: nothing can land outside `into`
        progress(f"{len(kept)} of {len(wanted)} files found", share)
        if name in wanted and name not in kept and member.isfile():
            if member.size > MOST_SESSION_BYTES:
                raise DataError(
                    f"{archive}: {name}: expected at most {MOST_SESSION_BYTES:,} bytes, got {member.size:,}."
                )
            write_whole(into / name, copy)
            kept[name] = into / name
        if len(kept) == len(wanted):
            break
    if missing := sorted(wanted - set(kept) - {"metadata.csv"}):
        names, more = ", ".join(split.name for split in splits), len(missing) - 1
        raise DataError(
            f"{archive}: expected {len(wanted) - 1} sessions of {names}, got {len(wanted) - 1 - len(missing)}; "
            f"missing: {missing[0]}" + (f" and {more} more." if more else ".")
        )
    return sorted(kept.values())


def _members(archive: Path) -> Iterator[tuple[tarfile.TarInfo, float, Callable[[IO[bytes]], None]]]:
    """What a tar archive holds, in its order: the member, the share of the archive before it, what copies it whole."""
    with reading(archive, "a tar archive", DataError), unpack.Unpacked(archive) as stream:
        for member, content in unpack.tar_members(stream):
            yield member, stream.share, functools.partial(_copy, archive, content)


def _copy(archive: Path, source: IO[bytes] | None, target: IO[bytes]) -> None:
    while source is not None:
        with reading(archive, "a tar archive", DataError):
            piece = source.read(2**22)
        if not piece:
            break
        target.write(piece)


def _bands(rows: np.ndarray) -> np.ndarray:
    return np.stack([rows["emg_left"], rows["emg_right"]], axis=1)


def _parsed(path: Path, attributes: Mapping[str, str], name: str, needed: tuple[str, ...]) -> list[dict[str, Any]]:
    """The entries of an attribute that holds JSON, each with the keys that are needed; start and end are numbers."""
    try:
        value = json.loads(attributes[name])
    except (ValueError, RecursionError) as error:  # a number of too many digits, too deep a nest
        raise DataError(f"{path}: expected JSON in the attribute {name}, got {no_json(error)}.") from None
    for place, item in enumerate(value if isinstance(value, list) else [None]):
        is_whole = isinstance(item, dict) and set(needed) <= set(item)
        if not is_whole or not all(type(item[key]) in (int, float) for key in ("start", "end")):
            raise DataError(
                f"{path}: {name}, entry {place + 1}: expected {', '.join(needed)}, start and end as numbers, got "
                f"{short(item)}."
            )
    return list(value)


def _open(path: Path) -> h5py.File:
    h5py = _h5py()
    if not path.is_file():
        raise DataError(f"{path}: expected a session (HDF5), got no such file.")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if error.errno is not None:  # the system's own: no permission, say
            raise
        raise DataError(
            f"{path}: expected a whole HDF5 file, got one that is damaged or cut short ({error})."
        ) from None


def _h5py() -> ModuleType:
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        what = "reading EMG recordings (HDF5)"
        raise MissingDependency.of("h5py", extra="emg", what=what, error=error) from None


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
