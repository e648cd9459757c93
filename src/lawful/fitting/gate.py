"""Hold runs of a variant against a frozen reference law: how much compute they save, and whether that is enough."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from lawful.checks import AnyFloat, PositiveFloat, checked
from lawful.errors import DeclarationError, Refusal, TableError
from lawful.fitting.arms import arm_name, refuse_alike
from lawful.fitting.clusters import joined_clusters
from lawful.fitting.data import Sample, sample
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.gate_search import MOST_SHIFT, NO_GAIN, Curve, Search, cautions
from lawful.fitting.multiplier import multiplied
from lawful.fitting.number_text import counted
from lawful.fitting.predict import too_far
from lawful.fitting.quantiles import LEVEL, t_cdf, t_quantile
from lawful.fitting.records import expect_fit
from lawful.laws import Array, Axes, Law
from lawful.response import expect_loss
from lawful.schema import Warning
from lawful.tables import Observations, read_by_role

Verdict = Literal["yes", "no", "not decided"]
LEAST_MOVING = 4  # clusters from which on a change of the speed-up is tested
LEAST_RANGE = math.log(2)  # of what is moved, over the rows: the same
MOVES = 0.05  # level at which the speed-up counts as changing with compute


@dataclass(frozen=True)
class RunSpeedUp:
    """One run, or pair, of the variant.

    reference   the loss of the reference law there, or of the baseline's run
    speed_up    by this run alone; infinite where its loss is below all that the reference reaches
    """

    run: str
    at: Mapping[str, AnyFloat]
    loss: AnyFloat
    reference: AnyFloat
    speed_up: AnyFloat


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Whether a variant saves enough compute.

    verdict       "yes": the whole interval is at or above `at_least`; "no": it is below; else "not decided"
    speed_up      how many times as much the reference needs for the variant's losses; ci95: its 95 % interval
    of            what it is counted in: compute, or what else the reference law reads
    p             the probability of so high a speed-up, if the truth were exactly `at_least`
    stderr_log    of the logarithm of the speed-up: of the reference law, and of the variant's runs
    at_end        the speed-up changes with compute: verdict and interval are those of the largest run
    error_bars    the column of standard errors by which runs weigh; empty where there is none
    reference     the law, and how many runs it rests on
    baseline      the arm whose runs of the same point and seed were subtracted; None: against the law alone
    """

    verdict: Verdict
    at_least: float
    speed_up: AnyFloat
    ci95: tuple[AnyFloat, AnyFloat]
    of: str
    p: AnyFloat
    stderr_log: tuple[AnyFloat, AnyFloat]
    dof: AnyFloat
    n: int
    clusters: int
    arm: str
    baseline: str | None
    at_end: bool
    error_bars: str
    reference: str
    runs: tuple[RunSpeedUp, ...]
    warnings: tuple[Warning, ...]

    @property
    def sentence(self) -> str:
        low, high = self.ci95
        ends = f"{self.speed_up:.3g} [{low:.3g}, {high:.3g}]"
        where = " at the largest run" if self.at_end else ""
        asked = {"yes": "at least", "no": "less than", "not decided": "not decided against"}[self.verdict]
        who = f" of {self.arm}" if self.arm else ""
        return f"{self.verdict}: the speed-up{who} in {self.of}{where} is {ends}, {asked} {self.at_least:g}."

    def __repr__(self) -> str:
        return f"<Gate {self.sentence}>"


