"""muP and CompleteP: at the base they are the standard model, and beside it activations keep their scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lawful.corpora.tiny_shakespeare import TinyShakespeare
from lawful.errors import LawfulError
from lawful.families.decoder import Decoder
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule
from lawful.tasks.next_token import NextToken, Tokens
from lawful.tokenizers.characters import Characters
from lawful.train.optimizer import build_adamw, set_learning_rate

CORPUS = TinyShakespeare(tokenizer=Characters(alphabet="".join(map(chr, range(50, 100)))))  # of the family's 50 symbols
BASE = Decoder(vocab_size=50, width=32, depth=2, heads=4, context=32)
RATE = 0.01


def decoder(parametrisation: str, width: int, depth: int = 2) -> Decoder:
    given = {} if parametrisation == "standard" else {"base_width": 32, "base_depth": 2}
    return replace(BASE, width=width, depth=depth, heads=width // 8, parametrisation=parametrisation, **given)


def run_of(family: Decoder, rate: float = RATE) -> Run:
    return Run(
        family=family, corpus=CORPUS, task=NextToken(), rule=Backprop(), optimizer=AdamW(learning_rate=rate),
        schedule=Schedule(warmup_steps=0), steps=10, batch_size=8, context=32,
    )  # fmt: skip


def trained(family: Decoder, steps: int, rate: float = RATE) -> tuple[torch.nn.Module, float]:
    """After some steps on tokens with a pattern (each is the one before plus 1 or 2): the model, and the mean loss over
    all steps, which asks for speed of learning and does not saturate."""
    run = run_of(family, rate)
    model = family.build(torch.Generator().manual_seed(0))
    optimizer = build_adamw(model, run, is_fused=True)
    generator = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(steps):
        jumps = torch.randint(1, 3, (8, 33), generator=generator)
        tokens = jumps.cumsum(1) % 50
        optimizer.zero_grad()
        batch = Tokens(inputs=tokens[:, :-1], targets=tokens[:, 1:])
        total = run.rule.gradients(model, run.task, batch, scale=1 / 256)
        set_learning_rate(optimizer, rate)
        optimizer.step()
        losses.append(float(total) / 256)
    return model, float(np.mean(losses))


def change_of_the_stream(family: Decoder, steps: int = 5) -> float:
    """Root mean square of what training changed in the residual stream before the last norm."""
    seen: list[torch.Tensor] = []
    tokens = torch.randint(50, (16, 32), generator=torch.Generator().manual_seed(2))
    for model in (family.build(torch.Generator().manual_seed(0)), trained(family, steps)[0]):
        hook = model.norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach()))
        with torch.no_grad():
            model(tokens)
        hook.remove()
    return float((seen[1] - seen[0]).pow(2).mean().sqrt())


def slope(sizes: list[int], values: list[float]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


@pytest.mark.parametrize("parametrisation", ["mup", "completep"])
def test_at_the_base_the_weights_and_optimiser_are_those_of_the_standard_parametrisation(parametrisation: str) -> None:
    standard, other = (
        BASE.build(torch.Generator().manual_seed(3)),
        decoder(parametrisation, 32).build(torch.Generator().manual_seed(3)),
    )
    assert all(torch.equal(a, b) for a, b in zip(standard.parameters(), other.parameters(), strict=True))
    groups = build_adamw(other, run_of(decoder(parametrisation, 32)), is_fused=True).param_groups
    assert {(group["rate_scale"], group["eps"]) for group in groups} == {(1.0, 1e-8)}


@pytest.mark.parametrize("parametrisation", ["mup", "completep"])
def test_coordinate_check_what_training_changes_is_flat_in_width(parametrisation: str) -> None:
    widths = [32, 64, 128, 256]
    flat = slope(widths, [change_of_the_stream(decoder(parametrisation, width)) for width in widths])
    steep = slope(widths, [change_of_the_stream(decoder("standard", width)) for width in widths])
    assert abs(flat) < 0.2 < steep, f"{parametrisation}: {flat:.2f}, standard: {steep:.2f}"


def test_coordinate_check_what_training_changes_is_flat_in_depth_under_completep() -> None:
    depths = [2, 4, 8, 16]
    flat = slope(depths, [change_of_the_stream(decoder("completep", 32, depth)) for depth in depths])
    steep = slope(depths, [change_of_the_stream(decoder("mup", 32, depth)) for depth in depths])
    assert abs(flat) < 0.2 < steep, f"completep: {flat:.2f}, mup: {steep:.2f}"


def test_hand_made_scales() -> None:
    """arXiv:2505.01618: width ratio 4, depth ratio 3."""
    family = replace(decoder("completep", 128, 6), base_width=32, base_depth=2)
    hidden = family.optimizer_scale("blocks.0.mlp.up.weight")
    assert (hidden.rate, hidden.decay, hidden.eps) == (1 / 4, 4, 1 / 12)
    embedding = family.optimizer_scale("embedding.weight")
    assert (embedding.rate, embedding.decay, embedding.eps) == (1, 1, 1 / 4)


def test_a_parametrisation_without_its_base_is_refused() -> None:
    with pytest.raises(LawfulError, match="mup needs base_width and base_depth"):
        replace(BASE, parametrisation="mup")
    with pytest.raises(LawfulError, match="mean nothing in the standard parametrisation"):
        replace(BASE, base_width=32, base_depth=2)


@pytest.mark.slow
def test_transfer_check_the_best_rate_is_the_same_at_two_widths_under_mup_and_moves_in_the_standard() -> None:
    rates = [0.002 * 2**step for step in range(6)]

    def best(parametrisation: str, width: int) -> int:
        return int(np.argmin([trained(decoder(parametrisation, width), 60, rate)[1] for rate in rates]))

    assert abs(best("mup", 32) - best("mup", 128)) <= 1
    assert best("standard", 32) - best("standard", 128) >= 2  # a grid step is a factor of 2, the widths one of 4
