"""What the tests of clusters share: a study of seconds, what this machine alone makes of it, and patience."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lawful.conduct import train_study
from lawful.executors.local import Local
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
