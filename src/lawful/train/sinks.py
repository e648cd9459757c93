"""The record of a run's training: metrics.jsonl, and copies of it in TensorBoard and Weights & Biases."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from lawful.errors import DeclarationError, MissingDependency
from lawful.schema import PlannedRun
from lawful.schema.cells import Coordinate
from lawful.storage.atomic import sync_file, write_text
from lawful.storage.json_files import Json, plain, read_jsonl
from lawful.storage.layout import Store
from lawful.storage.lease import Lease
from lawful.train import checkpoint, parallel


class Sink(Protocol):
    def write(self, values: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...


class TensorBoard:
    """Event files under FOLDER/tensorboard/RUN; needs the extra lawful[tensorboard]."""

    def __init__(self, folder: Path, hparams: Mapping[str, Coordinate]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
            from torch.utils.tensorboard.summary import hparams as summaries_of
        except ImportError as error:
            raise MissingDependency.of(
                "tensorboard", extra="tensorboard", what="--log tensorboard", error=error
            ) from None
        self._writer = SummaryWriter(str(folder))
        # The start of a session alone: TensorBoard then collects the columns of its table, and the losses, from all
        # runs. With the experiment in it, which add_hparams writes too, it would show only what the first run has.
        _, start, _ = summaries_of(dict(hparams), {})  # type: ignore[no-untyped-call]
        self._writer.file_writer.add_summary(start)  # type: ignore[attr-defined]

    def write(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if name != "step":
                self._writer.add_scalar(name, value, int(values["step"]))

    def close(self) -> None:
        self._writer.close()


class WandB:
    """One W&B run per Run, resumed under the same id; WANDB_MODE=offline works. Needs lawful[wandb]."""

    def __init__(self, folder: Path, study: str, run_id: str, run_label: str, config: Mapping[str, Json]) -> None:
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
    names: Sequence[str], folder: Path, study: str, run_id: str, planned: PlannedRun | None, run: Mapping[str, Json]
) -> tuple[Sink, ...]:
    """`names` from --log; an unknown one is an error that lists the known ones. planned: None where the study was
    planned again without the run. run: as run.json has it"""
    expect_sinks(names)
    label, hparams = (run_id, {}) if planned is None else (planned.rung, hparams_of(planned))
    sinks: list[Sink] = []
    for name in names:
        if name == "tensorboard":
            sinks.append(TensorBoard(Store(folder).tensorboard(label), hparams))
        elif name == "wandb":
            sinks.append(WandB(folder, study, run_id, label, {**hparams, "run": plain(run)}))
    return tuple(sinks)


def hparams_of(planned: PlannedRun) -> dict[str, Coordinate]:
    """By what trackers sort and colour runs: the run's size, data and learning rate, and its coordinates."""
    sizes = {
        "params_non_embedding": planned.params_non_embedding,
        "params_total": planned.params_total,
        "tokens": planned.tokens,
        "flops": planned.flops,
        "learning_rate": planned.learning_rate,
    }
    return {**sizes, **planned.at}


class Record:
    """metrics.jsonl, a line at a time; a resume cuts it back to the step of the checkpoint."""

    def __init__(
        self,
        store: Store,
        run_id: str,
        saved: checkpoint.Checkpoint | None,
        *,
        sinks: Sequence[Sink],
        lease: Lease | None,
    ) -> None:
        path = store.metrics(run_id)
        source = store.metrics(str(saved.state["run"])) if saved else None
        step = saved.step if saved else 0
        lines = read_jsonl(source) if source else ()
        past = [line for line in lines if isinstance(line.get("step"), int) and line["step"] <= step]
        # a new file: a worker that slept, and still holds the old one open, adds its lines to that
        write_text(path, "".join(_line(values) for values in past), lease=lease)
        if parallel.rank():
            path = Path(os.devnull)  # the first process keeps the record
        self.file = path.open("a", encoding="utf-8")
        self.sinks = sinks

    def write(self, **values: float) -> None:
        self.file.write(_line(values))
        self.file.flush()
        for sink in self.sinks:
            sink.write(values)

    def sync(self) -> None:
        """Before a checkpoint, which must never have more steps than the record."""
        if parallel.rank():
            return
        self.file.flush()
        sync_file(self.file)

    def close(self) -> None:
        self.file.close()
        for sink in self.sinks:
            sink.close()


def _line(values: Mapping[str, Json]) -> str:
    return json.dumps(plain(values)) + "\n"
