"""Exclusive claims on shared file systems, by atomic mkdir and rename and the local monotonic clock alone."""

from __future__ import annotations

import errno
import functools
import itertools
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lawful.errors import StoreError
from lawful.storage.json_files import read_json
from lawful.storage.own_paths import expect_own

# A claim is taken over when its heartbeat has not changed for this time: longer than a busy disk stalls
LEASE_SECONDS = 60.0
MOST_TOKEN = 10**15  # of a claim; one is added with each taking
BEATS = 12  # heartbeats in that time


class LeaseLost(OSError):
    """Another process has taken the claim over; what this one has not committed stays uncommitted."""


@dataclass(frozen=True)
class Lease:
    """A claim that is held.

    folder    CLAIMS/TOKEN, the holder's own: whatever it commits is made here and renamed into place. Who takes the
              claim over removes this folder first, so that such a rename can no longer happen: the file system itself
              refuses it, even to a holder that slept between its last look and its rename.
    """

    folder: Path
    lost: threading.Event = field(default_factory=threading.Event)  # set by the heartbeat; a commit finds out by itself

    @property
    def token(self) -> int:
        return int(self.folder.name)

    def check(self) -> None:
        """Raises LeaseLost when another has taken the claim over: for what is not committed by a rename."""
        if not self.folder.is_dir():
            self.lost.set()
            raise LeaseLost(f"{self.folder}: another process has taken this claim over.")


@contextmanager
def claimed(
    claims: Path,
    *,
    patience_seconds: float = 0.0,
    lease_seconds: float = LEASE_SECONDS,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Lease | None]:
    """Hold an exclusive claim while inside; None when another process holds it. Good on any file system that several
    machines share: it rests on mkdir and rename alone, and on nobody's clock but one's own.

    Whoever makes the folder CLAIMS/TOKEN holds the claim; TOKEN grows by one with each taking. The holder's heartbeat
    is a file whose content changes; a claim is taken over when its holder is a process of this machine that is gone,
    or when this process has seen the heartbeat stand still for as long as the holder promised it would not.

    patience_seconds    how long to wait at most until one can tell whether the holder lives
    lease_seconds       how long this holder's heartbeat may stand still; others wait LEASE_SECONDS at most
    should_stop         asked while waiting; None once it says yes
    """
    claims.mkdir(parents=True, exist_ok=True)
    deadline, first = time.monotonic() + patience_seconds, _pulse(claims, _newest(claims)[0])
    while (lease := _take(claims, lease_seconds)) is None:
        if should_stop() or time.monotonic() >= deadline or _pulse(claims, _newest(claims)[0]) != first:
            yield None
            return
        time.sleep(0.05)
    is_over = threading.Event()
    heart = threading.Thread(
        target=_beat, args=(lease, min(lease_seconds, LEASE_SECONDS) / BEATS, is_over), daemon=True
    )
    heart.start()
    try:
        yield lease
    finally:
        is_over.set()
        heart.join()
        with suppress(OSError):  # lost: there is nothing to give back
            os.rename(lease.folder, lease.folder.with_name(f"{lease.token}.over"))


def is_claimed(claims: Path) -> bool:
    """Whether a live process holds the claim, as far as can be told; a process of another machine that died counts as
    alive until this one has watched it for the length of its lease."""
    token, is_over = _newest(claims)
    return not is_over and not _has_expired(claims, token)


def claimed_at(claims: Path) -> float | None:
    """When the claim was last taken, in seconds since 1970 by the clock of the file system."""
    token, is_over = _newest(claims)
    try:
        return (claims / (f"{token}.over" if is_over else f"{token}") / "holder.json").stat().st_mtime
    except OSError:
        return None


