"""A section of the report that a plug-in adds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from lawful.report.content import Content, Place
from lawful.report.evidence import Evidence

__all__ = ["Content", "Place", "Section"]


class Section(ABC):
    """A file in sections/ holds one."""

    after: ClassVar[Place]

    @abstractmethod
    def content(self, evidence: Evidence) -> Content | None:
        """What the report says; None where the study has nothing for this section. It reads only the folder."""

    @abstractmethod
    def example(self, folder: Path) -> None:
        """Fill the folder of a study without runs with what the section is about: the contract then draws it."""
