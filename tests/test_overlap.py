"""The share of a text that stands in another, against a plain search for each of its runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lawful import overlap
from lawful.corpora.tiny_stories import TinyStories
from lawful.corpora.zipf_recall import ZipfRecall
from lawful.overlap import RUN, shared_share
from lawful.storage.atomic import write_json
from lawful.storage.json_files import read_json
from lawful.token_data import TokenData
from lawful.tokenizers import Tokenizer
from lawful.tokenizers.bytes import Bytes
from lawful.tokenizers.trained_bpe import TrainedBPE


def letters(size: int, seed: int, alphabet: str = "abcdefgh ") -> bytes:
    return "".join(np.random.default_rng(seed).choice(list(alphabet), size=size)).encode()


def by_search(text: bytes, other: bytes) -> float:
    covered = set()
    for start in range(len(text) - RUN + 1):
        if text[start : start + RUN] in other:
            covered |= set(range(start, start + RUN))
    return len(covered) / len(text)


def pieces(text: bytes, size: int) -> list[bytes]:
    return [text[start : start + size] for start in range(0, len(text), size)]


@pytest.mark.parametrize("size", [7, 79, 80, 81, 1000, 10**6])
def test_the_share_is_that_of_a_plain_search_however_the_texts_are_cut(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "_PIECE", 256)
    other = letters(5_000, seed=0)
    text = b"".join(
        [letters(300, seed=1), other[100:400], letters(50, seed=2), other[700:780], other[2_000:2_060], other[-90:]]
    )
    expected = by_search(text, other)
    assert 0.4 < expected < 0.6, "300, 80 and 90 bytes of 880, and not the 60"
    assert shared_share(pieces(text, size), pieces(other, size)) == expected


def test_a_text_of_few_letters_that_repeats_itself_is_no_trap() -> None:
    """Runs of one letter hash to what they are, whatever their place."""
    for text, other in ((b"a" * 500, b"a" * 100), (b"ab" * 300, b"ba" * 50), (b"a" * 500, b"b" * 500)):
        assert shared_share([text], [other]) == by_search(text, other)


@pytest.mark.parametrize(("text", "other"), [(b"", b"abc" * 100), (b"abc", b"abc" * 100), (b"abc" * 100, b"")])
def test_texts_shorter_than_a_run_share_nothing(text: bytes, other: bytes) -> None:
    assert shared_share([text], [other]) == 0.0


def test_a_text_shares_all_of_itself_and_nothing_with_noise() -> None:
    text = letters(200_000, seed=3)
    assert shared_share([text], [text]) == 1.0
    assert shared_share([text], [letters(1_000_000, seed=4)]) == 0.0


@pytest.fixture
def stories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hundred of 200 letters each; of the ten for validation, one is a training story and one half of one."""
    monkeypatch.setenv("LAWFUL_CACHE", str(tmp_path / "cache"))
    text = [letters(200, seed=seed).decode().strip() for seed in range(100)]
    text[93] = text[12]
    text[95] = text[30][:100] + text[95][100:]
    path = tmp_path / "stories.txt"
    path.write_text("\n<|endoftext|>\n".join(text))
    return path


@pytest.mark.parametrize("tokenizer", [Bytes(), TrainedBPE(vocab_size=300)])
def test_the_facts_of_a_text_corpus_say_it_whatever_its_tokenizer(tokenizer: Tokenizer, stories: Path) -> None:
    data = TinyStories(tokenizer=tokenizer).prepare(stories)
    facts = data.facts()
    train, validation = (data.tokenizer.decode_bytes(tokens) for tokens in (data.train, data.validation))
    assert facts["overlap"] == by_search(validation, train)
    assert 0.1 < facts["overlap"] < 0.2 and facts["overlap_tokens"] == data.train_tokens


def test_what_an_older_lawful_prepared_is_compared_once(stories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = TinyStories(tokenizer=Bytes())
    fresh = corpus.prepare(stories)
    path = corpus._folder(fresh.fingerprint) / "meta.json"
    meta = read_json(path)
    facts = {name: value for name, value in meta["facts"].items() if not name.startswith("overlap")}
    write_json(path, {**meta, "facts": facts})
    assert "overlap" not in corpus.open(fresh.fingerprint).facts()
    with monkeypatch.context() as patch:  # a cache that may only be read

        def refused(*_: object) -> None:
            raise PermissionError("read-only")

        patch.setattr("lawful.corpora.write_json", refused)
        assert corpus.prepare(stories).facts() == fresh.facts()
    assert corpus.prepare(stories).facts() == corpus.open(fresh.fingerprint).facts() == fresh.facts()
    assert read_json(path) == meta
    assert corpus.verify(fresh.fingerprint, stories) == []


def test_what_is_no_text_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAWFUL_CACHE", str(tmp_path))
    data: TokenData = ZipfRecall(num_keys=50, train_samples=1_000, validation_samples=100).prepare()
    assert "overlap" not in data.facts()
