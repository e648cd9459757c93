"""Roles: which column of a table is the parameters, the tokens, the FLOPs, the loss, the run.

A name is recognised by a vocabulary, a single letter only where its values bear it out; a column that is taken is
always said. Where two could serve and differ, nothing is taken: the user is asked.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lawful.errors import TableError
from lawful.tables.names import LOSS_WORDS, Name, name_of
from lawful.tables.vocabulary import (
    ACCURACIES,
    ACTIVE,
    BARE,
    ENDS,
    EPOCHS,
    ERROR_RATES,
    ERRORS,
    HALVES,
    KINDS,
    LETTERS,
    LOSSES,
    NEUTRAL,
    NO_PARAMS,
    NO_TOKENS,
    ON,
    OTHER_LOSS,
    PARAMS,
    PLAIN,
    RATIOS,
    SPREADS,
    STANDARD_ERRORS,
    TEST,
    TOKENS,
    TRAIN,
    VALIDATION,
    VOCABULARY,
    Kind,
)

ROLES = ("params", "tokens", "flops", "loss", "cluster", "arm", "unique_tokens", "stderr", "trials")
COUNTS = ("params", "tokens", "flops", "unique_tokens")
HALF_95 = 1.959964  # standard errors in half of a 95 % interval
FAR_FROM_6ND = 30.0  # how far FLOPs may lie from 6 N D: embeddings, attention and sparse models explain less
LEAST_COUNT = 1e4  # of parameters or tokens, for a column whose name may mean something else
Numbers = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A column that was taken for a role.

    unit   how many are in one of its unit; 1: its numbers stay
    base   of the logarithm that its numbers are; 0: they are none
    times  the column that its numbers are to be multiplied with; empty: none
    over   the column that its numbers are to be divided by; empty: none
    is_share  its numbers become shares, of per cent or of counts
    also   columns of the same meaning that are filled where this one is empty
    why    in words, where there is something to say beyond the name
    """

    column: str
    unit: float = 1.0
    base: float = 0.0
    times: str = ""
    over: str = ""
    also: tuple[Choice, ...] = ()
    is_perplexity: bool = False
    is_share: bool = False
    why: str = ""

    def in_ones(self, columns: Mapping[str, Numbers]) -> Numbers:
        """Its numbers, in units of one."""
        with np.errstate(all="ignore"):
            numbers = self.base ** columns[self.column] if self.base else columns[self.column] * self.unit
        if self.times:
            numbers = numbers * columns[self.times]
        for other in self.also:
            numbers = np.where(np.isfinite(numbers), numbers, other.in_ones(columns))
        return np.asarray(numbers)


def choose(source: str, columns: Mapping[str, Numbers], role: str, taken: Mapping[str, Choice]) -> Choice | None:
    """The column for a role of numbers; None where there is none.

    columns   the columns that hold numbers, NaN where a cell is empty or no number
    taken     what was chosen for the roles before

    Raises TableError where several could serve and their values differ.
    """
    used = {choice.column for choice in taken.values()}
    names = {column: name_of(column) for column in columns if column not in used and _is_used(columns[column])}
    kinds: Sequence[int] = range(len(VOCABULARY[role]))
    passes = [("path", kinds), ("last", kinds)]
    if role == "loss":  # any loss on validation data goes before one of training
        others = [number for number in kinds if number != TRAIN]
        passes = [("path", others), ("last", others), ("path", [TRAIN]), ("last", [TRAIN])]
    for place, numbers in passes:
        groups = {column: _group(role, name, place) for column, name in names.items()}
        for number in numbers:
            fits = [column for column, group in groups.items() if group == number]
            fits = [column for column in fits if column == role] or fits
            if not fits:
                continue
            if role == "params":
                _expect_no_active(source, fits[0], names, columns)
            if role == "loss" and number == TRAIN:  # eval_c4_loss: on validation data, by a name of its own
                _expect_one(source, role, [fits[0], *filter(may_be_validation, names)], columns)
            mates = [column for column, group in groups.items() if group == number]
            if number == 0 and role != "loss":
                mates += [c for c, name in names.items() if _is_letter(role, name, c, columns, taken)]
            return _one_of(source, role, fits, mates, columns)
        if place == "path":
            for column, name in names.items():
                if _is_letter(role, name, column, columns, taken):
                    rivals = [c for c, n in names.items() if role == "params" and n.letter == "P"]
                    rivals = [c for c in rivals if _bears_out(role, columns[c], columns, taken)]
                    _expect_one(source, role, [column, *rivals], columns)  # N may be samples then
                    return choice_of(source, role, column)
    return None


