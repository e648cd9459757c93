"""Refusals of sweeps whose runs differ in more than what is swept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lawful.fitting.data import refuse_arms, refuse_pooled
from lawful.tables import Observations
from lawful.tables.cells import counts_of
from lawful.tables.observations import grouped


def refuse_pooled_sweeps(
    observations: Observations, points: Sequence[str], swept: Sequence[str], told: Sequence[str]
) -> None:
    """Raises Refusal where the runs of one point differ in a setting beside the swept ones: their lowest loss is that
    of no sweep. Numbers that rise or fall with a swept one, such as a least rate, are no settings of their own.

    points, swept, told   columns: of a sweep's place, of what is swept, by which runs are told apart
    """
    refuse_arms(observations, told)
    follow = [
        column for column in observations.columns for name in swept if _follows(observations, points, name, column)
    ]
    left = {name: name for name in (*swept, *observations.roles.values(), *follow)}
    refuse_pooled(observations, {**left, "params": points[0]}, [*points, *told])


def _follows(observations: Observations, points: Sequence[str], swept: str, column: str) -> bool:
    """Whether a column of numbers rises with the swept one at every point, or falls with it at every point."""
    x, y = (counts_of(observations.cells(name)) for name in (swept, column))
    signs: set[float] = set()
    for rows in grouped(observations, list(points)):
        order = sorted(set(zip(x[rows].tolist(), y[rows].tolist(), strict=True)))
        signs |= {float(np.sign((b[0] - a[0]) * (b[1] - a[1]))) for a, b in zip(order, order[1:], strict=False)}
    return signs in ({1.0}, {-1.0})
