"""Backpropagation: one forward and one backward pass, the backward costing twice the forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lawful.rules import Rule


@dataclass(frozen=True, kw_only=True)
class Backprop(Rule):
    def gradients(self, model: nn.Module, task: Any, batch: Any, *, scale: float | Tensor) -> Tensor:
        loss: Tensor = task.loss(model, batch)
        torch.autograd.backward(loss * scale)
        return loss.detach()

    def training_flops_per_token(self, family: Any, context: int) -> int:
        return int(3 * family.forward_flops_per_token(context))