@checked
def gate(
    source: Any,
    reference: Any,
    *,
    at_least: PositiveFloat = 1.0,
    baseline: str | None = None,
    by: str = "arm",
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    flops: str | None = None,
    cluster: str | None = None,
    stderr: str | None = None,
) -> Gate:
    """Say whether runs of a variant save enough compute against a frozen reference law.

    Parameters
    ----------
    source
        The variant's runs: anything `read_runs` takes. They must not be runs that the reference was fitted to.
    reference
        A fit, as `lawful.fit` gives it and `lawful.load` reads it.
    at_least
        The speed-up that is asked: 1.05 is 5 % less compute for the same loss.
    baseline
        An arm of the table with the reference's recipe. Each run of the variant is then held against the baseline's
        run of the same point and seed: noise that both share, and most of the law's error, cancel.
    by
        The column that names the arms.
    params, tokens, loss, flops, cluster, stderr
        The columns' names, as in `read_runs`; by default those of the reference where the table has them.

    Returns
    -------
    Gate
        The verdict and the speed-up with its interval. "yes" is wrong for at most 2.5 % of variants whose speed-up is
        `at_least` exactly.

    Raises
    ------
    Refusal
        `own_runs`: the rows are those of the reference. `no_pairs`: no run has its baseline.

    Notes
    -----
    The speed-up s moves all axes of the law together: under a law of N and D, N and D each by the square root of s. It
    is the one that fits the variant's losses best. Its error holds that of the reference law (and of its form, where
    that is in doubt) and the runs' noise: their own scatter, with what the reference's runs show.
    With standard errors of the losses, rows weigh by them where they are longer than that.

    Examples
    --------
    >>> found = lawful.gate(faster, fit, at_least=1.05)
    >>> found.verdict, found.ci95[0] > 1.05
    ('yes', True)
    """
    expect_fit(reference)
    if not isinstance(reference, FittedLaw):
        raise DeclarationError("gate: expected a fit with its law, as lawful.load reads it, got a record alone.")
    expect_loss(reference.data.response, "gate")
    told = {"params": params, "tokens": tokens, "loss": loss, "flops": flops, "cluster": cluster, "stderr": stderr}
    table, known = _read(source, reference, told)
    expect_loss(table.response, f"gate: {table.source}")
    variant, base, arm = _arms(table, baseline, by)
    columns = {**told, **known, "cluster": cluster}
    own = _sample(variant, reference, columns)
    _refuse_own_runs(own, reference)
    said: list[Warning] = []
    gap = None
    if base is not None:
        own, gap, unpaired = _paired(own, _sample(base, reference, columns), by)
        if unpaired:
            sentence = f"{unpaired} runs of the variant have no baseline's run of their point and seed: left out."
            said.append(Warning("unpaired", "note", sentence))
    return _judged(own, gap, reference, at_least, arm, baseline, said)


def _read(
    source: Any, reference: FittedLaw, told: Mapping[str, str | None]
) -> tuple[Observations, dict[str, str | None]]:
    """The table, and the reference's names of columns that it has and that were not told otherwise."""
    names = {role: None if role == "cluster" and name == "none" else name for role, name in told.items()}
    table = read_by_role(source, names)
    wanted = {role: reference.data.columns.get(role) for role in ("params", "tokens", "flops", "loss")}
    known: dict[str, str | None] = {
        role: name
        for role, name in wanted.items()
        if told[role] is None and name in table.columns and table.roles.get(role) != name
    }
    if known:
        table = read_by_role(table, {**names, **known})
    units = {reference.data.loss_unit, table.loss_unit} - {""}
    if len(units) > 1:
        raise TableError(
            f"{table.source}: expected losses in {reference.data.loss_unit}, as the reference has, got "
            f"{table.loss_unit}. Bring them to one unit."
        )
    return table, known


def _arms(table: Observations, baseline: str | None, by: str) -> tuple[Observations, Observations | None, str]:
    """The variant's rows, the baseline's where one is named, and what the variant is called."""
    if baseline is None:
        names = {arm_name(value) for value in table.values(by)} if by in table.columns else set()
        return table, None, names.pop() if len(names) == 1 else ""
    table.expect(by)
    names = {arm_name(value) for value in table.values(by)}
    refuse_alike(names, by)
    if baseline not in names:
        raise TableError(f"{table.source}: expected {baseline!r} in {by!r}, got {', '.join(sorted(names))}.")
    others = sorted(names - {baseline})
    if len(others) != 1:
        raise TableError(
            f"{table.source}: expected one arm beside the baseline {baseline!r} in {by!r}, got "
            f"{', '.join(others) or 'none'}. Choose it with --where."
        )
    variant, base = (
        table.where(lambda row, name=name: arm_name(row.get(by)) == name, f"not {name}")  # type: ignore[misc]
        for name in (others[0], baseline)
    )
    return variant, base, others[0]


