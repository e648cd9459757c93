"""Equilibrium propagation: the gradient as a local contrast between settled states that were nudged apart.

After Scellier & Bengio 2017 (arXiv:1602.05179, theorem 1); nudged to both sides after Laborieux et al. 2021
(arXiv:2006.03824), which makes the error second order in beta.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from lawful.checks import PositiveFloat, PositiveInt, check_fields
from lawful.domains.equilibrium.audit import exact_gradient, gradient_error, gradients_of
from lawful.domains.equilibrium.families.equilibrium import EnergyModel, energy_model
from lawful.domains.equilibrium.settling import Settled
from lawful.errors import DeclarationError
from lawful.rules import Loss, Rule
from lawful.tasks.next_token import Tokens

MOST_ERROR = 0.05  # of the audited gradient; a run above it was not trained by equilibrium propagation
# The centred phases of a position are bent where their mean is further from its free state than this share of the
# distance between them: beta is too large there. The error is about twice the square of the share
BENT = 0.1
LESS, TIMES = 1 / 8, 7  # such a position is nudged again with so much less, so many times at most: to 1e-8 from .02
MORE_STEPS = 10  # so many times max_steps for few such positions: one just past a fold was on its way for 684 steps
CONTRASTED = 0.1  # distance from the free state at which it is contrasted: its response is linear, fp32 resolves it
# steps of unrolled backprop that are tried for the same error
UNROLLED = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
# Targets computed per position in the free phase and in a nudged one, and accelerated steps of both: what the plan
# counts on, before anything is measured (LAB_NOTES, 2026-11-28)
PLANNED_FREE, PLANNED_NUDGED, PLANNED_ACCELERATED = 12, 7, 2


Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class EqProp(Rule[Tokens]):
    """For a model with an energy: it must clamp, start and settle, and give its potential Phi and its readout, as those
    of families/equilibrium.py do.

    The free phase settles without a nudge. From its state h0 each nudged phase settles with the constant force
    -beta dloss/dh(h0) on the top layer (and +beta where centred), which gives the loss's first-order effect. With
    E = G - Phi,

        dloss/dtheta = -[dPhi/dtheta(h+) - dPhi/dtheta(h-)] / 2 beta    centred
                       -[dPhi/dtheta(h+) - dPhi/dtheta(h0)] / beta      one-sided

    plus the loss's own gradient by the readout at h0. No phase is differentiated through, so memory does not grow with
    the steps. Everything is computed in fp32 at least: a nudge is below the rounding of bf16.

    Each position is a system of its own, so beta may differ between positions. Where the energy is nearly flat, a nudge
    by beta leads to another fixed point. Where the centred phases of a position show that its response is not linear
    (`BENT`), or do not settle, it settles again in float64 and is nudged by an eighth of beta, and so on. One-sided
    phases cannot show it: they have one beta.

    tolerance   a phase settles until every position's residual max|tanh(dPhi/dh + nudge) - h| is at most this: a
                thousandth of beta, to make a relative error of some thousandths
    max_steps   of a phase; where few positions have not settled, up to ten times as many for them. A position that has
                not settled then gives no gradient, nor does one whose response to the smallest nudge is not linear
    """

    family_needs: ClassVar[str] = "energy_flops_per_token"
    family_kind: ClassVar[str] = "a model that settles, such as Equilibrium"
    columns: ClassVar[tuple[str, ...]] = (
        "gradient_error",
        "unsettled_share",
        "gradient_steps",
        "unrolled_steps",
        "gradient_flops_ratio",
        "gradient_seconds_ratio",
    )

    beta: PositiveFloat
    nudging: Literal["centred", "one_sided"] = "centred"
    tolerance: PositiveFloat = 2e-5
    max_steps: PositiveInt = 300

    def __post_init__(self) -> None:
        check_fields(self)

    def gradients(self, model: nn.Module, task: Loss[Tokens], batch: Tokens, *, scale: float | Tensor) -> Tensor:
        if not hasattr(model, "potential"):
            raise DeclarationError(
                f"EqProp: expected a model with an energy, such as families/equilibrium.py builds, "
                f"got {type(model).__name__}; use Backprop for it."
            )
        return self._contrast(energy_model(model), task, batch, scale).loss

    def _contrast(self, model: EnergyModel, task: Loss[Tokens], batch: Tokens, scale: float | Tensor) -> Contrast:
        with torch.autocast(batch.inputs.device.type, enabled=False):
            clamped = model.clamp(batch.inputs)
            held = tuple(part.detach() for part in clamped)

            def rest(h: Tensor, nudge: Tensor | None = None) -> Settled:
                return model.settle(h, held, nudge, tolerance=self.tolerance, max_steps=self.max_steps)

            def loss_at(top: Tensor) -> Tensor:
                loss: Tensor = task.loss(lambda inputs: model.readout(top), batch)
                return loss

            free = rest(model.start(held))
            top = free.h[-1].clone().requires_grad_()
            loss = loss_at(top)
            (error,) = torch.autograd.grad(loss, top, retain_graph=True)
            phases = [free, rest(free.h, -self.beta * error)]
            if self.nudging == "centred":  # from where a linear response leads
                phases.append(rest(2 * free.h - phases[1].h, self.beta * error))
            found = Phases(
                free=free.h,
                toward=phases[1].h,
                away=phases[-1].h if self.nudging == "centred" else free.h,
                reach=torch.full_like(free.residual, 2 * self.beta if self.nudging == "centred" else self.beta),
                gives=torch.stack([phase.residual <= self.tolerance for phase in phases]).all(0),
                computed=sum(phase.computed for phase in phases),
                accelerated=sum(phase.accelerated for phase in phases),
                looked_again=False,
            )
            if self.nudging == "centred":
                found = self._nudged_less(model, task, batch, held, found, error)
            if found.looked_again:
                loss = loss_at(found.free[-1])
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
            torch.autograd.backward(loss * scale, inputs=trained)
            toward, away = (
                torch.where(found.gives[None, :, :, None], state, found.free) for state in (found.toward, found.away)
            )
            surrogate = (model.potential(away, clamped) - model.potential(toward, clamped)) / found.reach
            torch.autograd.backward(surrogate.sum() * scale)
        model.training_sums = {
            "computed": float(found.computed),
            "accelerated": float(found.accelerated),
            "looked_again": float(found.looked_again * found.gives.numel()),
        }
        return Contrast(loss.detach(), found.free, float(1 - found.gives.double().mean()), model.training_sums)

    def _nudged_less(
        self,
        model: EnergyModel,
        task: Loss[Tokens],
        batch: Tokens,
        held: tuple[Tensor, ...],
        found: Phases,
        error: Tensor,
    ) -> Phases:
        """The same with smaller nudges for the positions that were bent or did not settle."""
        # The mean spread of units without couplings: a position that is bent by less than a share of it hardly counts
        usual = 2 * self.beta * _length((1 - found.free[-1:].square()) * error).mean()
        spread = _length(found.toward - found.away)
        is_bent = _bend(found.free, found.toward, found.away) > BENT * spread.clamp_min(usual)
        rows, times = torch.nonzero(is_bent | ~found.gives, as_tuple=True)
        if not len(rows):
            return found
        net, exact = copy.deepcopy(model).double(), tuple(part.double() for part in held)
        free, toward, away, reach, gives = (part.clone() for part in found[:5])
        computed, accelerated = found.computed, found.accelerated
        # The more there are, the fewer: their work is at most that of all positions in max_steps
        max_steps = self.max_steps * min(MORE_STEPS, found.gives.numel() // len(rows))

        def rest(h: Tensor, share: float, nudge: Tensor | None = None) -> Settled:
            nonlocal computed, accelerated
            own, tolerance = net.alone(exact, rows, times), share * self.tolerance
            settled: Settled = net.settle(h, own, nudge, tolerance=tolerance, max_steps=max_steps)
            computed, accelerated = computed + settled.computed, accelerated + settled.accelerated
            return settled

        settled = rest(free[:, rows, times][:, :, None].double(), LESS**TIMES)
        center = settled.h
        free[:, rows, times], gives[rows, times] = center[:, :, 0].to(free.dtype), False
        top = free[-1].double()
        top[rows, times] = center[-1, :, 0]
        top.requires_grad_()
        loss = task.loss(lambda inputs: net.readout(top), batch)
        (by_top,) = torch.autograd.grad(loss, top)
        error = by_top[rows, times][:, None]
        goes_on = settled.residual[:, 0] <= LESS**TIMES * self.tolerance
        for share in (LESS**turn for turn in range(1, TIMES + 1)):
            rows, times, center, error = rows[goes_on], times[goes_on], center[:, goes_on], error[goes_on]
            if not len(rows):
                break
            beta = share * self.beta
            plus, minus = rest(center, share, -beta * error), rest(center, share, beta * error)
            is_settled = (torch.maximum(plus.residual, minus.residual) <= share * self.tolerance)[:, 0]
            between = plus.h - minus.h
            is_bent = _bend(center, plus.h, minus.h) > BENT * _length(between).clamp_min(share * usual)
            goes_on = ~is_settled | is_bent[:, 0]
            which = rows[~goes_on], times[~goes_on]
            response = (between / (2 * beta))[:, ~goes_on, 0]
            strength = (CONTRASTED / response.square().sum((0, 2)).sqrt()).clamp_max(self.beta)
            toward[:, *which] = (center[:, ~goes_on, 0] + strength[:, None] * response).to(free.dtype)
            away[:, *which] = (center[:, ~goes_on, 0] - strength[:, None] * response).to(free.dtype)
            reach[which], gives[which] = 2 * strength.to(reach.dtype), True
        return Phases(free, toward, away, reach, gives, computed, accelerated, looked_again=True)

    def audit(self, model: nn.Module, task: Loss[Tokens], batch: Tokens) -> dict[str, float]:
        """The relative error of the gradient, as it is made in training, against implicit differentiation at the fixed
        point of its free phase; the share of positions that gave none."""
        model.zero_grad()
        net = energy_model(model)
        made = self._contrast(net, task, batch, 1.0)
        ours = gradients_of(model)
        model.zero_grad()
        return {
            "gradient_error": gradient_error(ours, exact_gradient(net, task, batch, made.free)),
            "unsettled_share": made.unsettled_share,
        }

    def no_evidence(self, audited: Mapping[str, float]) -> str | None:
        error = audited.get("gradient_error", 0.0)
        if error <= MOST_ERROR:
            return None
        return (
            f"its gradient was off by up to {error:.2g} of the exact one, above {MOST_ERROR:g}: this run was not "
            "trained by equilibrium propagation"
        )

    def cost(self, model: nn.Module, task: Loss[Tokens], batch: Tokens) -> dict[str, float]:
        """Beside the fewest unrolled steps whose gradient is as near to the exact one; without any of UNROLLED that
        is, only the own steps."""
        net = energy_model(model)
        made, seconds = self._timed(model, lambda: self._contrast(net, task, batch, 1.0))
        own = gradients_of(net)
        exact = exact_gradient(net, task, batch, made.free)
        ours = gradient_error(own, exact)
        tokens = made.free.shape[1] * made.free.shape[2]
        columns = {"gradient_steps": made.sums["computed"] / tokens}
        per_token = {name: value / tokens for name, value in made.sums.items()}
        for steps in UNROLLED:

            def unrolled(steps: int = steps) -> None:
                torch.autograd.backward(task.loss(lambda inputs: net.unrolled(inputs, steps), batch))

            _, other = self._timed(model, unrolled)
            if gradient_error(gradients_of(net), exact) <= ours:
                work = net.spec.energy_flops_per_token(batch.inputs.shape[1])
                flops = self.measured_flops_per_token(net.spec, batch.inputs.shape[1], per_token)
                columns |= {
                    "unrolled_steps": float(steps),
                    "gradient_flops_ratio": flops / (3 * (work.clamp + steps * work.force + work.readout)),
                    "gradient_seconds_ratio": seconds / other,
                }
                break
        model.zero_grad()
        return columns

    def _timed(self, model: nn.Module, make: Callable[[], Made]) -> tuple[Made, float]:
        """What it gives and the processor seconds it takes, the second time it is done; its gradients are left."""
        for _ in range(2):
            model.zero_grad()
            began = time.process_time()
            made = make()
            seconds = time.process_time() - began
        return made, max(seconds, 1e-9)

    def training_flops_per_token(self, family: Any, context: int) -> int:
        """With as many steps as the plan counts on; `measured_flops_per_token` has those that were taken."""
        sides = 2 if self.nudging == "centred" else 1
        computed = PLANNED_FREE + sides * PLANNED_NUDGED
        planned = {"computed": computed, "accelerated": PLANNED_ACCELERATED, "looked_again": 0}
        return int(self.measured_flops_per_token(family, context, planned))

    def measured_flops_per_token(self, family: Any, context: int, sums: Mapping[str, float]) -> float:
        """Every settling step, the readout both ways, and the contrast."""
        work = family.energy_flops_per_token(context)
        settling = sums["computed"] * work.force + sums["accelerated"] * work.acceleration
        contrast = 2 * (work.potential + work.potential_backward)
        return float(3 * work.clamp + settling + (3 + 3 * sums["looked_again"]) * work.readout + contrast)


class Phases(NamedTuple):
    """States [depth, batch, time, width] of the free phase and of both sides of the contrast; by position [batch, time]
    what their contrast is divided by, and whether it gives a gradient; the work, see settling.Settled; whether the
    loss was computed again, at other free states."""

    free: Tensor
    toward: Tensor
    away: Tensor
    reach: Tensor
    gives: Tensor
    computed: int
    accelerated: int
    looked_again: bool


class Contrast(NamedTuple):
    """loss: summed, at the free state [depth, batch, time, width]; sums: the work, see Rule.gradients."""

    loss: Tensor
    free: Tensor
    unsettled_share: float
    sums: Mapping[str, float]


def _length(states: Tensor) -> Tensor:
    """[depth, batch, time, width] -> [batch, time]"""
    return states.square().sum((0, 3)).sqrt()


def _bend(free: Tensor, toward: Tensor, away: Tensor) -> Tensor:
    """What is left of a linear response: twice the distance of the mean of both sides from the free state."""
    return _length((toward - free) + (away - free))
