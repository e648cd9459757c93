"""What was planted beside what was found: the check of an answer whose truth is known, as the data were made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recovered:
    """interval    95 %; None for a verdict or decision, which is inside where it is the planted one
    is_inside   also False where nothing was found, so that a refusal is no success
    """

    name: str
    planted: float | str
    found: float | str | None
    interval: tuple[float, float] | None
    is_inside: bool


def recovered(
    truth: Mapping[str, float | str],
    *,
    fit: Mapping[str, Any] | None = None,
    comparison: Mapping[str, Any] | None = None,
) -> tuple[Recovered, ...]:
    """One row per planted value, against a fit or a comparison of arms, as plain data.

    In a comparison a parameter's name means the second arm's value minus the first's.
    """
    known: dict[str, tuple[Any, Any]] = {}
    if fit is not None:
        known = {name: (p["value"], p["ci95"]) for name, p in fit["params"].items()}
    if comparison is not None:
        for difference in comparison["differences"]:
            known.setdefault(difference["parameter"], (difference["value"], difference["ci95"]))
        for multiplier in comparison["multipliers"]:
            known.setdefault("multiplier", (multiplier["value"], multiplier["ci95"]))
        known |= {name: (comparison[name], None) for name in ("verdict", "decision") if name in comparison}
    return tuple(_judged(name, planted, *known.get(name, (None, None))) for name, planted in truth.items())


def _judged(name: str, planted: float | str, found: Any, interval: Any) -> Recovered:
    if isinstance(planted, str) or found is None:
        return Recovered(name, planted, found, None, found == planted)
    value, low, high = float(found), float(interval[0]), float(interval[1])
    is_inside = math.isfinite(value) and low <= planted <= high
    return Recovered(name, planted, value, (low, high), is_inside)
