"""Laws of the catalogue on the public data of their papers, beside the published values.

    python benchmarks/published_laws.py --data FOLDER [NAME ...]

FOLDER holds clones of the repositories (a file of one is enough where only one is read):
google-deepmind/scaling_laws_for_routing (data/curves.csv.gz), step-law/steplaw (data/dense_lr_bs_loss.csv),
huggingface/datablations (utils/parametric_fit.ipynb), mlfoundations/scaling (exp_data, scaling/constants.py),
thu-yao-01-luo/MultiPowerLaw (loss_curve_repo/csv_100), sail-sg/scaling-with-vocab (exp_data.csv).
What is not there is said not to have been run. None of it is part of lawful.
"""

from __future__ import annotations

import argparse
import ast
import csv
import gzip
import json
import math
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import lawful
from lawful.errors import Refusal
from lawful.fitting import solver
from lawful.fitting.data import sample as data_of
from lawful.fitting.search import Point, best_point, limits
from lawful.laws import named

Rows = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CHECKS))
    asked = parser.parse_args()
    for name in asked.names or CHECKS:
        print(f"## {name}")
        before = time.process_time()
        try:
            CHECKS[name](asked.data)
        except FileNotFoundError as error:
            print(f"  not run: {error.filename} is not there")
        except Refusal as error:
            print(f"  refused: {error}")
        print(f"  {time.process_time() - before:.1f} processor seconds")


def routing_rows(data: Path) -> Rows:
    """S-Base, k = 1, every other block routed, 249,000 steps and more; with the dense models as one expert."""
    with gzip.open(data / "scaling_laws_for_routing/data/curves.csv.gz", "rt") as file:
        table = list(csv.DictReader(file))
    usual = {"k": "1", "routing_frequency": "0.5", "seed": "42", "flop_increase": "1.0"}
    return [
        {
            "params": float(row["dense_parameter_count"]),
            "experts": float(row["num_experts"]),
            "loss": float(row["loss_validation"]),
        }
        for row in table
        if all(row[key] == value for key, value in usual.items())
        and float(row["step"]) >= 249_000
        and row["router_type"] in ("S-Base", "Dense")
    ]


def routing(data: Path) -> None:
    """The rows of `routing_rows`, by the paper's law."""
    rows = routing_rows(data)
    found = lawful.fit(rows, "mixture_of_experts", objective="l2", cluster="none", draws=0)
    show(found, {"a": 0.080, "b": 0.088, "c": 0.0075, "d": 1.079})
    print(f"  rms of log10 L {found.goodness.rmse_log / np.log(10):.4f}; known .0034 to .0040")


def step_law(data: Path) -> None:
    """1,911 runs of 17 sweeps over learning rate and batch; the published bootstrap's 95 % widths are .119, .074, .072.

    The published law of the batch reads D alone.
    """
    table = data / "steplaw/data/dense_lr_bs_loss.csv"
    found = lawful.optimum(table, over=["lr", "bs"], by=["N", "D"], loss="smooth loss")
    (alone,) = (law for law in found.alone["bs"] if law.inputs == ("D",))
    print(f"  {len(found.read)} of {len(found.cells)} cells have an optimum")
    for name, law, axis, published, width in (
        ("lr*", found.laws["lr"], "N", -0.713, 0.119),
        ("lr*", found.laws["lr"], "D", 0.307, 0.074),
        ("B*", alone, "D", 0.571, 0.072),
    ):
        one = law.exponents[axis]
        inside = "inside" if one.low <= published <= one.high else "OUTSIDE"
        print(
            f"  {name:3} {axis} {one.value:7.3f} [{one.low:.3f}, {one.high:.3f}]; published {published:g}, {inside}; "
            f"{(one.high - one.low) / width:.2f} times as wide as the published bootstrap's"
        )
    one = found.laws["bs"].exponents["N"]
    print(f"  beside D, B* also moves with N, as N^{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]")


