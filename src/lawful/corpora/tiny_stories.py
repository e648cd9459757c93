"""tiny_stories: two million short stories in a small child's words (arXiv:2305.07759), packed one after another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from tarfile import TarInfo
from typing import ClassVar, NamedTuple, final

import numpy as np

from lawful import download, unpack
from lawful.checks import Part, PositiveInt, check_fields
from lawful.corpora import Built, Progress, TokenCorpus, raw_data_folder
from lawful.errors import DataError, MissingDependency
from lawful.storage import json_stream
from lawful.storage.cache import cache_folder
from lawful.storage.json_files import reading
from lawful.token_data import spooled
from lawful.tokenizers import Tokenizer
from lawful.tokenizers.trained_bpe import TrainedBPE

# the files of this revision have never changed since; their hashes are those of its large-file pointers
HOME = "https://huggingface.co/datasets/roneneldan/TinyStories/resolve/f54c09fd23315a6f9c86f9dc80f725de7d8f9c64"
TRAIN, TRAIN_BYTES = "TinyStories-train.txt", 1_924_281_556
TRAIN_SHA256 = "c5cf5e22ff13614e830afbe61a99fbcbe8bcb7dd72252b989fa1117a368d401f"
VALID, VALID_BYTES = "TinyStories-valid.txt", 19_447_282
VALID_SHA256 = "94e431816c4cce81ff71e4408ff8d3bda9a42e8d2663986697c3954288cb38b4"
SAMPLE = "sample.txt"  # some hundred stories, where LAWFUL_DATA has no more
MARK = b"<|endoftext|>"
MOST_STORY_BYTES = 2**26  # of one story, which is held in memory; they have some thousand
JSON, ARCHIVES = (".json", ".jsonl"), (".tar", ".tar.gz", ".tgz")
KINDS = (".parquet", ".txt", *JSON, *ARCHIVES)  # in a folder, the first of these that it holds
SHARDS, FIRST_SHARD = "TinyStories_all_data", "data00.json"  # what TinyStories_all_data.tar.gz unpacks into
NO_STORIES = ("dataset_infos.json", "dataset_dict.json", "state.json", "dataset_info.json")  # of the hub, beside data
RULES = 1  # raised when stories are found or cleaned differently, so that older token files are made again


@final
@dataclass(frozen=True, kw_only=True)
class TinyStories(TokenCorpus):
    """Each story, without blanks around it, and the tokenizer's end mark; a window may span stories, nothing is padded.

    first_bytes    read only so much of the training text, in whole stories; of the public file, only that is fetched
    train_share    where there is one text only: its stories up to there are for training, the rest for validation.
                   The data set's own validation file, where there is one, is always the whole validation split

    `data` is a text file, a parquet file with a column `text`, a JSON list or JSON lines of objects with `text` or
    `story`, a tar archive of such JSON files (TinyStories_all_data.tar.gz), or a folder that holds
    TinyStories-train.txt and TinyStories-valid.txt, or other such files: those with "valid" in their name are for
    validation; of the shards data00.json and on, the first, as in llama2.c. In a text, a line <|endoftext|> ends a
    story; where its first MiB has none, a line break that leaves no blank line does.
    """

    name: ClassVar[str] = "tiny_stories"
    licence: ClassVar[str] = "CDLA-Sharing-1.0 (R. Eldan and Y. Li)"
    source: ClassVar[str] = "https://huggingface.co/datasets/roneneldan/TinyStories"

    tokenizer: Tokenizer = field(default_factory=TrainedBPE)
    first_bytes: PositiveInt | None = None
    train_share: Part = 0.9

    def __post_init__(self) -> None:
        check_fields(self)
        if self.tokenizer.end is None:
            raise DataError(
                f"tokenizer: expected one with an end mark to put after each story, got {self.tokenizer.name} without; "
                "an alphabet of characters has one if it holds ASCII's, \\x03."
            )

    @property
    def is_at_hand(self) -> bool:
        """Whether the stories are on this machine; the sample of LAWFUL_DATA is too small to count."""
        files = _at_hand(None)
        return self.is_available() and (files is None or files.train[0].name != SAMPLE)

    def _source_key(self, data: Path | None) -> str:
        """Places, sizes and times of files at hand; the hashes of the public ones."""
        files = _at_hand(data)
        if files is None:
            return repr((RULES, TRAIN_SHA256, VALID_SHA256))
        stamps = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files.all]
        return repr((RULES, len(files.validation), stamps))

    def _can_read(self, data: Path | None) -> bool:
        if _at_hand(data) is not None:
            return True
        train, wanted = _downloaded(TRAIN), self.first_bytes
        part = train.with_name(train.name + ".part")
        has_part = wanted is not None and part.exists() and part.stat().st_size >= wanted
        return (train.exists() or has_part) and _downloaded(VALID).exists()

    def _build(self, data: Path | None, progress: Progress) -> Built:
        files = _at_hand(data) or self._fetched(progress)
        tokenizer = self.tokenizer.trained(self._split(files).train)
        split = self._split(files, progress)
        train = spooled(_packed(split.train, tokenizer, split))
        validation = spooled(_packed(split.validation, tokenizer, split))
        return Built(
            train=train,
            validation=validation,
            text_sha256=split.digest.hexdigest(),
            tokenizer=tokenizer,
            facts={
                "files": tuple(path.name.removesuffix(".part") for path in files.all),
                "stories": split.num_stories,
                "text_bytes": split.num_bytes,
            },
        )

    def _split(self, files: _Files, progress: Progress | None = None) -> _Split:
        return _Split(files, first_bytes=self.first_bytes, train_share=self.train_share, progress=progress)

    def _fetched(self, progress: Progress) -> _Files:
        train, valid = _downloaded(TRAIN), _downloaded(VALID)
        download.pinned(
            valid,
            url=f"{HOME}/{VALID}",
            sha256=VALID_SHA256,
            num_bytes=VALID_BYTES,
            flag="--data",
            report=progress,
        )
        url = f"{HOME}/{TRAIN}"
        if self.first_bytes is not None and self.first_bytes < TRAIN_BYTES:
            train = download.beginning(train, url=url, num_bytes=self.first_bytes, flag="--data", report=progress)
        else:
            train = download.pinned(
                train, url=url, sha256=TRAIN_SHA256, num_bytes=TRAIN_BYTES, flag="--data", report=progress
            )
        return _Files(train=(train,), validation=(valid,))


@dataclass(frozen=True, kw_only=True)
class _Files:
    """Validation is empty where it is to be cut from the end of the rest."""

    train: tuple[Path, ...]
    validation: tuple[Path, ...] = ()

    @property
    def all(self) -> tuple[Path, ...]:
        return self.train + self.validation


class _Split:
    """The stories of both splits, read once and in order: `train` must be used up before `validation`.

    digest    SHA-256 of what was packed, complete once both are used up
    """

    def __init__(
        self, files: _Files, *, first_bytes: int | None, train_share: float, progress: Progress | None
    ) -> None:
        self.digest = hashlib.sha256()
        self.num_stories = self.num_bytes = 0
        self._progress = progress
        self._stories = _stories(files.train, first_bytes)
        self._share = None if files.validation else train_share
        self._held: list[str] = []  # the first story past the share
        self._own = files.validation

    @property
    def train(self) -> Iterator[str]:
        yield from self._counted(self._until_share(), "reading the training stories")

    @property
    def validation(self) -> Iterator[str]:
        rest = chain(((1.0, story) for story in self._held), self._stories)
        stories = _stories(self._own, None) if self._own else rest
        yield from self._counted(stories, "reading the validation stories")

    def _until_share(self) -> Iterator[tuple[float, str]]:
        for share, story in self._stories:
            if self._share is not None and share >= self._share:
                self._held.append(story)
                return
            yield share, story

    def _counted(self, stories: Iterable[tuple[float, str]], what: str) -> Iterator[str]:
        self.digest.update(b"\0")
        for share, story in stories:
            content = story.encode()
            self.digest.update(content + MARK)
            self.num_stories += 1
            self.num_bytes += len(content)
            if self._progress is not None:
                self._progress(what, share)
            yield story


def _packed(stories: Iterable[str], tokenizer: Tokenizer, split: _Split) -> Iterator[np.ndarray]:
    end = np.array([tokenizer.end], dtype=np.uint16)
    for story in stories:
        try:
            yield tokenizer.encode(story)
        except DataError as error:
            raise DataError(f"tiny_stories: story number {split.num_stories} ({story[:30]!r}...): {error}") from None
        yield end


def _stories(paths: Sequence[Path], first_bytes: int | None) -> Iterator[tuple[float, str]]:
    """Each story of the files, with the share of all that lies before it. Raises LawfulError naming file and place."""
    share_per_file, past_bytes, before = 1 / len(paths), 0, 0.0
    for number, path in enumerate(paths):
        found = _Found(0.0, 0, "")
        is_empty = True
        for found in _stories_in(path):
            if first_bytes is not None and past_bytes + found.end_bytes > first_bytes:
                return
            story = found.text.replace("\r\n", "\n").replace("\x03", "").strip()  # \x03 may be the end mark
            if story:
                is_empty = False
                yield before, story
            before = (number + found.share) * share_per_file
            if first_bytes is not None:
                before = max(before, (past_bytes + found.end_bytes) / first_bytes)
        if is_empty:
            raise DataError(f"{path}: expected stories, got {path.stat().st_size:,} bytes without any; {_WHERE}")
        past_bytes += found.end_bytes


class _Found(NamedTuple):
    share: float  # of the file, up to the end of this text
    end_bytes: int  # up to there: of a text file, its marks included; of any other, of its texts
    text: str


def _stories_in(path: Path) -> Iterator[_Found]:
    if path.suffix == ".parquet":
        return _parquet_stories(path)
    if path.name.endswith(ARCHIVES):
        return _archived_stories(path)
    return _json_stories(path) if path.suffix in JSON else _text_stories(path)


def _json_stories(path: Path) -> Iterator[_Found]:
    size, num_bytes = max(path.stat().st_size, 1), 0
    with path.open("rb") as file:
        for text, end in _values(file, path):
            num_bytes += len(text.encode())
            yield _Found(end / size, num_bytes, text)


def _archived_stories(path: Path) -> Iterator[_Found]:
    """The JSON files of a tar archive in its order, read twice: what lies before a story is known only from the whole.
    Nothing is unpacked to disk."""
    with reading(path, "a tar archive of stories", DataError):
        with unpack.Unpacked(path) as stream:
            total = sum(member.size for member, _ in unpack.tar_members(stream) if _is_shard(member))
        num_bytes = before = 0
        with unpack.Unpacked(path) as stream:
            for member, content in unpack.tar_members(stream):
                if content is None or not _is_shard(member):
                    continue
                for text, end in _values(content, path / member.name):
                    num_bytes += len(text.encode())
                    yield _Found((before + end) / total, num_bytes, text)
                before += member.size


def _is_shard(member: TarInfo) -> bool:
    name = Path(member.name).name
    return member.isfile() and name.endswith(JSON) and not name.startswith(".")  # "._data00.json": of a Mac's own


def _values(stream: json_stream.Readable, path: Path) -> Iterator[tuple[str, int]]:
    """The stories of a JSON list or of JSON lines: each a text, or an object whose `text` or `story` is one."""
    for number, (value, end) in enumerate(json_stream.values_of(stream, path, most_bytes=MOST_STORY_BYTES), start=1):
        text = value
        if isinstance(value, Mapping):
            text = value.get("text", value.get("story"))
        if not isinstance(text, str):
            got = f"an object with {', '.join(map(repr, value))}" if isinstance(value, Mapping) else repr(value)
            raise DataError(f"{path}, value {number}: expected an object with `text` or `story`, got {got:.80}.")
        try:
            text.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
            raise DataError(f"{path}, value {number}: expected text, got half of a character (a surrogate).") from None
        yield text, end


def _text_stories(path: Path) -> Iterator[_Found]:
    """Each piece of text between marks."""
    size = max(path.stat().st_size, 1)
    with path.open("rb") as file:
        is_marked = MARK in file.read(2**20)  # a story has some thousand bytes: a file with marks has one by then
        file.seek(0)
        start = place = 0
        lines: list[bytes] = []
        for line in iter(lambda: file.readline(MOST_STORY_BYTES), b""):
            if place - start + len(line) >= MOST_STORY_BYTES:
                raise DataError(f"{path}: expected stories of less than {MOST_STORY_BYTES:,} bytes, got a longer one.")
            if not is_marked and line.strip() and lines and lines[-1].strip():
                yield _Found(place / size, place, _decoded(b"".join(lines), path, start))
                start, lines = place, []
            while is_marked and MARK in line:
                before, _, line = line.partition(MARK)
                place += len(before) + len(MARK)
                yield _Found(place / size, place, _decoded(b"".join(lines) + before, path, start))
                start, lines = place, []
            lines.append(line)
            place += len(line)
        if path.suffix != ".part":  # the story at which a beginning was cut is left out
            yield _Found(1.0, place, _decoded(b"".join(lines), path, start))


def _decoded(content: bytes, path: Path, start: int) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected UTF-8, got byte 0x{content[error.start]:02x} at byte {start + error.start:,}; the file "
            f"is damaged or of another encoding. {_WHERE}"
        ) from None


def _parquet_stories(path: Path) -> Iterator[_Found]:
    """Each row's text."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependency.of(
            "pyarrow", extra="table", what=f"{path}: reading parquet files", error=error
        ) from None
    row = num_bytes = 0
    with reading(path, "a parquet file of stories", DataError):
        names = pyarrow.parquet.read_schema(path).names
        if "text" not in names:
            raise DataError(f"{path}: expected a column `text`, got {', '.join(names) or 'none'}.")
        # a text that stands in many rows is not copied for each: a small file may hold billions of rows
        with pyarrow.parquet.ParquetFile(path, read_dictionary=["text"]) as file:
            for batch in file.iter_batches(batch_size=1000, columns=["text"]):
                for cell in batch.column(0):
                    text = cell.as_py() or ""
                    row += 1
                    if not isinstance(text, str):
                        raise DataError(f"{path}, row {row}: expected text in the column `text`, got {text!r:.40}.")
                    num_bytes += len(text.encode())
                    if num_bytes > (most := unpack.room(path)):
                        raise DataError(
                            f"{path}: expected at most {most:,} bytes of text in a file of its size; got more."
                        )
                    yield _Found(row / file.metadata.num_rows, num_bytes, text)


