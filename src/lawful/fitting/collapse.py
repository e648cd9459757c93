"""Loss collapse: do runs of every size train along one curve, and if not, which size breaks away?

Trained at the same tokens for each parameter, runs of a ladder whose settings scale well follow one curve when the
share of the training is on one axis and the reducible loss, divided by its value near the end, on the other
(arXiv:2507.02119). A size that leaves it had other settings than it needed: too high a rate, too short a warmup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SHARES = np.linspace(0.3, 0.9, 13)  # of a run; before, warmup shows, and the last point may be over other targets
EARLIEST, LATEST = 0.31, 0.89  # a curve must hold points at least so early and so late
RATIO = 0.05  # tokens for each parameter may differ by this share
SURE = 3.0  # standard errors by which a size must leave the others, and twice as far as the next


@dataclass(frozen=True, kw_only=True)
class Course:
    """One run: its size (parameters), seed, all its tokens, and its evaluations as (tokens, loss) on equal targets."""

    params: float
    seed: int
    total_tokens: float
    tokens: Sequence[float]
    loss: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Collapse:
    """departs     size -> root mean square distance, in log reducible loss, from the mean of the other sizes
    seed_spread    the same between seeds of one size; None with one seed
    broken         the size that leaves the common curve, or None
    """

    departs: Mapping[float, float]
    seed_spread: float | None
    broken: float | None


def collapse(courses: Sequence[Course], floor: float) -> Collapse | None:
    """None where the curves do not compare: fewer than 3 sizes, unequal tokens for each parameter, too few points."""
    ratios = [course.total_tokens / course.params for course in courses]
    if not courses or max(ratios) > min(ratios) * (1 + RATIO):
        return None
    by_size: dict[float, list[np.ndarray]] = {}
    for course in courses:
        shares = np.asarray(course.tokens, dtype=float) / course.total_tokens
        reducible = np.asarray(course.loss, dtype=float) - floor
        inside = shares < 1
        if (inside & (shares <= EARLIEST)).sum() < 1 or (inside & (shares >= LATEST)).sum() < 1:
            return None
        if (reducible[inside] <= 0).any():
            return None
        curve = np.interp(SHARES, shares[inside], np.log(reducible[inside]))
        by_size.setdefault(course.params, []).append(curve - curve[-1])
    if len(by_size) < 3:
        return None
    means = {size: np.mean(curves, axis=0) for size, curves in sorted(by_size.items())}
    departs = {
        size: float(np.sqrt(np.mean((mean - np.mean([m for s, m in means.items() if s != size], axis=0))[:-1] ** 2)))
        for size, mean in means.items()
    }
    several = [curves for curves in by_size.values() if len(curves) > 1]
    spread = None
    if several:
        spread = float(np.sqrt(np.mean([np.var(curves, axis=0, ddof=1)[:-1].mean() for curves in several])))
    worst, next_one = sorted(departs, key=lambda size: -departs[size])[:2]
    error = (spread or 0.0) / np.sqrt(min(len(curves) for curves in by_size.values()))
    is_broken = spread is not None and departs[worst] > SURE * error and departs[worst] > 2 * departs[next_one]
    return Collapse(departs=departs, seed_spread=spread, broken=worst if is_broken else None)
