"""The seam between training and analysis: one tidy table, one row per run that has ended.

Everything left of it may use torch; nothing right of it does. COLUMNS is the schema of the table that a study
writes; a user's own table needs only the columns its question uses.
"""

from __future__ import annotations

import csv
import decimal
import functools
import hashlib
import io
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np

from lawful import plugins, unpack
from lawful.checks import checked, shown
from lawful.errors import MissingDependency, TableError
from lawful.storage.atomic import write_text
from lawful.storage.json_files import MOST_LINE_BYTES, no_json, parse_json, plain, reading
from lawful.storage.layout import Store

# name -> (unit or kind, what it is)
COLUMNS: dict[str, tuple[str, str]] = {
    "study": ("text", "name of the study"),
    "run": ("text", "the run's id"),
    "rung": ("text", "its coordinates, readable: size=3,tokens=1000000,seed=0"),
    "arm": ("text", "what is compared (empty where the study has one arm)"),
    "seed": ("integer", "replicate number"),
    "held_out": ("yes/no", "declared before training as not to be fitted; empty is no"),
    "bracket": ("ratio", "of the learning rate to the ladder's own, where a run only tries another; never fitted"),
    "starts_from": ("text", "id of the run whose final weights it began with, where it is a fine-tuning; never fitted"),
    "left_plan": ("text", "since when the study's plan does not have this run any more, where it had it; never fitted"),
    "cluster": ("text", "runs that share noise: branches of one trunk, checkpoints of one run"),
    "status": ("text", "finished, diverged or failed; only finished runs are fitted; empty is finished"),
    "reason": ("text", "why a run is not finished, in words"),
    "params_total": ("count", "all trained parameters, a tied head counted once"),
    "params_embedding": ("count", "token and position embeddings, and an untied head"),
    "params_non_embedding": ("count", "params_total - params_embedding"),
    "tokens": ("count", "training targets seen, repeats counted (D)"),
    "unique_tokens": ("count", "tokens in the training split"),
    "epochs": ("ratio", "tokens / unique_tokens"),
    "flops": ("FLOPs", "the family's exact count by the rule, attention and head included, as if trained from scratch"),
    "flops_spent": ("FLOPs", "on the steps this run did itself; the rest came from its trunk"),
    "flops_6nd": ("FLOPs", "6 x params_non_embedding x tokens"),
    "loss": ("loss_unit", "on the fixed validation tokens, after the last step"),
    "loss_unit": ("text", "nats_per_token and the like; never mixed in one fit"),
    "bits_per_byte": ("bits", "the same loss per byte of validation text, comparable between tokenizers"),
    "accuracy": ("share", "of validation targets whose most likely prediction is right"),
    "loss_lowest_seen": (
        "loss_unit",
        "the lowest loss seen during training, on the first targets of validation, or of a split for selection where "
        "the corpus has one (a biased minimum)",
    ),
    "test_loss": ("loss_unit", "on the test split, where the corpus has one; other test_ columns likewise"),
    "best_weights_loss": (
        "loss_unit",
        "on validation, of the weights that gave loss_lowest_seen, where those are kept; other best_weights_ columns "
        "likewise",
    ),
    "loss_train": ("loss_unit", "mean over the last tenth of the training steps"),
    "steps": ("count", "optimiser steps"),
    "batch_tokens": ("count", "targets in one optimiser step"),
    "context": ("count", "targets in one window"),
    "learning_rate": ("number", "peak"),
    "weight_decay": ("number", "of matrices, decoupled"),
    "schedule": ("text", "wsd, cosine or constant"),
    "decay_fraction": ("share", "of the steps, over which a wsd schedule decays, as declared"),
    "rate_floor": ("share", "of the peak, to which a schedule decays at most, as declared"),
    "is_decayed": (
        "yes/no",
        "the learning rate came to .9 of its peak or more, and down to .15 of it by the last step; empty is unknown",
    ),
    "masks_padding": ("yes/no", "no padding counts in the loss; empty is unknown"),
    "precision": ("text", "fp32, bf16, fp16"),
    "family": ("text", "architecture"),
    "corpus": ("text", "name of the corpus"),
    "tokenizer": ("text", "name of the tokenizer"),
    "vocabulary": ("count", "symbols that can be predicted"),
    "data_fingerprint": ("text", "hash of the prepared data; runs with different ones are never pooled"),
    "validation_fingerprint": (
        "text",
        "hash of the validation data alone; where it is one, runs on cuts of one text are a law of unique_tokens",
    ),
    "validation_tokens": ("count", "targets the loss is averaged over"),
    "test_tokens": ("count", "targets the test loss is averaged over"),
    "seconds": (
        "seconds",
        "training wall time of all its steps, evaluation apart: of a branch, the trunk's up to where it branched and "
        "its own; resumed parts summed; of stacked runs, the stack's",
    ),
    "seconds_spent": ("seconds", "on the steps this run did itself; the rest came from its trunk"),
    "seconds_per_step": ("seconds", "of one optimiser step that this run did itself, evaluation apart"),
    "seconds_per_epoch": ("seconds", "that one pass over the training split would take at this speed"),
    "tokens_per_second": ("rate", "over the steps this run did itself"),
    "flops_per_second": ("rate", "attained, by the exact count"),
    "peak_memory_bytes": ("bytes", "of the device, or resident"),
    "weights_sha256": ("text", "of the final weights"),
    "numerics": ("text", "what decides the last bits: device, dtype, threads, micro-batch, optimiser, torch"),
    "numerics_breaks": ("count", "how often a resume changed the numerics"),
    "diverged_at_step": ("count", "where it was stopped"),
}

