"""Notation: ABC by abc.py, MusicXML and Humdrum by music21, written as MIDI scores."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

from lawful.domains.music.abc import read_abc
from lawful.domains.music.pieces import Piece, Score, imported, whole, within_time
from lawful.domains.music.sources import Source, in_short, inner_xml
from lawful.errors import DataError

if TYPE_CHECKING:
    from music21.base import Music21Object
    from music21.stream import Stream

Quarters: TypeAlias = Fraction | float
TICKS = 480  # in a quarter note: sixteenths, triplets and quintuplets are whole numbers of ticks


def notation_pieces(source: Source, kind: str) -> Iterator[Piece]:
    imported("symusic")
    if kind == "abc":
        for number, tune in enumerate(_tunes(source.content.decode("utf-8", errors="replace")), start=1):
            piece = Piece(name=f"{source.name}, tune {number}", title=_abc_title(tune))
            try:
                with within_time():
                    read = read_abc(tune)
                    score = _written(
                        notes=read.notes, signatures=read.signatures, tempos=read.tempos, pickup=read.pickup
                    )
                yield whole(replace(piece, score=score))
            except DataError as error:
                yield replace(piece, problem=in_short(error))
        return
    content = inner_xml(source.content) if source.content.startswith(b"PK") else source.content
    is_utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # any bytes are valid latin-1
    yield _notated(source.name, text, kind)


def _tunes(text: str) -> list[str]:
    """The tunes of an ABC book; each begins with X:, and the text above the first is put before every one."""
    parts = re.split(r"(?m)^(?=X:)", text)
    tunes = [part for part in parts if re.search(r"(?m)^K:", part)]
    if not tunes:
        raise DataError("expected a tune, with its key (K:), got a text without one")
    head = parts[0] if parts[0].strip() and parts[0] is not tunes[0] else ""
    return [head + tune for tune in tunes]


def _abc_title(tune: str) -> str:
    found = re.search(r"(?m)^T:\s*(.+)$", tune)
    return found[1].strip() if found else ""


def _notated(name: str, text: str, kind: str) -> Piece:
    imported("music21")
    from music21 import converter
    from music21.stream import Opus

    with warnings.catch_warnings(), within_time():
        warnings.simplefilter("ignore")  # music21's remarks about odd notation
        try:
            parsed = converter.parseData(text, format=kind)
            if isinstance(parsed, Opus):
                parsed = next(iter(parsed.scores))
            score = _as_score(parsed)
            title = str(getattr(parsed.metadata, "bestTitle", None) or "")
        except Exception as error:  # music21 raises anything, also when what it parsed is walked through
            raise DataError(f"expected {kind}, got text that does not parse ({in_short(error)})") from error
    return whole(Piece(name=name, title=title, score=score))


def _as_score(parsed: Stream[Music21Object]) -> Score:
    """Sounding notes of a music21 stream, repeats as written, a pickup at the end of its bar."""
    from music21 import meter, tempo

    parts = list(parsed.parts) or [parsed] if hasattr(parsed, "parts") else [parsed]
    first = next(iter(parts[0].getElementsByClass("Measure")), None)
    flat = [part.flatten() for part in parts]
    signatures: dict[Quarters, tuple[Quarters, int, int]] = {}
    for part in flat:
        for found in part.getElementsByClass(meter.TimeSignature):
            signatures.setdefault(found.offset, (found.offset, found.numerator, found.denominator))
    marks = [mark for part in flat for mark in part.getElementsByClass(tempo.MetronomeMark)]
    return _written(
        notes=[note for part in flat for note in _untied(part.notes)],
        signatures=list(signatures.values()),
        tempos=[(mark.offset, float(speed)) for mark in marks if (speed := mark.getQuarterBPM())],
        pickup=first.paddingLeft if first is not None else 0,
    )


def _written(
    *,
    notes: Sequence[tuple[Quarters, Quarters, int]],
    signatures: Sequence[tuple[Quarters, int, int]],
    tempos: Sequence[tuple[Quarters, float]],
    pickup: Quarters,
) -> Score:
    """A score of one track. Times in quarters from the start of the music, which is `pickup` into its first bar."""
    symusic = imported("symusic")
    wait = Fraction(pickup).limit_denominator(TICKS)

    def ticks(quarters: Quarters) -> int:
        return round(Fraction(quarters).limit_denominator(TICKS) * TICKS)

    score = symusic.Score(TICKS)
    track = symusic.Track(program=0)
    for start, length, pitch in notes:
        track.notes.append(symusic.Note(ticks(start + wait), ticks(length), pitch, 64))
    score.tracks.append(track)
    for start, beats, value in signatures:
        score.time_signatures.append(symusic.TimeSignature(ticks(start + wait) if start else 0, beats, value))
    for start, speed in tempos:
        score.tempos.append(symusic.Tempo(ticks(start + wait) if start else 0, qpm=speed))
    return score


def _untied(elements: Iterable[Any]) -> list[tuple[Quarters, Quarters, int]]:
    """Start, length and pitch of each note that sounds, in quarters; tied ones are one. Grace notes have no time."""
    found: list[tuple[Quarters, Quarters, int]] = []
    held: dict[int, int] = {}  # pitch -> the place of the note that a tie may go on from
    for element in elements:
        length = element.duration.quarterLength
        if not length or "ChordSymbol" in element.classes or "Unpitched" in element.classes:
            continue
        for note in element.notes if "Chord" in element.classes else [element]:
            pitch = int(note.pitch.midi)
            start, before, _ = found[held[pitch]] if pitch in held else (0, None, pitch)
            kind = note.tie.type if note.tie is not None else (element.tie.type if element.tie is not None else "")
            if kind in ("stop", "continue") and before is not None and start + before == element.offset:
                found[held[pitch]] = (start, before + length, pitch)
            elif 0 <= pitch <= 127:
                held[pitch] = len(found)
                found.append((element.offset, length, pitch))
    return found
