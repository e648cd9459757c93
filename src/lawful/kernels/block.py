"""A transformer block over a short sequence on a CPU as one call, with its backward pass written out.

Plain code: `Block.forward` of families/decoder.py, without dropout. The results agree within rounding. A small model's
arithmetic on a CPU costs as much as the calls around it; here there are fewer and larger calls.

Gain of a whole step of training, with rotary positions, one thread of a Xeon, torch 2.13 (benchmarks/kernels.py): in
fp32 .94 to 1.05 times at widths 16 and 24, 1.04 to 1.08 at widths 96 and 144, which take most of a study's time. In
bf16 with AMX, where torch's attention is slow, 1.96, 1.94, 1.45 and 1.21 times for .03M, .2M, .8M and 3M parameters.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from lawful.kernels.attention import attend, attend_backward
from lawful.kernels.rotary import Rotary

# positions up to which the fused block is faster, by the precision of products (LAB_NOTES, 2026-11-22)
MAX_POSITIONS = {torch.float32: 128, torch.bfloat16: 512}

_layer_norm_backward = torch.ops.aten.native_layer_norm_backward.default
_gelu_backward = torch.ops.aten.gelu_backward.default
_silu_backward = torch.ops.aten.silu_backward.default


class BlockShape(NamedTuple):
    """A block without its weights. scale: of the scores; branch_scale: of what each branch adds to the residual."""

    heads: int
    scale: float
    branch_scale: float
    is_gated: bool  # SwiGLU, else GELU
    eps: float


def is_faster(x: Tensor) -> bool:
    """Whether the fused block is faster for x [batch, time, width]."""
    return x.device.type == "cpu" and x.shape[1] <= MAX_POSITIONS.get(_precision(x), 0)


def fused_block(x: Tensor, rotary: Rotary | None, mask: Tensor | None, shape: BlockShape, *weights: Tensor) -> Tensor:
    """The block's output [batch, time, width].

    Parameters
    ----------
    x : [batch, time, width]
    mask : as in `attend`
    weights : gain of the attention's norm, qkv, attention's out, gain of the MLP's norm, up (gate above up where
        gated), down
    """
    kernel = BatchedBlock if torch._C._are_functorch_transforms_active() else FusedBlock
    out: Tensor = kernel.apply(x, rotary, mask, shape, *weights)  # type: ignore[no-untyped-call]
    return out


def _precision(x: Tensor) -> torch.dtype:
    """The type in which matrix products with x are computed."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


