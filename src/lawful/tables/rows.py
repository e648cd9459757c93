"""Rows that are kept as columns. A million mappings take a gigabyte and minutes; their columns take a quarter of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import overload

from lawful.schema import Cell
from lawful.tables.cells import Row


class Columns(Sequence[Row]):
    """The rows of columns of one length: each is made when it is asked for.

    cells   column -> its cells
    """

    def __init__(self, cells: Mapping[str, Sequence[Cell]]) -> None:
        self.cells = cells

    def __len__(self) -> int:
        return len(next(iter(self.cells.values()), ()))

    def __iter__(self) -> Iterator[dict[str, Cell]]:
        for cells in zip(*self.cells.values(), strict=True):
            yield dict(zip(self.cells, cells, strict=True))

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | Sequence[Row]:
        if isinstance(place, slice):
            return Columns({name: cells[place] for name, cells in self.cells.items()})
        return {name: cells[place] for name, cells in self.cells.items()}


def chosen(rows: Sequence[Row], is_kept: Sequence[bool]) -> Sequence[Row]:
    """The rows that are kept, of columns as columns."""
    if isinstance(rows, Columns):
        return Columns({name: list(itertools.compress(cells, is_kept)) for name, cells in rows.cells.items()})
    return tuple(itertools.compress(rows, is_kept))
