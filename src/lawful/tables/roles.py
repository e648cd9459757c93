"""Roles: which column of a table is the parameters, the tokens, the FLOPs, the loss, the run.

A name is recognised by a vocabulary, a single letter only where its values bear it out; a column that is taken is
always said. Where two could serve and differ, nothing is taken: the user is asked.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lawful.errors import TableError
from lawful.tables.names import LOSS_WORDS, Name, name_of

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
            "params_non_emb",
            "non_emb_params",
            "params_nonembedding",
            "nonembedding_params",
            "n_non_embedding",
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
        ),
        (
            "active_params",
            "active_parameters",
            "params_active",
            "activated_params",
            "params_activated",
            "activated_parameters",
            "n_active_params",
            "num_active_params",
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
VALIDATION, TEST, LOWEST, PLAIN, BPB, PPL, TRAIN = range(len(VOCABULARY["loss"]))
ACTIVE = frozenset(VOCABULARY["params"][-1])
# tokens for each parameter: with the parameters, the tokens
RATIOS = frozenset(
    "tokens_per_param tokens_per_parameter tokens_per_params token_param_ratio tokens_to_params tpp".split()
)
# passes over the training split: with the unique tokens, the tokens
EPOCHS = frozenset(("epochs", "num_epochs", "n_epochs", "num_train_epochs"))
# in the parts of a name before its last: what a loss was taken on
_ON = {
    TRAIN: frozenset(("train", "training")),
    TEST: frozenset(("test", "testing")),
    VALIDATION: frozenset("val valid validation eval evaluation dev heldout holdout".split()),
}
# there, too: what leaves the meaning of the last part as it is. Of any other, such as teacher.params, nothing is known
_NEUTRAL = frozenset(
    "model network net arch architecture data dataset train training trainer pretrain pretraining run job experiment "
    "global total final end last result results output outputs stats statistics info meta metadata spec setup cfg "
    "configuration budget scaling throughput perf performance progress system hps lm llm transformer user attrs".split()
)
# in the name of a loss: a part of what is minimised, or how losses spread; never the loss itself
_OTHER_LOSS = frozenset(
    "aux auxiliary router routing balance balancing z kl distill distillation reg regularization penalty teacher "
    "reward scale scaling delta diff difference excess reducible irreducible gap ratio weight count".split()
)
SPREADS = frozenset("se sem std stdev stddev sd stderr errorbar ci ci95 var variance uncertainty sigma".split())
# names of error bars without what they are the error of
_BARE = frozenset("se sem stderr std_err std_error standard_error error_bar errorbar uncertainty".split())
ACCURACIES = frozenset("accuracy acc acc1 acc5 top1 top5 f1 em bleu rouge auc auroc map miou winrate".split())
_PARAMS = frozenset("param params parameter parameters nparams size n paramètres".split())
_NO_PARAMS = frozenset(
    "batch vocab vocabulary hidden embed data dataset file step steps context train test val sample samples window "
    "cluster effect kernel image patch chunk buffer grid token tokens lr group mb gb bytes mlp ffn head heads layer "
    "layers seq sequence opt optimal star seeds nodes gpus devices workers experts embedding emb per".split()
)
_TOKENS = frozenset("token tokens tok data dataset samples examples sequences images bytes d jetons".split())
_NO_TOKENS = frozenset(
    "per second sec s vocab val valid validation eval test batch context unique path name loss seed id acc model "
    "memory peak file mb gb layers heads hash fingerprint opt optimal star".split()
)
_LOSSES = frozenset(
    "loss losses nll xent ce crossentropy entropy perplexity ppl bpb bpc verlust perte validierungsverlust".split()
)
FAR_FROM_6ND = 30.0  # how far FLOPs may lie from 6 N D: embeddings, attention and sparse models explain less
LEAST_COUNT = 1e4  # of parameters or tokens, for a column whose name may mean something else
PERPLEXITIES = frozenset(VOCABULARY["loss"][PPL])
Numbers = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A column that was taken for a role.

    unit   how many are in one of its unit; 1: its numbers stay
    base   of the logarithm that its numbers are; 0: they are none
    times  the column that its numbers are to be multiplied with; empty: none
    also   columns of the same meaning that are filled where this one is empty
    why    in words, where there is something to say beyond the name
    """

    column: str
    unit: float = 1.0
    base: float = 0.0
    times: str = ""
    also: tuple[Choice, ...] = ()
    is_perplexity: bool = False
    why: str = ""

    def in_ones(self, columns: Mapping[str, Numbers]) -> Numbers:
        """Its numbers, in units of one."""
        with np.errstate(all="ignore"):
            numbers = self.base ** columns[self.column] if self.base else columns[self.column] * self.unit
        if self.times:
            numbers = numbers * columns[self.times]
        for other in self.also:
            numbers = np.where(np.isfinite(numbers), numbers, other.in_ones(columns))
        return np.asarray(numbers)


