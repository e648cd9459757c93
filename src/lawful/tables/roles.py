"""Roles: which column of a table is the parameters, the tokens, the FLOPs, the loss, the run.

A name is recognised by a vocabulary, a single letter only where its values bear it out; a column that is taken is
always said. Where two could serve and differ, nothing is taken: the user is asked.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lawful.errors import TableError
from lawful.tables.names import Name, name_of

ROLES = ("params", "tokens", "flops", "loss", "cluster", "arm", "unique_tokens")
COUNTS = ("params", "tokens", "flops", "unique_tokens")
# role -> groups of names, best first; a group is taken before the next, and within one a choice is asked for
VOCABULARY: dict[str, tuple[tuple[str, ...], ...]] = {
    "params": (
        (
            "params",
            "parameters",
            "n_params",
            "num_params",
            "nparams",
            "n_parameters",
            "num_parameters",
            "param_count",
            "parameter_count",
            "model_params",
            "number_of_parameters",
            "model_size",
            "size_params",
        ),
        (
            "params_non_embedding",
            "non_embedding_params",
            "n_params_non_embedding",
            "num_non_embedding_params",
            "non_embedding_parameters",
            "params_no_embedding",
            "params_without_embedding",
            "scaling_params",
        ),
        (
            "params_total",
            "total_params",
            "total_parameters",
            "n_params_total",
            "num_params_total",
            "trainable_params",
            "num_trainable_params",
            "n_trainable_params",
            "active_params",
        ),
    ),
    "tokens": (
        (
            "tokens",
            "n_tokens",
            "num_tokens",
            "ntokens",
            "training_tokens",
            "train_tokens",
            "tokens_seen",
            "tokens_trained",
            "total_tokens",
            "tokens_total",
            "n_train_tokens",
            "num_train_tokens",
            "consumed_tokens",
            "tokens_consumed",
            "token_count",
            "data_tokens",
            "throughput_total_tokens",
            "num_input_tokens_seen",
            "number_of_tokens",
            "tokens_processed",
        ),
    ),
    "flops": (
        (
            "flops",
            "flop",
            "compute",
            "training_flops",
            "train_flops",
            "training_flop",
            "total_flops",
            "n_flops",
            "num_flops",
            "training_compute",
            "compute_flops",
            "flops_total",
            "total_flos",
            "flos",
            "total_training_flops",
            "throughput_total_training_flops",
        ),
        ("flops_budget", "target_flops"),
    ),
    "loss": (
        (
            "val_loss",
            "validation_loss",
            "valid_loss",
            "eval_loss",
            "dev_loss",
            "loss_val",
            "loss_validation",
            "loss_eval",
            "val_losses",
            "final_val_loss",
            "final_validation_loss",
            "final_eval_loss",
            "val_cross_entropy",
            "val_ce",
            "val_ce_loss",
            "validation_cross_entropy",
            "eval_cross_entropy",
            "eval_ce_loss",
            "heldout_loss",
            "val_nll",
            "val_lm_loss",
            "lm_loss_validation",
            "validation_loss_nats",
            "val_loss_epoch",
            "validation_epoch_loss",
            "val_epoch_loss",
            "eval_epoch_loss",
            "lm_loss_validation_lm_loss_validation",
        ),
        ("test_loss", "loss_test", "final_test_loss", "test_cross_entropy", "test_loss_epoch", "test_epoch_loss"),
        ("best_val_loss", "min_val_loss", "val_loss_min", "best_eval_loss", "best_validation_loss", "lowest_val_loss"),
        (
            "final_loss",
            "loss",
            "loss_final",
            "cross_entropy",
            "ce_loss",
            "cross_entropy_loss",
            "nll",
            "lm_loss",
            "pretraining_loss",
            "ce",
            "xent",
        ),
        ("val_bpb", "bpb", "bits_per_byte", "val_bits_per_byte", "eval_bpb"),
        (
            "val_ppl",
            "val_perplexity",
            "validation_perplexity",
            "eval_perplexity",
            "valid_ppl",
            "eval_ppl",
            "test_ppl",
            "test_perplexity",
            "perplexity",
            "ppl",
        ),
        (
            "train_loss",
            "training_loss",
            "loss_train",
            "train_ce_loss",
            "final_train_loss",
            "train_cross_entropy",
            "train_lm_loss",
            "loss_training",
            "train_loss_epoch",
            "train_loss_step",
            "train_epoch_loss",
            "lm_loss_training_lm_loss",
            "loss_metrics_global_avg_loss",
        ),
    ),
    "cluster": (
        ("cluster",),
        ("run_name", "run_id", "run", "run_uuid", "wandb_id", "wandb_name"),
        ("name", "id", "trial_id", "trial", "model", "model_name", "experiment", "experiment_name", "exp_name"),
    ),
    "arm": (("arm",),),
    "unique_tokens": (("unique_tokens", "n_unique_tokens", "num_unique_tokens", "dataset_tokens"),),
}
LETTERS = {"params": "N", "tokens": "D", "flops": "C", "loss": "L", "unique_tokens": "U"}
TRAINING = frozenset(VOCABULARY["loss"][-1])
PERPLEXITIES = frozenset(VOCABULARY["loss"][-2])
BITS_PER_BYTE = frozenset(VOCABULARY["loss"][-3])
ACCURACIES = frozenset(
    ("accuracy", "acc", "val_accuracy", "val_acc", "eval_accuracy", "test_accuracy", "test_acc", "top1")
)
FAR_FROM_6ND = 30.0  # how far FLOPs may lie from 6 N D: embeddings, attention and sparse models explain less
Numbers = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A column that was taken for a role.

    unit   how many are in one of its unit; 1: its numbers stay
    why    in words, where there is something to say beyond the name
    """

    column: str
    unit: float = 1.0
    is_perplexity: bool = False
    why: str = ""


