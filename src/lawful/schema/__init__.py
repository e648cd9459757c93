"""The records of a study's folder as types: the plan, its runs, questions and corpora, a run's result, warnings.

A field has one name from the plan to the table: `run` is the id of a Run, `rung` the label of a rung, `held_out` says
that a run is forecast and never fitted. storage/codec.py reads and writes these records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from lawful.checks import (
    NaturalInt,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Share,
    shown,
)
from lawful.errors import DeclarationError
from lawful.schema.cells import Cell as Cell
from lawful.schema.cells import Coordinate as Coordinate
from lawful.schema.cells import Fact as Fact
from lawful.schema.cells import Json as Json
from lawful.schema.cells import Observation as Observation
from lawful.schema.question import LawData as LawData
from lawful.schema.question import Question as Question

# Raised when a file of the study's folder changes its meaning. 2: one name for a field, a hash in study.json and
# result.json
FORMAT = 2

SinkName = Literal["tensorboard", "wandb"]  # of --log, as train/sinks.py opens them
Severity = Literal["severe", "warning", "note"]
Status = Literal["finished", "diverged", "failed"]  # a failed run is tried again
SEVERITIES: tuple[Severity, ...] = ("severe", "warning", "note")


@dataclass(frozen=True)
class Warning:
    """Something that a reader must know.

    code     stable; `lawful explain CODE` says more
    about    what it is about: design, runs, fit or the name of a question; set by the report
    """

    code: str
    severity: Severity
    sentence: str
    about: str = ""

    @property
    def rank(self) -> int:
        """0 is the most severe."""
        return SEVERITIES.index(self.severity)


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A run of the plan: a rung of the ladder with its id, counts and cost.

    run                 id of the Run
    rung                label of the rung: its coordinates
    held_out            forecast by the law, never fitted
    bracket             factor on the ladder's learning rate; None if the run does not try another rate
    starts_from         id of the run whose final weights this one begins with; "" where it begins with none
    cluster             id of the trunk: runs of one trunk are not independent
    own_flops           of the steps that the run does itself; the others come from its trunk. None: not known
    decay_start         first step at which the learning rate depends on the run's length
    stack               runs with one non-empty stack are trained as one batched model
    threads             CPU threads that a worker gives the run
    gpus                that a command takes; below 1: the share of one. 0 for our own runs: not known before
    seconds_estimate    on one worker; None where nothing was timed
    kind                "command": a program of somebody else's trains it
    command             of a run of kind command: the program and its arguments; {folder} is the run's own folder
    unknown             columns whose values are known only after the run; their fields here mean nothing
    """

    run: str
    rung: str
    at: Mapping[str, Coordinate]
    held_out: bool
    bracket: PositiveFloat | None = None
    starts_from: str = ""
    cluster: str
    params_by_group: Mapping[str, NaturalInt] = field(default_factory=dict)
    arm: str
    seed: int
    params_total: NaturalInt
    params_embedding: NaturalInt
    params_non_embedding: NaturalInt
    tokens: PositiveInt
    flops: NaturalInt
    flops_6nd: NaturalInt
    steps: PositiveInt
    batch_tokens: PositiveInt
    context: PositiveInt
    learning_rate: NonNegativeFloat
    weight_decay: NonNegativeFloat | None = None
    schedule: str
    precision: str
    family: str
    decay_start: NaturalInt = 0
    decay_fraction: Share | None = None
    rate_floor: Share | None = None
    is_decayed: bool | None = None
    corpus: str
    own_flops: NaturalInt | None = None
    stack: str = ""
    threads: PositiveInt = 1
    gpus: NonNegativeFloat = 0.0
    seconds_estimate: NonNegativeFloat | None = None
    kind: Literal["training", "command"] = "training"
    command: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not is_file_name(self.run):
            raise DeclarationError(f"run: expected an id that can be the name of a file, got {shown(self.run)}")

    @classmethod
    def example(cls) -> PlannedRun:
        """A small run, for contracts and tests; dataclasses.replace gives others."""
        return cls(
            run="a",
            rung="width=8,seed=0",
            at={"width": 8, "seed": 0},
            held_out=False,
            cluster="a",
            arm="",
            seed=0,
            params_total=1_000,
            params_embedding=200,
            params_non_embedding=800,
            tokens=10_240,
            flops=6 * 1_000 * 10_240,
            flops_6nd=6 * 800 * 10_240,
            steps=40,
            batch_tokens=256,
            context=32,
            learning_rate=0.01,
            weight_decay=0.1,
            schedule="wsd",
            precision="fp32",
            family="Decoder",
            corpus="text",
        )

    @property
    def is_of_ladder(self) -> bool:
        """Whether it belongs to the law's ladder: it neither tries another rate nor starts from other weights."""
        return self.bracket is None and not self.starts_from

    @property
    def own_steps(self) -> int:
        """Steps that the run does itself; the others come from its trunk."""
        if self.own_flops is None or not self.flops:
            return self.steps
        return round(self.steps * self.own_flops / self.flops)

    @property
    def group(self) -> str:
        """What one worker does: a stack, or a trunk with its branches."""
        return self.stack or self.cluster

    def columns(self) -> dict[str, Cell]:
        """The columns of the table that the plan knows. How a plan would execute the run today is not among them."""
        return {name: getattr(self, name) for name in _PLANNED_COLUMNS if name not in self.unknown}


