"""Keys: a token is a key press; characters, and backspace, enter, space and shift as keys like any other."""

from __future__ import annotations

import string
import unicodedata
from dataclasses import dataclass
from typing import final

import numpy as np

from lawful.tokenizers import Tokenizer

BACKSPACE, ENTER, SPACE, SHIFT = "⌫", "⏎", " ", "⇧"
# 98 symbols, as in emg2qwerty (arXiv:2410.20081, section 4): 52 letters, 10 digits, 32 of punctuation, 4 special keys
SYMBOLS = string.ascii_letters + string.digits + string.punctuation + BACKSPACE + ENTER + SPACE + SHIFT
# as a keyboard listener names them. The official loader drops every other name, left and right shift among them
SPECIAL = {
    "Key.backspace": BACKSPACE,
    "Key.enter": ENTER,
    "Key.space": SPACE,
    "Key.shift": SHIFT,
    "\n": ENTER,
    "\r": ENTER,
    "\b": BACKSPACE,
}
# character -> the key to which the official loader (by Unidecode) maps it. Letters with an accent are decomposed
# instead. Characters of other alphabets are dropped here
FOLDED = dict(
    zip(
        "‘’“”–—−\u00a0¡¦¨¬¯´µ¶·¸¿Ð×Øð÷øĐđĦħıĸĿŀŁłŦŧƒ\u200b‐‑‒‗‚‛‟†•‹›′‵⁄",
        "''\"\"---" + " " + "!|\"!-'uP*,?DxOd/oDdHhikLlLlTtf" + " " + "---_,'\"+*<>'`/",
        strict=True,
    )
)
_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS)}


@final
@dataclass(frozen=True, kw_only=True)
class Keys(Tokenizer):
    """98 keys. Characters are folded first (é becomes e, “ becomes "); those without a key are dropped."""

    @property
    def name(self) -> str:
        return "keys"

    @property
    def vocab_size(self) -> int:
        return len(SYMBOLS)

    def encode(self, text: str) -> np.ndarray:
        folded = (symbol for letter in text for symbol in fold(letter))
        return np.array([_NUMBERS[symbol] for symbol in folded], dtype=np.uint16)

    def decode_bytes(self, tokens: np.ndarray) -> bytes:
        return "".join(SYMBOLS[int(token)] for token in tokens).encode()

    def encode_keys(self, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Key names (a character, or as in SPECIAL) as tokens, and the place in `names` that each came from."""
        pairs = [(_NUMBERS[symbol], place) for place, name in enumerate(names) for symbol in fold(name)]
        tokens, places = zip(*pairs, strict=True) if pairs else ((), ())
        return np.array(tokens, dtype=np.uint16), np.array(places, dtype=np.int64)


def fold(key: str) -> str:
    """The symbol of a key's name; nothing for a key that is not ours."""
    plain = SPECIAL.get(key) or FOLDED.get(key, key)
    if plain in _NUMBERS:
        return plain
    decomposed = unicodedata.normalize("NFKD", plain) if len(plain) == 1 else ""
    letters = [letter for letter in decomposed if not unicodedata.combining(letter)]
    return letters[0] if len(letters) == 1 and letters[0] in _NUMBERS else ""


def typed(symbols: str) -> str:
    """The text that keys leave on the page: a backspace removes the character before it, shift leaves none."""
    text: list[str] = []
    for symbol in symbols:
        if symbol == BACKSPACE:
            del text[-1:]
        elif symbol != SHIFT:
            text.append("\n" if symbol == ENTER else symbol)
    return "".join(text)