BEST = "best_weights_"  # before a column's name: the same of the weights that gave loss_lowest_seen


def current_name(column: str) -> str:
    """Today's name of a column that lawful wrote under another one until 2026-11: loss_best, best_loss, best_accuracy,
    ... The one place that knows the former names."""
    if column == "loss_best":
        return "loss_lowest_seen"
    return BEST + column.removeprefix("best_") if column.startswith("best_") and BEST not in column else column


def with_current_names(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row that lawful wrote, its former names replaced."""
    return {current_name(name): value for name, value in row.items()}


# those of the above that only some tasks have; a task says its own in `columns`
TASK_COLUMNS = frozenset({"accuracy"})


@dataclass(frozen=True)
class Observations:
    """An immutable table: rows of plain values under named columns, and where they came from.

    source      a file, a folder, or "memory"
    dropped     rows left out so far: {"row", "run", "rung", "reason"}; filters add to it, never silently
    roles       what a column is to a law -> its name here: {"params": "N", "loss": "val_loss"}
    """

    rows: tuple[Mapping[str, Any], ...]
    source: str = "memory"
    dropped: tuple[Mapping[str, Any], ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)

    @functools.cached_property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(itertools.chain.from_iterable(self.rows)))

    def values(self, column: str) -> list[Any]:
        self.expect(column)
        return [row.get(column) for row in self.rows]

    def known_as(self, column: str) -> str:
        """The column's name here, where it was asked for by a former one."""
        return current if column not in self.columns and (current := current_name(column)) in self.columns else column

    def numbers(self, column: str) -> np.ndarray:
        """Shape (rows,), float64; an empty cell is NaN. Raises TableError for a text that is no number."""
        cells = self.values(column)
        try:
            return np.array([np.nan if is_empty(cell) else float(cell) for cell in cells])
        except (TypeError, ValueError):
            number, cell = next((i, c) for i, c in enumerate(cells, start=1) if not _is_number(c))
            raise TableError(
                f"{self.source}: row {number}, column {column!r}: expected a number, got {cell!r}."
            ) from None

    def where(
        self, keep: Callable[[Mapping[str, Any]], bool], reason: str | Callable[[Mapping[str, Any]], str]
    ) -> Observations:
        """The rows for which `keep` holds; the others are recorded in `dropped` with the reason."""
        is_kept = [keep(row) for row in self.rows]
        if all(is_kept):
            return self
        kept = tuple(itertools.compress(self.rows, is_kept))
        gone = {row.get("row") for row in self.dropped}  # a row keeps the number that it has in the table
        numbers = itertools.filterfalse(gone.__contains__, itertools.count(1))
        left = tuple(
            {
                "row": number,
                "run": row.get("run", ""),
                "rung": row.get("rung", ""),
                "reason": reason if isinstance(reason, str) else reason(row),
            }
            for number, row, is_here in zip(numbers, self.rows, is_kept, strict=False)
            if not is_here
        )
        return replace(self, rows=kept, dropped=self.dropped + left)

    def of_ladder(self) -> Observations:
        """The finished runs that are rungs: what any law may be fitted to or held against."""
        own = self.where(is_finished, lambda row: f"not finished: {row['status']}")
        for column, why in OFF_LADDER.items():
            own = own.where(lambda row, column=column: row.get(column) in ("", None), why)  # type: ignore[misc]
        copies = own.alike(LEAST_DIGITS)
        numbers = itertools.count()
        return own.where(lambda row: next(numbers) not in copies, COPY) if copies else own

    @property
    def is_of_study(self) -> bool:
        """Written by lawful: a run's name is then a hash of all that determines it."""
        return _OWN <= set(self.columns)

    def alike(self, digits: int = 0) -> frozenset[int]:
        """Indices of rows that say the same as an earlier one in all but their names, where losses are written to at
        least so many significant digits: two runs do not end at one loss to its last digit by chance. A column of text
        in which no value comes twice is one of names."""
        loss = self.roles.get("loss")
        if loss is None or self.is_of_study or max((_digits(row[loss]) for row in self.rows), default=0) < digits:
            return frozenset()
        names = {*_NAMES, self.roles.get("cluster", "")}
        for column in set(self.columns) - names:
            cells = [row.get(column) for row in self.rows]
            if all(isinstance(cell, str) and cell for cell in cells) and len(set(cells)) == len(cells):
                names.add(column)
        told = [column for column in self.columns if column not in names]
        seen: set[Any] = set()
        found = set()
        for number, row in enumerate(self.rows):
            key = _identity(row, told)
            if key in seen:
                found.add(number)
            seen.add(key)
        return frozenset(found)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(plain(self.rows), sort_keys=True).encode()).hexdigest()

    def expect(self, column: str) -> None:
        if self.rows and column not in self.columns:
            raise TableError(f"{self.source}: no column {column!r}; it has {', '.join(self.columns)}.")


