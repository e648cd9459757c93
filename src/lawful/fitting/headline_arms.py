"""The headline of arms: which is ahead, by how much, and whether the gap moves with scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from lawful.fitting.answer_records import ArmPair
from lawful.fitting.comparison import Comparison
from lawful.fitting.crossover import Crossing
from lawful.fitting.headline_text import (
    OF_EXPONENTS,
    Headline,
    advice,
    capped,
    listed,
    named_arm,
    number_word,
    short_doubt,
)
from lawful.fitting.multiplier import Multiplier
from lawful.fitting.number_text import amount_of, factor, percent, percent_range, runs_counted, unit_of
from lawful.fitting.paired import Paired
from lawful.schema import Warning

MARGIN = 0.25  # arms are called equal where a larger difference in what they need is excluded


def of_arms(found: Comparison | None, pairs: Sequence[ArmPair] = (), severe: Sequence[Warning] = ()) -> Headline:
    """Which arm is ahead, by how much, and whether the gap moves with scale; what is not decided is said so."""
    crossings = [pair.crossing for pair in pairs if pair.crossing is not None]
    arms = list(found.arms) if found else list(dict.fromkeys(arm for pair in pairs for arm in pair.arms))
    doubts = [*severe, *(one for one in (found.warnings if found else ()) if one.severity == "severe")]
    blocking = [one for one in doubts if one.code not in OF_EXPONENTS]
    runs = runs_counted(found.n, found.clusters) if found else ""
    seeds = found.more_seeds if found else None
    next_step = (
        "Compare again under the law that the doubts name, with --law."
        if blocking and blocking[0].code == "misfit"
        else advice(blocking[0].code) or ""
        if blocking
        else f"Train about {seeds.value} more seeds of each ({seeds.ci95[0]} to {seeds.ci95[1]}) to see whether "
        "the exponents differ."
        if seeds
        else "Train both over a wider range, or with more seeds."
        if not found or found.verdict in ("no difference shown", "not decided", "the arms differ")
        else "Add sizes over a wider range, or more seeds: how the gap changes with scale is not decided."
        if found.decision == "not decided"
        else "Check it at one larger scale before you build on it."
    )
    if blocking:
        if any(one.code == "not_certified" for one in blocking[:1]):
            sentence = f"Nothing is decided between {listed(arms, 'and')}: their joint fit is not certified."
        else:
            doubt = short_doubt(blocking[0], found.law if found else "")
            sentence = f"Which of {listed(arms, 'and')} is better is not decided: {doubt}."
        return Headline(sentence=capped(sentence), basis=runs, next_step=next_step)
    claim, basis = _claim(arms, found, crossings)
    return Headline(
        sentence=capped(claim), basis="; ".join(part for part in (basis, runs) if part), next_step=next_step
    )


def _claim(arms: Sequence[str], found: Comparison | None, crossings: Sequence[Crossing]) -> tuple[str, str]:
    """The sentence, and its interval."""
    if found is not None and found.verdict == "not decided":
        return f"Nothing is decided between {listed(arms, 'and')}: their joint fit is not certified.", ""
    if len(arms) == 2:
        if crossings and crossings[0].at is not None:
            return _crossing(crossings[0])
        return _of_two(arms, found, crossings)
    if found is not None and found.verdict == "no difference shown":
        return _alike(arms, found)
    best = _best_of(arms, found, crossings)
    many = number_word(len(arms))
    if best is None:
        crossed = [one for one in crossings if one.at is not None]
        if crossed:
            sentence, basis = _crossing(crossed[0])
            return f"{sentence[:-1]}; of {many} variants none is ahead throughout.", basis
        return f"The {many} variants differ, but none is shown to be ahead of all others.", _p(found)
    if found is None or crossings:
        ahead = f"{named_arm(best)} is ahead of the other {number_word(len(arms) - 1)} over the range of the runs."
        return ahead, _p(found)
    return _least_of(best, arms, found)


def _least_of(best: str, arms: Sequence[str], found: Comparison) -> tuple[str, str]:
    """The arm that needs least at one loss: where no crossing was sought, nothing is known of other losses."""
    of = found.multipliers[0].of
    fewest = "fewest" if of.endswith("s") else "least"
    least = f"{named_arm(best)} needs the {fewest} {of} of the {number_word(len(arms))} variants"
    order = {
        "exponents differ": "their exponents differ, so the order may change with scale",
        "exponents agree": "their exponents agree",
    }.get(found.decision, "whether the order changes with scale is not decided")
    pairs = len(found.multipliers)
    gains = [(one, gain) for one in found.multipliers if (gain := _gain(one, pairs)) and gain.better == best]
    nearest, gain = min(gains, key=lambda pair: abs(math.log(pair[0].value)))
    other = nearest.second if nearest.first == best else nearest.first
    return f"{least} at a middle loss; {order}.", gain.basis.replace(
        "interval", f"interval against {named_arm(other)}, the next,", 1
    )


def _of_two(arms: Sequence[str], found: Comparison | None, crossings: Sequence[Crossing]) -> tuple[str, str]:
    leader = crossings[0].leader if crossings else None
    if found is not None and found.verdict == "no difference shown":
        return _alike(arms, found)
    gain = _gain(found.multipliers[0], 1) if found and found.multipliers else None
    if gain is not None:
        return f"{gain.sentence}{_tail(found, gain.better, 'gain')}.", gain.basis
    if leader is not None and crossings:
        other = next(arm for arm in arms if arm != leader)
        where = _size(crossings[0].axis_name)
        lead = f"{named_arm(leader)} is ahead of {named_arm(other)} at every {where} measured"
        low, high = (amount_of(crossings[0].axis_name, end) for end in crossings[0].shared_range)
        low = low.removesuffix(f" {high.partition(' ')[2]}")  # the unit once
        basis = f"at {100 * crossings[0].level:.3g} % confidence from {low} to {high}"
        return f"{lead}{_tail(found, leader, 'lead')}.", basis
    if found is None:
        return f"Neither a crossing nor a steady lead is established between {listed(arms, 'and')}.", ""
    which = f"{listed(arms, 'and')} differ, but which needs less for the same {_metric_of(found)} is not decided"
    return f"{which}{_tail(found, arms[0], '')}.", _p(found)


def of_crossing(found: Crossing, warnings: Sequence[Warning] = ()) -> Headline:
    """The headline of the crossing of two arms along one axis."""
    severe = [one for one in warnings if one.severity == "severe" and one.code not in OF_EXPONENTS]
    low, high = found.shared_range
    basis = f"both arms have runs from {amount_of(found.axis_name, low)} to {amount_of(found.axis_name, high)}"
    if severe:
        sentence = f"Whether {listed(found.arms, 'and')} cross is not decided: {short_doubt(severe[0])}."
        return Headline(sentence=capped(sentence), basis=basis, next_step=advice(severe[0].code) or "")
    if found.at is not None:
        sentence, interval = _crossing(found)
        return Headline(sentence=capped(sentence), basis=interval, next_step="Train both beyond the crossing.")
    if found.leader is not None:
        other = next(arm for arm in found.arms if arm != found.leader)
        sentence = (
            f"{named_arm(found.leader)} is ahead of {named_arm(other)} at every {_size(found.axis_name)} measured."
        )
        return Headline(sentence=capped(sentence), basis=basis, next_step="Train both at one larger scale.")
    sentence = f"Neither a crossing nor a steady lead is established between {listed(found.arms, 'and')}."
    step = "Train both over a wider range, or with more seeds."
    return Headline(sentence=capped(sentence), basis=basis, next_step=step)


def _crossing(one: Crossing) -> tuple[str, str]:
    at = one.shared_range[0] if one.at is None else one.at
    where = amount_of(one.axis_name, at)
    low, high = one.shared_range
    pieces = [(max(low, start), min(high, end)) for start, end in one.set95 if start < high and end > low]
    basis = " and ".join(
        f"{amount_of(one.axis_name, start)} to {amount_of(one.axis_name, end)}" for start, end in pieces
    )
    sentence = f"{named_arm(one.better_small)} is ahead below {where}, {named_arm(one.better_large)} above it."
    return sentence, f"{100 * one.level:.3g} % set of the crossing {basis}" if basis else ""


def _size(axis: str) -> str:
    """An axis after `every`."""
    known = {"FLOPs": "compute budget", "parameters": "size", "tokens": "number of tokens", "seconds": "training time"}
    return {**known, "tokens of text": "amount of text"}.get(unit_of(axis), axis)


@dataclass(frozen=True)
class _Gain:
    better: str
    sentence: str
    basis: str


def _gain(one: Multiplier, pairs: int) -> _Gain | None:
    """Which of two arms needs less for the same loss; None where the interval holds 1. pairs: how many such intervals
    have to hold at once (Bonferroni)."""
    low, high = _interval_of(one, pairs)
    if not (math.isfinite(one.value) and (high < 1 or low > 1)):
        return None
    better, other = (one.second, one.first) if high < 1 else (one.first, one.second)
    value, low, high = (one.value, low, high) if high < 1 else (1 / one.value, 1 / high, 1 / low)
    if value < 0.5:
        times = f"{1 / value:.2g} times the {one.of} of {named_arm(better)}"
        sentence = f"{named_arm(other)} needs {times} for the same {one.metric}"
        return _Gain(
            better, sentence, f"95 % interval {1 / high:.2g} to {1 / low:.2g} times, at {one.metric} {one.loss:.4g}"
        )
    less = "fewer" if one.of.endswith("s") else "less"
    share = f"{percent(1 - value)} % {less} {one.of} than {named_arm(other)}"
    sentence = f"{named_arm(better)} needs {share} for the same {one.metric}"
    return _Gain(
        better, sentence, f"95 % interval {percent_range(1 - high, 1 - low)} %, at {one.metric} {one.loss:.4g}"
    )


def _metric_of(found: Comparison) -> str:
    return found.multipliers[0].metric if found.multipliers else "loss"


def _interval_of(one: Multiplier, pairs: int) -> tuple[float, float]:
    """Its 95 % interval, wider where several have to hold at once."""
    low, high = one.ci95
    if not (0 < low <= high < math.inf):
        return 0.0, math.inf
    normal = NormalDist()
    wider = normal.inv_cdf(1 - 0.025 / max(pairs, 1)) / normal.inv_cdf(0.975)
    return one.value * (low / one.value) ** wider, one.value * (high / one.value) ** wider


def _best_of(arms: Sequence[str], found: Comparison | None, crossings: Sequence[Crossing]) -> str | None:
    """The arm that is ahead of every other, by crossings where these are known, else by what it needs."""
    if crossings:
        ahead = {(one.leader, arm) for one in crossings for arm in one.arms if one.leader not in (None, arm)}
    else:
        multipliers = found.multipliers if found else ()
        gains = [(one, gain) for one in multipliers if (gain := _gain(one, len(multipliers)))]
        ahead = {(gain.better, arm) for one, gain in gains for arm in (one.first, one.second) if arm != gain.better}
    return next((arm for arm in arms if all((arm, other) in ahead for other in arms if other != arm)), None)


def _alike(arms: Sequence[str], found: Comparison) -> tuple[str, str]:
    """No difference is shown: a margin where one is excluded, else what is not."""
    ends = [_interval_of(one, len(found.multipliers)) for one in found.multipliers]
    widest = max((max(high, 1 / low if low > 0 else math.inf) for low, high in ends), default=math.inf)
    who = listed(arms, "and")
    of = found.multipliers[0].of if found.multipliers else "compute"
    metric = _metric_of(found)
    if widest <= 1 + MARGIN:
        return f"{who} need the same {of} for the same {metric}, to within {percent(widest - 1)} %.", _p(found)
    if math.isfinite(widest) and widest < 1000:
        rest = f"{factor(widest)} times the {of} for the same {metric} is not excluded"
        return f"Which of {who} is better is not decided: {rest}.", _p(found)
    return f"Which of {who} is better is not decided by these runs.", _p(found)


def _tail(found: Comparison | None, better: str, what: str) -> str:
    """Whether the gap moves with scale."""
    if found is None or not found.differences:
        return ""
    about = f"the {what} grows" if what else "the gap grows"
    if found.decision == "exponents agree":
        widest = max(d.equivalence for d in found.differences)
        return f"; their exponents agree to within {widest:.2g}"
    if found.decision == "not decided":
        return f"; whether {about} with scale is not decided"
    clear = [d for d in found.differences if d.p_holm < 0.05] or list(found.differences)
    signs = {math.copysign(1, d.value) * (1 if d.second == better else -1) for d in clear}
    if not what or len(signs) > 1:
        return "; their exponents differ"
    return f"; the {what} {'grows' if signs == {1.0} else 'shrinks'} with scale"


def of_paired(found: Paired, severe: Sequence[Warning] = ()) -> Headline:
    """Arms run by run: who has the lowest loss, and by how much."""
    along = found.along.replace("_", " ")
    rivals = [gap for gap in found.gaps if found.best in (gap.first, gap.second)]
    pairs = min(gap.pairs for gap in found.gaps)
    step = "Train more seeds." if not found.is_decided else "Check it at one larger scale before you build on it."
    if severe:
        sentence = f"Which of {listed(found.arms, 'and')} is better is not decided: {short_doubt(severe[0])}."
        return Headline(sentence=capped(sentence), basis=f"{pairs} pairs", next_step=advice(severe[0].code) or "")
    nearest = min(rivals, key=lambda gap: abs(gap.mean))
    sign = 1 if nearest.first == found.best else -1
    low, high = sorted(sign * end for end in nearest.ci95)
    other = nearest.second if nearest.first == found.best else nearest.first
    basis = f"95 % interval {low:.2g} to {high:.2g} against {named_arm(other)}; {pairs} pairs of runs"
    if not found.is_decided:
        unsure = listed(found.arms, "and")
        bound = max(abs(low), abs(high))
        sentence = f"Which of {unsure} has the lower loss is not decided: a difference of {bound:.2g} is not excluded."
        return Headline(sentence=capped(sentence), basis=basis, next_step=step)
    clear = [gap for gap in rivals if (gap.slope_p_holm if gap.slope_p_holm is not None else 1.0) < 0.05]
    tail = ""
    if len(rivals) == 1 and clear and nearest.slope is not None:
        tail = f"; the gap {'grows' if sign * nearest.slope > 0 else 'shrinks'} with {along}"
    elif nearest.slope is not None:
        tail = f"; no change with {along} is shown" if not clear else f"; the gaps change with {along}"
    if len(found.arms) == 2:
        sentence = f"{named_arm(found.best)} has a loss {abs(nearest.mean):.2g} lower than {named_arm(other)}{tail}."
    else:
        sentence = f"{named_arm(found.best)} has the lowest loss of the {number_word(len(found.arms))} variants{tail}."
    return Headline(sentence=capped(sentence), basis=basis, next_step=step)


def _p(found: Comparison | None) -> str:
    if found is None:
        return ""
    return "that one law serves all: p " + ("< 0.0001" if found.p < 1e-4 else f"= {found.p:.2g}")
