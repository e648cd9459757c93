"""Loss of mixtures of experts whose experts are split into finer ones."""

from __future__ import annotations

from lawful.laws import Law

LAW = Law(
    "E + (g/`granularity`^gamma + a)/N^alpha + B/D^beta",
    name="granularity",
    source="Krajewski et al. 2024, arXiv:2402.07871, equation 7",
    bounds={"gamma": (0.001, 20), "alpha": (0.001, 20), "beta": (0.001, 20)},
    meaning={
        "E": "irreducible loss",
        "a": "loss by size at N = 1 that finer experts cannot remove",
        "g": "loss by size at N = 1 that they can",
        "gamma": "exponent of the granularity",
        "alpha": "exponent of the parameters",
        "B": "loss by data at D = 1",
        "beta": "exponent of the tokens",
    },
    when="Mixtures of experts of one expansion rate, at several granularities (column granularity, 1 and above).",
    when_not="The granularity does not vary: use chinchilla.",
)