COPY = "the same as an earlier row in all but its name"
LEAST_DIGITS = 6  # of a loss: at a spread of 1 % between runs, two agree in six digits by chance in about 1 of 10,000
# columns that name a run or say when it ran: they may differ between copies of one row
_NAMES = frozenset(
    "run run_name run_id name id Name ID cluster _timestamp timestamp created_at createdAt _runtime runtime".split()
)
MOST_CELLS = 50_000_000  # of a table; Parquet packs: a few bytes may stand for billions of rows
DIGITS = 300  # of a decimal that is read as a whole number
ROLES = ("params", "tokens", "flops", "loss", "cluster", "arm", "unique_tokens")
# names that are recognised without being told, best first; anything else is mapped by hand
_KNOWN_AS = {
    "params": ("params", "params_non_embedding", "N", "n_params", "num_params", "parameters", "params_total"),
    "tokens": ("tokens", "D", "n_tokens", "num_tokens", "training_tokens"),
    "flops": ("flops", "C", "compute", "flop", "training_flops"),
    "loss": ("loss", "val_loss", "validation_loss", "final_loss", "eval_loss", "L"),
    "cluster": ("cluster", "run_name", "run_id", "run"),
    "arm": ("arm",),
    "unique_tokens": ("unique_tokens", "U"),
}
# how a cell says yes or no, in small letters
_YES_NO = dict.fromkeys(("yes", "y", "true", "t", "on", "x", "1"), True)
_YES_NO |= dict.fromkeys(("no", "n", "false", "f", "off", "0"), False)
# what stands for an empty cell in a column of numbers, or of yes and no
_EMPTY = frozenset(("", "nan", "na", "n/a", "#n/a", "<na>", "nat", "null", "none", "-"))
# what trackers and clusters call the state of a run, in small letters, with a space for _ and -
_FINISHED = frozenset(("finished", "complete", "completed", "success", "successful", "succeeded", "done", "ok"))
_NOT_FINISHED = frozenset(
    (
        "failed failure fail crashed crash killed running canceled cancelled preempted preempting diverged error "
        "errored aborted stopped interrupted pruned oom timeout incomplete unfinished active starting started pending "
        "queued scheduled waiting paused suspended"
    ).split()
) | {"not finished", "not started", "in progress", "timed out", "out of memory", "node fail"}
# other names of the columns that decide whether a run is fitted
_ALSO_CALLED = {
    "state": "status",
    "run_state": "status",
    "run_status": "status",
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
) -> Observations:
    """A table of runs, checked, from CSV (a W&B export too), JSONL, Parquet, a study's folder, TensorBoard logs (a run
    a folder, the last value of each scalar), a pandas DataFrame or rows in memory.

    The keywords name the columns; those not named are recognised where they carry a usual name. Counts (params,
    tokens, flops) and losses must be positive numbers. Raises LawfulError that names every bad row and column.
    """
    given = (params, tokens, flops, loss, cluster, arm, unique_tokens)
    if isinstance(source, Observations) and source.roles and not any(given):
        return source  # read and checked before
    observations = read_rows(source)
    if not observations.rows:
        raise TableError(f"{observations.source}: expected a table with at least one row, got an empty one.")
    told = {role: name and observations.known_as(name) for role, name in zip(ROLES, given, strict=True)}
    columns = observations.columns
    filled = {name for name in columns if any(not is_empty(row.get(name)) for row in observations.rows)}
    roles: dict[str, str] = {}
    problems: list[str] = []
    for role, name in told.items():
        found = name or observations.roles.get(role) or next((n for n in _KNOWN_AS[role] if n in filled), None)
        if name is not None and name not in columns:
            problems.append(f"{role}: no column {name!r}; the table has {', '.join(map(repr, columns))}.")
        elif found is not None:
            roles[role] = found
    if problems:
        raise TableError(f"{observations.source}: " + "\n  ".join(problems))
    rows = _checked_rows(observations, roles, is_told={role for role, name in told.items() if name})
    return replace(observations, rows=rows, roles=roles)


