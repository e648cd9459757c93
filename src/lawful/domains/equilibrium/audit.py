"""The exact gradient at a fixed point, by implicit differentiation in float64, and how far another one is from it."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from lawful.domains.equilibrium.families.equilibrium import EnergyModel
from lawful.rules import Loss
from lawful.tasks.next_token import Tokens

AT_REST, REST_STEPS = 1e-10, 2_000  # residual of the fixed point; about 60 steps reach it (LAB_NOTES, 2026-11-28)
SOLVED = 1e-8  # relative residual of the linear system of each position
FAR_FROM_REST = 1e-6  # a fixed point or a solution that is further off proves nothing


def gradient_error(ours: dict[str, Tensor], exact: dict[str, Tensor] | None) -> float:
    """|ours - exact| / |exact| over all parameters, both by the parameter's name; infinite where the exact one was not
    found."""
    if exact is None:
        return math.inf
    off = sum(float((ours[name].double() - value).square().sum()) for name, value in exact.items())
    size = sum(float(value.square().sum()) for value in exact.values())
    return math.sqrt(off / size) if size > 0 and math.isfinite(off) else math.inf


def exact_gradient(model: EnergyModel, task: Loss[Tokens], batch: Tokens, start: Tensor) -> dict[str, Tensor] | None:
    """The gradient of the summed loss at the fixed point that `start` settles to, by parameter name; None where the
    fixed point, or the solution, is certain at no position.

    start: the state [depth, batch, time, width] from which the fixed point is sought.

    At h = tanh(u), u = dPhi/dh, with H = dPhi/dhdh and D = diag(1 - h^2), the loss's gradient g by h gives

        dloss/dtheta = lambda . du/dtheta,  (1/D - H) lambda = g
    """
    net = copy.deepcopy(model).double()
    net.zero_grad()
    with torch.enable_grad(), torch.autocast(start.device.type, enabled=False):
        clamped = net.clamp(batch.inputs)
        held = tuple(part.detach() for part in clamped)
        settled = net.settle(start.detach().double(), held, tolerance=AT_REST, max_steps=REST_STEPS)
        h = settled.h
        top = h[-1].clone().requires_grad_()
        torch.autograd.backward(task.loss(lambda inputs: net.readout(top), batch))
        assert top.grad is not None
        error = torch.zeros_like(h)
        error[-1] = top.grad
        response, unsolved = _solve(net, h, held, error)
        if float(settled.residual.max()) > FAR_FROM_REST or unsolved > FAR_FROM_REST:
            return None
        torch.autograd.backward((response * net.force(h, clamped)).sum())
    return {name: value for name, value in gradients_of(net).items() if bool(value.isfinite().all())} or None


def gradients_of(model: nn.Module) -> dict[str, Tensor]:
    """Copies, by the parameter's name."""
    return {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}


def _solve(net: EnergyModel, h: Tensor, held: tuple[Tensor, ...], error: Tensor) -> tuple[Tensor, float]:
    """lambda, and the largest relative residual that is left, by conjugate residuals (Stiefel 1955), which need a
    symmetric matrix, not a definite one: of each position that of 1 - D^1/2 H D^1/2."""
    root = (1 - h.square()).sqrt()
    at = h.clone().requires_grad_()
    force = net.force(at, held)

    def apply(x: Tensor) -> Tensor:
        (bent,) = torch.autograd.grad(force, at, root * x, retain_graph=True)
        return x - root * bent

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum((0, 3), keepdim=True)

    def ratio(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(b != 0, a / b, 0.0)

    left = root * error
    whole = dot(left, left).max()
    x, way, bent = torch.zeros_like(h), left, apply(left)
    bent_way, product = bent, dot(left, bent)
    for _ in range(4 * h.shape[0] * h.shape[3]):
        stride = ratio(product, dot(bent_way, bent_way))
        x, left = x + stride * way, left - stride * bent_way
        if float(dot(left, left).max()) <= SOLVED**2 * float(whole):
            break
        bent = apply(left)
        former, product = product, dot(left, bent)
        turn = ratio(product, former)
        way, bent_way = left + turn * way, bent + turn * bent_way
    return root * x, math.sqrt(float(dot(left, left).max() / whole)) if float(whole) > 0 else 0.0
