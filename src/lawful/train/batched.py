"""Runs of one shape trained as one model: a leading axis of runs, batched products in place of many small ones.

Each run stays its own: its seed, data order, learning rate, evaluations, checkpoints and end are those of the loop. Its
parameters, and what its optimizer keeps, are rows of the batch; only the updates are made together. They agree with
those made one by one within floating-point reordering, which each run's numerics say.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from lawful import plugins
from lawful.kernels.updates import fused_adamw, set_to_zero
from lawful.rules.backprop import Backprop
from lawful.run import Run
from lawful.schema import RunRecord
from lawful.tasks.next_token import NextToken
from lawful.train import device
from lawful.train.loop import Training, begin_step, end_step, finish
from lawful.train.state import ExecutionConfig, TrainState, fresh_state
from lawful.train.step import Update, each_array, is_out_of_memory, make_update, median_seconds, use_smaller_pieces

SETTINGS = ("lr", "betas", "weight_decay", "eps")  # of a group of AdamW's
MIN_GAIN = 1.1  # of runs together, to be worth it: less is within a probe's noise

Outcome = Callable[[], RunRecord]  # returns how the run ended, or raises the run's error


def train_batched(starts: Sequence[Callable[[], Training]], ended: Callable[[int, Outcome], None]) -> None:
    """Train runs of one shape as one model, each to its own end. A run that ends or fails leaves the others.

    Parameters
    ----------
    starts : `loop.start` with its arguments, for each run
    ended : called once for each run with its number and its outcome, as soon as it has no more steps. What `ended`
        raises is raised again when all runs are over.
    """
    running: dict[int, Training] = {}
    raised: list[BaseException] = []

    def end(number: int, outcome: Outcome) -> None:
        running.pop(number, None)
        try:
            ended(number, outcome)
        except BaseException as error:
            raised.append(error)

    def for_each(act: Callable[..., None], *given: Iterable[object]) -> None:
        """Call act(training, ...) for each run. An error ends the run whose turn it is, and no other."""
        for (number, training), *own in zip(list(running.items()), *given, strict=False):
            try:
                if training.is_running:
                    act(training, *own)
            except BaseException as error:
                end(number, functools.partial(_fail, error, training))
            else:
                if not training.is_running:
                    end(number, functools.partial(_finish, training))

    for number, start in enumerate(starts):
        try:
            running[number] = start()
        except BaseException as error:
            end(number, functools.partial(_fail, error))
    for_each(begin_step)
    batch: Batch | None = None
    while running:
        states = [training.state for training in running.values()]
        try:
            if batch is None or batch.states != states:
                batch = Batch(states)
            updates = batch.step()
        except BaseException as error:
            for_each(lambda training, error: use_smaller_pieces(training.state, error), itertools.repeat(error))
        else:
            for_each(end_step, updates)
        for_each(begin_step)
    if raised:
        raise raised[-1]


def _finish(training: Training) -> RunRecord:
    with contextlib.closing(training):
        return finish(training)


def _fail(error: BaseException, training: Training | None = None) -> NoReturn:
    if training is not None:
        training.close()
    raise error


def is_stackable(run: Run) -> bool:
    """Whether such runs can be trained together: no random numbers in a step, no losses to scale."""
    plain = type(run.rule) is Backprop and type(run.task) is NextToken and run.precision != "fp16"
    return plain and run.family.is_stackable


def best_size(run: Run, where: torch.device, most: int) -> tuple[int, float]:
    """How many runs of this shape, 1, 2, 4, ... up to `most` and what memory holds, are trained together fastest, and
    how many times as fast a step of each is then. 1 where that is less than MIN_GAIN, or where the batch of one run
    does not fit whole."""
    seconds: dict[int, float] = {}
    size = 1
    try:
        while size <= max(most, 1):
            seconds[size] = probe(run, where, size) / size
            size *= 2
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    if not seconds:
        return 1, 1.0
    best = min(seconds, key=lambda size: seconds[size])
    gain = seconds[1] / seconds[best]
    return (best, gain) if gain >= MIN_GAIN else (1, 1.0)


def probe(run: Run, where: torch.device, size: int) -> float:
    """Seconds of one update of so many runs on random inputs, of the processor on a CPU: the median of several."""
    states = []
    for seed in range(size):
        state = fresh_state(replace(run, init_seed=seed), ExecutionConfig(device=where))
        state.batch = each_array(run.task.probe(run, run.batch_size), np.asarray)
        states.append(state)
    step = Batch(states).step if size > 1 else lambda: make_update(states[0])
    return median_seconds(step, where, time.process_time if where.type == "cpu" else time.perf_counter)


class Batch:
    """The parameters of several models of one shape, each as one tensor [runs, ...], with gradients and moments."""

    def __init__(self, states: list[TrainState]) -> None:
        self.states = states
        self.task = states[0].run.task
        self.model = states[0].model  # only its shape is used
        self.leaves: dict[str, Tensor] = {}
        self.grads: list[Tensor] = []
        self.parts: list[list[_Part]] = [[] for _ in states]  # by run, in the order of its optimizer's groups
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        for number, group in enumerate(states[0].optimizer.param_groups):
            for within, example in enumerate(group["params"]):
                tables = {
                    kind: torch.zeros(len(states), *example.shape, device=example.device)
                    for kind in ("weight", "grad", "exp_avg", "exp_avg_sq")
                }
                for row, state in enumerate(states):
                    own = {kind: table[row] for kind, table in tables.items()}
                    self.parts[row].append(_moved(state.optimizer, number, within, own))
                leaf = tables["weight"].requires_grad_()
                leaf.grad = tables["grad"]
                self.leaves[names[id(example)]] = leaf
                self.grads.append(leaf.grad)

    def step(self) -> list[Update]:
        """One update of each run on its own batch. A run whose loss or gradient norm is not finite is not updated."""
        states, first = self.states, self.states[0]
        where = self.grads[0].device
        targets = [self.task.count(state.batch) for state in states]
        shares = torch.tensor([1.0 / max(number, 1) for number in targets], device=where)
        batch = {
            part.name: torch.from_numpy(np.stack([getattr(state.batch, part.name) for state in states])).to(where)
            for part in fields(first.batch)
        }
        totals = torch.zeros(len(states), device=where)
        set_to_zero(self.grads)
        micro_batch = min(state.progress.micro_batch for state in states)
        for start in range(0, first.run.batch_size, micro_batch):
            piece = {name: part[:, start : start + micro_batch] for name, part in batch.items()}
            with device.autocast(where, first.run.precision):
                losses = vmap(self._loss, in_dims=(0, 0, None))(self.leaves, piece, first.batch)
            torch.autograd.backward((losses * shares).sum())
            totals += losses.detach()
        norms = torch.stack([torch.linalg.vector_norm(grad.flatten(1), dim=1) for grad in self.grads]).norm(dim=0)
        limits = torch.tensor([state.run.optimizer.clip for state in states], device=where)
        clipped = (limits / (norms + 1e-6)).clamp(max=1.0)  # as clip_grad_norm_
        for grad in self.grads:
            grad.mul_(clipped.view(-1, *[1] * (grad.dim() - 1)))
        means = (totals * shares).tolist()
        updates = [Update(*each) for each in zip(means, norms.tolist(), targets, strict=True)]
        finite = [math.isfinite(update.loss) and math.isfinite(update.grad_norm) for update in updates]
        self._adamw([(state.optimizer, self.parts[row]) for row, state in enumerate(states) if finite[row]])
        return updates

    def _loss(self, parameters: dict[str, Tensor], batch: dict[str, Tensor], example: plugins.Batch) -> Tensor:
        """The loss of one run; vmap gives it a slice of each tensor."""

        def model(inputs: Tensor) -> Tensor:
            out: Tensor = functional_call(self.model, parameters, (inputs,))
            return out

        loss: Tensor = self.task.loss(model, replace(example, **batch))
        return loss

    @torch.no_grad()
    def _adamw(self, members: Sequence[tuple[torch.optim.Optimizer, list[_Part]]]) -> None:
        """Once for all parts that share their settings."""
        alike: dict[tuple[float | tuple[float, float], ...], list[_Part]] = {}
        for optimizer, parts in members:
            own = iter(parts)
            for group in optimizer.param_groups:
                settings = tuple(group[name] for name in SETTINGS)
                alike.setdefault(settings, []).extend(itertools.islice(own, len(group["params"])))
        for values, found in alike.items():
            weights, grads, means, squares, steps = (list(column) for column in zip(*found, strict=True))
            fused_adamw([weights, grads, means, squares, [], steps], dict(zip(SETTINGS, values, strict=True)))


class _Part(NamedTuple):
    """One parameter of one run, and what its optimizer keeps."""

    weight: Tensor
    grad: Tensor
    exp_avg: Tensor
    exp_avg_sq: Tensor
    step: Tensor


def _moved(optimizer: torch.optim.Optimizer, group: int, within: int, into: Mapping[str, Tensor]) -> _Part:
    """A parameter and its moments, into their places in the batch; they stay its model's and its optimizer's."""
    parameter = optimizer.param_groups[group]["params"][within]
    state = optimizer.state[parameter]
    into["weight"].copy_(parameter.data)
    parameter.data = into["weight"]
    for name in ("exp_avg", "exp_avg_sq"):
        if name in state:
            into[name].copy_(state[name])
        state[name] = into[name]
    state.setdefault("step", torch.zeros((), device=parameter.device))
    return _Part(**into, step=state["step"])
