"""Backpropagation through a fixed number of settling steps: the same network as EqProp, another gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lawful.checks import PositiveInt, check_fields
from lawful.domains.equilibrium.families.equilibrium import energy_model
from lawful.errors import DeclarationError
from lawful.rules import Loss, Rule
from lawful.tasks.next_token import Tokens


@dataclass(frozen=True, kw_only=True)
class UnrolledBackprop(Rule[Tokens]):
    """For a model that can be unrolled for so many steps, as those of families/equilibrium.py. Memory grows with
    them."""

    family_needs: ClassVar[str] = "energy_flops_per_token"
    family_kind: ClassVar[str] = "a model that settles, such as Equilibrium"

    steps: PositiveInt

    def __post_init__(self) -> None:
        check_fields(self)

    def gradients(self, model: nn.Module, task: Loss[Tokens], batch: Tokens, *, scale: float | Tensor) -> Tensor:
        if not hasattr(model, "unrolled"):
            raise DeclarationError(
                f"UnrolledBackprop: expected a model that settles, such as families/equilibrium.py builds, "
                f"got {type(model).__name__}; use Backprop for it."
            )
        net = energy_model(model)
        loss = task.loss(lambda inputs: net.unrolled(inputs, self.steps), batch)
        torch.autograd.backward(loss * scale)
        return loss.detach()

    def training_flops_per_token(self, family: Any, context: int) -> int:
        work = family.energy_flops_per_token(context)
        return int(3 * (work.clamp + self.steps * work.force + work.readout))
