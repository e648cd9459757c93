"""Count baselines: unigram, bigram and longer, by interpolated modified Kneser-Ney (Chen and Goodman 1999).

    p_k(w | c) = max(count_k(c w) - D(count_k(c w)), 0) / total_k(c) + held_back_k(c) * p_{k-1}(w | c without its first)
    p_0(w) = 1 / vocabulary

count_n of the longest level are plain counts; count_k below it are continuation counts, the number of different
tokens that come before (c w). held_back_k(c) is what the discounts D took away, so that all probabilities of a
context sum to one. Everything is estimated on the training tokens.

Witten-Bell smoothing, simpler and weaker, is there to compare with figures that were published with it:

    p_k(w | c) = (count(c w) + types(c) * p_{k-1}(w | c without its first)) / (count(c) + types(c))

where types(c) is the number of different tokens seen after c.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from lawful.errors import DataError
from lawful.schema import Cell

Smoothing = Literal["kneser_ney", "witten_bell"]

NAMES = {1: "unigram", 2: "bigram"}
# for counts 1, 2, 3 and more, where the counts of counts give no estimate: small vocabularies (as in KenLM)
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


class Tokens(Protocol):
    """What is needed of prepared data: two runs of tokens, and the symbol below which a token is given, no target."""

    @property
    def train(self) -> np.ndarray: ...
    @property
    def validation(self) -> np.ndarray: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def counted_from(self) -> int: ...
    def bits_per_byte(self, loss: float) -> float | None: ...


def ngram_baselines(
    data: Tokens, orders: Sequence[int] = (1, 2, 5), smoothing: Smoothing = "kneser_ney"
) -> list[dict[str, Cell]]:
    """One row per order, over every validation token but the first that counts: the targets that models are judged on.

    loss in nats per token; accuracy is the share of targets that were the most likely; params is the number of counts
    kept. A model that sees windows knows nothing before a window's start; counts always see n - 1 tokens back, a small
    advantage to the baseline.
    """
    if smoothing not in ("kneser_ney", "witten_bell"):
        raise DataError(f"smoothing: expected kneser_ney or witten_bell, got {smoothing!r}.")
    if not orders or min(orders) < 1:
        raise DataError(f"orders: expected lengths of at least 1, got {list(orders)}.")
    grams = _grams(np.asarray(data.train), np.asarray(data.validation), data.vocab_size, max(orders))
    targets = np.asarray(data.validation)[1:]
    is_counted = targets >= data.counted_from
    rows: list[dict[str, Cell]] = []
    for order in orders:
        judged = _judge(grams, order, data.vocab_size, smoothing)
        loss = float(-np.log(judged.probability[is_counted]).mean())
        rows.append(
            {
                "name": NAMES.get(order, f"{order}-gram"),
                "smoothing": smoothing,
                "n": order,
                "loss": loss,
                "bits_per_byte": data.bits_per_byte(loss),
                "perplexity": math.exp(loss),
                "params": sum(len(level.count) for level in grams[:order]),
                "accuracy": float((judged.likeliest == targets)[is_counted].mean()),
            }
        )
    return rows


@dataclass(frozen=True, kw_only=True)
class _Level:
    """All different k-grams of the training tokens, numbered in the order of (context, last token).

    last, context, suffix    shape (grams,): last token; number of its first k - 1 tokens, and of its last k - 1,
                             as grams of the level below (0 for k = 1)
    count, continuations     shape (grams,): how often it occurs; how many different tokens come before it (left at 0
                             on the longest level, which does not use it)
    gram_of_target           shape (targets,): the gram that ends in each validation target; -1 where not in training
    context_of_target        shape (targets,): the k - 1 tokens before each target, as a gram of the level below; -1
    """

    last: np.ndarray
    context: np.ndarray
    suffix: np.ndarray
    count: np.ndarray
    continuations: np.ndarray
    num_contexts: int
    gram_of_target: np.ndarray
    context_of_target: np.ndarray


def _grams(train: np.ndarray, validation: np.ndarray, vocab_size: int, longest: int) -> list[_Level]:
    """Levels 1 to `longest`. Grams are numbered level by level, so that keys stay below 2**63 for any vocabulary."""
    for name, tokens in (("training", train), ("validation", validation)):
        if len(tokens) < 2 or int(tokens.max()) >= vocab_size:
            raise DataError(
                f"{name}: expected at least 2 tokens below {vocab_size}, got {len(tokens)} up to {int(tokens.max())}."
            )
    levels: list[_Level] = []
    # number of the gram of the level below that ends at each position; -1 where it is not in training or too short
    ends_train = np.zeros(len(train), dtype=np.int64)
    ends_validation = np.zeros(len(validation), dtype=np.int64)
    for k in range(1, longest + 1):
        before_train = ends_train if k == 1 else _shifted(ends_train)
        before_validation = ends_validation if k == 1 else _shifted(ends_validation)
        whole = before_train >= 0
        num_contexts = len(levels[-1].count) if levels else 1
        distinct = _distinct(before_train[whole] * vocab_size + train[whole], num_contexts * vocab_size)
        keys = distinct.keys
        suffix = ends_train[whole][distinct.example]
        if levels:
            levels[-1].continuations[:] = np.bincount(suffix, minlength=num_contexts)
        wanted = before_validation * vocab_size + validation
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        is_known = (before_validation >= 0) & (keys[place] == wanted)
        levels.append(
            _Level(
                last=keys % vocab_size,
                context=keys // vocab_size,
                suffix=suffix,
                count=distinct.count,
                continuations=np.zeros(len(keys), dtype=np.int64),
                num_contexts=num_contexts,
                gram_of_target=np.where(is_known, place, -1)[1:],
                context_of_target=before_validation[1:],
            )
        )
        ends_train = np.full(len(train), -1, dtype=np.int64)
        ends_train[whole] = distinct.place
        ends_validation = np.where(is_known, place, -1)
    return levels


@dataclass(frozen=True, kw_only=True)
class _Distinct:
    """keys and count, shape (distinct,), sorted; example: a position of each; place: of each position, its key's."""

    keys: np.ndarray
    count: np.ndarray
    example: np.ndarray
    place: np.ndarray


