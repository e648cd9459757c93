"""Tables of optima: the best size and data at each budget (N*, D* by C), as papers print them."""

from __future__ import annotations

import re
from dataclasses import replace

from lawful.tables.names import name_of
from lawful.tables.observations import Observations
from lawful.tables.vocabulary import LETTERS, VOCABULARY

_OPTIMUM = re.compile(r"[\s_.-]*(?:(?<![a-z])(?:optimal|optimum|opt|star|best)(?![a-z])|\^?\*)[\s_.-]*", re.IGNORECASE)


def optima_of(table: Observations) -> Observations | None:
    """The table with its optima under the names of what they are the best of, N_opt under N, so that they are read as
    other counts are; None where no column is the best size or data."""
    of = {column: bare for column in table.columns if _is_count(bare := _bare_name(column)) and bare != column}
    others = [column for column in table.columns if column not in of]
    if not of or len(set(of.values())) < len(of) or any(map(_is_count, others)) or set(of.values()) & set(others):
        return None
    rows = tuple({of.get(column, column): cell for column, cell in row.items()} for row in table.rows)
    said = f"a table of optima: {', '.join(f'{column!r} read as {bare!r}' for column, bare in of.items())}"
    return replace(table, rows=rows, said=(*table.said, said), converted={**table.converted, **of}, is_of_optima=True)


def _bare_name(column: str) -> str:
    """Without what says that it is of an optimum."""
    return " ".join(_OPTIMUM.sub(" ", column).split())


def _is_count(bare: str) -> bool:
    name = name_of(bare)
    return any(
        name.letter == LETTERS[role] or any({name.path, name.last} & set(group) for group in VOCABULARY[role])
        for role in ("params", "tokens")
    )
