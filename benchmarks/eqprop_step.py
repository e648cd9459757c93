"""A settle-and-contrast step of equilibrium propagation against unrolled backprop: time, memory.

OMP_NUM_THREADS=1 python benchmarks/eqprop_step.py

Steps of both rules in turn on the same network and batch; the ratio is of processor time, the median of several pairs.
Memory is the largest resident set of a process of its own that makes two steps, less that of one that builds the same
and makes none.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from lawful.domains.equilibrium.families.equilibrium import Equilibrium
from lawful.domains.equilibrium.rules.eqprop import EqProp
from lawful.domains.equilibrium.rules.unrolled import UnrolledBackprop
from lawful.domains.equilibrium.studies.equilibrium import BETA, TOLERANCE
from lawful.rules import Rule
from lawful.tasks.next_token import NextToken, Tokens

SHORT, LONG = 8, 25
RULES = {
    "eqprop": EqProp(beta=BETA, tolerance=TOLERANCE),
    "unrolled_long": UnrolledBackprop(steps=LONG),
    "unrolled_short": UnrolledBackprop(steps=SHORT),
}
SHARED = {"vocab_size": 65, "context": 64}
VARIANTS = {  # about 30,000 non-embedding parameters each
    "looped_mlp": Equilibrium(variant="looped_mlp", width=58, **SHARED),
    "recurrent_core": Equilibrium(variant="recurrent_core", width=64, mlp_width=277, **SHARED),
    "full": Equilibrium(variant="full", width=40, depth=3, mlp_width=102, **SHARED),
}
ROWS, PAIRS = 32, 5
MEMORY_ROWS = 256  # enough that the states outweigh what importing torch once needed


def main() -> None:
    print(f"{ROWS} windows of 64, fresh weights, settled to {TOLERANCE:g}; medians of {PAIRS}, one thread")
    for name, spec in VARIANTS.items():
        model, batch = made(spec)
        times = {rule: [] for rule in RULES}
        for _ in range(PAIRS + 1):  # the first warms up
            for rule, value in RULES.items():
                times[rule].append(step_seconds(model, value, batch))
        pairs = {
            rule: statistics.median(a / b for a, b in zip(times["eqprop"][1:], times[rule][1:], strict=True))
            for rule in ("unrolled_long", "unrolled_short")
        }
        memory = {rule: memory_mib(name, rule) for rule in RULES}
        print(
            f"{name}: eqprop {statistics.median(times['eqprop'][1:]) * 1e3:.0f} ms, "
            f"{pairs['unrolled_long']:.2f} x unrolled through {LONG} steps, "
            f"{pairs['unrolled_short']:.2f} x through {SHORT}; memory for {MEMORY_ROWS} windows "
            f"{memory['eqprop']:.0f} MiB against {memory['unrolled_long']:.0f} and {memory['unrolled_short']:.0f}",
            flush=True,
        )


def made(spec: Equilibrium, rows: int = ROWS) -> tuple[torch.nn.Module, Tokens]:
    torch.set_num_threads(1)
    tokens = torch.randint(65, (rows, 65), generator=torch.Generator().manual_seed(0))
    return spec.build(torch.Generator().manual_seed(0)), Tokens(inputs=tokens[:, :-1], targets=tokens[:, 1:])


def step_seconds(model: torch.nn.Module, rule: Rule, batch: Tokens) -> float:
    model.zero_grad()
    start = time.process_time()
    rule.gradients(model, NextToken(), batch, scale=1 / batch.targets.numel())
    return time.process_time() - start


def memory_mib(variant: str, rule: str) -> float:
    peaks = []
    for steps in (0, 2):
        command = [sys.executable, __file__, "--child", variant, rule, str(steps)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks.append(json.loads(done.stdout))
    return float(peaks[1] - peaks[0])


def child(variant: str, rule: str, steps: int) -> None:
    model, batch = made(VARIANTS[variant], MEMORY_ROWS)
    for _ in range(steps):
        step_seconds(model, RULES[rule], batch)
    # the peak of this program alone; getrusage would count what its parent held when it was started
    status = Path("/proc/self/status").read_text()
    print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
