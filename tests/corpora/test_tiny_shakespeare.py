"""tiny_shakespeare: pinned to the byte, split as everyone splits it, found without a network where possible."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lawful.corpora import tiny_shakespeare
from lawful.corpora.tiny_shakespeare import ALPHABET, BYTES, SHA256, URL, TinyShakespeare
from lawful.errors import LawfulError
from lawful.tokenizers.bytes import Bytes
from lawful.tokenizers.gpt2_bpe import GPT2
from lawful.tokenizers.trained_bpe import TrainedBPE


@pytest.fixture
def text_file(data_file: Callable[[str], Path]) -> Path:
    return data_file("tinyshakespeare/input.txt")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    """No raw text on this machine, and nobody listens where it would come from."""
    monkeypatch.delenv("LAWFUL_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(tiny_shakespeare, "URL", "http://127.0.0.1:1/input.txt")


def test_characters_split_as_in_nanogpt(text_file: Path) -> None:
    # the counts that data/shakespeare_char/prepare.py of karpathy/nanoGPT prints
    data = TinyShakespeare().prepare()
    assert (data.train_tokens, len(data.validation), data.vocab_size) == (1_003_854, 111_540, 65)
    assert data.decode(data.train[:14]) == "First Citizen:"


def test_gpt2_tokens_are_as_many_as_in_nanogpt(text_file: Path) -> None:
    # the counts that data/shakespeare/prepare.py of karpathy/nanoGPT prints
    data = TinyShakespeare(tokenizer=GPT2()).prepare()
    assert (data.train_tokens, len(data.validation), data.vocab_size) == (301_966, 36_059, 50_257)


def test_the_alphabet_is_every_character_of_the_text(text_file: Path) -> None:
    text = text_file.read_text(encoding="ascii")
    assert "".join(sorted(set(text))) == ALPHABET
    data = TinyShakespeare().prepare()
    assert data.decode(data.train) + data.decode(data.validation) == text


def test_every_tokenizer_is_judged_on_the_same_text(text_file: Path) -> None:
    texts = []
    for corpus in (TinyShakespeare(), *(TinyShakespeare(tokenizer=one) for one in (Bytes(), GPT2(), TrainedBPE()))):
        data = corpus.prepare()
        texts.append(data.decode(data.validation))
    assert texts[0] == texts[1] == texts[2] == texts[3]


def test_the_first_tokens_are_cut_after_encoding(text_file: Path) -> None:
    data = TinyShakespeare(tokenizer=GPT2(), first_tokens=100_000).prepare()
    assert (data.train_tokens, len(data.validation)) == (90_000, 10_000)
    text = text_file.read_text(encoding="ascii")
    assert text.startswith(data.decode(data.train) + data.decode(data.validation))
    assert (90_000 - 1) // 128 // 8 == 87  # whole batches of 8 windows of 128; the 88th crosses into a second epoch


@pytest.mark.parametrize("kind", ["file", "folder", "folder of the folder"])
def test_the_text_is_found_where_the_user_says(kind: str, text_file: Path, offline: None) -> None:
    place = {"file": text_file, "folder": text_file.parent, "folder of the folder": text_file.parent.parent}[kind]
    data = TinyShakespeare().prepare(place)
    assert data.train_tokens == 1_003_854
    assert TinyShakespeare(tokenizer=Bytes()).prepare().train_tokens == 1_003_854  # said once is enough


def test_a_wrong_file_is_refused_with_what_was_expected(tmp_path: Path, empty_cache: Path) -> None:
    wrong = tmp_path / "input.txt"
    wrong.write_text("First Citizen:\r\n")
    for place in (wrong, tmp_path):
        with pytest.raises(LawfulError, match=f"{BYTES:,} bytes, SHA-256 {SHA256}.*got 16 bytes.*--data"):
            TinyShakespeare().prepare(place)


def test_a_wrong_file_is_refused_even_when_tokens_are_prepared(text_file: Path, tmp_path: Path) -> None:
    TinyShakespeare().prepare()
    with pytest.raises(LawfulError, match="got no such file"):
        TinyShakespeare().prepare(tmp_path / "nothing.txt")
    with pytest.raises(LawfulError, match="got a folder without it"):
        TinyShakespeare().prepare(tmp_path)


def test_offline_the_error_names_file_hash_source_and_flag(offline: None) -> None:
    corpus = TinyShakespeare()
    assert not corpus.is_available()
    assert corpus.vocab_size == 65 and len(corpus.pinned_fingerprint) == 16
    with pytest.raises(LawfulError, match=r"tiny_shakespeare.*1,115,394 bytes.*--data PATH") as raised:
        corpus.prepare()
    assert SHA256 in str(raised.value) and "http://127.0.0.1:1/input.txt" in str(raised.value)
    assert URL.startswith("https://raw.githubusercontent.com/karpathy/char-rnn/")


def test_shares_and_counts_out_of_range_are_refused(text_file: Path) -> None:
    with pytest.raises(LawfulError, match="train_share"):
        TinyShakespeare(train_share=1.0)
    with pytest.raises(LawfulError, match="first_tokens"):
        TinyShakespeare(first_tokens=1)
    with pytest.raises(LawfulError, match="at most the 1,115,394 tokens"):
        TinyShakespeare(first_tokens=2_000_000).prepare()
    with pytest.raises(LawfulError, match="at least 2 tokens in each split"):
        TinyShakespeare(first_tokens=4, train_share=0.9).prepare()


def test_cuts_of_the_first_characters_share_validation_selection_and_vocabulary(text_file: Path) -> None:
    whole = text_file.read_text(encoding="ascii")
    cuts = [TinyShakespeare(first_characters=1000 * thousands).prepare() for thousands in (1, 50)]
    later = TinyShakespeare(first_characters=1000, from_character=50_000).prepare()
    for data, start, characters in ((cuts[0], 0, 1000), (cuts[1], 0, 50_000), (later, 50_000, 1000)):
        assert data.decode(data.train) == whole[start : start + characters]
        assert data.decode(data.arrays["selection"]) == whole[983_854:1_003_854]
        assert data.decode(data.validation) == whole[1_003_854:1_103_854]
        assert data.vocab_size == 65
    assert len({data.fingerprint for data in (*cuts, later)}) == 3
    assert len({data.facts()["validation_fingerprint"] for data in (*cuts, later)}) == 1


def test_a_cut_that_reaches_into_the_selection_text_is_refused() -> None:
    with pytest.raises(LawfulError, match="expected 2 to 983,854 characters"):
        TinyShakespeare(first_characters=983_000, from_character=1000)
    with pytest.raises(LawfulError, match="no first_tokens"):
        TinyShakespeare(first_characters=1000, first_tokens=1000)
    with pytest.raises(LawfulError, match="without first_characters"):
        TinyShakespeare(from_character=7)


def test_a_file_that_is_larger_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "input.txt").open("wb") as file:
        file.truncate(2**36)
    with pytest.raises(LawfulError, match="got 68,719,476,736 bytes; take the file from"):
        TinyShakespeare().prepare(tmp_path)
