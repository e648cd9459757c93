"""A piece of music as it was read, and the limits that it must keep."""

from __future__ import annotations

import importlib
import importlib.util
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from lawful.errors import DataError, MissingDependency
from lawful.storage.json_files import Json

MOST_BARS = 20_000  # the longest operas have some 10,000
MOST_EMPTY_BARS = 1_000  # a part of an orchestra may be silent for hundreds
MOST_EVENTS = 500_000  # notes, tempos and time signatures
MOST_SECONDS = 120.0  # for one piece of notation; music21 takes a second for 100 bars, and four times as long for 200
Score = Any  # symusic's, which is imported where it is needed; its own types leave out what it can do


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A piece, as a symusic Score or as tokens (numbers, or a tokenizer's names). `problem`: why it is neither.
    vocabulary: the tokenizer.json that says what the numbers mean; see `decoded`."""

    name: str
    title: str = ""
    score: Score | None = None
    tokens: Sequence[Json] | None = None
    vocabulary: bytes = b""
    problem: str = ""


def whole(piece: Piece) -> Piece:
    """The piece, or why its score is not taken: more notes, bars or silence than any music has. A few bytes of a file
    can put a note a million bars away, and each bar is a symbol."""
    score = piece.score
    if score is None:
        return piece
    events = sum(len(part) for part in (score.time_signatures, score.tempos, *(track.notes for track in score.tracks)))
    if score.tpq < 1 or events > MOST_EVENTS:
        told, got = f"ticks in a quarter, and at most {MOST_EVENTS:,} notes and marks", f"{score.tpq} and {events:,}"
        return replace(piece, score=None, problem=f"expected {told}; got {got}")
    onsets = np.concatenate([[], *(track.notes.numpy()["time"] for track in score.tracks)]) / score.tpq
    signed = {0.0: 4.0}  # where in quarters -> quarters in a bar from there on
    for mark in score.time_signatures:
        if mark.numerator > 0 and mark.denominator > 0:
            signed[mark.time / score.tpq] = 4 * mark.numerator / mark.denominator
    starts = np.array(sorted(signed))
    lengths = np.array([signed[start] for start in starts])
    end = max([*starts[-1:], *(mark.time / score.tpq for mark in score.tempos), *(onsets.max(initial=0),)])
    bars = np.ceil((np.append(starts[1:], end) - starts) / lengths)
    part = np.searchsorted(starts, onsets, side="right") - 1
    sounding = (np.cumsum(bars) - bars)[part] + (onsets - starts[part]) // lengths[part]
    empty = bars.sum() - len(np.unique(sounding))
    if onsets.min(initial=0) < 0 or bars.sum() > MOST_BARS or empty > MOST_EMPTY_BARS:
        told = f"at most {MOST_BARS:,} bars, {MOST_EMPTY_BARS:,} of them without a note"
        return replace(piece, score=None, problem=f"expected {told}; got {bars.sum():,.0f}, {max(empty, 0):,.0f}")
    return piece


class _TooLong(BaseException):
    """Not an Exception: parsers catch those, and go on."""


@contextmanager
def within_time() -> Iterator[None]:
    """Ends what takes longer than it may, by this process's own clock; where this is no main thread, as it likes."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    is_reading = True

    def end(*_: object) -> None:
        if is_reading:
            raise _TooLong

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS, 1.0)  # again after a second, should it have been caught
    try:
        try:
            yield
        finally:
            is_reading = False
    except _TooLong:
        raise DataError(f"expected music that is read within {MOST_SECONDS:g} s, got some that takes longer") from None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependency.of(name, extra="music", what="reading music", error=error) from None