def _sample(table: Observations, reference: FittedLaw, columns: Mapping[str, str | None]) -> Sample:
    """The rows on the reference's axes, centred as it is."""
    data = sample(table, reference.model, columns, keep_held_out=True)
    return replace(data, x=Axes.of(data.values, reference.data.pivot))


def _refuse_own_runs(own: Sample, reference: FittedLaw) -> None:
    known = {(row.observed, *(row.axes[axis] for axis in sorted(row.axes))) for row in reference.residuals}
    rows = zip(own.loss, *(own.values[axis] for axis in sorted(own.values)), strict=True)
    if same := sum(tuple(map(float, row)) in known for row in rows):
        raise Refusal(
            "own_runs",
            f"{own.observations.source}: {same} of {own.n} runs have the point and the loss of a run that the "
            "reference was fitted to. Give the variant's runs alone, or name the other arm as --baseline.",
        )


def _paired(own: Sample, base: Sample, by: str) -> tuple[Sample, Array, int]:
    """The variant's rows that have a baseline's run of their point and seed, its log loss for each, and how many have
    none. Several baseline runs of one seed count by their mean; the rows held against it share its noise: a cluster."""
    axes = sorted(own.values)

    def keys(data: Sample) -> list[tuple[str, ...]]:
        seeds = data.observations.cells("seed")
        points = np.round(np.log([data.values[axis] for axis in axes]), 6).T
        return [(*map(str, point), str(seed or "")) for point, seed in zip(points, seeds, strict=True)]

    losses: dict[tuple[str, ...], list[float]] = {}
    for key, loss in zip(keys(base), base.loss, strict=True):
        losses.setdefault(key, []).append(float(np.log(loss)))
    mine = keys(own)
    rows = np.array([place for place, key in enumerate(mine) if key in losses], dtype=int)
    if not len(rows):
        raise Refusal(
            "no_pairs",
            f"{own.observations.source}: no run of the variant has a baseline's run of its {', '.join(axes)} and seed. "
            "Train the baseline there, or leave --baseline out.",
        )
    level = np.array([np.mean(losses[mine[place]]) for place in rows])
    paired = own.take(rows)
    held_against = np.unique([repr(mine[place]) for place in rows], return_inverse=True)[1]
    errors = None
    if own.errors is not None and base.errors is not None:
        squares: dict[tuple[str, ...], list[float]] = {}
        for key, error in zip(keys(base), base.errors, strict=True):
            squares.setdefault(key, []).append(float(error) ** 2)
        of_base = [sum(each := squares[mine[place]]) / len(each) ** 2 for place in rows]
        errors = np.hypot(own.errors[rows], np.sqrt(of_base))
    paired = replace(paired, cluster=joined_clusters(paired.cluster, held_against), errors=errors)
    return paired, level, own.n - len(rows)


@np.errstate(over="ignore", under="ignore")
def _judged(
    own: Sample,
    base: Array | None,
    reference: FittedLaw,
    at_least: float,
    arm: str,
    baseline: str | None,
    said: list[Warning],
) -> Gate:
    moved, of = _moved(reference.model, own)
    curve = Curve(
        law=reference.model,
        values=reference.values,
        free=reference.free,
        covariance=np.array(reference.covariance),
        at=own.values,
        pivot=reference.data.pivot,
        moved=moved,
        is_paired=base is not None,
    )
    _expect_falling(curve, reference)
    level = np.log(own.loss)
    search = Search(
        curve=curve, reference=reference, own=own, target=level if base is None else level - base, bars=own.errors
    )
    search = _at_end(search)
    root = search.root()
    noise = search.noise(root)
    low, high = search.end(root, noise, -1.0), search.end(root, noise, 1.0)
    asked = math.log(at_least)
    t, dof = search.t(float(np.clip(asked, -2 * MOST_SHIFT, 2 * MOST_SHIFT)), noise)
    limit = t_quantile(0.5 + LEVEL / 2, dof)
    verdict: Verdict = "yes" if t >= limit and low >= asked else "no" if t < -limit and high < asked else "not decided"
    far = [
        warning
        for row in range(own.n)
        for warning in too_far(reference, {axis: float(v[row]) for axis, v in own.values.items()}, "A run lies")
    ]
    far = sorted(far, key=lambda warning: warning.rank)[:1]
    if far and far[0].severity == "severe" and base is None:
        verdict = "not decided"
    if root > NO_GAIN and verdict == "yes":
        verdict = "not decided"
    lever = search.lever(root)
    return Gate(
        verdict=verdict,
        at_least=at_least,
        speed_up=math.exp(root) if abs(root) < MOST_SHIFT else math.inf if root > 0 else 0.0,
        ci95=(math.exp(low), math.exp(high) if high < 700 else math.inf),
        of=of,
        p=1 - t_cdf(t, dof),
        stderr_log=(
            math.sqrt(search.variance(root, lever)),
            math.sqrt(noise.variance * search.square(lever)),
        ),
        dof=dof,
        n=own.n,
        clusters=len(np.unique(own.cluster)),
        arm=arm,
        baseline=baseline,
        at_end=search.weight is not None,
        error_bars=own.column.get("stderr", "") if own.errors is not None else "",
        reference=f"{reference.law} of {counted(reference)}",
        runs=_by_run(search),
        warnings=(*said, *far, *cautions(search, noise, root)),
    )