def choose(source: str, columns: Mapping[str, Numbers], role: str, taken: Mapping[str, Choice]) -> Choice | None:
    """The column for a role of numbers; None where there is none.

    columns   the columns that hold numbers, NaN where a cell is empty or no number
    taken     what was chosen for the roles before

    Raises TableError where several could serve and their values differ.
    """
    used = {choice.column for choice in taken.values()}
    names = {column: name_of(column) for column in columns if column not in used and _is_used(columns[column])}
    kinds: Sequence[int] = range(len(VOCABULARY[role]))
    passes = [("path", kinds), ("last", kinds)]
    if role == "loss":  # any loss on validation data goes before one of training
        others = [number for number in kinds if number != TRAIN]
        passes = [("path", others), ("last", others), ("path", [TRAIN]), ("last", [TRAIN])]
    for place, numbers in passes:
        groups = {column: _group(role, name, place) for column, name in names.items()}
        for number in numbers:
            fits = [column for column, group in groups.items() if group == number]
            fits = [column for column in fits if column == role] or fits
            if not fits:
                continue
            if role == "params":
                _expect_no_active(source, fits[0], names, columns)
            if role == "loss" and number == TRAIN:  # eval_c4_loss: on validation data, by a name of its own
                _expect_one(source, role, [fits[0], *filter(may_be_validation, names)], columns)
            mates = [column for column, group in groups.items() if group == number]
            if number == 0 and role != "loss":
                mates += [c for c, name in names.items() if _is_letter(role, name, c, columns, taken)]
            return _one_of(source, role, fits, mates, columns)
        if place == "path":
            for column, name in names.items():
                if _is_letter(role, name, column, columns, taken):
                    rivals = [c for c, n in names.items() if role == "params" and n.letter == "P"]
                    rivals = [c for c in rivals if _bears_out(role, columns[c], columns, taken)]
                    _expect_one(source, role, [column, *rivals], columns)  # N may be samples then
                    return choice_of(source, role, column)
    return None


def _is_letter(role: str, name: Name, column: str, columns: Mapping[str, Numbers], taken: Mapping[str, Choice]) -> bool:
    letter = name.of.letter if name.of and role in COUNTS else name.letter
    if not letter or letter != LETTERS.get(role):
        return False
    base = 10.0 if name.base != name.base else name.base
    with np.errstate(all="ignore"):
        numbers = base ** columns[column] if base else columns[column] * name.unit
    return _bears_out(role, numbers, columns, taken)


def _group(role: str, name: Name, place: str) -> int | None:
    """Which group of the vocabulary a name belongs to, by its whole path or by its last part; None: to none.

    Of a name a.b, the first part may say that b is something else: teacher.params, train/cross_entropy.
    """
    key = str(getattr(name.of if name.of and role in COUNTS else name, place))
    group = next((number for number, words in enumerate(VOCABULARY[role]) if key in words), None)
    if group is None or place == "path" or not name.before:
        return group
    if role != "loss":
        return group if name.before <= _NEUTRAL else None
    if name.before & _OTHER_LOSS:
        return None
    if name.before & _ON[TRAIN]:
        return TRAIN
    on = next((on for on in (VALIDATION, TEST) if name.before & _ON[on]), None)
    if on is not None:
        return on if group == PLAIN else group
    return group if name.before <= _NEUTRAL else None


def may_be_validation(column: str) -> bool:
    """Whether a name that is not in the vocabulary says that it is of a loss on validation data: eval_c4_loss."""
    words = set(name_of(column).path.split("_"))
    return bool(words & _ON[VALIDATION] and words & LOSS_WORDS)


def _one_of(
    source: str, role: str, fits: Sequence[str], mates: Sequence[str], columns: Mapping[str, Numbers]
) -> Choice:
    """The first of the columns that fit, with those of its kind that are filled where it is empty: two tables, one
    below the other, have them. Raises TableError where another differs from it."""
    first, also = fits[0], []
    filled = np.isfinite(columns[first])
    for column in mates:
        is_there = np.isfinite(columns[column])
        if column != first and not (filled & is_there).any():
            also.append(column)
            filled |= is_there
    _expect_one(source, role, [column for column in fits if column not in also], columns)
    choice = choice_of(source, role, first)
    if not also:
        return choice
    why = f"and {', '.join(map(repr, also))} where it is empty"
    joined = tuple(choice_of(source, role, column) for column in also)
    return replace(choice, also=joined, why="; ".join(filter(None, (choice.why, why))))


