"""Pieces of music from files: MIDI by symusic, ABC by abc.py, MusicXML and Humdrum by music21, and token files."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import re
import signal
import tempfile
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from lawful import unpack
from lawful.domains.music.abc import read_abc
from lawful.errors import DataError, LawfulError, MissingDependency
from lawful.storage.atomic import write_bytes
from lawful.storage.json_files import no_json, parse_json

Score = Any  # symusic's, which is imported where it is needed; its own types leave out what it can do
TICKS = 480  # in a quarter: what notation is written with; sixteenths, triplets and quintuplets are whole
MIDI = (".mid", ".midi")
NOTATION = {".abc": "abc", ".krn": "humdrum", ".mxl": "musicxml", ".musicxml": "musicxml", ".xml": "musicxml"}
TOKENS = (".json", ".jsonl")
VOCABULARY = "tokenizer.json"  # as MidiTok saves it: what the token files beside it, and in folders below, mean
MOST_SYMBOLS = 100_000  # of a vocabulary
KINDS = (*MIDI, *NOTATION, *TOKENS)
MOST_BYTES = 64 * 2**20  # of one file: no piece of music is larger, a bomb is
MOST_BYTES_OF_TOKENS = 2 * 2**30  # of a file of tokens that is no member of an archive: it may hold a whole corpus
MOST_TOKENS = 2**22  # of one piece
MOST_BARS = 20_000  # the longest operas have some 10,000
MOST_EMPTY_BARS = 1_000  # a part of an orchestra may be silent for hundreds
MOST_EVENTS = 500_000  # notes, tempos and time signatures
MOST_SECONDS = 120.0  # for one piece of notation; music21 takes a second for 100 bars, and four times as long for 200
RESERVED = re.compile(r"\brights\b[^\n<]{0,60}\breserved\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file as it lies, or one inside an archive. `problem` says why its content is not here. vocabulary: of token
    files: MidiTok's tokenizer.json."""

    name: str
    content: bytes = b""
    vocabulary: bytes = b""
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A piece, as a symusic Score or as tokens (numbers, or a tokenizer's names). `problem`: why it is neither.
    vocabulary: the tokenizer.json that says what the numbers mean; see `decoded`."""

    name: str
    title: str = ""
    score: Score | None = None
    tokens: Sequence[Any] | None = None
    vocabulary: bytes = b""
    problem: str = ""


def files_in(path: Path) -> list[Path]:
    """The files that may hold music, and archives; in the order of their names. LawfulError when there is none."""
    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file() and _may_hold_music(file))
    if not found:
        raise DataError(
            f"--data {path}: expected music ({', '.join(KINDS)}; or a .zip or .tar of such files), got "
            f"{'a folder without any' if path.is_dir() else 'no such file or folder'}."
        )
    return found


def sources_in(file: Path) -> Iterator[Source]:
    """The file, or what an archive holds; nothing is unpacked to disk. A member that cannot be read says why."""
    members = _members(file)
    while True:
        try:
            member = next(members, None)
        except Exception as error:  # zipfile and tarfile raise anything over a damaged directory
            yield Source(name=file.name, problem=f"cannot be read ({_in_short(error)})")
            return
        if member is None:
            return
        if member.name is None:
            most = MOST_BYTES_OF_TOKENS if file.suffix.lower() in TOKENS else MOST_BYTES
            is_large = member.size > most
            problem = f"expected at most {most:,} bytes, got {member.size:,}"
            source = Source(name=file.name, problem=problem) if is_large else _read(file.name, member)
            yield _with_vocabulary(source, file)
        elif (inner := _member(f"{file.name}/{member.name}", member)) is not None:
            yield _with_vocabulary(inner, file)


def vocabulary_of(file: Path) -> Path | None:
    """The tokenizer.json in the file's folder or in the one above, where train, val and test have it together."""
    return next((path for folder in file.absolute().parents[:2] if (path := folder / VOCABULARY).is_file()), None)


def _with_vocabulary(source: Source, file: Path) -> Source:
    """With the tokenizer.json in the file's folder or the one above, where it holds tokens."""
    if source.problem or PurePosixPath(source.name).suffix.lower() not in TOKENS:
        return source
    found = vocabulary_of(file)
    if found is None:
        return source
    if (size := found.stat().st_size) > MOST_BYTES:
        return replace(source, problem=f"expected a {VOCABULARY} of at most {MOST_BYTES:,} bytes, got {size:,}")
    return replace(source, vocabulary=found.read_bytes())


def pieces_in(source: Source) -> Iterator[Piece]:
    """The pieces of one file, each with its score or the reason why there is none; bad input never raises."""
    if source.problem:
        yield Piece(name=source.name, problem=source.problem)
        return
    suffix = PurePosixPath(source.name).suffix.lower()
    try:
        if suffix in MIDI:
            score = read_midi(source.content)
            yield _whole(Piece(name=source.name, title=PurePosixPath(source.name).stem, score=score))
        elif suffix in TOKENS:
            yield from _token_pieces(source, is_lines=suffix == ".jsonl")
        elif suffix in NOTATION:
            yield from _notation_pieces(source, NOTATION[suffix])
        else:
            yield Piece(name=source.name, problem=f"expected one of {', '.join(KINDS)}, got {suffix or 'no ending'}")
    except DataError as error:
        yield Piece(name=source.name, problem=_in_short(error))


def read_midi(content: bytes) -> Score:
    """LawfulError when the bytes are no MIDI."""
    symusic = _imported("symusic")
    if not content.startswith(b"MThd"):
        raise DataError(f"expected MIDI (a file that begins with MThd), got {content[:4]!r}")
    try:
        return symusic.Score.from_midi(content)
    except Exception as error:
        raise DataError(f"expected MIDI, got a file that does not parse ({_in_short(error)})") from None


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


def decoded(piece: Piece) -> Piece:
    """With its score, where its tokens are numbers and their vocabulary is known. DataError where it does not fit."""
    if piece.score is not None or piece.tokens is None or isinstance(piece.tokens[0], str):
        return piece
    if not piece.vocabulary:
        raise DataError(
            f"expected the vocabulary of these token numbers; put MidiTok's {VOCABULARY} beside the files, write the "
            "tokens by their names, or take them as plain symbols (in a study, --set vocabulary=N)"
        )
    tokenizer = _midi_tokenizer(piece.vocabulary)
    tokens = list(piece.tokens)
    # lists in lists: tracks, unless they are one stream, and what is told of one note, where that is several numbers
    is_many = _depth(tokens) == int(tokenizer.is_multi_voc) + int(not tokenizer.one_token_stream)
    sizes = [len(part) for part in tokenizer.vocab] if tokenizer.is_multi_voc else [len(tokenizer)]
    if not _fits(tokens, sizes):
        raise DataError(f"expected tokens of the {VOCABULARY} beside them, got numbers that it has no symbols for")
    with _within_time():
        try:
            score: Any = tokenizer.decode([tokens] if is_many else tokens)
        except Exception as error:  # MidiTok raises anything over tokens that are not its own
            raise DataError(
                f"expected tokens of the {VOCABULARY} beside them, got others ({_in_short(error)})"
            ) from None
    return _whole(replace(piece, score=score, tokens=None))


def _depth(tokens: Any) -> int:
    depth = 0
    while isinstance(tokens, list) and tokens:
        tokens, depth = tokens[0], depth + 1
    return depth


def _is_nested_within(value: Any, most: int) -> bool:
    return not isinstance(value, list) or (most > 0 and all(_is_nested_within(inner, most - 1) for inner in value))


def _fits(tokens: Any, sizes: Sequence[int]) -> bool:
    """Whether all are numbers of the vocabulary; of a note's several vocabularies, each of its own."""
    if len(sizes) > 1 and isinstance(tokens, list) and all(isinstance(number, int) for number in tokens):
        return len(tokens) == len(sizes) and all(0 <= n < size for n, size in zip(tokens, sizes, strict=True))
    if isinstance(tokens, list):
        return all(_fits(inner, sizes) for inner in tokens)
    return isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens < sizes[0]


@functools.lru_cache(maxsize=4)
def _midi_tokenizer(content: bytes) -> Any:
    """Of MidiTok. DataError where the file is none of its own, or asks for more symbols than any tokenizer has."""
    miditok = _imported("miditok")
    known = _json(content.decode("utf-8", errors="replace"))
    kind = known.get("tokenization") if isinstance(known, dict) else None
    found = getattr(miditok, kind, None) if isinstance(kind, str) and kind.isidentifier() else None
    if not (isinstance(found, type) and issubclass(found, miditok.MusicTokenizer)):
        raise DataError(f"expected a {VOCABULARY} of MidiTok, which names its tokenization, got {str(kind)[:40]!r}")
    if any(abs(number) > MOST_SYMBOLS for number in _numbers(known.get("config"))):
        raise DataError(f"expected a {VOCABULARY} with numbers of at most {MOST_SYMBOLS:,}, got a larger one")
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / VOCABULARY
            write_bytes(path, content)
            return found(params=path)
    except Exception as error:  # MidiTok raises anything over odd settings
        raise DataError(
            f"expected a {VOCABULARY} that MidiTok reads, got one that it does not ({_in_short(error)})"
        ) from None


def _numbers(value: Any) -> Iterator[float]:
    """Every number of a JSON value; those in its keys too ("0_4")."""
    if isinstance(value, dict):
        yield from (float(part) for key in value for part in str(key).split("_") if part.isdecimal())
        yield from (number for inner in value.values() for number in _numbers(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner)
    elif isinstance(value, (int, float)):
        yield float(value)


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


SHINGLE = 10  # steps of a contour that are compared as one: about two bars of a tune
SKETCH = 24  # of a piece's shingles, those of the smallest hashes; they estimate the share two pieces have in common


def sketch(steps: Sequence[int] | np.ndarray) -> list[int]:
    """The smallest 48-bit hashes of all runs of SHINGLE steps (bottom-k sketch, Broder 1997)."""
    values = [int(step) for step in steps]
    runs = {tuple(values[place : place + SHINGLE]) for place in range(max(1, len(values) - SHINGLE + 1))}
    return sorted(int(hashlib.sha256(repr(run).encode()).hexdigest()[:12], 16) for run in runs)[:SKETCH]


def corpus_files(collections: Sequence[str]) -> list[Path]:
    """The files of music21's own corpus in these collections, without Roman-numeral analyses. Needs no import."""
    root = corpus_folder()
    if root is None:
        raise MissingDependency.of("music21", extra="music", what="the corpus of pieces")
    missing = [name for name in collections if not (root / name).is_dir()]
    if missing:
        raise DataError(
            f"collections: expected folders of music21's corpus, got {', '.join(missing)}; there are "
            f"{', '.join(sorted(path.name for path in root.iterdir() if path.is_dir() and path.name[0] != '_'))}."
        )
    return [
        file for name in collections for file in sorted((root / name).rglob("*")) if file.suffix.lower() in NOTATION
    ]


@functools.cache
def corpus_folder() -> Path | None:
    found = importlib.util.find_spec("music21")
    folder = Path(found.origin).parent / "corpus" if found is not None and found.origin else None
    return folder if folder is not None and folder.is_dir() else None


def reserves_rights(source: Source) -> bool:
    """Whether a notice inside the file itself says that rights are reserved."""
    content = _inner_xml(source.content) if source.content.startswith(b"PK") else source.content
    return bool(RESERVED.search(content.decode("utf-8", errors="replace")))


def _whole(piece: Piece) -> Piece:
    """The piece, or why its score is not taken: more notes, bars or silence than any music has. A few bytes of a file
    can put a note a million bars away, and each bar is a symbol."""
    score: Any = piece.score
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
def _within_time() -> Iterator[None]:
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


def _may_hold_music(file: Path) -> bool:
    return file.name != VOCABULARY and (file.suffix.lower() in (*KINDS, ".zip") or _is_tar(file))


def _is_tar(file: Path) -> bool:
    return file.name.lower().endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))


