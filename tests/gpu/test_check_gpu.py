"""`make check-gpu` rehearsed without a GPU: what it says, how it goes on after a failed part, what it carries along."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

SCRIPT = Path(__file__).with_name("check_gpu.py")
NEED_A_GPU = ["fp16", "fp32", "elsewhere", "refused", "compiled", "graphs"]
HERE = ["smoke", "auto", "killed", "processes", "stacked"]


@pytest.fixture
def check_gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))  # put back what main() changes
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = importlib.util.spec_from_file_location("check_gpu", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines_of(said: str) -> dict[str, tuple[str, str]]:
    """State and figure of each part."""
    found = {}
    for line in said.splitlines():
        part, state, _, _, figure = line.split(None, 4)
        found[part] = (state, figure)
    return found


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["check_gpu.py", *words])
    return int(module.main())


def test_what_needs_a_gpu_is_said_not_to_have_been_run(
    check_gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(check_gpu.PARTS) == [*HERE, *NEED_A_GPU]
    skipped = [word for part in HERE[1:] for word in ("--skip", part)]
    assert run(check_gpu, monkeypatch, "--device", "cpu", "--skip", "smoke", *skipped) == 0
    found = lines_of(capsys.readouterr().out)
    assert found.pop("machine")[1].startswith("no GPU; lawful ")
    assert found.pop("all") == ("ok", "0 failed")
    expected = dict.fromkeys(HERE, ("skipped", "as asked"))
    assert found == expected | dict.fromkeys(NEED_A_GPU, ("skipped", "not run: no GPU"))


def test_what_the_parts_train_can_be_planned(check_gpu: ModuleType, tmp_path: Path) -> None:
    """All of it: a part that needs a GPU is run nowhere else before there is one."""
    check, planned = check_gpu.Check("cpu", tmp_path), []

    class Planned(Exception): ...

    def plan_only(name: str, **settings: Any) -> None:
        planned.append(check_gpu.ladder(**settings))
        raise Planned

    check.planned, check.needs_gpu = plan_only, lambda: None
    for name in ("killed", "processes", "stacked", "fp16", "fp32", "elsewhere", "refused"):
        with pytest.raises(Planned):
            check_gpu.PARTS[name](check)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Planned):
        patch.setattr("lawful.train.device.can_compile", lambda where: True)
        check.compiled()
    assert len(planned) == 8


def test_a_failed_part_shows_its_traceback_and_the_next_one_is_run(
    check_gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(check: object) -> str:
        check_gpu.equal("a7", "b3", "weights")
        return "never"

    monkeypatch.setattr(check_gpu, "PARTS", {"first": wrong, "second": lambda check: "the figure"})
    assert run(check_gpu, monkeypatch, "--device", "cpu") == 1
    out = capsys.readouterr().out
    assert "first      FAILED" in out and "AssertionError: weights: expected b3, got a7" in out
    assert "Traceback (most recent call last)" in out and "in wrong" in out
    assert "second     ok" in out and out.splitlines()[-1].startswith("all        FAILED")
    assert run(check_gpu, monkeypatch, "--device", "cpu", "--only", "second") == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_fails_in_one_line(
    check_gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(check_gpu, monkeypatch) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("machine    FAILED") and "expected a CUDA GPU, but torch sees none" in line


def test_wheels_are_unpacked_where_their_modules_are_missing_and_workers_find_them(
    check_gpu: ModuleType, tmp_path: Path
) -> None:
    for name in ("carried_along", "numpy"):
        with zipfile.ZipFile(tmp_path / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "VALUE = 7\n")
            wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Name: {name}\nVersion: 1.0\n")
    check_gpu.use_wheels(tmp_path, tmp_path / "unpacked")
    code = "import carried_along, numpy; print(carried_along.VALUE, hasattr(numpy, 'VALUE'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["7", "False"]


@pytest.mark.slow
def test_the_rehearsal_passes_every_part_that_needs_no_gpu() -> None:
    command = [sys.executable, str(SCRIPT), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    found = lines_of(done.stdout)
    assert [found[part][0] for part in HERE] == ["ok"] * len(HERE)
    assert [found[part] for part in NEED_A_GPU] == [("skipped", "not run: no GPU")] * len(NEED_A_GPU)
    assert "12 runs on device=cpu" in found["smoke"][1] and "6 of 6 weights equal" in found["killed"][1]
