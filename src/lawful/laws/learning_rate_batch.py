"""Loss around the best learning rate and batch size, whose places move with size and data."""

from __future__ import annotations

from lawful.laws import Law

LAW = Law(
    "E + A/N^alpha + B/D^beta + k*log(`lr`/(c*N^-a*D^b))^2 + m*log(`batch`/(d*D^e))^2",
    name="learning_rate_batch",
    source="Li et al. 2025 (Step Law), arXiv:2503.04715; quadratic in logs about the optimum",
    bounds={"a": (-3, 3), "b": (-3, 3), "e": (-3, 3)},
    meaning={
        "E": "irreducible loss",
        "A": "loss by size at N = 1",
        "alpha": "exponent of N",
        "B": "loss by data at D = 1",
        "beta": "exponent of D",
        "k": "cost of a learning rate e times off",
        "m": "cost of a batch e times off",
        "c": "best learning rate c N^-a D^b at N = D = 1",
        "a": "exponent of N in it",
        "b": "exponent of D in it",
        "d": "best batch d D^e at D = 1, in the unit of batch",
        "e": "exponent of D in it",
    },
    when="Sweeps of both settings (columns lr, batch) around their optimum at several sizes and lengths.",
    when_not="Runs far from the optimum: the valley is no parabola there. Keep those within 5 % of the best.",
)
