"""What a table of runs holds, and which laws it can carry, before anything is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lawful.checks import checked
from lawful.errors import DeclarationError, Refusal, TableError
from lawful.fitting.data import LEAST_LEVELS, ROLES, arms_of, sample
from lawful.fitting.default_law import fitted_rows, how_counts_vary, resolved
from lawful.laws import BUILT_IN, FORMULA, Law, has_axis, named, on_axis
from lawful.schema import Observation
from lawful.tables import Observations, as_text, is_empty, read_rows
from lawful.tables.lacking import lacking
from lawful.tables.pooled import best_of, pooled, unread
from lawful.tables.read import in_roles, selected
from lawful.tables.responses import Asked
from lawful.tables.roles import option_of, shell_word
from lawful.tables.standard_input import STANDARD_INPUT

SHOWN = 4  # values of a column
OF_METRICS = frozenset({"downstream", "downstream_two_steps", "sigmoid"})  # not for a loss, as their `when` says
VARY = {
    "apart": "{n} and {d} vary apart from each other: their effects can be told apart.",
    "together": "{n} and {d} vary together: their effects cannot be told apart.",
    "params": "Only {n} varies.",
    "tokens": "Only {d} varies.",
    "flops": "Compute varies; {n} and {d} add no information.",
    "nothing": "Neither {n} nor {d} varies.",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the table.

    role      what it is to a law; empty: nothing
    levels    how many values it has
    values    the lowest and highest number, or some of the texts
    missing   how many rows have none
    """

    name: str
    role: str
    levels: int
    values: str
    missing: int


@dataclass(frozen=True, kw_only=True)
class TableCheck:
    """rows      how many the table has
    said      how it was read
    problem   why it cannot be used as it is; empty: it can
    vary      whether size and data can be told apart
    arms      the arms that the table compares; empty if there is only one
    pooled    settings that differ between runs of one size and length -> their values
    carried   laws that the table can carry
    refused   the others -> why not
    command   the command that fits a suitable law to the table
    """

    source: str
    rows: int
    said: tuple[str, ...]
    columns: tuple[Column, ...]
    dropped: tuple[Observation, ...]
    problem: str
    vary: str
    arms: tuple[str, ...]
    pooled: Mapping[str, list[str]]
    carried: tuple[str, ...]
    refused: Mapping[str, str]
    command: str

    def summary(self) -> str:
        """As `lawful check` prints it."""
        lines = [f"{self.source}: {self.rows} rows, {len(self.columns)} columns", *self.said]
        width = max([len(column.name) for column in self.columns] + [6])
        lines += ["", f"{'column':{width}}  {'role':14}{'values':>7}  {'missing':>7}  range"]
        lines += [
            f"{c.name:{width}}  {c.role:14}{c.levels:7}  {c.missing:7}  {c.values}".rstrip() for c in self.columns
        ]
        lines.append("")
        if self.problem:
            return "\n".join([*lines, f"It cannot be used as it is. {self.problem[:1].upper()}{self.problem[1:]}"])
        if self.dropped:
            reasons: dict[str, int] = {}
            for row in self.dropped:
                reasons[str(row["reason"])] = reasons.get(str(row["reason"]), 0) + 1
            lines += [f"left out: {count} rows: {reason}" for reason, count in reasons.items()]
        lines.append(self.vary)
        if self.arms:
            some = ", ".join(self.arms[:SHOWN]) + (", ..." if len(self.arms) > SHOWN else "")
            lines.append(f"The runs are of {len(self.arms)} arms ({some}): one law for all would pool them.")
        for name, levels in self.pooled.items():
            some = ", ".join(levels[:SHOWN]) + (", ..." if len(levels) > SHOWN else "")
            lines.append(
                f"Runs at one point differ in {name!r} ({some}): no replicates. Use --by {shell_word(name)}, --where "
                f"{shell_word(name)}=VALUE{(best := best_of(name)) and f', {best}'} or --as-noise {shell_word(name)}."
            )
        if self.carried or self.refused:
            lines.append(f"laws it can carry: {', '.join(self.carried) or 'none'}")
        reasons_of: dict[str, list[str]] = {}
        for name, why in self.refused.items():
            reasons_of.setdefault(why, []).append(name)
        lines += [f"  not {', '.join(names)}: {why}" for why, names in reasons_of.items()]
        if not self.command:
            return "\n".join(lines)
        more = ", with one of the options above" if self.pooled else ""
        return "\n".join([*lines, "", f"next: {self.command}{more}"])


