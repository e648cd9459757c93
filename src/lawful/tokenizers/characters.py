"""Characters: a token is a character of a stated alphabet."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import final

import numpy as np

from lawful.checks import check_fields
from lawful.errors import DataError
from lawful.tokenizers import Tokenizer

END_OF_TEXT = "\x03"  # ASCII's own


@final
@dataclass(frozen=True, kw_only=True)
class Characters(Tokenizer):
    """One symbol per character of `alphabet`, in its order.

    unknown    a member of the alphabet that stands for every character outside it; without one, such text is refused
    """

    alphabet: str
    unknown: str | None = None

    @classmethod
    def examples(cls) -> tuple[Characters, ...]:
        return (cls(alphabet="\n ,abcd"),)

    def __post_init__(self) -> None:
        check_fields(self)
        repeated = sorted({character for character in self.alphabet if self.alphabet.count(character) > 1})
        if not self.alphabet or repeated:
            raise DataError(f"alphabet: expected distinct characters, got {repeated or 'none'}.")
        if self.unknown is not None and (len(self.unknown) != 1 or self.unknown not in self.alphabet):
            raise DataError(f"unknown: expected one character of the alphabet, got {self.unknown!r}.")

    @property
    def name(self) -> str:
        return "characters"

    @property
    def vocab_size(self) -> int:
        return len(self.alphabet)

    @property
    def end(self) -> int | None:
        """ASCII's own mark for it, where the alphabet has it."""
        return self.alphabet.index(END_OF_TEXT) if END_OF_TEXT in self.alphabet else None

    def encode(self, text: str) -> np.ndarray:
        """Raises LawfulError naming the first character outside the alphabet, when there is no `unknown`."""
        codes = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
        table = _tables(self.alphabet).token_of_code
        tokens = np.where(codes < len(table), table[np.minimum(codes, len(table) - 1)], -1)
        if (outside := tokens < 0).any():
            if self.unknown is None:
                first = int(outside.argmax())
                raise DataError(
                    f"characters: expected only the {self.vocab_size} characters of the alphabet, got {text[first]!r} "
                    f"at position {first}; clean the text or choose an alphabet with an `unknown` mark."
                )
            tokens = np.where(outside, self.alphabet.index(self.unknown), tokens)
        return tokens.astype(np.uint16)

    def decode_bytes(self, tokens: np.ndarray) -> bytes:
        tokens = np.asarray(tokens)
        if tokens.size and (tokens.min() < 0 or tokens.max() >= self.vocab_size):
            raise DataError(
                f"characters: expected tokens below {self.vocab_size}, got {tokens.min()} to {tokens.max()}."
            )
        codes = _tables(self.alphabet).code_of_token[tokens.astype(np.int64)]
        return codes.tobytes().decode("utf-32-le", errors="surrogatepass").encode("utf-8", errors="replace")


@dataclass(frozen=True, kw_only=True)
class _Tables:
    code_of_token: np.ndarray  # (vocabulary,) uint32: Unicode code points
    token_of_code: np.ndarray  # (largest code + 1,) int32: -1 outside the alphabet


@functools.lru_cache(maxsize=16)
def _tables(alphabet: str) -> _Tables:
    code_of_token = np.array([ord(character) for character in alphabet], dtype="<u4")
    token_of_code = np.full(int(code_of_token.max()) + 1, -1, dtype=np.int32)
    token_of_code[code_of_token] = np.arange(len(alphabet))
    return _Tables(code_of_token=code_of_token, token_of_code=token_of_code)
