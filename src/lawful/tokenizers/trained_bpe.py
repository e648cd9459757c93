"""Byte-pair encoding learned from the training text itself: any text, a vocabulary as small as wanted."""

from __future__ import annotations

import functools
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, final

import numpy as np

from lawful.checks import Within, check_fields
from lawful.errors import DataError, MissingDependency
from lawful.tokenizers import Tokenizer

if TYPE_CHECKING:
    import tiktoken

# how GPT-2 cuts text before merging (encoder.py of its release)
PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
LEARNED_FROM_CHARACTERS = 10_000_000  # from the start of the training text; seconds of work, and 8,192 pieces settle


@final
@dataclass(frozen=True, kw_only=True)
class TrainedBPE(Tokenizer):
    """256 bytes, then the pieces learned, and last the end of text.

    vocab_size    known before any text is read; a text too short to fill it leaves symbols that never occur
    pieces        learned, each the hexadecimal digits of its bytes, in the order of merging; None in a declaration:
                  the corpus has them learned from its training text when it is prepared, and keeps them with the
                  tokens. (tokenizer, training text) decides them; ties go to the piece that sorts first.
    """

    vocab_size: Annotated[int, Within(at_least=257, at_most=2**16)] = 512  # bytes and the end at least
    pieces: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.pieces is not None and len(self.pieces) > self.vocab_size - 257:
            raise DataError(
                f"pieces: expected at most vocab_size - 257 = {self.vocab_size - 257}, got {len(self.pieces)}."
            )

    @property
    def name(self) -> str:
        return "trained_bpe"

    @property
    def end(self) -> int:
        return self.vocab_size - 1

    @property
    def unused(self) -> range:
        return range(256 + len(self.pieces or ()), self.end)

    @property
    def is_fixed(self) -> bool:
        return self.pieces is not None

    def trained(self, texts: Iterable[str]) -> TrainedBPE:
        if self.pieces is not None:
            return self
        learned = _learn(_words(texts), self.vocab_size - 257)
        return replace(self, pieces=tuple(piece.hex() for piece in learned))

    def encode(self, text: str) -> np.ndarray:
        return np.array(self._encoding().encode_ordinary(text), dtype=np.uint16)

    def decode_bytes(self, tokens: np.ndarray) -> bytes:
        tokens = np.asarray(tokens)
        known = 256 + len(self.pieces or ())
        if wrong := tokens[((tokens < 0) | (tokens >= known)) & (tokens != self.end)].tolist():
            raise DataError(f"trained_bpe: expected tokens below {known} or {self.end}, got {wrong[0]}.")
        return self._encoding().decode_bytes(tokens.astype(int).tolist())

    def _encoding(self) -> tiktoken.Encoding:
        if self.pieces is None:
            raise DataError(
                "trained_bpe: expected a tokenizer that has learned its pieces, got a declaration; prepare the "
                "corpus and take the tokenizer of what that returns, or call trained(texts)."
            )
        return _encoding(self.pieces, self.end)


@functools.lru_cache(maxsize=8)
def _encoding(pieces: tuple[str, ...], end: int) -> tiktoken.Encoding:
    try:
        import tiktoken
    except ImportError as error:
        raise MissingDependency.of("tiktoken", extra="train", what="byte-pair encoding", error=error) from None
    ranks = {bytes([byte]): byte for byte in range(256)}
    ranks |= {bytes.fromhex(piece): 256 + number for number, piece in enumerate(pieces)}
    return tiktoken.Encoding(
        name="trained_bpe", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": end}
    )


def _words(texts: Iterable[str]) -> dict[bytes, int]:
    """How often each word occurs in the first LEARNED_FROM_CHARACTERS; merges never cross a word's border."""
    try:
        import regex  # comes with tiktoken, and cuts as it does
    except ImportError as error:
        raise MissingDependency.of("regex", extra="train", what="learning a vocabulary", error=error) from None
    words: Counter[str] = Counter()
    left = LEARNED_FROM_CHARACTERS
    for text in texts:
        words.update(regex.findall(PATTERN, text[:left]))
        left -= len(text)
        if left <= 0:
            break
    return {word.encode(): count for word, count in words.items()}


def _learn(words: dict[bytes, int], num_pieces: int) -> list[bytes]:
    """The most frequent pair of neighbours becomes a piece, again and again (Sennrich, Haddow and Birch 2016).

    Pairs that spell the same bytes count as one, as they do for tiktoken. Fewer pieces when no pair is left.
    """
    split = [[bytes([byte]) for byte in word] for word in words]
    counts = list(words.values())
    total: Counter[bytes] = Counter()
    words_with: defaultdict[bytes, set[int]] = defaultdict(set)
    for number, parts in enumerate(split):
        for pair in _pairs(parts):
            total[pair] += counts[number]
            words_with[pair].add(number)
    heap = [(-count, pair) for pair, count in total.items()]
    heapq.heapify(heap)
    learned: dict[bytes, None] = {}
    while heap and len(learned) < num_pieces:
        count, piece = heapq.heappop(heap)
        if -count != total[piece] or not count:
            continue  # an older count of this pair
        learned[piece] = None
        changed = set()
        for number in words_with.pop(piece):
            before, after = split[number], _merged(split[number], piece)
            for pair in _pairs(before):
                total[pair] -= counts[number]
                changed.add(pair)
            for pair in _pairs(after):
                total[pair] += counts[number]
                words_with[pair].add(number)
                changed.add(pair)
            split[number] = after
        for pair in changed:
            if total[pair] > 0:
                heapq.heappush(heap, (-total[pair], pair))
    return list(learned)


def _pairs(parts: list[bytes]) -> list[bytes]:
    return [first + second for first, second in zip(parts, parts[1:], strict=False)]


def _merged(parts: list[bytes], piece: bytes) -> list[bytes]:
    """From left to right, each two neighbours that spell `piece` become one."""
    merged: list[bytes] = []
    place = 0
    while place < len(parts):
        is_pair = place + 1 < len(parts) and parts[place] + parts[place + 1] == piece
        merged.append(piece if is_pair else parts[place])
        place += 2 if is_pair else 1
    return merged