class FusedBlock(torch.autograd.Function):
    """One model's block; or the blocks of several models, where x and the weights have a leading axis of runs."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, rotary: Rotary | None, mask: Tensor | None, shape: BlockShape, *weights: Tensor
    ) -> Tensor:
        *runs, batch, time, width = x.shape
        dtype, flat = _precision(x), (*runs, batch * time, -1)
        gain_1, gain_2 = weights[0], weights[3]
        to_qkv, to_out, to_up, to_down = (weights[at].to(dtype) for at in (1, 2, 4, 5))

        normed, *statistics_1 = _norm(x, gain_1, shape.eps)
        normed = normed.to(dtype).view(flat)
        qkv = (normed @ to_qkv.mT).view(-1, time, 3, shape.heads, width // shape.heads)
        mixed, rotated, attention = attend(qkv, rotary, mask, shape.scale)
        mixed = mixed.view(flat)
        middle = torch.add(x, (mixed @ to_out.mT).view(x.shape), alpha=shape.branch_scale)

        normed_middle, *statistics_2 = _norm(middle, gain_2, shape.eps)
        normed_middle = normed_middle.to(dtype).view(flat)
        hidden = normed_middle @ to_up.mT
        active = _gated(hidden) if shape.is_gated else F.gelu(hidden)
        out = torch.add(middle, (active @ to_down.mT).view(x.shape), alpha=shape.branch_scale)

        of_attention = x, *statistics_1, normed, rotated, attention, mixed
        of_mlp = middle, *statistics_2, normed_middle, hidden, active
        ctx.save_for_backward(*of_attention, *of_mlp, gain_1, to_qkv, to_out, gain_2, to_up, to_down)
        ctx.rotary, ctx.shape = rotary, shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        saved = ctx.saved_tensors
        x, mean_1, inverse_1, normed, rotated, attention, mixed = saved[:7]
        middle, mean_2, inverse_2, normed_middle, hidden, active = saved[7:13]
        gain_1, to_qkv, to_out, gain_2, to_up, to_down = saved[13:]
        (*runs, batch, time, width), shape, dtype = x.shape, ctx.shape, normed.dtype
        flat = *runs, batch * time, -1

        grad = _scaled(grads[0].to(dtype).view(flat), shape.branch_scale)
        grad_down = grad.mT @ active
        grad = grad @ to_down
        grad = _gated_backward(grad, hidden) if shape.is_gated else _gelu_backward(grad, hidden)
        grad_up = grad.mT @ normed_middle
        grad = (grad @ to_up).view(x.shape).to(x.dtype)
        grad_middle, grad_gain_2 = _norm_backward(grad, middle, mean_2, inverse_2, gain_2)
        grad_middle += grads[0]

        grad = _scaled(grad_middle.to(dtype).view(flat), shape.branch_scale)
        grad_out = grad.mT @ mixed
        grad = (grad @ to_out).view(-1, time, shape.heads, width // shape.heads)
        grad = attend_backward(grad, rotated, attention, ctx.rotary, scale=shape.scale).view(flat)
        grad_qkv = grad.mT @ normed
        grad = (grad @ to_qkv).view(x.shape).to(x.dtype)
        grad_x, grad_gain_1 = _norm_backward(grad, x, mean_1, inverse_1, gain_1)
        grad_x += grad_middle

        grad_qkv, grad_out, grad_up, grad_down = (each.to(x.dtype) for each in (grad_qkv, grad_out, grad_up, grad_down))
        return grad_x, None, None, None, grad_gain_1, grad_qkv, grad_out, grad_gain_2, grad_up, grad_down


class BatchedBlock(torch.autograd.Function):
    """FusedBlock under torch.func.vmap: hands it the tensors of all runs at once."""

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
        return FusedBlock.apply(of_runs[0], rotary, mask, shape, *of_runs[1:]), 0  # type: ignore[no-untyped-call]


def _norm(x: Tensor, gain: Tensor, eps: float) -> tuple[Tensor, ...]:
    """LayerNorm over the last axis of x, with each run's own gain; then the means and the inverse deviations."""
    if gain.dim() == 1:
        return torch.native_layer_norm(x, x.shape[-1:], gain, None, eps)
    return _each_run(functools.partial(_norm, eps=eps), x, gain)


def _norm_backward(grad: Tensor, x: Tensor, mean: Tensor, inverse: Tensor, gain: Tensor) -> tuple[Tensor, ...]:
    """The gradients of x and of the gain."""
    if gain.dim() == 1:
        return tuple(_layer_norm_backward(grad, x, x.shape[-1:], mean, inverse, gain, None, (True, True, False))[:2])
    return _each_run(_norm_backward, grad, x, mean, inverse, gain)


def _each_run(act: Callable[..., tuple[Tensor, ...]], *given: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.stack(parts) for parts in zip(*map(act, *given), strict=True))


def _scaled(x: Tensor, scale: float) -> Tensor:
    return x if scale == 1 else x * scale


def _gated(hidden: Tensor) -> Tensor:
    gate, up = hidden.chunk(2, dim=-1)
    return F.silu(gate) * up


def _gated_backward(grad: Tensor, hidden: Tensor) -> Tensor:
    gate, up = hidden.chunk(2, dim=-1)
    return torch.cat((_silu_backward(grad * up, gate), grad * F.silu(gate)), dim=-1)
