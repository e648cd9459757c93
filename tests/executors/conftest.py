"""What the tests of clusters share: a study of seconds, what this machine alone makes of it, and patience."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands import command, plan, script
from lawful.command import Command, LogPattern
from lawful.conduct import train_study
from lawful.executors.local import Local
from lawful.study import grid
from settled import settled

SETTINGS: dict[str, Any] = {"widths": (8, 12, 16), "steps": (300, 2700)}  # long enough that a fault hits it


@pytest.fixture(scope="session")
def plan_one(own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A new folder with the study planned."""
    from lawful.planning.plan import make_plan
    from lawful.study import import_file

    file = Path(__file__).parents[1] / "toy_study.py"

    def plan() -> Path:
        folder = tmp_path_factory.mktemp("study") / "toy"
        make_plan(import_file(file).study(**SETTINGS), device_name="cpu", study_file=file, is_timed=False).write(folder)
        return folder

    return plan


@pytest.fixture(scope="session")
def assert_as_undisturbed(plan_one: Callable[[], Path]) -> Callable[[Path], None]:
    """Whether a folder holds, to the bit, what the local executor finds."""
    folder = plan_one()
    train_study(folder, Local(workers=2, device="cpu"))
    expected = settled(folder)
    assert len(expected) == 6 and all(row["status"] == "finished" and row["weights_sha256"] for row in expected)

    def check(other: Path) -> None:
        assert settled(other) == expected

    return check


COMMAND = """
import sys, time
for step in range(1, 31):
    print(f"step {step} val loss {1.5 + 30 / int(sys.argv[1]) / step}", flush=True)
    time.sleep(0.1)
"""


@pytest.fixture
def plan_commands(tmp_path: Path) -> Callable[[], Path]:
    """A new folder with a study of six commands, of three seconds each."""

    def rung(width: int) -> Command:
        return command("{width}", params="{width}^2", reads=LogPattern("step {step} val loss {loss}"))

    def made() -> Path:
        here = Path(tempfile.mkdtemp(dir=tmp_path))
        script(here, COMMAND)
        widths = [8, 12, 16, 24, 32, 48]
        plan(here, grid(rung, width=widths), held_out={"width": 48}).write(here / "out")
        return here / "out"

    return made


@pytest.fixture
def assert_commands_as_undisturbed(plan_commands: Callable[[], Path]) -> Callable[[Path], None]:
    """Whether a folder has the table that the local executor makes: none lost, none twice."""

    def check(other: Path) -> None:
        folder = plan_commands()
        train_study(folder, Local(workers=6))
        assert settled(other) == settled(folder) and len(settled(other)) == 6

    return check


@pytest.fixture(scope="session")
def wait_for() -> Callable[[Callable[[], object], str], None]:
    def wait(condition: Callable[[], object], what: str, seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
            time.sleep(0.05)

    return wait


@pytest.fixture(scope="session")
def trains() -> Callable[[Path], bool]:
    """Whether some run of a folder has a line in its record and no result yet."""

    def look(folder: Path) -> bool:
        records = [path for path in folder.glob("runs/*/metrics.jsonl") if path.stat().st_size]
        return any(not (path.parent / "result.json").exists() for path in records)

    return look
