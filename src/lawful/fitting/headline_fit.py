"""The headline of a fit: how the loss falls, and whether the forecasts of held-out runs held."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from lawful.fitting.fitted import FittedLaw
from lawful.fitting.headline_text import OF_EXPONENTS, Headline, advice, capped, short_doubt
from lawful.fitting.holdout import are_held
from lawful.fitting.number_text import amount_of, counted, factor, interval, percent, percent_range
from lawful.fitting.predictions import INPUTS
from lawful.fitting.quantiles import t_quantile
from lawful.fitting.records import HeldOut, HeldOutRow
from lawful.fitting.uncertainty import says_nothing
from lawful.laws.chinchilla import Chinchilla
from lawful.laws.data_constrained import DataConstrained
from lawful.laws.data_limited import DataLimited
from lawful.laws.power import Power
from lawful.laws.power_floor import PowerFloor
from lawful.laws.saturating import Saturating
from lawful.plugins import column_title
from lawful.response import LOG, Response
from lawful.schema import Warning
from lawful.tables.roles import is_accuracy

HELD = "held-out forecasts held"
WIDE = 1.5  # a forecast's interval is called wide if its upper end over its lower end is larger


def of_fit(
    fit: FittedLaw,
    held: Sequence[HeldOut] | Sequence[HeldOutRow] = (),
    severe: Sequence[Warning] = (),
    warnings: Sequence[Warning] | None = None,
) -> Headline:
    """How the loss falls, in words; whether the forecasts of held-out runs held."""
    held = held or fit.held_out
    said = fit.warnings if warnings is None else warnings
    doubts = [*severe, *(one for one in said if one.severity == "severe")]
    blocking = [one for one in doubts if one.code not in OF_EXPONENTS]
    to_come = any(one.code == "held_out_to_come" for one in said)
    forecast = "held-out runs are still to come" if to_come else _forecasts(held, fit.data.response)
    inside = _inside(held, fit.data.response)
    runs = f"{inside}; {counted(fit)}" if inside else counted(fit)
    next_step = _next_of_fit(fit, doubts, said)
    if not fit.data.response.is_log:
        return _of_metric(fit, blocking, forecast, runs, next_step)
    if blocking:
        why = short_doubt(blocking[0], fit.law)
        if forecast == HELD and blocking[0].code == "misfit":
            came = "The held-out run" if len(held) == 1 else "The held-out runs"
            sentence = f"{came} came within {_worst(held)} % of the forecast, but {why}: no exponent is quoted."
            all_inside = f"all {len(held)} inside their 95 % intervals{_reach(held)}; fitted on {runs}"
            return Headline(sentence=sentence, basis=all_inside, next_step=next_step)
        fall = percent(_whole_fall(fit))
        if blocking[0].code == "misfit" and not fall.startswith("-"):
            sentence = f"From the smallest run to the largest the loss falls by {fall} %, but {why}."
            about = f"{_about_fall(fit)}; {runs if held else f'{forecast}; {runs}'}"
            return Headline(sentence=capped(sentence), basis=about, next_step=next_step)
        return Headline(sentence=f"No exponent is quoted: {why}.", basis=runs, next_step=next_step)
    known, unknown = _cuts(fit, doubts)
    loss = loss_name(fit.data.columns["loss"])
    if any(one.code == "ridge" for one in doubts):
        sentence = "These runs do not determine the law's parameters one by one: no exponent is quoted"
    elif not known and not unknown:
        share = _whole_fall(fit)
        way = "falls" if share >= 0 else "rises"
        sentence = f"From the smallest run to the largest, the {loss} {way} by {percent(abs(share))} %"
    elif not known:
        sentence = f"These runs do not determine how fast the {loss} falls with {' or '.join(unknown)}"
    elif len(known) == 1 and not unknown:
        (cut,) = known
        part = "odds" if cut.is_odds else "" if cut.is_whole else "reducible"
        of = f"the odds of the {loss}" if cut.is_odds else f"the {part} {loss}".replace("  ", " ")
        sentence = f"Ten times the {cut.thing} {cut.verb} {of} by {percent(cut.share)} %"
    elif len(known) == 1:
        (cut,) = known
        sentence = (
            f"Ten times the {cut.thing} {cut.verb} the {cut.part} part of the {loss} by {percent(cut.share)} %; what "
            f"more {unknown[0]} {'bring' if unknown[0].endswith('s') else 'brings'} is not determined"
        )
    else:
        first, second = known[:2]
        sentence = (
            f"Tenfold {first.thing} {first.verb} the {first.part} part of the {loss} by {percent(first.share)} %, "
            f"tenfold {second.thing} the {second.part} part by {percent(second.share)} %"
        )
    basis = [f"{percent_range(low, high)} %" + (f" ({one.thing})" if len(known) > 1 else "")
             for one in known for low, high in [one.ci95]]  # fmt: skip
    intervals = f"95 % interval{'s' if len(basis) > 1 else ''} {', '.join(basis)}; " if basis else ""
    intervals += f"{_about_fall(fit)}; " if "smallest run" in sentence else ""
    intervals += "".join(f"{one}; " for one in _open_exponents(fit, doubts))
    return Headline(sentence=capped(f"{sentence}; {forecast}."), basis=f"{intervals}{runs}", next_step=next_step)


def _of_metric(fit: FittedLaw, blocking: Sequence[Warning], forecast: str, runs: str, next_step: str) -> Headline:
    """The headline of an accuracy, or another metric that is no loss: the law's first and last value over the runs."""
    first, last = ends_of(fit)
    basis, way = f"{_by_what(fit)}; by the law at the runs' ends; {runs}", "From the smallest run to the largest"
    # along a loss, the sentence goes from the worse metric to the better one
    if fit.data.response.is_share and (lone := _lone_setting(fit)):
        thing, low, high = lone
        ends = [(low, first), (high, last)] if first < last else [(high, last), (low, first)]
        (begin, first), (end, last) = ends
        way = f"As {thing} {'rises' if begin < end else 'falls'}"
        basis = f"{thing} {begin:.3g} to {end:.3g}; by the law there; {runs}"
    sentence = f"{way}, {metric_name(fit)} {change(first, last)}"
    if blocking:
        return Headline(
            sentence=capped(f"{sentence}; but {short_doubt(blocking[0], fit.law)}."), basis=basis, next_step=next_step
        )
    return Headline(sentence=capped(f"{sentence}; {forecast}."), basis=basis, next_step=next_step)


