"""Griffe extension: in a docstring, lines of `name   what it is` become a table, so that the site shows them as one."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROW = re.compile(r"(?P<name>\S(?:.*?\S)?) {2,}(?P<about>\S.*)")
MORE = re.compile(r" {4,}(?P<about>\S.*)")  # the row before goes on
SECTION = re.compile(r"-{3,}\s*")  # numpydoc has its own tables


class Aligned(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring and not any(map(SECTION.fullmatch, obj.docstring.value.splitlines())):
            obj.docstring.value = with_tables(obj.docstring.value)


def with_tables(docstring: str) -> str:
    """Paragraphs all of whose lines are rows, or go on with one, as tables; other paragraphs as they are."""
    return "\n\n".join(map(_shown, re.split(r"\n\s*\n", docstring)))


def _shown(paragraph: str) -> str:
    rows: list[tuple[str, str]] = []
    for line in paragraph.splitlines():
        if rows and (more := MORE.fullmatch(line)):
            rows[-1] = (rows[-1][0], f"{rows[-1][1]} {more['about']}")
        elif row := ROW.fullmatch(line):
            rows.append((row["name"], row["about"]))
        else:
            return paragraph
    if not rows:
        return paragraph
    cells = [(name.replace("|", "\\|"), about.replace("|", "\\|")) for name, about in rows]
    return "\n".join(["| name | what it is |", "|---|---|", *(f"| `{name}` | {about} |" for name, about in cells)])
