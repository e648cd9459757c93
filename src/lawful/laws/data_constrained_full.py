"""Loss when data repeats, with both halves of the paper: repeated tokens and surplus parameters are worth less."""

from __future__ import annotations

from lawful.laws import Law

LAW = Law(
    "E + B*((min(N, h*U)*(1 + R_N*(1 - exp(-max(N/(h*U) - 1, 0)/R_N)))/h)^-alpha"
    " + (min(D, U)*(1 + R_D*(1 - exp(-max(D/U - 1, 0)/R_D))))^-alpha)",
    name="data_constrained_full",
    source="Muennighoff et al. 2023, arXiv:2305.16264, equation 6, with its alpha = beta",
    bounds={"R_N": (0.05, 1000), "R_D": (0.05, 1000), "h": (1e-4, 100)},
    start={"R_N": (1, 50), "R_D": (1, 50), "h": (0.005, 0.5)},
    derive={"A": "B*h^alpha"},
    meaning={
        "E": "irreducible loss",
        "A": "loss by size at N = 1",
        "B": "loss by data at D = 1",
        "alpha": "exponent of both",
        "h": "parameters that a unique token can feed: the best N/D",
        "R_D": "repeats after which a token is worth 1/e",
        "R_N": "the same for parameters beyond h U",
    },
    when="Data repeat (tokens above unique_tokens), and some models are larger than their unique data can feed.",
    when_not="No model is larger than h U: R_N is then not determined. Use data_constrained.",
)
