"""What each kernel of lawful/kernels gains beside the plain code that it equals: in turn, on one core, processor time.

    OMP_NUM_THREADS=1 python benchmarks/kernels.py [--rounds 9] [--seconds 1]

The fused block is measured by a whole step of training; the others by themselves, on the parameters of the same models.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from results import paired, told
from throughput import SHAPES, Shape, run_of

from lawful.executors.local import allocator
from lawful.kernels import attention, block, rotary, updates
from lawful.run import Precision
from lawful.train import device
from lawful.train.optimizer import build_adamw
from lawful.train.step import probe_step

CPU = torch.device("cpu")
Pair = tuple[str, Callable[[], object], Callable[[], object]]  # what, by the kernel, by the plain code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a side of a round")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device.keep_freed_memory()
    with device.flushed_denormals():
        for shape in SHAPES:
            for what, kernel, plain in [*of_block(shape), *of_attention(shape), *of_updates(shape)]:
                sides = kernel, plain
                count = max(1, round(options.seconds / max(spent(plain, 1), spent(plain, 1))))
                seconds = [[spent(side, count) for side in sides] for _ in range(options.rounds)]
                speeds = [[1 / each[number] for each in seconds] for number in (0, 1)]
                told([paired(f"{shape.name}, {what}", "times a second", *speeds)])
    print(f"The allocator is {allocator() or 'that of the C library'}; LD_PRELOAD is {os.environ.get('LD_PRELOAD')}.")


def spent(act: Callable[[], object], count: int) -> float:
    """Processor seconds of one of `count` calls: others may compute on this machine."""
    start = time.process_time()
    for _ in range(count):
        act()
    return (time.process_time() - start) / count


def of_block(shape: Shape) -> list[Pair]:
    pairs = []
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    for precision in precisions:
        run = run_of(shape, 1, seed=0)
        run = replace(run, precision=precision, family=replace(run.family, positions="rope"))
        model = run.family.build(torch.Generator().manual_seed(0))
        optimizer = build_adamw(model, run, is_fused=True)

        def step(most: int, run=run, model=model, optimizer=optimizer) -> None:  # type: ignore[no-untyped-def]
            former = dict(block.MAX_POSITIONS)
            block.MAX_POSITIONS.update({torch.float32: most, torch.bfloat16: most})
            try:
                probe_step(run, model, optimizer, CPU, rows=run.batch_size)
            finally:
                block.MAX_POSITIONS.update(former)

        pairs.append(
            (f"a step by the fused block, {precision}", lambda step=step: step(10**9), lambda step=step: step(0))
        )
    return pairs


def of_attention(shape: Shape) -> list[Pair]:
    """Forward and backward."""
    size = shape.width // shape.heads
    qkv = torch.randn(shape.batch, shape.context, 3, shape.heads, size)
    grad, scale = torch.randn(shape.batch, shape.context, shape.heads, size), size**-0.5
    angles = rotary.rotary_angles(shape.context, size)

    def kernel() -> None:
        with torch.no_grad():
            _, rotated, weights = attention.attend(qkv, angles, None, scale)
            attention.attend_backward(grad, rotated, weights, angles, scale=scale)

    def plain() -> None:
        leaf = qkv.detach().requires_grad_()
        v = leaf[:, :, 2].transpose(1, 2)
        q, k = rotary.rotate(leaf.permute(2, 0, 3, 1, 4)[:2], *angles)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
        mixed.transpose(1, 2).contiguous().backward(grad)

    return [("attention, fp32", kernel, plain)]


def of_updates(shape: Shape) -> list[Pair]:
    run = run_of(shape, 1, seed=0)
    optimizers = []
    for kind in (updates.CPUAdamW, torch.optim.AdamW):
        model = run.family.build(torch.Generator().manual_seed(0))
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizers.append(kind(model.parameters(), lr=1e-6, fused=True))
    grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return [
        ("an update by CPUAdamW", optimizers[0].step, optimizers[1].step),
        ("total_norm", lambda: updates.total_norm(grads), lambda: torch.nn.utils.get_total_norm(grads)),
    ]


if __name__ == "__main__":
    main()
