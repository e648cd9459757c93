"""The best size at each of several budgets, read off its curve of loss against size; and how it grows with compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lawful.checks import checked
from lawful.errors import DeclarationError, Refusal, TableError
from lawful.fitting.budget_curves import (
    COUNTED,
    LEAST_CURVES,
    LEAST_ON_CURVE,
    METHODS,
    Convention,
    Counted,
    Curve,
    Line,
    Method,
    Runs,
    budgets_of,
    curve_of,
    level_of_sizes,
)
from lawful.fitting.data import Sample, refuse_arms, refuse_too_little, sample
from lawful.fitting.form import doubt
from lawful.fitting.mixtures import refuse_mixtures
from lawful.fitting.noise import measure
from lawful.fitting.quantiles import f_tail
from lawful.fitting.search import Point, best_point, limits
from lawful.laws import Array, Law, named
from lawful.response import expect_loss
from lawful.schema import Warning
from lawful.tables import Observations, by_role, read_runs
from lawful.tables.lacking import lacking

# of an exponent, the difference from which on two readings count as two: the best size then moves by 2 % over a decade
# of compute. Below it a spline and a parabola through the same points differ without any noise
TELLING = 0.01


@dataclass(frozen=True)
class IsoFlop:
    """N* = k C^N_exponent over the bracketed curves; the interval is that of a straight line through their optima.

    convention          how FLOPs and tokens go together: "recorded", or "C = 6 N D" where the table has but one of them
    by_method           N_exponent by every method
    surface_exponent    of a Chinchilla surface on the same runs, or None where it is refused or is not their form
    envelope_exponent   of L* - E against C, from the optima; None where it is refused
    loss_unit           what the losses are in; empty where the table does not say
    """

    method: Method
    convention: Convention
    curves: tuple[Curve, ...]
    N_exponent: float
    N_exponent_ci95: tuple[float, float]
    D_exponent: float
    D_exponent_ci95: tuple[float, float]
    by_method: Mapping[str, float]
    surface_exponent: float | None
    envelope_exponent: float | None
    warnings: tuple[Warning, ...]
    loss_unit: str = ""

    def __repr__(self) -> str:
        (low, high), (least, most) = self.N_exponent_ci95, self.D_exponent_ci95
        codes = "".join(f"; {code}" for code in dict.fromkeys(one.code for one in self.warnings))
        return (
            f"<IsoFlop over {sum(c.params is not None or c.tokens is not None for c in self.curves)} budgets: N* ~ "
            f"C^{self.N_exponent:.3f} [{low:.3f}, {high:.3f}], D* ~ C^{self.D_exponent:.3f} [{least:.3f}, {most:.3f}]"
            f"{codes}>"
        )

    def best_params(self, flops: float) -> float:
        """N* at a budget, along the fitted line."""
        return Line.of([c for c in self.curves if c.is_bracketed], "params").predict(flops)[0]


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
    """Read the best size of each budget off its curve, and how it grows with compute.

    Parameters
    ----------
    source
        Anything `read_runs` takes.
    method
        "interpolate" (Akima's spline through log loss), "local" (parabola through the lowest run and its neighbours),
        "parabola" or "cubic" (through the whole curve: biased where it is off-centre or asymmetric), or "given": each
        row is an optimum already. A table with the best size or data at each budget under such names (N_opt and D_opt,
        N* and D*, optimal params) is always taken so.
    params, tokens, flops, loss
        The columns' names; those not given are recognised where they carry a usual name.

    Returns
    -------
    IsoFlop
        The curves with their optima, counts in units of one; the exponents of N* and D* with 95 % intervals.

    Raises
    ------
    Refusal
        Fewer than 3 budgets have their lowest run between two others.

    Notes
    -----
    The second method of arXiv:2203.15556, section 3.2.

    Examples
    --------
    >>> found = lawful.isoflop(budgets)
    >>> len(found.curves), 0.4 < found.N_exponent < 0.6
    (3, True)
    """
    if method not in (*METHODS, "given"):
        raise DeclarationError(f"method: expected one of {', '.join(METHODS)} or given, got {method!r}.")
    table = read_runs(source, params=params, tokens=tokens, flops=flops, loss=loss).of_ladder()
    table = table.where(lambda row: row.get("held_out") is not True, "held out")
    refuse_mixtures(table)
    refuse_arms(table)
    expect_loss(table.response, "isoflop")
    if table.is_of_optima or method == "given":
        return _through(table)
    runs = _runs(table)
    groups = budgets_of(runs.flops)
    curves = [curve_of(runs.take(g), method) for g in groups]
    known = [c for c in curves if c.params is not None]
    if len(known) < LEAST_CURVES:
        raise _too_few(len(known), len(curves))
    by_method: dict[str, Line] = {}
    for other in METHODS:
        optima = [c for c in (curve_of(runs.take(g), other) for g in groups) if c.params is not None]
        if len(optima) >= LEAST_CURVES:
            by_method[other] = Line.of(optima, "params")
    sizes, data = (_with_reading_error(Line.of(known, what), runs, groups, method, what) for what in COUNTED)
    surface, misfitted = _surface_exponent(runs)
    return IsoFlop(
        method,
        runs.convention,
        tuple(curves),
        sizes.slope,
        sizes.ci95,
        data.slope,
        data.ci95,
        {name: one.slope for name, one in by_method.items()},
        surface,
        _envelope_exponent(known),
        (*_about_convention(runs), *_cautions(curves, sizes, by_method, _untrusted(runs, groups), surface), *misfitted),
        table.loss_unit,
    )


def _too_few(known: int, curves: int) -> Refusal:
    return Refusal(
        "too_few_budgets",
        f"{known} of {curves} budgets have at least {LEAST_ON_CURVE} runs "
        f"with the lowest between two others; {LEAST_CURVES} are needed. Add sizes on both sides."
        if curves
        else f"No {LEAST_ON_CURVE} runs have the same compute, so there is no curve of loss against size at a "
        f"budget; {LEAST_CURVES} such budgets are needed. `lawful allocate` reads the best size off a law of size "
        "and data. If each row is the best of its budget already: --method given.",
    )


def _with_reading_error(line: Line, runs: Runs, groups: list[Array], method: Method, what: Counted) -> Line:
    """With the error of reading an optimum between sizes, of which a scatter of the optima may show nothing: the two
    local methods would agree but for it."""
    other = {"interpolate": "local", "local": "interpolate"}.get(method)
    if other is None:
        return line
    optima = [c for c in (curve_of(runs.take(g), other) for g in groups) if c.params is not None]  # type: ignore[arg-type]
    return replace(line, reading=abs(Line.of(optima, what).slope - line.slope))


def _through(table: Observations) -> IsoFlop:
    """Lines through optima that a table gives. What scatters about them is all that is known of their errors."""
    roles = table.roles
    if len({"params", "tokens", "flops"} & roles.keys()) < 2:
        raise TableError(f"{table.source}: a table of optima needs the budget of each. {lacking(table, 'flops')}")
    counts = {role: table.numbers(roles[role]) for role in ("params", "tokens", "flops") if role in roles}
    losses = table.numbers(roles["loss"]) if "loss" in roles else np.full(len(table), np.nan)
    is_known = np.all([np.isfinite(numbers) for numbers in counts.values()], axis=0)
    one = {role: numbers[is_known] for role, numbers in counts.items()}
    flops = one["flops"] if "flops" in one else 6 * one["params"] * one["tokens"]
    if (budgets := len(np.unique(flops))) < LEAST_CURVES:
        raise Refusal(
            "too_few_budgets",
            f"{table.source}: {budgets} budgets have their optimum, and {LEAST_CURVES} are needed. Add budgets.",
        )
    size = one["params"] if "params" in one else flops / 6 / one["tokens"]
    data = one["tokens"] if "tokens" in one else flops / 6 / size
    runs = Runs(flops, size, data, losses[is_known], "recorded" if len(one) == 3 else "C = 6 N D")
    curves = [
        Curve(float(c), 1, True, float(n), float(d), float(y) if np.isfinite(y) else None)
        for c, n, d, y in zip(runs.flops, runs.params, runs.tokens, runs.loss, strict=True)
    ]
    sizes, data_line = (Line.of(curves, what) for what in COUNTED)
    said = [
        Warning(
            "optima_as_given",
            "note",
            f"The optima of {len(curves)} budgets are taken as the table gives them: the intervals hold their scatter "
            "about a straight line, not what was uncertain in finding each.",
        )
    ]
    return IsoFlop(
        "given",
        runs.convention,
        tuple(curves),
        sizes.slope,
        sizes.ci95,
        data_line.slope,
        data_line.ci95,
        {},
        None,
        _envelope_exponent(curves) if np.isfinite(runs.loss).all() else None,
        (*said, *_about_convention(runs)),
        table.loss_unit,
    )


def _runs(table: Observations) -> Runs:
    roles = table.roles
    for role in ("params", "loss"):
        if role not in roles:
            raise DeclarationError(f"{table.source}: isoflop needs a column of {role}; name it with {role}=...")
    counts = [role for role in ("flops", "tokens") if role in roles]
    if not counts:
        raise DeclarationError(f"{table.source}: isoflop needs a column of flops or of tokens.")
    found = {role: table.numbers(roles[role]) for role in ("params", *counts)}
    for role, numbers in found.items():
        if np.isnan(numbers).any():
            raise TableError(
                f"{table.source}: column {roles[role]!r}: expected a positive count ({role}) of each run that "
                "counts, got an empty cell."
            )
    size, loss = found["params"], table.numbers(roles["loss"])
    tokens = found["tokens"] if "tokens" in found else found["flops"] / 6 / size
    approximate = 6 * size * tokens
    if len(counts) < 2:
        return Runs(found.get("flops", approximate), size, tokens, loss, "C = 6 N D")
    if len(budgets_of(found["flops"])) < LEAST_CURVES <= len(budgets_of(approximate)):
        return Runs(approximate, size, tokens, loss, "C = 6 N D, as planned")
    return Runs(found["flops"], size, tokens, loss, "recorded")


def _surface_exponent(runs: Runs) -> tuple[float | None, list[Warning]]:
    rows = [
        {"params": float(n), "tokens": float(d), "loss": float(y)}
        for n, d, y in zip(runs.params, runs.tokens, runs.loss, strict=True)
    ]
    best = _best(by_role(rows), named("chinchilla"))
    if best is None:
        return None, []
    if doubt(*best, measure(*best)).is_misfit:
        sentence = "A Chinchilla surface is not the form of these runs: its exponent is not given. Curves need no form."
        return None, [Warning("misfit", "note", sentence)]
    values = _values(best[0])
    return values["beta"] / (values["alpha"] + values["beta"]), []


def _untrusted(runs: Runs, groups: list[Array]) -> set[str]:
    """The methods whose polynomial through the whole curve is not the curve's form, as one of a higher degree fits
    better by an F test over all curves, or where sizes are too few to tell. Its optimum is off wherever the grid of
    sizes is not centred on it, so that it is no evidence against the others."""
    found = set()
    for name, degree in (("parabola", 2), ("cubic", 3)):
        gain, rest, gained, left = 0.0, 0.0, 0, 0
        for group in groups:
            _, sizes, mean = level_of_sizes(runs.take(group))
            higher = min(degree + 2, len(sizes) - 2)
            if higher > degree:
                smaller, larger = (_misfit(np.log(sizes), mean, d) for d in (degree, higher))
                gain, rest = gain + smaller - larger, rest + larger
                gained, left = gained + higher - degree, left + len(sizes) - higher - 1
        if not left or f_tail(gain / gained / max(rest / left, 1e-300), gained, left) < 0.05:
            found.add(name)
    return found


def _misfit(u: Array, level: Array, degree: int) -> float:
    u = u - u.mean()
    rest = level - np.polyval(np.polyfit(u, level, degree), u)
    return float(rest @ rest)


def _envelope_exponent(curves: list[Curve]) -> float | None:
    rows = tuple({"flops": c.flops, "loss": c.loss} for c in curves)
    best = _best(Observations(rows), named("power_floor:flops"))
    return None if best is None else _values(best[0])["alpha"]


def _best(table: Observations, law: Law) -> tuple[Point, Sample] | None:
    """The law's best fit and its rows; None where the table cannot determine it."""
    try:
        data = sample(table, law, {})
        low, high = limits(law, {}, {})
        refuse_too_little(data, law, len(low))
    except Refusal:
        return None
    data, _ = data.in_order()
    return best_point(data, law, "robust", low, high), data


def _values(point: Point) -> dict[str, float]:
    return dict(zip(point.problem.law.parameters, map(float, point.parameters), strict=True))


def _about_convention(runs: Runs) -> list[Warning]:
    if runs.convention == "recorded":
        return []
    if runs.convention == "C = 6 N D, as planned":
        sentence = "The runs have equal 6 N D along curves, and not equal FLOPs as recorded: budgets are 6 N D."
        return [Warning("six_n_d", "note", sentence)]
    sentence = (
        "The table has FLOPs or tokens, not both: the other is taken from C = 6 N D, N being the column of params. "
        "Where embeddings are counted in params and cost little, FLOPs taken so are too many, and tokens too few."
    )
    return [Warning("six_n_d", "note", sentence)]


def _cautions(
    curves: list[Curve], line: Line, by_method: Mapping[str, Line], untrusted: set[str], surface: float | None
) -> list[Warning]:
    found = []
    exponent, interval = line.slope, line.ci95
    open_ended = [c for c in curves if not c.is_bracketed]
    if open_ended:
        found.append(
            Warning(
                "not_bracketed",
                "warning",
                f"{len(open_ended)} of {len(curves)} budgets have their lowest "
                "run at an end and were left out: their optimum lies outside the sizes tried.",
            )
        )
    away = {
        name: other.slope
        for name, other in by_method.items()
        if name not in untrusted and _is_away(other.slope, exponent, interval)
    }
    if away:
        listed = ", ".join(f"{value:.3f} by {name}" for name, value in away.items())
        found.append(
            Warning(
                "method_moves",
                "warning",
                f"The method moves the exponent {exponent:.3f} out of its "
                f"interval [{interval[0]:.3f}, {interval[1]:.3f}]: {listed}.",
            )
        )
    if surface is not None and all(
        _is_away(surface, one.slope, one.ci95) for name, one in by_method.items() if name not in untrusted
    ):
        found.append(
            Warning(
                "surface_disagrees",
                "warning",
                f"A Chinchilla surface on the same runs gives {surface:.3f}, "
                f"outside [{interval[0]:.3f}, {interval[1]:.3f}].",
            )
        )
    return found


def _is_away(other: float, exponent: float, interval: tuple[float, float]) -> bool:
    return not interval[0] <= other <= interval[1] and abs(other - exponent) > TELLING
