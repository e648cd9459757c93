"""Loss of models with weights of few bits: they count as fewer parameters."""

from __future__ import annotations

from lawful.laws import Law

LAW = Law(
    "E + A/(N*(1 - exp(-`bits`/g)))^alpha + B/D^beta",
    name="precision",
    source="Kumar et al. 2024, arXiv:2411.04330, equation 3",
    bounds={"g": (0.05, 50)},
    start={"g": (0.5, 6)},
    derive={"share_4_bits": "1 - exp(-4/g)"},
    meaning={
        "E": "irreducible loss",
        "A": "loss by size at N = 1",
        "alpha": "exponent of the effective parameters",
        "B": "loss by data at D = 1",
        "beta": "exponent of the tokens",
        "g": "bits at which a parameter counts 1 - 1/e",
        "share_4_bits": "what a parameter of 4 bits counts",
    },
    when="Runs trained at several precisions of their weights (column bits).",
    when_not="Models quantised after training: their loss rises with the data, which this law cannot show.",
)
