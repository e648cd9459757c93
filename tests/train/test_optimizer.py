"""The optimiser is torch's own, bit for bit, and brings no compiler along."""

from __future__ import annotations

import subprocess
import sys

import torch

from lawful.studies.quickstart import study
from lawful.train import loop
from lawful.train.optimizer import build_adamw, set_learning_rate

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
            loop.probe_step(RUN, model, optimizer, CPU, rows=4)
        weights.append([parameter.detach() for parameter in model.parameters()])
        states.append(optimizer.state_dict()["state"])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    assert all(torch.equal(states[0][i][name], states[1][i][name]) for i in states[0] for name in states[0][i])
    fresh = RUN.family.build(torch.Generator().manual_seed(0))
    assert not torch.equal(weights[0][0], next(fresh.parameters()).detach())


def test_a_step_on_a_cpu_imports_no_compiler() -> None:
    """It takes as long to import as torch itself: seconds of every worker's start."""
    code = """
import sys, torch
from lawful.studies.quickstart import study
from lawful.train import loop
from lawful.train.optimizer import build_adamw
run = study("smoke").ladder[0].run
model = run.family.build(torch.Generator().manual_seed(0))
loop.probe_step(run, model, build_adamw(model, run, is_fused=True), torch.device("cpu"), rows=2)
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
