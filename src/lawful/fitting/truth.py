"""What was planted beside what was found: the check of an answer whose truth is known, as the data were made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lawful.checks import AnyFloat
from lawful.fitting.comparison import Comparison
from lawful.fitting.records import Parameter

Pair = tuple[float, float]


@dataclass(frozen=True)
class Recovered:
    """interval    95 %; None for a verdict or decision, which is inside where it is the planted one
    is_inside   also False where nothing was found, so that a refusal is no success
    """

    name: str
    planted: float | str
    found: AnyFloat | str | None
    interval: tuple[AnyFloat, AnyFloat] | None
    is_inside: bool


def of_fit(truth: Mapping[str, float | str], params: Mapping[str, Parameter]) -> tuple[Recovered, ...]:
    """One row per planted value, against the parameters of a fit."""
    return _judged(truth, {name: (one.value, one.ci95) for name, one in params.items()}, {})


def of_arms(truth: Mapping[str, float | str], found: Comparison) -> tuple[Recovered, ...]:
    """Against a comparison of arms: a parameter's name means the second arm's value minus the first's."""
    numbers: dict[str, tuple[float, Pair]] = {}
    for difference in found.differences:
        numbers.setdefault(difference.parameter, (difference.value, difference.ci95))
    for multiplier in found.multipliers:
        numbers.setdefault("multiplier", (multiplier.value, multiplier.ci95))
    return _judged(truth, numbers, {"verdict": found.verdict, "decision": found.decision})


def _judged(
    truth: Mapping[str, float | str], numbers: Mapping[str, tuple[float, Pair]], words: Mapping[str, str]
) -> tuple[Recovered, ...]:
    rows = []
    for name, planted in truth.items():
        if isinstance(planted, str) or name not in numbers:
            found = words.get(name)
            rows.append(Recovered(name, planted, found, None, found == planted))
            continue
        value, (low, high) = numbers[name]
        is_inside = math.isfinite(value) and low <= planted <= high
        rows.append(Recovered(name, planted, value, (low, high), is_inside))
    return tuple(rows)