def _at_hand(data: Path | None) -> _Files | None:
    """The user's files; else those in LAWFUL_DATA, whole or the sample; else None."""
    if data is not None:
        return _files_in(data)
    folder = raw_data_folder()
    if folder is None or not (folder / "tinystories").is_dir():
        return None
    folder = folder / "tinystories"
    if (folder / TRAIN).exists():
        return _files_in(folder)
    return _Files(train=(folder / SAMPLE,)) if (folder / SAMPLE).exists() else None


def _files_in(data: Path) -> _Files:
    if data.is_file():
        if data.suffix == ".bin":
            raise DataError(f"--data {data}: {_TOKENS}")
        return _Files(train=(data,))
    inner = (".", "tinystories", "TinyStories", "data", SHARDS, f"data/{SHARDS}")
    has_tokens = False
    for folder in (data / name for name in inner):
        if (folder / TRAIN).is_file():
            valid = (folder / VALID,) if (folder / VALID).is_file() else ()
            return _Files(train=(folder / TRAIN,), validation=valid)
        for ending in KINDS:
            files = sorted(path for path in folder.glob(f"*{ending}") if path.is_file() and path.name not in NO_STORIES)
            train = tuple(path for path in files if "valid" not in path.name.lower())
            if len(train) > 1 and train == tuple(files) and train[0].name == FIRST_SHARD:
                return _Files(train=train[1:], validation=train[:1])  # as llama2.c holds it out
            if train:
                return _Files(train=train, validation=tuple(path for path in files if path not in train))
        has_tokens = has_tokens or any(folder.glob("*.bin"))
    if has_tokens:
        raise DataError(f"--data {data}: {_TOKENS}")
    raise DataError(
        f"--data {data}: expected stories (a file, or a folder of such files: {', '.join(KINDS)}), got "
        f"{'a folder without any' if data.is_dir() else 'no such file'}; {_WHERE}"
    )


_TOKENS = (
    "expected stories, got token numbers (.bin), whose tokenizer is not known here; give the text they were made of: "
    f"the folder {SHARDS}, its .tar.gz, or parquet files."
)
_WHERE = f"the data set is {TRAIN} ({TRAIN_BYTES:,} bytes) and {VALID} ({VALID_BYTES:,} bytes) from {HOME}."


def _downloaded(name: str) -> Path:
    return cache_folder() / "downloads" / name
