"""Runs trained together come to what they come to one by one, within floating-point reordering."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from in_process import Here
from lawful.conduct import groups, train_study
from lawful.executors import stacks
from lawful.kernels import block
from lawful.observe import observations
from lawful.planning.plan import make_plan
from lawful.run import AdamW, Run, from_json
from lawful.storage.atomic import write_json
from lawful.storage.json_files import read_json, read_jsonl
from lawful.storage.layout import Store
from lawful.study import import_file
from lawful.train import batched, loop, state, worker
from lawful.train.batched import Batch, best_size, is_stackable, train_batched

TOY = Path(__file__).parents[1] / "toy_study.py"
Folder = Callable[..., Path]


def planned(folder: Path) -> tuple[list[Run], Store]:
    store = Store(folder)
    study = store.read_study()
    module = import_file(Path(study.study_file.path)).__name__
    rows = [from_json(read_json(store.run(row.run)), also_from=module) for row in study.runs]
    return [run for run in rows if isinstance(run, Run)], store


def members(folder: Path) -> tuple[list[Run], Store]:
    """Four runs of one shape: two seeds, two learning rates, and one of them longer than the others."""
    runs, store = planned(folder)
    first = runs[0]
    more = [
        replace(first, init_seed=1, data_seed=1),
        replace(first, optimizer=AdamW(learning_rate=3e-2, weight_decay=0.3)),
        replace(first, init_seed=2, steps=first.steps + 11),
    ]
    return [first, *more], store


def place(**options: Any) -> loop.ExecutionConfig:
    return loop.ExecutionConfig(device=torch.device("cpu"), **options)


def train_all(runs: list[Run], store: Store, **options: Any) -> list[dict[str, Any]]:
    data = runs[0].corpus.open(runs[0].data_fingerprint)
    starts = [partial(loop.start, run, data, store, place(batched_runs=len(runs), **options)) for run in runs]
    found: dict[int, dict[str, Any]] = {}
    train_batched(starts, lambda number, outcome: found.update({number: outcome().columns()}))
    return [found[number] for number in range(len(runs))]


def weights(store: Store, run: Run) -> np.ndarray:
    from safetensors.numpy import load_file

    return np.concatenate([tensor.ravel() for _, tensor in sorted(load_file(store.weights(run.id)).items())])


@pytest.mark.parametrize("family", [{}, {"mlp": "swiglu", "positions": "learned", "is_tied": False}])
def test_a_stack_comes_to_what_its_runs_come_to_alone(toy_folder: Folder, family: dict[str, Any]) -> None:
    runs, store = members(toy_folder("stack", widths=(16, 24), steps=(60,)))
    runs = [replace(run, family=replace(run.family, **family)) for run in runs]
    data = runs[0].corpus.open(runs[0].data_fingerprint)
    found = train_all(runs, store)
    for run, row in zip(runs, found, strict=True):
        together_weights = weights(store, run)
        lines = [line["loss"] for line in read_jsonl(store.metrics(run.id)) if "grad_norm" in line]
        lone = loop.train(run, data, store, place()).columns()
        assert row["loss"] == pytest.approx(lone["loss"], rel=2e-5)
        assert row["loss_train"] == pytest.approx(lone["loss_train"], rel=2e-5)
        assert len(lines) == run.steps
        np.testing.assert_allclose(together_weights, weights(store, run), atol=2e-4)
        assert row["numerics"].endswith("stacked=4") and "stacked" not in lone["numerics"]
    assert len({row["loss"] for row in found}) == 4, "four different runs"


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch batches its CPU attention run by run
@pytest.mark.parametrize("micro_batch", [None, 3])
@pytest.mark.parametrize("family", [{}, {"mlp": "swiglu"}, {"positions": "learned", "is_tied": False}])
def test_a_stack_in_bf16_with_the_attention_of_a_gpu_comes_to_what_its_runs_come_to_alone(
    toy_folder: Folder, monkeypatch: pytest.MonkeyPatch, family: dict[str, Any], micro_batch: int | None
) -> None:
    """On a GPU, and over long contexts, torch's own attention is taken; under vmap autocast does not reach it."""
    monkeypatch.setattr(block, "is_faster", lambda *_: False)
    runs, store = members(toy_folder("stack", widths=(16, 24), steps=(8,)))
    runs = [replace(run, precision="bf16", family=replace(run.family, **family)) for run in runs]
    data = runs[0].corpus.open(runs[0].data_fingerprint)
    for run, row in zip(runs, train_all(runs, store, micro_batch=micro_batch), strict=True):
        lone = loop.train(run, data, store, place(micro_batch=micro_batch)).columns()
        assert "precision=bf16" in row["numerics"] and row["numerics"].endswith("stacked=4")
        assert row["loss"] == pytest.approx(lone["loss"], rel=2e-3)