class _Member(NamedTuple):
    """What an archive holds, or the file itself, which has no name in one."""

    name: str | None
    size: int
    read: Callable[[], bytes] | None  # None: a link or device


def _members(file: Path) -> Iterator[_Member]:
    left = unpack.room(file)
    if zipfile.is_zipfile(file) and file.suffix.lower() != ".mxl":
        with zipfile.ZipFile(file) as archive:
            for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
                if not entry.is_dir():
                    yield _Member(entry.filename, entry.file_size, functools.partial(unpack.zip_member, archive, entry))
                    if entry.file_size <= MOST_BYTES:
                        left -= entry.file_size
                    if left < 0:
                        raise DataError("it holds more than a hundred times its own size")
    elif _is_tar(file):
        with unpack.Unpacked(file) as stream:
            for member, content in unpack.tar_members(stream):
                if content is not None:
                    yield _Member(member.name, member.size, content.read)
                elif not member.isdir():
                    yield _Member(member.name, 0, None)
    else:
        yield _Member(None, file.stat().st_size, file.read_bytes)


def _member(where: str, member: _Member) -> Source | None:
    path = PurePosixPath(str(member.name).replace("\\", "/"))
    if member.read is None:
        return Source(name=where, problem="a link or device, not a file")
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        return Source(name=where, problem="its name leads outside the archive")
    if path.suffix.lower() not in KINDS or path.name == VOCABULARY:
        return None  # a readme beside the music is no loss
    if member.size > MOST_BYTES:
        return Source(name=where, problem=f"expected at most {MOST_BYTES:,} bytes, got {member.size:,}")
    return _read(where, member)


