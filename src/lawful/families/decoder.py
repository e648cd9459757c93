"""A decoder-only transformer: pre-norm, rotary or learned positions, GELU or SwiGLU, tied or untied head."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lawful.checks import NaturalInt, PositiveInt, ShareBelowOne, field_problems, refuse
from lawful.errors import DeclarationError
from lawful.families import Family, OptimizerScale, ParamCounts

# positions up to which WholeBlock is faster, by the precision of products (LAB_NOTES, 2026-11-22)
MAX_SHORT = {torch.float32: 128, torch.bfloat16: 512}

_layer_norm_back = torch.ops.aten.native_layer_norm_backward.default
_gelu_back = torch.ops.aten.gelu_backward.default
_silu_back = torch.ops.aten.silu_backward.default

Rotary = tuple[Tensor, Tensor] | None  # cos and sin, [time, head size] each


@dataclass(frozen=True, kw_only=True)
class Decoder(Family):
    """width a multiple of heads; context bounds the positions (a learned table's length; rotary angles' reach).

    mlp       "gelu": two matrices, hidden 4 x width. "swiglu" (arXiv:2002.05202): three matrices, hidden 8/3 x width
              rounded to a multiple of 8; `mlp_residue` says by how many parameters a block then differs.
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
        if wrong.keys() & {"width", "heads"}:
            pass  # said already
        elif self.width % self.heads:
            problems.append(f"width {self.width} is not a multiple of heads {self.heads}")
        elif self.positions == "rope" and (self.width // self.heads) % 2:
            problems.append(f"rope needs an even head size, got {self.width // self.heads} (width / heads)")
        refuse("Decoder", problems)

    @property
    def outputs(self) -> int:
        return self.vocab_size

    @property
    def mlp_width(self) -> int:
        if self.mlp == "gelu":
            return 4 * self.width
        return max(8, 8 * round(8 * self.width / 3 / 8))

    @property
    def mlp_residue(self) -> int:
        """Feed-forward parameters of one block minus those of the GELU block it is matched to."""
        matrices = 2 if self.mlp == "gelu" else 3
        return matrices * self.width * self.mlp_width - 8 * self.width**2

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
        return ParamCounts(
            by_group=groups, embedding_groups=frozenset({"token_embedding", "position_embedding", "head"})
        )

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
        depth = spec.depth / spec.depth_ratio
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0)
                continue
            std = 1 / math.sqrt(3 * (parameter.shape[1] if name.startswith("blocks.") else symbol_width))
            if name.endswith(("attention.out.weight", "mlp.down.weight")):
                std /= math.sqrt(2 * depth)
            parameter.normal_(0.0, std, generator=generator)

    def forward(self, tokens: Tensor) -> Tensor:
        time = tokens.shape[1]
        if time > self.spec.context:
            raise DeclarationError(f"Decoder: expected at most {self.spec.context} positions (context), got {time}.")
        x = self.embedding(tokens)
        if self.position is not None:
            x = x + self.position.weight[:time]
            rotary = None
        else:
            rotary = (self.cos[:time], self.sin[:time])  # type: ignore[index]
        x = F.dropout(x, self.spec.dropout, self.training)
        mask = None if self.spec.separator is None else same_text(tokens, self.spec.separator)
        for block in self.blocks:
            x = block(x, rotary, mask)
        logits: Tensor = self.head(self.norm(x))
        return logits if self.spec.parametrisation == "standard" else logits / self.spec.width_ratio


