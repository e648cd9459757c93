"""Token files: JSON or JSONL of numbers or names, with MidiTok's tokenizer.json where there is one."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lawful.domains.music.pieces import Piece, imported, whole, within_time
from lawful.domains.music.sources import VOCABULARY, Source, in_short
from lawful.errors import DataError
from lawful.storage.atomic import write_bytes
from lawful.storage.json_files import Json, no_json, parse_json

if TYPE_CHECKING:
    import miditok

MOST_SYMBOLS = 100_000  # of a vocabulary
MOST_TOKENS = 2**22  # of one piece


def token_pieces(source: Source, *, is_lines: bool) -> Iterator[Piece]:
    try:
        text = source.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"expected UTF-8, got byte 0x{error.object[error.start]:02x} at {error.start:,}") from None
    if is_lines:
        for number, line in enumerate(text.split("\n"), start=source.first_line):
            if line.strip():
                name = f"{source.name}, line {number}"
                try:
                    yield _token_piece(name, json_of(line), source.vocabulary)
                except DataError as error:
                    yield Piece(name=name, problem=in_short(error))
        return
    value = json_of(text)
    pieces: Sequence[Json] = [value]
    if isinstance(value, list) and not all(isinstance(item, (int, str)) for item in value):
        pieces = value
    for number, item in enumerate(pieces, start=1):
        try:
            yield _token_piece(f"{source.name}, piece {number}", item, source.vocabulary)
        except DataError as error:
            yield Piece(name=f"{source.name}, piece {number}", problem=in_short(error))


def _token_piece(name: str, value: Json, vocabulary: bytes) -> Piece:
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
    with within_time():
        try:
            score = tokenizer.decode([tokens] if is_many else tokens)
        except Exception as error:  # MidiTok raises anything over tokens that are not its own
            raise DataError(
                f"expected tokens of the {VOCABULARY} beside them, got others ({in_short(error)})"
            ) from None
    return whole(replace(piece, score=score, tokens=None))


def _depth(tokens: Json) -> int:
    depth = 0
    while isinstance(tokens, list) and tokens:
        tokens, depth = tokens[0], depth + 1
    return depth


def _is_nested_within(value: Json, most: int) -> bool:
    return not isinstance(value, list) or (most > 0 and all(_is_nested_within(inner, most - 1) for inner in value))


def _fits(tokens: Json, sizes: Sequence[int]) -> bool:
    """Whether all are numbers of the vocabulary; of a note's several vocabularies, each of its own."""
    if len(sizes) > 1 and isinstance(tokens, list) and all(isinstance(number, int) for number in tokens):
        return len(tokens) == len(sizes) and all(0 <= n < size for n, size in zip(tokens, sizes, strict=True))
    if isinstance(tokens, list):
        return all(_fits(inner, sizes) for inner in tokens)
    return isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens < sizes[0]


@functools.lru_cache(maxsize=4)
def _midi_tokenizer(content: bytes) -> miditok.MusicTokenizer:
    """The tokenizer that a file of MidiTok describes. DataError where the file is not MidiTok's, or asks for more
    symbols than any tokenizer has."""
    miditok = imported("miditok")
    known = json_of(content.decode("utf-8", errors="replace"))
    settings = known if isinstance(known, dict) else {}
    kind = settings.get("tokenization")
    found = getattr(miditok, kind, None) if isinstance(kind, str) and kind.isidentifier() else None
    if not (isinstance(found, type) and issubclass(found, miditok.MusicTokenizer)):
        raise DataError(f"expected a {VOCABULARY} of MidiTok, which names its tokenization, got {str(kind)[:40]!r}")
    if any(abs(number) > MOST_SYMBOLS for number in _numbers(settings.get("config"))):
        raise DataError(f"expected a {VOCABULARY} with numbers of at most {MOST_SYMBOLS:,}, got a larger one")
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / VOCABULARY
            write_bytes(path, content)
            return found(params=path)
    except Exception as error:  # MidiTok raises anything over odd settings
        raise DataError(
            f"expected a {VOCABULARY} that MidiTok reads, got one that it does not ({in_short(error)})"
        ) from None


def _numbers(value: Json) -> Iterator[float]:
    """Every number of a JSON value; those in its keys too ("0_4")."""
    if isinstance(value, dict):
        yield from (float(part) for key in value for part in str(key).split("_") if part.isdecimal())
        yield from (number for inner in value.values() for number in _numbers(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner)
    elif isinstance(value, (int, float)):
        yield float(value)


def json_of(text: str) -> Json:
    value: Json
    try:
        value = parse_json(text)
    except (ValueError, RecursionError) as error:  # no JSON, a number of too many digits, too deep a nest
        raise DataError(f"expected JSON, got {no_json(error)}") from None
    return value
