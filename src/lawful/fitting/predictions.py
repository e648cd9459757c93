"""Predictions at many points: of the rows of a table, or of arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np

from lawful.checks import NonNegativeFloat, PositiveFloat, argument
from lawful.errors import DeclarationError, Refusal
from lawful.fitting.cautions import ranked
from lawful.fitting.data import coordinates
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.predict import predict_one
from lawful.fitting.records import Interval, Prediction
from lawful.laws import Array
from lawful.schema import Warning
from lawful.tables import Observations, read_rows
from lawful.tables.frames import MakeFrame, as_frame

Amount = float | str | Sequence[float | str] | Array
# axis -> the two from which it may follow, by C = 6 N D
SOURCES = {"flops": ("params", "tokens"), "tokens": ("flops", "params"), "params": ()}


INPUTS = ("params", "tokens", "flops", "unique_tokens")  # are above 0; what a formula reads besides may be 0


@dataclass(frozen=True, repr=False)
class Predictions:
    """A `Prediction` for each point, in the order of the points.

    Attributes
    ----------
    value, low, high : numpy.ndarray
        Loss and the ends of its interval, shape (points,), in the unit of the fitted losses.
    extrapolation : numpy.ndarray
        How far outside the data each point lies, as a factor, shape (points,); 1 inside.
    warnings : tuple of Warning
        One for each code, of the point for which it is most severe.
    """

    points: tuple[Prediction, ...]
    index: object = field(default=None, compare=False)  # of the pandas.DataFrame that was given

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.points)

    def __getitem__(self, place: int) -> Prediction:
        return self.points[place]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.value, dtype=dtype)

    @property
    def value(self) -> Array:
        return np.array([point.value for point in self.points], dtype=float)

    @property
    def low(self) -> Array:
        return np.array([point.low for point in self.points], dtype=float)

    @property
    def high(self) -> Array:
        return np.array([point.high for point in self.points], dtype=float)

    @property
    def extrapolation(self) -> Array:
        return np.array([point.extrapolation for point in self.points], dtype=float)

    @property
    def warnings(self) -> tuple[Warning, ...]:
        far_first = sorted(self.points, key=lambda point: -point.extrapolation)
        every = ranked([warning for point in far_first for warning in point.warnings])
        return tuple({warning.code: warning for warning in reversed(every)}.values())[::-1]

    def to_frame(self, kind: MakeFrame | None = None) -> Any:  # Any: a frame of the caller's own library
        """The points and their predictions as a table: a column for each axis, then value, low, high, extrapolation.

        Parameters
        ----------
        kind
            What makes a table of columns: pandas.DataFrame (default; with the index of the one that was given),
            polars.DataFrame, pyarrow.table, dict.
        """
        axes = self.points[0].at if self.points else {}
        columns: dict[str, Sequence[object]] = {axis: [point.at[axis] for point in self.points] for axis in axes}
        for name in ("value", "low", "high", "extrapolation"):
            columns[name] = [float(getattr(point, name)) for point in self.points]
        frame = as_frame(columns, kind)
        if kind is None and self.index is not None:
            frame.index = self.index
        return frame

    def __repr__(self) -> str:
        codes = ", ".join(warning.code for warning in self.warnings)
        ends = f", {self.value.min():.5g} to {self.value.max():.5g}" if self.points else ""
        return f"<{len(self)} prediction{'' if len(self) == 1 else 's'}{ends}{f'; {codes}' if codes else ''}>"


def predict_point(fit: FittedLaw, given: Mapping[str, Amount], interval: Interval, level: float) -> Prediction:
    """At one point: numbers, and names of levels, by axis."""
    at = {
        name: fit.model.level(name, value)
        if name in fit.model.categories
        else float(argument(name, value, PositiveFloat if name in INPUTS else NonNegativeFloat))
        for name, value in given.items()
    }
    return predict_one(fit, at, interval, level)


def predict_rows(fit: FittedLaw, source: Any, interval: Interval, level: float) -> Predictions:
    """At each row of a table, by the columns that the fit was made with."""
    table = source if isinstance(source, Observations) else read_rows(source)
    if not len(table):
        return Predictions(())
    column = fit.data.columns
    for role in {*fit.model.inputs, *SOURCES} & column.keys() - fit.model.categories.keys():
        if column[role] in table.columns:
            table.numbers(column[role])  # raises TableError for a text
    for axis in fit.model.inputs:
        others = [column.get(role) for role in SOURCES.get(axis, ())]
        if column[axis] not in table.columns and not (others and set(others) <= set(table.columns)):
            unit = "" if axis in fit.model.categories else ", in units of one"
            raise DeclarationError(
                f"predict: the fit read {axis} from a column {column[axis]!r}{unit}; {table.source} has "
                f"{', '.join(map(repr, table.columns)) or 'no columns'}. Read it as the fitted table was "
                f"(lawful.read_runs), or give arrays: predict({axis}=...)."
            )
    points = []
    for number, row in enumerate(table, start=1):
        try:
            at = coordinates(row, fit.model, column)
        except (DeclarationError, Refusal) as lacking:
            raise DeclarationError(f"predict: {table.source}, row {number}: {lacking}") from None
        points.append(predict_point(fit, at, interval, level))
    return Predictions(tuple(points), source.index if hasattr(source, "iloc") else None)


def is_array(value: object) -> TypeGuard[Sequence[float | str] | Array]:
    """A list, a tuple, or one dimension of numpy, pandas or polars."""
    return isinstance(value, (list, tuple)) or len(getattr(value, "shape", ())) == 1


def predict_arrays(fit: FittedLaw, given: Mapping[str, Amount], interval: Interval, level: float) -> Predictions:
    """At each place of the arrays; a number stands for all places."""
    cells = {name: list(value) for name, value in given.items() if is_array(value)}
    lengths = {name: len(values) for name, values in cells.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise DeclarationError(f"predict: expected arrays of one length, got others: {said}.")
    points = []
    for place in range(next(iter(lengths.values()))):
        at = {name: cells[name][place] if name in cells else value for name, value in given.items()}
        try:
            points.append(predict_point(fit, at, interval, level))
        except DeclarationError as error:
            raise DeclarationError(f"{error} (place {place} of the arrays)") from None
    return Predictions(tuple(points))
