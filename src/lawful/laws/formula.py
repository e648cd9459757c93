"""A law that is written as a formula: `E + A/N^alpha + B/D^beta`."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lawful.checks import shown
from lawful.errors import DeclarationError
from lawful.formula import derivatives
from lawful.formula.names import ROLES, at_pivot, with_columns, with_numbers
from lawful.formula.normal import Normal, normal
from lawful.formula.parse import In, Name, Node, Par, Switch, leaves, parse, replaced, walk, wrong
from lawful.formula.ranges import RATE, sought
from lawful.law import ranges_of
from lawful.laws import ONE_AXIS, Axes, Bounds, Law, Levels, Number, Shape, Term, Values

MOST_PARAMETERS, MOST_SHAPES = 40, 12  # starts are drawn at random, which finds nothing in more dimensions
ENDS = (0.0, math.inf, -math.inf)  # of bounds that are the same in every unit


class _Rows(NamedTuple):
    """Rows on which a formula is evaluated, and what of them no parameter changes (by the part of the formula)."""

    x: Axes
    pivots: Mapping[str, float]
    constants: Mapping[int, tuple[derivatives.Dual, derivatives.Signed]]


@dataclass(frozen=True)
class Formula(Law):
    """A law from its text.

    Parameters
    ----------
    text
        The formula. N, D, C and U are parameters, tokens, FLOPs and unique tokens; a name between backticks, or in
        input(...), is a column. The other names are parameters, save columns of the table that is fitted.
    bounds
        Parameter -> (low, high). Without them a coefficient is at least 0, and a parameter inside a term is positive.
    start
        Parameter -> a number, or (low, high), where its search begins.
    name, source, meaning, when, when_not
        For readers: what the law is called, where it is from, what its parameters are, for which tables it is made.
    axis
        What the name x in the text stands for: params, tokens or flops.
    levels
        Column -> its levels, where a parameter has one value for each (`alpha[optimizer]`): read from the table.
    derive
        Name -> a formula of the parameters, which the answer shows with its interval.

    Raises
    ------
    DeclarationError
        Where the text is no formula, with a caret under the place.

    Examples
    --------
    >>> Formula("E + A/N^alpha").parameters
    ('E', 'A_pivot', 'alpha')
    """

    text: str = "E + A/N^alpha + B/D^beta"
    bounds: Bounds = dataclasses.field(default_factory=dict)
    start: Mapping[str, float | tuple[float, float]] = dataclasses.field(default_factory=dict)
    name: str = "formula"  # type: ignore[misc]
    source: str = "a formula"  # type: ignore[misc]
    axis: str = ""
    levels: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    derive: Mapping[str, str] = dataclasses.field(default_factory=dict)
    meaning: Mapping[str, str] = dataclasses.field(default_factory=dict)  # type: ignore[misc]
    when: str = ""  # type: ignore[misc]
    when_not: str = ""  # type: ignore[misc]

    def __post_init__(self) -> None:
        for field in ("text", "name", "source", "when", "when_not"):
            if not isinstance(getattr(self, field), str):
                raise DeclarationError(f"law: {field}: expected a text, got {shown(getattr(self, field))}.")
        for field in ("derive", "meaning"):
            given = getattr(self, field)
            if not isinstance(given, Mapping) or any(type(one) is not str for one in (*given, *given.values())):
                raise DeclarationError(f"law: {field}: expected a dict of texts, got {shown(given)}.")
        levels: Any = self.levels
        are_lists = isinstance(levels, Mapping) and all(
            isinstance(own, tuple | list) and own for own in levels.values()
        )
        if not are_lists or any(type(level) is not str for own in levels.values() for level in own):
            raise DeclarationError(
                f"law: levels: expected a dict of columns and their levels, got {shown(self.levels)}."
            )
        object.__setattr__(self, "levels", {str(name): tuple(own) for name, own in self.levels.items()})
        if self.axis not in ("", *ONE_AXIS):
            raise DeclarationError(f"{self.name}: expected an axis of {', '.join(ONE_AXIS)}, got {self.axis!r}.")
        for field in ("bounds", "start"):
            object.__setattr__(self, field, ranges_of(getattr(self, field), field))
        _ = self.tree  # says what is wrong with the text at once; what is an input depends on the table, too
        _ = self.derivations

    @property
    def formula(self) -> str:  # type: ignore[override]
        return self.text

    @property
    def spec(self) -> str:
        name = self.text if self.name == "formula" else self.name
        return f"{name}:{self.axis}" if self.axis else name

    @functools.cached_property
    def _starts(self) -> dict[str, tuple[float, float]]:
        return ranges_of(self.start, "start")

    @functools.cached_property
    def tree(self) -> Node:
        tree = parse(self.text)
        names = {leaf: self._read(leaf) for leaf in leaves(tree) if isinstance(leaf, Name)}
        read = {name.name: name for name, node in names.items() if isinstance(node, In)}
        by_level: dict[str, str] = {}
        for name, node in names.items():
            if not isinstance(node, In) and name.name in read:
                wrong(self.text, name.at, f"{name.name} is read as an input and as a parameter.")
            if isinstance(node, In) and node.axis in {other.column for other in names}:
                wrong(self.text, name.at, f"{name.name} is read as a number, and elsewhere by its levels.")
            if not isinstance(node, In) and by_level.setdefault(name.name, name.column) != name.column:
                wrong(self.text, name.at, f"expected {name.name} with the same column everywhere, or with none.")
        return replaced(tree, lambda leaf: names[leaf] if isinstance(leaf, Name) else leaf)

    def _read(self, name: Name) -> Node:
        if name.name in ROLES and not name.reading:
            return In(ROLES[name.name])
        if self.axis and name.name == "x" and not name.reading:
            return In(self.axis)
        if name.column:
            levels = self.levels.get(name.column)
            parts = tuple(Par(f"{name.name}[{level}]") for level in levels or ())
            return Switch(name.column, parts) if parts else Par(f"{name.name}[{name.column}]")
        return In(name.name) if name.reading == "input" else Par(name.name)

    def for_table(self, columns: Collection[str], roles: Mapping[str, str], levels: Levels | None = None) -> Formula:
        """The law with the columns that it names between backticks, and the levels of those that have some. Raises
        DeclarationError for a name that may be a column and a parameter."""
        names = [leaf for leaf in leaves(parse(self.text)) if isinstance(leaf, Name)]
        known = {*self.bounds, *self.start, *self.meaning, *("x" if self.axis else ())}
        text = with_columns(self.text, {column for column in columns if column not in known}, roles)
        law = dataclasses.replace(self, text=text)._with_levels(names, columns, levels)
        if circular := {"loss", roles.get("loss")} & set(law.inputs):
            raise DeclarationError(f"law: {self.text!r} reads {circular.pop()}, which is what it should give.")
        _ = law.shapes  # says what is wrong before anything is fitted
        return law

    def _with_levels(self, names: Collection[Name], columns: Collection[str], levels: Levels | None) -> Formula:
        """Bounds and starts of a parameter with levels hold for each level that has none of its own."""
        ranges: dict[str, dict[str, tuple[float, float]]] = {"bounds": dict(self.bounds), "start": dict(self._starts)}
        known = dict(self.levels)
        for name in (name for name in names if name.column):
            if name.column not in columns:
                raise DeclarationError(
                    f"law: {name.name}[{name.column}]: the table has no column {name.column!r}; it has "
                    f"{', '.join(columns)}."
                )
            if name.column not in known:
                known[name.column] = tuple(levels(name.column)) if levels else ()
            for given in ranges.values():
                if (own := given.pop(name.name, None)) is not None:
                    given |= {
                        full: own for level in known[name.column] if (full := f"{name.name}[{level}]") not in given
                    }
        levels_known = {key: own for key, own in known.items() if own}
        return dataclasses.replace(self, levels=levels_known, bounds=ranges["bounds"], start=ranges["start"])

    @functools.cached_property
    def categories(self) -> dict[str, tuple[str, ...]]:
        return {node.column: tuple(self.levels[node.column]) for node in walk(self.tree) if isinstance(node, Switch)}

    def bounded(self, bounds: Bounds) -> tuple[Formula, Bounds]:
        names = {leaf.name for leaf in leaves(self.tree) if isinstance(leaf, Par)}
        by_level = {leaf.name for leaf in leaves(parse(self.text)) if isinstance(leaf, Name) and leaf.column}
        own = {name: one for name, one in bounds.items() if name in names or name.partition("[")[0] in by_level}
        others = {name: pair for name, pair in bounds.items() if name not in own}
        if not own:
            return self, others
        law = dataclasses.replace(self, bounds={**self.bounds, **own}, start={})
        start = {  # a start of the law's own gives way to bounds that are told
            name: pair
            for name, pair in self._starts.items()
            if name not in own or law.bounds[name][0] <= pair[0] <= pair[1] <= law.bounds[name][1]
        }
        return dataclasses.replace(law, start=start), others

    def holding(self, fixed: Mapping[str, float]) -> tuple[Formula, dict[str, float]]:
        """A parameter that is fitted in other units than those of the text, such as A, is known by its number there."""
        own = {name: fixed[name] for name, fitted in self.fitted_names.items() if name in fixed and name != fitted}
        own = {name: value for name, value in own.items() if name not in self._by_level}
        for name, value in own.items():
            low, high = self.bounds.get(name, (0.0, math.inf))
            is_inside = type(value) in (int, float) and math.isfinite(value) and low <= value <= high
            if not is_inside or (name in self.as_log and value <= 0):
                raise DeclarationError(
                    f"fixed: {name}: expected a number from {low:g} to {high:g}, got {shown(value)}."
                )
        if not own:
            return self, dict(fixed)
        law = dataclasses.replace(
            self,
            text=with_numbers(self.text, own),
            derive={name: with_numbers(text, own) for name, text in self.derive.items()},
            bounds={name: pair for name, pair in self.bounds.items() if name not in own},
            start={name: pair for name, pair in self.start.items() if name not in own},
        )
        return law, {name: value for name, value in fixed.items() if name not in own}

    def ways_along(self, axis: str) -> dict[str, str]:
        if axis in ROLES.values():
            return {}  # along these a loss falls
        form = self.normal
        inside = [phi for phi in (*form.terms.values(), form.rest) if phi is not None and In(axis) in leaves(phi)]
        names = [name for name, phi in form.terms.items() if In(axis) in leaves(phi)]
        names += [leaf.name for phi in inside for leaf in leaves(phi) if isinstance(leaf, Par)]
        return {self.fitted_names[name]: name for name in names}

    @functools.cached_property
    def _by_level(self) -> frozenset[str]:
        """Parameters of one level: A[muon]."""
        return frozenset(part.name for node in walk(self.tree) if isinstance(node, Switch) for part in node.parts)

    @property
    def reading(self) -> str:
        roles = {axis: f"{letter} ({axis})" for letter, axis in ROLES.items()}
        names = dict.fromkeys(leaf.name for leaf in leaves(self.tree) if isinstance(leaf, Par))
        shown_levels = {axis: f"{axis} ({len(levels)} levels)" for axis, levels in self.categories.items()}
        inputs = ", ".join({**roles, **shown_levels}.get(axis, axis) for axis in self.inputs)
        return f"inputs: {inputs}; parameters: {', '.join(names)}"

    @functools.cached_property
    def derivations(self) -> dict[str, Node]:
        """Name -> the tree of what is derived, in the parameters of the text."""
        names = dict.fromkeys(leaf.name for leaf in leaves(self.tree) if isinstance(leaf, Par))
        out: dict[str, Node] = {}
        for own, text in self.derive.items():
            tree = parse(text)
            for name in (leaf for leaf in leaves(tree) if isinstance(leaf, Name)):
                if name.name not in names or name.reading == "input":
                    wrong(text, name.at, f"derive: {own}: expected a parameter: {', '.join(names)}; got {name.name}.")
            if own in names:
                raise DeclarationError(f"law: derive: {own} is a parameter of {self.text!r}; expected another name.")
            out[own] = replaced(tree, lambda leaf: Par(leaf.name) if isinstance(leaf, Name) else leaf)
        return out

    @functools.cached_property
    def normal(self) -> Normal:
        limited = {*self.bounds, *self.start}
        found = normal(self.tree, limited)
        keep = {name for name in limited if name in found.terms and name in found.powers and not self._is_free(name)}
        return normal(self.tree, limited, keep=keep) if keep else found

    def _is_free(self, coefficient: str) -> bool:
        """Whether its bounds are the same in every unit."""
        return coefficient not in self.start and set(self.bounds[coefficient]) <= set(ENDS)

    @functools.cached_property
    def fitted_names(self) -> dict[str, str]:
        """Parameter of the text -> the name of what is fitted for it."""
        form = self.normal
        names = {name: at_pivot(name) if name in form.powers else name for name in form.terms}
        for name, kind in form.kinds.items():
            given = [end for own in (self.bounds, self._starts) if name in own for end in own[name]]
            is_size = kind in ("scale", "size")
            is_wide = given and min(given) > 0 and not RATE[0] <= min(given) <= max(given) <= RATE[1]
            is_log = name in form.scales or is_wide or (given and min(given) >= 0 and is_size)
            names[name] = f"log_{name}" if is_log else name
        return names

    @functools.cached_property
    def as_log(self) -> dict[str, str]:
        return {name: fitted for name, fitted in self.fitted_names.items() if fitted == f"log_{name}"}

    @property
    def places(self) -> tuple[str, ...]:
        return tuple(self.as_log.values())

    @functools.cached_property
    def inputs(self) -> tuple[str, ...]:
        axes = [leaf.axis for leaf in leaves(self.tree) if isinstance(leaf, In)]
        return tuple(dict.fromkeys((*axes, *self.categories)))

    @functools.cached_property
    def fitted_axes(self) -> tuple[str, ...]:
        return tuple(axis for axis in self.inputs if axis not in ("unique_tokens", *self.categories))

    @functools.cached_property
    def coefficients(self) -> tuple[str, ...]:
        return tuple(self.fitted_names[name] for name in self.normal.terms)

    @functools.cached_property
    def limits(self) -> dict[str, tuple[float, float]]:
        """Coefficient -> its lowest and highest value."""
        return {self.fitted_names[name]: self.bounds.get(name, (0.0, math.inf)) for name in self.normal.terms}

    @functools.cached_property
    def shapes(self) -> tuple[Shape, ...]:
        form = self.normal
        known = {*form.terms, *form.kinds}
        if not set(self.inputs) - set(self.categories):
            raise DeclarationError(
                f"law: {self.text!r} reads no input: expected N, D, C, U or a column (`name`) in a formula, or the "
                "name of a law."
            )
        if not known:
            raise DeclarationError(f"law: {self.text!r} has no parameter to fit.")
        if unknown := sorted({*self.bounds, *self.start} - known):
            raise DeclarationError(
                f"law: no parameter {', '.join(unknown)} in {self.text!r}; it has {', '.join(known)}."
            )
        if idle := [name for name in self.start if name in form.terms]:
            raise DeclarationError(f"law: start: {', '.join(idle)} enters linearly and is solved for; leave it out.")
        if len(form.kinds) > MOST_SHAPES or len(known) > MOST_PARAMETERS:
            raise DeclarationError(
                f"law: expected at most {MOST_PARAMETERS} parameters, {MOST_SHAPES} of them inside terms, got "
                f"{len(known)} and {len(form.kinds)}."
            )
        found = tuple(self._shape(name, kind) for name, kind in form.kinds.items())
        if len(set(self.fitted_names.values())) < len(self.fitted_names):
            raise DeclarationError(
                f"law: in {self.text!r} two parameters would be fitted under one name: "
                f"{', '.join(self.fitted_names.values())}; rename one of {', '.join(self.fitted_names)}."
            )
        return found

    def _shape(self, name: str, kind: str) -> Shape:
        given = self.bounds.get(name), self._starts.get(name)
        if given[0] is None and (kind == "place" or (kind == "size" and given[1] is None)):
            raise DeclarationError(
                f"law: where to seek {name} cannot be told from {self.text!r}: give its bounds, {name}=LOW:HIGH, or "
                f"bounds={{{name!r}: (LOW, HIGH)}} in Python."
            )
        return Shape(self.fitted_names[name], *sought(name, kind, *given, is_log=name in self.as_log))

    @functools.cached_property
    def parameters(self) -> tuple[str, ...]:
        return (*self.coefficients, *(shape.name for shape in self.shapes))

    def terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        """One for each coefficient, and one for what has no coefficient."""
        return self._terms(shape, x, has_slopes=True)

    def values_of_terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        return self._terms(shape, x, has_slopes=False)

    @functools.cached_property
    def _last(self) -> list[_Rows]:
        """Those of the last call, if there was one."""
        return []

    def _terms(self, shape: Values, x: Axes, *, has_slopes: bool) -> tuple[Term, ...]:
        form, last = self.normal, self._last
        nodes = (*form.terms.values(), *(() if form.rest is None else (form.rest,)))
        if not last or last[0].x is not x:
            pivots = {axis: math.log(x.pivot[axis]) for axis in self.inputs}
            of_rows = derivatives.Point(x.logs, pivots, {}, {})
            with np.errstate(all="ignore"):
                known = {key: found for node in nodes for key, found in derivatives.constants(node, of_rows).items()}
            last[:] = [_Rows(x, pivots, known)]
        at = derivatives.Point(x.logs, last[0].pivots, shape, self.as_log, has_slopes, last[0].constants)
        out = []
        for node in nodes:
            sign, log = derivatives.logarithm(node, at)
            is_positive = sign == 1.0 if isinstance(sign, float) else np.all(sign == 1.0)
            first, second = log.first, log.second
            if np.ndim(log.value) and np.isneginf(log.value).any():  # a term that is 0 there; so are its derivatives
                is_zero = np.isneginf(log.value)
                first = {key: np.where(is_zero, 0.0, slope) for key, slope in first.items()}
                second = {key: np.where(is_zero, 0.0, bend) for key, bend in second.items()}
            out.append(Term(log.value, first, second, 1.0 if is_positive else np.asarray(sign)))
        return tuple(out)

    def derived(self, values: Values, pivot: Mapping[str, float]) -> dict[str, Number]:
        """Coefficients and scales in the units of the text."""
        form = self.normal
        logs = {axis: math.log(value) for axis, value in pivot.items()}
        at = derivatives.Point({}, logs, values, self.as_log, has_slopes=False)
        out = {}
        for name, fitted in self.fitted_names.items():
            if fitted != name:
                given = np.exp(values[fitted]) if name in self.as_log else values[fitted]
                powers = form.powers.get(name, {})
                moved = sum(derivatives.plain(power, at).value * logs[axis] for axis, power in powers.items())
                out[name] = given * np.exp(-moved) if powers else given
        of_text = {name: values[fitted] for name, fitted in self.fitted_names.items() if fitted in values} | out
        at = derivatives.Point({}, {}, of_text, {}, has_slopes=False)
        return out | {name: derivatives.plain(tree, at).value for name, tree in self.derivations.items()}
