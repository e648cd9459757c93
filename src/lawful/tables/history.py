"""Histories: tables with many rows of one run, one for each time its loss was logged."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lawful.errors import TableError
from lawful.tables.cells import Row, as_float, counts_of, is_empty, written_count
from lawful.tables.names import name_of
from lawful.tables.observations import Observations, grouped
from lawful.tables.roles import shell_word

STEPS = frozenset(("step", "global_step", "iteration", "iter", "trainer_global_step", "train_step", "training_step"))
RUN = "run of a row"  # the column of runs that were told apart by all else that their rows say
# what changes from row to row of one run
_OF_TIME = frozenset(
    "epoch timestamp runtime time wall_time walltime seconds elapsed relative_time samples learning_rate lr".split()
)


def step_column(table: Observations) -> str | None:
    """The column that numbers the steps of a run; None where there is none."""
    return next((column for column in table.columns if name_of(column).path in STEPS), None)


def _runs(table: Observations, column: str) -> list[list[int]]:
    """The places of the rows of each run; a row that names none is a run of its own."""
    names = table.cells(column)
    runs = [(run, is_empty(names[run[0]])) for run in grouped(table, [column])]
    alone = [[place] for run, is_nameless in runs if is_nameless for place in run]
    return [*(run for run, is_nameless in runs if not is_nameless), *sorted(alone)]


def with_runs(table: Observations, roles: Mapping[str, str]) -> tuple[Observations, dict[str, str]]:
    """The table with each row's run, where it is a history; rows without the loss, which was not evaluated at every
    step, are left out. A table with one row a run stays as it is."""
    step = step_column(table)
    if step is None or "loss" not in roles:
        return table, dict(roles)
    roles = dict(roles)
    found, said = table, list(table.said)
    if "cluster" not in roles:
        found = table.with_cells(RUN, _numbers(table, roles, step))
        roles["cluster"] = RUN
    runs = _runs(found, roles["cluster"])
    loss, steps = roles["loss"], table.cells(step)
    is_filled = [not is_empty(cell) for cell in table.cells(loss)]
    is_at_several_steps = any(len({steps[place] for place in run}) > 1 for run in runs)
    is_sparse = any(len({is_filled[place] for place in run}) > 1 for run in runs)
    if not is_at_several_steps and not is_sparse:
        return table, {role: name for role, name in roles.items() if name != RUN}
    if not all(is_filled):
        found = found.kept(is_filled, f"no {loss} at this step")
        blank = len(table) - len(found)
        said.append(f"{blank} of {len(table)} rows left out: they have no {loss!r} at their step")
    of = repr(roles["cluster"]) if roles["cluster"] != RUN else "all but what was logged"
    said.append(
        f"a history: {len(found.rows)} rows of {len(runs)} runs (told apart by {of}), kept as correlated observations; "
        "--reduce last takes one row of each run"
    )
    return replace(found, said=tuple(said)), roles


def expect_progress(table: Observations, roles: Mapping[str, str]) -> None:
    """Raises TableError where the rows of one run have several losses and one budget: tokens (or FLOPs) are then those
    of the whole run, not those at the step of each loss, and most rows would say what no run did. The same where runs
    of several sizes have no column of tokens or FLOPs at all."""
    axes = [roles[role] for role in ("tokens", "flops") if role in roles]
    step = step_column(table)
    if step is None or "cluster" not in roles:
        return
    steps = table.cells(step)
    several = [run for run in _runs(table, roles["cluster"]) if len({steps[place] for place in run}) > 1]
    amounts = [table.cells(axis) for axis in axes]
    if not several or any(len({cells[place] for place in run}) > 1 for cells in amounts for run in several):
        return
    params = table.cells(roles["params"]) if "params" in roles else []
    sizes = {params[run[0]] for run in several if params}
    if not axes and len(sizes) < 2:
        return  # learning curves: a law of the step itself
    what = f"{axes[0]!r} is the same at each step: the whole run's" if axes else "no column has tokens or FLOPs"
    raise TableError(
        f"{table.source}: expected losses with the tokens that their run had seen by then, got a history of each run "
        f"in which {what}. Take one row of each run: --reduce last. Or name the column that counts up step by step: "
        f"--tokens-column COLUMN ({shell_word(step)}, where each step has the same number of tokens)."
    )


def _numbers(table: Observations, roles: Mapping[str, str], step: str) -> list[str]:
    """The run of each row by a number: those that agree in every column but step, tokens, FLOPs, losses and what else
    was logged (numbers with decimals, and times) are of one run."""
    changing = {step, *(roles[role] for role in ("tokens", "flops", "loss") if role in roles)}
    told = [column for column in table.columns if column not in changing and not _is_logged(table, column)]
    numbers: dict[tuple[str, ...], int] = {}
    keys = zip(*(map(str, table.cells(column)) for column in told), strict=True) if told else [()] * len(table)
    return [f"run {numbers.setdefault(key, len(numbers) + 1)}" for key in keys]


def _is_logged(table: Observations, column: str) -> bool:
    """A value of the moment, not a setting of the run: a time, or numbers of which no two rows have the same."""
    if name_of(column).path in _OF_TIME or name_of(column).path.endswith("loss"):
        return True
    cells = [cell for cell in table.cells(column) if not is_empty(cell)]
    is_measured = all(isinstance(cell, float) and not cell.is_integer() for cell in cells)
    return is_measured and len(set(cells)) > len(cells) / 2


def reduced(table: Observations, roles: Mapping[str, str], how: str) -> Observations:
    """One row for each run of a history.

    how   last; min (of the loss); step=N (the row at that step); ema=W (of the loss, each row weighing 1 - W beside the
          mean so far, at the last step)

    Raises TableError for any other word, and where a run has no row at the step.
    """
    step = step_column(table)
    if step is None or "cluster" not in roles:
        raise TableError(
            f"{table.source}: reduce: expected a column of steps, and runs with several rows; got neither."
        )
    name, _, value = how.partition("=")
    number = as_float(written_count(value, "."))
    is_known = how in ("last", "min") or (name == "step" and number == number) or (name == "ema" and 0 <= number < 1)
    if not is_known:
        raise TableError(f"reduce: expected last, min, step=NUMBER, or ema=WEIGHT below 1; got {how!r}.")
    runs = _runs(table, roles["cluster"])
    steps = counts_of(table.cells(step))
    losses = [as_float(cell) for cell in table.cells(roles["loss"])]
    taken: dict[int, Row] = {}
    for places in runs:
        places.sort(key=lambda place: steps[place] if steps[place] == steps[place] else 0.0)
        run = [losses[place] for place in places]
        place = places[_one(table.source, run, name, number, steps[places])]
        taken[place] = {**table.rows[place], roles["loss"]: _mean(run, number)} if name == "ema" else table.rows[place]
    said = tuple(part for part in table.said if not part.startswith("a history:"))
    said += (f"{len(table.rows)} rows of {len(runs)} runs reduced: {how}",)
    return replace(table.replaced(taken, f"another row of its run is taken ({how})"), said=said)


def _one(source: str, losses: Sequence[float], how: str, value: float, steps: np.ndarray) -> int:
    """The place of the row that stands for a run, whose rows are in the order of their steps."""
    if how == "min":
        return min(range(len(losses)), key=lambda place: losses[place] if losses[place] > 0 else math.inf)
    if how == "step":
        at = np.flatnonzero(steps == value)
        if not len(at):
            span = f"{steps[0]:g} to {steps[-1]:g}"
            raise TableError(f"{source}: reduce: no row at step {value:g} in a run with steps {span}.")
        return int(at[0])
    return len(losses) - 1


def _mean(losses: Sequence[float], weight: float) -> float:
    """The moving average of a run's losses: each new loss has the weight 1 - weight, the former mean the rest."""
    return functools.reduce(lambda mean, loss: weight * mean + (1 - weight) * loss, losses)
