"""The pictures of a fit: the runs with the law and its band, the residuals, loss against compute with its frontier."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np

from lawful.drawing import expect_matplotlib
from lawful.errors import DeclarationError
from lawful.fitting.allocate import is_rising
from lawful.fitting.cost import PerToken, six_n
from lawful.fitting.curve_interval import mean_interval
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.optimum import Spending, best_size
from lawful.fitting.published import Published
from lawful.fitting.published_curve import curve_name, drawable, losses_of
from lawful.laws import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CURVES = 6  # of the second axis: more levels are drawn by those nearest to as many, evenly chosen
CURVE_POINTS = 60
RAMP = "viridis"
PALEST = 0.85  # of the ramp on white paper
BESIDE = 1.15  # factor by which a curve is drawn beyond the runs
LETTERS = {"params": "parameters N", "tokens": "training tokens D", "flops": "compute C (FLOPs)", "unique_tokens": "U"}


def plot(fit: FittedLaw, ax: Axes | None = None, against: str | None = None) -> Figure:
    """As Fit.plot: the law into `ax`; without one, a figure with the law and the residuals."""
    expect_matplotlib("plot()")
    from matplotlib.figure import Figure

    data, inputs = fit.data, fit.model.inputs
    one = None if against is None else drawable(against, inputs, fit.law, data.response, data.loss_unit)
    with _font():
        if ax is not None:
            _draw_law(fit, _expect_axes(ax), published=one)
            return _figure_of(ax)
        figure = Figure(figsize=(9, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_law(fit, left, published=one)
        _draw_residuals(fit, right)
    return figure


def plot_compute(fit: FittedLaw, ax: Axes | None = None) -> Figure:
    """As Fit.plot_compute."""
    expect_matplotlib("plot_compute()")
    from matplotlib.figure import Figure

    is_surface = {"params", "tokens"} <= set(fit.model.inputs)
    if not is_surface and "flops" not in fit.model.inputs:
        raise DeclarationError(
            f"plot_compute: expected a law of params and tokens or of FLOPs, got {fit.law}, of "
            f"{' and '.join(fit.model.inputs)}. `plot` draws it."
        )
    with _font():
        if ax is None:
            axes = Figure(figsize=(5.6, 4.2), layout="constrained").add_subplot()
        else:
            axes = _expect_axes(ax)
        if is_surface:
            _draw_compute(fit, axes)
        else:
            _draw_law(fit, axes, "flops")
    return _figure_of(axes)


def as_image(fit: FittedLaw) -> str:
    """The law as an <img> that carries its own bytes, for a notebook; nothing where matplotlib is not installed."""
    from html import escape

    try:
        from matplotlib.figure import Figure
    except ImportError:
        return ""

    with _font():
        figure = Figure(figsize=(5.6, 3.8), layout="constrained", dpi=110)
        _draw_law(fit, figure.add_subplot())
        written = io.BytesIO()
        figure.savefig(written, format="png", metadata={"Software": None})
    text = base64.b64encode(written.getvalue()).decode()
    metric = "Loss" if fit.data.response.is_log else _loss(fit)
    alt = escape(f"{metric} against {_name(fit, _first(fit))}: {fit.goodness.n} runs and the law {fit.law}", quote=True)
    return f'<img alt="{alt}" src="data:image/png;base64,{text}">'


def _draw_law(fit: FittedLaw, axes: Axes, along: str | None = None, published: Published | None = None) -> None:
    """The runs and the law along one axis (by default its first), a curve for each level of the next one."""
    axis = along or _first(fit)
    other = next((one for one in fit.model.inputs if one != axis), None)
    x = fit.column(axis)
    has_zero = bool((x <= 0).any())
    low, high = float(x.min()), float(x.max())
    grid = np.linspace(low, high * BESIDE, CURVE_POINTS) if has_zero else _grid(low / BESIDE, high * BESIDE)
    levels = _levels(fit, other) if other is not None else np.array([np.nan])
    for level, colour in zip(levels, _colours(len(levels)), strict=True):
        at = {one: _middle(fit, one) for one in fit.model.inputs if one not in (axis, other)}
        if other is not None:
            at[other] = float(level)
        _draw_curve(fit, axes, axis, grid, at, colour)
        if published is not None:
            there = {**at, axis: grid}
            axes.plot(grid, losses_of(published, there["params"], there["tokens"]), color=colour, lw=1.1, ls="--")
        label = _runs(fit) if other is None else _level_name(fit, other, float(level))
        own = np.ones(len(x), dtype=bool) if other is None else _nearest(fit, other, levels) == level
        axes.plot(x[own], _observed(fit)[own], "o", color=colour, ms=4.5, mec="white", mew=0.5, label=label)
    if published is not None:
        axes.plot([], [], color="0.4", lw=1.1, ls="--", label=curve_name(published))
    axes.set(xscale="linear" if has_zero else "log", yscale=_scale(fit), xlabel=_name(fit, axis), ylabel=_loss(fit))
    axes.legend(title=None if other is None else _name(fit, other), fontsize=7.5, title_fontsize=7.5, frameon=False)
    _plain_ticks(axes)


def _draw_curve(fit: FittedLaw, axes: Axes, axis: str, grid: Array, at: Mapping[str, float], colour: str) -> None:
    """The curve with the 95 % band of its mean."""
    points = [{**at, axis: float(value)} for value in grid]
    ends = np.array([mean_interval(fit, point) for point in points])
    ends[~np.isfinite(ends)] = np.nan
    axes.fill_between(grid, ends[:, 0], ends[:, 1], color=colour, alpha=0.18, lw=0)
    columns = {name: np.array([point[name] for point in points]) for name in fit.model.inputs}
    axes.plot(grid, fit.loss(fit.values, columns), color=colour, lw=1.4)


def _draw_residuals(fit: FittedLaw, axes: Axes) -> None:
    axis = _first(fit)
    x = fit.column(axis)
    is_log = fit.data.response.is_log
    away = [(100 if is_log else 1) * row.residual_log for row in fit.residuals]
    axes.axhline(0, color="0.6", lw=1)
    axes.plot(x, away, "o", color=_colours(1)[0], ms=4.5, mec="white", mew=0.5)
    label = "log(observed / law), %" if is_log else "observed - law"
    axes.set(xlabel=_name(fit, axis), ylabel=label, xscale="linear" if (x <= 0).any() else "log")
    rms = f"{100 * fit.goodness.rmse_log:.2g} %" if is_log else f"{fit.goodness.rmse_log:.2g}"
    axes.set_title(f"residuals: n {fit.goodness.n}, rms {rms}", fontsize=9)


def _draw_compute(fit: FittedLaw, axes: Axes) -> None:
    """For each size the law along its tokens, and of a loss the best at each compute."""
    size, tokens, loss = fit.column("params"), fit.column("tokens"), _observed(fit)
    compute = 6 * size * tokens
    rest = {one: _middle(fit, one) for one in fit.model.inputs if one not in ("params", "tokens")}
    levels = _levels(fit, "params")
    nearest = _nearest(fit, "params", levels)
    for level, colour in zip(levels, _colours(len(levels)), strict=True):
        own = nearest == level
        grid = _grid(tokens[own].min() / BESIDE, tokens[own].max() * BESIDE)
        curve = fit.loss(fit.values, _filled({"params": float(level), "tokens": grid, **rest}))
        axes.plot(6 * level * grid, curve, color=colour, lw=1.2)
        label = _level_name(fit, "params", float(level))
        axes.plot(compute[own], loss[own], "o", color=colour, ms=4.5, mec="white", mew=0.5, label=label)
    if not rest and fit.data.response.is_log and not is_rising(fit, {}):
        budgets = _grid(compute.min(), compute.max())
        values = {name: np.full(CURVE_POINTS, one) for name, one in fit.values.items()}
        best = best_size(fit, values, budgets, Spending(PerToken(six_n, "6 N D")))[0]
        frontier = fit.loss(fit.values, {"params": best, "tokens": budgets / (6 * best)})
        axes.plot(budgets, frontier, color="black", lw=1.4, ls="--", label="compute-optimal")
    axes.set(xscale="log", yscale=_scale(fit), xlabel="compute C = 6 N D (FLOPs)", ylabel=_loss(fit))
    axes.legend(title=_name(fit, "params"), fontsize=7.5, title_fontsize=7.5, frameon=False)
    _plain_ticks(axes)


def _font() -> AbstractContextManager[None]:
    """Small, and a $ in a column's name is no formula."""
    from matplotlib import rc_context

    return rc_context({"font.size": 9, "text.parse_math": False})


