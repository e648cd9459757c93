"""Every way of naming GPUs works or is refused in words, and no worker computes elsewhere than planned in silence."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.cuda

from lawful import cli, devices
from lawful.cli.training_options import TrainingOptions
from lawful.conduct import train_study
from lawful.errors import DeclarationError, DeviceError
from lawful.executors import local, ray
from lawful.executors.local import Local
from lawful.observe import observations
from lawful.planning.plan import make_plan
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.study import import_file
from lawful.train import device, parallel, worker
from lawful.train.machine import examine
from records import edit_plan

TOY = Path(__file__).parent / "toy_study.py"
Folder = Callable[..., Path]
Machine = Callable[..., None]
ONE, TWO = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-2a1f"  # the second as short as one may write it
PARTS = "MIG-41b35ebd-5b5c-5b5c-9b5c-0d4f6b2b2a01,MIG-41b35ebd-5b5c-5b5c-9b5c-0d4f6b2b2a02"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose torch sees so many GPUs, with CUDA_VISIBLE_DEVICES as it is given; None: unset."""

    def make(gpus: int, shown: str | None = None, *, is_built: bool = True, has_mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: is_built)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
        if shown is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)

    return make


@pytest.mark.parametrize(
    ("gpus", "shown", "names"),
    [
        (1, None, ["0"]),
        (3, None, ["0", "1", "2"]),
        (0, None, []),
        (0, "", []),
        (0, "-1", []),
        (0, "NoDevFiles", []),
        (1, "5", ["5"]),
        (2, "5, 2", ["5", "2"]),
        (1, "0,-1,2", ["0"]),  # CUDA's own way of ending the list
        (1, "0,", ["0"]),
        (2, f"{ONE},{TWO}", [ONE, TWO]),
        (1, PARTS.split(",")[0], PARTS.split(",")[:1]),
        (1, PARTS, PARTS.split(",")),  # a process sees one part; two processes may have one each
    ],
)
def test_gpus_are_those_that_the_environment_names(
    machine: Machine, gpus: int, shown: str | None, names: list[str]
) -> None:
    machine(gpus, shown)
    assert devices.gpus() == names
    assert devices.pick("auto") == ("cuda" if names else "cpu")


@pytest.mark.parametrize(
    ("gpus", "shown"),
    [
        (0, "7"),
        (1, "0,7"),
        (0, "0,0"),
        (0, f"{ONE},{ONE}"),
        (1, f"{PARTS},{PARTS}"),
        (0, "nonsense"),
        (0, "GPU-nosuch"),
    ],
)
@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_gpus_that_torch_does_not_see_are_refused_whatever_is_asked_for(
    machine: Machine, gpus: int, shown: str, name: str
) -> None:
    machine(gpus, shown)
    with pytest.raises(DeviceError, match=f"got '{shown}'.* torch sees {gpus}.*unset it") as refused:
        devices.pick(name)
    assert len(str(refused.value)) < 600
    assert devices.pick("cpu") == "cpu"


def test_without_a_cuda_build_of_torch_the_environment_names_nothing(machine: Machine) -> None:
    machine(0, "0", is_built=False)
    assert devices.pick("auto") == "cpu"
    with pytest.raises(DeviceError, match="a build without CUDA"):
        devices.pick("cuda:0")


