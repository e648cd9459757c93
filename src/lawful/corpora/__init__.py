"""Corpora: real text, split once, kept as fixed token files and served as a pure function of (seed, step)."""

from __future__ import annotations

import abc
import contextlib
import functools
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from lawful import registry
from lawful.checks import shown
from lawful.errors import DataError, DeclarationError, StoreError
from lawful.overlap import shared_share
from lawful.run import from_json, to_json
from lawful.storage.atomic import write_json, write_whole
from lawful.storage.cache import cache_folder, sha256_of
from lawful.storage.json_files import read_json
from lawful.tokenizers import Tokenizer

FORMAT = 2  # raised when prepared files, or the way a text becomes tokens, change their meaning
# looked at for validation text that stands in training: seconds of work, and all of a text of characters below 33 MB
_COMPARED_TRAIN_TOKENS, _COMPARED_VALIDATION_TOKENS = 2**25, 2**21
FIRST_REMARKS = 5  # on data, that a plan tells
IGNORED = -100  # torch's own mark of a target that is not counted

Progress = Callable[[str, float], None]  # what is being done, and the share of it that is done (0 to 1)


@dataclass(frozen=True, kw_only=True)
class Corpus(abc.ABC):
    """What to read and how to split it. Plain data: it enters the Run's id. A leaf sets the three texts below.

    What `prepare` and `open` return is data as the training loop needs it:
    fingerprint, train_tokens, facts()
    misfit(context)                         why windows of so many targets cannot be taken; None where they can
    splits                                  "train" and "validation"; "test" where a final judgement is kept apart;
                                            "selection" where early stopping must not look at validation
    batch(seed, step, batch_size, context)  of the training split, a frozen dataclass of arrays, rows first
    evaluation_batches(split, context=, batch_size=, targets=None)
    bits_per_byte(loss, split)              None where there are no bytes
    """

    name: ClassVar[str]
    licence: ClassVar[str]
    source: ClassVar[str]
    reads: ClassVar[str | None] = None  # as in Family

    @classmethod
    def example(cls) -> Corpus:
        """A corpus that can be prepared in seconds: the contract tries it."""
        return cls()

    @property
    @abc.abstractmethod
    def vocab_size(self) -> int:
        """Symbols that can be predicted; known without the data."""

    @property
    def pinned_fingerprint(self) -> str | None:
        """The fingerprint, where the content is pinned so that it is known without the data."""
        return None

    @abc.abstractmethod
    def prepare(self, data: Path | None = None, progress: Progress | None = None) -> Any:
        """The data, made ready if it is not yet; returns at once when it is.

        data    where the user keeps the raw files; checked when given, even if prepared ones are there
        """

    @abc.abstractmethod
    def open(self, fingerprint: str) -> Any:
        """Prepared data by its fingerprint, from the cache alone. LawfulError when absent or damaged."""

    def without_tokens(self) -> Any | None:
        """What a trained model needs to write where the corpus is not prepared on this machine; None where it needs
        the corpus."""
        return None

    @abc.abstractmethod
    def verify(self, fingerprint: str, data: Path | None = None, progress: Progress | None = None) -> list[str]:
        """What is wrong with prepared data, in words; an empty list when all is well."""

    @abc.abstractmethod
    def is_available(self, data: Path | None = None) -> bool:
        """Whether `prepare` can succeed without a network."""

    def inspect(self, data: Path, progress: Progress | None = None) -> list[str] | None:
        """What is wrong with the user's raw files, before anything is made of them; None where that is not told."""
        return None

    def remarks(self, *, fingerprint: str | None = None, data: Path | None = None) -> list[str]:
        """What a user should know of prepared data, or of raw files, that is no damage: what was left out, by name."""
        return []

    def known_facts(self) -> dict[str, Any]:
        """For study.json where the data itself is not on this machine."""
        return {
            "fingerprint": self.pinned_fingerprint or "",
            "vocabulary": self.vocab_size,
            "tokenizer": "",
            "licence": self.licence,
        }


