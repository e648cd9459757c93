"""Beam search against the best of all texts, and against the account it replaced: tuples in a dictionary."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lawful.domains.emg.beam_search import beam_search
from lawful.domains.emg.language_model import Arpa, LanguageModel
from lawful.domains.emg.tokenizers.keys import BACKSPACE, SHIFT, SYMBOLS

BIGRAMS = """\\data\\
ngram 1=6
ngram 2=5

\\1-grams:
-2.0\t<unk>
-99\t<s>\t-0.2
-1.1\t</s>
-0.4\ta\t-0.3
-0.6\tb\t-0.1
-0.9\tc\t-0.2

\\2-grams:
-1.4\ta a
-0.2\ta b
-0.3\tb c
-0.5\tc </s>
-0.1\t<s> c

\\end\\
"""


@pytest.fixture
def model(tmp_path: Path) -> Arpa:
    path = tmp_path / "bigrams.arpa"
    path.write_text(BIGRAMS)
    return Arpa(path)


def random_log_probs(numbers: np.random.Generator, emissions: int, classes: int) -> np.ndarray:
    scores = numbers.normal(0, 1.5, (emissions, classes))
    return np.asarray(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))


def every_text(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """log of the summed probability of the paths of each text: by enumeration."""
    emissions, classes = log_probs.shape
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(classes), repeat=emissions):
        text = tuple(label for label, _ in itertools.groupby(path) if label != classes - 1)
        found[text] = np.logaddexp(found.get(text, -np.inf), sum(log_probs[at, label] for at, label in enumerate(path)))
    return found


def on_page(model: LanguageModel, text: tuple[int, ...]) -> float:
    state, total = model.begin, 0.0
    for label in text:
        log_prob, state = model.type(state, SYMBOLS[label])
        total += log_prob
    return total


def test_a_beam_wide_enough_finds_the_likeliest_text() -> None:
    numbers = np.random.Generator(np.random.PCG64(5))
    for _ in range(10):
        log_probs = random_log_probs(numbers, 4, 4)
        texts = every_text(log_probs)
        assert tuple(beam_search(log_probs, beam=1000, top=4, least=0)) == max(texts, key=lambda text: texts[text])


def test_with_a_language_model_it_finds_the_best_sum_of_both(model: Arpa) -> None:
    numbers = np.random.Generator(np.random.PCG64(6))
    changed = 0
    for _ in range(10):
        log_probs = random_log_probs(numbers, 4, 4)
        texts = every_text(log_probs)
        best = max(texts, key=lambda text: texts[text] + 0.7 * on_page(model, text) + 0.5 * len(text))
        told = {"language_model": model, "weight": 0.7, "bonus": 0.5}
        assert tuple(beam_search(log_probs, beam=1000, top=4, least=0, **told)) == best
        changed += best != max(texts, key=lambda text: texts[text])
    assert changed  # the model had a say


def by_dictionary(
    log_probs: np.ndarray,
    beam: int,
    top: int,
    gain: Callable[[tuple[int, ...], int], float] = lambda prefix, label: 0.0,
) -> np.ndarray:
    """As emg2qwerty's decoder goes: prefixes as tuples, all of them anew at each emission; the likeliest classes are
    tried, be it to begin, to go on or to be blank. gain: what a language model adds for a label after a prefix."""
    blank = log_probs.shape[1] - 1
    beams: dict[tuple[int, ...], list[float]] = {(): [0.0, -np.inf]}
    for row in log_probs:
        grown: dict[tuple[int, ...], list[float]] = {}

        def add(prefix: tuple[int, ...], end: int, value: float, grown: Any = grown) -> None:
            grown.setdefault(prefix, [-np.inf, -np.inf])
            grown[prefix][end] = float(np.logaddexp(grown[prefix][end], value))

        for prefix, (in_blank, in_label) in beams.items():
            both = np.logaddexp(in_blank, in_label)
            for label in np.argsort(-row, kind="stable")[:top].tolist():
                if label == blank:
                    add(prefix, 0, both + row[blank])
                    continue
                is_again = bool(prefix) and label == prefix[-1]
                if is_again:
                    add(prefix, 1, in_label + row[label])
                if row[label] >= np.log(1e-4):
                    begun = in_blank if is_again else both
                    add((*prefix, label), 1, begun + row[label] + gain(prefix, label))
        ranked = sorted(grown.items(), key=lambda item: -np.logaddexp(*item[1]))
        beams = dict(ranked[:beam])
    return np.array(next(iter(beams)), dtype=np.int64)


@pytest.mark.parametrize("beam", [1, 3, 20])
def test_a_narrow_beam_over_many_emissions_is_as_by_the_plainer_account(beam: int) -> None:
    numbers = np.random.Generator(np.random.PCG64(beam))
    for sharpness in (1.0, 4.0):
        log_probs = random_log_probs(numbers, 80, 12) * sharpness
        log_probs -= np.logaddexp.reduce(log_probs, axis=1, keepdims=True)
        assert beam_search(log_probs, beam=beam, top=5).tolist() == by_dictionary(log_probs, beam, 5).tolist()


class Asked(LanguageModel):
    """Every character costs one nat more than the one before; a state is the page itself."""

    begin = empty = ""

    def __init__(self, words: str = "") -> None:
        self.words, self.asked = words, []  # type: tuple[str, list[tuple[str, str]]]

    def knows(self, word: str) -> bool:
        return not self.words or word in self.words

    def follow(self, state: str, word: str) -> tuple[float, str]:
        self.asked.append((state, word))
        return -1.0 - len(state), state + word


def certain(text: list[str]) -> np.ndarray:
    """Emissions that leave no doubt of these keys, with a blank between them."""
    log_probs = np.full((2 * len(text) - 1, 99), -20.0)
    log_probs[1::2, 98] = -0.01
    log_probs[::2][range(len(text)), [NUMBERS[symbol] for symbol in text]] = -0.01
    return log_probs


NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS)}


def test_backspace_takes_back_a_character_and_neither_it_nor_shift_is_scored() -> None:
    text, model = ["a", BACKSPACE, SHIFT, "b", "c"], Asked()
    found = beam_search(certain(text), beam=1, language_model=model)
    assert [SYMBOLS[label] for label in found] == text
    assert list(dict.fromkeys(model.asked)) == [("", "a"), ("", "b"), ("b", "c")]


def test_a_model_of_words_ends_a_word_at_every_key_without_a_name() -> None:
    """</s> after a word, <unk> after nothing where there is no word: capitals, shift and spaces alike."""
    text, model = [SHIFT, "A", "a", "b", " ", "'", "c", "1", BACKSPACE, "a"], Asked("abc")
    beam_search(certain(text), beam=1, language_model=model)
    assert [asked for asked in model.asked if asked[1] != "<unk>"] == [
        ("", "a"), ("a", "b"), ("ab", "</s>"), ("", "c"), ("c", "</s>"), ("c", "a"),
    ]  # fmt: skip
    assert model.asked.count(("", "<unk>")) == 3


def official_gain(model: LanguageModel, weight: float, bonus: float) -> Callable[[tuple[int, ...], int], float]:
    """By walking the whole prefix, with a stack for the page."""

    def of(prefix: tuple[int, ...], label: int) -> float:
        stack: list[tuple[Any, float]] = [(model.begin, 0.0)]
        gained = 0.0
        for symbol in [SYMBOLS[place] for place in (*prefix, label)]:
            state = stack[-1][0]
            if symbol == BACKSPACE:
                gained = -stack.pop()[1] if len(stack) > 1 else 0.0
                continue
            if model.knows(symbol):
                log_prob, after = model.follow(state, symbol)
            else:
                is_word = state != model.begin
                log_prob = model.follow(state, "</s>")[0] if is_word else model.follow((), "<unk>")[0]
                after = model.begin
            gained = weight * log_prob + bonus
            stack.append((after, gained))
        return gained

    return of


def noisy(seed: int, letters: str) -> np.ndarray:
    """Emissions of a random text with a rival at each key."""
    draw = np.random.default_rng([22, seed])
    keys = draw.choice(list(letters), 8)
    scores = draw.normal(0, 1, (3 * len(keys), 99))
    scores[:, 98] += 5
    for place, symbol in enumerate(keys):
        scores[3 * place, NUMBERS[symbol]] += 5 + 4 * draw.random()
        scores[3 * place, NUMBERS[str(draw.choice(list(letters)))]] += 5 + 3 * draw.random()
    return np.asarray(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))


def test_a_model_of_words_is_heard_as_emg2qwertys_decoder_hears_it(model: Arpa) -> None:
    gain = functools.cache(official_gain(model, 0.8686, 2.0))
    changed = 0
    for seed in range(10):
        log_probs = noisy(seed, f"abcab A1{BACKSPACE}{SHIFT}")
        found = beam_search(log_probs, beam=20, language_model=model, weight=0.8686, bonus=2.0)
        assert found.tolist() == by_dictionary(log_probs, 20, 10, gain).tolist()
        changed += found.tolist() != beam_search(log_probs, beam=20).tolist()
    assert changed  # the model had a say


def test_emg2qwertys_own_decoder_decodes_the_same(model: Arpa, tmp_path: Path) -> None:
    reason = "needs the code of emg2qwerty, which is for non-commercial use and not part of lawful"
    decoder = pytest.importorskip("emg2qwerty.decoder", reason=reason)
    theirs = decoder.CTCBeamDecoder(
        beam_size=50, max_labels_per_timestep=10, lm_path=str(tmp_path / "bigrams.arpa"), lm_weight=2, insertion_bonus=2
    )
    for seed in range(20):
        log_probs = noisy(seed, f"abcab A1{BACKSPACE}{SHIFT}")
        theirs.reset()
        expected = theirs.decode(log_probs, np.arange(len(log_probs))).labels.tolist()
        weight = 2 / np.log(10)
        assert beam_search(log_probs, language_model=model, weight=weight, bonus=2.0).tolist() == expected


def test_nothing_emitted_is_nothing_typed() -> None:
    assert beam_search(np.zeros((0, 99))).tolist() == []
    blanks = np.full((6, 99), -50.0)
    blanks[:, 98] = 0.0
    assert beam_search(blanks).tolist() == []
