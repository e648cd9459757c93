"""The decoder's arithmetic by hand, and what it refuses."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lawful.errors import LawfulError
from lawful.families import decoder
from lawful.families.decoder import Decoder
from lawful.kernels import attention, block
from lawful.kernels.rotary import rotary_angles, rotate


def test_gpt2_small_has_its_published_number_of_parameters_but_for_biases() -> None:
    """124,439,808 as released, with the biases that ours leaves out counted by hand."""
    spec = Decoder(vocab_size=50_257, width=768, depth=12, heads=12, context=1024, positions="learned")
    linear_biases = 12 * (3 + 1 + 4 + 1) * 768
    norm_biases = (2 * 12 + 1) * 768
    assert spec.param_counts().total + linear_biases + norm_biases == 124_439_808


def test_swiglu_is_matched_to_gelu_within_the_stated_residue() -> None:
    for width in (24, 64, 96, 144, 768):
        gelu = Decoder(vocab_size=10, width=width, depth=1, heads=1, context=8)
        swiglu = Decoder(vocab_size=10, width=width, depth=1, heads=1, context=8, mlp="swiglu")
        assert swiglu.mlp_width % 8 == 0
        assert abs(swiglu.param_counts().total - gelu.param_counts().total) <= 12 * width


def test_fresh_model_guesses_uniformly() -> None:
    spec = Decoder(vocab_size=65, width=64, depth=3, heads=4, context=32)
    model = spec.build(torch.Generator().manual_seed(0)).eval()
    tokens = torch.randint(65, (8, 33), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
    assert abs(float(loss) - math.log(65)) < 0.3


def test_rotary_scores_depend_on_distance_alone() -> None:
    cos, sin = rotary_angles(64, 8)
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(8, generator=generator), torch.randn(8, generator=generator)
    turned_q, turned_k = rotate(q.expand(64, 8), cos, sin), rotate(k.expand(64, 8), cos, sin)
    scores = turned_q @ turned_k.T
    torch.testing.assert_close(scores[5, 2], scores[45, 42], rtol=1e-4, atol=1e-4)


def test_impossible_shapes_are_refused_all_at_once() -> None:
    with pytest.raises(LawfulError, match="dropout: .*width 10 is not a multiple of heads 4"):
        Decoder(vocab_size=65, width=10, depth=1, heads=4, context=8, dropout=1.0)
    with pytest.raises(LawfulError, match="even head size"):
        Decoder(vocab_size=65, width=12, depth=1, heads=4, context=8)


def test_a_sequence_longer_than_the_context_is_refused() -> None:
    spec = Decoder(vocab_size=65, width=8, depth=1, heads=1, context=8)
    with pytest.raises(LawfulError, match="at most 8 positions"):
        spec.build(torch.Generator())(torch.zeros(1, 9, dtype=torch.long))


KINDS: dict[str, dict[str, Any]] = {
    "rope": {},
    "learned": {"positions": "learned"},
    "texts": {"separator": 3},
    "swiglu": {"mlp": "swiglu"},
    "mup": {"parametrisation": "mup", "base_width": 12, "base_depth": 2},
    "completep": {"parametrisation": "completep", "base_width": 12, "base_depth": 1},
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@each_kind
def test_a_block_over_a_short_sequence_is_torchs_own_within_rounding(
    kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss and every gradient, by the backward pass written out and by torch's of each part."""
    spec = Decoder(vocab_size=20, width=24, depth=2, heads=2, context=32, **kind)
    tokens = torch.randint(20, (4, 33), generator=torch.Generator().manual_seed(1))
    losses, gradients = [], []
    for longest in (32, 0):
        monkeypatch.setattr(block, "MAX_POSITIONS", {torch.float32: longest})
        model = spec.build(torch.Generator().manual_seed(0))
        loss = torch.nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        losses.append(loss.detach())
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)
    assert all(gradient.abs().max() > 1e-4 for gradient in gradients[0].values())


class TwoPasses(torch.autograd.Function):
    """Attention alone as FusedBlock does it; all else is then torch's."""

    @staticmethod
    def forward(ctx: Any, qkv: torch.Tensor, rotary: Any, mask: torch.Tensor | None, scale: float) -> torch.Tensor:
        mixed, turned, weights = attention.attend(qkv, rotary, mask, scale)
        ctx.save_for_backward(turned, weights)
        ctx.rotary, ctx.scale = rotary, scale
        return mixed

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        return attention.attend_backward(grad, *ctx.saved_tensors, ctx.rotary, scale=ctx.scale), None, None, None