@dataclass(frozen=True, kw_only=True)
class TokenCorpus(Corpus):
    """A text, or anything that becomes runs of tokens. A leaf gives `tokenizer` a default and says how to read itself;
    preparing, keeping and checking are done here.

    Prepared files lie in CACHE/corpora/NAME/FINGERPRINT/: a SPLIT.bin each (uint16, little-endian) and, written last,
    meta.json.
    """

    reads: ClassVar[str] = "tokens"

    tokenizer: Tokenizer

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.vocab_size

    def known_facts(self) -> dict[str, Any]:
        return {**super().known_facts(), "tokenizer": self.tokenizer.name}

    @property
    def counted_from(self) -> int:
        """Symbols below this one are given, never predicted; 0: every token is a target."""
        return 0

    @property
    def block(self) -> int:
        """Tokens that belong together: windows hold whole blocks."""
        return 1

    def prepare(self, data: Path | None = None, progress: Progress | None = None) -> TokenData:
        known = self._index(self._source_key(data))
        if known.exists():
            try:
                return self._compared(self.open(str(read_json(known).get("fingerprint"))))
            except (DataError, StoreError, DeclarationError):
                pass  # damaged or deleted since, or of another version: made again
        built = self._build(data, progress or _silent)
        if short := [f"{len(tokens)} for {split}" for split, tokens in built.splits.items() if len(tokens) < 2]:
            raise DataError(
                f"{self.name}: expected at least 2 tokens in each split, got {' and '.join(short)}; take more text or "
                "change the split."
            )
        fingerprint = self._fingerprint(built.text_sha256)
        self._write(fingerprint, built)
        write_json(known, {"fingerprint": fingerprint})
        return self._compared(self.open(fingerprint))

    def open(self, fingerprint: str) -> TokenData:
        folder = self._folder(fingerprint)
        meta = self._meta(folder, fingerprint)
        is_small = int(meta["splits"]["train"]["tokens"]) * 2 <= _ALWAYS_HASHED_BYTES
        problems = _problems(folder, meta, is_thorough=is_small)
        if problems:
            raise DataError(
                f"{self.name}: prepared data is damaged: {'; '.join(problems)}; {self._how_to_prepare()} again."
            )
        return TokenData(
            fingerprint=fingerprint,
            arrays={split: _mapped(folder / f"{split}.bin") for split in meta["splits"]},
            num_bytes={split: int(known["bytes"]) for split, known in meta["splits"].items()},
            tokenizer=from_json(meta["tokenizer"]) if "tokenizer" in meta else self.tokenizer,
            counted_from=self.counted_from,
            block=self.block,
            details={
                "corpus": self.name,
                "licence": self.licence,
                "source": self.source,
                "text_sha256": meta["text_sha256"],
                "validation_fingerprint": str(meta["splits"]["validation"]["sha256"])[:16],
                **meta["facts"],
            },
        )

    def without_tokens(self) -> TokenData | None:
        if not self.tokenizer.is_fixed:
            return None
        return TokenData(
            fingerprint="", arrays={}, num_bytes={}, tokenizer=self.tokenizer, details={"corpus": self.name}
        )

    def _compared(self, data: TokenData) -> TokenData:
        """The text, with how much of validation stands in training word for word, which is measured once: "overlap" is
        that share, "overlap_tokens" how many training tokens were looked at."""
        if "overlap" in data.details or not data.num_bytes["validation"] or self.counted_from:
            return data
        found = {
            "overlap": shared_share(
                data.content("validation", _COMPARED_VALIDATION_TOKENS), data.content("train", _COMPARED_TRAIN_TOKENS)
            ),
            "overlap_tokens": min(data.train_tokens, _COMPARED_TRAIN_TOKENS),
        }
        path = self._folder(data.fingerprint) / "meta.json"
        meta = read_json(path)
        with contextlib.suppress(OSError):  # a cache that may only be read
            write_json(path, {**meta, "facts": {**meta["facts"], **found}})
        return replace(data, details={**data.details, **found})

    def verify(self, fingerprint: str, data: Path | None = None, progress: Progress | None = None) -> list[str]:
        """What is wrong with prepared data, in words; an empty list when all is well.

        Every byte is hashed. Where the same text lies on this machine, it is read and encoded again, and compared.
        """
        folder = self._folder(fingerprint)
        try:
            meta = self._meta(folder, fingerprint)
        except (DataError, StoreError) as error:
            return [str(error)]
        problems = _problems(folder, meta, is_thorough=True)
        if not problems and self._can_read(data):
            built = self._build(data, progress or _silent)
            is_same_text = built.text_sha256 == meta["text_sha256"]
            for split, tokens in built.splits.items():
                if is_same_text and _sha256_of_tokens(tokens) != meta["splits"][split]["sha256"]:
                    problems.append(
                        f"{folder / split}.bin: expected the tokens that the text gives now, got other ones; "
                        f"another version of lawful made it; delete {folder}; {self._how_to_prepare()} again"
                    )
        return problems

    def is_available(self, data: Path | None = None) -> bool:
        return self._index(self._source_key(data)).exists() or self._can_read(data)

    @abc.abstractmethod
    def _source_key(self, data: Path | None) -> str:
        """Quickly computed text that differs whenever the text of the corpus may differ. Checks `data` if given."""

    @abc.abstractmethod
    def _can_read(self, data: Path | None) -> bool:
        """Whether the raw text lies on this machine."""

    @abc.abstractmethod
    def _build(self, data: Path | None, progress: Progress) -> Built:
        """Read, split by contiguous text, encode."""

    def _how_to_prepare(self) -> str:
        """The command that prepares exactly this corpus: `lawful data` knows corpora of lawful by their defaults."""
        if known().get(self.name) == self:
            return f"`lawful data prepare {self.name}` makes it"
        return "`lawful plan STUDY`, with the options of the study's own command, makes it"

    def _fingerprint(self, text_sha256: str) -> str:
        return _digest({"format": FORMAT, "corpus": to_json(self), "text": text_sha256})

    def _folder(self, fingerprint: str) -> Path:
        return prepared_folder(self.name, fingerprint)

    def _index(self, source_key: str) -> Path:
        key = _digest({"format": FORMAT, "corpus": to_json(self), "source": source_key})
        return cache_folder() / "corpora" / self.name / "index" / f"{key}.json"

    def _meta(self, folder: Path, fingerprint: str) -> dict[str, Any]:
        if not (folder / "meta.json").exists():
            raise DataError(
                f"{self.name}: expected prepared data {fingerprint} in {folder}, got none; {self._how_to_prepare()} "
                "(another fingerprint then means another text or split)."
            )
        meta = read_json(folder / "meta.json")
        if self._fingerprint(str(meta.get("text_sha256"))) != fingerprint:
            raise DataError(
                f"{self.name}: expected data {fingerprint} of {to_json(self)}, got {folder} prepared from "
                f"{meta.get('corpus')}; {self._how_to_prepare()}."
            )
        return meta

    def _write(self, fingerprint: str, built: Built) -> None:
        folder = self._folder(fingerprint)
        tokenizer = built.tokenizer or self.tokenizer
        splits = {}
        for split, tokens in built.splits.items():
            write_whole(folder / f"{split}.bin", functools.partial(_write_tokens, tokens))
            targets = tokens[1:] if split != "train" else tokens[:0]  # the bytes of the training text are of no use
            splits[split] = {
                "tokens": len(tokens),
                "bytes": tokenizer.num_bytes(targets[targets >= self.counted_from]),
                "sha256": _sha256_of_tokens(tokens),
            }
        write_json(
            folder / "meta.json",
            {
                "format": FORMAT,
                "fingerprint": fingerprint,
                "corpus": to_json(self),
                "text_sha256": built.text_sha256,
                "splits": splits,
                **({"tokenizer": to_json(tokenizer)} if tokenizer != self.tokenizer else {}),
                "facts": dict(built.facts),
            },
        )


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a corpus hands over to be kept.

    train, validation    shape (tokens,); `spooled` where they may be larger than memory
    others               further splits, by name: test, selection
    text_sha256          of everything that was read and that decides the tokens
    tokenizer            as it is after learning from the training text, where it learns; kept with the tokens
    facts                what else belongs in the record, such as the version of Python
    """

    train: np.ndarray
    validation: np.ndarray
    text_sha256: str
    tokenizer: Tokenizer | None = None
    others: Mapping[str, np.ndarray] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def splits(self) -> dict[str, np.ndarray]:
        return {"train": self.train, "validation": self.validation, **self.others}


def remarked(remarks: Sequence[str]) -> dict[str, Any]:
    """Facts that have the plan and the page tell these remarks: how many, and the first of them."""
    return {"remarks": len(remarks), "first_remarks": list(remarks[:FIRST_REMARKS])} if remarks else {}


def spooled(pieces: Iterable[np.ndarray]) -> np.ndarray:
    """Tokens one piece after another, on disk instead of in memory. The file has no name and goes with the array."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        for piece in pieces:
            _write_tokens(piece, file)
        file.flush()
        return np.memmap(file, dtype="<u2", mode="r") if file.tell() else np.empty(0, dtype=np.uint16)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Inputs and targets, int64, shape (batch, context); targets are the inputs shifted by one, IGNORED where they are
    given and not to be predicted."""

    inputs: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True, kw_only=True)
class TokenData:
    """A corpus ready for training: runs of tokens that never meet.

    arrays               split -> shape (tokens,), uint16, read-only
    num_bytes            split -> UTF-8 bytes of its targets, by which losses become bits per byte
    counted_from         symbols below this one are given, never predicted: their targets are IGNORED
    block                tokens that belong together: windows start at its multiples and hold whole blocks
    """

    fingerprint: str
    arrays: Mapping[str, np.ndarray]
    num_bytes: Mapping[str, int]
    tokenizer: Tokenizer
    counted_from: int = 0
    block: int = 1
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.vocab_size

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.arrays)

    @property
    def train(self) -> np.ndarray:
        return self.arrays["train"]

    @property
    def validation(self) -> np.ndarray:
        return self.arrays["validation"]

    @property
    def train_tokens(self) -> int:
        """Tokens in the training split, each counted once."""
        return len(self.train)

    def targets(self, split: str) -> int:
        """What a loss is averaged over: every token of the split but the first, if it is counted."""
        tokens = self._split(split)
        return len(tokens) - 1 if not self.counted_from else int((tokens[1:] >= self.counted_from).sum())

    def encode(self, text: str) -> np.ndarray:
        return self.tokenizer.encode(text)

    def decode(self, tokens: np.ndarray) -> str:
        return self.tokenizer.decode(tokens)

    @property
    def sample_suffix(self) -> str:
        """Of the files in which samples of a model are kept; empty where a sample is text."""
        return ""

    def sample_start(self, prompt: Path | None) -> list[int]:
        """The tokens with which a sample begins that is kept in a file: the mark that also ends it, then what is in
        the file `prompt`."""
        raise DeclarationError(f"{self.details.get('corpus')}: its samples are text.")

    def write_sample(self, tokens: np.ndarray, path: Path) -> str:
        """Write a sample into a file; what it is, in words."""
        raise DeclarationError(f"{self.details.get('corpus')}: its samples are text.")

    def content(self, split: str, most: int) -> Iterator[bytes]:
        """The text of a split, or of its first `most` tokens, a piece at a time."""
        tokens = self._split(split)[:most]
        for start in range(0, len(tokens), 2**16):
            yield self.tokenizer.decode_bytes(tokens[start : start + 2**16])

    def bits_per_byte(self, loss_nats_per_token: float, split: str = "validation") -> float | None:
        """Of a loss over all tokens of a split; comparable between tokenizers on the same text."""
        return float(loss_nats_per_token * self.targets(split) / self.num_bytes[split] / np.log(2))

    def facts(self) -> dict[str, Any]:
        """For study.json and the report."""
        return {
            "fingerprint": self.fingerprint,
            "train_tokens": self.train_tokens,
            "validation_tokens": self.targets("validation"),
            "validation_bytes": self.num_bytes["validation"],
            **({"test_tokens": self.targets("test")} if "test" in self.splits else {}),
            "vocabulary": self.vocab_size,
            "tokenizer": self.tokenizer.name,
            **self.details,
        }

    def misfit(self, context: int) -> str | None:
        """Why windows of so many targets cannot be taken from each split; None where they can."""
        return next((why for split in self.splits if (why := self._too_short(split, context))), None)

    def _too_short(self, split: str, context: int) -> str | None:
        if (have := len(self._split(split))) > context:
            return None
        return (
            f"expected at least context + 1 = {context + 1} tokens in the {split} split, got {have}; use a shorter "
            "context or more text"
        )

    def batch(self, split: str = "train", *, seed: int, step: int, batch_size: int, context: int) -> Batch:
        """The batch of a step: a pure function of its arguments, so that a restart equals no restart.

        An epoch cuts the split into disjoint windows and visits them in an order drawn from (seed, epoch). The first
        epoch starts at the first token; each later one starts at an offset drawn likewise, so that the windows differ.
        Row r of step s is the window number s * batch_size + r of that endless sequence: a batch may span two epochs,
        and rows may be taken in parts without changing what is seen.
        """
        tokens = self._split(split)
        if step < 0 or batch_size < 1 or context < 1:
            raise DataError(
                "batch: expected step >= 0, batch_size >= 1 and context >= 1, "
                f"got step={step}, batch_size={batch_size}, context={context}."
            )
        self._check_whole_blocks(context)
        if too_short := self._too_short(split, context):
            raise DataError(f"batch: {too_short}.")
        wanted = np.arange(step * batch_size, (step + 1) * batch_size)
        starts = _window_starts(wanted, seed=seed, num_tokens=len(tokens), context=context, block=self.block)
        return self._windows(tokens[starts[:, None] + np.arange(context + 1)])

    def evaluation_batches(
        self, split: str, *, context: int, batch_size: int, targets: int | None = None
    ) -> Iterator[Batch]:
        """Disjoint windows over the same fixed targets for every run: all of the split, or its first `targets`.

        Every target is covered once whatever the context: the rows that do not fill a batch come as a smaller batch,
        and the targets that do not fill a window as a last batch of one shorter row. Average by targets, not by batch.
        """
        if context < 1 or batch_size < 1 or (targets is not None and targets < 1):
            raise DataError(
                "evaluation_batches: expected context, batch_size and targets of at least 1, "
                f"got {context}, {batch_size} and {targets}."
            )
        self._check_whole_blocks(context)
        tokens = self._split(split)
        num_targets = min(targets or len(tokens) - 1, len(tokens) - 1)
        num_windows = num_targets // context
        for first in range(0, num_windows, batch_size):
            starts = np.arange(first, min(first + batch_size, num_windows)) * context
            yield self._windows(tokens[starts[:, None] + np.arange(context + 1)])
        if num_windows * context < num_targets:
            yield self._windows(tokens[None, num_windows * context : num_targets + 1])

    def _windows(self, tokens: np.ndarray) -> Batch:
        """tokens: shape (batch, context + 1)."""
        tokens = tokens.astype(np.int64)
        targets = tokens[:, 1:]
        if self.counted_from:
            targets = np.where(targets < self.counted_from, IGNORED, targets)
        return Batch(inputs=tokens[:, :-1], targets=targets)

    def _check_whole_blocks(self, context: int) -> None:
        if context % self.block:
            raise DataError(
                f"context: expected a multiple of {self.block}, the tokens of one block of this data, got {context}; "
                f"{max(1, round(context / self.block)) * self.block} is the nearest."
            )

    def _split(self, split: str) -> np.ndarray:
        if split not in self.arrays:
            raise DataError(f"split: expected one of {', '.join(self.splits)}, got {split!r}.")
        return self.arrays[split]


def prepared_folder(name: str, fingerprint: str) -> Path:
    """Where prepared data lies. The fingerprint may be what a folder from elsewhere says."""
    if not re.fullmatch("[0-9a-z]{1,64}", str(fingerprint)):
        raise DataError(f"{name}: expected a fingerprint (hexadecimal digits), got {str(fingerprint)[:80]!r}.")
    return cache_folder() / "corpora" / name / fingerprint


def corpus_of(value: Any, *, also_from: str | None = None) -> Corpus:
    """The corpus that study.json describes, as run.from_json makes it. DeclarationError where it is anything else."""
    found = from_json(value, also_from=also_from)
    if not isinstance(found, Corpus):
        raise DeclarationError(f"study.json: corpora: expected a corpus, got {shown(found)}.")
    return found


def known() -> dict[str, Corpus]:
    """Every registered corpus by name, as it is by default."""
    return {name: corpus() for name, corpus in registry.every("corpora").items()}


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Data that lies in the cache. `corpus` is None where it was prepared by a version of lawful unlike this one."""

    fingerprint: str
    corpus: Corpus | None
    meta: Mapping[str, Any]


