"""Where the curves of two arms cross, if they do: the point, its confidence set, and which arm wins on either side."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from lawful.checks import AnyFloat, NaturalInt, checked
from lawful.errors import DeclarationError, Refusal
from lawful.fitting.arms import arm_name
from lawful.fitting.cautions import about_clusters
from lawful.fitting.comparison import Sharing
from lawful.fitting.data import read_table
from lawful.fitting.default_law import resolved
from lawful.fitting.estimate import fit
from lawful.fitting.gap import Gap, JointFit, fit_both
from lawful.fitting.joint import why_not_certified
from lawful.fitting.quantiles import t_cdf
from lawful.fitting.result import Fit
from lawful.laws import Array, Law
from lawful.schema import Warning
from lawful.tables import COLUMNS, Observations

LEVEL = 0.95
POINTS, INSIDE = 240, 60  # where the gap is looked at: in all, and in the data
BEYOND = 100.0  # the set is sought this far outside the data on either side


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Where the laws of two arms cross.

    axis_name          what the axis is in words: the column, where it is one of a study's own
    p                  that one law serves both arms, as `compare` tests it; where that is not excluded at `level`, no
                       crossing and no leader is named
    at                 where the fitted curves cross; None unless each arm is ahead at its end of the data at `level`
    leader             the arm that is ahead over the whole range of the data at `level` (a simultaneous band), or None
    set95              pieces (low, high) of the axis on which neither arm is ahead at `level`, each point taken by
                       itself: it holds a crossing as often as that. An end at 0 or infinity means unbounded. Empty: one
                       arm is ahead everywhere that was looked at
    better_small, better_large   the arm with the lower fitted loss at the two ends of the shared data, and the
                       confidence of a one-sided test that it is ahead there
    level              .95, or above where several pairs of arms are judged at once
    is_paired          the arms' noise was taken to be shared where they have the same seeds, as much as their runs show
    sharing            the parameters that were taken to be the same in both arms, and the test of that
    """

    axis: str
    axis_name: str
    arms: tuple[str, str]
    p: AnyFloat
    at: float | None
    leader: str | None
    set95: tuple[tuple[AnyFloat, AnyFloat], ...]
    shared_range: tuple[float, float]
    better_small: str
    better_small_probability: AnyFloat
    better_large: str
    better_large_probability: AnyFloat
    level: float
    is_paired: bool
    sentence: str
    sharing: Sharing | None = None


@dataclass(frozen=True, kw_only=True)
class Crossover(Crossing):
    """A crossing with what it rests on.

    fits, joint        of each arm alone, and of both at once
    """

    fits: Mapping[str, Fit]
    joint: JointFit = field(repr=False)
    warnings: tuple[Warning, ...]

    def __repr__(self) -> str:
        return f"<Crossover of {' and '.join(self.arms)}: {self.sentence}>"

    @property
    def crossing(self) -> Crossing:
        """Without the fits, whose draws are thousands."""
        return Crossing(**{one.name: getattr(self, one.name) for one in fields(Crossing)})


@checked
def crossover(
    source: Any,
    by: str = "arm",
    *,
    arms: tuple[str, str] | None = None,
    law: str | Law | None = None,
    share: Sequence[str] = (),
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    flops: str | None = None,
    cluster: str | None = None,
    draws: NaturalInt = 1000,
    seed: NaturalInt = 0,
) -> Crossover:
    """Find where the curves of two arms cross, if the data establish that they do.

    Parameters
    ----------
    source
        Anything `read_runs` takes.
    by
        The column that names the arms.
    arms
        The two, where there are more.
    law
        Of one axis (power_floor:tokens and the like); by default a power law with a floor over the axis that varies.
    share
        Parameters that both arms are known to share; whether that costs is tested as `lawful fit --by --share` does.
    params, tokens, loss, flops, cluster
        The columns' names, as of `lawful.fit`.
    draws, seed
        Of the fit of each arm alone, which the result carries.

    Returns
    -------
    Crossover
        Where they cross (`at`, in units of one of the axis), the 95 % set, or who leads throughout.

    Raises
    ------
    Refusal
        An arm cannot be fitted.
    DeclarationError
        There are not two arms, or the law has two axes.

    Examples
    --------
    >>> lawful.crossover(arms, by="arm", draws=0).leader
    'new'
    """
    columns = {"params": params, "tokens": tokens, "loss": loss, "flops": flops, "cluster": cluster}
    table = read_table(source, columns)
    table.expect(by)
    choice = resolved(law, table, axes=1)
    law = choice.law
    pair = _two(arms, list(dict.fromkeys(map(arm_name, table.values(by)))), by)
    joint = fit_both(table, by, pair, law, columns, share)  # it refuses mixtures over both arms
    fits = {
        arm: fit(_of_arm(table, by, arm), law, draws=draws, seed=seed + number, cluster=cluster)
        for number, arm in enumerate(pair)
    }
    found = between(joint, fits)
    return replace(found, warnings=(choice.caution, *found.warnings)) if choice.caution else found