def _read(where: str, member: _Member) -> Source:
    assert member.read is not None
    try:
        return Source(name=where, content=member.read())
    except Exception as error:  # a damaged member: the others may be whole
        return Source(name=where, problem=f"cannot be read ({_in_short(error)})")


def _token_pieces(source: Source, *, is_lines: bool) -> Iterator[Piece]:
    try:
        text = source.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"expected UTF-8, got byte 0x{error.object[error.start]:02x} at {error.start:,}") from None
    if is_lines:
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                name = f"{source.name}, line {number}"
                try:
                    yield _token_piece(name, _json(line), source.vocabulary)
                except DataError as error:
                    yield Piece(name=name, problem=_in_short(error))
        return
    value = _json(text)
    is_many = isinstance(value, list) and not all(isinstance(item, (int, str)) for item in value)
    for number, item in enumerate(value if is_many else [value], start=1):
        try:
            yield _token_piece(f"{source.name}, piece {number}", item, source.vocabulary)
        except DataError as error:
            yield Piece(name=f"{source.name}, piece {number}", problem=_in_short(error))


def _json(text: str) -> Any:
    try:
        return parse_json(text)
    except (ValueError, RecursionError) as error:  # no JSON, a number of too many digits, too deep a nest
        raise DataError(f"expected JSON, got {no_json(error)}") from None


