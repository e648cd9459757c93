"""Sweeps: runs at one size and length that differ in a setting, of which the best is wanted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lawful.errors import TableError
from lawful.schema import Cell
from lawful.tables.cells import Row, as_float
from lawful.tables.names import name_of
from lawful.tables.observations import Observations, grouped
from lawful.tables.pooled import SEEDS

MOST_AROUND = 5  # runs of a sweep through which a parabola is laid: the best and its neighbours
LEAST_AROUND = 3
LOCAL = 4.0  # how far neighbours may lie apart for a parabola between them to be true


def best_over(table: Observations, roles: Mapping[str, str], settings: Sequence[str]) -> Observations:
    """One row for each sweep: the runs at one point of the law, of one arm and one seed.

    Over one setting that is a number, the loss is that at the bottom of a parabola (of log loss, in log setting)
    through the best run and its neighbours, and the setting is where that lies. Where the best run is the first or
    last of its sweep, or its neighbours lie further than a factor of four away, its own loss is taken, and said. Over
    several settings, or one that is a text, it is the run with the lowest loss.

    Raises TableError for a column that the table has not, or in which no two runs at one point differ.
    """
    for setting in settings:
        table.expect(setting)
    loss = roles["loss"]
    places = _sweeps(table, roles, settings)
    if all(len(sweep) == 1 for sweep in places):
        raise TableError(
            f"{table.source}: best over {', '.join(settings)}: expected runs at one point of the law that differ in "
            "it, got none."
        )
    sweeps = [[table.rows[place] for place in sweep] for sweep in places]
    lowest = [min(sweep, key=lambda place: as_float(table.rows[place][loss])) for sweep in places]
    rows = {place: table.rows[place] for place in lowest}
    setting = settings[0]
    if len(settings) > 1 or not all(_is_positive(row.get(setting)) for row in table.rows):
        said = f"the run with the lowest {loss!r} of each of {len(sweeps)} sweeps over {', '.join(map(repr, settings))}"
    else:
        windows = [_window(sweep, setting, loss) for sweep in sweeps]
        bottoms = [_bottom(window, setting, loss) if window else None for window in windows]
        for place, bottom in zip(lowest, bottoms, strict=True):
            if bottom:
                rows[place] = {**rows[place], setting: bottom.at, loss: bottom.loss}
        said = _said(sweeps, bottoms, setting, loss)
    return replace(table.replaced(rows, "not the best of its sweep"), said=(*table.said, said))


def _said(sweeps: Sequence[Sequence[Row]], bottoms: Sequence[Bottom | None], setting: str, loss: str) -> str:
    found = [bottom for bottom in bottoms if bottom]
    said = f"best over {setting!r}: the bottom of {len(found)} of {len(sweeps)} sweeps"
    if left := sum(bottom.left for bottom in found):
        spread = math.sqrt(sum(bottom.squares for bottom in found) / left)
        error = spread * float(np.median([bottom.leverage for bottom in found]))
        said += f", each known to {100 * error:.2g} % (standard error)"
    edge = sum(len(sweep) > 1 and _is_at_edge(sweep, setting, loss) for sweep in sweeps)
    if edge:
        said += f"; in {edge} the best is the first or last {setting!r} tried: a better one may lie beyond"
    if own := sum(len(sweep) > 1 for sweep in sweeps) - len(found) - edge:
        said += f"; in {own} the lowest run itself, whose neighbours lie too far away for a curve"
    return said


def _sweeps(table: Observations, roles: Mapping[str, str], settings: Sequence[str]) -> list[list[int]]:
    """The places of the rows of each sweep."""
    axes = [roles[role] for role in ("params", "tokens", "flops", "unique_tokens", "arm") if role in roles]
    seeds = [column for column in table.columns if name_of(column).path in SEEDS]
    return grouped(table, [column for column in [*axes, *seeds] if column not in settings])


def _is_at_edge(sweep: Sequence[Row], setting: str, loss: str) -> bool:
    values = sorted(as_float(row[setting]) for row in sweep)
    return as_float(min(sweep, key=lambda row: as_float(row[loss]))[setting]) in (values[0], values[-1])


def _window(sweep: Sequence[Row], setting: str, loss: str) -> list[Row]:
    """The best run of a sweep and its neighbours; none where a parabola through them would not be local."""
    by_setting = sorted(sweep, key=lambda row: as_float(row[setting]))
    values = [as_float(row[setting]) for row in by_setting]
    if len(set(values)) < len(values):
        return []  # replicates that nothing tells apart
    best = min(range(len(by_setting)), key=lambda i: as_float(by_setting[i][loss]))
    first = last = best
    while last - first + 1 < MOST_AROUND:
        before = first > 0 and values[first] / values[first - 1] <= LOCAL
        after = last + 1 < len(values) and values[last + 1] / values[last] <= LOCAL
        if before and (best - first <= last - best or not after):
            first -= 1
        elif after:
            last += 1
        else:
            break
    is_inside = first < best < last
    return by_setting[first : last + 1] if is_inside and last - first + 1 >= LEAST_AROUND else []


@dataclass(frozen=True)
class Bottom:
    """at        the setting
    loss      there
    squares   of the residuals of log loss, and how many of them are `left` to tell of noise
    leverage  standard error of the log loss, in units of the noise
    """

    at: float
    loss: float
    squares: float
    left: int
    leverage: float


def _bottom(window: Sequence[Row], setting: str, loss: str) -> Bottom | None:
    """The bottom of the parabola by least squares; None where it has none within the window."""
    logs = np.log([as_float(row[setting]) for row in window])
    target = np.log([as_float(row[loss]) for row in window])
    middle = float(logs.mean())
    u = logs - middle
    design = np.stack([np.ones(len(u)), u, u**2], axis=1)
    (start, slope, curve), *_ = np.linalg.lstsq(design, target, rcond=None)
    if not curve > 0 or not u[0] <= (lies := float(-slope / (2 * curve))) <= u[-1]:
        return None
    gradient = np.array([1.0, lies, lies**2])
    return Bottom(
        at=math.exp(middle + lies),
        loss=math.exp(float(start) + float(slope) * lies + float(curve) * lies**2),
        squares=float(np.sum((target - design @ [start, slope, curve]) ** 2)),
        left=len(u) - design.shape[1],
        leverage=math.sqrt(float(gradient @ np.linalg.pinv(design.T @ design) @ gradient)),
    )


def _is_positive(cell: Cell) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool) and 0 < cell < math.inf
