"""The one training loop: from a Run to its final weights and its observation, exact across any interruption."""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import itertools
import json
import math
import operator
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load, save
from torch import nn

from lawful.errors import DeclarationError
from lawful.rules.backprop import Backprop
from lawful.run import Run
from lawful.storage.atomic import sync_file, write_bytes, write_json, write_text
from lawful.storage.json_files import plain, read_json, read_jsonl
from lawful.storage.layout import Store
from lawful.storage.lease import Lease
from lawful.table import current_name
from lawful.train import checkpoint, device, divergence, parallel
from lawful.train.feed import feed
from lawful.train.optimizer import build_adamw, clip, is_decayed, learning_rate, make_room, set_learning_rate
from lawful.train.sinks import Sink

LOG_LINES = 200  # about so many training lines in metrics.jsonl, whatever the run's length
MAX_LOGITS = 2**25  # in one pass of an evaluation: 128 MiB in fp32
AUDITED = 4  # windows on which a rule's gradients are audited after the last step
COMPILE_MIN_STEPS = 2_000  # compiling costs 12 to 16 s a shape; below this it does not pay
GRAPH_MAX_PARAMS = 10_000_000  # above, kernels are long enough to hide their launches


class Interrupted(Exception):
    """The run was asked to stop; it has been checkpointed and can go on later."""


class Clock:
    """Seconds of training: those of all else, as evaluations and checkpoints, are left out."""

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
class Place:
    """Where a run happens, none of which is part of the Run: it may change the last bits, never the meaning."""

    device: torch.device
    micro_batch: int | None = None  # windows in one forward pass; None: the whole batch
    loaders: int = 0  # processes that make batches ahead
    is_sharded: bool = False  # FSDP over the processes that parallel has joined
    stacked: int = 1  # runs that begin together, trained as one model; see stack.py
    checkpoint_seconds: float = 30.0
    branch_steps: frozenset[int] = frozenset()  # where other runs of the same trunk may begin; see branch_steps()
    clock: Clock = field(default_factory=Clock)  # one for all runs of a stack
    lease: Lease | None = None  # under which all is committed; None: nobody else can be at this run
    sinks: tuple[Sink, ...] = ()
    should_stop: Callable[[], bool] = lambda: False


@dataclass
class Progress:
    """What a checkpoint carries beside the tensors."""

    step: int = 0  # updates made
    seconds: float = 0.0  # of all of them, those taken over from the trunk included
    own_steps: int = 0  # updates made by this run itself, not taken over from its trunk
    own_seconds: float = 0.0
    train_loss_sum: float = 0.0  # over the closing stretch, see closing_start
    train_targets: int = 0
    # before the first update, on what is watched; None of a fine-tuning whose loss of guessing is not known, as it may
    # begin better than it ends
    loss_start: float | None = None
    loss_lowest_seen: float | None = None
    evaluations_lost: int = 0  # the last so many in a row showed a model that knows nothing, see divergence.py
    micro_batch: int = 0
    numerics: str = ""
    numerics_breaks: int = 0
    run: str = ""  # who wrote it
    scaler: dict[str, Any] = field(default_factory=dict)


class Update(NamedTuple):
    loss: float  # mean over the global batch's targets
    grad_norm: float  # before clipping
    targets: int


@dataclass(frozen=True, kw_only=True)
class Asked:
    """An update that a run waits for. batch: the global one, in arrays; model: what makes its forward pass."""

    run: Run
    batch: Any
    model: Any
    optimizer: torch.optim.Optimizer
    scaler: Any
    place: Place
    now: Progress


Training = Generator[Asked, Update, Any]  # asks for one update after another; returns what it came to


def train(run: Run, data: Any, store: Store, place: Place) -> dict[str, Any]:
    """Train `run` to its end, going on from the newest checkpoint or trunk, and return its observation's columns.

    data        what run.corpus.open() gives; see corpora.Corpus
    Raises Interrupted after a checkpoint when place.should_stop() turns true.
    """
    found: dict[str, Any] = alone(training(run, data, store, place))
    return found


