"""How gradients are made. A rule fills `.grad` and states its own FLOPs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from lawful.errors import MissingDependency

try:
    from torch import Tensor, nn
except ImportError as error:
    raise MissingDependency.of("torch", extra="train", what="models and training", error=error) from None


class Rule(ABC):
    """A frozen dataclass of plain data.

    family_needs   a method that only some families have, without which the rule cannot work; None: it takes any
    family_kind    what families have that method, in words
    columns        what its audit adds to the table
    """

    family_needs: ClassVar[str | None] = None
    family_kind: ClassVar[str] = "a family that has it"
    columns: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def gradients(self, model: nn.Module, task: Any, batch: Any, *, scale: float | Tensor) -> Tensor:
        """Add the gradient of scale x (summed loss) to each parameter's .grad; the summed loss, unscaled, detached."""

    def audit(self, model: nn.Module, task: Any, batch: Any) -> dict[str, float]:
        """Columns that say how right this rule's gradients are at a run's final weights, on a small batch."""
        return {}

    @abstractmethod
    def training_flops_per_token(self, family: Any, context: int) -> int:
        """All the work of one optimiser step per token, the optimiser's own apart."""
