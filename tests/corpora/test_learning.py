"""What a tokenizer learns does not depend on text that is held out, in every corpus that lets one learn."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lawful.corpora import python_docs, tiny_shakespeare
from lawful.corpora.python_docs import PythonDocs
from lawful.corpora.tiny_shakespeare import TinyShakespeare
from lawful.corpora.tiny_stories import TinyStories
from lawful.token_data import TokenData
from lawful.tokenizers.trained_bpe import TrainedBPE

WORDS = "the and of thou lord king shall come night day speak love death house enter father".split()
NEW = "zqx"  # in no word; frequent enough to be learned by whoever reads the held-out text


def speech(num_characters: int, seed: int) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, size=num_characters))[:num_characters]


def strange(num_characters: int) -> str:
    return (f"{NEW} " * num_characters)[:num_characters]


def pieces(data: TokenData) -> tuple[str, ...]:
    assert isinstance(data.tokenizer, TrainedBPE) and data.tokenizer.pieces
    return data.tokenizer.pieces


def is_learned(data: TokenData) -> bool:
    return any(NEW.encode() in bytes.fromhex(piece) for piece in pieces(data))


@pytest.fixture
def shakespeare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[TinyShakespeare, str], TokenData]:
    """The corpus prepared from another text than the pinned one. Its selection text begins at 38,000 of 50,000."""
    monkeypatch.setattr(tiny_shakespeare, "SELECTION_CHARACTERS", 2_000)
    number = itertools.count()

    def prepared(corpus: TinyShakespeare, text: str) -> TokenData:
        path = tmp_path / f"text{next(number)}.txt"
        path.write_text(text)
        monkeypatch.setattr(tiny_shakespeare, "SHA256", hashlib.sha256(text.encode()).hexdigest())
        return corpus.prepare(path)

    monkeypatch.setattr(tiny_shakespeare, "BYTES", 50_000)
    return prepared


@pytest.mark.parametrize(
    ("settings", "held_out_from"),
    [
        ({}, 40_000),
        ({"first_characters": 1_000}, 38_000),
        ({"first_tokens": 5_000}, None),
        ({"first_tokens": 12}, None),
    ],
)
def test_tiny_shakespeare(
    settings: dict[str, int], held_out_from: int | None, shakespeare: Callable[[TinyShakespeare, str], TokenData]
) -> None:
    corpus = TinyShakespeare(tokenizer=TrainedBPE(vocab_size=270), train_share=0.8, **settings)
    text = speech(50_000, seed=0)
    data = shakespeare(corpus, text)
    if held_out_from is None:
        held_out_from = len(data.decode(data.train))
    changed = shakespeare(corpus, text[:held_out_from] + strange(50_000 - held_out_from))
    assert changed.fingerprint != data.fingerprint
    assert pieces(changed) == pieces(data) and not is_learned(data)
    assert (changed.train == data.train).all()
    assert is_learned(shakespeare(corpus, strange(50_000))), "what is for training is learned"


def test_ids_stay_where_a_tokenizer_learned_from_training_text_all_along() -> None:
    """As they were before first_tokens and first_characters were mended."""
    for corpus in (TinyShakespeare(), TinyShakespeare(tokenizer=TrainedBPE()), TinyShakespeare(first_tokens=1_000)):
        assert corpus.pinned_fingerprint == corpus._fingerprint(tiny_shakespeare.SHA256)
    corpus = TinyShakespeare(tokenizer=TrainedBPE(), first_tokens=1_000)
    assert corpus.pinned_fingerprint != corpus._fingerprint(tiny_shakespeare.SHA256)


def test_python_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sides are decided by the modules' names and sizes, so texts may be exchanged for others of their size."""
    library = tmp_path / "library"
    library.mkdir()
    monkeypatch.setattr(python_docs, "_library", lambda: library)
    texts = {f"m{number}.py": speech(400, seed=number) for number in range(40)}

    def prepared(texts: dict[str, str]) -> TokenData:
        for name, text in texts.items():
            (library / name).write_text(text)
        return PythonDocs(part="source", tokenizer=TrainedBPE(vocab_size=300)).prepare()

    data = prepared(texts)
    held_out = [name for name, text in texts.items() if text.strip() in data.decode(data.validation)]
    assert 0 < len(held_out) < 5
    changed = prepared({**texts, **{name: strange(400) for name in held_out}})
    assert NEW in changed.decode(changed.validation) and NEW not in changed.decode(changed.train)
    assert pieces(changed) == pieces(data)
    assert is_learned(prepared({name: strange(390) + name for name in texts}))


@pytest.mark.parametrize("has_own_file", [False, True])
def test_tiny_stories(has_own_file: bool, tmp_path: Path) -> None:
    def prepared(name: str, train: list[str], validation: list[str]) -> TokenData:
        folder = tmp_path / name
        folder.mkdir()
        files = {"train": train, "valid": validation} if has_own_file else {"all": [*train, *validation]}
        for file, stories in files.items():
            (folder / f"{file}.txt").write_text("\n<|endoftext|>\n".join(stories))
        return TinyStories(tokenizer=TrainedBPE(vocab_size=300), train_share=0.8).prepare(folder)

    train = [speech(200, seed=number) for number in range(81)]
    data = prepared("plain", train, [speech(200, seed=number) for number in range(100, 119)])
    changed = prepared("changed", train, [strange(200)] * 19)
    assert NEW in changed.decode(changed.validation) and NEW not in changed.decode(changed.train)
    assert pieces(changed) == pieces(data)
    assert is_learned(prepared("other", [strange(200)] * 81, [strange(200)] * 19))
