"""One picture of a fit: observed against predicted loss, and the residuals along the first axis."""

from __future__ import annotations

from typing import Any

from lawful.fitting.fitted import FittedLaw


def plot(fit: FittedLaw) -> Any:
    """A matplotlib Figure, not tied to any window; save it with figure.savefig."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    observed = [row.observed for row in fit.residuals]
    predicted = [row.predicted for row in fit.residuals]
    ends = [min(observed + predicted), max(observed + predicted)]
    left.plot(ends, ends, color="0.7", lw=1)
    left.plot(predicted, observed, "o", ms=4, alpha=0.7)
    left.set(xlabel="predicted loss", ylabel="observed loss", xscale="log", yscale="log")
    left.set_title(f"{fit.law}: L = {fit.formula}", fontsize=9)
    axis = fit.model.inputs[0]
    right.axhline(0, color="0.7", lw=1)
    right.plot(
        [row.axes[axis] for row in fit.residuals],
        [100 * row.residual_log for row in fit.residuals],
        "o",
        ms=4,
        alpha=0.7,
    )
    right.set(xlabel=axis, ylabel="log(observed / predicted), %", xscale="log")
    right.set_title(f"n {fit.goodness.n}, rmse {100 * fit.goodness.rmse_log:.2f} %", fontsize=9)
    return figure
