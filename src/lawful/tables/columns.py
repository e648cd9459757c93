"""The columns that mean something to lawful: the schema of the table that a study writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")
# name -> (unit or kind, what it is)
COLUMNS: dict[str, tuple[str, str]] = {
    "study": ("text", "name of the study"),
    "run": ("text", "the run's id"),
    "rung": ("text", "its coordinates, readable: size=3,tokens=1000000,seed=0"),
    "arm": ("text", "what is compared (empty where the study has one arm)"),
    "seed": ("integer", "replicate number"),
    "held_out": ("yes/no", "declared before training as not to be fitted; empty is no"),
    "bracket": ("ratio", "of the learning rate to the ladder's own, where a run only tries another; never fitted"),
    "starts_from": ("text", "id of the run whose final weights it began with, where it is a fine-tuning; never fitted"),
    "left_plan": ("text", "since when the study's plan does not have this run any more, where it had it; never fitted"),
    "cluster": ("text", "runs that share noise: branches of one trunk, checkpoints of one run"),
    "status": ("text", "finished, diverged or failed; only finished runs are fitted; empty is finished"),
    "reason": ("text", "why a run is not finished, in words"),
    "params_total": ("count", "all trained parameters, a tied head counted once"),
    "params_embedding": ("count", "token and position embeddings, and an untied head"),
    "params_non_embedding": ("count", "params_total - params_embedding"),
    "tokens": ("count", "training targets seen, repeats counted (D)"),
    "unique_tokens": ("count", "tokens in the training split"),
    "epochs": ("ratio", "tokens / unique_tokens"),
    "flops": ("FLOPs", "the family's exact count by the rule, attention and head included, as if trained from scratch"),
    "flops_spent": ("FLOPs", "on the steps this run did itself; the rest came from its trunk"),
    "flops_6nd": ("FLOPs", "6 x params_non_embedding x tokens"),
    "loss": ("loss_unit", "on the fixed validation tokens, after the last step"),
    "loss_unit": ("text", "nats_per_token and the like; never mixed in one fit"),
    "bits_per_byte": ("bits", "the same loss per byte of validation text, comparable between tokenizers"),
    "accuracy": ("share", "of validation targets whose most likely prediction is right"),
    "change_embedding": (
        "number",
        "rms change of the embedding's output since the first step, by the rule CoordinateCheck",
    ),
    "change_scores": ("number", "the same of the last block's attention scores, before rotation"),
    "change_residual": ("number", "the same of the last block's output"),
    "change_logits": ("number", "the same of the logits"),
    "loss_lowest_seen": (
        "loss_unit",
        "the lowest loss seen during training, on the first targets of validation, or of a split for selection where "
        "the corpus has one (a biased minimum)",
    ),
    "test_loss": ("loss_unit", "on the test split, where the corpus has one; other test_ columns likewise"),
    "best_weights_loss": (
        "loss_unit",
        "on validation, of the weights that gave loss_lowest_seen, where those are kept; other best_weights_ columns "
        "likewise",
    ),
    "loss_train": ("loss_unit", "mean over the last tenth of the training steps"),
    "steps": ("count", "optimiser steps"),
    "batch_tokens": ("count", "targets in one optimiser step"),
    "context": ("count", "targets in one window"),
    "learning_rate": ("number", "peak"),
    "weight_decay": ("number", "of matrices, decoupled"),
    "schedule": ("text", "wsd, cosine or constant"),
    "decay_fraction": ("share", "of the steps, over which a wsd schedule decays, as declared"),
    "rate_floor": ("share", "of the peak, to which a schedule decays at most, as declared"),
    "is_decayed": (
        "yes/no",
        "the learning rate came to .9 of its peak or more, and down to .15 of it by the last step; empty is unknown",
    ),
    "masks_padding": ("yes/no", "no padding counts in the loss; empty is unknown"),
    "precision": ("text", "fp32, bf16, fp16"),
    "family": ("text", "architecture"),
    "corpus": ("text", "name of the corpus"),
    "tokenizer": ("text", "name of the tokenizer"),
    "vocabulary": ("count", "symbols that can be predicted"),
    "data_fingerprint": ("text", "hash of the prepared data; runs with different ones are never pooled"),
    "validation_fingerprint": (
        "text",
        "hash of the validation data alone; where it is one, runs on cuts of one text are a law of unique_tokens",
    ),
    "validation_tokens": ("count", "targets the loss is averaged over"),
    "test_tokens": ("count", "targets the test loss is averaged over"),
    "seconds": (
        "seconds",
        "training wall time of all its steps, evaluation apart: of a branch, the trunk's up to where it branched and "
        "its own; resumed parts summed; of stacked runs, the stack's",
    ),
    "seconds_spent": ("seconds", "on the steps this run did itself; the rest came from its trunk"),
    "seconds_per_step": ("seconds", "of one optimiser step that this run did itself, evaluation apart"),
    "seconds_per_epoch": ("seconds", "that one pass over the training split would take at this speed"),
    "tokens_per_second": ("rate", "over the steps this run did itself"),
    "flops_per_second": ("rate", "attained, by the exact count"),
    "peak_memory_bytes": ("bytes", "of the device, or resident"),
    "weights_sha256": ("text", "of the final weights"),
    "numerics": ("text", "what decides the last bits: device, dtype, threads, micro-batch, optimiser, torch"),
    "numerics_breaks": ("count", "how often a resume changed the numerics"),
    "diverged_at_step": ("count", "where it was stopped"),
}

BEST = "best_weights_"  # before a column's name: the same of the weights that gave loss_lowest_seen


def current_name(column: str) -> str:
    """Today's name of a column that lawful wrote under another one until 2026-11: loss_best, best_loss, best_accuracy,
    ... The one place that knows the former names."""
    if column == "loss_best":
        return "loss_lowest_seen"
    return BEST + column.removeprefix("best_") if column.startswith("best_") and BEST not in column else column


def with_current_names(row: Mapping[str, T]) -> dict[str, T]:
    """A row that lawful wrote, its former names replaced."""
    return {current_name(name): value for name, value in row.items()}


# those of the above that only some tasks have; a task says its own in `columns`
TASK_COLUMNS = frozenset({"accuracy", "change_embedding", "change_scores", "change_residual", "change_logits"})