def metric_name(fit: FittedLaw) -> str:
    """The metric in a sentence: `the` accuracy, and hellaswag by its name alone."""
    column = fit.data.columns["loss"]
    name = loss_name(column)
    return f"the {name}" if fit.data.response.is_log or is_accuracy(column) else name


def _lone_setting(fit: FittedLaw) -> tuple[str, float, float] | None:
    """The one input of a law that is no amount of size, data or compute, with its ends over the runs."""
    inputs = fit.model.inputs
    if len(inputs) != 1 or inputs[0] in INPUTS or inputs[0] in fit.model.categories:
        return None
    low, high = fit.data.domain[inputs[0]]
    return thing_of(inputs[0]), low, high


def ends_of(fit: FittedLaw) -> tuple[float, float]:
    """The law's value at the run with the smallest axes, and at that with the largest."""
    rows = fit.by_size
    if not rows:
        return math.nan, math.nan
    first, last = fit.data.response.inside([rows[0].predicted, rows[-1].predicted])
    return float(first), float(last)


def change(first: float, last: float) -> str:
    return f"{'rises' if last > first else 'falls'} from {first:.3g} to {last:.3g}"


@dataclass(frozen=True, kw_only=True)
class _Cut:
    """The share by which ten times an amount cuts its part of the loss. part: its name, if several."""

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


