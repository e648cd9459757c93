"""What each rung attains of this machine's matrix products at its precision, all cores at work, in the same run.

    OMP_NUM_THREADS=1 python benchmarks/attained.py [--studies quickstart,shakespeare,activation] [--scale quick]

One process per core, single-threaded, all on the same rung at the same time; each times products of square matrices
(the limit), then steps of the rung on random tokens in the plan's precision, several times in turn. Rates are summed
over the processes. The share of products is of a step's processor time: what is left is element-wise work, traffic of
memory and the interpreter, which no faster product would shorten.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from results import Row, record, told
from torch.profiler import ProfilerActivity, profile

from lawful.executors.local import allocator, available_cores
from lawful.planning.probes import Probes
from lawful.run import Run
from lawful.train import device
from lawful.train.optimizer import build_adamw
from lawful.train.step import probe_step

CPU = torch.device("cpu")
SIDE = 1024  # of the square matrices; 512 and 2048 give the same within a tenth
ROUNDS = 5
PRODUCTS = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm", "aten::_scaled_dot_product_flash_attention")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", default="quickstart,shakespeare,activation")
    parser.add_argument("--scale", default="quick")
    options = parser.parse_args()
    rows: list[Row] = []
    count = available_cores()
    if found := allocator():  # as workers have it
        os.environ.setdefault("LD_PRELOAD", found)
    context = multiprocessing.get_context("spawn")
    with context.Pool(count, initializer=begin, initargs=(context.Barrier(count),)) as pool:
        for name in options.studies.split(","):
            ladder = importlib.import_module(f"lawful.studies.{name}").study(options.scale).ladder
            precision, _ = Probes(where=CPU).precision(ladder)
            shapes: dict[Any, Run] = {}
            for rung in ladder:
                if hasattr(rung.run.family, "width"):
                    shapes.setdefault((rung.run.family, rung.run.batch_size), rung.run)
            for run in shapes.values():
                measured: list[Measured] = pool.map(measure, [(run, precision)] * count, chunksize=1)
                rows += told([row_of(f"{name} {described(run)}, {precision}", measured)])
    record(
        "attained",
        "How near does training come to the machine's matrix products?",
        rows,
        says="Below one half for two reasons, both in the notes: products take a part of a step only, the rest being "
        "element-wise work, traffic of memory and the interpreter; and products as narrow as a small model's are "
        "slower than square ones, the more so in bf16, whose tiles they do not fill.",
    )


def described(run: Run) -> str:
    params = run.family.param_counts().total
    kind = getattr(run.family, "mlp", type(run.family).__name__)
    return f"width {run.family.width} {kind}, {params / 1e3:.0f}K parameters"


class Measured(NamedTuple):
    """GFLOP/s of training, of square products and of products [tokens, width] x [width, 4 width], in turn; the share
    of products in a step."""

    rates: list[float]
    limits: list[float]
    narrow: list[float]
    share: float


def row_of(what: str, found: list[Measured]) -> Row:
    ours = [sum(each) for each in zip(*(one.rates for one in found), strict=True)]
    limits = [sum(each) for each in zip(*(one.limits for one in found), strict=True)]
    ratios = [rate / limit for rate, limit in zip(ours, limits, strict=True)]
    products = statistics.mean(one.share for one in found)
    narrow = statistics.median(sum(each) for each in zip(*(one.narrow for one in found), strict=True))
    return Row(
        what=what,
        unit="GFLOP/s",
        ours=statistics.median(ours),
        theirs=statistics.median(limits),
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        note=f"{products:.0%} of a step is products; those as narrow as its own reach {narrow:.0f} GFLOP/s",
    )


_barrier: Any = None


def begin(barrier: Any) -> None:
    global _barrier
    _barrier = barrier
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # as workers do
    device.keep_freed_memory()


def measure(job: tuple[Run, str]) -> Measured:
    run, precision = job
    run = replace(run, precision=precision)
    model = run.family.build(torch.Generator().manual_seed(0))
    optimizer = build_adamw(model, run, is_fused=True)

    def step() -> None:
        probe_step(run, model, optimizer, CPU, rows=run.batch_size)

    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    width, tokens = run.family.width, run.batch_size * run.context
    a, b, c, d = (
        torch.randn(rows, columns, generator=torch.Generator().manual_seed(0)).to(kind)
        for rows, columns in ((SIDE, SIDE), (SIDE, SIDE), (tokens, width), (width, 4 * width))
    )
    flops = run.rule.training_flops_per_token(run.family, run.context) * run.batch_size * run.context
    step()
    rates, limits, narrow = [], [], []
    for _ in range(ROUNDS):
        _barrier.wait()  # all processes at work, on the same thing
        limits.append(2 * SIDE**3 / seconds_of(lambda: a @ b) / 1e9)
        _barrier.wait()
        narrow.append(2 * tokens * width * 4 * width / seconds_of(lambda: c @ d) / 1e9)
        _barrier.wait()
        rates.append(flops / seconds_of(step) / 1e9)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(ROUNDS):
            step()
    events = seen.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    inside = sum(event.self_cpu_time_total for event in events if event.key.startswith(PRODUCTS))
    return Measured(rates, limits, narrow, inside / total)


def seconds_of(do: Callable[[], Any], at_least: float = 0.2) -> float:
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < at_least or not count:
        do()
        count += 1
    return spent / count


if __name__ == "__main__":
    main()
