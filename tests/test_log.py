"""lawful.log inside a script: it records where lawful runs it, does nothing elsewhere, and imports nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lawful import log


def test_it_does_nothing_when_the_script_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("LAWFUL_LOG_FOLDER", "LAWFUL_COORDINATES"):
        monkeypatch.delenv(name, raising=False)
    log.metrics(step=1, loss=3.0)
    assert log.coordinates() == {}
    assert not list(tmp_path.iterdir())


def test_numbers_of_arrays_and_those_that_are_not_finite_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numpy = pytest.importorskip("numpy")
    monkeypatch.setenv("LAWFUL_LOG_FOLDER", str(tmp_path))
    log.metrics(step=1, loss=numpy.float32(1.5))
    log.metrics(step=2, loss=float("nan"))
    first, second = (tmp_path / "lawful.jsonl").read_text().splitlines()
    assert json.loads(first) == {"step": 1, "loss": 1.5}
    assert json.loads(second)["loss"] != json.loads(second)["loss"]


def test_it_imports_nothing_but_the_standard_library() -> None:
    code = "import sys, lawful; lawful.log.metrics(loss=1); print([n for n in sys.modules if n.startswith('lawful.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['lawful.log']"
