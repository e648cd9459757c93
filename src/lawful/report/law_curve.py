"""A fitted law as a curve with its band, from the fit's JSON through the law's own predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lawful import laws
from lawful.errors import DeclarationError
from lawful.fitting.result import law_of

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
    """values and draws by parameter name; `columns` maps each axis of the law to the table's column that holds it."""

    law: laws.Law
    formula: str
    values: Mapping[str, float]
    draws: Mapping[str, np.ndarray]
    pivot: Mapping[str, float]
    columns: Mapping[str, str]

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.law.inputs

    def predict(self, **axes: Any) -> np.ndarray:
        """Loss at each point, shape (points,); every axis an array of that length, or a number."""
        return self.law.predict(self.values, self._at(axes))

    def band(self, **axes: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """Where the mean curve lies, point by point, over the fit's draws; None where the fit kept none."""
        if not self.draws:
            return None
        curves = self.law.predict(self.draws, self._at(axes))
        low, high = np.quantile(curves, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        return low, high

    def _at(self, axes: Mapping[str, Any]) -> laws.Axes:
        columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(axes[name], dtype=float)) for name in self.inputs))
        return laws.Axes.of(dict(zip(self.inputs, columns, strict=True)), self.pivot)


def law_curve(answer: Mapping[str, Any]) -> LawCurve | None:
    """None where the answer holds no fit, or one of a law that may not be built from a file (laws.stored)."""
    fit = answer.get("fit")
    if not fit:
        return None
    try:
        law = law_of(fit)
    except DeclarationError:
        return None
    drawn = np.array(fit.get("draws") or [], dtype=float).reshape(-1, len(law.parameters))
    question, used = answer["question"], fit["data"].get("columns") or {}
    return LawCurve(
        law=law,
        formula=str(fit["formula"]),
        values={name: float(fit["params"][name]["value"]) for name in law.parameters},
        draws=dict(zip(law.parameters, drawn.T, strict=True)) if len(drawn) else {},
        pivot=fit["data"]["pivot"],
        columns={axis: used.get(axis) or question.get(axis) or axis for axis in law.inputs},
    )
