"""The value of a tree on many rows, with its exact first and second derivatives by the parameters: forward mode.

What is multiplied is carried as a sign and a logarithm, so that no power overflows and terms that differ by hundreds of
decades add up. What stands in an exponent, or in a function, is carried as it is. A derivative that is absent is 0; one
that does not depend on the parameters has the shape of the rows alone, which saves the solver most of its work.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from lawful.formula.parse import Fn, In, Is, Node, Num, Par, Pivot, Pow, Prod, Sum, Switch, children, leaves

CANCELLED = 1e-13  # a sum is at least this share of its largest part: below it there is only rounding
NOTHING = 1e-100  # stands for 0 where a logarithm is taken; the derivatives there are left out

Number = float | np.ndarray
Pair = tuple[str, str]
Key = TypeVar("Key", str, Pair)


@dataclass(frozen=True)
class Dual:
    """A value with its derivatives. Keys of `second` are in the order of names."""

    value: Number
    first: Mapping[str, Number] = field(default_factory=dict)
    second: Mapping[Pair, Number] = field(default_factory=dict)


Signed = tuple[Number, Dual]  # a sign, 1.0 or -1.0 or an array of these, and the logarithm of the size


@dataclass(frozen=True)
class Point:
    """Where a tree is evaluated.

    logs      axis -> log of the input over its pivot, shape (rows,)
    pivot     axis -> log of the pivot
    values    parameter -> value, or the logarithm of it where it is in `as_log`; shape (problems, 1)
    """

    logs: Mapping[str, np.ndarray]
    pivot: Mapping[str, float]
    values: Mapping[str, Number]
    as_log: Mapping[str, str]  # parameter -> the name of its logarithm
    has_slopes: bool = True  # whether derivatives are wanted
    constants: Mapping[int, tuple[Dual, Signed]] = field(default_factory=dict)  # by the node's id


def plain(node: Node, at: Point) -> Dual:
    """The value itself."""
    if id(node) in at.constants:
        return at.constants[id(node)][0]
    match node:
        case Num(value):
            return Dual(value)
        case Par(name) if name not in at.as_log:
            return Dual(at.values[name], {name: 1.0} if at.has_slopes else {})
        case Is():
            return Dual(_is_level(node, at).astype(float))
        case Switch(column, levels):
            return _of_levels(column, [plain(level, at) for level in levels], at)
        case Sum(parts):
            return functools.reduce(_plus, (plain(part, at) for part in parts))
        case Prod(parts):
            return functools.reduce(_times, (plain(part, at) for part in parts))
        case Pow(base, Num(number)) if number in (-1.0, 2.0):
            inner = plain(base, at)
            v = inner.value
            return _chain(inner, v**number, number * v ** (number - 1), number * (number - 1) * v ** (number - 2))
        case Fn("log", (inside,)):
            sign, log = logarithm(inside, at)
            return log if np.all(sign > 0) else Dual(np.where(sign > 0, log.value, np.nan), log.first, log.second)
        case Fn("tanh", (inside,)):
            inner = plain(inside, at)
            t = np.tanh(inner.value)
            return _chain(inner, t, 1 - t * t, -2 * t * (1 - t * t))
        case Fn("min" | "max" as name, arguments):
            return _chosen([plain(argument, at) for argument in arguments], np.argmin if name == "min" else np.argmax)
    sign, log = logarithm(node, at)
    signed = sign * np.exp(log.value)
    return _chain(log, signed, signed, signed)


def logarithm(node: Node, at: Point) -> Signed:
    """Sign, and the logarithm of the size."""
    if id(node) in at.constants:
        return at.constants[id(node)][1]
    match node:
        case Num(value) if value:
            return math.copysign(1.0, value), Dual(math.log(abs(value)))
        case In(axis):
            return 1.0, Dual(at.logs[axis])
        case Pivot(axis):
            return 1.0, Dual(at.pivot[axis])
        case Is():
            return 1.0, Dual(np.where(_is_level(node, at), 0.0, -np.inf))
        case Switch(column, levels) if all(level.name in at.as_log for level in levels):
            return 1.0, _of_levels(column, [logarithm(level, at)[1] for level in levels], at)
        case Par(name) if name in at.as_log:
            key = at.as_log[name]
            return 1.0, Dual(at.values[key], {key: 1.0} if at.has_slopes else {})
        case Prod(parts):
            signs, logs = zip(*(logarithm(part, at) for part in parts), strict=True)
            return functools.reduce(operator.mul, signs), functools.reduce(_plus, logs)
        case Pow(base, exponent):
            sign, log = logarithm(base, at)
            number = exponent.value if isinstance(exponent, Num) else 0.5
            if number % 2 == 0:
                sign = 1.0
            elif number % 1 != 0:
                sign = 1.0 if isinstance(sign, float) and sign > 0 else np.where(sign > 0, 1.0, np.nan)
            return sign, _scaled(log, number) if isinstance(exponent, Num) else _times(plain(exponent, at), log)
        case Fn("exp", (inside,)):
            return 1.0, plain(inside, at)
        case Sum(parts):
            return functools.reduce(_log_of_sum, (logarithm(part, at) for part in parts))
    inner = plain(node, at)
    is_nothing = inner.value == 0
    v = np.where(is_nothing, NOTHING, inner.value)
    inverse = np.where(is_nothing, 0.0, 1 / v)
    return np.sign(v), _chain(inner, np.log(np.abs(v)), inverse, -inverse * inverse)


def _is_level(node: Is, at: Point) -> np.ndarray:
    is_level: np.ndarray = np.rint(np.exp(at.logs[node.column] + at.pivot[node.column])) == node.level
    return is_level


def _of_levels(column: str, levels: list[Dual], at: Point) -> Dual:
    """On each row that of its level."""
    found = Dual(0.0)
    for number, level in enumerate(levels, start=1):
        found = _plus(found, _scaled(level, _is_level(Is(column, number), at).astype(float)))
    return found


def constants(node: Node, at: Point) -> dict[int, tuple[Dual, Signed]]:
    """The parts of a tree that no parameter changes, which need to be worked out once for all the rows."""
    below = children(node)
    if below and not any(isinstance(leaf, Par) for leaf in leaves(node)):
        return {id(node): (plain(node, at), logarithm(node, at))}
    return {key: found for child in below for key, found in constants(child, at).items()}


def _log_of_sum(first: Signed, second: Signed) -> Signed:
    """The logarithm of the sum of two parts. With shares w and 1 - w the second derivatives are
    w a'' + (1 - w) b'' + w (1 - w) (a' - b')^2, where the difference is often of the rows or of the problems alone."""
    (sign, a), (other, b) = first, second
    apart = a.value - b.value
    least = np.exp(-np.abs(apart))  # the smaller over the larger
    is_first = apart >= 0
    if isinstance(sign, float) and isinstance(other, float) and sign == other:
        total = 1 + least
        w = np.where(is_first, 1.0, least) / total
        log = np.maximum(a.value, b.value) + np.log(total)
        signs: Number = sign
    else:
        size = sign * np.where(is_first, 1.0, least)
        total = size + other * np.where(is_first, least, 1.0)
        total = np.where(np.abs(total) < CANCELLED, np.where(total < 0, -CANCELLED, CANCELLED), total)
        w = size / total
        log = np.maximum(a.value, b.value) + np.log(np.abs(total))
        signs = np.sign(total)
    difference = dict(a.first)
    for name, slope in b.first.items():
        difference[name] = difference[name] - slope if name in difference else -slope
    rest = 1 - w
    slopes = dict(b.first)
    for name, slope in difference.items():
        _gather(slopes, name, w * slope)
    bends = {pair: rest * bend for pair, bend in b.second.items()}
    for pair, bend in a.second.items():
        _gather(bends, pair, w * bend)
    q = w * rest
    for i, j in itertools.combinations_with_replacement(sorted(difference), 2):
        _gather(bends, (i, j), q * (difference[i] * difference[j]))
    return signs, Dual(log, slopes, bends)


def _gather(sums: dict[Key, Number], key: Key, value: Number) -> None:
    sums[key] = sums[key] + value if key in sums else value


def _plus(a: Dual, b: Dual) -> Dual:
    first, second = dict(a.first), dict(a.second)
    for name, slope in b.first.items():
        _gather(first, name, slope)
    for pair, bend in b.second.items():
        _gather(second, pair, bend)
    return Dual(a.value + b.value, first, second)


def _scaled(dual: Dual, by: Number) -> Dual:
    return Dual(
        dual.value * by,
        {name: slope * by for name, slope in dual.first.items()},
        {pair: bend * by for pair, bend in dual.second.items()},
    )


def _times(a: Dual, b: Dual) -> Dual:
    if not a.first or not b.first:
        return _scaled(a, b.value) if not b.first else _scaled(b, a.value)
    first = {name: slope * b.value for name, slope in a.first.items()}
    for name, slope in b.first.items():
        _gather(first, name, slope * a.value)
    second = {pair: bend * b.value for pair, bend in a.second.items()}
    for pair, bend in b.second.items():
        _gather(second, pair, bend * a.value)
    for (i, slope), (j, other) in itertools.product(a.first.items(), b.first.items()):
        both = slope * other
        _gather(second, (min(i, j), max(i, j)), both + both if i == j else both)
    return Dual(a.value * b.value, first, second)


def _chain(inner: Dual, value: Number, slope: Number, bend: Number) -> Dual:
    """The dual of a function of one dual (the chain rule), from the function's value and derivatives there."""
    second = {pair: slope * own for pair, own in inner.second.items()}
    for i, j in itertools.combinations_with_replacement(sorted(inner.first), 2):
        _gather(second, (i, j), bend * (inner.first[i] * inner.first[j]))
    return Dual(value, {name: slope * own for name, own in inner.first.items()}, second)


def _chosen(parts: list[Dual], which: Callable[..., np.ndarray]) -> Dual:
    """The least or the largest of several, with its own derivatives."""
    stacked = np.stack(np.broadcast_arrays(*(part.value for part in parts)))
    chosen = which(stacked, axis=0)
    first: dict[str, Number] = {}
    second: dict[Pair, Number] = {}
    for k, part in enumerate(parts):
        is_it = chosen == k
        for name, slope in part.first.items():
            _gather(first, name, np.where(is_it, slope, 0.0))
        for pair, bend in part.second.items():
            _gather(second, pair, np.where(is_it, bend, 0.0))
    return Dual(np.take_along_axis(stacked, chosen[None], axis=0)[0], first, second)
