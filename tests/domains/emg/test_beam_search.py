"""Beam search against the best of all texts, and against the account it replaced: tuples in a dictionary."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lawful.domains.emg.beam_search import beam_search
from lawful.domains.emg.language_model import Arpa, LanguageModel
from lawful.domains.emg.tokenizers.keys import BACKSPACE, SHIFT, SYMBOLS

BIGRAMS = """\\data\\
ngram 1=5
ngram 2=4

\\1-grams:
-2.0\t<unk>
-99\t<s>\t-0.2
-0.4\ta\t-0.3
-0.6\tb\t-0.1
-0.9\tc\t-0.2

\\2-grams:
-1.4\ta a
-0.2\ta b
-0.3\tb c
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


def by_dictionary(log_probs: np.ndarray, beam: int, top: int) -> np.ndarray:
    """Prefixes as tuples, all of them anew at each emission."""
    blank = log_probs.shape[1] - 1
    beams: dict[tuple[int, ...], list[float]] = {(): [0.0, -np.inf]}
    for row in log_probs:
        tried = [label for label in np.argsort(-row[:-1], kind="stable")[:top].tolist() if row[label] >= np.log(1e-4)]
        grown: dict[tuple[int, ...], list[float]] = {}

        def add(prefix: tuple[int, ...], end: int, value: float, grown: Any = grown) -> None:
            grown.setdefault(prefix, [-np.inf, -np.inf])
            grown[prefix][end] = float(np.logaddexp(grown[prefix][end], value))

        for prefix, (in_blank, in_label) in beams.items():
            both = np.logaddexp(in_blank, in_label)
            add(prefix, 0, both + row[blank])
            if prefix:
                add(prefix, 1, in_label + row[prefix[-1]])
            for label in tried:
                add((*prefix, label), 1, (in_blank if prefix and label == prefix[-1] else both) + row[label])
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


def test_backspace_takes_back_a_character_and_neither_it_nor_shift_is_scored(model: Arpa) -> None:
    numbers = {symbol: number for number, symbol in enumerate(SYMBOLS)}
    text = ["a", BACKSPACE, SHIFT, "b", "c"]
    log_probs = np.full((2 * len(text) - 1, 99), -20.0)
    log_probs[1::2, 98] = -0.01
    for at, symbol in enumerate(text):
        log_probs[2 * at, numbers[symbol]] = -0.01
    asked: list[tuple[str, str]] = []

    class Asked(LanguageModel):
        """A state is the page itself."""

        begin = ""

        def knows(self, word: str) -> bool:
            return True

        def follow(self, state: str, word: str) -> tuple[float, str]:
            asked.append((state, word))
            return -1.0, state + word

    found = beam_search(log_probs, beam=1, language_model=Asked())
    assert [SYMBOLS[label] for label in found] == text
    assert list(dict.fromkeys(asked)) == [("", "a"), ("", "b"), ("b", "c")]


def test_nothing_emitted_is_nothing_typed() -> None:
    assert beam_search(np.zeros((0, 99))).tolist() == []
    certain = np.full((6, 99), -50.0)
    certain[:, 98] = 0.0
    assert beam_search(certain).tolist() == []
