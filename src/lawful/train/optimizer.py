"""AdamW as the field uses it (decay on matrices only) and the learning rate of a step."""

from __future__ import annotations

import functools
import itertools
import math

import torch
from torch import nn

from lawful.kernels.updates import AdamW, CPUAdamW
from lawful.run import Run, Schedule
from lawful.train import parallel

# Shares of the declared peak. Cosine schedules of the field end at a tenth (arXiv:2203.15556); a wsd decay of three
# steps, which rounds to a fifth of a run of 13, ends at .134, one of two at .18
PEAK_REACHED, DECAYED = 0.9, 0.15


def build_adamw(model: nn.Module, run: Run, *, is_fused: bool) -> torch.optim.AdamW:
    """Weight decay on parameters of two or more dimensions; none on gains, biases and the like.

    Each group's `rate_scale` multiplies the step's learning rate, as the family's parametrisation asks.
    """
    spec = run.optimizer
    groups: dict[tuple[float, float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = run.family.optimizer_scale(name)
            decay = spec.weight_decay * scale.decay if parameter.dim() >= 2 else 0.0
            groups.setdefault((decay, scale.rate, spec.eps * scale.eps), []).append(parameter)
    is_on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
    kind = CPUAdamW if is_fused and is_on_cpu else AdamW
    return kind(
        [
            {"params": parameters, "weight_decay": decay, "rate_scale": rate, "eps": eps}
            for (decay, rate, eps), parameters in groups.items()
        ],
        lr=spec.learning_rate,
        betas=(spec.beta1, spec.beta2),
        fused=is_fused,
        foreach=None if is_fused else False,
    )


def make_room(optimizer: torch.optim.Optimizer) -> None:
    """Allocate the optimizer's state of every parameter before the first update. If memory ran out in the middle of the
    first step, some parameters would be updated and others would have no moments."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if weight.grad is not None and not optimizer.state.get(weight):
                moments = {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
                on = weight.device if group["fused"] else None
                optimizer.state[weight] = {"step": torch.zeros((), dtype=torch.float32, device=on), **moments}


def clip(optimizer: torch.optim.Optimizer, limit: float) -> float:
    """Clip the gradients of all the optimizer's parameters, as clip_grad_norm_ does; gradients within the limit are
    left alone instead of multiplied by 1. Returns the norm before clipping."""
    every = [weight for group in optimizer.param_groups for weight in group["params"]]
    norm = nn.utils.get_total_norm([weight.grad for weight in every if weight.grad is not None])
    found = float(parallel.whole(norm))
    if not found + 1e-6 <= limit:
        nn.utils.clip_grads_with_norm_(every, limit, norm)
    return found


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_scale"]


def learning_rate(run: Run, step: int) -> float:
    """The learning rate of step number `step`, counted from 0."""
    return run.optimizer.learning_rate * schedule_factor(run.schedule, run.steps, run.decay_start, step)


def schedule_factor(schedule: Schedule, steps: int, decay_start: int, step: int) -> float:
    """The learning rate of a step over its peak: the smaller of the warmup's and the decay's share, so that a warmup
    never undoes the decay of a very short run."""
    warmup = min(1.0, (step + 1) / (schedule.warmup_steps + 1))
    if schedule.shape == "constant":
        return warmup
    if schedule.shape == "wsd":
        share = max(0, step - decay_start + 1) / (steps - decay_start + 1)
        return min(warmup, max(schedule.floor, 1.0 - math.sqrt(share)))
    # the half cosine begins at the peak, and the last step is number steps - 1
    share = max(0, step - schedule.warmup_steps) / max(1, steps - 1 - schedule.warmup_steps)
    return min(warmup, schedule.floor + (1.0 - schedule.floor) * 0.5 * (1.0 + math.cos(math.pi * share)))


def is_decayed(run: Run) -> bool:
    """Whether the learning rate has decayed when the run ends. The rates decide, not the schedule's name: the rate is
    at least PEAK_REACHED of its peak at some step, and at most DECAYED of it at the last step."""
    factor = functools.partial(schedule_factor, run.schedule, run.steps, run.decay_start)
    first_looked_at = min(run.schedule.warmup_steps, run.steps - 1)  # there at once, unless the warmup is cut short
    has_peaked = any(factor(step) >= PEAK_REACHED for step in itertools.chain([first_looked_at], range(run.steps)))
    return has_peaked and factor(run.steps - 1) <= DECAYED
