"""Loss when data repeats and no column says how much of it is new: the amount of unique data is fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lawful.laws import Axes, Law, Number, Shape, Term, Values

R_STAR = 15.39  # arXiv:2305.16264, section 5: repeats after which a token's worth has fallen to 1/e


@dataclass(frozen=True)
class DataLimited(Law):
    """L = E + A N^-alpha + B D'^-beta, with D' = U + U R* (1 - exp(-(D/U - 1) / R*)) once D passes U.

    As data_constrained, but the unique tokens U are a parameter, and R* is the published value.
    """

    name = "data_limited"
    formula = "E + A N^-alpha + B D'^-beta, D' = U + U R* (1 - exp(-(D/U - 1)/R*)), U fitted"
    source = "Muennighoff et al. 2023, arXiv:2305.16264"
    meaning = {
        "E": "irreducible loss, in the unit of the loss",
        "A": "loss by size at N = 1",
        "alpha": "exponent of the parameters",
        "B": "loss by data at D = 1",
        "beta": "exponent of the tokens",
        "U": "unique tokens, which are fitted",
    }
    when = "Data may repeat, and how many are unique is not known."
    when_not = "The table has a column of unique tokens: use data_constrained."

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("params", "tokens")

    @property
    def coefficients(self) -> tuple[str, ...]:
        return ("E", "A_pivot", "B_pivot")

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return (
            Shape("alpha", 0.01, 10.0, (0.05, 1.5)),
            Shape("beta", 0.01, 10.0, (0.05, 1.5)),
            Shape("log_unique", -12.0, 12.0, (-4.0, 3.0)),  # of U / pivot of the tokens
        )

    def terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        u, v, beta = x["params"], x["tokens"], shape["beta"]
        passes = np.exp(np.maximum(v - shape["log_unique"], 0.0))  # D / U, at least 1
        fade = np.exp(-(passes - 1) / R_STAR)
        worth = 1 + R_STAR * (1 - fade)  # D' / U beyond U
        is_repeated = v > shape["log_unique"]
        share = np.where(is_repeated, fade * passes / worth, 1.0)  # d log D' / d log D
        bend = np.where(is_repeated, share * (1 - passes / R_STAR) - share**2, 0.0)
        log_data = np.minimum(v, shape["log_unique"]) + np.log(worth)
        return (
            Term(),
            Term(-shape["alpha"] * u, {"alpha": -u}),
            Term(
                -beta * log_data,
                {"beta": -log_data, "log_unique": -beta * (1 - share)},
                {("beta", "log_unique"): -(1 - share), ("log_unique", "log_unique"): -beta * bend},
            ),
        )

    def derived(self, values: Values, pivot: Mapping[str, float]) -> dict[str, Number]:
        """A and B at N = D = 1, and the unique tokens."""
        return {
            "A": values["A_pivot"] * pivot["params"] ** values["alpha"],
            "B": values["B_pivot"] * pivot["tokens"] ** values["beta"],
            "unique_tokens": pivot["tokens"] * np.exp(values["log_unique"]),
        }