class Block(nn.Module):
    def __init__(self, spec: Decoder) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(spec.width, bias=False)
        self.attention = Attention(spec)
        self.mlp_norm = nn.LayerNorm(spec.width, bias=False)
        self.mlp: SwiGLU | GELU = SwiGLU(spec) if spec.mlp == "swiglu" else GELU(spec)
        self.dropout = spec.dropout
        self.shape = Shape(
            heads=spec.heads,
            scale=self.attention.scale,
            branch_scale=1 / spec.depth_ratio,
            is_gated=spec.mlp == "swiglu",
            eps=self.mlp_norm.eps,
        )

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None, mask: Tensor | None = None) -> Tensor:
        if is_short(x, x.shape[1]) and not (self.dropout and self.training):
            attention, mlp = self.attention, self.mlp
            up = mlp.gate_up if isinstance(mlp, SwiGLU) else mlp.up
            first = self.attention_norm.weight, attention.qkv.weight, attention.out.weight
            whole = WholeBlock if is_alone(x) else StackedBlock
            out: Tensor = whole.apply(  # type: ignore[no-untyped-call]
                x, rotary, mask, self.shape, *first, self.mlp_norm.weight, up.weight, mlp.down.weight
            )
            return out
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
        self.scale = 1 / math.sqrt(size) if spec.parametrisation == "standard" else 1 / size  # as muP wants it
        self.qkv = nn.Linear(spec.width, 3 * spec.width, bias=False)
        self.out = nn.Linear(spec.width, spec.width, bias=False)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None, mask: Tensor | None) -> Tensor:
        batch, time, width = x.shape
        # [batch, time, 3 width] -> three of [batch, heads, time, head size]
        qkv = self.qkv(x).view(batch, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = (*rotate(qkv[:2], *rotary), qkv[2]) if rotary is not None else qkv
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, dropout_p=dropout, scale=self.scale
        )
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
    """Who may look at whom, [batch, 1, time, time]: earlier ones of the same text. None where rows hold one text each,
    so that the plain causal attention, which is faster, does."""
    starts = tokens == separator
    if not bool(starts[:, 1:].any()):
        return None
    text = starts.cumsum(1)
    return (text[:, :, None] == text[:, None, :]).tril()[:, None]


def rotary_angles(context: int, head_size: int) -> tuple[Tensor, Tensor]:
    """cos and sin for rotate(), each [context, head_size], base 10,000 (arXiv:2104.09864)."""
    frequency = 10_000.0 ** (-torch.arange(0, head_size, 2, dtype=torch.float64) / head_size)
    angle = torch.outer(torch.arange(context, dtype=torch.float64), frequency)
    cos, sin = angle.cos().float(), angle.sin().float()
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (first half, second half) of the last axis of x [..., time, head size] by its angle, in x's dtype:
    under vmap autocast does not reach attention, which then needs queries, keys and values of one dtype."""
    return (x * cos + x.roll(x.shape[-1] // 2, -1) * sin).to(x.dtype)


def is_short(x: Tensor, time: int) -> bool:
    """Whether a block over x, of so many positions, is better done by WholeBlock."""
    return x.device.type == "cpu" and time <= MAX_SHORT.get(_precision(x), 0)


def is_alone(x: Tensor) -> bool:
    """Whether no transformation of torch.func is at work, as where runs are stacked."""
    return not torch._C._are_functorch_transforms_active()


def _precision(x: Tensor) -> torch.dtype:
    """Of products with x."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


class Shape(NamedTuple):
    """Of a block, beside its weights. scale: of the scores; branch_scale: of what each branch adds to the residual."""

    heads: int
    scale: float
    branch_scale: float
    is_gated: bool  # SwiGLU, else GELU
    eps: float


