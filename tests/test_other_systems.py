"""The table half on a system without what only Linux or a Unix has, imitated: their modules, functions and signals are
taken away. On Windows itself nothing was run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# What Windows lacks of the standard library; folders cannot be opened there, and a console may not speak UTF-8.
IMITATION = """
import builtins, os, signal, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "readline", "curses"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "readline", "curses"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
for name in ("fork", "getloadavg", "sched_getaffinity", "sched_setaffinity", "killpg", "setsid", "geteuid", "getuid",
             "mkfifo", "fchmod", "chown", "statvfs", "getpgid", "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGUSR1", "SIGUSR2", "SIGKILL", "SIGHUP", "SIGVTALRM", "SIGALRM", "SIGPIPE", "SIGSTOP", "SIGCONT"):
    delattr(signal, name)
opened = os.open
def open_no_folder(path, flags, *rest, **named):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return opened(path, flags, *rest, **named)
os.open = open_no_folder
"""


def on_windows(program: str, folder: Path, encoding: str = "cp1252") -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, "-c", IMITATION + program], cwd=folder, env=environment, capture_output=True, timeout=120
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    lines = [f"{n},{1.6 + 40 * n**-0.3:.4f},{seed}" for seed in (0, 1) for n in (1e5, 4e5, 1e6, 4e6, 1e7, 4e7)]
    path = tmp_path / "läufe.csv"
    path.write_text("params,loss,seed\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_table_is_checked_fitted_asked_and_shown_without_what_only_unix_has(runs: Path, tmp_path: Path) -> None:
    program = """
from lawful.cli import app
import sys
for words in (["check", "läufe.csv"], ["fit", "läufe.csv", "--law", "power_floor", "--plot", "law.png"],
              ["predict", "läufe.csv", "--law", "power_floor", "--params", "1e8"],
              ["report", "läufe.csv", "--law", "power_floor", "--out", "page.html"]):
    try:
        app(words, standalone_mode=False)
    except SystemExit as ended:
        assert not ended.code, (words, ended.code)
"""
    ended = on_windows(program, tmp_path)
    assert ended.returncode == 0, ended.stderr.decode(errors="replace")
    assert "alpha" in ended.stdout.decode("cp1252", errors="replace")
    assert (tmp_path / "page.html").stat().st_size > 50_000 and (tmp_path / "law.png").stat().st_size > 5_000


def test_what_reads_and_shows_can_be_imported(tmp_path: Path) -> None:
    ended = on_windows("import lawful.cli.watch, lawful.report.page, lawful.storage.lease, lawful.conduct", tmp_path)
    assert ended.returncode == 0, ended.stderr.decode(errors="replace")