def attention_in_two_passes(
    self: decoder.Attention, x: torch.Tensor, rotary: Any, mask: torch.Tensor | None
) -> torch.Tensor:
    batch, time, width = x.shape
    qkv = self.qkv(x).view(batch, time, 3, self.heads, width // self.heads)
    mixed = TwoPasses.apply(qkv, rotary, mask, self.scale)
    return self.out(mixed.view(batch, time, width))


@each_kind
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_a_block_as_one_call_is_its_parts_bit_for_bit(
    kind: dict[str, Any], precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss and every gradient, by the written-out backward pass and by torch's of each part. What a branch adds is
    scaled before it is rounded, not after: there the two agree within rounding."""
    spec = Decoder(vocab_size=20, width=24, depth=2, heads=3, context=32, **kind)
    tokens = torch.randint(20, (4, 33), generator=torch.Generator().manual_seed(1))
    found, calls = [], []
    apply = block.FusedBlock.apply
    monkeypatch.setattr(block.FusedBlock, "apply", lambda *given: (calls.append(1), apply(*given))[1])
    for is_whole in (True, False):
        if not is_whole:
            monkeypatch.setattr(block, "is_faster", lambda *_: False)
            monkeypatch.setattr(decoder.Attention, "forward", attention_in_two_passes)
        model = spec.build(torch.Generator().manual_seed(0))
        with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
            logits = model(tokens[:, :-1]).flatten(0, 1).float()
            loss = torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten())
        loss.backward()
        found.append({"loss": loss.detach(), **{name: each.grad for name, each in model.named_parameters()}})
    assert len(calls) == 2, "a block each, of the first model alone"
    bound = {"rtol": 0.02, "atol": 1e-3} if kind.get("parametrisation") == "completep" else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(found[0], found[1], **bound)


def test_attention_over_short_sequences_is_as_exact_under_autocast_as_torchs_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = Decoder(vocab_size=20, width=64, depth=1, heads=2, context=32)
    tokens = torch.randint(20, (4, 33), generator=torch.Generator().manual_seed(1))

    def gradient(precision: torch.dtype) -> torch.Tensor:
        model = spec.build(torch.Generator().manual_seed(0))
        with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
            logits = model(tokens[:, :-1]).flatten(0, 1).float()
            torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten()).backward()
        return model.blocks[0].attention.qkv.weight.grad

    exact = gradient(torch.float32)
    ours = (gradient(torch.bfloat16) - exact).norm()
    monkeypatch.setattr(block, "MAX_POSITIONS", {})
    torchs = (gradient(torch.bfloat16) - exact).norm()
    assert ours <= 1.05 * torchs < 0.05 * exact.norm()


@each_kind
def test_a_block_over_a_short_sequence_is_about_as_exact_under_autocast_as_torchs_own(
    kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = Decoder(vocab_size=20, width=48, depth=2, heads=2, context=32, **kind)
    tokens = torch.randint(20, (4, 33), generator=torch.Generator().manual_seed(1))

    def gradients(precision: torch.dtype) -> list[torch.Tensor]:
        model = spec.build(torch.Generator().manual_seed(0))
        with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
            logits = model(tokens[:, :-1]).flatten(0, 1).float()
            torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten()).backward()
        return [each.grad for each in model.blocks[0].parameters()]

    def off(found: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([(ours - true).norm() / true.norm() for ours, true in zip(found, exact, strict=True)])

    exact = gradients(torch.float32)
    ours = off(gradients(torch.bfloat16))
    monkeypatch.setattr(block, "MAX_POSITIONS", {})
    torchs = off(gradients(torch.bfloat16))
    assert ours.mean() <= 1.25 * torchs.mean() and ours.max() < 0.05, (ours, torchs)  # rotated in bf16, too


@each_kind
@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch batches its CPU attention run by run
@pytest.mark.parametrize("attends", ["whole block", "torch's, as on a GPU"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_models_side_by_side_have_the_gradients_that_each_has_alone(
    kind: dict[str, Any], precision: torch.dtype, attends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if attends != "whole block":
        monkeypatch.setattr(block, "is_faster", lambda *_: False)
    spec = Decoder(vocab_size=20, width=24, depth=2, heads=3, context=32, **kind)
    if not spec.is_stackable:
        pytest.skip("it looks at its symbols")
    models = [spec.build(torch.Generator().manual_seed(seed)) for seed in range(3)]
    with torch.no_grad():
        for number, model in enumerate(models):
            model.blocks[1].mlp_norm.weight.mul_(1 + number / 4)  # gains of their own, too
    tokens = torch.randint(20, (3, 4, 33), generator=torch.Generator().manual_seed(1))
    rows = {name: torch.stack([named(model)[name] for model in models]) for name in named(models[0])}
    rows = {name: row.detach().requires_grad_() for name, row in rows.items()}

    def loss(model: Callable[[torch.Tensor], torch.Tensor], tokens: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1).float(), tokens[:, 1:].flatten())

    def of_one(row: dict[str, torch.Tensor], tokens: torch.Tensor) -> torch.Tensor:
        return loss(lambda inputs: torch.func.functional_call(models[0], row, (inputs,)), tokens)

    with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
        alone = [loss(model, own) for model, own in zip(models, tokens, strict=True)]
        beside = torch.func.vmap(of_one)(rows, tokens)
    sum(alone).backward()
    beside.sum().backward()
    bound = {"rtol": 1e-4, "atol": 1e-6} if precision == torch.float32 else {"rtol": 0.02, "atol": 2e-3}
    torch.testing.assert_close(beside, torch.stack(alone), **bound)
    for name, row in rows.items():
        torch.testing.assert_close(row.grad, torch.stack([named(model)[name].grad for model in models]), **bound)


def named(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return dict(model.named_parameters())


def test_a_turn_is_that_of_the_complex_plane() -> None:
    cos, sin = rotary_angles(7, 6)
    x = torch.randn(2, 7, 6, generator=torch.Generator().manual_seed(0))
    frequency = 10_000.0 ** (-torch.arange(0, 6, 2, dtype=torch.float64) / 6)
    angle = torch.arange(7, dtype=torch.float64)[:, None] * frequency
    turned = torch.complex(x[..., :3].double(), x[..., 3:].double()) * torch.polar(torch.ones_like(angle), angle)
    torch.testing.assert_close(rotate(x, cos, sin).double(), torch.cat((turned.real, turned.imag), -1))
