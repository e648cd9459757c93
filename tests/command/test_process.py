"""A process group is ended whole, whatever it does; its output is read to its end."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from lawful.command import process


class Told:
    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def run(self, folder: Path, text: str, **changes: Any) -> process.Ended:
        settings: dict[str, Any] = {
            "cwd": folder,
            "environment": {**os.environ, process.MARK: str(folder), "PYTHONUNBUFFERED": "1"},
            "output": self.lines.append,
            "tick": lambda: None,
            "should_stop": lambda: False,
            "seconds": None,
            "grace_seconds": 5.0,
        }
        return process.run([sys.executable, "-c", textwrap.dedent(text)], **{**settings, **changes})


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(condition: Any, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_every_line_arrives_also_the_last_and_what_goes_to_standard_error(tmp_path: Path) -> None:
    told = Told()
    ended = told.run(tmp_path, "import sys; print('a'); print('b', file=sys.stderr); print('c\\rd', end=''); exit(3)")
    assert told.lines == [b"a", b"b", b"c", b"d"]
    assert (ended.status, ended.cause) == (3, "itself")


def test_a_line_without_an_end_is_cut_and_a_flood_of_output_is_read(tmp_path: Path) -> None:
    told = Told()
    told.run(tmp_path, "print('x' * 3_000_000)")
    assert sum(map(len, told.lines)) == 3_000_000
    assert max(map(len, told.lines)) <= process.MOST_LINE_BYTES


def test_children_that_are_left_behind_end_with_it(tmp_path: Path) -> None:
    told = Told()
    began = time.monotonic()
    ended = told.run(
        tmp_path,
        """
        import subprocess
        print(subprocess.Popen(["sleep", "60"]).pid)
        """,
    )
    assert ended.status == 0
    assert time.monotonic() - began < 5
    assert until(lambda: not is_alive(int(told.lines[0])))


def test_a_program_that_is_told_to_stop_may_end_well(tmp_path: Path) -> None:
    told = Told()
    ended = told.run(
        tmp_path,
        """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (print("saved"), sys.exit(0)))
        print("ready")
        time.sleep(60)
        """,
        should_stop=lambda: told.lines == [b"ready"],
    )
    assert told.lines == [b"ready", b"saved"]
    assert (ended.status, ended.cause) == (0, "stopped")


def test_one_that_does_not_listen_is_killed_after_the_grace_time_with_its_children(tmp_path: Path) -> None:
    told = Told()
    ended = told.run(
        tmp_path,
        """
        import signal, subprocess, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(subprocess.Popen(["sleep", "60"]).pid)
        time.sleep(60)
        """,
        should_stop=lambda: bool(told.lines),
        grace_seconds=0.3,
    )
    assert (ended.status, ended.cause) == (-signal.SIGKILL, "stopped")
    assert until(lambda: not is_alive(int(told.lines[0])))


def test_the_time_limit_ends_a_program_that_hangs(tmp_path: Path) -> None:
    ended = Told().run(tmp_path, "import time; time.sleep(60)", seconds=0.2)
    assert (ended.status, ended.cause) == (-signal.SIGTERM, "time")
    assert ended.seconds < 5


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such signal")
def test_a_program_dies_with_the_process_that_watches_it(tmp_path: Path) -> None:
    watcher = os.fork()
    if watcher == 0:
        try:
            text = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
            Told().run(tmp_path, text)
        finally:
            os._exit(0)
    assert until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    os.kill(watcher, signal.SIGKILL)
    os.waitpid(watcher, 0)
    assert until(lambda: not is_alive(int((tmp_path / "pid").read_text())))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the variables of a process")
def test_what_a_killed_worker_left_is_found_by_its_mark_also_outside_its_group(tmp_path: Path) -> None:
    import subprocess

    environment = {**os.environ, process.MARK: str(tmp_path)}
    orphan = subprocess.Popen(["sleep", "60"], env=environment, start_new_session=True)
    other = subprocess.Popen(["sleep", "60"], env={**environment, process.MARK: f"{tmp_path}x"})
    try:
        assert until(lambda: b"sleep" in Path(f"/proc/{orphan.pid}/cmdline").read_bytes())
        assert process.kill_orphans(str(tmp_path)) == 1
        assert orphan.wait(5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_what_takes_the_cursor_back_ends_a_line_and_a_number_is_not_cut(tmp_path: Path) -> None:
    lines: list[bytes] = []
    long = b"a" * (process.MOST_LINE_BYTES - 3)
    assert process._lines(b"1 %\b\b\b2 %\x1b[1G3 %\r\n" + long + b" 3.21\n", lines.append) == b""
    assert lines == [b"1 %", b"2 %", b"3 %", long, b" 3.21"]