def alone(run: Training) -> Any:
    """Make each update that the run asks for, to its end; what goes wrong over one is the run's own to handle."""
    try:
        asked = next(run)
        while True:
            try:
                update = make_update(asked)
            except BaseException as error:
                asked = run.throw(error)
            else:
                asked = run.send(update)
    except StopIteration as end:
        return end.value


def training(run: Run, data: Any, store: Store, place: Place) -> Training:
    """All of train() but the updates themselves."""
    clock = place.clock
    with clock.stopped():
        model, optimizer, scaler, progress, saved = _begun(run, store, place)
        is_compiled = _is_compiled(run, place)
        forward = _compiled(model, run, progress.micro_batch) if is_compiled else model
    flops_per_token = run.rule.training_flops_per_token(run.family, run.context)
    log_every = max(1, run.steps // LOG_LINES)
    batch_tokens = run.batch_size * run.context
    watched = "selection" if "selection" in data.splits else "validation"
    guessing = run.task.worst_loss(run)
    counted = functools.partial(divergence.counted_loss if guessing is not None else lambda data: None, data)

    def save_checkpoint(folder: Path, kept: int = checkpoint.KEPT) -> None:
        with clock.stopped():
            record.sync()
            checkpoint.save(folder, model, optimizer, _state(progress, scaler), kept=kept, lease=place.lease)

    if progress.step == 0 and (run.starts_from is None or guessing is not None):
        with clock.stopped():
            start = evaluate(run, data, model, place.device, watched, run.eval_tokens)["loss"]
        progress.loss_start = start if math.isfinite(start) else None
    model.train()
    with _Record(store, run, saved, place) as record, feed(run, data, place.loaders) as batch_of:
        last_save = time.monotonic()
        began, before, own_before = clock.seconds(), progress.seconds, progress.own_seconds
        marked, marked_step = own_before, progress.step

        def take_time() -> None:
            spent = clock.seconds() - began
            progress.seconds, progress.own_seconds = before + spent, own_before + spent

        while progress.step < run.steps:
            if parallel.any_of(place.should_stop()):
                take_time()
                save_checkpoint(store.checkpoints(run.id))
                raise Interrupted(f"stopped at step {progress.step} of {run.steps}")
            rate = learning_rate(run, progress.step)
            set_learning_rate(optimizer, rate)
            try:
                batch = batch_of(progress.step)
                loss, norm, targets = yield Asked(
                    run=run,
                    batch=batch,
                    model=forward,
                    optimizer=optimizer,
                    scaler=scaler,
                    place=place,
                    now=progress,
                )
            except RuntimeError as error:
                if not is_out_of_memory(error) or progress.micro_batch == 1:
                    raise
                progress.micro_batch = (progress.micro_batch + 1) // 2  # the same global batch in smaller pieces
                _note_numerics(progress, run, place)
                _free_memory(optimizer, place.device)
                forward = _compiled(model, run, progress.micro_batch) if is_compiled else model
                continue
            take_time()
            if not (math.isfinite(loss) and (math.isfinite(norm) or run.precision == "fp16")):
                reason = f"loss {loss:g}, gradient norm {norm:g} at step {progress.step}: not finite"
                return _diverged(run, data, progress, place, reason)
            progress.step += 1
            progress.own_steps += 1
            if progress.step > closing_start(run):
                progress.train_loss_sum += loss * targets
                progress.train_targets += targets

            if progress.step % log_every == 0 or progress.step == run.steps:
                device.synchronize(place.device)
                take_time()
                speed = (progress.step - marked_step) * batch_tokens / max(progress.own_seconds - marked, 1e-9)
                marked, marked_step = progress.own_seconds, progress.step
                record.write(
                    step=progress.step,
                    tokens=progress.step * batch_tokens,
                    loss=loss,
                    learning_rate=rate,
                    grad_norm=norm,
                    tokens_per_second=speed,
                    flops_per_second=speed * flops_per_token,
                    peak_memory_bytes=device.peak_memory_bytes(place.device),
                    seconds=progress.seconds,
                )
            if progress.step % run.eval_every == 0 or progress.step == run.steps:
                with clock.stopped():
                    seen = evaluate(run, data, model, place.device, watched, run.eval_tokens)
                if progress.step < run.steps or watched != "validation":  # the last line is of all validation targets
                    record.write(**_line_of(progress.step, batch_tokens, watched, seen))
                if not math.isfinite(seen["loss"]):
                    reason = f"{watched} loss {seen['loss']:.4g} at step {progress.step}: not finite"
                    return _diverged(run, data, progress, place, reason)
                levels = divergence.Levels(
                    start=progress.loss_start, guessing=guessing, lowest=progress.loss_lowest_seen, counted=counted
                )
                lost = divergence.why_lost(seen["loss"], levels)
                if lost is not None:  # of the training loss, too: high on validation alone is learning by heart
                    with clock.stopped():
                        now = _loss_on(run, model, place.device, batch, progress.micro_batch)
                    lost = divergence.why_lost(min(seen["loss"], now), levels)
                is_counted = lost is not None and progress.step > run.schedule.warmup_steps
                progress.evaluations_lost = progress.evaluations_lost + 1 if is_counted else 0
                if lost and (progress.evaluations_lost >= divergence.IN_A_ROW or progress.step == run.steps):
                    reason = f"{watched} loss {seen['loss']:.4g} at step {progress.step} {lost}"
                    return _diverged(run, data, progress, place, reason)
                if trouble := run.family.trouble(seen):
                    return _diverged(run, data, progress, place, f"{watched}, step {progress.step}: {trouble}")
                if seen["loss"] < (progress.loss_lowest_seen or math.inf):
                    progress.loss_lowest_seen = seen["loss"]
                    if run.keep_best:
                        with clock.stopped():
                            weights = save(checkpoint.trained_tensors(model))
                            write_bytes(store.best_weights(run.id), weights, lease=place.lease)
            if progress.step in place.branch_steps and progress.step <= run.decay_start and not run.keep_best:
                save_checkpoint(store.trunk(run.trunk_id), kept=0)
            is_due = time.monotonic() - last_save > place.checkpoint_seconds
            if progress.step < run.steps and parallel.any_of(is_due):
                save_checkpoint(store.checkpoints(run.id))
                last_save = time.monotonic()
        with clock.stopped():
            return _ended(run, data, model, store, place, progress, record)


def _begun(run: Run, store: Store, place: Place) -> tuple[nn.Module, torch.optim.Optimizer, Any, Progress, Any]:
    """The model, its optimiser and scaler, and how far they are: at the start, or as the newest checkpoint or trunk has
    them, which is given, too."""
    model = run.family.build(torch.Generator().manual_seed(run.init_seed)).to(place.device)
    device.forget_peak_memory(place.device)  # of the runs that this process did before
    if place.is_sharded:
        _shard(run, model)
    optimizer = build_adamw(model, run, is_fused=place.device.type in ("cpu", "cuda"))
    scaler = torch.amp.GradScaler(place.device.type, enabled=run.precision == "fp16")

    progress = Progress(run=run.id)
    if saved := _where_to_start(run, store):
        checkpoint.restore(saved, model, optimizer)
        progress = _progress(saved.state)
        if progress.run != run.id:  # from the trunk: what it shares with this run is the past, not the accounts
            progress = replace(progress, run=run.id, own_steps=0, own_seconds=0.0, train_loss_sum=0.0, train_targets=0)
        if progress.scaler:
            scaler.load_state_dict(progress.scaler)
    elif run.starts_from is not None:
        _start_from(run.starts_from, model, store)
    progress.micro_batch = progress.micro_batch or place.micro_batch or run.batch_size
    _note_numerics(progress, run, place)
    return model, optimizer, scaler, progress, saved


def _ended(
    run: Run, data: Any, model: nn.Module, store: Store, place: Place, progress: Progress, record: _Record
) -> dict[str, Any]:
    """The run's observation, after its last step."""
    last = evaluate(run, data, model, place.device)
    record.write(**_line_of(run.steps, run.batch_size * run.context, "validation", last))
    if not math.isfinite(last["loss"]):
        reason = f"validation loss {last['loss']:.4g} at step {progress.step}: not finite"
        return _diverged(run, data, progress, place, reason)
    if trouble := run.family.trouble(last):
        return _diverged(run, data, progress, place, f"validation, step {progress.step}: {trouble}")

    weights = save(checkpoint.trained_tensors(model))
    write_bytes(store.weights(run.id), weights, lease=place.lease)
    judged = _judged(run, data, model, place.device, "validation", last)
    if "test" in data.splits:
        judged |= _judged(run, data, model, place.device, "test")
    _keep_details(run, data, model, store, place)
    no_evidence = run.task.no_evidence(last)
    (few,) = itertools.islice(data.evaluation_batches("validation", context=run.context, batch_size=AUDITED), 1)
    audited = run.rule.audit(model, run.task, _to(few, place.device))  # of the final weights, not of the best
    if run.keep_best and (best := store.best_weights(run.id).read_bytes()) == weights:
        judged |= {f"best_weights_{name}": judged[name] for name in judged if not name.endswith("_tokens")}
    elif run.keep_best:
        checkpoint.load_model(model, load(best))
        judged |= _judged(run, data, model, place.device, "validation", prefix="best_weights_")
        if "test" in data.splits:
            judged |= _judged(run, data, model, place.device, "test", prefix="best_weights_")
    return {
        "status": "diverged" if no_evidence else "finished",
        "reason": no_evidence or "",
        **_columns(run, data, progress, place),
        **judged,
        **audited,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }


def evaluate(
    run: Run, data: Any, model: nn.Module, where: torch.device, split: str = "validation", targets: int | None = None
) -> dict[str, float]:
    """The task's metrics and the number of targets, on the same fixed ones for every run: all, or the first `targets`.
    Summed in float64. What does not fit the memory is read again in smaller passes."""
    windows = _windows_per_pass(run)
    model.eval()
    while True:
        try:
            sums = _sums(run, model, where, _evaluation_batches(run, data, where, split, targets, windows))
            break
        except RuntimeError as error:
            if windows == 1 or not is_out_of_memory(error):
                raise
        windows = (windows + 1) // 2
        gc.collect()
        device.return_memory(where)
    model.train()
    return {**run.task.summary(sums), "targets": int(sums["targets"])}


@torch.no_grad()
def _loss_on(run: Run, model: nn.Module, where: torch.device, batch: Any, micro_batch: int) -> float:
    """On a training batch, by the weights as they are now; what a step gives is of those before its update."""
    model.eval()
    sums = _sums(run, model, where, (_to(piece, where) for piece in _pieces(batch, micro_batch)))
    model.train()
    found = float(run.task.summary(sums)["loss"])
    return found if math.isfinite(found) else math.inf


def _sums(run: Run, model: nn.Module, where: torch.device, batches: Iterable[Any]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for batch in batches:
        with device.autocast(where, run.precision):
            measured = run.task.measure(model, batch)
        for name, value in {**measured, **getattr(model, "evaluation_sums", {})}.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


def _windows_per_pass(run: Run) -> int:
    """Of an evaluation: a choice of speed, not of meaning."""
    logits: int = run.context * run.family.outputs  # of one window
    return max(1, min(8192 // run.context, MAX_LOGITS // logits))


def _evaluation_batches(
    run: Run, data: Any, where: torch.device, split: str, targets: int | None = None, windows: int | None = None
) -> Iterator[Any]:
    size = windows or _windows_per_pass(run)
    for batch in data.evaluation_batches(split, context=run.context, batch_size=size, targets=targets):
        yield _to(batch, where)


def _keep_details(run: Run, data: Any, model: nn.Module, store: Store, place: Place) -> None:
    """What the task keeps of single sequences of the splits that are judged, if anything, beside the run's result."""
    model.eval()
    kept, where = {}, place.device
    for split in (split for split in ("validation", "test") if split in data.splits):
        named = functools.partial(getattr(data, "named", lambda split, number: {}), split)
        with device.autocast(where, run.precision):
            if (found := run.task.details(model, _evaluation_batches(run, data, where, split), named)) is not None:
                kept[split] = found
    if kept:
        write_json(store.details(run.id), kept, lease=place.lease)


def _judged(
    run: Run,
    data: Any,
    model: nn.Module,
    where: torch.device,
    split: str,
    found: Mapping[str, float] | None = None,
    prefix: str = "",
) -> dict[str, Any]:
    """A final evaluation as columns: plain names for validation, test_ before those of the test split."""
    values = dict(found or evaluate(run, data, model, where, split))
    targets = values.pop("targets")
    values["bits_per_byte"] = data.bits_per_byte(values["loss"], split)
    of_split = prefix + ("" if split == "validation" else f"{split}_")
    return {f"{split}_tokens": targets, **{f"{of_split}{name}": value for name, value in values.items()}}


def _line_of(step: int, batch_tokens: int, split: str, found: Mapping[str, float]) -> dict[str, float]:
    others = {name: value for name, value in found.items() if name not in ("loss", "targets")}
    return {"step": step, "tokens": step * batch_tokens, f"{split}_loss": found["loss"], **others}


def closing_start(run: Run) -> int:
    """The step after which the training loss is averaged for the table: the last tenth, within the run's own decay."""
    start = math.ceil(0.9 * run.steps)
    return max(start, run.decay_start) if run.schedule.shape == "wsd" else start


def make_update(asked: Asked) -> Update:
    """One update. Nothing is updated when the loss or the gradient norm is not finite."""
    run, batch, model, optimizer = asked.run, asked.batch, asked.model, asked.optimizer
    scaler, place, now = asked.scaler, asked.place, asked.now
    optimizer.zero_grad(set_to_none=True)
    # dropout as a pure function of (seed, step, process)
    device.seed(place.device, _mix(run.init_seed, now.step) + parallel.rank())
    targets = run.task.count(batch)
    share = 1.0 / max(targets, 1)  # each target weighs the same, however the batch is cut
    averaged = parallel.processes() if place.is_sharded else 1  # FSDP gives the mean over processes, not their sum
    scale = scaler.scale(torch.tensor(share * averaged, device=place.device))
    own = _each(batch, operator.itemgetter(parallel.own_rows(len(batch.inputs))))
    total = torch.zeros((), device=place.device)
    failure: str | None = None
    try:
        for piece in _pieces(own, now.micro_batch):
            with device.autocast(place.device, run.precision):
                loss = run.rule.gradients(model, run.task, _to(piece, place.device), scale=scale)
            total = total + loss
        make_room(optimizer)
    except RuntimeError as error:
        if place.is_sharded or not is_out_of_memory(error):
            raise
        failure = str(error)  # not the error itself, whose traceback holds all that the pass has computed
    if parallel.any_of(failure is not None):  # all of them halve the micro-batch
        raise torch.OutOfMemoryError(failure or "out of memory in another process")
    total = parallel.add_up(model, total)
    scaler.unscale_(optimizer)
    norm = clip(optimizer, run.optimizer.clip)
    mean = float(total) * share
    if math.isfinite(mean) and (math.isfinite(norm) or scaler.is_enabled()):
        scaler.step(optimizer)
        scaler.update()
    return Update(mean, norm, targets)


def _shard(run: Run, model: nn.Module) -> None:
    problems = []
    if not isinstance(run.rule, Backprop):
        problems.append(f"its hooks need backpropagation, got {type(run.rule).__name__}")
    if run.batch_size % parallel.processes():
        problems.append(f"its batch must divide evenly, got {run.batch_size} over {parallel.processes()} processes")
    if problems:
        raise DeclarationError(f"--shard: {'; '.join(problems)}; leave it out.")
    parallel.shard(model)


def probe_step(run: Run, model: nn.Module, optimizer: torch.optim.Optimizer, where: torch.device, rows: int) -> None:
    """One update on `rows` windows of random inputs, to be timed: what a step of training costs here."""
    batch = run.task.probe(run, rows)
    optimizer.zero_grad(set_to_none=True)
    with device.autocast(where, run.precision):
        run.rule.gradients(model, run.task, _each(batch, lambda part: part.to(where)), scale=1e-6)
    clip(optimizer, run.optimizer.clip)
    optimizer.step()


def _pieces(batch: Any, micro_batch: int) -> Iterable[Any]:
    for start in range(0, len(batch.inputs), micro_batch):
        yield _each(batch, operator.itemgetter(slice(start, start + micro_batch)))


def _to(batch: Any, where: torch.device) -> Any:
    """The batch's arrays as tensors on `where`. Apple's MPS, told not to wait, copies what may be freed by then: other
    numbers arrive, in silence (pytorch/pytorch#139550)."""
    is_async = where.type == "cuda"
    return _each(batch, lambda part: torch.from_numpy(np.ascontiguousarray(part)).to(where, non_blocking=is_async))


def _each(batch: Any, change: Callable[[Any], Any]) -> Any:
    """The batch with `change` made to each of its arrays."""
    return replace(batch, **{part.name: change(getattr(batch, part.name)) for part in fields(batch)})


def branch_steps(own_decay_start: int, others: Iterable[int]) -> frozenset[int]:
    """Where a run leaves a checkpoint for the others of its trunk: where each of them starts its decay, and where the
    run starts its own, for those that are longer (a held-out run is trained after the anchors). train/plan.py counts on
    it.

    others    the decay starts of the others
    """
    return frozenset(min(own_decay_start, other) for other in others)


def _where_to_start(run: Run, store: Store) -> checkpoint.Checkpoint | None:
    """The run's own newest checkpoint, or that of its trunk before its decay, whichever is further."""
    own = checkpoint.newest(store.checkpoints(run.id))
    trunk = None if run.keep_best else checkpoint.newest(store.trunk(run.trunk_id), at_most=run.decay_start)
    found = [saved for saved in (own, trunk) if saved is not None]
    return max(found, key=lambda saved: saved.step, default=None)


def _start_from(parent: Run, model: nn.Module, store: Store) -> None:
    """The final weights of another run of the same folder, which must be over and well."""
    result = read_json(store.result(parent.id)) if store.result(parent.id).exists() else {}
    if result.get("status") != "finished":
        raise DeclarationError(
            f"it starts from the final weights of {parent.id}; expected that run to be finished, got "
            f"{result.get('status', 'no result yet')}."
        )
    checkpoint.load_model(model, checkpoint.final_weights(store, parent.id))  # same family: the Study checked


def _progress(state: Mapping[str, Any]) -> Progress:
    """From a checkpoint. One without own_seconds is of an earlier version, whose seconds were the writer's own: those
    of the trajectory are not known unless the writer made all of its steps."""
    known = {current_name(name): value for name, value in state.items()}
    if "own_seconds" not in known:
        known["own_seconds"] = known["seconds"]
        known["seconds"] = known["seconds"] if known["own_steps"] == known["step"] else math.nan
    return Progress(**{**known, "seconds": float(known["seconds"])})  # JSON has NaN as a text


def _state(progress: Progress, scaler: Any) -> dict[str, Any]:
    return asdict(replace(progress, scaler=scaler.state_dict() if scaler.is_enabled() else {}))


def _compiled(model: nn.Module, run: Run, micro_batch: int) -> Any:
    """A small model's kernels as one CUDA graph each way, too; not where a step is cut into micro-batches, since the
    first one's gradients lie in the graph's memory when the second runs."""
    is_whole = micro_batch >= run.batch_size and parallel.processes() == 1
    is_graphed = is_whole and run.family.param_counts().total <= GRAPH_MAX_PARAMS
    torch.compiler.reset()  # of one process torch compiles eight shapes, and leaves the ninth as it is, with a warning
    return torch.compile(model, mode="reduce-overhead" if is_graphed else "default")


def _is_compiled(run: Run, place: Place) -> bool:
    is_worth_it = place.device.type == "cuda" and run.steps >= COMPILE_MIN_STEPS and place.stacked == 1
    return is_worth_it and device.can_compile(place.device)


def _note_numerics(progress: Progress, run: Run, place: Place) -> None:
    is_fused = place.device.type in ("cpu", "cuda")
    now = device.numerics(place.device, run.precision, progress.micro_batch, is_fused, _is_compiled(run, place))
    if parallel.processes() > 1:
        now += f" processes={parallel.processes()}{':sharded' if place.is_sharded else ''}"
    if place.stacked > 1:
        now += f" stacked={place.stacked}"
    if progress.numerics and progress.numerics != now:
        progress.numerics_breaks += 1
    progress.numerics = now


def _columns(run: Run, data: Any, progress: Progress, place: Place) -> dict[str, Any]:
    """The part of an observation that training knows, whether the run ended well or not."""
    own_tokens = progress.own_steps * run.batch_size * run.context
    speed = own_tokens / max(progress.own_seconds, 1e-9) if own_tokens else math.nan
    per_token = run.rule.training_flops_per_token(run.family, run.context)
    return {
        "loss_unit": run.task.loss_unit,
        "loss_lowest_seen": progress.loss_lowest_seen,
        "loss_train": progress.train_loss_sum / progress.train_targets if progress.train_targets else math.nan,
        "unique_tokens": data.train_tokens,
        "epochs": run.tokens / data.train_tokens,
        "is_decayed": progress.step == run.steps and is_decayed(run),
        "masks_padding": True,
        "seconds": progress.seconds,
        "seconds_spent": progress.own_seconds,
        "flops_spent": own_tokens * per_token,
        "seconds_per_step": progress.own_seconds / progress.own_steps if own_tokens else math.nan,
        "seconds_per_epoch": data.train_tokens / speed,
        "tokens_per_second": speed,
        "flops_per_second": speed * per_token,
        "peak_memory_bytes": device.peak_memory_bytes(place.device),
        "numerics": progress.numerics,
        "numerics_breaks": progress.numerics_breaks,
    }


def _diverged(run: Run, data: Any, progress: Progress, place: Place, reason: str) -> dict[str, Any]:
    columns = _columns(run, data, progress, place)
    return {"status": "diverged", "reason": reason, **columns, "diverged_at_step": progress.step}


def is_out_of_memory(error: RuntimeError) -> bool:
    """torch's own type on CUDA; its allocator's words on a CPU; "out of memory" on MPS and from CUDA itself;
    CUBLAS_STATUS_ALLOC_FAILED and the like from CUDA's libraries."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error)
        for words in ("can't allocate memory", "not enough memory", "out of memory", "_ALLOC_FAILED")
    )


def _free_memory(optimizer: torch.optim.Optimizer, where: torch.device) -> None:
    optimizer.zero_grad(set_to_none=True)
    gc.collect()
    device.return_memory(where)


def _mix(seed: int, step: int) -> int:
    """A 63-bit seed from two numbers, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(b"%d %d" % (seed, step), digest_size=8).digest()) >> 1


class _Record:
    """metrics.jsonl, one line at a time; on a resume, cut back to the step that the checkpoint knows."""

    def __init__(self, store: Store, run: Run, saved: checkpoint.Checkpoint | None, place: Place) -> None:
        self.path = store.metrics(run.id)
        self.sinks = place.sinks
        source = store.metrics(str(saved.state["run"])) if saved else None
        step = saved.step if saved else 0
        past = [line for line in read_jsonl(source) if line["step"] <= step] if source else []
        # a new file: one who slept, and still holds the old one open, adds its lines to that
        write_text(self.path, "".join(_line(values) for values in past), lease=place.lease)
        if parallel.rank():
            self.path = Path(os.devnull)  # the first process keeps the record

    def __enter__(self) -> _Record:
        self.file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        for sink in self.sinks:
            sink.close()

    def write(self, **values: float) -> None:
        self.file.write(_line(values))
        self.file.flush()
        for sink in self.sinks:
            sink.write(values)

    def sync(self) -> None:
        """Before a checkpoint: it must never know more steps than the record."""
        if parallel.rank():
            return
        self.file.flush()
        sync_file(self.file)


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(plain(values)) + "\n"
