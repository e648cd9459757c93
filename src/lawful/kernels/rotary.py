"""Rotary positions (arXiv:2104.09864): the angles, the plain rotation, and the rotation in place."""

from __future__ import annotations

import torch
from torch import Tensor

BASE = 10_000.0

Rotary = tuple[Tensor, Tensor]  # cos and sin, each [positions, head size]; the first half of sin is negated


def rotary_angles(
    positions: int, head_size: int, *, dtype: torch.dtype = torch.float64, device: torch.device | None = None
) -> Rotary:
    """cos and sin in fp32 for `rotate`; `dtype` is the precision in which the angles are computed."""
    frequency = BASE ** (-torch.arange(0, head_size, 2, dtype=dtype, device=device) / head_size)
    angle = torch.outer(torch.arange(positions, dtype=dtype, device=device), frequency)
    cos, sin = angle.cos().float(), angle.sin().float()
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each pair (first half, second half) of the last axis of x [..., positions, head size] by its angle.

    The result has the wider type of x and cos. `rotate(x, cos, -sin)` rotates back.
    """
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin


def rotate_in_place(x: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Plain code: `rotate`. Written into x and computed in the type of x; attention.py, where x is a fresh copy, gains
    by it, and its gain is measured there."""
    swapped = x.roll(x.shape[-1] // 2, -1)
    x.mul_(cos.to(x.dtype)).addcmul_(swapped, sin.to(x.dtype))
