"""Sample: the rows a law is fitted to, as arrays, after the refusals that need no fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lawful.errors import Refusal, TableError
from lawful.fitting.clusters import cluster_codes
from lawful.fitting.mixtures import refuse_mixtures
from lawful.fitting.replicates import (
    SpreadSlopes,
    cells_of,
    relative_spread,
    spread_of,
)
from lawful.laws import Array, Axes, Law
from lawful.response import Response
from lawful.schema import Observation
from lawful.tables import Observations, as_text, is_empty, read_by_role
from lawful.tables.lacking import lacking
from lawful.tables.pooled import best_of, pooled, unread
from lawful.tables.responses import NOTHING, Asked
from lawful.tables.roles import same_in_words, shell_word

LEAST_LEVELS = 3  # two levels of an axis fix a line, not a curve
ALIKE = 0.05  # standard errors of arms that differ by less, relatively, weigh rows alike
ROLES = ("params", "tokens", "flops", "unique_tokens")  # axes that go by what a column means; others by its name


@dataclass(frozen=True)
class Sample:
    """Rows in the table's order. `cluster` holds integer codes; `column` says which column each role came from;
    `spread_slopes` by how much the log of the noise changes with the log of an axis, where replicates show that it
    does; `expected_variance` is what that and its own uncertainty make of each row's variance; `errors` are the
    standard errors that the table gives, in units of the response's noise (of a loss: of its logarithm), `row_noise`
    what each row's noise is by them, in units of the typical one."""

    observations: Observations
    x: Axes
    values: Mapping[str, Array]
    loss: Array
    cluster: Array
    column: Mapping[str, str]
    spread_slopes: Mapping[str, float] = field(default_factory=dict)
    expected_variance: Array | float = 1.0
    errors: Array | None = None
    row_noise: Array | None = None

    @property
    def n(self) -> int:
        return len(self.loss)

    @property
    def clusters(self) -> int:
        return int(self.cluster.max()) + 1

    @property
    def response(self) -> Response:
        return self.observations.response

    @property
    def relative(self) -> Array | float:
        """The noise of each row in units of that at the pivot, or of the typical row."""
        if self.row_noise is not None:
            return self.row_noise
        return relative_spread(self.spread_slopes, self.x.logs)

    def take(self, rows: Array) -> Sample:
        """Some of the rows, at the same pivot."""
        chosen = replace(self.observations, rows=tuple(self.observations.rows[i] for i in rows))
        return Sample(
            chosen,
            Axes({axis: log[rows] for axis, log in self.x.logs.items()}, self.x.pivot),
            {axis: value[rows] for axis, value in self.values.items()},
            self.loss[rows],
            np.unique(self.cluster[rows], return_inverse=True)[1],
            self.column,
            self.spread_slopes,
            self.expected_variance if isinstance(self.expected_variance, float) else self.expected_variance[rows],
            None if self.errors is None else self.errors[rows],
            None if self.row_noise is None else self.row_noise[rows],
        )

    def in_order(self) -> tuple[Sample, Array]:
        """The rows by their axes and losses, clusters numbered as they then come, and where each row was: so that
        random draws are of the same runs however a table is sorted and its runs are named."""
        keys = [self.loss, *(self.values[axis] for axis in sorted(self.values, reverse=True))]
        order = np.lexsort(keys)
        named = self.observations.with_cells("run", self.run_names)  # a row's number is that in the table
        taken = replace(self, observations=named).take(order)
        first = np.unique(taken.cluster, return_index=True)[1]
        number = np.empty(len(first), dtype=int)
        number[np.argsort(first)] = np.arange(len(first))
        return replace(taken, cluster=number[taken.cluster]), order

    def on(self, law: Law) -> Sample:
        """Only the axes that a law reads."""
        logs = {axis: self.x.logs[axis] for axis in law.inputs}
        return replace(self, x=Axes(logs, {axis: self.x.pivot[axis] for axis in law.inputs}))

    @property
    def run_names(self) -> list[str]:
        return [
            str(row.get("run") or row.get(self.observations.roles.get("cluster", ""), "") or number)
            for number, row in enumerate(self.observations, start=1)
        ]


def read_table(source: Any, columns: Mapping[str, str | None], response: Asked = NOTHING) -> Observations:
    """The table with its roles; the cluster `none` is no column but says that every row is its own."""
    cluster = None if columns.get("cluster") == "none" else columns["cluster"]
    return read_by_role(source, {**columns, "cluster": cluster}, response=response)


