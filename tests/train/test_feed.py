"""Batches made ahead are the batches that would have been made, in whatever order they are asked for."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lawful.corpora.zipf_recall import ZipfRecall
from lawful.train.feed import feed

CORPUS = ZipfRecall(num_keys=64, train_samples=2_000, validation_samples=100)
RUN: Any = SimpleNamespace(corpus=CORPUS, data_seed=5, batch_size=4, context=32)


def same(first: Any, second: Any) -> bool:
    return all(np.array_equal(getattr(first, f.name), getattr(second, f.name)) for f in fields(first))


@pytest.mark.parametrize("loaders", [0, 1])
def test_batches_made_ahead_are_those_of_the_corpus(loaders: int) -> None:
    data = CORPUS.prepare()
    with feed(RUN, data, loaders) as batch_of:
        for step in (0, 1, 2, 2, 7, 3):  # again after running out of memory; elsewhere after a resume
            assert same(batch_of(step), data.batch("train", seed=5, step=step, batch_size=4, context=32))


def test_a_corpus_of_a_users_own_file_is_read_here() -> None:
    made = []
    data = SimpleNamespace(batch=lambda split, **at: made.append(at["step"]) or at["step"])
    own: Any = SimpleNamespace(corpus=SimpleNamespace(), data_seed=0, batch_size=1, context=1)
    with feed(own, data, 2) as batch_of:
        assert batch_of(3) == 3 and made == [3]
