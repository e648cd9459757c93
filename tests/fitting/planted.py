"""Tables drawn from laws that are known, for tests of recovery, coverage and false alarms."""

from __future__ import annotations

import numpy as np

from lawful.tables import Observations, read_runs

CHINCHILLA = {"E": 1.8, "A": 480.0, "B": 2100.0, "alpha": 0.35, "beta": 0.37}


def chinchilla_loss(params, tokens, law=CHINCHILLA):
    return law["E"] + law["A"] * params ** -law["alpha"] + law["B"] * tokens ** -law["beta"]


def runs_with_checkpoints(
    rng, *, clusters: int, per_cluster: int = 6, sigma: float = 0.005, sigma_run: float = 0.0, tail: str = "normal"
) -> Observations:
    """Runs of at least 6 sizes over 2.5 decades, each measured at several token counts; its rows share a run effect."""
    sizes = np.geomspace(3e7, 1e10, min(clusters, 10))
    rows = []
    for run in range(clusters):
        params = sizes[run % len(sizes)]
        effect = sigma_run * rng.standard_normal()
        for tokens in np.geomspace(1e9, 3e11, per_cluster):
            noise = rng.standard_normal() if tail == "normal" else rng.standard_t(3) / np.sqrt(3)
            loss = chinchilla_loss(params, tokens) * np.exp(effect + sigma * noise)
            rows.append({"params": params, "tokens": tokens, "loss": float(loss), "cluster": f"run{run}"})
    return read_runs(rows)


def single_runs(rng, *, runs: int, sigma: float = 0.005, tail: str = "normal") -> Observations:
    """Independent runs along one axis, L = 1.8 + 480 N^-.35 over three decades."""
    rows = []
    for params in np.geomspace(1e6, 1e9, runs):
        noise = rng.standard_normal() if tail == "normal" else rng.standard_t(3) / np.sqrt(3)
        rows.append({"params": params, "loss": float((1.8 + 480 * params**-0.35) * np.exp(sigma * noise))})
    return read_runs(rows)


def two_arms(
    rng,
    *,
    runs: int = 8,
    seeds: int = 2,
    sigma: float = 0.005,
    sigma_pair: float = 0.0,
    shift: float = 0.0,
    gain: float = 1.0,
    lift: float = 0.0,
    tail: str = "normal",
) -> list[dict]:
    """Arms a and b at the same sizes and seeds; b differs as told: exponent + shift, size x gain, floor + lift."""
    pair = sigma_pair * rng.standard_normal((runs, seeds))
    rows = []
    for arm in "ab":
        is_b = arm == "b"
        for i, params in enumerate(np.geomspace(1e6, 1e9, runs)):
            for seed in range(seeds):
                noise = rng.standard_normal() if tail == "normal" else rng.standard_t(3) / np.sqrt(3)
                reached = (params * (gain if is_b else 1) / 3e7) ** -(0.35 + shift * is_b)
                loss = (1.8 + lift * is_b + 1.2 * reached) * np.exp(sigma * noise + pair[i, seed])
                rows.append({"arm": arm, "params": params, "seed": seed, "loss": float(loss)})
    return rows
