"""The coordinate check: by how much a decoder's activations have changed since it was untrained."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch

import lawful
from lawful.errors import DeclarationError
from lawful.families.decoder import Decoder
from lawful.rules.coordinate_check import CoordinateCheck
from lawful.studies import transfer
from lawful.tasks.next_token import NextToken, Tokens

SMALL = Decoder(vocab_size=11, width=16, depth=2, heads=2, context=8)


def some_text(seed: int = 0) -> Tokens:
    symbols = torch.randint(11, (4, 9), generator=torch.Generator().manual_seed(seed))
    return Tokens(inputs=symbols[:, :-1], targets=symbols[:, 1:])


def untrained(seed: int = 3) -> torch.nn.Module:
    return SMALL.build(torch.Generator().manual_seed(seed))


def test_an_untrained_model_has_not_changed() -> None:
    found = CoordinateCheck(init_seed=3).audit(untrained(), NextToken(), some_text())
    assert found == dict.fromkeys(CoordinateCheck.columns, 0.0)


def test_a_change_of_the_last_gain_changes_the_logits_by_as_much_as_the_model_says_and_nothing_before_it() -> None:
    model, batch = untrained(), some_text()
    with torch.no_grad():
        before = model(batch.inputs)
        model.norm.weight.mul_(1.5)  # type: ignore[union-attr, operator]
        by_hand = math.sqrt(float((model(batch.inputs) - before).square().mean()))
    found = CoordinateCheck(init_seed=3).audit(model, NextToken(), batch)
    assert found["change_logits"] == pytest.approx(by_hand, rel=1e-6) and by_hand > 0
    assert found["change_residual"] == found["change_scores"] == found["change_embedding"] == 0.0


def test_the_scores_are_those_of_the_last_block_with_its_own_scale() -> None:
    model, batch = untrained(), some_text()
    with torch.no_grad():
        block = model.blocks[-1]  # type: ignore[index]
        block.attention.qkv.weight[:16] *= 3.0  # the queries
    found = CoordinateCheck(init_seed=3).audit(model, NextToken(), batch)
    doubled = 2.0  # the scores are then three times what they were
    with torch.no_grad():
        x = untrained().blocks[
            0
        ](  # type: ignore[index]
            untrained().embedding(batch.inputs),
            (model.cos[:8], model.sin[:8]),  # type: ignore[operator, index]
        )
        q, k, _ = untrained().blocks[1].attention.qkv(block.attention_norm(x)).view(4, 8, 3, 2, 8).unbind(2)  # type: ignore[index]
        scores = torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(8)
    assert found["change_scores"] == pytest.approx(doubled * float(scores.square().mean().sqrt()), rel=1e-4)
    assert found["change_embedding"] == 0.0 < found["change_residual"]


def test_the_audit_leaves_the_model_and_its_mode_as_they_were() -> None:
    model = untrained().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    CoordinateCheck(init_seed=3).audit(model, NextToken(), some_text())
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not model._forward_hooks and not model.blocks[-1]._forward_pre_hooks  # type: ignore[index]


def test_a_family_that_is_no_decoder_is_refused_where_the_run_is_declared() -> None:
    from lawful.families.lstm import LSTM

    run = transfer.study("smoke").ladder[0].training
    assert isinstance(run.rule, CoordinateCheck)
    lstm = LSTM.examples()[0]
    with pytest.raises(DeclarationError, match="needs a decoder; got LSTM"):
        replace(run, family=replace(lstm, vocab_size=run.family.vocab_size))


def test_a_forgotten_factor_of_the_learning_rate_is_found_and_the_right_model_is_not_blamed() -> None:
    """As benchmarks/transfer_faults.py, which has 20 faults of three kinds."""

    def rows(*, is_faulty: bool) -> list[dict[str, float]]:
        out = []
        for width, seed in itertools.product((16, 64), (0, 1, 2)):
            family = replace(SMALL, width=width, parametrisation="mup", base_width=16, base_depth=2)
            model = family.build(torch.Generator().manual_seed(seed))
            scale = {
                name: 1.0 if is_faulty else family.optimizer_scale(name).rate for name, _ in model.named_parameters()
            }
            groups = [{"params": [own], "lr": 0.02 * scale[name]} for name, own in model.named_parameters()]
            optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
            for step in range(4):
                optimizer.zero_grad()
                (NextToken().loss(model, some_text(seed * 100 + step)) / 32).backward()
                optimizer.step()
            changes = CoordinateCheck(init_seed=seed).audit(model, NextToken(), some_text(99))
            out.append({"width": width, "loss": 1.0, **changes})
        return out

    assert lawful.transfer(rows(is_faulty=False)).arms[0].verdict != "does not transfer"
    assert lawful.transfer(rows(is_faulty=True)).arms[0].verdict == "does not transfer"
