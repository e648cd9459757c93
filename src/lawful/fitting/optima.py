"""The best settings of sweeps: at each size and length the optimum of a local surface, then its law over the cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lawful.checks import AnyFloat, checked, nearest
from lawful.errors import DeclarationError, Refusal, TableError
from lawful.fitting.allocate import Interval
from lawful.fitting.data import refuse_arms
from lawful.fitting.local_surface import Surface, least_runs
from lawful.fitting.mixtures import refuse_mixtures
from lawful.fitting.optima_law import OptimumLaw, Reading, optimum_law
from lawful.fitting.pooled_sweeps import refuse_pooled_sweeps
from lawful.fitting.windows import (
    LEAST_LEVELS,
    SMALLER,
    beyond,
    biased_by,
    sweep_surface,
    usual_noise,
    window_size,
)
from lawful.laws import Array
from lawful.response import expect_loss
from lawful.schema import Warning
from lawful.tables import Observations, read_by_role
from lawful.tables.lacking import lacking
from lawful.tables.observations import grouped
from lawful.tables.vocabulary import LETTERS

MOST_SETTINGS = 3  # a quadratic of four has 15 coefficients: no sweep has the runs
SPARE_CELLS = 2  # beyond the law's coefficients


@dataclass(frozen=True, kw_only=True)
class OptimumCell:
    """One size and length: the optimum of its sweep with 95 % intervals; or why there is none.

    at            input -> its value
    runs          runs of the cell; the `window` nearest to the optimum determine it
    settings      setting -> its optimum; empty where refused
    loss          at the optimum
    noise         standard deviation of a run's log loss about the surface
    miss_of_two   setting -> share by which the loss rises if the setting is half or twice its optimum
    refused       why there is no optimum; empty where there is one
    shows_skew    its runs say how far a skewed valley moves the reading
    """

    at: Mapping[str, AnyFloat]
    runs: int
    window: int
    settings: Mapping[str, Interval]
    loss: AnyFloat
    noise: AnyFloat
    miss_of_two: Mapping[str, AnyFloat]
    refused: str = ""
    shows_skew: bool = True


@dataclass(frozen=True, kw_only=True)
class OptimumOver:
    """The optimum of settings at each cell, and how it grows.

    cells      all of them, refused ones too
    laws       setting -> its law in all inputs
    alone      setting -> its laws in one input each, the others left out; empty where there is but one input
    """

    over: tuple[str, ...]
    by: tuple[str, ...]
    cells: tuple[OptimumCell, ...]
    laws: Mapping[str, OptimumLaw]
    alone: Mapping[str, tuple[OptimumLaw, ...]]
    warnings: tuple[Warning, ...]

    @property
    def read(self) -> tuple[OptimumCell, ...]:
        """The cells that have an optimum."""
        return tuple(cell for cell in self.cells if not cell.refused)

    @property
    def refused(self) -> tuple[OptimumCell, ...]:
        return tuple(cell for cell in self.cells if cell.refused)

    def __repr__(self) -> str:
        laws = "; ".join(law_in_words(law) for law in self.laws.values())
        return f"<OptimumOver {len(self.read)} of {len(self.cells)} cells: {laws}>"


def law_in_words(law: OptimumLaw) -> str:
    powers = " ".join(f"{name}^{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for name, one in law.exponents.items())
    return f"{law.setting}* ~ {powers}"


@checked
def optimum(
    source: Any,
    *,
    over: Sequence[str],
    by: Sequence[str] = ("params", "tokens"),
    params: str | None = None,
    tokens: str | None = None,
    flops: str | None = None,
    loss: str | None = None,
) -> OptimumOver:
    """Read the best settings off the sweeps of a table, and fit how they grow.

    Parameters
    ----------
    source
        Anything `read_runs` takes.
    over
        The columns of the settings that were swept, up to three: ("learning_rate", "batch_size"). Positive numbers.
    by
        The columns that define a cell: runs with equal values here are one sweep. N, D, C and U stand for the columns
        of size, tokens, compute and unique tokens.
    params, tokens, flops, loss
        The columns' names, as in `read_runs`.

    Returns
    -------
    OptimumOver
        The cells with their optima; for each setting its law in the inputs, setting* = c N^a D^b.

    Raises
    ------
    Refusal
        `too_few_cells`: fewer cells have an optimum than the law needs.

    Notes
    -----
    At each cell log loss is a quadratic of the settings' logarithms on the runs around the lowest point, fitted with
    Huber's weights. A cell whose optimum lies at the edge of what it tried, or whose valley is flat, is refused and
    listed. The law weighs each cell by the error of its reading and the scatter of the cells (restricted maximum
    likelihood); its intervals include the change under other windows. The number of cells is the sample size:
    more runs in a cell make its reading more accurate, but do not add a reading.

    Examples
    --------
    >>> found = lawful.optimum(sweeps, over=["lr"], by=["N", "D"])
    >>> found.laws["lr"].exponents["N"].value < 0
    True
    """
    told = {"params": params, "tokens": tokens, "flops": flops, "loss": loss}
    table, settings, inputs = _read(source, told, over, by)
    x = np.log(np.stack([_positive(table, name) for name in settings.values()], axis=1))
    z = np.stack([_positive(table, name) for name in inputs.values()], axis=1)
    log_loss = np.log(table.numbers(table.roles["loss"]))
    groups = [np.array(rows) for rows in grouped(table, list(inputs.values()))]
    groups.sort(key=lambda rows: tuple(z[rows[0]]))
    points = [dict(zip(inputs, map(float, z[rows[0]]), strict=True)) for rows in groups]
    names = tuple(settings)
    size = window_size(x, log_loss, groups)
    usual = [sweep_surface(x[rows], log_loss[rows], size) for rows in groups]
    shared = usual_noise(usual)
    wide = [
        None if own is None else beyond(own, x[rows], log_loss[rows], size)
        for own, rows in zip(usual, groups, strict=True)
    ]
    cells = tuple(
        _cell(point, names, x[rows], found, larger, shared)
        for point, rows, found, larger in zip(points, groups, usual, wide, strict=True)
    )
    _expect_enough(table, cells, names, tuple(inputs))
    kept = [i for i, cell in enumerate(cells) if not cell.refused]
    others = [[sweep_surface(x[groups[i]], log_loss[groups[i]], SMALLER * size) for i in kept], [wide[i] for i in kept]]
    at = [points[i] for i in kept]
    found = [one for i in kept if (one := usual[i]) is not None]
    weights = 1.0, biased_by(found, others[1])

    def law(place: int, name: str, axes: Sequence[str]) -> OptimumLaw:
        logs, errors = _readings(found, place, shared)
        return optimum_law(
            name, axes, at, logs, errors, [_other(*one, place, found) for one in zip(others, weights, strict=True)]
        )

    return OptimumOver(
        over=names,
        by=tuple(inputs),
        cells=cells,
        laws={name: law(place, name, tuple(inputs)) for place, name in enumerate(names)},
        alone={
            name: tuple(law(place, name, (axis,)) for axis in inputs) if len(inputs) > 1 else ()
            for place, name in enumerate(names)
        },
        warnings=_warnings(cells),
    )


def _read(
    source: Any, told: Mapping[str, str | None], over: Sequence[str], by: Sequence[str]
) -> tuple[Observations, dict[str, str], dict[str, str]]:
    """The rows that count, with the columns of the settings and of the inputs by the names that were asked."""
    table = read_by_role(source, told).of_ladder(has_brackets=True)
    table = table.where(lambda row: row.get("held_out") is not True, "held out")
    if "loss" not in table.roles:
        raise TableError(f"{table.source}: optimum needs the loss. {lacking(table, 'loss')}")
    if not len(table):
        raise Refusal("no_rows", f"{table.source}: no finished run is left.")
    refuse_mixtures(table)
    _refuse_arms(table, [*over, *by])
    expect_loss(table.response, "optimum")
    settings = _columns(table, "over", over)
    if len(settings) > MOST_SETTINGS:
        raise DeclarationError(f"over: expected at most {MOST_SETTINGS} settings, got {len(settings)}.")
    inputs = _columns(table, "by", by)
    if both := set(settings.values()) & set(inputs.values()):
        raise DeclarationError(f"over, by: expected columns of their own, got {', '.join(sorted(both))} in both.")
    _refuse_lengths(table, settings, inputs)
    refuse_pooled_sweeps(table, list(inputs.values()), list(settings.values()), [])
    return table, settings, inputs


def _refuse_lengths(table: Observations, settings: Mapping[str, str], inputs: Mapping[str, str]) -> None:
    """Raise Refusal if a cell has runs of several sizes or lengths: they are not one sweep."""
    told = {*settings.values(), *inputs.values()}
    for role in ("params", "tokens"):
        column = table.roles.get(role)
        if column is None or column in told:
            continue
        cells = table.cells(column)
        if any(len({cells[place] for place in rows}) > 1 for rows in grouped(table, list(inputs.values()))):
            raise Refusal(
                "pooled_settings",
                f"{table.source}: runs of one {' and '.join(inputs)} differ in {column!r} ({role}): they are no sweep. "
                f"Name it in `by` (--by {','.join([*inputs, column])}), or choose with --where.",
            )


def _expect_enough(
    table: Observations, cells: Sequence[OptimumCell], settings: Sequence[str], inputs: Sequence[str]
) -> None:
    """Raise Refusal if the cells with an optimum are too few to determine a law in the inputs."""
    kept = [cell.at for cell in cells if not cell.refused]
    needed = len(inputs) + 1 + SPARE_CELLS
    if len(kept) < needed:
        raise Refusal(
            "too_few_cells",
            f"{table.source}: {len(kept)} of {len(cells)} cells of {' and '.join(inputs)} have an optimum over "
            f"{' and '.join(settings)}; its law needs {needed}.{_reasons(cells)}",
        )
    for name in inputs:
        if len({at[name] for at in kept}) < 2:
            raise Refusal(
                "too_few_levels", f"{table.source}: {name} takes one value in the cells that have an optimum."
            )
    design = np.log([[at[name] for name in inputs] for at in kept])
    if np.linalg.matrix_rank(design - design.mean(axis=0), tol=1e-6) < len(inputs):
        raise Refusal(
            "too_few_levels",
            f"{table.source}: {' and '.join(inputs)} go together in the cells that have an optimum, so that their "
            "exponents cannot be told apart. Name one of them in `by`, or add cells.",
        )


def _refuse_arms(table: Observations, told: Sequence[str]) -> None:
    """Refuse several arms, also in a study's table: a cell is a sweep of one arm."""
    refuse_arms(table, told)
    column = table.roles.get("arm")
    if column is not None and column not in told and len(arms := set(map(str, table.values(column)))) > 1:
        raise Refusal(
            "pooled_settings",
            f"{table.source}: expected the runs of one arm, got {', '.join(sorted(arms)[:4])}. Choose one "
            f"(--where {column}=VALUE).",
        )


