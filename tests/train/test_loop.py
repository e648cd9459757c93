"""What the training loop does when things go wrong, and that its parts are the field's."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lawful.conduct import failed_runs
from lawful.errors import LawfulError
from lawful.families.mlp import WindowMLP
from lawful.observe import observations
from lawful.readers.wandb import WandB
from lawful.rules.backprop import Backprop
from lawful.run import Run, Schedule, from_json
from lawful.storage.json_files import read_json, read_jsonl
from lawful.storage.layout import Store
from lawful.study import import_file
from lawful.tasks.next_token import NextToken, Tokens
from lawful.train import device, loop, state, step, worker
from lawful.train.optimizer import build_adamw, learning_rate, schedule_factor

NEARLY_ZERO = """
import torch
from lawful.train import device
with device.flushed_denormals():
    torch.set_num_threads(2)
    print(int((torch.full((1000, 1000), 1e-30) * 1e-10).count_nonzero()))
torch.set_num_threads(1)
print(int((torch.full((1000, 1000), 1e-30) * 1e-10).count_nonzero()))
"""

Folder = Callable[..., Path]
TOY = Path(__file__).parents[1] / "toy_study.py"
CPU = loop.ExecutionConfig(device=torch.device("cpu"))


def load(folder: Path) -> tuple[Run, Any, Store]:
    store = Store(folder)
    study = store.read_study()
    module = import_file(Path(study.study_file.path)).__name__
    run = from_json(read_json(store.run(study.runs[0].run)), also_from=module)
    return run, run.corpus.open(run.data_fingerprint), store


def train_here(folder: Path, *options: str) -> None:
    """Every run of the plan by the worker's own function, in this process: starting one costs seconds."""
    for rung in Store(folder).read_study().runs:
        given = worker.parse([str(folder), "-", "--device", "cpu", *options])
        worker.train_runs(Store(folder), [rung.run], given, threading.Event())


def test_a_run_worse_than_its_own_start_after_warmup_is_diverged_and_listed(toy_folder: Folder) -> None:
    folder = toy_folder(widths=(16, 24), steps=(40,), learning_rate=5.0)
    train_here(folder)
    rows = observations(folder)
    assert {row["status"] for row in rows} == {"diverged"}
    assert all("that of its own start" in row["reason"] and row["diverged_at_step"] == 30 for row in rows)
    train_here(folder)  # diverged is an end, not something to try again
    assert observations(folder) == rows


def test_a_failed_run_is_listed_and_tried_again_by_a_resume(toy_folder: Folder) -> None:
    folder = toy_folder(widths=(16, 24), steps=(20,))
    store = Store(folder)
    run_id = store.read_study().runs[0].run
    spec = store.run(run_id).read_text()
    store.run(run_id).write_text("{")
    train_here(folder)
    assert [row["status"] for row in observations(folder)] == ["failed", "finished"]
    assert "no JSON" in observations(folder)[0]["reason"]
    store.run(run_id).write_text(spec)
    train_here(folder)
    assert [row["status"] for row in observations(folder)] == ["finished", "finished"]


def test_the_models_learn(toy_folder: Folder) -> None:
    run, data, store = load(toy_folder(widths=(16, 24), steps=(300,)))
    result = loop.train(run, data, store, CPU).columns()
    shares = np.bincount(data.train, minlength=11) / data.train_tokens
    unigram = -np.log(shares[data.validation[1:]]).mean()
    assert result["loss"] < unigram - 0.3
    assert result["bits_per_byte"] == pytest.approx(result["loss"] / math.log(2))  # a character is a byte here
    assert result["validation_tokens"] == data.targets("validation")


def test_decay_is_on_matrices_only(toy_folder: Folder) -> None:
    run, _, _ = load(toy_folder(widths=(16, 24), steps=(20,)))
    model = run.family.build(torch.Generator().manual_seed(0))
    decayed, plain = build_adamw(model, run, is_fused=True).param_groups
    assert decayed["weight_decay"] == 0.1 and all(p.dim() >= 2 for p in decayed["params"])
    assert plain["weight_decay"] == 0.0 and all(p.dim() < 2 for p in plain["params"])
    held = sum(p.numel() for group in (decayed, plain) for p in group["params"])
    assert held == run.family.param_counts().total


