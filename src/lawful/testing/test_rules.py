"""What every rule promises: gradients in .grad, in proportion to the scale, and the work that they take."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lawful.run import Run, from_json, to_json
from lawful.testing import loaded, runs_with

RULES = {name: runs_with("rule", cls) for name, cls in loaded("rules").items()}
each_run = pytest.mark.parametrize(
    "run", [pytest.param(run, id=f"{name}-{run.id}") for name, runs in RULES.items() for run in runs]
)


def gradient(run: Run, scale: float) -> tuple[float, Tensor]:
    torch.manual_seed(0)
    model = run.family.build(torch.Generator().manual_seed(0))
    loss = run.rule.gradients(model, run.task, run.task.probe(run, 2), scale=scale)
    assert not loss.requires_grad
    return float(loss), torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])


@pytest.mark.parametrize("name", RULES)
def test_a_registered_study_uses_the_rule(name: str) -> None:
    assert RULES[name], f"register a study whose runs have the rule {name}"


@each_run
def test_the_gradient_is_in_proportion_to_the_scale_and_the_loss_is_not(run: Run) -> None:
    loss, whole = gradient(run, 1.0)
    same, half = gradient(run, 0.5)
    assert loss == pytest.approx(same, rel=1e-6) and bool(whole.isfinite().all()) and float(whole.norm()) > 0
    torch.testing.assert_close(half, 0.5 * whole, rtol=1e-3, atol=1e-6)


@each_run
def test_a_rule_is_plain_data_and_says_how_much_work_it_takes(run: Run) -> None:
    assert from_json(to_json(run.rule)) == run.rule
    flops = run.rule.training_flops_per_token(run.family, run.context)
    assert isinstance(flops, int) and flops > run.family.forward_flops_per_token(run.context) // 100
