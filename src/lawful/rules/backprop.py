"""Backpropagation: one forward and one backward pass, the backward costing twice the forward."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lawful.plugins import Batch
from lawful.rules import Costs, Loss, Rule


@dataclass(frozen=True, kw_only=True)
class Backprop(Rule[Batch]):
    def gradients(self, model: nn.Module, task: Loss[Batch], batch: Batch, *, scale: float | Tensor) -> Tensor:
        loss = task.loss(model, batch)
        torch.autograd.backward(loss * scale)
        return loss.detach()

    def training_flops_per_token(self, family: Costs, context: int) -> int:
        return 3 * family.forward_flops_per_token(context)
