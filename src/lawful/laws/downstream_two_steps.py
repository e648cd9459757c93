"""Losses and a task's error of the same models in one fit: the error of the first step is carried into the second."""

from __future__ import annotations

from lawful.laws import Law

LAW = Law(
    "(1 - `is_error`)*(E + A/N^alpha + B/D^beta) + `is_error`*(eps - k*exp(-g*(E + A/N^alpha + B/D^beta)))",
    name="downstream_two_steps",
    source="Gadre et al. 2024, arXiv:2403.08540, both steps at once (chinchilla inside)",
    bounds={"E": (0.01, 10), "g": (0.01, 50)},
    start={"E": (0.3, 4), "g": (0.1, 5)},
    meaning={
        "E": "irreducible loss",
        "A": "loss by size at N = 1",
        "alpha": "exponent of the parameters",
        "B": "loss by data at D = 1",
        "beta": "exponent of the tokens",
        "eps": "error of a model that knows nothing",
        "k": "error that a loss of 0 would remove",
        "g": "how fast the error falls with the loss, 1 over the unit of the loss",
    },
    when="A row for each measured value: is_error = 0 for the loss of a model, 1 for its error on tasks.",
    when_not="Losses and errors scatter very differently about the law. Errors alone: use downstream.",
)
