"""A corpus where most tokens are given: training, validation and their accounts see only what is to be predicted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lawful.baselines.ngram import ngram_baselines
from lawful.corpora.zipf_recall import ZipfRecall
from lawful.families.decoder import Decoder
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule
from lawful.storage.json_files import read_jsonl
from lawful.storage.layout import Store
from lawful.tasks.next_token import NextToken
from lawful.train import loop

CORPUS = ZipfRecall(a=1.0, num_keys=64, digits=2, values=4, train_samples=20_000, validation_samples=1_000)
STEPS = 150


@pytest.fixture(scope="module")
def data() -> Any:
    return CORPUS.prepare()


def run() -> Run:
    context = 4 * CORPUS.block
    return Run(
        family=Decoder(vocab_size=CORPUS.vocab_size, width=16, depth=1, heads=2, context=context),
        corpus=CORPUS,
        task=NextToken(),
        rule=Backprop(),
        optimizer=AdamW(learning_rate=0.02),
        schedule=Schedule(shape="wsd", warmup_steps=5),
        steps=STEPS,
        batch_size=16,
        context=context,
        precision="fp32",
        eval_every=50,
        eval_tokens=600,
    )


def train(folder: Path, data: Any, **options: Any) -> dict[str, Any]:
    return loop.train(run(), data, Store(folder), loop.ExecutionConfig(device=torch.device("cpu"), **options)).columns()


def test_losses_are_those_of_the_values_alone(tmp_path: Path, data: Any) -> None:
    result = train(tmp_path, data)
    assert result["validation_tokens"] == 1_000  # values, not tokens
    assert result["bits_per_byte"] == pytest.approx(result["loss"] / math.log(2))  # a value is one byte
    assert CORPUS.floor_nats < result["loss"] < math.log(CORPUS.values)  # more than guessing, less than all
    lines = list(read_jsonl(Store(tmp_path).metrics(run().id)))
    assert lines[0]["loss"] == pytest.approx(math.log(CORPUS.vocab_size), abs=0.5)  # per target, from the first step on
    closing = [line["loss"] for line in lines if "loss" in line and line["step"] > loop.closing_start(run())]
    assert result["loss_train"] == pytest.approx(sum(closing) / len(closing))


def test_the_micro_batch_changes_nothing_but_the_last_bits(tmp_path: Path, data: Any) -> None:
    whole, cut = (train(tmp_path / str(size), data, micro_batch=size) for size in (16, 5))
    assert cut["loss"] == pytest.approx(whole["loss"], rel=1e-3)


def test_counts_of_whole_blocks_reach_the_floor(data: Any) -> None:
    """Trigrams (two digits, a value) are the table of all keys; unigrams of values know nothing."""
    bigger = ngram_baselines(data, orders=(1, 3))
    assert bigger[1]["loss"] == pytest.approx(CORPUS.floor_nats, abs=0.1)
    assert bigger[0]["loss"] > math.log(CORPUS.values) - 0.2
    assert bigger[1]["accuracy"] == pytest.approx(1 - CORPUS.label_noise, abs=0.03)
