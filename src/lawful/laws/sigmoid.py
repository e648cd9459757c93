"""A metric that rises with compute from a floor to a ceiling: reinforcement learning, pass rates."""

from __future__ import annotations

from lawful.laws import Law

LAW = Law(
    "R0 + gain/(1 + (C_mid/C)^B)",
    name="sigmoid",
    source="Khatri et al. 2025 (ScaleRL), arXiv:2510.13786, equation 1",
    derive={"ceiling": "R0 + gain"},
    meaning={
        "R0": "the metric before training",
        "gain": "what all compute can add",
        "C_mid": "FLOPs at which half of it is gained",
        "B": "steepness",
        "ceiling": "the metric at infinite compute",
    },
    when="A rising metric over compute that starts to saturate: accuracy, reward, pass rate.",
    when_not="All runs lie below the middle: ceiling and C_mid are then one ridge. Losses: use power_floor:flops.",
)
