"""meta.json of prepared EMG: which sessions there are, and whether their files are as they were."""

from __future__ import annotations

import functools
import hashlib
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lawful.checks import NaturalInt
from lawful.domains.emg import sessions
from lawful.domains.emg.spectrogram import BINS
from lawful.errors import DeclarationError, StoreError
from lawful.storage.codec import decode
from lawful.storage.json_files import read_json

BUDGET, DEFAULT_BUDGET = "LAWFUL_EMG_CACHE_GB", 24.0  # GB of spectrograms that are kept; all of emg2qwerty has 330
FRAME_BYTES = 2 * sessions.ELECTRODES * BINS * 2  # of a spectrogram


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
    """corpus: as run.to_json writes it. is_cached: all spectrograms are kept, none is made from the recordings as
    needed. kept: else the sessions whose spectrograms are."""

    format: int
    fingerprint: str
    corpus: Mapping[str, Any]  # of any class: from_json checks it against that
    is_synthetic: bool
    is_cached: bool
    splits: Mapping[str, SplitFiles]
    remarks: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def keeps(self, session: str) -> bool:
        return self.is_cached or session in self.kept

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
    is_kept: bool  # its spectrogram
    keys: np.ndarray
    times: np.ndarray


@functools.lru_cache(maxsize=8)
def known_sessions(folder: Path) -> dict[str, tuple[Known, ...]]:
    users: dict[str, int] = {}
    found = {}
    meta = PreparedEmg.read(folder)
    kept = frozenset(meta.kept)
    for split, part in meta.splits.items():
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
                    is_kept=meta.is_cached or item.session in kept,
                    keys=np.fromfile(path.with_name(f"{path.name}.keys"), dtype="<u2"),
                    times=np.fromfile(path.with_name(f"{path.name}.times"), dtype="<f8"),
                )
            )
        found[split] = tuple(listed)
    return found


def damaged(folder: Path, meta: PreparedEmg) -> str:
    """The first file that is missing or has another size or content than it had."""
    for part in meta.splits.values():
        for item in part.sessions:
            expected = {"keys": item.keys * 2, "times": item.keys * 8}
            if meta.keeps(item.session):
                expected["spectrogram"] = item.frames * FRAME_BYTES
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


def budget_bytes() -> float:
    """How many bytes of spectrograms may be kept, as the environment asks."""
    text = os.environ.get(BUDGET, "")
    try:
        gigabytes = float(text) if text else DEFAULT_BUDGET
    except ValueError:
        gigabytes = math.nan
    if not 0 <= gigabytes < math.inf:
        raise DeclarationError(f"{BUDGET}: expected a number of GB, 0 or more, got {text[:40]!r}.")
    return gigabytes * 1e9


def within_budget(frames: Mapping[str, int], *, folder: Path) -> tuple[str, ...]:
    """The first of these sessions whose spectrograms together are within the budget. StoreError where the disk of
    `folder` has no room for those that are not there yet."""
    kept: list[str] = []
    left, wanted = budget_bytes(), 0
    for name, number in frames.items():
        left -= number * FRAME_BYTES
        if left < 0:
            break
        kept.append(name)
        wanted += 0 if (folder / f"{name}.spectrogram").exists() else number * FRAME_BYTES
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if wanted > (free := shutil.disk_usage(there).free):
        raise StoreError(
            f"{folder}: expected room for {wanted / 1e9:.1f} GB of spectrograms, got {free / 1e9:.1f} GB free; "
            f"{BUDGET}={max(0, math.floor(0.9 * free / 1e9))} keeps fewer, LAWFUL_CACHE names another folder."
        )
    return tuple(kept)