def _cuts(fit: FittedLaw, doubts: Sequence[Warning]) -> tuple[list[_Cut], list[str]]:
    """For a law with a power of each axis: what each determined exponent says, and the axes whose exponent is open."""
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


def _open_exponents(fit: FittedLaw, doubts: Sequence[Warning]) -> list[str]:
    """The intervals of the undetermined exponents; for a power of an axis, as the effect on the loss."""
    names = dict.fromkeys(one.sentence.partition(" ")[0] for one in doubts if one.code == "not_identified")
    axes = dict(zip(("alpha", "beta"), fit.model.inputs, strict=False)) if type(fit.model) in POWER_TERMS else {}
    said = []
    for name in (one for one in names if one in fit.params):
        low, high = fit.params[name].ci95
        if name in axes and not isinstance(fit.model, Power | Saturating):
            thing = thing_of(axes[name], fit.data.columns.get(axes[name]))
            cut = percent_range(1 - 10 ** -max(low, 0.0), 1 - 10 ** -max(high, 0.0))
            verb = "cut" if thing.endswith("s") else "cuts"
            part = (
                f"the {PARTS.get(axes[name], axes[name])} part of the loss" if len(axes) > 1 else "the reducible loss"
            )
            said.append(f"ten times the {thing} {verb} {part} by {cut} % (95 % interval)")
        else:
            said.append(f"95 % interval of {name} {interval(low, high, '.2g')}")
    return said


_STEPS = re.compile(r"(?:\w+[._ /])?(step|iteration|update|epoch|sample|example)s?\Z", re.I)


def thing_of(axis: str, column: str | None = None) -> str:
    """What an axis is an amount of."""
    if column in ("unique_tokens", "seconds"):
        return {"unique_tokens": "text", "seconds": "time"}[column]
    if axis == "tokens" and (steps := _STEPS.match(column or "")):  # told by --tokens-column: a step is no token
        return f"{steps[1].lower()}s"
    return {"params": "parameters", "flops": "compute"}.get(axis, axis.replace("_", " "))


def loss_name(column: str) -> str:
    known = {"loss": "loss", "best_weights_loss": "best loss", "bits_per_byte": "loss in bits per byte"}
    name = known.get(column) or column_title(column) or ("loss" if "loss" in column else column.replace("_", " "))
    return name if any(letter.isupper() for letter in name[1:]) else name[:1].lower() + name[1:]


def _whole_fall(fit: FittedLaw) -> float:
    """The share by which the loss falls from the run with the smallest axes to that with the largest."""
    rows = fit.by_size
    return 1 - rows[-1].observed / rows[0].observed if rows else 0.0


def _about_fall(fit: FittedLaw) -> str:
    """The first and last loss, the change of that share by seeds alone, and the quantity that orders runs by size."""
    rows, noise = fit.by_size, fit.goodness.sigma_run
    ends = f"loss {rows[0].observed:.3g} to {rows[-1].observed:.3g}" if rows else ""
    replicates = (fit.goodness.lack_of_fit or {}).get("dof_replicates", 0)
    if not rows or noise is None or not math.isfinite(noise) or not replicates >= 1:
        return "; ".join(part for part in (ends, _by_what(fit)) if part)
    reach = t_quantile(0.975, float(replicates)) * math.sqrt(2) * noise  # two runs, each with its own noise
    ratio = rows[-1].observed / rows[0].observed
    range_ = percent_range(1 - ratio * math.exp(reach), 1 - ratio * math.exp(-reach))
    return f"95 % interval {range_} % by the noise between seeds; {ends}; {_by_what(fit)}"


def _reach(held: Sequence[HeldOut] | Sequence[HeldOutRow], response: Response = LOG) -> str:
    """How far the widest interval of a forecast reaches to either side."""
    widest = math.sqrt(_widest(held, response))
    return f" (± {percent(widest - 1)} % at most)" if 1 < widest < math.inf else ""


