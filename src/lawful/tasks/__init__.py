"""What is predicted. A task owns the loss, its unit, and the metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn


class Task(ABC):
    """A frozen dataclass of plain data."""

    loss_unit: ClassVar[str]

    @abstractmethod
    def count(self, batch: Any) -> int:
        """How many targets the batch has (what is given or padding is never one); arrays or tensors."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, int]:
        """The loss summed over the batch's targets, and their number (padding is never a target)."""

    @abstractmethod
    def measure(self, model: nn.Module, batch: Any) -> Mapping[str, float]:
        """Sums over the batch's targets, each to be divided by "targets": at least "loss" and "targets"."""