class WholeBlock(torch.autograd.Function):
    """A Block without dropout over a short sequence, the backward pass written out: what its parts come to within
    rounding, in fewer and larger calls, which on a CPU cost as much as a small model's arithmetic.

    forward(x [batch, time, width], (cos, sin) or None, mask as same_text gives it or None, shape, and six weights:
    attention norm's, qkv, attention's out, mlp norm's, up (gate above up where gated), down) -> [batch, time, width]
    Of several models at once, where x and the weights have a leading axis of runs.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, rotary: Rotary, mask: Tensor | None, shape: Shape, *weights: Tensor) -> Tensor:
        *runs, batch, time, width = x.shape
        kind, flat = _precision(x), (*runs, batch * time, -1)
        first_gain, second_gain = weights[0], weights[3]
        to_qkv, to_out, to_up, to_down = (weights[at].to(kind) for at in (1, 2, 4, 5))

        normed, *first = _norm(x, first_gain, shape.eps)
        normed = normed.to(kind).view(flat)
        qkv = (normed @ to_qkv.mT).view(-1, time, 3, shape.heads, width // shape.heads)
        mixed, turned, seen = attend(qkv, rotary, mask, shape.scale)
        mixed = mixed.view(flat)
        middle = torch.add(x, (mixed @ to_out.mT).view(x.shape), alpha=shape.branch_scale)

        normed_middle, *second = _norm(middle, second_gain, shape.eps)
        normed_middle = normed_middle.to(kind).view(flat)
        hidden = normed_middle @ to_up.mT
        active = _gated(hidden) if shape.is_gated else F.gelu(hidden)
        out = torch.add(middle, (active @ to_down.mT).view(x.shape), alpha=shape.branch_scale)

        kept = x, *first, normed, turned, seen, mixed
        kept_later = middle, *second, normed_middle, hidden, active
        ctx.save_for_backward(*kept, *kept_later, first_gain, to_qkv, to_out, second_gain, to_up, to_down)
        ctx.rotary, ctx.shape = rotary, shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        saved = ctx.saved_tensors
        x, mean, inverse, normed, turned, seen, mixed = saved[:7]
        middle, later_mean, later_inverse, normed_middle, hidden, active = saved[7:13]
        first_gain, to_qkv, to_out, second_gain, to_up, to_down = saved[13:]
        (*runs, batch, time, width), shape, kind = x.shape, ctx.shape, normed.dtype
        flat = *runs, batch * time, -1

        grad = _times(grads[0].to(kind).view(flat), shape.branch_scale)
        by_down = grad.mT @ active
        grad = grad @ to_down
        grad = _gated_back(grad, hidden) if shape.is_gated else _gelu_back(grad, hidden)
        by_up = grad.mT @ normed_middle
        grad = (grad @ to_up).view(x.shape).to(x.dtype)
        by_middle, by_second = _norm_back(grad, middle, later_mean, later_inverse, second_gain)
        by_middle += grads[0]

        grad = _times(by_middle.to(kind).view(flat), shape.branch_scale)
        by_out = grad.mT @ mixed
        grad = (grad @ to_out).view(-1, time, shape.heads, width // shape.heads)
        grad = attend_back(grad, turned, seen, ctx.rotary, shape.scale).view(flat)
        by_qkv = grad.mT @ normed
        grad = (grad @ to_qkv).view(x.shape).to(x.dtype)
        by_x, by_first = _norm_back(grad, x, mean, inverse, first_gain)
        by_x += by_middle

        by_qkv, by_out, by_up, by_down = (each.to(x.dtype) for each in (by_qkv, by_out, by_up, by_down))
        return by_x, None, None, None, by_first, by_qkv, by_out, by_second, by_up, by_down


class StackedBlock(torch.autograd.Function):
    """WholeBlock of several models at once, for torch.func.vmap, which goes no further than this."""

    @staticmethod
    def forward(*given: Any) -> Tensor:
        raise NotImplementedError

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        raise NotImplementedError

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, *given: Any) -> Any:
        (rotary, mask, shape), weights = given[:3], given[3:]
        of_runs = [each.movedim(dim, 0) for each, dim in zip((x, *weights), (in_dims[0], *in_dims[4:]), strict=True)]
        return WholeBlock.apply(of_runs[0], rotary, mask, shape, *of_runs[1:]), 0  # type: ignore[no-untyped-call]


def _norm(x: Tensor, gain: Tensor, eps: float) -> tuple[Tensor, ...]:
    """x normed over its last axis, by its own gain where there are runs; the means and the inverses of deviations."""
    if gain.dim() == 1:
        return torch.native_layer_norm(x, x.shape[-1:], gain, None, eps)
    return _each_run(functools.partial(_norm, eps=eps), x, gain)


def _norm_back(grad: Tensor, x: Tensor, mean: Tensor, inverse: Tensor, gain: Tensor) -> tuple[Tensor, ...]:
    """The gradients by x and by the gain."""
    if gain.dim() == 1:
        return tuple(_layer_norm_back(grad, x, x.shape[-1:], mean, inverse, gain, None, (True, True, False))[:2])
    return _each_run(_norm_back, grad, x, mean, inverse, gain)


def _each_run(act: Callable[..., tuple[Tensor, ...]], *given: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.stack(parts) for parts in zip(*map(act, *given), strict=True))


def _times(x: Tensor, scale: float) -> Tensor:
    return x if scale == 1 else x * scale


def _gated(hidden: Tensor) -> Tensor:
    gate, up = hidden.chunk(2, dim=-1)
    return F.silu(gate) * up


def _gated_back(grad: Tensor, hidden: Tensor) -> Tensor:
    gate, up = hidden.chunk(2, dim=-1)
    return torch.cat((_silu_back(grad * up, gate), grad * F.silu(gate)), dim=-1)


def attend(qkv: Tensor, rotary: Rotary, mask: Tensor | None, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Rotary turn and causal attention with the whole square of weights kept: for short sequences on a CPU faster than
    the kernel that never keeps it, and turned in place. The same arithmetic within rounding, in qkv's precision.

    qkv [batch, time, 3, heads, head size], (cos, sin) or None, mask as same_text gives it or None
    -> [batch, time, heads, head size], and what attend_back needs: qkv turned [3, batch, heads, time, head size], and
    the weights [batch x heads, time, time]
    """
    batch, time, _, heads, size = qkv.shape
    turned = _permuted(qkv, 2, 0, 3, 1)
    if rotary is not None:
        _rotate_in_place(turned[:2], *rotary)
    q, k, v = turned.view(3, batch * heads, time, size).unbind(0)
    if mask is None:
        scores = torch.baddbmm(_unseen(time, qkv.dtype), q, k.mT, alpha=scale)
    else:
        scores = torch.bmm(q, k.mT).mul_(scale).view(batch, heads, time, time)
        scores = scores.masked_fill_(~mask, -math.inf).view(-1, time, time)
    weights = torch._softmax(scores, -1, False)  # autocast would turn torch.softmax's into fp32
    return _permuted(torch.bmm(weights, v).view(batch, heads, time, size), 0, 2, 1), turned, weights


