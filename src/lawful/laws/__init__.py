"""Laws: formulas with named parameters, each a sum of positive terms. One file each; a user adds one by writing one.

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
import importlib
import inspect
import math
import sys
from abc import ABC
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from lawful import registry, trust
from lawful.checks import AnyFloat, in_file_of_user, shown
from lawful.errors import DeclarationError

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

BUILT_IN = registry.built_in("laws")  # the files of this folder, and of the domains

ONE_AXIS = ("params", "tokens", "flops")  # what a law of one axis may read
FORMULA = "formula"  # the registered name of the law that is made from a text, and the text's operators
OPERATORS = "+-*/^(`"


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
        fields = {item.name: getattr(self, item.name) for item in _settings(cls)}
        name = registry.name_of("laws", cls) or (cls.__qualname__ if _why_not_found(cls) else _class_name(cls))
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


def named(spec: str | Law) -> Law:
    """A law from the text a user gives: `chinchilla`, `power_floor:tokens` (its axis after the colon),
    `my_package.my_law:MyLaw` or `path/to/my_law.py:MyLaw`, these with an axis, too.

    A user's own is imported, which runs the file; from then on this process may build it from stored data as well.
    Raises LawfulError with the known names.
    """
    if isinstance(spec, Law):
        return spec
    text = _text(spec)
    return _registered(text) or _formula(text) or _made(*_imported(text))


def with_bounds(law: str | Law, bounds: Bounds) -> tuple[str | Law, Bounds]:
    """A formula takes the bounds of its own parameters as its settings; the law, and the other bounds."""
    found = law if isinstance(law, Law) else _formula(_text(law)) or _named_formula(law)
    return found.bounded(bounds) if found and bounds else (law, bounds)


def _named_formula(spec: str) -> Law | None:
    """The formula of the catalogue that has this name; none where its axis is still to be chosen."""
    found = _registered(spec)
    return found if found is not None and type(found).__module__.endswith(f".{FORMULA}") and names_axis(spec) else None


def names_axis(spec: str) -> bool:
    """Whether a law's text leaves no axis to be chosen. A user's own law that names none has the one it was written
    with."""
    return spec not in BUILT_IN or not has_axis(named(spec))


def stored(data: str | Mapping[str, Any]) -> Law:
    """A law from what a file holds: the data of `to_data`, or the text in a question. It builds
    registered laws (registry.py), and those that this process was given by name before. The text names no other code
    to import. Raises LawfulError for others."""
    if isinstance(data, str):
        if law := _registered(data) or _formula(data):
            return law
        place, name, axis = _split(data)
        if f"{place}:{name}" in _NAMED:
            return _made(_NAMED[f"{place}:{name}"], axis)
        raise _not_ours(data)
    name, fields = _class_and_fields(data)
    entry = registry.find("laws", name)
    cls = entry.load() if entry else _NAMED.get(name)
    if not isinstance(cls, type):
        raise _not_ours(name)
    return _with_fields(cls, fields)


def label(data: str | Mapping[str, Any]) -> str:
    """A stored law in a text for readers: power_floor:tokens, or my_law.py:MyLaw(shift=2.0)."""
    if not isinstance(data, Mapping):
        return str(data)
    name, fields = str(data.get("class")), data.get("fields") or {}
    if name == FORMULA:
        name = str(fields.get("text") if fields.get("name") == FORMULA else fields.get("name"))
        return f"{name}:{fields['axis']}" if fields.get("axis") else name
    if set(fields) == {"axis"}:
        return f"{name}:{fields['axis']}"
    return name + (f"({', '.join(f'{key}={value!r}' for key, value in fields.items())})" if fields else "")


_NAMED: dict[str, Any] = {}  # what `named` was given in this process: "MODULE:NAME" or "PATH:NAME" -> class or law


def _not_ours(name: str) -> DeclarationError:
    return DeclarationError(
        f"law: {name!r} is not one of lawful's own laws, and reading a file imports no code. If you trust that code, "
        f"name it: --law {name!r} on the command line, law={name!r} in Python."
    )


def rebuilt(data: str | Mapping[str, Any], law: str | Law) -> Law:
    """The stored law, by the class that the user names for it. Raises DeclarationError where that is another one."""
    found = law if isinstance(law, Law) else _registered(law) or _formula(law) or _imported(law)[0]
    cls = found if isinstance(found, type) else type(found)
    if isinstance(data, str):  # an old file, which holds no fields
        return named(law)
    name, fields = _class_and_fields(data)
    if name.rpartition(":")[2] != (registry.name_of("laws", cls) or cls.__qualname__):
        raise DeclarationError(f"law: the fit was made with {name}, got {cls.__name__}.")
    own = _with_fields(cls, fields)
    if isinstance(found, Law) and (given := _plain_fields(found)) != _plain_fields(own):
        raise DeclarationError(f"law: the fit was made with {name} of {fields}, got one of {given}.")
    return own


def to_data(law: Law) -> dict[str, Any]:
    """The law as plain data: {"class": registered name, MODULE:CLASS or PATH:CLASS, "fields": its settings}.

    Raises DeclarationError with the reason where no other process could build the law from it: its class is defined in
    a notebook or a function, or a setting is not plain data.
    """
    cls = type(law)
    name = registry.name_of("laws", cls) or _class_name(cls)
    if not hasattr(cls, "__dataclass_fields__") and vars(law):
        raise DeclarationError(
            f"law: {name} cannot be stored: it holds {', '.join(vars(law))}; make it a frozen dataclass with these as "
            "its fields."
        )
    fields = _plain_fields(law)
    again = _with_fields(cls, fields)
    if _plain_fields(again) != fields:
        raise DeclarationError(f"law: {name} cannot be stored: built from its own fields {fields} it has others.")
    _expect_same_attributes(law, again, name)
    return {"class": name, "fields": fields}


def _expect_same_attributes(law: Law, again: Law, name: str) -> None:
    """What a law holds beside its settings must follow from them, or it would be lost: an own __init__ or an InitVar
    that puts a number there, a slot, an attribute set by hand."""
    settings = {item.name for item in _settings(type(law))}
    mine, other = _attributes(law), _attributes(again)
    for key in sorted((mine.keys() | other.keys()) - settings):
        if isinstance(getattr(type(law), key, None), functools.cached_property):
            continue
        if key not in mine or key not in other or not _is_same(mine[key], other[key]):
            raise DeclarationError(
                f"law: {name} cannot be stored: built from its own fields it has another {key} than this law; make "
                f"{key} a field of a frozen dataclass, and set it when the law is made."
            )


def _attributes(law: Law) -> dict[str, Any]:
    """Also those in slots."""
    slots = [slot for cls in type(law).__mro__ for slot in np.atleast_1d(vars(cls).get("__slots__", ())).tolist()]
    return {**{slot: getattr(law, slot) for slot in slots if hasattr(law, slot)}, **getattr(law, "__dict__", {})}


def _is_same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    try:
        return bool(
            np.array_equal(a, b, equal_nan=isinstance(a, float) or getattr(a, "dtype", np.dtype("O")).kind in "fc")
        )
    except (TypeError, ValueError):
        return False


def on_axis(law: Law, axis: str) -> Law:
    """The same law over another axis, for one that takes its axis as a setting. Raises DeclarationError for others."""
    if not has_axis(law):
        raise DeclarationError(f"law: {law.spec} reads {' and '.join(law.inputs)}; no other axis can be named for it.")
    moved: Law = dataclasses.replace(law, axis=axis)  # type: ignore[type-var]
    return moved


def bounds_of(law: Law) -> dict[str, tuple[float, float]]:
    """Parameter -> the lowest and the highest value that it may have."""
    positive = dict.fromkeys(law.coefficients, (0.0, math.inf))
    return positive | dict(law.limits) | {shape.name: (shape.low, shape.high) for shape in law.shapes}


def has_axis(law: Law) -> bool:
    """Whether the axis is a setting of the law."""
    return any(item.name == "axis" for item in _settings(type(law))) and getattr(law, "axis", None) != ""


def _text(spec: object) -> str:
    if isinstance(spec, str):
        return spec
    name = getattr(spec, "__name__", "")
    raise DeclarationError(f"law: expected a name or a Law, got {spec!r}" + (f"; write {name}()." if name else "."))


def _class_and_fields(data: Any) -> tuple[str, Mapping[str, Any]]:
    name, fields = (data.get("class"), data.get("fields")) if isinstance(data, Mapping) else (None, None)
    if not isinstance(name, str) or not isinstance(fields, Mapping):
        raise DeclarationError(f"law: expected a class and its fields, got {data!r}.")
    return name, fields


def _registered(spec: str) -> Law | None:
    name, _, axis = spec.partition(":")
    entry = None if name.endswith(".py") or "." in name else registry.find("laws", name)
    return _made(entry.load(), axis) if entry else None


def _formula(spec: str) -> Law | None:
    """The law of a text that holds an operator and names no file or module."""
    if ":" in spec.split("`")[0] or spec.endswith(".py") or not any(sign in spec for sign in OPERATORS):
        return None
    cls: type[Law] = registry.built_in("laws")[FORMULA].load()
    return cls(spec)


def _imported(spec: str) -> tuple[Any, str]:
    """What a text names, imported, and its axis. The class, or the law that the user made of it himself."""
    place, name, axis = _split(spec)
    found = _member(_user_module(place), name)
    cls = found if isinstance(found, type) else type(found)
    if not issubclass(cls, Law):
        got = "nothing of that name" if found is None else f"a {type(found).__name__}"
        raise DeclarationError(f"law: expected {name} in {place} to be a Law, got {got}.")
    _NAMED[f"{place}:{name}"] = found
    if not _why_not_found(cls):
        _NAMED[_class_name(cls)] = cls
    return found, axis


def _split(spec: str) -> tuple[str, str, str]:
    """The module, or the whole path of the file; the name in it; the axis. Raises DeclarationError for a bare word."""
    file, is_file, rest = spec.partition(".py:")
    place, rest = (str(Path(f"{file}.py").resolve()), rest) if is_file else spec.partition(":")[::2]
    name, _, axis = rest.partition(":")
    if not name:
        known = registry.found("laws")
        near = get_close_matches(spec, known, n=3, cutoff=0.5) or ["power", "power_floor", "chinchilla", "coupled"]
        raise DeclarationError(
            f"law: no law is called {shown(spec)}; there are {', '.join(near)} and others (`lawful laws`), a formula, "
            "or FILE.py:CLASS for your own."
        )
    return place, name, axis


def _made(found: Any, axis: str) -> Law:
    law: Law = _with_fields(found, {}) if isinstance(found, type) else found
    return on_axis(law, axis) if axis else law


def _with_fields(cls: type[Law], fields: Mapping[str, Any]) -> Law:
    if inspect.isabstract(cls):
        raise DeclarationError(f"law: {cls.__name__} does not define {', '.join(sorted(cls.__abstractmethods__))}.")
    known = _settings(cls)
    if unknown := sorted(set(fields) - {item.name for item in known}):
        raise DeclarationError(f"law: {cls.__name__} has no field {', '.join(unknown)}.")
    nothing = dataclasses.MISSING
    needed = [item.name for item in known if item.default is nothing and item.default_factory is nothing]
    if missing := [name for name in needed if name not in fields]:
        raise DeclarationError(
            f"law: {cls.__name__} needs {', '.join(missing)}; write mine = {cls.__name__}(...) into its file, and name "
            "that: FILE.py:mine."
        )
    return cls(**{key: _unplain(value) for key, value in fields.items()})


def _settings(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    return tuple(item for item in dataclasses.fields(cls) if item.init) if dataclasses.is_dataclass(cls) else ()


def _plain_fields(law: Law) -> dict[str, Any]:
    return {item.name: _plain(getattr(law, item.name), law, item.name) for item in _settings(type(law))}


def _plain(value: Any, law: Law, field: str) -> Any:
    """As JSON has it: tuples are lists; a number that JSON lacks is {"float": "inf"}."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or type(value) in (str, bool, int, float):
        return value
    if type(value) is tuple:
        return [_plain(item, law, field) for item in value]
    if type(value) is dict and all(isinstance(key, str) for key in value) and set(value) != {"float"}:
        return {key: _plain(item, law, field) for key, item in value.items()}
    raise DeclarationError(
        f"law: {type(law).__name__} cannot be stored: its field {field} is a {type(value).__name__}; expected a "
        "number, a text, True, False, None, or tuples and dicts of these."
    )


