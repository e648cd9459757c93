"""Seconds by a clock of its own, one for each update: those of a branch are of its whole trajectory."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import lawful
from lawful.errors import Refusal
from lawful.observe import observations
from lawful.run import Run, from_json
from lawful.storage.json_files import read_json, read_jsonl
from lawful.storage.layout import Store
from lawful.study import import_file
from lawful.train import loop, state, worker

Folder = Callable[..., Path]


class Ticking:
    """A clock that goes on by what an update is said to cost, and by nothing else."""

    def __init__(self, cost: float = 1.0) -> None:
        self.now, self.cost = 0.0, cost

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    ticking, update = Ticking(), loop.make_update

    def make_update(training_state: Any) -> Any:
        ticking.now += ticking.cost
        return update(training_state)

    monkeypatch.setattr(state, "time", SimpleNamespace(monotonic=ticking.monotonic))
    monkeypatch.setattr(loop, "make_update", make_update)
    return ticking


def load(folder: Path, number: int = 0) -> tuple[Run, Any, Store]:
    store = Store(folder)
    study = store.read_study()
    module = import_file(Path(study.study_file.path)).__name__
    run = from_json(read_json(store.run(study.runs[number].run)), also_from=module)
    return run, run.corpus.open(run.data_fingerprint), store


def place(**options: Any) -> loop.ExecutionConfig:
    return loop.ExecutionConfig(device=torch.device("cpu"), **options)


def train_longest_first(folder: Path) -> list[dict[str, Any]]:
    """The runs of the smaller width."""
    store = Store(folder)
    rungs = [rung for rung in store.read_study().runs if rung.at["width"] == 8]
    rungs.sort(key=lambda rung: -rung.steps)
    given = worker.parse([str(folder), "-", "--device", "cpu"])
    for rung in rungs:
        worker.train_runs(store, [rung.run], given, threading.Event())
    return observations(folder)


def test_a_ladder_with_branches_has_the_seconds_of_the_same_ladder_from_scratch(
    toy_folder: Folder, clock: Ticking
) -> None:
    rows = train_longest_first(toy_folder("shared", widths=(8, 12), steps=(20, 40, 80)))
    assert [row["seconds"] for row in rows] == [20, 40, 80], "one second for each step"
    assert [row["seconds_spent"] for row in rows] == [4, 8, 80], "of the branches, a decay of a fifth"
    assert [row["flops_spent"] / row["flops"] for row in rows] == pytest.approx([0.2, 0.2, 1])
    assert {row["seconds_per_step"] for row in rows} == {1.0}
    assert {row["tokens_per_second"] for row in rows} == {128.0}
    for row, steps in zip(rows, (20, 40, 80), strict=True):
        (scratch,) = train_longest_first(toy_folder(f"scratch{steps}", widths=(8, 12), steps=(steps,)))
        assert row["seconds"] == scratch["seconds"] and row["loss"] == scratch["loss"]


def test_the_record_of_a_branch_has_seconds_that_go_on_from_its_trunks(toy_folder: Folder, clock: Ticking) -> None:
    folder = toy_folder("shared", widths=(8, 12), steps=(20, 40))
    train_longest_first(folder)
    run_id = Store(folder).read_study().runs[0].run
    lines = [line for line in read_jsonl(Store(folder).metrics(run_id)) if "seconds" in line]
    assert [line["seconds"] for line in lines] == [line["step"] for line in lines] == list(range(1, 21))
    assert {line["tokens_per_second"] for line in lines} == {128.0}


def test_the_parts_of_a_resumed_branch_are_summed(toy_folder: Folder, clock: Ticking) -> None:
    folder = toy_folder("shared", widths=(8, 12), steps=(20, 40))
    run, data, store = load(folder, 1)
    loop.train(run, data, store, place(branch_steps=frozenset({16})))
    run, data, store = load(folder, 0)
    asked = iter(range(1000))
    with pytest.raises(loop.Interrupted):
        loop.train(run, data, store, place(should_stop=lambda: next(asked) >= 2))
    clock.now += 1000.0  # a night between
    result = loop.train(run, data, store, place()).columns()
    assert (result["seconds"], result["seconds_spent"]) == (20, 4)


def test_a_branch_without_a_step_of_its_own_has_a_trajectory_and_no_speed(toy_folder: Folder, clock: Ticking) -> None:
    folder = toy_folder("shared", widths=(8, 12), steps=(40,))
    run, data, store = load(folder)
    short = replace(run, steps=20, schedule=replace(run.schedule, decay_fraction=0.01))
    loop.train(run, data, store, place(branch_steps=frozenset({20})))
    result = loop.train(short, data, store, place()).columns()
    assert (result["seconds"], result["seconds_spent"], result["flops_spent"]) == (20, 0, 0)
    assert result["seconds_per_step"] != result["seconds_per_step"], "NaN, not 0"
    assert not result["is_decayed"]


def test_a_planted_law_against_seconds_is_found_in_a_ladder_with_branches(toy_folder: Folder, clock: Ticking) -> None:
    """L = 1.5 + 2 t^-.5, t the steps of a trajectory; by the decays alone it would be the same exponent at another
    factor, but for the longest run, which has no trunk: that bends it."""
    rows = train_longest_first(toy_folder("shared", widths=(8, 12), steps=(15, 30, 60, 120, 240)))
    table = [{**row, "loss": 1.5 + 2 * row["steps"] ** -0.5, "held_out": False} for row in rows]
    found = lawful.fit(table, "power_floor:flops", flops="seconds", cluster="none", draws=0)
    assert found.values["alpha"] == pytest.approx(0.5, abs=1e-3)
    spent = lawful.fit(table, "power_floor:flops", flops="seconds_spent", cluster="none", draws=0)
    assert abs(spent.values["alpha"] - 0.5) > 0.05, "the test can fail"


def old(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As versions until 2026-11 wrote them: seconds of what a run spent itself, under that name."""
    return [{**row, "seconds": row["seconds_spent"], "seconds_spent": ""} for row in rows]


