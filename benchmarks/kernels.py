"""What each kernel of lawful/kernels gains beside the plain code that it equals: in turn, on one core, processor time.

    OMP_NUM_THREADS=1 python benchmarks/kernels.py [--rounds 9] [--seconds .5] [--precisions fp32,bf16]

Each is measured by a whole step of training. The attention is a part of the fused block.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from results import Row, paired, record, told

from lawful.families.decoder import Decoder
from lawful.kernels import block
from lawful.run import Run
from lawful.train import device
from lawful.train.optimizer import build_adamw
from lawful.train.step import probe_step

CPU = torch.device("cpu")
Pair = tuple[str, Callable[[], object], Callable[[], object]]  # what, by the kernel, by the plain code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a side of a round")
    parser.add_argument("--precisions", default="fp32,bf16")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device.keep_freed_memory()
    rows: list[Row] = []
    with device.flushed_denormals():
        for precision in options.precisions.split(","):
            for name, run in sizes():
                for what, kernel, plain in of_step(replace(run, precision=precision)):
                    sides = kernel, plain
                    spent(kernel, 1), spent(plain, 1)
                    count = max(1, round(options.seconds / max(spent(plain, 1), spent(kernel, 1))))
                    seconds = [[spent(side, count) for side in sides] for _ in range(options.rounds)]
                    speeds = [[1 / each[number] for each in seconds] for number in (0, 1)]
                    rows += told([paired(f"{name}, {precision}, {what}", "steps/s of the processor", *speeds)])
    record(
        "kernels",
        "What does each kernel gain in a step of training?",
        rows,
        "Beside the plain code that the kernel equals, on one thread, processor time, at the smallest and the largest "
        f"size of each built-in ladder. The allocator is {os.environ.get('LD_PRELOAD') or 'that of the C library'}.",
    )


def sizes() -> list[tuple[str, Run]]:
    """The smallest and the largest size of built-in ladders of decoders."""
    found = []
    for name in ("quickstart", "shakespeare", "activation"):
        runs = [rung.run for rung in importlib.import_module(f"lawful.studies.{name}").study("quick").ladder]
        runs = sorted((run for run in runs if isinstance(run.family, Decoder)), key=lambda run: run.family.width)
        found += [(f"{name} width {run.family.width}", run) for run in (runs[0], runs[-1])]
    return found


def spent(act: Callable[[], object], count: int) -> float:
    """Processor seconds of one of `count` calls: others may compute on this machine."""
    start = time.process_time()
    for _ in range(count):
        act()
    return (time.process_time() - start) / count


def of_step(run: Run) -> list[Pair]:
    """A whole step of training, with each kernel and with the plain code that it equals."""
    model = run.family.build(torch.Generator().manual_seed(0))
    optimizer = build_adamw(model, run, is_fused=True)
    plain_model = run.family.build(torch.Generator().manual_seed(0))
    groups = build_adamw(plain_model, run, is_fused=True).param_groups
    plain_optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)

    def kernel() -> None:
        probe_step(run, model, optimizer, CPU, rows=run.batch_size)

    def without_block() -> None:
        former = dict(block.MAX_POSITIONS)
        block.MAX_POSITIONS.update(dict.fromkeys(former, 0))
        try:
            kernel()
        finally:
            block.MAX_POSITIONS.update(former)

    def without_adamw() -> None:
        probe_step(run, plain_model, plain_optimizer, CPU, rows=run.batch_size)

    return [
        ("a step by the fused block", kernel, without_block),
        ("a step by CPUAdamW", kernel, without_adamw),
    ]


if __name__ == "__main__":
    main()
