"""Does the forecast of a run's end, made when 30 % of its steps are done, cover what came?

    OMP_NUM_THREADS=1 python benchmarks/mid_run.py --studies FOLDER [--train] [--curves FOLDER]

--studies FOLDER   holds one folder for each recorded study; --train first trains four small ones there (5 minutes)
--curves FOLDER    loss_curve_repo of a clone of thu-yao-01-luo/MultiPowerLaw

Each finished run is cut at a share of its steps and its end forecast from other runs of its study, in three ways:

    plane     lawful's (fitting/mid_run.py): a plane in log parameters and log tokens of the finished runs
    law       the loss-curve law E + A S1^-alpha - C S2 (arXiv:2408.11029): alpha and C of the finished runs, E and A of
              the run's own beginning
    law, E    the same with E of the finished runs, too

The interval of the law's ways is a t interval from their errors where each finished run is left out in turn. The
finished runs are those that lawful would have had ("as trained": the costliest first, the held-out ones last), or all
others ("all others"). The public curves are of three models under nine schedules each. At most two other curves share a
run's schedule, so there is no plane; the law is fitted to the other schedules of the same model ("law, shared": its E
and A, too, with the run's own mean distance so far).

Printed: n, the share of ends inside the 95 % intervals with its Monte Carlo error, the root mean square error and the
median half width, both of the log loss.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from published_laws import read, schedule
from scipy.stats import t as student

import lawful
from lawful.corpora.python_docs import PythonDocs
from lawful.families.decoder import Decoder
from lawful.fitting.mid_run import Losses, RunCurve, forecast_end
from lawful.report.mid_run import MOST_RUNS, _curve, _distance, _keys
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule
from lawful.schema import PlannedRun
from lawful.storage import codec
from lawful.storage.layout import Store
from lawful.study import Question, Study, grid
from lawful.tasks.next_token import NextToken
from lawful.train.optimizer import schedule_factor

SHARES = (0.3, 0.6)
BUILT_IN = ("quickstart", "activation", "ground_truth")
ALPHAS = np.linspace(0.1, 1.5, 15)
MOMENTA = (0.9, 0.99, 0.999)
LEAST_POINTS = 3  # of a beginning
POINTS = 60  # of a curve that the law is fitted to, evenly in the log of the step


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Of one log loss."""

    error: float
    half: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=Path, required=True)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--curves", type=Path)
    asked = parser.parse_args()
    if asked.train:
        train(asked.studies)
    everything: dict[tuple[str, str, float], list[Forecast]] = defaultdict(list)
    for folder in sorted(path.parent for path in asked.studies.glob("*/study.json")):
        for share, order in itertools.product(SHARES, ("as trained", "all others")):
            for way, forecasts in of_study(folder, share, order).items():
                show(f"{folder.name}, {order}, {share:g}, {way}", forecasts)
                everything[way, order, share] += forecasts
    for (way, order, share), forecasts in everything.items():
        show(f"all studies, {order}, {share:g}, {way}", forecasts)
    if asked.curves:
        for share in SHARES:
            for way, forecasts in of_public_curves(asked.curves, share).items():
                show(f"public curves, {share:g}, {way}", forecasts)


def show(what: str, forecasts: Sequence[Forecast]) -> None:
    if not forecasts:
        print(f"{what:48} none")
        return
    covers = np.mean([abs(one.error) <= one.half for one in forecasts])
    by_chance = np.sqrt(covers * (1 - covers) / len(forecasts))
    rms = np.sqrt(np.mean([one.error**2 for one in forecasts]))
    half = np.median([one.half for one in forecasts])
    print(f"{what:48} n {len(forecasts):4} covers {covers:.3f} +- {by_chance:.3f} rms {rms:.4f} half {half:.4f}")


def train(folder: Path) -> None:
    """Four ladders of 30 to 72 runs of some tens of steps; one under a cosine."""
    for name in BUILT_IN:
        command = [sys.executable, "-m", "lawful", "run", name, "--scale", "smoke", "--set", "seeds=3"]
        subprocess.run([*command, "--workers", "1", "--out", str(folder / name)], check=True, stdout=subprocess.DEVNULL)
    if not (folder / "cosine" / "study.json").exists():
        lawful.run_study(cosine_study(), folder / "cosine", workers=1)


