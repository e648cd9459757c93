"""A fitted law as a curve with its band, from the fit's JSON through the law's own predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lawful.fitting.result import Fit

COUNTING = {  # column of the table -> the counting convention in words
    "params_non_embedding": "non-embedding parameters N",
    "params_total": "parameters N (all, embeddings counted)",
    "params_embedding": "embedding parameters",
    "tokens": "training tokens D",
    "unique_tokens": "unique training tokens U",
    "flops": "training compute C (exact FLOPs)",
    "flops_6nd": "training compute C (6ND)",
}
LEVEL = 0.95  # of every band drawn


@dataclass(frozen=True, kw_only=True)
class LawCurve:
    """`columns` maps each axis of the law to the column of the table that holds it."""

    fit: Fit
    inputs: tuple[str, ...]
    columns: Mapping[str, str]

    def predict(self, **axes: Any) -> np.ndarray:
        """Loss at each point, shape (points,); every axis an array of that length, or a number."""
        return self.fit.loss(self.fit.values, self._at(axes))

    def band(self, **axes: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """Where the mean curve lies, point by point, over the fit's draws; None where the fit kept none."""
        if not self.fit.draws:
            return None
        curves = self.fit.loss(self.fit.drawn, self._at(axes))
        low, high = np.quantile(curves, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        return low, high

    def _at(self, axes: Mapping[str, Any]) -> dict[str, np.ndarray]:
        columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(axes[name], dtype=float)) for name in self.inputs))
        return dict(zip(self.inputs, columns, strict=True))


def law_curve(answer: Mapping[str, Any]) -> LawCurve | None:
    """None where the answer holds no fit, or one of a law that this installation does not have."""
    if not answer.get("fit"):
        return None
    try:
        fit = Fit.from_json(answer["fit"])
        inputs = fit.model.inputs
    except (ValueError, KeyError, TypeError):
        return None
    question, used = answer["question"], fit.data.get("columns") or {}
    return LawCurve(
        fit=fit,
        inputs=inputs,
        columns={axis: used.get(axis) or question.get(axis) or axis for axis in inputs},
    )
