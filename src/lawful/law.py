"""What a law is: a formula with named parameters, a sum of positive terms of the axes. laws/ holds them, by name.

Every law here is  L(x) = sum_k c_k phi_k(x; shapes)  with coefficients c_k >= 0 and a few shape parameters (exponents
and the like). That form is what makes a fit fast and certain: given the shapes the coefficients are linear, and with
the logarithm of each phi and its derivatives the gradient and Hessian are exact.

Axes enter as centred logarithms, u = log(N / pivot) with the pivot at the geometric mean of the data, so that a
coefficient is the loss its term contributes at the pivot. Coefficients at N = 1 (the papers' A and B) correlate with
their exponents above .999 and are reported as derived.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
from abc import ABC
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from lawful import registry
from lawful.checks import AnyFloat, shown
from lawful.errors import DeclarationError
from lawful.schema import Json

if TYPE_CHECKING:
    Method = TypeVar("Method", bound=Callable[..., Any])

    def required(method: Method) -> Method:
        """For a type checker `Law("E + A/N^alpha")` is no abstract class: what it makes is a Formula."""
        return method

else:
    from abc import abstractmethod as required

Array = np.ndarray
Number = float | Array  # one number, or an array of them
Values = Mapping[str, Number]  # parameter name -> number, or array that broadcasts against the rows
Points = Mapping[str, float | Sequence[float] | Array]  # axis -> a number, or one for each point
Bounds = Mapping[str, tuple[AnyFloat, AnyFloat]]  # parameter -> where it is sought: low, high
Levels = Callable[[str], Collection[str]]  # column of a table -> its levels

ONE_AXIS = ("params", "tokens", "flops")  # what a law of one axis may read
FORMULA = "formula"  # the registered name of the law that is made from a text, and the text's operators


@dataclass(frozen=True)
class Axes:
    """The rows a law is evaluated on: centred natural logarithms by axis name, and where each is centred.

    logs    axis -> log(value / pivot), shape (rows,)
    pivot   axis -> the value at which the logarithm is 0
    """

    logs: Mapping[str, Array]
    pivot: Mapping[str, float]

    @classmethod
    def of(cls, values: Points, pivot: Mapping[str, float] | None = None) -> Axes:
        """Centre values; by default at the geometric means of those above 0. The logarithm of 0 is minus infinity."""
        with np.errstate(divide="ignore"):
            logs = {name: np.log(np.atleast_1d(np.asarray(value, dtype=float))) for name, value in values.items()}
        if pivot is None:
            above = {name: log if np.isfinite(log).all() else log[log > -np.inf] for name, log in logs.items()}
            centre: Mapping[str, float] = {name: float(np.exp(log.mean())) for name, log in above.items()}
        else:
            centre = pivot
        return cls({name: log - np.log(centre[name]) for name, log in logs.items()}, centre)

    def __getitem__(self, axis: str) -> Array:
        return self.logs[axis]

    def take(self, rows: Array) -> Axes:
        """Some of the rows, centred as all."""
        return Axes({name: log[rows] for name, log in self.logs.items()}, self.pivot)


@dataclass(frozen=True)
class Term:
    """log phi of one term on every row, with its first and second derivatives by shape name (absent means zero).

    Each is an array that broadcasts to (problems, rows). In `second`, a pair of different names stands once.
    sign    1.0, or an array of the signs of phi where it may be negative
    """

    log: Number = 0.0
    first: Mapping[str, Number] = field(default_factory=dict)
    second: Mapping[tuple[str, str], Number] = field(default_factory=dict)
    sign: Number = 1.0


@dataclass(frozen=True)
class Shape:
    """A parameter inside the terms: hard bounds, and the part of them where starts are laid (None: the bounds)."""

    name: str
    low: float
    high: float
    starts: tuple[float, float] | None = None


class Law(ABC):
    """A formula: `Law("E + A/N^alpha", bounds=..., start=..., name=..., source=...)` (laws/formula.py), or a class of
    its own. Leaves are frozen dataclasses; what they must say is below.

    name            as in `lawful fit --law NAME`
    formula         as in its source, with the coefficients at N = 1 unless it says otherwise
    source          paper
    meaning         parameter of the formula -> what it is, and its unit
    when, when_not  for which tables it is made, and for which not
    inputs          axes it reads: params (N), tokens (D), flops (C), unique_tokens (U)
    coefficients    names of c_k, one per term, in the order of `terms`
    shapes          the parameters inside the terms
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]
    meaning: ClassVar[Mapping[str, str]] = {}
    when: ClassVar[str] = ""
    when_not: ClassVar[str] = ""

    def __new__(cls, *_: Any, **__: Any) -> Law:
        made: Law = object.__new__(registry.built_in("laws")[FORMULA].load() if cls is Law else cls)
        return made

    @property
    @required
    def inputs(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    @required
    def coefficients(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    @required
    def shapes(self) -> tuple[Shape, ...]:
        raise NotImplementedError

    @required
    def terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        """One Term per coefficient, and at most one more, which has none; `shape` values come as arrays of shape
        (problems, 1)."""
        raise NotImplementedError

    def values_of_terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        """The terms, where nobody needs their derivatives."""
        return self.terms(shape, x)

    def derived(self, values: Values, pivot: Mapping[str, float]) -> dict[str, Number]:
        """What readers know by other names, from parameter values (numbers or arrays of draws)."""
        return {}

    @property
    def shares(self) -> tuple[str, ...]:
        """Those of `derived` that lie between 0 and 1."""
        return ()

    @property
    def places(self) -> tuple[str, ...]:
        """Those of the shapes that are the logarithm of a place along an axis, such as the middle of a sigmoid: arms
        that differ in one differ by a factor in what they need, and not in an exponent."""
        return ()

    @property
    def fitted_axes(self) -> tuple[str, ...]:
        """The inputs of which several levels are needed."""
        return self.inputs

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """The bounds of those coefficients that may be other than 0 to infinity."""
        return {}

    @property
    def categories(self) -> Mapping[str, tuple[str, ...]]:
        """Those of the inputs that are no numbers, with their levels. Their value is the level's number, from 1 on."""
        return {}

    def level(self, axis: str, cell: object) -> float:
        """The number of a level. Raises DeclarationError for one that the law was not fitted to."""
        levels = self.categories[axis]
        if isinstance(cell, float) and cell.is_integer() and str(int(cell)) in levels:
            cell = int(cell)
        if str(cell) not in levels:
            known = ", ".join(levels[:20]) + (", ..." if len(levels) > 20 else "")
            raise DeclarationError(f"{axis}: expected one of the levels that were fitted ({known}), got {shown(cell)}.")
        return 1.0 + levels.index(str(cell))

    def cell(self, axis: str, value: float) -> float | str:
        """What stands for a value in a table: itself, or the level's name."""
        return self.categories[axis][round(value) - 1] if axis in self.categories else value

    def for_table(self, columns: Collection[str], roles: Mapping[str, str], levels: Levels | None = None) -> Law:
        """The law for a table of these columns: a formula reads those that it names. levels: gives those of a
        column."""
        return self

    def bounded(self, bounds: Bounds) -> tuple[Law, Bounds]:
        """The law with those bounds that are its own settings, and the other bounds."""
        return self, bounds

    def holding(self, fixed: Mapping[str, float]) -> tuple[Law, Mapping[str, float]]:
        """The law in whose text some of these values stand for their parameters, and the other values."""
        return self, fixed

    def ways_along(self, axis: str) -> Mapping[str, str]:
        """Fitted parameters whose bounds say which way the loss goes along a column -> their names for readers."""
        return {}

    @property
    def reading(self) -> str:
        """Which names are inputs and which parameters, where the law's text leaves it open."""
        return ""

    @property
    def spec(self) -> str:
        """The law in a text for readers; of lawful's own, what `named` takes. Nothing is rebuilt from this text."""
        cls = type(self)
        fields = {item.name: getattr(self, item.name) for item in settings(cls)}
        name = registry.name_of("laws", cls) or (cls.__qualname__ if why_not_found(cls) else class_name(cls))
        return label({"class": name, "fields": fields})

    @property
    def parameters(self) -> tuple[str, ...]:
        return (*self.coefficients, *(shape.name for shape in self.shapes))

    def predict(self, values: Values, x: Axes) -> Array:
        """L on every row, shape (rows,); with values of shape (draws,) each, shape (draws, rows).

        An axis may itself have shape (draws, rows), where each draw is asked at points of its own.
        """
        columns = {name: np.asarray(value, dtype=float)[..., None] for name, value in values.items()}
        terms = self.values_of_terms({shape.name: columns[shape.name] for shape in self.shapes}, x)
        size: list[Number] = [
            *(columns[name] for name in self.coefficients),
            *[1.0] * (len(terms) - len(self.coefficients)),
        ]
        parts = [
            factor * term.sign * np.exp(np.minimum(term.log, 700.0)) for factor, term in zip(size, terms, strict=True)
        ]
        nothing = [np.zeros_like(log) for log in x.logs.values()]
        return np.asarray(sum(parts) + sum(nothing))


@dataclass(frozen=True)
class OneAxisLaw(Law):
    """Loss over one axis, chosen when the law is made: `power_floor:tokens`."""

    axis: str = "params"

    def __post_init__(self) -> None:
        if self.axis not in ONE_AXIS:
            raise DeclarationError(f"{self.name}: expected an axis of {', '.join(ONE_AXIS)}, got {self.axis!r}.")

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.axis,)


def bounds_of(law: Law) -> dict[str, tuple[float, float]]:
    """Parameter -> the lowest and the highest value that it may have."""
    positive = dict.fromkeys(law.coefficients, (0.0, math.inf))
    return positive | dict(law.limits) | {shape.name: (shape.low, shape.high) for shape in law.shapes}


def ranges_of(given: Any, what: str) -> dict[str, tuple[float, float]]:
    """The bounds or the start that a user gives a formula, as name -> (low, high). A start may be one number."""
    if not isinstance(given, Mapping):
        raise DeclarationError(f"law: {what}: expected a dict of names, got {shown(given)}.")
    out = {}
    for name, pair in given.items():
        if what == "start" and isinstance(pair, int | float) and not isinstance(pair, bool):
            pair = (pair / 1.5, pair * 1.5) if pair > 0 else (pair - 1.0, pair + 1.0)
        is_pair = isinstance(pair, tuple | list) and len(pair) == 2 and all(type(end) in (int, float) for end in pair)
        if not isinstance(name, str) or not is_pair or not pair[0] < pair[1]:
            raise DeclarationError(f"law: {what}: {shown(name)}: expected (LOW, HIGH), got {shown(pair)}.")
        if what == "start" and not (math.isfinite(pair[0]) and math.isfinite(pair[1])):
            raise DeclarationError(f"law: start: {name}: expected finite numbers, got {shown(pair)}.")
        out[name] = (float(pair[0]), float(pair[1]))
    return out


def has_axis(law: Law) -> bool:
    """Whether the axis is a setting of the law."""
    return any(item.name == "axis" for item in settings(type(law))) and getattr(law, "axis", None) != ""


def on_axis(law: Law, axis: str) -> Law:
    """The same law over another axis, for one that takes its axis as a setting. Raises DeclarationError for others."""
    if not has_axis(law):
        raise DeclarationError(f"law: {law.spec} reads {' and '.join(law.inputs)}; no other axis can be named for it.")
    moved: Law = dataclasses.replace(law, axis=axis)  # type: ignore[type-var]
    return moved


def label(data: str | Mapping[str, Json]) -> str:
    """A stored law in a text for readers: power_floor:tokens, or my_law.py:MyLaw(shift=2.0)."""
    if not isinstance(data, Mapping):
        return str(data)
    name, fields = str(data.get("class")), data.get("fields")
    if not isinstance(fields, Mapping):
        return name
    if name == FORMULA:
        name = str(fields.get("text") if fields.get("name") == FORMULA else fields.get("name"))
        return f"{name}:{fields['axis']}" if fields.get("axis") else name
    if set(fields) == {"axis"}:
        return f"{name}:{fields['axis']}"
    return name + (f"({', '.join(f'{key}={value!r}' for key, value in fields.items())})" if fields else "")


def settings(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    return tuple(item for item in dataclasses.fields(cls) if item.init) if dataclasses.is_dataclass(cls) else ()


def class_name(cls: type) -> str:
    """MODULE:CLASS, or PATH:CLASS for a file: where another process finds it. Raises DeclarationError where none."""
    if why := why_not_found(cls):
        raise DeclarationError(
            f"law: {cls.__name__} cannot be stored: {why}. Put the class into a file of its own and give "
            f"law='FILE.py:{cls.__name__}'."
        )
    return f"{cls.__module__}:{cls.__qualname__}"


def why_not_found(cls: type) -> str:
    module, name = cls.__module__, cls.__qualname__
    if module == "__main__":
        return "it is defined in a notebook or in the script that runs"
    if "<locals>" in name:
        return "it is defined inside a function"
    if member(sys.modules.get(module), name) is not cls:
        return f"{module} holds no such class, or another one by now"
    return ""


def member(scope: Any, name: str) -> Any:
    return functools.reduce(lambda scope, part: getattr(scope, part, None), name.split("."), scope)