def test_seconds_of_decays_in_an_old_table_are_refused_in_a_law_of_seconds_and_only_there(
    toy_folder: Folder, clock: Ticking
) -> None:
    rows = train_longest_first(toy_folder("shared", widths=(8, 12), steps=(15, 20, 30, 45, 60)))
    table = [{**row, "held_out": False, "loss": 1.5 + row["steps"] ** -0.5} for row in rows]
    assert lawful.fit(table, "power_floor:flops", flops="seconds", cluster="none", draws=0).goodness.n == 5
    with pytest.raises(Refusal, match="4 of 5 runs are branches .* seconds_per_step x steps") as refused:
        lawful.fit(old(table), "power_floor:flops", flops="seconds", cluster="none", draws=0)
    assert refused.value.code == "seconds_of_decay"
    older = [{name: value for name, value in row.items() if name != "flops_spent"} for row in old(table)]
    with pytest.raises(Refusal, match="4 of 5 runs are branches"):
        lawful.fit(older, "power_floor:flops", flops="seconds", cluster="none", draws=0)
    assert lawful.fit(old(table), "power_floor:flops", cluster="none", draws=0).goodness.n == 5
    own_table = [{"seconds": row["seconds"], "loss": row["loss"], "steps": row["steps"]} for row in table]
    assert lawful.fit(own_table, "power_floor:flops", flops="seconds", cluster="none", draws=0).goodness.n == 5, (
        "not lawful's own"
    )


def test_a_checkpoint_of_an_earlier_version_is_resumed_and_says_only_the_seconds_it_knows(
    toy_folder: Folder, clock: Ticking
) -> None:
    folder = toy_folder("toy", widths=(8, 12), steps=(40,))
    run, data, store = load(folder)
    for is_branch in (False, True):
        asked = iter(range(1000))
        with pytest.raises(loop.Interrupted):
            loop.train(run, data, store, place(should_stop=lambda asked=asked: next(asked) >= 10))
        (saved,) = store.checkpoints(run.id).iterdir()
        state = json.loads((saved / "state.json").read_text())
        for name in ("own_seconds", "loss_start", "evaluations_lost"):
            del state[name]
        state["loss_best"] = state.pop("loss_lowest_seen")
        state["own_steps"] = 3 if is_branch else 10
        rewrite(saved, state)
        result = loop.train(run, data, store, place()).columns()
        assert result["status"] == "finished" and result["loss_lowest_seen"] is not None
        if is_branch:
            assert result["seconds"] != result["seconds"], "the trunk's are not known"
        else:
            assert result["seconds"] == result["seconds_spent"] == 40
        shutil.rmtree(store.checkpoints(run.id))


def rewrite(saved: Path, state: dict[str, Any]) -> None:
    content = json.dumps(state).encode()
    (saved / "state.json").write_bytes(content)
    manifest = json.loads((saved / "MANIFEST.json").read_text())
    manifest["state.json"] = hashlib.sha256(content).hexdigest()
    (saved / "MANIFEST.json").write_text(json.dumps(manifest))
