"""The one training loop, and what stands around it: plan, worker, checkpoints, optimiser, devices."""

import importlib

from lawful.errors import MissingDependency

for _package in ("torch", "safetensors"):
    try:
        importlib.import_module(_package)
    except ImportError as error:
        raise MissingDependency.of(_package, extra="train", what="training", error=error) from None