def _columns(table: Observations, what: str, names: Sequence[str]) -> dict[str, str]:
    """Name -> its column. A name is that of a column, or the name or letter of a role."""
    if not names or isinstance(names, str) or len(set(names)) < len(names):
        raise DeclarationError(f"{what}: expected different columns, got {names!r}.")
    out = {}
    roles = {letter: role for role, letter in LETTERS.items()}
    for name in names:
        known = table.known_as(name)
        column = known if known in table.columns else table.roles.get(roles.get(name, name))
        if column is None:
            raise TableError(
                f"{table.source}: {what}: no column {name!r}; the table has {nearest(name, table.columns)}."
            )
        out[name] = column
    return out


def _positive(table: Observations, column: str) -> Array:
    numbers = table.numbers(column)
    if not ((numbers > 0) & np.isfinite(numbers)).all():
        row = int(np.argmin((numbers > 0) & np.isfinite(numbers))) + 1
        raise TableError(
            f"{table.source}: row {row} of those that count, column {column!r}: expected a positive number, got "
            f"{table.values(column)[row - 1]!r}."
        )
    return numbers


def _cell(
    point: Mapping[str, float],
    names: Sequence[str],
    x: Array,
    found: Surface | None,
    larger: Surface | None,
    shared: float,
) -> OptimumCell:
    refused = _why_not(names, x, found, shared)
    if found is None or refused:
        return OptimumCell(
            at=point, runs=len(x), window=0, settings={}, loss=math.nan, noise=math.nan, miss_of_two={}, refused=refused
        )
    reach = found.reach(shared)
    is_near = larger is not None and bool((np.abs(larger.at - found.at) < math.log(4)).all())
    skew = 0 * found.at
    if larger is not None and is_near:
        factor = biased_by([found], [larger])
        skew = factor * (larger.at - found.at)
        if factor < 0:  # a larger window: its reading and the usual one differ by noise, too
            own, other = (one.noise(shared) * np.diag(one.unscaled) for one in (found, larger))
            reach = np.sqrt(reach**2 * (1 + factor**2 * np.maximum(1 - other / own, 0.0)))
    ends = {}  # around the reading, and around the reading corrected for its window's width
    for i, name in enumerate(names):
        low, high = (side * min(reach[i] + max(side * skew[i], 0.0), 300.0) for side in (-1, 1))
        ends[name] = Interval(*(math.exp(found.at[i] + away) for away in (0, low, high)))
    bends = np.diag(found.curvature)
    return OptimumCell(
        at=point,
        runs=len(x),
        window=found.runs,
        settings=ends,
        loss=math.exp(found.level),
        noise=math.sqrt(found.noise(shared)),
        miss_of_two={name: math.expm1(bends[i] * math.log(2) ** 2 / 2) for i, name in enumerate(names)},
        shows_skew=larger is not None,
    )


