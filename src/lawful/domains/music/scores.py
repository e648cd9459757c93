"""Pieces of music from files: MIDI by symusic, notation and token files; and what is compared of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from lawful.domains.music.notation import notation_pieces
from lawful.domains.music.pieces import Piece, Score, imported, whole
from lawful.domains.music.sources import KINDS, MIDI, NOTATION, TOKENS, Source, in_short, sources_in
from lawful.domains.music.token_files import decoded, token_pieces
from lawful.errors import DataError

SHINGLE = 10  # steps of a contour that are compared as one: about two bars of a tune
SKETCH = 24  # of a piece's shingles, those of the smallest hashes; they estimate the share two pieces have in common


def pieces_in(source: Source) -> Iterator[Piece]:
    """The pieces of one file, each with its score or the reason why there is none; bad input never raises."""
    if source.problem:
        yield Piece(name=source.name, problem=source.problem)
        return
    suffix = PurePosixPath(source.name).suffix.lower()
    try:
        if suffix in MIDI:
            score = read_midi(source.content)
            yield whole(Piece(name=source.name, title=PurePosixPath(source.name).stem, score=score))
        elif suffix in TOKENS:
            yield from token_pieces(source, is_lines=suffix == ".jsonl")
        elif suffix in NOTATION:
            yield from notation_pieces(source, NOTATION[suffix])
        else:
            yield Piece(name=source.name, problem=f"expected one of {', '.join(KINDS)}, got {suffix or 'no ending'}")
    except DataError as error:
        yield Piece(name=source.name, problem=in_short(error))


def read_midi(content: bytes) -> Score:
    """LawfulError when the bytes are no MIDI."""
    symusic = imported("symusic")
    if not content.startswith(b"MThd"):
        raise DataError(f"expected MIDI (a file that begins with MThd), got {content[:4]!r}")
    try:
        return symusic.Score.from_midi(content)
    except Exception as error:
        raise DataError(f"expected MIDI, got a file that does not parse ({in_short(error)})") from None


def read_score(path: Path) -> Score:
    """The first piece of a file. LawfulError that names the file."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected music ({', '.join((*MIDI, *NOTATION))}).")
    first = next((piece for source in sources_in(path) for piece in pieces_in(source)), None)
    if first is None:
        raise DataError(f"{path}: expected a piece of music, got a file without any.")
    try:
        first = decoded(first)
    except DataError as error:
        raise DataError(f"{path}: {error}.") from None
    if first.score is None:
        raise DataError(f"{path}: {first.problem or 'expected music, got tokens'}.")
    return first.score


def note_table(score: Score) -> np.ndarray:
    """Shape (notes, 3): onset and duration in quarters, pitch; in the order of onset, then pitch. Drums left out."""
    rows = [
        (note.time / score.tpq, note.duration / score.tpq, note.pitch)
        for track in score.tracks
        if not track.is_drum
        for note in track.notes
    ]
    table = np.array(rows, dtype=float).reshape(-1, 3)
    return np.asarray(table[np.lexsort((table[:, 2], table[:, 0]))])


def contour(notes: np.ndarray) -> np.ndarray:
    """Semitones from each highest note to the next: the same in every key, speed and notation. notes: as note_table."""
    if not len(notes):
        return np.empty(0, dtype=int)
    last_of_onset = np.append(notes[1:, 0] > notes[:-1, 0], True)  # sorted by pitch within an onset: the highest
    return np.asarray(np.diff(notes[last_of_onset, 2]), dtype=int)


def sketch(steps: Sequence[int] | np.ndarray) -> list[int]:
    """The smallest 48-bit hashes of all runs of SHINGLE steps (bottom-k sketch, Broder 1997)."""
    values = [int(step) for step in steps]
    runs = {tuple(values[place : place + SHINGLE]) for place in range(max(1, len(values) - SHINGLE + 1))}
    return sorted(int(hashlib.sha256(repr(run).encode()).hexdigest()[:12], 16) for run in runs)[:SKETCH]
