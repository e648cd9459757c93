"""The best size at each of several budgets, read off its curve of loss against size; and how it grows with compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lawful.checks import checked
from lawful.errors import DeclarationError, Refusal, TableError
from lawful.fitting.data import refuse_mixtures, refuse_too_little, sample
from lawful.fitting.estimate import best_point, limits
from lawful.fitting.quantiles import t_quantile
from lawful.fitting.result import Caution
from lawful.laws import Array, Law, named
from lawful.table import Observations, read_runs

Method = Literal["interpolate", "local", "parabola", "cubic"]
METHODS: tuple[Method, ...] = ("interpolate", "local", "parabola", "cubic")
SAME_BUDGET = 0.1  # relative: runs whose FLOPs differ by less share a curve
LEAST_ON_CURVE = 4
LEAST_CURVES = 3


@dataclass(frozen=True)
class Curve:
    """One budget: its runs, its best point (None where the lowest run is at an end), by the method asked for."""

    flops: float
    n: int
    is_bracketed: bool
    params: float | None
    tokens: float | None
    loss: float | None


@dataclass(frozen=True)
class IsoFlop:
    """N* = k C^N_exponent over the bracketed curves; the interval is that of a straight line through their optima.

    by_method           N_exponent by every method
    surface_exponent    of a Chinchilla surface on the same runs, or None where it is refused
    envelope_exponent   of L* - E against C, from the optima; None where it is refused
    """

    method: Method
    curves: tuple[Curve, ...]
    N_exponent: float
    N_exponent_ci95: tuple[float, float]
    D_exponent: float
    by_method: Mapping[str, float]
    surface_exponent: float | None
    envelope_exponent: float | None
    warnings: tuple[Caution, ...]

    def best_params(self, flops: float) -> float:
        """N* at a budget, along the fitted line."""
        known = [(np.log(c.flops), np.log(c.params)) for c in self.curves if c.params is not None]
        x, y = np.array(known).T
        return float(np.exp(y.mean() + self.N_exponent * (np.log(flops) - x.mean())))


@checked
def isoflop(
    source: Any,
    *,
    method: Method = "interpolate",
    params: str | None = None,
    tokens: str | None = None,
    flops: str | None = None,
    loss: str | None = None,
) -> IsoFlop:
    """Read the optimum of each budget off its curve and fit its growth.

    method   interpolate (Akima's spline through log loss), local (parabola through the lowest run and its neighbours),
             parabola or cubic (through the whole curve: biased where it is off-centre or asymmetric)
    Raises Refusal with fewer than 3 bracketed budgets.
    """
    if method not in METHODS:
        raise DeclarationError(f"method: expected one of {', '.join(METHODS)}, got {method!r}.")
    table = read_runs(source, params=params, tokens=tokens, flops=flops, loss=loss).of_ladder()
    table = table.where(lambda row: row.get("held_out") is not True, "held out")
    refuse_mixtures(table)
    budget, size, value = _arrays(table)
    groups = _budgets(budget)
    curves = [_curve(budget[g], size[g], value[g], method) for g in groups]
    known = [c for c in curves if c.params is not None]
    if len(known) < LEAST_CURVES:
        raise Refusal(
            "too_few_budgets",
            f"{len(known)} of {len(curves)} budgets have at least {LEAST_ON_CURVE} runs "
            f"with the lowest between two others; {LEAST_CURVES} are needed. Add sizes on both sides.",
        )
    exponent, interval = _line(known)
    by_method: dict[str, float] = {}
    for other in METHODS:
        optima = [c for c in (_curve(budget[g], size[g], value[g], other) for g in groups) if c.params is not None]
        if len(optima) >= LEAST_CURVES:
            by_method[other] = _line(optima)[0]
    surface = _surface_exponent(table)
    return IsoFlop(
        method,
        tuple(curves),
        exponent,
        interval,
        1 - exponent,
        by_method,
        surface,
        _envelope_exponent(known),
        _cautions(curves, exponent, interval, by_method, surface),
    )


def _arrays(table: Observations) -> tuple[Array, Array, Array]:
    roles = table.roles
    for role in ("params", "loss"):
        if role not in roles:
            raise DeclarationError(f"{table.source}: isoflop needs a column of {role}; name it with {role}=...")
    if "flops" not in roles and "tokens" not in roles:
        raise DeclarationError(f"{table.source}: isoflop needs a column of flops or of tokens.")
    other = "flops" if "flops" in roles else "tokens"
    for role in ("params", other):
        if np.isnan(table.numbers(roles[role])).any():
            raise TableError(
                f"{table.source}: column {roles[role]!r}: expected a positive count ({role}) of each run that "
                "counts, got an empty cell."
            )
    size = table.numbers(roles["params"])
    budget = table.numbers(roles[other]) * (1 if other == "flops" else 6 * size)
    return budget, size, table.numbers(roles["loss"])


def _budgets(budget: Array) -> list[Array]:
    order = np.argsort(budget)
    breaks = np.flatnonzero(np.diff(np.log(budget[order])) > SAME_BUDGET) + 1
    return [group for group in np.split(order, breaks) if len(group) >= LEAST_ON_CURVE]


def _curve(budget: Array, size: Array, loss: Array, method: Method) -> Curve:
    flops = float(np.exp(np.log(budget).mean()))
    sizes = np.unique(size)
    # replicates at one size count by their mean
    mean = np.array([np.log(loss[size == s]).mean() for s in sizes])
    lowest = int(np.argmin(mean))
    if len(sizes) < LEAST_ON_CURVE or lowest in (0, len(sizes) - 1):
        return Curve(flops, len(size), False, None, None, None)
    u = np.log(sizes)
    fine = np.linspace(u[lowest - 1], u[lowest + 1], 4001)
    level = _smooth(u, mean, lowest, fine, method)
    at = int(np.argmin(level))
    best = float(np.exp(fine[at]))
    return Curve(flops, len(size), True, best, flops / 6 / best, float(np.exp(level[at])))


def _smooth(u: Array, log_loss: Array, lowest: int, fine: Array, method: Method) -> Array:
    if method == "interpolate":
        from scipy.interpolate import Akima1DInterpolator

        return np.asarray(Akima1DInterpolator(u, log_loss)(fine))
    near = slice(lowest - 1, lowest + 2) if method == "local" else slice(None)
    degree = 3 if method == "cubic" else 2
    centre = u[lowest]
    return np.asarray(np.polyval(np.polyfit(u[near] - centre, log_loss[near], degree), fine - centre))


def _line(curves: list[Curve]) -> tuple[float, tuple[float, float]]:
    x = np.log([c.flops for c in curves])
    y = np.log([c.params for c in curves if c.params is not None])
    x = x - x.mean()
    slope = float(x @ y / (x @ x))
    rest = y - y.mean() - slope * x
    dof = len(x) - 2
    reach = t_quantile(0.975, dof) * float(np.sqrt(rest @ rest / dof / (x @ x)))
    return slope, (slope - reach, slope + reach)


def _surface_exponent(table: Observations) -> float | None:
    values = _best_values(table, named("chinchilla"))
    return None if values is None else values["beta"] / (values["alpha"] + values["beta"])


def _envelope_exponent(curves: list[Curve]) -> float | None:
    rows = tuple({"flops": c.flops, "loss": c.loss} for c in curves)
    values = _best_values(Observations(rows), named("power_floor:flops"))
    return None if values is None else values["alpha"]


def _best_values(table: Observations, law: Law) -> dict[str, float] | None:
    """The law's parameters at its best fit; None where the table cannot determine it."""
    try:
        data = sample(table, law, {})
        low, high = limits(law, {}, {})
        refuse_too_little(data, law, len(low))
    except Refusal:
        return None
    return dict(zip(law.parameters, map(float, best_point(data, law, "robust", low, high).parameters), strict=True))


def _cautions(
    curves: list[Curve],
    exponent: float,
    interval: tuple[float, float],
    by_method: Mapping[str, float],
    surface: float | None,
) -> tuple[Caution, ...]:
    found = []
    open_ended = [c for c in curves if not c.is_bracketed]
    if open_ended:
        found.append(
            Caution(
                "not_bracketed",
                "warning",
                f"{len(open_ended)} of {len(curves)} budgets have their lowest "
                "run at an end and were left out: their optimum lies outside the sizes tried.",
            )
        )
    away = {name: value for name, value in by_method.items() if not interval[0] <= value <= interval[1]}
    if away:
        listed = ", ".join(f"{value:.3f} by {name}" for name, value in away.items())
        found.append(
            Caution(
                "method_moves",
                "warning",
                f"The method moves the exponent {exponent:.3f} out of its "
                f"interval [{interval[0]:.3f}, {interval[1]:.3f}]: {listed}.",
            )
        )
    if surface is not None and not interval[0] <= surface <= interval[1]:
        found.append(
            Caution(
                "surface_disagrees",
                "warning",
                f"A Chinchilla surface on the same runs gives {surface:.3f}, "
                f"outside [{interval[0]:.3f}, {interval[1]:.3f}].",
            )
        )
    return tuple(found)
