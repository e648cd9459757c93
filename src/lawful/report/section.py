"""A section of the report that a plug-in adds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from lawful import registry
from lawful.report.markup import Html

if TYPE_CHECKING:
    from lawful.report.evidence import Evidence

Place = Literal["doubts", "baselines"]  # the section of the page that it follows


@dataclass(frozen=True, kw_only=True)
class Content:
    """The same content for report.html and for report.md.

    html       a whole <section> with an id
    markdown   paragraphs; the first is the heading
    figures    name of a file in figures/ -> what it holds
    """

    html: Html
    markdown: tuple[str, ...]
    figures: Mapping[str, bytes] = field(default_factory=dict)


class Section(ABC):
    """A file in sections/ holds one."""

    after: ClassVar[Place]

    @abstractmethod
    def content(self, evidence: Evidence) -> Content | None:
        """What the report says; None where the study has nothing for this section. It reads only the folder."""

    @abstractmethod
    def example(self, folder: Path) -> None:
        """Fill the folder of a study without runs with what the section is about: the contract then draws it."""


def contents_of(evidence: Evidence) -> dict[Place, list[Content]]:
    """What every registered section says of a study, by place."""
    by_place: dict[Place, list[Content]] = {"doubts": [], "baselines": []}
    for section in registry.every("sections").values():
        if content := section().content(evidence):
            by_place[section.after].append(content)
    return by_place
