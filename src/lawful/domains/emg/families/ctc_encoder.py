"""Encoders of wrist EMG for CTC: emg2qwerty's rotation-invariant front end, then a transformer or convolutions.

Front end and convolutions after arXiv:2410.20081, section 5; time-depth-separable blocks after arXiv:1904.02619.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lawful.checks import NaturalInt, PositiveInt, ShareBelowOne, check_fields, refuse
from lawful.errors import DeclarationError
from lawful.families import Family, ParamCounts
from lawful.kernels.rotary import Rotary, rotary_angles, rotate

BANDS, ELECTRODES, BINS = 2, 16, 33
OFFSETS = (-1, 0, 1)  # electrodes by which a band is turned; the front end takes the mean over them


@dataclass(frozen=True, kw_only=True)
class CtcEncoder(Family):
    """Log spectrograms in, scores of `classes` symbols out at every `stride` frames of the labelled window.

    classes        98 keys and, last, the blank
    body           "transformer": depth pre-norm blocks of width, heads and mlp_width, with biases and rotary positions.
                   "tds": depth time-depth-separable blocks on 2 x band_width = channels x features, each convolution
                   kernel frames long and valid, so that it shortens what it sees; width is then 2 x band_width
    band_width     outputs of each band's MLP
    stride         neighbouring frames put side by side before the body
    past, future   frames before and after the labelled window: they are seen, and their emissions are cut off
    blank_bias     at initialisation, of the blank's score: without it a fresh model spends its first steps learning
                   that nearly every frame is blank, and may never leave that plateau
    """

    reads: ClassVar[str] = "frames"

    classes: PositiveInt = 99
    body: Literal["transformer", "tds"] = "transformer"
    width: PositiveInt
    depth: PositiveInt
    heads: PositiveInt = 1
    mlp_width: NaturalInt = 0
    band_width: PositiveInt = 384
    channels: PositiveInt = 24
    kernel: PositiveInt = 32
    stride: PositiveInt = 1
    past: NaturalInt = 112
    future: NaturalInt = 10
    dropout: ShareBelowOne = 0.0
    blank_bias: float = 5.0

    def __post_init__(self) -> None:
        check_fields(self)
        problems = []
        if self.body == "transformer":
            if self.width % self.heads or (self.width // self.heads) % 2:
                problems.append(f"width {self.width} must be heads {self.heads} times an even head size")
            if self.mlp_width < 1:
                problems.append(f"mlp_width: expected at least 1, got {self.mlp_width}")
            if self.past % self.stride:
                problems.append(f"past {self.past} is not a multiple of stride {self.stride}")
        elif self.width != BANDS * self.band_width or self.width % self.channels or self.stride != 1:
            problems.append(
                f"tds: expected width 2 x band_width = {BANDS * self.band_width}, a multiple of channels "
                f"{self.channels}, and stride 1; got {self.width} and stride {self.stride}"
            )
        refuse("CtcEncoder", problems)

    @property
    def outputs(self) -> int:
        return self.classes

    @property
    def vocab_size(self) -> int:
        return self.classes

    def build(self, generator: torch.Generator) -> Encoder:
        return Encoder(self, generator)

    def param_counts(self) -> ParamCounts:
        """By part. The head holds one vector per symbol and counts as embedding; N is front end and body."""
        width, depth = self.width, self.depth
        front_end = 2 * BANDS * ELECTRODES + BANDS * (ELECTRODES * BINS + 1) * self.band_width
        groups = {"front_end": front_end, "head": (width + 1) * self.classes}
        if self.body == "tds":
            convolutions = depth * (self.channels**2 * self.kernel + self.channels)
            groups |= {
                "convolutions": convolutions,
                "mlp": depth * 2 * (width + 1) * width,
                "norms": depth * 4 * width,
            }
        else:
            groups |= {
                "projection": (self.stride * BANDS * self.band_width + 1) * width,
                "attention": depth * 4 * (width + 1) * width,
                "mlp": depth * (2 * width * self.mlp_width + self.mlp_width + width),
                "norms": (2 * depth + 1) * 2 * width,
            }
        return ParamCounts(by_group=groups, embedding_groups=frozenset({"head"}))

    def forward_flops_per_token(self, context: int) -> int:
        """A token is a labelled frame; the frames of past and future are computed too, and are in the count."""
        frames = (self.past + context + self.future) // self.stride * self.stride
        front_end = 2 * frames * BANDS * len(OFFSETS) * ELECTRODES * BINS * self.band_width
        width = self.width
        if self.body == "tds":
            features, body, left = width // self.channels, 0, frames
            for _ in range(self.depth):
                left -= self.kernel - 1
                body += 2 * left * (features * self.channels**2 * self.kernel + 2 * width * width)
            emissions = min(left, context)
        else:
            steps = frames // self.stride
            block = 2 * steps * (4 * width * width + 2 * width * self.mlp_width) + 4 * steps * steps * width
            body = 2 * steps * self.stride * BANDS * self.band_width * width + self.depth * block
            emissions = context // self.stride
        return (front_end + body + 2 * emissions * width * self.classes) // context


class Emissions(NamedTuple):
    """scores [rows, emissions, classes] and how many of them, from the first, are of real frames, [rows]."""

    scores: Tensor
    lengths: Tensor


class Encoder(nn.Module):
    def __init__(self, spec: CtcEncoder, generator: torch.Generator) -> None:
        super().__init__()
        self.spec = spec
        self.front_end = FrontEnd(spec)
        self.body = Transformer(spec) if spec.body == "transformer" else Convolutions(spec)
        self.head = nn.Linear(spec.width, spec.classes)
        self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        # Standard deviation 1 / sqrt(3 fan_in), torch's own for linear maps; projections into the residual stream are
        # divided by sqrt(2 depth) as in GPT-2
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
                continue
            std = 1 / math.sqrt(3 * parameter[0].numel())
            if name.endswith(("attention.out.weight", "mlp.down.weight")):
                std /= math.sqrt(2 * self.spec.depth)
            parameter.normal_(0.0, std, generator=generator)
        self.head.bias[-1] = self.spec.blank_bias

    def forward(self, inputs: Tensor, begin: Tensor | None = None, end: Tensor | None = None) -> Emissions:
        """inputs [rows, past + context + future, 2, 16, 33]; begin and end [rows]: which frames are real, default all.

        Training windows are real throughout; only evaluation masks the fill at a session's two ends.
        """
        spec, frames = self.spec, inputs.shape[1]
        if frames <= spec.past + spec.future:
            raise DeclarationError(f"CtcEncoder: expected more than {spec.past + spec.future} frames, got {frames}.")
        if end is None:
            end = torch.full((len(inputs),), frames, device=inputs.device)
        real = None
        if not self.training and begin is not None:
            at = torch.arange(frames, device=inputs.device)
            real = (at >= begin[:, None]) & (at < end[:, None])  # [rows, frames]
        x = self.front_end(inputs)
        x, lengths = self.body(x, real, end)
        return Emissions(self.head(x), lengths)


class FrontEnd(nn.Module):
    """Batch normalisation of each electrode, then for each band an MLP, averaged over the band turned by -1, 0, 1."""

    def __init__(self, spec: CtcEncoder) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(BANDS * ELECTRODES)
        self.bands = nn.ModuleList(nn.Linear(ELECTRODES * BINS, spec.band_width) for _ in range(BANDS))

    def forward(self, inputs: Tensor) -> Tensor:
        rows, frames = inputs.shape[:2]
        # [rows x frames, 32, 33]: the middle axis is what is normalised, over all others
        x = self.norm(inputs.float().reshape(rows * frames, BANDS * ELECTRODES, BINS))
        x = x.view(rows * frames, BANDS, ELECTRODES * BINS)
        out = [self._turned(mlp, x[:, band]) for band, mlp in enumerate(self.bands)]
        return torch.cat(out, dim=-1).view(rows, frames, -1)  # [rows, frames, 2 band_width]

    def _turned(self, mlp: nn.Module, band: Tensor) -> Tensor:
        """The weights are turned rather than the signal: the same numbers, and thirty times less to move."""
        weight = mlp.weight.view(-1, ELECTRODES, BINS)  # type: ignore[operator]
        turned = torch.cat([weight.roll(-offset, dims=1) for offset in OFFSETS]).flatten(1)
        bias = mlp.bias.repeat(len(OFFSETS))  # type: ignore[operator]
        return F.relu(F.linear(band, turned, bias)).view(len(band), len(OFFSETS), -1).mean(dim=1)


class Transformer(nn.Module):
    def __init__(self, spec: CtcEncoder) -> None:
        super().__init__()
        self.spec = spec
        self.projection = nn.Linear(spec.stride * BANDS * spec.band_width, spec.width)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.depth))
        self.norm = nn.LayerNorm(spec.width)

    def forward(self, x: Tensor, real: Tensor | None, end: Tensor) -> tuple[Tensor, Tensor]:
        spec = self.spec
        rows, frames = x.shape[:2]
        context = frames - spec.past - spec.future
        steps = frames // spec.stride
        x = self.projection(x[:, : steps * spec.stride].reshape(rows, steps, -1))
        x = F.dropout(x, spec.dropout, self.training)
        seen = None
        if real is not None:  # [rows, 1, 1, steps]: a step is seen where all of its frames are real
            seen = real[:, : steps * spec.stride].view(rows, steps, spec.stride).all(-1)[:, None, None]
        rotary = rotary_angles(steps, spec.width // spec.heads, dtype=torch.float32, device=x.device)
        for block in self.blocks:
            x = block(x, rotary, seen)
        first = spec.past // spec.stride
        kept = self.norm(x)[:, first : first + context // spec.stride]
        lengths = (end - spec.past).clamp(0, context) // spec.stride
        return kept, lengths.clamp(max=kept.shape[1])


class Block(nn.Module):
    def __init__(self, spec: CtcEncoder) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(spec.width)
        self.attention = Attention(spec)
        self.mlp_norm = nn.LayerNorm(spec.width)
        self.mlp = GELU(spec)
        self.dropout = spec.dropout

    def forward(self, x: Tensor, rotary: Rotary, seen: Tensor | None) -> Tensor:
        x = x + F.dropout(self.attention(self.attention_norm(x), rotary, seen), self.dropout, self.training)
        return x + F.dropout(self.mlp(self.mlp_norm(x)), self.dropout, self.training)


class Attention(nn.Module):
    """Every step sees every real one, before and after it."""

    def __init__(self, spec: CtcEncoder) -> None:
        super().__init__()
        self.heads = spec.heads
        self.qkv = nn.Linear(spec.width, 3 * spec.width)
        self.out = nn.Linear(spec.width, spec.width)

    def forward(self, x: Tensor, rotary: Rotary, seen: Tensor | None) -> Tensor:
        rows, steps, width = x.shape
        # [rows, steps, 3 width] -> three of [rows, heads, steps, head size]
        q, k, v = self.qkv(x).view(rows, steps, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, *rotary).to(v.dtype), rotate(k, *rotary).to(v.dtype)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(rows, steps, width))
        return out


class GELU(nn.Module):
    def __init__(self, spec: CtcEncoder) -> None:
        super().__init__()
        self.up = nn.Linear(spec.width, spec.mlp_width)
        self.down = nn.Linear(spec.mlp_width, spec.width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(F.gelu(self.up(x)))
        return out


class Convolutions(nn.Module):
    """Time-depth-separable blocks: a convolution over time, then an MLP over all channels, each with its norm."""

    def __init__(self, spec: CtcEncoder) -> None:
        super().__init__()
        self.spec = spec
        self.blocks = nn.ModuleList(ConvolutionBlock(spec) for _ in range(spec.depth))

    def forward(self, x: Tensor, real: Tensor | None, end: Tensor) -> tuple[Tensor, Tensor]:
        context = x.shape[1] - self.spec.past - self.spec.future
        shortened = self.spec.depth * (self.spec.kernel - 1)
        if x.shape[1] <= shortened:
            raise DeclarationError(
                f"CtcEncoder: expected more than {shortened} frames for its convolutions, got {x.shape[1]}."
            )
        for block in self.blocks:
            x = block(x)
        return x[:, :context], (end - shortened).clamp(0, min(context, x.shape[1]))


class ConvolutionBlock(nn.Module):
    def __init__(self, spec: CtcEncoder) -> None:
        super().__init__()
        self.channels = spec.channels
        self.convolution = nn.Conv2d(spec.channels, spec.channels, (1, spec.kernel))
        self.convolution_norm = nn.LayerNorm(spec.width)
        self.up = nn.Linear(spec.width, spec.width)
        self.down = nn.Linear(spec.width, spec.width)
        self.mlp_norm = nn.LayerNorm(spec.width)

    def forward(self, x: Tensor) -> Tensor:
        rows, frames, width = x.shape
        # [rows, frames, channels x features] -> [rows, channels, features, frames] and back
        apart = x.view(rows, frames, self.channels, width // self.channels).permute(0, 2, 3, 1)
        y = F.relu(self.convolution(apart)).permute(0, 3, 1, 2).flatten(2)
        x = self.convolution_norm(x[:, frames - y.shape[1] :] + y)
        out: Tensor = self.mlp_norm(x + self.down(F.relu(self.up(x))))
        return out
