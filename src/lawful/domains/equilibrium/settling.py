"""How states settle: damped steps, then Anderson acceleration, each position by itself, until a measured residual."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

# All measured on the study's models while they trained (LAB_NOTES, 2026-11-28)
DAMPED_STEPS = 8  # before the first acceleration: with fewer, more positions end at another fixed point
MEMORY = 5  # differences that the acceleration combines; 2 need a third more steps, 8 cost more than they save
PATIENCE = 16  # accelerated steps; where they have not settled a position, it is on its way past a slow region
LENGTHENING = 4  # then it takes damped steps again, each time so many times as many as before
GROWTH = 2.0  # a residual that grows by this factor ends an acceleration, too
ROUNDING = 64  # a residual below so many units of rounding does not swing, it trembles
LEAST_STEP = 1 / 16  # a damped step is halved down to this where it swings
RIDGE = 1e-8  # of the mean diagonal, for differences that are nearly parallel
FEW = 8  # when at most one position in so many still moves, the moving ones go on alone

# h [depth, batch, time, width] -> its target tanh(dPhi/dh + nudge), shaped like h
Target = Callable[[Tensor], Tensor]
# the numbers of some positions -> the target of these alone, of h [depth, positions, 1, width]
Alone = Callable[[Tensor], Target]


class Settled(NamedTuple):
    """h [depth, batch, time, width]; steps and residual [batch, time]: how many steps each position took, and the
    longest component of what was left of its way. `computed` and `accelerated` count the positions, summed over steps,
    whose target was computed and whose step was accelerated: the work that was done."""

    h: Tensor
    steps: Tensor
    residual: Tensor
    computed: int
    accelerated: int


def settle(h: Tensor, target: Target, alone: Alone, *, tolerance: float, max_steps: int) -> Settled:
    """Take each position from h to where max|target - h| is at most `tolerance`, in at most `max_steps` steps.

    A position at rest stays as it is. Anderson's acceleration (1965; type II of Fang and Saad 2009) finds the step
    that the last MEMORY steps would have needed. Not differentiable.
    """
    depth, batch, time, width = h.shape
    count, kind = batch * time, h.dtype
    flat = _flat(h)
    out, taken = flat.clone(), torch.zeros(count, dtype=kind, device=h.device)
    residual = torch.full_like(taken, math.inf)
    which = torch.arange(count, device=h.device)
    move = _Moves.begin(flat)
    computed = accelerated = 0
    for step in range(max_steps + 1):
        gap = _flat(target(_unflat(flat, depth, batch, time))) - flat
        computed += len(which)
        left = gap.abs().amax(1)
        residual[which], out[which] = left, flat
        is_moving = ~(left <= tolerance)
        moving = int(is_moving.sum())
        if not moving or step == max_steps:
            break
        taken[which] += is_moving.to(kind)
        change = move.next(flat, gap, left)
        accelerated += move.accelerated
        flat = torch.where(is_moving[:, None], (flat + change).clamp(-1.0, 1.0), flat)
        if moving <= len(which) // FEW:
            rows = torch.nonzero(is_moving)[:, 0]
            flat, which, batch, time = flat[rows], which[rows], len(rows), 1
            move.keep(rows)
            target = alone(which)
    shape = h.shape[1:3]
    return Settled(_unflat(out, depth, *shape), taken.reshape(shape), residual.reshape(shape), computed, accelerated)


def take_steps(h: Tensor, target: Target, steps: int) -> Tensor:
    """h after exactly so many steps h <- h + size (target - h), differentiable. A position's size is 1 at first, and is
    halved where its residual grew and its direction turned round."""
    size = torch.ones(h.shape[1:3], device=h.device, dtype=h.dtype)
    last, before = torch.zeros_like(h), torch.full_like(size, math.inf)
    for _ in range(steps):
        gap = target(h) - h
        seen = gap.detach()
        residual = seen.abs().amax(dim=(0, 3))
        has_grown = residual > before.clamp_min(ROUNDING * torch.finfo(h.dtype).eps)
        swings = has_grown & ((seen * last).sum(dim=(0, 3)) < 0)
        size = torch.where(swings, (size / 2).clamp_min(LEAST_STEP), size)
        h, last, before = h + size[..., None] * gap, seen, residual
    return h


@dataclass(kw_only=True)
class _Moves:
    """Chooses the next step of each position, [positions, depth x width], from its last ones."""

    size: Tensor  # of a damped step
    wait: Tensor  # damped steps before the next acceleration
    pause: Tensor  # damped steps after the next acceleration that fails
    age: Tensor  # accelerated steps in a row
    last: tuple[Tensor, Tensor, Tensor] | None = None  # state, gap and residual
    states: list[Tensor] = field(default_factory=list)  # differences between steps in a row, the newest last
    gaps: list[Tensor] = field(default_factory=list)
    accelerated: int = 0  # positions, in the last step

    @classmethod
    def begin(cls, flat: Tensor) -> _Moves:
        wait = torch.full((len(flat),), DAMPED_STEPS, device=flat.device)
        return cls(size=flat.new_ones(len(flat)), wait=wait, pause=wait.clone(), age=torch.zeros_like(wait))

    def next(self, flat: Tensor, gap: Tensor, residual: Tensor) -> Tensor:
        if self.last is not None:
            self._learn(flat, gap, residual, self.last)
        self.last = (flat, gap, residual)
        damped = self.size[:, None] * gap
        is_accelerated = self.wait == 0
        self.accelerated = len(flat) if self.gaps and bool(is_accelerated.any()) else 0
        if not self.accelerated:
            return damped
        states, gaps = torch.stack(self.states, 1), torch.stack(self.gaps, 1)
        products = gaps @ gaps.mT
        ridge = RIDGE * products.diagonal(dim1=1, dim2=2).mean(1) + torch.finfo(flat.dtype).tiny
        products = products + ridge[:, None, None] * torch.eye(len(self.gaps), dtype=flat.dtype, device=flat.device)
        weights, _ = torch.linalg.solve_ex(products, gaps @ gap[:, :, None])
        change = damped - ((states + self.size[:, None, None] * gaps).mT @ weights)[:, :, 0]
        is_accelerated &= change.isfinite().all(1)
        return torch.where(is_accelerated[:, None], change, damped)

    def _learn(self, flat: Tensor, gap: Tensor, residual: Tensor, last: tuple[Tensor, Tensor, Tensor]) -> None:
        """From what the last step did: halve damped steps that swing, end accelerations that fail."""
        state_before, gap_before, residual_before = last
        self.states = [*self.states, flat - state_before][-MEMORY:]
        self.gaps = [*self.gaps, gap - gap_before][-MEMORY:]
        was_accelerated = self.wait == 0
        swings = ~was_accelerated & (residual > residual_before) & ((gap * gap_before).sum(1) < 0)
        self.age = torch.where(was_accelerated, self.age + 1, 0)
        failed = was_accelerated & ((residual > GROWTH * residual_before) | (self.age > PATIENCE))
        self.size = torch.where(swings, (self.size / 2).clamp_min(LEAST_STEP), self.size)
        self.size = torch.where(failed, self.size.clamp_max(0.5), self.size)
        self.pause = torch.where(failed, self.pause * LENGTHENING, self.pause)
        self.wait = torch.where(failed, self.pause, (self.wait - 1).clamp_min(0))
        self.age = torch.where(failed, 0, self.age)
        if bool(failed.any()):  # what they remember is of where they came from
            self.states = [torch.where(failed[:, None], 0.0, one) for one in self.states]
            self.gaps = [torch.where(failed[:, None], 0.0, one) for one in self.gaps]

    def keep(self, rows: Tensor) -> None:
        """Go on with these positions alone."""
        self.size, self.wait, self.pause, self.age = (one[rows] for one in (self.size, self.wait, self.pause, self.age))
        self.states, self.gaps = [one[rows] for one in self.states], [one[rows] for one in self.gaps]
        if self.last is not None:
            state, gap, residual = self.last
            self.last = (state[rows], gap[rows], residual[rows])


def _flat(x: Tensor) -> Tensor:
    """[depth, batch, time, width] -> [batch x time, depth x width]"""
    return x.permute(1, 2, 0, 3).reshape(-1, x.shape[0] * x.shape[3])


def _unflat(x: Tensor, depth: int, batch: int, time: int) -> Tensor:
    return x.reshape(batch, time, depth, -1).permute(2, 0, 1, 3).contiguous()