def _moved(law: Law, own: Sample) -> tuple[tuple[str, ...], str]:
    """The axes that a speed-up moves, and what it is then counted in."""
    moved = tuple(axis for axis in law.inputs if axis in ("params", "tokens", "flops"))
    if not moved:
        raise DeclarationError(
            f"gate: expected a reference law of params, tokens or flops; {law.spec} reads {', '.join(law.inputs)}."
        )
    return moved, multiplied(moved, own)


def _expect_falling(curve: Curve, reference: FittedLaw) -> None:
    """Raises DeclarationError for a reference in which more is better: its speed-up would be turned round."""
    if (curve.slope(0.0) > 0).all():
        raise DeclarationError(
            f"gate: expected a reference of a loss, which falls with {' and '.join(curve.moved)}, got {reference.law} "
            "of a metric that rises at all runs. Give the law of the loss of the same runs."
        )


def _at_end(search: Search) -> Search:
    """The search at the largest row, where the speed-up is seen to change with what is moved; else as it is."""
    amount = np.sum([np.log(search.own.values[axis]) for axis in search.curve.moved], axis=0)
    weight = amount - amount.max()
    if len(np.unique(search.own.cluster)) < LEAST_MOVING or np.ptp(weight) < LEAST_RANGE:
        return search
    if abs(root := search.root()) >= MOST_SHIFT:
        return search
    slope = search.curve.slope(root)
    lever = search.levers(np.stack([slope, slope * weight], axis=1))[1]
    step, law = search.step(root, lever), search.variance(root, lever)
    ended = replace(search, weight=weight)
    noise = ended.noise(root)
    stderr = math.sqrt(law + noise.variance * search.square(lever))
    p = 2 * (1 - t_cdf(abs(step) / max(stderr, 1e-300), min(noise.dof, max(search.reference.dof, 1.0))))
    return ended if p < MOVES else search


def _by_run(search: Search) -> tuple[RunSpeedUp, ...]:
    """Each row's own speed-up, by bisection for all rows at once."""
    curve, target = search.curve, search.target
    low, high = np.full(search.own.n, -MOST_SHIFT), np.full(search.own.n, MOST_SHIFT)
    offset = curve.log_loss(0.0) if curve.is_paired else 0.0
    for _ in range(60):
        middle = (low + high) / 2
        is_short = curve.log_loss(middle) - offset > target  # the reference needs more for this loss
        low, high = np.where(is_short, middle, low), np.where(is_short, high, middle)
    found = np.where(low >= MOST_SHIFT - 1e-6, np.inf, np.where(high <= -MOST_SHIFT + 1e-6, 0.0, np.exp(low)))
    expected = search.own.loss / np.exp(target) if curve.is_paired else np.exp(curve.log_loss(0.0))
    return tuple(
        RunSpeedUp(
            name,
            {axis: float(v[row]) for axis, v in search.own.values.items()},
            float(search.own.loss[row]),
            float(expected[row]),
            float(found[row]),
        )
        for row, name in enumerate(search.own.run_names)
    )
