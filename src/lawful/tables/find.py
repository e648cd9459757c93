"""Find the columns that a law needs, as numbers in units of one, or ask the user where a choice would be a guess."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lawful.errors import TableError
from lawful.response import Response
from lawful.schema import Cell
from lawful.tables.cells import (
    as_float,
    counts_of,
    in_words,
    is_empty,
    is_finished,
    read_numbers,
    texts_of,
    written_count,
)
from lawful.tables.expected import (
    expect_6nd,
    expect_counts,
    expect_numbers,
    expect_one_unit,
    expect_units_throughout,
    expect_whole,
)
from lawful.tables.names import UNITS, name_of
from lawful.tables.observations import FILE, ROW, Observations
from lawful.tables.responses import NOTHING, Asked, of_own, response_of
from lawful.tables.roles import (
    COUNTS,
    ROLES,
    Choice,
    choice_of,
    choose,
    error_bars,
    is_of_all,
    may_be_validation,
    option_of,
    shell_word,
    standard_errors_in,
)
from lawful.tables.vocabulary import EPOCHS, LETTERS, PERCENT, RATIOS, VOCABULARY

FAR_ABOVE = 5.0  # times the largest other loss, for a number that may mark a run without a loss
_MARKS = frozenset((99, 100, 999, 1000, 9999, 10_000, 99_999, 100_000, 999_999, 1_000_000, 1e9))
_SUMMARY = frozenset(("mean", "average", "avg", "median", "total", "grand total", "sum", "std", "stdev"))
# the names by which a table that lawful wrote is read, best first
_OWN_NAMES = {
    "params": ("params", "params_non_embedding", "params_total"),
    "tokens": ("tokens",),
    "flops": ("flops",),
    "loss": ("loss",),
    "cluster": ("cluster", "run"),
    "arm": ("arm",),
    "unique_tokens": ("unique_tokens",),
}


def factors(table: Observations, units: Mapping[str, str]) -> dict[str, float]:
    """Column -> how many are in one of its unit, as the user gave it."""
    found = {}
    for column, text in units.items():
        if column not in table.columns:
            raise TableError(f"{table.source}: unit: no column {column!r}; it has {', '.join(table.columns)}.")
        word = str(text).strip().lower()
        factor = UNITS.get(word) or (0.01 if word in PERCENT else written_count(str(text), "."))
        if not factor or not 0 < factor < math.inf:
            raise TableError(
                f"{table.source}: unit of {column!r}: expected thousands, millions, billions, trillions, PF-days, "
                f"percent or a number, got {text!r}."
            )
        found[column] = float(factor)
    return found


def with_roles(
    table: Observations, told: Mapping[str, str], factors: Mapping[str, float], asked: Asked = NOTHING
) -> tuple[Observations, dict[str, str]]:
    """The table with the columns of its roles as numbers, and its response; role -> column.

    asked   what the user says of the response
    """
    roles: dict[str, str] = {role: name for role in ROLES if (name := told.get(role) or table.roles.get(role))}
    if {FILE, ROW} <= set(table.columns):  # tidy: its columns are called as their roles are
        roles = {role: role for role in ROLES if role in table.columns} | roles
    is_read = bool(table.roles) and not _is_of_another_metric(table, told)
    if table.is_of_study or is_read:
        filled = {name for name in table.columns if not all(map(is_empty, table.cells(name)))}
        for role, names in _OWN_NAMES.items():
            if role not in roles and (found := next((name for name in names if name in filled), None)):
                roles[role] = found
        own = replace(table, response=of_own(table, told.get("loss", ""), asked))
        return own, {role: roles[role] for role in ROLES if role in roles}
    for role in ("stderr", "trials"):  # of the metric that the table was read for before
        if table.roles and role not in told:
            roles.pop(role, None)
    taken: dict[str, Choice] = {
        role: Choice(column=column)  # in units of one since the table was read
        if role in COUNTS and role not in told and role in table.roles
        else choice_of(table.source, role, column, factors.get(column))
        for role, column in roles.items()
        if role in (*COUNTS, "loss")
    }
    numbers = _numbers_by_column(table, [choice.column for choice in taken.values()])
    open_roles = [role for role in (*COUNTS, "loss") if role not in taken]
    for role in sorted(open_roles, key=lambda role: role == "flops"):  # letters are weighed against what is known
        choice = choose(table.source, numbers, role, taken)
        if choice is not None and choice.column in factors:
            choice = choice_of(table.source, role, choice.column, factors[choice.column])
        if choice is not None:
            taken[role] = choice
        elif role in ("params", "tokens", "loss"):
            expect_numbers(table, role)
    if "tokens" not in taken and "params" in taken and "flops" not in taken:
        taken |= _by_ratio(table, taken, numbers)
    expect_one_unit(table, taken, factors)
    expect_units_throughout(table, taken, numbers, factors)
    response, metric, about = response_of(table, taken, numbers, asked, factors, told.get("trials"))
    if metric is not None:
        taken["loss"] = metric
    expect_whole(table, taken, factors)
    if "flops" not in taken or taken["flops"].column not in factors:
        expect_6nd(table, taken, numbers, told)
    expect_counts(table, taken, numbers, told, factors)
    read, columns = table, []
    converted = dict(table.converted)
    for role, choice in taken.items():
        read, roles[role] = _with_numbers(read, role, choice)
        if roles[role] != choice.column:
            converted[choice.column] = roles[role]
        notes = [f"times {choice.unit:g}"] * (choice.unit != 1) + [choice.why] * bool(choice.why)
        called = "metric" if role == "loss" and not response.is_log else role
        columns.append(f"{called} {choice.column!r}" + (f" ({'; '.join(notes)})" if notes else ""))
    spreads, bars = _error_bars(table, roles, taken, converted, factors, response)
    if spreads:
        read = read.with_cells(roles["stderr"], spreads)
    for role in ("cluster", "arm"):
        if role not in roles and (name := _text_role(table, role, taken)):
            roles[role] = name
            columns.append(f"{role} {name!r}")
    return (
        replace(
            read,
            said=(*table.said, *_said(table, columns, taken), *about, *bars),
            converted=converted,
            response=response,
        ),
        {role: roles[role] for role in ROLES if role in roles},
    )


def _is_of_another_metric(table: Observations, told: Mapping[str, str]) -> bool:
    """Whether a table that was read is asked for another metric than the one it was read for: what that is, and which
    error bars and numbers of items it has, is then looked for anew."""
    known = table.roles.get("loss")
    return known is not None and told.get("loss", known) != known


def _said(table: Observations, columns: Sequence[str], taken: Mapping[str, Choice]) -> list[str]:
    """How the columns were read, in sentences."""
    said = [f"columns: {', '.join(columns)}"] if columns else ["columns: none is recognised"]
    if units := list(dict.fromkeys(str(cell) for cell in table.cells("loss_unit") if cell)):
        said.append(f"the loss is in {', '.join(units).replace('_', ' ')}, as loss_unit says")
    if {"params", "flops"} <= taken.keys() and "tokens" not in taken:
        n, c = (taken[role].column for role in ("params", "flops"))
        said.append(f"no column of tokens: a law that reads tokens takes D = C / (6 N) from {c!r} and {n!r}")
    return said


def _error_bars(
    table: Observations,
    roles: dict[str, str],
    taken: Mapping[str, Choice],
    converted: dict[str, str],
    factors: Mapping[str, float],
    response: Response,
) -> tuple[list[Cell], list[str]]:
    """The standard errors of the loss, of which the column is put into `roles`; what is to be said of error bars.

    They are taken where a name says what they are, and each finished run with a loss has one.
    """
    loss = taken.get("loss")
    named = [roles["stderr"]] if "stderr" in roles else error_bars(table.columns, loss.column) if loss else []
    if loss is None or not named:
        return [], []
    sizes = {column: factors.get(column, loss.unit * standard_errors_in(column, loss.column)) for column in named}
    if "stderr" in roles and math.isnan(sizes[roles["stderr"]]):
        sizes[roles["stderr"]] = loss.unit  # as the user told it
    numbers = {column: counts_of(table.cells(column)) for column in named}
    losses = counts_of(table.cells(loss.column))
    counts = np.array([is_finished(row) for row in table.rows])
    counts &= losses > 0 if response.is_log else np.isfinite(losses)
    whole = [c for c in named if sizes[c] > 0 and bool((numbers[c][counts] > 0).all())]
    if exact := [c for c in whole if is_of_all(c, loss.column)]:
        whole = exact  # acc_norm_stderr of acc_norm, beside acc_stderr
    if not whole or not counts.any():
        gaps = [c for c in named if sizes[c] > 0]
        why = "not each run has one" if gaps else "its name does not say that it is a standard error of that"
        return [], [
            f"error bars {named[0]!r} of {loss.column!r}: no fit weighs by them, as {why} "
            f"({option_of('stderr')} COLUMN names standard errors)"
        ]
    column = whole[0]
    spread = {c: numbers[c] * sizes[c] for c in whole}
    if other := next((c for c in whole if not np.allclose(spread[c], spread[column], rtol=0.05, equal_nan=True)), None):
        raise TableError(
            f"{table.source}: {column!r} and {other!r} could each be the error bars of {loss.column!r}, and they "
            f"differ. Say which: {option_of('stderr')} {shell_word(column)}, or none: {option_of('stderr')} none."
        )
    roles["stderr"] = column
    notes = []
    if loss.is_perplexity:  # of a logarithm: the relative error
        spread[column] = spread[column] / losses
        notes.append("over the perplexity, whose logarithm is the loss")
    if sizes[column] != 1:
        is_half = column not in factors and standard_errors_in(column, loss.column) not in (1.0, math.nan)
        half = "half of a 95 % interval, as its name says; " if is_half else ""
        notes.insert(0, f"{half}times {sizes[column]:.3g}")
    if notes:
        roles["stderr"] = converted[column] = f"standard error of {loss.column}"
    about = f" ({'; '.join(notes)})" if notes else ""
    return [float(number) if math.isfinite(number) else "" for number in spread[column]], [
        f"error bars of {loss.column!r}: {column!r}{about}; rows weigh by them ({option_of('stderr')} none: not)"
    ]


def _numbers_by_column(table: Observations, told: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns that could have a role, as numbers; NaN where a cell is empty or no number."""
    words = {word for role in (*COUNTS, "loss") for group in VOCABULARY[role] for word in group} | RATIOS | EPOCHS
    found = {}
    for column in table.columns:
        name = name_of(column)
        names = [name, name.of] if name.of else [name]
        is_known = any({part.path, part.last} & words or part.letter in {*LETTERS.values(), "P"} for part in names)
        if column in told or is_known or may_be_validation(column):
            found[column] = counts_of(table.cells(column))
    return found


