"""A power law whose exponent changes once, smoothly, above an irreducible loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lawful.laws import Axes, Number, OneAxisLaw, Shape, Term, Values


@dataclass(frozen=True)
class BrokenPower(OneAxisLaw):
    """L = E + b x^-alpha [1 + (x/x_break)^(1/width)]^(-change width): exponent alpha before, alpha + change after."""

    name = "broken_power"
    formula = "E + b x^-alpha [1 + (x/x_break)^(1/width)]^(-change width)"
    source = "Caballero et al. 2022, arXiv:2210.14891"
    meaning = {
        "E": "irreducible loss, in the unit of the loss",
        "b": "scale of the reducible loss at x = 1",
        "alpha": "exponent before the break",
        "change": "by how much the exponent grows after it",
        "x_break": "where it breaks, in the unit of x",
        "width": "of the break, in e-folds of x",
    }
    when = "The curve has two straight pieces on log-log paper, and runs on both sides."
    when_not = "No run lies beyond the break. A break that one run alone shows."

    @property
    def coefficients(self) -> tuple[str, ...]:
        return ("E", "b_pivot")

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return (
            Shape("alpha", 0.0, 10.0, (0.0, 1.0)),
            Shape("change", -20.0, 20.0, (-0.6, 1.0)),
            Shape("log_break", -25.0, 25.0, (-4.0, 4.0)),  # of x_break / pivot
            Shape("width", 0.05, 5.0, (0.1, 2.0)),
        )

    def terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        u, change, width = x[self.axis], shape["change"], shape["width"]
        t = (u - shape["log_break"]) / width
        soft = np.logaddexp(0.0, t)
        rise = np.exp(t - soft)  # the logistic function
        q = rise * (1 - rise)
        return (
            Term(),
            Term(
                -shape["alpha"] * u - change * width * soft,
                {
                    "alpha": -u,
                    "change": -width * soft,
                    "log_break": change * rise,
                    "width": -change * (soft - rise * t),
                },
                {
                    ("change", "log_break"): rise,
                    ("change", "width"): -(soft - rise * t),
                    ("log_break", "log_break"): -change * q / width,
                    ("log_break", "width"): -change * q * t / width,
                    ("width", "width"): -change * q * t**2 / width,
                },
            ),
        )

    def derived(self, values: Values, pivot: Mapping[str, float]) -> dict[str, Number]:
        return {
            "x_break": pivot[self.axis] * np.exp(values["log_break"]),
            "alpha_after": values["alpha"] + values["change"],
        }
