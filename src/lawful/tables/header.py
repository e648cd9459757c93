"""Headers of more than one row: a title above the names, groups of columns above them, units below them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lawful.tables.cells import EMPTY, plain_number
from lawful.tables.names import LOSS_UNITS, UNITS

MOST_ROWS = 5  # of titles, groups and units
_BRACKETS = re.compile(r"[(\[](.*)[)\]]")


@dataclass(frozen=True, kw_only=True)
class Header:
    """names   of the columns, "" where one has none
    rows    how many rows of the table they take
    said    what was joined or left out
    """

    names: list[str]
    rows: int
    said: tuple[str, ...] = ()


def header_of(rows: Sequence[Sequence[str]]) -> Header:
    """The names of the columns, from the first rows of a table, each cell a text."""
    said: list[str] = []
    skipped = 0
    while len(rows) > skipped + 1 and _is_title(rows[skipped]) and _are_names(rows[skipped + 1]):
        said.append(f"the title {next(filter(None, rows[skipped]))!r} above the table left out")
        skipped += 1
    names, below = list(rows[skipped]), list(rows[skipped + 1 : skipped + 3])
    if below and _are_units(below[0]) and len(below[0]) == len(names):
        units = [unit.strip("()[] ") for unit in below[0]]
        joined = [f"{name} [{unit}]" if unit else name for name, unit in zip(names, units, strict=True)]
        return Header(names=joined, rows=skipped + 2, said=(*said, "a row of units below the names"))
    if len(below) > 1 and len(below[0]) == len(names) and _are_groups(names, below[0]) and _has_number(below[1]):
        group, joined = "", []
        for above, name in zip(names, below[0], strict=True):
            group = above or group
            joined.append(f"{group}.{name}" if group and name else group or name)
        return Header(names=joined, rows=skipped + 2, said=(*said, "groups of columns above their names"))
    return Header(names=names, rows=skipped + 1, said=tuple(said))


def _is_title(row: Sequence[str]) -> bool:
    """One text over a table of several columns."""
    return len(row) > 1 and bool(row[0]) and not any(row[1:]) and plain_number(row[0]) is None


def _are_names(row: Sequence[str]) -> bool:
    filled = [cell for cell in row if cell]
    return len(filled) > 1 and not _has_number(row) and len(set(filled)) > 1


def _are_units(row: Sequence[str]) -> bool:
    """Each cell that is filled is a unit, at least one of a count or a loss."""
    filled = [cell for cell in row if cell.lower() not in EMPTY]
    bare = [(_BRACKETS.fullmatch(cell) or [cell, cell])[1].strip().lower() for cell in filled]
    known = [unit in UNITS or unit.replace("/", "_").replace(" ", "_") in LOSS_UNITS for unit in bare]
    return any(known) and all(
        is_known or _BRACKETS.fullmatch(cell) for is_known, cell in zip(known, filled, strict=True)
    )


def _are_groups(names: Sequence[str], below: Sequence[str]) -> bool:
    """Whether the names are those of groups: some are repeated or empty, and names are below them."""
    own = [cell for cell in below if cell]
    is_of_groups = len(set(names)) < len(names) or "" in names
    are_names = all(any(map(str.isalpha, cell)) for cell in own) and not _has_number(below)  # no rule of dashes
    is_repeated = sum(map(bool, names)) > 0 and all(name in ("", cell) for name, cell in zip(names, below, strict=True))
    return is_of_groups and not is_repeated and are_names and len(own) > 1 and len(own) >= sum(map(bool, names))


def _has_number(row: Sequence[str]) -> bool:
    return any(any(map(str.isdecimal, cell)) and _begins_a_number(cell) for cell in row)


def _begins_a_number(cell: str) -> bool:
    return plain_number(cell) is not None or cell.lstrip("+-.~≈<>")[:1].isdecimal()