def _why_not(names: Sequence[str], x: Array, found: Surface | None, shared: float) -> str:
    """Empty where the cell has an optimum."""
    if len(x) < least_runs(len(names)):
        return f"{len(x)} runs: a surface needs {least_runs(len(names))}"
    for name, column in zip(names, x.T, strict=True):
        if (levels := len(np.unique(np.round(column, 9)))) < LEAST_LEVELS:
            return f"{levels} value{'s' if levels > 1 else ''} of {name}: at least {LEAST_LEVELS} are needed"
    if found is None:
        return "no lowest point: the loss falls towards an edge, or is flat"
    for name, column, at in zip(names, x.T, found.at, strict=True):
        levels_of = np.unique(column)
        first, last = (levels_of[0] + levels_of[1]) / 2, (levels_of[-2] + levels_of[-1]) / 2
        if not first <= at <= last:
            low, high = math.exp(levels_of[0]), math.exp(levels_of[-1])
            where = "beyond" if not levels_of[0] <= at <= levels_of[-1] else "at"
            return f"the best {name} lies {where} the edge of what was tried, {low:.3g} to {high:.3g}"
    return "flat: its valley is not shown to have a lowest point" if found.is_flat(shared) else ""


def _reasons(cells: Sequence[OptimumCell]) -> str:
    return "".join(
        f" {', '.join(f'{name} {value:.3g}' for name, value in cell.at.items())}: {cell.refused}."
        for cell in cells
        if cell.refused
    )


