"""What plug-ins of different folders give each other, and what else they can bring: columns, analyses, readers."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import Field, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from lawful import registry
from lawful.schema import Fact
from lawful.storage.json_files import Json

RawRow = Mapping[str, Json]  # a row of a source: column -> cell, which is parsed when the table is read


class Batch(Protocol):
    """A frozen dataclass of arrays, or of tensors once it is on a device; each has the rows of the batch first."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def inputs(self) -> Sized: ...


class PreparedData(Protocol):
    """What a corpus prepares and opens: data as the training loop needs it.

    splits    "train" and "validation"; "test" where a final judgement is kept apart; "selection" where early stopping
              must not look at validation
    """

    @property
    def fingerprint(self) -> str: ...

    @property
    def splits(self) -> Sequence[str]: ...

    @property
    def train_tokens(self) -> int: ...

    @property
    def is_slow_to_read(self) -> bool:
        """Whether batches are better made ahead, by processes of their own."""

    def facts(self) -> Mapping[str, Fact]: ...

    def misfit(self, context: int) -> str | None:
        """Why windows of so many targets cannot be taken; None where they can."""

    def named(self, split: str, number: int) -> Mapping[str, str]:
        """What the sequence of this number is called; empty where sequences have no names."""

    def batch(self, split: str = "train", *, seed: int, step: int, batch_size: int, context: int) -> Batch:
        """The batch of a step: a pure function of its arguments."""

    def evaluation_batches(
        self, split: str, *, context: int, batch_size: int, targets: int | None = None
    ) -> Iterator[Batch]:
        """All of a split in order, or its first so many targets."""

    def bits_per_byte(self, loss: float, split: str = "validation") -> float | None:
        """The bits per byte of a loss that is averaged over a whole split; None where the data have no bytes."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the table that only some runs have. A file in columns/ holds them by name, in COLUMNS.

    unit     of its numbers; a plug-in's columns hold numbers, since only coordinates and the core's columns are texts
    about    what it is
    title    its name on charts and in sentences; empty: the column's own
    header   its name in the report's table of means over seeds; empty: it is not in that table
    """

    unit: str
    about: str
    title: str = ""
    header: str = ""


@dataclass(frozen=True)
class Details:
    """What a task keeps of the single sequences of one split, for the report, in runs/ID/details.json: the base class
    of frozen dataclasses of plain data."""


class Analysis:
    """Work on a study's folder that only some studies need. Each method is called for every study, and returns at once
    where the study is none of its own."""

    def before_fit(self, folder: Path, say: Callable[[str], None], own: Callable[[], str | None]) -> None:
        """Called once, before the laws are fitted. It may load trained models; then it must import torch itself.

        say    tells the user what takes time, or why something is left out
        own    gives the module of the study's own file, where that may run
        """

    def after_fit(self, folder: Path) -> None:
        """Called after each fit, also while the study runs; it may write into fits/. It must not import torch."""


@dataclass(frozen=True)
class Remark:
    """A sentence of a reader about what it did with a source, beside the rows: what was left out, joined, or logged
    twice. It is printed with every answer."""

    text: str


class Reader(ABC):
    """Reads the finished runs that a file or folder holds, as a run tracker or trainer wrote them.

    suffixes   of files that it reads, in lower case: ".xlsx"
    scheme     of addresses that it reads instead of files: "wandb" for wandb://entity/project
    about      what it reads, in words that stand beside every answer: "TensorBoard logs: the last value of each run"
    is_outer   its folders hold what other readers read (the jobs of a sweep), so it is asked before them
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    scheme: ClassVar[str] = ""
    about: ClassVar[str] = ""
    is_outer: ClassVar[bool] = False

    def reads(self, path: Path) -> bool:
        """Whether this file or folder is of its kind. It looks at names and at the first lines, and never fails."""
        return path.is_file() and path.suffix.lower() in self.suffixes

    @abstractmethod
    def rows(self, path: Path) -> Iterable[RawRow | Remark]:
        """A mapping from column to cell for each run, or for each step of each run's log: with columns `run` and `step`
        then; and remarks. Raises a LawfulError that names the file where it is damaged."""

    def rows_at(self, address: str) -> Iterable[RawRow | Remark]:
        """As rows, of an address that begins with its scheme."""
        raise NotImplementedError(f"{type(self).__name__} reads no addresses")


@functools.cache
def columns() -> Mapping[str, Column]:
    """The columns that domains and packages bring, by name."""
    return {name: column for module in registry.every("columns").values() for name, column in module.COLUMNS.items()}


def column_title(name: str) -> str:
    """Empty where no plug-in gives it a title."""
    return columns()[name].title if name in columns() else ""


@functools.cache
def analyses() -> tuple[Analysis, ...]:
    return tuple(analysis() for analysis in registry.every("analyses").values())


def readers_of(path: Path) -> tuple[Reader, ...]:
    """The readers for this file or folder, the one to take first; usual formats of tables are read by lawful.tables."""
    readers: list[Reader] = [reader() for reader in registry.every("readers").values()]
    return tuple(reader for reader in sorted(readers, key=lambda reader: not reader.is_outer) if reader.reads(path))


def reader_at(address: str) -> Reader | None:
    """The reader for an address such as wandb://entity/project."""
    scheme = address.partition("://")[0]
    readers = (reader() for reader in registry.every("readers").values())
    return next((reader for reader in readers if reader.scheme == scheme), None)


def separated(parts: Iterable[RawRow | Remark]) -> tuple[list[RawRow], tuple[str, ...]]:
    """The rows that a reader gives, and the texts of its remarks, each once."""
    rows, said = [], []
    for part in parts:
        if isinstance(part, Remark):
            said.append(part.text)
        else:
            rows.append(part)
    return rows, tuple(dict.fromkeys(said))
