"""Character language models: ARPA files against scores by hand, and against KenLM's own where that is installed."""

from __future__ import annotations

import gzip
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from lawful.domains.emg.language_model import Arpa, LanguageModel, open_language_model
from lawful.domains.emg.tokenizers.keys import ENTER, SHIFT
from lawful.errors import LawfulError

TRIGRAMS = """\\data\\
ngram 1=7
ngram 2=5
ngram 3=2

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.3
-1.2\t</s>
-0.7\ta\t-0.2
-0.9\tb\t-0.4
-0.8\t<space>\t-0.1
-1.1\tQ

\\2-grams:
-0.1\t<s> a\t-0.05
-0.5\ta b\t-0.25
-0.6\tb </s>
-0.55\tb a
-0.35\ta <space>

\\3-grams:
-0.15\t<s> a b
-0.65\ta b a

\\end\\
"""


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    path = tmp_path / "hand.arpa"
    path.write_text(TRIGRAMS)
    return path


def typed(model: LanguageModel, text: str) -> list[float]:
    """log10 of each symbol after those before it."""
    state, found = model.begin, []
    for symbol in text:
        log_prob, state = model.type(state, symbol)
        found.append(log_prob / math.log(10))
    return found


def test_scores_are_those_found_by_hand(arpa: Path) -> None:
    model = Arpa(arpa)
    assert typed(model, "ab") == pytest.approx([-0.1, -0.15])
    assert typed(model, "b") == pytest.approx([-0.3 - 0.9])  # back off from <s>
    # <s> a a: from "<s> a" and from "a" to the unigram; then a a b: "a a" is unknown, "a b" is known
    assert typed(model, "aab") == pytest.approx([-0.1, -0.05 - 0.2 - 0.7, -0.5])
    assert typed(model, "aba") == pytest.approx([-0.1, -0.15, -0.65])
    # after "a b", b: weights of "a b" and of "b"
    assert typed(model, "abb")[2] == pytest.approx(-0.25 - 0.4 - 0.9)


def test_keys_are_spelled_as_the_file_has_them(arpa: Path) -> None:
    model = Arpa(arpa)
    assert typed(model, "a ")[1] == pytest.approx(-0.05 - 0.35)  # "<s> a" is known, not followed by <space>
    assert typed(model, "A") == typed(model, "a")  # a capital it never saw, by its small letter
    assert typed(model, "Q") == pytest.approx([-0.3 - 1.1])  # one that it saw, by itself
    assert typed(model, "z") == pytest.approx([-0.3 - 1.5])  # <unk>
    assert typed(model, "ab" + ENTER + "a")[2:] == pytest.approx([-0.25 - 0.6, -0.1])  # the line ends, another begins


def test_a_model_without_a_space_is_one_of_words(arpa: Path) -> None:
    arpa.write_text(arpa.read_text().replace("<space>", "c"))
    model = Arpa(arpa)
    assert typed(model, "ab a")[2:] == pytest.approx([-0.25 - 0.6, -0.1])  # "a b </s>", then "<s> a"
    assert typed(model, "  a") == pytest.approx([-1.5, -1.5, -0.1])  # <unk> after nothing: no weight of <s>
    assert typed(model, "aA") == pytest.approx([-0.1, -0.05 - 0.2 - 1.2])  # a capital is no small letter
    assert typed(model, ENTER + SHIFT) == pytest.approx([-1.5, -1.5])


def test_a_packed_file_is_the_same_model(arpa: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.arpa.gz"
    packed.write_bytes(gzip.compress(arpa.read_bytes()))
    assert typed(open_language_model(packed), "abab") == typed(Arpa(arpa), "abab")


def test_a_character_that_the_model_has_no_word_for_is_nearly_impossible(tmp_path: Path) -> None:
    path = tmp_path / "no_unknown.arpa"
    path.write_text("\\data\\\nngram 1=2\n\n\\1-grams:\n-0.3\ta\n-0.3\tb\n\n\\end\\\n")
    assert typed(Arpa(path), "az") == pytest.approx([-0.3, -100.0])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (("-0.7\ta\t-0.2", "seven\ta\t-0.2"), "line 10: expected a log10 probability, 1 words .* got 'seven"),
        (("-0.5\ta b\t-0.25", "-0.5\ta"), "expected a log10 probability, 2 words"),
        (("-0.65\ta b a\n", ""), "2 of order 3.* got .*1 of order 3; it was cut short"),
        (("ngram 1=7\nngram 2=5\nngram 3=2\n", ""), "the n-grams that its head declares"),
    ],
)
def test_a_damaged_file_is_refused_with_the_place(arpa: Path, damage: tuple[str, str], said: str) -> None:
    arpa.write_text(arpa.read_text().replace(*damage))
    with pytest.raises(LawfulError, match=said):
        Arpa(arpa)


def test_a_file_that_is_no_language_model_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.bin"
    with pytest.raises(LawfulError, match="no such file"):
        open_language_model(other)
    other.write_bytes(b"not a model")
    with pytest.raises(LawfulError, match="expected"):
        open_language_model(other)


def test_kenlm_gives_the_same_scores(arpa: Path) -> None:
    pytest.importorskip("kenlm", reason="KenLM is not installed")
    from lawful.domains.emg.language_model import KenLm

    ours, theirs = Arpa(arpa), KenLm(arpa)
    numbers = np.random.Generator(np.random.PCG64(0))
    for _ in range(50):
        text = "".join(numbers.choice(list("abQz "), size=12))
        assert typed(ours, text) == pytest.approx(typed(theirs, text), abs=1e-5)
    assert all(typed(ours, [*pair]) == pytest.approx(typed(theirs, [*pair]), abs=1e-5)
               for pair in itertools.product("ab" + ENTER, repeat=2))  # fmt: skip


def test_kenlm_is_asked_for_where_a_binary_file_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "kenlm", None)
    path = tmp_path / "model.bin"
    path.write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\x00")
    with pytest.raises(LawfulError, match=r"pip install 'lawful\[kenlm\]'"):
        open_language_model(path)
