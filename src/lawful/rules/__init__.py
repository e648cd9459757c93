"""How gradients are made. A rule fills `.grad` and states its own FLOPs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Generic, Protocol, TypeVar

from lawful.errors import MissingDependency
from lawful.plugins import Batch

try:
    from torch import Tensor, nn
except ImportError as error:
    raise MissingDependency.of("torch", extra="train", what="models and training", error=error) from None


B = TypeVar("B", bound=Batch)
B_contra = TypeVar("B_contra", bound=Batch, contravariant=True)


class Loss(Protocol[B_contra]):
    """What a rule needs of a task."""

    def loss(self, model: Callable[..., Tensor], batch: B_contra) -> Tensor: ...


class Costs(Protocol):
    """What a rule needs of a family."""

    def forward_flops_per_token(self, context: int) -> int: ...


class Rule(ABC, Generic[B]):
    """A frozen dataclass of plain data.

    family_needs   a method that only some families have, without which the rule cannot work; None: it takes any
    family_kind    what families have that method, in words
    columns        what its audits and its cost add to the table
    """

    family_needs: ClassVar[str | None] = None
    family_kind: ClassVar[str] = "a family that has it"
    columns: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def gradients(self, model: nn.Module, task: Loss[B], batch: B, *, scale: float | Tensor) -> Tensor:
        """Add the gradient of scale x (summed loss) to each parameter's .grad; the summed loss, unscaled, detached.

        A rule whose work depends on the data leaves it in the model's attribute `training_sums`, summed over the
        positions of the batch; `measured_flops_per_token` is given the means over all of training.
        """

    def audit(self, model: nn.Module, task: Loss[B], batch: B) -> dict[str, float]:
        """Columns that say how far this rule's gradients are from right, on a small batch: at each evaluation of
        training and at the final weights. The table has the largest value of each."""
        return {}

    def no_evidence(self, audited: Mapping[str, float]) -> str | None:
        """Why a run with these largest values of its audits is no evidence about this rule; None where it is."""
        return None

    def cost(self, model: nn.Module, task: Loss[B], batch: B) -> dict[str, float]:
        """Columns that say what a gradient costs at a run's final weights, on a small batch."""
        return {}

    def measured_flops_per_token(self, family: Costs, context: int, sums: Mapping[str, float]) -> float:
        """The work that was done, from the means per token of what `gradients` left in `training_sums`."""
        return float(self.training_flops_per_token(family, context))

    @abstractmethod
    def training_flops_per_token(self, family: Costs, context: int) -> int:
        """All the work of one optimiser step per token, the optimiser's own apart."""
