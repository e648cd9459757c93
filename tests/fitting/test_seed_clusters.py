"""Runs of one seed and size at several lengths are one cluster where no column says what a cluster is."""

from __future__ import annotations

import itertools

import numpy as np

import lawful

SIZES, LENGTHS = (1e6, 3e6, 1e7, 3e7), (2e7, 6e7, 2e8, 6e8)


def table(rng, *, shared=0.7, sigma=0.004, seeds=3, arms=("a",), **more):
    """Noise of which runs of one arm, size and seed share a part."""
    rows = []
    for arm, n, seed in itertools.product(arms, SIZES, range(seeds)):
        effect = np.sqrt(shared) * rng.standard_normal()
        for d in LENGTHS:
            noise = sigma * (effect + np.sqrt(1 - shared) * rng.standard_normal())
            loss = (1.5 + 40 * n**-0.3 + 60 * d**-0.3) * np.exp(noise)
            rows.append({"arm": arm, "params": n, "tokens": d, "seed": seed, "loss": loss, **more})
    return rows


def clusters(rows, **how):
    return lawful.fit(rows, draws=0, **how).goodness.clusters


def test_rows_of_one_seed_and_size_count_once_and_it_is_said():
    rows = table(np.random.default_rng(0))
    found = lawful.fit(rows, draws=0)
    assert (found.goodness.n, found.goodness.clusters) == (48, 12)
    (note,) = [c for c in found.warnings if c.code == "clustered_by_seed"]
    assert note.severity == "note" and "48 rows count as 12 clusters" in note.sentence
    named = [{**row, "cluster": f"{row['params']}-{row['seed']}"} for row in rows]
    by_name = lawful.fit(named, draws=0)
    assert by_name.params["alpha"].ci95 == found.params["alpha"].ci95  # as if the column had been there
    assert not [c for c in by_name.warnings if c.code == "clustered_by_seed"]


def test_a_named_column_of_clusters_has_the_last_word():
    rows = [{**row, "run": str(i)} for i, row in enumerate(table(np.random.default_rng(0)))]
    assert clusters(rows) == 12  # every run has a name of its own: that says nothing of what they share
    assert clusters(rows, cluster="run") == 48
    assert clusters(rows, cluster="none") == 48
    assert clusters([{**row, "cluster": str(i)} for i, row in enumerate(rows)]) == 48
    assert clusters([{**row, "run": str(i // 2)} for i, row in enumerate(rows)]) == 24  # checkpoints of one run


def test_without_seeds_or_lengths_every_row_is_its_own():
    rows = table(np.random.default_rng(0))
    assert clusters([{k: v for k, v in row.items() if k != "seed"} for row in rows]) == 48
    assert clusters([{**row, "seed": ""} for row in rows]) == 48
    one = [{k: v for k, v in row.items() if k != "tokens"} for row in rows if row["tokens"] == LENGTHS[0]]
    assert clusters(one, law="power_floor:params") == 12
    rows = table(np.random.default_rng(0), shared=0.0)
    flops = [{"flops": 6 * row["params"] * row["tokens"], "seed": row["seed"], "loss": row["loss"]} for row in rows]
    assert clusters(flops, law="power_floor:flops") == 48  # more FLOPs may be a larger model
    assert (
        clusters([{**row, "params": n["params"]} for row, n in zip(flops, rows, strict=True)], law="power:flops") == 12
    )


def test_arms_with_the_same_seeds_are_apart_whatever_their_column_is_called():
    rows = table(np.random.default_rng(0), arms=("a", "b"))
    assert lawful.compare(rows).clusters == 24
    renamed = [{**{k: v for k, v in row.items() if k != "arm"}, "optimizer": row["arm"]} for row in rows]
    found = lawful.compare(renamed, by="optimizer")
    assert (found.clusters, found.is_paired) == (24, False)
    assert [c.code for c in found.warnings if c.severity == "note"] == ["law_chosen", "clustered_by_seed"]


def test_branches_of_identical_arms_are_rarely_called_different():
    """5 of 100; 24 where every row is its own (these 24 tables: 1 and 9)."""
    alarms = 0
    for number in range(36, 60):
        rows = table(np.random.default_rng([3, number]), arms=("a", "b"))
        line = [row for row in rows if row["params"] == SIZES[0]]
        alarms += lawful.compare(line, law="power_floor:tokens").verdict != "no difference shown"
    assert alarms <= 4
