"""music: pieces from MIDI, ABC or token files, or from the corpus inside music21, without one piece in two splits."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import ClassVar, Literal, final

import numpy as np

from lawful.checks import Part, PositiveInt, check_fields, refuse
from lawful.corpora import Built, Progress, TokenCorpus, remarked
from lawful.domains.music import scores, sources
from lawful.domains.music.reading import NOTICES, READER, ReadPiece, read_files
from lawful.domains.music.tokenizers.remi import Remi
from lawful.errors import DataError
from lawful.registry import installed_version
from lawful.schema import Fact
from lawful.storage.atomic import write_bytes, write_text
from lawful.storage.cache import cache_folder
from lawful.token_data import IGNORED, Batch, TokenData, spooled
from lawful.tokenizers import Tokenizer

# Composers and collections in the public domain. A file whose own notice reserves rights is still left out.
FREE = (
    "airdsAirs",
    "bach",
    "beethoven",
    "chopin",
    "corelli",
    "cpebach",
    "handel",
    "haydn",
    "joplin",
    "mozart",
    "oneills1850",
    "ryansMammoth",
    "schubert",
    "schumann_clara",
    "schumann_robert",
    "verdi",
    "weber",
)
# names of folders with the user's own splits
FOLDERS = {"test": ("test",), "validation": ("val", "valid", "validation", "dev"), "train": ("train",)}
OUTSIDE = "outside"  # the split of files that are in none of these folders
FORESEEN = ("too short", "too long", "duplicate", "empty")  # reasons that follow from the declaration
MOST_COMMON = 500  # a run of steps in more pieces than this (a repeated note) does not show that two are the same
ALIKE, ALIKE_BY_NAME = 0.5, 0.2  # two pieces are the same from this common share of contour; with equal titles


@final
@dataclass(frozen=True, kw_only=True)
class Music(TokenCorpus):
    """Pieces in a row, with the tokenizer's mark before each. --data names a folder, a file or an archive of MIDI,
    ABC, MusicXML, Humdrum or token files (JSON or JSONL with `tokens` or `token_ids`); without it, music21's own are
    read. Token numbers are read as music if MidiTok's tokenizer.json is in their folder or one folder
    above; with the tokenizer Given they are plain symbols.

    collections          folders of music21's corpus to read where no --data is given
    validation_share     of the pieces; a hash of the piece decides, and each split gets at least one. Where --data has
                         folders train and val (and test), those are the splits
    test_share           likewise; judged once, at the end of a run
    min_notes            shorter pieces are left out
    max_notes            longer ones too
    layout               how windows become rows: "packed" holds pieces side by side, "padded" has a row for each part
                         of a piece, filled up with targets that do not count. Both have the same targets in a step, and
                         the same loss if the family reads where a piece starts (`separator`)
    """

    name: ClassVar[str] = "music"
    licence: ClassVar[str] = "public-domain music; encodings as their authors allow, none with rights reserved"
    of_users: ClassVar[str] = "your own files (--data): under the terms that are theirs, which lawful does not know"
    source: ClassVar[str] = "the corpus inside music21 (pip install 'lawful[music]'), or --data"

    tokenizer: Tokenizer = field(default=Remi())
    collections: tuple[str, ...] = FREE
    validation_share: Part = 0.01
    test_share: Part = 0.01
    min_notes: PositiveInt = 16
    max_notes: PositiveInt | None = None
    layout: Literal["packed", "padded"] = "packed"

    @classmethod
    def example(cls) -> Music:
        """Three composers, whose pieces are read in seconds; all of music21's corpus takes minutes."""
        return cls(collections=("chopin", "handel", "verdi"), min_notes=1)

    def __post_init__(self) -> None:
        check_fields(self)
        problems = []
        if not self.validation_share + self.test_share < 1:
            problems.append(
                "expected a validation_share and a test_share that leave something for training, got "
                f"{self.validation_share} and {self.test_share}"
            )
        if self.max_notes is not None and self.max_notes < self.min_notes:
            problems.append(f"expected 1 <= min_notes <= max_notes, got {self.min_notes} and {self.max_notes}")
        refuse("Music", problems)

    @property
    def separator(self) -> int:
        """The symbol at which a piece starts."""
        assert self.tokenizer.end is not None
        return self.tokenizer.end

    def open(self, fingerprint: str) -> MusicData:
        return self._as_music(super().open(fingerprint))

    def without_tokens(self) -> MusicData | None:
        data = super().without_tokens()
        return self._as_music(data) if data is not None else None

    def _as_music(self, data: TokenData) -> MusicData:
        return MusicData(**{part.name: getattr(data, part.name) for part in fields(data)}, layout=self.layout)

    def _source_key(self, data: Path | None) -> str:
        if data is None:
            return json.dumps([READER, installed_version("music21"), list(self.collections)])
        files = sources.files_in(data)
        files += sorted({found for file in files if (found := sources.vocabulary_of(file)) is not None})
        return json.dumps([READER, [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files]])

    def _can_read(self, data: Path | None) -> bool:
        if data is not None:
            return data.exists()
        are_installed = all(map(installed_version, ("symusic", "miditok")))
        return sources.corpus_folder() is not None and are_installed

    def _build(self, data: Path | None, progress: Progress) -> Built:
        files = sources.corpus_files(self.collections) if data is None else sources.files_in(data)
        folders = _split_folders(data)
        found = [
            replace(piece, name=f"{split}/{piece.name}" if split else piece.name, split=split)
            for split, some in _by_split(files, folders)
            for piece in self._read(some, is_own=data is None, progress=progress)
        ]
        progress("looking for duplicates", 1.0)
        kept, left_out = self._chosen(found)
        if len(kept) < (needed := len(folders) or 3):
            raise DataError(
                f"music: expected at least {needed} pieces, one for each split, got {len(kept)} out of {len(found)} "
                "found; " + (_listed(left_out) if left_out else "give more files.")
            )
        splits = self._split(kept) if not folders else _as_given(kept, folders)
        tokenizer = self.tokenizer
        if getattr(tokenizer, "learned", 0):
            progress("learning symbols", 1.0)
            tokenizer = tokenizer.trained(tokenizer.decode(piece.array) for piece in splits["train"])
        texts = {name: _joined(pieces, tokenizer, self.separator) for name, pieces in splits.items()}
        digest = hashlib.sha256(json.dumps([READER, self.layout]).encode())
        for piece in found:
            digest.update(f"\0{piece.split}\0{piece.name}\0{piece.problem}\0".encode() + piece.as_bytes)
        return MusicBuilt(
            train=texts["train"],
            validation=texts["validation"],
            others={"test": texts["test"]} if "test" in texts else {},
            text_sha256=digest.hexdigest(),
            tokenizer=tokenizer if tokenizer != self.tokenizer else None,
            facts={
                "pieces": {name: len(pieces) for name, pieces in splits.items()},
                "notes": {name: sum(piece.notes for piece in pieces) for name, pieces in splits.items()},
                "notes_cut_short": sum(piece.cut for piece in kept),
                "drum_notes_left_out": sum(piece.drums for piece in kept),
                "left_out": dict(Counter(piece.kind for piece in left_out)),
                **remarked([f"{name}: {why}" for name, why in _unforeseen(left_out)]),
                **self._terms(data),
            },
            left_out=tuple(_unforeseen(left_out))
            + tuple((piece.name, piece.problem) for piece in left_out if piece.kind in FORESEEN),
        )

    def _terms(self, data: Path | None) -> dict[str, Fact]:
        """The licence and the source of the pieces, as far as they are known."""
        if data is not None:
            return {"notices": (), "licence": self.of_users, "source": "--data"}
        notices = [NOTICES[name] for name in self.collections if name in NOTICES]
        if others := [name for name in self.collections if name not in (*FREE, *NOTICES)]:
            notices.append(f"{', '.join(others)}: nobody has looked at the terms of these collections of music21")
        return {"notices": tuple(notices), **({"licence": "; ".join(notices)} if notices else {})}

    def _write(self, fingerprint: str, built: Built) -> None:
        if isinstance(built, MusicBuilt):
            lines = "".join(json.dumps({"piece": name, "reason": why}) + "\n" for name, why in built.left_out)
            write_text(self.left_out_file(fingerprint), lines)
        super()._write(fingerprint, built)

    def left_out_file(self, fingerprint: str) -> Path:
        """One JSON object a line: a piece that is in no split, and why."""
        return self._folder(fingerprint).with_suffix(".left_out.jsonl")

    def remarks(self, *, fingerprint: str | None = None, data: Path | None = None) -> list[str]:
        """Every piece that is in no split, with its reason; pieces that the declaration leaves out come last."""
        path = self.left_out_file(fingerprint) if fingerprint is not None else None
        if path is None or not path.exists():
            return []
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [f"left out: {row['piece']}: {row['reason']}" for row in rows]

    def _read(self, files: Sequence[Path], *, is_own: bool, progress: Progress) -> Iterator[ReadPiece]:
        """Every piece of the files, in their order. Several processes read them; a piece that was read
        before comes from the cache."""
        # symbols are learned later, so that one cache serves every vocabulary
        base = replace(self.tokenizer, learned=0) if isinstance(self.tokenizer, Remi) else self.tokenizer
        return read_files(
            files, base, cache_folder() / "corpora" / self.name / "read", is_own=is_own, progress=progress
        )

    def _chosen(self, found: Sequence[ReadPiece]) -> tuple[list[ReadPiece], list[ReadPiece]]:
        """Pieces to keep, and those left out with the reason."""
        kept: list[ReadPiece] = []
        left_out: list[ReadPiece] = []
        known: dict[int, list[int]] = defaultdict(list)  # a hash of a run of steps -> the kept pieces that have it
        for piece in found:
            if not piece.problem and piece.split == OUTSIDE:
                piece = replace(piece, problem="in none of the folders train, val and test", kind="outside")
            if not piece.problem and piece.notes < self.min_notes:
                piece = replace(piece, problem=f"{piece.notes} notes, fewer than {self.min_notes}", kind="too short")
            elif not piece.problem and self.max_notes is not None and piece.notes > self.max_notes:
                piece = replace(piece, problem=f"{piece.notes} notes, more than {self.max_notes}", kind="too long")
            if not piece.problem and (twin := _twin(piece, kept, known)) is not None:
                piece = replace(piece, problem=f"the same piece as {twin.name}", kind="duplicate")
            if piece.problem:
                left_out.append(piece)
                continue
            for value in piece.sketch:
                known[value].append(len(kept))
            kept.append(piece)
        return kept, left_out

    def _split(self, pieces: Sequence[ReadPiece]) -> dict[str, list[ReadPiece]]:
        """Split by a hash of each piece's own tokens, so that a new file does not move another piece."""
        ranked = sorted(pieces, key=lambda piece: piece.place)
        num_test = max(1, sum(piece.place < self.test_share for piece in ranked))
        held = self.test_share + self.validation_share
        num_held = max(num_test + 1, sum(piece.place < held for piece in ranked))
        return {"train": ranked[num_held:], "validation": ranked[num_test:num_held], "test": ranked[:num_test]}


