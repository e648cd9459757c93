"""Observations: one tidy table, one row per run that has ended. The seam between training and analysis.

Everything left of it may use torch; nothing right of it does.
"""

from __future__ import annotations

import decimal
import functools
import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lawful.errors import TableError
from lawful.response import LOG, Response
from lawful.schema import Cell
from lawful.storage.json_files import plain
from lawful.tables.cells import Row, is_empty, is_finished, texts_of
from lawful.tables.columns import current_name
from lawful.tables.frames import MakeFrame, as_frame
from lawful.tables.roles import measure_of
from lawful.tables.rows import Columns, chosen

COPY = "the same as an earlier row in all but its name"
LEAST_DIGITS = 6  # of a loss: at a spread of 1 % between runs, two agree in six digits by chance in about 1 of 10,000
FILE, ROW = "source", "source_row"  # of a tidy table: where a row came from
# columns that name a run or say when it ran: they may differ between copies of one row
_NAMES = frozenset(
    "run run_name run_id name id Name ID cluster _timestamp timestamp created_at createdAt _runtime runtime".split()
) | {FILE, ROW}
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d|$)")
OWN = {"study", "rung", "data_fingerprint"}  # columns of each table that lawful writes
# a column that only runs beside the ladder have -> why they are left out of every law
OFF_LADDER = {
    "bracket": "tries another learning rate (bracket)",
    "starts_from": "begins with another run's weights (fine-tuning)",
    "left_plan": "of an earlier plan of this study",
}