def repeated_rows(data: Path) -> Rows:
    """The 182 runs of the notebook."""
    cells = json.loads((data / "datablations/utils/parametric_fit.ipynb").read_text())["cells"]
    names = ast.parse("".join(cells[25]["source"])).body
    losses, tokens_of, params_of = (ast.literal_eval(one.value) for one in names if isinstance(one, ast.Assign))
    rows = []
    for name, loss in losses.items():
        if loss and not name.endswith("dedup"):
            size = next(key for key in sorted(params_of, key=len) if name.startswith(key))
            unique = unique_tokens_of(name, tokens_of)
            tokens = billions(name[len(size) : -len(unique)], tokens_of)
            rows.append(
                {
                    "params": params_of[size],
                    "tokens": tokens,
                    "unique_tokens": billions(unique, tokens_of),
                    "loss": loss,
                    "run": name,
                }
            )
    return rows


def data_constrained(data: Path) -> None:
    """R_D and R_N with all other parameters held at the paper's values for C4, on its own 182 runs and objective."""
    rows = repeated_rows(data)
    a, b, e, alpha = 6.255414, 7.3049974, 0.6254804, 0.3526596
    known = {"E": math.exp(e), "B": math.exp(b), "alpha": alpha, "h": math.exp((a - b) / alpha)}
    bounds = {name: (value * (1 - 1e-9), value * (1 + 1e-9)) for name, value in known.items()}
    law, _ = named("data_constrained_full").bounded(bounds)
    columns = dict.fromkeys(("loss", "params", "tokens", "unique_tokens")) | {"cluster": "none"}
    sample = data_of(lawful.read_runs(rows), law, columns)
    low, high = limits(law, {}, {})
    point = best_point(sample, law, "hoffmann", low, high)
    found = dict(zip(law.parameters, point.parameters, strict=True))
    theirs = np.array([[{"R_D": 15.387756, "R_N": 5.309743}.get(name, value) for name, value in found.items()]])
    print(f"  {len(rows)} runs, the paper's objective (its own notebook: 0.0158259 at R_D 15.39, R_N 5.31)")
    print(f"  at the published values {point.problem.misfit(theirs)[0] * point.problem.scale**2:.7f}")
    near = solver.solve(point.problem, theirs, is_near=True)
    own = dict(zip(law.parameters, near.parameters[0], strict=True))
    value = near.misfit[0] * point.problem.scale**2
    print(f"  descended from those    {value:.7f}: R_D {own['R_D']:.4g}, R_N {own['R_N']:.4g} (published 15.39, 5.31)")
    print(f"  at lawful's optimum     {point.objective_value:.7f}: R_D {found['R_D']:.4g}, R_N {found['R_N']:.4g}")
    for name, (low_end, high_end) in over_resamples(point, theirs).items():
        print(f"  {name} over resamples of the runs, 95 %: [{low_end:.3g}, {high_end:.3g}]")


def over_resamples(point: Point, near: np.ndarray, draws: int = 400) -> dict[str, tuple[float, float]]:
    """R_D and R_N on a grid: the two lie on a ridge, where one descent says little."""
    names = point.problem.law.parameters
    grid = np.array([(d, n) for d in np.geomspace(3, 300, 50) for n in np.geomspace(0.5, 40, 50)])
    candidates = np.repeat(near, len(grid), axis=0)
    candidates[:, names.index("R_D")], candidates[:, names.index("R_N")] = grid.T
    rows = point.problem.rows
    weights = np.random.default_rng(0).multinomial(rows, np.full(rows, 1 / rows), draws).astype(float)
    best = grid[point.problem.misfit_of_each(candidates, weights).argmin(axis=1)]
    low, high = np.percentile(best, (2.5, 97.5), axis=0)
    return {"R_D": (low[0], high[0]), "R_N": (low[1], high[1])}


def unique_tokens_of(name: str, known: dict[str, float]) -> str:
    """The end of a run's name, as the notebook reads it."""
    first = -4 if name[-1] in "bm" or name[-2] not in "bm" else -3
    end = name[first:]
    while end.count("b") > 1 or end.count("m") > 1:
        first += 1
        end = name[first:]
    return end


def billions(text: str, known: dict[str, float]) -> float:
    return 1e9 * (known[text] if text in known else float(text.replace("b", ".").strip(".")))


