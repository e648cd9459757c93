"""Encoders of EMG: the published counts, torch's own FLOPs, what is cut, what is masked, and the front end by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lawful.domains.emg.families.ctc_encoder import CtcEncoder, Encoder
from lawful.errors import LawfulError
from lawful.run import from_json, to_json

SHAPE = {"width": 32, "depth": 2, "heads": 2, "mlp_width": 48, "band_width": 16}
SPECS = {
    "transformer": CtcEncoder(**SHAPE, past=8, future=4),
    "strided": CtcEncoder(**SHAPE, past=8, future=4, stride=4),
    "tds": CtcEncoder(body="tds", width=32, depth=2, band_width=16, channels=8, kernel=5, past=8, future=4),
}
every = pytest.mark.parametrize("name", list(SPECS))


def build(spec: CtcEncoder, seed: int = 0) -> Encoder:
    return spec.build(torch.Generator().manual_seed(seed))


def signal(rows: int, frames: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(rows, frames, 2, 16, 33, generator=torch.Generator().manual_seed(seed))


def test_the_convolutional_baseline_has_its_published_number_of_parameters_and_frames() -> None:
    spec = CtcEncoder(body="tds", width=768, depth=4)
    assert spec.param_counts().total == 5_293_315
    scores, lengths = build(spec)(signal(1, 622))
    assert scores.shape == (1, 498, 99) and lengths.tolist() == [498]


@pytest.mark.parametrize(
    ("width", "heads", "depth", "mlp_width", "millions"),
    [(128, 2, 2, 512, 0.40), (256, 4, 3, 768, 1.98), (384, 6, 4, 1024, 5.52), (512, 8, 6, 2048, 18.91)]
    + [(768, 12, 8, 3072, 56.70)],
)
def test_the_published_bodies_have_the_parameters_that_were_counted(
    width: int, heads: int, depth: int, mlp_width: int, millions: float
) -> None:
    spec = CtcEncoder(width=width, heads=heads, depth=depth, mlp_width=mlp_width)
    groups = spec.param_counts().by_group
    final_norm = 2 * width  # theirs stood after the blocks, and had none
    assert (groups["attention"] + groups["mlp"] + groups["norms"] - final_norm) / 1e6 == pytest.approx(
        millions, abs=0.006
    )


@every
def test_counts_are_what_the_model_holds_and_what_torch_counts(name: str) -> None:
    spec = SPECS[name]
    model, context = build(spec), 48
    assert spec.param_counts().total == sum(parameter.numel() for parameter in model.parameters())
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        scores, _ = model(signal(3, 8 + context + 4))
        forward = counter.get_total_flops()
        scores.sum().backward()
    assert spec.forward_flops_per_token(context) == forward // (3 * context)
    assert counter.get_total_flops() == 3 * forward


@every
def test_the_same_generator_gives_the_same_model_and_json_keeps_it(name: str) -> None:
    spec = SPECS[name]
    assert from_json(to_json(spec)) == spec
    pairs = zip(build(spec).parameters(), build(spec).parameters(), build(spec, 1).parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    blank = torch.softmax(build(spec).head.bias.detach(), 0)[-1]
    assert blank > 0.5  # e^5 of 98 + e^5


@every
def test_emissions_are_those_of_the_labelled_window(name: str) -> None:
    spec = SPECS[name]
    scores, lengths = build(spec).eval()(signal(2, 8 + 48 + 4), torch.tensor([0, 0]), torch.tensor([60, 40]))
    per_frame = 1 if name != "strided" else 4
    assert scores.shape[1] == 48 // per_frame
    expected = [48, 32] if name != "tds" else [48, 32]  # 8 frames go to the convolutions, as many as there were before
    assert lengths.tolist() == [number // per_frame for number in expected]


def test_what_fills_a_window_changes_nothing_that_is_real() -> None:
    model = build(SPECS["transformer"]).eval()
    first = signal(1, 60)
    second = first.clone()
    second[:, :8] = 7.0
    second[:, 50:] = -3.0
    begin, end = torch.tensor([8]), torch.tensor([50])
    with torch.no_grad():
        one, other = model(first, begin, end), model(second, begin, end)
    assert one.lengths.tolist() == [42]
    torch.testing.assert_close(one.scores[:, :42], other.scores[:, :42])
    assert not torch.allclose(model(first).scores, model(second).scores)


def test_past_and_future_are_seen() -> None:
    model = build(SPECS["transformer"]).eval()
    first = signal(1, 60)
    for frame in (0, 59):
        second = first.clone()
        second[:, frame] += 1.0
        assert not torch.allclose(model(first).scores, model(second).scores)


def test_the_front_end_turns_each_band_and_takes_the_mean() -> None:
    """Turned weights against turned signals, electrode by electrode."""
    model = build(SPECS["transformer"]).train()
    inputs = signal(2, 20)
    x = torch.nn.functional.batch_norm(
        inputs.flatten(2, 3).permute(0, 2, 1, 3), None, None, training=True, eps=1e-5
    )  # [rows, 32, frames, 33]: over rows, frames and bins of each electrode
    x = x.permute(0, 2, 1, 3).view(2, 20, 2, 16, 33)
    parts = []
    for band, mlp in enumerate(model.front_end.bands):
        turned = [torch.relu(mlp(x[:, :, band].roll(offset, dims=2).flatten(2))) for offset in (-1, 0, 1)]
        parts.append(sum(turned) / 3)
    torch.testing.assert_close(model.front_end(inputs), torch.cat(parts, -1), rtol=1e-4, atol=1e-5)


def test_a_band_turned_all_the_way_by_a_model_that_averages_is_nearly_itself() -> None:
    """Turned by one electrode, two of the three views stay: scores move less than for a band turned by eight."""
    model = build(SPECS["transformer"]).eval()
    inputs = signal(4, 60)
    with torch.no_grad():
        base = model(inputs).scores
        moved = [(model(inputs.roll(turn, dims=3)).scores - base).abs().mean() for turn in (1, 8)]
    assert moved[0] < moved[1]


def test_impossible_shapes_are_refused_with_the_reason() -> None:
    with pytest.raises(LawfulError, match="an even head size"):
        CtcEncoder(width=30, depth=1, heads=4, mlp_width=8)
    with pytest.raises(LawfulError, match="past 112 is not a multiple of stride 5"):
        CtcEncoder(width=32, depth=1, heads=4, mlp_width=8, stride=5)
    with pytest.raises(LawfulError, match="expected width 2 x band_width = 768"):
        CtcEncoder(body="tds", width=512, depth=4)
    with pytest.raises(LawfulError, match="more than 12 frames"):
        build(SPECS["transformer"])(signal(1, 12))
