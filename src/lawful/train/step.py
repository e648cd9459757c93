"""One optimizer step: forward and backward over the pieces of a batch, clipping, and the update."""

from __future__ import annotations

import hashlib
import math
import operator
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import nn

from lawful.plugins import Batch
from lawful.run import Run
from lawful.train import device, parallel
from lawful.train.optimizer import clip, make_room
from lawful.train.state import TrainState

B = TypeVar("B", bound=Batch)
PROBE_STEPS = 4  # enough for a median without the first


class Update(NamedTuple):
    loss: float  # mean over the global batch's targets
    grad_norm: float  # before clipping
    targets: int


def make_update(state: TrainState) -> Update:
    """One update on `state.batch`. Nothing is updated when the loss or the gradient norm is not finite.

    Raises torch.OutOfMemoryError, or a RuntimeError for which `is_out_of_memory` holds, before anything is updated.
    """
    run, batch, optimizer, scaler, config = state.run, state.batch, state.optimizer, state.scaler, state.config
    optimizer.zero_grad(set_to_none=True)
    # dropout as a pure function of (seed, step, process)
    device.seed(config.device, _mix(run.init_seed, state.progress.step) + parallel.rank())
    targets = run.task.count(batch)
    share = 1.0 / max(targets, 1)  # each target weighs the same, however the batch is cut
    averaged = parallel.processes() if config.is_sharded else 1  # FSDP gives the mean over processes, not their sum
    scale = scaler.scale(torch.tensor(share * averaged, device=config.device))
    own = each_array(batch, operator.itemgetter(parallel.own_rows(len(batch.inputs))))
    total = torch.zeros((), device=config.device)
    failure: str | None = None
    work: dict[str, float] = {}
    try:
        for piece in pieces(own, state.progress.micro_batch):
            with device.autocast(config.device, run.precision):
                loss = run.rule.gradients(state.forward, run.task, to_device(piece, config.device), scale=scale)
            total = total + loss
            for name, value in getattr(state.model, "training_sums", {}).items():
                work[name] = work.get(name, 0.0) + value * parallel.processes()  # as if all had as much to do
        make_room(optimizer)
    except RuntimeError as error:
        if config.is_sharded or not is_out_of_memory(error):
            raise
        failure = str(error)  # not the error itself, whose traceback holds all that the pass has computed
    if parallel.any_of(failure is not None):  # all of them halve the micro-batch
        raise torch.OutOfMemoryError(failure or "out of memory in another process")
    sums = state.progress.training_sums
    sums |= {name: sums.get(name, 0.0) + value for name, value in work.items()}
    total = parallel.add_up(state.forward, total)
    scaler.unscale_(optimizer)
    norm = clip(optimizer, run.optimizer.clip)
    mean = float(total) * share
    if math.isfinite(mean) and (math.isfinite(norm) or scaler.is_enabled()):
        scaler.step(optimizer)
        scaler.update()
    return Update(mean, norm, targets)


def use_smaller_pieces(state: TrainState, error: BaseException) -> None:
    """After a step that ran out of memory: from now on the same global batch in pieces of half the size.

    Raises `error` where it says something else, or where a piece is one window already.
    """
    if not (isinstance(error, RuntimeError) and is_out_of_memory(error)) or state.progress.micro_batch == 1:
        raise error
    state.progress.micro_batch = (state.progress.micro_batch + 1) // 2
    state.note_numerics()
    state.optimizer.zero_grad(set_to_none=True)
    device.return_memory(state.config.device)
    state.compile()


def is_out_of_memory(error: RuntimeError) -> bool:
    """torch's own type on CUDA; its allocator's words on a CPU; "out of memory" on MPS and from CUDA itself;
    CUBLAS_STATUS_ALLOC_FAILED and the like from CUDA's libraries."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error)
        for words in ("can't allocate memory", "not enough memory", "out of memory", "_ALLOC_FAILED")
    )


def probe_step(run: Run, model: nn.Module, optimizer: torch.optim.Optimizer, where: torch.device, *, rows: int) -> None:
    """One update on `rows` windows of random inputs, to be timed: what a step of training costs here."""
    batch = run.task.probe(run, rows)
    optimizer.zero_grad(set_to_none=True)
    with device.autocast(where, run.precision):
        run.rule.gradients(model, run.task, to_device(batch, where), scale=1e-6)
    clip(optimizer, run.optimizer.clip)
    optimizer.step()


def median_seconds(
    step: Callable[[], object], where: torch.device, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds of one step: the median of PROBE_STEPS, without the first.

    clock    time.process_time where two ways are compared on one thread: what others compute here decides nothing then
    """
    times = []
    for _ in range(PROBE_STEPS):
        device.synchronize(where)
        start = clock()
        step()
        device.synchronize(where)
        times.append(clock() - start)
    return sorted(times[1:])[1]


def pieces(batch: B, micro_batch: int) -> Iterator[B]:
    for start in range(0, len(batch.inputs), micro_batch):
        yield each_array(batch, operator.itemgetter(slice(start, start + micro_batch)))


def to_device(batch: B, where: torch.device) -> B:
    """The batch's arrays as tensors on `where`. Apple's MPS, when told not to wait, copies what may be freed by then:
    wrong numbers arrive without an error (pytorch/pytorch#139550)."""
    is_async = where.type == "cuda"
    return each_array(batch, lambda part: torch.from_numpy(np.ascontiguousarray(part)).to(where, non_blocking=is_async))


def each_array(batch: B, change: Callable[[np.ndarray], np.ndarray | torch.Tensor]) -> B:
    """The batch with `change` applied to each of its arrays."""
    return replace(batch, **{part.name: change(getattr(batch, part.name)) for part in fields(batch)})


def _mix(seed: int, step: int) -> int:
    """A 63-bit seed from two numbers, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(b"%d %d" % (seed, step), digest_size=8).digest()) >> 1