def downstream(data: Path) -> None:
    """Mean error over 46 tasks, fitted below 1B parameters with the losses on C4, at the larger models."""
    folder = data / "scaling"
    tasks = re.findall(
        r'^    "(\w+)": "', (folder / "scaling/constants.py").read_text().split("VAL_FRIENDLIES")[0], re.M
    )
    for corpus in ("c4_original", "rpj", "rw_original"):
        small, large = [], []
        for path in sorted((folder / "exp_data/models").glob(f"{corpus}-*.json")):
            model = json.loads(path.read_text())
            about = model["hyperparameters"]
            scores = folder / f"exp_data/evals/evaluation_{path.stem}_heavy.json"
            score = json.loads(scores.read_text())["eval_metrics"]["icl"]
            error = float(np.mean([1 - score[task] for task in tasks if task in score]))
            loss = next(one["loss"] for one in model["results"] if one["val_data"][0].split("/")[-2] == "c4_val")
            for kind, value in enumerate((loss, error)):
                row = {"params": about["params"], "tokens": about["tokens"], "is_error": kind, "value": value}
                (small if about["params"] < 1e9 else large).append({**row, "run": f"{path.stem} {kind}"})
        for law in ("downstream_two_steps", "downstream"):
            is_joint = law == "downstream_two_steps"
            rows = [row for row in small if is_joint or row["is_error"]]
            found = lawful.fit(rows, law, loss="value", cluster="none", draws=0)
            away, inside = [], 0
            for row in (row for row in large if row["is_error"]):
                at = {"is_error": row["is_error"]} if is_joint else {}
                forecast = found.predict(params=row["params"], tokens=row["tokens"], interval="new_run", **at)
                away.append(abs(forecast.value / row["value"] - 1))
                inside += forecast.low <= row["value"] <= forecast.high
            print(
                f"  {corpus}, {law}: {len(rows)} values below 1B; of {len(away)} larger models the worst "
                f"relative error is {100 * max(away):.2f} %, {inside} inside the interval of a new run"
            )
        print(
            f"  {corpus}, two fits one after the other: the worst relative error is {100 * in_turn(small, large):.2f} %"
        )
    print("  known: 1.85 % on C4, by two fits one after the other")


def in_turn(small: Rows, large: Rows) -> float:
    """The loss by Gadre's law, then the error as eps - k exp(-gamma L) of the losses of the same models; the worst
    relative error of the larger models' errors, by their forecast losses."""
    losses = [{**row, "loss": row["value"]} for row in small if not row["is_error"]]
    loss = lawful.fit(losses, "overtrained", cluster="none", draws=0)
    of_model = {row["run"].rpartition(" ")[0]: row["value"] for row in losses}
    errors = [{"L": of_model[row["run"].rpartition(" ")[0]], "value": row["value"]} for row in small if row["is_error"]]
    found = lawful.fit(
        errors,
        "eps - k*exp(-gamma*`L`)",
        loss="value",
        objective="l2-raw",
        bounds={"eps": (0.0, 1.5), "gamma": (0.05, 5.0)},
        cluster="none",
        draws=0,
    )
    away = []
    for row in (row for row in large if row["is_error"]):
        ahead = loss.predict(params=row["params"], tokens=row["tokens"]).value
        away.append(abs(found.predict(L=ahead).value / row["value"] - 1))
    return float(max(away))


def annealing(data: Path) -> None:
    """Curves of a 100M model: fitted on three schedules, forecast on six, as the multi-power law's paper does."""
    folder = data / "MultiPowerLaw/loss_curve_repo/csv_100"
    train = curves(folder, ("cosine_24000", "constant_24000", "wsdcon_9"))
    test = curves(
        folder, ("constant_72000", "cosine_72000", "wsd_20000_24000", "wsdld_20000_24000", "wsdcon_3", "wsdcon_18")
    )
    found = lawful.fit(train, "annealing", cluster="curve", draws=0)
    show(found, {})
    at = {axis: np.array([row[axis] for row in test]) for axis in ("rate_sum", "annealed")}
    away = found.loss(found.values, at) - np.array([row["loss"] for row in test])
    print(
        f"  {len(train)} losses of 3 curves; on {len(test)} losses of 6 others the mean absolute error is "
        f"{np.abs(away).mean():.4f}; the multi-power law's is .0044"
    )