@dataclass(frozen=True, kw_only=True)
class MusicBuilt(Built):
    """left_out    (piece, reason) of everything that was found and is in no split"""

    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class MusicData(TokenData):
    """Pieces behind marks. `layout` as in Music; a row of a padded batch starts at a piece or at the window's edge."""

    layout: str = "packed"

    def bits_per_byte(self, loss: float, split: str = "validation") -> float | None:
        return None  # music has no bytes

    @property
    def sample_suffix(self) -> str:
        """Only tokens of Remi can be heard."""
        return ".mid" if isinstance(self.tokenizer, Remi) else ""

    def sample_start(self, prompt: Path | None) -> list[int]:
        start = [self._remi.end]
        return start if prompt is None else [*start, *self._remi.encode_score(scores.read_score(prompt)).tolist()]

    def write_sample(self, tokens: np.ndarray, path: Path) -> str:
        score = self._remi.decode_score(tokens)
        write_bytes(path, score.dumps_midi())
        return f"{score.note_num():,} notes"

    @property
    def _remi(self) -> Remi:
        assert isinstance(self.tokenizer, Remi), "asked for only where samples are files"
        return self.tokenizer

    def facts(self) -> dict[str, Fact]:
        return {name: value for name, value in super().facts().items() if name != "validation_bytes"}

    def pieces(self, split: str) -> Iterator[np.ndarray]:
        """Each piece's tokens, without the marks."""
        tokens = self.arrays[split]
        marks = np.flatnonzero(tokens == self.tokenizer.end)
        for first, last in zip(marks, marks[1:], strict=False):
            yield np.asarray(tokens[first + 1 : last])

    def _windows(self, tokens: np.ndarray) -> Batch:
        batch = super()._windows(tokens)
        return batch if self.layout == "packed" else padded(batch, int(self.tokenizer.end or 0))


