"""A fitted law as a curve with its band, from the fit's JSON through the law's own predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lawful import laws
from lawful.fitting.absent_law import AbsentLaw
from lawful.fitting.answers import Answer
from lawful.fitting.curve_interval import mean_interval
from lawful.fitting.fitted import run_spread
from lawful.fitting.predict import of_one_run
from lawful.fitting.quantiles import t_quantile
from lawful.fitting.uncertainty import BOOTSTRAP, widening
from lawful.response import LOG, Response

COUNTING = {  # column of the table -> the counting convention in words
    "params_non_embedding": "non-embedding parameters N",
    "params_total": "parameters N (all, embeddings counted)",
    "params_embedding": "embedding parameters",
    "tokens": "training tokens D",
    "unique_tokens": "unique training tokens U",
    "flops": "training compute C (FLOPs)",
    "flops_6nd": "training compute C (6ND)",
    "6 params tokens": "training compute C (6ND)",  # of a table without a column of it
    "params": "parameters N",
}
ROLES = {"params": "parameters N", "tokens": "training tokens D", "flops": "training compute C"}  # of a law's axes
LEVEL = 0.95  # of every band drawn
OnAxis = float | Sequence[float] | np.ndarray


@dataclass(frozen=True, kw_only=True)
class LawCurve:
    """values and draws by parameter name; `columns` maps each axis of the law to the table's column that holds it.

    widen     of the draws' percentiles about the curve, on the log of the loss; None where `mean` says the interval
    misfits   a forecast averages over several laws then, and differs from this curve
    """

    law: laws.Law
    formula: str
    values: Mapping[str, float]
    draws: Mapping[str, np.ndarray]
    pivot: Mapping[str, float]
    columns: Mapping[str, str]
    response: Response = LOG
    # of a run about the curve, 95 %, as fitted.run_spread
    reach: Callable[[Mapping[str, float]], float] = lambda at: 0.0
    widen: float | None = 1.0
    mean: Callable[[Mapping[str, float]], tuple[float, float]] | None = None
    misfits: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.law.inputs

    def predict(self, **axes: OnAxis) -> np.ndarray:
        """Loss at each point, shape (points,); every axis an array of that length, or a number."""
        return self.response.inside(self.law.predict(self.values, self.at(**axes)))

    def band(self, **axes: OnAxis) -> tuple[np.ndarray, np.ndarray] | None:
        """Where the mean curve lies, point by point, as `lawful predict` says it; None where the fit kept no draws."""
        if not self.draws:
            return None
        if self.widen is None and self.mean is not None:
            low, high = np.array([self.mean(at) for at in self._points(axes)]).T
            return low, high
        curves = self.response.inside(self.law.predict(self.draws, self.at(**axes)))
        low, high = np.quantile(curves, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        if self.widen in (None, 1.0):
            return low, high
        middle = self.predict(**axes)
        return middle * (low / middle) ** self.widen, middle * (high / middle) ** self.widen

    def new_run(
        self, predicted: np.ndarray, band: tuple[np.ndarray, np.ndarray], axes: Mapping[str, OnAxis]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where one more run lies, point by point, from the curve and the band of its mean."""
        reach = [self.reach(at) for at in self._points(axes)]
        ends = [of_one_run(self.response, *map(float, one)) for one in zip(predicted, *band, reach, strict=True)]
        low, high = np.array(ends).T
        return low, high

    def _points(self, axes: Mapping[str, OnAxis]) -> list[dict[str, float]]:
        columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(axes[name], dtype=float)) for name in self.inputs))
        return [dict(zip(self.inputs, map(float, one), strict=True)) for one in zip(*columns, strict=True)]

    def at(self, **axes: OnAxis) -> laws.Axes:
        columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(axes[name], dtype=float)) for name in self.inputs))
        return laws.Axes.of(dict(zip(self.inputs, columns, strict=True)), self.pivot)


def law_curve(answer: Answer) -> LawCurve | None:
    """None where the answer holds no fit, or one of a law that may not be built from a file (laws.stored)."""
    fit = answer.fit
    if fit is None or isinstance(fit.model, AbsentLaw):
        return None
    known = {**answer.question.columns, **fit.data.columns}
    is_drawn = fit.interval_method == BOOTSTRAP and fit.data.response.is_log
    return LawCurve(
        law=fit.model,
        formula=fit.formula,
        values=fit.values,
        draws=fit.drawn if fit.draws else {},
        pivot=fit.data.pivot,
        columns={axis: known.get(axis) or axis for axis in fit.model.inputs},
        response=fit.data.response,
        reach=lambda at: t_quantile(0.5 + LEVEL / 2, fit.dof) * run_spread(fit, at),
        widen=widening(fit.dof) if is_drawn else None,
        mean=lambda at: mean_interval(fit, at),
        misfits=any(warning.code == "misfit" for warning in fit.warnings),
    )
