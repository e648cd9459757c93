"""Loss over parameters and tokens, each with its own power: the parametric form of the Chinchilla paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lawful.laws import Axes, Law, Number, Shape, Term, Values


@dataclass(frozen=True)
class Chinchilla(Law):
    """L = E + A N^-alpha + B D^-beta."""

    name = "chinchilla"
    formula = "E + A N^-alpha + B D^-beta"
    source = "Hoffmann et al. 2022, arXiv:2203.15556"
    meaning = {
        "E": "irreducible loss, in the unit of the loss",
        "A": "loss by size at N = 1",
        "alpha": "exponent of the parameters",
        "B": "loss by data at D = 1",
        "beta": "exponent of the tokens",
    }
    when = "Parameters and tokens vary apart: isoFLOP curves, grids, ladders at several ratios."
    when_not = "Tokens per parameter are the same everywhere: size and data cannot be told apart. Data that repeat."

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("params", "tokens")

    @property
    def coefficients(self) -> tuple[str, ...]:
        return ("E", "A_pivot", "B_pivot")

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return (Shape("alpha", 0.01, 10.0, (0.05, 1.5)), Shape("beta", 0.01, 10.0, (0.05, 1.5)))

    def terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        return (
            Term(),
            Term(-shape["alpha"] * x["params"], {"alpha": -x["params"]}),
            Term(-shape["beta"] * x["tokens"], {"beta": -x["tokens"]}),
        )

    @property
    def shares(self) -> tuple[str, ...]:
        return ("N_exponent", "D_exponent")

    def derived(self, values: Values, pivot: Mapping[str, float]) -> dict[str, Number]:
        """A and B at N = D = 1; the exponents of the best N and D against C = 6ND; gamma, of the best loss above E."""
        alpha, beta = values["alpha"], values["beta"]
        return {
            "A": values["A_pivot"] * pivot["params"] ** alpha,
            "B": values["B_pivot"] * pivot["tokens"] ** beta,
            "N_exponent": beta / (alpha + beta),
            "D_exponent": alpha / (alpha + beta),
            "gamma": alpha * beta / (alpha + beta),
        }
