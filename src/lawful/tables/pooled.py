"""What a table pools: settings that differ between runs of one size and length, which are no replicates then."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from lawful.schema import Cell
from lawful.tables.cells import as_text, counts_of, is_empty
from lawful.tables.columns import COLUMNS
from lawful.tables.names import name_of
from lawful.tables.observations import Observations, grouped, is_time
from lawful.tables.roles import is_accuracy, is_named_for_a_role, like, option_of, shell_word
from lawful.tables.vocabulary import SPREADS

# the seed of a run, or the number of a replicate: runs that differ in nothing else are replicates
SEEDS = frozenset(
    "seed seeds random_seed rng_seed data_seed init_seed model_seed replicate rep repeat repetition trial_seed fold "
    "run_number run_index replica".split()
)
# settings of training that are known by name, also where each of their values comes once
SETTINGS = frozenset(
    (
        "lr learning_rate max_lr peak_lr base_lr min_lr optimizer optim opt batch_size batch global_batch_size "
        "batch_tokens micro_batch_size schedule lr_schedule scheduler lr_scheduler warmup warmup_steps weight_decay "
        "wd dropout beta1 beta2 momentum grad_clip dataset data corpus tokenizer precision dtype architecture arch "
        "activation norm initialization init decay_fraction vocab_size vocabulary context context_length seq_len "
        "sequence_length mixture"
    ).split()
)
_SIZE = re.compile(r"(?<![\d.])\d+(?:\.\d+)?[MBmb](?![A-Za-z0-9])")
_RESULTS = ("loss", "ppl", "perplexity", "acc", "accuracy", "bpb", "error", "score", "grad_norm", "norm")
_TIMES = frozenset(
    "timestamp created created_at updated_at runtime duration time wall_time walltime seconds elapsed hostname host "
    "gpu gpus node user date started finished start_time end_time notes tags sweep url path".split()
)
_LENGTHS = frozenset(("steps", "step", "global_step", "iteration", "iterations", "iter", "iters", "epoch", "epochs"))
_DATA = frozenset("dataset data corpus tokenizer vocab_size vocabulary split domain language".split())
_MULTIPLES = frozenset(("multiple", "multiplier", "ratio", "overtraining", "chinchilla"))  # of tokens, to each size
_PLACES = frozenset("step global_step iteration iter epoch epochs steps status state held_out".split())


def pooled(table: Observations, roles: Mapping[str, str], told: Sequence[str] = ()) -> dict[str, list[str]]:
    """Column -> its values, of each setting that differs between runs at one point of the law: one size and length, or
    one compute, and one arm. Seeds, names, times and results are no settings.

    told   columns by which runs are told apart, or which the user calls noise
    """
    if table.is_of_study:
        return {}
    axes = [roles[role] for role in ("params", "tokens", "flops", "unique_tokens", "arm") if role in roles]
    if not axes:
        return {}
    apart = [*axes, *told]
    points = grouped(table, apart)
    several = [[table.rows[place] for place in places] for places in points if len(places) > 1]
    if not several:
        return {}
    found = {}
    for column in table.columns:
        if column in apart or column in roles.values() or not _may_be_setting(column):
            continue
        if is_time(column, [row.get(column) for row in table.rows]):
            continue
        values = [{str(as_text(row.get(column, ""))) for row in rows} for rows in several]
        if max(map(len, values)) < 2:
            continue
        levels = list(dict.fromkeys(str(as_text(row.get(column, ""))) for row in table.rows))
        if (
            name_of(column).path in SETTINGS
            or name_of(column).last in SETTINGS
            or _recurs(table, column, levels, roles)
        ):
            found[column] = levels
    return found


def best_of(column: str) -> str:
    """The option that takes the best run over a setting; empty where losses at its values are no choice between runs,
    but of other data."""
    return "" if name_of(column).path in _DATA else f"--best-over {shell_word(column)}"


def unread(table: Observations, roles: Mapping[str, str], told: Sequence[str] = ()) -> str:
    """What to ask where size or data varies under a name that says so, and is not read; empty: nothing.

    told   columns by which runs are told apart, or which the user calls noise
    """
    if table.is_of_study or "flops" in roles or ("params" in roles) is ("tokens" in roles):
        return ""
    role = "tokens" if "params" in roles else "params"
    left = [c for c in table.columns if c not in roles.values() and c not in told and c not in table.converted]
    numbers = {column: counts_of([row.get(column, "") for row in table.rows]) for column in left}
    varied = {column: cells for column, cells in numbers.items() if len(np.unique(cells[np.isfinite(cells)])) > 1}
    if found := like(role, varied):
        word, option = shell_word(found[0]), option_of(role)
        return (
            f"{table.source}: no column is recognised as the {role}, and {', '.join(map(repr, found))} may be that. "
            f"Say so: {option} {word}; or say what else it is: --by {word} (fit each apart), or --as-noise {word}."
        )
    if role == "tokens" and "unique_tokens" in roles:
        return (
            f"{table.source}: no column is recognised as the tokens seen in training, and {roles['unique_tokens']!r} "
            "are unique ones. Name the column with --tokens-column; where each was seen once, that is --tokens-column "
            f"{shell_word(roles['unique_tokens'])}."
        )
    sizes = [row.get(roles["params"]) for row in table.rows] if role == "tokens" else []
    for column in varied if sizes else ():
        several = {(size, number) for size, number in zip(sizes, numbers[column], strict=True)}
        if len(several) == len(set(sizes)):
            continue
        if set(name_of(column).key.split("_")) & _MULTIPLES:
            return (
                f"{table.source}: no column is recognised as the tokens, and runs of one size differ in {column!r}. "
                f"Write the tokens into a column and name it with --tokens-column; or call this noise: --as-noise "
                f"{shell_word(column)}."
            )
        if name_of(column).path in _LENGTHS:
            word, unit, why = shell_word(column), *_tokens_in_a_step(numbers)
            return (
                f"{table.source}: no column is recognised as the tokens, and runs of one size differ in {column!r}. "
                f"Say how many tokens are in one{why}: --tokens-column {word} --unit {word}={unit}; or take one row of "
                f"each run: --reduce last; or call it noise: --as-noise {word}."
            )
        if _falls_with(table, roles, sizes, numbers[column]) and _may_be_amount(column, numbers[column]):
            word = shell_word(column)
            return (
                f"{table.source}: no column is recognised as the tokens, and the losses of each size fall with "
                f"{column!r}. If it is the data or compute of a run, say so: --tokens-column {word} or --flops-column "
                f"{word}, with --unit; or say what else it is: --by {word} (fit each apart), or --as-noise {word}."
            )
    if role == "params" and (found := [c for c in table.columns if c not in told and _has_sizes(table, c)]):
        word = shell_word(found[0])
        return (
            f"{table.source}: no column is recognised as the params, and the names in {found[0]!r} have sizes, such as "
            f"{table.rows[0][found[0]]!r}. Write these into a column `params`; or fit each apart: --by {word}; or call "
            f"it noise: --as-noise {word}."
        )
    return ""


def _falls_with(table: Observations, roles: Mapping[str, str], sizes: Sequence[Cell], amounts: np.ndarray) -> bool:
    """Whether at each of three sizes or more the loss falls from each amount to the next, of three or more: by chance
    that comes once in two hundred tables."""
    if "loss" not in roles:
        return False
    losses = counts_of([row.get(roles["loss"], "") for row in table.rows])
    groups: dict[Cell, list[tuple[float, float]]] = {}
    for size, amount, loss in zip(sizes, amounts, losses, strict=True):
        groups.setdefault(size, []).append((float(amount), float(loss)))
    large = [sorted(group) for group in groups.values() if len({amount for amount, _ in group}) > 2]
    return len(large) > 2 and all(
        first < second and above > below
        for group in large
        for (first, above), (second, below) in zip(group, group[1:], strict=False)
    )


def _may_be_amount(column: str, numbers: np.ndarray) -> bool:
    """Shares and scores rise as the loss falls, too."""
    known = numbers[np.isfinite(numbers)]
    return _may_be_setting(column) and not is_accuracy(column) and bool((known > 0).all()) and float(known.max()) > 1


def _has_sizes(table: Observations, column: str) -> bool:
    """A column of names, each with a size in it: gpt-125M, pythia-1.4b."""
    names = {cell for row in table.rows if isinstance(cell := row.get(column, ""), str) and not is_empty(cell)}
    return len(names) > 1 and all(_SIZE.search(name) for name in names)


def _tokens_in_a_step(numbers: Mapping[str, np.ndarray]) -> tuple[str, str]:
    """The tokens in a step from the columns of the batch, if these do not vary: the text to write, and its source."""
    one = {name_of(c).path: float(n[0]) for c, n in numbers.items() if len(n) and bool((n == n[0]).all())}
    for batch in ("batch_tokens", "tokens_per_batch", "tokens_per_step"):
        if batch in one:
            return f"{one[batch]:.0f}", f" ({batch})"
    lengths = ("seq_len", "context_length", "context", "block_size", "sequence_length")
    length = next((name for name in lengths if name in one), "")
    if "batch_size" in one and length:
        return f"{one['batch_size'] * one[length]:.0f}", f" (batch_size x {length}, if that batch is of all devices)"
    return "TOKENS", ""


def may_tell(column: str) -> bool:
    """Whether a column's name says that it may have a role or tell runs apart, of a table with more columns than are
    kept."""
    name = name_of(column)
    if {name.path, name.last, name.key} & (SEEDS | SETTINGS | _TIMES | _PLACES | _LENGTHS) or name.letter or name.of:
        return True
    return is_named_for_a_role(column)


def _may_be_setting(column: str) -> bool:
    name = name_of(column)
    keys = {name.path, name.last, name.key}
    if (
        column in COLUMNS
        and column not in ("family", "corpus", "tokenizer", "schedule", "precision")
        and (name.path not in SETTINGS)
    ):
        return False  # lawful's own names of what a run is, measured or was named
    if keys & (SEEDS | _TIMES | _PLACES) or set(name.key.split("_")) & SPREADS:
        return False
    if name.last.startswith(("best_", "early_stop")):  # best_epoch: where a run was best is what it did
        return False
    return not any(name.last == result or name.last.endswith(f"_{result}") for result in _RESULTS)


def _recurs(table: Observations, column: str, levels: Sequence[str], roles: Mapping[str, str]) -> bool:
    """A few values, each of which comes several times, and at several sizes: numbers that were measured differ from row
    to row, and so do names of runs; names of trunks or groups of runs have one size each."""
    filled = sum(not is_empty(row.get(column)) for row in table.rows)
    if not 1 < len(levels) <= filled / 2:
        return False
    sizes: dict[str, set[str]] = {}
    for row in table.rows:
        sizes.setdefault(str(as_text(row.get(column, ""))), set()).add(str(row.get(roles.get("params", ""), "")))
    is_of_one = all(len(found) == 1 for found in sizes.values())
    return not is_of_one or len(set().union(*sizes.values())) == 1