def prepared(name: str) -> list[Prepared]:
    """Everything that was ever prepared of a corpus and is still in the cache."""
    found = []
    for path in sorted((cache_folder() / "corpora" / name).glob("*/meta.json")):
        meta = read_json(path)
        try:
            corpus = from_json(meta.get("corpus"))
        except DeclarationError:
            corpus = None
        found.append(
            Prepared(fingerprint=path.parent.name, corpus=corpus if isinstance(corpus, Corpus) else None, meta=meta)
        )
    return found


def raw_data_folder() -> Path | None:
    """LAWFUL_DATA: where raw texts are kept for tests and offline machines."""
    named = os.environ.get("LAWFUL_DATA")
    return Path(named) if named else None


def _window_starts(numbers: np.ndarray, *, seed: int, num_tokens: int, context: int, block: int) -> np.ndarray:
    """Where the windows of these numbers in the endless sequence start. Shape (windows,)."""
    in_first = (num_tokens - 1) // context  # windows of epoch 0, offset 0
    in_later = max(1, (num_tokens - context) // context)  # windows that fit at every offset below the context
    epochs = np.where(numbers < in_first, 0, 1 + (numbers - in_first) // in_later)
    starts = np.empty(len(numbers), dtype=np.int64)
    for epoch in sorted(set(epochs.tolist())):
        here = epochs == epoch
        order = _epoch_order(seed, epoch, in_later if epoch else in_first)
        place = numbers[here] - (in_first + (epoch - 1) * in_later if epoch else 0)
        room = min(context, num_tokens - in_later * context)  # offsets from 0 to room - 1 leave every window inside
        offset = order.draw % room // block * block if epoch else 0
        starts[here] = offset + order.windows[place] * context
    return starts


@dataclass(frozen=True, kw_only=True)
class _EpochOrder:
    windows: np.ndarray  # a permutation
    draw: int  # 64 random bits, for the offset


@functools.lru_cache(maxsize=8)
def _epoch_order(seed: int, epoch: int, num_windows: int) -> _EpochOrder:
    # Raw bits of PCG64 are the same in every version of numpy; Generator.permutation is not promised to be (NEP 19).
    # A tie among 64-bit keys has a chance below 1e-6 even for a million windows, and is broken by position.
    bits = np.random.PCG64(np.random.SeedSequence((seed, epoch))).random_raw(num_windows + 1)
    windows = np.argsort(bits[1:], kind="stable")
    windows.setflags(write=False)
    return _EpochOrder(windows=windows, draw=int(bits[0]))


_ALWAYS_HASHED_BYTES = 64 * 2**20  # about 50 ms; larger files are hashed by `lawful data verify`


def _problems(folder: Path, meta: Mapping[str, Any], *, is_thorough: bool) -> list[str]:
    problems = []
    for split, known in meta["splits"].items():
        path = folder / f"{split}.bin"
        expected = int(known["tokens"]) * 2
        got = path.stat().st_size if path.exists() else None
        if got != expected:
            problems.append(f"{path}: expected {expected:,} bytes, got {'no file' if got is None else f'{got:,}'}")
        elif is_thorough and (sha256 := sha256_of(path)) != known["sha256"]:
            problems.append(f"{path}: expected SHA-256 {known['sha256']}, got {sha256}")
    return problems


def _write_tokens(tokens: np.ndarray, file: IO[bytes]) -> None:
    for piece in _pieces(tokens):
        file.write(piece)


def _sha256_of_tokens(tokens: np.ndarray) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(tokens):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(tokens: np.ndarray) -> Iterator[bytes]:
    """The content of a token file, a MiB at a time."""
    for start in range(0, len(tokens), 2**19):
        yield np.ascontiguousarray(tokens[start : start + 2**19], dtype="<u2").tobytes()


def _mapped(path: Path) -> np.ndarray:
    return np.asarray(np.memmap(path, dtype="<u2", mode="r"))


def _digest(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _silent(what: str, share: float) -> None:
    pass
