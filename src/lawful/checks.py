"""Check the types and ranges of fields, settings and options where the user writes them.

The type of a number also gives its range: `steps: PositiveInt`. NumPy numbers become Python numbers and lists become
tuples, so that the JSON of a Run, and with it the run's id, does not depend on how the values were written.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import math
import os
import traceback
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

from lawful.errors import DeclarationError, LawfulError, Refusal

P = ParamSpec("P")
R = TypeVar("R")

MOST_SHOWN = 8  # problems in one message, and known names beside an unknown one: a screen holds them
MOST_LETTERS = 80  # of a value in a message


@dataclass(frozen=True, kw_only=True)
class Within:
    """The range of a number, beside its type: Annotated[int, Within(at_least=1)]. Numbers are always finite."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def has(self, number: float) -> bool:
        return (
            (self.at_least is None or number >= self.at_least)
            and (self.above is None or number > self.above)
            and (self.at_most is None or number <= self.at_most)
            and (self.below is None or number < self.below)
        )

    def __str__(self) -> str:
        if self.at_least is not None and self.at_most is not None:
            return f"from {self.at_least:,} to {self.at_most:,}"
        limits = {"of at least": self.at_least, "above": self.above, "at most": self.at_most, "below": self.below}
        return " and ".join(f"{words} {limit:,}" for words, limit in limits.items() if limit is not None)


@dataclass(frozen=True)
class Unlimited:
    """Beside the type of a number that may be infinite or nan. A file holds those as the texts of codec.NOT_FINITE."""


AnyFloat = Annotated[float, Unlimited()]
PositiveInt = Annotated[int, Within(at_least=1)]
NaturalInt = Annotated[int, Within(at_least=0)]
PositiveFloat = Annotated[float, Within(above=0)]
NonNegativeFloat = Annotated[float, Within(at_least=0)]
Share = Annotated[float, Within(at_least=0, at_most=1)]
Part = Annotated[float, Within(above=0, below=1)]
ShareBelowOne = Annotated[float, Within(at_least=0, below=1)]
Count = Annotated[int, Within(at_least=1, below=1e50)]  # of parameters, tokens or FLOPs: those of GPT-3 are 3.1e23
NumSeeds = Annotated[int, Within(at_least=1, at_most=1000)]  # more is a slip: a ladder of them is never trained


def conform(value: Any, kind: Any) -> Any:
    """The value as plain data of its declared type.

    kind    a type annotation: int, float, bool, str, Literal, a class, unions, tuples, sequences and mappings of these,
            numbers with their range (Annotated)

    Raises DeclarationError, "expected ..., got ...", without naming the field: the caller does.
    """
    own = type(value)
    if own is kind and (own is str or own is bool):  # the most of all fields: asked before anything else
        return value
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # a number of numpy or torch
        value = value.item()
        own = type(value)
    try:
        base, within, is_unlimited, origin, options = _taken_apart(kind)
    except TypeError:  # marks that cannot be hashed, of a class of the user's
        base, within, is_unlimited, origin, options = _taken_apart.__wrapped__(kind)
    if base is Any or isinstance(base, (typing.TypeVar, str)):
        return value
    if origin in (typing.Union, types.UnionType):
        for option in (own, *options) if own in options else options:  # its own type first: the others only refuse
            try:
                return conform(value, option)
            except DeclarationError:
                continue
        maps = [option for option in options if typing.get_origin(option) in (collections.abc.Mapping, dict)]
        if isinstance(value, Mapping) and len(maps) == 1:
            return conform(value, maps[0])  # raises, and names the key
        raise _unlike(value, kind)
    if base in (None, types.NoneType):
        is_right = value is None
    elif origin is typing.Literal:
        is_right = any(type(value) is type(option) and value == option for option in options)
    elif base is int:
        most = 2**63 if within is None or within.below is None else within.below
        is_right = isinstance(value, int) and not isinstance(value, bool) and abs(value) < most
    elif base is float:
        is_right = isinstance(value, (int, float)) and not isinstance(value, bool)
        is_right = is_right and (is_unlimited or _is_finite(value))
    elif origin is tuple or origin in (collections.abc.Sequence, list):
        return _members(value, kind, origin, options)
    elif origin in (collections.abc.Mapping, dict):
        if not isinstance(value, Mapping):
            raise _unlike(value, kind)
        return {conform(key, options[0]): _item(key, item, options[1]) for key, item in value.items()}
    else:
        is_right = isinstance(value, origin or base) if isinstance(origin or base, type) else True
    if not is_right or (within is not None and not within.has(value)):
        raise _unlike(value, kind)
    return value


def argument(name: str, value: Any, kind: Any) -> Any:
    """An argument or option as plain data of its declared type (see conform); DeclarationError names it otherwise."""
    try:
        return conform(value, kind)
    except DeclarationError as error:
        raise DeclarationError(f"{name}: {error}.") from None


def check_fields(value: Any) -> None:
    """Check every field of a dataclass against its annotation; for use in __post_init__. Values become plain data.

    Raises DeclarationError that lists every problem.
    """
    refuse(type(value).__name__, list(field_problems(value).values()))


def field_problems(value: Any, where: str = "") -> dict[str, str]:
    """Field name -> problem, for the fields of a dataclass that do not fit their annotation. The others become plain
    data in place.

    where    prefix of the field names in messages, such as "optimizer."
    """
    problems: dict[str, str] = {}
    hints = _hints(value.__class__)
    for field in dataclasses.fields(value):
        given = getattr(value, field.name)
        try:
            found = conform(given, hints.get(field.name, Any))
        except DeclarationError as error:
            problems[f"{where}{field.name}"] = f"{where}{field.name}: {error}"
            continue
        if found is not given:
            object.__setattr__(value, field.name, found)
    return problems


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: check the arguments against the annotations of the function and make them plain data.

    The decorated function raises DeclarationError that lists every problem. An unknown argument stays a TypeError.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def with_checks(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs)
        hints = typing.get_type_hints(function, include_extras=True)
        problems = []
        for name, value in given.arguments.items():
            try:
                given.arguments[name] = conform(value, hints[name])
            except DeclarationError as error:
                problems.append(f"{name}: {error}")
        refuse(function.__name__, problems)
        return function(*given.args, **given.kwargs)

    return with_checks


