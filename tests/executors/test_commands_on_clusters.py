"""Commands under Ray and Slurm: the table of the local executor, and what each run needs reaches the scheduler.

The schedulers here are stand-ins that run tasks at once and note what was asked of them; test_ray.py and test_slurm.py
have the real ones.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from commands import command, plan, script
from lawful.command import Command
from lawful.conduct import train_study
from lawful.errors import DeclarationError, LawfulError
from lawful.executors import ray as ray_executor
from lawful.executors.local import Local
from lawful.executors.ray import Ray
from lawful.executors.slurm import Slurm
from lawful.study import grid
from settled import settled

RESERVED = ("num_cpus", "num_gpus", "memory", "resources")
TRAIN = """
import os, sys
print("threads", os.environ["OMP_NUM_THREADS"])
print(f"val loss {1.5 + 30 / int(sys.argv[1])}")
"""


def rung(width: int) -> Command:
    large: dict[str, Any] = {"gpus": 1, "gpu_share": 0.5, "memory_gb": 2.5, "resources": {"licence": 2}}
    return command("{width}", params="{width}^2", cores=2, minutes=5, **(large if width > 30 else {}))


def planned(folder: Path) -> Path:
    folder.mkdir()
    script(folder, TRAIN)
    plan(folder, grid(rung, width=[16, 24, 32])).write(folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The table of the local executor, on a machine with a GPU."""
    folder = planned(tmp_path_factory.mktemp("study") / "here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lawful.devices.visible_gpus", lambda: ["0"])
        train_study(folder, Local(workers=1))
    found = settled(folder)
    assert [row["status"] for row in found] == ["finished"] * 3
    return found


class FakeRemote:
    def __init__(self, ray: FakeRay, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self._ray, self._function, self._options = ray, function, options

    def options(self, **own: Any) -> SimpleNamespace:
        """As Ray's, which has no options of its own any more."""
        return SimpleNamespace(remote=FakeRemote(self._ray, self._function, own).remote)

    def remote(self, *arguments: Any) -> object:
        task = object()
        self._ray.asked.append(self._options)
        self._ray.results[task] = self._function(*arguments)
        return task


class FakeRay:
    exceptions = SimpleNamespace(RayError=RuntimeError)

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.results: dict[object, Any] = {}

    def is_initialized(self) -> bool:
        return True

    def remote(self, function: Callable[..., Any]) -> FakeRemote:
        return FakeRemote(self, function, {})

    def wait(self, tasks: Sequence[object], **_: Any) -> tuple[Sequence[object], Sequence[object]]:
        return tasks, []

    def get(self, task: object) -> Any:
        return self.results[task]


@pytest.mark.parametrize(("address", "advice"), [("local", "`lawful resume` again"), ("auto", "`ray start --head`")])
def test_a_node_of_ray_that_does_not_start_in_time_is_no_bug_of_ours(
    monkeypatch: pytest.MonkeyPatch, address: str, advice: str
) -> None:
    def init(**_: object) -> None:
        raise Exception("The current node timed out during startup.")  # what Ray 2 raises

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init))
    with pytest.raises(LawfulError, match=rf"timed out during startup.*{advice}"):
        ray_executor._connected(Ray(address=address))


def test_commands_under_ray_give_the_same_table_and_reserve_what_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: list[dict[str, Any]]
) -> None:
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    folder = planned(tmp_path / "there")
    try:
        train_study(folder, Ray())
    finally:
        while ray_executor._kept:
            ray_executor._kept.popitem()[1].leave()
    assert settled(folder) == expected
    own = [{name: value for name, value in one.items() if name in RESERVED} for one in ray.asked]
    large = {"num_cpus": 2, "num_gpus": 0.5, "memory": 2_500_000_000, "resources": {"licence": 2}}
    assert own == [*[{"num_cpus": 2, "num_gpus": None}] * 2, large]


class FakeSubmitit:
    """As submitit with cluster="debug": a job runs when its result is asked for."""

    core = SimpleNamespace(utils=SimpleNamespace(FailedJobError=RuntimeError))

    def __init__(self) -> None:
        self.arrays: list[tuple[dict[str, Any], int]] = []

    def AutoExecutor(self, **_: Any) -> FakeSubmitit:
        return self

    def update_parameters(self, **parameters: Any) -> None:
        self._parameters, self._jobs = parameters, 0

    @contextmanager
    def batch(self) -> Iterator[None]:
        yield
        self.arrays.append((self._parameters, self._jobs))

    def submit(self, task: Callable[[], None]) -> SimpleNamespace:
        self._jobs += 1
        return SimpleNamespace(result=task)


def test_commands_under_slurm_give_the_same_table_in_an_array_for_each_of_their_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: list[dict[str, Any]]
) -> None:
    submitit = FakeSubmitit()
    monkeypatch.setitem(sys.modules, "submitit", submitit)
    folder = planned(tmp_path / "there")
    train_study(folder, Slurm(cluster="debug", minutes=5))
    assert settled(folder) == expected
    (small, others), (large, jobs) = submitit.arrays
    assert (jobs, others) == (1, 2)
    assert (large["cpus_per_task"], large["gpus_per_node"], large["mem_gb"]) == (2, 1, 2.5)
    assert large["slurm_additional_parameters"] == {"requeue": True, "gres": "licence:2"}
    assert small["cpus_per_task"] == 2 and not {"gpus_per_node", "mem_gb"} & small.keys()
    assert small["slurm_additional_parameters"] == {"requeue": True}
    assert (small["nodes"], small["tasks_per_node"]) == (1, 1)


def test_nodes_reach_slurm_and_are_part_of_no_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submitit = FakeSubmitit()
    monkeypatch.setitem(sys.modules, "submitit", submitit)
    monkeypatch.setattr("lawful.executors.slurm.Task.__call__", lambda task: None)
    script(tmp_path, TRAIN)
    planned = plan(tmp_path, grid(lambda width: command("{width}", params=width, nodes=4), width=[16, 24, 32]))
    planned.write(tmp_path / "out")
    Slurm(cluster="debug").submit(tmp_path / "out", [[run] for run in planned.runs]).is_over()
    ((asked, jobs),) = submitit.arrays
    assert (asked["nodes"], asked["tasks_per_node"], jobs) == (4, 1, 3)
    alone = plan(tmp_path, grid(lambda width: command("{width}", params=width), width=[16, 24, 32]))
    assert alone.runs.keys() == planned.runs.keys()


def test_a_command_that_would_begin_anew_in_each_task_of_slurm_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", FakeSubmitit())
    with pytest.raises(
        DeclarationError, match="--time: expected at least the 5 minutes that a command may take, got 4"
    ):
        train_study(planned(tmp_path / "there"), Slurm(cluster="debug", minutes=4))
