"""Put a published claim to the test on the points it was drawn from: supported, contradicted, or not decided.

Two kinds of claim are understood: a parameter's value, `alpha=0.142`, and an arm that is ahead on one side of a point,
`transformer beats lstm above 1e7`. Where the table gives the shapes of its models, parameters and compute are counted
again from them, and the claim has to hold under those counts too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from lawful.errors import DeclarationError, Refusal
from lawful.fitting.cautions import rests_on
from lawful.fitting.crossover import crossover
from lawful.fitting.data import read_table
from lawful.fitting.default_law import Choice, how_counts_vary, resolved
from lawful.fitting.estimate import fit
from lawful.fitting.number_text import interval
from lawful.fitting.quantiles import chi_squared_quantile
from lawful.fitting.result import Fit
from lawful.laws import Bounds, Law, named
from lawful.schema import Warning
from lawful.tables import Observations

Columns = dict[str, str | None]  # role -> column
Verdict = Literal["supported", "contradicted", "not decided"]
LEVEL = 0.95
POINTS = 50
WITHIN = 0.1  # share of a claimed value by which the truth may differ and still count as what was claimed
# of a fit: each leaves its parameters without a meaning, however narrow an interval may look
UNDECIDING = {"not_identified", "not_certified"}
# what the columns of a decoder's shape are called, here and elsewhere; `mlp` is 4 x width where it is not given
SHAPES = {
    "width": ("width", "d_model", "n_embd", "hidden_size"),
    "depth": ("depth", "n_layer", "n_layers", "layers", "num_layers"),
    "mlp": ("mlp_width", "d_ff", "ff", "ffn_dim", "intermediate_size"),
    "vocabulary": ("vocabulary", "vocab_size", "n_vocab"),
}
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


@dataclass(frozen=True)
class Replay:
    """claim as it was given; `reasons` are sentences, the deciding one first; `fits` by arm, or under "all"; `warnings`
    are the severe ones of these fits, and how the law was chosen."""

    claim: str
    verdict: Verdict
    reasons: tuple[str, ...]
    fits: Mapping[str, Fit]
    warnings: tuple[Warning, ...] = ()

    def __repr__(self) -> str:
        return f"<Replay {self.sentence}>"

    @property
    def sentence(self) -> str:
        return f"{self.claim}: {self.verdict}. {self.reasons[0]}"


def replay(
    source: Any,
    claim: str,
    *,
    law: str | Law | None = None,
    by: str = "arm",
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    flops: str | None = None,
    cluster: str | None = None,
    within: float = WITHIN,
    is_law_named: bool | None = None,
    draws: int = 1000,
    seed: int = 0,
    fixed: Mapping[str, float] | None = None,
    bounds: Bounds | None = None,
) -> Replay:
    """Refit published points and say whether they support a claim, contradict it, or decide nothing.

    Parameters
    ----------
    source
        Anything `read_runs` takes.
    claim
        "alpha=0.142", or "transformer beats lstm above 1e7".
    law
        Under which the claim was made, or a better one; by default the one that the table can carry. Where none is
        named and the points are not of that form (a warning `misfit`), nothing is decided.
    by
        The column that names the arms, for a claim that one beats another.
    params, tokens, loss, flops, cluster
        The columns' names, as of `lawful.fit`.
    within
        Share of a claimed value by which the truth may differ. Supported: the whole 95 % interval lies within that of
        the claim; contradicted: none of it does; else not decided.
    is_law_named
        False where `law` is a default of the caller's; by default, whether a law is given.
    draws, seed
        Of the bootstrap.
    fixed, bounds
        Of the law's parameters, as of `lawful.fit`; for a claim about a value.

    Returns
    -------
    Replay
        The verdict and its reasons; points that no law fits are a verdict, too.

    Raises
    ------
    LawfulError
        A claim that is not understood, or a bad table.

    Examples
    --------
    >>> lawful.replay(runs, "alpha=0.34", law="chinchilla", draws=0).verdict
    'supported'
    """
    if not 0 < within < np.inf:
        raise DeclarationError(f"within: expected a share above 0, such as {WITHIN}, got {within}.")
    undeciding = UNDECIDING if (law is not None if is_law_named is None else is_law_named) else UNDECIDING | {"misfit"}
    of_value = re.fullmatch(rf"\s*(\w+)\s*=\s*({NUMBER})\s*", claim)
    of_arms = re.fullmatch(rf"\s*(\S+) beats (\S+) (above|below) ({NUMBER})\s*", claim)
    if of_arms and (fixed or bounds):
        raise DeclarationError("replay: fixed and bounds are for claims about a value, such as alpha=0.142.")
    if not of_value and not of_arms:
        raise DeclarationError(f"claim: expected NAME=NUMBER, or ARM beats ARM above NUMBER (or below), got {claim!r}.")
    columns: Columns = {"params": params, "tokens": tokens, "loss": loss, "flops": flops, "cluster": cluster}
    table = read_table(source, columns)
    choice = resolved(law, table, axes=1 if of_arms else None)
    test: Callable[[Observations, Columns], Replay]
    if of_value:
        name, claimed = of_value[1], float(of_value[2])
        if law is None and how_counts_vary(table) == "together":
            return _of_unknown_axis(claim.strip(), name, choice)

        def test(rows: Observations, columns: Columns) -> Replay:
            def refit() -> Fit:
                return fit(rows, choice.law, draws=draws, seed=seed, fixed=fixed, bounds=bounds, **columns)  # type: ignore[arg-type]

            return _value(refit, claim.strip(), name, claimed, within, undeciding)

    elif of_arms:
        arms, where = (of_arms[1], of_arms[2]), (of_arms[3], float(of_arms[4]))

        def test(rows: Observations, columns: Columns) -> Replay:
            return _ahead(rows, claim.strip(), arms, where, choice.law, by, columns, draws, seed, undeciding)

    found = _under_every_count(
        test(table, columns),
        [(words, test(*again)) for words, again in _recounted(table, choice.law, columns).items()],
    )
    carried = {one.sentence: one for part in found.fits.values() for one in rests_on(part)}
    return replace(found, warnings=(*([choice.caution] if choice.caution else []), *carried.values()))


def _of_unknown_axis(claim: str, name: str, choice: Choice) -> Replay:
    """An exponent per parameter is twice that per FLOP where tokens follow parameters: which one is claimed?"""
    said = [] if choice.caution is None else [choice.caution]
    reason = (
        f"Params and tokens vary together here, and the claim does not say of which axis {name} is. Name the law that "
        "it was made under: power_floor:params, power_floor:tokens or power_floor:flops."
    )
    return Replay(claim, "not decided", (reason,), {}, tuple(said))


def _under_every_count(first: Replay, again: list[tuple[str, Replay]]) -> Replay:
    """The verdict under the counts as given, if those from the shapes agree with it; else nothing is decided."""
    reasons = [f"{words}: {one.verdict}. {one.reasons[0]}" for words, one in again]
    if all(one.verdict == first.verdict for _, one in again):
        return replace(first, reasons=(*first.reasons, *reasons))
    given = f"As counted in the table: {first.verdict}. {first.reasons[0]}"
    lead = "The verdict depends on how things are counted."
    return replace(first, verdict="not decided", reasons=(lead, given, *reasons, *first.reasons[1:]))


def _recounted(table: Observations, law: str | Law, columns: Columns) -> dict[str, tuple[Observations, Columns]]:
    """The table with parameters, or compute as 6 N D, counted from the shapes: with and without embeddings."""
    known = {role: next((n for n in names if n in table.columns), None) for role, names in SHAPES.items()}
    axes = set(named(law).inputs) & {"params", "flops"}
    if (
        known["width"] is None
        or known["depth"] is None
        or not axes
        or ("flops" in axes and "tokens" not in table.roles)
    ):
        return {}
    width, depth = table.numbers(known["width"]), table.numbers(known["depth"])
    mlp = table.numbers(known["mlp"]) if known["mlp"] else 4 * width
    blocks = depth * (4 * width**2 + 2 * width * mlp)  # attention, and two matrices of the feed-forward
    counts = {"without embeddings": blocks}
    if known["vocabulary"]:
        counts["with embeddings"] = blocks + table.numbers(known["vocabulary"]) * width
    found = {}
    for words, params in counts.items():
        cells = {"params": params}
        if "flops" in axes:
            cells["flops"] = 6 * params * table.numbers(table.roles["tokens"])
        rows = tuple(
            {**row, **{f"{axis} from shapes": float(values[i]) for axis, values in cells.items()}}
            for i, row in enumerate(table.rows)
        )
        told = {**columns, **{axis: f"{axis} from shapes" for axis in cells if axis == "params" or axis in axes}}
        name = "C = 6 N D, N" if "flops" in axes else "N"
        found[f"With {name} counted from the shapes {words}"] = (replace(table, rows=rows), told)
    return found


def _value(
    refit: Callable[[], Fit], claim: str, name: str, claimed: float, within: float, undeciding: set[str]
) -> Replay:
    try:
        found = refit()
    except Refusal as refusal:
        return Replay(claim, "not decided", (f"No law can be fitted to these points: {refusal}",), {})
    if name not in found.params:
        raise DeclarationError(f"claim: {found.law} has no parameter {name!r}; it has {', '.join(found.params)}.")
    low, high = found.params[name].ci95
    n = found.goodness.n
    of_fit = _severe(found, undeciding)
    form = tuple(c.sentence for c in _severe(found, {"misfit"}))  # the law was named: said beside the verdict
    here = f"{n} points give {name} = {found.params[name].value:.3g}, 95 % interval {interval(low, high)}"
    if of_fit:
        return Replay(claim, "not decided", (*(c.sentence for c in of_fit), f"{here}."), {"all": found})
    if not np.isfinite([low, high]).all():
        return Replay(claim, "not decided", (f"{here}: it has no end.",), {"all": found})
    margin = within * abs(claimed)
    near = f"within {100 * within:g} % of {claimed:g}, [{claimed - margin:.3g}, {claimed + margin:.3g}]"
    if claimed - margin <= low and high <= claimed + margin:
        return Replay(claim, "supported", (f"{here}: all of it lies {near}.", *form), {"all": found})
    if high < claimed - margin or claimed + margin < low:
        return Replay(claim, "contradicted", (f"{here}: none of it lies {near}.", *form), {"all": found})
    more = _runs_to_decide(found, found.params[name].value, (low, high), (claimed - margin, claimed + margin))
    return Replay(
        claim, "not decided", (f"{here}: part of it lies {near}, part does not.{more}", *form), {"all": found}
    )


def _runs_to_decide(found: Fit, value: float, ci95: tuple[float, float], allowed: tuple[float, float]) -> str:
    """How many runs like these would narrow the interval until it decides, if the estimate stayed where it is: its
    ends come nearer as the root of their number grows. The range is that of the noise's own estimate."""
    reaches = (value - ci95[0], ci95[1] - value)
    rooms = (value - allowed[0], allowed[1] - value)
    if min(rooms) >= 0:  # inside: both ends have to be
        ratios = [reach / max(room, 1e-300) for reach, room in zip(reaches, rooms, strict=True)]
    else:  # outside, above or below: the end towards what was claimed has to be
        ratios = [reaches[0] / -rooms[1]] if rooms[1] < 0 else [reaches[1] / -rooms[0]]
    if max(ratios) > 20:
        return " No number of runs like these is likely to decide: the estimate lies at the edge of what was claimed."
    factor = max(*ratios, 1.0) ** 2
    n, dof = found.goodness.n, max(found.dof, 1.0)
    least, most = (factor * dof / chi_squared_quantile(p, dof) for p in (0.975, 0.025))
    about, low, high = (max(math.ceil(n * share), n + 1) for share in (factor, least, most))
    return f" About {about:,} runs like these would decide ({low:,} to {high:,})."


