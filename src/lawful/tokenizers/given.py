"""Given: whole numbers that someone else's tokenizer made, as they are; only how many there are is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, final

import numpy as np

from lawful.checks import Within, check_fields
from lawful.errors import DataError
from lawful.tokenizers import Tokenizer


@final
@dataclass(frozen=True, kw_only=True)
class Given(Tokenizer):
    """Numbers below `symbols`, and one more for the mark between pieces. As a text: the numbers with spaces between."""

    symbols: Annotated[int, Within(at_least=1, below=2**16)]

    @classmethod
    def examples(cls) -> tuple[Given, ...]:
        return (cls(symbols=9),)

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def name(self) -> str:
        return "given"

    @property
    def vocab_size(self) -> int:
        return self.symbols + 1

    @property
    def end(self) -> int:
        return self.symbols

    def encode(self, text: str) -> np.ndarray:
        words = text.split()
        if wrong := next((word for word in words if not word.isdecimal() or int(word) >= self.vocab_size), None):
            raise DataError(f"given: expected whole numbers below {self.vocab_size}, got {wrong!r}.")
        return np.array([int(word) for word in words], dtype=np.uint16)

    def decode_bytes(self, tokens: np.ndarray) -> bytes:
        return " ".join(str(int(token)) for token in tokens).encode()

    def num_bytes(self, tokens: np.ndarray) -> int:
        """None: what the numbers stand for is not known."""
        return 0
