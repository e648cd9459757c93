"""What a table pools: settings that differ between runs of one size and length, which are no replicates then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lawful.tables.cells import as_text, is_empty
from lawful.tables.columns import COLUMNS
from lawful.tables.names import name_of
from lawful.tables.observations import Observations

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
_RESULTS = ("loss", "ppl", "perplexity", "acc", "accuracy", "bpb", "error", "score", "grad_norm", "norm")
_TIMES = frozenset(
    "timestamp created created_at updated_at runtime duration time wall_time walltime seconds elapsed hostname host "
    "gpu gpus node user date started finished start_time end_time notes tags sweep url path".split()
)
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
    cells: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in table.rows:
        cells.setdefault(tuple(str(as_text(row.get(column, ""))) for column in apart), []).append(row)
    several = [rows for rows in cells.values() if len(rows) > 1]
    if not several:
        return {}
    found = {}
    for column in table.columns:
        if column in apart or column in roles.values() or not _may_be_setting(column):
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


def _may_be_setting(column: str) -> bool:
    name = name_of(column)
    keys = {name.path, name.last, name.key}
    if (
        column in COLUMNS
        and column not in ("family", "corpus", "tokenizer", "schedule", "precision")
        and (name.path not in SETTINGS)
    ):
        return False  # lawful's own names of what a run is, measured or was named
    if keys & (SEEDS | _TIMES | _PLACES):
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
