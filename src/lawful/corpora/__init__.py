"""Corpora: real text, split once, kept as fixed token files and served as a pure function of (seed, step)."""

from __future__ import annotations

import abc
import contextlib
import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from lawful import registry
from lawful.checks import shown
from lawful.errors import DataError, DeclarationError, StoreError
from lawful.overlap import shared_share
from lawful.plugins import PreparedData
from lawful.run import digest_of, from_json, to_json
from lawful.schema import Fact
from lawful.storage.atomic import write_json, write_whole
from lawful.storage.cache import cache_folder, sha256_of
from lawful.storage.codec import decode, to_plain
from lawful.storage.json_files import Json, read_json
from lawful.token_data import Built as Built
from lawful.token_data import PreparedTokens, SplitFile, TokenData, mapped, sha256_of_tokens, write_tokens
from lawful.tokenizers import Tokenizer

DIGITS = 16  # of a fingerprint
FORMAT = 2  # raised when prepared files, or the way a text becomes tokens, change their meaning
# looked at for validation text that stands in training: seconds of work, and all of a text of characters below 33 MB
_COMPARED_TRAIN_TOKENS, _COMPARED_VALIDATION_TOKENS = 2**25, 2**21
FIRST_REMARKS = 5  # on data, that a plan tells

Progress = Callable[[str, float], None]  # what is being done, and the share of it that is done (0 to 1)