def _readings(found: Sequence[Surface], place: int, shared: float) -> tuple[Array, Array]:
    logs = np.array([one.at[place] for one in found])
    return logs, np.array([one.noise(shared) * one.unscaled[place, place] for one in found])


def _other(surfaces: Sequence[Surface | None], weight: float, place: int, usual: Sequence[Surface]) -> Reading:
    """The readings of another window, of the cells that have one not far from the usual."""
    shared = usual_noise(surfaces)
    rows = [
        i
        for i, (one, own) in enumerate(zip(surfaces, usual, strict=True))
        if one is not None and abs(one.at[place] - own.at[place]) < math.log(4)
    ]
    logs, errors = _readings([one for i in rows if (one := surfaces[i]) is not None], place, shared)
    return Reading(np.array(rows, dtype=int), logs, errors, weight)


def _warnings(cells: Sequence[OptimumCell]) -> tuple[Warning, ...]:
    refused, said = [cell for cell in cells if cell.refused], []
    if refused:
        sentence = f"{len(refused)} of {len(cells)} cells have no optimum and were left out:{_reasons(refused[:5])}"
        said.append(Warning("cells_left_out", "warning" if len(refused) > len(cells) / 4 else "note", sentence))
    if blind := sum(not cell.refused and not cell.shows_skew for cell in cells):
        sentence = f"{blind} of {len(cells)} cells have too few runs to show skew: intervals are for even valleys."
        said.append(Warning("skew_unseen", "warning", sentence))
    return tuple(said)
