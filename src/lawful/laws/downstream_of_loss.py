"""A task's error over a validation loss: the second of two steps."""

from __future__ import annotations

from lawful.laws import Law

LAW = Law(
    "eps - k*exp(-g*`upstream_loss`)",
    name="downstream_of_loss",
    source="Gadre et al. 2024, arXiv:2403.08540, equation 5",
    bounds={"g": (0.001, 50), "k": (0, 1e9)},
    meaning={
        "eps": "error of a model that knows nothing",
        "k": "error that a loss of 0 would remove",
        "g": "how fast the error falls as the loss falls, 1 over the unit of the loss",
    },
    when="Error over tasks beside the loss of the same models (column upstream_loss); forecasts through the loss.",
    when_not="Models of different data or tokenizers in one table: equal losses are then not equal errors.",
)