def cosine_study() -> Study:
    corpus = PythonDocs()

    def rung(width: int, steps: int, seed: int) -> Run:
        return Run(
            family=Decoder(vocab_size=corpus.vocab_size, width=width, depth=1, heads=2, context=32),
            corpus=corpus,
            task=NextToken(),
            rule=Backprop(),
            optimizer=AdamW(learning_rate=0.384 / width),
            schedule=Schedule(shape="cosine", warmup_steps=10, floor=0.1),
            steps=steps,
            batch_size=16,
            context=32,
            init_seed=seed,
            data_seed=seed,
            eval_every=16,
            eval_tokens=4096,
        )

    return Study(
        name="cosine",
        question="How does the loss fall under a cosine?",
        ladder=grid(rung, width=(16, 24, 32, 48), steps=(48, 96, 192), seed=range(3)),
        held_out={"width": 48},
        questions=[Question(name="size", asks="How does the loss fall with size and data?", law="chinchilla")],
    )


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A finished run of a study."""

    planned: PlannedRun
    key: tuple[object, ...]
    curve: RunCurve
    rates: np.ndarray  # at every step, of the peak

    @property
    def final(self) -> float:
        return float(self.curve.final or np.nan)


def recorded(folder: Path) -> list[Recorded]:
    """In the order in which lawful trains them."""
    here = Store(folder)
    planned = here.read_study().runs
    found = []
    for one, key in zip(planned, _keys(planned), strict=True):
        if not here.result(one.run).exists() or (ended := codec.read_result(here.result(one.run))).status != "finished":
            continue
        fields = json.loads(here.run(one.run).read_text())["schedule"]
        own = Schedule(**{name: value for name, value in fields.items() if name != "is"})
        rates = np.array([schedule_factor(own, one.steps, one.decay_start, step) for step in range(one.steps)])
        curve = _curve(here, one, ended.number("loss"))
        found.append(Recorded(planned=one, key=key, curve=curve, rates=rates * one.learning_rate))
    return sorted(found, key=lambda run: (run.planned.held_out, -run.planned.flops))


def of_study(folder: Path, share: float, order: str) -> dict[str, list[Forecast]]:
    runs = recorded(folder)
    fits = {run.planned.run: profile(run.curve.training, run.rates, run.planned.steps) for run in runs}
    found: dict[str, list[Forecast]] = {"plane": [], "law": [], "law, E": []}
    for at, run in enumerate(runs):
        others = runs[: max(at - 1, 0)] if order == "as trained" else runs[:at] + runs[at + 1 :]  # two workers
        alike = [one for one in others if one.key == run.key]
        alike = sorted(alike, key=lambda one: _distance(run.planned, one.planned))[:MOST_RUNS]
        ahead = forecast_end(begun(run.curve, share), [one.curve for one in alike])
        if ahead is None:
            continue
        half = float(np.log(ahead.high / ahead.loss))
        found["plane"].append(Forecast(error=float(np.log(run.final / ahead.loss)), half=half))
        for way in ("law", "law, E"):  # on the same runs
            own = by_law(fits[run.planned.run], [fits[one.planned.run] for one in alike], ahead.share, way)
            misses = []
            for left, one in enumerate(alike):
                rest = [fits[other.planned.run] for other in alike[:left] + alike[left + 1 :]]
                misses.append(np.log(one.final) - by_law(fits[one.planned.run], rest, ahead.share, way))
            known = np.array(misses)[np.isfinite(misses)]
            if np.isfinite(own) and len(known) > 2:
                spread = float(np.std(known, ddof=1)) * np.sqrt(1 + 1 / len(known))
                half = float(student.ppf(0.975, len(known) - 1)) * spread
                found[way].append(Forecast(error=float(np.log(run.final) - own - np.mean(known)), half=half))
    return found


def begun(curve: RunCurve, share: float) -> RunCurve:
    """The run as it was when it first had that share of its steps in its record."""
    share = float(curve.training.share[np.argmax(curve.training.share >= share - 1e-9)])
    return replace(
        curve, final=None, training=until(curve.training, share), evaluations=until(curve.evaluations, share)
    )


def until(losses: Losses, share: float) -> Losses:
    seen = losses.share <= share + 1e-9
    return Losses(share=losses.share[seen], loss=losses.loss[seen])


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A curve with its sums of the rate, and what is left of loss and S2 beside E + A S1^-alpha, for all (momentum,
    alpha): sums of squares and products, so that any group of curves shares an alpha and a C at once."""

    share: np.ndarray
    loss: np.ndarray
    summed: np.ndarray  # S1
    annealed: np.ndarray  # S2 by momentum
    products: np.ndarray  # (momentum, alpha, 3): loss x loss, loss x S2, S2 x S2


def profile(losses: Losses, rates: np.ndarray, steps: int) -> Profile:
    at = np.clip(np.round(losses.share * steps).astype(int) - 1, 0, steps - 1)
    peak = int(np.argmax(rates >= 0.999 * rates.max()))
    chosen = np.unique(np.geomspace(1, len(at), POINTS).astype(int) - 1)
    chosen = chosen[at[chosen] >= peak]
    falls = np.maximum(-np.diff(rates, prepend=rates[0]), 0.0)
    annealed = np.array([np.cumsum(with_momentum(falls, decay)) for decay in MOMENTA])[:, at[chosen]]
    summed = np.cumsum(rates)[at[chosen]]
    loss = losses.loss[chosen]
    products = np.empty((len(MOMENTA), len(ALPHAS), 3))
    for a, alpha in enumerate(ALPHAS):
        q, _ = np.linalg.qr(np.column_stack([np.ones(len(loss)), summed**-alpha]))
        y = loss - q @ (q.T @ loss)
        for m, one in enumerate(annealed):
            s = one - q @ (q.T @ one)
            products[m, a] = y @ y, y @ s, s @ s
    return Profile(share=losses.share[chosen], loss=loss, summed=summed, annealed=annealed, products=products)


