"""How much of one text is also in another, word for word: the hashes of all runs of RUN bytes are compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

RUN = 80  # bytes, about a line of text: longer than phrases that two texts share by chance
_PIECE = 2**14  # runs that are hashed at a time: their hashes stay in a core's cache
_FACTOR = 6364136223846793005  # of Knuth's MMIX generator: any odd number without pattern does


def shared_share(text: Iterable[bytes], other: Iterable[bytes]) -> float:
    """The share of the bytes of `text` that lie in a run of RUN bytes that is also in `other`.

    text, other    in pieces. The hashes of `text` are kept in memory (8 bytes for each byte), those of `other` are not
    """
    own = np.concatenate([np.empty(0, dtype=np.uint64), *_hashes(text)])
    if not len(own):
        return 0.0
    distinct, number = np.unique(own, return_inverse=True)
    # of the runs of the other text, 15 in 16 are dismissed by their first bits, with one look into a table
    shift = np.uint64(64 - 4 - len(distinct).bit_length())
    may_be_there = np.zeros(16 * 2 ** len(distinct).bit_length(), dtype=bool)
    may_be_there[distinct >> shift] = True
    is_there = np.zeros(len(distinct), dtype=bool)
    for hashes in _hashes(other):
        candidates = hashes[may_be_there[hashes >> shift]]
        place = np.minimum(np.searchsorted(distinct, candidates), len(distinct) - 1)
        is_there[place[distinct[place] == candidates]] = True
    starts = np.append(is_there[number], np.zeros(RUN - 1, dtype=bool))  # of shared runs, by byte
    begun = np.cumsum(starts)
    begun[RUN:] -= begun[:-RUN].copy()  # shared runs that began at this byte or at one of the RUN - 1 before it
    return float((begun > 0).mean())


def _hashes(text: Iterable[bytes]) -> Iterator[np.ndarray]:
    """A 64-bit hash of each run, in order: the sum of a random number for each byte times a power of _FACTOR."""
    size = _PIECE + RUN - 1
    number_of_byte = np.asarray(np.random.PCG64(0).random_raw(256))
    powers = _powers(_FACTOR, size)
    inverse = _powers(pow(_FACTOR, -1, 2**64), size)
    rest = b""
    for piece in text:
        joined = rest + piece
        for start in range(0, len(joined) - RUN + 1, _PIECE):
            content = np.frombuffer(joined[start : start + size], dtype=np.uint8)
            sums = np.zeros(len(content) + 1, dtype=np.uint64)
            np.cumsum(number_of_byte[content] * powers[: len(content)], out=sums[1:])
            yield (sums[RUN:] - sums[:-RUN]) * inverse[: len(sums) - RUN]
        rest = joined[-(RUN - 1) :]


def _powers(factor: int, count: int) -> np.ndarray:
    """1, factor, factor^2, ... modulo 2^64."""
    powers = np.full(count, factor, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers)
