"""Put a published claim to the test on the points it was drawn from: supported, contradicted, or not decidable.

Two kinds of claim are understood: a parameter's value, `alpha=0.142`, and an arm that is ahead on one side of a point,
`transformer beats lstm above 1e7`. Where the table gives the shapes of its models, parameters and compute are counted
again from them, and the claim has to hold under those counts too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from lawful.errors import DeclarationError, Refusal
from lawful.fitting.crossover import crossover, gap
from lawful.fitting.estimate import fit
from lawful.fitting.result import Caution, Fit
from lawful.laws import Law, named
from lawful.table import Observations, read_runs

Verdict = Literal["supported", "contradicted", "not decidable"]
SURE = 0.95
POINTS = 50
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
    """claim as it was given; `reasons` are sentences, the deciding one first; `fits` by arm, or under "all"."""

    claim: str
    verdict: Verdict
    reasons: tuple[str, ...]
    fits: Mapping[str, Fit]

    @property
    def sentence(self) -> str:
        return f"{self.claim}: {self.verdict}. {self.reasons[0]}"


def replay(
    source: Any,
    claim: str,
    *,
    law: str | Law = "power_floor",
    by: str = "arm",
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    flops: str | None = None,
    cluster: str | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Replay:
    """Refit the points and hold `claim` against what they say.

    law     under which the claim was made, or a better one
    by      the column that names the arms, for a claim that one beats another
    Raises LawfulError for a claim that is not understood, and for a bad table; points no law fits are a verdict.
    """
    columns: Any = {"params": params, "tokens": tokens, "loss": loss, "flops": flops, "cluster": cluster}
    test: Callable[[Any, Any], Replay]
    if found := re.fullmatch(rf"\s*(\w+)\s*=\s*({NUMBER})\s*", claim):
        name, claimed = found[1], float(found[2])

        def test(rows: Any, columns: Any) -> Replay:
            return _value(rows, claim.strip(), name, claimed, law, columns, draws, seed)

    elif found := re.fullmatch(rf"\s*(\S+) beats (\S+) (above|below) ({NUMBER})\s*", claim):
        arms, where = (found[1], found[2]), (found[3], float(found[4]))

        def test(rows: Any, columns: Any) -> Replay:
            return _ahead(rows, claim.strip(), arms, where, law, by, columns, draws, seed)

    else:
        raise DeclarationError(f"claim: expected NAME=NUMBER, or ARM beats ARM above NUMBER (or below), got {claim!r}.")
    first = test(source, columns)
    table = read_runs(source, **_known(columns))
    return _under_every_count(
        first, [(words, test(*again)) for words, again in _recounted(table, law, columns).items()]
    )


def _under_every_count(first: Replay, again: list[tuple[str, Replay]]) -> Replay:
    """The verdict under the counts as given, if those from the shapes agree with it; else nothing is decided."""
    reasons = [f"{words}: {one.verdict}. {one.reasons[0]}" for words, one in again]
    if all(one.verdict == first.verdict for _, one in again):
        return replace(first, reasons=(*first.reasons, *reasons))
    given = f"As counted in the table: {first.verdict}. {first.reasons[0]}"
    lead = "The verdict depends on how things are counted."
    return replace(first, verdict="not decidable", reasons=(lead, given, *reasons, *first.reasons[1:]))


def _recounted(table: Observations, law: str | Law, columns: Any) -> dict[str, tuple[Observations, Any]]:
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
    source: Any, claim: str, name: str, claimed: float, law: str | Law, columns: Any, draws: int, seed: int
) -> Replay:
    try:
        found = fit(read_runs(source, **_known(columns)), law, draws=draws, seed=seed, **columns)
    except Refusal as refusal:
        return Replay(claim, "not decidable", (f"No law can be fitted to these points: {refusal}",), {})
    if name not in found.params:
        raise DeclarationError(f"claim: {found.law} has no parameter {name!r}; it has {', '.join(found.params)}.")
    low, high = found.params[name].ci95
    n = found.goodness.n
    of_fit = _undeciding(found)
    here = f"{n} points give {name} = {found.params[name].value:.3g}, 95 % interval [{low:.3g}, {high:.3g}]"
    if of_fit:
        return Replay(claim, "not decidable", (*(c.sentence for c in of_fit), f"{here}."), {"all": found})
    if not np.isfinite([low, high]).all():
        return Replay(claim, "not decidable", (f"{here}: it has no end.",), {"all": found})
    if not low <= claimed <= high:
        return Replay(claim, "contradicted", (f"{here}: {claimed:g} lies outside.",), {"all": found})
    if low <= 0 <= high or high - low > 2 * abs(claimed):
        return Replay(claim, "not decidable", (f"{here}: it holds {claimed:g}, and much else.",), {"all": found})
    return Replay(claim, "supported", (f"{here}: {claimed:g} lies inside.",), {"all": found})


def _ahead(
    source: Any,
    claim: str,
    arms: tuple[str, str],
    where: tuple[str, float],
    law: str | Law,
    by: str,
    columns: Any,
    draws: int,
    seed: int,
) -> Replay:
    try:
        found = crossover(source, by, arms=arms, law=named(law), draws=draws, seed=seed, **columns)
    except Refusal as refusal:
        return Replay(claim, "not decidable", (f"No law can be fitted to these points: {refusal}",), {})
    side, limit = where
    low, high = found.shared_range
    low, high = (max(low, limit), high) if side == "above" else (low, min(high, limit))
    if not low < high:
        reason = f"Both arms have points from {found.shared_range[0]:.3g} to {found.shared_range[1]:.3g} only."
        return Replay(claim, "not decidable", (reason,), found.fits)
    first, second = (found.fits[arm] for arm in arms)
    at = np.geomspace(low, high, POINTS)
    behind = gap(first, second, found.axis, at) > 0  # draws x points: the first arm's loss is the higher
    always_ahead, somewhere_behind = float((~behind).all(axis=1).mean()), behind.mean(axis=0)
    here = f"Between {low:.3g} and {high:.3g}, where both arms have points, {arms[0]} is ahead throughout"
    reasons = (f"{here} in {always_ahead:.0%} of the draws.", found.sentence)
    worst = int(somewhere_behind.argmax())
    if always_ahead >= SURE:
        return Replay(claim, "supported", reasons, found.fits)
    if somewhere_behind[worst] >= SURE:
        text = f"At {at[worst]:.3g} {arms[1]} has the lower loss, in {somewhere_behind[worst]:.0%} of the draws."
        return Replay(claim, "contradicted", (text, found.sentence), found.fits)
    return Replay(claim, "not decidable", reasons, found.fits)


def _undeciding(found: Fit) -> list[Caution]:
    return [caution for caution in found.warnings if caution.code in UNDECIDING and caution.severity == "severe"]


def _known(columns: Mapping[str, str | None]) -> dict[str, str]:
    return {role: name for role, name in columns.items() if name is not None}