@checked
def check(
    source: Any,
    *,
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    flops: str | None = None,
    cluster: str | None = None,
    stderr: str | None = None,
    trials: str | None = None,
    response: str | None = None,
    chance: float | None = None,
    units: Mapping[str, str] | None = None,
    where: Sequence[str] = (),
    as_noise: Sequence[str] = (),
    reduce: str | None = None,
    best: Sequence[str] = (),
    skip_bad_rows: bool = False,
) -> TableCheck:
    """Look at a table before a law is fitted to it.

    Parameters
    ----------
    source
        As `read_runs` takes it.
    params, tokens, loss, flops, cluster, stderr, trials
        The columns' names; those not given are recognised where they carry a usual name.
    response, chance
        What the metric is, as `read_runs` takes it.
    units
        Column -> its unit, as `read_runs` takes it.
    where
        Conditions of the rows that count: "params >= 1e8", "optimizer in adam,lion", "val_loss is not missing".
    as_noise
        Settings that differ between runs at one point and are noise to the user.
    reduce, best, skip_bad_rows
        As `read_runs` takes them.

    Returns
    -------
    TableCheck
        Columns with their roles, what is pooled, which laws the table can carry, and the command to go on with.

    Raises
    ------
    TableError
        The source is no table at all. What is wrong with a table is in `problem`.
    """
    told = {
        "params": params,
        "tokens": tokens,
        "loss": loss,
        "flops": flops,
        "cluster": cluster,
        "stderr": stderr,
        "trials": trials,
    }
    asked = Asked(kind=response, chance=chance)
    named = [*filter(None, told.values()), *(units or {}), *where, *as_noise]
    raw = selected(read_rows(source, named), where, as_noise)
    try:
        is_read = raw.roles and not (any((*told.values(), units, reduce, best, skip_bad_rows)) or asked.is_told)
        table = raw
        if not is_read:
            table = in_roles(
                raw, told, response=asked, units=units, reduce=reduce, best=best, skip_bad_rows=skip_bad_rows
            )
        if table.is_of_optima and "loss" not in table.roles:
            return _of_optima(table)
        problem = "" if "loss" in table.roles else lacking(raw, "loss")
        if not problem and not {"params", "tokens", "flops"} & table.roles.keys():
            problem = lacking(raw, "params", "tokens", "flops")
    except TableError as error:
        return _unusable(raw, str(error).removeprefix(f"{raw.source}: "))
    problem = problem or unread(table, table.roles, table.noise).removeprefix(f"{raw.source}: ")
    if problem:
        return _unusable(table, problem)
    options = [f"{option_of(role)} {shell_word(column)}" for role, column in told.items() if column is not None]
    options += [f"--unit {shell_word(column)}={unit}" for column, unit in (units or {}).items()]
    options += [f"--response {response}"] * bool(response) + ([] if chance is None else [f"--chance {chance:g}"])
    options += [f"--reduce {reduce}"] * bool(reduce) + ["--skip-bad-rows"] * skip_bad_rows
    options += [f"--best-over {','.join(map(shell_word, best))}"] * bool(best)
    options += [f"--where {shell_word(text)}" for text in where] + [f"--as-noise {shell_word(c)}" for c in as_noise]
    return _usable(table, options)


def _usable(table: Observations, options: Sequence[str]) -> TableCheck:
    """Which laws a table without a problem can carry. options: of the command line, by which it was read."""
    rows = fitted_rows(table)
    names = {role: table.roles.get(role, role) for role in ("params", "tokens")}
    vary = how_counts_vary(table)
    try:
        chosen = resolved(None, table).law
    except DeclarationError as error:  # of a metric that is no loss
        return _unusable(table, str(error).removeprefix(f"{table.source}: "))
    if table.response.is_log:
        carried, refused = _laws(rows, vary)
    else:
        why = _why_not(chosen, rows, vary)
        carried, refused = ((), {chosen.spec: why}) if why else ((chosen.spec,), {})
    try:
        sample(table, chosen, {}, check=False)
    except Refusal:
        pass  # too few rows, or the like: `vary` and `refused` say so
    except TableError as error:
        return _unusable(table, str(error).removeprefix(f"{table.source}: "))
    law = chosen.spec if chosen.spec in carried or not carried else carried[0]
    name = "-" if table.source == STANDARD_INPUT else shell_word(table.source)
    return TableCheck(
        source=table.source,
        rows=len(table),
        said=table.said,
        columns=_columns(table, table.roles),
        dropped=rows.dropped,
        problem="",
        vary=VARY[vary].format(n=names["params"], d=names["tokens"]),
        pooled=pooled(rows, rows.roles, rows.noise),
        arms=tuple(arms) if len(arms := arms_of(rows)) > 1 else (),
        carried=carried,
        refused=refused,
        command=" ".join([f"lawful {'compare' if len(arms) > 1 else 'fit'}", name, "--law", shell_word(law), *options])
        if carried
        else "",
    )


