"""Bytes: a token is a byte of UTF-8, so bits per token are bits per byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from lawful.errors import DataError
from lawful.tokenizers import Tokenizer


@final
@dataclass(frozen=True, kw_only=True)
class Bytes(Tokenizer):
    """256 symbols, any text."""

    @property
    def name(self) -> str:
        return "bytes"

    @property
    def vocab_size(self) -> int:
        return 256

    @property
    def end(self) -> int:
        return 0xFF  # a byte that UTF-8 never uses

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode("utf-8"), dtype=np.uint8).astype(np.uint16)

    def decode_bytes(self, tokens: np.ndarray) -> bytes:
        tokens = np.asarray(tokens)
        if tokens.size and (tokens.min() < 0 or tokens.max() > 255):
            raise DataError(f"bytes: expected tokens from 0 to 255, got {tokens.min()} to {tokens.max()}.")
        return tokens.astype(np.uint8).tobytes()
