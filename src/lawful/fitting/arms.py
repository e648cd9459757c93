"""One law for several arms at once: each parameter either shared by all arms or each arm's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from lawful.errors import TableError
from lawful.laws import Array, Axes, Law, Number, Shape, Term, Values

T = TypeVar("T")

ARM = "arm"  # the axis that holds each row's arm, as its index
NAMELESS = "(empty)"  # what an arm without a name is called


@dataclass(frozen=True)
class ArmsLaw(Law):
    """`base` with the parameters named in `own` split by arm: alpha becomes alpha[a], alpha[b], ..."""

    base: Law
    arms: tuple[str, ...]
    own: frozenset[str]

    name = "arms"
    formula = "one law per arm"
    source = "nested models; see compare.py"

    @property
    def inputs(self) -> tuple[str, ...]:
        return (*self.base.inputs, ARM)

    @property
    def fitted_axes(self) -> tuple[str, ...]:
        return self.base.fitted_axes

    @property
    def coefficients(self) -> tuple[str, ...]:
        return tuple(name for base in self.base.coefficients for name in self.names(base))

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return tuple(replace(shape, name=name) for shape in self.base.shapes for name in self.names(shape.name))

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        return self.of_each(self.base.limits)

    def names(self, base: str) -> tuple[str, ...]:
        """What a parameter of the base law is called here: itself where shared, else one name per arm."""
        return tuple(f"{base}[{arm}]" for arm in self.arms) if base in self.own else (base,)

    def of_each(self, values: Mapping[str, T]) -> dict[str, T]:
        """What is given by the base law's names, by the names here."""
        return {name: value for base, value in values.items() for name in self.names(base)}

    def terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        is_arm = [x[ARM] == index for index in range(len(self.arms))]
        by_arm = [self.base.terms(self._of_arm(shape, index), x) for index in range(len(self.arms))]
        out = []
        for k, coefficient in enumerate(self.base.coefficients):
            merged = self._merged([terms[k] for terms in by_arm], is_arm)
            if coefficient in self.own:
                out += [replace(merged, log=np.where(mask, merged.log, -np.inf)) for mask in is_arm]
            else:
                out.append(merged)
        rest = [terms[len(self.base.coefficients) :] for terms in by_arm]
        return (*out, *(self._merged(list(terms), is_arm) for terms in zip(*rest, strict=True)))

    def _of_arm(self, values: Values, index: int) -> dict[str, Number]:
        names = (shape.name for shape in self.base.shapes)
        return {name: values[self.names(name)[index if name in self.own else 0]] for name in names}

    def _merged(self, terms: list[Term], is_arm: list[Array]) -> Term:
        """Each arm's term on its own rows; derivatives by an own shape are zero elsewhere."""
        log = sum(np.where(mask, term.log, 0.0) for mask, term in zip(is_arm, terms, strict=True))
        first: dict[str, Number] = {}
        second: dict[tuple[str, str], Number] = {}
        for index, (mask, term) in enumerate(zip(is_arm, terms, strict=True)):
            for name, slope in term.first.items():
                here = self.names(name)[index if name in self.own else 0]
                first[here] = first.get(here, 0.0) + np.where(mask, slope, 0.0)
            for pair, bend in term.second.items():
                key = tuple(self.names(name)[index if name in self.own else 0] for name in pair)
                second[key[0], key[1]] = second.get((key[0], key[1]), 0.0) + np.where(mask, bend, 0.0)
        sign = (
            1.0
            if all(isinstance(term.sign, float) for term in terms)
            else sum(np.where(mask, term.sign, 0.0) for mask, term in zip(is_arm, terms, strict=True))
        )
        return Term(log, first, second, sign)

    def of_arm(self, parameters: Array, index: int) -> dict[str, float]:
        """One arm's parameters, by their names in the base law."""
        values = dict(zip(self.parameters, map(float, parameters), strict=True))
        return {name: values[self.names(name)[index if name in self.own else 0]] for name in self.base.parameters}

    def spread_out(self, by_arm: Sequence[Mapping[str, float]]) -> list[float]:
        """Parameters of this law from each arm's: shared ones take the mean."""
        out = []
        for name in (*self.base.coefficients, *(shape.name for shape in self.base.shapes)):
            values = [float(values[name]) for values in by_arm]
            out += values if name in self.own else [float(np.mean(values))]
        return out


def arm_name(cell: object) -> str:
    """What an arm is called in sentences and as a key; an empty cell is an arm, too."""
    return NAMELESS if cell is None or not str(cell).strip() else str(cell)


def refuse_alike(arms: Iterable[str], by: str) -> None:
    """Raises TableError for names that differ in case or blanks alone: one arm would be taken for two."""
    same: dict[str, list[str]] = {}
    for arm in arms:
        same.setdefault("".join(arm.split()).casefold(), []).append(arm)
    if alike := [names for names in same.values() if len(names) > 1]:
        named = "; ".join(", ".join(map(repr, names)) for names in alike[:5])
        raise TableError(
            f"{by}: expected one spelling of each arm, got names that differ in case or blanks alone: {named}. Write "
            "them alike where they are one arm, and tell them apart by more where they are not."
        )