def _token_piece(name: str, value: Any, vocabulary: bytes) -> Piece:
    title = ""
    if isinstance(value, dict):
        title = str(value.get("title") or "")
        found = next((key for key in ("tokens", "token_ids", "ids") if key in value), None)
        if found is None:
            raise DataError(f"expected `tokens` or `token_ids`, got {', '.join(sorted(value)) or 'no key'}")
        value = value[found]
        if not vocabulary and isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
            value = value[0]  # as MidiTok saves one track
    if not isinstance(value, list) or not value:
        raise DataError("expected a list of tokens, got " + ("an empty one" if value == [] else type(value).__name__))
    if vocabulary and isinstance(value[0], list):  # a list of tokens for each track, or for each note
        if not _is_nested_within(value, 3):
            raise DataError("expected tokens, or lists of them by track and note, got lists in lists in lists")
        if sum(1 for _ in _numbers(value)) > MOST_TOKENS:
            raise DataError(f"expected at most {MOST_TOKENS:,} tokens in a piece, got more")
        return Piece(name=name, title=title, tokens=tuple(value), vocabulary=vocabulary)
    is_numbers = all(isinstance(item, int) and not isinstance(item, bool) for item in value)
    if not is_numbers and not all(isinstance(item, str) for item in value):
        raise DataError("expected tokens that are all whole numbers or all names")
    if len(value) > MOST_TOKENS:
        raise DataError(f"expected at most {MOST_TOKENS:,} tokens in a piece, got {len(value):,}")
    return Piece(name=name, title=title, tokens=tuple(value), vocabulary=vocabulary)


def _notation_pieces(source: Source, kind: str) -> Iterator[Piece]:
    _imported("symusic")
    if kind == "abc":
        for number, tune in enumerate(_tunes(source.content.decode("utf-8", errors="replace")), start=1):
            piece = Piece(name=f"{source.name}, tune {number}", title=_abc_title(tune))
            try:
                with _within_time():
                    read = read_abc(tune)
                    score = _written(
                        notes=read.notes, signatures=read.signatures, tempos=read.tempos, pickup=read.pickup
                    )
                yield _whole(replace(piece, score=score))
            except DataError as error:
                yield replace(piece, problem=_in_short(error))
        return
    content = _inner_xml(source.content) if source.content.startswith(b"PK") else source.content
    is_utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # which any bytes are
    yield _notated(source.name, text, kind)


