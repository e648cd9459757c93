"""One picture of a fit: observed against predicted loss, and the residuals along the first axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lawful.fitting.result import Fit


def plot(fit: Fit) -> Any:
    """A matplotlib Figure, not tied to any window; save it with figure.savefig."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    observed = [row.observed for row in fit.residuals]
    predicted = [row.predicted for row in fit.residuals]
    ends = [min(observed + predicted), max(observed + predicted)]
    left.plot(ends, ends, color="0.7", lw=1)
    left.plot(predicted, observed, "o", ms=4, alpha=0.7)
    is_log = fit.data.response.is_log
    metric, scale = ("loss", "log") if is_log else (fit.data.columns["loss"], "linear")
    left.set(xlabel=f"predicted {metric}", ylabel=f"observed {metric}", xscale=scale, yscale=scale)
    left.set_title(f"{fit.law}: L = {fit.formula}", fontsize=9)
    axis = fit.model.inputs[0]
    right.axhline(0, color="0.7", lw=1)
    right.plot(
        [row.axes[axis] for row in fit.residuals],
        [(100 if is_log else 1) * row.residual_log for row in fit.residuals],
        "o",
        ms=4,
        alpha=0.7,
    )
    away = "log(observed / predicted), %" if is_log else "observed - predicted"
    right.set(xlabel=axis, ylabel=away, xscale="log")
    rmse = f"{100 * fit.goodness.rmse_log:.2f} %" if is_log else f"{fit.goodness.rmse_log:.3g}"
    right.set_title(f"n {fit.goodness.n}, rmse {rmse}", fontsize=9)
    return figure