def refuse(what: str, problems: Sequence[str]) -> None:
    """Raise all problems as one DeclarationError; return where there are none."""
    if problems:
        raise DeclarationError(f"{what}: {'; '.join(_first(problems))}.")


def refuse_lines(what: str, problems: Sequence[str]) -> None:
    """As `refuse`, with one problem on each line: for problems that are whole sentences."""
    if problems:
        raise DeclarationError(f"{what}:\n  " + "\n  ".join(_first(problems)))


def nearest(name: str, known: Sequence[str]) -> str:
    """The known names as one text. Of more than eight, the eight most similar to `name`."""
    near = get_close_matches(name, known, n=len(known) or 1, cutoff=0.0) if len(known) > MOST_SHOWN else list(known)
    more = f" and {len(near) - MOST_SHOWN} more" if len(near) > MOST_SHOWN else ""
    return (", ".join(near[:MOST_SHOWN]) or "none") + more


def shown(value: Any) -> str:
    """A value for a message: never long, and without control characters."""
    text = repr(value)
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 3] + "..."


@contextmanager
def in_file_of_user(path: Path | str | None) -> Iterator[None]:
    """Add the file and line of the user's Python file to a LawfulError that was raised from it. Other exceptions are
    bugs of that file and pass unchanged, with their traceback."""
    try:
        yield
    except Refusal:
        raise
    except LawfulError as error:
        line = _line_in(error, path)
        if line is None:
            raise
        kind = type(error) if type(error).__init__ is LawfulError.__init__ else DeclarationError
        raise kind(f"{path}:{line}: {error}") from error


def _line_in(error: BaseException, path: Path | str | None) -> int | None:
    """The innermost line of the file in the traceback; None if the traceback does not contain the file."""
    of_user = os.path.abspath(path) if path is not None else None
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if os.path.abspath(frame.filename) == of_user
    ]
    return lines[-1] if lines else None


def _first(problems: Sequence[str]) -> list[str]:
    more = [f"and {len(problems) - MOST_SHOWN} more"] if len(problems) > MOST_SHOWN else []
    return [*problems[:MOST_SHOWN], *more]


def _members(value: Any, kind: Any, origin: Any, options: tuple[Any, ...]) -> tuple[Any, ...]:
    is_of_one_type = origin is not tuple or (len(options) == 2 and options[1] is Ellipsis)
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, collections.abc.Sequence):
        raise _unlike(value, kind)
    if is_of_one_type:
        return tuple(conform(item, options[0]) for item in value)
    if len(value) != len(options):
        raise _unlike(value, kind)
    return tuple(conform(item, option) for item, option in zip(value, options, strict=True))


def _item(key: Any, item: Any, kind: Any) -> Any:
    try:
        return conform(item, kind)
    except DeclarationError as error:
        raise DeclarationError(f"{key}: {error}") from None


def _unlike(value: Any, kind: Any) -> DeclarationError:
    options = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    is_class = isinstance(value, type) and any(isinstance(one, type) and issubclass(value, one) for one in options)
    hint = f"; write {value.__name__}()" if is_class else ""
    return DeclarationError(f"expected {words_of(kind)}, got {shown(value)}{hint}")


def words_of(kind: Any) -> str:
    """A type as a message has it: "a whole number of at least 1"."""
    base, within = (kind, None) if typing.get_origin(kind) is not Annotated else _with_range(kind)
    origin, options = typing.get_origin(base), typing.get_args(base)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(words_of(option) for option in options))
    if origin is typing.Literal:
        return ("one of " if len(options) > 1 else "") + ", ".join(map(str, options))
    if origin is tuple or origin in (collections.abc.Sequence, list):
        if origin is tuple and options and Ellipsis not in options:
            return f"a tuple ({', '.join(map(words_of, options))})"
        return f"a tuple, each member {words_of(options[0])}" if options else "a tuple"
    if origin in (collections.abc.Mapping, dict):
        return f"a mapping from {words_of(options[0])} to {words_of(options[1])}"
    known = {int: "a whole number", float: "a number", str: "a text", bool: "True or False", types.NoneType: "None"}
    name = getattr(base, "__name__", str(base))
    words = known.get(base) or f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
    return f"{words} {within}" if within is not None else words


@functools.lru_cache(maxsize=10_000)
def _taken_apart(kind: Any) -> tuple[Any, Within | None, bool, Any, tuple[Any, ...]]:
    """The type without its marks, its range, whether it may be infinite; of the type its origin and arguments."""
    base, within = (kind, None) if typing.get_origin(kind) is not Annotated else _with_range(kind)
    is_unlimited = any(isinstance(mark, Unlimited) for mark in getattr(kind, "__metadata__", ()))
    return base, within, is_unlimited, typing.get_origin(base), typing.get_args(base)


def _with_range(kind: Any) -> tuple[Any, Within | None]:
    return kind.__origin__, next((mark for mark in kind.__metadata__ if isinstance(mark, Within)), None)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number too large for a float
        return False


@functools.cache
def _hints(cls: Any) -> Mapping[str, Any]:
    """The annotations of a class; empty if one names something that only a type checker imports (then no field of the
    class is checked)."""
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except NameError:
        return {}
