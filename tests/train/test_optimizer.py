"""The optimiser is torch's own, bit for bit, and brings no compiler along."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from lawful.run import Run, Schedule
from lawful.studies.quickstart import study
from lawful.train import step as steps
from lawful.train.optimizer import build_adamw, is_decayed, learning_rate, set_learning_rate

RUN = study("smoke").ladder[-1].run
CPU = torch.device("cpu")


def test_updates_are_those_of_torchs_fused_adamw_bit_for_bit() -> None:
    weights, states = [], []
    for is_torchs in (False, True):
        model = RUN.family.build(torch.Generator().manual_seed(0))
        optimizer = build_adamw(model, RUN, is_fused=True)
        if is_torchs:
            groups = [{k: v for k, v in group.items() if k != "fused"} for group in optimizer.param_groups]
            optimizer = torch.optim.AdamW(groups, fused=True)
        torch.manual_seed(1)
        for step in range(4):
            set_learning_rate(optimizer, 1e-3 * (step + 1))
            steps.probe_step(RUN, model, optimizer, CPU, rows=4)
        weights.append([parameter.detach() for parameter in model.parameters()])
        states.append(optimizer.state_dict()["state"])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    assert all(torch.equal(states[0][i][name], states[1][i][name]) for i in states[0] for name in states[0][i])
    fresh = RUN.family.build(torch.Generator().manual_seed(0))
    assert not torch.equal(weights[0][0], next(fresh.parameters()).detach())


def test_a_step_on_a_cpu_imports_no_compiler_and_nothing_for_sharded_tensors() -> None:
    """Either takes about as long to import as torch itself: seconds of every worker's start."""
    code = """
import sys, torch
from lawful.studies.quickstart import study
from lawful.train import step, worker
from lawful.train.optimizer import build_adamw
run = study("smoke").ladder[0].run
model = run.family.build(torch.Generator().manual_seed(0))
step.probe_step(run, model, build_adamw(model, run, is_fused=True), torch.device("cpu"), rows=2)
print({"torch._dynamo", "torch.distributed.tensor", "sympy"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def scheduled(steps: int, **schedule: Any) -> Run:
    settings = {"warmup_steps": 10} | schedule
    return replace(RUN, schedule=Schedule(**settings), steps=steps)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (scheduled(100), True),
        (scheduled(100, decay_fraction=0.05), True),
        (scheduled(100, decay_fraction=0.004), False),  # rounds to no step
        (scheduled(100, decay_fraction=0.01), False),  # one step: it ends at .29 of the peak
        (scheduled(100, decay_fraction=0.03), True),  # three: at .134
        (scheduled(100, floor=0.1), True),
        (scheduled(100, floor=0.5), False),
        (scheduled(100, warmup_steps=200), False),
        (scheduled(100, warmup_steps=80), True),
        (scheduled(100, warmup_steps=85), True),  # .93 of the peak before the decay begins
        (scheduled(100, warmup_steps=95), False),
        (scheduled(100, shape="cosine"), True),
        (scheduled(100, shape="cosine", floor=0.1), True),
        (scheduled(100, shape="cosine", floor=0.3), False),
        (scheduled(100, shape="cosine", warmup_steps=100), False),
        (scheduled(100, shape="cosine", warmup_steps=1000), False),
        (scheduled(100, shape="constant"), False),
        (scheduled(1, warmup_steps=0), False),
    ],
)
def test_a_run_is_decayed_by_what_its_rate_did(run: Run, expected: bool) -> None:
    assert is_decayed(run) is expected
    rates = [learning_rate(run, step) / run.optimizer.learning_rate for step in range(run.steps)]
    assert expected == (max(rates) >= 0.9 and rates[-1] <= 0.15), "by hand, over every step"
