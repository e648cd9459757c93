"""Each kernel equals the plain code that its docstring names. The whole block: tests/families/test_decoder.py."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import lawful
from lawful.kernels.attention import attend, attend_backward
from lawful.kernels.rotary import rotary_angles, rotate, rotate_in_place
from lawful.kernels.updates import AdamW, CPUAdamW, set_to_zero

SOURCE = Path(lawful.__file__).parent


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_rotation_in_place_is_the_plain_one() -> None:
    x, angles = random(2, 3, 7, 8), rotary_angles(7, 8)
    rotated = x.clone()
    rotate_in_place(rotated, *angles)
    torch.testing.assert_close(rotated, rotate(x, *angles), rtol=1e-6, atol=1e-6)
    cos, sin = angles
    torch.testing.assert_close(rotate(rotated, cos, -sin), x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("has_rotary", [False, True])
def test_attention_and_its_gradient_are_torchs_own(has_rotary: bool, is_masked: bool) -> None:
    batch, time, heads, size, scale = 2, 9, 3, 8, 0.3
    qkv, upstream = random(batch, time, 3, heads, size).requires_grad_(), random(batch, time, heads, size, seed=1)
    rotary = rotary_angles(time, size) if has_rotary else None
    mask = None
    if is_masked:  # two texts in each row
        text = (torch.arange(time) >= 4).long()
        mask = (text[:, None] == text[None, :]).tril().expand(batch, 1, time, time)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    if rotary is not None:
        q, k = rotate(q, *rotary), rotate(k, *rotary)
    plain = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale).transpose(1, 2)
    plain.backward(upstream)
    mixed, rotated, weights = attend(qkv.detach(), rotary, mask, scale)
    torch.testing.assert_close(mixed, plain.detach(), rtol=1e-5, atol=1e-6)
    gradient = attend_backward(upstream, rotated, weights, rotary, scale=scale)
    torch.testing.assert_close(gradient, qkv.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("ours", "is_fused"), [(AdamW, False), (AdamW, True), (CPUAdamW, True)])
def test_the_optimizer_updates_and_restores_as_torchs_does(ours: type[torch.optim.AdamW], is_fused: bool) -> None:
    found = []
    for kind in (ours, torch.optim.AdamW):
        weights = [torch.nn.Parameter(random(4, 3)), torch.nn.Parameter(random(5, seed=1))]

        def train(optimizer: torch.optim.Optimizer, weights: list[torch.nn.Parameter] = weights) -> None:
            for _ in range(3):
                optimizer.zero_grad()
                sum((weight**3).sum() for weight in weights).backward()
                optimizer.step()

        first = kind(weights, lr=0.1, weight_decay=0.1, fused=is_fused)
        train(first)
        second = kind(weights, lr=0.1, weight_decay=0.1, fused=is_fused)
        second.load_state_dict(first.state_dict())
        train(second)
        found.append([*(weight.detach() for weight in weights), *(state["exp_avg"] for state in second.state.values())])
    assert len(found[0]) == 4 and all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_list_of_tensors_is_set_to_zero() -> None:
    gradients = [random(4, 3), random(5, seed=1)]
    set_to_zero(gradients)
    assert not any(gradient.any() for gradient in gradients)


def test_private_names_of_torch_stand_in_kernels_alone() -> None:
    others = (path for path in SOURCE.rglob("*.py") if path.parent.name != "kernels")
    found = {path.name: _private_names(ast.parse(path.read_text(encoding="utf-8"))) for path in others}
    assert {name: names for name, names in found.items() if names} == {}


def test_a_planted_private_name_of_each_kind_is_found() -> None:
    planted = """
torch._softmax(x, -1, False)
torch.ops.aten.gelu_backward.default(x)
torch.optim.optimizer._use_grad_for_differentiable
from torch._dynamo import disable
import torch._inductor.config
version = torch.__version__
"""
    found = " ".join(_private_names(ast.parse(planted)))
    for name in ("_softmax", "gelu_backward", "_use_grad", "_dynamo", "_inductor"):
        assert name in found
    assert "__version__" not in found


def _private_names(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names.add(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
    return {name for name in names if re.match(r"torch\.(ops\b|(\w+\.)*_(?!_))", name)}


def test_training_is_imported_without_a_change_to_torch() -> None:
    """Of the methods that kernels/updates.py takes without their decorators, torch's own stay decorated."""
    code = """
import torch
before = {name: value for name, value in vars(torch.optim.Optimizer).items()}
marks = {name: dict(getattr(value, "__wrapped__", value).__dict__) for name, value in before.items() if callable(value)}
import lawful.train.worker, lawful.train.batched
after = dict(vars(torch.optim.Optimizer))
assert before == after, set(before) ^ set(after)
for name, mark in marks.items():
    assert dict(getattr(after[name], "__wrapped__", after[name]).__dict__) == mark, name
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