def read_rows(source: Any) -> Observations:
    """A table as it is, no column of it required; every reader of tables begins here, and every cell is read by one
    parser.

    Numbers are numbers and an empty cell is "", whatever the source has for it: NaN, NaT, None, null. The columns that
    decide whether a run is fitted stand under their own names, also where the table calls them State or HELD_OUT.
    Raises TableError that names the rows whose yes/no or status cannot be read.
    """
    if isinstance(source, Observations):
        observations = replace(source, rows=tuple(_plain_rows(source.rows)))
    else:
        observations = _under_current_names(_read(source))
    problems: list[str] = []
    for name, columns in _deciding(observations.columns).items():
        if name == "status":
            problems += _read_status(observations.rows, columns)
        else:
            problems += _read_yes_no(observations.rows, name, columns)
    _refuse(observations.source, problems)
    return replace(observations)  # without the columns that it remembers


def is_finished(row: Mapping[str, Any]) -> bool:
    """Whether a run's status says so, in the words of lawful or of a tracker; an empty status, or none, says yes."""
    status = row.get("status", "")
    return status in ("finished", "", None) or _in_words(status) in _FINISHED


# a column that only runs beside the ladder have -> why they are left out of every law
OFF_LADDER = {
    "bracket": "tries another learning rate (bracket)",
    "starts_from": "begins with another run's weights (fine-tuning)",
    "left_plan": "of an earlier plan of this study",
}


def is_of_ladder(row: Mapping[str, Any]) -> bool:
    """Whether the run is a rung: not there to try another learning rate, not a fine-tuning."""
    return why_off_ladder(row) is None


def why_off_ladder(row: Mapping[str, Any]) -> str | None:
    return next((why for column, why in OFF_LADDER.items() if row.get(column) not in ("", None)), None)


def _checked_rows(observations: Observations, roles: Mapping[str, str], is_told: set[str]) -> tuple[Any, ...]:
    """Numbers in place of text, or one LawfulError with every problem found (at most eight are printed)."""
    problems: list[str] = []
    checked = []
    columns = observations.columns
    seen: dict[Any, int] = {}
    for number, row in enumerate(observations.rows, start=1):
        typed = dict(row)
        if is_finished(row):
            for role, column in roles.items():
                if role in ("cluster", "arm"):
                    if role in is_told and is_empty(row.get(column)):
                        problems.append(
                            f"row {number}, column {column!r}: expected a {role}'s name, got an empty cell."
                        )
                    continue
                cell = row.get(column)
                if type(cell) is str and is_empty(cell):
                    cell = typed[column] = ""
                try:
                    typed[column] = _positive(cell)
                except TableError as error:
                    if role in ("loss", *is_told) or cell not in (None, ""):
                        problems.append(f"row {number}, column {column!r}: expected {_expected(role)}, {error}.")
        key = _identity(row, columns)
        if key in seen:
            problems.append(
                f"row {number}: the same as row {seen[key]} in every column; a run counts once. Remove "
                "it, or tell replicates apart by a column `seed`."
            )
        seen.setdefault(key, number)
        checked.append(typed)
    _refuse(observations.source, problems)
    return tuple(checked)


def _refuse(source: str, problems: Sequence[str]) -> None:
    if problems:
        more = f"\n  and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise TableError(f"{source}: the table cannot be used:\n  " + "\n  ".join(problems[:8]) + more)


def _identity(row: Mapping[str, Any], columns: Sequence[str]) -> Any:
    """Equal for rows that say the same in every column."""
    cells = tuple(map(row.get, columns))
    try:
        hash(cells)
    except TypeError:  # lists and the like
        return json.dumps(plain(cells), sort_keys=True)
    return cells


def _digits(value: float) -> int:
    """Of a number as it is written: 3 of 2.25, 1 of 2.0."""
    return len(f"{decimal.Decimal(repr(float(value))).normalize():f}".replace(".", "").replace("-", "").strip("0"))