def sample(
    source: Any,
    law: Law,
    columns: Mapping[str, str | None],
    *,
    by: str | None = None,
    keep_held_out: bool = False,
    check: bool = True,
) -> Sample:
    """The rows of `source` that count, as arrays. Rows that are not finished, or declared held out, are left out and
    recorded. `by` is the column of the arms, where they are compared. Raises Refusal for what no fit could repair,
    LawfulError for a bad table."""
    by_row = columns.get("cluster") == "none"
    table = read_by_role(source, {**columns, "cluster": None if by_row else columns.get("cluster")})
    if by_row:
        table = replace(table, roles={role: name for role, name in table.roles.items() if role != "cluster"})
    observations = table.of_ladder()
    if not keep_held_out:
        observations = observations.where(lambda row: row.get("held_out") is not True, "held out")
    if not len(observations):
        raise Refusal("no_rows", f"{table.source}: no finished run is left to fit; {len(table)} were left out.")
    column = dict(observations.roles)
    values = _axes_values(observations, law, column)
    loss = observations.numbers(column["loss"]) if "loss" in column else _missing(observations, "loss")
    if check:
        refuse_mixtures(observations)
        own = [column[axis] for axis in law.inputs if axis not in ROLES and axis in column]
        refuse_pooled(observations, column, [by, *own] if by else own)
        refuse_arms(observations, [by, *own])
    x = Axes.of(values)
    apart = _arm_codes(observations, by or column.get("arm"))
    if by_row:
        cluster = np.arange(len(observations))
    else:
        cluster = cluster_codes(observations, column, by, columns, x, apart, loss)
    errors = errors_of(observations, column, loss)
    if by is not None and errors is not None and np.ptp(errors) <= ALIKE * errors.max():
        errors = None  # arms' labels may then be permuted
    is_uneven = errors is None and observations.response.is_log
    spread = spread_of(x, loss, apart, cluster) if is_uneven else SpreadSlopes()
    expected = spread.expected_variance(x.logs)
    noise = _noise_of_arms(x, loss, observations.response) if by is not None and errors is None else None
    return Sample(observations, x, values, loss, cluster, column, spread.shrunk, expected, errors, noise)


def _noise_of_arms(x: Axes, loss: Array, response: Response) -> Array | None:
    """What the noise of each row follows from its value, in units of the typical one's: by the mean of its cell over
    all arms, which says nothing of their labels. None where it is the same everywhere."""
    if not response.is_share:
        return None
    cell = cells_of(x, np.zeros(len(loss)))
    noise = response.noise((np.bincount(cell, loss) / np.bincount(cell))[cell])
    return np.asarray(noise / np.exp(np.log(noise).mean()))


def errors_of(observations: Observations, column: Mapping[str, str], loss: Array) -> Array | None:
    """The standard error of each row in units of the response's noise: that of counts, or the one that the table
    gives."""
    if "trials" in column and observations.response.is_share:
        trials = observations.numbers(column["trials"])
        if not (trials >= 1).all():
            raise TableError(
                f"{observations.source}: column {column['trials']!r}: expected a number of items in each row that is "
                "fitted, got an empty cell or less than 1."
            )
        return np.asarray(1 / np.sqrt(trials))
    if "stderr" not in column:
        return None
    bars = observations.numbers(column["stderr"])
    return observations.response.relative_bars(bars, loss) if (bars > 0).all() else None


def refuse_pooled(observations: Observations, column: Mapping[str, str], told: Sequence[str]) -> None:
    """Raises Refusal where runs at one point of the law differ in a setting: they are no replicates of one another.

    told   columns by which runs are told apart, or which the user calls noise
    """
    told = [*told, *observations.noise]
    if question := unread(observations, observations.roles, told):
        raise TableError(question)
    found = pooled(observations, column, told)
    if found:
        named = "; ".join(
            f"{name!r} ({', '.join(levels[:4])}{', ...' if len(levels) > 4 else ''})" for name, levels in found.items()
        )
        first, best = shell_word(next(iter(found))), best_of(next(iter(found)))
        raise Refusal(
            "pooled_settings",
            f"{observations.source}: runs at one point of the law differ in {named}: they are no replicates. Fit each "
            f"apart (--by {first}), choose (--where {first}=VALUE{best and f', or {best}'}), or call it noise "
            f"(--as-noise {first}).",
        )


