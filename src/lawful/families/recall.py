"""A table of remembered keys, one row of value logits each: a learner whose exponents are those of its data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from lawful.checks import PositiveInt, Within, check_fields
from lawful.families import Family, OptimizerScale, ParamCounts

NEVER = -30.0  # logit of a symbol that is a key's digit: exp(-30) is nothing beside a value's share


@dataclass(frozen=True, kw_only=True)
class Recall(Family):
    """Reads blocks of a key's digits and a value (lawful.corpora.zipf_recall) and predicts the value.

    The keys numbered 0 to slots - 1 have a row each; of all others it knows nothing and guesses. Where keys are
    numbered by their frequency this is the learner of Hutter 2021 (arXiv:2102.04074) and of the quantization model
    (Michaud et al. 2023, arXiv:2303.13506), one key per unit of size in the order of use, trained by gradients.

    base, digits, values    how a block is written; symbols from `base` on are values
    slots                   its size: slots * values parameters
    heeds                   share of the positions it learns from, drawn anew at every step; the rest passes without a
                            gradient, so that D samples are worth heeds * D to it, exactly
    """

    reads: ClassVar[str] = "tokens"

    base: Annotated[int, Within(at_least=2)]
    digits: PositiveInt
    values: Annotated[int, Within(at_least=2)]
    slots: PositiveInt
    heeds: Annotated[float, Within(above=0, at_most=1)] = 1.0

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def vocab_size(self) -> int:
        return self.base + self.values

    @classmethod
    def examples(cls) -> tuple[Recall, ...]:
        forms = ((2000, 1.0), (3000, 0.5))
        return tuple(cls(base=49, digits=2, values=16, slots=slots, heeds=heeds) for slots, heeds in forms)

    @property
    def outputs(self) -> int:
        return self.vocab_size

    def param_counts(self) -> ParamCounts:
        """The rows are what it remembers with, so they are its size; the head is one vector per symbol."""
        return ParamCounts(
            by_group={"memory": self.slots * self.values, "head": self.vocab_size * self.values},
            embedding_groups=frozenset({"head"}),
        )

    def forward_flops_per_token(self, context: int) -> int:
        """FLOPs of the head alone: finding a row is no arithmetic."""
        return 2 * self.values * self.vocab_size

    def optimizer_scale(self, name: str) -> OptimizerScale:
        """The head only names the values and stays as it is."""
        return OptimizerScale(rate=0.0) if name.startswith("head.") else OptimizerScale()

    def build(self, generator: torch.Generator) -> RecallModel:
        return RecallModel(self, generator)


class RecallModel(nn.Module):
    """tokens [batch, time] of integers -> logits [batch, time, vocab_size]; those at the last digit of a key count."""

    def __init__(self, spec: Recall, generator: torch.Generator) -> None:
        super().__init__()
        self.spec = spec
        self.memory = nn.Embedding(spec.slots, spec.values)
        self.head = nn.Linear(spec.values, spec.vocab_size, bias=False)
        is_digit = torch.arange(spec.vocab_size) < spec.base
        self.register_buffer("shift", NEVER * is_digit, persistent=False)
        with torch.no_grad():
            self.memory.weight.normal_(0.0, 1e-3, generator=generator)  # next to nothing: a key never seen is guessed
            self.head.weight.copy_(torch.cat((torch.zeros(spec.base, spec.values), torch.eye(spec.values))))

    def forward(self, tokens: Tensor) -> Tensor:
        spec = self.spec
        number = torch.zeros_like(tokens)
        for place in range(spec.digits):  # the last digit is the token itself, the first lies digits - 1 back
            back = spec.digits - 1 - place
            number[:, back:] += tokens[:, : tokens.shape[1] - back] * spec.base**place
        rows = self.memory(number.clamp(max=spec.slots - 1))
        rows = rows * (number < spec.slots).unsqueeze(-1)
        if self.training and spec.heeds < 1:
            is_heeded = torch.rand(tokens.shape, device=tokens.device) < spec.heeds
            rows = torch.where(is_heeded.unsqueeze(-1), rows, rows.detach())
        out: Tensor = self.head(rows) + self.shift
        return out