@dataclass(frozen=True)
class Observations:
    """An immutable table: rows of plain values under named columns, and where they came from.

    source      a file, a folder, or "memory"
    dropped     rows left out so far: {"row", "run", "rung", "reason"}; filters add to it, never silently
    roles       what a column is to a law -> its name here: {"params": "N", "loss": "val_loss"}
    said        how the table was read, in sentences: its format, its columns, what was converted or left out
    converted   column -> the column that holds its numbers in units of one, where they were converted
    noise       settings that differ between runs and that the user calls noise
    lone        columns whose cells are all like 1.234, which some write for 1234
    response    what the metric is: a loss, a share of right answers, another number
    is_of_optima  each row is the best size or data at a budget, not a run
    """

    rows: Sequence[Row]
    source: str = "memory"
    dropped: tuple[Row, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    converted: Mapping[str, str] = field(default_factory=dict)
    noise: tuple[str, ...] = ()
    lone: frozenset[str] = frozenset()
    is_of_optima: bool = False
    response: Response = LOG

    def __repr__(self) -> str:
        """Short: a table may have a million rows."""
        roles = ", ".join(f"{role} {column!r}" for role, column in self.roles.items())
        left = f"; {len(self.dropped)} left out" if self.dropped else ""
        return f"<{len(self)} rows of {self.source}: {roles or f'{len(self.columns)} columns'}{left}>"

    def to_frame(self, kind: MakeFrame | None = None) -> Any:  # Any: a frame of the caller's own library
        """The rows as a DataFrame, counts in units of one.

        Parameters
        ----------
        kind
            What makes a table of columns: pandas.DataFrame (default), polars.DataFrame, pyarrow.table, dict.
        """
        return as_frame(
            {
                name: [None if isinstance(cell, str) and cell == "" else cell for cell in self.cells(name)]
                for name in self.columns
            },
            kind,
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @functools.cached_property
    def columns(self) -> list[str]:
        if isinstance(self.rows, Columns):
            return list(self.rows.cells)
        return list(dict.fromkeys(itertools.chain.from_iterable(self.rows)))

    def values(self, column: str) -> list[Cell]:
        self.expect(column)
        return [row.get(column) for row in self.rows]

    def cells(self, column: str) -> Sequence[Cell]:
        """As values; "" where a row, or the table, has no such column."""
        if isinstance(self.rows, Columns):
            return self.rows.cells.get(column) or [""] * len(self.rows)
        return [row.get(column, "") for row in self.rows]

    def with_cells(self, column: str, cells: Sequence[Cell]) -> Observations:
        """The table with these cells in a column, a new one or in place of the former; a row that has no such column
        gets none for an empty cell."""
        if isinstance(self.rows, Columns):
            return replace(self, rows=Columns({**self.rows.cells, column: cells}))
        pairs = zip(self.rows, cells, strict=True)
        return replace(
            self, rows=tuple(row if cell == "" and column not in row else {**row, column: cell} for row, cell in pairs)
        )

    def known_as(self, column: str) -> str:
        """The column's name here, where it was asked for by a former one, or is held in other units."""
        column = self.converted.get(column, column)
        return current if column not in self.columns and (current := current_name(column)) in self.columns else column

    def numbers(self, column: str) -> np.ndarray:
        """Shape (rows,), float64; an empty cell is NaN. Raises TableError for a text that is no number."""
        cells = self.values(column)
        try:
            return np.array([_number(cell) for cell in cells])
        except (TypeError, ValueError):
            number, cell = next((i, c) for i, c in enumerate(cells, start=1) if not _is_number(c))
            raise TableError(
                f"{self.source}: row {number}, column {column!r}: expected a number, got {cell!r}."
            ) from None

    def where(self, keep: Callable[[Row], bool], reason: str | Callable[[Row], str]) -> Observations:
        """The rows for which `keep` holds; the others are recorded in `dropped` with the reason."""
        return self.kept([keep(row) for row in self.rows], reason)

    def kept(self, is_kept: Sequence[bool], reason: str | Callable[[Row], str]) -> Observations:
        """As where; is_kept: of each row."""
        return self if all(is_kept) else self._with(is_kept, chosen(self.rows, is_kept), reason)

    def replaced(self, rows: Mapping[int, Row], reason: str) -> Observations:
        """The rows at these places (from 0), as they are given; the others are recorded in `dropped`."""
        is_kept = [place in rows for place in range(len(self.rows))]
        return self._with(is_kept, tuple(rows[place] for place in sorted(rows)), reason)

    def _with(
        self,
        is_kept: Sequence[bool],
        kept: Sequence[Row],
        reason: str | Callable[[Row], str],
    ) -> Observations:
        if all(is_kept):
            return replace(self, rows=kept)
        gone = {row.get("row") for row in self.dropped}  # a row keeps the number that it has in the table
        numbers = itertools.filterfalse(gone.__contains__, itertools.count(1))
        left = tuple(
            {
                "row": number,
                "run": run,
                "rung": rung,
                "reason": reason if isinstance(reason, str) else reason(self.rows[place]),
            }
            for place, (number, run, rung, is_here) in enumerate(
                zip(numbers, self.cells("run"), self.cells("rung"), is_kept, strict=False)
            )
            if not is_here
        )
        return replace(self, rows=kept, dropped=self.dropped + left)

    def of_ladder(self, *, has_brackets: bool = False) -> Observations:
        """The finished runs that are rungs: what any law may be fitted to or held against. has_brackets: also those
        that try another learning rate beside a rung."""
        own = self.where(is_finished, lambda row: f"not finished: {row['status']}")
        for column, why in OFF_LADDER.items():
            if has_brackets and column == "bracket":
                continue
            own = own.where(lambda row, column=column: row.get(column) in ("", None), why)  # type: ignore[misc]
        copies = own.alike(LEAST_DIGITS)
        numbers = itertools.count()
        return own.where(lambda row: next(numbers) not in copies, COPY) if copies else own

    @property
    def loss_unit(self) -> str:
        """What the losses are in, by a column `loss_unit`, or else by their column's name; empty where neither says."""
        if told := list(dict.fromkeys(str(row["loss_unit"]) for row in self.rows if row.get("loss_unit"))):
            return ", ".join(told).replace("_", " ")
        loss = self.roles.get("loss", "")
        return measure_of(next((column for column, new in self.converted.items() if new == loss), loss))

    @property
    def is_of_study(self) -> bool:
        """Written by lawful: a run's name is then a hash of all that determines it."""
        return OWN <= set(self.columns)

    def alike(self, digits: int = 0) -> frozenset[int]:
        """Indices of rows that say the same as an earlier one in all but their names, where losses are written to at
        least so many significant digits: two runs do not end at one loss to its last digit by chance. A column of text
        in which no value comes twice is one of names."""
        if self.is_of_study or not self.is_exact(self.roles.get("loss"), digits):
            return frozenset()
        names = {*_NAMES, self.roles.get("cluster", "")}
        for column in set(self.columns) - names:
            cells = [row.get(column) for row in self.rows]
            is_name = all(isinstance(cell, str) and cell for cell in cells) and len(set(cells)) == len(cells)
            if is_name or is_time(column, cells):
                names.add(column)
        told = [column for column in self.columns if column not in names]
        seen: set[tuple[Cell, ...]] = set()
        found = set()
        for number, row in enumerate(self.rows):
            key = identity(row, told)
            if key in seen:
                found.add(number)
            seen.add(key)
        return frozenset(found)

    def is_exact(self, loss: str | None, digits: int = LEAST_DIGITS) -> bool:
        """Whether losses are written to at least so many significant digits, so that runs do not agree by chance."""
        if loss is None:
            return False
        numbers = [cell for row in self.rows if isinstance(cell := row.get(loss), (int, float))]
        return max(map(_digits, numbers), default=0) >= digits

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(plain(self.rows), sort_keys=True).encode()).hexdigest()

    def expect(self, column: str) -> None:
        if self.rows and column not in self.columns:
            raise TableError(f"{self.source}: no column {column!r}; it has {', '.join(self.columns)}.")


def is_time(column: str, cells: Sequence[Cell]) -> bool:
    """Whether a column says when something was done: by its name, exported_at, or as all its cells are dates."""
    if column.lower().endswith(("_at", "timestamp", "_date", "_time")) and column.lower() != "train_time":
        return True
    return bool(cells) and all(isinstance(cell, str) and _DATE.match(cell) for cell in cells)


def by_role(rows: Sequence[Row], response: Response = LOG) -> Observations:
    """Rows whose columns are called as their roles are (params, tokens, loss, ...), in units of one; `cluster`,
    or else `run`, names what shares noise. For tables that lawful makes itself: nothing is looked for or asked."""
    names = {name for row in rows for name in row}
    roles: dict[str, str] = {
        role: role
        for role in ("params", "tokens", "flops", "loss", "arm", "unique_tokens", "stderr", "trials")
        if role in names
    }
    if cluster := next((name for name in ("cluster", "run") if name in names), None):
        roles["cluster"] = cluster
    return Observations(tuple(rows), roles=roles, response=response)


def is_of_ladder(row: Row) -> bool:
    """Whether the run is a rung: not there to try another learning rate, not a fine-tuning."""
    return why_off_ladder(row) is None


def why_off_ladder(row: Row) -> str | None:
    return next((why for column, why in OFF_LADDER.items() if row.get(column) not in ("", None)), None)


def grouped(table: Observations, columns: Sequence[str]) -> list[list[int]]:
    """The places of the rows that say the same in these columns."""
    groups: dict[tuple[str, ...], list[int]] = {}
    texts = zip(*(texts_of(table.cells(column)) for column in columns), strict=True) if columns else [()] * len(table)
    for place, key in enumerate(texts):
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def identity(row: Row, columns: Sequence[str]) -> tuple[Cell, ...]:
    """Equal for rows that say the same in every column."""
    return tuple(map(row.get, columns))


def _digits(value: float) -> int:
    """How many digits a number is written with, without zeros at the end: 3 for 2.25, 1 for 2.0."""
    return len(f"{decimal.Decimal(repr(float(value))).normalize():f}".replace(".", "").replace("-", "").strip("0"))


def _number(cell: Cell) -> float:
    """NaN where the cell is empty. Raises ValueError for a text that is no number."""
    return math.nan if cell is None or is_empty(cell) else float(cell)


def _is_number(cell: Cell) -> bool:
    try:
        return _number(cell) is not None
    except (TypeError, ValueError):
        return False
