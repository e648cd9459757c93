"""The law of a stored fit that this process may not import, or that is no longer the one that was fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lawful.errors import DeclarationError
from lawful.fitting.records import FitRecord
from lawful.fitting.stored_fit import StoredLaw, law_of
from lawful.laws import Axes, Law, Shape, Term, Values, label


@dataclass(frozen=True)
class AbsentLaw(Law):
    """A law that has the names of its parameters and axes, and computes nothing.

    stored    what the file says of it
    reason    why it is not at hand
    """

    stored: Any  # StoredLaw: a user's law may have any fields
    parameter_names: tuple[str, ...]
    axes: tuple[str, ...]
    reason: str

    name = "absent"
    formula = "not at hand"
    source = "a stored fit"

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.axes

    @property
    def coefficients(self) -> tuple[str, ...]:
        return self.parameter_names

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return ()

    @property
    def spec(self) -> str:
        return label(self.stored)

    def terms(self, shape: Values, x: Axes) -> tuple[Term, ...]:
        raise DeclarationError(self.reason)


def law_or_absent(stored: StoredLaw, record: FitRecord) -> Law:
    """For readers that show a fit and need not compute with it."""
    try:
        return law_of(stored, record)
    except DeclarationError as error:
        names = tuple(name for name, one in record.params.items() if one.role != "derived")
        return AbsentLaw(stored, names, tuple(record.data.pivot), str(error))