_PLANNED_COLUMNS = tuple(
    one.name
    for one in fields(PlannedRun)
    if one.name
    not in {
        *("at", "params_by_group", "decay_start", "own_flops"),
        *("stack", "threads", "gpus", "seconds_estimate", "kind", "command", "unknown"),
        "is_decayed",  # decided by what the run really did
    }
)


@dataclass(frozen=True, kw_only=True)
class CorpusRecord:
    """What the plan knows of a corpus.

    corpus          its registered name; the plan adds a number to it if several corpora have this name
    overlap         share of the validation text that stands in the first overlap_tokens of training
    notices         what must be said about rights
    remarks         number of remarks about its data (files left out, odd recordings); first_remarks: some of them
    value           the corpus as run.to_json writes it, so that it can be opened again; None: not recorded
    details         further facts of this kind of corpus
    """

    fingerprint: str
    vocabulary: NaturalInt
    tokenizer: str = ""
    corpus: str = ""
    licence: str = ""
    source: str = ""
    train_tokens: NaturalInt | None = None
    validation_tokens: NaturalInt | None = None
    validation_bytes: NaturalInt | None = None
    test_tokens: NaturalInt | None = None
    validation_fingerprint: str = ""
    overlap: Share | None = None
    overlap_tokens: NaturalInt | None = None
    notices: tuple[str, ...] = ()
    remarks: NaturalInt = 0
    first_remarks: tuple[str, ...] = ()
    is_synthetic: bool = False
    value: Mapping[str, Any] | None = None  # whatever fields the corpus has; from_json checks them against its class
    details: Mapping[str, Fact] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: Mapping[str, Any], value: Mapping[str, Any] | None = None) -> CorpusRecord:
        """From the facts that a corpus states; those that are no field here become details."""
        known = {one.name for one in fields(cls)} - {"value", "details"}
        own = {name: fact for name, fact in facts.items() if name in known and fact is not None}
        own |= {name: tuple(own[name]) for name in ("notices", "first_remarks") if name in own}
        return cls(**own, value=value, details={name: fact for name, fact in facts.items() if name not in known})


@dataclass(frozen=True, kw_only=True)
class PrecisionProbe:
    """What was measured to choose a precision.

    worker_seconds    precision -> seconds that the probed sizes would take on one worker
    of_flops          the share of the ladder's FLOPs that those sizes have
    """

    worker_seconds: Mapping[str, NonNegativeFloat]
    of_flops: float


