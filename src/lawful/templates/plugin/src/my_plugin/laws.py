"""A law is a formula: inputs are N, D, C, U or columns in backticks; every other name is a parameter."""

from __future__ import annotations

from lawful import Law

DIMMING = Law(
    "E + A / (N + s)^alpha",
    bounds={"E": (0, 10), "s": (0, 1e9), "alpha": (0.01, 5)},
    name="dimming",
    source="an example",
)
