"""Errors of typed text: how many edits lie between the true text and the decoded one, and where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from lawful.errors import MissingDependency


class Edits(NamedTuple):
    """From the true text to the decoded one: a missed character is a deletion, one too many an insertion.

    emg2qwerty's public code goes the other way, so that its insertions are these deletions; the rate is the same.
    """

    insertions: int
    deletions: int
    substitutions: int

    @property
    def total(self) -> int:
        return self.insertions + self.deletions + self.substitutions

    def counted(self, convention: Literal["reference", "emg2qwerty"]) -> dict[str, int]:
        missed, extra = self.deletions, self.insertions
        if convention == "emg2qwerty":
            missed, extra = extra, missed
        return {"insertions": extra, "deletions": missed, "substitutions": self.substitutions}


def edits(reference: str, decoded: str) -> Edits:
    """The fewest; where several ways are equally few, rapidfuzz's."""
    kinds = [operation.tag for operation in _levenshtein().editops(reference, decoded)]
    return Edits(
        insertions=kinds.count("insert"), deletions=kinds.count("delete"), substitutions=kinds.count("replace")
    )


def aligned(reference: str, decoded: str) -> list[tuple[str, str]]:
    """(true, seen) pairs of the same alignment; "" stands for nothing, where a character was missed or made up."""
    pairs: list[tuple[str, str]] = []
    for part in _levenshtein().opcodes(reference, decoded):
        true, seen = reference[part.src_start : part.src_end], decoded[part.dest_start : part.dest_end]
        if part.tag in ("equal", "replace"):
            pairs += zip(true, seen, strict=True)
        else:
            pairs += [(letter, "") for letter in true] + [("", letter) for letter in seen]
    return pairs


def commonest_cer(references: Sequence[str], most: int = 6) -> float:
    """What typing the commonest keys over and over gives, at its best: k of them in turn, at the text's own length."""
    whole = "".join(references)
    if not whole:
        return math.nan
    ranked = sorted(dict.fromkeys(whole), key=lambda symbol: -whole.count(symbol))
    rates = []
    for number in range(1, most + 1):
        pattern = "".join(ranked[:number])
        typed = ((pattern * (len(text) // number + 1))[: len(text)] for text in references)
        rates.append(sum(edits(text, other).total for text, other in zip(references, typed, strict=True)) / len(whole))
    return min(rates)


def _levenshtein() -> Any:
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError as error:
        raise MissingDependency.of("rapidfuzz", extra="emg", what="counting errors in typing", error=error) from None
    return Levenshtein
