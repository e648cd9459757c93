"""A law as a list of operations, found by running it on symbols: what a page evaluates without any code of the law."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lawful.laws import Axes, Law, Number, Values

# numpy's names; every one is written again in calculator.js
OPERATIONS = {
    "add": 2, "subtract": 2, "multiply": 2, "divide": 2, "power": 2, "maximum": 2, "minimum": 2, "logaddexp": 2,
    "negative": 1, "exp": 1, "log": 1, "expm1": 1, "log1p": 1, "sqrt": 1, "tanh": 1, "absolute": 1, "sign": 1,
    "square": 1, "reciprocal": 1, "greater": 2, "greater_equal": 2, "less": 2, "less_equal": 2, "equal": 2,
    "isfinite": 1, "where": 3,
}  # fmt: skip
MOST_STEPS = 400
LARGEST_LOG = 700.0  # as in Law.predict
Step = tuple[str | float | int, ...]  # ("number", 2.0), ("axis", 0), ("parameter", 1), or (operation, step, step)


class NotTraced(Exception):
    """The law does something that is no operation of the list."""


def trace(law: Law, pivot: Mapping[str, float]) -> list[Step] | None:
    """The steps from centred logarithms of the axes (in the order of law.inputs) and the parameters to the loss, which
    is the last; None where the law cannot be written so."""
    steps: list[Step] = []
    logs = {axis: _Symbol(steps, ("axis", index)) for index, axis in enumerate(law.inputs)}
    values: Values = {name: _Symbol(steps, ("parameter", index)) for index, name in enumerate(law.parameters)}  # type: ignore[misc]
    try:
        total = _total(law, values, Axes(logs, pivot))  # type: ignore[arg-type]
    except (NotTraced, TypeError, ValueError, AttributeError, IndexError):  # numpy raises these for a symbol
        return None
    return _needed(steps, total.place) if isinstance(total, _Symbol) else None


def _total(law: Law, values: Values, x: Axes) -> Number:
    terms = law.values_of_terms({shape.name: values[shape.name] for shape in law.shapes}, x)
    size: list[Number] = [*(values[name] for name in law.coefficients), *[1.0] * (len(terms) - len(law.coefficients))]
    total: Number = sum(
        factor * term.sign * np.exp(np.minimum(term.log, LARGEST_LOG)) for factor, term in zip(size, terms, strict=True)
    )
    return total


class _Symbol(np.lib.mixins.NDArrayOperatorsMixin):
    """A number that is not known yet: what numpy does with it becomes a step."""

    def __init__(self, steps: list[Step], step: Step) -> None:
        if len(steps) >= MOST_STEPS:
            raise NotTraced
        self.steps = steps
        self.place = len(steps)
        steps.append(step)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **settings: object) -> _Symbol:
        if method != "__call__" or settings or OPERATIONS.get(ufunc.__name__) != len(inputs):
            raise NotTraced(ufunc.__name__)
        return _Symbol(self.steps, (ufunc.__name__, *(self._place(one) for one in inputs)))

    def __array_function__(
        self, function: object, types: object, inputs: tuple[object, ...], settings: object
    ) -> _Symbol | int:
        if function is np.ndim:
            return 0
        if function is not np.where or settings or len(inputs) != 3:
            raise NotTraced(getattr(function, "__name__", ""))
        return _Symbol(self.steps, ("where", *(self._place(one) for one in inputs)))

    def _place(self, one: object) -> int:
        if isinstance(one, _Symbol):
            return one.place
        number = np.asarray(one, dtype=float)
        if number.size != 1:
            raise NotTraced
        return _Symbol(self.steps, ("number", float(number.reshape(())))).place


def _needed(steps: list[Step], last: int) -> list[Step]:
    """The steps that the last one needs, with new numbers."""
    needed = {last}
    for index in range(last, -1, -1):
        if index in needed and steps[index][0] in OPERATIONS:
            needed |= {int(place) for place in steps[index][1:]}
    order = {old: new for new, old in enumerate(sorted(needed))}
    return [
        (step[0], *(order[int(place)] for place in step[1:])) if step[0] in OPERATIONS else step
        for old in sorted(needed)
        for step in [steps[old]]
    ]


def run(steps: list[Step], logs: list[float], parameters: list[float]) -> float:
    """The value of the last step, as the page computes it."""
    found: list[float] = []
    given = {"axis": logs, "parameter": parameters}
    for name, *rest in steps:
        if name == "number":
            found.append(float(rest[0]))
        elif isinstance(name, str) and name in given:
            found.append(given[name][int(rest[0])])
        else:
            found.append(float(getattr(np, str(name))(*(found[int(place)] for place in rest))))
    return found[-1]
