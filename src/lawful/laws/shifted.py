"""A power law whose axis starts before 0: flat at first, above an irreducible loss."""

from __future__ import annotations

from lawful.laws import Law

LAW = Law(
    "E + A/(x + s)^alpha",
    name="shifted",
    source="Zhai et al. 2022, arXiv:2106.04560",
    axis="params",
    meaning={
        "E": "irreducible loss, in the unit of the loss",
        "A": "reducible loss at x + s = 1",
        "s": "shift, in the unit of x: below it the loss hardly falls",
        "alpha": "exponent far above s",
    },
    when="The curve is flat at the small end: the smallest runs are below what the task needs.",
    when_not="The curve falls from the first run on: s then tends to 0, and power_floor has one parameter less.",
)
