"""The training loop: from a Run to its final weights and its observation, exact across any interruption."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load, save

from lawful.plugins import Batch, PreparedData
from lawful.run import Run
from lawful.schema import Cell, RunRecord
from lawful.storage.atomic import write_bytes
from lawful.storage.layout import Store
from lawful.train import checkpoint, device, divergence, parallel
from lawful.train.evaluate import batch_loss, evaluate, final_columns, record_line, write_details
from lawful.train.feed import feed
from lawful.train.optimizer import is_decayed, learning_rate, set_learning_rate
from lawful.train.sinks import Record
from lawful.train.state import ExecutionConfig, Interrupted, Timer, TrainState, fresh_state, restore, saved_progress
from lawful.train.step import Update, make_update, to_device, use_smaller_pieces

LOG_LINES = 200  # about so many training lines in metrics.jsonl, whatever the run's length
AUDITED = 4  # windows on which a rule's gradients are audited at each evaluation


def train(run: Run, data: PreparedData, store: Store, config: ExecutionConfig) -> RunRecord:
    """Train a run to its end, from its newest checkpoint or trunk if it has one.

    Parameters
    ----------
    data : what run.corpus.open() gives; see corpora.Corpus

    Returns
    -------
    How the run ended, and the columns of its observation that training found.

    Raises
    ------
    Interrupted, after a checkpoint, when config.should_stop() turns true.
    """
    with contextlib.closing(start(run, data, store, config)) as training:
        while training.is_running:
            begin_step(training)
            try:
                update = make_update(training.state)
            except RuntimeError as error:
                use_smaller_pieces(training.state, error)  # out of memory: the same batch again
                continue
            end_step(training, update)
        return finish(training)


@dataclass(kw_only=True)
class Training:
    """One run while it trains: its state, and the data, the files and the clock around it."""

    state: TrainState
    data: PreparedData
    store: Store
    record: Record
    batch_of: Callable[[int], Batch]  # from a step to its training batch
    close: Callable[[], None]  # the record and what makes batches
    timer: Timer
    divergence_reason: str = ""  # why the run has diverged; "" if it has not

    @property
    def is_running(self) -> bool:
        return not self.divergence_reason and self.state.progress.step < self.state.run.steps

    def save(self, folder: Path, kept: int = checkpoint.KEPT) -> None:
        state = self.state
        with state.config.clock.stopped():
            self.record.sync()
            progress = saved_progress(state)
            checkpoint.save(folder, state.model, state.optimizer, progress, kept=kept, lease=state.config.lease)


def start(run: Run, data: PreparedData, store: Store, config: ExecutionConfig) -> Training:
    """The run's model, optimizer and counters, at the start or as its newest checkpoint or trunk has them."""
    with config.clock.stopped():
        state = fresh_state(run, config)
        saved = restore(state, store)
        state.compile()
        if state.progress.step == 0 and (run.starts_from is None or run.task.worst_loss(run) is not None):
            split = watched_split(data)
            first = evaluate(run, data, state.model, config.device, split=split, targets=run.eval_tokens)
            state.progress.loss_start = first["loss"] if math.isfinite(first["loss"]) else None
    state.model.train()
    with contextlib.ExitStack() as opened:
        record = Record(store, run.id, saved, sinks=config.sinks, lease=config.lease)
        opened.callback(record.close)
        batch_of = opened.enter_context(feed(run, data, config.loaders))
        return Training(
            state=state,
            data=data,
            store=store,
            record=record,
            batch_of=batch_of,
            close=opened.pop_all().close,
            timer=Timer(config.clock, state.progress),
        )


def begin_step(training: Training) -> None:
    """Fetch the step's batch and set its learning rate; or leave, after a checkpoint, where the run shall stop."""
    state, run, step = training.state, training.state.run, training.state.progress.step
    if parallel.any_of(state.config.should_stop()):
        training.timer.take()
        training.save(training.store.checkpoints(run.id))
        raise Interrupted(f"stopped at step {step} of {run.steps}")
    set_learning_rate(state.optimizer, learning_rate(run, step))
    state.batch = training.batch_of(step)