@dataclass(frozen=True, kw_only=True)
class Corpus(abc.ABC):
    """What to read and how to split it. Plain data: it enters the Run's id. A leaf sets the three texts below.

    What `prepare` and `open` return is data as the training loop needs it: plugins.PreparedData.
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
    def prepare(self, data: Path | None = None, progress: Progress | None = None) -> PreparedData:
        """The data, made ready if it is not yet; returns at once when it is.

        data    where the user keeps the raw files; checked when given, even if prepared ones are there
        """

    @abc.abstractmethod
    def open(self, fingerprint: str) -> PreparedData:
        """Prepared data by its fingerprint, from the cache alone. LawfulError when absent or damaged."""

    def without_tokens(self) -> PreparedData | None:
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

    def known_facts(self) -> dict[str, Fact]:
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

    def known_facts(self) -> dict[str, Fact]:
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
        is_small = meta.splits["train"].tokens * 2 <= _ALWAYS_HASHED_BYTES
        problems = _problems(folder, meta, is_thorough=is_small)
        if problems:
            raise DataError(
                f"{self.name}: prepared data is damaged: {'; '.join(problems)}; {self._how_to_prepare()} again."
            )
        return TokenData(
            fingerprint=fingerprint,
            arrays={split: mapped(folder / f"{split}.bin") for split in meta.splits},
            num_bytes={split: known.bytes for split, known in meta.splits.items()},
            tokenizer=self.tokenizer if meta.tokenizer is None else from_json(meta.tokenizer),
            counted_from=self.counted_from,
            block=self.block,
            details={
                "corpus": self.name,
                "licence": self.licence,
                "source": self.source,
                "text_sha256": meta.text_sha256,
                "validation_fingerprint": meta.splits["validation"].sha256[:16],
                **meta.facts,
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
        found: dict[str, Fact] = {
            "overlap": shared_share(
                data.content("validation", _COMPARED_VALIDATION_TOKENS), data.content("train", _COMPARED_TRAIN_TOKENS)
            ),
            "overlap_tokens": min(data.train_tokens, _COMPARED_TRAIN_TOKENS),
        }
        folder = self._folder(data.fingerprint)
        meta = self._meta(folder, data.fingerprint)
        with contextlib.suppress(OSError):  # a cache that may only be read
            write_json(folder / "meta.json", to_plain(replace(meta, facts={**meta.facts, **found})))
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
            is_same_text = built.text_sha256 == meta.text_sha256
            for split, tokens in built.splits.items():
                if is_same_text and sha256_of_tokens(tokens) != meta.splits[split].sha256:
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
        return digest_of({"format": FORMAT, "corpus": to_json(self), "text": text_sha256}, DIGITS)

    def _folder(self, fingerprint: str) -> Path:
        return prepared_folder(self.name, fingerprint)

    def _index(self, source_key: str) -> Path:
        key = digest_of({"format": FORMAT, "corpus": to_json(self), "source": source_key}, DIGITS)
        return cache_folder() / "corpora" / self.name / "index" / f"{key}.json"

    def _meta(self, folder: Path, fingerprint: str) -> PreparedTokens:
        if not (folder / "meta.json").exists():
            raise DataError(
                f"{self.name}: expected prepared data {fingerprint} in {folder}, got none; {self._how_to_prepare()} "
                "(another fingerprint then means another text or split)."
            )
        path = folder / "meta.json"
        meta = decode(read_json(path), PreparedTokens, path)
        if self._fingerprint(meta.text_sha256) != fingerprint:
            raise DataError(
                f"{self.name}: expected data {fingerprint} of {to_json(self)}, got {folder} prepared from "
                f"{meta.corpus}; {self._how_to_prepare()}."
            )
        return meta

    def _write(self, fingerprint: str, built: Built) -> None:
        folder = self._folder(fingerprint)
        tokenizer = built.tokenizer or self.tokenizer
        splits = {}
        for split, tokens in built.splits.items():
            write_whole(folder / f"{split}.bin", functools.partial(write_tokens, tokens))
            targets = tokens[1:] if split != "train" else tokens[:0]  # the bytes of the training text are of no use
            splits[split] = SplitFile(
                tokens=len(tokens),
                bytes=tokenizer.num_bytes(targets[targets >= self.counted_from]),
                sha256=sha256_of_tokens(tokens),
            )
        meta = PreparedTokens(
            format=FORMAT,
            fingerprint=fingerprint,
            corpus=to_json(self),
            text_sha256=built.text_sha256,
            splits=splits,
            tokenizer=to_json(tokenizer) if tokenizer != self.tokenizer else None,
            facts=built.facts,
        )
        write_json(folder / "meta.json", to_plain(meta))


def remarked(remarks: Sequence[str]) -> dict[str, Fact]:
    """Facts that have the plan and the page tell these remarks: how many, and the first of them."""
    return {"remarks": len(remarks), "first_remarks": tuple(remarks[:FIRST_REMARKS])} if remarks else {}


def prepared_folder(name: str, fingerprint: str) -> Path:
    """Where prepared data lies. The fingerprint may be what a folder from elsewhere says."""
    if not re.fullmatch("[0-9a-z]{1,64}", str(fingerprint)):
        raise DataError(f"{name}: expected a fingerprint (hexadecimal digits), got {str(fingerprint)[:80]!r}.")
    return cache_folder() / "corpora" / name / fingerprint


def corpus_of(value: Json, *, also_from: str | None = None) -> Corpus:
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
    """Data that lies in the cache. `corpus` is None where it was prepared by a version of lawful unlike this one.
    tokens: by split."""

    fingerprint: str
    corpus: Corpus | None
    tokens: Mapping[str, int]


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
            Prepared(
                fingerprint=path.parent.name,
                corpus=corpus if isinstance(corpus, Corpus) else None,
                tokens={split: int(known["tokens"]) for split, known in meta["splits"].items()},
            )
        )
    return found


def raw_data_folder() -> Path | None:
    """LAWFUL_DATA: where raw texts are kept for tests and offline machines."""
    named = os.environ.get("LAWFUL_DATA")
    return Path(named) if named else None


_ALWAYS_HASHED_BYTES = 64 * 2**20  # about 50 ms; larger files are hashed by `lawful data verify`


def _problems(folder: Path, meta: PreparedTokens, *, is_thorough: bool) -> list[str]:
    problems = []
    for split, known in meta.splits.items():
        path = folder / f"{split}.bin"
        expected = known.tokens * 2
        got = path.stat().st_size if path.exists() else None
        if got != expected:
            problems.append(f"{path}: expected {expected:,} bytes, got {'no file' if got is None else f'{got:,}'}")
        elif is_thorough and (sha256 := sha256_of(path)) != known.sha256:
            problems.append(f"{path}: expected SHA-256 {known.sha256}, got {sha256}")
    return problems


def _silent(what: str, share: float) -> None:
    pass
