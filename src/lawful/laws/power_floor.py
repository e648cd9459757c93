"""A power law in one axis above an irreducible loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lawful.laws import Axes, Number, OneAxisLaw, Shape, Term, Values


@dataclass(frozen=True)
class PowerFloor(OneAxisLaw):
    """L = E + a x^-alpha, x being `axis`; E is what no amount of x removes at the other settings held."""

    name = "power_floor"
    formula = "E + a x^-alpha"
    source = "Henighan et al. 2020, arXiv:2010.14701"
    meaning = {"E": "irreducible loss, in the unit of the loss", "a": "reducible loss at x = 1", "alpha": "exponent"}
    when = "One axis (params, tokens or flops) varies, and all else is held or grows with it."
    when_not = "Size and data vary apart: use chinchilla or coupled. Fewer than 4 levels: the floor is not determined."

    @property
    def coefficients(self) -> tuple[str, ...]:
        return ("E", "a_pivot")

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return (Shape("alpha", 0.01, 10.0, (0.02, 2.0)),)

    def terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        return Term(), Term(-shape["alpha"] * x[self.axis], {"alpha": -x[self.axis]})

    def derived(self, values: Values, pivot: Mapping[str, float]) -> dict[str, Number]:
        return {"a": values["a_pivot"] * pivot[self.axis] ** values["alpha"]}
