"""Character language models for decoding: ARPA files are read here, KenLM's binary files by the package kenlm.

Katz's form, as ARPA files have it: the log-probability of the longest known n-gram, plus the back-off weights of the
longer histories that were not found with it.

A model that has a name for the space is of lines of text. One that has none is of words, one a line, as the model that
emg2qwerty distributes: a key it has no name for ends the word.
"""

from __future__ import annotations

import functools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, final

from lawful import unpack
from lawful.domains.emg.tokenizers.keys import ENTER, SHIFT, SPACE
from lawful.errors import DataError, MissingDependency
from lawful.storage.json_files import reading

if TYPE_CHECKING:
    import kenlm

State: TypeAlias = "tuple[str, ...] | kenlm.State"
NATS = math.log(10)  # files hold log10
MOST_ORDER = 20  # of characters; KenLM itself is built for 6
MOST_NGRAMS = 50_000_000  # 15 GB of memory
MOST_LINE_BYTES = 2**16
UNKNOWN_LOG10 = -100.0  # of a character without <unk> to stand for it, as KenLM has it
KENLM = b"mmap lm "  # how KenLM's binary files begin (lm/binary_format.cc)
BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
# A file separates its words by spaces, so that a space has another name there. The first that the model knows is taken
SPELLINGS = {SPACE: ("<space>", "␣", "▁", "Key.space"), ENTER: ("⏎", "<enter>", "<return>", "Key.enter")}


class LanguageModel(ABC):
    """How likely a character is after others. A state stands for what came before; it is never changed in place."""

    @property
    @abstractmethod
    def begin(self) -> State:
        """The state at the beginning of a line."""

    @property
    @abstractmethod
    def empty(self) -> State:
        """The state after nothing, not even the beginning of a line."""

    @abstractmethod
    def knows(self, word: str) -> bool:
        """Whether the model has seen the word (here a word is one character)."""

    @abstractmethod
    def follow(self, state: State, word: str) -> tuple[float, State]:
        """Log-probability of the word after the state, in nats, and the state after it."""

    @functools.cached_property
    def has_spaces(self) -> bool:
        """Whether it is a model of lines; else it is one of words."""
        return any(map(self.knows, SPELLINGS[SPACE]))

    def scores(self, symbol: str) -> bool:
        """Whether the key is scored, if it is not a backspace. To a model of words, shift is a key like any other."""
        return symbol != SHIFT or not self.has_spaces

    def type(self, state: State, symbol: str) -> tuple[float, State]:
        """The same for a key.

        In a model of words, a key without a name ends the word, and costs what </s> costs there; between words it costs
        what <unk> does (as emg2qwerty's decoder has it). In a model of lines, enter is the end of a line where the
        model has no name for it, and a capital that the model has never seen is scored as its small letter.
        """
        for word in SPELLINGS.get(symbol, (symbol, symbol.lower()) if self.has_spaces else (symbol,)):
            if self.knows(word):
                return self.follow(state, word)
        if not self.has_spaces:
            is_between = state == self.begin
            return self.follow(*((self.empty, UNKNOWN) if is_between else (state, END)))[0], self.begin
        if symbol == ENTER:
            return self.follow(state, END)[0], self.begin
        return self.follow(state, UNKNOWN)


@final
class Arpa(LanguageModel):
    """An ARPA file, whole in memory: about 300 bytes an n-gram. States are the last order - 1 words."""

    def __init__(self, path: Path) -> None:
        """Raises LawfulError naming the line that is not as the format has it."""
        self.order, self.ngrams = _read(path)

    @property
    def begin(self) -> tuple[str, ...]:
        return (BEGIN,)[: self.order - 1]

    @property
    def empty(self) -> tuple[str, ...]:
        return ()

    def knows(self, word: str) -> bool:
        return (word,) in self.ngrams

    def follow(self, state: State, word: str) -> tuple[float, State]:
        word = word if self.knows(word) else UNKNOWN
        found, history = 0.0, state
        while (*history, word) not in self.ngrams:
            if not history:
                found += UNKNOWN_LOG10
                break
            found += self.ngrams.get(history, (0.0, 0.0))[1]
            history = history[1:]
        else:
            found += self.ngrams[(*history, word)][0]
        return found * NATS, (*state, word)[max(0, len(state) + 2 - self.order) :]