@dataclass(frozen=True, kw_only=True)
class Reported:
    """Figures that others published for a rung of the ladder, by name."""

    at: Mapping[str, Coordinate]
    figures: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class StudyFile:
    """The study's own Python file, as it was when the study was planned."""

    path: str
    sha256: str

    def __post_init__(self) -> None:
        if len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef"):
            raise DeclarationError(f"sha256: expected 64 hexadecimal digits, got {shown(self.sha256)}")


@dataclass(frozen=True, kw_only=True)
class Versions:
    """What planned the study. `commit` is empty where lawful was installed from a package."""

    lawful: str = ""
    commit: str = ""
    python: str = ""
    platform: str = ""
    torch: str = ""
    numpy: str = ""
    scipy: str = ""


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What study.json holds: the declaration, and each run with its id, counts and cost on the machine that planned.

    held_out    coordinate -> value: the rungs that the declaration holds out
    arm         the coordinate that names the arms; None where the study compares none
    workers     processes that train at once, on all GPUs together
    corpora     by the name that PlannedRun.corpus has
    created     date and time; "" in a recorded study that does not say it
    price_per_gpu_hour    in whatever currency; None: not told
    """

    format: int = FORMAT
    name: str
    question: str
    scale: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    held_out: Mapping[str, Coordinate] = field(default_factory=dict)
    arm: str | None = None
    faults: tuple[str, ...] = ()
    reported: tuple[Reported, ...] = ()
    precision: str = ""
    precision_probe: PrecisionProbe | None = None
    device: str = "cpu"
    gpus: NaturalInt = 0
    workers: PositiveInt = 1
    axes: Mapping[str, tuple[Coordinate, ...]] = field(default_factory=dict)
    runs: tuple[PlannedRun, ...]
    questions: tuple[Question, ...]
    corpora: Mapping[str, CorpusRecord]
    warnings: tuple[Warning, ...] = ()
    versions: Versions = field(default_factory=Versions)
    command: str = ""
    study_file: StudyFile | None = None
    created: str = ""
    price_per_gpu_hour: PositiveFloat | None = None

    @classmethod
    def example(cls) -> StudyPlan:
        """A study without runs, for contracts and tests; dataclasses.replace gives others."""
        return cls(
            name="empty",
            question="Is there anything?",
            scale="quick",
            runs=(),
            questions=(Question(name="size", asks="How does the loss fall with size?", law="power:params"),),
            corpora={"text": CorpusRecord(fingerprint="0123456789abcdef", vocabulary=65, tokenizer="characters")},
        )

    @property
    def is_of_commands(self) -> bool:
        """Whether some of its runs are; has_training: whether some are trained by our own loop."""
        return any(planned.kind == "command" for planned in self.runs)

    @property
    def has_training(self) -> bool:
        return any(planned.kind == "training" for planned in self.runs)

    def __post_init__(self) -> None:
        if not self.questions:
            raise DeclarationError("questions: expected at least one, got none")
        for question in self.questions:
            if not is_file_name(question.name):
                raise DeclarationError(f"questions: expected names that a file can have, got {shown(question.name)}")


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What result.json holds: how a run ended, and the columns of the table that training found.

    reason      why it diverged or failed
    measured    column -> cell; a number that is not finite is None
    """

    status: Status
    reason: str = ""
    measured: Mapping[str, Cell] = field(default_factory=dict)

    def number(self, column: str) -> float | None:
        """The measured number; None where there is none."""
        value = self.measured.get(column)
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def columns(self) -> dict[str, Cell]:
        return {"status": self.status, "reason": self.reason, **self.measured}


def is_file_name(name: str) -> bool:
    """Whether the text can be the name of a file in the study's folder: it has no part that leads to another folder."""
    return bool(name) and not name.startswith(".") and not set("/\\\0") & set(name)