def _of_optima(table: Observations) -> TableCheck:
    source = "-" if table.source == STANDARD_INPUT else shell_word(table.source)
    vary = "Each row is the best size or data at a budget: how these grow with compute can be told, no law of the loss."
    return replace(_unusable(table, ""), vary=vary, command=f"lawful isoflop {source}")


def _unusable(table: Observations, problem: str) -> TableCheck:
    return TableCheck(
        source=table.source,
        rows=len(table),
        said=table.said,
        columns=_columns(table, table.roles),
        dropped=table.dropped,
        problem=problem,
        vary="",
        arms=(),
        pooled={},
        carried=(),
        refused={},
        command="",
    )


def _columns(table: Observations, roles: Mapping[str, str]) -> tuple[Column, ...]:
    role_of = {column: role for role, column in roles.items()}
    found = []
    for name in table.columns:
        cells = [row.get(name, "") for row in table.rows]
        filled = [cell for cell in cells if not is_empty(cell)]
        numbers = [cell for cell in filled if isinstance(cell, (int, float)) and not isinstance(cell, bool)]
        if numbers and len(numbers) == len(filled):
            low, high = min(numbers), max(numbers)
            values = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
        else:
            texts = list(dict.fromkeys(str(as_text(cell)) for cell in filled))
            values = ", ".join(text[:24] for text in texts[:SHOWN]) + (", ..." if len(texts) > SHOWN else "")
        levels = len({str(as_text(cell)) for cell in filled})
        found.append(
            Column(
                name=name, role=role_of.get(name, ""), levels=levels, values=values, missing=len(cells) - len(filled)
            )
        )
    return tuple(found)


def _laws(rows: Observations, vary: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The laws that the rows can carry, and why not the others."""
    carried, refused = [], {}
    for name in sorted(set(BUILT_IN) - {FORMULA}):
        law = named(name)
        if not set(law.inputs) <= {*ROLES, *rows.columns}:
            continue  # the law reads a column that this table lacks
        if has_axis(law) and vary in ("params", "tokens", "flops"):
            law = on_axis(law, vary)
        elif has_axis(law) and vary == "together":
            law = on_axis(law, "flops")
        why = _why_not(law, rows, vary)
        if not why and name in OF_METRICS and "loss" in rows.roles.get("loss", "").lower():
            why = "it is a law of an error or a rising metric, and here is a loss"
        if why:
            refused[name] = why
        else:
            carried.append(law.spec)
    return tuple(carried), refused


def _why_not(law: Law, rows: Observations, vary: str) -> str:
    if has_axis(law) and vary == "apart":
        return "it reads one axis, and two vary"
    if {"params", "tokens"} <= set(law.fitted_axes) and vary != "apart":
        return "it reads size and data, which do not vary apart here"
    counts = {role: rows.numbers(name) for role, name in rows.roles.items() if role in law.inputs}
    if "flops" not in counts and {"params", "tokens"} <= rows.roles.keys():
        counts["flops"] = 6 * rows.numbers(rows.roles["params"]) * rows.numbers(rows.roles["tokens"])
    if "tokens" in law.inputs and "tokens" not in counts and {"params", "flops"} <= rows.roles.keys():
        counts["tokens"] = rows.numbers(rows.roles["flops"]) / 6 / rows.numbers(rows.roles["params"])
    try:
        counts |= {axis: rows.numbers(axis) for axis in law.inputs if axis not in ROLES}
    except TableError:
        return "it reads a column of numbers, and here that holds texts"
    for axis in law.inputs:
        if axis not in counts:
            return f"it reads {axis}, and no column is known to be that"
        levels = len(np.unique(counts[axis][np.isfinite(counts[axis])]))
        if axis in law.fitted_axes and levels < LEAST_LEVELS:
            return f"{axis} has {levels} value{'s' * (levels != 1)}, and {LEAST_LEVELS} are needed"
    if len(rows) <= len(law.parameters):
        return f"it has {len(law.parameters)} parameters, and there are {len(rows)} runs"
    return ""