def _by_ratio(table: Observations, taken: Mapping[str, Choice], numbers: Mapping[str, np.ndarray]) -> dict[str, Choice]:
    """Tokens as those for each parameter times the parameters, or as passes over the unique tokens, where only these
    stand in the table."""
    for words, role, each in ((RATIOS, "params", "parameter"), (EPOCHS, "unique_tokens", "unique token")):
        column = next((c for c in numbers if name_of(c).path in words and np.isfinite(numbers[c]).any()), None)
        other = taken.get(role)
        if column is None or other is None or other.unit != 1 or other.base or other.also:
            continue
        why = f"times {other.column!r}: it is for each {each}, as its name says"
        return {"tokens": Choice(column=column, times=other.column, why=why)}
    return {}


def _with_numbers(table: Observations, role: str, choice: Choice) -> tuple[Observations, str]:
    """The table with the numbers of a role under the column's own name, or under a new one where they are converted;
    that name."""
    column = choice.column
    cells = read_numbers(table.cells(column), is_count=role in COUNTS)
    if not (choice.unit != 1 or choice.base or choice.times or choice.over or choice.is_perplexity or choice.also):
        return table.with_cells(column, cells), column
    new = _new_name(choice)
    factors = table.cells(choice.times or choice.over)
    cells = [_converted(cell, choice, factor) for cell, factor in zip(cells, factors, strict=True)]
    for other in choice.also:
        table, name = _with_numbers(table, role, other)
        cells = [own if is_empty(cell) else cell for cell, own in zip(cells, table.cells(name), strict=True)]
    return table.with_cells(new, cells), new


