"""A task's error over size and data through the loss: both steps in one fit."""

from __future__ import annotations

from lawful.laws import Law

LAW = Law(
    "eps - k*exp(-(a/N^alpha + b/D^beta))",
    name="downstream",
    source="Gadre et al. 2024, arXiv:2403.08540, equations 4 and 5 (chinchilla inside)",
    meaning={
        "eps": "error of a model that knows nothing",
        "k": "error that unlimited size and data remove (k exp(-g E) of the two steps)",
        "a": "g A: loss by size at N = 1, times g",
        "alpha": "exponent of N in the loss",
        "b": "g B: loss by data at D = 1, times g",
        "beta": "exponent of D in the loss",
    },
    when="Mean error over tasks, for runs that vary in size and data, where no loss is at hand.",
    when_not="Losses of the same models are at hand: use downstream_two_steps. Tasks at chance for all runs.",
)
