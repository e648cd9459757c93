"""The options of `lawful run` and `lawful resume`: how runs are executed, and where."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from lawful import registry
from lawful.checks import NonNegativeFloat, PositiveFloat, PositiveInt, argument
from lawful.cli import options
from lawful.cli.study_options import AnchorsOnly, Device, Workers
from lawful.errors import DeclarationError, MissingDependency
from lawful.schema import SinkName

if TYPE_CHECKING:
    from lawful.executors import Executor, OwnOptions, SharedOptions


Log = Annotated[
    list[str] | None,
    typer.Option(
        help="Copy metrics to tensorboard or wandb; may be repeated.", callback=options.of(tuple[SinkName, ...])
    ),
]
CheckpointSeconds = Annotated[
    float, typer.Option(help="Seconds between checkpoints of a run.", callback=options.of(PositiveFloat))
]
Where = Annotated[str, typer.Option("--executor", help="Where runs go: local, ray, slurm, or an installed package's.")]
Cpus = Annotated[
    int,
    typer.Option(
        "--cpus-per-run",
        help="CPU threads of a run; a cluster reserves as many cores.",
        callback=options.of(PositiveInt),
    ),
]
Gpus = Annotated[
    float,
    typer.Option(
        "--gpus-per-run",
        help="GPUs that a cluster reserves for a run; of Ray, 0.5 too.",
        callback=options.of(NonNegativeFloat),
    ),
]
Address = Annotated[
    str, typer.Option(help="Ray's address: host:port; auto: RAY_ADDRESS or this machine's; local: our own.")
]
Partition = Annotated[str | None, typer.Option(help="Slurm's partition (default: the cluster's own).")]
Time = Annotated[
    str,
    typer.Option(
        help="Slurm's time limit for a task: 90 (minutes), 1:30:00 or 2-12 (days-hours); a longer run is requeued."
    ),
]
Parallelism = Annotated[
    int,
    typer.Option(
        "--array-parallelism", help="The most tasks that Slurm runs at once.", callback=options.of(PositiveInt)
    ),
]
MaxHours = Annotated[
    float | None,
    typer.Option(
        "--max-hours",
        help="Start no run that would not end within so many hours from now.",
        callback=options.of(PositiveFloat),
    ),
]
MaxGpuHours = Annotated[
    float | None,
    typer.Option(
        "--max-gpu-hours",
        help="Start no run that could take the study above so many GPU hours, those that are spent included.",
        callback=options.of(PositiveFloat),
    ),
]
Processes = Annotated[
    int,
    typer.Option(
        "--processes-per-run", help="By torchrun, each with its rows of every batch.", callback=options.of(PositiveInt)
    ),
]
Shard = Annotated[bool, typer.Option("--shard", help="FSDP over those processes, for a model that one cannot hold.")]
Echo = Annotated[
    bool,
    typer.Option("--echo", help="For commands: run them one after the other and show their output; no fit, no report."),
]
Only = Annotated[str, typer.Option(help="Train only the rungs whose label or id matches this glob, now.")]
# options of one kind of executor alone
OF_ONE = {"local": ("max_hours",), "ray": ("address",), "slurm": ("partition", "time", "array_parallelism")}


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How runs are executed, and where."""

    executor: Where = "local"
    workers: Workers = 0
    device: Device = "auto"
    only: Only = "*"
    anchors_only: AnchorsOnly = False
    log: Log = None
    checkpoint_seconds: CheckpointSeconds = 30.0
    cpus_per_run: Cpus = 1
    gpus_per_run: Gpus = 0.0
    processes_per_run: Processes = 1
    shard: Shard = False
    address: Address = "auto"
    partition: Partition = None
    time: Time = "60"
    array_parallelism: Parallelism = 256
    max_hours: MaxHours = None
    max_gpu_hours: MaxGpuHours = None
    echo: Echo = False

    def make(self) -> Executor:
        """The executor that these options describe."""
        usual = TrainingOptions()
        name = self.executor
        for kind, options_of_one in OF_ONE.items():
            for option in options_of_one:
                if kind != name and getattr(self, option) != getattr(usual, option):
                    raise DeclarationError(
                        f"--{option.replace('_', '-')}: only --executor {kind} has it, got --executor {name}."
                    )
        if (entry := registry.find("executors", name)) is None:
            *names, last = registry.found("executors")
            raise DeclarationError(f"--executor: expected {', '.join(names)} or {last}, got {name!r}.")
        cls: type[Executor] = entry.load()
        if self.gpus_per_run and "gpus_per_run" not in cls.__dataclass_fields__:
            raise DeclarationError(f"--gpus-per-run: only --executor ray and slurm have it, got --executor {name}.")
        if self.shard and self.processes_per_run == 1:
            raise DeclarationError("--shard: expected --processes-per-run of 2 or more, got 1.")
        for package in self.log or ():  # each has the name of its package
            if importlib.util.find_spec(package) is None:
                raise MissingDependency.of(package, extra=package, what=f"--log {package}")
        shared: SharedOptions = {
            # reserved GPUs are meant to be used
            "device": "cuda" if self.gpus_per_run and self.device == "auto" else self.device,
            "threads": self.cpus_per_run,
            "log": argument("--log", self.log or (), tuple[SinkName, ...]),
            "checkpoint_seconds": self.checkpoint_seconds,
            "processes_per_run": self.processes_per_run,
            "is_sharded": self.shard,
            "is_echoed": self.echo,
        }
        own: OwnOptions = {
            "workers": self.workers,
            "gpus_per_run": self.gpus_per_run,
            "max_hours": self.max_hours,
            "address": self.address,
            "partition": self.partition,
            "time": self.time,
            "array_parallelism": self.array_parallelism,
        }
        return cls.of_options(shared, own)
