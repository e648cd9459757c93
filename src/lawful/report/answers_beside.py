"""In what the answers of two studies differ, in one sentence: what a comparison of them leads with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lawful.fitting.answers import Answer
from lawful.fitting.headline_fit import thing_of
from lawful.fitting.headline_text import OF_EXPONENTS, capped, short_doubt
from lawful.fitting.number_text import percent
from lawful.fitting.result import Fit
from lawful.schema import Warning

EXPONENTS = ("alpha", "beta")  # of the laws that have a power of each axis, in the order of the axes


@dataclass(frozen=True, kw_only=True)
class Apart:
    """The difference of one exponent between two answers; interval: None where their runs are shared."""

    name: str
    values: tuple[float, float]
    interval: tuple[float, float] | None

    @property
    def is_clear(self) -> bool:
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


def what_differs(
    answers: tuple[Answer | None, Answer | None], labels: tuple[str, str], apart: Mapping[str, Apart]
) -> str:
    """The answers to the first question, held against each other. apart: exponent -> its difference, where the two can
    be compared."""
    one, two = answers
    if one is None or two is None:
        return capped(f"{labels[0] if one is None else labels[1]} has no answer yet.")
    if one.status != two.status:
        refused = labels[0] if one.status == "refused" else labels[1]
        return capped(f"{refused} claims no law; {labels[1] if refused == labels[0] else labels[0]} has one.")
    if one.question.name != two.question.name or (one.comparison is None) != (two.comparison is None):
        return capped(f"{labels[0]} and {labels[1]} answer different questions.")
    doubts = [_blocking(answer) for answer in (one, two)]
    codes = [{doubt.code for doubt in some} for some in doubts]
    for here, there in ((0, 1), (1, 0)):
        only = [doubt for doubt in doubts[here] if doubt.code not in codes[there]]
        if only:
            doubt = short_doubt(only[0], _law_of((one, two)[here]))
            return capped(f"Only {labels[1 - here]} can be quoted: in {labels[here]}, {doubt}.")
    if doubts[0]:
        return capped(f"Neither answer can be quoted: in both, {short_doubt(doubts[0][0], _law_of(one))}.")
    clear = next((one for one in apart.values() if one.is_clear), None)
    if clear is not None and one.fit is not None:
        return capped(_cut(one.fit, clear, labels))
    if one.headline == two.headline:
        return capped(f"{labels[0]} and {labels[1]} give the same answer.")
    if one.comparison and two.comparison:
        verdicts = [answer.comparison.verdict for answer in (one, two) if answer.comparison]
        if verdicts[0] != verdicts[1]:
            return capped(f"The answers differ: {verdicts[0]} in {labels[0]}; {verdicts[1]} in {labels[1]}.")
        return capped(f"Both answers say: {verdicts[0]}.")
    chosen = next(iter(apart.values()), None)
    if chosen is None or one.fit is None:
        return capped(f"{labels[0]} and {labels[1]} give different answers.")
    return capped(_cut(one.fit, chosen, labels))


def _law_of(answer: Answer) -> str:
    return "" if answer.fit is None else answer.fit.law


def _cut(fit: Fit, apart: Apart, labels: tuple[str, str]) -> str:
    """What ten times an amount does to its part of the loss, in each."""
    axis = fit.model.inputs[EXPONENTS.index(apart.name)]
    thing = thing_of(axis, fit.data.columns.get(axis))
    first, second = (f"{percent(1 - 10**-value)} %" for value in apart.values)
    cut = (
        f"Ten times the {thing} {'cut' if thing.endswith('s') else 'cuts'} the reducible loss by {first} in {labels[0]}"
    )
    rest = "" if apart.interval is None else "; this differs" if apart.is_clear else "; no difference is shown"
    return f"{cut} and {second} in {labels[1]}{rest}."


def _blocking(answer: Answer) -> Sequence[Warning]:
    """Severe doubts about the whole answer, not about single exponents."""
    warnings = (*answer.warnings, *(answer.fit.warnings if answer.fit else ()))
    return [one for one in warnings if one.severity == "severe" and one.code not in OF_EXPONENTS]