def refuse_arms(observations: Observations, told: Sequence[str | None] = ()) -> None:
    """Raises Refusal where one law would be fitted to the rows of several arms.

    told   columns by which runs are told apart, or which the law reads
    """
    arms = arms_of(observations)
    if len(arms) < 2 or observations.roles["arm"] in told:
        return
    column = shell_word(observations.roles["arm"])
    raise Refusal(
        "pooled_settings",
        f"{observations.source}: expected the runs of one arm, got {', '.join(arms[:4])}"
        f"{', ...' if len(arms) > 4 else ''} in {observations.roles['arm']!r}. Compare them (lawful compare), fit each "
        f"apart (--by {column}), choose one (--where {column}=VALUE), or call it noise (--as-noise {column}).",
    )


def arms_of(observations: Observations) -> list[str]:
    """The arms of a user's table that one law would pool; none where the arm is called noise. A study declares which
    arms its questions are asked of."""
    column = observations.roles.get("arm")
    if column is None or column in observations.noise or observations.is_of_study:
        return []
    return list(dict.fromkeys(str(as_text(row.get(column, ""))) for row in observations))


def _arm_codes(observations: Observations, by: str | None) -> Array:
    arms = [str(row.get(by, "")) if by else "" for row in observations]
    return np.asarray(np.unique(arms, return_inverse=True)[1])


def held_out_sample(table: Observations, law: Law, columns: Mapping[str, str | None]) -> Sample | None:
    """The finished rows that the table holds out and that have a point of the law and a loss; None where there are
    none."""
    held_out = table.of_ladder().where(lambda row: row.get("held_out") is True, "fitted")
    needed = [held_out.roles[role] for role in (*law.inputs, "loss") if role in held_out.roles]
    held_out = held_out.where(lambda row: all(not is_empty(row.get(name)) for name in needed), "no value")
    return sample(held_out, law, columns, keep_held_out=True, check=False) if len(held_out) else None


def _axes_values(observations: Observations, law: Law, column: dict[str, str]) -> dict[str, Array]:
    """Tokens and FLOPs may follow from each other through C = 6 N D; that is recorded in `column`."""
    values: dict[str, Array] = {}
    for axis in law.inputs:
        if axis in law.categories:
            values[axis] = np.array([law.level(axis, as_text(row.get(axis, ""))) for row in observations])
            column[axis] = axis
        elif axis in column:
            values[axis] = observations.numbers(column[axis])
        elif axis == "tokens" and {"params", "flops"} <= column.keys():
            values[axis] = observations.numbers(column["flops"]) / 6 / observations.numbers(column["params"])
            column[axis] = _derived(axis, column)
        elif axis == "flops" and {"params", "tokens"} <= column.keys():
            values[axis] = observations.numbers(column["params"]) * observations.numbers(column["tokens"]) * 6
            column[axis] = _derived(axis, column)
        elif axis not in ROLES and (own := same_in_words(axis, observations.columns)) is not None:
            values[axis] = observations.numbers(own)
            column[axis] = own
            if (values[axis] < 0).any() or not (values[axis] > 0).any():
                row = int(np.argmin(values[axis]))
                raise TableError(
                    f"{observations.source}: column {own!r}: a formula reads numbers from 0 on, some above it, got "
                    f"{values[axis][row]:g} in {_run_of(observations.rows[row])}. Leave such rows out, or add a column."
                )
        else:
            _missing(observations, axis)
        if not np.isfinite(values[axis]).all():
            row = int(np.flatnonzero(~np.isfinite(values[axis]))[0])
            name = observations.rows[row].get("run") or f"row {row + 1} of those fitted"
            raise TableError(
                f"{observations.source}: {name}, column {column[axis]!r}: expected "
                f"{f'a positive count ({axis})' if axis in ROLES else 'a number'}, "
                f"got an empty cell.{_merged(observations, column[axis])}"
            )
    return values


def _merged(observations: Observations, column: str) -> str:
    """What to say of cells that are empty below one that is filled, as those of a spreadsheet that were merged."""
    is_blank = [is_empty(row.get(column)) for row in observations]
    if is_blank[0] or sum(is_blank) < len(is_blank) / 3:
        return ""
    return " Where cells were merged, the first alone has their value: fill it down (pandas: df[...].ffill())."


