"""zipf_recall: its floor is exact, and learners that are written down here have the exponents it promises."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lawful.corpora.zipf_recall import ZipfRecall
from lawful.errors import LawfulError
from lawful.token_data import IGNORED, TokenData
from lawful.tokenizers.bytes import Bytes


def blocks(corpus: ZipfRecall, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(a number for each key, value) of every block."""
    table = tokens[: len(tokens) // corpus.block * corpus.block].reshape(-1, corpus.block).astype(np.int64)
    keys = (table[:, :-1] * corpus.base ** np.arange(corpus.digits)).sum(1)
    return keys, table[:, -1] - corpus.base


def slope(x: list[int], y: list[float]) -> float:
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def test_the_floor_is_the_entropy_of_a_noisy_value() -> None:
    corpus = ZipfRecall(values=7, label_noise=0.3)
    shares = np.array([0.7] + [0.3 / 6] * 6)
    assert corpus.floor_nats == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-12)
    assert ZipfRecall(label_noise=0.0).floor_nats == 0.0


@pytest.mark.parametrize("label_noise", [0.1, 0.37])
def test_who_knows_every_value_has_exactly_the_floor_on_the_validation_set(label_noise: float) -> None:
    noisy, clean = ZipfRecall(label_noise=label_noise), ZipfRecall(label_noise=0.0)
    keys, values = blocks(noisy, noisy.prepare().validation)
    same_keys, own_values = blocks(clean, clean.prepare().validation)
    assert (keys == same_keys).all()
    probability = np.where(values == own_values, 1 - label_noise, label_noise / (noisy.values - 1))
    assert -np.log(probability).mean() == pytest.approx(noisy.floor_nats, rel=1e-12)


def test_a_key_always_has_the_same_value_and_the_keys_follow_the_law() -> None:
    corpus = ZipfRecall(a=0.7, num_keys=5000, digits=2, label_noise=0.0)
    data = corpus.prepare()
    keys, values = blocks(corpus, data.train)
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    assert len({*zip(keys.tolist(), values.tolist(), strict=True)}) == len(first)
    assert np.bincount(values[first], minlength=16).min() > 0.5 * len(first) / 16  # values are spread evenly over keys
    weights = np.arange(1, 5001) ** -1.7
    expected = weights / weights.sum() * len(keys)
    counts = np.sort(counts)[::-1]
    assert np.abs(counts[:20] - expected[:20]).max() < 5 * np.sqrt(expected[0])
    validation_keys, _ = blocks(corpus, data.validation)
    top = np.sort(np.unique(validation_keys, return_counts=True)[1])[::-1][:5]
    assert np.abs(top - expected[:5] / 10).max() <= 2  # drawn in equal shares: no more noise than that


def test_noise_is_as_frequent_as_declared_and_never_the_own_value() -> None:
    noisy = ZipfRecall(label_noise=0.25)
    _, values = blocks(noisy, noisy.prepare().train)
    _, own_values = blocks(noisy, ZipfRecall(label_noise=0.0).prepare().train)
    share = (values != own_values).mean()
    assert abs(share - 0.25) < 4 * math.sqrt(0.25 * 0.75 / len(values))
    shifts = np.bincount((values - own_values)[values != own_values] % 16, minlength=16)
    assert shifts[0] == 0 and shifts[1:].min() > 0.9 * shifts[1:].mean()


