"""What a study's folder holds without what a clock or the operating system decides: equal to the bit, or not equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lawful.observe import observations

# what a clock or the operating system decides
MEASURED = {
    "seconds",
    "seconds_spent",
    "seconds_per_step",
    "seconds_per_epoch",
    "tokens_per_second",
    "flops_per_second",
    "peak_memory_bytes",
    "gradient_seconds_ratio",
}


def lasting(row: dict[str, Any]) -> dict[str, Any]:
    """One observation without what a clock decides: loss, hash of the final weights and all else."""
    return {name: value for name, value in row.items() if name not in MEASURED}


def settled(folder: Path) -> list[dict[str, Any]]:
    """A folder's observations without what a clock decides."""
    return [lasting(dict(row)) for row in observations(folder)]
