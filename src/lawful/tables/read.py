"""Read a table of finished runs, from wherever it is: the rows as they are, then the columns that a law needs.

Whatever was chosen, converted or left out is in `Observations.said`, and nothing else is done.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from lawful import plugins
from lawful.checks import checked
from lawful.errors import TableError
from lawful.storage.layout import Store
from lawful.tables import formats
from lawful.tables.cells import (
    Point,
    are_lone,
    as_float,
    as_number,
    as_plain,
    as_text,
    counts_of,
    first_said,
    has_unit,
    in_words,
    is_empty,
    is_finished,
    is_state,
    number_or_text,
    numbers_of,
    plain_number,
    point_of,
    read_numbers,
    torn,
    written_count,
    yes_or_no,
)
from lawful.tables.columns import COLUMNS, current_name, with_current_names
from lawful.tables.history import expect_progress, reduced, with_runs
from lawful.tables.lacking import rises
from lawful.tables.names import UNITS, name_of
from lawful.tables.observations import FILE, OWN, ROW, Observations, identity
from lawful.tables.pooled import may_tell
from lawful.tables.roles import (
    COUNTS,
    EPOCHS,
    LETTERS,
    RATIOS,
    ROLES,
    VOCABULARY,
    Choice,
    choice_of,
    choose,
    error_bars,
    is_accuracy,
    is_far_from_6nd,
    option_of,
    shell_word,
)
from lawful.tables.sweep import best_over
from lawful.tables.text import TextTable, read_text
from lawful.tables.write import is_quoted, unquoted

MOST = {"params": 1e13, "tokens": 1e15}  # ten times the largest in print
FEWEST = 2000  # parameters and tokens: below both, a table is in some unit
FAR_ABOVE = 5.0  # times the largest other loss, for a number that may mark a run without a loss
_MARKS = frozenset((99, 100, 999, 1000, 9999, 10_000, 99_999, 100_000, 999_999, 1_000_000, 1e9))
_SUMMARY = frozenset(("mean", "average", "avg", "median", "total", "grand total", "sum", "std", "stdev"))
MOST_PROBLEMS = 8  # in one message
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
# other names of the columns that decide whether a run is fitted
_ALSO_CALLED = {
    "state": "status",
    "run_state": "status",
    "run_status": "status",
    "trial_status": "status",
    "is_held_out": "held_out",
    "heldout": "held_out",
}
_YES_NO_COLUMNS = tuple(name for name, (kind, _) in COLUMNS.items() if kind == "yes/no")


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
    units: Mapping[str, str] | None = None,
    reduce: str | None = None,
    best: Sequence[str] = (),
    skip_bad_rows: bool = False,
) -> Observations:
    """Read a table of finished runs and find its columns.

    Parameters
    ----------
    source
        A file (CSV in any dialect, JSON, JSONL, Parquet, Feather, Excel), a folder of a study or of a run tracker, a
        DataFrame of pandas or polars, a table of pyarrow, a structured array, a mapping of columns, or rows.
    params, tokens, loss, cluster, arm, flops, unique_tokens
        The columns' names; those not given are recognised where they carry a usual name.
    units
        Column -> how many are in one of its unit: "millions", "billions", "PF-days", or a number.
    reduce
        Of a history, which row stands for a run: "last", "min", "step=N" or "ema=WEIGHT". Without it all rows count,
        and those of one run as a cluster.
    best
        Settings of a sweep, such as a learning rate: of the runs at one point the best is taken, by a local fit.
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
    given = dict(zip(ROLES, (params, tokens, flops, loss, cluster, arm, unique_tokens), strict=True))
    return read_by_role(source, given, units=units, reduce=reduce, best=best, skip_bad_rows=skip_bad_rows)