def attend_back(grad: Tensor, turned: Tensor, weights: Tensor, rotary: Rotary, scale: float) -> Tensor:
    """attend's backward pass: of the gradient by what came out, that by qkv."""
    q, k, v = turned.flatten(1, 2).unbind(0)
    grad = _permuted(grad, 0, 2, 1).view(v.shape)
    by_qkv = torch.empty_like(turned)
    by_q, by_k, by_v = by_qkv.flatten(1, 2).unbind(0)
    torch.bmm(weights.mT, grad, out=by_v)
    by_scores = torch._softmax_backward_data(torch.bmm(grad, v.mT), weights, -1, weights.dtype)
    torch.baddbmm(by_q, by_scores, k, beta=0, alpha=scale, out=by_q)
    torch.baddbmm(by_k, by_scores.mT, q, beta=0, alpha=scale, out=by_k)
    if rotary is not None:
        cos, sin = rotary
        _rotate_in_place(by_qkv[:2], cos, -sin)  # a rotation's transpose is the rotation back
    return _permuted(by_qkv, 1, 3, 0, 2)


def _permuted(x: Tensor, *order: int) -> Tensor:
    """x's axes in this order, its last one where it was: by whole rows, which for rows as short as a head's is faster
    than element by element (LAB_NOTES, 2026-11-22)."""
    *shape, size = x.shape
    rows = x.view(-1, size).index_select(0, _rows(tuple(shape), order))
    return rows.view(*(shape[axis] for axis in order), size)


@functools.lru_cache(maxsize=64)
def _rows(shape: tuple[int, ...], order: tuple[int, ...]) -> Tensor:
    return torch.arange(math.prod(shape)).view(shape).permute(order).reshape(-1)


def _rotate_in_place(x: Tensor, cos: Tensor, sin: Tensor) -> None:
    swapped = x.roll(x.shape[-1] // 2, -1)
    x.mul_(cos.to(x.dtype)).addcmul_(swapped, sin.to(x.dtype))


@functools.cache
def _unseen(time: int, kind: torch.dtype) -> Tensor:
    """What is added to scores: -inf where the key is later than the query."""
    return torch.full((time, time), -math.inf, dtype=kind).triu(1)
