"""What a run has while it trains: how it is executed, its model and optimizer, its counters, and its clock."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import nn

from lawful.checks import AnyFloat
from lawful.errors import DeclarationError
from lawful.plugins import Batch
from lawful.rules.backprop import Backprop
from lawful.run import Run
from lawful.storage.codec import converted
from lawful.storage.json_files import Json, read_json
from lawful.storage.layout import Store
from lawful.storage.lease import Lease
from lawful.tables import current_name
from lawful.train import checkpoint, device, parallel
from lawful.train.optimizer import build_adamw
from lawful.train.sinks import Sink

COMPILE_MIN_STEPS = 2_000  # compiling costs 12 to 16 s a shape; below this it does not pay
GRAPH_MAX_PARAMS = 10_000_000  # above, kernels are long enough to hide their launches


class Interrupted(Exception):
    """The run was asked to stop; it has been checkpointed and can go on later."""


class Clock:
    """Seconds of training: those of evaluations, checkpoints and the like are left out."""

    def __init__(self) -> None:
        self._left_out = 0.0

    def seconds(self) -> float:
        return time.monotonic() - self._left_out

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        since = time.monotonic()
        try:
            yield
        finally:
            self._left_out += time.monotonic() - since


@dataclass(frozen=True, kw_only=True)
class ExecutionConfig:
    """How a run is executed. Not part of the run's id: it may change rounding, never what is computed."""

    device: torch.device
    micro_batch: int | None = None  # windows in one forward pass; None: the whole batch
    loaders: int = 0  # processes that make batches ahead
    is_sharded: bool = False  # FSDP over the processes that parallel has joined
    batched_runs: int = 1  # runs that begin together, trained as one model; see batched.py
    checkpoint_seconds: float = 30.0
    branch_steps: frozenset[int] = frozenset()  # where other runs of the same trunk may begin; see branch_steps()
    clock: Clock = field(default_factory=Clock)  # one for all runs of a batch
    lease: Lease | None = None  # under which all is committed; None: nobody else can be at this run
    sinks: tuple[Sink, ...] = ()
    should_stop: Callable[[], bool] = lambda: False


@dataclass
class Progress:
    """What a checkpoint carries beside the tensors."""

    step: int = 0  # updates made
    seconds: AnyFloat = 0.0  # of all of them, those taken over from the trunk included
    own_steps: int = 0  # updates made by this run itself, not taken over from its trunk
    own_seconds: float = 0.0
    train_loss_sum: AnyFloat = 0.0  # over the closing stretch, see closing_start
    train_targets: int = 0
    # before the first update, on what is watched; None for a fine-tuning whose loss of guessing is not known, since it
    # may begin better than it ends
    loss_start: AnyFloat | None = None
    loss_lowest_seen: AnyFloat | None = None
    evaluations_lost: int = 0  # the last so many in a row were lost, see divergence.py
    micro_batch: int = 0
    training_sums: dict[str, AnyFloat] = field(default_factory=dict)  # what the rule left of each step, added up
    audited: dict[str, AnyFloat] = field(default_factory=dict)  # the largest values of the rule's audits
    numerics: str = ""
    numerics_breaks: int = 0
    run: str = ""  # the run that wrote it
    scaler: dict[str, int | float] = field(default_factory=dict)


class Timer:
    """Counts a run's seconds of training into its progress."""

    def __init__(self, clock: Clock, progress: Progress) -> None:
        self.clock, self.progress = clock, progress
        self.began, self.before, self.own_before = clock.seconds(), progress.seconds, progress.own_seconds
        self.lap_seconds, self.lap_step = progress.own_seconds, progress.step
        self.mark_checkpoint()

    def take(self) -> None:
        """Add the time up to now."""
        spent = self.clock.seconds() - self.began
        self.progress.seconds, self.progress.own_seconds = self.before + spent, self.own_before + spent

    def steps_per_second(self) -> float:
        """Since this was last asked."""
        steps, seconds = self.progress.step - self.lap_step, self.progress.own_seconds - self.lap_seconds
        self.lap_seconds, self.lap_step = self.progress.own_seconds, self.progress.step
        return steps / max(seconds, 1e-9)

    def mark_checkpoint(self) -> None:
        self.saved_at = time.monotonic()

    def since_checkpoint(self) -> float:
        return time.monotonic() - self.saved_at


@dataclass(kw_only=True, eq=False)
class TrainState:
    """Everything one optimizer step needs."""

    run: Run
    config: ExecutionConfig
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    progress: Progress
    forward: nn.Module  # the model, or its compiled form
    batch: Batch = field(init=False, repr=False)  # the global batch of the step, in arrays

    def note_numerics(self) -> None:
        """Keep what decides the last bits of a result; count a change of it."""
        config, progress, where = self.config, self.progress, self.config.device
        is_fused = where.type in ("cpu", "cuda")
        has_compiled = is_compiled(self.run, config)
        numerics = device.numerics(where, self.run.precision, progress.micro_batch, is_fused, has_compiled)
        if parallel.processes() > 1:
            numerics += f" processes={parallel.processes()}{':sharded' if config.is_sharded else ''}"
        if config.batched_runs > 1:
            numerics += f" stacked={config.batched_runs}"
        if progress.numerics and progress.numerics not in (numerics, _without_instructions(numerics)):
            progress.numerics_breaks += 1
        progress.numerics = numerics

    def compile(self) -> None:
        """Compile the model's forward pass for the present micro-batch, where that pays."""
        if is_compiled(self.run, self.config):
            self.forward = compiled(self.model, self.run, self.progress.micro_batch)


