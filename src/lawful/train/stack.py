"""Runs of one shape trained as one model: a leading axis of runs, batched products in place of many small ones.

Each run stays its own: its seed, data order, learning rate, evaluations, checkpoints and end are those of the loop. Its
parameters, and what its optimiser keeps, are rows of the stack; only the updates are made together. They agree with
those made one by one within floating-point reordering, which each run's numerics say.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from lawful.kernels.updates import fused_adamw, set_to_zero
from lawful.rules.backprop import Backprop
from lawful.run import Run
from lawful.tasks.next_token import NextToken
from lawful.train import device
from lawful.train.loop import Asked, Place, Progress, Training, Update, alone, is_out_of_memory, make_update
from lawful.train.optimizer import build_adamw

SETTINGS = ("lr", "betas", "weight_decay", "eps")  # of a group of AdamW's
PROBE_STEPS = 4  # the first is left out
MIN_GAIN = 1.1  # of runs together, to be worth it: less is within a probe's noise


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
    """Seconds of one update of so many runs on random inputs: the median of several."""
    place = Place(device=where)
    asked = []
    for seed in range(size):
        model = run.family.build(torch.Generator().manual_seed(seed)).to(where)
        batch = run.task.probe(run, run.batch_size)
        asked.append(
            Asked(
                run=run,
                batch=replace(batch, **{part.name: getattr(batch, part.name).numpy() for part in fields(batch)}),
                model=model,
                optimizer=build_adamw(model, run, is_fused=where.type in ("cpu", "cuda")),
                scaler=torch.amp.GradScaler(where.type, enabled=False),
                place=place,
                now=Progress(micro_batch=run.batch_size),
            )
        )
    stack = Stack(asked) if size > 1 else None
    times = []
    for _ in range(PROBE_STEPS):
        device.synchronize(where)
        start = time.perf_counter()
        if stack is None:
            make_update(asked[0])
        else:
            stack.step(asked)
        device.synchronize(where)
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[1]


def together(runs: Sequence[Training]) -> list[Any]:
    """Train runs of one shape, each to its own end, and return what each came to. Who ends or fails leaves the others.

    Raises what the last of those that raised did, once all are over.
    """
    if len(runs) == 1:
        return [alone(runs[0])]
    waiting: dict[int, Asked] = {}
    ended: dict[int, Any] = {}
    raised: BaseException | None = None

    def go_on(number: int, act: Callable[[], Asked]) -> None:
        nonlocal raised
        waiting.pop(number, None)
        try:
            waiting[number] = act()
        except StopIteration as end:
            ended[number] = end.value
        except BaseException as error:
            raised = error

    for number, run in enumerate(runs):
        go_on(number, lambda run=run: next(run))  # type: ignore[misc]
    members: tuple[int, ...] = ()
    while waiting:
        try:
            if members != tuple(waiting):
                stack = Stack(list(waiting.values()))
                members = tuple(waiting)
            updates = stack.step([waiting[number] for number in members])
        except BaseException as error:
            for number in tuple(waiting):
                go_on(number, lambda run=runs[number], error=error: run.throw(error))  # type: ignore[misc]
        else:
            for number, update in zip(members, updates, strict=True):
                go_on(number, lambda run=runs[number], update=update: run.send(update))  # type: ignore[misc]
    if raised is not None:
        raise raised
    return [ended[number] for number in range(len(runs))]


class Stack:
    """The parameters of so many models of one shape, each as one tensor [runs, ...], with gradients and moments."""

    def __init__(self, members: Sequence[Asked]) -> None:
        self.task = members[0].run.task
        self.model = members[0].model  # only its shape is used
        self.leaves: dict[str, Tensor] = {}
        self.grads: list[Tensor] = []
        self.parts: list[list[_Part]] = [[] for _ in members]  # by run, in the order of its optimiser's groups
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        for number, group in enumerate(members[0].optimizer.param_groups):
            for within, example in enumerate(group["params"]):
                tables = {
                    kind: torch.zeros(len(members), *example.shape, device=example.device)
                    for kind in ("weight", "grad", "exp_avg", "exp_avg_sq")
                }
                for row, member in enumerate(members):
                    own = {kind: table[row] for kind, table in tables.items()}
                    self.parts[row].append(_moved(member.optimizer, number, within, own))
                leaf = tables["weight"].requires_grad_()
                leaf.grad = tables["grad"]
                self.leaves[names[id(example)]] = leaf
                self.grads.append(leaf.grad)

    def step(self, members: Sequence[Asked]) -> list[Update]:
        """One update of each. A run whose loss or gradient norm is not finite is not updated."""
        first = members[0]
        where = self.grads[0].device
        targets = [self.task.count(member.batch) for member in members]
        shares = torch.tensor([1.0 / max(number, 1) for number in targets], device=where)
        batch = {
            part.name: torch.from_numpy(np.stack([getattr(member.batch, part.name) for member in members])).to(where)
            for part in fields(first.batch)
        }
        totals = torch.zeros(len(members), device=where)
        set_to_zero(self.grads)
        micro_batch = min(member.now.micro_batch for member in members)
        for start in range(0, first.run.batch_size, micro_batch):
            piece = {name: part[:, start : start + micro_batch] for name, part in batch.items()}
            with device.autocast(where, first.run.precision):
                losses = vmap(self._loss, in_dims=(0, 0, None))(self.leaves, piece, first.batch)
            torch.autograd.backward((losses * shares).sum())
            totals += losses.detach()
        norms = torch.stack([torch.linalg.vector_norm(grad.flatten(1), dim=1) for grad in self.grads]).norm(dim=0)
        limits = torch.tensor([member.run.optimizer.clip for member in members], device=where)
        clipped = (limits / (norms + 1e-6)).clamp(max=1.0)  # as clip_grad_norm_
        for grad in self.grads:
            grad.mul_(clipped.view(-1, *[1] * (grad.dim() - 1)))
        means = (totals * shares).tolist()
        updates = [Update(*each) for each in zip(means, norms.tolist(), targets, strict=True)]
        finite = [math.isfinite(update.loss) and math.isfinite(update.grad_norm) for update in updates]
        self._adamw([(member.optimizer, self.parts[row]) for row, member in enumerate(members) if finite[row]])
        return updates

    def _loss(self, parameters: dict[str, Tensor], batch: dict[str, Tensor], example: Any) -> Tensor:
        """Of one run; vmap gives it a slice of each tensor."""

        def model(inputs: Tensor) -> Tensor:
            out: Tensor = functional_call(self.model, parameters, (inputs,))
            return out

        loss: Tensor = self.task.loss(model, replace(example, **batch))
        return loss

    @torch.no_grad()
    def _adamw(self, members: Sequence[tuple[torch.optim.Optimizer, list[_Part]]]) -> None:
        """Once for all parts that share their settings."""
        alike: dict[tuple[Any, ...], list[_Part]] = {}
        for optimizer, parts in members:
            own = iter(parts)
            for group in optimizer.param_groups:
                settings = tuple(group[name] for name in SETTINGS)
                alike.setdefault(settings, []).extend(itertools.islice(own, len(group["params"])))
        for values, found in alike.items():
            weights, grads, means, squares, steps = (list(column) for column in zip(*found, strict=True))
            fused_adamw([weights, grads, means, squares, [], steps], dict(zip(SETTINGS, values, strict=True)))


class _Part(NamedTuple):
    """One parameter of one run, and what its optimiser keeps."""

    weight: Tensor
    grad: Tensor
    exp_avg: Tensor
    exp_avg_sq: Tensor
    step: Tensor


def _moved(optimizer: torch.optim.Optimizer, group: int, within: int, into: Mapping[str, Tensor]) -> _Part:
    """A parameter and its moments, into their places in the stack; they stay its model's and its optimiser's."""
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
