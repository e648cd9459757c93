"""The pieces of files: read by several processes, and from the cache where they were read once."""

from __future__ import annotations

import base64
import hashlib
import json
import multiprocessing
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lawful.corpora import Progress
from lawful.domains.music import scores, sources
from lawful.domains.music.pieces import Piece
from lawful.domains.music.sources import Source
from lawful.domains.music.token_files import decoded
from lawful.domains.music.tokenizers.remi import NO_NOTES, Remi
from lawful.errors import DataError, StoreError
from lawful.registry import installed_version
from lawful.run import to_json
from lawful.storage.atomic import write_json
from lawful.storage.codec import decode, to_plain
from lawful.storage.json_files import Json, read_json
from lawful.tokenizers import Tokenizer

READER = 2  # raised when the same file gives other tokens
WAIT_SECONDS = 5.0  # without news of a chunk
CHUNK_BYTES = 200_000  # read by one process at a time; seconds of work, and what a stop loses at most
# folders of music21 that are read only on request, and then with these words
NOTICES = {
    "essenFolksong": "Essen folk songs: for non-commercial use only",
    "palestrina": "Palestrina masses: rights reserved by their encoders; read the files' own notices",
}


@dataclass(frozen=True, kw_only=True)
class ReadPiece:
    """What is kept of a piece that was read. `kind` groups the reasons for leaving one out."""

    name: str
    title: str = ""
    content: str = ""  # its tokens, uint16, little-endian, in base64
    notes: int = 0
    cut: int = 0
    drums: int = 0
    sketch: tuple[int, ...] = ()
    problem: str = ""
    kind: str = ""
    split: str = ""  # where the user's own folders say it

    @property
    def as_bytes(self) -> bytes:
        return base64.b64decode(self.content)

    @property
    def array(self) -> np.ndarray:
        return np.frombuffer(self.as_bytes, dtype="<u2")

    @property
    def place(self) -> float:
        """From 0 to below 1, by a hash of its tokens."""
        return int(hashlib.sha256(self.as_bytes).hexdigest()[:13], 16) / 16**13

    @property
    def plain_title(self) -> str:
        """Letters and digits of the title; nothing where it says too little to know a piece by."""
        letters = re.sub(r"[^a-z0-9]", "", self.title.lower())
        return letters if len(letters) >= 8 else ""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    sources: tuple[Source, ...]
    size: int  # bytes on disk, for the bar

    @property
    def title(self) -> str:
        names = [source.name for source in self.sources]
        return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"

    def key(self, tokenizer: Tokenizer) -> str:
        digest = hashlib.sha256(json.dumps([READER, to_json(tokenizer), installed_version("music21")]).encode())
        for source in self.sources:
            digest.update(f"\0{source.name}\0{source.problem}\0{len(source.content)}\0".encode() + source.content)
            digest.update(b"\0" + hashlib.sha256(source.vocabulary).digest())
            if source.first_line > 1:
                digest.update(f"\0{source.first_line}".encode())
        return digest.hexdigest()[:32]


def _chunks(files: Iterable[Path], *, is_own: bool) -> Iterator[Chunk]:
    waiting: list[Source] = []
    size = 0
    for file in files:
        num_bytes = file.stat().st_size
        is_in_parts = not is_own and sources.is_in_parts(file)
        members: Iterable[Source] = sources.sources_in(file) if not is_own else [_own(file)]
        share = 0
        if not is_in_parts:  # parts are read one after another: together they may be larger than memory
            members = list(members)
            share = num_bytes // max(1, len(members))
        for source in members:
            waiting.append(source)
            size += len(source.content) if is_in_parts else share
            if sum(len(one.content) for one in waiting) >= CHUNK_BYTES or len(waiting) >= 64:
                yield Chunk(sources=tuple(waiting), size=size)
                waiting, size = [], 0
    if waiting:
        yield Chunk(sources=tuple(waiting), size=size)


def _own(file: Path) -> Source:
    """A file of music21's corpus, unless its own notice reserves rights."""
    source = next(iter(sources.sources_in(file)))
    name = f"{file.parent.relative_to(sources.corpus_folder() or file.parent).as_posix()}/{file.name}"
    if not source.problem and sources.reserves_rights(source) and not name.startswith(tuple(NOTICES)):
        return Source(name=name, problem="its own notice reserves rights")
    return replace(source, name=name)


def read_files(
    files: Sequence[Path], tokenizer: Tokenizer, folder: Path, *, is_own: bool, progress: Progress
) -> Iterator[ReadPiece]:
    """Every piece, in the order of the files. folder: of the cache. is_own: whether they are music21's corpus."""
    total = sum(file.stat().st_size for file in files)
    done_bytes, num_pieces = 0, 0

    def wait(chunk: Chunk) -> None:
        share = min(1.0, done_bytes / max(total, 1))
        progress(f"reading music: {num_pieces:,} pieces, now {chunk.title}, which takes long", share)

    for chunk, pieces in _in_parallel(_chunks(files, is_own=is_own), tokenizer, folder, wait):
        done_bytes += chunk.size
        num_pieces += len(pieces)
        yield from pieces
        progress(f"reading music: {num_pieces:,} pieces", min(1.0, done_bytes / max(total, 1)))


