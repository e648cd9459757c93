"""A feed-forward network over the last few tokens: the plain peer of an energy model that sees as far back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lawful.checks import PositiveInt, check_fields
from lawful.families import Family, ParamCounts


@dataclass(frozen=True, kw_only=True)
class WindowMLP(Family):
    """Embeddings of the last `window` tokens, one beside the other, through `depth` hidden layers of `width` (GELU) to
    logits; after Bengio et al. 2003 (A neural probabilistic language model). No biases but the head's."""

    reads: ClassVar[str] = "tokens"

    vocab_size: PositiveInt
    window: PositiveInt
    embedding_width: PositiveInt
    width: PositiveInt
    depth: PositiveInt = 1

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def examples(cls) -> tuple[WindowMLP, ...]:
        return tuple(cls(vocab_size=65, window=4, embedding_width=8, width=24, depth=depth) for depth in (1, 2))

    @property
    def outputs(self) -> int:
        return self.vocab_size

    def build(self, generator: torch.Generator) -> WindowMLPModel:
        return WindowMLPModel(self, generator)

    def param_counts(self) -> ParamCounts:
        groups = {
            "token_embedding": self.vocab_size * self.embedding_width,
            "input": self.window * self.embedding_width * self.width,
            "hidden": (self.depth - 1) * self.width**2,
            "head": self.vocab_size * (self.width + 1),
        }
        return ParamCounts(by_group=groups, embedding_groups=frozenset({"token_embedding", "head"}))

    def forward_flops_per_token(self, context: int) -> int:
        hidden = self.window * self.embedding_width * self.width + (self.depth - 1) * self.width**2
        return 2 * (hidden + self.vocab_size * self.width)


class WindowMLPModel(nn.Module):
    """tokens [batch, time] of integers -> logits [batch, time, vocab_size]."""

    def __init__(self, spec: WindowMLP, generator: torch.Generator) -> None:
        super().__init__()
        self.window = spec.window
        self.embedding = nn.Embedding(spec.vocab_size, spec.embedding_width)
        widths = [spec.window * spec.embedding_width, *[spec.width] * spec.depth]
        self.layers = nn.ModuleList(
            nn.Linear(before, after, bias=False) for before, after in zip(widths[:-1], widths[1:], strict=True)
        )
        self.head = nn.Linear(spec.width, spec.vocab_size)
        with torch.no_grad():
            self.embedding.weight.normal_(0.0, 1.0, generator=generator)
            for layer in (*self.layers, self.head):
                layer.weight.normal_(0.0, 1 / math.sqrt(3 * layer.in_features), generator=generator)
            self.head.bias.zero_()

    def forward(self, tokens: Tensor) -> Tensor:
        past = F.pad(self.embedding(tokens), (0, 0, self.window - 1, 0))  # before the first input there is nothing
        time = tokens.shape[1]
        x = torch.cat([past[:, self.window - 1 - j : self.window - 1 - j + time] for j in range(self.window)], dim=-1)
        for layer in self.layers:
            x = F.gelu(layer(x))
        logits: Tensor = self.head(x)
        return logits
