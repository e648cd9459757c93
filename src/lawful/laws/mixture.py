"""Loss over the shares of three domains in the training data."""

from __future__ import annotations

from lawful.laws import Law

LAW = Law(
    "E + k*exp(t1*`share_1` + t2*`share_2`)",
    name="mixture",
    source="Ye et al. 2024, arXiv:2403.16952, equation 6",
    bounds={"t1": (-50, 50), "t2": (-50, 50)},
    start={"t1": (-5, 5), "t2": (-5, 5)},
    meaning={
        "E": "loss that no mixture removes",
        "k": "loss above it with share 3 alone",
        "t1": "effect of share 1 in place of share 3",
        "t2": "effect of share 2 in place of share 3",
    },
    when="One size and budget, many mixtures of three domains (columns share_1 and share_2; the third is the rest)."
    " More domains: write the formula with one t for each but one.",
    when_not="The shares of all domains at once: they sum to 1, and their effects are then not determined.",
)