@pytest.mark.parametrize(
    ("name", "gpus", "shown", "said"),
    [
        ("cuda", 0, None, "expected a CUDA GPU, but torch sees none; use --device cpu"),
        ("cuda", 0, "", "CUDA_VISIBLE_DEVICES is '', which hides them"),
        ("cuda:0", 0, None, "expected a CUDA GPU, but torch sees none"),
        ("cuda:7", 1, None, "a GPU that torch sees, cuda:0, got cuda:7"),
        ("cuda:7", 4, "0,1,2,3", "cuda:0 to cuda:3, got cuda:7"),
        ("cuda:1", 1, PARTS, "a GPU that torch sees, cuda:0, got cuda:1"),
        ("cuda:", 1, None, "expected auto, cpu, cuda or mps, got 'cuda:'"),
        ("cuda:-1", 1, None, "expected auto, cpu, cuda or mps"),
        ("cuda:x", 1, None, "expected auto, cpu, cuda or mps"),
        ("cuda:²", 1, None, "expected auto, cpu, cuda or mps"),
        ("cuda:99999999999999999999", 1, None, "expected auto, cpu, cuda or mps"),
        ("CUDA", 1, None, "expected auto, cpu, cuda or mps"),
        ("cuda0", 1, None, "expected auto, cpu, cuda or mps"),
        ("gpu", 1, None, "expected auto, cpu, cuda or mps"),
        ("cpu:0", 0, None, "expected auto, cpu, cuda or mps"),
        ("", 0, None, "expected auto, cpu, cuda or mps, got ''"),
        ("mps", 0, None, "expected Apple's MPS, but torch sees none; use --device cpu"),
        ("mps:0", 0, None, "expected auto, cpu, cuda or mps"),
        ("x" * 5000, 0, None, "expected auto, cpu, cuda or mps"),
    ],
)
def test_a_device_that_is_not_here_is_refused_in_words(
    machine: Machine, name: str, gpus: int, shown: str | None, said: str
) -> None:
    machine(gpus, shown)
    with pytest.raises(DeviceError) as refused:
        devices.pick(name)
    assert said in str(refused.value) and len(str(refused.value)) < 600


@pytest.mark.parametrize("planned", [None, 7, ["cuda"], "tpu", "", "CUDA"])
def test_a_planned_device_that_means_nothing_is_refused_in_words(machine: Machine, planned: Any) -> None:
    machine(1)
    with pytest.raises(DeviceError, match="expected auto, cpu, cuda or mps"):
        devices.of_worker("auto", planned)


