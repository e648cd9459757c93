"""Loss over parameters and tokens in Kaplan's joint form: no floor, and one power of a sum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lawful.laws import Axes, Law, Number, Shape, Term, Values


@dataclass(frozen=True)
class Kaplan(Law):
    """L = [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D.

    Fitted as c [e^log_ratio (N/N0)^(-alpha_N/alpha_D) + D0/D]^alpha_D; N_c and D_c are derived.
    """

    name = "kaplan"
    formula = "[(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D"
    source = "Kaplan et al. 2020, arXiv:2001.08361"
    meaning = {
        "N_c": "parameters at which the loss by size is 1",
        "alpha_N": "exponent where size alone binds",
        "D_c": "tokens at which the loss by data is 1",
        "alpha_D": "exponent where data alone binds",
    }
    when = "Parameters and tokens vary apart, far above the floor of the loss."
    when_not = "Large runs near the floor: the law has none, and forecasts fall too low."

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("params", "tokens")

    @property
    def coefficients(self) -> tuple[str, ...]:
        return ("c_pivot",)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return (
            Shape("alpha_N", 1e-3, 10.0, (0.02, 0.8)),
            Shape("alpha_D", 1e-3, 10.0, (0.02, 0.8)),
            Shape("log_ratio", -12.0, 12.0, (-4.0, 4.0)),
        )

    def terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        u, v, d = x["params"], x["tokens"], shape["alpha_D"]
        power = shape["alpha_N"] / d
        by_size = shape["log_ratio"] - power * u
        total = np.logaddexp(by_size, -v)
        w = np.exp(by_size - total)  # the share of the first summand
        q = w * (1 - w)
        return (
            Term(
                d * total,
                {"alpha_N": -w * u, "alpha_D": total + w * power * u, "log_ratio": d * w},
                {
                    ("alpha_N", "alpha_N"): q * u**2 / d,
                    ("alpha_N", "alpha_D"): -q * power * u**2 / d,
                    ("alpha_D", "alpha_D"): q * power**2 * u**2 / d,
                    ("alpha_N", "log_ratio"): -q * u,
                    ("alpha_D", "log_ratio"): w + q * power * u,
                    ("log_ratio", "log_ratio"): d * q,
                },
            ),
        )

    def derived(self, values: Values, pivot: Mapping[str, float]) -> dict[str, Number]:
        base = values["c_pivot"] ** (1 / values["alpha_D"])
        ratio = np.exp(values["log_ratio"])
        return {
            "N_c": pivot["params"] * (ratio * base) ** (values["alpha_D"] / values["alpha_N"]),
            "D_c": pivot["tokens"] * base,
        }
