"""The types of single values: coordinates of a rung, cells of the table, facts of a corpus, plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
Coordinate = str | int | float | bool
Cell = str | int | float | bool | None
Fact = Cell | tuple[Cell, ...] | Mapping[str, Cell]  # what is told of a corpus
Observation = Mapping[str, Cell]  # a row of the table: its keys are the columns, which differ from table to table
