"""The value of a tree on many rows, with its exact first and second derivatives by the parameters: forward mode.

What is multiplied is carried as a sign and a logarithm, so that no power overflows and terms that differ by hundreds of
decades add up. What stands in an exponent, or in a function, is carried as it is. A derivative that is absent is 0; one
that does not depend on the parameters has the shape of the rows alone, which saves the solver most of its work.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lawful.formula.parse import Fn, In, Node, Num, Par, Pivot, Pow, Prod, Sum

CANCELLED = 1e-13  # a sum is at least this share of its largest part: below it there is only rounding
NOTHING = 1e-100  # stands for 0 where a logarithm is taken; the derivatives there are left out

Pair = tuple[str, str]


@dataclass(frozen=True)
class Dual:
    """A value with its derivatives. Keys of `second` are in the order of names."""

    value: Any
    first: Mapping[str, Any] = field(default_factory=dict)
    second: Mapping[Pair, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """Where a tree is evaluated.

    logs      axis -> log of the input over its pivot, shape (rows,)
    pivot     axis -> log of the pivot
    values    parameter -> value, or the logarithm of it where it is in `as_log`; shape (problems, 1)
    """

    logs: Mapping[str, Any]
    pivot: Mapping[str, float]
    values: Mapping[str, Any]
    as_log: Mapping[str, str]  # parameter -> the name of its logarithm


def plain(node: Node, at: Point) -> Dual:
    """The value itself."""
    match node:
        case Num(value):
            return Dual(value)
        case Par(name) if name not in at.as_log:
            return Dual(at.values[name], {name: 1.0})
        case Sum(parts):
            return _total(plain(part, at) for part in parts)
        case Prod(parts):
            return _product(plain(part, at) for part in parts)
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
    value = np.exp(log.value)
    return _chain(log, sign * value, sign * value, sign * value)


def logarithm(node: Node, at: Point) -> tuple[Any, Dual]:
    """Sign, and the logarithm of the size."""
    match node:
        case Num(value) if value:
            return np.sign(value), Dual(np.log(abs(value)))
        case In(axis):
            return 1.0, Dual(at.logs[axis])
        case Pivot(axis):
            return 1.0, Dual(at.pivot[axis])
        case Par(name) if name in at.as_log:
            key = at.as_log[name]
            return 1.0, Dual(at.values[key], {key: 1.0})
        case Prod(parts):
            signs, logs = zip(*(logarithm(part, at) for part in parts), strict=True)
            sign = signs[0]
            for other in signs[1:]:
                sign = sign * other
            return sign, _total(logs)
        case Pow(base, exponent):
            sign, log = logarithm(base, at)
            if isinstance(exponent, Num):
                is_even, is_whole = exponent.value % 2 == 0, exponent.value % 1 == 0
                sign = np.ones_like(sign) if is_even else sign if is_whole else np.where(sign > 0, 1.0, np.nan)
                return sign, _scaled(log, exponent.value)
            return np.where(sign > 0, 1.0, np.nan), _product((plain(exponent, at), log))
        case Fn("exp", (inside,)):
            return 1.0, plain(inside, at)
        case Sum(parts):
            return _log_of_sum([logarithm(part, at) for part in parts])
    inner = plain(node, at)
    is_nothing = inner.value == 0
    v = np.where(is_nothing, NOTHING, inner.value)
    inverse = np.where(is_nothing, 0.0, 1 / v)
    return np.sign(v), _chain(inner, np.log(np.abs(v)), inverse, -inverse * inverse)


def _log_of_sum(parts: list[tuple[Any, Dual]]) -> tuple[Any, Dual]:
    largest: Any = parts[0][1].value
    for _, log in parts[1:]:
        largest = np.maximum(largest, log.value)
    sizes = [sign * np.exp(log.value - largest) for sign, log in parts]
    total: Any = sum(sizes)
    total = np.where(np.abs(total) < CANCELLED, np.where(total < 0, -CANCELLED, CANCELLED), total)
    first: dict[str, Any] = {}
    second: dict[Pair, Any] = {}
    for size, (_, log) in zip(sizes, parts, strict=True):
        share = size / total
        for name, slope in log.first.items():
            _gather(first, name, share * slope)
        for pair in _pairs(log):
            bend = log.first[pair[0]] * log.first[pair[1]] if {*pair} <= log.first.keys() else 0.0
            _gather(second, pair, share * (bend + log.second.get(pair, 0.0)))
    for i, j in itertools.combinations_with_replacement(sorted(first), 2):
        second[i, j] = second.get((i, j), 0.0) - first[i] * first[j]
    return np.sign(total), Dual(largest + np.log(np.abs(total)), first, second)


def _pairs(dual: Dual) -> Iterable[Pair]:
    return {*itertools.combinations_with_replacement(sorted(dual.first), 2), *dual.second}


def _gather(sums: dict[Any, Any], key: Any, value: Any) -> None:
    sums[key] = sums[key] + value if key in sums else value


def _total(parts: Iterable[Dual]) -> Dual:
    value: Any = 0.0
    first: dict[str, Any] = {}
    second: dict[Pair, Any] = {}
    for part in parts:
        value = value + part.value
        for name, slope in part.first.items():
            _gather(first, name, slope)
        for pair, bend in part.second.items():
            _gather(second, pair, bend)
    return Dual(value, first, second)


def _scaled(dual: Dual, by: Any) -> Dual:
    return Dual(
        dual.value * by,
        {name: slope * by for name, slope in dual.first.items()},
        {pair: bend * by for pair, bend in dual.second.items()},
    )


def _product(parts: Iterable[Dual]) -> Dual:
    total: Dual | None = None
    for part in parts:
        total = part if total is None else _times(total, part)
    return total or Dual(1.0)


def _times(a: Dual, b: Dual) -> Dual:
    if not a.first or not b.first:
        return _scaled(a, b.value) if not b.first else _scaled(b, a.value)
    sum_of = _total((_scaled(Dual(0.0, a.first, a.second), b.value), _scaled(Dual(0.0, b.first, b.second), a.value)))
    second = dict(sum_of.second)
    for (i, slope), (j, other) in itertools.product(a.first.items(), b.first.items()):
        _gather(second, (min(i, j), max(i, j)), slope * other * (2 if i == j else 1))
    return Dual(a.value * b.value, sum_of.first, second)


def _chain(inner: Dual, value: Any, slope: Any, bend: Any) -> Dual:
    """Of a function of one dual, from the function's value and derivatives there."""
    second = {pair: slope * own for pair, own in inner.second.items()}
    for i, j in itertools.combinations_with_replacement(sorted(inner.first), 2):
        _gather(second, (i, j), bend * (inner.first[i] * inner.first[j]))
    return Dual(value, {name: slope * own for name, own in inner.first.items()}, second)


def _chosen(parts: list[Dual], which: Callable[..., Any]) -> Dual:
    """The least or the largest of several, with its own derivatives."""
    stacked = np.stack(np.broadcast_arrays(*(part.value for part in parts)))
    chosen = which(stacked, axis=0)
    first: dict[str, Any] = {}
    second: dict[Pair, Any] = {}
    for k, part in enumerate(parts):
        is_it = chosen == k
        for name, slope in part.first.items():
            _gather(first, name, np.where(is_it, slope, 0.0))
        for pair, bend in part.second.items():
            _gather(second, pair, np.where(is_it, bend, 0.0))
    return Dual(np.take_along_axis(stacked, chosen[None], axis=0)[0], first, second)