def read_by_role(
    source: Any,
    columns: Mapping[str, str | None],
    *,
    units: Mapping[str, str] | None = None,
    reduce: str | None = None,
    best: Sequence[str] = (),
    skip_bad_rows: bool = False,
) -> Observations:
    """As read_runs, which tells of all else; columns: role -> its column, or None."""
    if isinstance(source, Observations) and source.roles and not (any(columns.values()) or units or reduce or best):
        return source  # read and checked before
    table = read_rows(source, [*filter(None, columns.values()), *(units or {}), *best])
    if not table.rows:
        raise TableError(f"{table.source}: expected a table with at least one row, got an empty one.")
    told = {role: table.known_as(name) for role in ROLES if (name := columns.get(role))}
    if problems := [
        f"{role}: no column {name!r}; the table has {', '.join(map(repr, table.columns))}."
        for role, name in told.items()
        if name not in table.columns
    ]:
        raise TableError(f"{table.source}: " + "\n  ".join(problems))
    is_read = bool(table.roles) or table.is_of_study
    table, roles = _with_roles(table, told, _factors(table, units or {}))
    if not is_read:
        table, roles = with_runs(table, roles)
    if reduce:
        table = reduced(table, roles, reduce)
    elif not is_read:
        expect_progress(table, roles)
    table = replace(_checked(table, roles, set(told), skip_bad_rows=skip_bad_rows), roles=roles)
    return best_over(table.where(is_finished, _not_finished), roles, best) if best else table


def _not_finished(row: Mapping[str, Any]) -> str:
    return f"not finished: {row['status']}"


def read_rows(source: Any, named: Sequence[str] = ()) -> Observations:
    """A table as it is, no column of it required; every reader of tables begins here, and every cell is read by one
    parser.

    Numbers are numbers and an empty cell is "", whatever the source has for it: NaN, NaT, None, null. The columns that
    decide whether a run is fitted stand under their own names, also where the table calls them State or HELD_OUT.

    named   what the user said of columns: those of which a name stands in it are kept, however large a text table is

    Raises TableError that names the rows whose yes/no or status cannot be read.
    """
    if isinstance(source, Observations):
        table = replace(source, rows=tuple(_plain_rows(source.rows)))
    else:
        table = _under_current_names(_read(source, named))
    problems: list[str] = []
    for name, columns in _deciding(table.columns).items():
        if name == "status":
            problems += _read_status(table.rows, columns)
        else:
            problems += _read_yes_no(table.rows, name, columns)
    _refuse(table.source, problems)
    return replace(table)  # without the columns that it remembers


def _read(source: Any, named: Sequence[str]) -> Observations:
    if formats.is_frame(source):
        return Observations(tuple(_plain_rows(formats.frame_rows(source))), "DataFrame")
    if not isinstance(source, (str, Path)):
        return Observations(tuple(_plain_rows(formats.memory_rows(source))), "memory")
    if "://" in str(source):
        return _of_address(str(source))
    path = Path(source)
    if path.is_dir():
        if (own := Store(path).observations).exists():
            rows, _, _ = _of_text(own, named)
            return Observations(rows, str(path))
        return _of_reader(path)
    if not path.exists():
        raise TableError(f"{path}: no such file; expected a table (CSV, JSONL, Parquet, ...), or a study's folder.")
    if not path.is_file():  # whoever reads a pipe waits until somebody writes, perhaps for ever
        raise TableError(f"{path}: expected a file, got a pipe, socket or device; write the table into a file.")
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix not in (".gz", ".bz2", ".xz")), "").lower()
    said: tuple[str, ...] = ()
    if kind in (".csv", ".tsv", ".txt", ".dat"):
        rows, said, lone = _of_text(path, named)
        return Observations(rows, str(path), said=said, lone=lone)
    if kind in (".json", ".jsonl") and plugins.reader_of(path) is not None:
        return _of_reader(path)
    if kind in (".jsonl", ".ndjson"):
        records, said = formats.json_lines(path)
    elif kind == ".json":
        records, said = formats.json_table(path)
    elif kind == ".parquet":
        records = formats.parquet_rows(path)
    elif kind in (".feather", ".arrow"):
        records = formats.feather_rows(path)
    elif kind in (".xlsx", ".xlsm"):
        records, said = formats.excel_rows(path)
    else:
        return _of_reader(path)
    return Observations(tuple(_plain_rows(records)), str(path), said=said)


