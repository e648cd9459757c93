"""Loss when data repeats: a repeated token is worth less than a new one, and less each time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lawful.laws import Axes, Law, Number, Shape, Term, Values


@dataclass(frozen=True)
class DataConstrained(Law):
    """L = E + A N^-alpha + B D'^-beta, with D' = U + U R* (1 - exp(-(D/U - 1) / R*)) once D passes the unique tokens U.

    The paper's second half, which discounts parameters beyond what U can feed, is left out: it needs runs of its own.
    """

    name = "data_constrained"
    formula = "E + A N^-alpha + B D'^-beta, D' = U + U R* (1 - exp(-(D/U - 1)/R*))"
    source = "Muennighoff et al. 2023, arXiv:2305.16264"
    meaning = {
        "E": "irreducible loss, in the unit of the loss",
        "A": "loss by size at N = 1",
        "alpha": "exponent of the parameters",
        "B": "loss by data at D = 1",
        "beta": "exponent of the tokens",
        "R_star": "repeats after which a token is worth 1/e",
    }
    when = "Data repeat: tokens above unique_tokens (column U), at several numbers of epochs."
    when_not = "Models larger than their unique data can feed: use data_constrained_full. No data repeat."

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("params", "tokens", "unique_tokens")

    @property
    def fitted_axes(self) -> tuple[str, ...]:
        return ("params", "tokens")

    @property
    def coefficients(self) -> tuple[str, ...]:
        return ("E", "A_pivot", "B_pivot")

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return (
            Shape("alpha", 0.01, 10.0, (0.05, 1.5)),
            Shape("beta", 0.01, 10.0, (0.05, 1.5)),
            Shape("R_star", 0.05, 1e3, (0.5, 100.0)),  # repeats after which a token's worth has fallen to 1/e
        )

    def terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        u, beta, scale = x["params"], shape["beta"], shape["R_star"]
        unique = x["unique_tokens"] + np.log(x.pivot["unique_tokens"] / x.pivot["tokens"])  # log(U / token pivot)
        repeats = np.maximum(np.expm1(x["tokens"] - unique), 0.0)
        fade = np.exp(-repeats / scale)
        worth = 1 + scale * (1 - fade)
        slope = (1 - fade - repeats / scale * fade) / worth
        bend = -(repeats**2) / scale**3 * fade / worth - slope**2
        log_data = np.minimum(x["tokens"], unique) + np.log(worth)
        return (
            Term(),
            Term(-shape["alpha"] * u, {"alpha": -u}),
            Term(
                -beta * log_data,
                {"beta": -log_data, "R_star": -beta * slope},
                {("beta", "R_star"): -slope, ("R_star", "R_star"): -beta * bend},
            ),
        )

    def derived(self, values: Values, pivot: Mapping[str, float]) -> dict[str, Number]:
        return {
            "A": values["A_pivot"] * pivot["params"] ** values["alpha"],
            "B": values["B_pivot"] * pivot["tokens"] ** values["beta"],
        }
