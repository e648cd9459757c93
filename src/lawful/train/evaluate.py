"""Evaluations of a model on fixed data, and the columns that the final one gives."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import nn

from lawful.plugins import Batch, PreparedData
from lawful.run import Run
from lawful.schema import Cell
from lawful.storage.atomic import write_json
from lawful.storage.codec import to_plain
from lawful.storage.layout import Store
from lawful.train import device
from lawful.train.state import TrainState
from lawful.train.step import is_out_of_memory, pieces, to_device

MAX_LOGITS = 2**25  # in one pass of an evaluation: 128 MiB in fp32


def evaluate(
    run: Run,
    data: PreparedData,
    model: nn.Module,
    where: torch.device,
    *,
    split: str = "validation",
    targets: int | None = None,
) -> dict[str, float]:
    """The task's metrics and the number of targets, on the same fixed ones for every run: all, or the first `targets`.

    Summed in float64. Where a pass runs out of memory, the split is read again in smaller passes.
    """
    windows = _windows_per_pass(run)
    model.eval()
    while True:
        try:
            sums = _sums(run, model, where, _batches(run, data, where, split, targets=targets, windows=windows))
            break
        except RuntimeError as error:
            if windows == 1 or not is_out_of_memory(error):
                raise
        windows = (windows + 1) // 2
        device.return_memory(where)
    model.train()
    return {**run.task.summary(sums), "targets": int(sums["targets"])}


@torch.no_grad()
def batch_loss(state: TrainState) -> float:
    """The loss on the state's batch with its present weights; the loss of a step is that before its update."""
    where = state.config.device
    state.model.eval()
    batches = (to_device(piece, where) for piece in pieces(state.batch, state.progress.micro_batch))
    loss = float(state.run.task.summary(_sums(state.run, state.model, where, batches))["loss"])
    state.model.train()
    return loss if math.isfinite(loss) else math.inf


def record_line(step: int, batch_tokens: int, split: str, found: Mapping[str, float]) -> dict[str, float]:
    """An evaluation as a line of the record."""
    others = {name: value for name, value in found.items() if name not in ("loss", "targets")}
    return {"step": step, "tokens": step * batch_tokens, f"{split}_loss": found["loss"], **others}


def final_columns(
    state: TrainState, data: PreparedData, validation: Mapping[str, float] | None = None
) -> dict[str, Cell]:
    """The final evaluations as columns: plain names for validation, `test_` before those of the test split.

    validation    its evaluation, where that has been made
    """
    columns: dict[str, Cell] = {}
    for split in _judged_splits(data):
        given = validation if split == "validation" else None
        found = given or evaluate(state.run, data, state.model, state.config.device, split=split)
        values: dict[str, float | None] = dict(found)
        columns[f"{split}_tokens"] = values.pop("targets")
        values["bits_per_byte"] = data.bits_per_byte(found["loss"], split)
        prefix = "" if split == "validation" else f"{split}_"
        columns |= {f"{prefix}{name}": value for name, value in values.items()}
    return columns


def write_details(state: TrainState, data: PreparedData, store: Store) -> None:
    """Write what the task keeps of single sequences of the judged splits, if anything, beside the run's result."""
    run, model, where, kept = state.run, state.model, state.config.device, {}
    model.eval()
    for split in _judged_splits(data):
        named = functools.partial(data.named, split)
        with device.autocast(where, run.precision):
            if (found := run.task.details(model, _batches(run, data, where, split), named)) is not None:
                kept[split] = found
    if kept:
        write_json(store.details(run.id), to_plain(kept), lease=state.config.lease)


def _judged_splits(data: PreparedData) -> list[str]:
    return [split for split in ("validation", "test") if split in data.splits]


def _sums(run: Run, model: nn.Module, where: torch.device, batches: Iterable[Batch]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for batch in batches:
        with device.autocast(where, run.precision):
            measured = run.task.measure(model, batch)
        for name, value in {**measured, **getattr(model, "evaluation_sums", {})}.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


def _windows_per_pass(run: Run) -> int:
    """A choice of speed, not of meaning."""
    logits: int = run.context * run.family.outputs  # of one window
    return max(1, min(8192 // run.context, MAX_LOGITS // logits))


def _batches(
    run: Run,
    data: PreparedData,
    where: torch.device,
    split: str,
    *,
    targets: int | None = None,
    windows: int | None = None,
) -> Iterator[Batch]:
    size = windows or _windows_per_pass(run)
    for batch in data.evaluation_batches(split, context=run.context, batch_size=size, targets=targets):
        yield to_device(batch, where)
