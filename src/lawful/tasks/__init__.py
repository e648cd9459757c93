"""What is predicted. A task owns the loss, its unit, and the metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from lawful.errors import MissingDependency
from lawful.plugins import Batch, Details
from lawful.run import Run

try:
    from torch import Tensor, nn
except ImportError as error:
    raise MissingDependency.of("torch", extra="train", what="models and training", error=error) from None


B = TypeVar("B", bound=Batch)
Forward = Callable[..., Any]  # a model, or what computes its outputs in its place: only the task knows what they are


class Task(ABC, Generic[B]):
    """A frozen dataclass of plain data.

    columns         what its summary adds to the table beside the loss: the names that a question may read
    added_symbols   what it needs of the model beside the corpus's vocabulary
    reads           as in Family
    """

    loss_unit: ClassVar[str]
    columns: ClassVar[tuple[str, ...]] = ()
    added_symbols: ClassVar[int] = 0
    reads: ClassVar[str | None] = None

    @abstractmethod
    def count(self, batch: B) -> int:
        """How many targets the batch has (what is given or padding is never one); arrays or tensors."""

    @abstractmethod
    def loss(self, model: Forward, batch: B) -> Tensor:
        """The loss summed over the batch's targets."""

    @abstractmethod
    def measure(self, model: nn.Module, batch: B) -> Mapping[str, float]:
        """Sums over the batch, which are summed over batches: at least "loss" and "targets"."""

    def summary(self, sums: Mapping[str, float]) -> dict[str, float]:
        """The columns of an evaluation, from all sums but "targets"; "loss" is one of them and is averaged over the
        targets."""
        return {name: value / sums["targets"] for name, value in sums.items() if name != "targets"}

    @abstractmethod
    def probe(self, run: Run, rows: int) -> B:
        """A batch of random tensors, shaped as this run's own, to time a step where the data is not at hand."""

    def no_evidence(self, found: Mapping[str, float]) -> str | None:
        """Why a model with this final evaluation has learned nothing that a law may go through; None where it has."""
        return None

    def details(
        self, model: nn.Module, batches: Iterable[B], named: Callable[[int], Mapping[str, str]]
    ) -> Details | None:
        """About the single sequences of a split; None where there is nothing to keep.

        named    what the data calls the sequence of this number
        """
        return None

    def worst_loss(self, run: Run) -> float | None:
        """That of guessing, one of the levels by which a run has diverged (train/divergence.py). None where there is no
        such number."""
        return None
