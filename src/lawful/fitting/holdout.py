"""Drop the largest budgets, refit, predict them: the honest test of a law that will be extrapolated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lawful.errors import DeclarationError, Refusal
from lawful.fitting.result import Prediction

if TYPE_CHECKING:
    from lawful.fitting.result import Fit

SAME = 0.02  # budgets that differ by less, relatively, are one


@dataclass(frozen=True)
class HeldOutRun:
    run: str
    budget: float
    prediction: Prediction
    observed: float
    error_relative: float
    is_inside: bool


@dataclass(frozen=True)
class Holdout:
    """fit: of the smaller budgets. budget: FLOPs as 6 N D for a surface, else the law's axis.

    reach           C*/C_max: the largest budget over the largest one fitted
    rmse_log        of the predictions
    coverage        share of dropped runs inside their 95 % interval for a new run
    bias_log        mean of log(predicted / observed): which way the law errs when extrapolated
    """

    fit: Fit
    budget: str
    rows: tuple[HeldOutRun, ...]
    reach: float
    rmse_log: float
    bias_log: float
    coverage: float

    @property
    def sentence(self) -> str:
        inside = sum(row.is_inside for row in self.rows)
        return (
            f"Fitted on {self.fit.goodness.n} runs, the law predicted {len(self.rows)} runs at up to "
            f"{self.reach:.3g} times the largest fitted {self.budget} with an rms error of "
            f"{100 * self.rmse_log:.2f} % (mean {100 * self.bias_log:+.2f} %); {inside} of {len(self.rows)} lay "
            "inside their 95 % intervals."
        )


def holdout(fit: Fit, *, top: int = 1) -> Holdout:
    """Refit without the `top` largest budgets and predict them. Raises Refusal where too little is left."""
    from lawful.fitting.estimate import fit as refit

    inputs = fit.model.inputs
    budget = "6 N D" if {"params", "tokens"} <= set(inputs) else inputs[0]
    size = np.array(
        [
            6 * row.axes["params"] * row.axes["tokens"] if budget == "6 N D" else row.axes[budget]
            for row in fit.residuals
        ]
    )
    levels = _levels(size)
    if not 1 <= top < len(levels):
        raise DeclarationError(
            f"holdout: expected top between 1 and {len(levels) - 1} (there are {len(levels)} budgets), got {top}."
        )
    limit = levels[-top] * (1 - SAME / 2)
    rows = [{**row.axes, "loss": row.observed, "run": row.run, "cluster": str(row.cluster)} for row in fit.residuals]
    kept = [row for row, c in zip(rows, size, strict=True) if c < limit]
    dropped = [(row, c) for row, c in zip(rows, size, strict=True) if c >= limit]
    fixed = {name: p.value for name, p in fit.params.items() if p.role == "fixed"}
    if not kept:
        raise Refusal("too_few_points", "holdout: nothing is left to fit.")
    smaller = refit(
        kept,
        fit.model,
        objective=fit.objective.name,
        fixed=fixed,
        bounds=fit.bounds,
        draws=len(fit.draws),
        seed=fit.seed,
    )
    out = []
    for row, c in dropped:
        prediction = smaller.predict(**{axis: row[axis] for axis in inputs}, interval="new_run")  # type: ignore[arg-type]
        observed = float(row["loss"])  # type: ignore[arg-type]
        out.append(
            HeldOutRun(
                str(row["run"]),
                float(c),
                prediction,
                observed,
                prediction.value / observed - 1,
                prediction.low <= observed <= prediction.high,
            )
        )
    errors = np.log([1 + row.error_relative for row in out])
    return Holdout(
        smaller,
        budget,
        tuple(out),
        float(size.max() / size[size < limit].max()),
        float(np.sqrt((errors**2).mean())),
        float(errors.mean()),
        float(np.mean([row.is_inside for row in out])),
    )


def _levels(size: np.ndarray) -> np.ndarray:
    """Distinct budgets, rising; those within 2 % are one."""
    order = np.sort(size)
    return np.asarray(order[np.concatenate([[True], np.diff(np.log(order)) > SAME])])