def _new_name(choice: Choice) -> str:
    """The name of the column that holds the converted numbers of another."""
    name = choice.column
    if choice.is_perplexity:
        name = f"log {name}"
    elif choice.base:
        name = f"exp {name}" if choice.base == math.e else f"{choice.base:g}^{name}"
    elif choice.is_share:
        name = f"{name} as a share"
    elif choice.times:
        name = f"{name} x {choice.times}"
    elif choice.unit != 1:
        name = f"{name} x {choice.unit:g}"
    return " or ".join([name, *(other.column for other in choice.also)])


def _converted(cell: Cell, choice: Choice, factor: Cell) -> Cell:
    number = as_float(cell)
    if number != number:
        return cell
    if choice.is_perplexity:
        return math.log(number) if number > 0 else -math.inf
    if choice.base:
        try:
            return float(choice.base**number)
        except OverflowError:
            return math.inf
    exact = number * choice.unit
    if choice.times or choice.over:
        other = as_float(factor)
        exact = exact * other if choice.times else exact / other if other else math.nan
        if exact != exact:
            return ""
    return round(exact) if abs(exact) < 2**53 and abs(exact - round(exact)) < 1e-6 * abs(exact) else exact


def _text_role(table: Observations, role: str, taken: Mapping[str, Choice]) -> str | None:
    """The column that names arms, or runs: of several with a usual name the first in which something stands. A column
    that is not called `cluster` names runs only where each of its names has one size: `run` 1, 2, 3 at every size
    numbers replicates."""
    for group in VOCABULARY[role]:
        for column in table.columns:
            name = name_of(column)
            if column in {choice.column for choice in taken.values()} or not {name.path, name.key} & set(group):
                continue
            cells = texts_of(table.cells(column))
            if all(map(is_empty, cells)):
                continue
            if role == "cluster" and name.path != "cluster" and not _names_runs(table, cells, taken):
                continue
            return column
    return None


