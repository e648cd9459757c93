"""Tidy tables: the columns that a law needs under their usual names, with where each row came from; two as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lawful.errors import TableError
from lawful.response import expect_loss
from lawful.schema import Cell
from lawful.tables.cells import Row
from lawful.tables.observations import FILE, ROW, Observations
from lawful.tables.roles import ROLES


def tidy(table: Observations) -> Observations:
    """The table with the columns of its roles first, under the roles' names; `source` and `source_row` say where each
    row came from. A column of another role's name is kept as NAME_of_source.

    Raises TableError where the table has no role at all.
    """
    if not table.roles:
        raise TableError(f"{table.source}: expected columns such as params, tokens and loss, got none that is known.")
    expect_loss(table.response, f"{table.source}: a tidy table")  # its column is called `loss`
    dropped = {row.get("row") for row in table.dropped}
    numbers = (number for number in range(1, len(table) + len(dropped) + 1) if number not in dropped)
    taken = set(table.roles.values())
    measure = table.loss_unit.replace(" ", "_")
    name = Path(table.source).name or table.source
    rows = []
    for number, row in zip(numbers, table.rows, strict=False):
        new: dict[str, Cell] = {role: row.get(table.roles[role], "") for role in ROLES if role in table.roles}
        new |= {FILE: row.get(FILE) or name, ROW: row.get(ROW) or number}
        for column, cell in row.items():
            if column not in taken and column not in (FILE, ROW):
                new[f"{column}_of_source" if column in new else column] = cell
        if measure and not new.get("loss_unit"):
            new["loss_unit"] = measure
        rows.append(new)
    return replace(table, rows=tuple(rows), roles={role: role for role in ROLES if role in table.roles}, converted={})


def merged(tables: Sequence[Observations]) -> Observations:
    """Several tables as one tidy table. A run that stands in two of them, under whatever name, counts once.

    Raises TableError where they have other roles, or losses in other units.
    """
    parts = [tidy(table) for table in tables]
    roles = [{role for role in part.roles if role not in ("cluster", "arm", "stderr")} for part in parts]
    for table, own in zip(tables, roles, strict=True):
        if own != roles[0]:
            raise TableError(
                f"{table.source}: expected {', '.join(sorted(roles[0]))}, as in {tables[0].source}; got "
                f"{', '.join(sorted(own))}. Name its columns, or leave columns out of the other."
            )
    units = [{str(row["loss_unit"]) for row in part if row.get("loss_unit")} for part in parts]
    known = set().union(*units)
    if len(known) > 1 or (not all(units) and any(not unit.startswith("nats") for unit in known)):
        raise TableError(
            "; ".join(
                f"{t.source}: losses in {', '.join(sorted(u)) or 'no unit'}" for t, u in zip(tables, units, strict=True)
            )
            + ": losses in different units are not one curve. A column `loss_unit` says which they are in."
        )
    seen: dict[tuple[Cell, ...], Row] = {}
    rows: list[Row] = []
    twice: list[Row] = []
    for number, part in enumerate(parts):
        for row in part:
            key = tuple(row.get(role) for role in sorted(roles[0])) + (
                str(row.get("seed", "")),
                str(row.get("arm", "")),
            )
            if key in seen and seen[key][FILE] != row[FILE]:
                twice.append(
                    {"row": row[ROW], "run": row.get("run", ""), "rung": "", "reason": f"stands in {seen[key][FILE]}"}
                )
                continue
            seen[key] = row
            cluster = row.get("cluster", "")
            rows.append({**row, "cluster": f"{number + 1}:{cluster}"} if cluster != "" else row)
    said = f"{len(rows)} rows of {len(tables)} tables; {len(twice)} stand in two of them and count once"
    return Observations(
        rows=tuple(rows),
        source=" + ".join(table.source for table in tables),
        dropped=(*(gone for table in tables for gone in table.dropped), *twice),
        roles={role: role for role in ROLES if any(role in row for row in rows)},
        said=(said,),
    )
