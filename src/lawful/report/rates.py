"""The page's section on learning rates: whether each bracketed rung sits at its best rate, and what a miss costs."""

from __future__ import annotations

import math

from lawful.fitting.rate_brackets import RateBrackets, rate_brackets
from lawful.report import tables
from lawful.report.evidence import Evidence
from lawful.report.table import Table
from lawful.report.tables import number

TITLE = "Is each rung at its best learning rate?"


def rates(evidence: Evidence) -> tuple[str, list[Table]] | None:
    """A sentence and its tables; None where the study has no learning-rate brackets that have ended."""
    losses = {
        str(row.get("run")): math.inf if row.get("status") == "diverged" else loss
        for row in evidence.rows
        if row.get("status") in ("finished", "diverged") and (loss := number(row.get("loss"))) is not None
    }
    found = rate_brackets(evidence.runs, losses)
    if found is None or not any(len(one.tried) > 1 for one in found.brackets):
        return None
    return _sentence(found), [_brackets(found), *([_ahead(found)] if found.ahead else [])]


def _sentence(found: RateBrackets) -> str:
    known = [one for one in found.brackets if one.best is not None]
    at_best = sum(one.is_at_best is True for one in known)
    text = f"{len(known)} of {len(found.brackets)} brackets show a best rate; {at_best} of these rungs sit at it."
    if costs := [one.miss[1] for one in known if one.miss is not None]:
        text += f" A miss costs at most {tables.significant(max(costs), 2)} in the loss, by their 95 % intervals."
    if found.law is not None:
        powers = ", ".join(
            f"{name}^{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]" for name, one in found.law.exponents.items()
        )
        text += f" The best rate grows as {powers}."
    elif known:
        text += " They are too few for a law of the best rate: five brackets of one arm at several sizes give one."
    return text


def _brackets(found: RateBrackets) -> Table:
    rows = []
    for one in found.brackets:
        best, miss = one.why, tables.DASH
        if one.best is not None and one.miss is not None:
            best = f"{one.best.value:.3g} [{one.best.low:.3g}, {one.best.high:.3g}]"
            miss = f"{tables.significant(one.miss[0], 2)} (at most {tables.significant(one.miss[1], 2)})"
        span = f"{one.tried[0]:.3g} to {one.tried[-1]:.3g}" if one.tried else tables.DASH
        rows.append((tables.readable(one.rung.rung), f"{one.rung.learning_rate:.3g}", span, best, miss))
    header = ("Rung", "Its rate", "Tried", "Best rate (95 %)", "What its rate costs in the loss")
    return Table(title="Learning-rate brackets", header=header, rows=rows, right=(1,))


def _ahead(found: RateBrackets) -> Table:
    rows = [
        (
            tables.readable(one.rung.rung),
            f"{one.rung.learning_rate:.3g}",
            f"{one.best.value:.3g} [{one.best.low:.3g}, {one.best.high:.3g}]",
            tables.significant(one.miss, 2),
        )
        for one in found.ahead
    ]
    header = ("Rung", "Its rate", "Best rate by the law (95 %)", "What its rate would cost in the loss")
    return Table(title="Rungs beyond the brackets", header=header, rows=rows, right=(1, 3))
