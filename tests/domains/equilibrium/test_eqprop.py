"""The gate: equilibrium propagation's gradient is the gradient, for each variant, in float64."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lawful.domains.equilibrium import settling
from lawful.domains.equilibrium.audit import exact_gradient
from lawful.domains.equilibrium.families import equilibrium as family
from lawful.domains.equilibrium.families.equilibrium import COUPLINGS, EnergyModel, Equilibrium
from lawful.domains.equilibrium.rules import eqprop
from lawful.domains.equilibrium.rules.eqprop import MOST_ERROR, UNROLLED, EqProp
from lawful.domains.equilibrium.rules.unrolled import UnrolledBackprop
from lawful.domains.equilibrium.studies.equilibrium import BETA, TOLERANCE
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
def unrolled_gradient(name: str) -> Tensor:
    """By automatic differentiation through so many steps that the state no longer moves."""
    return gradient(model_of(name), UnrolledBackprop(steps=STEPS))


def relative_error(name: str, beta: float, nudging: str) -> float:
    rule = EqProp(beta=beta, nudging=nudging, tolerance=1e-12)  # type: ignore[arg-type]
    return float((gradient(model_of(name), rule) - unrolled_gradient(name)).norm() / unrolled_gradient(name).norm())


@each_variant
def test_the_force_is_the_gradient_of_the_potential(name: str) -> None:
    model = model_of(name)
    clamped = model.clamp(tokens().inputs)
    h = torch.tanh(torch.randn(clamped[0].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)))
    h.requires_grad_()
    (by_autograd,) = torch.autograd.grad(model.potential(h, clamped).sum(), h)
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
def test_the_gradient_that_audits_compare_with_is_that_of_finite_differences(name: str) -> None:
    model, step = model_of(name), 1e-5
    exact = exact_gradient(model, NextToken(), tokens(), model.start(model.clamp(tokens().inputs)))
    assert exact is not None
    parameters = dict(model.named_parameters())
    assert exact.keys() == parameters.keys()
    generator = torch.Generator().manual_seed(3)
    for parameter_name, parameter in parameters.items():
        way = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * step * way
                clamped = model.clamp(tokens().inputs)
                rest = model.settle(model.start(clamped), clamped, tolerance=1e-13, max_steps=2_000)
                logits = model.readout(rest.h[-1]).flatten(0, 1)  # the task itself rounds to fp32
                losses.append(float(F.cross_entropy(logits, tokens().targets.flatten(), reduction="sum")))
                parameter -= sign * step * way
        by_differences = (losses[0] - losses[1]) / (2 * step)
        assert float((exact[parameter_name] * way).sum()) == pytest.approx(by_differences, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_gradient_of_the_rule_is_that_of_finite_differences_in_a_random_network(seed: int) -> None:
    """The loss where plain steps along the gradient of the potential come to rest, against what the rule says."""
    generator = torch.Generator().manual_seed(seed)
    head_size, heads, depth = (int(torch.randint(1, 4, (), generator=generator)) for _ in range(3))
    variant = ("looped_mlp", "recurrent_core", "full", "recurrent_core", "full")[seed]
    spec = Equilibrium(
        variant=variant,  # type: ignore[arg-type]
        vocab_size=VOCABULARY,
        context=CONTEXT,
        width=2 * head_size * heads,
        heads=heads,
        mlp_width=5 * depth,
        depth=depth if variant == "full" else 1,
        window=1 + depth,
    )
    model = spec.build(generator).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in COUPLINGS:
                parameter *= 1 + torch.rand((), generator=generator)

    def loss_at_rest() -> float:
        clamped = tuple(part.detach() for part in model.clamp(tokens().inputs))
        h = torch.zeros_like(clamped[0])
        for _ in range(1_000):
            h.requires_grad_()
            (force,) = torch.autograd.grad(model.potential(h, clamped).sum(), h)
            gap = torch.tanh(force) - h.detach()
            h = h.detach() + 0.7 * gap
            if float(gap.abs().max()) < 1e-14:
                break
        assert float(gap.abs().max()) < 1e-13
        with torch.no_grad():
            return float(F.cross_entropy(model.readout(h[-1]).flatten(0, 1), tokens().targets.flatten()))

    gradient(model, EqProp(beta=1e-3, tolerance=1e-11))
    for name, parameter in model.named_parameters():
        way = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        losses = []
        for moved in (1e-5, -2e-5):
            with torch.no_grad():
                parameter += moved * way
            losses.append(loss_at_rest())
        made = parameter.grad
        assert made is not None
        assert float((made * way).sum()) == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-4, abs=1e-6), name
        with torch.no_grad():
            parameter += 1e-5 * way


@each_variant
def test_a_settled_state_is_a_fixed_point_and_its_record_says_how_it_was_reached(name: str) -> None:
    model, positions = model_of(name), tokens().inputs.numel()
    with torch.no_grad():
        clamped = model.clamp(tokens().inputs)
        settled = model.settle(model.start(clamped), clamped, tolerance=1e-10, max_steps=200)
        left = (torch.tanh(model.force(settled.h, clamped)) - settled.h).abs().amax(dim=(0, 3))
        model(tokens().inputs)
    torch.testing.assert_close(settled.residual, left, rtol=0, atol=1e-13)
    assert float(left.max()) <= 1e-10
    assert settled.accelerated > 0
    assert settled.computed >= float(settled.steps.sum()) + positions  # one look at each more than it moves
    assert model.evaluation_sums["settled_share"] == positions
    assert 0 < model.evaluation_sums["settling_steps"] < positions * model.spec.max_steps
    assert model.evaluation_sums["settling_residual"] <= positions * model.spec.tolerance


@each_variant
def test_the_last_positions_settle_alone_as_they_would_among_the_others(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(name)
    with torch.no_grad():
        clamped = model.clamp(tokens().inputs)
        h = torch.tanh(0.5 * clamped[0])
        rows, times = torch.tensor([0, 2, 2]), torch.tensor([7, 0, 9])
        among_others = model.force(h, clamped)[:, rows, times]
        alone = model.force(h[:, rows, times][:, :, None], model.alone(clamped, rows, times))
        torch.testing.assert_close(alone[:, :, 0], among_others, rtol=0, atol=1e-13)
        which = torch.tensor([2, 0])  # of positions that are alone already
        some = model.alone(model.alone(clamped, rows, times), which, torch.zeros_like(which))
        of_some = model.force(h[:, rows[which], times[which]][:, :, None], some)
        torch.testing.assert_close(of_some[:, :, 0], among_others[:, which], rtol=0, atol=1e-13)
        apart, together = [], []
        for found, few in ((apart, 1.5), (together, 10**9)):
            monkeypatch.setattr(settling, "FEW", few)
            found.append(model.settle(model.start(clamped), clamped, tolerance=1e-11, max_steps=200))
    torch.testing.assert_close(apart[0].h, together[0].h, rtol=0, atol=1e-9)
    assert apart[0].computed < together[0].computed


def test_an_evaluation_in_pieces_says_what_it_says_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("recurrent_core")
    found = []
    with torch.no_grad():
        for positions in (10_000, CONTEXT, 1):
            monkeypatch.setattr(family, "CPU_POSITIONS", positions)
            found.append((model(tokens().inputs), model.evaluation_sums))
    for logits, sums in found[1:]:
        torch.testing.assert_close(logits, found[0][0], rtol=0, atol=1e-5)
        assert sums == pytest.approx(found[0][1], rel=1e-6)


@each_variant
def test_the_second_nudged_phase_starts_where_a_linear_response_leads(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(name).float()
    settle, steps = model.settle, []

    def counted(*args: Any, **options: Any) -> settling.Settled:
        settled = settle(*args, **options)
        steps.append(float(settled.steps.mean()))
        return settled

    monkeypatch.setattr(model, "settle", counted)
    gradient(model, EqProp(beta=BETA, tolerance=TOLERANCE))
    _, toward, away = steps
    assert away < toward / 2


@pytest.mark.parametrize("coupling", [-4.0, -40.0])
def test_positions_that_swing_settle_too(coupling: float) -> None:
    """Such a multiple of the identity makes h <- tanh(drive + coupling h) swing for ever between two states."""
    spec = Equilibrium(variant="looped_mlp", vocab_size=3, width=2, context=4, window=1)
    model = spec.build(torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        model.recurrence.copy_(coupling / 2 * torch.eye(2))
        model(torch.tensor([[0, 1, 2]]))
    assert model.evaluation_sums["settled_share"] == 3


@each_variant
@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_the_rule_of_the_study_is_within_its_limit_also_where_the_couplings_are_strong(
    name: str, strength: float
) -> None:
    """In fp32, as in training. At three times their fresh strength the states need two to five times as many steps."""
    model = VARIANTS[name].build(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter_name in COUPLINGS:
                parameter *= strength
    found = EqProp(beta=BETA, tolerance=TOLERANCE).audit(model, NextToken(), tokens())
    assert found["unsettled_share"] == 0
    assert found["gradient_error"] < MOST_ERROR / 5
    loose = EqProp(beta=0.1, tolerance=0.05).audit(model, NextToken(), tokens())  # about 8 free and 4 nudged steps
    assert loose["gradient_error"] > found["gradient_error"]


def near_a_fold(distance: float) -> EnergyModel:
    """Two units. The first is clamped to almost 1 by its drive; the second, h = tanh(u + 1.5 h), has two fixed points
    until its drive u falls below that of h = 3^-1/2, where the upper one ends. At token 0 it is above that state by
    `distance`; the other tokens drive it further up."""
    spec = Equilibrium(variant="looped_mlp", vocab_size=VOCABULARY, width=2, context=CONTEXT, window=1)
    model = spec.build(torch.Generator().manual_seed(0))
    rest, coupling = 3**-0.5 + distance, 1.7  # it starts above, at tanh(drive), and comes down
    first = math.tanh(5 - coupling * rest)
    with torch.no_grad():
        model.recurrence.copy_(torch.tensor([[0.0, -coupling], [0.0, 0.75]]))
        model.bias.copy_(torch.tensor([5.0, math.atanh(rest) - 1.5 * rest + coupling * first]))
        model.input.copy_(torch.eye(2))
        model.embedding.weight.copy_(torch.arange(VOCABULARY)[:, None] * torch.tensor([0.0, 0.1]))
    return model


@pytest.mark.parametrize("distance", [0.03, 0.01, 1e-3])
def test_a_position_near_a_fold_is_nudged_by_as_little_as_it_needs(
    distance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In fp32. One beta for all leads to another fixed point there."""
    model, rule = near_a_fold(distance), EqProp(beta=BETA, tolerance=TOLERANCE)
    inputs = torch.zeros_like(tokens().inputs)
    inputs[1:] = tokens().inputs[1:]
    batch = Tokens(inputs=inputs, targets=tokens().targets)
    found = rule.audit(model, NextToken(), batch)
    assert found["unsettled_share"] == 0
    assert found["gradient_error"] < MOST_ERROR / 5
    monkeypatch.setattr(eqprop, "BENT", math.inf)
    assert rule.audit(model, NextToken(), batch)["gradient_error"] > MOST_ERROR


