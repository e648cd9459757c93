"""Rungs of a ladder in groups: by size, and by all coordinates but one."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from lawful.schema import Coordinate, PlannedRun

Others = tuple[tuple[str, Coordinate], ...]  # a run's coordinates but one, by name


def measures_of_size(rungs: Sequence[PlannedRun]) -> list[Callable[[PlannedRun], Coordinate]]:
    """Other counts of a rung's size that have at least three values: its parameters by group, its coordinates."""
    by_column: list[Callable[[PlannedRun], Coordinate]] = [
        lambda rung, name=name: getattr(rung, name)  # type: ignore[misc]
        for name in ("params_total", "params_embedding")
    ]
    by_coordinate: list[Callable[[PlannedRun], Coordinate]] = [
        lambda rung, name=name: rung.at.get(name)  # type: ignore[misc]
        for name in {name for rung in rungs for name in rung.at} - {"seed", "rate", "tokens"}
    ]
    found = []
    for measure in (*by_column, *by_coordinate):
        values = [measure(rung) for rung in rungs]
        if all(isinstance(value, (int, float)) and value > 0 for value in values) and len(set(values)) > 2:
            found.append(measure)
    return found


def all_but(coordinate: str, rung: PlannedRun) -> Others:
    """A rung's other coordinates: the same for runs that differ in this one alone."""
    return tuple((name, value) for name, value in rung.at.items() if name != coordinate)


def values_by_size(rungs: Sequence[PlannedRun], measure: Callable[[PlannedRun], float]) -> dict[int, float]:
    """Geometric mean of a measure over the runs of each size, sizes ascending."""
    values: dict[int, list[float]] = defaultdict(list)
    for rung in rungs:
        values[rung.params_non_embedding].append(math.log(measure(rung)))
    return {size: math.exp(sum(values[size]) / len(values[size])) for size in sorted(values)}
