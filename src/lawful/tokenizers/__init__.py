"""Tokenizers: text to numbers and back, as plain frozen values whose vocabulary is known before any data is read."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Tokenizer(abc.ABC):
    """What a tokenizer is. Its fields enter the Run's id, so they are plain data; tables are built on first use.

    Vocabularies hold at most 65,536 symbols, since tokens are kept as uint16.
    """

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What the table of observations calls it."""

    @property
    @abc.abstractmethod
    def vocab_size(self) -> int:
        """Symbols that can be predicted."""

    @abc.abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """Shape (tokens,), uint16."""

    @abc.abstractmethod
    def decode_bytes(self, tokens: np.ndarray) -> bytes:
        """The UTF-8 bytes that the tokens stand for; a cut inside a character is kept as it is."""

    def decode(self, tokens: np.ndarray) -> str:
        """Text; bytes that are not UTF-8 (a character cut in two) become U+FFFD."""
        return self.decode_bytes(np.asarray(tokens)).decode("utf-8", errors="replace")
