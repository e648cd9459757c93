"""The parts of a fit as columns: parameters, residuals, draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lawful.fitting.fitted import FittedLaw

Frames = Literal["parameters", "residuals", "draws"]


def columns_of(fit: FittedLaw, what: Frames) -> dict[str, Sequence[object]]:
    """As Fit.to_frame has them. Residuals take the names of the fitted table's columns."""
    if what == "draws":
        return {name: column.tolist() for name, column in fit.drawn.items()}
    if what == "parameters":
        parameters = fit.params.values()
        return {
            "parameter": [one.name for one in parameters],
            "value": [float(one.value) for one in parameters],
            "stderr": [float(one.stderr) for one in parameters],
            "low": [float(one.ci95[0]) for one in parameters],
            "high": [float(one.ci95[1]) for one in parameters],
            "role": [one.role for one in parameters],
        }
    rows = fit.residuals
    columns: dict[str, Sequence[object]] = {"run": [row.run for row in rows], "cluster": [row.cluster for row in rows]}
    for axis in fit.model.inputs:
        columns[fit.data.columns.get(axis, axis)] = [fit.model.cell(axis, row.axes[axis]) for row in rows]
    for name in ("observed", "predicted", "residual_log", "standardised"):
        columns[name] = [float(getattr(row, name)) for row in rows]
    return columns