def _of_reader(path: Path) -> Observations:
    """What a registered reader makes of a folder or file."""
    readers = plugins.readers_of(path)
    if not readers:
        what = "observations.csv, or what a run tracker writes" if path.is_dir() else "a table by its name"
        known = ".csv, .tsv, .txt, .json, .jsonl, .parquet, .feather or .xlsx"
        got = "neither" if path.is_dir() else (repr(path.suffix) if path.suffix else "no suffix")
        raise TableError(f"{path}: expected {what} ({known}), got {got}.")
    rows, said = plugins.separated(readers[0].rows(path))
    if readers[1:]:
        others = ", ".join(reader.about.partition(":")[0] or type(reader).__name__ for reader in readers[1:])
        said = (*said, f"not read, though they are there: {others}")
    about = readers[0].about
    return Observations(tuple(_plain_rows(rows)), str(path), said=(about, *said) if about else said)


def _of_address(address: str) -> Observations:
    """What a registered reader finds at wandb://entity/project and the like."""
    reader = plugins.reader_at(address)
    if reader is None:
        raise TableError(f"{address}: expected a file, a folder or wandb://ENTITY/PROJECT, got another address.")
    rows, said = plugins.separated(reader.rows_at(address))
    return Observations(tuple(_plain_rows(rows)), address, said=(reader.about, *said) if reader.about else said)


def _of_text(path: Path, named: Sequence[str]) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...], frozenset[str]]:
    """The typed rows of a text file, how it was read, and the columns whose cells are all like 1.234."""
    text = read_text(
        path, lambda column: bool(_own_kind(column)) or may_tell(column) or any(column in n for n in named)
    )
    header = [unquoted(name) for name in text.header]
    is_own = OWN <= set(header)
    if is_own and (odd := [said for said in text.said if "encoding" in said]):
        raise TableError(f"{path}: expected a table that lawful wrote, in UTF-8, got {odd[0]}; it is damaged.")
    if is_own:
        parsers = [_own_parser(name) for name in header]
        return (
            tuple(
                {n: unquoted(c) if is_quoted(c) else p(c) for n, p, c in zip(header, parsers, row, strict=True)}
                for row in text.rows
            ),
            (),
            frozenset(),
        )
    columns, said = _typed_columns(path, header, text)
    raw = dict(zip(header, zip(*text.rows, strict=True), strict=True)) if text.rows else {}
    lone = {name for name in header if name in raw and are_lone(map(str.strip, raw[name]))}
    rows = tuple(dict(zip(header, cells, strict=True)) for cells in zip(*columns, strict=True))
    return rows, text.said + said, frozenset(lone)


def _typed_columns(path: Path, header: Sequence[str], text: TextTable) -> tuple[list[list[Any]], tuple[str, ...]]:
    columns = [[unquoted(cell.strip()) for cell in cells] for cells in zip(*text.rows, strict=True)]
    kinds = [COLUMNS[name][0] if name in COLUMNS else "" for name in header]
    odd = {}
    for i, cells in enumerate(columns):
        if kinds[i] in ("text", "yes/no"):
            continue
        parsed = [number_or_text(cell, is_number=bool(kinds[i])) for cell in cells]
        strange = [cell for cell in parsed if isinstance(cell, str) and not is_empty(cell)]
        if strange and all(set(cell) <= set("+-0123456789.,eE '’\u00a0\u2009\u202f") for cell in strange):
            odd[i] = cells
        columns[i] = parsed
    commas = []
    point: Point | None = "," if text.delimiter == ";" else None  # spreadsheets write semicolons for that reason
    for i, cells in odd.items():
        try:
            own = point_of(cell for cell in cells if "," in cell)
            if own and (lone := [cell for cell in torn(cells, own) if "." in cell]):
                raise TableError(f"{lone[0]!r} may be {lone[0].replace('.', '')}, or have three decimals")
            numbers = numbers_of(cells, own or point)
        except TableError as error:
            raise TableError(
                f"{path}: column {header[i]!r}: expected one way to write numbers, got two: {error}."
            ) from None
        if numbers is None:
            continue
        commas_in = sum(_is_comma_decimal(cell, number) for cell, number in zip(cells, numbers, strict=True))
        if commas_in and text.delimiter == "," and 2 * commas_in < sum(number != "" for number in numbers):
            continue  # one cell like 12,34 in a column of whole numbers is damaged sooner than written so
        columns[i] = numbers
        if commas_in:
            commas.append(header[i])
    if not commas:
        return columns, ()
    return columns, (f"a comma before the decimals of {', '.join(map(repr, commas))}",)