def test_schedules_by_hand() -> None:
    wsd = Schedule(shape="wsd", warmup_steps=4)
    factors = [schedule_factor(wsd, 100, 80, step) for step in range(100)]
    assert factors[:5] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert set(factors[4:80]) == {1.0}
    assert factors[80] == pytest.approx(1 - math.sqrt(1 / 21)) and factors[99] == pytest.approx(1 - math.sqrt(20 / 21))
    cosine = [schedule_factor(Schedule(shape="cosine", warmup_steps=4, floor=0.1), 100, 0, step) for step in range(100)]
    assert cosine[3] == 0.8 and cosine[4] == 1.0 and cosine[99] == 0.1
    assert cosine[42] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 38 / 95)))
    assert cosine == [*sorted(cosine[:4]), *sorted(cosine[4:], reverse=True)]
    assert schedule_factor(Schedule(shape="constant", warmup_steps=0), 100, 100, 99) == 1.0


@pytest.mark.parametrize(("steps", "warmup", "floor"), [(100, 0, 0.0), (100, 10, 0.1), (7, 3, 0.2), (2, 0, 0.0)])
def test_cosine_is_torchs_after_the_warmup_and_its_last_step_has_the_floor(
    steps: int, warmup: int, floor: float
) -> None:
    cosine = Schedule(shape="cosine", warmup_steps=warmup, floor=floor)
    factors = [schedule_factor(cosine, steps, 0, step) for step in range(steps)]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps - 1 - warmup, eta_min=floor)
    for factor in factors[warmup:]:
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert factors[-1] == pytest.approx(floor)
    assert factors[:warmup] == pytest.approx([(step + 1) / (warmup + 1) for step in range(warmup)])


def test_a_cosine_whose_warmup_fills_the_run_does_not_decay() -> None:
    cosine = Schedule(shape="cosine", warmup_steps=100)
    assert schedule_factor(cosine, 1, 0, 0) == pytest.approx(1 / 101)
    assert schedule_factor(cosine, 101, 0, 100) == 1.0
    assert schedule_factor(Schedule(shape="cosine", warmup_steps=0), 1, 0, 0) == 1.0


def test_the_rate_before_the_decay_does_not_depend_on_the_length() -> None:
    run = import_file(Path(__file__).parents[1] / "toy_study.py").study().ladder[0].run
    short, long = (replace(run, schedule=Schedule(warmup_steps=10), steps=steps) for steps in (100, 1000))
    assert [learning_rate(short, s) for s in range(80)] == [learning_rate(long, s) for s in range(80)]


def test_fp16_is_refused_on_a_cpu() -> None:
    with pytest.raises(LawfulError, match="fp16 needs a CUDA device"):
        device.autocast(torch.device("cpu"), "fp16")


def test_bf16_trains_to_about_the_same_loss_with_fp32_master_weights(toy_folder: Folder) -> None:
    run, data, store = load(toy_folder(widths=(16, 24), steps=(60,)))  # many CPUs only emulate bf16
    exact = loop.train(run, data, store, CPU).columns()
    rough_run = replace(run, precision="bf16")
    rough = loop.train(rough_run, data, store, CPU).columns()
    assert rough["loss"] == pytest.approx(exact["loss"], rel=0.02) and rough["loss"] != exact["loss"]
    from safetensors.torch import load_file

    assert {tensor.dtype for tensor in load_file(store.weights(rough_run.id)).values()} == {torch.float32}


def test_metrics_go_to_tensorboard_as_well(toy_folder: Folder) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra lawful[tensorboard]")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    folder = toy_folder(widths=(16, 24), steps=(20,))
    train_here(folder, "--log", "tensorboard")
    events = next((folder / "tensorboard").glob("width=16*"))
    reader = EventAccumulator(str(events)).Reload()
    assert {"loss", "learning_rate", "grad_norm", "tokens_per_second", "validation_loss"} <= set(
        reader.Tags()["scalars"]
    )
    run_id = next(rung.run for rung in Store(folder).read_study().runs if rung.rung.startswith("width=16"))
    record = [json.loads(line) for line in Store(folder).metrics(run_id).read_text().splitlines()]
    for name in ("loss", "validation_loss"):
        written = [(event.step, round(event.value, 5)) for event in reader.Scalars(name)]
        assert written == [(line["step"], round(line[name], 5)) for line in record if name in line]
    session = reader.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    hparams = HParamsPluginData.FromString(session).session_start_info.hparams
    assert hparams["width"].number_value == 16
    planned = next(rung for rung in Store(folder).read_study().runs if rung.run == run_id)
    assert hparams["params_non_embedding"].number_value == planned.params_non_embedding


