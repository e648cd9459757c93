"""The sentences of answers: what a law says, with n and intervals; where arms cross and who is ahead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lawful.fitting.answer_records import ArmPair
from lawful.fitting.crossover import Crossing
from lawful.fitting.headline_fit import change, ends_of
from lawful.fitting.number_text import counted, interval
from lawful.fitting.records import HeldOut
from lawful.fitting.result import Fit
from lawful.fitting.uncertainty import says_nothing
from lawful.laws.formula import Formula
from lawful.laws.saturating import Saturating
from lawful.plugins import column_title


def law_sentence(found: Fit, held: Sequence[HeldOut]) -> str:
    """The answer in one sentence, with n and intervals."""
    columns = found.data.columns
    symbols = {"params": "N", "tokens": "D", "flops": "C"}
    symbols |= {
        axis: other
        for axis, column in columns.items()
        if (other := {"unique_tokens": "U", "seconds": "t"}.get(str(column)))
    }
    exponents = [s.name for s in found.model.shapes if s.name in found.free]
    parts = []
    for name, axis in zip(exponents, found.model.inputs, strict=False):
        p, symbol = found.params[name], symbols.get(axis, axis)
        known = interval(*p.ci95, ".3f")
        is_open = p.at_bound or not np.isfinite(p.ci95).all()  # then the value is no result
        parts.append(f"{symbol}^-{name} ({name} {known})" if is_open else f"{symbol}^-{p.value:.3f} {known}")
    metrics = {"loss": "Loss", "best_weights_loss": "Best loss"}
    metric = metrics.get(columns["loss"]) or column_title(columns["loss"]) or columns["loss"]
    response = found.data.response
    first, last = ends_of(found)
    is_falling_loss = response.is_log and not (isinstance(found.model, Formula) and last > first)
    if not is_falling_loss:
        text = f"{metric} {change(first, last)} over the runs, as {found.formula}"
    elif type(found.model) is Saturating and parts and found.derived:
        half = found.derived["x_half"]
        text = f"{metric}: the odds fall as {parts[0]} and are even at {half.value:.3g} "
        text += interval(*half.ci95) + ("" if {"floor", "range"} & set(found.free) else ", the rate bounded by 0 and 1")
    else:
        text = f"{metric} falls as " + " and ".join(parts) if parts else f"{metric} follows {found.formula}"
    if is_falling_loss and "E" in found.params and found.params["E"].role == "fitted":
        floor = found.params["E"]
        text += f" towards {floor.value:z.3f} {interval(*floor.ci95, 'z.3f')}"
    text += f" ({counted(found)}, 95 % intervals)"
    if held:
        worst = max(abs(row.error_relative) for row in held)
        inside = sum(row.is_inside for row in held)
        error = f"{100 * worst:.{1 if worst >= 0.00995 else 2}f} %"
        if not response.is_log:
            error = f"{max(abs(row.predicted - row.observed) for row in held):.2g}"
        text += (
            f"; {len(held)} held-out {'run was' if len(held) == 1 else 'runs were'} predicted within {error}, {inside} "
            f"of {len(held)} inside the interval"
        )
        if empty := sum(says_nothing(*row.interval, response) for row in held):
            text += f", but {empty} of these intervals are so wide that they say nothing"
    return text + "."


def crossings_sentence(pairs: Sequence[ArmPair]) -> str:
    """Who wins where, the pairs that cross first, each with its set; then who is ahead throughout."""
    known = [pair.crossing for pair in pairs if pair.crossing is not None]
    if not known:
        return ""
    crossing = [one for one in known if one.at is not None]
    parts = [_crossing_words(one) for one in crossing]
    ahead = [f"{one.leader} is ahead of {_loser(one)}" for one in known if one.leader is not None]
    if ahead:
        parts.append("over the whole range " + ", ".join(ahead))
    unsure = len(known) - len(crossing) - len(ahead)
    low, high = known[0].shared_range
    if unsure == len(known):
        return (
            f"Neither a crossing nor a steady lead is established for {known[0].axis_name} from {_amount(low)} to "
            f"{_amount(high)}."
        )
    if unsure:
        which = "one pair" if unsure == 1 else f"{unsure} pairs"
        parts.append(f"for {which} neither a crossing nor a steady lead is established")
    none = "No crossing is established inside" if unsure else "No crossing inside"
    lead = "" if crossing else f"{none} the data ({_amount(low)} to {_amount(high)}): "
    return lead + "; ".join(parts) + "."


def _crossing_words(one: Crossing) -> str:
    """The set as far as it lies in the data: beyond them, laws that were not tested there meet as they like."""
    low, high = one.shared_range
    inside = [(max(low, start), min(high, end)) for start, end in one.set95 if start < high and end > low]
    pieces = " and ".join(f"{_amount(start)} to {_amount(end)}" for start, end in inside) or "empty"
    at = one.shared_range[0] if one.at is None else one.at
    where = f"{one.axis_name} = {_amount(at)} ({100 * one.level:.3g} % set {pieces})"
    return f"{one.better_small} is ahead of {one.better_large} below {where} and behind above"


def _amount(value: float) -> str:
    """Three significant digits, thousands apart: 17,200; large ones as 1.72e11."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if 1000 <= rounded < 1e7 else f"{value:.3g}".replace("e+", "e")


def _loser(one: Crossing) -> str:
    first, second = one.arms
    return second if one.better_large == first else first
