"""Adopt runs that another program trained before: a row of their table becomes the result of the rung it belongs to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lawful.checks import nearest, refuse_lines
from lawful.command import CommandRun
from lawful.command.reads import COLUMNS
from lawful.errors import DeclarationError, StoreError
from lawful.planning.written import Plan
from lawful.schema import Cell, Coordinate, PlannedRun, RunRecord
from lawful.storage.codec import write_result
from lawful.storage.layout import Store
from lawful.storage.lease import claimed
from lawful.tables import Observations, is_finished
from lawful.tables.lacking import lacking

SHOWN = 5  # rows in a message
CLOSE = 1e-9  # counts that are given twice may differ by rounding


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """results    run -> what its row says
    others    numbers of rows that belong to no rung
    unfinished    numbers of rows whose status says that the run did not end well: their rungs are still to do
    """

    results: Mapping[str, RunRecord]
    others: Sequence[int]
    unfinished: Sequence[int] = ()


def adopted(plan: Plan, table: Observations) -> Adopted:
    """Which row is which rung's, by the rung's coordinates.

    A coordinate is the column of its name, also at the end of a longer one: config.width, params/width. One that is the
    same in the whole study needs none. Raises DeclarationError where a coordinate has no column, a rung has several
    rows, a held-out rung has one, or a count is not what the command says.
    """
    _expect_columns(plan, table)
    names = {name: _column(name, table, plan.study.runs) for name in plan.study.axes}
    rows: dict[str, list[int]] = {}
    others = []
    unfinished = [number + 1 for number, row in enumerate(table.rows) if not is_finished(row)]
    for number, row in enumerate(table.rows):
        if not is_finished(row):
            continue
        own = [one.run for one in plan.study.runs if _is_of(row, one, names)]
        for run in own:
            rows.setdefault(run, []).append(number)
        if not own:
            others.append(number + 1)
    problems = []
    results = {}
    for planned in plan.study.runs:
        if len(found := rows.get(planned.run, [])) > 1:
            listed = ", ".join(str(number + 1) for number in found[:SHOWN])
            problems.append(
                f"{planned.rung}: expected one row, got {len(found)} (rows {listed}{', ...' * (len(found) > SHOWN)})"
            )
        elif found and planned.held_out:
            problems.append(
                f"{planned.rung}: expected a held-out run that is still to come, got one whose loss is known"
            )
        elif found:
            command = plan.runs[planned.run]
            assert isinstance(command, CommandRun)
            try:
                results[planned.run] = _result(command, table, found[0])
            except DeclarationError as error:
                problems.append(f"{planned.rung}: {error}")
    advice = " (--reduce last takes the last row of each run)" if any(len(found) > 1 for found in rows.values()) else ""
    refuse_lines(f"{table.source}: the rows are not those of the study's rungs{advice}", problems)
    if not results:
        raise DeclarationError(f"{table.source}: expected a row of some rung, got {len(table)} rows of none of them.")
    return Adopted(results=results, others=others, unfinished=unfinished)


def write_adopted(folder: Path, plan: Plan, found: Adopted) -> None:
    """The plan, and the results of runs that have none or failed. Raises StoreError where a run has another loss."""
    store = Store(folder)
    others = [
        planned.rung
        for planned in plan.study.runs
        if (own := found.results.get(planned.run)) is not None
        and (former := _kept(store, planned.run)) is not None
        and former.number("loss") != own.number("loss")
    ]
    if others:
        listed = "; ".join(others[:SHOWN]) + "; ..." * (len(others) > SHOWN)
        raise StoreError(
            f"{folder}: expected runs without a result, or with the loss that the table gives, got {len(others)} with "
            f"another ({listed}); choose another --out, or remove the folder if nothing in it is needed."
        )
    plan.write(folder)
    for run, result in found.results.items():
        with claimed(store.claim(run)) as lease:
            if lease is None:
                raise StoreError(f"{store.claim(run)}: expected a run that nobody is at, got one that is running.")
            if _kept(store, run) is None:
                write_result(store.result(run), result, lease=lease)


def _kept(store: Store, run: str) -> RunRecord | None:
    """The result that stays as it is: none, or a failure, is replaced."""
    result = store.read_result(run)
    return None if result is None or result.status == "failed" else result


def _expect_columns(plan: Plan, table: Observations) -> None:
    """Raises DeclarationError where a number that the commands do not tell has no column."""
    known = [run.known for run in plan.runs.values() if isinstance(run, CommandRun)]
    needed = [name for name in ("loss", "params", "tokens") if any(name not in counts for counts in known)]
    if missing := [name for name in needed if name not in table.roles]:
        raise DeclarationError(f"{table.source}: {lacking(table, *missing)}")


def _column(name: str, table: Observations, runs: Sequence[PlannedRun]) -> str | None:
    """The column of a coordinate; None where it needs none."""
    if name in table.columns:
        return name
    found = [column for column in table.columns if re.split(r"[./]", column)[-1] == name]
    if len(found) == 1:
        return found[0]
    if not found and len({one.at.get(name) for one in runs}) == 1:
        return None
    if found:
        raise DeclarationError(f"{table.source}: the coordinate {name} may be {' or '.join(found)}; rename it.")
    raise DeclarationError(
        f"{table.source}: expected a column for the coordinate {name}, got {nearest(name, table.columns)}; "
        f"call the column {name}, config.{name} or params.{name}."
    )


def _is_of(row: Mapping[str, Cell], planned: PlannedRun, names: Mapping[str, str | None]) -> bool:
    return all(
        column is None or name not in planned.at or _is_same(row.get(column), planned.at[name])
        for name, column in names.items()
    )


def _is_same(cell: Cell, value: Coordinate) -> bool:
    number = _number(cell)
    if isinstance(value, bool) or isinstance(value, str) or number is None:
        return str(cell).strip().lower() == str(value).lower()
    return number == value


def _result(run: CommandRun, table: Observations, number: int) -> RunRecord:
    """What the row says; a count that both say must be the same."""
    told: dict[str, float] = {}
    for role in ("loss", "params", "tokens", "flops"):
        value = _number(table.rows[number].get(table.roles[role])) if role in table.roles else None
        if value is not None and math.isfinite(value):
            told[role] = value
    for name, known in run.known.items():
        if name != "flops" and name in told and not math.isclose(told.pop(name), known, rel_tol=CLOSE):
            raise DeclarationError(
                f"the command says {name} {known:,}, the table {table.rows[number].get(table.roles[name])}"
            )
    if missing := [name for name in ("loss", "params", "tokens") if name not in told and name not in run.known]:
        raise DeclarationError(f"expected {' and '.join(missing)} of the run, got a row without")
    both = {**told, **run.known}
    measured: dict[str, Cell] = {COLUMNS[name]: value for name, value in told.items() if name not in run.known}
    if not {"params", "tokens"} <= run.known.keys():  # else the plan has it
        measured["flops_6nd"] = round(6 * both["params"] * both["tokens"])
        measured |= {} if "flops" in both else {"flops": measured["flops_6nd"]}
    if run.unit:
        measured["loss_unit"] = run.unit
    return RunRecord(status="finished", reason=f"adopted from {table.source}", measured=measured)


def _number(cell: Cell) -> float | None:
    try:
        return None if cell is None or isinstance(cell, bool) or cell == "" else float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
