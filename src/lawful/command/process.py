"""One process group: a program with all that it starts, ended whole, its output read line by line."""

from __future__ import annotations

import ctypes
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MARK = "LAWFUL_RUN_FOLDER"  # a variable that all processes of a run inherit: by it those of a dead attempt are found
TICK_SECONDS = 0.5  # between two looks at files and at the clock, while nothing is written
MOST_LINE_BYTES = 2**16  # of output; longer lines are cut into such pieces
DRAIN_BYTES = 2**24  # that are read at most after the program has ended

_LINE_END = re.compile(rb"\r?\n|\r|\x08+|\x1b\[[01]?G")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """status    exit status; negative: the signal that ended it
    cause     how it came to its end: by itself, stopped by us, or at its time limit
    seconds   by the clock
    has_left  whether its output is still held open: by a process that it started in a group of its own
    """

    status: int
    cause: Literal["itself", "stopped", "time"]
    seconds: float
    out_of_memory: bool = False
    has_left: bool = False


class NotStarted(Exception):
    """The program could not be started; `error` is the system's."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def run(
    arguments: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    output: Callable[[bytes], None],
    tick: Callable[[], None],
    should_stop: Callable[[], bool],
    seconds: float | None,
    grace_seconds: float,
) -> Ended:
    """Run the program until it ends, is told to stop, or its time is over. Raises NotStarted where it cannot be.

    output    called with each line of what it writes, standard error included, without the line's end
    tick      called about twice a second
    On SIGTERM from us the program has `grace_seconds`; then, and in any case after its own end, SIGKILL ends what is
    left of its process group. Linux also kills it when this process dies.
    """
    began, kills_before = time.monotonic(), _oom_kills()
    try:
        process = subprocess.Popen(
            arguments,
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent if _libc is not None else None,
            bufsize=0,
        )
    except OSError as error:
        raise NotStarted(error) from error
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    os.set_blocking(pipe, False)
    cause: Literal["itself", "stopped", "time"] = "itself"
    deadline = None if seconds is None else began + seconds
    kill_at: float | None = None
    rest = b""
    ticked = began
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            over = _notice_of_end(process.pid, selector)
            is_open = True
            while process.poll() is None:
                ready = selector.select(TICK_SECONDS if is_open or over is not None else 0.01)
                if is_open and any(key.fd == pipe for key, _ in ready):
                    read = _read(pipe)
                    if read == b"":
                        selector.unregister(pipe)
                        is_open = False
                    rest = _lines(rest + (read or b""), output)
                now = time.monotonic()
                if now - ticked >= TICK_SECONDS:
                    ticked = now
                    tick()
                if kill_at is None and (should_stop() or (deadline is not None and now >= deadline)):
                    cause = "stopped" if should_stop() else "time"
                    kill_at = now + grace_seconds
                    _signal(process.pid, signal.SIGTERM)
                if kill_at is not None and now >= kill_at:
                    _signal(process.pid, signal.SIGKILL)
            if over is not None:
                os.close(over)
        _signal(process.pid, signal.SIGKILL)  # what it left behind
        taken = 0
        left: bytes | None = b""
        while taken < DRAIN_BYTES and (left := _read(pipe)):
            taken += len(left)
            rest = _lines(rest + left, output)
        if rest:
            _lines(rest + b"\n", output)
    finally:
        if process.returncode is None:
            _signal(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
    return Ended(
        status=process.returncode,
        cause=cause,
        seconds=time.monotonic() - began,
        has_left=left != b"",
        out_of_memory=process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL) and _oom_kills() > kills_before,
    )


def kill_orphans(mark: str) -> int:
    """End what an earlier attempt of the run left: its worker was killed, and a part of its program lives on. How many
    processes there were. Only Linux tells; elsewhere none is found.

    mark    the value of the variable MARK that they have
    """
    wanted = f"{MARK}={mark}".encode(errors="surrogateescape")
    number = 0
    for _ in range(20):  # a process may start another while we look
        found = [pid for pid in _pids() if wanted in _environment(pid)]
        if not found:
            break
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        number += len(found)
        time.sleep(0.02)
    return number


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    except OSError:
        return []


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, a zombie, or somebody else's
        return []


def _die_with_parent() -> None:
    """In the new process, before its program begins."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _notice_of_end(pid: int, selector: selectors.BaseSelector) -> int | None:
    """A descriptor that is ready once the process has ended, where the system has one."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None
    selector.register(descriptor, selectors.EVENT_READ)
    return descriptor


def _read(pipe: int) -> bytes | None:
    """What is there to read; empty at the end, None where nothing is there yet."""
    try:
        return os.read(pipe, 2**18)
    except BlockingIOError:
        return None


def _lines(text: bytes, output: Callable[[bytes], None]) -> bytes:
    """Hand over the whole lines; what is left. What takes the cursor back ends a line too: progress bars write no other
    end."""
    *lines, rest = _LINE_END.split(text)
    for line in lines:
        output(_cut(line, output))
    return _cut(rest, output)


def _cut(line: bytes, output: Callable[[bytes], None]) -> bytes:
    """Hand over the beginning of a line that is too long; what is left. It is cut at blanks, so that no number is."""
    while len(line) > MOST_LINE_BYTES:
        end = line.rfind(b" ", 1, MOST_LINE_BYTES)
        end = MOST_LINE_BYTES if end < 0 else end
        output(line[:end])
        line = line[end:]
    return line


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _oom_kills() -> int:
    """How many processes the kernel has ended in our cgroup for want of memory; 0 where it does not say."""
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace").rpartition("::")[2].strip()
        for folder in (f"/sys/fs/cgroup{own}", "/sys/fs/cgroup"):
            events = Path(folder, "memory.events")
            if events.exists():
                found = re.search(r"^oom_kill (\d+)$", events.read_text(encoding="utf-8"), re.MULTILINE | re.ASCII)
                return int(found[1]) if found else 0
    except OSError:
        pass
    return 0
