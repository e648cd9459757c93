"""meta.json of prepared EMG: which sessions there are, and whether their files are as they were."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lawful.checks import NaturalInt
from lawful.domains.emg import sessions
from lawful.domains.emg.spectrogram import BINS
from lawful.storage.codec import decode
from lawful.storage.json_files import read_json


@dataclass(frozen=True, kw_only=True)
class SessionFile:
    """A prepared session. path: of the recording. frames, keys: how many. sha256: of keys and times."""

    user: str
    session: str
    path: str
    samples: NaturalInt
    frames: NaturalInt
    keys: NaturalInt
    sha256: str


@dataclass(frozen=True, kw_only=True)
class SplitFiles:
    """tokens: frames, of all sessions."""

    tokens: NaturalInt
    keys: NaturalInt
    sessions: tuple[SessionFile, ...]


@dataclass(frozen=True, kw_only=True)
class PreparedEmg:
    """corpus: as run.to_json writes it. is_cached: spectrograms are kept, not made from the recordings as needed."""

    format: int
    fingerprint: str
    corpus: Mapping[str, Any]  # of any class: from_json checks it against that
    is_synthetic: bool
    is_cached: bool
    splits: Mapping[str, SplitFiles]
    remarks: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> PreparedEmg:
        path = folder / "meta.json"
        return decode(read_json(path), cls, path)


@dataclass(frozen=True, kw_only=True)
class Known:
    """A prepared session: where it lies, and its keys with their times in seconds from its start."""

    number: int
    name: str
    user: str
    user_number: int
    path: Path
    samples: int
    frames: int
    keys: np.ndarray
    times: np.ndarray


@functools.lru_cache(maxsize=8)
def known_sessions(folder: Path) -> dict[str, tuple[Known, ...]]:
    users: dict[str, int] = {}
    found = {}
    for split, part in PreparedEmg.read(folder).splits.items():
        listed = []
        for number, item in enumerate(part.sessions):
            path = folder / item.session
            listed.append(
                Known(
                    number=number,
                    name=item.session,
                    user=item.user,
                    user_number=users.setdefault(item.user, len(users)),
                    path=Path(item.path),
                    samples=item.samples,
                    frames=item.frames,
                    keys=np.fromfile(path.with_name(f"{path.name}.keys"), dtype="<u2"),
                    times=np.fromfile(path.with_name(f"{path.name}.times"), dtype="<f8"),
                )
            )
        found[split] = tuple(listed)
    return found


def damaged(folder: Path, meta: PreparedEmg) -> str:
    """The first file that is missing or has another size or content than it had."""
    frame_bytes = 2 * sessions.ELECTRODES * BINS * 2
    for part in meta.splits.values():
        for item in part.sessions:
            expected = {"keys": item.keys * 2, "times": item.keys * 8}
            if meta.is_cached:
                expected["spectrogram"] = item.frames * frame_bytes
            for suffix, size in expected.items():
                path = folder / f"{item.session}.{suffix}"
                got = path.stat().st_size if path.exists() else None
                if got != size:
                    return f"{path}: expected {size:,} bytes, got {'no file' if got is None else f'{got:,}'}"
            digest = hashlib.sha256()
            for suffix in ("keys", "times"):
                digest.update((folder / f"{item.session}.{suffix}").read_bytes())
            if digest.hexdigest() != item.sha256:
                return f"{folder / item.session}.keys: expected SHA-256 {item.sha256}, got {digest.hexdigest()}"
    return ""