def _of_arm(table: Observations, by: str, arm: str) -> Observations:
    return table.where(lambda row: arm_name(row.get(by)) == arm, f"another {by}")


def _two(arms: tuple[str, str] | None, present: list[str], by: str) -> tuple[str, str]:
    if arms is None:
        if len(present) != 2:
            raise DeclarationError(
                f"{by}: expected two arms, got {', '.join(present)}. Name two: --arms FIRST,SECOND (in Python "
                "arms=(first, second))."
            )
        return present[0], present[1]
    if missing := [arm for arm in arms if arm not in present]:
        raise DeclarationError(f"{by}: no arm is called {', '.join(missing)}; there are {', '.join(present)}.")
    return arms


def between(joint: JointFit, fits: Mapping[str, Fit], *, level: float = LEVEL) -> Crossover:
    """The crossing of two arms that were fitted at once; `fits` has each arm's own, for its warnings and curve."""
    axis, arms = joint.axis, joint.arms
    low, high = joint.shared_range
    if not low < high:
        spans = " and ".join(f"{arm} spans {joint.range_of(arm)}" for arm in arms)
        raise Refusal("no_shared_range", f"{axis}: the arms share no range: {spans}.")
    wide = joint.gap(np.geomspace(low / BEYOND, high * BEYOND, POINTS))
    inside = joint.gap(np.geomspace(low, high, INSIDE))
    (small, small_p), (large, large_p) = (_better(inside, end, arms) for end in (0, -1))
    are_apart = joint.is_certified and joint.p < 1 - level
    leads = inside.leads(level) if are_apart else 0
    is_crossing = are_apart and small != large and min(small_p, large_p) >= level
    at = _first_zero(inside.at, inside.value) if is_crossing else None
    leader = {-1: arms[0], 0: None, 1: arms[1]}[leads]
    pieces = _undecided(wide.at, wide.ahead(level))
    name = _name(fits[arms[0]], axis)
    return Crossover(
        axis=axis,
        axis_name=name,
        arms=arms,
        p=joint.p,
        at=at,
        leader=leader,
        set95=pieces,
        shared_range=(low, high),
        better_small=small,
        better_small_probability=small_p,
        better_large=large,
        better_large_probability=large_p,
        level=level,
        is_paired=joint.is_paired,
        sentence=_sentence(
            name, joint.p, at, leader, _of_data(pieces, low, high), small, small_p, large, large_p, level, _ahead(joint)
        ),
        sharing=None if joint.shared is None else joint.shared.test,
        fits=dict(fits),
        joint=joint,
        warnings=_cautions(joint, fits, inside.value, at is not None),
    )


def _first_zero(at: Array, gap: Array) -> float | None:
    change = np.flatnonzero(np.diff(np.sign(gap)) != 0)
    if not len(change):
        return None
    i = int(change[0])
    share = gap[i] / (gap[i] - gap[i + 1])
    return float(at[i] * (at[i + 1] / at[i]) ** share)


def _undecided(at: Array, ahead: Array) -> tuple[tuple[float, float], ...]:
    """The pieces between the points at which one arm is ahead."""
    decided = np.flatnonzero(ahead != 0)
    if not len(decided):
        return ((0.0, float("inf")),)
    pieces = [] if decided[0] == 0 else [(0.0, float(at[decided[0]]))]
    for i, j in itertools.pairwise(decided):
        if j > i + 1 or ahead[i] != ahead[j]:  # a change of lead lies between, however narrow
            pieces.append((float(at[i]), float(at[j])))
    if decided[-1] < len(at) - 1:
        pieces.append((float(at[decided[-1]]), float("inf")))
    return tuple(pieces)


