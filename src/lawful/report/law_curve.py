"""A fitted law as a curve with its band, from the fit's JSON through the law's own predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lawful import laws
from lawful.fitting.absent_law import AbsentLaw
from lawful.fitting.answers import Answer
from lawful.fitting.fitted import run_spread
from lawful.fitting.predict import of_one_run
from lawful.fitting.quantiles import t_quantile
from lawful.response import LOG, Response

COUNTING = {  # column of the table -> the counting convention in words
    "params_non_embedding": "non-embedding parameters N",
    "params_total": "parameters N (all, embeddings counted)",
    "params_embedding": "embedding parameters",
    "tokens": "training tokens D",
    "unique_tokens": "unique training tokens U",
    "flops": "training compute C (exact FLOPs)",
    "flops_6nd": "training compute C (6ND)",
    "6 params tokens": "training compute C (6ND)",  # of a table without a column of it
    "params": "parameters N",
}
LEVEL = 0.95  # of every band drawn
OnAxis = float | Sequence[float] | np.ndarray


@dataclass(frozen=True, kw_only=True)
class LawCurve:
    """values and draws by parameter name; `columns` maps each axis of the law to the table's column that holds it."""

    law: laws.Law
    formula: str
    values: Mapping[str, float]
    draws: Mapping[str, np.ndarray]
    pivot: Mapping[str, float]
    columns: Mapping[str, str]
    response: Response = LOG
    reach: Callable[[Mapping[str, float]], float] = lambda at: (
        0.0
    )  # of a run about the curve, 95 %, as fitted.run_spread

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.law.inputs

    def predict(self, **axes: OnAxis) -> np.ndarray:
        """Loss at each point, shape (points,); every axis an array of that length, or a number."""
        return self.response.inside(self.law.predict(self.values, self.at(**axes)))

    def band(self, **axes: OnAxis) -> tuple[np.ndarray, np.ndarray] | None:
        """Where the mean curve lies, point by point, over the fit's draws; None where the fit kept none."""
        if not self.draws:
            return None
        curves = self.response.inside(self.law.predict(self.draws, self.at(**axes)))
        low, high = np.quantile(curves, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        return low, high

    def new_run(
        self, predicted: np.ndarray, band: tuple[np.ndarray, np.ndarray], axes: Mapping[str, OnAxis]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where one more run lies, point by point, from the curve and the band of its mean."""
        columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(axes[name], dtype=float)) for name in self.inputs))
        points = zip(*columns, strict=True)
        reach = [self.reach(dict(zip(self.inputs, map(float, one), strict=True))) for one in points]
        ends = [of_one_run(self.response, *map(float, one)) for one in zip(predicted, *band, reach, strict=True)]
        low, high = np.array(ends).T
        return low, high

    def at(self, **axes: OnAxis) -> laws.Axes:
        columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(axes[name], dtype=float)) for name in self.inputs))
        return laws.Axes.of(dict(zip(self.inputs, columns, strict=True)), self.pivot)


def law_curve(answer: Answer) -> LawCurve | None:
    """None where the answer holds no fit, or one of a law that may not be built from a file (laws.stored)."""
    fit = answer.fit
    if fit is None or isinstance(fit.model, AbsentLaw):
        return None
    known = {**answer.question.columns, **fit.data.columns}
    return LawCurve(
        law=fit.model,
        formula=fit.formula,
        values=fit.values,
        draws=fit.drawn if fit.draws else {},
        pivot=fit.data.pivot,
        columns={axis: known.get(axis) or axis for axis in fit.model.inputs},
        response=fit.data.response,
        reach=lambda at: t_quantile(0.5 + LEVEL / 2, fit.dof) * run_spread(fit, at),
    )
