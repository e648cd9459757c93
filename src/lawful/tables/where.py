"""Conditions on the rows of a table: lr=0.001, params >= 100M, optimizer in adam,lion, val_loss is not missing."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence

from lawful.errors import DeclarationError
from lawful.schema import Cell
from lawful.tables.cells import Row, as_float, is_empty, written_count, yes_or_no

_SIGNS = ("!=", "<=", ">=", "=", "<", ">")
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
Condition = Callable[[Row], bool]


def condition(text: str, columns: Sequence[str]) -> Condition:
    """Whether a row is one of those that a text asks for. Numbers are compared as numbers; an empty cell is never less
    or more than one.

    Raises DeclarationError where the text is no condition on one of these columns.
    """
    for words, wanted in ((" is not missing", False), (" is missing", True)):
        if text.rstrip().endswith(words):
            column = _column(text.rstrip().removesuffix(words), columns, text)
            return lambda row: is_empty(row.get(column)) is wanted
    column, sign, value = _parted(text, columns)
    if sign == "in":
        tests = [_is_value(column, part.strip()) for part in value.split(",")]
        return lambda row: any(test(row) for test in tests)
    if sign in ("=", "!="):
        test = _is_value(column, value)
        return lambda row: test(row) is (sign == "=")
    limit = written_count(value, ".")
    if limit is None or not math.isfinite(limit):
        raise DeclarationError(f"--where: expected {column}{sign}NUMBER, got {text!r}.")
    compare = _COMPARE[sign]
    return lambda row: bool(compare(_number(row.get(column)), limit))


def _parted(text: str, columns: Sequence[str]) -> tuple[str, str, str]:
    """Column, sign and value. A column's name may hold a sign: the longest name that fits is taken."""
    fits = [column for column in columns if text.lstrip().startswith(column)]
    for column in sorted(fits, key=len, reverse=True):
        rest = text.lstrip()[len(column) :].lstrip()
        if rest.startswith("in ") and text.lstrip()[len(column) : len(column) + 1] == " ":
            return column, "in", rest.removeprefix("in ").strip()
        sign = next((sign for sign in _SIGNS if rest.startswith(sign)), None)
        if sign:
            return column, sign, rest[len(sign) :].removeprefix("=" if sign == "=" else "").strip()
    raise _no_condition(text, columns)


def _column(name: str, columns: Sequence[str], text: str) -> str:
    if name.strip() not in columns:
        raise _no_condition(text, columns)
    return name.strip()


def _no_condition(text: str, columns: Sequence[str]) -> DeclarationError:
    return DeclarationError(
        "--where: expected COLUMN=VALUE, !=, <, <=, >, >=, COLUMN in A,B, COLUMN is missing or COLUMN is not missing, "
        f"with a column of {', '.join(map(repr, columns))}; got {text!r}."
    )


def _is_value(column: str, value: str) -> Condition:
    truth = yes_or_no(value)  # held_out=yes is True in the table
    number = written_count(value, ".")

    def is_value(row: Row) -> bool:
        cell = row.get(column)
        if column == "held_out" and cell in (None, "") and value:
            cell = False  # an empty cell says no
        if isinstance(cell, bool):
            return cell is truth
        if ("" if cell is None else str(cell)) == value:
            return True
        return number is not None and _number(cell) == number

    return is_value


def _number(cell: Cell) -> float:
    """The cell as a number; NaN if it is none, so that it is neither below nor above any number."""
    return as_float(written_count(cell, None) if isinstance(cell, str) else cell)
