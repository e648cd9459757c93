"""Where runs go. An executor has one method, submit; it ships `python -m lawful.train.worker FOLDER RUN_ID`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path


class Job(ABC):
    """Submitted work; the truth about each run is in its own folder, never here."""

    @abstractmethod
    def is_over(self) -> bool:
        """Whether nothing is left that this job could still do."""

    @abstractmethod
    def stop(self) -> None:
        """Ask every run to checkpoint and leave, and wait for it."""


class Executor(ABC):
    """A frozen dataclass of plain data."""

    @abstractmethod
    def submit(self, folder: Path, groups: Sequence[Sequence[str]]) -> Job:
        """Start the runs named by id. Those of one group share a trunk and are best done one after the other,
        in the order given."""
