"""What came of a comparison of arms, as data and as a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lawful.checks import AnyFloat
from lawful.fitting.best_arm import BestArm
from lawful.fitting.exponents import Difference, MoreSeeds
from lawful.fitting.multiplier import Multiplier
from lawful.schema import Warning

ALPHA = 0.05
LARGEST = 5.0  # difference of exponents, as none is sought above
Floor = Literal["own", "shared"]
Decision = Literal["exponents differ", "exponents agree", "not decided"]
Verdict = Literal[
    "not decided",
    "no difference shown",
    "coefficients differ",
    "the floor differs",
    "exponents differ",
    "the arms differ",
]
SIMPLE = {"coefficients differ": "a factor alone", "the floor differs": "another floor alone"}
BOTH = "the exponents do not differ"  # a factor and another floor


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """One way in which the arms may differ, the rest being common to all.

    own         the parameters that each arm has of its own
    F, dof, p   of the test against arms with every parameter of their own; None where these are all
    """

    name: str
    own: tuple[str, ...]
    parameters: int
    misfit: AnyFloat
    aicc: AnyFloat
    bic: AnyFloat
    F: AnyFloat | None
    dof: tuple[AnyFloat, AnyFloat] | None
    p: AnyFloat | None

    @property
    def is_excluded(self) -> bool:
        return self.p is not None and self.p < ALPHA


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Parameters that all arms share, and the F test that they are the same, against arms that share nothing."""

    share: tuple[str, ...]
    F: AnyFloat
    dof: tuple[AnyFloat, AnyFloat]
    p: AnyFloat

    @property
    def sentence(self) -> str:
        named = " and ".join(self.share)
        cost = f"F = {self.F:.3g} on {self.dof[0]:.0f} and {self.dof[1]:.3g} degrees of freedom, p = {self.p:.2g}"
        if self.p < ALPHA:
            return f"Sharing {named} costs: the arms differ in it ({cost})."
        return f"That sharing {named} costs anything is not shown ({cost})."


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """arms in order of appearance.

    p              that the arms follow one law, by one test over all parameters and arms; 1 where the joint fit is not
                   certified
    explanations   from arms that are alike to arms with everything of their own
    verdict        not decided: the joint fit is not certified
                   no difference shown: that one law serves all is not excluded. Exponents differ: that they agree is.
                   Coefficients differ, the floor differs: that alone is enough to explain it, and the other alone is
                   excluded. The arms differ: the data leave several explanations, or none of these
    decision       on the exponents: they differ; they agree, as every difference that would matter is excluded; or
                   neither is shown
    exponents_p    that the exponents agree, by a closed test (Marcus, Peritz & Gabriel 1976)
    matters        the smallest difference that would matter, by exponent
    best           which arm is the best, with what probability
    more_seeds     per arm, to see such a difference four times in five, where it is not decided; None where unknown
    sharing        the parameters that were taken to be the same in all arms, and the test of that
    """

    law: str
    by: str
    arms: tuple[str, ...]
    floor: Floor
    p: AnyFloat
    explanations: tuple[Explanation, ...]
    verdict: Verdict
    decision: Decision
    exponents_p: AnyFloat | None
    matters: Mapping[str, float]
    more_seeds: MoreSeeds | None
    sentence: str
    differences: tuple[Difference, ...]
    multipliers: tuple[Multiplier, ...]
    params: Mapping[str, Mapping[str, AnyFloat]]
    is_paired: bool
    n: int
    clusters: int
    warnings: tuple[Warning, ...]
    best: BestArm = BestArm()
    sharing: Sharing | None = None

    def __repr__(self) -> str:
        return f"<Comparison of {' and '.join(self.arms)}, n {self.n}: {self.sentence}>"


def sentence(found: Comparison) -> str:
    """Whether the arms differ, what is enough to explain it, what of the exponents, and what one arm needs more."""
    if found.verdict == "no difference shown":
        text = f"No difference between the arms is shown ({_p(found.p)})"
    else:
        text = f"The arms differ ({_p(found.p)}){_explained(found.verdict, found.explanations, found.exponents_p)}"
        clear = [d for d in found.differences if d.p_holm < ALPHA]
        if found.verdict == "exponents differ" and clear:
            text += ": " + ", ".join(
                f"{d.parameter} of {d.second} is {d.value:+.3g} [{d.ci95[0]:.3g}, {d.ci95[1]:.3g}] from {d.first}'s"
                for d in clear
            )
    if found.decision != "exponents differ" and found.differences:
        text += _about_exponents(found.decision, found.differences, found.matters, found.more_seeds)
    known = [m for m in found.multipliers if np.isfinite(m.value)]
    if known:
        text += f"; at fixed {known[0].metric} " + ", ".join(
            f"{m.second} needs {m.value:.3g} [{m.ci95[0]:.3g}, {m.ci95[1]:.3g}] times "
            f"the {m.of} of {m.first} (at {m.metric} {m.loss:.4g})"
            for m in known
        )
    return text + "."


def _explained(verdict: Verdict, explanations: Sequence[Explanation], exponents_p: float | None) -> str:
    """Which explanations are enough, and which the data exclude. That one is enough does not say that it is true."""
    if verdict == "exponents differ":
        return f"; their exponents differ ({_p(exponents_p or 0.0)})"
    known = [e for e in explanations if e.name in SIMPLE]
    left = [SIMPLE[e.name] for e in known if not e.is_excluded]
    if not left and any(e.name == BOTH and not e.is_excluded for e in explanations):
        left = ["a factor and another floor together"]
    out = [f"{SIMPLE[e.name]} ({_p(e.p)})" for e in known if e.is_excluded and e.p is not None]
    enough = f"; enough to explain it: {' or '.join(left)}" if left else "; in what is not decided"
    return enough + (f"; excluded: {', '.join(out)}" if out else "")


def _p(value: float) -> str:
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"


def _about_exponents(
    decision: Decision, differences: Sequence[Difference], smallest: Mapping[str, float], more_seeds: MoreSeeds | None
) -> str:
    widest = max(differences, key=lambda d: d.equivalence / smallest[d.parameter])
    bound = f"{widest.equivalence:.2g}"
    if not widest.equivalence < LARGEST:
        return f"; whether the exponents differ is not decided: no difference in {widest.parameter} is excluded"
    if decision == "exponents agree":
        return f"; the exponents agree: a difference in {widest.parameter} of {bound} or more is excluded at 5 %"
    text = (
        f"; whether the exponents differ is not decided: a difference in {widest.parameter} of up to {bound} is not "
        "excluded at 5 %"
    )
    if more_seeds is not None:
        text += (
            f"; about {more_seeds.value} more seed{'s' if more_seeds.value > 1 else ''} per arm "
            f"({more_seeds.ci95[0]} to {more_seeds.ci95[1]}) would show a difference of "
            f"{smallest[widest.parameter]:.2g} four times in five"
        )
    return text