def coordinates(row: Mapping[str, Any], law: Law, column: Mapping[str, str]) -> dict[str, Any]:
    """Where a row lies on the law's axes, by the columns a fit was made with, as `_axes_values` has it.

    Raises Refusal where the row has no such value: a run that is to come has no seconds yet.
    """
    at: dict[str, Any] = {}
    for axis in law.inputs:
        if axis in law.categories:
            at[axis] = str(law.cell(axis, law.level(axis, as_text(row.get(axis, "")))))
        elif row.get(column[axis]) not in (None, ""):
            at[axis] = float(row[column[axis]])
        elif axis == "flops" and column[axis] == _derived(axis, column):
            at[axis] = 6 * float(row[column["params"]]) * float(row[column["tokens"]])
        elif axis == "tokens" and column[axis] == _derived(axis, column):
            at[axis] = float(row[column["flops"]]) / 6 / float(row[column["params"]])
        else:
            raise Refusal("no_value", f"{_run_of(row)} has no value of {column[axis]}.")
    return at


def _derived(axis: str, column: Mapping[str, str]) -> str:
    """The name of an axis that no column holds, where it follows from two others."""
    if axis == "tokens":
        return f"{column.get('flops')} / (6 {column.get('params')})"
    return f"6 {column.get('params')} {column.get('tokens')}"


def refuse_missing(observations: Observations, columns: Mapping[str, str]) -> None:
    """Raises Refusal that names the runs without a positive number in a column that a law needs."""
    for role, asked in columns.items():
        name = observations.known_as(asked)
        lacking = [row for row in observations if not _is_there(row.get(name))]
        if lacking:
            named = ", ".join(f"{_run_of(row)} ({row.get(name) or 'empty'})" for row in lacking[:5])
            more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
            raise Refusal(
                "no_value",
                f"{name} ({role}): expected a positive number of every run that the question asks about, got none of "
                f"{named}{more}.",
            )


def _is_there(value: Any) -> bool:
    """Text and infinities are left to the reading of the table."""
    return value not in (None, "") and not (isinstance(value, (int, float)) and not value > 0)


def _run_of(row: Observation) -> str:
    return str(row.get("rung") or row.get("run") or "a run")


def _missing(observations: Observations, role: str) -> Any:
    if role not in (*ROLES, "loss"):
        raise TableError(
            f"{observations.source}: the law reads a column {role!r}; the table has {', '.join(observations.columns)}. "
            "Give the column that name, or write the law with the name that it has here (`lawful explain` shows a "
            "law's formula)."
        )
    raise TableError(f"{observations.source}: the law needs {role}. {lacking(observations, role)}")


def refuse_too_little(data: Sample, law: Law, free: int) -> None:
    if not data.response.is_log and np.ptp(data.loss) == 0:
        raise Refusal(
            "no_fall",
            f"{data.column['loss']!r} is {data.loss[0]:.4g} in all {data.n} runs: nothing changes with "
            f"{' or '.join(law.inputs)}, and no law can be fitted. Take runs over a wider range.",
        )
    if data.n < free + 1:
        raise Refusal(
            "too_few_points",
            f"{law.name} has {free} free parameters and needs at least {free + 1} runs; "
            f"got {data.n}. Add runs, fix a parameter, or choose a law with fewer.",
        )
    if data.clusters == 1:
        raise Refusal(
            "one_cluster",
            f"All {data.n} runs are one cluster, with noise in common ({data.column.get('cluster', 'cluster')}): how "
            "uncertain a law is cannot be seen from one. Train other seeds, or name another column (`none`: "
            "each run is one).",
        )
    for axis in law.fitted_axes:
        value = data.values[axis]
        if axis not in ROLES and set(np.unique(value)) == {0.0, 1.0}:
            continue  # it says what a row is; nothing is to be learned about its curve
        with np.errstate(divide="ignore"):
            levels = len(np.unique(np.round(np.log(value), 6)))
        if levels < LEAST_LEVELS:
            raise Refusal(
                "too_few_levels",
                f"{axis} ({data.column.get(axis, axis)}) takes {levels} distinct "
                f"value{'s' if levels > 1 else ''}; a law in {axis} needs at least {LEAST_LEVELS}.",
            )
