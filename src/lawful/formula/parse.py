"""From the text of a formula to its tree. Nothing is evaluated, and a wrong text is an error with a caret under it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from lawful.errors import DeclarationError

LONGEST = 1000  # characters: the longest law of a paper has about 150
DEEPEST = 40  # parentheses, powers and signs inside each other
MOST_NODES = 400  # numbers, names and operations: time and memory grow with them
FUNCTIONS = {"exp": 1, "log": 1, "sqrt": 1, "tanh": 1, "logistic": 1, "min": 2, "max": 2, "bend": 3}
READINGS = ("input", "param")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d]\w*)|`(?P<column>[^`]*)`"
    r"|(?P<sign>\*\*|[-+*/^(),\[\]]))"
)


@dataclass(frozen=True)
class Num:
    value: float


@dataclass(frozen=True)
class Name:
    """As it stands in the text, from `at` to `end`; reading: input, param, or "" where the text leaves it open; column:
    that with one value of the parameter for each of its levels, or ""."""

    name: str
    reading: str
    at: int
    end: int
    column: str = ""


@dataclass(frozen=True)
class In:
    """An input, in units of its pivot once the formula is normal."""

    axis: str


@dataclass(frozen=True)
class Pivot:
    """The value of an input at the pivot of the data: a constant."""

    axis: str


@dataclass(frozen=True)
class Par:
    name: str


@dataclass(frozen=True)
class Is:
    """1 on the rows of one level of a column, which are numbered from 1 on; 0 on the others."""

    column: str
    level: int


@dataclass(frozen=True)
class Switch:
    """A parameter with one value for each level of a column."""

    column: str
    parts: tuple[Par, ...]


@dataclass(frozen=True)
class Sum:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Prod:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Pow:
    base: Node
    exponent: Node


@dataclass(frozen=True)
class Fn:
    """exp, log, tanh, min or max; the other functions are written with these."""

    name: str
    arguments: tuple[Node, ...]


Node = Num | Name | In | Pivot | Par | Is | Switch | Sum | Prod | Pow | Fn


def add(*parts: Node) -> Node:
    flat = [one for part in parts for one in (part.parts if isinstance(part, Sum) else (part,))]
    number = math.fsum(part.value for part in flat if isinstance(part, Num))
    rest = [part for part in flat if not isinstance(part, Num)]
    kept = (*rest, Num(number)) if number or not rest else tuple(rest)
    return kept[0] if len(kept) == 1 else Sum(kept)


def mul(*parts: Node) -> Node:
    flat = [one for part in parts for one in (part.parts if isinstance(part, Prod) else (part,))]
    number = math.prod(part.value for part in flat if isinstance(part, Num))
    rest = [part for part in flat if not isinstance(part, Num)]
    if number == 0:
        return Num(0.0)
    kept = (Num(number), *rest) if number != 1 or not rest else tuple(rest)
    return kept[0] if len(kept) == 1 else Prod(kept)


def power(base: Node, exponent: Node) -> Node:
    """Numbers are worked out; 1/(a b) is a^-1 b^-1, and (N^a)^b is N^(a b)."""
    if exponent == Num(1.0):
        return base
    if isinstance(base, Num) and isinstance(exponent, Num):
        try:
            return Num(float(base.value**exponent.value))
        except (OverflowError, ZeroDivisionError, TypeError):  # TypeError: a root of a negative number
            return Num(math.nan)
    is_inverse = exponent == Num(-1.0)
    if is_inverse and isinstance(base, Prod):
        return mul(*(power(part, exponent) for part in base.parts))
    if isinstance(base, Pow) and (is_inverse or isinstance(base.base, In)):
        return power(base.base, mul(base.exponent, exponent))
    if is_inverse and isinstance(base, Fn) and base.name == "exp":
        return Fn("exp", (mul(Num(-1.0), base.arguments[0]),))
    return Pow(base, exponent)


def parse(text: str) -> Node:
    """The tree of a formula; its names are `Name`s. Raises DeclarationError with a caret under what is wrong."""
    return _Parser(text).whole()


def wrong(text: str, at: int, says: str) -> NoReturn:
    """Raise the error for a place of a text, with at most a screen's width of the text around it."""
    first = max(0, at - 60)
    shown = "".join(one if one.isprintable() else " " for one in text[first : first + 100])
    raise DeclarationError(f"law: {says}\n  {shown}\n  {' ' * (at - first)}^")


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.position, self.nodes = text, 0, 0
        if len(text) > LONGEST:
            raise DeclarationError(f"law: expected a formula of at most {LONGEST} characters, got {len(text)}.")
        self.kind, self.token, self.at = "", "", 0
        self.next()

    def whole(self) -> Node:
        tree = self.sum(0)
        if self.kind != "end":
            wrong(self.text, self.at, f"expected an operator (+ - * / ^) or the end, got {self.shown()}.")
        return tree

    def next(self) -> None:
        found = _TOKEN.match(self.text, self.position)
        if found and found.lastgroup:
            self.kind, self.token = found.lastgroup, found.group(found.lastgroup)
            self.at, self.position = found.start(found.lastgroup) - (self.kind == "column"), found.end()
            odd = [k for k, sign in enumerate(self.token) if not f"a{sign}".isidentifier()]
            if self.kind == "name" and odd:  # N² would be a parameter of that name
                says = f"no name holds {self.token[odd[0]]!r}: a power is written N^2, an odd column between backticks."
                wrong(self.text, self.at + odd[0], says)
            return
        rest = self.text[self.position :]
        self.at = self.position + len(rest) - len(rest.lstrip())
        if rest.strip() == "":
            self.kind, self.token, self.at = "end", "", len(self.text.rstrip())
        else:
            ends = " (a column's name ends with another `)" if rest.lstrip()[0] == "`" else ""
            wrong(self.text, self.at, f"no formula holds {rest.lstrip()[0]!r}{ends}.")

    def shown(self) -> str:
        return repr(self.token) if self.token else "the end"

    def take(self, *signs: str) -> str:
        """The sign that stands here, if it is one of these; "" otherwise."""
        if self.kind != "sign" or self.token not in signs:
            return ""
        token = self.token
        self.count()
        self.next()
        return token

    def expect(self, sign: str, after: str) -> None:
        if not self.take(sign):
            wrong(self.text, self.at, f"expected {sign!r} {after}, got {self.shown()}.")

    def count(self) -> None:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            wrong(self.text, self.at, f"expected at most {MOST_NODES} numbers, names and operations.")

    def sum(self, depth: int) -> Node:
        total = self.product(depth)
        while sign := self.take("+", "-"):
            part = self.product(depth)
            total = add(total, part if sign == "+" else mul(Num(-1.0), part))
        return total

    def product(self, depth: int) -> Node:
        total = self.signed(depth)
        while sign := self.take("*", "/"):
            at, part = self.at, self.signed(depth)
            if sign == "/" and part == Num(0.0):
                wrong(self.text, at, "this divides by 0.")
            total = self.finite(mul(total, part if sign == "*" else power(part, Num(-1.0))), at)
        return total

    def signed(self, depth: int) -> Node:
        if depth > DEEPEST:
            wrong(self.text, self.at, f"expected at most {DEEPEST} parentheses, powers and signs inside each other.")
        if sign := self.take("+", "-"):
            part = self.signed(depth + 1)
            return part if sign == "+" else mul(Num(-1.0), part)
        base = self.atom(depth + 1)
        if not self.take("^", "**"):
            return base
        at = self.at
        return self.finite(power(base, self.signed(depth + 1)), at)

    def finite(self, node: Node, at: int) -> Node:
        if isinstance(node, Num) and not math.isfinite(node.value):
            wrong(self.text, at, "this is no finite number.")
        return node

    def atom(self, depth: int) -> Node:
        self.count()
        kind, token, at = self.kind, self.token, self.at
        if kind == "number":
            self.next()
            return self.finite(Num(float(token)), at)
        if kind == "column":
            if not token.strip():
                wrong(self.text, at, "expected the name of a column between the two `.")
            self.next()
            return Name(token, "input", at, at + len(token) + 2)
        if kind == "name":
            self.next()
            return self.called(token, at, depth) if self.take("(") else self.name(token, at)
        if self.take("("):
            inside = self.sum(depth)
            self.expect(")", "to close the parenthesis")
            return inside
        wrong(self.text, at, f"expected a number, a name or a parenthesis, got {self.shown()}.")

    def name(self, token: str, at: int) -> Node:
        if token in FUNCTIONS or token in READINGS:
            wrong(self.text, at, f"{token} is a function: expected {token}(...).")
        if not self.take("["):
            return Name(token, "", at, at + len(token))
        column, kind, end = self.token, self.kind, self.at + len(self.token)
        if kind not in ("name", "column") or not column.strip():
            wrong(self.text, self.at, f"expected {token}[COLUMN], got {self.shown()}.")
        self.next()
        self.expect("]", f"after {token}[{column}")
        return Name(token, "param", at, end, column)

    def called(self, name: str, at: int, depth: int) -> Node:
        if name in READINGS:
            inside = self.atom(depth)
            if not isinstance(inside, Name) or inside.reading not in ("", name):
                wrong(self.text, at, f"expected {name}(NAME).")
            end = self.at + 1
            self.expect(")", f"after {name}({inside.name}")
            return Name(inside.name, name, at, end)
        if name not in FUNCTIONS:
            known = ", ".join((*FUNCTIONS, *READINGS))
            wrong(self.text, at, f"no function is called {name!r}; there are {known}. A product is written with *.")
        arguments = [self.sum(depth)]
        while self.take(","):
            arguments.append(self.sum(depth))
        self.expect(")", f"to close {name}(")
        needed = FUNCTIONS[name]
        if len(arguments) < needed or (len(arguments) > needed and name not in ("min", "max")):
            wrong(self.text, at, f"{name} takes {needed} argument{'s' * (needed > 1)}, got {len(arguments)}.")
        if name == "bend" and not isinstance(arguments[2], Num | Name):
            wrong(self.text, at, "the width of bend(x, at, width) is one parameter or number.")
        return _function(name, arguments)


