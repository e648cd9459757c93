"""For use inside a training script that lawful runs as a command: its metrics, and the coordinates of its rung.

>>> from lawful import log
>>> log.coordinates()
{}
>>> log.metrics(step=100, loss=3.2)

Both do nothing when the script runs alone. `reads` of a Command is what this writes, unless it says otherwise.
"""

from __future__ import annotations

import json
import os

_FOLDER, _COORDINATES, _FILE = "LAWFUL_LOG_FOLDER", "LAWFUL_COORDINATES", "lawful.jsonl"


def metrics(**values: float | int) -> None:
    """Record numbers of this run: step, loss, and params, tokens, flops, loss_train, test_loss, accuracy where known.

    The last loss that is recorded is the run's loss. Numbers of torch, JAX and NumPy are taken as floats.
    """
    if folder := os.environ.get(_FOLDER):
        line = {name: value if isinstance(value, int) else float(value) for name, value in values.items()}
        with open(os.path.join(folder, _FILE), "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def coordinates() -> dict[str, str | int | float | bool]:
    """The coordinates of the rung, such as {"width": 64, "seed": 0}; empty when the script runs alone."""
    found: dict[str, str | int | float | bool] = json.loads(os.environ.get(_COORDINATES, "{}"))
    return found
