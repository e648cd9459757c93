"""The recordings of a split file: what is kept of each but its signal, and what is wrong with the others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from lawful.corpora import DIGITS, Progress
from lawful.domains.emg import sessions, splits
from lawful.domains.emg.spectrogram import HOP, WINDOW, log_spectrogram, num_frames
from lawful.domains.emg.tokenizers.keys import Keys
from lawful.errors import DataError, StoreError
from lawful.run import digest_of
from lawful.storage.atomic import write_json
from lawful.storage.cache import cache_folder
from lawful.storage.codec import decode, to_plain
from lawful.storage.json_files import read_json

FORMAT = 2  # raised when prepared files change their meaning
CONDITION = "on_keyboard"  # of the recordings that are used
# where sessions and metadata.csv lie: in the folder, in what the official archive unpacks into, or in a clone of the
# official code, which keeps its split files in config/user
ARCHIVED = "emg2qwerty-data-2021-08"
FOLDERS = (".", ARCHIVED, "data", f"data/{ARCHIVED}")
SPLIT_FOLDERS = (".", "split", "config/user", "../config/user", "../../config/user")
LISTED = 8  # problems that one message names


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What is kept of a recording's metadata, plain data. times: seconds of signal before each key was pressed."""

    path: str
    user: str
    condition: str
    samples: int
    keys: tuple[int, ...]
    times: tuple[float, ...]
    glance: str  # a hash of the first second of signal: 300 GB are not read through to tell two data sets apart
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, session: sessions.Session) -> Recording:
        keys, places = Keys().encode_keys([stroke.key for stroke in session.keystrokes])
        return cls(
            path=str(session.path.resolve()),
            user=session.user,
            condition=session.condition,
            samples=session.samples,
            keys=tuple(map(int, keys)),
            times=tuple(session.positions[place] / sessions.RATE for place in places),
            glance=hashlib.sha256(session.read(0, sessions.RATE).tobytes()).hexdigest(),
            remarks=tuple(f"{session.path.name}: {remark}" for remark in session.clock.remarks()),
        )

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.keys, dtype=np.uint16), np.array(self.times, dtype=float)


def read_recordings(folder: Path, split: splits.Split, progress: Progress) -> tuple[dict[str, Recording], list[str]]:
    """Every session of the split but for its signal, and what is wrong with the others. A file is read once, as long
    as its size and date stay the same."""
    found: dict[str, Recording] = {}
    problems = []
    pairs = list(split)
    for number, (user, name) in enumerate(pairs):
        progress(f"reading the times and keystrokes of {name}", number / len(pairs))
        try:
            read = _read_once(find_recording(folder, name))
        except (DataError, StoreError) as error:
            problems.append(str(error))
            continue
        if read.user != user:
            problems.append(f"{read.path}: expected the user {user}, as the split says, got {read.user}.")
        elif read.condition != CONDITION:  # the official loader refuses it, too: its keystrokes are not those typed
            problems.append(f"{read.path}: expected the condition {CONDITION}, got {read.condition}.")
        else:
            found[name] = read
    return found, problems


def _read_once(path: Path) -> Recording:
    if not path.is_file():
        return Recording.of(sessions.read_session(path))  # which says what is wrong
    state = path.stat()
    key = digest_of([FORMAT, str(path.resolve()), state.st_size, state.st_mtime_ns], DIGITS)
    kept = cache_folder() / "corpora" / "emg" / "read" / f"{key}.json"
    if kept.exists():
        try:
            return decode(read_json(kept), Recording, kept)
        except StoreError:
            pass  # damaged: read again
    read = Recording.of(sessions.read_session(path))
    write_json(kept, to_plain(read))
    return read


def unlike_metadata(folder: Path, split: splits.Split) -> list[str]:
    """What metadata.csv, where there is one, says otherwise about the split's sessions."""
    path = _metadata(folder)
    if path is None:
        return []
    users = {row["session"]: row["user"] for row in splits.read_metadata(path)}
    return [
        f"{path}: expected the session {name} of user {user}, as the split has it, got "
        + (f"user {users[name]}." if name in users else "no such session.")
        for user, name in split
        if users.get(name) != user
    ]


def find_recording(folder: Path, name: str) -> Path:
    """NAME.hdf5 in one of FOLDERS; where it is in none, in the folder itself."""
    places = (folder / inner / f"{name}.hdf5" for inner in FOLDERS)
    return next((path for path in places if path.exists()), folder / f"{name}.hdf5")


@dataclass(frozen=True, kw_only=True)
class Given:
    """A folder of recordings, and which of them are used. remark: what a user should know of the split, or nothing."""

    folder: Path
    split: splits.Split
    remark: str = ""


def given(data: Path, split: str, *, is_default: bool) -> Given:
    """The user's recordings by a split file beside them; where there is none and none was named, by metadata.csv."""
    if not data.is_dir():
        raise DataError(f"--data {data}: expected a folder of emg2qwerty sessions, got no such folder.")
    name = Path(split).name
    for candidate in (Path(split), data / split, *(data / inner / name for inner in SPLIT_FOLDERS)):
        if candidate.is_file():
            return Given(folder=data, split=splits.read_split(candidate))
    metadata = _metadata(data) if is_default else None
    rows = [] if metadata is None else splits.read_metadata(metadata)
    rows = [row for row in rows if row.get("condition") in (CONDITION, None, "")]
    rows = [row for row in rows if splits.is_name(row["session"]) and find_recording(data, row["session"]).is_file()]
    made = splits.made_split(rows)
    if not (made.train and made.val):
        raise DataError(
            f"--data {data}: expected the split file {split} there, or metadata.csv and at least two sessions of one "
            "of its users, got neither; the official split files come with emg2qwerty's code (config/user/generic.yaml "
            "and user0.yaml to user7.yaml; in a study, --set split=PATH names one)."
        )
    return Given(
        folder=data,
        split=made,
        remark=f"no split file {name}: {len(made.train)} sessions to train on, {len(made.val)} to validate, and "
        f"{len(made.test)} of {len({user for user, _ in made.test})} users to test were chosen from metadata.csv; "
        "published error rates are of the official split",
    )


def _metadata(folder: Path) -> Path | None:
    return next((path for inner in FOLDERS if (path := folder / inner / "metadata.csv").is_file()), None)


def listed(problems: Sequence[str]) -> str:
    more = f"\n  and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
    return (
        f"emg: {len(problems)} sessions of the split cannot be used; `lawful data verify emg --data FOLDER` lists all. "
        "Fetch them again, or take them out of the split file.\n  " + "\n  ".join(problems[:LISTED]) + more
    )


def write_spectrogram(session: Recording, pool: int, file: IO[bytes]) -> None:
    """A piece at a time: memory does not grow with the session."""
    frames, span = num_frames(session.samples, pool), pool * HOP
    step = max(1, 2**15 // pool)
    for first in range(0, frames, step):
        last = min(first + step, frames)
        samples = sessions.read_signal(Path(session.path), first * span, (last - 1) * span + (pool - 1) * HOP + WINDOW)
        if not np.isfinite(samples).all():
            row = int(np.flatnonzero(~np.isfinite(samples).all(axis=(1, 2)))[0]) + first * span
            raise DataError(f"{session.path}: expected numbers, got NaN or infinity at sample {row}.")
        file.write(log_spectrogram(samples, pool).astype("<f2").tobytes())


def sha256_of_keys(keys: np.ndarray, times: np.ndarray) -> str:
    return hashlib.sha256(keys.astype("<u2").tobytes() + times.astype("<f8").tobytes()).hexdigest()