def test_a_position_on_its_way_past_a_fold_gets_more_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a minimum has just ended a state moves on slowly, here for about 160 plain steps. The loss is
    taken where it comes to rest, on the other side."""
    model, rule = near_a_fold(0.0), EqProp(beta=BETA, tolerance=TOLERANCE, max_steps=40)
    with torch.no_grad():
        model.bias[1] -= 3e-4  # type: ignore[index, operator]
    inputs = tokens().inputs.clamp_min(1)
    inputs[0, 0] = 0
    batch = Tokens(inputs=inputs, targets=tokens().targets)
    found = rule.audit(model, NextToken(), batch)
    assert found["unsettled_share"] == 0
    assert found["gradient_error"] < MOST_ERROR / 5
    monkeypatch.setattr(eqprop, "MORE_STEPS", 1)
    assert rule.audit(model, NextToken(), batch)["unsettled_share"] > 0


def test_a_position_that_has_not_settled_gives_no_gradient() -> None:
    model = model_of("looped_mlp")
    rule = EqProp(beta=0.01, tolerance=1e-14, max_steps=1)
    gradient(model, rule)
    assert float(model.recurrence.grad.abs().max()) == 0.0  # type: ignore[union-attr]
    assert float(model.head.weight.grad.abs().max()) > 0.0  # type: ignore[union-attr]
    found = rule.audit(model, NextToken(), tokens())
    assert found["unsettled_share"] == 1.0 and found["gradient_error"] > MOST_ERROR


def test_a_run_whose_gradient_was_off_is_no_evidence() -> None:
    rule = EqProp(beta=0.01)
    assert rule.no_evidence({"gradient_error": 0.04}) is None
    for error in (0.06, math.inf, math.nan):
        reason = rule.no_evidence({"gradient_error": error})
        assert reason is not None and f"{error:.2g}" in reason


def test_bf16_does_not_reach_the_phases() -> None:
    """Its rounding is a hundred times the tolerance: no position would settle."""
    model = VARIANTS["recurrent_core"].build(torch.Generator().manual_seed(0))
    rule = EqProp(beta=BETA, tolerance=TOLERANCE)
    exact = gradient(model, rule)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(gradient(model, rule), exact)
        with torch.no_grad():
            model(tokens().inputs)
    assert model.evaluation_sums["settled_share"] == tokens().inputs.numel()


@each_variant
def test_the_cost_is_beside_unrolled_backprop_of_at_most_the_same_error(name: str) -> None:
    model, rule = model_of(name).float(), EqProp(beta=0.05, tolerance=1e-3)
    found = rule.cost(model, NextToken(), tokens())
    assert found.keys() <= set(rule.columns) and found["gradient_seconds_ratio"] > 0
    ours = rule.audit(model, NextToken(), tokens())["gradient_error"]
    steps = int(found["unrolled_steps"])
    exact = exact_gradient(model, NextToken(), tokens(), model.start(model.clamp(tokens().inputs)))
    assert exact is not None
    whole = torch.cat([value.flatten() for value in exact.values()])

    def error(steps: int) -> float:
        made = gradient(model, UnrolledBackprop(steps=steps)).double() * tokens().targets.numel()
        return float((made - whole).norm() / whole.norm())

    assert error(steps) <= ours
    fewer = [tried for tried in UNROLLED if tried < steps]
    assert not fewer or error(fewer[-1]) > ours


def test_a_run_whose_positions_do_not_settle_is_in_trouble() -> None:
    spec = VARIANTS["looped_mlp"]
    assert spec.trouble({"settled_share": 0.97, "settling_residual": 1e-4}) is None
    reason = spec.trouble({"settled_share": 0.2, "settling_residual": 0.31})
    assert reason is not None and "20%" in reason and "0.31" in reason


@each_variant
@pytest.mark.parametrize(
    "rule",
    [
        EqProp(beta=0.1, tolerance=1e-7),
        EqProp(beta=0.1, nudging="one_sided", tolerance=1e-4),
        EqProp(beta=0.1, tolerance=1e-2, max_steps=2),
        UnrolledBackprop(steps=5),
    ],
    ids=["accelerated", "one-sided", "few steps", "unrolled"],
)
def test_flops_of_each_rule_agree_with_torchs_own_counter(name: str, rule: Rule) -> None:
    spec = VARIANTS[name]
    model = spec.build(torch.Generator().manual_seed(0))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        rule.gradients(model, NextToken(), tokens(), scale=1.0)
    positions = tokens().inputs.numel()
    sums = {part: value / positions for part, value in getattr(model, "training_sums", {}).items()}
    counted = counter.get_total_flops() / positions
    assert rule.measured_flops_per_token(spec, CONTEXT, sums) == pytest.approx(counted, rel=0.02)


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
        EqProp(beta=beta, nudging=nudging, tolerance=tolerance).audit(model, NextToken(), tokens())  # type: ignore[arg-type]
        for beta, nudging, tolerance in ((0.01, "centred", 1e-8), (0.5, "one_sided", 0.05))
    )
    assert right["gradient_error"] < 1e-4 < 0.03 < coarse["gradient_error"]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_backprop_has_nothing_to_audit() -> None:
    assert Backprop().audit(model_of("full"), NextToken(), tokens()) == {}
