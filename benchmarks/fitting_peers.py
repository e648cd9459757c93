"""lawful.fit against its peers on the 240 rows of arXiv:2404.10102: processor time of the same job, in one run.

    LAWFUL_DATA=... OMP_NUM_THREADS=1 python benchmarks/fitting_peers.py [bfgs] [chinchilla] [simple-scaling-laws]

Needs scipy, and for the last two peers `pip install chinchilla simple-scaling-laws` (the latter on Python 3.12) in an
environment of its own; a peer that is not installed is said not to have been run. The job is a point fit of
E + A N^-alpha + B D^-beta and 4,000 bootstrap refits. Times are processor seconds, children included, so that a busy
machine changes them little.
"""

from __future__ import annotations

import itertools
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import lawful

DRAWS = 4000
DELTA = 1e-3
SAMPLE = 25  # BFGS descents that are timed; the whole job is their mean times their number
GRID = list(itertools.product((0.2, 0.8), (4.0, 8.0), (4.0, 8.0), (0.25, 0.45), (0.25, 0.45)))  # e, a, b, alpha, beta


def main() -> None:
    table = rows_240()
    peers = {
        "bfgs": against_bfgs,
        "chinchilla": against_chinchilla,
        "simple-scaling-laws": against_simple_scaling_laws,
    }
    for name in sys.argv[1:] or peers:
        peers[name](table)


class Ours:
    """lawful's time for the job, taken just before and just after a peer's: both share the load of the machine."""

    def __init__(self, table: lawful.Observations, objective: str) -> None:
        self.table, self.objective, self.seconds = table, objective, list[float]()
        self.again()
        self.seconds.clear()  # the first is warming up
        self.again()

    def again(self) -> float:
        """The mean so far, in processor seconds."""
        seconds, fit = seconds_of(lambda: lawful.fit(self.table, "chinchilla", objective=self.objective, draws=DRAWS))
        self.seconds.append(seconds)
        what = f"lawful.fit, {self.objective}, 4,000 draws, sensitivity and warnings"
        show(what, seconds, f"objective {fit.objective.value:.10f}")
        return sum(self.seconds) / len(self.seconds)


def rows_240() -> lawful.Observations:
    path = Path(os.environ["LAWFUL_DATA"]) / "scaling_tables" / "chinchilla_svg_extracted.csv"
    table = lawful.read_runs(path, params="Model Size", flops="Training FLOP", loss="loss")
    limit = sorted(table.numbers("loss"))[-5]
    return table.where(lambda row: row["loss"] < limit, "one of the five largest losses")


def arrays(table: lawful.Observations) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    params, flops, loss = (table.numbers(name) for name in ("Model Size", "Training FLOP", "loss"))
    return params, flops / 6 / params, loss


