"""What lies between the parameters of two studies that were fitted under one law."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lawful.fitting.difference import difference
from lawful.fitting.records import Parameter
from lawful.fitting.result import Fit
from lawful.report.answers_beside import EXPONENTS, Apart
from lawful.report.declared import Pair
from lawful.report.evidence import Evidence
from lawful.report.tables import number


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One parameter of one question that both studies fitted under one law.

    reason      why the difference cannot be had; then `value` is None
    interval    of the difference, 95 %; None also where the studies share runs: their estimates are not independent
    """

    question: str
    name: str
    params: tuple[Parameter, Parameter]
    reason: str
    value: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def moved(self) -> float:
        """The difference over the width of the first interval."""
        low, high = self.params[0].ci95
        return abs(self.value or 0.0) / max(high - low, 1e-12)


def differences(pair: Pair) -> list[Entry]:
    """One entry for each parameter of each question that both fitted under one law."""
    made = []
    others = {answer.name: answer for answer in pair[1].answers}
    is_shared = bool(shared(pair))
    for answer in pair[0].answers:
        other = others.get(answer.name)
        if other is None or answer.fit is None or other.fit is None:
            continue
        refusal = _incomparable(pair, (answer.fit, other.fit))
        for name, one in answer.fit.params.items():
            two = other.fit.params.get(name)
            if two is None:
                continue
            reason = refusal or _not_compared(pair, name, one, two)
            entry = Entry(question=answer.name, name=name, params=(one, two), reason=reason)
            if not reason:
                value, interval = difference(one.value, one.ci95, two.value, two.ci95)
                entry = replace(entry, value=value, interval=None if is_shared else interval)
            made.append(entry)
    return made


def exponents(pair: Pair, found: Sequence[Entry]) -> dict[str, Apart]:
    """The exponents of the first question that were fitted and can be compared."""
    first = pair[0].answers[0].name if pair[0].answers else ""
    return {
        entry.name: Apart(
            name=entry.name, values=(entry.params[0].value, entry.params[1].value), interval=entry.interval
        )
        for entry in found
        if entry.question == first
        and entry.name in EXPONENTS
        and entry.value is not None
        and {param.role for param in entry.params} == {"fitted"}
    }


def _incomparable(pair: Pair, fits: tuple[Fit, Fit]) -> str:
    """Why no parameter of the two answers can be compared; empty where they can."""
    laws = [fit.law for fit in fits]
    if laws[0] != laws[1]:
        return f"different laws, {laws[0]} and {laws[1]}"
    columns = [fit.data.columns for fit in fits]
    for axis in columns[0]:
        if columns[0][axis] != columns[1].get(axis):
            return f"{axis} is counted as {columns[0][axis]} in one and as {columns[1].get(axis)} in the other"
    units = [_of(evidence, "loss_unit") for evidence in pair]
    if units[0] != units[1]:
        return f"losses in different units, {' and '.join(', '.join(sorted(unit)) or 'none given' for unit in units)}"
    return ""


def _not_compared(pair: Pair, name: str, one: Parameter, two: Parameter) -> str:
    if name.endswith("_pivot"):
        return "a loss at the middle of each study's own data"
    if "fixed" in (one.role, two.role):
        return "fixed, not fitted"
    if one.at_bound or two.at_bound:
        return "at its bound: the data do not determine it"
    if not all(math.isfinite(number) for param in (one, two) for number in (*param.ci95, param.value)):
        return "no interval"
    if name in ("E", "floor") and _of(pair[0], "data_fingerprint") != _of(pair[1], "data_fingerprint"):
        return "a loss on different text"
    return ""


def _of(evidence: Evidence, column: str) -> set[str]:
    return {str(row[column]) for row in evidence.finished if row.get(column) not in (None, "")}


def shared(pair: Pair) -> set[str]:
    """Runs that both studies hold, with the same loss."""
    losses = [{str(row.get("run")): number(row.get("loss")) for row in one.finished} for one in pair]
    return {run for run, loss in losses[0].items() if loss is not None and losses[1].get(run) == loss}
