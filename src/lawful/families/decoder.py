"""A decoder-only transformer: pre-norm, rotary or learned positions, GELU or SwiGLU, tied or untied head."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lawful.checks import NaturalInt, PositiveInt, ShareBelowOne, field_problems, refuse
from lawful.errors import DeclarationError
from lawful.families import Family, OptimizerScale, ParamCounts
from lawful.kernels import block as fused
from lawful.kernels.rotary import Rotary, rotary_angles, rotate


@dataclass(frozen=True, kw_only=True)
class Decoder(Family):
    """width a multiple of heads; context bounds the positions (a learned table's length; rotary angles' reach).

    mlp       "gelu": two matrices, hidden 4 x width. "swiglu" (arXiv:2002.05202): three matrices, hidden 8/3 x width
              rounded to a multiple of 8, so that a block has at most 12 x width parameters more or less.
    No biases. Norms are LayerNorm with a gain.
    separator         the symbol at which a text starts: nothing before the latest one is attended to; None: all is
    parametrisation   how width and depth enter initialisation, multipliers and the optimiser, so that one learning rate
                      serves all sizes: "standard"; "mup" for width (arXiv:2203.03466); "completep" for width and depth
                      (arXiv:2505.01618). The last two are stated relative to base_width and base_depth, where they
                      equal the standard one but for attention, which is scaled by 1 / head size.
    """

    reads: ClassVar[str] = "tokens"

    vocab_size: PositiveInt
    width: PositiveInt
    depth: PositiveInt
    heads: PositiveInt
    context: PositiveInt
    mlp: Literal["gelu", "swiglu"] = "gelu"
    positions: Literal["rope", "learned"] = "rope"
    is_tied: bool = True
    dropout: ShareBelowOne = 0.0
    parametrisation: Literal["standard", "mup", "completep"] = "standard"
    base_width: PositiveInt | None = None
    base_depth: PositiveInt | None = None
    separator: NaturalInt | None = None

    def __post_init__(self) -> None:
        wrong = field_problems(self)
        problems = list(wrong.values())
        if self.parametrisation != "standard" and not (self.base_width and self.base_depth):
            problems.append(f"parametrisation {self.parametrisation} needs base_width and base_depth")
        if self.parametrisation == "standard" and (self.base_width or self.base_depth):
            problems.append("base_width and base_depth mean nothing in the standard parametrisation")
        if not wrong.keys() & {"width", "heads"}:
            if self.width % self.heads:
                problems.append(f"width {self.width} is not a multiple of heads {self.heads}")
            elif self.positions == "rope" and (self.width // self.heads) % 2:
                problems.append(f"rope needs an even head size, got {self.width // self.heads} (width / heads)")
        refuse("Decoder", problems)

    @property
    def outputs(self) -> int:
        return self.vocab_size

    @property
    def mlp_width(self) -> int:
        return 4 * self.width if self.mlp == "gelu" else max(8, 8 * round(8 * self.width / 3 / 8))

    def param_counts(self) -> ParamCounts:
        width, depth = self.width, self.depth
        groups = {
            "token_embedding": self.vocab_size * width,
            "attention": depth * 4 * width * width,
            "mlp": depth * (2 if self.mlp == "gelu" else 3) * width * self.mlp_width,
            "norms": (2 * depth + 1) * width,
        }
        if self.positions == "learned":
            groups["position_embedding"] = self.context * width
        if not self.is_tied:
            groups["head"] = self.vocab_size * width
        per_symbol = frozenset({"token_embedding", "position_embedding", "head"})
        return ParamCounts(by_group=groups, embedding_groups=per_symbol)

    def forward_flops_per_token(self, context: int) -> int:
        width = self.width
        matrices = 4 * width * width + (2 if self.mlp == "gelu" else 3) * width * self.mlp_width
        attention = 2 * context * width  # scores and weighted sum, one multiply-add each per pair and channel
        return 2 * (self.depth * (matrices + attention) + self.vocab_size * width)

    @property
    def width_ratio(self) -> float:
        return self.width / self.base_width if self.base_width else 1.0

    @property
    def depth_ratio(self) -> float:
        """1 unless the parametrisation reaches over depth."""
        return self.depth / self.base_depth if self.parametrisation == "completep" and self.base_depth else 1.0

    def optimizer_scale(self, name: str) -> OptimizerScale:
        """Hidden matrices: rate / m, decay x m, eps / (m l); embeddings: eps / m; gains: eps / (m l) in the blocks."""
        m, l = self.width_ratio, self.depth_ratio  # noqa: E741
        if self.parametrisation == "standard":
            return OptimizerScale()
        if not name.startswith("blocks."):
            return OptimizerScale(eps=1 / m)
        if name.endswith("norm.weight"):
            return OptimizerScale(eps=1 / (m * l))
        return OptimizerScale(rate=1 / m, decay=m, eps=1 / (m * l))

    @property
    def is_stackable(self) -> bool:
        return not self.dropout and self.separator is None  # these look at their numbers, or draw some

    def build(self, generator: torch.Generator) -> DecoderModel:
        return DecoderModel(self, generator)


class DecoderModel(nn.Module):
    """tokens [batch, time] of integers -> logits [batch, time, vocab_size]."""

    def __init__(self, spec: Decoder, generator: torch.Generator) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = nn.Embedding(spec.vocab_size, spec.width)
        self.position = nn.Embedding(spec.context, spec.width) if spec.positions == "learned" else None
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.depth))
        self.norm = nn.LayerNorm(spec.width, bias=False)
        self.head = nn.Linear(spec.width, spec.vocab_size, bias=False)
        if spec.is_tied:
            self.head.weight = self.embedding.weight
        if spec.positions == "rope":
            cos, sin = rotary_angles(spec.context, spec.width // spec.heads)
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)
        self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        # Standard deviation 1 / sqrt(3 fan_in): GPT-2's .02 at width 768, and right at other widths too.
        # Projections into the residual stream are divided by sqrt(2 depth) as in GPT-2. Under mup and completep,
        # vectors per symbol (embeddings and head) keep the scale of the base width; completep keeps the base's depth.
        spec = self.spec
        symbol_width = spec.base_width or spec.width
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0)
                continue
            std = 1 / math.sqrt(3 * (parameter.shape[1] if name.startswith("blocks.") else symbol_width))
            if name.endswith(("attention.out.weight", "mlp.down.weight")):
                std /= math.sqrt(2 * spec.depth / spec.depth_ratio)
            parameter.normal_(0.0, std, generator=generator)

    def forward(self, tokens: Tensor) -> Tensor:
        time = tokens.shape[1]
        if time > self.spec.context:
            raise DeclarationError(f"Decoder: expected at most {self.spec.context} positions (context), got {time}.")
        x = self.embedding(tokens)
        rotary = None if self.position is not None else (self.cos[:time], self.sin[:time])  # type: ignore[index]
        if self.position is not None:
            x = x + self.position.weight[:time]
        x = F.dropout(x, self.spec.dropout, self.training)
        mask = None if self.spec.separator is None else same_text(tokens, self.spec.separator)
        for block in self.blocks:
            x = block(x, rotary, mask)
        logits: Tensor = self.head(self.norm(x))
        return logits if self.spec.parametrisation == "standard" else logits / self.spec.width_ratio

    @contextlib.contextmanager
    def watched(self) -> Iterator[dict[str, Tensor]]:
        """Filled by the forward pass to come: output of the embedding, scores of the last block's attention (without
        rotation), output of that block, logits. A block may be one fused call: the scores are computed apart."""
        found: dict[str, Tensor] = {}

        def scores(module: nn.Module, given: tuple[Tensor, ...]) -> None:
            block: Block = module  # type: ignore[assignment]
            attention, (batch, time, width) = block.attention, given[0].shape
            qkv = attention.qkv(block.attention_norm(given[0]))
            q, k, _ = qkv.view(batch, time, 3, attention.heads, width // attention.heads).unbind(2)
            found["scores"] = torch.einsum("bihd,bjhd->bhij", q, k) * attention.scale

        def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
            return lambda module, given, output: found.update({name: output})

        last = self.blocks[-1]
        hooks = [
            self.embedding.register_forward_hook(keep("embedding")),
            last.register_forward_pre_hook(scores),
            last.register_forward_hook(keep("residual")),
            self.register_forward_hook(keep("logits")),
        ]
        try:
            yield found
        finally:
            for hook in hooks:
                hook.remove()


class Block(nn.Module):
    def __init__(self, spec: Decoder) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(spec.width, bias=False)
        self.attention = Attention(spec)
        self.mlp_norm = nn.LayerNorm(spec.width, bias=False)
        self.mlp: SwiGLU | GELU = SwiGLU(spec) if spec.mlp == "swiglu" else GELU(spec)
        self.dropout = spec.dropout
        is_gated, eps = spec.mlp == "swiglu", self.mlp_norm.eps
        self.shape = fused.BlockShape(spec.heads, self.attention.scale, 1 / spec.depth_ratio, is_gated, eps)

    def forward(self, x: Tensor, rotary: Rotary | None, mask: Tensor | None = None) -> Tensor:
        if fused.is_faster(x) and not (self.dropout and self.training):  # the two lines at the end, as one call
            up = self.mlp.gate_up if isinstance(self.mlp, SwiGLU) else self.mlp.up
            first = self.attention_norm.weight, self.attention.qkv.weight, self.attention.out.weight
            second = self.mlp_norm.weight, up.weight, self.mlp.down.weight
            return fused.fused_block(x, rotary, mask, self.shape, *first, *second)
        x = self._add(x, self.attention(self.attention_norm(x), rotary, mask))
        return self._add(x, self.mlp(self.mlp_norm(x)))

    def _add(self, x: Tensor, branch: Tensor) -> Tensor:
        branch = F.dropout(branch, self.dropout, self.training)
        scale = self.shape.branch_scale
        return x + (branch if scale == 1 else branch * scale)


class Attention(nn.Module):
    def __init__(self, spec: Decoder) -> None:
        super().__init__()
        self.heads = spec.heads
        self.dropout = spec.dropout
        size = spec.width / spec.heads
        self.scale = 1 / math.sqrt(size) if spec.parametrisation == "standard" else 1 / size  # muP
        self.qkv = nn.Linear(spec.width, 3 * spec.width, bias=False)
        self.out = nn.Linear(spec.width, spec.width, bias=False)

    def forward(self, x: Tensor, rotary: Rotary | None, mask: Tensor | None) -> Tensor:
        batch, time, width = x.shape
        # [batch, time, 3 width] -> three of [batch, heads, time, head size], of one type: vmap takes no others
        qkv = self.qkv(x).view(batch, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv if rotary is None else (*rotate(qkv[:2], *rotary).to(qkv.dtype), qkv[2])
        dropout, is_causal = self.dropout * self.training, mask is None
        mixed = F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal, scale=self.scale)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, time, width))
        return out


class GELU(nn.Module):
    def __init__(self, spec: Decoder) -> None:
        super().__init__()
        self.up = nn.Linear(spec.width, spec.mlp_width, bias=False)
        self.down = nn.Linear(spec.mlp_width, spec.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(F.gelu(self.up(x)))
        return out


class SwiGLU(nn.Module):
    def __init__(self, spec: Decoder) -> None:
        super().__init__()
        self.gate_up = nn.Linear(spec.width, 2 * spec.mlp_width, bias=False)
        self.down = nn.Linear(spec.mlp_width, spec.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        out: Tensor = self.down(F.silu(gate) * up)
        return out


def same_text(tokens: Tensor, separator: int) -> Tensor | None:
    """Which positions each may attend to, [batch, 1, time, time]: the earlier ones of its own text. None where each row
    is one text: plain causal attention, which is faster, then does the same."""
    starts = tokens == separator
    if not bool(starts[:, 1:].any()):
        return None
    text = starts.cumsum(1)
    return (text[:, :, None] == text[:, None, :]).tril()[:, None]