def _names_runs(table: Observations, cells: Sequence[str], taken: Mapping[str, Choice]) -> bool:
    empty = set(filter(is_empty, set(cells)))
    named = [i for i, cell in enumerate(cells) if cell not in empty]
    if len({cells[i] for i in named}) == len(named):
        return True  # each row is a run of its own
    if "params" not in taken:
        return True
    sizes = table.cells(taken["params"].column)
    one: dict[str, Cell] = {}
    return all(one.setdefault(cells[i], sizes[i]) == sizes[i] for i in named)


def summaries(table: Observations) -> dict[int, str]:
    """Rows at the end of a table that are no runs: number of the row -> what to say of it."""
    found: dict[int, str] = {}
    for place in reversed(range(len(table.rows))):
        named = [
            (c, cell) for c, cell in table.rows[place].items() if isinstance(cell, str) and in_words(cell) in _SUMMARY
        ]
        if not named:
            return found
        column, cell = named[0]
        if any(row.get(column) == cell for row in table.rows[:place]):
            return found  # a word that other rows have, too, is a setting
        found[place + 1] = f", column {column!r}: expected a run, got {cell!r}: a summary of the rows above."
    return found


def marks(table: Observations, roles: Mapping[str, str]) -> dict[int, str]:
    """Losses such as 999 that stand far above all others: number of the row -> what to say of it. They mark a run
    without a loss."""
    if "loss" not in roles or not table.response.is_log:
        return {}
    losses = [
        cell if isinstance(cell := row.get(roles["loss"]), (int, float)) and is_finished(row) else 0
        for row in table.rows
    ]
    real = max((cell for cell in losses if cell not in _MARKS), default=0)
    return {
        number: f", column {roles['loss']!r}: expected a loss like the others (at most {real:g}), got {cell:g}, as "
        "written for a run without one."
        for number, cell in enumerate(losses, start=1)
        if cell in _MARKS and 0 < real * FAR_ABOVE < cell
    }
