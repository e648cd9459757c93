"""Thin copies of metrics.jsonl to where people already look: TensorBoard and Weights & Biases, both optional."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from lawful.errors import DeclarationError, MissingDependency
from lawful.storage.layout import Store


class Sink(Protocol):
    def write(self, values: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...


class TensorBoard:
    """Event files under FOLDER/tensorboard/RUN; needs the extra lawful[tensorboard]."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingDependency.of(
                "tensorboard", extra="tensorboard", what="--log tensorboard", error=error
            ) from None
        self._writer = SummaryWriter(str(folder))

    def write(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if name != "step":
                self._writer.add_scalar(name, value, int(values["step"]))

    def close(self) -> None:
        self._writer.close()


class WandB:
    """One W&B run per Run, resumed under the same id; WANDB_MODE=offline works. Needs lawful[wandb]."""

    def __init__(self, folder: Path, study: str, run_id: str, run_label: str, config: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ImportError as error:
            raise MissingDependency.of("wandb", extra="wandb", what="--log wandb", error=error) from None
        self._run = wandb.init(
            project=f"lawful-{study}", id=run_id, name=run_label, dir=str(folder), config=dict(config), resume="allow"
        )

    def write(self, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=int(values["step"]))

    def close(self) -> None:
        self._run.finish()


def expect_sinks(names: Sequence[str]) -> None:
    """Before any run begins: each of --log is known, and its package (of the same name) is installed."""
    for name in names:
        if name not in ("tensorboard", "wandb"):
            raise DeclarationError(f"--log: expected tensorboard or wandb, got {name!r}.")
        if importlib.util.find_spec(name) is None:
            raise MissingDependency.of(name, extra=name, what=f"--log {name}")


def open_sinks(
    names: Sequence[str], folder: Path, study: str, run_id: str, label: str, config: Mapping[str, Any]
) -> tuple[Sink, ...]:
    """`names` from --log; an unknown one is an error that lists the known ones."""
    expect_sinks(names)
    sinks: list[Sink] = []
    for name in names:
        if name == "tensorboard":
            sinks.append(TensorBoard(Store(folder).tensorboard(label)))
        elif name == "wandb":
            sinks.append(WandB(folder, study, run_id, label, config))
    return tuple(sinks)
