"""Count baselines: against sums done by hand with dictionaries, published figures, and known entropies."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lawful.baselines.ngram import Smoothing, _discounts, _grams, _judge, ngram_baselines
from lawful.errors import LawfulError

SMOOTHINGS: tuple[Smoothing, ...] = ("kneser_ney", "witten_bell")


@dataclass(frozen=True, kw_only=True)
class Data:
    train: np.ndarray
    validation: np.ndarray
    vocab_size: int
    counted_from: int = 0

    def bits_per_byte(self, loss: float) -> float:
        return loss / 2 / math.log(2)  # as if a token were two bytes


def random_data(seed: int, vocab_size: int = 6, num_train: int = 400, num_validation: int = 60) -> Data:
    """Uneven tokens, each more likely to follow its neighbour, so that counts of every size occur."""
    generator = np.random.default_rng(seed)
    steps = generator.choice(vocab_size, p=np.arange(vocab_size, 0, -1) / sum(range(vocab_size + 1)), size=10_000)
    tokens = np.where(generator.random(10_000) < 0.5, steps, np.roll(steps, 1) + 1) % vocab_size
    return Data(train=tokens[:num_train], validation=tokens[-num_validation:], vocab_size=vocab_size)


def test_kneser_ney_equals_the_formula_written_with_dictionaries() -> None:
    for seed, order in ((0, 1), (1, 2), (2, 3), (3, 5)):
        data = random_data(seed, num_train=1500 if order == 5 else 400)
        [row] = ngram_baselines(data, (order,))
        by_hand = ByHand(data.train.tolist(), order, data.vocab_size)
        grams = _grams(data.train, data.validation, data.vocab_size, order)
        likeliest = _judge(grams, order, data.vocab_size, "kneser_ney").likeliest
        losses = []
        validation = data.validation.tolist()
        for place in range(1, len(validation)):
            context = tuple(validation[max(0, place - order + 1) : place])
            distribution = [by_hand.probability(context, token) for token in range(data.vocab_size)]
            assert sum(distribution) == pytest.approx(1)
            losses.append(-math.log(distribution[validation[place]]))
            assert distribution[likeliest[place - 1]] == pytest.approx(max(distribution))
        assert row["loss"] == pytest.approx(np.mean(losses))
        assert row["accuracy"] == (likeliest == data.validation[1:]).mean()


class ByHand:
    """Interpolated modified Kneser-Ney, slowly."""

    def __init__(self, tokens: list[int], order: int, vocab_size: int) -> None:
        grams = {n: Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)) for n in range(1, order + 1)}
        self.counts: dict[int, Counter[tuple[int, ...]]] = {order: grams[order]}
        for n in range(1, order):
            before = defaultdict(set)
            for longer in grams[n + 1]:
                before[longer[1:]].add(longer[0])
            self.counts[n] = Counter({gram: len(before[gram]) for gram in grams[n]})
        self.discounts = {n: _discounts(np.array(list(counts.values()))) for n, counts in self.counts.items()}
        self.vocab_size = vocab_size

    def probability(self, context: tuple[int, ...], token: int) -> float:
        lower = self.probability(context[1:], token) if context else 1 / self.vocab_size
        n = len(context) + 1
        after = {gram[-1]: count for gram, count in self.counts[n].items() if gram[:-1] == context}
        total = sum(after.values())
        if total == 0:
            return lower
        held_back = sum(self.discounts[n][min(count, 3)] for count in after.values())
        count = after.get(token, 0)
        return (count - self.discounts[n][min(count, 3)] + held_back * lower) / total


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("order", [1, 2, 4])
def test_probabilities_of_a_context_sum_to_one(smoothing: Smoothing, order: int) -> None:
    data = random_data(8, vocab_size=7)
    contexts = [tuple(data.train[10 : 10 + order]), tuple(data.validation[:order]), (6, 6, 6, 6)[:order]]
    for context in contexts:
        probabilities = []
        for token in range(data.vocab_size):
            tokens = np.array([*context, token])
            judged = _judge(_grams(data.train, tokens, data.vocab_size, order), order, data.vocab_size, smoothing)
            probabilities.append(judged.probability[-1])
        assert sum(probabilities) == pytest.approx(1, abs=1e-12)
        assert min(probabilities) > 0


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_a_token_never_seen_in_training_costs_much_but_not_everything(smoothing: Smoothing) -> None:
    data = Data(train=np.array([0, 1, 2] * 100), validation=np.array([0, 3, 1, 2]), vocab_size=5)
    for row in ngram_baselines(data, (1, 2, 5), smoothing):
        assert math.isfinite(row["loss"]) and row["loss"] > 1


def test_independent_tokens_cost_their_entropy_at_any_length() -> None:
    shares = np.array([0.5, 0.25, 0.125, 0.125])  # entropy 1.75 bits
    tokens = np.random.default_rng(0).choice(4, p=shares, size=400_000)
    data = Data(train=tokens[:350_000], validation=tokens[350_000:], vocab_size=4)
    for row in ngram_baselines(data):
        assert row["loss"] / math.log(2) == pytest.approx(1.75, abs=0.015)
        assert row["accuracy"] == pytest.approx(0.5, abs=0.01)


def test_a_cycle_is_learned_completely_by_two_tokens() -> None:
    data = Data(train=np.tile(np.arange(10), 1000), validation=np.tile(np.arange(10), 20), vocab_size=10)
    unigram, bigram, _ = ngram_baselines(data)
    assert unigram["loss"] == pytest.approx(math.log(10), abs=1e-3)
    assert bigram["loss"] < 0.01 and bigram["accuracy"] == 1


def test_the_numbers_of_a_row_agree_with_each_other() -> None:
    data = random_data(5)
    rows = ngram_baselines(data, (1, 2, 3))
    assert [row["name"] for row in rows] == ["unigram", "bigram", "3-gram"]
    assert [row["n"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert row["perplexity"] == pytest.approx(math.exp(row["loss"]))
        assert row["bits_per_byte"] == pytest.approx(row["loss"] / math.log(2) / 2)
    tokens = data.train.tolist()
    grams = [set(zip(*(tokens[start:] for start in range(n)), strict=False)) for n in (1, 2, 3)]
    assert [row["params"] for row in rows] == [sum(map(len, grams[:n])) for n in (1, 2, 3)]


def test_a_row_does_not_depend_on_which_others_are_asked_for() -> None:
    data = random_data(6)
    assert ngram_baselines(data, (1, 2, 5))[1] == ngram_baselines(data, (2,))[0]


def test_a_large_vocabulary_gives_the_same_as_a_small_one_with_the_same_tokens() -> None:
    """The keys are numbered by sorting for one and by a table for the other; only the uniform floor differs."""
    small = random_data(7, vocab_size=5, num_train=5000)
    large = Data(train=small.train * 10_000, validation=small.validation * 10_000, vocab_size=50_257)
    for few, many in zip(ngram_baselines(small), ngram_baselines(large), strict=True):
        assert few["params"] == many["params"] and few["accuracy"] == many["accuracy"]
        assert few["loss"] == pytest.approx(many["loss"], abs=0.02)


def test_discounts_follow_chen_and_goodman_and_fall_back_where_they_cannot() -> None:
    count = np.repeat([1, 2, 3, 4, 9], [100, 40, 20, 10, 7])
    y = 100 / 180
    expected = [0, 1 - 2 * y * 40 / 100, 2 - 3 * y * 20 / 40, 3 - 4 * y * 10 / 20]
    assert _discounts(count).tolist() == pytest.approx(expected)
    assert _discounts(np.array([500, 700, 1])).tolist() == [0, 0.5, 1.0, 1.5]


def test_what_cannot_be_judged_is_refused() -> None:
    data = random_data(0)
    with pytest.raises(LawfulError, match="lengths of at least 1"):
        ngram_baselines(data, (0, 1))
    with pytest.raises(LawfulError, match="kneser_ney or witten_bell"):
        ngram_baselines(data, (1,), "laplace")  # type: ignore[arg-type]
    with pytest.raises(LawfulError, match="training: expected at least 2 tokens below 3"):
        ngram_baselines(Data(train=data.train, validation=data.validation, vocab_size=3))


def test_shakespeare_by_characters_meets_the_known_perplexities(data_file: Callable[[str], Path]) -> None:
    """Known for 90/10 with Witten-Bell smoothing: 12.0, 7.8, 5.3; Kneser-Ney must be as good or better."""
    codes = np.frombuffer(data_file("tinyshakespeare/input.txt").read_bytes(), dtype=np.uint8)
    alphabet, tokens = np.unique(codes, return_inverse=True)
    cut = len(tokens) * 9 // 10
    data = Data(train=tokens[:cut], validation=tokens[cut:], vocab_size=len(alphabet))
    known = [12.0, 7.8, 5.3]
    witten_bell = [row["perplexity"] for row in ngram_baselines(data, (2, 3, 5), "witten_bell")]
    assert [round(perplexity, 1) for perplexity in witten_bell] == known
    kneser_ney = [row["perplexity"] for row in ngram_baselines(data, (2, 3, 5))]
    assert all(ours < theirs for ours, theirs in zip(kneser_ney, witten_bell, strict=True))
