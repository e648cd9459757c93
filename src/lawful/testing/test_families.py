"""What every family promises. Its examples() are tried, or the families of registered studies where it has none."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lawful.families import Family
from lawful.families.lstm import LSTM
from lawful.kernels import block
from lawful.run import from_json, to_json
from lawful.testing import examples, loaded

FAMILIES = [family for name, cls in loaded("families").items() for family in examples(cls)]
TOKENS = [family for family in FAMILIES if family.reads in (None, "tokens")]
each_family = pytest.mark.parametrize("family", FAMILIES, ids=str)
each_family_of_tokens = pytest.mark.parametrize("family", TOKENS, ids=str)


def build(family: Family, seed: int = 0) -> torch.nn.Module:
    return family.build(torch.Generator().manual_seed(seed))


@each_family
def test_counts_by_group_sum_to_what_the_model_holds(family: Family) -> None:
    held = sum(parameter.numel() for parameter in build(family).parameters())
    assert family.param_counts().total == held


@each_family_of_tokens
def test_flops_agree_with_torchs_own_counter(family: Family) -> None:
    model, context = build(family), 16
    tokens = torch.randint(64, (3, context), generator=torch.Generator().manual_seed(0))
    # the fused CPU attention and oneDNN's LSTM are not counted by torch; the plain ones are, over the full square
    with sdpa_kernel(SDPBackend.MATH), plain_lstm(), FlopCounterMode(display=False) as counter:
        out = model(tokens).sum()
        forward = counter.get_total_flops()
        out.backward()
    assert family.forward_flops_per_token(context) * tokens.numel() == forward
    # the state before the first position needs no gradient
    first_state = 2 * 3 * family.param_counts().by_group.get("recurrent", 0)
    assert counter.get_total_flops() == 3 * forward - first_state


@contextlib.contextmanager
def plain_lstm() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's remark about a GPU that is not there
        with torch.backends.mkldnn.flags(enabled=False):
            yield


@each_family
def test_the_same_generator_gives_the_same_weights_and_another_seed_others(family: Family) -> None:
    first, again, other = build(family, 1), build(family, 1), build(family, 2)
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)


@each_family_of_tokens
def test_no_position_sees_its_future(family: Family) -> None:
    model = build(family).eval()
    tokens = torch.randint(63, (2, 16), generator=torch.Generator().manual_seed(3))
    changed = tokens.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % 64
    with torch.no_grad():
        before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9:], after[:, 9:])


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16], ids=str)
@each_family_of_tokens
def test_in_half_precision_a_family_computes_what_it_does_in_fp32_within_rounding(
    family: Family, precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: under autocast, by torch's own attention."""
    if isinstance(family, LSTM) and precision == torch.float16:
        pytest.skip("torch has no LSTM in fp16 on a CPU")
    monkeypatch.setattr(block, "is_faster", lambda *_: False)
    assert_as_in_fp32(family, precision, lambda model: model)


def assert_as_in_fp32(
    family: Family, precision: torch.dtype, wrapped: Callable[[torch.nn.Module], torch.nn.Module]
) -> None:
    tokens = torch.randint(64, (4, 17), generator=torch.Generator().manual_seed(3))
    tokens[0, 0] = tokens[0, 6] = 64  # two texts, to who looks for them
    losses, gradients = [], []
    for is_half in (False, True):
        model = build(family)
        torch.manual_seed(0)  # of a family that draws what it heeds
        with torch.autocast("cpu", dtype=precision, enabled=is_half):
            logits = (wrapped(model) if is_half else model)(tokens[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
        torch.autograd.backward(loss)
        losses.append(loss.detach())
        gradients.append(torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None]))
    torch.testing.assert_close(losses[1], losses[0], rtol=0.01, atol=0.01)
    assert (gradients[1] - gradients[0]).norm() < 0.05 * gradients[0].norm()


@each_family
def test_a_family_survives_json(family: Family) -> None:
    assert from_json(to_json(family)) == family


@pytest.mark.parametrize("family", [family for family in TOKENS if getattr(family, "separator", None)], ids=str)
def test_a_family_that_knows_where_a_text_starts_sees_nothing_before_it(family: Family) -> None:
    """Each text of a row gets what it would get alone."""
    model = build(family).eval()
    tokens = torch.randint(64, (2, 16), generator=torch.Generator().manual_seed(3))
    tokens[0, 0] = tokens[0, 6] = tokens[0, 11] = tokens[1, 9] = 64
    with torch.no_grad():
        packed = model(tokens)
        for row, first, last in ((0, 0, 6), (0, 6, 11), (0, 11, 16), (1, 0, 9), (1, 9, 16)):
            alone = model(tokens[row : row + 1, first:last])[0]
            torch.testing.assert_close(packed[row, first:last], alone)
