"""Loss over parameters and parallel streams: one model run several times on transformed inputs."""

from __future__ import annotations

from lawful.laws import Law

LAW = Law(
    "E + A/(N*(k*log(`streams`) + 1))^alpha",
    name="parallel",
    source="Chen et al. 2025 (ParScale), arXiv:2505.10475, equation 5",
    bounds={"k": (0, 20)},
    start={"k": (0.05, 2)},
    meaning={
        "E": "irreducible loss",
        "A": "reducible loss at N = 1 with one stream",
        "alpha": "exponent",
        "k": "parameters that each e-fold of streams stands for, over those there are",
    },
    when="Several sizes, each with several numbers of parallel streams (column streams, 1 and above).",
    when_not="Samples that are drawn and voted on: those change the answer, not the loss.",
)