def against_bfgs(table: lawful.Observations) -> None:
    """Serial multi-start BFGS with the analytic gradient, in the published parametrisation."""
    from scipy.optimize import minimize

    ours = Ours(table, "hoffmann")
    params, tokens, loss = arrays(table)
    u, v, y = np.log(params), np.log(tokens), np.log(loss)

    def misfit(theta: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
        e, a, b, alpha, beta = theta
        logs = np.stack([np.full_like(u, e), a - alpha * u, b - beta * v])
        total = np.logaddexp.reduce(logs)
        share = np.exp(logs - total)
        r = total - y
        pull = weight * np.clip(r, -DELTA, DELTA)
        rho = np.where(np.abs(r) <= DELTA, 0.5 * r**2, DELTA * (np.abs(r) - 0.5 * DELTA))
        slope = np.array(
            [pull @ share[0], pull @ share[1], pull @ share[2], -pull @ (share[1] * u), -pull @ (share[2] * v)]
        )
        return float(weight @ rho) / DELTA**2, slope / DELTA**2

    rng = np.random.default_rng(0)

    def descents() -> list[float]:
        reached = []
        for _ in range(SAMPLE):
            weight = np.bincount(rng.integers(0, len(u), len(u)), minlength=len(u)).astype(float)
            start = np.array(GRID[rng.integers(len(GRID))])
            reached.append(minimize(misfit, start, args=(weight,), jac=True, method="BFGS").fun)
        return reached

    one = seconds_of(descents)[0] / SAMPLE
    single, whole, mean = one * (DRAWS + 1), one * (DRAWS + 1) * len(GRID), ours.again()
    show(
        f"BFGS, serial, {len(GRID)} starts a refit ({SAMPLE} descents timed)", whole, f"{whole / mean:.0f} times lawful"
    )
    show("BFGS, serial, one start a refit (misses optima)", single, f"{single / mean:.0f} times lawful")


def against_chinchilla(table: lawful.Observations) -> None:
    """Its point fit alone as its README has it: 3,125 starts, its default loss; and with the paper's loss instead."""
    try:
        from chinchilla import Chinchilla
        from chinchilla._metrics import log_huber
    except ImportError as error:
        print(f"chinchilla: not run ({error})")
        return
    ours = Ours(table, "hoffmann")
    axes = {"E": (1, 2), "a": (1, 10), "b": (1, 10), "alpha": (0.1, 0.7), "beta": (0.1, 0.7)}

    def point_fit(**choice: Any) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            rows = ["C,N,D,loss", *(f"{6 * n * d!r},{n!r},{d!r},{loss!r}" for n, d, loss in zip(*lists, strict=True))]
            Path(folder, "df.csv").write_text("\n".join(rows) + "\n")
            grid = {name: np.linspace(*ends, 5) for name, ends in axes.items()}
            peer = Chinchilla(folder, param_grid=grid, log_level=50, **choice)
            peer.fit()
            return dict(peer.params)

    lists = [column.tolist() for column in arrays(table)]
    for what, choice in {
        "its default loss": {},
        "Huber 1e-3 on log loss": {"loss_fn": lambda y_true, y_pred: log_huber(y_true, y_pred, delta=DELTA)},
    }.items():
        seconds, found = seconds_of(lambda choice=choice: point_fit(**choice))  # type: ignore[misc]
        reached = f"objective {objective_of(found, table):.10f}" if choice else "another objective"
        ratio = seconds / ours.again()
        show(f"chinchilla, point fit alone, {what}", seconds, f"{ratio:.0f} times lawful; {reached}")


def objective_of(found: dict[str, float], table: lawful.Observations) -> float:
    params, tokens, loss = arrays(table)
    level = found["E"] + found["A"] * params ** -found["alpha"] + found["B"] * tokens ** -found["beta"]
    r = np.abs(np.log(level / loss))
    return float(np.where(r <= DELTA, 0.5 * r**2, DELTA * (r - 0.5 * DELTA)).sum())


def against_simple_scaling_laws(table: lawful.Observations) -> None:
    """It fits squares of the raw loss; so does lawful here."""
    try:
        import polars
        from simple_scaling_laws import fit as peer_fit
    except ImportError as error:
        print(f"simple-scaling-laws: not run ({error}); it needs Python 3.12")
        return
    ours = Ours(table, "l2-raw")
    params, tokens, loss = arrays(table)
    frame = polars.DataFrame(
        {
            "training_run_id": [str(i) for i in range(len(loss))],
            "model_size__n_params": params,
            "dataset_size__n_tokens": tokens,
            "test_loss__nats": loss,
        }
    )
    seconds, model = seconds_of(lambda: peer_fit(frame, law="separable-power", n_draws=DRAWS, seed=0))
    found = model.params("test_loss__nats")
    show(
        "simple-scaling-laws, separable-power, 4,000 draws",
        seconds,
        f"{seconds / ours.again():.1f} times lawful; "
        + ", ".join(f"{key} {value:.4g}" for key, value in found.items()),
    )


def seconds_of(job: Callable[[], Any]) -> tuple[float, Any]:
    before = processor_seconds()
    result = job()
    return processor_seconds() - before, result


def processor_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def show(what: str, seconds: float, note: str) -> None:
    print(f"{what:64} {seconds:10.2f} s   {note}", flush=True)


if __name__ == "__main__":
    main()
