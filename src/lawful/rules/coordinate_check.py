"""Backpropagation that also measures how far a decoder's activations have moved from the untrained model's."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from lawful.checks import NaturalInt
from lawful.plugins import Batch
from lawful.rules import Costs, Loss, Rule


class Buildable(Protocol):
    def build(self, generator: torch.Generator) -> nn.Module: ...


class Watchable(Protocol):
    """What the rule needs of a model: how to make it again, and its activations in the forward pass to come."""

    spec: Buildable

    def watched(self) -> AbstractContextManager[dict[str, Tensor]]: ...


@dataclass(frozen=True, kw_only=True)
class CoordinateCheck(Rule[Batch]):
    """The coordinate check of arXiv:2203.03466, appendix D.1: under a right parametrisation the change of a coordinate
    after a few steps has the same size at every width. Of the change since the first step, not of the activation:
    what an untrained model gives may depend on the width.

    init_seed   of the Run, by which the untrained model is made again
    """

    family_needs: ClassVar[str | None] = "width_ratio"
    family_kind: ClassVar[str] = "a decoder"
    columns: ClassVar[tuple[str, ...]] = ("change_embedding", "change_scores", "change_residual", "change_logits")

    init_seed: NaturalInt

    def gradients(self, model: nn.Module, task: Loss[Batch], batch: Batch, *, scale: float | Tensor) -> Tensor:
        loss = task.loss(model, batch)
        torch.autograd.backward(loss * scale)
        return loss.detach()

    def training_flops_per_token(self, family: Costs, context: int) -> int:
        return 3 * family.forward_flops_per_token(context)

    @torch.no_grad()
    def audit(self, model: nn.Module, task: Loss[Batch], batch: Batch) -> dict[str, float]:
        decoder = next(module for module in model.modules() if hasattr(module, "watched"))
        device = next(decoder.parameters()).device
        spec: Buildable = decoder.spec  # type: ignore[assignment]  # Watchable's
        untrained = spec.build(torch.Generator().manual_seed(self.init_seed)).to(device).eval()
        was_training = decoder.training
        decoder.eval()
        now, before = (_activations(one, task, batch) for one in (decoder, untrained))
        decoder.train(was_training)
        return {f"change_{name}": _root_mean_square(now[name] - before[name]) for name in now}


def _activations(model: nn.Module, task: Loss[Batch], batch: Batch) -> dict[str, Tensor]:
    watchable: Watchable = model  # type: ignore[assignment]  # a decoder's
    with watchable.watched() as found:
        task.loss(model, batch)
    return found


def _root_mean_square(change: Tensor) -> float:
    return math.sqrt(float(change.float().square().mean()))