def _is_letter(role: str, name: Name, column: str, columns: Mapping[str, Numbers], taken: Mapping[str, Choice]) -> bool:
    letter = name.of.letter if name.of and role in COUNTS else name.letter
    if not letter or letter != LETTERS.get(role):
        return False
    base = 10.0 if name.base != name.base else name.base
    with np.errstate(all="ignore"):
        numbers = base ** columns[column] if base else columns[column] * name.unit
    return _bears_out(role, numbers, columns, taken)


def _group(role: str, name: Name, place: str) -> int | None:
    """Which group of the vocabulary a name belongs to, by its whole path or by its last part; None: to none.

    Of a name a.b, the first part may say that b is something else: teacher.params, train/cross_entropy.
    """
    key = str(getattr(name.of if name.of and role in COUNTS else name, place))
    group = next((number for number, words in enumerate(VOCABULARY[role]) if key in words), None)
    if group is None or place == "path" or not name.before:
        return group
    if role != "loss":
        return group if name.before <= NEUTRAL else None
    if name.before & OTHER_LOSS:
        return None
    if name.before & ON[TRAIN]:
        return TRAIN
    on = next((on for on in (VALIDATION, TEST) if name.before & ON[on]), None)
    if on is not None:
        return on if group == PLAIN else group
    return group if name.before <= NEUTRAL else None


def _kinds_of_loss(name: Name) -> list[Kind]:
    """What a name says of a loss: train/ppl is both a perplexity and a training loss."""
    group = _group("loss", name, "path")
    group = _group("loss", name, "last") if group is None else group
    return [
        kind for number, kind in enumerate(KINDS["loss"]) if number == group or {name.path, name.last} & set(kind.names)
    ]


def _says_perplexity(name: Name) -> bool:
    words = set(name.key.split("_"))
    return bool(words & {"perplexity", "ppl"}) and not words & {"log", "ln", "log10", "log2", "bits"}


def may_be_validation(column: str) -> bool:
    """Whether a name that is not in the vocabulary says that it is of a loss on validation data: eval_c4_loss."""
    words = set(name_of(column).path.split("_"))
    return bool(words & ON[VALIDATION] and words & LOSS_WORDS)


def _one_of(
    source: str, role: str, fits: Sequence[str], mates: Sequence[str], columns: Mapping[str, Numbers]
) -> Choice:
    """The first of the columns that fit, with those of its kind that are filled where it is empty: two tables, one
    below the other, have them. Raises TableError where another differs from it."""
    first, also = fits[0], []
    filled = np.isfinite(columns[first])
    for column in mates:
        is_there = np.isfinite(columns[column])
        if column != first and not (filled & is_there).any():
            also.append(column)
            filled |= is_there
    _expect_one(source, role, [column for column in fits if column not in also], columns)
    choice = choice_of(source, role, first)
    if not also:
        return choice
    why = f"and {', '.join(map(repr, also))} where it is empty"
    joined = tuple(choice_of(source, role, column) for column in also)
    return replace(choice, also=joined, why="; ".join(filter(None, (choice.why, why))))


def _expect_no_active(source: str, first: str, names: Mapping[str, Name], columns: Mapping[str, Numbers]) -> None:
    """A sparse model has two sizes: which of them a law is of, nobody but the user can say."""
    active = [c for c, name in names.items() if c != first and {name.path, name.last} & ACTIVE]
    if active and name_of(first).path not in ACTIVE:
        _expect_one(source, "params", [first, *active], columns)


