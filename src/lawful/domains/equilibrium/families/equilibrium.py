"""Energy models of next-token prediction: states that settle to a fixed point, driven by a clamped causal memory.

    E(h; x) = sum G(h) - Phi(h; x),  G' = artanh,  so that a stationary point is h = tanh(dPhi/dh)

The memory at position t holds the inputs at s <= t; states of other positions are never seen, so positions settle
in parallel and nothing leaks from the future. After Scellier & Bengio 2017 (arXiv:1602.05179).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lawful.checks import NaturalInt, PositiveFloat, PositiveInt, ShareBelowOne, field_problems, refuse
from lawful.domains.equilibrium.energy_flops import EnergyFlops
from lawful.domains.equilibrium.settling import MEMORY, Settled, Target, settle, take_steps
from lawful.errors import DeclarationError
from lawful.families import Family, OptimizerScale, ParamCounts
from lawful.kernels.rotary import rotary_angles, rotate

CPU_POSITIONS = 2048  # of an evaluation settle at once: their states stay in the cache, 8192 took 1.5 times as long
SETTLED_SHARE = 0.5  # below it, an evaluation says little about the fixed points and the run has diverged

# Fresh couplings, as multiples of 1 / sqrt(width): small enough that a fresh model's energy has a curvature above .5 in
# every direction. Twice as much left recurrent_core .13, and its training became unstable (LAB_NOTES, 2026-11-28)
RECURRENCE, QUERY, MLP, BETWEEN = 0.1, 0.25, 0.25, 0.1
COUPLINGS = ("recurrence", "query", "key", "mlp", "between")  # the parameters that bend the energy
COUPLING_DECAY = 10.0  # so many times the decay of a step that other matrices have


@dataclass(frozen=True, kw_only=True)
class Equilibrium(Family):
    """Width is that of the state and of the memory.

    variant     looped_mlp: Phi = h . (sum_{j < window} U_j m_{t-j} + b) + 1/2 h^T (A + A^T) h
                recurrent_core: Phi = h . (U m_t + b) + sum over heads of logsumexp_{s <= t} [(Q^T h) . k_s / sqrt(head
                size)] + sum F(M h), with keys k_s = K^T m_s turned by their position (rotary) or with a learned
                position added to m_s, and F(z) = 1/2 (softplus(2z) / 2)^2, smooth: a squared ReLU's kink breaks the
                rule's second order
                full: that for each of `depth` layers, plus h^{l+1} . W_l h^l between them
    max_steps   an evaluation settles until every position's residual max|tanh(dPhi/dh) - h| is at most `tolerance`, or
                for so many steps. It takes exactly so many, none accelerated, where the tolerance is 0, and under
                Backprop. Training takes the steps that its rule says
    coupling_rate   times the learning rate for the parameters that bend the energy. At 1 the energy of a trained model
                is nearly flat in some direction at some positions: they settle slowly or jump, and the gradient
                explodes there (LAB_NOTES, 2026-11-28)
    """

    reads: ClassVar[str] = "tokens"
    columns: ClassVar[tuple[str, ...]] = ("settling_steps", "settling_residual", "settled_share")

    variant: Literal["looped_mlp", "recurrent_core", "full"]
    vocab_size: PositiveInt
    width: PositiveInt
    context: PositiveInt
    window: PositiveInt = 8  # looped_mlp only; 1 is a bigram
    depth: PositiveInt = 1  # full only
    heads: PositiveInt = 4  # recurrent_core and full
    mlp_width: NaturalInt = 0  # recurrent_core and full
    positions: Literal["rope", "learned"] = "rope"
    max_steps: PositiveInt = 200
    tolerance: ShareBelowOne = 1e-3
    coupling_rate: PositiveFloat = 0.2

    def __post_init__(self) -> None:
        wrong = field_problems(self)
        problems = list(wrong.values())
        if self.variant != "full" and self.depth != 1:
            problems.append(f"depth {self.depth} means nothing in {self.variant}; only full has layers")
        if self.variant == "looped_mlp" or wrong.keys() & {"width", "heads", "mlp_width"}:
            pass  # they mean nothing there, or it is said already
        elif not self.mlp_width:
            problems.append(f"{self.variant} needs mlp_width")
        elif self.width % self.heads:
            problems.append(f"width {self.width} is not a multiple of heads {self.heads}")
        elif self.positions == "rope" and (self.width // self.heads) % 2:
            problems.append(f"rope needs an even head size, got {self.width // self.heads} (width / heads)")
        refuse("Equilibrium", problems)

    @classmethod
    def examples(cls) -> tuple[Equilibrium, ...]:
        # an evaluation may stop before max_steps; with no tolerance it takes them all, as the FLOPs are counted
        small = partial(cls, vocab_size=65, width=16, context=16, heads=2, max_steps=3, tolerance=0.0)
        return (
            small(variant="looped_mlp", window=4),
            small(variant="recurrent_core", mlp_width=24),
            small(variant="recurrent_core", mlp_width=24, positions="learned"),
            small(variant="full", mlp_width=24, depth=3),
        )

    @property
    def outputs(self) -> int:
        return self.vocab_size

    def build(self, generator: torch.Generator) -> EnergyModel:
        return LoopedMLP(self, generator) if self.variant == "looped_mlp" else Core(self, generator)

    def optimizer_scale(self, name: str) -> OptimizerScale:
        if name in COUPLINGS:
            return OptimizerScale(rate=self.coupling_rate, decay=COUPLING_DECAY / self.coupling_rate)
        return OptimizerScale(decay=0.0) if name == "bias" else OptimizerScale()

    def param_counts(self) -> ParamCounts:
        width, depth = self.width, self.depth
        groups = {"token_embedding": self.vocab_size * width, "head": self.vocab_size * (width + 1)}
        if self.variant == "looped_mlp":
            groups |= {"drive": self.window * width * width + width, "recurrence": width * width}
        else:
            groups |= {
                "drive": depth * (width * width + width),
                "attention": depth * 2 * width * width,
                "mlp": depth * width * self.mlp_width,
                "between_layers": (depth - 1) * width * width,
            }
            if self.positions == "learned":
                groups["position_embedding"] = self.context * width
        return ParamCounts(
            by_group=groups, embedding_groups=frozenset({"token_embedding", "position_embedding", "head"})
        )

    def forward_flops_per_token(self, context: int) -> int:
        """FLOPs of an evaluation that takes all of max_steps."""
        work = self.energy_flops_per_token(context)
        return work.clamp + self.max_steps * work.force + work.readout

    def energy_flops_per_token(self, context: int) -> EnergyFlops:
        """Matrix products by part, two FLOPs a multiply-add, attention over the full square."""
        width, depth = self.width, self.depth
        readout = 2 * self.vocab_size * width
        acceleration = 2 * MEMORY * (MEMORY + 2) * depth * width
        if self.variant == "looped_mlp":
            product = 2 * width * width
            return EnergyFlops(
                clamp=self.window * product,
                force=product,
                potential=product,
                potential_backward=product,
                readout=readout,
                acceleration=acceleration,
            )
        product, attention = 2 * width * width, 2 * context * width
        feed_forward = 2 * width * self.mlp_width
        return EnergyFlops(
            clamp=depth * 2 * product,
            force=depth * (2 * product + 2 * attention + 2 * feed_forward) + (depth - 1) * 2 * product,
            potential=depth * (product + attention + feed_forward) + (depth - 1) * product,
            # by the queries and keys both: their product is the one with two trained sides
            potential_backward=depth * (product + 2 * attention + feed_forward) + (depth - 1) * product,
            readout=readout,
            acceleration=acceleration,
        )

    def trouble(self, columns: Mapping[str, float]) -> str | None:
        share = columns.get("settled_share", 1.0)
        if self.tolerance == 0 or share >= SETTLED_SHARE:
            return None
        return (
            f"only {share:.0%} of the positions settled to {self.tolerance:g} within {self.max_steps} steps "
            f"(mean residual {columns.get('settling_residual', math.nan):.2g})"
        )


class EnergyModel(nn.Module):
    """tokens [batch, time] of integers -> logits [batch, time, vocab_size], read from the settled top layer."""

    def __init__(self, spec: Equilibrium) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = nn.Embedding(spec.vocab_size, spec.width)
        self.head = nn.Linear(spec.width, spec.vocab_size)
        self.evaluation_sums: dict[str, float] = {}
        self.training_sums: dict[str, float] = {}

    @abstractmethod
    def clamp(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """What Phi needs of the inputs and of the parameters, computed once; the drive [depth, batch, time, width]
        first."""

    @abstractmethod
    def potential(self, h: Tensor, clamped: tuple[Tensor, ...]) -> Tensor:
        """Phi of each position [batch, time], to be differentiated by the parameters at a given state."""

    @abstractmethod
    def force(self, h: Tensor, clamped: tuple[Tensor, ...]) -> Tensor:
        """dPhi/dh, shaped like h, written out: no automatic differentiation while settling."""

    @abstractmethod
    def alone(self, clamped: tuple[Tensor, ...], rows: Tensor, times: Tensor) -> tuple[Tensor, ...]:
        """What is clamped of some positions, each as a row of its own: a drive [depth, positions, 1, width] first."""

    def readout(self, top: Tensor) -> Tensor:
        return F.linear(top, self.head.weight, self.head.bias)

    def start(self, clamped: tuple[Tensor, ...]) -> Tensor:
        return torch.tanh(clamped[0])

    @torch.no_grad()
    def settle(
        self,
        h: Tensor,
        clamped: tuple[Tensor, ...],
        nudge: Tensor | None = None,
        *,
        tolerance: float,
        max_steps: int,
    ) -> Settled:
        """From the state h to rest; see settling.py. nudge [batch, time, width]: a constant force on the top layer."""

        def target(h: Tensor, clamped: tuple[Tensor, ...], nudge: Tensor | None) -> Tensor:
            force = self.force(h, clamped)
            return torch.tanh(force if nudge is None else torch.cat((force[:-1], (force[-1] + nudge)[None])))

        def alone(which: Tensor) -> Target:
            rows, times = which // h.shape[2], which % h.shape[2]
            own = self.alone(clamped, rows, times)
            push = None if nudge is None else nudge[rows, times][:, None]
            return lambda h: target(h, own, push)

        whole: Target = lambda h: target(h, clamped, nudge)  # noqa: E731
        return settle(h, whole, alone, tolerance=tolerance, max_steps=max_steps)

    def forward(self, tokens: Tensor) -> Tensor:
        """Leaves in `evaluation_sums` how many steps were taken, what residual was left and how many positions
        settled."""
        if tokens.shape[1] > self.spec.context:
            raise DeclarationError(
                f"Equilibrium: expected at most {self.spec.context} positions (context), got {tokens.shape[1]}."
            )
        if torch.is_grad_enabled() or self.spec.tolerance == 0:
            self.evaluation_sums = {"settling_steps": float(tokens.numel() * self.spec.max_steps)}
            return self.unrolled(tokens, self.spec.max_steps)
        with torch.autocast(tokens.device.type, enabled=False):  # a residual of 1e-3 is below bf16's rounding
            tolerance, max_steps = self.spec.tolerance, self.spec.max_steps
            rows = max(1, CPU_POSITIONS // tokens.shape[1]) if tokens.device.type == "cpu" else len(tokens)
            sums = dict.fromkeys(("settling_steps", "settling_residual", "settled_share"), 0.0)
            tops = []
            for part in torch.split(tokens, rows):
                clamped = self.clamp(part)
                settled = self.settle(self.start(clamped), clamped, tolerance=tolerance, max_steps=max_steps)
                sums["settling_steps"] += float(settled.steps.sum())
                sums["settling_residual"] += float(settled.residual.sum())
                sums["settled_share"] += float((settled.residual <= tolerance).sum())
                tops.append(settled.h[-1])
            self.evaluation_sums = sums
            return self.readout(torch.cat(tops))

    def unrolled(self, tokens: Tensor, steps: int) -> Tensor:
        """Logits after exactly so many steps towards tanh(dPhi/dh), none accelerated; they are differentiated."""
        clamped = self.clamp(tokens)
        h = take_steps(self.start(clamped), lambda h: torch.tanh(self.force(h, clamped)), steps)
        return self.readout(h[-1])


def energy_model(model: nn.Module) -> EnergyModel:
    """The model, which may be compiled: a wrapper that hands its attributes on."""
    net: Any = model
    return net  # type: ignore[no-any-return]


class LoopedMLP(EnergyModel):
    """clamped: drive, A + A^T."""

    def __init__(self, spec: Equilibrium, generator: torch.Generator) -> None:
        super().__init__(spec)
        width = spec.width
        self.input = nn.Parameter(torch.empty(width, spec.window * width))
        self.recurrence = nn.Parameter(torch.empty(width, width))
        self.bias = nn.Parameter(torch.zeros(width))
        with torch.no_grad():
            self.embedding.weight.normal_(0.0, 1.0, generator=generator)
            self.input.normal_(0.0, 1 / math.sqrt(spec.window * width), generator=generator)
            self.recurrence.normal_(0.0, RECURRENCE / math.sqrt(width), generator=generator)
            _start_head(self.head, generator)

    def clamp(self, tokens: Tensor) -> tuple[Tensor, ...]:
        memory, window = self.embedding(tokens), self.spec.window
        past = F.pad(memory, (0, 0, window - 1, 0))  # before the first input there is nothing
        time = tokens.shape[1]
        seen = torch.cat([past[:, window - 1 - j : window - 1 - j + time] for j in range(window)], dim=-1)
        drive = F.linear(seen, self.input, self.bias)
        return drive[None], self.recurrence + self.recurrence.T

    def alone(self, clamped: tuple[Tensor, ...], rows: Tensor, times: Tensor) -> tuple[Tensor, ...]:
        return clamped[0][:, rows, times][:, :, None], clamped[1]

    def potential(self, h: Tensor, clamped: tuple[Tensor, ...]) -> Tensor:
        return (h * (clamped[0] + torch.matmul(h, self.recurrence))).sum((0, 3))

    def force(self, h: Tensor, clamped: tuple[Tensor, ...]) -> Tensor:
        drive, symmetric = clamped
        return drive + torch.matmul(h, symmetric)


class Core(EnergyModel):
    """One layer or several. clamped: drive, keys [depth x batch, heads, time, head size]; and of positions alone, their
    times [depth x positions, 1, 1, 1]."""

    def __init__(self, spec: Equilibrium, generator: torch.Generator) -> None:
        super().__init__(spec)
        width, depth = spec.width, spec.depth
        self.input = nn.Parameter(torch.empty(depth, width, width))
        self.bias = nn.Parameter(torch.zeros(depth, width))
        self.query = nn.Parameter(torch.empty(depth, width, width))
        self.key = nn.Parameter(torch.empty(depth, width, width))
        self.mlp = nn.Parameter(torch.empty(depth, width, spec.mlp_width))
        self.between = nn.Parameter(torch.empty(depth - 1, width, width)) if depth > 1 else None
        self.position = nn.Embedding(spec.context, width) if spec.positions == "learned" else None
        if spec.positions == "rope":
            cos, sin = rotary_angles(spec.context, width // spec.heads)
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)
        with torch.no_grad():
            self.embedding.weight.normal_(0.0, 1.0, generator=generator)
            for matrix, scale in ((self.input, 1.0), (self.query, QUERY), (self.key, 1.0), (self.mlp, MLP)):
                matrix.normal_(0.0, scale / math.sqrt(width), generator=generator)
            if self.between is not None:
                self.between.normal_(0.0, BETWEEN / math.sqrt(width), generator=generator)
            if self.position is not None:
                self.position.weight.normal_(0.0, 1.0, generator=generator)
            _start_head(self.head, generator)

    def clamp(self, tokens: Tensor) -> tuple[Tensor, ...]:
        memory = self.embedding(tokens)
        if self.position is not None:
            memory = memory + self.position.weight[: tokens.shape[1]]
        flat = memory.flatten(0, 1)
        drive = torch.matmul(flat, self.input) + self.bias[:, None]
        keys = self._turned(self._heads(torch.matmul(flat, self.key), tokens.shape[1]))
        return drive.view(-1, *memory.shape), keys.contiguous()

    def alone(self, clamped: tuple[Tensor, ...], rows: Tensor, times: Tensor) -> tuple[Tensor, ...]:
        drive, keys, *known = clamped
        depth = drive.shape[0]
        of_rows = keys.view(depth, -1, *keys.shape[1:])[:, rows].flatten(0, 1)
        when = known[0].view(depth, -1)[0, rows] if known else times  # some of positions that are alone already
        return drive[:, rows, times][:, :, None], of_rows, when.repeat(depth)[:, None, None, None]

    def potential(self, h: Tensor, clamped: tuple[Tensor, ...]) -> Tensor:
        drive, keys = clamped
        flat, time = h.flatten(1, 2), h.shape[2]
        queries = self._turned(self._heads(torch.matmul(flat, self.query), time))
        scores = torch.matmul(queries, keys.mT) / math.sqrt(keys.shape[-1])
        future = torch.ones(time, time, dtype=torch.bool, device=h.device).triu(1)
        total = (h * drive).sum((0, 3))
        total = total + scores.masked_fill(future, -math.inf).logsumexp(-1).view(
            h.shape[0], -1, *scores.shape[1:3]
        ).sum((0, 2))
        total = total + (F.softplus(torch.matmul(flat, self.mlp), beta=2).square().sum(-1) / 2).view(h.shape[:3]).sum(0)
        if self.between is not None:
            upward = flat[1:] * torch.matmul(flat[:-1], self.between)
            total = total + upward.sum(-1).view(-1, *h.shape[1:3]).sum(0)
        return total

    def force(self, h: Tensor, clamped: tuple[Tensor, ...]) -> Tensor:
        drive, keys, *times = clamped
        flat = h.flatten(1, 2)
        queries = self._turned(self._heads(torch.matmul(flat, self.query), h.shape[2]), *times)
        past = torch.arange(keys.shape[2], device=h.device) <= times[0] if times else None
        pulled = F.scaled_dot_product_attention(queries, keys, keys, attn_mask=past, is_causal=past is None)
        pulled = self._turned(pulled, *times, back=True)
        pulled = pulled.transpose(1, 2).reshape(flat.shape) / math.sqrt(keys.shape[-1])
        hidden = torch.matmul(flat, self.mlp)
        slope = F.softplus(hidden, beta=2) * torch.sigmoid(2 * hidden)
        total = torch.matmul(pulled, self.query.mT) + torch.matmul(slope, self.mlp.mT)
        if self.between is not None:
            up = torch.matmul(flat[:-1], self.between)
            down = torch.matmul(flat[1:], self.between.mT)
            total = total + F.pad(up, (0, 0, 0, 0, 1, 0)) + F.pad(down, (0, 0, 0, 0, 0, 1))
        return drive + total.view_as(h)

    def _heads(self, flat: Tensor, time: int) -> Tensor:
        """[depth, batch x time, width] -> [depth x batch, heads, time, head size]"""
        return flat.reshape(-1, time, self.spec.heads, self.spec.width // self.spec.heads).transpose(1, 2)

    def _turned(self, x: Tensor, times: Tensor | None = None, *, back: bool = False) -> Tensor:
        """Rotary positions (arXiv:2104.09864), from 0 on unless told; turning back is their transpose."""
        if self.position is not None:
            return x
        which = slice(x.shape[-2]) if times is None else times[..., 0]
        cos, sin = self.cos[which], self.sin[which]  # type: ignore[index]
        return rotate(x, cos, -sin if back else sin)


def _start_head(head: nn.Linear, generator: torch.Generator) -> None:
    head.weight.normal_(0.0, 1 / math.sqrt(3 * head.in_features), generator=generator)
    head.bias.zero_()
