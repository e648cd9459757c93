"""Tokens ready for training: splits on disk, and batches that are a pure function of (seed, step)."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from lawful.checks import NaturalInt
from lawful.errors import DataError, DeclarationError
from lawful.schema import Fact
from lawful.storage.cache import cache_folder
from lawful.tokenizers import Tokenizer

IGNORED = -100  # torch's own mark of a target that is not counted


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Inputs and targets, int64, shape (batch, context); targets are the inputs shifted by one, IGNORED where
    they are given, not predicted."""

    inputs: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True, kw_only=True)
class TokenData:
    """A corpus ready for training: one sequence of tokens for each split; splits never overlap.

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
    details: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def is_slow_to_read(self) -> bool:
        return False

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
        """The suffix of the files in which samples of a model are kept; "" where a sample is text."""
        return ""

    def sample_start(self, prompt: Path | None) -> list[int]:
        """The first tokens of a sample that is kept in a file: the mark that starts and ends a text, then the content
        of the file `prompt`."""
        raise DeclarationError(f"{self.details.get('corpus')}: its samples are text.")

    def write_sample(self, tokens: np.ndarray, path: Path) -> str:
        """Write a sample into a file; what it is, in words."""
        raise DeclarationError(f"{self.details.get('corpus')}: its samples are text.")

    def content(self, split: str, most: int) -> Iterator[bytes]:
        """The text of a split, or of its first `most` tokens, a piece at a time."""
        tokens = self._split(split)[:most]
        for start in range(0, len(tokens), 2**16):
            yield self.tokenizer.decode_bytes(tokens[start : start + 2**16])

    def bits_per_byte(self, loss: float, split: str = "validation") -> float | None:
        """The bits per byte of a loss in nats per token over a whole split: comparable between tokenizers."""
        return float(loss * self.targets(split) / self.num_bytes[split] / np.log(2))

    def facts(self) -> dict[str, Fact]:
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

    def named(self, split: str, number: int) -> dict[str, str]:
        """No window has a name."""
        return {}

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
        """The batch of a step: a pure function of its arguments, so that a restarted run gets the same batches.

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


def spooled(pieces: Iterable[np.ndarray]) -> np.ndarray:
    """Tokens one piece after another, on disk instead of in memory. The file has no name and goes with the array."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        for piece in pieces:
            write_tokens(piece, file)
        file.flush()
        return np.memmap(file, dtype="<u2", mode="r") if file.tell() else np.empty(0, dtype=np.uint16)


def write_tokens(tokens: np.ndarray, file: IO[bytes]) -> None:
    for piece in _pieces(tokens):
        file.write(piece)


def sha256_of_tokens(tokens: np.ndarray) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(tokens):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(tokens: np.ndarray) -> Iterator[bytes]:
    """The content of a token file, a MiB at a time."""
    for start in range(0, len(tokens), 2**19):
        yield np.ascontiguousarray(tokens[start : start + 2**19], dtype="<u2").tobytes()


def mapped(path: Path) -> np.ndarray:
    return np.asarray(np.memmap(path, dtype="<u2", mode="r"))


@dataclass(frozen=True, kw_only=True)
class SplitFile:
    """A SPLIT.bin. bytes: UTF-8 bytes of its targets, by which losses become bits per byte."""

    tokens: NaturalInt
    bytes: NaturalInt
    sha256: str


@dataclass(frozen=True, kw_only=True)
class PreparedTokens:
    """meta.json. corpus, tokenizer: as run.to_json writes them; the tokenizer only where it learned from the text."""

    format: int
    fingerprint: str
    corpus: Mapping[str, Any]  # the fields depend on its class; from_json checks them
    text_sha256: str
    splits: Mapping[str, SplitFile]
    tokenizer: Mapping[str, Any] | None = None
    facts: Mapping[str, Fact]


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
    facts: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def splits(self) -> dict[str, np.ndarray]:
        return {"train": self.train, "validation": self.validation, **self.others}
