"""tiny_shakespeare: 1.1 MB of Shakespeare's plays, pinned to the byte."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, final

from lawful import download
from lawful.checks import NaturalInt, Part, PositiveInt, Within, check_fields
from lawful.corpora import Built, Progress, TokenCorpus, raw_data_folder
from lawful.errors import DataError
from lawful.storage.atomic import write_bytes
from lawful.storage.cache import cache_folder
from lawful.tokenizers import Tokenizer
from lawful.tokenizers.characters import Characters

URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
BYTES = 1_115_394
# Of a cut by first_characters: what early stopping looks at, and what all are judged on. They lie on either side of
# where the last tenth of the text begins, and are the same for every cut.
SELECTION_CHARACTERS, VALIDATION_CHARACTERS = 20_000, 100_000
# every character that occurs in the pinned text
ALPHABET = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@final
@dataclass(frozen=True, kw_only=True)
class TinyShakespeare(TokenCorpus):
    """The first `train_share` of the text is for training, the rest for validation.

    The text is cut before it is encoded, so that every tokenizer is judged on the same characters; with
    `first_tokens`, the text is encoded, its first tokens are kept, and these are cut. A tokenizer then learns from as
    many characters as there are training tokens: each token has at least one, so none of validation's is among them.

    With `first_characters`, to ask how much text matters: that many are for training, from `from_character` on; the
    validation text is cut to its first 100,000 characters, and the 20,000 before it are the split "selection". What a
    tokenizer learns, it learns from all text before the selection, so that the vocabulary is one at every size.
    """

    name: ClassVar[str] = "tiny_shakespeare"
    licence: ClassVar[str] = "public domain (Shakespeare's plays; compiled by A. Karpathy for char-rnn)"
    source: ClassVar[str] = URL

    tokenizer: Tokenizer = field(default_factory=lambda: Characters(alphabet=ALPHABET))
    first_tokens: Annotated[int, Within(at_least=4)] | None = None
    train_share: Part = 0.9
    first_characters: PositiveInt | None = None
    from_character: NaturalInt = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.first_characters is None:
            if self.from_character:
                raise DataError("from_character: it means nothing without first_characters.")
            return
        room = int(BYTES * self.train_share) - SELECTION_CHARACTERS
        last = self.from_character + self.first_characters
        if self.first_tokens is not None or not 2 <= self.first_characters <= last <= room:
            raise DataError(
                f"first_characters: expected 2 to {room:,} characters, from_character included, and no first_tokens; "
                f"got {self.first_characters:,} from {self.from_character:,}."
            )

    @property
    def pinned_fingerprint(self) -> str:
        return self._fingerprint(self._text_sha256)

    @property
    def _text_sha256(self) -> str:
        """The SHA-256 of the text. Another one where a tokenizer once learned from held-out text, so that token files
        are made again."""
        is_learned = type(self.tokenizer).trained is not Tokenizer.trained
        if is_learned and (self.first_tokens is not None or self.first_characters is not None):
            return hashlib.sha256(f"{SHA256}, learned from training text only".encode()).hexdigest()
        return SHA256

    def _source_key(self, data: Path | None) -> str:
        if data is not None:
            _checked(_file_in(data))
        return self._text_sha256

    def _can_read(self, data: Path | None) -> bool:
        return _file_at_hand(data) is not None or _downloaded().exists()

    def _build(self, data: Path | None, progress: Progress) -> Built:
        path = _file_at_hand(data)
        if path is None:
            path = download.pinned(
                _downloaded(), url=URL, sha256=SHA256, num_bytes=BYTES, flag="--data", report=progress
            )
        content = _checked(path)
        if data is not None and not _downloaded().exists():
            write_bytes(_downloaded(), content)  # so that --data is needed once only
        text = content.decode("ascii")
        cut = int(len(text) * self.train_share)
        learned_from = cut  # characters
        if self.first_characters is not None:
            learned_from = cut - SELECTION_CHARACTERS
        elif self.first_tokens is not None:
            learned_from = int(self.first_tokens * self.train_share)
        tokenizer = self.tokenizer.trained([text[:learned_from]])
        others = {}
        if self.first_characters is not None:
            train = tokenizer.encode(text[self.from_character : self.from_character + self.first_characters])
            validation = tokenizer.encode(text[cut : cut + VALIDATION_CHARACTERS])
            others["selection"] = tokenizer.encode(text[cut - SELECTION_CHARACTERS : cut])
        elif self.first_tokens is None:
            train, validation = tokenizer.encode(text[:cut]), tokenizer.encode(text[cut:])
        else:
            tokens = tokenizer.encode(text)
            if len(tokens) < self.first_tokens:
                raise DataError(
                    f"first_tokens: expected at most the {len(tokens):,} tokens of the text, got {self.first_tokens:,}."
                )
            train, validation = tokens[:learned_from], tokens[learned_from : self.first_tokens]
        return Built(
            train=train,
            validation=validation,
            text_sha256=self._text_sha256,
            tokenizer=tokenizer,
            others=others,
            facts={"text_bytes": BYTES},
        )


def _file_at_hand(data: Path | None) -> Path | None:
    """The user's file; else the one in LAWFUL_DATA; else None."""
    if data is not None:
        return _file_in(data)
    folder = raw_data_folder()
    path = folder / "tinyshakespeare" / "input.txt" if folder else None
    return path if path and path.exists() else None


def _file_in(data: Path) -> Path:
    for path in (data, data / "input.txt", data / "tinyshakespeare" / "input.txt"):
        if path.is_file():
            return path
    raise DataError(
        f"--data {data}: expected the text of tiny_shakespeare (a file, or a folder that holds input.txt or "
        f"tinyshakespeare/input.txt), got {'a folder without it' if data.is_dir() else 'no such file'}; "
        f"it is {URL} ({BYTES:,} bytes, SHA-256 {SHA256})."
    )


def _checked(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(BYTES + 1)
    got = hashlib.sha256(content).hexdigest()
    if got != SHA256:
        size = path.stat().st_size
        raise DataError(
            f"{path}: expected tiny_shakespeare ({BYTES:,} bytes, SHA-256 {SHA256}), got "
            f"{size:,} bytes{'' if size > BYTES else f', SHA-256 {got}'}; "
            f"take the file from {URL}, line ends unchanged, and pass it with --data."
        )
    return content


def _downloaded() -> Path:
    return cache_folder() / "downloads" / f"tiny_shakespeare-{SHA256[:8]}.txt"