@pytest.mark.parametrize("a", [0.5, 1.0])
def test_a_table_of_the_most_frequent_keys_has_the_exponent_a_in_its_size(a: float) -> None:
    corpus = ZipfRecall(a=a, num_keys=2**20, digits=4, label_noise=0.1, validation_samples=200_000)
    keys, values = blocks(corpus, corpus.prepare().validation)
    train_keys, _ = blocks(corpus, corpus.prepare().train)
    own = dict(
        zip(*blocks(corpus, ZipfRecall(**{**fields(corpus), "label_noise": 0.0}).prepare().validation), strict=True)
    )
    found, counts = np.unique(train_keys, return_counts=True)
    by_frequency = found[np.argsort(-counts, kind="stable")]
    sizes = [8, 16, 32, 64, 128]
    excess = []
    for size in sizes:
        is_known = np.isin(keys, by_frequency[:size])
        is_own = values == np.array([own[key] for key in keys.tolist()])
        probability = np.where(is_known, np.where(is_own, 0.9, 0.1 / 15), 1 / 16)
        excess.append(float(-np.log(probability).mean() - corpus.floor_nats))
    assert excess == pytest.approx([corpus.excess_nats(size) for size in sizes], rel=0.08)
    assert slope(sizes, excess) == pytest.approx(-a, abs=0.05)


@pytest.mark.parametrize("a", [0.5, 1.0])
def test_who_counts_has_the_exponent_a_over_one_plus_a_in_the_data(a: float) -> None:
    """A table of all keys with Bayes' rule: what is known of a key is how often each value was seen with it."""
    corpus = ZipfRecall(a=a, num_keys=2**20, digits=4, label_noise=0.1)
    data = corpus.prepare()
    train_keys, train_values = blocks(corpus, data.train)
    keys, values = blocks(corpus, data.validation)
    numbers = {key: number for number, key in enumerate(np.unique(np.concatenate([train_keys, keys])).tolist())}
    train_rows = np.array([numbers[key] for key in train_keys.tolist()])
    rows = np.array([numbers[key] for key in keys.tolist()])
    samples = [3_000, 10_000, 30_000, 100_000, 200_000]
    excess = []
    for num in samples:
        seen = np.zeros((len(numbers), 16))
        np.add.at(seen, (train_rows[:num], train_values[:num]), 1)
        belief = np.exp(seen * math.log(0.9 / (0.1 / 15)) - (seen * math.log(0.9 / (0.1 / 15))).max(1, keepdims=True))
        belief /= belief.sum(1, keepdims=True)
        probability = belief * 0.9 + (1 - belief) * 0.1 / 15
        excess.append(float(-np.log(probability[rows, values]).mean() - corpus.floor_nats))
    assert slope(samples, excess) == pytest.approx(-a / (1 + a), abs=0.05)
    assert data.facts()["data_exponent"] == pytest.approx(a / (1 + a))


def fields(corpus: ZipfRecall) -> dict[str, object]:
    return {name: value for name, value in vars(corpus).items() if name != "tokenizer"}


def test_the_excess_by_hand_for_two_keys() -> None:
    corpus = ZipfRecall(a=1.0, num_keys=2, digits=1, values=2, label_noise=0.0)  # shares 4/5 and 1/5
    assert [corpus.excess_nats(known) for known in (0, 1, 2)] == pytest.approx([math.log(2), math.log(2) / 5, 0])


def test_ranked_keys_are_numbered_by_their_frequency() -> None:
    corpus = ZipfRecall(num_keys=1000, digits=2, is_ranked=True, train_samples=100_000)
    keys, _ = blocks(corpus, corpus.prepare().train)
    shares = np.arange(1, 1001) ** -1.5
    expected = shares / shares.sum() * 100_000
    counts = np.bincount(keys, minlength=1000)
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected) + 1).all()
    met_often = int((np.arange(1, 1001) <= corpus.keys_met(20, 100_000)).sum())
    assert expected[met_often - 1] >= 20 > expected[met_often]


