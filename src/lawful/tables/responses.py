"""The response of a table: whether its metric is a loss, a share of right answers, or another number, and its unit.

What a name and its numbers say is taken and said; where that would be a guess, the user is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lawful.errors import TableError
from lawful.response import LOG, Response, told
from lawful.tables.names import name_of
from lawful.tables.observations import Observations
from lawful.tables.roles import Choice, option_of, shell_word
from lawful.tables.vocabulary import CORRECT, ERROR_RATES, LOSSES, NEGATIVE, PERCENT, RATES, RISING, SCORES, SHARES

CLEARLY = 0.5  # correlation with the logarithm of size, data or compute, from which on a metric rises or falls
PER_CENT = 100.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user says of the response: its kind, and of a share the chance level; None: nothing."""

    kind: str | None = None
    chance: float | None = None

    @property
    def is_told(self) -> bool:
        return self.kind is not None or self.chance is not None


NOTHING = Asked()


def is_share(column: str) -> bool:
    """Whether a name says that its numbers are shares of right answers."""
    words = _words(column)
    return _is_share(words) and not words & ERROR_RATES


def may_be_share(column: str) -> bool:
    """Whether a name says that its numbers are shares, of right answers or of wrong ones."""
    words = _words(column)
    return _is_share(words) or bool(words & ERROR_RATES)


def _is_share(words: frozenset[str]) -> bool:
    return bool(words & SHARES) or ("rate" in words and bool(words & RATES))


def of_own(table: Observations, column: str, asked: Asked) -> Response:
    """The response of a table that lawful wrote, or that was read before. column: the metric's, where it is told."""
    response = told(asked.kind, asked.chance, is_error=bool(_words(column) & ERROR_RATES))
    if response is None and table.is_of_study and table.response.is_log and is_share(column):
        return Response(kind="logit")
    return response or table.response


def response_of(
    table: Observations,
    taken: Mapping[str, Choice],
    numbers: Mapping[str, np.ndarray],
    asked: Asked,
    factors: Mapping[str, float],
    trials: str | None,
) -> tuple[Response, Choice | None, list[str]]:
    """The response; the column of the metric with its unit, where it is not in units of one; what is to be said.

    trials   the column of the numbers of items, where one is told

    Raises TableError where the metric is no loss and what it is would be a guess, or where its numbers are not those of
    what it is.
    """
    choice = taken.get("loss")
    if choice is None:
        return told(asked.kind, asked.chance) or LOG, None, []
    column, values = choice.column, numbers[choice.column]
    words, trend = _words(column), _trend(taken, numbers, values)
    is_error = bool(words & ERROR_RATES)
    response = told(asked.kind, asked.chance, is_error=is_error)
    if response is None and trials is not None:
        response = Response(kind="logit", is_error=is_error)
    if response is None:
        response = _by_name(table, column, words, trend)
    if trials is not None and not response.is_share:
        raise TableError(
            f"{table.source}: {option_of('trials')}: the numbers of items are those of a share of right answers; got a "
            f"response of {response.kind}. Leave it out, or {_RESPONSE} logit."
        )
    if response.is_log:
        return response, None, []
    if choice.is_perplexity or choice.also:
        raise TableError(
            f"{table.source}: {column!r} is read as a loss that falls; a response of {response.kind} takes one column "
            f"as it is. Write it under another name, or leave {_RESPONSE} out."
        )
    if not response.is_share:
        said = f"response: {column!r} as it is; residuals are differences, not of logarithms ({_RESPONSE} log, logit)"
        return response, None, [said]
    scaled, how = _as_share(table, choice, values, words, factors, trials)
    guessed = f"{response.chance:g}" if asked.chance is not None else "0 (--chance NUMBER: another)"
    what = "wrong" if is_error else "right"
    read = f"response: {column!r} is a share of {what} answers{how}"
    return response, scaled, [f"{read}; chance level {guessed}; the noise is that of counts"]


_RESPONSE = "--response"