def test_a_stack_that_is_stopped_goes_on_alone_from_its_checkpoints(toy_folder: Folder) -> None:
    runs, store = members(toy_folder("stack", widths=(16, 24), steps=(60,)))
    asked = iter(range(10_000))
    with pytest.raises(loop.Interrupted):
        train_all(runs, store, should_stop=lambda: next(asked) >= 4 * 37)  # each run asks once a step
    assert [int(next(store.checkpoints(run.id).iterdir()).name) for run in runs] == [37] * 4
    data = runs[0].corpus.open(runs[0].data_fingerprint)
    for run in runs:
        resumed = loop.train(run, data, store, place()).columns()
        for saved in store.checkpoints(run.id).iterdir():
            (saved / "MANIFEST.json").unlink()
        assert resumed["loss"] == pytest.approx(loop.train(run, data, store, place()).columns()["loss"], rel=2e-5)
        assert resumed["numerics_breaks"] == 1


def test_one_that_diverges_leaves_the_others_as_they_were(toy_folder: Folder) -> None:
    runs, store = members(toy_folder("stack", widths=(16, 24), steps=(60,)))
    wild = replace(runs[0], optimizer=AdamW(learning_rate=1e4), init_seed=7)
    alone = train_all(runs[:3], store)
    beside = train_all([wild, *runs[:3]], store)
    assert beside[0]["status"] == "diverged"
    for one, other in zip(alone, beside[1:], strict=True):
        assert other["status"] == "finished" and one["loss"] == pytest.approx(other["loss"], rel=2e-5)


