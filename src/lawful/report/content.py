"""What a section of a plug-in adds to the report, and the places where it may stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lawful.report.markup import Html

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