@final
class KenLm(LanguageModel):
    """KenLM's binary files, mapped into memory; for models too large for Arpa."""

    def __init__(self, path: Path) -> None:
        try:
            import kenlm
        except ImportError as error:
            what = f"{path}: reading KenLM's binary files"
            raise MissingDependency.of("kenlm", extra="kenlm", what=what, error=error) from None
        try:
            self.model, self._new_state = kenlm.Model(str(path)), kenlm.State
        except OSError as error:
            raise DataError(f"{path}: expected a language model, ARPA or KenLM's ({error}).") from None

    @property
    def begin(self) -> State:
        state = self._new_state()
        self.model.BeginSentenceWrite(state)
        return state

    @property
    def empty(self) -> State:
        state = self._new_state()
        self.model.NullContextWrite(state)
        return state

    def knows(self, word: str) -> bool:
        return word in self.model

    def follow(self, state: State, word: str) -> tuple[float, State]:
        after = self._new_state()
        return float(self.model.BaseScore(state, word, after)) * NATS, after


def open_language_model(path: Path) -> LanguageModel:
    """By what the file is: ARPA (gzip too) or KenLM's. Raises LawfulError where it is neither, or not there."""
    if not path.is_file():
        raise DataError(f"{path}: expected a character language model (ARPA or KenLM), got no such file.")
    with reading(path, "a language model, ARPA or KenLM's", DataError), unpack.Unpacked(path) as file:
        head = file.read(4096)
    if b"\\data\\" in head:
        return Arpa(path)
    if head.startswith(KENLM):
        return KenLm(path)
    raise DataError(f"{path}: expected a language model, ARPA or KenLM's, got a file that begins with {head[:20]!r}.")


def _read(path: Path) -> tuple[int, dict[tuple[str, ...], tuple[float, float]]]:
    """The order, and (log10 probability, log10 back-off weight) by n-gram."""
    declared: dict[int, int] = {}
    ngrams: dict[tuple[str, ...], tuple[float, float]] = {}
    counted: dict[int, int] = {}
    order = 0  # of the section that is being read; 0 before the first
    for number, line in _lines(path):
        if not order and (size := re.fullmatch(r"ngram +(\d{1,9}) *= *(\d{1,18})", line, re.ASCII)):
            declared[int(size[1])] = int(size[2])
            if max(declared) > MOST_ORDER or sum(declared.values()) > MOST_NGRAMS:
                raise DataError(
                    f"{path}, line {number}: expected at most {MOST_NGRAMS:,} n-grams of an order of at most "
                    f"{MOST_ORDER}, got {line[:80]!r}; KenLM's binary files hold larger models."
                )
        elif begin := re.fullmatch(r"\\(\d{1,9})-grams:", line, re.ASCII):
            order = int(begin[1])
        elif order:
            logp, *words = line.split()
            numbers = [_log10(logp), _log10(words[order]) if len(words) == order + 1 else 0.0]
            if len(words) not in (order, order + 1) or None in numbers or (numbers[0] or 0.0) > 0:
                raise DataError(
                    f"{path}, line {number}: expected a log10 probability, {order} words and at most one back-off "
                    f"weight, got {line[:80]!r}."
                )
            counted[order] = counted.get(order, 0) + 1
            if counted[order] > declared.get(order, 0):
                break  # said below
            ngrams[tuple(words[:order])] = (numbers[0] or 0.0, numbers[1] or 0.0)
    if not declared or counted != {size: count for size, count in declared.items() if count}:
        told, got = (
            ", ".join(f"{n} of order {size}" for size, n in sorted(some.items())) or "none"
            for some in (declared, counted)
        )
        raise DataError(f"{path}: expected the n-grams that its head declares ({told}), got {got}; it was cut short.")
    return max(declared), ngrams


def _log10(text: str) -> float | None:
    """None where the text is no finite number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines between \\data\\ and \\end\\ that are not empty, with their numbers."""
    is_inside = False
    with reading(path, "a language model (ARPA)", DataError), unpack.Unpacked(path) as file:
        for number, raw in enumerate(iter(lambda: file.readline(MOST_LINE_BYTES), b""), start=1):
            if len(raw) == MOST_LINE_BYTES:
                raise DataError(f"{path}, line {number}: expected at most {MOST_LINE_BYTES:,} bytes, got more.")
            try:
                line = raw.decode().strip(" \t\r\n")
            except UnicodeDecodeError:
                raise DataError(f"{path}, line {number}: expected UTF-8, got {raw[:40]!r}.") from None
            if line == "\\end\\":
                return
            if is_inside and line:
                yield number, line
            is_inside = is_inside or line == "\\data\\"
