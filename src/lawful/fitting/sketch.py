"""A small picture of a fit for a terminal: letters alone, twelve lines at most."""

from __future__ import annotations

import math

import numpy as np

from lawful.fitting.fitted import FittedLaw
from lawful.laws import Array

HEIGHT = 9  # lines of the plot itself; the axis, its ends and the marks take three more
LABEL = 8  # columns of a loss at the left
MARKS = "ox+*#@"
CURVE = "."


def sketch(fit: FittedLaw, width: int = 80) -> str:
    """Loss against the law's first axis, in at most twelve lines of `width` columns: the runs as marks, one for each
    level of the second axis, and the law as dots, at the lowest and the highest level. Empty where nothing can be
    drawn."""
    columns = width - LABEL - 2
    axis = next((one for one in fit.model.inputs if one not in fit.model.categories), None)
    if axis is None or columns < 20 or not fit.residuals:
        return ""
    other = next((one for one in fit.model.inputs if one != axis), None)
    x, y = fit.column(axis), np.array([row.observed for row in fit.residuals])
    place, of_level = _levels(fit, other)
    is_log = bool((x > 0).all())
    scale = np.log if is_log else np.asarray
    low, high = float(scale(x.min())), float(scale(x.max()))
    if not low < high:
        return ""
    at = np.linspace(low, high, columns)
    grid = np.exp(at) if is_log else at
    curves = [_curve(fit, axis, other, grid, level) for level in dict.fromkeys((of_level[0], of_level[-1]))]
    response = fit.data.response
    every = response.level(np.concatenate([y, *curves]))
    every = every[np.isfinite(every)]
    bottom, top = float(every.min()), float(every.max())
    if not bottom < top:
        return ""
    canvas = [[" "] * columns for _ in range(HEIGHT)]

    def line(loss: float) -> int:
        return round((top - float(response.level(loss))) / (top - bottom) * (HEIGHT - 1))

    for curve in curves:
        for column, loss in enumerate(curve):
            if np.isfinite(loss) and (loss > 0 or not response.is_log):
                canvas[line(float(loss))][column] = CURVE
    for own_x, own_y, level in zip(x, y, place, strict=True):
        column = round((float(scale(own_x)) - low) / (high - low) * (columns - 1))
        canvas[line(float(own_y))][column] = MARKS[level]
    shown = {0: top, HEIGHT // 2: (top + bottom) / 2, HEIGHT - 1: bottom}
    labels = [
        f"{math.exp(shown[row]) if response.is_log else shown[row]:.4g}" if row in shown else ""
        for row in range(HEIGHT)
    ]
    lines = [f"{label:>{LABEL}} |{''.join(cells)}".rstrip() for label, cells in zip(labels, canvas, strict=True)]
    ends = (f"{x.min():.3g}", f"{x.max():.3g}")
    name = fit.data.columns.get(axis, axis)[: columns - sum(map(len, ends)) - 2]
    lines.append(f"{'':{LABEL}} +{'-' * columns}")
    lines.append(f"{'':{LABEL}}  {ends[0]}{name:^{columns - sum(map(len, ends))}}{ends[1]}")
    if other is not None:
        lines.append(f"{'':{LABEL}}  {_legend(fit, other, of_level, width - LABEL - 2)}")
    return "\n".join(lines)


def _levels(fit: FittedLaw, axis: str | None) -> tuple[list[int], list[float]]:
    """For each run, the index of the marked level nearest to its own; then the marked levels."""
    if axis is None:
        return [0] * len(fit.residuals), [math.nan]
    values = fit.column(axis)
    levels = np.unique(values)
    levels = levels[np.linspace(0, len(levels) - 1, min(len(MARKS), len(levels))).round().astype(int)]
    scale = np.log if (levels > 0).all() and (values > 0).all() else np.asarray
    nearest = np.abs(scale(values)[:, None] - scale(levels)).argmin(axis=1)
    return nearest.tolist(), levels.tolist()


def _curve(fit: FittedLaw, axis: str, other: str | None, grid: Array, level: float) -> Array:
    """The law along the axis at a level of the second; further axes are held at their middle run."""
    at: dict[str, Array] = {axis: grid}
    for name in fit.model.inputs:
        if name != axis:
            middle = float(np.sort(fit.column(name))[fit.goodness.n // 2])
            at[name] = np.full(len(grid), level if name == other else middle)
    return fit.loss(fit.values, at)


def _legend(fit: FittedLaw, axis: str, levels: list[float], room: int) -> str:
    """What each mark is, as far as whole entries have room; the last level stays, as the curves end at it."""
    cells = [fit.model.cell(axis, level) for level in levels]
    names = [cell if isinstance(cell, str) else f"{cell:.3g}" for cell in cells]
    marks = [f"{mark} {name}" for mark, name in zip(MARKS, names, strict=False)]
    title = fit.data.columns.get(axis, axis)
    for text in (f"{title}: {'  '.join(marks)}; dots: the law", f"{title}: {'  '.join(marks)}",
                 f"{title}: {marks[0]} ... {marks[-1]}"):  # fmt: skip
        if len(text) <= room:
            return text
    return f"{marks[0]} ... {marks[-1]}"[:room]
