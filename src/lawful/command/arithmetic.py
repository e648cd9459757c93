"""Counts as formulas of a rung's coordinates: 12*4*{width}^2. The parser of laws reads them; no code is evaluated."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from lawful.checks import nearest, shown
from lawful.errors import DeclarationError
from lawful.formula.parse import Fn, Name, Node, Num, Pow, Prod, Sum, leaves, parse
from lawful.schema import Coordinate

_BRACED = re.compile(r"\{(\w+)\}")


def names_of(what: str, formula: str) -> set[str]:
    """The names that a formula reads."""
    return {leaf.name for leaf in leaves(_tree(what, formula)) if isinstance(leaf, Name)}


def count_of(what: str, formula: str, values: Mapping[str, Coordinate]) -> int:
    """The whole number nearest to the formula's value, of at least 1.

    what    the argument that the formula is of, for messages
    """
    number = _value(what, _tree(what, formula), values)
    if not (math.isfinite(number) and 0.5 <= number < 1e30):
        raise DeclarationError(f"{what}: expected a count of at least 1, got {number:g} from {shown(formula)}")
    return round(number)


def _tree(what: str, formula: str) -> Node:
    try:
        return parse(_BRACED.sub(r"`\1`", formula))
    except DeclarationError as error:
        raise DeclarationError(f"{what}: {str(error).removeprefix('law: ')}") from None


def _value(what: str, node: Node, values: Mapping[str, Coordinate]) -> float:
    match node:
        case Num(value):
            return value
        case Name(name):
            return _number(what, name, values)
        case Sum(parts):
            return math.fsum(_value(what, part, values) for part in parts)
        case Prod(parts):
            return math.prod(_value(what, part, values) for part in parts)
        case Pow(base, exponent):
            return _power(what, _value(what, base, values), _value(what, exponent, values))
        case Fn(name, arguments):
            return _function(what, name, [_value(what, one, values) for one in arguments])
    raise AssertionError(node)


def _number(what: str, name: str, values: Mapping[str, Coordinate]) -> float:
    value = values.get(name)
    if name not in values:
        raise DeclarationError(f"{what}: no value is called {name!r}; there are {nearest(name, list(values))}")
    if isinstance(value, (str, bool)) or value is None:
        raise DeclarationError(f"{what}: {name}: expected a number, got {shown(value)}")
    return float(value)


def _power(what: str, base: float, exponent: float) -> float:
    try:
        found = base**exponent
    except (OverflowError, ZeroDivisionError):
        found = math.inf
    if isinstance(found, complex):
        raise DeclarationError(f"{what}: {base:g} has no power {exponent:g}")
    return float(found)


def _function(what: str, name: str, given: list[float]) -> float:
    try:
        match name:
            case "exp":
                return math.exp(given[0])
            case "log":
                return math.log(given[0])
            case "tanh":
                return math.tanh(given[0])
            case "min":
                return min(given)
            case "max":
                return max(given)
    except (OverflowError, ValueError):
        raise DeclarationError(f"{what}: {name}({given[0]:g}) is no number") from None
    raise AssertionError(name)