def _function(name: str, arguments: list[Node]) -> Node:
    """logistic(x) = 1/(1 + exp(-x)); bend(x, at, width) = (1 + (x/at)^(1/width))^width: 1 below `at`, x/at above it."""
    first = arguments[0]
    if name == "exp":
        return _exp(first)
    if name == "sqrt":
        return power(first, Num(0.5))
    if name == "logistic":
        return power(add(Num(1.0), _exp(mul(Num(-1.0), first))), Num(-1.0))
    if name == "bend":
        at, width = arguments[1:]
        share = power(mul(first, power(at, Num(-1.0))), power(width, Num(-1.0)))
        return power(add(Num(1.0), share), width)
    return Fn(name, tuple(arguments))


def _exp(node: Node) -> Node:
    """exp(a log(x) + b) is x^a exp(b): a is an exponent then, and fitted as one."""
    if isinstance(node, Sum):
        return mul(*map(_exp, node.parts))
    parts = node.parts if isinstance(node, Prod) else (node,)
    for k, part in enumerate(parts):
        if isinstance(part, Fn) and part.name == "log":
            return power(part.arguments[0], mul(*parts[:k], *parts[k + 1 :]))
    return Fn("exp", (node,))


def children(node: Node) -> tuple[Node, ...]:
    match node:
        case Sum(parts) | Prod(parts) | Switch(_, parts):
            return parts
        case Pow(base, exponent):
            return (base, exponent)
        case Fn(_, arguments):
            return arguments
    return ()


def leaves(node: Node) -> list[Node]:
    """Names, numbers and inputs, from left to right, as often as they occur."""
    below = children(node)
    return [leaf for child in below for leaf in leaves(child)] if below else [node]


def walk(node: Node) -> list[Node]:
    """The node and everything below it."""
    return [node, *(one for child in children(node) for one in walk(child))]


def replaced(node: Node, leaf: Callable[[Node], Node]) -> Node:
    """The same tree with other leaves: names read as inputs or parameters, parameters read at one level."""
    match node:
        case Sum(parts):
            return add(*(replaced(part, leaf) for part in parts))
        case Prod(parts):
            return mul(*(replaced(part, leaf) for part in parts))
        case Pow(base, exponent):
            return power(replaced(base, leaf), replaced(exponent, leaf))
        case Fn(name, arguments):
            return Fn(name, tuple(replaced(argument, leaf) for argument in arguments))
    return leaf(node)
