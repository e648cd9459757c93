"""What the columns of a law must hold: possible counts, in one unit. Any other column is refused by name."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lawful.errors import TableError
from lawful.tables.cells import (
    has_unit,
    is_empty,
)
from lawful.tables.names import name_of
from lawful.tables.observations import Observations
from lawful.tables.roles import (
    COUNTS,
    Choice,
    is_far_from_6nd,
    option_of,
    shell_word,
)
from lawful.tables.vocabulary import LETTERS, VOCABULARY

MOST = {"params": 1e13, "tokens": 1e15}  # ten times the largest in print
FEWEST = 2000  # parameters and tokens: below both, a table is in some unit
FAR_APART = 1000.0  # times below the counts with a unit: such a bare count has lost its unit
MOST_RATIO = 1e5  # of tokens and parameters, one of which is below FEWEST: that one is in some unit


def expect_numbers(table: Observations, role: str) -> None:
    """A column with the name of a role and texts with digits in it is meant for that role, and cannot be read."""
    words = {word for group in VOCABULARY[role] for word in group}
    for column in table.columns:
        if name_of(column).path not in words and name_of(column).letter != LETTERS.get(role, "none"):
            continue
        filled = [(i, row[column]) for i, row in enumerate(table.rows, start=1) if not is_empty(row.get(column, ""))]
        texts = [(i, cell) for i, cell in filled if isinstance(cell, str) and any(map(str.isdigit, cell))]
        if filled and len(texts) == len(filled):
            number, cell = texts[0]
            raise TableError(
                f"{table.source}: column {column!r} is called as the {role} are, and none of its cells is a number: "
                f"row {number} has {cell!r}. Write plain numbers there (2e9, 350M), or name another column: "
                f"{option_of(role)} COLUMN."
            )


def expect_one_unit(table: Observations, taken: Mapping[str, Choice], factors: Mapping[str, float]) -> None:
    """20M below `params (M)`: twenty million, or twenty million millions."""
    for choice in taken.values():
        if choice.unit == 1 or choice.column in factors:
            continue
        cells = [cell for cell in table.cells(choice.column) if isinstance(cell, str) and not is_empty(cell)]
        twice = next((cell for cell in cells if has_unit(cell)), None)
        if twice is not None:
            raise TableError(
                f"{table.source}: column {choice.column!r} names a unit, and its cell {twice!r} has one of its own. If "
                f"the cells are right as they are: --unit {shell_word(choice.column)}=1."
            )


def expect_units_throughout(
    table: Observations, taken: Mapping[str, Choice], numbers: Mapping[str, np.ndarray], factors: Mapping[str, float]
) -> None:
    """100 below 70M: a hundred, or a hundred million whose unit was forgotten."""
    for role, choice in taken.items():
        if role not in COUNTS or choice.column in factors:
            continue
        with_unit, bare = [], {}
        for cell, number in zip(table.cells(choice.column), numbers[choice.column], strict=True):
            if isinstance(cell, str) and has_unit(cell):
                with_unit.append(float(number))
            elif 0 < number < FEWEST:
                bare[float(number)] = cell
        if with_unit and bare and min(with_unit) > FAR_APART * min(bare):
            raise TableError(
                f"{table.source}: column {choice.column!r}: expected a unit in each cell or in none, got "
                f"{str(bare[min(bare)])!r} beside cells with one, as if its unit was left out. Write it there; or, if "
                f"the cells are right as they are, --unit {shell_word(choice.column)}=1."
            )


def expect_whole(table: Observations, taken: Mapping[str, Choice], factors: Mapping[str, float]) -> None:
    for role in COUNTS:
        column = taken[role].column if role in taken else ""
        if column in table.lone and column not in factors:
            raise TableError(
                f"{table.source}: column {column!r}: expected whole numbers, got cells such as "
                f"{table.rows[0][column]!r}, each with a point and three digits: 1.234 may be 1234, or 1.234 in some "
                f"unit. Say which: --unit {shell_word(column)}=1000, or --unit {shell_word(column)}=1e6 for millions."
            )


def expect_6nd(
    table: Observations,
    taken: Mapping[str, Choice],
    numbers: Mapping[str, np.ndarray],
    told: Mapping[str, str],
) -> None:
    """FLOPs that are far from 6 N D are in another unit, or something else: the user is asked."""
    if not {"params", "flops"} <= taken.keys() or "flops" in told:
        return
    if "tokens" not in taken:
        c, n = taken["flops"], taken["params"]
        with np.errstate(all="ignore"):
            tokens = _median(c.in_ones(numbers) / 6 / n.in_ones(numbers))
        if tokens < FEWEST:
            raise TableError(
                f"{table.source}: expected {c.column!r} to be the FLOPs of the whole training; got as many as "
                f"{tokens:.2g} tokens take, by C = 6 N D. Say its unit: --unit {shell_word(c.column)}=PF-days, or "
                f"=1e18 and the like; or name the column of the whole: {option_of('flops')} COLUMN."
            )
        return
    values = {role: taken[role].in_ones(numbers) for role in ("params", "tokens", "flops")}
    if not is_far_from_6nd(values["flops"], values["params"], values["tokens"]):
        return
    ratio = float(np.nanmedian(values["flops"] / (6 * values["params"] * values["tokens"])))
    column = taken["flops"].column
    named = {role: repr(taken[role].column) for role in values}
    raise TableError(
        f"{table.source}: expected {named['flops']} to be FLOPs, about 6 x {named['params']} x {named['tokens']}; got "
        f"{ratio:.2g} of that. Say its unit: --unit {shell_word(column)}=PF-days, or =1e18 and the like; name another "
        f"column with {option_of('flops')}; or say the units of {named['params']} and {named['tokens']} with --unit."
    )


def _median(numbers: np.ndarray) -> float:
    """The median of the finite numbers; NaN where there are none."""
    known = numbers[np.isfinite(numbers)]
    return float(np.median(known)) if len(known) else math.nan


def expect_counts(
    table: Observations,
    taken: Mapping[str, Choice],
    numbers: Mapping[str, np.ndarray],
    told: Mapping[str, str],
    factors: Mapping[str, float],
) -> None:
    """Nobody trains models of a thousand parameters on a thousand tokens: such columns are in some unit."""
    for role, most in MOST.items():
        choice = taken.get(role)
        if choice is None or choice.unit == 1 or choice.column in factors:
            continue
        if _median(choice.in_ones(numbers)) > most:
            raise TableError(
                f"{table.source}: expected counts in {choice.column!r} in the unit that its name gives; that makes "
                f"more than {most:g}. If they are counts already: --unit {shell_word(choice.column)}=1."
            )
    asked = [
        role
        for role in ("params", "tokens")
        if role in taken and role not in told and taken[role].column not in factors
    ]
    if len(asked) < 2:
        return
    medians = {role: _median(taken[role].in_ones(numbers)) for role in asked}
    few = [role for role in asked if not medians[role] >= FEWEST]
    if not few or (len(few) == 1 and not max(medians.values()) > MOST_RATIO * min(medians.values())):
        return
    asked = few
    named = " and ".join(repr(taken[role].column) for role in asked)
    words = " ".join(f"--unit {shell_word(taken[role].column)}=millions" for role in asked)
    ones = " ".join(f"--unit {shell_word(taken[role].column)}=1" for role in asked)
    raise TableError(
        f"{table.source}: expected counts in {named}, got numbers below {FEWEST:,}, as if in millions or billions. Say "
        f"their units: {words}; or, if they are what they seem, {ones}."
    )
