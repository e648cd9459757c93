"""Loss over compute and tokens per parameter: for models trained past, or short of, their best size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lawful.laws import Axes, Law, Number, Shape, Term, Values


@dataclass(frozen=True)
class Overtrained(Law):
    """L = E + (a M^eta + b M^-eta) C^-eta with C = 6 N D and M = D / N: over-training moves a line without turning it.

    The same as E + A N^(-2 eta) + B D^(-2 eta), which is how it is fitted.
    """

    name = "overtrained"
    formula = "E + (a M^eta + b M^-eta) C^-eta, C = 6 N D, M = D/N"
    source = "Gadre et al. 2024, arXiv:2403.08540"
    meaning = {
        "E": "irreducible loss, in the unit of the loss",
        "a": "loss by size at C = M = 1",
        "b": "loss by data at C = M = 1",
        "eta": "exponent of the compute",
    }
    when = "Ladders at several tokens per parameter M, whose lines on log-log paper are parallel."
    when_not = "The exponents of size and data differ: use chinchilla, which has one parameter more."

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("params", "tokens")

    @property
    def coefficients(self) -> tuple[str, ...]:
        return ("E", "A_pivot", "B_pivot")

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return (Shape("eta", 0.005, 5.0, (0.02, 0.8)),)

    def terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        u, v, eta = x["params"], x["tokens"], shape["eta"]
        return Term(), Term(-2 * eta * u, {"eta": -2 * u}), Term(-2 * eta * v, {"eta": -2 * v})

    def derived(self, values: Values, pivot: Mapping[str, float]) -> dict[str, Number]:
        return {
            "a": values["A_pivot"] * (6 * pivot["params"] ** 2) ** values["eta"],
            "b": values["B_pivot"] * (6 * pivot["tokens"] ** 2) ** values["eta"],
        }
