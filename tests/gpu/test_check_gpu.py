"""`make check-gpu` rehearsed without a GPU: what it says, how it goes on after a failed part, what it carries along."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

SCRIPT = Path(__file__).with_name("check_gpu.py")
NEED_A_GPU = ["fp16", "fp32", "elsewhere", "refused", "compiled", "graphs"]
HERE = ["smoke", "auto", "killed", "processes", "stacked"]


@pytest.fixture
def check_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))  # put back what main() changes
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = importlib.util.spec_from_file_location("check_gpu", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield module
    for number, handler in handlers.items():
        signal.signal(number, handler)


def lines_of(said: str) -> dict[str, tuple[str, str]]:
    """State and figure of each part."""
    found = {}
    for line in said.splitlines():
        part, state, _, _, figure = line.split(None, 4)
        found[part] = (state, figure)
    return found


def test_a_child_of_the_program_that_calls_it_is_left_alone(
    check_gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        monkeypatch.setattr(check_gpu, "PARTS", {})
        assert run(check_gpu, monkeypatch, "--device", "cpu") == 0, capsys.readouterr().out
        assert other.poll() is None
    assert other.returncode != -signal.SIGKILL


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


HANGING = """
import importlib.util, subprocess, sys, time
spec = importlib.util.spec_from_file_location("check_gpu", sys.argv[1])
check_gpu = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_gpu)

def hang(check):
    child = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
    time.sleep(600)

check_gpu.PARTS = {"hang": hang}
check_gpu.machine = lambda device: "a machine"
check_gpu.SECONDS, check_gpu.PATIENCE = 0.2, float(sys.argv[2])
sys.argv = ["check_gpu.py"]
sys.exit(check_gpu.main())
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system lists no processes in /proc")
@pytest.mark.parametrize("how", ["time", "SIGTERM", "SIGINT"])
def test_it_ends_in_its_time_or_when_told_to_and_leaves_no_process_and_no_folder(how: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HANGING, str(SCRIPT), "8" if how == "time" else "300"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as done:
        assert done.stdout is not None
        assert done.stdout.readline().startswith("machine    ok")
        grandchild = Path("/proc", done.stdout.readline().strip())
        assert grandchild.exists()
        if how != "time":
            done.send_signal(getattr(signal, how))
        said, _ = done.communicate(timeout=120)
    assert done.returncode not in (0, None)
    assert ("hang       FAILED" in said) == (how == "time")
    for _ in range(100):
        if not grandchild.exists():
            break
        time.sleep(0.1)
    assert not grandchild.exists() and not list(tmp_path.iterdir())


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