def _expected(role: str) -> str:
    return "a positive loss" if role == "loss" else f"a positive count ({role})"


def _positive(value: Any) -> float:
    """A cell as a positive finite float; LawfulError says what it is instead."""
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
    if not isinstance(value, str):
        return ""
    if "," in value and value.replace(",", "").replace(".", "").strip().isdigit():
        return " (write numbers without thousands separators)"
    try:
        float(value)
    except ValueError:
        return ""
    return " (a number stored as text; store it as a number)"


def _read(source: Any) -> Observations:
    if hasattr(source, "to_dict") and hasattr(source, "columns"):  # a pandas DataFrame, without importing pandas
        return Observations(tuple(_plain_rows(_frame_rows(source))), "DataFrame")
    if not isinstance(source, (str, Path)):
        if not isinstance(source, Iterable):
            raise TableError(f"expected a table: a path, a DataFrame or rows; got {shown(source)}.")
        rows = list(source)
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, Mapping):
                raise TableError(f"row {number}: expected a mapping from column to value, got {shown(row)}.")
            if strange := [name for name in row if not isinstance(name, str)]:
                why = " (csv.DictReader puts the cells there that have no column)" if None in strange else ""
                raise TableError(f"row {number}: expected a text as a column's name, got {shown(strange[0])}{why}.")
        return Observations(tuple(_plain_rows(rows)), "memory")
    path = Path(source)
    if path.is_dir():
        table = Store(path).observations
        if not table.exists():
            files = list(path.rglob("events.out.tfevents.*"))
            for file in files:
                _expect_file(file)
            if logs := sorted({file.parent for file in files}):
                return Observations(tuple(_plain_rows(_tensorboard_row(log, path) for log in logs)), str(path))
            raise TableError(
                f"{path}: expected a study's folder with observations.csv, or TensorBoard logs, got neither."
            )
        return Observations(tuple(_csv_rows(table)), str(path))
    if not path.exists():
        raise TableError(f"{path}: no such file; expected a CSV, JSONL or Parquet table, or a study's folder.")
    _expect_file(path)
    kind = path.suffix.lower()
    if kind in (".csv", ".tsv", ".txt"):
        rows = list(_csv_rows(path))
    elif kind in (".jsonl", ".ndjson"):
        rows = list(_plain_rows(_json_rows(path)))
    elif kind == ".parquet":
        rows = list(_plain_rows(_parquet_rows(path)))
    elif reader := plugins.reader_of(kind):
        rows = list(_plain_rows(reader.rows(path)))
    else:
        raise TableError(f"{path}: expected a .csv, .tsv, .jsonl or .parquet table, got {kind or 'no suffix'!r}.")
    return Observations(tuple(rows), str(path))


def _expect_file(path: Path) -> None:
    """Whoever reads a pipe waits until somebody writes, perhaps for ever."""
    if not path.is_file():
        raise TableError(f"{path}: expected a file, got a pipe, socket or device; write the table into a file.")


def _under_current_names(table: Observations) -> Observations:
    """Only a table that lawful wrote: in another's, best_loss may be anything."""
    is_own = table.is_of_study
    if not is_own or all(current_name(name) == name for name in table.columns):
        return table
    return replace(table, rows=tuple(with_current_names(row) for row in table))


_NO_COMMA = {";": "semicolons", "\t": "tabs", "|": "bars"}  # what stands between the columns of some tables


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    with reading(path, "a CSV table", TableError), path.open(encoding="utf-8-sig", newline="") as file:
        lines = [line for line in _text_rows(path, file, "\t" if path.suffix.lower() == ".tsv" else ",") if line[1]]
    if not lines:
        raise TableError(f"{path}: expected a header and rows, got an empty file.")
    header = [unquoted(name.strip()) for name in lines.pop(0)[1]]
    if len(header) == 1 and (other := next((sign for sign in _NO_COMMA if sign in header[0]), None)):
        raise TableError(
            f"{path}: expected columns separated by {'tabs' if path.suffix.lower() == '.tsv' else 'commas'}, got a "
            f"header with {_NO_COMMA[other]}; save the table as {'.tsv' if other == chr(9) else 'CSV with commas'}."
        )
    if twice := _first_twice(header):
        raise TableError(f"{path}: two columns are called {twice[0]!r}; each needs its own name.")
    is_own = _OWN <= set(header)
    parsers = [_text_parser(name, is_own=is_own) for name in header]
    for number, (line, cells) in enumerate(lines, start=1):
        if len(cells) != len(header):
            raise TableError(
                f"{path}: row {number} (line {line}): expected {len(header)} cells, got {len(cells)} "
                "(a number with thousands separators must lose them, a text with commas needs quotes)."
            )
        yield {
            name: unquoted(cell) if is_quoted(cell) else parse(cell)
            for name, parse, cell in zip(header, parsers, cells, strict=True)
        }


