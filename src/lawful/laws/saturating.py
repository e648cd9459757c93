"""A bounded metric, such as an error rate: near chance for small x, falling to a floor for large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lawful.laws import Axes, Number, OneAxisLaw, Shape, Term, Values


@dataclass(frozen=True)
class Saturating(OneAxisLaw):
    """y = floor + range / (1 + (x/x_half)^alpha): chance level floor + range, half of the way down at x_half."""

    name = "saturating"
    formula = "floor + range / (1 + (x/x_half)^alpha)"
    source = "the logistic of log x; compare Caballero et al. 2022, arXiv:2210.14891, section 2"
    meaning = {
        "floor": "value at infinite x",
        "range": "what x removes",
        "x_half": "x at which half is removed",
        "alpha": "steepness",
    }
    when = "An error that starts at chance and falls to a floor."
    when_not = "Losses far from both ends: use power_floor."

    @property
    def coefficients(self) -> tuple[str, ...]:
        return ("floor", "range")

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return (
            Shape("alpha", 0.02, 20.0, (0.1, 3.0)),
            Shape("log_half", -25.0, 25.0, (-5.0, 5.0)),
        )  # of x_half / pivot

    @property
    def places(self) -> tuple[str, ...]:
        return ("log_half",)

    def terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        away = x[self.axis] - shape["log_half"]
        alpha = shape["alpha"]
        soft = np.logaddexp(0.0, alpha * away)
        rise = np.exp(alpha * away - soft)
        q = rise * (1 - rise)
        return (
            Term(),
            Term(
                -soft,
                {"alpha": -rise * away, "log_half": rise * alpha},
                {
                    ("alpha", "alpha"): -q * away**2,
                    ("alpha", "log_half"): rise + q * alpha * away,
                    ("log_half", "log_half"): -q * alpha**2,
                },
            ),
        )

    def derived(self, values: Values, pivot: Mapping[str, float]) -> dict[str, Number]:
        return {"x_half": pivot[self.axis] * np.exp(values["log_half"]), "chance": values["floor"] + values["range"]}