def choose(source: str, columns: Mapping[str, Numbers], role: str, taken: Mapping[str, Choice]) -> Choice | None:
    """The column for a role of numbers; None where there is none.

    columns   the columns that hold numbers, NaN where a cell is empty or no number
    taken     what was chosen for the roles before

    Raises TableError where several could serve and their values differ.
    """
    used = {choice.column for choice in taken.values()}
    names = {column: name_of(column) for column in columns if column not in used}
    groups = VOCABULARY[role]
    own = groups[:-1] if role == "loss" else groups
    for place, some in (("path", own), ("last", own), ("path", groups[-1:]), ("last", groups[-1:])):
        for group in some:
            fits = [column for column, name in names.items() if getattr(name, place) in group]
            if role == "loss" and place == "last" and some is own:  # eval/c4/loss before train/loss
                fits = [column for column in fits if not names[column].path.startswith("train")]
            fits = [column for column in fits if _is_used(columns[column])]
            exact = [column for column in fits if column == role]
            fits = exact or fits
            if not fits:
                continue
            _expect_one(source, role, fits, columns)
            return _choice(role, fits[0], names[fits[0]], columns)
        if place == "path" and some is own and (letter := _by_letter(role, names, columns, taken)):
            return letter
    return None


def _by_letter(
    role: str, names: Mapping[str, Name], columns: Mapping[str, Numbers], taken: Mapping[str, Choice]
) -> Choice | None:
    for column, name in names.items():
        if (
            name.letter
            and name.letter == LETTERS.get(role)
            and _bears_out(role, columns[column] * name.unit, columns, taken)
        ):
            return _choice(role, column, name, columns)
    return None


def _bears_out(role: str, numbers: Numbers, columns: Mapping[str, Numbers], taken: Mapping[str, Choice]) -> bool:
    """Whether the values of a column that is called by one letter can be what the letter stands for."""
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return False
    typical = float(np.median(known))
    if role == "loss":
        return bool((known > 0).all() and typical < 50 and (known != np.floor(known)).any())
    if role == "params":
        return typical >= 1e3
    if role == "flops":
        others = [columns[taken[other].column] * taken[other].unit for other in ("params", "tokens") if other in taken]
        if len(others) == 2:
            return not is_far_from_6nd(numbers, *others)
        return typical >= 1e12
    params = columns[taken["params"].column] * taken["params"].unit if "params" in taken else None
    if params is not None and np.isfinite(params).any():
        return typical >= float(np.nanmedian(params)) / 100 and typical >= 1e4
    return typical >= 1e6


def is_far_from_6nd(flops: Numbers, params: Numbers, tokens: Numbers) -> bool:
    """Whether FLOPs cannot be those of training such models on so many tokens, in any usual way of counting."""
    with np.errstate(all="ignore"):
        ratio = flops / (6 * params * tokens)
    ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
    return bool(len(ratio)) and not 1 / FAR_FROM_6ND <= float(np.median(ratio)) <= FAR_FROM_6ND


def _choice(role: str, column: str, name: Name, columns: Mapping[str, Numbers]) -> Choice:
    why = []
    keys = {name.path, name.last}
    if role in COUNTS and name.unit != 1:
        why.append(f"in {name.unit_name}, as its name says")
    if role == "loss" and keys & PERPLEXITIES:
        why.append("a perplexity, of which the logarithm is taken")
    if role == "loss" and keys & TRAINING:
        why.append("a training loss: the table has none on validation data")
    if role == "loss" and keys & set(VOCABULARY["loss"][2]):
        why.append("the lowest seen, which is biased downwards")
    return Choice(
        column=column,
        unit=name.unit if role in COUNTS else 1.0,
        is_perplexity=role == "loss" and bool(keys & PERPLEXITIES),
        why="; ".join(why),
    )


def _is_used(numbers: Numbers) -> bool:
    return bool(np.isfinite(numbers).any())


def _expect_one(source: str, role: str, fits: Sequence[str], columns: Mapping[str, Numbers]) -> None:
    first = columns[fits[0]]
    others = [column for column in fits[1:] if not np.array_equal(columns[column], first, equal_nan=True)]
    if others:
        named = " and ".join(map(repr, [fits[0], *others]))
        raise TableError(
            f"{source}: {named} could each be the {role}, and they differ. Say which: "
            f"{option_of(role)} {shell_word(fits[0])}, or {option_of(role)} {shell_word(others[0])}."
        )


def option_of(role: str) -> str:
    """The option of the command line, and in Python the keyword, that names the column of a role."""
    return "--" + (role if role in ("cluster", "arm", "unique_tokens") else f"{role}-column").replace("_", "-")


def shell_word(text: str) -> str:
    """A text as it is written in a shell."""
    return shlex.quote(text)
