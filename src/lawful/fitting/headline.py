"""The answer as a sentence that one can quote, with what it rests on and what to do next; of every kind of result.

A sentence has at most 25 words and two numbers. It claims nothing that a severe doubt takes back: then it states the
doubt. Arms are called equal only where a margin is excluded.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from lawful.codes import CODES
from lawful.fitting.result import interval
from lawful.fitting.uncertainty import says_nothing
from lawful.laws.chinchilla import Chinchilla
from lawful.laws.data_constrained import DataConstrained
from lawful.laws.data_limited import DataLimited
from lawful.laws.power import Power
from lawful.laws.power_floor import PowerFloor
from lawful.laws.saturating import Saturating
from lawful.plugins import column_title
from lawful.schema import Warning

if TYPE_CHECKING:
    from lawful.fitting.allocate import Allocation
    from lawful.fitting.answers import AnswerRecord, ArmPair, HeldOut
    from lawful.fitting.comparison import Comparison
    from lawful.fitting.crossover import Crossing
    from lawful.fitting.holdout import Holdout
    from lawful.fitting.isoflop import IsoFlop
    from lawful.fitting.multiplier import Multiplier
    from lawful.fitting.paired import Paired
    from lawful.fitting.records import HeldOutRow
    from lawful.fitting.replay import Replay
    from lawful.fitting.result import Fit
    from lawful.fitting.truth import Recovered

WORDS, NUMBERS = 25, 2  # of a sentence, at most
MARGIN = 0.25  # arms are called equal where a larger difference in what they need is excluded
LONG_NAME = 3  # words of an arm's name that a sentence repeats
# a doubt with one of these codes takes back what a law says of its exponents, and leaves its forecasts and comparisons
OF_EXPONENTS = ("not_identified", "ridge")
SHORT_DOUBTS = {
    "misfit": "the fitted law does not have the form of these runs",
    "not_certified": "the fit found no certain optimum",
    "padding": "padding counts in the loss",
    "seed-unused": "runs that differ in their seed alone have the same loss",
    "mixed-schedules": "runs have different learning-rate schedules",
    "undecayed": "some runs ended before their learning rate had decayed",
    "prior_disagrees": "a prior and these runs contradict each other",
    "far_extrapolation": "it lies too far outside the runs",
    "allocation_disagrees": "the law and the table itself give different best sizes",
}
NOT_OF_RUNS = ("data-missing",)  # a severe warning of a plan which says nothing about runs that were made
SHORT_REFUSALS = {
    "no_rows": "no finished run matches the question",
    "too_few_points": "there are no more runs than the law has parameters",
    "no_value": "some runs lack a number that the law needs",
    "too_few_levels": "the runs take too few different sizes or budgets",
    "one_cluster": "all runs share their noise",
    "no_fall": "the loss does not fall along every axis of the law",
    "two_axes": "both size and data vary, and the law reads one of them",
    "nothing_in_common": "the published fit has no exponent in common with this one",
    "no_best_size": "the fitted law has no best size",
    "mixed_loss_units": "the losses are in different units",
    "pooled_settings": "runs of one size and length differ in a setting",
    "mixed_schedules": "runs have different learning-rate schedules",
    "mixed_data": "the runs were trained on different data",
    "undecayed_losses": "some losses were taken before the learning rate had decayed",
    "seconds_of_decay": "the seconds of some runs are of their decay alone",
    "padding_in_loss": "padding counts in the loss of some runs",
    "one_arm": "there is one arm only",
    "several_runs": "an arm has several runs of one level and seed",
    "no_replicates": "no level has two seeds, so the noise is not known",
    "no_shared_range": "the arms have no sizes in common",
    "too_few_budgets": "too few budgets have their lowest loss between two sizes",
}
TWO_TO_TWELVE = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True, kw_only=True)
class Headline:
    """sentence: what one can quote; basis: its interval and n; next_step: what to do next."""

    sentence: str
    basis: str = ""
    next_step: str = ""


def of_answer(answer: AnswerRecord, fit: Fit | None, design: Sequence[Warning] = ()) -> Headline:
    """Of a question of a study. design: what the plan and its runs are warned of, whatever is asked."""
    severe = [one for one in (*design, *answer.warnings) if one.severity == "severe" and one.code not in NOT_OF_RUNS]
    if answer.status == "refused":
        return of_refusal(answer.code, answer.refusal or "")
    if answer.paired is not None:
        return of_paired(answer.paired, severe)
    if answer.comparison is not None or answer.crossings:
        return of_arms(answer.comparison, answer.crossings, severe)
    if fit is not None:
        return of_fit(fit, answer.held_out, severe, [*answer.warnings, *fit.warnings])
    return Headline(sentence="The question was answered, but its fit is not at hand.")


def of_truth(first: Headline, found: Sequence[Recovered]) -> Headline:
    """Of a study that asks whether what was planted is found. first: of its first question."""
    right = sum(one.is_inside for one in found)
    runs = first.basis.rpartition("; ")[2]  # its interval is of another sentence
    basis = f"a value counts where its 95 % interval holds it, a verdict where it is the planted one; {runs}"
    step = first.next_step if right == len(found) else "Look at what was not recovered: one interval in twenty misses."
    return Headline(
        sentence=f"{right} of {len(found)} planted values and verdicts were recovered.", basis=basis, next_step=step
    )


def of_refusal(code: str | None, refusal: str) -> Headline:
    why = SHORT_REFUSALS.get(code or "", "the runs cannot answer the question")
    return Headline(sentence=f"No law is claimed: {why}.", basis=refusal, next_step=_advice(code) or "")


def of_fit(
    fit: Fit,
    held: Sequence[HeldOut] | Sequence[HeldOutRow] = (),
    severe: Sequence[Warning] = (),
    warnings: Sequence[Warning] | None = None,
) -> Headline:
    """How the loss falls, in words; whether the forecasts of held-out runs held."""
    held = held or fit.held_out
    said = fit.warnings if warnings is None else warnings
    doubts = [*severe, *(one for one in said if one.severity == "severe")]
    blocking = [one for one in doubts if one.code not in OF_EXPONENTS]
    forecast = _forecasts(held)
    runs = counted(fit)
    next_step = _next_of_fit(fit, doubts, said)
    if blocking:
        why = _short(blocking[0], fit)
        if held and forecast == "held-out forecasts held" and blocking[0].code == "misfit":
            sentence = f"Forecasts of the held-out runs held to {_worst(held)} %, but {why}: no exponent is quoted."
            inside = f"all {len(held)} inside their 95 % intervals; fitted on {runs}"
            return Headline(sentence=sentence, basis=inside, next_step=next_step)
        fall = _percent(_whole_fall(fit))
        if blocking[0].code == "misfit" and not fall.startswith("-"):
            sentence = f"From the smallest run to the largest the loss falls by {fall} %, but {why}."
            return Headline(sentence=_capped(sentence), basis=f"{runs}; {forecast}", next_step=next_step)
        return Headline(sentence=f"No exponent is quoted: {why}.", basis=runs, next_step=next_step)
    known, unknown = _cuts(fit, doubts)
    loss = loss_name(fit.data.columns["loss"])
    if any(one.code == "ridge" for one in doubts):
        sentence = "These runs do not determine the law's parameters one by one: no exponent is quoted"
    elif not known and not unknown:
        sentence = f"From the smallest run to the largest, the {loss} falls by {_percent(_whole_fall(fit))} %"
    elif not known:
        sentence = f"These runs do not determine how fast the {loss} falls with {' or '.join(unknown)}"
    elif len(known) == 1 and not unknown:
        (cut,) = known
        part = "odds" if cut.is_odds else "" if cut.is_whole else "reducible"
        of = f"the odds of the {loss}" if cut.is_odds else f"the {part} {loss}".replace("  ", " ")
        sentence = f"Ten times the {cut.thing} {cut.verb} {of} by {_percent(cut.share)} %"
    elif len(known) == 1:
        (cut,) = known
        sentence = (
            f"Ten times the {cut.thing} {cut.verb} the {cut.part} part of the {loss} by {_percent(cut.share)} %; what "
            f"more {unknown[0]} {'bring' if unknown[0].endswith('s') else 'brings'} is not determined"
        )
    else:
        first, second = known[:2]
        sentence = (
            f"Tenfold {first.thing} {first.verb} the {first.part} part of the {loss} by {_percent(first.share)} %, "
            f"tenfold {second.thing} the {second.part} part by {_percent(second.share)} %"
        )
    basis = [f"{_percent(low)} to {_percent(high)} %" + (f" ({one.thing})" if len(known) > 1 else "")
             for one in known for low, high in [one.ci95]]  # fmt: skip
    intervals = f"95 % interval{'s' if len(basis) > 1 else ''} {', '.join(basis)}; " if basis else ""
    intervals += "".join(f"{one}; " for one in _open_exponents(fit, doubts))
    return Headline(sentence=_capped(f"{sentence}; {forecast}."), basis=f"{intervals}{runs}", next_step=next_step)


@dataclass(frozen=True, kw_only=True)
class _Cut:
    """By what share ten times an amount cuts its part of the loss. part: what that part is called, of several."""

    thing: str
    part: str
    share: float
    ci95: tuple[float, float]
    is_whole: bool = False
    is_odds: bool = False

    @property
    def verb(self) -> str:
        return "cut" if self.thing.endswith("s") else "cuts"


PARTS = {"params": "size", "tokens": "data", "flops": "compute"}
POWER_TERMS = (Power, PowerFloor, Saturating, Chinchilla, DataConstrained, DataLimited)  # c x^-exponent, an axis each


def _cuts(fit: Fit, doubts: Sequence[Warning]) -> tuple[list[_Cut], list[str]]:
    """Of a law with a power of each axis: what is determined, and the axes of which it is not."""
    if type(fit.model) not in POWER_TERMS:
        return [], []
    known, unknown = [], []
    open_ones = {one.sentence.partition(" ")[0] for one in doubts if one.code == "not_identified"}
    names = [name for name in ("alpha", "beta") if name in fit.params]
    for name, axis in zip(names, fit.model.inputs, strict=False):
        exponent, thing = fit.params[name], thing_of(axis, fit.data.columns.get(axis))
        if exponent.role != "fitted":
            continue
        if name in open_ones or exponent.at_bound or not all(map(math.isfinite, exponent.ci95)):
            unknown.append(thing)
            continue
        low, high = (1 - 10 ** -max(end, 0.0) for end in exponent.ci95)
        known.append(
            _Cut(
                thing=thing,
                part=PARTS.get(axis, axis),
                share=1 - 10**-exponent.value,
                ci95=(low, high),
                is_whole=isinstance(fit.model, Power),
                is_odds=isinstance(fit.model, Saturating),
            )
        )
    return known, unknown


def _open_exponents(fit: Fit, doubts: Sequence[Warning]) -> list[str]:
    """The intervals of the exponents that are not determined."""
    names = dict.fromkeys(one.sentence.partition(" ")[0] for one in doubts if one.code == "not_identified")
    return [
        f"95 % interval of {name} {interval(*fit.params[name].ci95, '.2g')}" for name in names if name in fit.params
    ]


def thing_of(axis: str, column: str | None = None) -> str:
    """What an axis is an amount of."""
    if column in ("unique_tokens", "seconds"):
        return {"unique_tokens": "text", "seconds": "time"}[column]
    return {"params": "parameters", "flops": "compute"}.get(axis, axis.replace("_", " "))


def loss_name(column: str) -> str:
    known = {"loss": "loss", "best_weights_loss": "best loss", "bits_per_byte": "loss in bits per byte"}
    name = known.get(column) or column_title(column) or ("loss" if "loss" in column else column.replace("_", " "))
    return name if any(letter.isupper() for letter in name[1:]) else name[:1].lower() + name[1:]


def _whole_fall(fit: Fit) -> float:
    """The share by which the loss falls from the run with the smallest axes to that with the largest."""
    rows = sorted(fit.residuals, key=lambda row: sum(math.log(value) for value in row.axes.values() if value > 0))
    return 1 - rows[-1].observed / rows[0].observed if rows else 0.0


def _forecasts(held: Sequence[HeldOut] | Sequence[HeldOutRow]) -> str:
    from lawful.fitting.holdout import are_held

    if not held:
        return "nothing was held out"
    if all(says_nothing(*_ends(row)) for row in held):
        return "held-out forecasts say nothing"
    inside = sum(row.is_inside for row in held)
    if inside == len(held):
        return "held-out forecasts held"
    return "held-out forecasts mostly held" if are_held(inside, len(held)) else "held-out forecasts failed"


def _ends(row: HeldOut | HeldOutRow) -> tuple[float, float]:
    prediction = getattr(row, "prediction", None)
    return (prediction.low, prediction.high) if prediction is not None else row.interval  # type: ignore[union-attr]


def _worst(held: Sequence[HeldOut] | Sequence[HeldOutRow]) -> str:
    return _percent(max(abs(row.error_relative) for row in held))


def of_arms(found: Comparison | None, pairs: Sequence[ArmPair] = (), severe: Sequence[Warning] = ()) -> Headline:
    """Which arm is ahead, by how much, and whether the gap moves with scale; what is not decided is said so."""
    crossings = [pair.crossing for pair in pairs if pair.crossing is not None]
    arms = list(found.arms) if found else list(dict.fromkeys(arm for pair in pairs for arm in pair.arms))
    doubts = [*severe, *(one for one in (found.warnings if found else ()) if one.severity == "severe")]
    blocking = [one for one in doubts if one.code not in OF_EXPONENTS]
    runs = _runs(found.n, found.clusters) if found else ""
    seeds = found.more_seeds if found else None
    next_step = (
        "Compare again under the law that the doubts name, with --law."
        if blocking and blocking[0].code == "misfit"
        else _advice(blocking[0].code) or ""
        if blocking
        else f"Train about {seeds.value} more seeds of each arm ({seeds.ci95[0]} to {seeds.ci95[1]}) to see whether "
        "the exponents differ."
        if seeds
        else "Train both arms over a wider range, or with more seeds."
        if not found or found.verdict in ("no difference shown", "not decided", "the arms differ")
        else "Check it at one larger scale before you build on it."
    )
    if blocking:
        if any(one.code == "not_certified" for one in blocking[:1]):
            sentence = f"Nothing is decided between {_listed(arms, 'and')}: their joint fit is not certified."
        else:
            sentence = f"Which of {_listed(arms, 'and')} is better is not decided: {_short(blocking[0])}."
        return Headline(sentence=_capped(sentence), basis=runs, next_step=next_step)
    claim, basis = _claim(arms, found, crossings)
    return Headline(
        sentence=_capped(claim), basis="; ".join(part for part in (basis, runs) if part), next_step=next_step
    )


def _claim(arms: Sequence[str], found: Comparison | None, crossings: Sequence[Crossing]) -> tuple[str, str]:
    """The sentence, and its interval."""
    if found is not None and found.verdict == "not decided":
        return f"Nothing is decided between {_listed(arms, 'and')}: their joint fit is not certified.", ""
    if len(arms) == 2:
        if crossings and crossings[0].at is not None:
            return _crossing(crossings[0])
        return _of_two(arms, found, crossings)
    if found is not None and found.verdict == "no difference shown":
        return _alike(arms, found)
    best = _best_of(arms, found, crossings)
    many = _many(len(arms))
    if best is None:
        crossed = [one for one in crossings if one.at is not None]
        if crossed:
            sentence, basis = _crossing(crossed[0])
            return f"{sentence[:-1]}; of {many} arms none is ahead throughout.", basis
        return f"The {many} arms differ, but none is shown to be ahead of all others.", _p(found)
    if found is None or crossings:
        ahead = f"{_named(best)} is ahead of the other {_many(len(arms) - 1)} arms over the range of the runs."
        return ahead, _p(found)
    return _least_of(best, arms, found)


def _least_of(best: str, arms: Sequence[str], found: Comparison) -> tuple[str, str]:
    """The arm that needs least at one loss: where no crossing was sought, nothing is known of other losses."""
    of = found.multipliers[0].of
    least = f"{_named(best)} needs the {'fewest' if of.endswith('s') else 'least'} {of} of the {_many(len(arms))} arms"
    order = {
        "exponents differ": "their exponents differ, so the order may change with scale",
        "exponents agree": "their exponents agree",
    }.get(found.decision, "whether the order changes with scale is not decided")
    pairs = len(found.multipliers)
    gains = [(one, gain) for one in found.multipliers if (gain := _gain(one, pairs)) and gain.better == best]
    nearest, gain = min(gains, key=lambda pair: abs(math.log(pair[0].value)))
    other = nearest.second if nearest.first == best else nearest.first
    return f"{least} at a middle loss; {order}.", gain.basis.replace(
        "interval", f"interval against {_named(other)}, the next,", 1
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
        lead = f"{_named(leader)} is ahead of {_named(other)} at every {where} measured"
        low, high = (_at(crossings[0].axis_name, end) for end in crossings[0].shared_range)
        basis = f"at {100 * crossings[0].level:.3g} % confidence from {low} to {high}"
        return f"{lead}{_tail(found, leader, 'lead')}.", basis
    if found is None:
        return f"Neither a crossing nor a steady lead is established between {_listed(arms, 'and')}.", ""
    which = f"{_listed(arms, 'and')} differ, but which needs less for the same loss is not decided"
    return f"{which}{_tail(found, arms[0], '')}.", _p(found)


def of_crossing(found: Crossing, warnings: Sequence[Warning] = ()) -> Headline:
    """Of two arms along one axis."""
    severe = [one for one in warnings if one.severity == "severe" and one.code not in OF_EXPONENTS]
    low, high = found.shared_range
    basis = f"both arms have runs from {_at(found.axis_name, low)} to {_at(found.axis_name, high)}"
    if severe:
        sentence = f"Whether {_listed(found.arms, 'and')} cross is not decided: {_short(severe[0])}."
        return Headline(sentence=_capped(sentence), basis=basis, next_step=_advice(severe[0].code) or "")
    if found.at is not None:
        sentence, interval = _crossing(found)
        return Headline(sentence=_capped(sentence), basis=interval, next_step="Train both arms beyond the crossing.")
    if found.leader is not None:
        other = next(arm for arm in found.arms if arm != found.leader)
        sentence = f"{_named(found.leader)} is ahead of {_named(other)} at every {_size(found.axis_name)} measured."
        return Headline(sentence=_capped(sentence), basis=basis, next_step="Train both arms at one larger scale.")
    sentence = f"Neither a crossing nor a steady lead is established between {_listed(found.arms, 'and')}."
    step = "Train both arms over a wider range, or with more seeds."
    return Headline(sentence=_capped(sentence), basis=basis, next_step=step)


def _crossing(one: Crossing) -> tuple[str, str]:
    at = one.shared_range[0] if one.at is None else one.at
    where = _at(one.axis_name, at)
    low, high = one.shared_range
    pieces = [(max(low, start), min(high, end)) for start, end in one.set95 if start < high and end > low]
    basis = " and ".join(f"{_at(one.axis_name, start)} to {_at(one.axis_name, end)}" for start, end in pieces)
    sentence = f"{_named(one.better_small)} is ahead below {where}, {_named(one.better_large)} above it."
    return sentence, f"{100 * one.level:.3g} % set of the crossing {basis}" if basis else ""


def _unit(axis: str) -> str:
    """What an amount of an axis is counted in; axis: its name, or in words that of its column."""
    known = {"flops": "FLOPs", "unique tokens": "tokens of text", "unique_tokens": "tokens of text"}
    return "parameters" if axis.startswith("params") else known.get(axis, axis.replace("_", " "))


def _size(axis: str) -> str:
    """An axis after `every`."""
    known = {"FLOPs": "compute budget", "parameters": "size", "tokens": "number of tokens", "seconds": "training time"}
    return {**known, "tokens of text": "amount of text"}.get(_unit(axis), axis)


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
        sentence = f"{_named(other)} needs {1 / value:.2g} times the {one.of} of {_named(better)} for the same loss"
        return _Gain(better, sentence, f"95 % interval {1 / high:.2g} to {1 / low:.2g} times, at loss {one.loss:.4g}")
    less = "fewer" if one.of.endswith("s") else "less"
    sentence = f"{_named(better)} needs {_percent(1 - value)} % {less} {one.of} than {_named(other)} for the same loss"
    return _Gain(
        better, sentence, f"95 % interval {_percent(1 - high)} to {_percent(1 - low)} %, at loss {one.loss:.4g}"
    )


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
    who = _listed(arms, "and")
    of = found.multipliers[0].of if found.multipliers else "compute"
    if widest <= 1 + MARGIN:
        return f"{who} need the same {of} for the same loss, to within {_percent(widest - 1)} %.", _p(found)
    if math.isfinite(widest) and widest < 1000:
        rest = f"{_factor(widest)} times the {of} for the same loss is not excluded"
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
        sentence = f"Which of {_listed(found.arms, 'and')} is better is not decided: {_short(severe[0])}."
        return Headline(sentence=_capped(sentence), basis=f"{pairs} pairs", next_step=_advice(severe[0].code) or "")
    nearest = min(rivals, key=lambda gap: abs(gap.mean))
    sign = 1 if nearest.first == found.best else -1
    low, high = sorted(sign * end for end in nearest.ci95)
    other = nearest.second if nearest.first == found.best else nearest.first
    basis = f"95 % interval {low:.2g} to {high:.2g} against {_named(other)}; {pairs} pairs of runs"
    if not found.is_decided:
        unsure = _listed(found.arms, "and")
        bound = max(abs(low), abs(high))
        sentence = f"Which of {unsure} has the lower loss is not decided: a difference of {bound:.2g} is not excluded."
        return Headline(sentence=_capped(sentence), basis=basis, next_step=step)
    clear = [gap for gap in rivals if (gap.slope_p_holm if gap.slope_p_holm is not None else 1.0) < 0.05]
    tail = ""
    if len(rivals) == 1 and clear and nearest.slope is not None:
        tail = f"; the gap {'grows' if sign * nearest.slope > 0 else 'shrinks'} with {along}"
    elif nearest.slope is not None:
        tail = f"; no change with {along} is shown" if not clear else f"; the gaps change with {along}"
    if len(found.arms) == 2:
        sentence = f"{_named(found.best)} has a loss {abs(nearest.mean):.2g} lower than {_named(other)}{tail}."
    else:
        sentence = f"{_named(found.best)} has the lowest loss of the {_many(len(found.arms))} arms{tail}."
    return Headline(sentence=_capped(sentence), basis=basis, next_step=step)


def of_allocation(found: Allocation) -> Headline:
    """The best use of a budget."""
    severe = [one for one in found.warnings if one.severity == "severe"]
    low, high = found.params.low, found.params.high
    basis = f"95 % interval {_amount(low)} to {_amount(high)} parameters"
    if severe:
        sentence = f"No best size is quoted for this budget: {_short(severe[0])}."
        return Headline(sentence=_capped(sentence), basis=basis, next_step=_advice(severe[0].code) or "")
    if not (0 < low and high < math.inf):
        sentence = "These runs do not determine the best size for this budget."
        return Headline(sentence=sentence, next_step=_advice("not_bracketed") or "")
    size, tokens = _amount(found.params.value), _amount(found.tokens.value)
    sentence = f"This budget is spent best on {size} parameters and {tokens} tokens."
    first, last = found.band[0].value, found.band[1].value
    basis += f"; sizes from {_amount(first)} to {_amount(last)} waste at most 5 % of the compute"
    return Headline(sentence=sentence, basis=basis, next_step="Train one run on the way there before you rely on it.")


def of_isoflop(found: IsoFlop) -> Headline:
    """How the best size grows with compute."""
    severe = [one for one in found.warnings if one.severity == "severe"]
    low, high = found.N_exponent_ci95
    budgets = sum(one.params is not None for one in found.curves)
    basis = f"95 % interval {_factor(10**low)} to {_factor(10**high)} times the parameters; {budgets} budgets"
    if severe:
        sentence = f"How the best size grows with compute is not decided: {_short(severe[0])}."
        return Headline(sentence=_capped(sentence), basis=basis, next_step=_advice(severe[0].code) or "")
    if high - low > 1:
        sentence = "These runs do not determine how the best size grows with compute."
        return Headline(sentence=sentence, basis=basis, next_step=_advice("not_bracketed") or "")
    sentence = f"Ten times the compute is spent best on {_factor(10**found.N_exponent)} times the parameters and "
    sentence += f"{_factor(10**found.D_exponent)} times the tokens."
    return Headline(sentence=sentence, basis=basis, next_step="Add one larger budget to test it.")


def of_holdout(found: Holdout) -> Headline:
    """Whether the forecasts of the largest runs held."""
    severe = [one for one in found.warnings if one.severity == "severe" and one.code not in (*OF_EXPONENTS, "misfit")]
    inside = sum(row.is_inside for row in found.rows)
    basis = f"{inside} of {len(found.rows)} inside their 95 % intervals; fitted on {counted(found.fit)}"
    if severe:
        return Headline(sentence=f"The forecasts are not judged: {_short(severe[0])}.", basis=basis)
    reach, error = _factor(found.reach), _percent(found.rmse_log)
    largest = {"6 N D": "compute", "params": "parameters", "flops": "compute"}.get(found.largest, found.largest)
    if found.verdict == "held":
        sentence = f"Forecasts at up to {reach} times the fitted {largest} held, "
        return Headline(sentence=f"{sentence}with an rms error of {error} %.", basis=basis)
    if found.verdict == "no use":
        return Headline(sentence="The forecasts held, but are too wide to say that the loss falls.", basis=basis)
    sentence = f"The forecasts of the largest runs failed, with an rms error of {error} %."
    return Headline(sentence=sentence, basis=basis, next_step=_advice("held_out_missed") or "")


def of_replay(found: Replay) -> Headline:
    words = {"supported": "The points support", "contradicted": "The points contradict", "not decided": "Undecided:"}
    claim = " ".join(found.claim.split()[:8])
    return Headline(sentence=f"{words[found.verdict]} {claim}.", basis=found.reasons[0])


def worse_than_counts(before: Headline, worse: Sequence[str], gaps: Mapping[str, Sequence[float]]) -> Headline:
    """What is left of a sentence where every run of these arms has a higher loss than counting has."""
    runs = sum(len(of_arm) for of_arm in gaps.values())
    step = "Train larger models, or longer, until they beat the counts; then compare again."
    if len(worse) == len(gaps):
        sentence = "No arm is called ahead: every run has a higher loss than an n-gram count model."
        above = [gap for of_arm in gaps.values() for gap in of_arm]
        basis = f"{min(above):.2g} to {max(above):.2g} nats per token above the strongest count of its own text"
        basis = f"each run is {basis}; {runs} runs"
        return Headline(sentence=sentence, basis=basis, next_step=step)
    tail = f"{_listed(worse, 'and')} {'does' if len(worse) == 1 else 'do'} not beat an n-gram count"
    sentence = f"{before.sentence.rstrip('.')}; {tail}."
    if len(sentence.split()) > WORDS:
        sentence = f"{before.sentence.partition(';')[0].rstrip('.')}; {tail}."
    return Headline(sentence=_capped(sentence), basis=before.basis, next_step=before.next_step or step)


def _next_of_fit(fit: Fit, doubts: Sequence[Warning], warnings: Sequence[Warning]) -> str:
    """The advice for the severest warning that has one; else how far the law reaches."""
    better = fit.known_doubt.better if fit.known_doubt else None
    if better is not None and any(one.code == "misfit" for one in doubts):
        return f"Try --law {shlex.quote(better.law.spec)}, which fits better, and look at the residuals."
    ranked = [*doubts, *(one for one in warnings if one.severity == "warning"), *warnings]
    for one in ranked:
        known = _advice(one.code)
        if known and not known.startswith(("Nothing", "Believe", "Read", "Name")) and one.severity != "note":
            return known
    columns = fit.data.columns
    own = ("unique_tokens", "seconds")
    ends = [
        _at(columns[axis] if columns.get(axis) in own else axis, high) for axis, (_, high) in fit.data.domain.items()
    ]
    reach = " and ".join(ends)
    return f"Predict with it up to {reach}; train one run on the way before you rely on it further out." if ends else ""


def _advice(code: str | None) -> str | None:
    known = CODES.get(code or "")
    return None if known is None else known.do


def _short(one: Warning, fit: Fit | None = None) -> str:
    if one.code == "misfit" and fit is not None and one.sentence.startswith("The value given"):
        return "a value that was fixed is not that of these runs"
    return SHORT_DOUBTS.get(one.code, "a severe doubt stands against these runs")


def _capped(sentence: str) -> str:
    """Without its last clauses where long names of arms make it too long; cut where it has but one."""
    while len(sentence.split()) > WORDS and ";" in sentence:
        sentence = sentence.rpartition(";")[0] + "."
    words = sentence.split()
    return sentence if len(words) <= WORDS else " ".join(words[: WORDS - 1]) + " …"


def counted(fit: Fit) -> str:
    """What a fit rests on. The rows of a history are no runs: several are of one run."""
    n, clusters, runs = fit.goodness.n, fit.goodness.clusters, len({row.run for row in fit.residuals})
    stated = "".join(f", with a prior on {one.name}: {one.mean:.3g} +- {one.stderr:.3g}" for one in fit.priors)
    if not 0 < runs < n:
        return _runs(n, clusters) + stated
    within = f" in {clusters} clusters" if clusters < runs else ""
    return f"{n} rows of {runs} run{'s' * (runs > 1)}{within}{stated}"


def _runs(n: int, clusters: int) -> str:
    return f"{n} runs" + (f" in {clusters} clusters" if clusters < n else "")


def _p(found: Comparison | None) -> str:
    if found is None:
        return ""
    return "one law for all arms: p " + ("< 0.0001" if found.p < 1e-4 else f"= {found.p:.2g}")


def _named(arm: str) -> str:
    words = arm.split()
    return arm if len(words) <= LONG_NAME else " ".join(words[:LONG_NAME]) + "…"


def _listed(arms: Sequence[str], word: str) -> str:
    if len(arms) > 3:
        return f"the {_many(len(arms))} arms"
    names = [_named(arm) for arm in arms]
    return f"{', '.join(names[:-1])} {word} {names[-1]}" if len(names) > 1 else "".join(names)


def _many(count: int) -> str:
    return TWO_TO_TWELVE[count - 2] if 2 <= count <= len(TWO_TO_TWELVE) + 1 else "one" if count == 1 else "many"


def _percent(share: float) -> str:
    """Two digits: 8, 0.42, 51; three near 100."""
    value = 100 * share
    if not math.isfinite(value):
        return "an unknown"
    text = f"{value:.3g}" if abs(value) >= 99 else f"{value:.2g}"
    return text if "e" not in text else f"{value:.0f}"


def _factor(value: float) -> str:
    text = f"{value:.2g}"
    return text if "e" not in text else f"{value:.0f}"


def _at(axis: str, value: float) -> str:
    """An amount of an axis with its unit: 17.2k parameters, 1.8e10 FLOPs."""
    unit = _unit(axis)
    if unit == "FLOPs" and math.isfinite(value):
        return f"{value:.2g} FLOPs".replace("e+", "e")
    return f"{_amount(value)} {unit}"


def _amount(value: float) -> str:
    """17.2k, 3.1M, 7.2B; 1.7e12 beyond."""
    if not math.isfinite(value):
        return "any number of"
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if unit * 0.9995 <= value < 1e12:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.3g}".replace("e+", "e")
