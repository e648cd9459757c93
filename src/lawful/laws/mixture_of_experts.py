"""Loss over parameters and the number of experts: routed models."""

from __future__ import annotations

from lawful.laws import Law

LAW = Law(
    "K*N^-a*`experts`^(c*log(N)/2.302585093 - b)",
    name="mixture_of_experts",
    source="Clark et al. 2022, arXiv:2202.01169, equation 4",
    bounds={"b": (-2, 5), "c": (-2, 2)},
    start={"b": (-0.2, 1), "c": (-0.05, 0.1)},
    derive={"d": "log(K)/2.302585093", "N_no_gain": "10^(b/c)"},
    meaning={
        "K": "loss of a dense model at N = 1 (10^d in the paper)",
        "a": "exponent of the parameters that one token uses (a < 0 in the paper)",
        "b": "exponent of the number of experts at N = 1 (b < 0 in the paper)",
        "c": "by how much that exponent falls for each decade of N",
        "N_no_gain": "the size at which more experts bring nothing",
    },
    when="Models of several sizes, each with several numbers of experts (column experts), 1 for dense ones.",
    when_not="Losses near their floor, or more than 256 experts: gains saturate, which this form does not show.",
)