def fresh_state(run: Run, config: ExecutionConfig) -> TrainState:
    """A run before its first update."""
    model = run.family.build(torch.Generator().manual_seed(run.init_seed)).to(config.device)
    device.forget_peak_memory(config.device)  # of the runs that this process did before
    if config.is_sharded:
        _shard(run, model)
    return TrainState(
        run=run,
        config=config,
        model=model,
        optimizer=build_adamw(model, run, is_fused=config.device.type in ("cpu", "cuda")),
        scaler=torch.amp.GradScaler(config.device.type, enabled=run.precision == "fp16"),
        progress=Progress(run=run.id, micro_batch=config.micro_batch or run.batch_size),
        forward=model,
    )


def restore(state: TrainState, store: Store) -> checkpoint.Checkpoint | None:
    """Set the state to the run's newest checkpoint, or its trunk's, and return that; None at the start of a run."""
    run, micro_batch = state.run, state.progress.micro_batch
    if saved := _where_to_start(run, store):
        checkpoint.restore(saved, state.model, state.optimizer)
        progress = _progress(saved.state)
        if progress.run != run.id:  # from the trunk: what it shares with this run is the past, not the accounts
            progress = replace(progress, run=run.id, own_steps=0, own_seconds=0.0, train_loss_sum=0.0, train_targets=0)
        if progress.scaler:
            state.scaler.load_state_dict(progress.scaler)
        progress.micro_batch = progress.micro_batch or micro_batch
        state.progress = progress
    elif run.starts_from is not None:
        _start_from(run.starts_from, state.model, store)
    state.note_numerics()
    return saved


def saved_progress(state: TrainState) -> dict[str, Json]:
    scaler = state.scaler.state_dict() if state.scaler.is_enabled() else {}
    return asdict(replace(state.progress, scaler=scaler))


def compiled(model: nn.Module, run: Run, micro_batch: int) -> nn.Module:
    """A small model's kernels as one CUDA graph each way, too; not where a step is cut into micro-batches, since the
    first one's gradients lie in the graph's memory when the second runs."""
    is_whole = micro_batch >= run.batch_size and parallel.processes() == 1
    is_graphed = is_whole and run.family.param_counts().total <= GRAPH_MAX_PARAMS
    torch.compiler.reset()  # of one process torch compiles eight shapes, and leaves the ninth as it is, with a warning
    whole = torch.compile(model, mode="reduce-overhead" if is_graphed else "default")
    assert isinstance(whole, nn.Module)  # an OptimizedModule, which its stub does not say
    return whole


def is_compiled(run: Run, config: ExecutionConfig) -> bool:
    is_worth_it = config.device.type == "cuda" and run.steps >= COMPILE_MIN_STEPS and config.batched_runs == 1
    return is_worth_it and device.can_compile(config.device)


def _without_instructions(numerics: str) -> str:
    """As checkpoints of earlier versions have it: the architecture of the CPU without its vector instructions."""
    return re.sub(r"(device=cpu:[^ :]+):\S+", r"\1", numerics)


def _shard(run: Run, model: nn.Module) -> None:
    problems = []
    if not isinstance(run.rule, Backprop):
        problems.append(f"its hooks need backpropagation, got {type(run.rule).__name__}")
    if run.batch_size % parallel.processes():
        problems.append(f"its batch must divide evenly, got {run.batch_size} over {parallel.processes()} processes")
    if problems:
        raise DeclarationError(f"--shard: {'; '.join(problems)}; leave it out.")
    parallel.shard(model)


def _where_to_start(run: Run, store: Store) -> checkpoint.Checkpoint | None:
    """The run's own newest checkpoint, or that of its trunk before its decay, whichever is further."""
    own = checkpoint.newest(store.checkpoints(run.id))
    trunk = None if run.keep_best else checkpoint.newest(store.trunk(run.trunk_id), at_most=run.decay_start)
    found = [saved for saved in (own, trunk) if saved is not None]
    return max(found, key=lambda saved: saved.step, default=None)


def _start_from(parent: Run, model: nn.Module, store: Store) -> None:
    """Load the final weights of another run of the same folder, which must be finished."""
    result = read_json(store.result(parent.id)) if store.result(parent.id).exists() else {}
    if result.get("status") != "finished":
        raise DeclarationError(
            f"it starts from the final weights of {parent.id}; expected that run to be finished, got "
            f"{result.get('status', 'no result yet')}."
        )
    checkpoint.load_model(model, checkpoint.final_weights(store, parent.id))  # same family: the Study checked


def _progress(state: Mapping[str, Json]) -> Progress:
    """From a checkpoint. One without own_seconds is of an earlier version, whose seconds were the writer's own: those
    of the trajectory are not known unless the writer made all of its steps."""
    known = {current_name(name): value for name, value in state.items()}
    if "own_seconds" not in known:
        known["own_seconds"] = known["seconds"]
        known["seconds"] = known["seconds"] if known["own_steps"] == known["step"] else math.nan
    return converted(known, Progress, "a checkpoint")