def _expect_no_active(source: str, first: str, names: Mapping[str, Name], columns: Mapping[str, Numbers]) -> None:
    """A sparse model has two sizes: which of them a law is of, nobody but the user can say."""
    active = [c for c, name in names.items() if c != first and {name.path, name.last} & ACTIVE]
    if active and name_of(first).path not in ACTIVE:
        _expect_one(source, "params", [first, *active], columns)


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
        others = [taken[other].in_ones(columns) for other in ("params", "tokens") if other in taken]
        if len(others) == 2:
            return not is_far_from_6nd(numbers, *others)
        return typical >= 1e12
    params = taken["params"].in_ones(columns) if "params" in taken else None
    if params is not None and np.isfinite(params).any():
        return typical >= float(np.nanmedian(params)) / 100 and typical >= 1e4
    return typical >= 1e6


def is_far_from_6nd(flops: Numbers, params: Numbers, tokens: Numbers) -> bool:
    """Whether FLOPs cannot be those of training such models on so many tokens, in any usual way of counting."""
    with np.errstate(all="ignore"):
        ratio = flops / (6 * params * tokens)
    ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
    return bool(len(ratio)) and not 1 / FAR_FROM_6ND <= float(np.median(ratio)) <= FAR_FROM_6ND


def choice_of(source: str, role: str, column: str, unit: float | None = None) -> Choice:
    """A column for a role, with what its name says of its unit.

    unit   as the user told it; None: as the name says

    Raises TableError for the logarithm of a count to a base that the name does not say.
    """
    name = name_of(column)
    keys = {name.path, name.last}
    group = _group(role, name, "path") if role == "loss" else None
    group = _group(role, name, "last") if role == "loss" and group is None else group
    if unit is not None:
        return Choice(column=column, unit=unit if role in COUNTS else 1.0)
    why = []
    if role in COUNTS and name.unit != 1:
        why.append(f"in {name.unit_name}, as its name says")
    if role in COUNTS and name.of:
        if name.base != name.base:
            raise TableError(
                f"{source}: {column!r} looks like the logarithm of a count, and its name does not say of which base. "
                f"Call it 'log10 {name.of.path}' or 'ln {name.of.path}'."
            )
        why.append(f"a logarithm to base {'e' if name.base == math.e else f'{name.base:g}'}, as its name says")
    is_perplexity = role == "loss" and bool(keys & PERPLEXITIES)
    if is_perplexity:
        why.append("a perplexity, of which the logarithm is taken")
    if group == TRAIN:
        why.append("a training loss: the table has none on validation data")
    if group == LOWEST:
        why.append("the lowest seen, which is biased downwards")
    if role == "loss" and (measure := measure_of(column)):
        why.append(f"in {measure}, as its name says")
    return Choice(
        column=column,
        unit=name.unit if role in COUNTS and not name.of else 1.0,
        base=name.base if role in COUNTS and name.of else 0.0,
        is_perplexity=is_perplexity,
        why="; ".join(why),
    )


def like(role: str, columns: Mapping[str, Numbers]) -> list[str]:
    """The columns of numbers whose names say that they may have the role, where none is known to."""
    return [column for column, numbers in columns.items() if _is_used(numbers) and _is_like(role, column, numbers)]


def _is_like(role: str, column: str, numbers: Numbers) -> bool:
    name = name_of(column)
    words = set(name.key.split("_"))
    if role == "loss":
        return bool(words & _LOSSES) and not words & (_OTHER_LOSS | SPREADS | ACCURACIES | frozenset(("log",)))
    wanted, unwanted = (_PARAMS, _NO_PARAMS) if role == "params" else (_TOKENS, _NO_TOKENS)
    known = numbers[np.isfinite(numbers)] * name.unit
    return bool(words & wanted) and not words & unwanted and float(np.median(known)) >= LEAST_COUNT


def is_named_for_a_role(column: str) -> bool:
    """Whether a word of its name is one of those by which a role, an accuracy or an error bar is known."""
    name = name_of(column)
    known = {word for groups in VOCABULARY.values() for group in groups for word in group}
    words = {name.path, name.last, *name.key.split("_")}
    return bool(words & (known | RATIOS | EPOCHS | _PARAMS | _TOKENS | _LOSSES | ACCURACIES | SPREADS))


def error_bars(columns: Sequence[str], loss: str) -> list[str]:
    """The columns whose names say how far the loss is known: val_loss_se, std_loss, stderr."""
    own = set(name_of(loss).key.split("_"))
    found = []
    for column in columns:
        key = name_of(column).key
        words = set(key.split("_"))
        if column != loss and (key in _BARE or (words & SPREADS and words & own)):
            found.append(column)
    return found


def is_accuracy(column: str) -> bool:
    return bool(set(name_of(column).key.split("_")) & ACCURACIES)


def measure_of(column: str) -> str:
    """The unit that a loss is in by its column's name: nats, bits, bits per byte; empty where it does not say."""
    name = name_of(column)
    return "bits per byte" if {name.path, name.last} & set(VOCABULARY["loss"][BPB]) else name.measure


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