def _distinct(keys: np.ndarray, num_possible: int) -> _Distinct:
    """The distinct keys: by a table if few keys are possible (five times faster), else by sorting."""
    if num_possible > 4 * len(keys):
        found, example, place, count = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        return _Distinct(keys=found, count=count, example=example, place=place)
    counts = np.bincount(keys, minlength=num_possible)
    found = np.flatnonzero(counts)
    position_of = np.empty(num_possible, dtype=np.int64)
    position_of[keys] = np.arange(len(keys))
    place_of = np.empty(num_possible, dtype=np.int64)
    place_of[found] = np.arange(len(found))
    return _Distinct(keys=found, count=counts[found], example=position_of[found], place=place_of[keys])


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """For each validation target: its probability, and the token that was the most likely in its place."""

    probability: np.ndarray
    likeliest: np.ndarray


def _judge(levels: Sequence[_Level], order: int, vocab_size: int, smoothing: Smoothing) -> _Judged:
    """From the shortest level up. The likeliest token of a context is either one seen after it, or the likeliest of
    the shorter context: all others keep the order they have there."""
    num_targets = len(levels[0].gram_of_target)
    of_gram = np.array([1 / vocab_size])  # probability of each gram of the level below, given its context
    best_of_context = np.array([1 / vocab_size])
    best_token_of_context = np.array([0])
    probability = np.full(num_targets, 1 / vocab_size)
    likeliest = np.zeros(num_targets, dtype=np.int64)
    shorter = np.array([0])  # context of the level below for each context here
    for k, level in enumerate(levels[:order], start=1):
        if smoothing == "witten_bell":
            count, taken = level.count, np.zeros(len(level.count))
            held_back = np.bincount(level.context, minlength=level.num_contexts).astype(float)
            total = np.bincount(level.context, weights=count, minlength=level.num_contexts) + held_back
        else:
            count = level.count if k == order else level.continuations
            taken = _discounts(count)[np.minimum(count, 3)]
            held_back = np.bincount(level.context, weights=taken, minlength=level.num_contexts)
            total = np.bincount(level.context, weights=count, minlength=level.num_contexts)
        share = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
        held_back = np.where(total > 0, held_back * share, 1.0)

        lower = of_gram[level.suffix] if k > 1 else np.full(len(count), of_gram[0])
        of_gram = (count - taken) * share[level.context] + held_back[level.context] * lower

        best_seen, token_seen = _best(level, of_gram)
        best_lower = held_back * best_of_context[shorter]
        is_seen_best = best_seen >= best_lower
        best_of_context = np.where(is_seen_best, best_seen, best_lower)
        best_token_of_context = np.where(is_seen_best, token_seen, best_token_of_context[shorter])

        context, gram = level.context_of_target, level.gram_of_target
        has_context = context >= 0
        probability = np.where(gram >= 0, of_gram[gram], np.where(has_context, held_back[context], 1.0) * probability)
        likeliest = np.where(has_context, best_token_of_context[context], likeliest)
        shorter = level.suffix
    return _Judged(probability=probability, likeliest=likeliest)


def _best(level: _Level, of_gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The highest probability among the grams of each context, and the token that has it. 0 for a context without."""
    best = np.zeros(level.num_contexts)
    token = np.zeros(level.num_contexts, dtype=np.int64)
    order = np.lexsort((of_gram, level.context))  # within a context, the best comes last
    is_last = np.append(level.context[order][1:] != level.context[order][:-1], True)
    winners = order[is_last]
    best[level.context[winners]] = of_gram[winners]
    token[level.context[winners]] = level.last[winners]
    return best, token


def _discounts(count: np.ndarray) -> np.ndarray:
    """What is taken from a count of 0, 1, 2, and 3 or more (Chen and Goodman 1999, equation 17)."""
    n1, n2, n3, n4 = (int((count == times).sum()) for times in (1, 2, 3, 4))
    if min(n1, n2, n3, n4) > 0:
        y = n1 / (n1 + 2 * n2)
        estimated = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        if all(0 < discount <= times for times, discount in enumerate(estimated, start=1)):
            return np.array((0.0, *estimated))
    return np.array((0.0, *FALLBACK_DISCOUNTS))


def _shifted(ends: np.ndarray) -> np.ndarray:
    """For each position, what stood at the one before; -1 at the start."""
    return np.concatenate(([-1], ends[:-1]))