@pytest.mark.parametrize(
    ("lacks", "is_compiled"),
    [
        (None, True),
        ("gcc", False),
        ("headers", False),
        ("triton", False),
        ("a GPU from Volta on", False),
        ("leave", False),
    ],
)
def test_a_run_on_a_gpu_is_compiled_only_where_kernels_can_be_made(
    lacks: str | None, is_compiled: bool, toy_folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An image for running models often has no C compiler, and torch.compile would fail every long run there."""
    (tmp_path / "Python.h").touch()
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1" if lacks == "leave" else "0")  # torch.compile does nothing then
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/gcc" if name == "gcc" and lacks != "gcc" else None)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: "/nowhere" if lacks == "headers" else str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if lacks == "triton" else name)
    capability = (6, 1) if lacks == "a GPU from Volta on" else (9, 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    run, _, _ = load(toy_folder(widths=(16, 24), steps=(20,)))
    gpu = loop.ExecutionConfig(device=torch.device("cuda"))
    assert state.is_compiled(replace(run, steps=state.COMPILE_MIN_STEPS), gpu) is is_compiled
    assert not state.is_compiled(replace(run, steps=state.COMPILE_MIN_STEPS - 1), gpu)
    assert not state.is_compiled(replace(run, steps=state.COMPILE_MIN_STEPS), CPU)


def test_an_unknown_device_or_sink_says_what_is_known(toy_folder: Folder) -> None:
    with pytest.raises(LawfulError, match="expected auto, cpu, cuda or mps, got 'tpu'"):
        device.pick_device("tpu")
    folder = toy_folder(widths=(16, 24), steps=(20,))
    train_here(folder, "--log", "mlflow")
    assert all("expected tensorboard or wandb" in row["reason"] for row in observations(folder))


def test_metrics_go_to_wandb_offline_as_well(toy_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="needs the extra lawful[wandb]")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = toy_folder(widths=(16, 24), steps=(20,))
    train_here(folder, "--log", "wandb")
    assert [row["status"] for row in observations(folder)] == ["finished", "finished"]
    assert len(list((folder / "wandb").glob("offline-run-*/run-*.wandb"))) == 2
    rows = [row for row in WandB().rows(folder / "wandb") if isinstance(row, dict)]
    assert {row["config.width"] for row in rows} == {16, 24}
    assert all(row["config.params_non_embedding"] > 0 for row in rows)
    assert {row["step"] for row in rows if row.get("validation_loss")} >= {20}


def test_the_best_weights_seen_are_kept_and_judged_beside_the_last(toy_folder: Folder) -> None:
    run, data, store = load(toy_folder(widths=(16, 24), steps=(60,)))
    few = replace(data, arrays={**data.arrays, "train": data.train[:130]})  # learned by heart: it gets worse
    run = replace(run, keep_best=True, steps=300)
    result = loop.train(run, few, store, CPU).columns()
    lines = [line for line in read_jsonl(store.metrics(run.id)) if "validation_loss" in line]
    assert result["loss_lowest_seen"] == min(line["validation_loss"] for line in lines[:-1])
    model = run.family.build(torch.Generator().manual_seed(0))
    model.load_state_dict(load_file(store.best_weights(run.id)), strict=False)
    assert result["best_weights_loss"] == pytest.approx(loop.evaluate(run, data, model, CPU.device)["loss"], abs=1e-12)
    assert result["best_weights_loss"] < result["loss"]


def test_a_test_split_is_judged_at_the_end_and_a_selection_split_is_what_is_watched(toy_folder: Folder) -> None:
    run, data, store = load(toy_folder(widths=(16, 24), steps=(20,)))
    tokens = data.validation
    parts = {"train": data.train, "validation": tokens, "test": tokens[:400], "selection": tokens[400:]}
    split = replace(data, arrays=parts, num_bytes={name: len(part) - 1 for name, part in parts.items()})
    result = loop.train(run, split, store, CPU).columns()
    lines = list(read_jsonl(store.metrics(run.id)))
    assert [line["step"] for line in lines if "selection_loss" in line] == [10, 20]
    assert [line["step"] for line in lines if "validation_loss" in line] == [20]
    assert result["test_tokens"] == 399
    assert result["test_bits_per_byte"] == pytest.approx(result["test_loss"] / math.log(2))
    assert result["test_loss"] != result["loss"]


def test_a_worker_counts_what_is_nearly_zero_as_zero_on_all_its_threads_and_its_runs_say_so(toy_folder: Folder) -> None:
    """In a process of its own: threads keep the way of counting that they began with."""
    told = subprocess.run(
        [sys.executable, "-c", NEARLY_ZERO], capture_output=True, text=True, check=True
    ).stdout.split()
    assert told == ["0", "1000000"], "of a million products on two threads none was left, and all of them afterwards"
    folder = toy_folder(widths=(8, 12), steps=(5,))
    run_id = Store(folder).read_study().runs[0].run
    assert worker.main([str(folder), run_id, "--device", "cpu"]) == 0
    assert "denormals=flushed" in read_json(Store(folder).result(run_id))["numerics"]
    assert torch.tensor(1e-30).mul(1e-10) > 0, "this process counts as before"


@pytest.mark.filterwarnings("ignore:Guards may run slower")  # torch says so of Python 3.13.0
def test_every_shape_of_a_worker_is_compiled_and_not_only_the_first_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    run = import_file(TOY).study().ladder[0].run
    compiled, torchs = [], torch.compile

    def counting(graph: Any, inputs: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda model, mode: torchs(model, backend=counting))
    for width in range(1, 11):
        family = WindowMLP(vocab_size=11, width=width, embedding_width=2, window=2, depth=1)
        model = state.compiled(family.build(torch.Generator().manual_seed(0)), replace(run, family=family), 8)
        model(torch.zeros(2, 4, dtype=torch.long))
        assert len(compiled) == width


def test_the_most_memory_of_a_run_is_not_that_of_the_one_before(
    toy_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", forgotten.append)
    device.forget_peak_memory(torch.device("cuda:1"))
    device.forget_peak_memory(torch.device("cpu"))
    assert forgotten == [torch.device("cuda:1")]
    monkeypatch.setattr(device, "forget_peak_memory", forgotten.append)
    run, data, store = load(toy_folder(widths=(16, 24), steps=(2,)))
    loop.train(run, data, store, CPU)
    assert forgotten[1:] == [torch.device("cpu")]


def test_the_gpu_that_is_named_is_the_one_whose_random_numbers_are_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []

    @contextlib.contextmanager
    def current(where: torch.device) -> Iterator[None]:
        said.append(where)
        yield
        said.append("left")

    monkeypatch.setattr(torch.cuda, "device", current)
    monkeypatch.setattr(torch.cuda, "manual_seed", said.append)
    with torch.random.fork_rng(devices=[]):
        device.seed(torch.device("cuda:1"), 7)
    assert said == [torch.device("cuda:1"), 7, "left"]


@pytest.mark.parametrize(("kind", "is_async"), [("cuda", True), ("mps", False), ("cpu", False)])
def test_only_cuda_is_told_not_to_wait_for_a_batch(kind: str, is_async: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may copy what is freed by then, and train on other numbers."""
    told: list[bool] = []
    moved = SimpleNamespace(to=lambda where, non_blocking: told.append(non_blocking))
    monkeypatch.setattr(torch, "from_numpy", lambda part: moved)
    step.to_device(Tokens(inputs=np.zeros((1, 2)), targets=np.zeros((1, 2))), torch.device(kind))  # type: ignore[arg-type]
    assert told == [is_async] * 2


def test_an_evaluation_that_does_not_fit_is_made_in_smaller_passes(
    toy_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, data, store = load(toy_folder(widths=(16, 24), steps=(20,)))
    whole = loop.train(run, data, store, CPU).columns()
    measure, tried = NextToken.measure, []
    monkeypatch.setattr(device.gc, "collect", lambda: 0)  # after each pass that fails: a tenth of a second here

    def scarce(self: NextToken, model: Any, batch: Any) -> Any:
        tried.append(len(batch.inputs))
        if len(batch.inputs) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")
        return measure(self, model, batch)

    monkeypatch.setattr(NextToken, "measure", scarce)
    tight = loop.train(run, data, store, CPU).columns()
    assert max(tried) > 3 and tight["weights_sha256"] == whole["weights_sha256"]
    assert tight["loss"] == pytest.approx(whole["loss"], rel=1e-6)
    assert tight["validation_tokens"] == whole["validation_tokens"]


def test_a_run_that_does_not_fit_at_all_says_what_to_do(toy_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def gradients(*given: Any, **options: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")

    monkeypatch.setattr(Backprop, "gradients", gradients)
    folder = toy_folder(widths=(16, 24), steps=(20,))
    train_here(folder)
    (_, reason), *_ = failed_runs(folder)
    assert reason.startswith("out of memory, and nothing is left to be cut into smaller pieces: use fewer --workers")
    assert "Tried to allocate" in reason and "\n" not in reason
