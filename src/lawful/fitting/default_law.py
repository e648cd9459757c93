"""Which law a table can carry, where none is named: one rule for every question.

Params and tokens that vary apart are two axes, and a law over one of them would pool runs that differ in the other.
Where they vary together (20 tokens for each parameter, say) no table can tell them apart: the law is then one of
compute, which is what grows along such a ladder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lawful.errors import DeclarationError, Refusal, TableError
from lawful.laws import Array, Law, named, names_axis, on_axis
from lawful.response import Response
from lawful.schema import Warning
from lawful.tables import Observations, as_text, is_empty

# spread of log counts (standard deviation) below which they count as one, or as on one line: a tenth either way is what
# rounding to whole steps, layers or batches leaves
JITTER = 0.1
Vary = Literal["apart", "together", "params", "tokens", "flops", "nothing"]
# of a share along one axis, with its letter: right answers, then wrong ones
OF_RIGHT = ("R0 + gain/(1 + ({0}_mid/{0})^B)", "top - a*{0}^-b", "1 - a*{0}^-b")
OF_WRONG = ("saturating", "power_floor", "power")
LETTER = {"params": "N", "tokens": "D", "flops": "C"}


@dataclass(frozen=True)
class Choice:
    """A law, and what to say of how it came about; None where the user named it whole."""

    law: Law
    caution: Warning | None


def resolved(law: str | Law | None, table: Observations, *, axes: int | None = None) -> Choice:
    """The law as it was named; else the one that the table can carry, with a note that says which and why.

    law    None: by the rule. A text without an axis, such as power_floor: over the axis that the rule gives
    axes   1 where the question is about a law of one axis
    Raises Refusal where a law of one axis is wanted and params and tokens vary apart.
    """
    if isinstance(law, str) and not names_axis(law):
        return on_its_axis(law, table)
    if law is not None:
        return Choice(named(law).for_table(table.columns, table.roles, lambda name: levels_of(table, name)), None)
    vary = how_counts_vary(table)
    if not table.response.is_log:
        spec, why = _of_metric(vary, table)
        return Choice(named(spec), Warning("law_chosen", "note", f"No law was named; {spec} is fitted, as {why}."))
    if vary == "apart" and axes == 1:
        raise _two_axes("the question", table)
    spec, why = _rule(vary, table)
    return Choice(named(spec), Warning("law_chosen", "note", f"No law was named; {spec} is fitted, as {why}."))


def _of_metric(vary: Vary, table: Observations) -> tuple[str, str]:
    """The law of a share. Raises DeclarationError for other metrics: they may rise or fall, with or without a limit."""
    metric, response = table.roles.get("loss", "the metric"), table.response
    if not response.is_share or vary == "nothing":
        raise DeclarationError(
            f"{table.source}: no law was named, and which way {metric!r} goes, and to what end, is not known. "
            "Name one: --law sigmoid, or a formula such as 'top - a*N^-b'."
        )
    letter = {"params": "N", "tokens": "D"}.get(vary, "C")
    if response.is_error:
        return f"saturating:{vary if letter != 'C' else 'flops'}", f"{metric} is a share of wrong answers"
    spec = "sigmoid" if letter == "C" else f"R0 + gain/(1 + ({letter}_mid/{letter})^B)"
    return spec, f"{metric} is a share of right answers"


def laws_of_share(law: Law, response: Response) -> list[Law]:
    """The laws of a share along the one axis that a law reads; none beside a law of more."""
    if len(law.inputs) != 1 or law.inputs[0] not in LETTER:
        return []
    axis = law.inputs[0]
    if response.is_error:
        return [on_axis(named(name), axis) for name in OF_WRONG]
    laws = [named(text.format(LETTER[axis])) for text in OF_RIGHT]
    return [named("sigmoid"), *laws[1:]] if axis == "flops" else laws


def on_its_axis(spec: str, table: Observations) -> Choice:
    """A law whose text names no axis, over the one that the rule gives. Raises Refusal where that would be two."""
    vary = how_counts_vary(table)
    if vary == "apart":
        raise _two_axes(spec, table)
    chosen, why = _rule(vary, table)
    axis = chosen.rpartition(":")[2]
    law = on_axis(named(spec), axis)
    if vary not in ("together", "nothing"):  # there was nothing to choose
        return Choice(law, None)
    return Choice(law, Warning("law_chosen", "note", f"{spec} named no axis; {law.spec} is fitted, as {why}."))


def _rule(vary: Vary, table: Observations) -> tuple[str, str]:
    names = {role: table.roles.get(role, role) for role in ("params", "tokens", "flops")}
    n, d, c = names["params"], names["tokens"], names["flops"]
    if vary == "apart":
        return "chinchilla", f"{n} and {d} vary apart from each other"
    if vary == "together":
        return "power_floor:flops", f"{n} and {d} vary together, so that their effects cannot be told apart"
    if vary == "nothing":
        axis = next((role for role in names if role in table.roles), "params")
        return f"power_floor:{axis}", f"neither {n} nor {d} varies"
    only = {"params": f"only {n} varies", "tokens": f"only {d} varies", "flops": f"the table has only {c}"}
    return f"power_floor:{vary}", only[vary]


def how_counts_vary(table: Observations) -> Vary:
    """How params and tokens vary among the rows that a law may be fitted to; tokens may follow from FLOPs through
    C = 6 N D, as they do for a law that reads them."""
    rows = fitted_rows(table)
    counts = {role: rows.numbers(rows.roles[role]) for role in ("params", "tokens", "flops") if role in rows.roles}
    if "tokens" not in counts and {"params", "flops"} <= set(counts):
        counts["tokens"] = counts["flops"] / 6 / counts["params"]
    if set(counts) == {"tokens", "flops"}:  # what is missing can be told to vary all the same
        counts["params"] = counts["flops"] / 6 / counts["tokens"]
        vary = counts_vary(counts["params"], counts["tokens"])
        return "flops" if vary in ("together", "params") else vary
    if set(counts) == {"flops"}:
        return "flops"
    return counts_vary(counts.get("params"), counts.get("tokens"))


def counts_vary(params: Array | None, tokens: Array | None) -> Vary:
    known = [np.log(counts) for counts in (params, tokens) if counts is not None]
    if not known:
        return "nothing"
    logs = np.stack(known)
    logs = logs[:, np.isfinite(logs).all(axis=0)]
    moves = logs.std(axis=1) > JITTER if logs.size else np.zeros(len(logs), dtype=bool)
    if len(logs) == 2 and moves.all():
        across = np.linalg.svd(logs - logs.mean(axis=1, keepdims=True), compute_uv=False)[-1] / np.sqrt(logs.shape[1])
        rise = float(np.cov(logs)[0, 1])
        return "together" if across <= JITTER and rise > 0 else "apart"
    if params is not None and moves[0]:
        return "params"
    return "tokens" if tokens is not None and moves[-1] else "nothing"


def fitted_rows(table: Observations) -> Observations:
    return table.of_ladder().where(lambda row: row.get("held_out") is not True, "held out")


def levels_of(table: Observations, column: str) -> list[str]:
    """The texts in a column of the rows that a law may be fitted to, sorted. Raises TableError for an empty cell."""
    rows = fitted_rows(table)
    for row in rows:
        if is_empty(row.get(column)):
            raise TableError(
                f"{table.source}: column {column!r}: expected a level in each row, got an empty cell in "
                f"{row.get('run') or 'a row'}."
            )
    return sorted({str(as_text(row[column])) for row in rows})


def unread_axis(law: Law, table: Observations) -> Warning | None:
    """What a law does not read although it varies among the rows: what is found is then not of its axis alone."""
    read = set(law.inputs)
    if {"params", "tokens"} <= read or not read & {"params", "tokens", "flops"}:
        return None
    vary = how_counts_vary(table)
    names = " and ".join(str(table.roles.get(axis, axis)) for axis in ("params", "tokens") if axis not in read)
    if vary == "apart":
        sentence = f"{law.spec} does not read {names}: runs that differ in this are pooled."
    elif vary == "together" and "flops" not in read:
        sentence = (
            f"{names} varies together with what {law.spec} reads: its exponent is of both, and its forecasts are for "
            "runs in which both go on growing so."
        )
    else:
        return None
    return Warning("unread_axis", "warning", sentence)


def _two_axes(what: str, table: Observations) -> Refusal:
    n, d = (table.roles.get(role, role) for role in ("params", "tokens"))
    return Refusal(
        "two_axes",
        f"{what}: a law of one axis is wanted, and both {n} and {d} vary in these rows. Fix one with where, or name "
        "the axis: power_floor:params, power_floor:tokens or power_floor:flops.",
    )