def _better(gap: Gap, end: int, arms: tuple[str, str]) -> tuple[str, float]:
    """The arm with the lower loss at one end, and the confidence of a one-sided test that it is."""
    share = t_cdf(abs(float(gap.scores[end])), float(gap.dof[end]))
    return (arms[0] if gap.value[end] < 0 else arms[1]), share


def _ahead(joint: JointFit) -> str:
    """What is said of the arm that is ahead."""
    if joint.data.response.is_log:
        return "metric is higher" if joint.is_rising else "loss is lower"
    metric = str(joint.data.column.get("loss", "metric")).replace("_", " ")
    return f"{metric} is {'higher' if joint.is_rising else 'lower'}"


def _name(fit: Fit, axis: str) -> str:
    """What the axis is in words: the column, where it is one of a study's own, such as seconds."""
    column = str(fit.data.columns.get(axis, axis))
    return column.replace("_", " ") if column in COLUMNS else axis


def _sentence(
    axis: str,
    p: float,
    at: float | None,
    leader: str | None,
    pieces: tuple[tuple[float, float], ...],
    small: str,
    small_p: float,
    large: str,
    large_p: float,
    level: float,
    fitted: str,
) -> str:
    ends = (
        f"the fitted {fitted} for {small} at small {axis} (one-sided confidence {_share(small_p)}) "
        f"and for {large} at large {axis} ({_share(large_p)})"
    )
    if small_p == large_p == 0.5:
        ends = "the fitted curves are the same"
    if pieces:
        undecided = f"neither is ahead at {100 * level:.3g} % " + " and ".join(
            _in_words(piece, axis) for piece in pieces
        )
    else:
        undecided = f"one of them is ahead at every {axis} of the data"
    rest = f"{ends}; {undecided}."
    if at is not None:
        return f"The arms cross at {axis} = {at:.3g}: {rest}"
    if leader is not None:
        return f"{leader} is ahead over the whole range of the data: {rest}"
    why = f" (that one law serves both is not excluded: p = {p:.2g})" if p >= 1 - level else ""
    return f"Neither a crossing nor a lead over the whole range of the data is established{why}: {rest}"


def _share(confidence: float) -> str:
    return f"{confidence:.2f}" if confidence < 0.995 else "above 0.99"


def _of_data(pieces: tuple[tuple[float, float], ...], low: float, high: float) -> tuple[tuple[float, float], ...]:
    """The undecided pieces in the range where both arms have runs; nothing is claimed outside that range."""
    inside = [(start, end) for start, end in pieces if start < high and end > low]
    return tuple((0.0 if start <= low else start, float("inf") if end >= high else end) for start, end in inside)


def _in_words(piece: tuple[float, float], axis: str) -> str:
    low, high = piece
    if low <= 0:
        return f"below {high:.3g}" if high < float("inf") else f"at any {axis} of the data"
    return f"above {low:.3g}" if high == float("inf") else f"from {low:.3g} to {high:.3g}"


def _cautions(joint: JointFit, fits: Mapping[str, Fit], centre: Array, is_crossing: bool) -> tuple[Warning, ...]:
    found: list[Warning] = []
    if (why := why_not_certified(joint.point)) is not None:
        sentence = f"The fit of both arms is not certified ({why}): no crossing and no lead is named."
        found.append(Warning("not_certified", "severe", sentence))
    if joint.shared is not None:
        found += joint.shared.warnings
    found += about_clusters(joint.data.column.get("cluster", ""), joint.data.n, joint.data.clusters)
    crossings = int((np.diff(np.sign(centre)) != 0).sum())
    if crossings > 1 and is_crossing:
        found.append(
            Warning(
                "several_crossings",
                "warning",
                f"The fitted curves cross {crossings} times in the data; the first is reported.",
            )
        )
    for arm, one in fits.items():
        found += [
            replace(caution, sentence=f"{arm}: {caution.sentence}")
            for caution in one.warnings
            if caution.severity != "note"
        ]
    return tuple(found)