def curves(folder: Path, names: Iterable[str], warmup: int = 2160, decay: float = 0.999) -> Rows:
    """Losses with the sum of the rate to that step (S1), and the sum of the momentum of its falls (S2)."""
    rows = []
    for name in names:
        points = [row for row in read(folder / f"{name}.csv") if float(row["step"]) >= warmup]
        steps = max(int(float(row["step"])) for row in points) + 1
        rate = np.concatenate([np.linspace(0, 3e-4, warmup), schedule(name, steps)])[:steps]
        falls = np.maximum(-np.diff(rate, prepend=rate[0]), 0.0)
        falls[:warmup] = 0.0
        momentum, total, fallen = 0.0, 0.0, np.empty(steps)
        for step in range(steps):
            momentum = decay * momentum + falls[step]
            total += momentum
            fallen[step] = total
        summed = np.cumsum(rate)
        for row in points[::4]:
            step = int(float(row["step"]))
            rows.append({"rate_sum": summed[step], "annealed": fallen[step], "loss": float(row["loss"]), "curve": name})
    return rows


def schedule(name: str, steps: int, warmup: int = 2160, peak: float = 3e-4, least: float = 3e-5) -> np.ndarray:
    """The learning rate after the warmup, at every step."""
    kind, _, rest = name.partition("_")
    step = np.arange(warmup, steps)
    if kind == "constant":
        return np.full(len(step), peak)
    if kind == "cosine":
        total = int(rest)
        return least + 0.5 * (peak - least) * (1 + np.cos(np.pi * (step - warmup) / (total - warmup)))
    if kind == "wsdcon":
        return np.where(step < 8000, peak, int(rest) * 1e-5)
    start, total = map(int, rest.split("_"))
    share = np.clip((step - start) / (total - start), 0, 1)
    return peak ** (1 - share) * least**share if kind == "wsd" else peak + (least - peak) * share


def vocabulary_rows(data: Path) -> Rows:
    """Losses relative to unigrams are negative; 6 is added to all, so that E is 6 less than here."""
    rows = []
    for row in read(data / "scaling-with-vocab/exp_data.csv"):
        size = float(row["vocab_size"]) * float(row["embed_dim"])
        if float(row["FLOPs"]) >= 2.18e17:
            rows.append(
                {
                    "params_non_vocab": float(row["Non_vocab_parameters"]),
                    "params_vocab": size,
                    "tokens": float(row["FLOPs"]) / 6 / (float(row["Non_vocab_parameters"]) + size),
                    "loss": float(row["Lossu"]) + 6,
                }
            )
    return rows


def vocabulary(data: Path) -> None:
    """The rows of `vocabulary_rows`, by the paper's law."""
    rows = vocabulary_rows(data)
    found = lawful.fit(rows, "vocabulary", objective="l2-raw", cluster="none", draws=0)
    print(f"  {len(rows)} rows; the paper ties alpha1 to beta")
    show(found, {"alpha1": 0.447, "alpha2": 0.671, "beta": 0.447})


def show(fit: lawful.Fit, published: dict[str, float]) -> None:
    """Each parameter with its interval, and the published value where there is one."""
    for name, parameter in fit.params.items():
        if name in published or not published:
            low, high = parameter.ci95
            beside = f"; published {published[name]:g}" if name in published else ""
            inside = "" if not beside else ", inside" if low <= published[name] <= high else ", OUTSIDE"
            print(f"  {name:8}{parameter.value:10.4g} [{low:.4g}, {high:.4g}]{beside}{inside}")
    if not fit.convergence.is_certified:
        print(f"  not certified: {'; '.join((*fit.convergence.problems, *fit.convergence.at_bounds))}")


def read(path: Path) -> Rows:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


CHECKS = {
    "routing": routing,
    "step_law": step_law,
    "data_constrained": data_constrained,
    "downstream": downstream,
    "annealing": annealing,
    "vocabulary": vocabulary,
}

if __name__ == "__main__":
    main()