def _in_parallel(
    chunks: Iterator[Chunk], tokenizer: Tokenizer, folder: Path, wait: Callable[[Chunk], None]
) -> Iterator[tuple[Chunk, list[ReadPiece]]]:
    """Each chunk's pieces, in order; a chunk that was read before comes from its file.

    wait    called now and then with the chunk that is being read
    """
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting: deque[tuple[Chunk, Path, Future[list[ReadPiece]] | None]] = deque()
    pool: ProcessPoolExecutor | None = None
    try:
        for chunk in chunks:
            path = folder / f"{chunk.key(tokenizer)}.json"
            future = None
            if not path.exists() and workers > 1 and sum(len(s.content) for s in chunk.sources) > CHUNK_BYTES // 4:
                pool = pool or ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
                try:
                    future = pool.submit(read_sources, chunk.sources, tokenizer)
                except BrokenProcessPool:
                    workers = 1
            waiting.append((chunk, path, future))
            if len(waiting) > 2 * workers:
                yield _finished(*waiting.popleft(), tokenizer, wait)
        while waiting:
            yield _finished(*waiting.popleft(), tokenizer, wait)
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def _finished(
    chunk: Chunk,
    path: Path,
    future: Future[list[ReadPiece]] | None,
    tokenizer: Tokenizer,
    wait: Callable[[Chunk], None],
) -> tuple[Chunk, list[ReadPiece]]:
    if path.exists():
        try:
            return chunk, list(decode(read_json(path), _Pieces, path).pieces)
        except StoreError:
            pass  # damaged: read again
    try:
        while future is not None and not futures.wait([future], timeout=WAIT_SECONDS).done:
            wait(chunk)
        pieces = future.result() if future is not None else read_sources(chunk.sources, tokenizer)
    except BrokenProcessPool:  # a reader was killed, or the program cannot be started twice: here, then
        pieces = read_sources(chunk.sources, tokenizer)
    write_json(path, to_plain(_Pieces(pieces=tuple(pieces))))
    return chunk, pieces


@dataclass(frozen=True, kw_only=True)
class _Pieces:
    """A file of the cache."""

    pieces: tuple[ReadPiece, ...]


def read_sources(sources: Sequence[Source], tokenizer: Tokenizer) -> list[ReadPiece]:
    return [read_piece(piece, tokenizer) for source in sources for piece in scores.pieces_in(source)]


def read_piece(piece: Piece, base: Tokenizer) -> ReadPiece:
    read = ReadPiece(name=piece.name, title=piece.title)
    if piece.problem:
        return replace(read, problem=piece.problem, kind="unreadable")
    drums = 0
    try:
        if isinstance(base, Remi):
            piece = decoded(piece)
            if piece.problem:
                return replace(read, problem=piece.problem, kind="unreadable")
        score = piece.score
        if score is not None:
            if not isinstance(base, Remi):
                return replace(read, problem=f"{base.name} has no symbols for scores", kind="unreadable")
            if not base.has_programs:
                drums = sum(len(track.notes) for track in score.tracks if track.is_drum)
            tokens = base.encode_score(score)
        else:
            tokens = _given(piece.tokens or (), base)  # names, or plain symbols
            score = base.decode_score(tokens) if isinstance(base, Remi) else None
    except DataError as error:
        said = str(error)
        kind = "empty" if said == NO_NOTES else "not in the vocabulary" if "vocabulary" in said else "unreadable"
        return replace(read, problem=said, kind=kind)
    notes = scores.note_table(score) if score is not None else None
    if notes is not None and not len(notes):
        return replace(read, problem=NO_NOTES, kind="empty")
    cut = 0
    if notes is not None and piece.score is not None and isinstance(base, Remi):
        cut = _cut_short(notes, scores.note_table(base.decode_score(tokens)))
    sketch = scores.sketch(scores.contour(notes) if notes is not None else np.diff(tokens.astype(int)))
    return replace(
        read,
        content=base64.b64encode(tokens.astype("<u2").tobytes()).decode(),
        notes=len(notes) if notes is not None else len(tokens),
        cut=cut,
        drums=drums,
        sketch=tuple(sketch),
    )


def _cut_short(before: np.ndarray, after: np.ndarray) -> int:
    """Notes that lost more than a quarter: longer than the tokenizer can say. Both: as scores.note_table."""
    by_pitch = [table[np.lexsort((table[:, 1], table[:, 0], table[:, 2]))] for table in (before, after)]
    return int((by_pitch[0][:, 1] - by_pitch[1][:, 1] > 1).sum()) if len(before) == len(after) else 0


def _given(tokens: Sequence[Json], tokenizer: Tokenizer) -> np.ndarray:
    """Tokens as someone else wrote them, checked; without marks before and after."""
    if tokens and isinstance(tokens[0], list):
        raise DataError("expected one list of tokens in a piece, got several")
    numbers = [token for token in tokens if isinstance(token, int)]
    if tokens and isinstance(tokens[0], str):
        numbers = [int(number) for number in tokenizer.encode(" ".join(map(str, tokens)))]
    wrong = next((place for place, token in enumerate(numbers) if not 0 <= token < tokenizer.vocab_size), None)
    if wrong is not None:
        raise DataError(
            f"token {numbers[wrong]} at place {wrong} is above the vocabulary of {tokenizer.vocab_size} symbols; "
            "where the numbers are another tokenizer's, say how many there are (in a study, --set vocabulary=N)"
        )
    return np.array([number for number in numbers if number != tokenizer.end], dtype=np.uint16)
