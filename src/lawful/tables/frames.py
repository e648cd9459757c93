"""Columns as a DataFrame of whoever wants one; no library of tables is imported before one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lawful.checks import shown
from lawful.errors import DeclarationError, MissingDependency

Columns = Mapping[str, Sequence[object]]
MakeFrame = Callable[[dict[str, list[object]]], Any]  # Any: a frame of the caller's own library


def as_frame(columns: Columns, kind: MakeFrame | None = None, index: str = "") -> Any:
    """The columns, each a list, as `kind` makes a table of them: pandas.DataFrame (default), polars.DataFrame,
    pyarrow.table, dict. index: the column by which rows are named, where nothing else than pandas was asked for."""
    if kind is None:
        try:
            import pandas
        except ImportError as error:
            raise MissingDependency.of("pandas", extra="table", what="to_frame()", error=error) from error
        frame = pandas.DataFrame({name: list(cells) for name, cells in columns.items()})
        return frame.set_index(index) if index else frame
    if not callable(kind):
        raise DeclarationError(
            f"kind: expected a class such as pandas.DataFrame or polars.DataFrame, got {shown(kind)}."
        )
    return kind({name: list(cells) for name, cells in columns.items()})
