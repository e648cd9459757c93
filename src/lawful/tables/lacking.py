"""What to say of a table in which no column is known to have a role that is needed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from lawful.tables.cells import counts_of, is_empty, plain_number
from lawful.tables.names import name_of
from lawful.tables.observations import Observations
from lawful.tables.roles import is_accuracy, like, option_of, shell_word
from lawful.tables.vocabulary import VOCABULARY

_ERRORS = frozenset(("error", "err"))
_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<what>[_ @.-]*(?:seed|step|rep|run|fold)?[_ @.-]*)\d+[kK]?")


def lacking(table: Observations, *roles: str) -> str:
    """In sentences: that no column is recognised as one of these roles, which may be, and the option that says so."""
    names = " or ".join(roles)
    if _is_on_its_side(table):
        return (
            f"No column is recognised as the {names}, and cells of {table.columns[0]!r} are names of columns: the "
            "table lies on its side. Write one row for each run (pandas: DataFrame.set_index(...).T)."
        )
    if "loss" in roles and table.is_of_optima:
        return (
            "No column is recognised as the loss: this is a table of optima, the best size or data at each budget. "
            f"`lawful isoflop {shell_word(table.source)}` tells how they grow with compute. For a law of the loss, "
            "bring the runs that they were found from, or name the loss at the optima with --loss-column COLUMN."
        )
    if sum(plain_number(column) is not None for column in table.columns) > 1:
        return (
            f"No column is recognised as the {names}, and columns are called by numbers: the table has no header, or "
            "it is a grid of sizes and lengths. Write the names of the columns into a first line; of a grid, one row "
            "for each run (pandas: DataFrame.melt)."
        )
    numbers = {column: counts_of([row.get(column, "") for row in table.rows]) for column in table.columns}
    found = {role: like(role, numbers) for role in roles if role in ("params", "tokens", "loss")}
    side = _side_by_side(found.get("loss", []))
    if side:
        return (
            f"No column is recognised as the loss; {', '.join(map(repr, side))} look like losses of several seeds or "
            "steps side by side. Write one row for each (pandas: DataFrame.melt), with a column `seed` or `tokens`; or "
            f"take one: --loss-column {shell_word(side[0])}."
        )
    likely = [f"{option_of(role)} {shell_word(column)}" for role, columns in found.items() for column in columns]
    if likely:
        return f"No column is recognised as the {names}. Say which it is, such as {', or '.join(likely[:6])}."
    text = ""
    if "loss" in roles and (rising := [c for c in table.columns if is_accuracy(c)]):
        errors = [c for c in table.columns if set(name_of(c).key.split("_")) & _ERRORS]
        text = rises(rising[0]) + (f" --loss-column {shell_word(errors[0])} takes that error." if errors else "")
        return f"No column is recognised as the loss. {text}"
    options = " or ".join(f"{option_of(role)} COLUMN" for role in roles)
    return (
        f"No column is recognised as the {names}. Say which it is, with {options}; the table has "
        f"{', '.join(map(repr, table.columns[:30]))}{', ...' if len(table.columns) > 30 else ''}."
    )


def rises(column: str) -> str:
    """What to do with a share of right answers, which is no loss."""
    return (
        f"{column!r} rises as models get better. Name it, and it is fitted as an accuracy: --loss-column "
        f"{shell_word(column)}, with --chance NUMBER for what guessing gives and a law that rises (--law sigmoid)."
    )


def _side_by_side(columns: Sequence[str]) -> list[str]:
    """Columns that differ in a number at the end of their names alone: loss_seed0, loss_seed1."""
    stems: dict[str, list[str]] = defaultdict(list)
    for column in columns:
        if numbered := _NUMBERED.fullmatch(column):
            stems[numbered["stem"] + numbered["what"]].append(column)
    return next((of_stem for of_stem in stems.values() if len(of_stem) > 1), [])


def _is_on_its_side(table: Observations) -> bool:
    if not table.columns:
        return False
    cells = [row.get(table.columns[0], "") for row in table.rows]
    named = {
        role
        for role in ("params", "tokens", "flops", "loss")
        for group in VOCABULARY[role]
        if any(isinstance(cell, str) and not is_empty(cell) and name_of(cell).path in group for cell in cells)
    }
    return len(named) > 1