def _take(claims: Path, lease_seconds: float) -> Lease | None:
    """One try; None when it is held, or when another was quicker."""
    token, is_over = _newest(claims)
    if not is_over:
        if not _has_expired(claims, token):
            return None
        try:
            os.rename(claims / f"{token}", claims / f"{token}.over")
        except OSError:
            return None
    if token + 1 >= MOST_TOKEN:  # nobody would know the next for one
        raise StoreError(f"{claims}: expected claims below {MOST_TOKEN - 1:,}, got {token:,}; delete this folder.")
    lease = Lease(claims / f"{token + 1}")
    try:
        lease.folder.mkdir()
    except FileExistsError:
        return None
    (lease.folder / "holder.json").write_text(json.dumps({**_process(), "lease_seconds": lease_seconds}))
    (lease.folder / "heartbeat").write_bytes(b"%020d" % 0)
    if _newest(claims) != (token + 1, False):  # slept before the mkdir: others have had this token meanwhile
        shutil.rmtree(lease.folder, ignore_errors=True)
        return None
    for _ in range(10):  # a former holder that still lives may be writing there
        former = [name for name in os.listdir(claims) if name != lease.folder.name]
        if not former:
            break
        for name in former:
            shutil.rmtree(claims / name, ignore_errors=True)
    return lease


def _newest(claims: Path) -> tuple[int, bool]:
    """The newest token, and whether its holder is done; (0, True) when nobody ever took the claim."""
    try:
        names = os.listdir(claims)
    except (FileNotFoundError, NotADirectoryError):
        names = []
    tokens = [found for name in names if (found := re.fullmatch(r"([1-9][0-9]{0,14})(\.over)?", name, re.ASCII))]
    for found in tokens:
        expect_own(claims / found[0])
    return max(((int(found[1]), bool(found[2])) for found in tokens), default=(0, True))


_seen: dict[Path, tuple[tuple[int, bytes], float]] = {}  # the last pulse of each claim, and since when by our own clock


def _has_expired(claims: Path, token: int) -> bool:
    path = claims / f"{token}" / "holder.json"
    expect_own(path)
    try:
        holder = read_json(path)
    except (OSError, StoreError):  # dead before it could write it, or not there yet
        holder = {}
    pid = holder.get("pid")
    if holder.get("machine") == _machine() and isinstance(pid, int) and _started(pid) != holder.get("started"):
        return True
    pulse, now = _pulse(claims, token), time.monotonic()
    if claims not in _seen or _seen[claims][0] != pulse:
        _seen[claims] = (pulse, now)
    return now - _seen[claims][1] > _lease_seconds(holder.get("lease_seconds"))


def _lease_seconds(promised: Any) -> float:
    """What a holder promised, as far as we allow: whoever wrote it must not make us wait for ever."""
    is_number = isinstance(promised, (int, float)) and not isinstance(promised, bool)
    return promised if is_number and 0 < promised < LEASE_SECONDS else LEASE_SECONDS


def _pulse(claims: Path, token: int) -> tuple[int, bytes]:
    path = claims / f"{token}" / "heartbeat"
    expect_own(path)
    try:
        with path.open("rb") as file:
            return token, file.read(64)
    except OSError:
        return token, b""


def _beat(lease: Lease, every_seconds: float, is_over: threading.Event) -> None:
    for count in itertools.count(1):
        if is_over.wait(every_seconds):
            return
        try:
            with (lease.folder / "heartbeat").open("r+b") as file:  # in place: it needs no room on a full disk
                file.write(b"%020d" % count)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESTALE):
                lease.lost.set()
                return


def _process() -> dict[str, str | int]:
    return {"machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


@functools.cache
def _machine() -> str:
    """This machine since its last start, and the namespace in which its process numbers count (containers have their
    own); where the system does not say, its name and network address."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        import platform
        import uuid

        return f"{platform.node()} {uuid.getnode():x}"


def _started(pid: int) -> str:
    """When the process of that number began, in ticks, since numbers are used again; "" when none lives."""
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except OSError:
            pass
        return "?"
    try:
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if facts[0] in "ZX" else facts[19]  # a zombie is dead; proc(5): fields 3 and 22
