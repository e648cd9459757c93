"""Predict the next token at every position; the loss is in nats per token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lawful.run import Run
from lawful.tasks import Forward, Task

IGNORED = -100  # what cross_entropy leaves out of its sum by default


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Integers [batch, time]; the targets are the inputs one step later."""

    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True, kw_only=True)
class NextToken(Task[Tokens]):
    """A batch has inputs and targets, integers [batch, time]; every target counts once, one that is IGNORED never."""

    loss_unit: ClassVar[str] = "nats_per_token"
    reads: ClassVar[str] = "tokens"
    columns: ClassVar[tuple[str, ...]] = ("accuracy",)

    def count(self, batch: Tokens) -> int:
        return int((batch.targets != IGNORED).sum())

    def loss(self, model: Forward, batch: Tokens) -> Tensor:
        logits = model(batch.inputs)
        return F.cross_entropy(logits.flatten(0, 1).float(), batch.targets.flatten(), reduction="sum")

    @torch.no_grad()
    def measure(self, model: nn.Module, batch: Tokens) -> Mapping[str, float]:
        logits = model(batch.inputs).flatten(0, 1).float()
        targets = batch.targets.flatten()
        return {
            "loss": F.cross_entropy(logits, targets, reduction="sum").item(),
            "accuracy": (logits.argmax(-1) == targets).sum().item(),
            "targets": self.count(batch),
        }

    def probe(self, run: Run, rows: int) -> Tokens:
        tokens = torch.randint(run.family.vocab_size, (rows, run.context + 1))
        return Tokens(inputs=tokens[:, :-1], targets=tokens[:, 1:])

    def worst_loss(self, run: Run) -> float:
        return math.log(run.family.vocab_size)
