"""A law is a formula: inputs by their roles (params, tokens, flops) or columns; every other name is a parameter."""

from __future__ import annotations

from lawful import Law

DIMMING = Law(
    "E + A / (params + s)^alpha",
    bounds={"E": (0, 10), "s": (0, 1e9), "alpha": (0.01, 5)},
    name="dimming",
    source="an example",
)
