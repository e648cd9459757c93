"""Laws: formulas with named parameters, each a sum of positive terms. One file each; a user adds one by writing one.

Every law here is  L(x) = sum_k c_k phi_k(x; shapes)  with coefficients c_k >= 0 and a few shape parameters (exponents
and the like). That form is what makes a fit fast and certain: given the shapes the coefficients are linear, and with
the logarithm of each phi and its derivatives the gradient and Hessian are exact.

Axes enter as centred logarithms, u = log(N / pivot) with the pivot at the geometric mean of the data, so that a
coefficient is the loss its term contributes at the pivot. Coefficients at N = 1 (the papers' A and B) correlate with
their exponents above .999 and are reported as derived.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lawful import trust
from lawful.errors import DeclarationError, StoreError

Array = np.ndarray
Values = Mapping[str, Any]  # parameter name -> number, or array that broadcasts against the rows

BUILT_IN = {
    "power": "lawful.laws.power:Power",
    "power_floor": "lawful.laws.power_floor:PowerFloor",
    "chinchilla": "lawful.laws.chinchilla:Chinchilla",
    "kaplan": "lawful.laws.kaplan:Kaplan",
    "broken_power": "lawful.laws.broken_power:BrokenPower",
    "data_constrained": "lawful.laws.data_constrained:DataConstrained",
    "overtrained": "lawful.laws.overtrained:Overtrained",
    "saturating": "lawful.laws.saturating:Saturating",
}


ONE_AXIS = ("params", "tokens", "flops")  # what a law of one axis may read


@dataclass(frozen=True)
class Axes:
    """The rows a law is evaluated on: centred natural logarithms by axis name, and where each is centred.

    logs    axis -> log(value / pivot), shape (rows,)
    pivot   axis -> the value at which the logarithm is 0
    """

    logs: Mapping[str, Array]
    pivot: Mapping[str, float]

    @classmethod
    def of(cls, values: Mapping[str, Any], pivot: Mapping[str, float] | None = None) -> Axes:
        """Centre positive values; by default at their geometric means."""
        logs = {name: np.log(np.atleast_1d(np.asarray(value, dtype=float))) for name, value in values.items()}
        centre = {name: float(np.exp(log.mean())) for name, log in logs.items()} if pivot is None else pivot
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
    """

    log: Any = 0.0
    first: Mapping[str, Any] = field(default_factory=dict)
    second: Mapping[tuple[str, str], Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Shape:
    """A parameter inside the terms: hard bounds, and the part of them where starts are laid (None: the bounds)."""

    name: str
    low: float
    high: float
    starts: tuple[float, float] | None = None


class Law(ABC):
    """A formula. Leaves are frozen dataclasses; what they must say is below.

    name            as in `lawful fit --law NAME`
    formula         as in its source, with the coefficients at N = 1 unless it says otherwise
    source          paper
    inputs          axes it reads: params (N), tokens (D), flops (C), unique_tokens (U)
    coefficients    names of c_k, one per term, in the order of `terms`
    shapes          the parameters inside the terms
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]

    @property
    @abstractmethod
    def inputs(self) -> tuple[str, ...]: ...

    @property
    @abstractmethod
    def coefficients(self) -> tuple[str, ...]: ...

    @property
    @abstractmethod
    def shapes(self) -> tuple[Shape, ...]: ...

    @abstractmethod
    def terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        """One Term per coefficient; `shape` values come as arrays of shape (problems, 1)."""

    def derived(self, values: Values, pivot: Mapping[str, float]) -> dict[str, Any]:
        """What readers know by other names, from parameter values (numbers or arrays of draws)."""
        return {}

    @property
    def fitted_axes(self) -> tuple[str, ...]:
        """The inputs of which several levels are needed."""
        return self.inputs

    @property
    def spec(self) -> str:
        """The text from which `named` builds this law again: for a user's own, the file and class that define it."""
        if self.name in BUILT_IN:
            return self.name
        return f"{type(self).terms.__code__.co_filename}:{type(self).__name__}"

    @property
    def parameters(self) -> tuple[str, ...]:
        return (*self.coefficients, *(shape.name for shape in self.shapes))

    def predict(self, values: Values, x: Axes) -> Array:
        """L on every row, shape (rows,); with values of shape (draws,) each, shape (draws, rows).

        An axis may itself have shape (draws, rows), where each draw is asked at points of its own.
        """
        columns = {name: np.asarray(value, dtype=float)[..., None] for name, value in values.items()}
        terms = self.terms({shape.name: columns[shape.name] for shape in self.shapes}, x)
        parts = [
            columns[name] * np.exp(np.minimum(term.log, 700.0))
            for name, term in zip(self.coefficients, terms, strict=True)
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

    @property
    def spec(self) -> str:
        return f"{super().spec}:{self.axis}" if self.name in BUILT_IN else super().spec


def named(spec: str | Law) -> Law:
    """A law from its text: `chinchilla`, `power_floor:tokens` (its axis after the colon), `my_package.my_law:MyLaw`,
    or `path/to/my_law.py:MyLaw`. Raises LawfulError with the known names."""
    if isinstance(spec, Law):
        return spec
    name, _, argument = spec.partition(":")
    if name in BUILT_IN:
        module, _, cls = BUILT_IN[name].partition(":")
        leaf = getattr(importlib.import_module(module), cls)
        law: Law = leaf(argument) if argument else leaf()
        return law
    if argument:
        made = getattr(_user_module(name), argument, None)
        own = made() if isinstance(made, type) else made
        if isinstance(own, Law):
            return own
        raise DeclarationError(f"law: expected {argument} in {name} to be a Law, got {type(own).__name__}.")
    raise DeclarationError(
        f"law: no law is called {spec!r}; there are {', '.join(BUILT_IN)}, or FILE.py:CLASS for your own."
    )


def named_in(named_by: object, spec: Any) -> Law:
    """As `named`, of a text in somebody's file (named_by): code of others runs only where this user trusts it."""
    if not isinstance(spec, str):
        raise StoreError(f"{named_by}: law: expected a text, got {type(spec).__name__}.")
    code = code_of(spec)
    if code is not None and not trust.is_trusted(code):
        what = f"the law {spec}" + (f" (SHA-256 {code})" if ".py:" in spec else "")
        raise trust.refusal(named_by, what, f"`lawful fit FOLDER --law {spec}`.")
    return named(spec)


def code_of(spec: str) -> str | None:
    """What stands for the code that a law's text names, None for a law of lawful: the SHA-256 of its file; of a module
    that Python finds, of its name, since its content is this machine's own."""
    name, _, argument = spec.partition(":")
    if name in BUILT_IN or not argument:
        return None
    if not name.endswith(".py"):
        return hashlib.sha256(f"module {name}".encode()).hexdigest()
    try:
        return hashlib.sha256(Path(name).read_bytes()).hexdigest()
    except (OSError, ValueError):  # none there, or no name for a file
        raise DeclarationError(f"law: {spec!r}: expected the Python file {name[:200]!r}, got no such file.") from None


def remember(spec: str | Law) -> None:
    """Trust the code of a law that this user names."""
    if isinstance(spec, str) and (code := code_of(spec)) is not None:
        trust.remember(code, f"law {spec}")


@functools.cache
def _user_module(name: str) -> Any:
    try:
        if not name.endswith(".py"):
            return importlib.import_module(name)
        return trust.run_file(Path(name), f"law_file_{Path(name).stem}", Path(name).read_bytes())
    except (ImportError, OSError) as error:
        raise DeclarationError(f"law: {name!r} cannot be imported ({error}).") from None
