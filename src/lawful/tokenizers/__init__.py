"""Tokenizers: text to numbers and back, as plain frozen values whose vocabulary is known before any data is read."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_PIECE_TOKENS = 2**20  # decoded at a time, so that memory is bounded


@dataclass(frozen=True, kw_only=True)
class Tokenizer(abc.ABC):
    """What a tokenizer is. Its fields enter the Run's id, so they are plain data; tables are built on first use.

    Vocabularies hold at most 65,536 symbols, since tokens are kept as uint16.
    """

    @classmethod
    def examples(cls) -> tuple[Tokenizer, ...]:
        """What the contract tries."""
        return (cls(),)

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What the table of observations calls it."""

    @property
    @abc.abstractmethod
    def vocab_size(self) -> int:
        """Symbols that can be predicted."""

    @property
    def end(self) -> int | None:
        """The symbol put after each text where several are packed; it stands for no text. None where there is none."""
        return None

    @property
    def unused(self) -> range:
        """Symbols of the vocabulary that stand for nothing, because the training text was too short to fill it."""
        return range(0)

    @property
    def is_fixed(self) -> bool:
        """Whether it is known as it stands: it learns nothing from training text, or has learned it."""
        return True

    def trained(self, texts: Iterable[str]) -> Tokenizer:
        """Itself, with what it has to learn from training text learned; most have nothing to learn and read nothing."""
        return self

    @abc.abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """Shape (tokens,), uint16."""

    @abc.abstractmethod
    def decode_bytes(self, tokens: np.ndarray) -> bytes:
        """The UTF-8 bytes that the tokens stand for; a cut inside a character is kept as it is."""

    def num_bytes(self, tokens: np.ndarray) -> int:
        """UTF-8 bytes of the text that the tokens stand for, by which losses of different tokenizers are compared."""
        total = 0
        for start in range(0, len(tokens), _PIECE_TOKENS):
            piece = np.asarray(tokens[start : start + _PIECE_TOKENS])
            total += len(self.decode_bytes(piece if self.end is None else piece[piece != self.end]))
        return total

    def decode(self, tokens: np.ndarray) -> str:
        """Text; bytes that are not UTF-8 (a character cut in two) become U+FFFD."""
        return self.decode_bytes(np.asarray(tokens)).decode("utf-8", errors="replace")