def _ahead(
    source: Observations,
    claim: str,
    arms: tuple[str, str],
    where: tuple[str, float],
    law: str | Law,
    by: str,
    columns: Columns,
    draws: int,
    seed: int,
    undeciding: set[str],
) -> Replay:
    try:
        found = crossover(source, by, arms=arms, law=named(law), share=(), draws=draws, seed=seed, **columns)
    except Refusal as refusal:
        return Replay(claim, "not decided", (f"No law can be fitted to these points: {refusal}",), {})
    side, limit = where
    low, high = found.shared_range
    low, high = (max(low, limit), high) if side == "above" else (low, min(high, limit))
    if not low < high:
        reason = f"Both arms have points from {found.shared_range[0]:.3g} to {found.shared_range[1]:.3g} only."
        return Replay(claim, "not decided", (reason,), found.fits)
    joint = found.joint
    gap = joint.gap(np.geomspace(low, high, POINTS))
    here = f"between {low:.3g} and {high:.3g}, where both arms have points"
    if not joint.is_certified:
        reasons = tuple(c.sentence for c in found.warnings if c.code == "not_certified")
        return Replay(claim, "not decided", (*reasons, found.sentence), found.fits)
    form = tuple(
        f"{name}: {caution.sentence}" for name, one in found.fits.items() for caution in _severe(one, {"misfit"})
    )
    if form and "misfit" in undeciding:
        return Replay(claim, "not decided", (*form, found.sentence), found.fits)
    # a claim is one question, asked beforehand; that no crossing was found where any was sought is no reason against it
    crossing = (*([found.sentence] if found.at is not None or found.leader is not None else []), *form)
    ahead = gap.ahead(LEVEL)
    if (ahead < 0).all():  # each point's own test suffices for a claim about all of them (Berger 1982)
        reason = f"{arms[0]} is ahead at every point {here}, each at {100 * LEVEL:.0f} %."
        return Replay(claim, "supported", (reason, *crossing), found.fits)
    worst = int(gap.scores.argmax())
    if gap.scores[worst] > gap.band(LEVEL):
        level = f"{100 * LEVEL:.0f} %"
        text = f"At {gap.at[worst]:.3g} {arms[1]} is ahead, by a band over all points {here}, at {level}."
        return Replay(claim, "contradicted", (text, *crossing), found.fits)
    share = 100 * (ahead < 0).mean()
    reason = f"{arms[0]} is ahead at {share:.0f} % of the points {here}, each at {100 * LEVEL:.0f} %."
    return Replay(claim, "not decided", (reason, found.sentence), found.fits)


def _severe(found: Fit, codes: set[str]) -> list[Warning]:
    return [caution for caution in found.warnings if caution.code in codes and caution.severity == "severe"]
