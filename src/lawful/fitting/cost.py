"""What a size with its tokens costs: 6 N D, a table's own count, or a formula; and what a FLOP costs in currency."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from lawful.checks import shown
from lawful.errors import DeclarationError, TableError
from lawful.formula import derivatives
from lawful.formula.normal import slope_and_rest
from lawful.formula.parse import In, Name, Node, Num, Par, leaves, parse, replaced, wrong
from lawful.laws import Array
from lawful.tables import read_runs

FlopsPerToken = Callable[[Array], Array]  # of an array of sizes
SERVING = 2.0  # FLOPs of inference per parameter and token: a forward pass (Kaplan et al. 2020, arXiv:2001.08361)
HALVINGS, SECANTS = 24, 3  # of a bracket of SPAN, and steps from there on: below rounding
SPAN = (-250.0, 250.0)  # logarithms of the tokens among which those that a budget buys are sought
SAME = 1e-9  # relative: a cost that differs by less is the budget
LETTERS = {"N": "params", "D": "tokens", "U": "unique_tokens", "T": "serve_tokens"}
NUMBER = r"(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)"
PER_FLOP = re.compile(rf"\s*{NUMBER} per FLOP\s*")
PER_HOUR = re.compile(rf"\s*{NUMBER} per GPU-hour at {NUMBER} FLOP/s\s*")


class Cost(Protocol):
    """How a budget buys tokens.

    text       for readers
    serving    tokens that the trained model reads and writes in its life; part of what each size costs
    """

    @property
    def text(self) -> str: ...

    @property
    def serving(self) -> float: ...

    def of(self, size: Array, tokens: Array) -> Array:
        """What a point costs, in the unit of the budget."""
        ...

    def tokens(self, size: Array, budget: Array | float) -> Array:
        """The tokens that a budget leaves at a size; nan where it does not even pay for what the size costs."""
        ...

    def of_serving(self, size: Array, tokens: Array) -> Array:
        """The part of the cost that inference takes."""
        ...


@dataclass(frozen=True)
class PerToken:
    """FLOPs for each token of training at a size, and 2 N for each token of inference."""

    price: FlopsPerToken
    text: str
    serving: float = 0.0

    def of(self, size: Array, tokens: Array) -> Array:
        return np.asarray(self.price(size) * tokens + SERVING * size * self.serving)

    def tokens(self, size: Array, budget: Array | float) -> Array:
        left = budget - SERVING * size * self.serving
        return np.asarray(np.where(left > 0, left, np.nan) / self.price(size))

    def of_serving(self, size: Array, tokens: Array) -> Array:
        return np.asarray(SERVING * size * self.serving)


@dataclass(frozen=True)
class ByFormula:
    """A formula of N, D, T and of what is held. line: what multiplies the tokens and what is left, where it is so."""

    text: str
    tree: Node
    held: Mapping[str, float]
    line: tuple[Node, Node] | None
    serving: float = 0.0

    def of(self, size: Array, tokens: Array) -> Array:
        return self._value(self.tree, {"params": size, "tokens": tokens})

    def tokens(self, size: Array, budget: Array | float) -> Array:
        if self.line is not None:
            slope, rest = (self._value(part, {"params": size}) for part in self.line)
            left = (budget - rest) / np.where(slope > 0, slope, np.nan)
            return np.where(left > 0, left, np.nan)
        low, high = (np.full(np.broadcast_shapes(np.shape(size), np.shape(budget)), end) for end in SPAN)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            is_left = self.of(size, np.exp(middle)) <= budget
            low, high = np.where(is_left, middle, low), np.where(is_left, high, middle)
        for _ in range(SECANTS):
            first, last = (self.of(size, np.exp(end)) - budget for end in (low, high))
            step = (high - low) * first / np.where(last > first, last - first, np.inf)
            middle = np.clip(low - step, low, high)
            is_left = self.of(size, np.exp(middle)) <= budget
            low, high = np.where(is_left, middle, low), np.where(is_left, high, middle)
        first, last = (np.abs(self.of(size, np.exp(end)) - budget) for end in (low, high))
        found = np.exp(np.where(first < last, low, high))
        return np.where(np.abs(self.of(size, found) / budget - 1) < SAME, found, np.nan)

    def of_serving(self, size: Array, tokens: Array) -> Array:
        without = replace(self, held={**self.held, "serve_tokens": 0.0})
        return np.asarray(self.of(size, tokens) - without.of(size, tokens))

    def _value(self, node: Node, at: Mapping[str, Array]) -> Array:
        with np.errstate(all="ignore"):
            logs = {name: np.log(np.asarray(value, dtype=float)) for name, value in {**self.held, **at}.items()}
            point = derivatives.Point(logs, {}, {}, {}, has_slopes=False)
            return np.asarray(derivatives.plain(node, point).value + 0 * sum(at.values()))


def six_n(size: Array) -> Array:
    return 6 * size


def per_token(cost: Cost) -> FlopsPerToken | None:
    """FLOPs per token as a function of the size, where the cost is that times the tokens."""
    if isinstance(cost, PerToken):
        return None if cost.serving else cost.price
    if isinstance(cost, ByFormula) and cost.line is not None and cost.line[1] == Num(0.0):
        return lambda size: cost.of(size, np.ones_like(size))
    return None


def names_in(text: str) -> frozenset[str]:
    """The names that a formula of a cost reads."""
    try:
        return frozenset(LETTERS.get(leaf.name, leaf.name) for leaf in leaves(parse(text)) if isinstance(leaf, Name))
    except DeclarationError as error:
        raise DeclarationError(f"cost: {str(error).removeprefix('law: ')}") from None


def cost_of(given: str | FlopsPerToken | None, serving: float, held: Mapping[str, float]) -> Cost:
    """The cost that is told: a formula, FLOPs per token as a function of the size, or 6 N D.

    serving   tokens of inference: 2 N T is added, but for a formula, which says itself what they cost
    held      values of other names that a formula may read
    """
    if given is None or given == "6nd":
        return PerToken(six_n, f"6 N D + 2 N T, T = {serving:.4g}" if serving else "6 N D", serving)
    if not isinstance(given, str):
        return PerToken(given, "exact" + (f" + 2 N T, T = {serving:.4g}" if serving else ""), serving)
    return _by_formula(given, serving, held)


def _by_formula(text: str, serving: float, held: Mapping[str, float]) -> ByFormula:
    try:
        return _read(text, serving, held)
    except DeclarationError as error:
        raise DeclarationError(f"cost: {str(error).removeprefix('law: ')}") from None


def _read(text: str, serving: float, held: Mapping[str, float]) -> ByFormula:
    tree = parse(text)
    known = {"params", "tokens", *held, *(["serve_tokens"] if serving else [])}
    names = {leaf: LETTERS.get(leaf.name, leaf.name) for leaf in leaves(tree) if isinstance(leaf, Name)}
    for leaf, name in names.items():
        if leaf.column or leaf.reading == "param":
            wrong(text, leaf.at, "a cost has no parameters to fit; expected numbers and N, D or T.")
        if name == "serve_tokens" and not serving:
            wrong(text, leaf.at, "T is the tokens of inference: give --serve-tokens (serve_tokens=... in Python).")
        if leaf.name == "C":
            wrong(text, leaf.at, "C is what the formula gives; write it with N and D.")
        if name not in known:
            wrong(text, leaf.at, f"{leaf.name}: expected N, D, T, or an input with a value: --at {leaf.name}=NUMBER.")
    if serving and "serve_tokens" not in names.values():
        raise DeclarationError(f"{text!r} does not read T: --serve-tokens would change nothing. Add 2*N*T.")
    if "tokens" not in names.values():
        raise DeclarationError(f"{text!r} does not read D: any number of tokens would cost the same.")
    read = replaced(tree, lambda leaf: In(names[leaf]) if isinstance(leaf, Name) else leaf)
    as_parameter = replaced(read, lambda leaf: Par("tokens") if leaf == In("tokens") else leaf)
    values = {name: value for name, value in held.items() if name in names.values()}
    if serving:
        values["serve_tokens"] = serving
    said = "".join(f", {leaf.name} = {values[name]:.4g}" for leaf, name in names.items() if name in values)
    shown_text = text + ", ".join(dict.fromkeys(said.split(", ")))
    return ByFormula(shown_text, read, values, slope_and_rest(as_parameter, "tokens"), serving)


def refuse_falling(cost: Cost, domain: Mapping[str, Sequence[float]]) -> None:
    """Raises DeclarationError for a cost that is not above 0, or that more tokens lower, somewhere among the runs."""
    (least, most), (few, many) = domain["params"], domain["tokens"]
    size, tokens = np.geomspace(least, most, 5)[:, None], np.geomspace(few, many, 9)[None]
    with np.errstate(all="ignore"):
        paid = np.asarray(cost.of(size, tokens))
    if not (paid > 0).all() or (np.diff(paid, axis=1) < 0).any():
        raise DeclarationError(
            f"cost: {cost.text}: expected a cost above 0 that rises with D at every size of the runs; it does not for "
            f"N from {size[0, 0]:.3g} to {size[-1, 0]:.3g} and D from {tokens[0, 0]:.3g} to {tokens[0, -1]:.3g}."
        )


@dataclass(frozen=True)
class Price:
    """Currency for one FLOP; text: as it was given."""

    per_flop: float
    text: str


def price_of(text: str) -> Price:
    """2e-18 per FLOP, or 2.5 per GPU-hour at 4e14 FLOP/s (what the device reaches, not its peak)."""
    if found := PER_FLOP.fullmatch(text):
        price = float(found[1])
    elif found := PER_HOUR.fullmatch(text):
        rate = float(found[2])
        price = float(found[1]) / 3600 / rate if rate > 0 else 0.0
    else:
        price = 0.0
    if not 0 < price < np.inf:
        raise DeclarationError(
            f"price: expected '2e-18 per FLOP' or '2.5 per GPU-hour at 4e14 FLOP/s' (FLOP/s as reached in training), "
            f"got {shown(text)}."
        )
    return Price(price, text.strip())


def exact_cost(source: Any) -> FlopsPerToken:
    """FLOPs per token as the table's family counts them: interpolated in log size, a straight line beyond its ends."""
    table = read_runs(source).of_ladder()
    names = [table.roles.get(role) for role in ("params", "tokens", "flops")]
    if None in names:
        raise DeclarationError(f"{table.source}: exact FLOPs need columns of params, tokens and flops.")
    size, tokens, flops = (table.numbers(str(name)) for name in names)
    if empty := [str(name) for name, cells in zip(names, (size, tokens, flops), strict=True) if np.isnan(cells).any()]:
        raise TableError(
            f"{table.source}: exact FLOPs need params, tokens and flops of each finished run; {', '.join(empty)} has "
            "empty cells. Fill them in, or leave these rows out."
        )
    if len(np.unique(size)) < 2:
        raise DeclarationError(f"{table.source}: exact FLOPs need at least two sizes.")
    return cost_through(size, flops / tokens)


def cost_through(size: Array, flops_per_token: Array) -> FlopsPerToken:
    """FLOPs per token through those of runs: interpolated in log size, a straight line beyond its ends."""
    known = np.unique(size)
    price = np.array([np.mean(np.log(flops_per_token[size == s])) for s in known])
    log = np.log(known)

    def cost(at: Array) -> Array:
        u = np.log(at)
        inside = np.interp(u, log, price)
        first = (price[1] - price[0]) / (log[1] - log[0])
        last = (price[-1] - price[-2]) / (log[-1] - log[-2])
        return np.asarray(np.exp(inside + first * np.minimum(u - log[0], 0) + last * np.maximum(u - log[-1], 0)))

    return cost
