"""The local executor: a worker that dies takes nothing with it, and no run is done twice."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import command, plan, script
from lawful.conduct import groups, train_study
from lawful.errors import DeviceError
from lawful.executors import local
from lawful.executors.local import Local, _cores
from lawful.observe import observations
from lawful.planning.plan import make_plan
from lawful.planning.probes import Probes
from lawful.storage.layout import Store
from lawful.storage.lease import claimed
from lawful.study import grid, import_file
from lawful.train import worker

TOY = Path(__file__).parents[1] / "toy_study.py"
Folder = Callable[..., Path]

DEADLY = """
import os

@dataclass(frozen=True, kw_only=True)
class Deadly(Backprop):
    def gradients(self, model, task, batch, *, scale):
        os.kill(os.getpid(), 9)
"""


def test_a_run_that_kills_its_worker_fails_with_the_reason_and_the_others_finish(tmp_path: Path) -> None:
    path = tmp_path / "deadly.py"
    path.write_text(TOY.read_text().replace("rule=Backprop()", "rule=Deadly() if width == 8 else Backprop()") + DEADLY)
    folder = tmp_path / "study"
    declared = import_file(path).study(widths=(8, 12, 16), steps=(20,))  # the last is held out, and does not begin
    make_plan(declared, device_name="cpu", study_file=path, is_timed=False).write(folder)
    train_study(folder, Local(workers=1, device="cpu"))
    killed, whole = observations(folder)
    assert killed["status"] == "failed" and "killed by signal 9" in killed["reason"]
    assert whole["status"] == "finished"


def test_a_run_that_another_process_holds_is_waited_for_and_done_where_that_one_leaves_it(toy_folder: Folder) -> None:
    folder = toy_folder(widths=(8, 12, 16), steps=(20,))
    store = Store(folder)
    held, free, held_out = (rung.run for rung in store.read_study().runs)
    looks = 0
    with ExitStack() as other:
        assert other.enter_context(claimed(store.claim(held)))

        def let_go_after_a_while() -> None:
            nonlocal looks
            looks += store.result(free).exists()
            if looks <= 4:
                assert not store.result(held_out).exists(), "forecasts wait for every anchor, wherever it trains"
            if looks == 4:
                other.close()

        train_study(folder, Local(workers=1, device="cpu"), watch=let_go_after_a_while)
    assert looks >= 4 and all(store.result(run_id).exists() for run_id in (held, free, held_out))


def test_the_costliest_trunk_goes_first_and_the_longest_of_a_trunk_before_those_that_branch_from_it(
    toy_folder: Folder,
) -> None:
    folder = toy_folder(widths=(8, 16, 24), steps=(20, 40, 80))
    store = Store(folder)
    study = store.read_study()
    label = {rung.run: (rung.at["width"], rung.at["steps"]) for rung in study.runs}
    waiting = groups(store, study)
    anchors, held_out, continued = ([[label[run_id] for run_id in group] for group in part] for part in waiting)
    assert anchors == [[(width, steps) for steps in (80, 40, 20)] for width in (16, 8)]
    assert held_out == [[(24, steps) for steps in (80, 40, 20)]] and continued == []


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no processes")
def test_where_every_core_has_its_worker_each_keeps_to_its_own(toy_folder: Folder) -> None:
    allowed = os.sched_getaffinity(0)
    count = len(allowed)
    pins = [_cores(Local(device="cpu"), number, count) for number in range(count)]
    assert all(words[:2] == ["--planned-threads", "--core"] for words in pins)
    assert sorted(int(words[2]) for words in pins) == sorted(allowed)
    assert "--core" not in _cores(
        Local(device="cpu"), 0, count + 1
    )  # the system shares out what does not come out even
    assert _cores(Local(device="cpu", threads=2), 0, count) == []
    folder = toy_folder(widths=(8, 12), steps=(5,))
    run_id = Store(folder).read_study().runs[0].run
    try:
        assert worker.main([str(folder), run_id, "--device", "cpu", *pins[-1]]) == 0
        assert os.sched_getaffinity(0) == {int(pins[-1][2])}
    finally:
        os.sched_setaffinity(0, allowed)


def test_an_allocator_that_this_system_has_changes_no_bit(toy_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    if not local.allocator():
        pytest.skip("there is no tcmalloc here")
    losses = []
    for found in (local.allocator(), None):
        monkeypatch.setattr(local, "allocator", lambda found=found: found)
        folder = toy_folder(str(found), widths=(8, 24), steps=(30,))
        assert local._surroundings(Local(), "cpu", [], 0).get("LD_PRELOAD") == found
        train_study(folder, Local(workers=1, device="cpu"))
        losses.append([row["loss"] for row in observations(folder)])
    assert losses[0] == losses[1]
    monkeypatch.setattr(local, "allocator", lambda: "libother.so")
    monkeypatch.setenv("LD_PRELOAD", "libmine.so")
    assert "LD_PRELOAD" not in local._surroundings(Local(), "cpu", [], 0), "who says which has it"


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core is never idle while a run trains")
def test_held_out_runs_fewer_than_the_cores_have_the_idle_ones_too_where_that_pays(
    toy_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan settles it: a study that is interrupted comes to the same bits."""
    declared = import_file(TOY).study(widths=(8, 12, 16), steps=(20,))
    seconds = {1: 1.0, 2: 0.6}
    monkeypatch.setattr(Probes, "step_seconds", lambda _, run, at_most=0.0, threads=1: seconds[threads])

    def planned() -> dict[int, int]:
        rows = make_plan(declared, device_name="cpu", study_file=TOY, workers=2).study.runs
        return {row.at["width"]: row.threads for row in rows}

    assert planned() == {8: 1, 12: 1, 16: 2}
    folder = toy_folder(widths=(8, 12, 16), steps=(20,))
    make_plan(declared, device_name="cpu", study_file=TOY, workers=2).write(folder)
    small, _, held_out = Store(folder).read_study().runs
    before = torch.get_num_threads()
    try:
        for row in (small, held_out):
            assert worker.main([str(folder), row.run, "--device", "cpu", *_cores(Local(device="cpu"), 0, 1)]) == 0
    finally:
        torch.set_num_threads(before)
    threads = {row["run"]: row["numerics"].split("threads=")[1][0] for row in observations(folder)}
    assert (threads[small.run], threads[held_out.run]) == ("1", "2")
    seconds[2] = 0.9
    assert planned() == {8: 1, 12: 1, 16: 1}


