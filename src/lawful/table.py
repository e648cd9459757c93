"""The seam between training and analysis: one tidy table, one row per run that has ended.

Everything left of it may use torch; nothing right of it does. COLUMNS is the schema of the table that a study
writes; a user's own table needs only the columns its question uses.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import io
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from lawful import store, unpack
from lawful.errors import TableError

# name -> (unit or kind, what it is)
COLUMNS: dict[str, tuple[str, str]] = {
    "study": ("text", "name of the study"),
    "run": ("text", "the run's id"),
    "rung": ("text", "its coordinates, readable: size=3,tokens=1000000,seed=0"),
    "arm": ("text", "what is compared (empty where the study has one arm)"),
    "seed": ("integer", "replicate number"),
    "held_out": ("yes/no", "declared before training as not to be fitted"),
    "bracket": ("ratio", "of the learning rate to the ladder's own, where a run only tries another; never fitted"),
    "starts_from": ("text", "id of the run whose final weights it began with, where it is a fine-tuning; never fitted"),
    "cluster": ("text", "runs that share noise: branches of one trunk, checkpoints of one run"),
    "status": ("text", "finished, diverged or failed; only finished runs are fitted"),
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
    "cer": ("share", "character error rate: edits over characters of the true texts, decoded session by session"),
    "cer_deletions": ("share", "characters missed (emg2qwerty's own code calls these insertions), over characters"),
    "cer_insertions": ("share", "characters made up (emg2qwerty's own code calls these deletions), over characters"),
    "cer_substitutions": ("share", "characters mistaken for another, over characters"),
    "cer_users": ("share", "mean over people of each one's own error rate"),
    "cer_users_sd": ("share", "standard deviation of the same"),
    "blank_share": ("share", "of emissions whose most likely symbol is the blank"),
    "symbols_used": ("count", "distinct symbols in the decoded texts"),
    "infeasible": ("count", "windows with more keys than emissions can spell; they are in no loss"),
    "loss_best": (
        "loss_unit",
        "the lowest loss seen during training, on the first targets of validation, or of a split for selection where "
        "the corpus has one (a biased minimum)",
    ),
    "test_loss": ("loss_unit", "on the test split, where the corpus has one; other test_ columns likewise"),
    "best_loss": ("loss_unit", "on validation, of the weights that gave loss_best, where those are kept"),
    "loss_train": ("loss_unit", "mean over the last tenth of the training steps"),
    "steps": ("count", "optimiser steps"),
    "batch_tokens": ("count", "targets in one optimiser step"),
    "context": ("count", "targets in one window"),
    "learning_rate": ("number", "peak"),
    "weight_decay": ("number", "of matrices, decoupled"),
    "schedule": ("text", "wsd, cosine or constant"),
    "is_decayed": ("yes/no", "the learning rate reached its floor at the last step"),
    "masks_padding": ("yes/no", "no padding counts in the loss"),
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
    "settling_steps": ("count", "of an energy model on validation: steps taken, a mean over the positions"),
    "settling_residual": ("number", "what a state was still from its fixed point, a mean over the positions"),
    "settled_share": ("share", "of the positions that settled to the tolerance"),
    "gradient_error": (
        "ratio",
        "of a rule that does not differentiate: its gradient against backprop through settled states, final weights",
    ),
    "test_tokens": ("count", "targets the test loss is averaged over"),
    "seconds": ("seconds", "training wall time, evaluation apart, resumed parts summed; of stacked runs, the stack's"),
    "seconds_per_step": ("seconds", "of one optimiser step, evaluation apart"),
    "seconds_per_epoch": ("seconds", "that one pass over the training split would take at this speed"),
    "tokens_per_second": ("rate", "over the steps this run did itself"),
    "flops_per_second": ("rate", "attained, by the exact count"),
    "peak_memory_bytes": ("bytes", "of the device, or resident"),
    "weights_sha256": ("text", "of the final weights"),
    "numerics": ("text", "what decides the last bits: device, dtype, threads, micro-batch, optimiser, torch"),
    "numerics_breaks": ("count", "how often a resume changed the numerics"),
    "diverged_at_step": ("count", "where it was stopped"),
}


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
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def values(self, column: str) -> list[Any]:
        self.expect(column)
        return [row.get(column) for row in self.rows]

    def numbers(self, column: str) -> np.ndarray:
        """Shape (rows,), float64; an empty cell is NaN."""
        return np.array([np.nan if value in (None, "") else float(value) for value in self.values(column)])

    def where(self, keep: Callable[[Mapping[str, Any]], bool], reason: str) -> Observations:
        """The rows for which `keep` holds; the others are recorded in `dropped` with the reason."""
        is_kept = [keep(row) for row in self.rows]
        if all(is_kept):
            return self
        kept = tuple(itertools.compress(self.rows, is_kept))
        left = tuple(
            {"row": number, "run": row.get("run", ""), "rung": row.get("rung", ""), "reason": reason}
            for number, row in enumerate(self.rows, start=1)
            if not is_kept[number - 1]
        )
        return replace(self, rows=kept, dropped=self.dropped + left)

    def of_ladder(self) -> Observations:
        """The finished runs that are rungs: what any law may be fitted to or held against."""
        own = self.where(is_finished, "not finished")
        for column, why in OFF_LADDER.items():
            own = own.where(lambda row, column=column: row.get(column) in ("", None), why)  # type: ignore[misc]
        return own

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(store.plain(self.rows), sort_keys=True).encode()).hexdigest()

    def expect(self, column: str) -> None:
        if self.rows and column not in self.columns:
            raise TableError(f"{self.source}: no column {column!r}; it has {', '.join(self.columns)}.")


MOST_CELLS = 50_000_000  # of a Parquet table, which packs: a few bytes may stand for billions of rows
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
_YES_NO = {"yes": True, "no": False, "true": True, "false": False, "True": True, "False": False}


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
    observations = source if isinstance(source, Observations) else _read(source)
    if observations.roles and not any((params, tokens, loss, cluster, arm, flops, unique_tokens)):
        return observations  # read and checked before
    if not observations.rows:
        raise TableError(f"{observations.source}: expected a table with at least one row, got an empty one.")
    filled = {name for row in observations.rows for name, cell in row.items() if cell not in (None, "")}
    told = dict(zip(ROLES, (params, tokens, flops, loss, cluster, arm, unique_tokens), strict=True))
    columns = observations.columns
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


def is_finished(row: Mapping[str, Any]) -> bool:
    return row.get("status", "finished") in ("finished", "", None)


# a column that only runs beside the ladder have -> why they are left out of every law
OFF_LADDER = {
    "bracket": "tries another learning rate (bracket)",
    "starts_from": "begins with another run's weights (fine-tuning)",
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
    seen: dict[Any, int] = {}
    for number, row in enumerate(observations.rows, start=1):
        typed = dict(row)
        if is_finished(row):
            for role, column in roles.items():
                if role in ("cluster", "arm"):
                    if role in is_told and row.get(column) in (None, ""):
                        problems.append(
                            f"row {number}, column {column!r}: expected a {role}'s name, got an empty cell."
                        )
                    continue
                try:
                    typed[column] = _positive(row.get(column))
                except TableError as error:
                    if role in ("loss", *is_told) or row.get(column) not in (None, ""):
                        problems.append(f"row {number}, column {column!r}: expected {_expected(role)}, {error}.")
        key = _identity(row)
        if key in seen:
            problems.append(f"row {number}: the same as row {seen[key]} in every column; a run counts once.")
        seen.setdefault(key, number)
        checked.append(typed)
    if problems:
        more = f"\n  and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise TableError(f"{observations.source}: the table cannot be used:\n  " + "\n  ".join(problems[:8]) + more)
    return tuple(checked)


def _identity(row: Mapping[str, Any]) -> Any:
    """Equal for rows that say the same in every column."""
    with contextlib.suppress(TypeError):  # lists and the like
        if not any(value != value for value in row.values()):  # NaN
            return frozenset(row.items())
    return json.dumps(store.plain(row), sort_keys=True, default=str)


def _expected(role: str) -> str:
    return "a positive loss" if role == "loss" else f"a positive count ({role})"


def _positive(value: Any) -> float:
    """A cell as a positive finite float; LawfulError says what it is instead."""
    if value in (None, ""):
        raise TableError("got an empty cell")
    if type(value) is float and 0 < value < math.inf:  # most are
        return value
    if isinstance(value, bool) or not isinstance(value, Real):  # numpy's numbers are real, too
        raise TableError(f"got {'the text ' if isinstance(value, str) else ''}{value!r}{_hint(value)}")
    try:
        exact = float(value)
    except OverflowError:
        raise TableError("got a number that is too large") from None
    if math.isnan(exact):
        raise TableError("got NaN")
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
        return Observations(tuple(_frame_rows(source)), "DataFrame")
    if not isinstance(source, (str, Path)):
        return Observations(tuple(dict(row) for row in source), "memory")
    path = Path(source)
    if path.is_dir():
        table = store.Store(path).observations
        if not table.exists():
            if logs := sorted({file.parent for file in path.rglob("events.out.tfevents.*")}):
                return Observations(tuple(_tensorboard_row(log, path) for log in logs), str(path))
            raise TableError(
                f"{path}: expected a study's folder with observations.csv, or TensorBoard logs, got neither."
            )
        with store.reading(table, "a study's table", TableError):
            return Observations(tuple(_csv_rows(table)), str(path))
    if not path.exists():
        raise TableError(f"{path}: no such file; expected a CSV, JSONL or Parquet table, or a study's folder.")
    kind = path.suffix.lower()
    if kind in (".csv", ".tsv", ".txt"):
        with store.reading(path, "a CSV table", TableError):
            rows = list(_csv_rows(path))
    elif kind in (".jsonl", ".ndjson"):
        with store.reading(path, "one JSON object a line", TableError):
            rows = list(_json_rows(path))
    elif kind == ".parquet":
        with store.reading(path, "a Parquet table", TableError):
            rows = _parquet_rows(path)
    else:
        raise TableError(f"{path}: expected a .csv, .tsv, .jsonl or .parquet table, got {kind or 'no suffix'!r}.")
    return Observations(tuple(rows), str(path))


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        header = next(reader, None)
        if not header:
            raise TableError(f"{path}: expected a header and rows, got an empty file.")
        for name in header:
            if header.count(name) > 1:
                raise TableError(f"{path}: two columns are called {name!r}; each needs its own name.")
        for number, cells in enumerate((cells for cells in reader if cells), start=1):
            if len(cells) != len(header):
                raise TableError(
                    f"{path}: row {number} (line {reader.line_num}): expected {len(header)} cells, got {len(cells)} "
                    "(a number with thousands separators must lose them, a text with commas needs quotes)."
                )
            yield {
                unquoted(name): unquoted(cell) if is_quoted(cell) else _typed(name, cell)
                for name, cell in zip(header, cells, strict=True)
            }


def _typed(column: str, cell: str) -> Any:
    """Text that the schema calls text stays so; else a number where it reads as one, yes and no as truth values."""
    kind = COLUMNS.get(column, ("", ""))[0]
    cell = cell.strip()
    if kind == "text" or cell == "":
        return cell
    if kind == "yes/no":
        return _YES_NO.get(cell, cell)
    try:
        return int(cell) if cell.lstrip("+-").isdigit() else float(cell)
    except ValueError:
        return cell


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate((line for line in file if line.strip()), start=1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise TableError(f"{path}: row {number}: expected one JSON object a line ({error}).") from None
            if not isinstance(row, dict):
                raise TableError(f"{path}: row {number}: expected a JSON object, got {type(row).__name__}.")
            yield row


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow.parquet
    except ImportError:
        raise TableError(f"{path}: reading Parquet needs pyarrow: pip install pyarrow, or save it as CSV.") from None
    rows: list[dict[str, Any]] = []
    num_bytes, most = 0, unpack.room(path)
    with pyarrow.parquet.ParquetFile(path) as file:
        cells = file.metadata.num_rows * file.metadata.num_columns
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
    except ImportError:
        raise TableError(f"{root}: reading TensorBoard logs needs tensorboard: pip install tensorboard.") from None
    events = EventAccumulator(str(log), size_guidance={"scalars": 0})
    events.Reload()
    row: dict[str, Any] = {"run": str(log.relative_to(root)) if log != root else log.name}
    for tag in events.Tags()["scalars"]:
        row[tag] = float(events.Scalars(tag)[-1].value)
    return row


def _frame_rows(frame: Any) -> Iterator[dict[str, Any]]:
    for row in frame.to_dict(orient="records"):
        yield {str(name): value.item() if hasattr(value, "item") else value for name, value in row.items()}


# What a spreadsheet takes for a formula, and would run: such a text is written with an apostrophe in front
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def is_quoted(cell: str) -> bool:
    """Whether the cell is a text that write_csv put an apostrophe in front of."""
    return cell.startswith("'") and _FORMULA.match(cell) is not None


def unquoted(cell: str) -> str:
    """The text as it was before write_csv."""
    return cell[1:] if is_quoted(cell) else cell


def _quoted(text: str) -> str:
    """The inverse; numbers stay as they are, also those that are kept as text."""
    if not _FORMULA.match(text):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
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
    store.write_text(path, buffer.getvalue())


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return _quoted(value)
    return repr(float(value)) if isinstance(value, float) else value  # a numpy float is one, with another repr