def _unplain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_unplain, value))
    if isinstance(value, Mapping):
        is_number = set(value) == {"float"} and value["float"] in ("inf", "-inf", "nan")
        return float(value["float"]) if is_number else {key: _unplain(item) for key, item in value.items()}
    return value


def _class_name(cls: type) -> str:
    """MODULE:CLASS, or PATH:CLASS for a file: where another process finds it. Raises DeclarationError where none."""
    if why := _why_not_found(cls):
        raise DeclarationError(
            f"law: {cls.__name__} cannot be stored: {why}. Put the class into a file of its own and give "
            f"law='FILE.py:{cls.__name__}'."
        )
    return f"{cls.__module__}:{cls.__qualname__}"


def _why_not_found(cls: type) -> str:
    module, name = cls.__module__, cls.__qualname__
    if module == "__main__":
        return "it is defined in a notebook or in the script that runs"
    if "<locals>" in name:
        return "it is defined inside a function"
    if _member(sys.modules.get(module), name) is not cls:
        return f"{module} holds no such class, or another one by now"
    return ""


def _member(scope: Any, name: str) -> Any:
    return functools.reduce(lambda scope, part: getattr(scope, part, None), name.split("."), scope)


def _user_module(place: str) -> Any:
    try:
        if not place.endswith(".py"):
            if not all(part.isidentifier() for part in place.split(".")):
                raise DeclarationError(f"law: expected a file or an importable module before the colon, got {place!r}.")
            return importlib.import_module(place)
        if not Path(place).is_file():
            raise DeclarationError(f"law: {place}: expected a Python file that defines it, got no such file.")
        module = _run_file(place, Path(place).read_bytes())
    except (ImportError, OSError) as error:
        raise DeclarationError(f"law: {place!r} cannot be imported ({error}).") from None
    sys.modules[place] = module
    return module


@functools.cache
def _run_file(path: str, text: bytes) -> Any:
    """The module of a file, run once for each content. Its name is the path, so that its classes say where they are
    from."""
    with in_file_of_user(path):
        return trust.run_file(Path(path), path, text)