def test_who_knows_what_was_met_once_has_the_excess_that_is_promised() -> None:
    corpus = ZipfRecall(a=0.8, num_keys=5000, digits=2, is_ranked=True, train_samples=200_000)
    keys, _ = blocks(corpus, corpus.prepare().train)
    shares = np.arange(1, 5001) ** -1.8
    shares /= shares.sum()
    unmet = []
    for part in keys.reshape(100, 2000):  # a hundred learners of 2,000 samples each, with 300 slots
        is_known = np.zeros(5000, dtype=bool)
        is_known[part] = True
        is_known[300:] = False
        unmet.append(shares[~is_known].sum())
    gap = math.log(16) - corpus.floor_nats
    assert corpus.excess_nats(300, 2000) == pytest.approx(gap * np.mean(unmet), abs=4 * gap * np.std(unmet) / 10)
    assert corpus.excess_nats(300) < corpus.excess_nats(300, 2000) < corpus.excess_nats(300, 200)


def test_only_values_are_targets_and_each_comes_with_its_whole_key() -> None:
    corpus = ZipfRecall(num_keys=1000, digits=3, train_samples=500, validation_samples=100)
    data = corpus.prepare()
    context = 5 * corpus.block
    for step in range(60):  # 12 windows an epoch of 100: six epochs, each at another offset
        batch = data.batch("train", seed=3, step=step, batch_size=10, context=context)
        is_target = batch.targets != IGNORED
        assert is_target.sum(1).tolist() == [5] * 10
        assert (batch.targets[is_target] >= corpus.base).all()
        assert (np.flatnonzero(is_target[0]) % corpus.block == corpus.digits - 1).all()
    counted = [
        (batch.targets != IGNORED).sum()
        for batch in data.evaluation_batches("validation", context=context, batch_size=3)
    ]
    assert sum(counted) == data.targets("validation") == 100
    assert data.facts()["tokens_per_sample"] == corpus.block == 4


def test_every_sample_is_seen_once_in_the_first_epoch() -> None:
    corpus = ZipfRecall(num_keys=1000, digits=3, train_samples=500, validation_samples=100)
    data = corpus.prepare()
    seen = [
        data.batch("train", seed=0, step=step, batch_size=10, context=20).targets.ravel() for step in range(500 // 50)
    ]
    targets = np.concatenate(seen)
    assert sorted(targets[targets != IGNORED].tolist()) == sorted(
        (blocks(corpus, data.train)[1] + corpus.base).tolist()
    )


def test_a_context_that_tears_a_block_is_refused() -> None:
    data: TokenData = ZipfRecall().prepare()
    for act in (
        lambda: data.batch("train", seed=0, step=0, batch_size=1, context=30),
        lambda: next(data.evaluation_batches("validation", context=30, batch_size=1)),
    ):
        with pytest.raises(LawfulError, match="context: expected a multiple of 4, .* got 30; 32 is the nearest"):
            act()


def test_bits_per_byte_counts_the_targets_alone() -> None:
    data = ZipfRecall().prepare()  # 80 symbols, all of them one byte
    assert data.bits_per_byte(math.log(16)) == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("num_keys", "digits", "base"), [(2**18, 3, 64), (2**18 + 1, 3, 65), (1000, 1, 1000), (2, 3, 2), (10**6, 6, 10)]
)
def test_the_base_is_the_smallest_that_is_enough(num_keys: int, digits: int, base: int) -> None:
    corpus = ZipfRecall(num_keys=num_keys, digits=digits)
    assert (corpus.base, corpus.vocab_size) == (base, base + 16)


def test_all_that_is_wrong_with_a_declaration_is_said_at_once() -> None:
    with pytest.raises(LawfulError, match=r"a: .*num_keys: .*train_samples"):
        ZipfRecall(a=0.0, num_keys=1, train_samples=0)
    with pytest.raises(LawfulError, match=r"label_noise: expected 0 to below 0\.5"):
        ZipfRecall(values=2, label_noise=0.5)
    with pytest.raises(LawfulError, match=r"at most 55,134 symbols, got 100,016; use more digits"):
        ZipfRecall(num_keys=100_000, digits=1)
    with pytest.raises(LawfulError, match="tokenizer: expected none, since its symbols are its own, got bytes"):
        ZipfRecall(tokenizer=Bytes())