def end_step(training: Training, update: Update) -> None:
    """Count the update; then log, evaluate and checkpoint where it is time to."""
    state, store, timer = training.state, training.store, training.timer
    run, config, progress = state.run, state.config, state.progress
    timer.take()
    if not (math.isfinite(update.loss) and (math.isfinite(update.grad_norm) or run.precision == "fp16")):
        training.divergence_reason = (
            f"loss {update.loss:g}, gradient norm {update.grad_norm:g} at step {progress.step}: not finite"
        )
        return
    progress.step += 1
    progress.own_steps += 1
    if progress.step > closing_start(run):
        progress.train_loss_sum += update.loss * update.targets
        progress.train_targets += update.targets
    is_last = progress.step == run.steps

    if is_last or progress.step % max(1, run.steps // LOG_LINES) == 0:
        log(training, update)
    if is_last or progress.step % run.eval_every == 0:
        evaluate_and_judge(training)
        if training.divergence_reason:
            return
    if progress.step in config.branch_steps and progress.step <= run.decay_start and not run.keep_best:
        training.save(store.trunk(run.trunk_id), kept=0)
    if not is_last and parallel.any_of(timer.since_checkpoint() > config.checkpoint_seconds):
        training.save(store.checkpoints(run.id))
        timer.mark_checkpoint()


def log(training: Training, update: Update) -> None:
    """Write a line about the last step to the record."""
    state, run, step = training.state, training.state.run, training.state.progress.step
    where = state.config.device
    device.synchronize(where)
    training.timer.take()
    batch_tokens = run.batch_size * run.context
    speed = training.timer.steps_per_second() * batch_tokens
    training.record.write(
        step=step,
        tokens=step * batch_tokens,
        loss=update.loss,
        learning_rate=learning_rate(run, step - 1),
        grad_norm=update.grad_norm,
        tokens_per_second=speed,
        flops_per_second=speed * flops_per_token(state),
        peak_memory_bytes=device.peak_memory_bytes(where),
        seconds=state.progress.seconds,
    )


def evaluate_and_judge(training: Training) -> None:
    """Evaluate on the watched split, write that to the record, decide whether the run has diverged, and keep the
    weights if they are the best so far and the run asks for that."""
    state, data, watched = training.state, training.data, watched_split(training.data)
    run, config, progress, clock = state.run, state.config, state.progress, state.config.clock
    with clock.stopped():
        seen = evaluate(run, data, state.model, config.device, split=watched, targets=run.eval_tokens)
        audited = audit(training)
    if progress.step < run.steps or watched != "validation":  # the last line is of all validation targets
        training.record.write(**record_line(progress.step, run.batch_size * run.context, watched, seen), **audited)
    at = f"{watched} loss {seen['loss']:.4g} at step {progress.step}"
    if not math.isfinite(seen["loss"]):
        training.divergence_reason = f"{at}: not finite"
        return
    guessing = run.task.worst_loss(run)
    levels = divergence.Levels(
        start=progress.loss_start,
        guessing=guessing,
        lowest=progress.loss_lowest_seen,
        counted=lambda: None if guessing is None else divergence.counted_loss(data),
    )
    lost = divergence.why_lost(seen["loss"], levels)
    if lost is not None:  # of the training loss, too: high on validation alone is learning by heart
        with clock.stopped():
            trained = batch_loss(state)
        lost = divergence.why_lost(min(seen["loss"], trained), levels)
    is_counted = lost is not None and progress.step > run.schedule.warmup_steps
    progress.evaluations_lost = progress.evaluations_lost + 1 if is_counted else 0
    if lost and (progress.evaluations_lost >= divergence.IN_A_ROW or progress.step == run.steps):
        training.divergence_reason = f"{at} {lost}"
    elif trouble := run.family.trouble(seen):
        training.divergence_reason = f"{watched}, step {progress.step}: {trouble}"
    elif seen["loss"] < (progress.loss_lowest_seen or math.inf):
        progress.loss_lowest_seen = seen["loss"]
        if run.keep_best:
            with clock.stopped():
                weights = save(checkpoint.trained_tensors(state.model))
                write_bytes(training.store.best_weights(run.id), weights, lease=config.lease)


def audit(training: Training) -> dict[str, float]:
    """The rule's audit of the present weights on a few windows of validation; keeps the largest value of each."""
    state = training.state
    if not state.run.rule.columns:
        return {}
    found: dict[str, float] = state.run.rule.audit(state.model, state.run.task, few_windows(training))
    kept = state.progress.audited
    kept |= {name: max(value, kept.get(name, value)) for name, value in found.items()}
    return found


def few_windows(training: Training) -> Batch:
    data, run = training.data, training.state.run
    (few,) = itertools.islice(data.evaluation_batches("validation", context=run.context, batch_size=AUDITED), 1)
    return to_device(few, training.state.config.device)


def finish(training: Training) -> RunRecord:
    """How the run ended, and the columns of its observation, after its last step."""
    state, data, store = training.state, training.data, training.store
    run, model, where, lease = state.run, state.model, state.config.device, state.config.lease
    if training.divergence_reason:
        return _diverged(training, training.divergence_reason)
    with state.config.clock.stopped():
        last = evaluate(run, data, model, where)
        training.record.write(**record_line(run.steps, run.batch_size * run.context, "validation", last))
        if not math.isfinite(last["loss"]):
            return _diverged(training, f"validation loss {last['loss']:.4g} at step {run.steps}: not finite")
        if trouble := run.family.trouble(last):
            return _diverged(training, f"validation, step {run.steps}: {trouble}")

        weights = save(checkpoint.trained_tensors(model))
        write_bytes(store.weights(run.id), weights, lease=lease)
        judged = final_columns(state, data, last)
        write_details(state, data, store)
        audited = state.progress.audited  # up to the final weights, which may not be the best
        no_evidence = run.task.no_evidence(last) or run.rule.no_evidence(audited)
        cost = run.rule.cost(model, run.task, few_windows(training))
        if run.keep_best:
            best = judged
            if (best_weights := store.best_weights(run.id).read_bytes()) != weights:
                checkpoint.load_model(model, load(best_weights))
                best = final_columns(state, data)
            judged |= {f"best_weights_{name}": best[name] for name in best if not name.endswith("_tokens")}
        return RunRecord(
            status="diverged" if no_evidence else "finished",
            reason=no_evidence or "",
            measured={
                **_columns(training),
                **judged,
                **audited,
                **cost,
                "weights_sha256": hashlib.sha256(weights).hexdigest(),
            },
        )


def _diverged(training: Training, reason: str) -> RunRecord:
    step = training.state.progress.step
    return RunRecord(status="diverged", reason=reason, measured={**_columns(training), "diverged_at_step": step})


def _columns(training: Training) -> dict[str, Cell]:
    """The part of an observation that training knows, whether the run ended well or not."""
    run, progress, data = training.state.run, training.state.progress, training.data
    own_tokens = progress.own_steps * run.batch_size * run.context
    speed = own_tokens / max(progress.own_seconds, 1e-9) if own_tokens else math.nan
    per_token = flops_per_token(training.state)
    measured = {"flops": int(per_token * run.tokens)} if progress.training_sums else {}  # else it is the plan's
    return {
        **measured,
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
        "peak_memory_bytes": device.peak_memory_bytes(training.state.config.device),
        "numerics": progress.numerics,
        "numerics_breaks": progress.numerics_breaks,
    }


def flops_per_token(state: TrainState) -> float:
    """FLOPs per token: measured over all steps so far where the rule's work depends on the data, else as planned."""
    run, progress = state.run, state.progress
    if not progress.training_sums or not progress.step:
        return float(run.rule.training_flops_per_token(run.family, run.context))
    tokens = progress.step * run.batch_size * run.context
    means = {name: value / tokens for name, value in progress.training_sums.items()}
    return float(run.rule.measured_flops_per_token(run.family, run.context, means))


def watched_split(data: PreparedData) -> str:
    """The split that is evaluated on the way."""
    return "selection" if "selection" in data.splits else "validation"


def closing_start(run: Run) -> int:
    """The step after which the training loss is averaged for the table: the last tenth, within the run's own decay."""
    start = math.ceil(0.9 * run.steps)
    return max(start, run.decay_start) if run.schedule.shape == "wsd" else start


def branch_steps(own_decay_start: int, others: Iterable[int]) -> frozenset[int]:
    """Where a run leaves a checkpoint for the others of its trunk: where each of them starts its decay, and where the
    run starts its own, for those that are longer (a held-out run is trained after the anchors). The plan counts on it.

    others    the decay starts of the others
    """
    return frozenset(min(own_decay_start, other) for other in others)
