"""One run on several processes: the same batch, the same losses but for the order of sums, whatever their number."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lawful.conduct import groups, train_study
from lawful.errors import LawfulError
from lawful.executors.local import Local
from lawful.observe import observations
from lawful.storage.json_files import read_jsonl
from lawful.storage.layout import Store
from lawful.train import parallel

Folder = Callable[..., Path]
TOGETHER: dict[str, Any] = {"device": "cpu", "workers": 1, "processes_per_run": 2}
SAME = 1e-5  # relative; what another order of sums in fp32 makes of a loss in 40 steps


@pytest.mark.parametrize("processes", [1, 2, 3, 5, 8])
def test_every_row_of_a_batch_belongs_to_one_process(monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    rows: list[int] = []
    monkeypatch.setattr(parallel, "processes", lambda: processes)
    for rank in range(processes):
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        own = list(range(8))[parallel.own_rows(8)]
        assert len(own) in (8 // processes, math.ceil(8 / processes))
        rows += own
    assert rows == list(range(8))


def test_more_processes_than_windows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "processes", lambda: 9)
    with pytest.raises(LawfulError, match="as many processes as the batch has windows"):
        parallel.own_rows(8)


@pytest.fixture(scope="module")
def alone(own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = planned(tmp_path_factory.mktemp("alone"))
    train_study(folder, Local(device="cpu", workers=1))
    return folder


def planned(folder: Path) -> Path:
    from lawful.planning.plan import make_plan
    from lawful.study import import_file

    file = Path(__file__).parents[1] / "toy_study.py"
    declared = import_file(file).study(widths=(8, 16), steps=(40,))
    make_plan(declared, device_name="cpu", study_file=file, is_timed=False).write(folder / "toy")
    return folder / "toy"


def losses(folder: Path) -> dict[str, list[float]]:
    study, store = Store(folder).read_study(), Store(folder)
    return {
        rung.rung: [line["loss"] for line in read_jsonl(store.metrics(rung.run)) if "loss" in line]
        for rung in study.runs
    }


def assert_agrees(folder: Path, alone: Path) -> None:
    expected = losses(alone)
    assert all(len(curve) == 40 for curve in expected.values())
    for label, curve in losses(folder).items():
        assert curve == pytest.approx(expected[label], rel=SAME)
    for row, other in zip(observations(folder), observations(alone), strict=True):
        assert row["status"] == "finished", row["reason"]
        assert row["loss"] == pytest.approx(other["loss"], rel=SAME)
        assert row["tokens"] == other["tokens"] and row["flops_spent"] == other["flops_spent"]


@pytest.mark.slow
@pytest.mark.parametrize("is_sharded", [False, True])
def test_two_processes_follow_the_curve_of_one(tmp_path: Path, alone: Path, is_sharded: bool) -> None:
    folder = planned(tmp_path)
    train_study(folder, Local(is_sharded=is_sharded, **TOGETHER))
    assert_agrees(folder, alone)
    for row in observations(folder):
        assert row["numerics"].endswith("processes=2:sharded" if is_sharded else "processes=2")


@pytest.mark.slow
def test_a_sharded_run_that_was_stopped_goes_on_in_one_process_and_another_way_round(
    tmp_path: Path, alone: Path
) -> None:
    folder = planned(tmp_path)
    places = [Local(is_sharded=True, checkpoint_seconds=0, **TOGETHER), Local(device="cpu", checkpoint_seconds=0)]
    anchor, held_out = (rung.run for rung in Store(folder).read_study().runs)
    for run_id, (first, then) in ((anchor, places), (held_out, reversed(places))):
        job = first.submit(folder, [[run_id]])
        record = Store(folder).metrics(run_id)
        while not job.is_over() and not (record.exists() and record.stat().st_size):
            time.sleep(0.01)
        job.stop()
        assert not Store(folder).result(run_id).exists(), "it was over before it could be stopped"
        again = then.submit(folder, [[run_id]])
        while not again.is_over():
            time.sleep(0.1)
    assert not groups(Store(folder), Store(folder).read_study()).anchors
    assert_agrees(folder, alone)
    assert [row["numerics_breaks"] for row in observations(folder)] == [1, 1]
