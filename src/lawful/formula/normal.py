"""A formula in the form in which it is fitted: what is linear apart, and every scale in units of the data's pivot.

Loss = sum of c phi(x; shapes), and a rest without a coefficient. A coefficient, and a scale such as h in N/h, has a
size that depends on the unit of an input, and correlates with the exponents above .999. So A N^-alpha is fitted as
A_pivot (N/N0)^-alpha, and N/h as (N/N0)/h' with the logarithm of h'; A and h follow from these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from lawful.formula.parse import (
    Fn,
    In,
    Is,
    Node,
    Num,
    Par,
    Pivot,
    Pow,
    Prod,
    Sum,
    Switch,
    add,
    leaves,
    mul,
    power,
    replaced,
    walk,
)

Powers = dict[str, Node]  # axis -> the power of its pivot
ONE = Num(1.0)


@dataclass(frozen=True)
class Normal:
    """See the file's first lines.

    terms     coefficient -> its phi
    rest      what has no coefficient; None where everything has one
    powers    coefficient or scale -> the powers of pivots by which the fitted one is larger than that of the text
    scales    parameters inside the terms whose logarithm is fitted, in units of the pivot
    kinds     parameter inside the terms -> scale, rate, exponent; size or place where only the user knows its range
    """

    terms: Mapping[str, Node]
    rest: Node | None
    powers: Mapping[str, Powers]
    scales: frozenset[str]
    kinds: Mapping[str, str]


def normal(tree: Node, limited: Collection[str], *, keep: Collection[str] = ()) -> Normal:
    """limited: parameters with a range of their own, which stays one only where they are fitted as they are written;
    keep: those that may not be coefficients."""
    terms = {name: _at_its_level(phi) for name, phi in _linear(tree, keep).items()}
    rest = terms.pop("", None)
    kinds: dict[str, str] = {}
    for node in (*terms.values(), *([] if rest is None else [rest])):
        _find_kinds(node, "factor", kinds)
    insides = [*terms.values(), *([] if rest is None else [rest])]
    times = Counter(leaf.name for node in insides for leaf in leaves(node) if isinstance(leaf, Par))
    movable = {name for name, kind in kinds.items() if kind in ("scale", "rate")}
    by_level = [
        {own.name for own in node.parts} for inside in insides for node in walk(inside) if isinstance(node, Switch)
    ]
    free = movable - set(limited)
    for levels in by_level:  # all are fitted in the same units
        free -= levels if levels & set(limited) else set()
    has_pure_numbers = False
    while True:  # once, but where a scale stands in different units in several places
        work = _Centre(free, has_pure_numbers, {}, Counter(), set())
        centred = {name: work.coefficient(phi) for name, phi in terms.items()}
        whole = None if rest is None else work.whole(rest)
        torn = work.torn | {name for name in work.powers if work.times[name] < times[name]}
        if not torn:
            break
        if has_pure_numbers:
            free -= torn
        has_pure_numbers = True
    powers = {name: own for name, (_, own) in centred.items() if own}
    sizes = movable - free - set(limited)
    return Normal(
        {name: phi for name, (phi, _) in centred.items()},
        whole,
        work.powers | powers,
        frozenset(work.powers),
        kinds | dict.fromkeys(sizes, "size"),
    )


def _at_its_level(phi: Node) -> Node:
    """A term that is of one level of a column reads its other parameters of that column there."""
    own = {part.column: part.level for part in phi.parts if isinstance(part, Is)} if isinstance(phi, Prod) else {}

    def at_level(leaf: Node) -> Node:
        return leaf.parts[own[leaf.column] - 1] if isinstance(leaf, Switch) and leaf.column in own else leaf

    return replaced(phi, at_level) if own else phi


def _has_levels(powers: Powers) -> bool:
    return any(isinstance(node, Switch) for exponent in powers.values() for node in walk(exponent))


def _linear(tree: Node, keep: Collection[str]) -> dict[str, Node]:
    """Coefficient -> its phi, and under "" what has none. A parameter is a coefficient where the whole is linear in it,
    and in all coefficients together."""
    names = dict.fromkeys(leaf.name for leaf in leaves(tree) if isinstance(leaf, Par))
    candidates = {name for name in names if name not in keep}
    while True:
        found = _affine(tree, candidates)
        inside = {leaf.name for phi in found.values() for leaf in leaves(phi) if isinstance(leaf, Par)}
        if not inside & candidates:
            return {
                **{name: found[name] for name in names if name in found},
                **{k: v for k, v in found.items() if not k},
            }
        candidates -= inside


def _affine(node: Node, candidates: Collection[str]) -> dict[str, Node]:
    match node:
        case Par(name) if name in candidates:
            return {name: ONE}
        case Switch(column, levels) if all(level.name in candidates for level in levels):
            return {level.name: Is(column, number) for number, level in enumerate(levels, start=1)}
        case Sum(parts):
            total: dict[str, Node] = {}
            for part in parts:
                for name, phi in _affine(part, candidates).items():
                    total[name] = add(total[name], phi) if name in total else phi
            return total
        case Prod(parts):
            by_part = [_affine(part, candidates) for part in parts]
            linear = next((k for k, found in enumerate(by_part) if found.keys() - {""}), None)
            if linear is not None:
                others = parts[:linear] + parts[linear + 1 :]
                return {name: mul(*others, phi) for name, phi in by_part[linear].items()}
    return {"": node}


def slope_and_rest(tree: Node, name: str) -> tuple[Node, Node] | None:
    """What multiplies a parameter in a tree, and what is left without it; None where the tree is no straight line of
    the parameter."""
    found = _affine(tree, {name})
    if any(leaf == Par(name) for part in found.values() for leaf in leaves(part)):
        return None
    return found.get(name, Num(0.0)), found.get("", Num(0.0))


def _find_kinds(node: Node, place: str, kinds: dict[str, str]) -> None:
    """What each parameter is by where it stands, the strictest of several. `place` is factor, exponent or argument."""
    match node:
        case Par(name):
            here = {"factor": "scale", "exponent": "exponent", "argument": "rate"}.get(place, place)
            order = ("scale", "rate", "exponent", "size", "place")
            kinds[name] = max(here, kinds.get(name, here), key=order.index)
        case Switch(_, levels):
            for level in levels:
                _find_kinds(level, place, kinds)
        case Sum(parts):
            is_of_logs = any(_is_log(part) for part in parts)
            for part in parts:
                is_place = place == "argument" or (place == "factor" and is_of_logs)
                _find_kinds(part, "place" if is_place and _is_bare(part) else place, kinds)
        case Prod(parts):
            has_unit = any(
                isinstance(part, In) or (isinstance(part, Pow) and isinstance(part.base, In)) for part in parts
            )
            for part in parts:
                _find_kinds(part, "argument" if has_unit and place == "exponent" else place, kinds)
        case Pow(base, exponent):
            _find_kinds(base, place, kinds)
            _find_kinds(exponent, "exponent" if place == "factor" else place, kinds)
        case Fn("log", (inside,)):
            _find_kinds(inside, "size" if _is_bare(inside) else "factor", kinds)
        case Fn(function, arguments):
            for argument in arguments:
                _find_kinds(argument, "factor" if function in ("min", "max") else "argument", kinds)


def _is_bare(node: Node) -> bool:
    parts = node.parts if isinstance(node, Prod) else (node,)
    has_parameter = any(isinstance(part, Par | Switch) for part in parts)
    return has_parameter and all(isinstance(part, Num | Par | Switch) for part in parts)


def _is_log(node: Node) -> bool:
    return isinstance(node, Fn) and node.name == "log" or isinstance(node, Prod) and any(map(_is_log, node.parts))


@dataclass
class _Centre:
    """Writes a tree with inputs in units of their pivots.

    free     the scales that may take up what is left over
    has_pure_numbers   whether a sum with a number in it is a number, as D/U - 1; else it has the unit of its first part
    powers   of those that did, what they took up; times: in how many places
    torn     those that would take up one thing here and another there
    """

    free: set[str]
    has_pure_numbers: bool
    powers: dict[str, Powers]
    times: Counter[str]
    torn: set[str]

    def coefficient(self, phi: Node) -> tuple[Node, Powers]:
        """A term, and what its coefficient takes up: nothing that differs by level, where the coefficient is one."""
        inner, powers = self.centred(phi)
        return (self.at(inner, powers, {}), {}) if _has_levels(powers) else (inner, powers)

    def whole(self, node: Node) -> Node:
        """The same value: what pivots are left stand in it."""
        return self.at(*self.centred(node), {})

    def centred(self, node: Node) -> tuple[Node, Powers]:
        """A node and powers of pivots whose product is the value."""
        match node:
            case In(axis):
                return node, {axis: ONE}
            case Prod(parts):
                done = [self.centred(part) for part in parts]
                powers: Powers = {}
                for _, own in done:
                    powers = _product(powers, own, ONE)
                return mul(*(part for part, _ in done)), powers
            case Pow(base, exponent):
                raised = self.whole(exponent)
                inner, powers = self.centred(base)
                if any(isinstance(leaf, In) for leaf in leaves(exponent)):
                    return power(self.at(inner, powers, {}), raised), {}
                if powers and self.own(inner):
                    inner, powers = self.at(inner, powers, {}), {}
                return power(inner, raised), {axis: mul(raised, own) for axis, own in powers.items()}
            case Sum(parts) | Fn("min" | "max", parts):
                done = [self.centred(part) for part in parts]
                units = [powers for part, powers in done if not self.own(part)]
                unit = next(iter(units), {})
                if self.has_pure_numbers and {} in units:
                    unit = {}
                same = tuple(self.at(part, powers, unit) for part, powers in done)
                return Sum(same) if isinstance(node, Sum) else Fn(node.name, same), unit
            case Fn(name, arguments):
                return Fn(name, tuple(map(self.whole, arguments))), {}
        return node, {}

    def own(self, node: Node) -> tuple[tuple[str, ...], Node] | None:
        """A scale that is a factor of a node (one for each level, or one), and its power there."""
        for part in node.parts if isinstance(node, Prod) else (node,):
            base, exponent = (part.base, part.exponent) if isinstance(part, Pow) else (part, ONE)
            names = tuple(own.name for own in leaves(base) if isinstance(own, Par))
            is_fixed = not any(isinstance(leaf, In) for leaf in leaves(exponent))  # r^x has another power on each row
            if is_fixed and isinstance(base, Par | Switch) and set(names) <= self.free:
                return names, exponent
        return None

    def at(self, node: Node, powers: Powers, unit: Powers) -> Node:
        """A node with powers of pivots, in units of other powers: taken up by its scale, or written out."""
        left = _product(powers, unit, Num(-1.0))
        if not left:
            return node
        if (found := self.own(node)) is not None:
            names, exponent = found
            taken = _product({}, left, power(exponent, Num(-1.0)))
            if _has_levels(taken):
                self.torn.update(names)
            for name in names:
                self.times[name] += 1
                if self.powers.setdefault(name, taken) != taken:
                    self.torn.add(name)
            return node
        return mul(node, *(power(Pivot(axis), exponent) for axis, exponent in left.items()))


def _product(a: Powers, b: Powers, of_b: Node) -> Powers:
    """Powers of a product, the second raised to one more; powers that cancel are left out."""
    total = dict(a)
    for axis, exponent in b.items():
        raised = mul(of_b, exponent)
        if axis in total and mul(Num(-1.0), raised) == total[axis]:
            del total[axis]
        else:
            total[axis] = add(total[axis], raised) if axis in total else raised
    return {axis: exponent for axis, exponent in total.items() if exponent != Num(0.0)}
