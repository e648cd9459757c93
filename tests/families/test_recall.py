"""The recall table learns what its rows allow and what its data are worth, against what the corpus computes by sums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lawful.corpora.zipf_recall import ZipfRecall
from lawful.errors import LawfulError
from lawful.families.recall import Recall
from lawful.run import Run
from lawful.storage.layout import Store
from lawful.studies.ground_truth import study
from lawful.train import loop

SMOKE = study("smoke")
RUN = next(rung.run for rung in SMOKE.ladder if rung.at["samples"] == 2**12)
CORPUS: ZipfRecall = RUN.corpus


def test_a_number_is_read_from_the_digits_before_the_value() -> None:
    family = Recall(base=7, digits=3, values=2, slots=343)
    model = family.build(torch.Generator().manual_seed(0))
    model.memory.weight.data[:, 0] = torch.arange(343.0)  # each row says its own number
    tokens = torch.tensor([[4, 2, 6, 8, 1, 0, 5, 7]])  # two blocks of three digits, the first one the units
    said = model(tokens)[0, :, family.base]
    assert said[[2, 6]].tolist() == [4 + 2 * 7 + 6 * 49, 1 + 0 * 7 + 5 * 49]


def test_who_has_no_row_is_guessed_and_a_digit_is_never_expected() -> None:
    family = Recall(base=8, digits=1, values=4, slots=3)
    model = family.build(torch.Generator().manual_seed(0))
    torch.nn.init.normal_(model.memory.weight)
    shares = model(torch.tensor([[0, 3, 7]]))[0].softmax(-1)
    assert shares[:, :8].max() < 1e-10
    torch.testing.assert_close(shares[1:, 8:], torch.full((2, 4), 0.25))
    assert shares[0, 8:].std() > 0.01


def test_what_is_not_heeded_leaves_no_gradient_and_evaluation_heeds_all() -> None:
    family = Recall(base=64, digits=1, values=4, slots=64, heeds=0.25)
    model = family.build(torch.Generator().manual_seed(0))
    tokens = torch.arange(64).repeat(1, 32)
    torch.manual_seed(1)
    model(tokens)[..., 64].sum().backward()
    meetings = model.memory.weight.grad[:, 0]  # each position adds the head's 1
    assert 0.2 < float(meetings.sum()) / tokens.numel() < 0.3
    model.eval()
    model.zero_grad()
    model(tokens)[..., 64].sum().backward()
    assert model.memory.weight.grad[:, 0].tolist() == [32.0] * 64


@pytest.mark.parametrize("slots", [16, 64])
def test_with_ample_data_the_loss_is_that_of_who_knows_as_many_keys(slots: int, tmp_path: Path) -> None:
    family = replace(RUN.family, slots=slots)
    corpus = replace(CORPUS, train_samples=2**16, validation_samples=50_000)
    batch = 2**16 // (RUN.steps * 4)
    loss = trained(replace(RUN, family=family, corpus=corpus, batch_size=batch), tmp_path)
    assert loss - corpus.floor_nats == pytest.approx(corpus.excess_nats(slots), rel=0.05)


def test_a_learner_that_heeds_half_learns_as_from_half_the_data(tmp_path: Path) -> None:
    runs = [replace(RUN, family=replace(RUN.family, slots=512), data_seed=seed, init_seed=seed) for seed in range(3)]
    deaf = replace(runs[0].family, heeds=0.5)
    half = [trained(replace(run, family=deaf, batch_size=2 * run.batch_size), tmp_path) for run in runs]
    whole = [trained(run, tmp_path) for run in runs]
    full = [trained(replace(run, batch_size=2 * run.batch_size), tmp_path) for run in runs]
    noise = float(np.std(whole, ddof=1)) / 3**0.5
    assert np.mean(half) == pytest.approx(np.mean(whole), abs=4 * noise)
    assert np.mean(full) < np.mean(whole) - 4 * noise  # the test can tell half from all


def test_all_that_is_wrong_with_a_declaration_is_said_at_once() -> None:
    with pytest.raises(LawfulError, match=r"base: .*at least 2, got 1; slots: .*got 0; heeds: .*got 0"):
        Recall(base=1, digits=4, values=16, slots=0, heeds=0.0)


def trained(run: Run, folder: Path) -> float:
    data = run.corpus.prepare()
    store = Store(folder / run.id)
    return float(loop.train(run, data, store, loop.ExecutionConfig(device=torch.device("cpu"))).columns()["loss"])