def _is_comma_decimal(cell: str, number: Any) -> bool:
    return "," in cell and number != "" and number != plain_number(cell.replace(",", ""))


def _own_parser(column: str) -> Any:
    """How the cells of a column of a table that lawful wrote are read: as text where the schema says so (yes and no
    come later), else as numbers where they read as such."""
    kind = _own_kind(column)
    if kind in ("text", "yes/no"):
        return str.strip
    return lambda cell: number_or_text(cell, is_number=bool(kind))


def _own_kind(column: str) -> str:
    """The unit or kind of a column that lawful knows, or a plug-in; else empty."""
    if column in COLUMNS:
        return COLUMNS[column][0]
    return plugins.columns()[column].unit if column in plugins.columns() else ""


def _plain_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of a source whose cells have types, as `_of_text` gives those of a text."""
    parsers: dict[str, Any] = {}
    for row in rows:
        for name in row.keys() - parsers.keys():
            kind = _own_kind(name) if row.keys() >= OWN else COLUMNS[name][0] if name in COLUMNS else ""
            parsers[name] = as_text if kind == "text" else as_number if kind not in ("", "yes/no") else as_plain
        yield {
            # most cells are such numbers already
            name: cell
            if (type(cell) is int or (type(cell) is float and cell == cell)) and parsers[name] is not as_text
            else parsers[name](cell)
            for name, cell in row.items()
        }


def _under_current_names(table: Observations) -> Observations:
    """Only a table that lawful wrote: in another's, best_loss may be anything."""
    if not table.is_of_study or all(current_name(name) == name for name in table.columns):
        return table
    return replace(table, rows=tuple(with_current_names(row) for row in table))


def _deciding(columns: Sequence[str]) -> dict[str, list[str]]:
    """The columns that decide whether a run is fitted: name in the schema -> its names here, its own first."""
    found: dict[str, list[str]] = {}
    for column in sorted(columns, key=lambda column: column not in COLUMNS):
        name = name_of(column)
        key = next((k for k in (name.key, name.path) if _ALSO_CALLED.get(k, k) in ("status", *_YES_NO_COLUMNS)), "")
        if key:
            found.setdefault(_ALSO_CALLED.get(key, key), []).append(column)
    return found


def _read_yes_no(rows: Iterable[Any], name: str, columns: Sequence[str]) -> list[str]:
    """Put True, False or "" under `name` into each row that has a cell of it; the problems found."""
    problems = []
    for number, row in enumerate(rows, start=1):
        column, cell = first_said(row, columns, lambda cell: cell not in (True, False) and yes_or_no(cell) == "")
        if cell is True or cell is False:
            row[name] = cell
            continue
        value = yes_or_no(cell)
        if value is None:
            problems.append(
                f"row {number}, column {column!r}: expected yes or no (or true and false, t and f, y and n, on and "
                f"off, 1 and 0, x and an empty cell), got {cell!r}."
            )
        if value != "" or column in row:
            row[name] = value
    return problems


def _read_status(rows: Iterable[Any], columns: Sequence[str]) -> list[str]:
    """Put the cell under `status` into each row; the words that nobody knows, each once."""
    unknown: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        column, cell = first_said(row, columns, lambda cell: cell == "")
        row["status"] = cell
        if cell == "" or is_state(cell):
            continue
        unknown.setdefault(
            in_words(cell),
            f"row {number}, column {column!r}: expected the state of a run, a word such as finished, completed, "
            f"failed, crashed or running, got {cell!r}. Write one of these, or give the column another name if it "
            "holds something else.",
        )
    return list(unknown.values())


def _factors(table: Observations, units: Mapping[str, str]) -> dict[str, float]:
    """Column -> how many are in one of its unit, as the user gave it."""
    factors = {}
    for column, text in units.items():
        if column not in table.columns:
            raise TableError(f"{table.source}: unit: no column {column!r}; it has {', '.join(table.columns)}.")
        factor = UNITS.get(str(text).strip().lower()) or written_count(str(text), ".")
        if not factor or not 0 < factor < math.inf:
            raise TableError(
                f"{table.source}: unit of {column!r}: expected thousands, millions, billions, trillions, PF-days or a "
                f"number, got {text!r}."
            )
        factors[column] = float(factor)
    return factors


