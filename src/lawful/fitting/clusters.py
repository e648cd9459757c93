"""Which rows share noise, and so count as one: by a column, by seeds, or by rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lawful.fitting.replicates import (
    MAY_SHARE,
    SHARED,
    cells_of,
    is_coarse,
    resolution,
    shared_p,
)
from lawful.laws import Array, Axes
from lawful.tables import Observations, as_text, is_empty

LENGTHS = ("tokens", "steps")  # how long a run was: the first that a table has; FLOPs, at one size, say it too
# what `column` says of clusters that no column names
BY_SEED = "seed, at each size"
ACROSS_SIZES = "seed"
ONE_SEED = "none: all of one seed"
MAY_BE_SEEDS = "none: seeds may share noise across sizes"
BY_ROUNDING = "replicates whose losses are rounded"


def cluster_codes(
    observations: Observations,
    column: dict[str, str],
    by: str | None,
    told: Mapping[str, str | None],
    x: Axes,
    apart: Array,
    loss: Array,
) -> Array:
    """Rows that share a cluster's name are one; without a column, or with an empty cell, a row is its own.

    Where no column of clusters is named, and each row is a run of its own, three things make rows one, and are recorded
    in `column`: runs of one seed and size that differ in length begin with the same weights and read the same data, and
    correlated by .56 to .77 over 16 seeds; runs of one seed at several sizes, where the table shows that they
    correlate; replicates whose losses are rounded so coarsely that they share the error. A study's own clusters are its
    trunks, which only some schedules have: there the same holds. Where all would be one cluster, each row stays its
    own.
    """
    each = np.arange(len(observations))
    name = column.get("cluster")
    codes = each if name is None else _named_codes(observations, name)
    is_last_word = told.get("cluster") is not None or (name == "cluster" and not observations.is_of_study)
    if is_last_word or (len(np.unique(codes)) < len(each) and not observations.is_of_study):
        return codes
    by_seed = _seed_codes(observations, column, by)
    if by_seed is not None and len(np.unique(joined := joined_clusters(codes, by_seed))) < len(np.unique(codes)):
        if len(np.unique(joined)) == 1:  # of one cluster nothing can be estimated: what the seed does is not seen
            column["cluster"] = ONE_SEED
            return codes
        column["cluster"] = BY_SEED
        codes = joined
    across = _codes_across_sizes(observations, column, by, x, apart, loss, codes.max() + 1 == len(each))
    if across is not None:
        return across
    cell = cells_of(x, apart)
    if codes.max() + 1 == len(each) and is_coarse(resolution(loss), loss, cell):
        column["cluster"] = BY_ROUNDING
        return cell
    return codes


def _codes_across_sizes(
    observations: Observations,
    column: dict[str, str],
    by: str | None,
    x: Axes,
    apart: Array,
    loss: Array,
    each_alone: bool,
) -> Array | None:
    """One code for runs of one arm and seed, where the table shows that they share noise across sizes; else None. What
    is found is recorded in `column`."""
    if "seed" not in observations.columns or any(row.get("seed") in (None, "") for row in observations):
        return None
    if column.get("params") in observations.columns:
        group = _codes(observations, [column["params"]])
    elif column.get("cluster") == BY_SEED:
        return None  # of all lengths already
    else:
        group = cells_of(x, np.zeros(len(loss)))
    seed = _codes(observations, ["seed"])
    p = shared_p(group, seed, cells_of(x, apart), observations.response.level(loss))
    if p >= SHARED:
        if p < MAY_SHARE and each_alone:
            column["cluster"] = MAY_BE_SEEDS
        return None
    column["cluster"] = ACROSS_SIZES
    return _codes(observations, [name for name in (by, column.get("arm"), "seed") if name in observations.columns])


def _codes(observations: Observations, columns: Sequence[str]) -> Array:
    """One code for rows that agree in these columns."""
    return np.asarray(np.unique([repr([row.get(c) for c in columns]) for row in observations], return_inverse=True)[1])


def _named_codes(observations: Observations, column: str) -> Array:
    cells = [row.get(column, "") for row in observations]
    names = [("alone", str(i)) if is_empty(cell) else ("", str(as_text(cell))) for i, cell in enumerate(cells)]
    codes = {name: code for code, name in enumerate(sorted(set(names)))}
    return np.array([codes[name] for name in names])


def _seed_codes(observations: Observations, column: Mapping[str, str], by: str | None) -> Array | None:
    """One code for rows of one arm, size and seed at several lengths; None where seed or length is not known."""
    flops = column.get("flops") if "params" in column else None  # without a size, more may be a larger model
    lengths = [name for name in (*(column.get(name, name) for name in LENGTHS), flops) if name in observations.columns]
    if "seed" not in observations.columns or not lengths:
        return None
    apart = [name for name in (by, column.get("arm"), column.get("params"), "seed") if name in observations.columns]
    keys = [tuple(str(row.get(name)) for name in apart) for row in observations]
    seen: dict[tuple[str, ...], set[str]] = {}
    for key, row in zip(keys, observations, strict=True):
        seen.setdefault(key, set()).add(str(row.get(lengths[0])))
    # rows without a seed, and those of one length, are each their own
    is_alone = [
        row.get("seed") in (None, "") or len(seen[key]) == 1 for key, row in zip(keys, observations, strict=True)
    ]
    names = [
        str(number) if alone else repr(key) for number, (key, alone) in enumerate(zip(keys, is_alone, strict=True))
    ]
    return np.unique(names, return_inverse=True)[1]


def joined_clusters(first: Array, second: Array) -> Array:
    """The finest clusters that hold both those of `first` and those of `second` whole."""
    codes = np.unique(first, return_inverse=True)[1]
    while True:
        lowest = np.full(second.max() + 1, len(codes))
        np.minimum.at(lowest, second, codes)
        merged = lowest[second]
        back = np.full(codes.max() + 1, len(codes))
        np.minimum.at(back, codes, merged)
        if (back[codes] == codes).all():
            return np.asarray(np.unique(codes, return_inverse=True)[1])
        codes = back[codes]