def _expect_axes(ax: Axes) -> Axes:
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise DeclarationError(
            f"ax: expected Axes of matplotlib, as `figure, ax = plt.subplots()` gives them, got {type(ax).__name__}."
        )
    return ax


def _figure_of(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None  # axes that were removed from their figure cannot be drawn into
    return figure


def _plain_ticks(axes: Axes) -> None:
    """Losses span less than a decade: 2.5, 3, 4 and no powers of ten."""
    from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter

    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_locator(NullLocator())


def _grid(low: float, high: float) -> Array:
    return np.geomspace(low, high, CURVE_POINTS)


def _filled(at: Mapping[str, float | Array]) -> dict[str, Array]:
    arrays = np.broadcast_arrays(*at.values())
    return dict(zip(at, arrays, strict=True))


def _first(fit: FittedLaw) -> str:
    """The first axis of numbers."""
    return next(axis for axis in fit.model.inputs if axis not in fit.model.categories)


def _observed(fit: FittedLaw) -> Array:
    return np.array([row.observed for row in fit.residuals], dtype=float)


def _levels(fit: FittedLaw, axis: str) -> Array:
    """The values of an axis; of many, so many that are spread evenly."""
    values = np.unique(fit.column(axis))
    places = np.linspace(0, len(values) - 1, min(MOST_CURVES, len(values))).round().astype(int)
    return np.asarray(values[places])


def _nearest(fit: FittedLaw, axis: str, levels: Array) -> Array:
    """For each run: the level nearest to its own, on a log scale if the axis has one."""
    values = fit.column(axis)
    scale = np.log if (levels > 0).all() and (values > 0).all() else np.asarray
    return np.asarray(levels[np.abs(scale(values)[:, None] - scale(levels)).argmin(axis=1)])


def _middle(fit: FittedLaw, axis: str) -> float:
    """Where a further axis is held: at its middle run."""
    return float(np.sort(fit.column(axis))[fit.goodness.n // 2])


def _level_name(fit: FittedLaw, axis: str, value: float) -> str:
    cell = fit.model.cell(axis, value)
    return cell if isinstance(cell, str) else f"{cell:.3g}"


def _name(fit: FittedLaw, axis: str) -> str:
    """The axis in words, with the column where that is another name."""
    words, column = LETTERS.get(axis, axis), fit.data.columns.get(axis, axis)
    return words if column in (axis, words) else f"{words} ({column})" if axis in LETTERS else column


def _scale(fit: FittedLaw) -> str:
    return "log" if fit.data.response.is_log else "linear"


def _loss(fit: FittedLaw) -> str:
    unit = f" ({fit.data.loss_unit})" if fit.data.loss_unit else ""
    return f"{fit.data.columns.get('loss', 'loss')}{unit}"


def _runs(fit: FittedLaw) -> str:
    return f"{fit.goodness.n} runs"


def _colours(number: int) -> list[str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps[RAMP](share)) for share in (np.linspace(0, PALEST, number) if number > 1 else [0.3])]