def _bears_out(role: str, numbers: Numbers, columns: Mapping[str, Numbers], taken: Mapping[str, Choice]) -> bool:
    """Whether the values of a column that is called by one letter can be what the letter stands for."""
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return False
    typical = float(np.median(known))
    if role == "loss":
        return bool((known > 0).all() and typical < 50 and (known != np.floor(known)).any())
    if role == "params":
        return typical >= 1e3
    if role == "flops":
        others = [taken[other].in_ones(columns) for other in ("params", "tokens") if other in taken]
        if len(others) == 2:
            return not is_far_from_6nd(numbers, *others)
        return typical >= 1e12
    params = taken["params"].in_ones(columns) if "params" in taken else None
    if params is not None and np.isfinite(params).any():
        return typical >= float(np.nanmedian(params)) / 100 and typical >= 1e4
    return typical >= 1e6


def is_far_from_6nd(flops: Numbers, params: Numbers, tokens: Numbers) -> bool:
    """Whether FLOPs cannot be those of training such models on so many tokens, in any usual way of counting."""
    with np.errstate(all="ignore"):
        ratio = flops / (6 * params * tokens)
    ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
    return bool(len(ratio)) and not 1 / FAR_FROM_6ND <= float(np.median(ratio)) <= FAR_FROM_6ND


def choice_of(source: str, role: str, column: str, unit: float | None = None) -> Choice:
    """A column for a role, with what its name says of its unit.

    unit   as the user told it; None: as the name says

    Raises TableError for the logarithm of a count to a base that the name does not say.
    """
    name = name_of(column)
    if unit is not None:
        return Choice(column=column, unit=unit if role in COUNTS else 1.0)
    why = []
    if role in COUNTS and name.unit != 1:
        why.append(f"in {name.unit_name}, as its name says")
    if role in COUNTS and name.of:
        if name.base != name.base:
            raise TableError(
                f"{source}: {column!r} looks like the logarithm of a count, and its name does not say of which base. "
                f"Call it 'log10 {name.of.path}' or 'ln {name.of.path}'."
            )
        why.append(f"a logarithm to base {'e' if name.base == math.e else f'{name.base:g}'}, as its name says")
    kinds = _kinds_of_loss(name) if role == "loss" else []
    is_perplexity = any(kind.is_perplexity for kind in kinds)
    if role == "loss" and not is_perplexity and _says_perplexity(name):  # under the name of a data set
        is_perplexity = True
        why.append("a perplexity, as its name says, of which the logarithm is taken")
    why += [kind.why for kind in kinds if kind.why]
    if role == "loss" and (measure := measure_of(column)):
        why.append(f"in {measure}, as its name says")
    return Choice(
        column=column,
        unit=name.unit if role in COUNTS and not name.of else 1.0,
        base=name.base if role in COUNTS and name.of else 0.0,
        is_perplexity=is_perplexity,
        why="; ".join(why),
    )


def like(role: str, columns: Mapping[str, Numbers]) -> list[str]:
    """The columns of numbers whose names say that they may have the role, where none is known to."""
    return [column for column, numbers in columns.items() if _is_used(numbers) and _is_like(role, column, numbers)]


def _is_like(role: str, column: str, numbers: Numbers) -> bool:
    name = name_of(column)
    words = set(name.key.split("_"))
    if role == "loss":
        return bool(words & LOSSES) and not words & (OTHER_LOSS | SPREADS | ACCURACIES | frozenset(("log",)))
    wanted, unwanted = (PARAMS, NO_PARAMS) if role == "params" else (TOKENS, NO_TOKENS)
    known = numbers[np.isfinite(numbers)] * name.unit
    return bool(words & wanted) and not words & unwanted and float(np.median(known)) >= LEAST_COUNT


