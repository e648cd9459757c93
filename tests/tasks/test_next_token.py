"""The next token: what is not to be predicted counts neither in the loss nor in the mean, however a batch is cut."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from lawful.rules.backprop import Backprop
from lawful.tasks.next_token import IGNORED, NextToken


@dataclass(frozen=True, kw_only=True)
class Batch:
    inputs: torch.Tensor
    targets: torch.Tensor


def masked(generator: torch.Generator, rows: int = 6, context: int = 8) -> Batch:
    """Unevenly masked, so that rows weigh differently; one row has no target at all."""
    tokens = torch.randint(11, (rows, context + 1), generator=generator)
    targets = tokens[:, 1:].clone()
    targets[torch.rand(targets.shape, generator=generator) < 0.6] = IGNORED
    targets[2] = IGNORED
    return Batch(inputs=tokens[:, :-1], targets=targets)


def model() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(11, 5), nn.Linear(5, 11)).double()


def test_the_loss_is_a_sum_by_hand_over_the_targets_that_count() -> None:
    batch, net = masked(torch.Generator().manual_seed(1)), model()
    by_hand, hits, num = 0.0, 0, 0
    logits = net(batch.inputs)
    for row in range(6):
        for place in range(8):
            if (target := int(batch.targets[row, place])) != IGNORED:
                scores = logits[row, place].tolist()
                by_hand += math.log(sum(map(math.exp, scores))) - scores[target]
                hits += max(range(11), key=scores.__getitem__) == target
                num += 1
    task = NextToken()
    loss = task.loss(net, batch)
    assert task.count(batch) == num
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)
    measured = task.measure(net, batch)
    assert measured["loss"] == pytest.approx(by_hand, rel=1e-6)
    assert (measured["accuracy"], measured["targets"]) == (hits, num)


def test_pieces_of_a_masked_batch_add_up_to_the_gradient_of_the_whole() -> None:
    batch, task = masked(torch.Generator().manual_seed(2)), NextToken()
    gradients = []
    for size in (6, 4, 1):
        net = model()
        share = 1 / task.count(batch)
        for start in range(0, 6, size):
            piece = Batch(inputs=batch.inputs[start : start + size], targets=batch.targets[start : start + size])
            Backprop().gradients(net, task, piece, scale=share)
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in net.parameters()]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(gradients[2], gradients[0], rtol=1e-5, atol=1e-9)


def test_the_two_names_of_the_mark_are_one_number() -> None:
    from lawful import token_data

    assert token_data.IGNORED == IGNORED == nn.CrossEntropyLoss().ignore_index