def _forecasts(held: Sequence[HeldOut] | Sequence[HeldOutRow], response: Response = LOG) -> str:
    if not held:
        return "nothing was held out"
    if all(says_nothing(*_ends(row), response) for row in held):
        return "held-out forecasts say nothing"
    inside = sum(row.is_inside for row in held)
    if inside == len(held):
        return HELD if _widest(held, response) < WIDE else "held-out forecasts held, within wide intervals"
    return "not all held-out forecasts held" if are_held(inside, len(held)) else "held-out forecasts failed"


def _inside(held: Sequence[HeldOut] | Sequence[HeldOutRow], response: Response) -> str:
    """How many forecasts held, where not all did or their intervals are wide; empty otherwise."""
    inside = sum(row.is_inside for row in held)
    if inside < len(held):
        return f"{inside} of {len(held)} held-out runs inside their 95 % intervals: fewer than promised"
    widest = _widest(held, response) if held else 1.0
    if widest < WIDE:
        return ""
    return f"the forecasts' 95 % intervals span up to a factor of {factor(widest)}"


def _widest(held: Sequence[HeldOut] | Sequence[HeldOutRow], response: Response) -> float:
    """The upper over the lower end of the widest interval of a forecast; 1 where the metric is no loss."""
    if not response.is_log:
        return 1.0
    return max((high / low if low > 0 else math.inf for low, high in map(_ends, held)), default=1.0)


def _by_what(fit: FittedLaw) -> str:
    """The quantity that orders the runs from smallest to largest, as `by_size` does."""
    things = " times ".join(thing_of(axis, fit.data.columns.get(axis)) for axis in fit.model.inputs)
    return f"smallest and largest by {things}"


def _ends(row: HeldOut | HeldOutRow) -> tuple[float, float]:
    prediction = getattr(row, "prediction", None)
    return (prediction.low, prediction.high) if prediction is not None else row.interval  # type: ignore[union-attr]


def _worst(held: Sequence[HeldOut] | Sequence[HeldOutRow]) -> str:
    return percent(max(abs(row.error_relative) for row in held))


def _next_of_fit(fit: FittedLaw, doubts: Sequence[Warning], warnings: Sequence[Warning]) -> str:
    """The advice for the severest warning that has one; else how far the law reaches."""
    better = fit.known_doubt.better if fit.known_doubt else None
    if better is not None and any(one.code == "misfit" for one in doubts):
        rms, less = (f"{100 * each:.3g}" for each in (fit.goodness.rmse_log, better.rmse_log))
        by = f" (rms of its residuals {less} % instead of {rms} %)" if fit.data.response.is_log and rms != less else ""
        return f"Try --law {shlex.quote(better.law.spec)}, which fits better{by}, and look at the residuals."
    ranked = [*doubts, *(one for one in warnings if one.severity == "warning"), *warnings]
    for one in ranked:
        known = advice(one.code)
        if known and not known.startswith(("Nothing", "Believe", "Read", "Name")) and one.severity != "note":
            return known
    columns, levels = fit.data.columns, fit.model.categories
    own = ("unique_tokens", "seconds")
    ends = {axis: ends for axis, ends in fit.data.domain.items() if axis not in levels}
    amounts = [
        amount_of(columns[axis] if columns.get(axis) in own else axis, ends[axis][1]) for axis in ends if axis in INPUTS
    ]
    settings = [axis for axis in ends if axis not in INPUTS]
    reach = " and ".join(
        [f"up to {' and '.join(amounts)}"] * bool(amounts)
        + [f"at {thing_of(axis)} {ends[axis][0]:.3g} to {ends[axis][1]:.3g}" for axis in settings]
    )
    return f"Predict with it {reach}; train one run on the way before you rely on it further out." if reach else ""