def with_momentum(falls: np.ndarray, decay: float) -> np.ndarray:
    found, momentum = np.empty(len(falls)), 0.0
    for step, fall in enumerate(falls):
        momentum = found[step] = decay * momentum + fall
    return found


def by_law(run: Profile, others: Sequence[Profile], share: float, way: str) -> float:
    """The log of the training loss at the end."""
    total = np.sum([one.products for one in others], axis=0)
    gain = np.where(total[..., 2] > 0, -total[..., 1] / np.maximum(total[..., 2], 1e-300), 0.0)
    rest = total[..., 0] - np.where(total[..., 2] > 0, total[..., 1] ** 2 / np.maximum(total[..., 2], 1e-300), 0.0)
    m, a = np.unravel_index(int(np.argmin(rest)), rest.shape)
    alpha, c = ALPHAS[a], gain[m, a]

    def linear(one: Profile, seen: np.ndarray) -> np.ndarray:
        columns = np.column_stack([np.ones(int(seen.sum())), one.summed[seen] ** -alpha])
        return np.linalg.lstsq(columns, one.loss[seen] + c * one.annealed[m][seen], rcond=None)[0]

    seen = run.share <= share + 1e-9
    if seen.sum() < LEAST_POINTS:  # hardly past the warmup
        return np.nan
    if way == "law":
        e, scale = linear(run, seen)
    else:
        e = float(np.mean([linear(one, one.share > 0)[0] for one in others]))
        basis = run.summed[seen] ** -alpha
        scale = float(basis @ (run.loss[seen] + c * run.annealed[m][seen] - e) / (basis @ basis))
    end = e + scale * run.summed[-1] ** -alpha - c * run.annealed[m][-1]
    return float(np.log(max(end, 1e-3)))


def of_public_curves(folder: Path, share: float) -> dict[str, list[Forecast]]:
    """The last loss of each curve by the other schedules of its model; a constant schedule is no help to another."""
    found: dict[str, list[Forecast]] = {"plane": [], "law, shared": []}
    for model in sorted(folder.glob("csv_*")):
        curves = {path.stem: public(path) for path in sorted(model.glob("*.csv"))}
        for name, run in curves.items():
            others = [
                one
                for other, one in curves.items()
                if other != name and not (name.startswith("constant") and other.startswith("constant"))
            ]
            own = miss(run, others, share)
            misses = [miss(one, others[:at] + others[at + 1 :], share) for at, one in enumerate(others)]
            spread = float(np.sqrt(np.mean(np.square(misses)))) * np.sqrt(1 + 1 / len(misses))
            half = float(student.ppf(0.975, len(misses))) * spread
            found["law, shared"].append(Forecast(error=own, half=half))
    return found


def miss(run: Profile, others: Sequence[Profile], share: float) -> float:
    """Log of the end over its forecast; one E, A, alpha and C for all of a model, and the run's own mean distance."""
    best = (np.inf, 0.0)
    for m, alpha in itertools.product(range(len(MOMENTA)), ALPHAS):

        def columns(one: Profile, m: int = m, alpha: float = alpha) -> np.ndarray:
            return np.column_stack([np.ones(len(one.loss)), one.summed**-alpha, -one.annealed[m]])

        x, y = np.concatenate([columns(one) for one in others]), np.concatenate([one.loss for one in others])
        parameters = np.linalg.lstsq(x, y, rcond=None)[0]
        rest = float(np.sum((y - x @ parameters) ** 2))
        if rest < best[0]:
            fitted = columns(run) @ parameters
            seen = run.share <= share
            offset = float(np.mean(run.loss[seen] - fitted[seen]))
            best = (rest, float(np.log(run.loss[-1] / (fitted[-1] + offset))))
    return best[1]


def public(path: Path, warmup: int = 2160) -> Profile:
    rows = [row for row in read(path) if float(row["step"]) >= warmup]
    at = np.array([float(row["step"]) for row in rows])
    steps = int(at[-1]) + 1
    rates = np.concatenate([np.linspace(0, 3e-4, warmup), schedule(path.stem, steps)])[:steps]
    loss = np.array([float(row["loss"]) for row in rows])
    return profile(Losses(share=(at + 1) / steps, loss=loss), rates, steps)


if __name__ == "__main__":
    main()