def test_a_device_that_is_here_is_taken(machine: Machine) -> None:
    machine(2, "5,2")
    assert [devices.pick(name) for name in ("auto", "cuda", "cuda:0", "cuda:01", "cpu")] == [
        "cuda",
        "cuda",
        "cuda:0",
        "cuda:1",
        "cpu",
    ]
    machine(0, has_mps=True)
    assert devices.pick("auto") == devices.pick("mps") == "mps"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--device", "cuda:0"), "expected a CUDA GPU, but torch sees none"),
        (("--device", "cuda:7"), "expected a CUDA GPU, but torch sees none"),
        (("--device", "mps"), "expected Apple's MPS"),
        (("--device", "cuda", "--workers", "3"), "expected a CUDA GPU"),
        (("--gpus-per-run", "1"), "--gpus-per-run: only --executor ray and slurm have it"),
    ],
)
def test_the_command_line_says_it_in_one_line(
    tmp_path: Path,
    words: Sequence[str],
    said: str,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    machine(0)
    monkeypatch.setattr(sys, "argv", ["lawful", "run", str(TOY), "--out", str(tmp_path / "study"), *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    (line,) = filter(str.strip, capsys.readouterr().err.splitlines())  # beside the bar's empty one
    assert line.startswith("lawful: ") and said in line
    assert not (tmp_path / "study").exists()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, str]]:
    """What each worker was given: CUDA_VISIBLE_DEVICES and the device. None is started: there is no GPU here."""
    given: list[tuple[str | None, str]] = []

    class Worker:
        is_stopping = is_disk_full = False

        def __init__(self, folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
            words = list(command)
            given.append((environment.get("CUDA_VISIBLE_DEVICES"), words[words.index("--device") + 1]))

        def train(self, group: Sequence[str]) -> None: ...

        def leave(self) -> None: ...

    monkeypatch.setattr(local, "Worker", Worker)
    return given


def planned_on(folder: Path, device: str, **facts: Any) -> list[list[str]]:
    """The folder as if it had been planned there; six groups of runs."""
    study = edit_plan(folder, device=device, **facts)
    return [[rung.run] for rung in study.runs] * 2


@pytest.mark.parametrize(
    ("gpus", "shown", "options", "expected"),
    [
        (1, None, {}, [("0", "auto")] * 3),
        (1, None, {"device": "cuda"}, [("0", "cuda")] * 3),
        (1, None, {"device": "cuda", "workers": 5}, [("0", "cuda")] * 5),  # more workers than GPUs
        (2, "5,2", {}, [("5", "auto"), ("2", "auto"), ("5", "auto")]),
        (2, f"{ONE},{TWO}", {"workers": 2}, [(ONE, "auto"), (TWO, "auto")]),
        (1, PARTS, {"workers": 2}, [(name, "auto") for name in PARTS.split(",")]),
        (2, "5,2", {"device": "cuda:1", "workers": 2}, [("2", "cuda")] * 2),
        (2, None, {"device": "cuda:1", "workers": 1}, [("1", "cuda")]),
        (2, None, {"processes_per_run": 2}, [(None, "auto")]),  # one run, on all of them
        (0, None, {"device": "cpu", "workers": 2}, [(None, "cpu")] * 2),
    ],
)
def test_each_worker_is_given_one_gpu_by_its_name(
    toy_folder: Folder,
    started: list[tuple[str | None, str]],
    machine: Machine,
    gpus: int,
    shown: str | None,
    options: dict[str, Any],
    expected: list[tuple[str | None, str]],
) -> None:
    folder = toy_folder(widths=(8, 12, 16), steps=(5,))
    runs = planned_on(folder, "cuda", workers=3)
    machine(gpus, shown)
    Local(**options).submit(folder, runs)
    assert started == expected


def test_workers_that_were_planned_for_several_gpus_are_fewer_on_fewer(
    toy_folder: Folder, started: list[tuple[str | None, str]], machine: Machine
) -> None:
    folder = toy_folder(widths=(8, 12, 16), steps=(5,))
    runs = planned_on(folder, "cuda", workers=6, gpus=2)
    for gpus, options, count in ((2, {}, 6), (1, {}, 3), (2, {"device": "cuda:1"}, 3), (1, {"workers": 6}, 6)):
        machine(gpus)
        started.clear()
        Local(**options).submit(folder, runs)
        assert len(started) == count


def test_more_processes_of_a_run_than_gpus_are_refused(
    toy_folder: Folder, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = toy_folder(widths=(8, 12), steps=(5,))
    runs = planned_on(folder, "cuda")
    machine(1)
    with pytest.raises(DeviceError, match="--processes-per-run: .* got 2 and 1"):
        Local(processes_per_run=2).submit(folder, runs)
    monkeypatch.setattr(parallel, "processes", lambda: 2)  # on a cluster the processes themselves see it
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(DeviceError, match="got 2 processes, which see 1 GPUs"):
        parallel.check_gpus()
    machine(2)
    parallel.check_gpus()


@pytest.mark.parametrize("device", ["cuda", "mps"])
@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU here")
def test_a_worker_without_the_planned_device_refuses_and_trains_nothing(toy_folder: Folder, device: str) -> None:
    """As Ray and Slurm start it, and as one does by hand: --device auto, on a machine without that device."""
    folder = toy_folder(widths=(8, 12), steps=(5,))
    store = Store(folder)
    run_id = planned_on(folder, device)[0][0]
    assert worker.main([str(folder), run_id]) == 1
    result = read_json(store.result(run_id))
    assert result["status"] == "failed"
    assert result["reason"].startswith(f"device: the study was planned on {device}, and this process has no such")
    assert "lawful resume FOLDER --device cpu" in result["reason"] and "\n" not in result["reason"]
    assert not store.weights(run_id).exists()
    assert worker.main([str(folder), run_id, "--device", "cpu"]) == 0, "the user named it; a failed run is tried again"
    assert "device=cpu" in read_json(store.result(run_id))["numerics"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_here_a_study_that_was_planned_on_a_gpu_starts_no_worker_unless_the_cpu_is_named(toy_folder: Folder) -> None:
    folder = toy_folder(widths=(8, 12), steps=(5,))
    planned_on(folder, "cuda", precision="bf16")
    with pytest.raises(DeviceError, match="was planned on cuda.*--device cpu"):
        train_study(folder, Local())
    assert not (folder / "workers.log").exists() and observations(folder) == []


def test_a_run_that_goes_on_elsewhere_than_planned_counts_a_break(
    toy_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU is a name here, in what the checkpoint says of the numerics."""
    folder = toy_folder(widths=(8, 12), steps=(40,))
    store = Store(folder)
    run_id = planned_on(folder, "cuda")[0][0]
    options = worker.parse([str(folder), run_id, "--device", "cpu", "--checkpoint-seconds", "0"])
    numerics = device.numerics
    with monkeypatch.context() as patch:
        patch.setattr(device, "numerics", lambda *given: numerics(*given).replace("device=cpu:", "device=cuda:"))
        stop = StopAfter(25)
        assert worker.train_runs(store, [run_id], options, stop) == ["interrupted"]  # type: ignore[arg-type]
    assert worker.train_runs(store, [run_id], options, StopAfter(1000)) == ["finished"]  # type: ignore[arg-type]
    result = read_json(store.result(run_id))
    assert result["numerics_breaks"] == 1 and "device=cpu" in result["numerics"]


class StopAfter:
    """An event that is set once it has been asked so often."""

    def __init__(self, asked: int) -> None:
        self.left = asked

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_plan_for_the_gpus_of_a_cluster_needs_none_here(tmp_path: Path) -> None:
    declared = import_file(TOY).study(widths=(8, 12), steps=(5,))
    made = make_plan(declared, device_name="cuda", study_file=TOY, is_elsewhere=True).study
    assert (made.device, made.gpus, made.workers, made.precision) == ("cuda", 0, 1, "bf16")
    for other in ("mps", "cuda:7", "tpu"):
        with pytest.raises(DeviceError):
            make_plan(declared, device_name=other, study_file=TOY, is_elsewhere=True)
    with pytest.raises(DeviceError):
        make_plan(declared, device_name="cuda", study_file=TOY)


def test_who_reserves_gpus_on_a_cluster_names_them() -> None:
    assert TrainingOptions(executor="slurm", device="auto", gpus_per_run=1.0).make().device == "cuda"
    assert TrainingOptions(executor="slurm", device="auto", gpus_per_run=0.0).make().device == "auto"
    assert TrainingOptions(executor="ray", device="cpu", gpus_per_run=1.0).make().device == "cpu"
    with pytest.raises(DeclarationError, match="--gpus-per-run: only --executor ray and slurm"):
        TrainingOptions(executor="local", device="auto", gpus_per_run=1.0).make()


def test_a_driver_that_is_too_old_for_torch_hides_its_gpus_from_nobody_but_torch(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """device_count asks the driver's list, and every other call fails."""
    machine(1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert devices.count() == 0 and devices.pick("auto") == "cpu"
    assert any("that this driver is new enough for" in problem for problem in examine(tmp_path).problems)


@pytest.mark.parametrize("shown", ["-", "+", "0,-", "1²"])
def test_a_name_over_which_torch_itself_stumbles_is_refused_in_words(
    shown: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def device_count() -> int:
        raise ValueError(f"invalid literal for int() with base 10: {shown!r}")

    machine(2, shown)
    monkeypatch.setattr(torch.cuda, "device_count", device_count)
    with pytest.raises(DeviceError, match="CUDA_VISIBLE_DEVICES: expected GPUs of this machine"):
        devices.gpus()


def test_a_process_of_ray_that_is_given_another_gpu_starts_another_worker(
    toy_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray names a task's GPUs in the environment of a process that it uses again."""
    seen: list[str | None] = []

    class Worker:
        is_stopping = is_disk_full = False

        def __init__(self, *given: Any) -> None:
            self.gpu = os.environ.get("CUDA_VISIBLE_DEVICES")  # a child has what its parent has

        def train(self, group: Sequence[str]) -> None:
            seen.append(self.gpu)

        def leave(self) -> None: ...

    monkeypatch.setattr(ray, "Worker", Worker)
    monkeypatch.setattr(ray, "_kept", {})
    for gpu in ("0", "0", "1", "0"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpu)
        ray._train("folder", ["command"], {}, ["a"])
    assert seen == ["0", "0", "1", "0"] and len(ray._kept) == 1
