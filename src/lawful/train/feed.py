"""Batches made ahead of the steps that use them, by processes of their own, so that an accelerator does not wait."""

from __future__ import annotations

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

from lawful import registry
from lawful.corpora import corpus_of
from lawful.plugins import Batch, PreparedData
from lawful.run import Run, to_json
from lawful.storage.json_files import Json

AHEAD = 2  # batches in hand or in making for each process


@contextlib.contextmanager
def feed(run: Run, data: PreparedData, loaders: int) -> Iterator[Callable[[int], Batch]]:
    """A function from the step to its batch of training data: the same as `data.batch` gives, since that is a pure
    function of seed and step.

    loaders    processes that make batches ahead; 0: each is made when it is asked for. Where the corpus is not
               registered (it is of a user's file, which a new process does not know), none are started
    """
    wanted = {"seed": run.data_seed, "batch_size": run.batch_size, "context": run.context}
    if not loaders or not registry.module_of(type(run.corpus).__module__):
        yield lambda step: data.batch("train", step=step, **wanted)
        return
    # spawned: a process that holds a CUDA context must not be forked
    with ProcessPoolExecutor(loaders, mp_context=get_context("spawn")) as pool:
        made: deque[tuple[int, Future[Batch]]] = deque()
        corpus = to_json(run.corpus)

        def batch(step: int) -> Batch:
            while made and made[0][0] != step:  # a step out of order: after an interruption, or the same once more
                made.popleft()[1].cancel()
            first = made[-1][0] + 1 if made else step
            for number in range(first, step + AHEAD * loaders + 1):
                made.append((number, pool.submit(_make, _Corpus(corpus), data.fingerprint, number, wanted)))
            return made.popleft()[1].result()

        try:
            yield batch
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Corpus:
    """A corpus as plain data, hashed by its text: each process opens it once."""

    def __init__(self, value: Json) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Corpus) and self.value == other.value

    def __hash__(self) -> int:
        return hash(str(self.value))


def _make(corpus: _Corpus, fingerprint: str, step: int, wanted: dict[str, int]) -> Batch:
    return _opened(corpus, fingerprint).batch("train", step=step, **wanted)


@functools.lru_cache(maxsize=1)
def _opened(corpus: _Corpus, fingerprint: str) -> PreparedData:
    return corpus_of(corpus.value).open(fingerprint)