def _text_rows(path: Path, file: IO[str], delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """The cells of each row and the number of the line on which it ends."""
    # strict: a quote that nothing closes would take the rows below it for its text
    reader, left, line = csv.reader(_lines(path, file), delimiter=delimiter, strict=True), MOST_CELLS, 0
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise TableError(
                f"{path}: the row that begins at line {line + 1}: expected each quote closed before the next comma, "
                f"and doubled within a quoted text, got a row that cannot be read ({error})."
            ) from None
        if cells is None:
            return
        line, left = reader.line_num, left - len(cells)
        if left < 0:
            raise TableError(f"{path}: expected a table of at most {MOST_CELLS:,} cells, got more.")
        yield line, cells


def _lines(path: Path, file: IO[str]) -> Iterator[str]:
    """A file without an end of a line may be as large as its name says, and hold nothing."""
    for number, line in enumerate(iter(lambda: file.readline(MOST_LINE_BYTES), ""), start=1):
        if len(line) == MOST_LINE_BYTES:
            raise TableError(f"{path}: line {number}: expected at most {len(line):,} characters, got more.")
        yield line


def _first_twice(names: Sequence[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1][:1]


def read_cells(path: Path) -> list[dict[str, str]]:
    """The rows of a study's table, each cell as it was given to be written; none where there is no such file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8-sig", newline="") as file, reading(path, "a study's table", TableError):
        header, *rows = [cells for _, cells in _text_rows(path, file) if cells] or [[]]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise TableError(
                f"{path}: row {number} has another number of cells than the header; the table is damaged, and nothing "
                "is written over it. Take it from a copy; or remove it, and it is made again from the runs in runs/."
            )
    return [{unquoted(name): unquoted(cell) for name, cell in zip(header, row, strict=True)} for row in rows]


_OWN = {"study", "rung", "data_fingerprint"}  # columns of each table that lawful writes


def _kind(column: str, *, is_own: bool) -> str:
    """The unit or kind of a column that lawful knows, or a plug-in; else empty. Plug-ins are looked for only where the
    table is one that lawful wrote (is_own)."""
    if column in COLUMNS:
        return COLUMNS[column][0]
    if not is_own or column not in plugins.columns():
        return ""
    return plugins.columns()[column].unit


def _text_parser(column: str, *, is_own: bool) -> Callable[[str], Any]:
    """How the cells of a column of text are read: as text where the schema says so (yes and no come later), else as
    numbers where they read as such."""
    kind = _kind(column, is_own=is_own)
    if kind in ("text", "yes/no"):
        return str.strip
    return functools.partial(_number_or_text, is_number=bool(kind))


def _number_or_text(cell: str, *, is_number: bool) -> Any:
    cell = cell.strip()
    try:
        number = int(cell) if cell.lstrip("+-").isdigit() else float(cell)
    except ValueError:
        return "" if is_number and cell.lower() in _EMPTY else cell
    return number if number == number else ""


def _plain_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of a source whose cells have types, as `_csv_rows` gives those of a text."""
    parsers: dict[str, Callable[[Any], Any]] = {}
    for row in rows:
        for name in row.keys() - parsers.keys():
            kind = _kind(name, is_own=row.keys() >= _OWN)
            parsers[name] = as_text if kind == "text" else _as_number if kind not in ("", "yes/no") else _as_plain
        yield {
            # most cells are such numbers already
            name: cell
            if (type(cell) is int or (type(cell) is float and cell == cell)) and parsers[name] is not as_text
            else parsers[name](cell)
            for name, cell in row.items()
        }


def _as_plain(cell: Any) -> Any:
    """A cell as text, a number, a truth value or, of JSON, a list or mapping of these; "" for what says that there is
    nothing."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, (bool, int)):
        return cell
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):  # of pandas, which is not imported for this
        return ""
    if isinstance(cell, (np.datetime64, np.timedelta64)):
        return "" if np.isnat(cell) else str(cell)
    if isinstance(cell, (np.generic, np.ndarray)):
        return _as_plain(cell.tolist())
    if isinstance(cell, decimal.Decimal):
        if cell.is_nan():
            return ""
        is_count = cell.is_finite() and cell.adjusted() < DIGITS and cell == cell.to_integral_value()
        return int(cell) if is_count else float(cell)
    if isinstance(cell, Real):
        try:
            return "" if cell != cell else float(cell)
        except OverflowError:  # a fraction of large integers
            return str(cell)
    if isinstance(cell, Mapping):
        return {str(name): _as_plain(value) for name, value in cell.items()}
    if isinstance(cell, (list, tuple)):
        return [_as_plain(value) for value in cell]
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)  # times; anything else


def as_text(cell: Any) -> Any:
    """7 and 7.0 (a column of numbers with a gap, in pandas) are the text 7."""
    if type(cell) is str:
        return cell.strip()
    cell = _as_plain(cell)
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell) if isinstance(cell, (bool, int, float)) else cell


def _as_number(cell: Any) -> Any:
    cell = _as_plain(cell)
    return "" if isinstance(cell, str) and cell.lower() in _EMPTY else cell


def is_empty(cell: Any) -> bool:
    """Whether a cell of numbers holds nothing."""
    return cell is None or cell == "" or (isinstance(cell, str) and cell.strip().lower() in _EMPTY)


def _is_number(cell: Any) -> bool:
    try:
        return is_empty(cell) or float(cell) is not None
    except (TypeError, ValueError):
        return False


def _deciding(columns: Sequence[str]) -> dict[str, list[str]]:
    """The columns that decide whether a run is fitted: name in the schema -> its names here, its own first."""
    found: dict[str, list[str]] = {}
    for column in sorted(columns, key=lambda column: column not in COLUMNS):
        # HeldOut, held.out (as R writes a space) and Held Out are held_out
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column).lower()
        name = re.sub(r"[\W_]+", "_", words).strip("_")
        name = _ALSO_CALLED.get(name, name)
        if name == "status" or name in _YES_NO_COLUMNS:
            found.setdefault(name, []).append(column)
    return found


def _first_said(row: Mapping[str, Any], columns: Sequence[str], is_nothing: Callable[[Any], bool]) -> tuple[str, Any]:
    """The first of these columns with something in it, and its cell: two trackers' tables, one below the other, have
    some rows under one name and some under another."""
    return next(((name, row[name]) for name in columns if not is_nothing(row.get(name, ""))), (columns[0], ""))


def _read_yes_no(rows: Iterable[Any], name: str, columns: Sequence[str]) -> list[str]:
    """Put True, False or "" under `name` into each row that has a cell of it; the problems found."""
    problems = []
    for number, row in enumerate(rows, start=1):
        column, cell = _first_said(row, columns, lambda cell: cell not in (True, False) and yes_or_no(cell) == "")
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


def yes_or_no(cell: Any) -> bool | str | None:
    """True, False, "" for an empty cell, None for a cell that is none of these."""
    text = str(cell).strip().lower()
    if text in _YES_NO:
        return _YES_NO[text]
    if text in _EMPTY:
        return ""
    try:
        return {0.0: False, 1.0: True}.get(float(text))
    except ValueError:
        return None


def _read_status(rows: Iterable[Any], columns: Sequence[str]) -> list[str]:
    """Put the cell under `status` into each row; the words that nobody knows, each once."""
    unknown: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        column, cell = _first_said(row, columns, lambda cell: cell == "")
        row["status"] = cell
        if cell in ("", "finished") or is_finished(row):
            continue
        words = _in_words(cell)
        if words not in _NOT_FINISHED and words.split(" ")[0].strip(":+,;()") not in _NOT_FINISHED:
            unknown.setdefault(
                words,
                f"row {number}, column {column!r}: expected the state of a run, a word such as finished, completed, "
                f"failed, crashed or running, got {cell!r}. Write one of these, or give the column another name if it "
                "holds something else.",
            )
    return list(unknown.values())


def _in_words(status: Any) -> str:
    return " ".join(str(status).lower().replace("_", " ").replace("-", " ").split())


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    names: set[str] = set()
    with reading(path, "one JSON object a line", TableError), path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate((line for line in _lines(path, file) if line.strip()), start=1):
            try:
                row = parse_json(line, object_pairs_hook=_once_each)
            except TableError as error:
                raise TableError(f"{path}: row {number}: {error}") from None
            except (ValueError, RecursionError) as error:  # no JSON, a number of too many digits, too deep a nest
                raise TableError(f"{path}: row {number}: expected a JSON object, got {no_json(error)}.") from None
            if not isinstance(row, dict):
                raise TableError(f"{path}: row {number}: expected a JSON object, got {type(row).__name__}.")
            names.update(row)
            if number * len(names) > MOST_CELLS:
                raise TableError(f"{path}: expected a table of at most {MOST_CELLS:,} cells, got more.")
            yield row


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of a JSON object. Raises TableError where two have one name: the last would hide the others."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise TableError(f"two members are called {twice!r}; each needs its own name.")
    return found


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependency.of("pyarrow", extra="table", what=f"{path}: reading Parquet", error=error) from None
    rows: list[dict[str, Any]] = []
    num_bytes, most = 0, unpack.room(path)
    with reading(path, "a Parquet table", TableError), pyarrow.parquet.ParquetFile(path) as file:
        cells = file.metadata.num_rows * file.metadata.num_columns
        names = file.schema_arrow.names
        if twice := [name for name in names if names.count(name) > 1]:
            raise TableError(f"{path}: two columns are called {twice[0]!r}; each needs its own name.")
        if cells > MOST_CELLS:
            raise TableError(f"{path}: expected a table of at most {MOST_CELLS:,} cells, got {cells:,}.")
        for batch in file.iter_batches(batch_size=1000):
            num_bytes += batch.nbytes
            if num_bytes > most:  # a text that is stored once may stand in every row
                raise TableError(f"{path}: expected at most {most:,} bytes in a file of its size, got more.")
            rows += batch.to_pylist()
    return rows


def _tensorboard_row(log: Path, root: Path) -> dict[str, Any]:
    """One run: the last value of each scalar it logged, under the scalar's tag."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        what = f"{root}: reading TensorBoard logs"
        raise MissingDependency.of("tensorboard", extra="tensorboard", what=what, error=error) from None
    events = EventAccumulator(str(log), size_guidance={"scalars": 0})
    row: dict[str, Any] = {"run": str(log.relative_to(root)) if log != root else log.name}
    with reading(log, "TensorBoard logs", TableError):
        events.Reload()
        for tag in events.Tags()["scalars"]:
            row[tag] = float(events.Scalars(tag)[-1].value)
    return row


def _frame_rows(frame: Any) -> Iterator[dict[str, Any]]:
    """The rows of a DataFrame of pandas or polars. A level of the index that has a name is a column, as in to_csv."""
    index = getattr(frame, "index", None)
    levels = (
        {str(name): index.get_level_values(i) for i, name in enumerate(index.names) if name is not None}
        if (index is not None)
        else {}
    )
    names = [str(name) for name in frame.columns]
    for name in [*names, *levels]:
        is_twice = names.count(name) > 1
        if name in levels and name in names and not is_twice:  # set_index(..., drop=False)
            is_twice = list(map(str, levels.pop(name))) != list(map(str, frame.iloc[:, names.index(name)]))
        if is_twice:
            raise TableError(f"DataFrame: two columns are called {name!r}; each needs its own name.")
    rows = frame.to_dicts() if hasattr(frame, "to_dicts") else frame.to_dict(orient="records")
    for number, row in enumerate(rows):
        yield {
            **{name: cells[number] for name, cells in levels.items()},
            **dict(zip(names, row.values(), strict=True)),
        }


# What a spreadsheet takes for a formula, and would run: such a text is written with an apostrophe in front. So is what
# follows a semicolon, a tab or an end of line in a text: many spreadsheets begin a cell there, and heed no quotes then
_FORMULA = "(?='*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20])"
_BEGINS = "(?:^|(?<=[;|\t\r\n]))"
_TO_QUOTE, _QUOTED = re.compile(_BEGINS + _FORMULA), re.compile(f"{_BEGINS}'{_FORMULA}")


def is_quoted(cell: str) -> bool:
    """Whether the cell is a text that write_csv put an apostrophe into."""
    return "'" in cell and _QUOTED.search(cell) is not None


def unquoted(cell: str) -> str:
    """The text as it was before write_csv."""
    return _QUOTED.sub("", cell) if is_quoted(cell) else cell


def _quoted(text: str) -> str:
    """The inverse; numbers stay as they are, also those that are kept as text."""
    if not _TO_QUOTE.search(text):
        return text
    try:
        float(text)
    except ValueError:
        return _TO_QUOTE.sub("'", text)
    return text


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Schema columns first and in order, then any others; numbers keep every digit (repr round-trips)."""
    rows = list(rows)
    extra = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in COLUMNS]
    names = columns or [*COLUMNS, *extra]
    buffer = io.StringIO()
    # the writer ends its lines with both, so that a cell with either is put in quotes; we keep one of them
    lines: Any = SimpleNamespace(write=lambda line: buffer.write(line[:-2] + "\n"))
    writer = csv.DictWriter(lines, names, restval="", lineterminator="\r\n")
    writer.writerow({name: _quoted(name) for name in names})
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    write_text(path, buffer.getvalue())


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return _quoted(value)
    return repr(float(value)) if isinstance(value, float) else value  # a numpy float is one, with another repr