def _tunes(text: str) -> list[str]:
    """The tunes of an ABC book, each with what stands above the first; they begin with X:."""
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
    _imported("music21")
    from music21 import converter

    with warnings.catch_warnings(), _within_time():
        warnings.simplefilter("ignore")  # music21's remarks about odd notation
        try:
            parsed: Any = converter.parseData(text, format=kind)
            if type(parsed).__name__ == "Opus":
                parsed = next(iter(parsed.scores))
            score = _as_score(parsed)
            title = str(getattr(parsed.metadata, "bestTitle", None) or "")
        except Exception as error:  # music21 raises anything, also when what it parsed is walked through
            raise DataError(f"expected {kind}, got text that does not parse ({_in_short(error)})") from error
    return _whole(Piece(name=name, title=title, score=score))


def _as_score(parsed: Any) -> Score:
    """Sounding notes of a music21 stream, repeats as written, a pickup at the end of its bar."""
    from music21 import meter, tempo

    parts = list(parsed.parts) or [parsed] if hasattr(parsed, "parts") else [parsed]
    first = next(iter(parts[0].getElementsByClass("Measure")), None)
    flat = [part.flatten() for part in parts]
    signatures: dict[Any, tuple[Any, int, int]] = {}
    for part in flat:
        for found in part.getElementsByClass(meter.TimeSignature):
            signatures.setdefault(found.offset, (found.offset, found.numerator, found.denominator))
    marks = [mark for part in flat for mark in part.getElementsByClass(tempo.MetronomeMark)]
    return _written(
        notes=[tuple(note) for part in flat for note in _untied(part.notes)],
        signatures=list(signatures.values()),
        tempos=[(mark.offset, float(speed)) for mark in marks if (speed := mark.getQuarterBPM())],
        pickup=first.paddingLeft if first is not None else 0,
    )


def _written(
    *,
    notes: Sequence[tuple[Any, Any, int]],
    signatures: Sequence[tuple[Any, int, int]],
    tempos: Sequence[tuple[Any, float]],
    pickup: Any,
) -> Score:
    """A score of one track. Times in quarters from the start of the music, which is `pickup` into its first bar."""
    symusic = _imported("symusic")
    wait = Fraction(pickup).limit_denominator(TICKS)

    def ticks(quarters: Any) -> int:
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


def _untied(elements: Any) -> list[list[Any]]:
    """[start, length, pitch] of each note that sounds, in quarters; tied ones are one. Grace notes have no time."""
    found: list[list[Any]] = []
    held: dict[int, list[Any]] = {}  # pitch -> the note that a tie may go on from
    for element in elements:
        length = element.duration.quarterLength
        if not length or "ChordSymbol" in element.classes or "Unpitched" in element.classes:
            continue
        for note in element.notes if "Chord" in element.classes else [element]:
            pitch, before = int(note.pitch.midi), held.get(int(note.pitch.midi))
            kind = note.tie.type if note.tie is not None else (element.tie.type if element.tie is not None else "")
            if kind in ("stop", "continue") and before is not None and before[0] + before[1] == element.offset:
                before[1] += length
            elif 0 <= pitch <= 127:
                held[pitch] = [element.offset, length, pitch]
                found.append(held[pitch])
    return found


def _inner_xml(content: bytes) -> bytes:
    """The score inside compressed MusicXML."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.filename.startswith("META-INF")]
            scores = [entry for entry in entries if entry.filename.lower().endswith((".xml", ".musicxml"))]
            if not scores:
                raise DataError("expected compressed MusicXML, got an archive without a score")
            if scores[0].file_size > MOST_BYTES:
                raise DataError(f"expected at most {MOST_BYTES:,} bytes, got {scores[0].file_size:,}")
            return unpack.zip_member(archive, scores[0])
    except DataError:
        raise
    except Exception as error:  # zipfile raises anything over a damaged archive
        raise DataError(f"expected compressed MusicXML, got a damaged archive ({_in_short(error)})") from error


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependency.of(name, extra="music", what="reading music", error=error) from None


def _in_short(error: BaseException) -> str:
    """One line that says what happened; some libraries raise without words."""
    said = " ".join(str(error).split())[:160]
    return said if isinstance(error, LawfulError) and said else f"{type(error).__name__}{': ' + said if said else ''}"
