"""Architectures. A family is a frozen value that builds a model, counts its parameters by group and its FLOPs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from lawful.errors import MissingDependency

try:
    import torch
    from torch import nn
except ImportError as error:
    raise MissingDependency.of("torch", extra="train", what="models and training", error=error) from None


@dataclass(frozen=True, kw_only=True)
class ParamCounts:
    """Trained parameters by group. `embedding` names the groups that hold one vector per symbol or position."""

    by_group: Mapping[str, int]
    embedding_groups: frozenset[str]

    @property
    def total(self) -> int:
        return sum(self.by_group.values())

    @property
    def embedding(self) -> int:
        return sum(count for group, count in self.by_group.items() if group in self.embedding_groups)

    @property
    def non_embedding(self) -> int:
        return self.total - self.embedding


@dataclass(frozen=True, kw_only=True)
class OptimizerScale:
    """By what a parametrisation multiplies the run's learning rate, weight decay and Adam epsilon for one parameter."""

    rate: float = 1.0
    decay: float = 1.0
    eps: float = 1.0


class Family(ABC):
    """A frozen dataclass of plain data; the contracts in testing/test_families.py hold for every one.

    reads     "tokens" or "frames": a Run is refused where family, corpus and task say different things; None: not said
    columns   what `evaluation_sums` add to the table, by name (see trouble)
    """

    reads: ClassVar[str | None] = None
    columns: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def examples(cls) -> tuple[Family, ...]:
        """Small ones in each of its forms, for a vocabulary of 65 symbols and a context of 16. The contract tries them;
        without any, it tries those of the registered studies."""
        return ()

    def optimizer_scale(self, name: str) -> OptimizerScale:
        """For the model's parameter of this name; all 1 in the standard parametrisation."""
        return OptimizerScale()

    @property
    def is_stackable(self) -> bool:
        """Whether torch.func.vmap over several of its models gives what each gives alone (train/batched.py)."""
        return False

    def trouble(self, columns: Mapping[str, float]) -> str | None:
        """Why a run with these columns of an evaluation has diverged, beside its loss; None where it has not.

        What a model leaves in its attribute `evaluation_sums`, summed over the positions of its last forward pass,
        is among them, as means.
        """
        return None

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Values predicted at each position; they bound what fits into one pass of an evaluation."""

    @abstractmethod
    def build(self, generator: torch.Generator) -> nn.Module:
        """The model with fresh weights, in fp32 on the CPU; every random draw comes from `generator`."""

    @abstractmethod
    def param_counts(self) -> ParamCounts:
        """By arithmetic, without building; groups sum to what the built model holds."""

    @abstractmethod
    def forward_flops_per_token(self, context: int) -> int:
        """Matrix products of one forward pass, two FLOPs a multiply-add, attention over the full square and the
        head included, element-wise work not: what torch.utils.flop_counter counts, divided by the tokens."""