def padded(batch: Batch, separator: int) -> Batch:
    """The same inputs and targets with a row for each part of a piece; shape (parts, longest part)."""
    starts_piece = batch.inputs == separator
    starts_piece[:, 0] = True
    rows, columns = np.nonzero(starts_piece)
    ends = np.append(np.where(rows[1:] == rows[:-1], columns[1:], batch.inputs.shape[1]), batch.inputs.shape[1])
    lengths = ends - columns
    place = np.arange(int(lengths.max()))
    is_real = place < lengths[:, None]
    take = np.minimum(columns[:, None] + place, batch.inputs.shape[1] - 1)
    inputs = np.where(is_real, batch.inputs[rows[:, None], take], separator)
    targets = np.where(is_real, batch.targets[rows[:, None], take], IGNORED)
    return Batch(inputs=inputs, targets=targets)


def _unforeseen(left_out: Sequence[ReadPiece]) -> list[tuple[str, str]]:
    return [(piece.name, piece.problem) for piece in left_out if piece.kind not in FORESEEN]


def _split_folders(data: Path | None) -> dict[str, Path]:
    """The folders train, val and, where there is one, test in `data`; none if train or val is missing."""
    found = {
        split: data / name
        for split, names in FOLDERS.items()
        for name in names
        if data is not None and (data / name).is_dir()
    }
    return found if {"train", "validation"} <= found.keys() else {}