def _by_name(table: Observations, column: str, words: frozenset[str], trend: float) -> Response:
    """The response of a column that the user says nothing about. Raises TableError where its name says that it is no
    loss, but not what it is."""
    if words & (ERROR_RATES | LOSSES | NEGATIVE) or not (_is_share(words) or words & (SCORES | RISING | CORRECT)):
        return LOG
    if _is_share(words) and trend > -CLEARLY:
        return Response(kind="logit")
    word = shell_word(column)
    if _is_share(words):
        raise TableError(
            f"{table.source}: {column!r} is called an accuracy, and falls with size, data or compute. If it is an "
            f"error: {_RESPONSE} log. If it is an accuracy that falls: {_RESPONSE} logit."
        )
    if words & CORRECT:
        raise TableError(
            f"{table.source}: {column!r} seems to count right answers. Name the column of how many there could be "
            f"({option_of('trials')} COLUMN), or write the share into a column of its own."
        )
    if trend <= 0 and not words & RISING:
        return LOG
    raise TableError(
        f"{table.source}: {column!r} is no loss by its name{' and rises' if trend > 0 else ''}: a law of its logarithm "
        f"would be a guess. Say what it is, beside {option_of('loss')} {word}: {_RESPONSE} logit for a share between 0 "
        f"and 1, {_RESPONSE} identity for a number whose differences count, {_RESPONSE} log for one whose ratios do."
    )


def _as_share(
    table: Observations,
    choice: Choice,
    values: np.ndarray,
    words: frozenset[str],
    factors: Mapping[str, float],
    trials: str | None,
) -> tuple[Choice | None, str]:
    """The column in units of one, and what to say of it. Raises TableError for numbers that are no shares, or may be of
    two units."""
    column, known = choice.column, values[np.isfinite(values)]
    word, where = shell_word(choice.column), f"{table.source}: column {choice.column!r}"
    if not len(known):
        return None, ""
    top, is_percent = float(known.max()), bool(words & PERCENT)
    if float(known.min()) < 0 or (top > PER_CENT and trials is None):
        odd = float(known.min()) if float(known.min()) < 0 else top
        raise TableError(
            f"{where}: expected shares from 0 to 1, or per cent, got {odd:g}. For a number of another kind: "
            f"{_RESPONSE} identity."
        )
    if column in factors:
        factor = factors[column]
        return replace(choice, unit=factor, is_share=factor != 1, why=""), f", times {factor:g}"
    if words & CORRECT and trials is not None:
        return replace(choice, over=trials, is_share=True, why=""), f", counts over {trials!r}"
    if top <= 1 and is_percent:
        raise TableError(
            f"{where}: it is named per cent, and no number in it is above 1 (at most {top:g}). Say which: --unit "
            f"{word}=percent, or --unit {word}=1 for shares."
        )
    if top <= 1:
        return None, ""
    if top > PER_CENT:
        raise TableError(
            f"{where}: expected shares, per cent, or counts of right answers in a column that is called so; got "
            f"{top:g}. Of counts, write their share of {trials!r} into a column."
        )
    if ((known > 0) & (known <= 1)).any():
        few = float(known[(known > 0) & (known <= 1)].min())
        raise TableError(
            f"{where}: its numbers may be per cent or shares, got {few:g} beside {top:g}. If all are per cent: --unit "
            f"{word}=percent; else write them in one unit."
        )
    return replace(choice, unit=1 / PER_CENT, is_share=True, why=""), ", in per cent and divided by 100"


def _words(column: str) -> frozenset[str]:
    name = name_of(column)
    signs = {"%"} if "%" in column else set()
    return frozenset({*name.key.split("_"), *name.unit_name.lower().split(), *signs})


def _trend(taken: Mapping[str, Choice], numbers: Mapping[str, np.ndarray], values: np.ndarray) -> float:
    """The correlation with the logarithm of size, data or compute that is furthest from 0; 0 where it is not known."""
    found = [0.0]
    for role in ("params", "tokens", "flops"):
        if role not in taken:
            continue
        counts = taken[role].in_ones(numbers)
        is_known = np.isfinite(counts) & np.isfinite(values) & (counts > 0)
        if is_known.sum() > 2 and np.ptp(values[is_known]) > 0 and np.ptp(np.log(counts[is_known])) > 0:
            found.append(float(np.corrcoef(np.log(counts[is_known]), values[is_known])[0, 1]))
    return max(found, key=lambda one: abs(one) if math.isfinite(one) else 0.0)
