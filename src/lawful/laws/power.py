"""A pure power law in one axis: a straight line on log-log paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lawful.laws import Axes, Number, OneAxisLaw, Shape, Term, Values


@dataclass(frozen=True)
class Power(OneAxisLaw):
    """L = a x^-alpha, x being `axis`. Right only where the irreducible loss is far below the data."""

    name = "power"
    formula = "a x^-alpha"
    source = "Kaplan et al. 2020, arXiv:2001.08361"
    meaning = {"a": "loss at x = 1", "alpha": "exponent"}
    when = "The loss is far above its floor over all of the data."
    when_not = "The curve bends on log-log paper: a floor that is left out makes the exponent too small."

    @property
    def coefficients(self) -> tuple[str, ...]:
        return ("a_pivot",)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return (Shape("alpha", 1e-4, 10.0, (0.01, 2.0)),)

    def terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        return (Term(-shape["alpha"] * x[self.axis], {"alpha": -x[self.axis]}),)

    def derived(self, values: Values, pivot: Mapping[str, float]) -> dict[str, Number]:
        return {"a": values["a_pivot"] * pivot[self.axis] ** values["alpha"]}
