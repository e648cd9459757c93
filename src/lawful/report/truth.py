"""Planted and recovered, side by side: the part of a report that only a study whose truth is known has."""

from __future__ import annotations

from lawful.report import tables
from lawful.report.evidence import Evidence
from lawful.report.table import Table

TITLE = "Planted and recovered"


def truth_table(evidence: Evidence) -> Table | None:
    """Every planted value of every question; None where nothing was planted."""
    rows = []
    for answer in evidence.answers:
        for item in answer.truth:
            low, high = item.interval or (None, None)
            rows.append(
                (
                    answer.name,
                    _name(item.name, answer.comparison is not None),
                    _value(item.planted, low, high),
                    _value(item.found, low, high),
                    tables.interval(low, high),
                    "yes" if item.is_inside else "no",
                )
            )
    if not rows:
        return None
    return Table(
        title=TITLE,
        header=("Question", "What", "Planted", "Recovered", "95 % interval", "Inside"),
        rows=rows,
        right=(2, 3, 4),
    )


def truth_sentence(evidence: Evidence) -> str:
    """How many planted values were recovered, and how many that should be."""
    items = [item for answer in evidence.answers for item in answer.truth]
    values = [item for item in items if not isinstance(item.planted, str)]
    verdicts = [item for item in items if isinstance(item.planted, str)]
    parts = []
    if values:
        inside = sum(item.is_inside for item in values)
        parts.append(
            f"{inside} of {tables.many(len(values), 'planted value')} inside their 95 % intervals; of many such "
            "studies, one value in twenty should miss"
        )
    if verdicts:
        right = sum(item.is_inside for item in verdicts)
        parts.append(f"{right} of {tables.many(len(verdicts), 'verdict')} as planted")
    return ". ".join(parts) + "." if parts else ""


def _name(name: str, is_of_arms: bool) -> str:
    if name == "multiplier":
        return "times the data or compute for the same loss"
    is_of_both = is_of_arms and name not in ("verdict", "decision")
    return f"difference in {tables.symbol(name)}" if is_of_both else tables.symbol(name)


def _value(value: float | str | None, low: float | None, high: float | None) -> str:
    return value if isinstance(value, str) else tables.estimate(value, low, high)
