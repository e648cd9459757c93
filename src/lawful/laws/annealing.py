"""The loss along a run under any learning rate schedule: a power of the rate's sum, less what annealing brings."""

from __future__ import annotations

from lawful.laws import Law

LAW = Law(
    "E + A/`rate_sum`^alpha - gain*`annealed`",
    name="annealing",
    source="Tissue et al. 2024, arXiv:2408.11029, equation 1",
    bounds={"E": (-20, 20)},
    meaning={
        "E": "loss at infinite rate_sum without annealing",
        "A": "reducible loss at rate_sum = 1",
        "alpha": "exponent",
        "gain": "loss that one unit of annealed removes",
    },
    when="Losses along runs of one model under several schedules. rate_sum (S1) is the sum of the learning rate over"
    " the steps so far. annealed (S2) is the sum over them of the momentum of its falls: m = 0.999 m + (fall since"
    " the step before).",
    when_not="Losses during warmup; models of several sizes in one table.",
)