def _by_split(files: Sequence[Path], folders: Mapping[str, Path]) -> Iterator[tuple[str, list[Path]]]:
    """Held-out splits come first: if two files have the same piece, the training set loses it."""
    if not folders:
        yield "", list(files)
        return
    left = list(files)
    for split in FOLDERS:
        if split in folders:
            yield split, [file for file in left if file.is_relative_to(folders[split])]
            left = [file for file in left if not file.is_relative_to(folders[split])]
    yield OUTSIDE, left


def _as_given(pieces: Sequence[ReadPiece], folders: Mapping[str, Path]) -> dict[str, list[ReadPiece]]:
    splits = {split: [piece for piece in pieces if piece.split == split] for split in reversed(FOLDERS)}
    for split, folder in folders.items():
        if not splits[split]:
            raise DataError(f"--data {folder}: expected at least one piece that can be kept, got none.")
    return {split: sorted(some, key=lambda piece: piece.place) for split, some in splits.items() if split in folders}


def _twin(piece: ReadPiece, kept: Sequence[ReadPiece], known: Mapping[int, Sequence[int]]) -> ReadPiece | None:
    """The first kept piece that is the same one: equal tokens, or enough common contour (less if the titles are
    equal)."""
    shared: Counter[int] = Counter()
    for value in piece.sketch:
        others = known.get(value, ())
        if len(others) <= MOST_COMMON:
            shared.update(others)
    for number, _ in shared.most_common(20):
        other = kept[number]
        smallest = sorted({*piece.sketch, *other.sketch})[: max(1, min(len(piece.sketch), len(other.sketch)))]
        both = set(piece.sketch) & set(other.sketch)
        share = sum(value in both for value in smallest) / len(smallest)
        is_titled = piece.plain_title != "" and piece.plain_title == other.plain_title
        if share >= (ALIKE_BY_NAME if is_titled else ALIKE):
            return other
    return None


def _joined(pieces: Sequence[ReadPiece], tokenizer: Tokenizer, mark: int) -> np.ndarray:
    """Mark, piece, mark, piece, ..., mark; in the order of the pieces' hashes. On disk."""
    between = np.array([mark], dtype=np.uint16)

    def parts() -> Iterator[np.ndarray]:
        yield between
        for piece in pieces:
            is_learned = getattr(tokenizer, "learned", 0)
            merged = tokenizer.encode(tokenizer.decode(piece.array)) if is_learned else piece.array
            yield merged.astype(np.uint16)
            yield between

    return spooled(parts())


def _listed(left_out: Sequence[ReadPiece]) -> str:
    first = "; ".join(f"{piece.name}: {piece.problem}" for piece in left_out[:5])
    return f"left out: {first}" + (f"; and {len(left_out) - 5} more." if len(left_out) > 5 else ".")
