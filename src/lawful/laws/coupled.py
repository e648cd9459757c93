"""Loss over parameters and tokens in one power of a sum: size and data couple, above an irreducible loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lawful.laws import Axes, Law, Number, Shape, Term, Values


@dataclass(frozen=True)
class Coupled(Law):
    """L = E + [A N^(-alpha/k) + B D^(-beta/k)]^k.

    alpha is the exponent where size alone binds, beta where data alone does. k = 1 is Chinchilla's law, in which both
    add; for small k the loss is the larger of the two. Kaplan's law has no floor and beta = k. Fitted as
    E + c [e^(log_ratio/k) (N/N0)^(-alpha/k) + (D/D0)^(-beta/k)]^k.
    """

    name = "coupled"
    formula = "E + [A N^(-alpha/k) + B D^(-beta/k)]^k"
    source = "arXiv:2608.07222"
    meaning = {
        "E": "irreducible loss, in the unit of the loss",
        "A": "weight of size",
        "alpha": "exponent where size alone binds",
        "B": "weight of data",
        "beta": "exponent where data alone binds",
        "k": "1: size and data add (chinchilla); near 0: the scarcer one decides",
    }
    when = "Parameters and tokens vary apart over wide ranges, with rows where size binds and others where data does."
    when_not = "Fewer than about 15 rows: k and the floor are then one ridge. Use chinchilla."

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("params", "tokens")

    @property
    def coefficients(self) -> tuple[str, ...]:
        return ("E", "c_pivot")

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return (
            Shape("alpha", 1e-3, 3.0, (0.05, 1.0)),
            Shape("beta", 1e-3, 3.0, (0.05, 1.0)),
            Shape("log_ratio", -12.0, 12.0, (-2.0, 2.0)),
            Shape("k", 0.02, 8.0, (0.1, 2.0)),
        )

    def terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        u, v, k = x["params"], x["tokens"], shape["k"]
        by_size, by_data = (shape["log_ratio"] - shape["alpha"] * u) / k, -shape["beta"] * v / k
        total = np.logaddexp(by_size, by_data)
        w = np.exp(by_size - total)  # the share of the first summand
        q, apart = w * (1 - w) / k, by_size - by_data
        return (
            Term(),
            Term(
                k * total,
                {
                    "alpha": -w * u,
                    "beta": -(1 - w) * v,
                    "log_ratio": w,
                    "k": total - w * by_size - (1 - w) * by_data,
                },
                {
                    ("alpha", "alpha"): q * u**2,
                    ("alpha", "beta"): -q * u * v,
                    ("alpha", "log_ratio"): -q * u,
                    ("alpha", "k"): q * apart * u,
                    ("beta", "beta"): q * v**2,
                    ("beta", "log_ratio"): q * v,
                    ("beta", "k"): -q * apart * v,
                    ("log_ratio", "log_ratio"): q,
                    ("log_ratio", "k"): -q * apart,
                    ("k", "k"): q * apart**2,
                },
            ),
        )

    def derived(self, values: Values, pivot: Mapping[str, float]) -> dict[str, Number]:
        """A and B at N = D = 1."""
        alpha, beta, k = values["alpha"], values["beta"], values["k"]
        log_c = np.log(np.maximum(values["c_pivot"], 1e-300))
        return {
            "A": np.exp((log_c + values["log_ratio"] + alpha * np.log(pivot["params"])) / k),
            "B": np.exp((log_c + beta * np.log(pivot["tokens"])) / k),
        }
