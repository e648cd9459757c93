"""Does what lawful says hold? Laws are planted, many tables are drawn from each, and what is said is counted.

    OMP_NUM_THREADS=1 python benchmarks/coverage.py                  # all cells, 400 tables each: 45 minutes, 2 cores
    OMP_NUM_THREADS=1 python benchmarks/coverage.py --tables 2000    # make coverage-full
    OMP_NUM_THREADS=1 python benchmarks/coverage.py --only crossover --tables 20 --seed 7

A cell is a design, its noise and one claim of lawful's about it. The list of cells is fixed: a mend may change what
lawful says, and how a cell reads it, but no cell is dropped or made easier. What each kind of cell counts:

coverage     tables whose 95 % interval holds the planted value; a refused table is a miss. `width` is the median
             half-width divided by 1.96 standard errors of a fit of the right law that knows the noise
false alarm  tables in which something is claimed that is not there
power        tables in which something that is there is found; `best` is the power at 5 % of a test that knows the
             noise and the right alternative
speaks       tables in which a fault of the table is named

Writes benchmarks/results/coverage.json and docs/statistics.md. Each cell that is done is kept in a folder (--kept),
under its name, the number of tables, the seed and the code that was measured: a run that was stopped goes on from
there. Changed code is measured again; --accept CODE takes cells of an earlier code, for changes that touch others.
--only NAME --merge puts the counts of some cells in the place of their former ones: the page then says which cells were
measured by which code. --page writes the page from the counts that are there. What is said beside a cell on the page
is in coverage_notes.py.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from textwrap import fill
from typing import Any, Literal

import numpy as np
from coverage_notes import NOTES

import lawful
from lawful.errors import Refusal
from lawful.fitting.allocate import allocate
from lawful.fitting.crossover import crossover
from lawful.fitting.paired import paired
from lawful.fitting.replay import replay
from lawful.storage.atomic import write_json, write_text
from lawful.storage.json_files import read_json
from lawful.tables import Observations, read_runs

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "coverage.json"
PAGE = ROOT / "docs" / "statistics.md"
KEPT = ROOT / "benchmarks" / "results" / "coverage_cells"
MEASURED = ("src/lawful/fitting", "src/lawful/laws", "src/lawful/tables")  # and this file
TABLES = 400  # the standard error of a coverage of .95 is then .011
DRAWS = 400  # of a bootstrap, where one is used: enough for percentiles, and a table takes a third of a second

Array = np.ndarray
Rows = list[dict[str, Any]]
Kind = Literal["coverage", "false alarm", "power", "speaks"]


@dataclass(frozen=True)
class Said:
    """What came of one table. `hit`: covered, alarmed or found; None: refused. half_width: of the interval."""

    hit: bool | None
    half_width: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Cell:
    """draw(generator) gives a table, said(table) reads lawful's claim about it.

    goal       the least coverage or power, the largest share of false alarms
    widest     of coverage: the largest width that is allowed, in the same unit as `width`: 1.3 where the right law is
               named; where none is, 2.0, twice the half-width of a fit of the planted law
    best       of coverage: the half-width that a fit which knows the noise would have; of power: the best test's
    is_right   the fitted law is the planted one: these are pooled
    """

    name: str
    kind: Kind
    goal: float
    draw: Callable[[np.random.Generator], Rows]
    said: Callable[[Rows], Said]
    best: Callable[[], float] | None = None
    is_right: bool = False
    widest: float = 1.3


# ---- planted laws


def line(size: Array, E: float = 1.5, A: float = 1.2, alpha: float = 0.3) -> Array:
    return E + A * (size / 1e6) ** -alpha


SURFACE = {"E": 1.8, "A": 400.0, "alpha": 0.34, "B": 410.0, "beta": 0.28}


def surface(params: Array, tokens: Array, E: float, A: float, alpha: float, B: float, beta: float) -> Array:
    return E + A * params**-alpha + B * tokens**-beta


def kaplan(params: Array, tokens: Array) -> Array:
    return ((2e9 / params) ** (0.1 / 0.12) + 4e9 / tokens) ** 0.12


def coupled(params: Array, tokens: Array) -> Array:
    return 1.6 + (60.0 * params**-0.5 + 90.0 * tokens**-0.42) ** 0.7  # arXiv:2608.07222


def broken(size: Array) -> Array:
    """The exponent goes from .35 to .15 around 2e6, with no floor but .4 (arXiv:2210.14891)."""
    return 0.4 + 2.0 * (size / 1e6) ** -0.35 * (1 + (size / 2e6) ** 4) ** (0.2 / 4)


def data_limited(params: Array, tokens: Array, unique: float = 2e8) -> Array:
    """Repeated tokens are worth less (arXiv:2305.16264, R_D* = 15.4), fitted as if they were not repeated."""
    return data_limited_as(params, tokens, *SURFACE.values(), unique)


def coupled_tightly(params: Array, tokens: Array, E: float, A: float, a: float, B: float, b: float, k: float) -> Array:
    """Near the larger of the two terms; A and B are the terms at 1e8 parameters and 2e9 tokens."""
    return E + ((A * (params / 1e8) ** -a) ** (1 / k) + (B * (tokens / 2e9) ** -b) ** (1 / k)) ** k


def shifted(size: Array, E: float = 1.5, A: float = 1.2, alpha: float = 0.4, shift: float = 1.0) -> Array:
    """The size counts from an offset, of the order of the smallest sizes (Zhai et al. 2022, arXiv:2106.04560)."""
    return E + A * (size / 1e6 + shift) ** -alpha


def pure(size: Array, a: float = 3.0, alpha: float = 0.08) -> Array:
    return a * (size / 1e6) ** -alpha


def s_curve(size: Array) -> Array:
    return 2.1 / (1 + (size / 1.2e8) ** 2.5) + 0.4


# ---- designs


def sizes(number: int) -> Array:
    return np.geomspace(1e5, 1e7, number)


@cache
def grid(num_params: int, num_tokens: int) -> tuple[Array, Array]:
    """Every size with every number of tokens, two decades each. Shape (runs,) both."""
    params, tokens = np.meshgrid(np.geomspace(1e7, 1e9, num_params), np.geomspace(2e8, 2e10, num_tokens))
    return params.ravel(), tokens.ravel()


# ---- noise: each gives log noise of shape (rows,), with standard deviation sigma


def gaussian(rng: np.random.Generator, n: int, sigma: float) -> Array:
    return sigma * rng.standard_normal(n)


def heavy(rng: np.random.Generator, n: int, sigma: float) -> Array:
    return sigma * rng.standard_t(3, n) / math.sqrt(3)


def outliers(rng: np.random.Generator, n: int, sigma: float) -> Array:
    return sigma * rng.standard_normal(n) * np.where(rng.random(n) < 0.02, 10.0, 1.0)


Noise = Callable[[np.random.Generator, int, float], Array]
SIGMA = 0.004


def shrinking(size: Array) -> Array:
    """Standard deviation of each row: 1.25 % at the smallest size, .27 % at the largest."""
    share = (np.log(size) - np.log(size.min())) / (np.log(size.max()) - np.log(size.min()))
    return np.exp(np.log(0.0125) + share * (np.log(0.0027) - np.log(0.0125)))


def line_rows(
    number: int,
    seeds: int,
    *,
    noise: Noise = gaussian,
    sigma: float | None = SIGMA,
    law: Callable[[Array], Array] = line,
) -> Callable[[np.random.Generator], Rows]:
    """sigma   None: it shrinks with size"""
    size, seed = np.repeat(sizes(number), seeds), np.tile(np.arange(seeds), number)
    spread = shrinking(size) if sigma is None else np.full(len(size), sigma)

    def draw(rng: np.random.Generator) -> Rows:
        loss = law(size) * np.exp(spread * noise(rng, len(size), 1.0))
        return [
            {"params": float(n), "seed": int(s), "loss": float(y), "run": f"{n:.0f}-{s}"}
            for n, s, y in zip(size, seed, loss, strict=True)
        ]

    return draw


def surface_rows(
    num_params: int,
    num_tokens: int,
    *,
    law: Callable[[Array, Array], Array] = lambda n, d: surface(n, d, **SURFACE),
    noise: Noise = gaussian,
    sigma: float = SIGMA,
    run_sigma: float = 0.0,
    at: tuple[Array, Array] | None = None,
) -> Callable[[np.random.Generator], Rows]:
    """run_sigma   of an effect that the rows of one size share, as checkpoints of one run do"""
    params, tokens = at if at is not None else grid(num_params, num_tokens)

    def draw(rng: np.random.Generator) -> Rows:
        effects = dict(zip(np.unique(params), run_sigma * rng.standard_normal(len(np.unique(params))), strict=True))
        shared = np.array([effects[n] for n in params])
        loss = law(params, tokens) * np.exp(shared + noise(rng, len(params), sigma))
        clusters = {"cluster": lambda n: f"{n:.0f}"} if run_sigma else {}
        return [
            {"params": float(n), "tokens": float(d), "loss": float(y), **{k: of(n) for k, of in clusters.items()}}
            for n, d, y in zip(params, tokens, loss, strict=True)
        ]

    return draw


def arms_rows(
    number: int,
    seeds: int,
    *,
    laws: Mapping[str, Mapping[str, float]],
    noise: Noise = gaussian,
    sigma: float | None = SIGMA,
    rho: float = 0.0,
    axis: str = "params",
) -> Callable[[np.random.Generator], Rows]:
    """laws   arm -> what its line differs in. rho: correlation of the noise between arms at one size and seed"""
    size, seed = np.repeat(sizes(number), seeds), np.tile(np.arange(seeds), number)
    spread = shrinking(size) if sigma is None else np.full(len(size), sigma)

    def draw(rng: np.random.Generator) -> Rows:
        shared = noise(rng, len(size), 1.0)
        rows: Rows = []
        for arm, changes in laws.items():
            own = noise(rng, len(size), 1.0)
            loss = line(size, **changes) * np.exp(spread * (math.sqrt(rho) * shared + math.sqrt(1 - rho) * own))
            rows += [
                {"arm": arm, axis: float(n), "seed": int(s), "loss": float(y)}
                for n, s, y in zip(size, seed, loss, strict=True)
            ]
        return rows

    return draw


def trunk_rows(arms: Sequence[str], *, trunks: int, has_clusters: bool) -> Callable[[np.random.Generator], Rows]:
    """Branches of 4 lengths from each trunk, at one size: runs of a trunk share .7 of their variance (the ICC)."""
    budgets = np.geomspace(1e6, 8e6, 4)

    def draw(rng: np.random.Generator) -> Rows:
        rows: Rows = []
        for arm in arms:
            for trunk in range(trunks):
                effect = math.sqrt(0.7) * SIGMA * rng.standard_normal()
                for tokens in budgets:
                    loss = line(tokens) * math.exp(effect + math.sqrt(0.3) * SIGMA * rng.standard_normal())
                    row = {"arm": arm, "tokens": float(tokens), "seed": trunk, "loss": float(loss)}
                    rows.append({**row, "cluster": f"{arm}-{trunk}"} if has_clusters else row)
        return rows

    return draw


def checkpoint_rows(runs: int, per_run: int) -> Callable[[np.random.Generator], Rows]:
    """Two runs of each size, each measured at several lengths; a run's rows share .7 of their variance."""

    def draw(rng: np.random.Generator) -> Rows:
        rows: Rows = []
        for run, n in enumerate(np.repeat(np.geomspace(1e7, 1e9, runs // 2), 2)):
            effect = math.sqrt(0.7) * SIGMA * rng.standard_normal()
            for d in np.geomspace(2e8, 2e10, per_run):
                noise = effect + math.sqrt(0.3) * SIGMA * rng.standard_normal()
                loss = surface(n, d, **SURFACE) * math.exp(noise)
                rows.append({"params": float(n), "tokens": float(d), "loss": float(loss), "cluster": f"run{run}"})
        return rows

    return draw


def isoflop_rows(law: Callable[[Array, Array], Array]) -> Callable[[np.random.Generator], Rows]:
    """Five budgets of 6 N D, nine sizes each, centred on the surface's own optimum."""
    params, tokens = [], []
    for budget in np.geomspace(1e17, 1e19, 5):
        best = best_size_of(budget)
        for factor in np.geomspace(1 / 6, 6, 9):
            params.append(best * factor)
            tokens.append(budget / 6 / (best * factor))
    return surface_rows(0, 0, law=law, at=(np.array(params), np.array(tokens)))


def best_size_of(flops: float) -> float:
    """Of SURFACE under 6 N D: (alpha A / beta B)^(1/(alpha+beta)) (C/6)^(beta/(alpha+beta)) (arXiv:2203.15556, (4))."""
    a, b = SURFACE["alpha"], SURFACE["beta"]
    return float((a * SURFACE["A"] / b / SURFACE["B"]) ** (1 / (a + b)) * (flops / 6) ** (b / (a + b)))


N_EXPONENT = SURFACE["beta"] / (SURFACE["alpha"] + SURFACE["beta"])


# ---- what a fit that knows the noise could do: from the slopes of the planted law at the planted values


def half_width(
    of: Callable[[Array], float], at: Sequence[float], log_loss: Callable[[Array], Array], spread: Array | float
) -> float:
    """1.96 standard errors of of(theta), where log losses have independent normal noise with a known spread."""
    theta = np.asarray(at, dtype=float)
    slopes = gradient(log_loss, theta)
    slopes /= np.broadcast_to(spread, len(slopes))[:, None]
    lever = gradient(lambda t: np.array([of(t)]), theta)[0]
    scale = 1 / np.sqrt((slopes**2).sum(0))
    inverse = np.linalg.pinv((slopes * scale).T @ (slopes * scale), rcond=1e-13)
    return float(1.96 * math.sqrt((lever * scale) @ inverse @ (lever * scale)))


def gradient(function: Callable[[Array], Array], theta: Array) -> Array:
    """Shape (values, parameters), by central differences."""
    columns = []
    for i, value in enumerate(theta):
        step = 1e-5 * max(abs(value), 1e-3)
        up, down = theta.copy(), theta.copy()
        up[i], down[i] = value + step, value - step
        columns.append((np.asarray(function(up)) - np.asarray(function(down))) / (2 * step))
    return np.array(columns).T


def power_of(effect: float, half: float) -> float:
    """Of a two-sided normal test at 5 %, of an effect whose 1.96 standard errors are `half`."""
    z = effect / (half / 1.96)
    return float(_phi(z - 1.96) + _phi(-z - 1.96))


def _phi(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


LINE = (1.5, 1.2, 0.3)


def line_half(
    of: Callable[[Array], float], number: int, seeds: int, spread: Array | float = SIGMA
) -> Callable[[], float]:
    size = np.repeat(sizes(number), seeds)
    return lambda: half_width(of, LINE, lambda t: np.log(line(size, *t)), spread)


def surface_half(of: Callable[[Array], float], params: Array, tokens: Array) -> Callable[[], float]:
    at = tuple(SURFACE.values())
    return lambda: half_width(of, at, lambda t: np.log(surface(params, tokens, *t)), SIGMA)


def arms_half(of: str, number: int, seeds: int) -> Callable[[], float]:
    """Of one difference between two arms alone, everything else common to both and fitted. of: alpha, gain or E."""
    size = np.repeat(sizes(number), seeds)

    def both(t: Array) -> Array:
        E, A, alpha, difference = t
        second = {
            "alpha": lambda: line(size, E, A, alpha + difference),
            "E": lambda: line(size, E + difference, A, alpha),
            "gain": lambda: line(size * math.exp(difference), E, A, alpha),
        }[of]()
        return np.log(np.concatenate([line(size, E, A, alpha), second]))

    return lambda: half_width(lambda t: t[3], (*LINE, 0.0), both, SIGMA)


# ---- what lawful says


def interval_of(interval: Sequence[float], truth: float) -> Said:
    low, high = map(float, interval)
    if not (math.isfinite(low) and math.isfinite(high)):
        return Said(low <= truth <= high if not (math.isnan(low) or math.isnan(high)) else False, math.nan)
    return Said(low <= truth <= high, (high - low) / 2)


def fitted(rows: Rows | Observations, law: str, **how: Any) -> Any:
    return lawful.fit(rows, law, draws=DRAWS, **how)


def parameter(law: str, name: str, truth: float) -> Callable[[Rows], Said]:
    return lambda rows: interval_of(fitted(rows, law).params[name].ci95, truth)


def forecast(law: str, truth: float, interval: str = "mean", **at: float) -> Callable[[Rows], Said]:
    def said(rows: Rows) -> Said:
        found = fitted(rows, law).predict(**at, interval=interval)
        return interval_of((found.low, found.high), truth)

    return said


def forecast_of_no_law(truth: float, **at: float) -> Callable[[Rows], Said]:
    """The law is lawful's choice; its forecasts draw on no bootstrap."""

    def said(rows: Rows) -> Said:
        found = lawful.fit(rows, draws=0).predict(**at, interval="mean")
        return interval_of((found.low, found.high), truth)

    return said


def forecast_of_new_run(rows: Rows) -> Said:
    """The rows at the largest size are held out, and each is forecast as a new run."""
    largest = max(row["params"] for row in rows)
    found = fitted([row for row in rows if row["params"] < largest], "power_floor").predict(
        params=largest, interval="new_run"
    )
    held = [row["loss"] for row in rows if row["params"] == largest]
    return Said(bool(found.low <= held[0] <= found.high), (found.high - found.low) / 2)


def optimum(what: str, truth: float, flops: float) -> Callable[[Rows], Said]:
    def said(rows: Rows) -> Said:
        found = getattr(allocate(fitted(rows, "chinchilla"), flops=flops), what)
        if what == "params":  # spreads over decades: compared on a log scale
            return interval_of((math.log(found.low), math.log(found.high)), math.log(truth))
        return interval_of((found.low, found.high), truth)

    return said


def by_isoflop(rows: Rows) -> Said:
    return interval_of(lawful.isoflop(rows).N_exponent_ci95, N_EXPONENT)


def compared(alarm: Callable[[Any], bool], **how: Any) -> Callable[[Rows], Said]:
    return lambda rows: Said(alarm(lawful.compare(rows, **{"law": "power_floor", **how})))


def any_difference(found: Any) -> bool:
    return found.verdict not in ("no difference shown", "not decided")


def exponents_differ(found: Any) -> bool:
    return bool(found.decision == "exponents differ")


def other_than_coefficients(found: Any) -> bool:
    """A factor in size was planted: neither floors nor exponents differ."""
    return bool(found.verdict in ("the floor differs", "exponents differ"))


def difference(truth: float, **how: Any) -> Callable[[Rows], Said]:
    def said(rows: Rows) -> Said:
        found = lawful.compare(rows, law="power_floor", **how)
        return interval_of(next(d for d in found.differences if d.parameter == "alpha").ci95, truth)

    return said


def crossing(rows: Rows) -> Said:
    """A crossing is named."""
    return Said(crossover(rows, draws=DRAWS).at is not None)


def lead(rows: Rows) -> Said:
    """An arm is said to be ahead over the whole range of both."""
    return Said(crossover(rows, draws=DRAWS).leader is not None)


def crossing_held(truth: float) -> Callable[[Rows], Said]:
    """The set of sizes at which neither arm is ahead holds the crossing."""

    def said(rows: Rows) -> Said:
        pieces = crossover(rows, draws=DRAWS).set95
        width = sum(math.log(min(high, 1e12) / max(low, 1.0)) for low, high in pieces) / 2
        return Said(any(low <= truth <= high for low, high in pieces), width)

    return said


def ahead_claim(rows: Rows) -> Said:
    found = replay(rows, "a beats b above 1000000", draws=DRAWS)
    return Said(found.verdict in ("supported", "contradicted"))


def verdict(claim: str, wrong: Sequence[str]) -> Callable[[Rows], Said]:
    return lambda rows: Said(replay(rows, claim, draws=DRAWS).verdict in wrong)


def paired_lead(rows: Rows) -> Said:
    return Said(paired(read_runs(rows), "tokens").is_decided)


def multiplier(axis_truth: float, law: str) -> Callable[[Rows], Said]:
    def said(rows: Rows) -> Said:
        return interval_of(lawful.compare(rows, law=law).multipliers[0].ci95, axis_truth)

    return said


MISFIT = {"lack_of_fit", "misfit"}
RUNG = {"rung_off"}


def warned(law: str, codes: set[str], severities: Sequence[str] = ("warning", "severe")) -> Callable[[Rows], Said]:
    return lambda rows: Said(any(c.code in codes and c.severity in severities for c in fitted(rows, law).warnings))


# ---- the cells


def two(**second: float) -> dict[str, dict[str, float]]:
    return {"a": {}, "b": second}


THREE: dict[str, dict[str, float]] = {"a": {}, "b": {}, "c": {}}
CROSSED = two(alpha=0.24)  # they cross at 1e6
FLOP_LIMIT = 10 * 6 * 1e9 * 2e10  # ten times the largest compute of the 6 x 4 grid
AT_TEN = {"params": 1e9 * math.sqrt(10), "tokens": 2e10 * math.sqrt(10)}
FAR = (np.array(AT_TEN["params"]), np.array(AT_TEN["tokens"]))
SURFACE_AT_TEN = float(surface(*FAR, **SURFACE))


def undertrained(rows: Rows) -> Rows:
    """The largest size was not trained to its end: its losses are 2 % too high."""
    largest = max(row["params"] for row in rows)
    return [{**row, "loss": row["loss"] * (1.02 if row["params"] == largest else 1)} for row in rows]


def rounded(rows: Rows, digits: int) -> Rows:
    return [{**row, "loss": round(row["loss"], digits)} for row in rows]


def twice(rows: Rows) -> Rows:
    """Each run again under another name."""
    return [*rows, *({**row, "run": f"{row['run']}-copy"} for row in rows)]


def then(draw: Callable[[np.random.Generator], Rows], change: Callable[[Rows], Rows]) -> Callable[[Any], Rows]:
    return lambda rng: change(draw(rng))


def seeds_shared_between_lengths(rng: np.random.Generator) -> Rows:
    """Five lengths of 6 seeds; runs of one seed correlate by .77 across lengths, as measured under cosine."""
    effects = rng.standard_normal(6)
    rows: Rows = []
    for tokens in sizes(5):
        for seed in range(6):
            noise = SIGMA * (math.sqrt(0.77) * effects[seed] + math.sqrt(0.23) * rng.standard_normal())
            loss = float(line(tokens)) * math.exp(noise)
            rows.append({"tokens": float(tokens), "seed": seed, "loss": loss, "run": f"{tokens:.0f}-{seed}"})
    return rows


def as_table_of(rows: Rows) -> Rows:
    """D = 20 N, FLOPs 6 N D: an arm that needs 1/x of the parameters for a loss needs 1/x^2 of the compute."""
    return [
        {**row, "tokens": 20 * row["params"], "flops": 120 * row["params"] ** 2, "run": f"{row['arm']}{i}"}
        for i, row in enumerate(rows)
    ]


def half_of(size: float) -> Callable[[Array], float]:
    return lambda t: float(line(np.array(size), *t))


ALPHA_COVERED, WRONG_COVERED, ALARMS, MISFIT_ALARMS = 0.95, 0.90, 0.05, 0.02
grid64 = grid(6, 4)
kaplan_truth = surface_rows(0, 0, law=kaplan, at=grid64)


def surface_at(t: Array) -> float:
    return float(surface(*FAR, *t))


def log_optimum(t: Array) -> float:
    E, A, a, B, b = t
    return float(np.log(a * A / b / B) / (a + b) + b / (a + b) * np.log(FLOP_LIMIT / 6))


def right(name: str, draw: Any, said: Any, best: Callable[[], float] | None = None) -> Cell:
    return Cell(name=name, kind="coverage", goal=ALPHA_COVERED, draw=draw, said=said, best=best, is_right=True)


def wrong(name: str, draw: Any, said: Any) -> Cell:
    return Cell(name=name, kind="coverage", goal=WRONG_COVERED, draw=draw, said=said)


def no_law(name: str, design: tuple[Array, ...], law: Callable[..., Array], at: tuple[float, ...]) -> Cell:
    """L at 10 times the compute, or the size, of a planted law: law(axes, parameters)."""
    is_surface = len(design) == 2
    far = FAR if is_surface else (np.array(1e8),)
    axes = ("params", "tokens")[: len(design)]

    def draw(rng: np.random.Generator) -> Rows:
        loss = law(*design, *at) * np.exp(SIGMA * rng.standard_normal(len(design[0])))
        return [
            {**dict(zip(axes, map(float, row), strict=True)), "loss": float(y), "run": str(i)}
            for i, (*row, y) in enumerate(zip(*design, loss, strict=True))
        ]

    return Cell(
        name=f"{name}: L at 10 x {'C' if is_surface else 'N'}",
        kind="coverage",
        goal=WRONG_COVERED,
        draw=draw,
        said=forecast_of_no_law(float(law(*far, *at)), **dict(zip(axes, map(float, far), strict=True))),
        best=lambda: half_width(lambda t: float(law(*far, *t)), at, lambda t: np.log(law(*design, *t)), SIGMA),
        widest=2.0,  # the choice of form has a share in them
    )


def data_limited_as(
    n: Array, d: Array, E: float, A: float, alpha: float, B: float, beta: float, unique: float
) -> Array:
    fresh = np.minimum(d, unique)
    return surface(n, fresh + fresh * 15.4 * (1 - np.exp(-(d / fresh - 1) / 15.4)), E, A, alpha, B, beta)


def broken_as(size: Array, E: float, A: float, alpha: float, change: float, at: float) -> Array:
    """`broken` with its parameters, but for the width of the break."""
    return E + A * (size / 1e6) ** -alpha * (1 + (size / 1e6 / at) ** 4) ** (change / 4)


def alarm(name: str, draw: Any, said: Any, goal: float = ALARMS) -> Cell:
    return Cell(name=name, kind="false alarm", goal=goal, draw=draw, said=said)


def finds(name: str, draw: Any, said: Any, best: Callable[[], float]) -> Cell:
    return Cell(name=name, kind="power", goal=0.9, draw=draw, said=said, best=best)


def speaks(name: str, draw: Any, said: Any) -> Cell:
    return Cell(name=name, kind="speaks", goal=0.9, draw=draw, said=said)


CELLS = (
    # single laws, the right one fitted
    right("line 8x2: alpha", line_rows(8, 2), parameter("power_floor", "alpha", 0.3), line_half(lambda t: t[2], 8, 2)),
    right("line 8x2: E", line_rows(8, 2), parameter("power_floor", "E", 1.5), line_half(lambda t: t[0], 8, 2)),
    right(
        "line 8x2: L at 10 x N",
        line_rows(8, 2),
        forecast("power_floor", float(line(np.array(1e8))), params=1e8),
        line_half(half_of(1e8), 8, 2),
    ),
    right("line 5x3: alpha", line_rows(5, 3), parameter("power_floor", "alpha", 0.3), line_half(lambda t: t[2], 5, 3)),
    right("line 12x1, t3: alpha", line_rows(12, 1, noise=heavy), parameter("power_floor", "alpha", 0.3)),
    right(
        "line 8x3, noise shrinks with size: L at 10 x N",
        line_rows(8, 3, sigma=None),
        forecast("power_floor", float(line(np.array(1e8))), params=1e8),
        line_half(half_of(1e8), 8, 3, shrinking(np.repeat(sizes(8), 3))),
    ),
    right("line 8x3, noise shrinks with size: a new run", line_rows(8, 3, sigma=None), forecast_of_new_run),
    right("line 8x2: a new run", line_rows(8, 2), forecast_of_new_run),
    right(
        "surface 6x4: alpha",
        surface_rows(6, 4),
        parameter("chinchilla", "alpha", SURFACE["alpha"]),
        surface_half(lambda t: t[2], *grid64),
    ),
    right(
        "surface 6x4: beta",
        surface_rows(6, 4),
        parameter("chinchilla", "beta", SURFACE["beta"]),
        surface_half(lambda t: t[4], *grid64),
    ),
    right(
        "surface 6x4: L at 10 x C",
        surface_rows(6, 4),
        forecast("chinchilla", SURFACE_AT_TEN, **AT_TEN),
        surface_half(surface_at, *grid64),
    ),
    right(
        "surface 6x4: N* at 10 x C",
        surface_rows(6, 4),
        optimum("params", best_size_of(FLOP_LIMIT), FLOP_LIMIT),
        surface_half(log_optimum, *grid64),
    ),
    right(
        "surface 6x4: N exponent",
        surface_rows(6, 4),
        optimum("N_exponent", N_EXPONENT, FLOP_LIMIT),
        surface_half(lambda t: t[4] / (t[2] + t[4]), *grid64),
    ),
    right(
        "surface 6x4, 2 % outliers: L at 10 x C",
        surface_rows(6, 4, noise=outliers),
        forecast("chinchilla", SURFACE_AT_TEN, **AT_TEN),
    ),
    right(
        "surface, 12 runs of 6 lengths, ICC .7: alpha",
        checkpoint_rows(12, 6),
        parameter("chinchilla", "alpha", SURFACE["alpha"]),
    ),
    right("isoflop 5x9: N exponent", isoflop_rows(lambda n, d: surface(n, d, **SURFACE)), by_isoflop),
    right(
        "line of tokens 5x6, seeds shared between lengths: alpha",
        seeds_shared_between_lengths,
        parameter("power_floor:tokens", "alpha", 0.3),
    ),
    right(
        "line 8x2, losses rounded to .1: alpha",
        then(line_rows(8, 2), lambda rows: rounded(rows, 1)),
        parameter("power_floor", "alpha", 0.3),
    ),
    right(
        "line 8x1, every run twice under another name: alpha",
        then(line_rows(8, 1), twice),
        parameter("power_floor", "alpha", 0.3),
        line_half(lambda t: t[2], 8, 1),
    ),
    # two arms and more: nothing is there
    alarm("compare, identical arms, 8x2", arms_rows(8, 2, laws=two()), compared(any_difference)),
    alarm("compare, identical arms, 5x2", arms_rows(5, 2, laws=two()), compared(any_difference)),
    alarm(
        "compare, identical arms, 8x2, 2 % outliers",
        arms_rows(8, 2, laws=two(), noise=outliers),
        compared(any_difference),
    ),
    alarm(
        "compare, identical arms, 8x2, noise shrinks", arms_rows(8, 2, laws=two(), sigma=None), compared(any_difference)
    ),
    alarm("compare, three identical arms, 8x2", arms_rows(8, 2, laws=THREE), compared(any_difference)),
    alarm(
        "compare, identical arms, branches with clusters",
        trunk_rows("ab", trunks=3, has_clusters=True),
        compared(any_difference, law="power_floor:tokens"),
    ),
    alarm(
        "compare, identical arms, branches without clusters",
        trunk_rows("ab", trunks=3, has_clusters=False),
        compared(any_difference, law="power_floor:tokens"),
    ),
    alarm(
        "compare, floors 1.3 % apart, 8x2, as a study compares: exponents differ",
        arms_rows(8, 2, laws=two(E=1.52)),
        compared(exponents_differ),
    ),
    alarm(
        "compare, floors 2.7 % apart, 8x2, as a study compares: exponents differ",
        arms_rows(8, 2, laws=two(E=1.54)),
        compared(exponents_differ),
    ),
    alarm(
        "compare, a gain of 1.25 in size, 8x3: floors or exponents differ",
        arms_rows(8, 3, laws=two(A=1.2 * 1.25**-0.3)),
        compared(other_than_coefficients),
    ),
    alarm(
        "compare, a gain of 1.25, 8x3, noise shrinks: floors or exponents differ",
        arms_rows(8, 3, laws=two(A=1.2 * 1.25**-0.3), sigma=None),
        compared(other_than_coefficients),
    ),
    alarm(
        "paired, identical arms, 3 trunks of 4 lengths, ICC .7",
        trunk_rows("ab", trunks=3, has_clusters=True),
        paired_lead,
    ),
    alarm("crossover, identical arms, 8x2: a crossing", arms_rows(8, 2, laws=two()), crossing),
    alarm("crossover, identical arms, 5x2: a crossing", arms_rows(5, 2, laws=two()), crossing),
    alarm("crossover, identical arms, 8x3: a crossing", arms_rows(8, 3, laws=two()), crossing),
    alarm("crossover, identical arms, 8x2, rho .85: a crossing", arms_rows(8, 2, laws=two(), rho=0.85), crossing),
    alarm("crossover, identical arms, 8x2: a lead", arms_rows(8, 2, laws=two()), lead),
    alarm("crossover, identical arms, 8x3: a lead", arms_rows(8, 3, laws=two()), lead),
    alarm("replay, identical arms, 8x2: a beats b", arms_rows(8, 2, laws=two()), ahead_claim),
    alarm("replay alpha = .45 (truth .3), 8x2: supported", line_rows(8, 2), verdict("alpha=0.45", ["supported"])),
    alarm("replay alpha = .3 (truth), 8x2: contradicted", line_rows(8, 2), verdict("alpha=0.3", ["contradicted"])),
    # two arms: what is there
    right("crossover, 8x2: the crossing", arms_rows(8, 2, laws=CROSSED), crossing_held(1e6)),
    right("crossover, 5x1: the crossing", arms_rows(5, 1, laws=CROSSED), crossing_held(1e6)),
    right("crossover, 8x2, rho .5: the crossing", arms_rows(8, 2, laws=CROSSED, rho=0.5), crossing_held(1e6)),
    right("crossover, 8x2, rho .98: the crossing", arms_rows(8, 2, laws=CROSSED, rho=0.98), crossing_held(1e6)),
    right(
        "compare, exponents .06 apart, 8x3: the difference", arms_rows(8, 3, laws=two(alpha=0.24)), difference(-0.06)
    ),
    right(
        "compare, floors 2.7 % apart, 8x2: the difference of exponents",
        arms_rows(8, 2, laws=two(E=1.54)),
        difference(0.0),
    ),
    right(
        "compare, floors 2.7 % apart, 8x2, as a study compares: the difference of exponents",
        arms_rows(8, 2, laws=two(E=1.54)),
        difference(0.0),
    ),
    right(
        "compare, half the compute, law of FLOPs, 8x2: the multiplier",
        then(arms_rows(8, 2, laws=two(A=1.2 * 2**-0.15)), as_table_of),
        multiplier(0.5, "power_floor:flops"),
    ),
    finds(
        "compare, exponents .006 apart, 8x3",
        arms_rows(8, 3, laws=two(alpha=0.294)),
        compared(any_difference),
        lambda: power_of(0.006, arms_half("alpha", 8, 3)()),
    ),
    finds(
        "compare, a gain of 1.02 in size, 8x3",
        arms_rows(8, 3, laws=two(A=1.2 * 1.02**-0.3)),
        compared(any_difference),
        lambda: power_of(math.log(1.02), arms_half("gain", 8, 3)()),
    ),
    # laws that are not the planted one, or tables with a fault
    wrong(
        "kaplan's form, chinchilla fitted, 6x4: L at 10 x C",
        kaplan_truth,
        forecast("chinchilla", float(kaplan(*FAR)), **AT_TEN),
    ),
    wrong(
        "a coupled form, chinchilla fitted, 6x4: L at 10 x C",
        surface_rows(0, 0, law=coupled, at=grid64),
        forecast("chinchilla", float(coupled(*FAR)), **AT_TEN),
    ),
    wrong(
        "repeated data, chinchilla fitted, 6x4: L at 10 x C",
        surface_rows(0, 0, law=data_limited, at=grid64),
        forecast("chinchilla", float(data_limited(*FAR)), **AT_TEN),
    ),
    wrong(
        "a broken power, power_floor fitted, 8x2: L at 10 x N",
        line_rows(8, 2, law=broken),
        forecast("power_floor", float(broken(np.array(1e8))), params=1e8),
    ),
    # no law is named; widths are over those of the planted law's fit
    no_law("chinchilla, no law named, 6x4", grid64, lambda n, d, *t: surface(n, d, *t), tuple(SURFACE.values())),
    no_law("coupled with k = .1, no law named, 6x4", grid64, coupled_tightly, (1.8, 0.76, 0.34, 1.02, 0.28, 0.1)),
    no_law("data-limited, no law named, 6x4", grid64, data_limited_as, (*SURFACE.values(), 2e8)),
    no_law("power without floor, no law named, 8x2", (np.repeat(sizes(8), 2),), pure, (3.0, 0.08)),
    no_law(
        "broken inside the data, no law named, 8x2", (np.repeat(sizes(8), 2),), broken_as, (0.4, 2.0, 0.35, 0.2, 2.0)
    ),
    no_law("shifted, no law named, 8x2", (np.repeat(sizes(8), 2),), shifted, (1.5, 1.2, 0.4, 1.0)),
    alarm("misfit under the right law, 12x1", line_rows(12, 1), warned("power_floor", MISFIT), MISFIT_ALARMS),
    alarm("misfit under the right law, surface 6x4", surface_rows(6, 4), warned("chinchilla", MISFIT), MISFIT_ALARMS),
    alarm(
        "misfit under the right law, 22 runs of 10 lengths, ICC .7",
        checkpoint_rows(22, 10),
        warned("chinchilla", MISFIT),
        MISFIT_ALARMS,
    ),
    speaks("misfit of kaplan's form under chinchilla, 6x4", kaplan_truth, warned("chinchilla", MISFIT)),
    speaks(
        "misfit of an S curve, 12x1",
        lambda rng: [
            {"params": float(n), "loss": float(s_curve(n) * math.exp(0.002 * rng.standard_normal()))}
            for n in np.geomspace(1e6, 1e9, 12)
        ],
        warned("power_floor", MISFIT),
    ),
    speaks("an undertrained top rung (+2 %), 8x2", then(line_rows(8, 2), undertrained), warned("power_floor", RUNG)),
)
assert len(CELLS) <= 66 and len({cell.name for cell in CELLS}) == len(CELLS)


# ---- counting


@dataclass(frozen=True)
class Count:
    cell: str
    kind: Kind
    goal: float
    tables: int
    refused: int
    share: float
    error: float
    half_width: float
    best: float | None
    seconds: float
    widest: float = 1.3
    code: str = ""  # what was measured; empty: before it was written down

    @property
    def width(self) -> float | None:
        """Of coverage: the median half-width over that of a fit which knows the noise."""
        if self.kind != "coverage" or not self.best or math.isnan(self.half_width):
            return None
        return self.half_width / self.best

    @property
    def is_met(self) -> bool:
        """Within its Monte Carlo error of the goal, as the goals are stated."""
        if self.kind == "coverage":
            least = 0.92 if self.goal == ALPHA_COVERED else self.goal
            return self.share + self.error >= least and (self.width is None or self.width <= self.widest)
        if self.kind == "false alarm":
            return self.share - self.error <= self.goal
        return self.share + self.error >= self.goal * (self.best or 1.0)


def count(task: tuple[int, int, int]) -> Count:
    """One cell, over its tables. A table's generator depends on the seed, the cell's name and the table's number."""
    index, tables, seed = task
    cell = CELLS[index]
    began = time.process_time()
    hits, refused, widths = 0, 0, []
    for table in range(tables):
        rng = np.random.default_rng([seed, table, *cell.name.encode()])
        rows = cell.draw(rng)
        try:
            said = cell.said(rows)
        except Refusal:
            refused += 1
            continue
        hits += bool(said.hit)
        widths.append(said.half_width)
    share = hits / tables
    known = [width for width in widths if math.isfinite(width)]
    return Count(
        cell.name,
        cell.kind,
        cell.goal,
        tables,
        refused,
        share,
        math.sqrt(max(share * (1 - share), 1 / tables) / tables),
        float(np.median(known)) if known else math.nan,
        cell.best() if cell.best else None,
        time.process_time() - began,
        cell.widest,
    )


def code() -> str:
    """Short digest of what is measured."""
    files = [Path(__file__), *sorted(path for folder in MEASURED for path in (ROOT / folder).rglob("*.py"))]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def kept_path(folder: Path, cell: str, tables: int, seed: int, measured: str) -> Path:
    return folder / f"{measured}-{tables}-{seed}-{hashlib.sha256(cell.encode()).hexdigest()[:12]}.json"


def kept(folder: Path, cell: str, tables: int, seed: int, codes: Sequence[str]) -> Count | None:
    """A count of the same tables by one of these codes, the first that has one."""
    for measured in codes:
        path = kept_path(folder, cell, tables, seed, measured)
        if path.exists():
            return as_count(read_json(path))
    return None


def as_count(found: Mapping[str, Any]) -> Count:
    return Count(**{**found, "half_width": float(found["half_width"])})


def merged(counts: Sequence[Count], seed: int) -> list[Count]:
    """All cells, with the former counts of those that are not in `counts`. Raises SystemExit where these are of other
    tables."""
    former = read_json(RESULTS)
    by_name = {one.cell: one for one in map(as_count, former["cells"])} | {one.cell: one for one in counts}
    if former["seed"] != seed or len({one.tables for one in by_name.values()}) > 1:
        raise SystemExit(f"--merge: expected seed {former['seed']} and as many tables as in {RESULTS}.")
    return [by_name[cell.name] for cell in CELLS]


def pooled(counts: Sequence[Count]) -> tuple[float, float]:
    """Coverage of all cells in which the right law was fitted, and its error."""
    known = [one for one in counts if one.kind == "coverage" and one.goal == ALPHA_COVERED]
    share = sum(one.share for one in known) / len(known)
    return share, math.sqrt(sum(one.error**2 for one in known)) / len(known)


def page(counts: Sequence[Count], seed: int) -> str:
    lines = [
        "# Does it hold?",
        "",
        "What lawful says, put to the test on tables whose truth is known. Each row is a planted law, its noise and",
        "one claim. Many tables are drawn, and three things are counted: intervals that hold the truth, claims of",
        "something that is not there, and things that are there and are found. `make coverage` writes this page",
        f"(seed {seed}; benchmarks/coverage.py has every design). Half-widths are in units of those of a fit that",
        'knows the noise. A refused table counts as a miss. "8x2" is 8 sizes with 2 seeds each.',
        "",
    ]
    if any(one.kind == "coverage" and one.goal == ALPHA_COVERED for one in counts):
        share, error = pooled(counts)
        lines += [f"Right laws, pooled: {share:.3f} ± {error:.3f} (goal .935).", ""]
    if len({one.code for one in counts}) > 1:
        for measured in sorted({one.code for one in counts} - {""}):
            names = "; ".join(one.cell for one in counts if one.code == measured)
            lines += [f"Measured after the others, by code {measured}: {names}.", ""]
    titles = {
        "coverage": ("## Intervals that should hold the truth", "covered"),
        "false alarm": ("## Claims that should not be made", "false alarms"),
        "power": ("## Differences that should be found", "found"),
        "speaks": ("## Faults that should be named", "named"),
    }
    for kind, (title, what) in titles.items():
        own = [one for one in counts if one.kind == kind]
        if not own:
            continue
        beside = "width" if kind == "coverage" else "best"
        lines += [title, "", f"| planted, and what is claimed | {what} | goal | {beside} | refused | tables | |"]
        lines += ["|---|---|---|---|---|---|---|", *(_row(one) for one in own), ""]
        if noted := [one.cell for one in own if one.cell in NOTES]:
            lines += [*(fill(f"- **{cell}**: {NOTES[cell]}", 120, subsequent_indent="  ") for cell in noted), ""]
    return "\n".join(lines)


def _row(one: Count) -> str:
    beside = one.width if one.kind == "coverage" else one.best
    goal = {
        "coverage": f"{one.goal:g}",
        "false alarm": f"≤ {one.goal:g}",
        "power": f"≥ {one.goal * (one.best or 1):.2f}",
        "speaks": f"≥ {one.goal:g}",
    }[one.kind]
    cells = (
        one.cell,
        f"{one.share:.3f} ± {one.error:.3f}",
        goal,
        "" if beside is None else f"{beside:.2f}",
        str(one.refused),
        str(one.tables),
        "" if one.is_met else "**missed**",
    )
    return f"| {' | '.join(cells)} |"


def _counted(task: tuple[int, int, int]) -> tuple[tuple[int, int, int], Count]:
    return task, count(task)


def _line(one: Count) -> str:
    mark = "  " if one.is_met else "! "
    more = "" if one.width is None else f"  width {one.width:.2f}"
    more += "" if one.kind != "power" or one.best is None else f"  best {one.best:.2f}"
    more += f"  refused {one.refused}" if one.refused else ""
    return f"{mark}{one.kind:11} {one.share:.3f} ± {one.error:.3f}  {one.cell}{more}  ({one.seconds:.0f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tables", type=int, default=TABLES, help="of each cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="cells whose name has this text; the page is not written then")
    parser.add_argument("--merge", action="store_true", help="with --only: into the counts that are there")
    parser.add_argument("--page", action="store_true", help="write the page from the counts that are there, no more")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kept", type=Path, default=KEPT, help="folder of the cells that are done")
    parser.add_argument("--accept", action="append", default=[], metavar="CODE", help="earlier code, still as good")
    options = parser.parse_args()
    if options.page:
        former = read_json(RESULTS)
        write_text(PAGE, page(list(map(as_count, former["cells"])), former["seed"]) + "\n")
        return
    measured = code()
    chosen = [(i, cell.name) for i, cell in enumerate(CELLS) if options.only in cell.name]
    if not chosen:
        parser.error(f"--only: no cell's name has {options.only!r}")
    print(f"code {measured}", flush=True)
    done = {
        index: found
        for index, name in chosen
        if (found := kept(options.kept, name, options.tables, options.seed, [measured, *options.accept]))
    }
    for one in done.values():
        print(_line(one), "kept", flush=True)
    tasks = [(index, options.tables, options.seed) for index, _ in chosen if index not in done]
    options.kept.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for (index, *_), one in pool.imap_unordered(_counted, tasks):
            done[index] = one = replace(one, code=measured)
            write_json(kept_path(options.kept, one.cell, options.tables, options.seed, measured), asdict(one))
            print(_line(one), flush=True)
    counts = [done[index] for index, _ in chosen]
    if options.merge or not options.only:
        every = merged(counts, options.seed) if options.merge else counts
        write_json(RESULTS, {"seed": options.seed, "cells": [asdict(one) for one in every]})
        write_text(PAGE, page(every, options.seed) + "\n")
    missed = [one for one in counts if not one.is_met]
    print(f"{len(counts) - len(missed)} of {len(counts)} cells meet their goal")
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
