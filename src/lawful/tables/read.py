"""Read a table of finished runs, from wherever it is: the rows as they are, then the columns that a law needs.

Whatever was chosen, converted or left out is in `Observations.said`, and nothing else is done.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

from lawful.checks import checked
from lawful.errors import TableError
from lawful.response import Response
from lawful.schema import Cell
from lawful.tables.cells import Row, are_lone, as_float, is_empty, is_finished
from lawful.tables.find import factors, marks, summaries, with_roles
from lawful.tables.history import expect_progress, reduced, with_runs
from lawful.tables.observations import Observations, identity
from lawful.tables.optima import optima_of
from lawful.tables.responses import NOTHING, Asked, may_be_share
from lawful.tables.roles import ROLES
from lawful.tables.source import read_columns, refuse
from lawful.tables.sweep import best_over
from lawful.tables.where import condition


@checked
def read_runs(
    source: Any,
    *,
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    cluster: str | None = None,
    arm: str | None = None,
    flops: str | None = None,
    unique_tokens: str | None = None,
    stderr: str | None = None,
    trials: str | None = None,
    response: str | None = None,
    chance: float | None = None,
    units: Mapping[str, str] | None = None,
    reduce: str | None = None,
    best: Sequence[str] = (),
    as_noise: Sequence[str] = (),
    skip_bad_rows: bool = False,
) -> Observations:
    """Read a table of finished runs and find its columns.

    Parameters
    ----------
    source
        A file (CSV in any dialect, JSON, JSONL, Parquet, Feather, Excel), a folder of a study or of a run tracker, a
        DataFrame of pandas or polars, a table of pyarrow, a structured array, a mapping of columns, or rows; "-" is
        standard input.
    params, tokens, loss, cluster, arm, flops, unique_tokens, stderr, trials
        The columns' names; those not given are recognised where they carry a usual name. `stderr` holds standard errors
        of the loss, by which a fit weighs the rows; "none": it does not. `trials` holds how many test items an accuracy
        is of.
    response
        What the metric is: "log" for a loss, "logit" for an accuracy, "identity" for another number. By default as the
        column's name says, which is a loss for most.
    chance
        Of an accuracy, the share of right answers that guessing gives: .25 for four choices.
    units
        Column -> how many are in one of its unit: "millions", "billions", "PF-days", or a number.
    reduce
        Of a history, which row stands for a run: "last", "min", "step=N" or "ema=WEIGHT". Without it all rows count,
        and those of one run as a cluster.
    best
        Settings of a sweep, such as a learning rate: of the runs at one point the best is taken, by a local fit.
    as_noise
        Settings that differ between runs at one point and are noise to the user; else such a table is not fitted.
    skip_bad_rows
        Leave rows out whose numbers cannot be used, and list them in `dropped`, where they are an error otherwise.

    Returns
    -------
    Observations
        Counts (params, tokens, flops) and losses are positive numbers. `said` tells what was read as what.

    Raises
    ------
    TableError
        It names every bad row and column, and columns of which either could be meant.

    Examples
    --------
    >>> read_runs([{"N": 1e6, "D": 2e7, "loss": 4.1}, {"N": 2e6, "D": 4e7, "loss": 3.6}]).roles
    {'params': 'N', 'tokens': 'D', 'loss': 'loss'}
    """
    given = dict(zip(ROLES, (params, tokens, flops, loss, cluster, arm, unique_tokens, stderr, trials), strict=True))
    return read_by_role(
        source,
        given,
        units=units,
        reduce=reduce,
        best=best,
        as_noise=as_noise,
        skip_bad_rows=skip_bad_rows,
        response=Asked(kind=response, chance=chance),
    )


def read_by_role(
    source: Any,
    columns: Mapping[str, str | None],
    *,
    where: Sequence[str] = (),
    units: Mapping[str, str] | None = None,
    reduce: str | None = None,
    best: Sequence[str] = (),
    as_noise: Sequence[str] = (),
    skip_bad_rows: bool = False,
    response: Asked = NOTHING,
) -> Observations:
    """As read_runs, which tells of all else; columns: role -> its column, or None; where: conditions of rows that
    count, as `--where` takes them."""
    told = [*filter(None, columns.values()), *(units or {}), *best, *where, *as_noise]
    if isinstance(source, Observations) and source.roles and not (told or reduce or response.is_told):
        return source  # read and checked before
    table = selected(read_columns(source, told), where, as_noise)
    return in_roles(
        table, columns, units=units, reduce=reduce, best=best, skip_bad_rows=skip_bad_rows, response=response
    )


def selected(table: Observations, where: Sequence[str], as_noise: Sequence[str]) -> Observations:
    """The rows for which all conditions hold, with settings that the user calls noise."""
    for text in where:
        table = table.where(condition(text, table.columns), f"not {text}")
    for name in as_noise:
        table.expect(name)
    return replace(table, noise=(*table.noise, *as_noise))


def in_roles(
    table: Observations,
    columns: Mapping[str, str | None],
    *,
    units: Mapping[str, str] | None = None,
    reduce: str | None = None,
    best: Sequence[str] = (),
    skip_bad_rows: bool = False,
    response: Asked = NOTHING,
) -> Observations:
    """Rows that read_rows gave, with their roles found and their cells checked."""
    if not table.rows:
        raise TableError(f"{table.source}: expected a table with at least one row, got an empty one.")
    if not table.roles and not table.is_of_study:
        table = optima_of(table) or table
    told = {role: table.known_as(name) for role in ROLES if (name := columns.get(role))}
    is_without_bars = told.get("stderr") == "none" and told.pop("stderr") not in table.columns
    if problems := [
        f"{role}: no column {name!r}; the table has {', '.join(map(repr, table.columns))}."
        for role, name in told.items()
        if name not in table.columns
    ]:
        raise TableError(f"{table.source}: " + "\n  ".join(problems))
    is_read = bool(table.roles) or table.is_of_study
    table, roles = with_roles(table, told, factors(table, units or {}), response)
    _expect_lowest_is_best(table, reduce, best)
    if is_without_bars:
        roles.pop("stderr", None)
        table = replace(table, said=tuple(said for said in table.said if not said.startswith("error bars")))
    if not is_read:
        table, roles = with_runs(table, roles)
    if reduce:
        table = reduced(table, roles, reduce)
    elif not is_read:
        expect_progress(table, roles)
    table = replace(_checked(table, roles, set(told), skip_bad_rows=skip_bad_rows), roles=roles)
    return best_over(table.where(is_finished, _not_finished), roles, best) if best else table


def _expect_lowest_is_best(table: Observations, reduce: str | None, best: Sequence[str]) -> None:
    """The best run of a sweep, and the best row of a run, are those with the lowest loss."""
    if table.response.is_log or not (best or reduce == "min"):
        return
    what = f"best over {', '.join(best)}" if best else "reduce min"
    raise TableError(
        f"{table.source}: {what}: it takes the lowest loss, and the response here is {table.response.kind}, of which "
        "the highest may be the best. Choose the rows before (--where), or take --reduce last."
    )


def _not_finished(row: Row) -> str:
    return f"not finished: {row['status']}"


def _checked(table: Observations, roles: Mapping[str, str], told: set[str], *, skip_bad_rows: bool) -> Observations:
    """Numbers in place of text, or one TableError with every problem found (at most eight are printed). Rows that say
    the same as an earlier one in every column are left out, and listed."""
    problems: dict[int, str] = {}
    twice: dict[int, int] = {}
    rows = []
    columns = table.columns
    odd = {} if table.is_of_study else {**summaries(table), **marks(table, roles)}
    seen: dict[tuple[Cell, ...], int] = {}
    for number, row in enumerate(table.rows, start=1):
        typed = dict(row)
        if is_finished(row):
            for role, column in roles.items():
                if role in ("cluster", "arm"):
                    if role in told and is_empty(row.get(column)):
                        problems.setdefault(
                            number, f", column {column!r}: expected a {role}'s name, got an empty cell."
                        )
                    continue
                cell = row.get(column)
                if type(cell) is str and is_empty(cell):
                    cell = typed[column] = ""
                try:
                    typed[column] = _metric(cell, table.response) if role == "loss" else _positive(cell)
                except TableError as error:
                    if role == "loss" or role in told or cell not in (None, ""):
                        problems.setdefault(number, f", column {column!r}: expected {_expected(role, table)}, {error}.")
        if number in odd:
            problems.setdefault(number, odd[number])
        key = identity(row, columns)
        if key in seen:
            twice[number] = seen[key]
        seen.setdefault(key, number)
        rows.append(typed)
    typed_table = replace(table, rows=tuple(rows))
    if twice and not problems and typed_table.is_exact(roles.get("loss")):
        left = itertools.count(1)
        again = iter(twice.values())
        return typed_table.where(lambda row: next(left) not in twice, lambda row: f"the same as row {next(again)}")
    for number, first in twice.items():
        problems.setdefault(
            number,
            f": the same as row {first} in every column; a run counts once. Remove it, or tell replicates apart by a "
            "column `seed`.",
        )
    if problems and skip_bad_rows and len(problems) < len(rows):
        numbers = itertools.count(1)
        bad = iter(problems.values())
        return typed_table.where(lambda row: next(numbers) not in problems, lambda row: next(bad).lstrip(",: "))
    losses = [row.get(roles.get("loss", "")) for row in table.rows]
    if table.response.is_log and all(as_float(cell) < 0 for cell in losses):
        raise TableError(
            f"{table.source}: column {roles['loss']!r}: expected positive losses, got negative numbers alone. If they "
            "are log-likelihoods, the loss is the same number without the sign: write that. Or --response identity "
            "takes them as they are."
        )
    hint = "\n  --skip-bad-rows leaves such rows out, and lists them." if len(problems) < len(rows) else ""
    hint = _about_shares(table, roles) + hint
    refuse(table.source, [f"row {number}{problem}" for number, problem in problems.items()], hint)
    return typed_table


def _about_shares(table: Observations, roles: Mapping[str, str]) -> str:
    """What to do about a share of 0 that is to be a loss, and about the error bar of a share of exactly 0 or 1."""
    zero = {role: any(as_float(row.get(roles.get(role, ""))) == 0 for row in table.rows) for role in ("loss", "stderr")}
    if zero["loss"] and table.response.is_log and may_be_share(roles["loss"]):
        return (
            f"\n  {roles['loss']!r} may be 0 as a share, which has no logarithm: --response logit fits it so "
            "(--trials-column COLUMN: of how many items). Without its zeros the law would be of the other runs alone."
        )
    if table.response.is_share and any(as_float(row.get(roles.get("loss", ""))) > 1 for row in table.rows):
        return f"\n  If {roles['loss']!r} is in per cent, write it divided by 100."
    if zero["stderr"] and table.response.is_share:
        return (
            "\n  The error bar of a share of exactly 0 or 1 comes out as 0, and is not. Name the number of items in "
            "its place (--trials-column COLUMN), or leave the bars out (--stderr-column none)."
        )
    return ""


def _expected(role: str, table: Observations) -> str:
    if role == "loss" and not table.response.is_log:
        return "a share from 0 to 1" if table.response.is_share else "a number"
    return {"loss": "a positive loss", "stderr": "a positive standard error"}.get(role, f"a positive count ({role})")


def _metric(value: Cell | Real, response: Response) -> float:
    """A cell of the metric as a number that the response can have; TableError says what it is instead."""
    if response.is_log:
        return _positive(value)
    if value in (None, "") or isinstance(value, bool) or not isinstance(value, Real):
        return _positive(value)  # says what is wrong
    exact = float(value)
    if not math.isfinite(exact) or (response.is_share and not 0 <= exact <= 1):
        raise TableError(f"got {value!r}")
    return exact


def _positive(value: Cell | Real) -> float:
    """A cell as a positive finite float; TableError says what it is instead."""
    if value in (None, ""):
        raise TableError("got an empty cell (NaN, N/A and the like are empty, too)")
    if type(value) is float and 0 < value < math.inf:  # most are
        return value
    if isinstance(value, bool) or not isinstance(value, Real):  # numpy's numbers are real, too
        raise TableError(f"got {'the text ' if isinstance(value, str) else ''}{value!r}{_hint(value)}")
    try:
        exact = float(value)
    except OverflowError:
        raise TableError("got a number that is too large") from None
    if not (0 < exact < math.inf):
        raise TableError(f"got {value!r}")
    return exact


def _hint(value: Cell | Real) -> str:
    if isinstance(value, str) and value.endswith("%"):
        return " (write it as a number, without the sign for per cent)"
    if isinstance(value, str) and "±" in value:
        return " (write the error into a column of its own)"
    if isinstance(value, str) and are_lone([value]) and "," in value:
        return " (a comma before three digits: write 1234 or 1.234)"
    return ""