def test_out_of_memory_halves_the_micro_batch_of_all_of_them(
    toy_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, store = members(toy_folder("stack", widths=(16, 24), steps=(30,)))
    whole = train_all(runs, store)
    loss = Batch._loss

    def small(self: Batch, parameters: Any, batch: Any, example: Any) -> Any:
        if len(batch["inputs"]) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return loss(self, parameters, batch, example)

    monkeypatch.setattr(Batch, "_loss", small)
    pieces = train_all(runs, store)
    for one, other in zip(whole, pieces, strict=True):
        assert "micro_batch=2 " in other["numerics"] and one["loss"] == pytest.approx(other["loss"], rel=2e-5)


def test_a_run_that_failed_is_tried_again_beside_one_that_never_ran(toy_folder: Folder) -> None:
    folder = toy_folder("stack", widths=(16, 24), steps=(30,), seeds=2)
    store = Store(folder)
    first, second, *_ = (row.run for row in store.read_study().runs if row.at["width"] == 16)
    write_json(store.result(first), {"status": "failed", "reason": "the disk was slow"})
    options = worker.parse([str(folder), "-", "--device", "cpu"])
    assert worker.train_runs(store, [first, second], options, threading.Event()) == ["finished"] * 2
    for run_id in (first, second):
        assert read_json(store.result(run_id))["numerics"].endswith("stacked=2")


def test_the_seconds_of_a_stacked_run_leave_out_the_evaluations_of_the_others(
    toy_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = toy_folder("stack", widths=(16, 24), steps=(30,), seeds=4)
    store = Store(folder)
    ids = [row.run for row in store.read_study().runs if row.at["width"] == 16]
    evaluate, late = loop.evaluate, []
    monkeypatch.setattr(state, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + sum(late)))

    def slow(*given: Any, **named: Any) -> dict[str, float]:
        late.append(1e6)
        return evaluate(*given, **named)

    monkeypatch.setattr(loop, "evaluate", slow)
    options = worker.parse([str(folder), "-", "--device", "cpu"])
    assert worker.train_runs(store, ids, options, threading.Event()) == ["finished"] * 4
    assert len(late) >= 8
    for run_id in ids:
        seconds = read_json(store.result(run_id))["seconds"]
        lines = [line for line in read_jsonl(store.metrics(run_id)) if "tokens_per_second" in line]
        slowest = min(line["tokens_per_second"] for line in lines)
        assert seconds == pytest.approx(lines[-1]["seconds"]) and seconds < 1e6
        assert slowest > lines[0]["tokens"] / 1e6, "no stretch holds an evaluation"


def test_what_a_stack_cannot_do_is_trained_alone(toy_folder: Folder) -> None:
    runs, _ = planned(toy_folder("stack", widths=(16, 24), steps=(30,)))
    first = runs[0]
    assert is_stackable(first)
    assert not is_stackable(replace(first, family=replace(first.family, dropout=0.1)))
    assert not is_stackable(replace(first, family=replace(first.family, separator=0)))
    assert not is_stackable(replace(first, precision="fp16"))
    assert best_size(first, torch.device("cpu"), 4)[0] in (1, 2, 4)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({1: 1.0, 2: 2.1, 4: 2.8, 8: 4.0}, (8, 2.0)),  # two together pay nothing, eight do
        ({1: 1.0, 2: 1.4, 4: 2.9, 8: 6.4}, (2, 1 / 0.7)),
        ({1: 1.0, 2: 2.0, 4: 3.8, 8: 7.6}, (1, 1.0)),  # .05: a probe's noise
        ({1: 1.0, 2: 1.2}, (2, 1 / 0.6)),  # memory ends
        ({}, (1, 1.0)),  # not one fits whole: it is trained in pieces
    ],
)
def test_the_size_of_a_stack_is_what_a_probe_finds_fastest(
    seconds: dict[int, float], expected: tuple[int, float], toy_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probe(run: Run, where: torch.device, size: int) -> float:
        if size not in seconds:
            raise torch.OutOfMemoryError("out of memory")
        return seconds[size]

    monkeypatch.setattr(batched, "probe", probe)
    runs, _ = planned(toy_folder("stack", widths=(16, 24), steps=(30,)))
    assert best_size(runs[0], torch.device("cpu"), 15) == pytest.approx(expected)


def test_what_is_no_lack_of_memory_is_not_taken_for_it(toy_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def probe(run: Run, where: torch.device, size: int) -> float:
        if size == 1:
            return 1.0
        raise RuntimeError("Expected query, key, and value to have the same dtype")

    monkeypatch.setattr(batched, "probe", probe)
    runs, _ = planned(toy_folder("stack", widths=(16, 24), steps=(30,)))
    with pytest.raises(RuntimeError, match="same dtype"):
        best_size(runs[0], torch.device("cpu"), 15)


def test_a_stacked_study_comes_to_the_same_table(tmp_path: Path, toy_folder: Folder) -> None:
    """Trunks with branches: two seeds of each size side by side, the longest first."""
    declared = import_file(TOY).study(widths=(8, 16, 24), steps=(20, 40), seeds=3)
    folder = tmp_path / "stacked"
    make_plan(declared, device_name="cpu", study_file=TOY, is_timed=False, stacked=2).write(folder)
    study = Store(folder).read_study()
    rungs = {rung.run: rung for rung in study.runs}
    waiting = groups(Store(folder), study)
    assert [[[rungs[i].at["steps"] for i in ids] for ids in stacks(rungs, group)] for group in waiting.held_out] == [
        [[40, 40], [20, 20]],
        [[40], [20]],  # the third seed
    ]
    train_study(folder, Here())
    plain = toy_folder("plain", widths=(8, 16, 24), steps=(20, 40), seeds=3)
    train_study(plain, Here())
    rows, others = ({row["run"]: row for row in observations(one)} for one in (folder, plain))
    assert rows.keys() == others.keys() and len(rows) == 18
    assert sum(row["numerics"].endswith("stacked=2") for row in rows.values()) == 12
    for run_id, row in rows.items():
        assert row["loss"] == pytest.approx(others[run_id]["loss"], rel=2e-5)
        assert row["flops_spent"] == others[run_id]["flops_spent"]
