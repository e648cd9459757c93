"""A stack of LSTM layers (Hochreiter and Schmidhuber 1997) whose size can be matched to another family's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lawful.checks import NaturalInt, PositiveInt, check_fields
from lawful.errors import DeclarationError
from lawful.families import Family, ParamCounts


@dataclass(frozen=True, kw_only=True)
class LSTM(Family):
    """width of a symbol's vector (shared by the tied head), hidden units of each of `depth` layers. The last layer is
    projected back to the width. It has no bound on its context.

    separator   the symbol at which a text starts: the state is empty before it; None: never reset within a row
    """

    reads: ClassVar[str] = "tokens"

    vocab_size: PositiveInt
    width: PositiveInt
    hidden: PositiveInt
    depth: PositiveInt
    separator: NaturalInt | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def matched(
        cls,
        params: int,
        *,
        vocab_size: int,
        width: int,
        depth: int,
        separator: int | None = None,
        tolerance: float = 0.05,
    ) -> LSTM:
        """With the number of hidden units that comes nearest to `params` non-embedding parameters.

        Raises LawfulError when the nearest is not within `tolerance`: a size that small has no match of this depth.
        """

        def made(hidden: int) -> LSTM:
            return cls(vocab_size=vocab_size, width=width, hidden=hidden, depth=depth, separator=separator)

        # the positive root of (8 depth - 4) h^2 + (5 width + 8 depth) h = params
        square, linear = 8 * depth - 4, 5 * width + 8 * depth
        root = (math.sqrt(linear**2 + 4 * square * params) - linear) / (2 * square)
        near = min(
            (made(max(1, hidden)) for hidden in (math.floor(root), math.ceil(root))), key=lambda f: f.misses(params)
        )
        if near.misses(params) > tolerance:
            raise DeclarationError(
                f"LSTM: expected a size within {tolerance:.0%} of {params:,} parameters at depth {depth} and width "
                f"{width}, got {near.param_counts().non_embedding:,} at best; take fewer layers."
            )
        return near

    def misses(self, params: int) -> float:
        """By which share the non-embedding parameters differ from `params`."""
        return abs(self.param_counts().non_embedding / params - 1)

    @classmethod
    def examples(cls) -> tuple[LSTM, ...]:
        plain = cls(vocab_size=65, width=32, hidden=40, depth=1)
        return (plain, cls(vocab_size=65, width=32, hidden=24, depth=2, separator=64))

    @property
    def outputs(self) -> int:
        return self.vocab_size

    def param_counts(self) -> ParamCounts:
        hidden, width = self.hidden, self.width
        return ParamCounts(
            by_group={
                "token_embedding": self.vocab_size * width,
                "input": 4 * hidden * (width + (self.depth - 1) * hidden),
                "recurrent": 4 * hidden * hidden * self.depth,
                "biases": 8 * hidden * self.depth,
                "projection": hidden * width,
            },
            embedding_groups=frozenset({"token_embedding"}),
        )

    def forward_flops_per_token(self, context: int) -> int:
        counts = self.param_counts().by_group
        return 2 * (counts["input"] + counts["recurrent"] + counts["projection"] + counts["token_embedding"])

    def build(self, generator: torch.Generator) -> LSTMModel:
        return LSTMModel(self, generator)


class LSTMModel(nn.Module):
    """tokens [batch, time] of integers -> logits [batch, time, vocab_size]."""

    def __init__(self, spec: LSTM, generator: torch.Generator) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = nn.Embedding(spec.vocab_size, spec.width)
        self.layers = nn.LSTM(spec.width, spec.hidden, spec.depth, batch_first=True)
        self.projection = nn.Linear(spec.hidden, spec.width, bias=False)
        self.head = nn.Linear(spec.width, spec.vocab_size, bias=False)
        self.head.weight = self.embedding.weight
        self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        # Symbols' vectors as in the decoder, matrices 1 / sqrt(fan_in): with the inputs brought to size 1 below, a
        # signal passes two layers; under torch's own smaller start a stack of two sat for hundreds of steps at the
        # unigram loss (LAB_NOTES, 2026-11-22). Biases 0, but 1 for the gate that forgets (Jozefowicz, Zaremba and
        # Sutskever 2015).
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                parameter.zero_()
                if "bias_ih" in name:
                    parameter[self.spec.hidden : 2 * self.spec.hidden] = 1.0
                continue
            fan_in = 3 * self.spec.width if name == "embedding.weight" else parameter.shape[1]
            parameter.normal_(0.0, 1 / math.sqrt(fan_in), generator=generator)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens) * math.sqrt(3 * self.spec.width)
        starts = tokens == self.spec.separator if self.spec.separator is not None else None
        if starts is None or not bool(starts[:, 1:].any()):
            hidden = self._through(x)
        else:
            hidden = self._by_text(x, starts)
        logits: Tensor = self.head(self.projection(hidden))
        return logits

    def _through(self, x: Tensor) -> Tensor:
        """In fp32 where bf16 is asked for on CUDA: torch there hands cuDNN fp16 whatever the precision, in which
        gradients that nothing scales vanish."""
        is_on_gpu = x.device.type == "cuda" and torch.is_autocast_enabled("cuda")
        if not is_on_gpu or torch.get_autocast_dtype("cuda") != torch.bfloat16:
            hidden, _ = self.layers(x)
        else:
            with torch.autocast("cuda", enabled=False):
                hidden, _ = self.layers(x.float())
        found: Tensor = hidden
        return found

    def _by_text(self, x: Tensor, starts: Tensor) -> Tensor:
        """Each text of a row from an empty state: texts become rows, filled up at their end, and then go back.

        x [batch, time, width], starts [batch, time] -> [batch, time, hidden]
        """
        batch, time, width = x.shape
        starts = starts.clone()
        starts[:, 0] = True
        text = starts.flatten().cumsum(0) - 1  # [batch x time]: which text a position belongs to
        first = starts.flatten().nonzero()[:, 0]  # [texts]
        place = torch.arange(batch * time, device=x.device) - first[text]  # within its text
        rows = x.new_zeros(len(first), int(place.max()) + 1, width)
        rows[text, place] = x.flatten(0, 1)
        hidden = self._through(rows)
        found: Tensor = hidden[text, place].view(batch, time, -1)
        return found