@pytest.mark.parametrize(
    ("visible", "settings", "slots"),
    [
        ("0,1,2,3", {"gpus": 1}, ["0", "1", "2", "3"]),
        ("GPU-a, GPU-b,GPU-c", {"gpus": 2}, ["GPU-a,GPU-b"]),
        ("MIG-1,MIG-2", {"gpus": 1, "gpu_share": 0.5}, ["MIG-1", "MIG-2", "MIG-1", "MIG-2"]),
        ("0,1,-1,2", {"gpus": 1}, ["0", "1"]),
        ("0,1", {"cores": 1}, [""] * 3),
    ],
)
def test_each_command_that_runs_at_once_has_gpus_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str, settings: dict[str, Any], slots: list[str]
) -> None:
    script(tmp_path, "")
    plan(tmp_path, grid(lambda seed: command("{seed}", **settings), seed=range(9))).write(tmp_path / "out")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(local, "available_cores", lambda: 3)
    study = Store(tmp_path / "out").read_study()
    groups = [[planned.run] for planned in study.runs]
    workers = local.command_workers(Local(), tmp_path / "out", study, groups)
    assert [part.partition("--gpus ")[2] for part in (" ".join(worker._command) for worker in workers)] == slots


def test_commands_that_need_more_gpus_than_there_are_do_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path, "")
    plan(tmp_path, grid(lambda seed: command("{seed}", gpus=2), seed=range(2))).write(tmp_path / "out")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(DeviceError, match="expected at least 2 GPUs here, as a command asks, got 1"):
        Local().submit(tmp_path / "out", [[planned.run] for planned in Store(tmp_path / "out").read_study().runs])
