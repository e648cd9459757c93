"""The gate: equilibrium propagation's gradient is the gradient, for each variant, in float64."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lawful.domains.equilibrium.families.equilibrium import EnergyModel, Equilibrium
from lawful.domains.equilibrium.rules.eqprop import EqProp
from lawful.domains.equilibrium.rules.unrolled import UnrolledBackprop
from lawful.errors import LawfulError
from lawful.families.decoder import Decoder
from lawful.rules import Rule
from lawful.rules.backprop import Backprop
from lawful.tasks.next_token import NextToken, Tokens

VOCABULARY, CONTEXT, STEPS = 11, 10, 80
SMALL = {"vocab_size": VOCABULARY, "width": 12, "context": CONTEXT, "heads": 2}
VARIANTS = {
    "looped_mlp": Equilibrium(variant="looped_mlp", window=4, **SMALL),
    "recurrent_core": Equilibrium(variant="recurrent_core", mlp_width=24, **SMALL),
    "recurrent_core, learned positions": Equilibrium(
        variant="recurrent_core", mlp_width=24, positions="learned", **SMALL
    ),
    "full": Equilibrium(variant="full", mlp_width=24, depth=3, **SMALL),
}
each_variant = pytest.mark.parametrize("name", VARIANTS)


def model_of(name: str) -> EnergyModel:
    return VARIANTS[name].build(torch.Generator().manual_seed(0)).double()


def tokens(seed: int = 1) -> Tokens:
    drawn = torch.randint(VOCABULARY, (3, CONTEXT + 1), generator=torch.Generator().manual_seed(seed))
    return Tokens(inputs=drawn[:, :-1], targets=drawn[:, 1:])


def gradient(model: nn.Module, rule: Rule) -> Tensor:
    """Of the mean loss, by all parameters, as one vector."""
    model.zero_grad()
    rule.gradients(model, NextToken(), tokens(), scale=1 / tokens().targets.numel())
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


@functools.cache
def exact_gradient(name: str) -> Tensor:
    """By automatic differentiation through so many steps that the state no longer moves."""
    return gradient(model_of(name), UnrolledBackprop(steps=STEPS))


def relative_error(name: str, beta: float, nudging: str) -> float:
    rule = EqProp(beta=beta, nudging=nudging, free_steps=STEPS, nudged_steps=STEPS)  # type: ignore[arg-type]
    return float((gradient(model_of(name), rule) - exact_gradient(name)).norm() / exact_gradient(name).norm())


@each_variant
def test_the_force_is_the_gradient_of_the_potential(name: str) -> None:
    model = model_of(name)
    clamped = model.clamp(tokens().inputs)
    h = torch.tanh(torch.randn(clamped[0].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)))
    h.requires_grad_()
    (by_autograd,) = torch.autograd.grad(model.potential(h, clamped), h)
    torch.testing.assert_close(model.force(h, clamped), by_autograd, rtol=0, atol=1e-13)


@each_variant
def test_centred_contrast_is_the_gradient_with_an_error_of_second_order_in_beta(name: str) -> None:
    coarse, fine = (relative_error(name, beta, "centred") for beta in (0.1, 0.01))
    assert fine < 1e-4
    assert 1.9 < math.log10(coarse / fine) < 2.1


@each_variant
def test_one_sided_contrast_has_an_error_of_first_order_in_beta(name: str) -> None:
    coarse, fine = (relative_error(name, beta, "one_sided") for beta in (0.1, 0.01))
    assert 0.9 < math.log10(coarse / fine) < 1.1


@each_variant
def test_nothing_leaks_from_the_future_into_a_settled_state(name: str) -> None:
    model, inputs = model_of(name), tokens().inputs
    changed = inputs.clone()
    changed[:, 6:] = (changed[:, 6:] + 1) % VOCABULARY
    with torch.no_grad():
        before, after = model(inputs), model(changed)
    assert float((before[:, :6] - after[:, :6]).abs().max()) < 1e-12
    assert float((before[:, 6:] - after[:, 6:]).abs().max()) > 1e-3


@each_variant
def test_a_settled_state_is_a_fixed_point_and_its_record_says_how_it_was_reached(name: str) -> None:
    model = model_of(name)
    with torch.no_grad():
        clamped = model.clamp(tokens().inputs)
        state = model.settle(clamped)
        left = (torch.tanh(model.force(state.h, clamped)) - state.h).abs().max()
    positions = tokens().inputs.numel()
    assert float(left) <= model.spec.tolerance
    assert model.evaluation_sums["settled_share"] == positions
    assert positions < model.evaluation_sums["settling_steps"] < positions * model.spec.max_steps
    assert model.evaluation_sums["settling_residual"] <= positions * model.spec.tolerance


@each_variant
def test_the_last_positions_settle_alone_as_they_would_among_the_others(name: str) -> None:
    model = model_of(name)
    with torch.no_grad():
        clamped = model.clamp(tokens().inputs)
        state = model.relax(model.start(clamped), clamped, 3)
        rows, times = torch.tensor([0, 2, 2]), torch.tensor([7, 0, 9])
        among_others = model.force(state.h, clamped)[:, rows, times]
        alone = model.force(state.h[:, rows, times][:, :, None], model.alone(clamped, rows, times))
        torch.testing.assert_close(alone[:, :, 0], among_others, rtol=0, atol=1e-13)
        together = model.settle(clamped)
    with torch.enable_grad():  # where all settle together to the end
        torch.testing.assert_close(model.settle(clamped).h, together.h, rtol=0, atol=1e-13)


def test_a_swinging_position_is_damped_until_it_settles_and_the_others_go_at_full_step() -> None:
    """A recurrence of -4 times the identity makes h <- tanh(drive - 4 h) swing for ever between two states."""
    spec = Equilibrium(variant="looped_mlp", vocab_size=3, width=2, context=4, window=1, max_steps=200)
    model = spec.build(torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        model.recurrence.copy_(-2 * torch.eye(2))
        clamped = model.clamp(torch.tensor([[0, 1, 2]]))
        state = model.settle(clamped)
    assert model.evaluation_sums["settled_share"] == 3
    assert float(state.step.max()) < 1


def test_a_run_whose_positions_do_not_settle_is_in_trouble() -> None:
    spec = VARIANTS["looped_mlp"]
    assert spec.trouble({"settled_share": 0.97, "settling_residual": 1e-4}) is None
    reason = spec.trouble({"settled_share": 0.2, "settling_residual": 0.31})
    assert reason is not None and "20%" in reason and "0.31" in reason


@each_variant
@pytest.mark.parametrize(
    "rule",
    [
        EqProp(beta=0.1, free_steps=5, nudged_steps=3),
        EqProp(beta=0.1, nudging="one_sided", free_steps=5, nudged_steps=3),
        UnrolledBackprop(steps=5),
    ],
    ids=["centred", "one-sided", "unrolled"],
)
def test_flops_of_each_rule_agree_with_torchs_own_counter(name: str, rule: Rule) -> None:
    spec = VARIANTS[name]
    model = spec.build(torch.Generator().manual_seed(0))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        rule.gradients(model, NextToken(), tokens(), scale=1.0)
    counted = counter.get_total_flops() / tokens().inputs.numel()
    assert rule.training_flops_per_token(spec, CONTEXT) == pytest.approx(counted, rel=0.02)


def test_flops_come_to_the_published_counts_where_the_network_is_all_there_is() -> None:
    """With F = 2N: 2F a settling step is 4N here only for a matrix used both ways; A + A^T is used once, so F."""
    spec = VARIANTS["looped_mlp"]
    one, two = (UnrolledBackprop(steps=steps).training_flops_per_token(spec, CONTEXT) for steps in (1, 2))
    assert two - one == 3 * 2 * spec.width**2


def test_unknown_options_are_errors() -> None:
    with pytest.raises(TypeError, match="nudge_strength"):
        EqProp(beta=0.1, nudge_strength=2)  # type: ignore[call-arg]
    with pytest.raises(LawfulError, match="beta: expected a number above 0.*nudging: expected one of centred"):
        EqProp(beta=0.0, nudging="both")  # type: ignore[arg-type]
    with pytest.raises(LawfulError, match="steps: expected a whole number of at least 1"):
        UnrolledBackprop(steps=0)
    with pytest.raises(LawfulError, match="variant: expected.*depth"):
        Equilibrium(variant="mlp", depth=2, **SMALL)  # type: ignore[arg-type]


def test_a_network_without_an_energy_is_refused() -> None:
    decoder = Decoder(vocab_size=VOCABULARY, width=8, depth=1, heads=2, context=CONTEXT)
    model = decoder.build(torch.Generator().manual_seed(0))
    for rule in (EqProp(beta=0.1), UnrolledBackprop(steps=3)):
        with pytest.raises(LawfulError, match="got DecoderModel; use Backprop"):
            rule.gradients(model, NextToken(), tokens(), scale=1.0)


def test_backprop_through_the_settling_itself_gives_the_gradient_too() -> None:
    spec = Equilibrium(variant="looped_mlp", window=4, max_steps=STEPS, tolerance=0.0, **SMALL)
    model = spec.build(torch.Generator().manual_seed(0)).double()
    exact = gradient(model, UnrolledBackprop(steps=STEPS))
    torch.testing.assert_close(gradient(model, Backprop()), exact, rtol=1e-10, atol=1e-12)


@each_variant
def test_an_audit_tells_a_right_gradient_from_a_coarse_one(name: str) -> None:
    model = model_of(name)
    right, coarse = (
        EqProp(beta=beta, nudging=nudging, free_steps=steps, nudged_steps=steps).audit(model, NextToken(), tokens())
        for beta, nudging, steps in ((0.01, "centred", 100), (0.5, "one_sided", 2))  # type: ignore[arg-type]
    )
    assert right["gradient_error"] < 1e-4 < 0.03 < coarse["gradient_error"]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_backprop_has_nothing_to_audit() -> None:
    assert Backprop().audit(model_of("full"), NextToken(), tokens()) == {}
