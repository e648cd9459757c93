"""Equilibrium propagation: the gradient as a local contrast between settled states that were nudged apart.

After Scellier & Bengio 2017 (arXiv:1602.05179, theorem 1); nudged to both sides after Laborieux et al. 2021
(arXiv:2006.03824), which makes the error second order in beta.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lawful.checks import PositiveFloat, PositiveInt, check_fields
from lawful.errors import DeclarationError
from lawful.rules import Rule

AT_REST = 100  # settling steps after which a state counts as at rest, where the gradient is audited


@dataclass(frozen=True, kw_only=True)
class EqProp(Rule):
    """For a model with an energy: it must clamp, start, relax, and give its potential Phi and its readout, as those of
    families/equilibrium.py do.

    The free phase takes free_steps without a nudge; from its state each nudged phase takes nudged_steps with the force
    -beta dloss/dh on the top layer (and +beta where centred). With E = G - Phi,

        dloss/dtheta = -[dPhi/dtheta(h+) - dPhi/dtheta(h-)] / 2 beta    centred
                       -[dPhi/dtheta(h+) - dPhi/dtheta(h0)] / beta      one-sided

    plus the loss's own gradient by the readout at the nudged states. No phase is differentiated through, so memory
    does not grow with the steps.
    """

    family_needs: ClassVar[str] = "energy_flops_per_token"
    family_kind: ClassVar[str] = "a model that settles, such as Equilibrium"
    columns: ClassVar[tuple[str, ...]] = ("gradient_error",)

    beta: PositiveFloat
    nudging: Literal["centred", "one_sided"] = "centred"
    free_steps: PositiveInt = 15
    nudged_steps: PositiveInt = 5

    def __post_init__(self) -> None:
        check_fields(self)

    def gradients(self, model: nn.Module, task: Any, batch: Any, *, scale: float | Tensor) -> Tensor:
        net: Any = model
        if not hasattr(net, "potential"):
            raise DeclarationError(
                f"EqProp: expected a model with an energy, such as families/equilibrium.py builds, "
                f"got {type(net).__name__}; use Backprop for it."
            )

        def loss_at(top: Tensor) -> Tensor:
            found: Tensor = task.loss(lambda inputs: net.readout(top), batch)
            return found

        def nudge(sign: float) -> Any:
            def push(top: Tensor) -> Tensor:
                with torch.enable_grad():
                    top = top.requires_grad_()
                    return -sign * self.beta * torch.autograd.grad(loss_at(top), top)[0]

            return push

        clamped = net.clamp(batch.inputs)
        with torch.no_grad():
            held = tuple(part.detach() for part in clamped)
            free = net.relax(net.start(held), held, self.free_steps)
            loss = loss_at(free.h[-1])
            toward = net.relax(free, held, self.nudged_steps, nudge(1.0)).h
            away = net.relax(free, held, self.nudged_steps, nudge(-1.0)).h if self.nudging == "centred" else free.h
        reach = 2 * self.beta if self.nudging == "centred" else self.beta
        surrogate = (net.potential(away, clamped) - net.potential(toward, clamped)) / reach
        ends = (toward, away) if self.nudging == "centred" else (toward,)
        surrogate = surrogate + sum(loss_at(h[-1]) for h in ends) / len(ends)
        (surrogate * scale).backward()
        return loss

    def audit(self, model: nn.Module, task: Any, batch: Any) -> dict[str, float]:
        """The relative error of the gradient, as it is made in training, against backprop through states at rest."""

        def gradient() -> Tensor:
            return torch.cat(
                [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
            )

        net: Any = model
        model.zero_grad()
        self.gradients(model, task, batch, scale=1.0)
        ours = gradient()
        model.zero_grad()
        task.loss(lambda inputs: net.unrolled(inputs, AT_REST), batch).backward()
        exact = gradient()
        model.zero_grad()
        return {"gradient_error": float((ours - exact).norm() / exact.norm())}

    def training_flops_per_token(self, family: Any, context: int) -> int:
        """Every settling step, the readout's force in each nudged step, and the contrast."""
        work = family.energy_flops_per_token(context)
        sides = 2 if self.nudging == "centred" else 1
        settling = (self.free_steps + sides * self.nudged_steps) * work.force
        nudging = sides * self.nudged_steps * 2 * work.readout
        contrast = 2 * (work.potential + work.potential_backward) + sides * 2 * work.readout
        return int(3 * work.clamp + settling + nudging + work.readout + contrast)
