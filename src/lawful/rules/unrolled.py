"""Backpropagation through a fixed number of settling steps: the same network as EqProp, another gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lawful.rules import Rule


@dataclass(frozen=True, kw_only=True)
class UnrolledBackprop(Rule):
    """For a model that can be unrolled for so many steps, as those of families/equilibrium.py. Memory grows with
    them."""

    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"UnrolledBackprop: expected steps of at least 1, got {self.steps}.")

    def gradients(self, model: nn.Module, task: Any, batch: Any, *, scale: float | Tensor) -> tuple[Tensor, int]:
        net: Any = model
        if not hasattr(net, "unrolled"):
            raise ValueError(
                f"UnrolledBackprop: expected a model that settles, such as families/equilibrium.py builds, "
                f"got {type(net).__name__}; use Backprop for it."
            )
        loss, targets = task.loss(lambda inputs: net.unrolled(inputs, self.steps), batch)
        (loss * scale).backward()
        return loss.detach(), int(targets)

    def training_flops_per_token(self, family: Any, context: int) -> int:
        work = family.energy_flops_per_token(context)
        return int(3 * (work.clamp + self.steps * work.force + work.readout))
