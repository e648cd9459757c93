"""A step that does not fit the memory, or whose numbers are not finite, changes no weight it should not."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lawful.rules.backprop import Backprop
from lawful.run import Run, from_json
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.study import import_file
from lawful.train import loop

Folder = Callable[..., Path]
CPU = loop.ExecutionConfig(device=torch.device("cpu"))


@dataclass(frozen=True, kw_only=True)
class Failing(Backprop):
    """Backpropagation that fails as told when a pass is larger than `fits`."""

    fits: int = 10**9
    error: str = "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes"

    def gradients(self, model: Any, task: Any, batch: Any, *, scale: Any) -> Any:
        if len(batch.inputs) > self.fits:
            raise RuntimeError(self.error)
        return super().gradients(model, task, batch, scale=scale)


@dataclass(frozen=True, kw_only=True)
class Poisoned(Backprop):
    """At its call number `at` a gradient is `value`; the models and their weights before are kept in `seen`."""

    at: int
    value: str  # a run holds no NaN
    seen: Any

    def gradients(self, model: Any, task: Any, batch: Any, *, scale: Any) -> Any:
        before = [parameter.detach().clone() for parameter in model.parameters()]
        loss = super().gradients(model, task, batch, scale=scale)
        self.seen.append((model, before))
        if len(self.seen) == self.at:
            next(model.parameters()).grad[0, 0] = float(self.value)
        return loss


def load(folder: Path) -> tuple[Run, Any, Store]:
    store = Store(folder)
    study = store.read_study()
    module = import_file(Path(study.study_file.path)).__name__
    run = from_json(read_json(store.run(study.runs[0].run)), also_from=module)
    return run, run.corpus.open(run.data_fingerprint), store


def test_out_of_memory_halves_the_micro_batch_at_the_same_global_batch(toy_folder: Folder, tally) -> None:
    fault = tally("out of memory in a step")
    run, data, store = load(toy_folder(widths=(16, 24), steps=(40,)))
    whole = loop.train(run, data, store, CPU).columns()
    tight = loop.train(replace(run, rule=Failing(fits=3)), data, store, CPU).columns()
    assert "micro_batch=2" in tight["numerics"]  # 8, 4, then 2 windows fit
    assert tight["numerics_breaks"] == 2
    fault.tried = tight["numerics_breaks"]
    fault.lost = tight["status"] != "finished"
    fault.wrong = tight["loss"] != pytest.approx(whole["loss"], rel=1e-4)
    fault.must_be_harmless()


@dataclass(frozen=True, kw_only=True)
class Holding(Failing):
    """The same, after a pass that has computed something; `seen` keeps a reference to it that holds nothing."""

    seen: Any

    def gradients(self, model: Any, task: Any, batch: Any, *, scale: Any) -> Any:
        held = sum(each() is not None for each in self.seen)
        assert not held, "what a failed pass had computed takes up the memory of the next, smaller one"
        computed = torch.zeros(1)
        self.seen.append(weakref.ref(computed))
        return super().gradients(model, task, batch, scale=scale)


def test_a_smaller_pass_has_the_memory_of_the_one_that_failed(toy_folder: Folder) -> None:
    run, data, store = load(toy_folder(widths=(16, 24), steps=(3,)))
    gc.collect()
    gc.disable()  # else it may come in time by chance
    try:
        result = loop.train(replace(run, rule=Holding(fits=1, seen=[])), data, store, CPU).columns()
    finally:
        gc.enable()
    assert "micro_batch=1 " in result["numerics"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_out_of_memory_in_the_optimisers_first_step_updates_nothing_twice(
    precision: str, toy_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It allocates two moments for each of eight parameters then, and may fail at any of them."""
    run, data, store = load(toy_folder(widths=(16, 24), steps=(3,)))
    run = replace(run, precision=precision)
    whole = loop.train(run, data, store, CPU).columns()
    zeros_like = torch.zeros_like
    for at in (1, 2, 15, 16):
        made: list[int] = []

        def scarce(*given: Any, made: list[int] = made, at: int = at, **options: Any) -> torch.Tensor:
            made.append(1)
            if len(made) == at:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")
            return zeros_like(*given, **options)

        monkeypatch.setattr(torch, "zeros_like", scarce)
        tight = loop.train(run, data, store, CPU).columns()
        assert len(made) >= 16 and "micro_batch=4 " in tight["numerics"]
        assert tight["loss"] == pytest.approx(whole["loss"], rel=1e-5 if precision == "fp32" else 1e-3)


def test_another_error_is_not_taken_for_memory(toy_folder: Folder) -> None:
    run, data, store = load(toy_folder(widths=(16, 24), steps=(40,)))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        loop.train(replace(run, rule=Failing(fits=3, error="shape mismatch")), data, store, CPU)


def test_a_non_finite_step_stops_before_the_update_and_counts_as_diverged(toy_folder: Folder, tally) -> None:
    fault = tally("a step whose gradient is not finite")
    run, data, store = load(toy_folder(widths=(16, 24), steps=(40,)))
    for at, value in ((1, "nan"), (7, "inf"), (40, "-inf")):
        rule = Poisoned(at=at, value=value, seen=[])
        result = loop.train(replace(run, rule=rule), data, store, CPU).columns()
        assert result["status"] == "diverged" and result["diverged_at_step"] == at - 1
        assert "not finite" in result["reason"] and "loss" not in result
        model, before = rule.seen[-1]
        fault.tried += 1
        fault.wrong += any(not torch.equal(now, former) for now, former in zip(model.parameters(), before, strict=True))
    fault.must_be_harmless()
