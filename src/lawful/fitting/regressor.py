"""A scikit-learn regressor over the laws: for cross-validation and pipelines. Needs scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from lawful.errors import DeclarationError, MissingDependency

try:
    from sklearn.base import BaseEstimator, RegressorMixin  # type: ignore[import-untyped]
    from sklearn.utils.validation import check_is_fitted, validate_data  # type: ignore[import-untyped]
except ImportError as error:
    raise MissingDependency.of("sklearn", extra="sklearn", what="ScalingLawRegressor", error=error) from error

from lawful.fitting.curve_interval import mean_stderr_log
from lawful.fitting.estimate import fit
from lawful.laws import named
from lawful.tables import read_by_role


class ScalingLawRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """X holds the law's axes as positive columns, in the order of its inputs; y the losses.

    After fit: result_ (the Fit), n_features_in_. predict(X, return_std=True) adds the spread of the curve.
    """

    def __init__(self, law: str = "power_floor", objective: str = "robust", draws: int = 0, seed: int = 0) -> None:
        self.law = law
        self.objective = objective
        self.draws = draws
        self.seed = seed

    def fit(self, X: Any, y: Any) -> ScalingLawRegressor:
        """Raises LawfulError for values that are not positive, and Refusal where the law cannot be determined."""
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        inputs = named(self.law).inputs
        if X.shape[1] != len(inputs):
            raise DeclarationError(
                f"{self.law}: expected {len(inputs)} columns ({', '.join(inputs)}), got {X.shape[1]}."
            )
        rows = [
            {**dict(zip(inputs, map(float, x), strict=True)), "loss": float(loss), "run": str(i)}
            for i, (x, loss) in enumerate(zip(X, y, strict=True))
        ]
        table = read_by_role(rows, {}, units=dict.fromkeys(inputs, "1"))  # in whatever unit: nothing is asked
        self.result_ = fit(table, self.law, objective=self.objective, draws=self.draws, seed=self.seed)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Shape (rows,); with return_std also the standard error of the curve, in the loss's unit."""
        check_is_fitted(self, "result_")
        X = validate_data(self, X, reset=False, dtype=np.float64)
        inputs = named(self.law).inputs
        at = dict(zip(inputs, X.T, strict=True))
        value = self.result_.loss(self.result_.values, at)
        if not return_std:
            return value
        points = [dict(zip(inputs, map(float, x), strict=True)) for x in X]
        return value, value * np.array([mean_stderr_log(self.result_, point) for point in points])
