"""What to say of a fit to accuracies: whether they scatter as counts do, and what rows at an end leave open."""

from __future__ import annotations

import numpy as np

from lawful.fitting.curve_interval import mean_interval
from lawful.fitting.error_bars import geometric_mean
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.number_text import interval
from lawful.fitting.records import ErrorBars
from lawful.schema import Warning

AT_CHANCE = 2.0  # robust sigmas by which a row's law lies off the chance level, below which it may be there
FAR = 1e12  # times the largest run, where a law that levels off has done so


def counts_disagree(bars: ErrorBars) -> Warning:
    if bars.scatter > 1:
        sentence = (
            f"The accuracies lie {bars.scatter:.2g} times as far from the law as counts of {bars.column!r} items "
            "would: runs differ in more than their items (a seed, a setting), or the law's form is not the runs'. Rows "
            "weigh by both, and intervals follow the scatter."
        )
        return Warning("overdispersed", "note", sentence)
    sentence = (
        f"The accuracies lie {bars.scatter:.2g} times as far from the law as counts of {bars.column!r} items would: "
        "are these the items of one accuracy, or do the rows share their items? Intervals follow the scatter."
    )
    return Warning("error_bars_disagree", "warning", sentence)


def about_shares(fit: FittedLaw) -> list[Warning]:
    """What a table of accuracies leaves open: how the rise begins where most rows are at chance, and where it ends
    where no row has come near that."""
    response = fit.data.response
    if not response.is_share or not fit.residuals:
        return []
    rows = np.array([row.predicted for row in fit.residuals])
    noise = response.noise(rows)
    sigma = fit.goodness.sigma_log * noise / geometric_mean(noise)
    edge = response.high if response.is_error else response.low
    at_edge = np.abs(rows - edge) < AT_CHANCE * sigma
    found = []
    worse = (rows > edge if response.is_error else rows < edge) & ~at_edge
    if worse.any():
        found.append(
            Warning(
                "below_chance",
                "warning",
                f"At {int(worse.sum())} of {len(rows)} rows the law is worse than the chance level {response.chance:g} "
                f"({rows[worse].max() if response.is_error else rows[worse].min():.3g} at the worst), and its "
                "intervals end at that level: give the level that guessing has (--chance), or none.",
            )
        )
    points = {tuple(row.axes.values()) for row, is_there in zip(fit.residuals, at_edge, strict=True) if not is_there}
    if response.chance > 0 and at_edge.any() and len(points) <= len(fit.free):
        found.append(
            Warning(
                "at_chance",
                "warning",
                f"{int(at_edge.sum())} of {len(rows)} rows cannot be told from the chance level: the others, at "
                f"{len(points)} point{'s' * (len(points) != 1)}, alone say how the law leaves it, with "
                f"{len(fit.free)} parameters.",
            )
        )
    if (end := _open_end(fit)) is not None:
        found.append(
            Warning(
                "ceiling_open",
                "warning",
                f"These runs do not show where the metric levels off: the law's end has the 95 % interval "
                f"{interval(*end, '.2f')}, as wide as all the change that the runs have seen. Forecasts far beyond "
                "them rest on the law's form.",
            )
        )
    return found


def _open_end(fit: FittedLaw) -> tuple[float, float] | None:
    """The interval of the law far beyond the runs, where it is wider than the law's change over them."""
    far = {axis: FAR * high for axis, (_, high) in fit.data.domain.items() if axis not in fit.model.categories}
    if len(far) < len(fit.model.inputs):
        return None
    low, high = mean_interval(fit, far)
    rows = fit.by_size
    return (low, high) if high - low > abs(rows[-1].predicted - rows[0].predicted) else None
