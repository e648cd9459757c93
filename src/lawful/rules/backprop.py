"""Backpropagation: one forward and one backward pass, the backward costing twice the forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lawful.rules import Rule


@dataclass(frozen=True, kw_only=True)
class Backprop(Rule):
    def gradients(self, model: nn.Module, task: Any, batch: Any, *, scale: float | Tensor) -> tuple[Tensor, int]:
        loss, targets = task.loss(model, batch)
        (loss * scale).backward()
        return loss.detach(), targets

    def training_flops_per_token(self, family: Any, context: int) -> int:
        return int(3 * family.forward_flops_per_token(context))