def _with_roles(
    table: Observations, told: Mapping[str, str], factors: Mapping[str, float]
) -> tuple[Observations, dict[str, str]]:
    """The table with the columns of its roles as numbers; role -> column."""
    roles: dict[str, str] = {role: name for role in ROLES if (name := told.get(role) or table.roles.get(role))}
    if {FILE, ROW} <= set(table.columns):  # tidy: its columns are called as their roles are
        roles = {role: role for role in ROLES if role in table.columns} | roles
    if table.is_of_study or table.roles:
        filled = {name for name in table.columns if any(not is_empty(row.get(name)) for row in table.rows)}
        for role, names in _OWN_NAMES.items():
            if role not in roles and (found := next((name for name in names if name in filled), None)):
                roles[role] = found
        return table, {role: roles[role] for role in ROLES if role in roles}
    taken: dict[str, Choice] = {
        role: choice_of(table.source, role, column, factors.get(column))
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
            _expect_numbers(table, role)
    if "tokens" not in taken and "params" in taken and "flops" not in taken:
        taken |= _by_ratio(table, taken, numbers)
    _expect_one_unit(table, taken, factors)
    _expect_no_accuracy(table, taken, numbers)
    _expect_whole(table, taken, factors)
    if "flops" not in taken or taken["flops"].column not in factors:
        _expect_6nd(table, taken, numbers, told)
    _expect_counts(table, taken, numbers, told, factors)
    rows = [dict(row) for row in table.rows]
    columns = []
    converted = dict(table.converted)
    for role, choice in taken.items():
        roles[role] = _put_numbers(table, rows, role, choice)
        if roles[role] != choice.column:
            converted[choice.column] = roles[role]
        notes = [f"times {choice.unit:g}"] * (choice.unit != 1) + [choice.why] * bool(choice.why)
        columns.append(f"{role} {choice.column!r}" + (f" ({'; '.join(notes)})" if notes else ""))
    bars = error_bars(table.columns, taken["loss"].column) if "loss" in taken else []
    for role in ("cluster", "arm"):
        if role not in roles and (found := _text_role(table, role, taken)):
            roles[role] = found
            columns.append(f"{role} {found!r}")
    return (
        replace(table, rows=tuple(rows), said=(*table.said, *_said(table, columns, bars, taken)), converted=converted),
        {role: roles[role] for role in ROLES if role in roles},
    )


def _said(table: Observations, columns: Sequence[str], bars: Sequence[str], taken: Mapping[str, Choice]) -> list[str]:
    """How the columns were read, in sentences."""
    said = [f"columns: {', '.join(columns)}"] if columns else ["columns: none is recognised"]
    if units := list(dict.fromkeys(str(row["loss_unit"]) for row in table.rows if row.get("loss_unit"))):
        said.append(f"the loss is in {', '.join(units).replace('_', ' ')}, as loss_unit says")
    if bars:
        said.append(f"error bars of {taken['loss'].column!r}: {', '.join(map(repr, bars))}; no fit weighs by them")
    if {"params", "flops"} <= taken.keys() and "tokens" not in taken:
        n, c = (taken[role].column for role in ("params", "flops"))
        said.append(f"no column of tokens: a law that reads tokens takes D = C / (6 N) from {c!r} and {n!r}")
    return said


def _numbers_by_column(table: Observations, told: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns that could have a role, as numbers; NaN where a cell is empty or no number."""
    words = {word for role in (*COUNTS, "loss") for group in VOCABULARY[role] for word in group} | RATIOS | EPOCHS
    found = {}
    for column in table.columns:
        name = name_of(column)
        names = [name, name.of] if name.of else [name]
        is_known = any({part.path, part.last} & words or part.letter in {*LETTERS.values(), "P"} for part in names)
        if column in told or is_known:
            found[column] = counts_of([row.get(column, "") for row in table.rows])
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


def _expect_numbers(table: Observations, role: str) -> None:
    """A column with the name of a role and texts with digits in it is meant for that role, and cannot be read."""
    words = {word for group in VOCABULARY[role] for word in group}
    for column in table.columns:
        if name_of(column).path not in words:
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


def _expect_no_accuracy(table: Observations, taken: Mapping[str, Choice], numbers: Mapping[str, np.ndarray]) -> None:
    """A column that was told as the loss, is called an accuracy, and rises with size, data or compute."""
    if "loss" not in taken or not is_accuracy(taken["loss"].column):
        return
    values = numbers[taken["loss"].column]
    for role in ("params", "tokens", "flops"):
        if role not in taken:
            continue
        counts = taken[role].in_ones(numbers)
        is_known = np.isfinite(counts) & np.isfinite(values) & (counts > 0)
        if is_known.sum() > 2 and np.cov(np.log(counts[is_known]), values[is_known])[0, 1] > 0:
            raise TableError(f"{table.source}: {rises(taken['loss'].column)}")


def _expect_one_unit(table: Observations, taken: Mapping[str, Choice], factors: Mapping[str, float]) -> None:
    """20M below `params (M)`: twenty million, or twenty million millions."""
    for choice in taken.values():
        if choice.unit == 1 or choice.column in factors:
            continue
        cells = [cell for row in table.rows if isinstance(cell := row.get(choice.column), str) and not is_empty(cell)]
        twice = next((cell for cell in cells if has_unit(cell)), None)
        if twice is not None:
            raise TableError(
                f"{table.source}: column {choice.column!r} names a unit, and its cell {twice!r} has one of its own. If "
                f"the cells are right as they are: --unit {shell_word(choice.column)}=1."
            )


def _put_numbers(table: Observations, rows: list[dict[str, Any]], role: str, choice: Choice) -> str:
    """The numbers of a role into the rows, under the column's own name, or under a new one where they are converted;
    that name."""
    column = choice.column
    cells = read_numbers([row.get(column, "") for row in rows], is_count=role in COUNTS)
    if choice.unit != 1 or choice.base or choice.times or choice.is_perplexity or choice.also:
        new = _new_name(choice)
        for row, cell in zip(rows, cells, strict=True):
            row[new] = _converted(cell, choice, row)
        for other in choice.also:
            name = _put_numbers(table, rows, role, other)
            for row in rows:
                if is_empty(row[new]) and not is_empty(row.get(name, "")):
                    row[new] = row[name]
        return new
    for row, cell in zip(rows, cells, strict=True):
        if column in row:
            row[column] = cell
    return column


def _expect_whole(table: Observations, taken: Mapping[str, Choice], factors: Mapping[str, float]) -> None:
    for role in COUNTS:
        column = taken[role].column if role in taken else ""
        if column in table.lone and column not in factors:
            raise TableError(
                f"{table.source}: column {column!r}: expected whole numbers, got cells such as "
                f"{table.rows[0][column]!r}, each with a point and three digits: 1.234 may be 1234, or 1.234 in some "
                f"unit. Say which: --unit {shell_word(column)}=1000, or --unit {shell_word(column)}=1e6 for millions."
            )


def _new_name(choice: Choice) -> str:
    """Of the column that holds the converted numbers of another."""
    name = choice.column
    if choice.is_perplexity:
        name = f"log {name}"
    elif choice.base:
        name = f"exp {name}" if choice.base == math.e else f"{choice.base:g}^{name}"
    elif choice.times:
        name = f"{name} x {choice.times}"
    elif choice.unit != 1:
        name = f"{name} x {choice.unit:g}"
    return " or ".join([name, *(other.column for other in choice.also)])


def _converted(cell: Any, choice: Choice, row: Mapping[str, Any]) -> Any:
    number = as_float(cell)
    if number != number:
        return cell
    if choice.is_perplexity:
        return math.log(number) if number > 0 else -math.inf
    if choice.base:
        try:
            return choice.base**number
        except OverflowError:
            return math.inf
    exact = number * choice.unit
    if choice.times:
        exact *= as_float(row.get(choice.times))
        if exact != exact:
            return ""
    return round(exact) if abs(exact) < 2**53 and abs(exact - round(exact)) < 1e-6 * abs(exact) else exact


def _expect_6nd(
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
    """Of those that are finite; NaN of none."""
    known = numbers[np.isfinite(numbers)]
    return float(np.median(known)) if len(known) else math.nan


def _expect_counts(
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
    if any(_median(taken[role].in_ones(numbers)) >= FEWEST for role in asked):
        return
    named = " and ".join(repr(taken[role].column) for role in asked)
    words = " ".join(f"--unit {shell_word(taken[role].column)}=millions" for role in asked)
    ones = " ".join(f"--unit {shell_word(taken[role].column)}=1" for role in asked)
    raise TableError(
        f"{table.source}: expected counts in {named}, got numbers below {FEWEST:,}, as if in millions or billions. Say "
        f"their units: {words}; or, if they are what they seem, {ones}."
    )


def _text_role(table: Observations, role: str, taken: Mapping[str, Choice]) -> str | None:
    """The column that names arms, or runs: of several with a usual name the first in which something stands. A column
    that is not called `cluster` names runs only where each of its names has one size: `run` 1, 2, 3 at every size
    numbers replicates."""
    for group in VOCABULARY[role]:
        for column in table.columns:
            name = name_of(column)
            if column in {choice.column for choice in taken.values()} or not {name.path, name.key} & set(group):
                continue
            cells = [as_text(row.get(column, "")) for row in table.rows]
            if all(map(is_empty, cells)):
                continue
            if role == "cluster" and name.path != "cluster" and not _names_runs(table, cells, taken):
                continue
            return column
    return None


def _names_runs(table: Observations, cells: Sequence[Any], taken: Mapping[str, Choice]) -> bool:
    named = [i for i, cell in enumerate(cells) if not is_empty(cell)]
    if len({str(cells[i]) for i in named}) == len(named):
        return True  # each row is a run of its own
    if "params" not in taken:
        return True
    sizes: dict[str, set[str]] = {}
    for i in named:
        sizes.setdefault(str(cells[i]), set()).add(str(table.rows[i].get(taken["params"].column)))
    return all(len(of_run) == 1 for of_run in sizes.values())


def _checked(table: Observations, roles: Mapping[str, str], told: set[str], *, skip_bad_rows: bool) -> Observations:
    """Numbers in place of text, or one TableError with every problem found (at most eight are printed). Rows that say
    the same as an earlier one in every column are left out, and listed."""
    problems: dict[int, str] = {}
    twice: dict[int, int] = {}
    rows = []
    columns = table.columns
    odd = {} if table.is_of_study else {**_summaries(table), **_marks(table, roles)}
    seen: dict[Any, int] = {}
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
                    typed[column] = _positive(cell)
                except TableError as error:
                    if role == "loss" or role in told or cell not in (None, ""):
                        problems.setdefault(number, f", column {column!r}: expected {_expected(role)}, {error}.")
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
    if all(isinstance(cell, Real) and cell < 0 for cell in losses):
        raise TableError(
            f"{table.source}: column {roles['loss']!r}: expected positive losses, got negative numbers alone. If they "
            "are log-likelihoods, the loss is the same number without the sign: write that."
        )
    hint = "\n  --skip-bad-rows leaves such rows out, and lists them." if len(problems) < len(rows) else ""
    _refuse(table.source, [f"row {number}{problem}" for number, problem in problems.items()], hint)
    return typed_table


def _summaries(table: Observations) -> dict[int, str]:
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


def _marks(table: Observations, roles: Mapping[str, str]) -> dict[int, str]:
    """Losses such as 999 that stand far above all others: number of the row -> what to say of it. They mark a run
    without a loss."""
    if "loss" not in roles:
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


def _refuse(source: str, problems: Sequence[str], hint: str = "") -> None:
    if problems:
        more = f"\n  and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        raise TableError(
            f"{source}: the table cannot be used:\n  " + "\n  ".join(problems[:MOST_PROBLEMS]) + more + hint
        )


def _expected(role: str) -> str:
    return "a positive loss" if role == "loss" else f"a positive count ({role})"


def _positive(value: Any) -> float:
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


def _hint(value: Any) -> str:
    if isinstance(value, str) and value.endswith("%"):
        return " (write it as a number, without the sign for per cent)"
    if isinstance(value, str) and "±" in value:
        return " (write the error into a column of its own)"
    if isinstance(value, str) and are_lone([value]) and "," in value:
        return " (a comma before three digits: write 1234 or 1.234)"
    return ""