def is_named_for_a_role(column: str) -> bool:
    """Whether a word of its name is one of those by which a role, an accuracy or an error bar is known."""
    name = name_of(column)
    known = {word for groups in VOCABULARY.values() for group in groups for word in group}
    words = {name.path, name.last, *name.key.split("_")}
    return bool(words & (known | RATIOS | EPOCHS | PARAMS | TOKENS | LOSSES | ACCURACIES | SPREADS))


def error_bars(columns: Sequence[str], loss: str) -> list[str]:
    """The columns whose names say how far the loss is known: val_loss_se, std_loss, stderr."""
    own = set(name_of(loss).key.split("_"))
    found = []
    for column in columns:
        key = name_of(column).key
        words = set(key.split("_"))
        if column != loss and (key in BARE or (words & (SPREADS | ERRORS) and words & own)):
            found.append(column)
    return found


def standard_errors_in(column: str, loss: str) -> float:
    """How many standard errors of the loss are in one of a column of error bars, by its name; NaN where it does not
    say: a standard deviation may be of seeds, steps or tokens, the ends of an interval are none, train_loss_se is of
    another loss than val_loss, and loss_se_percent or rel_loss_se of its share."""
    words = set(name_of(column).key.split("_"))
    of = words - SPREADS - ERRORS - HALVES - {"standard", "bar", "95"}
    if words & ENDS or not of <= set(name_of(loss).key.split("_")):
        return math.nan
    if words & STANDARD_ERRORS or ({"std", "standard"} & words and words & ERRORS):
        return 1.0
    return 1 / HALF_95 if words & HALVES and words & {"95", "ci95"} else math.nan


def is_of_all(column: str, loss: str) -> bool:
    """Whether a column of error bars names every word of the loss: acc_norm_stderr of acc_norm."""
    return set(name_of(loss).key.split("_")) <= set(name_of(column).key.split("_"))


def is_accuracy(column: str) -> bool:
    return bool(set(name_of(column).key.split("_")) & ACCURACIES)


def measure_of(column: str) -> str:
    """The unit that a loss is in by its column's name: nats, bits, bits per byte, error rate; empty where it does not
    say."""
    name = name_of(column)
    words = set(name.key.split("_"))
    other = "error rate" if words & ERROR_RATES else "accuracy" if words & ACCURACIES else ""
    return next((kind.measure for kind in _kinds_of_loss(name) if kind.measure), name.measure or other)


_ALSO = {"parameters": "params", "parameter": "params", "param": "params", "vocabulary": "vocab", "n": "", "num": ""}


def same_in_words(name: str, columns: Sequence[str]) -> str | None:
    """The column of this name; else the only one whose name is of the same words: Non_vocab_parameters of
    params_non_vocab, vocabulary_size of vocab_size."""

    def words(text: str) -> frozenset[str]:
        return frozenset(_ALSO.get(word, word) for word in name_of(text).key.split("_")) - {"", "of"}

    if name in columns:
        return name
    alike = [column for column in columns if words(column) == words(name)]
    return alike[0] if len(alike) == 1 else None


def _is_used(numbers: Numbers) -> bool:
    return bool(np.isfinite(numbers).any())


def _expect_one(source: str, role: str, fits: Sequence[str], columns: Mapping[str, Numbers]) -> None:
    first = columns[fits[0]]
    others = [column for column in fits[1:] if not np.array_equal(columns[column], first, equal_nan=True)]
    if others:
        named = " and ".join(map(repr, [fits[0], *others]))
        raise TableError(
            f"{source}: {named} could each be the {role}, and they differ. Say which: "
            f"{option_of(role)} {shell_word(fits[0])}, or {option_of(role)} {shell_word(others[0])}."
        )


def option_of(role: str) -> str:
    """The option of the command line, and in Python the keyword, that names the column of a role."""
    return "--" + (role if role in ("cluster", "arm", "unique_tokens") else f"{role}-column").replace("_", "-")


def shell_word(text: str) -> str:
    """A text as it is written in a shell."""
    return shlex.quote(text)
