"""Fit: a law, its parameters, its uncertainty, its convergence certificate, its warnings. Immutable; JSON both ways."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from lawful import laws
from lawful.checks import NonNegativeFloat, Part, PositiveFloat, PositiveInt, argument, shown
from lawful.errors import DeclarationError, StoreError
from lawful.fitting.allocate import Allocation, DiminishingReturns, allocate, diminishing_returns
from lawful.fitting.checklist import Item, checklist
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.holdout import Holdout, Largest, holdout
from lawful.fitting.older import from_format_2
from lawful.fitting.plot import plot
from lawful.fitting.predict import predict_one
from lawful.fitting.quantiles import LEVEL
from lawful.fitting.records import FitRecord, Interval, Prediction
from lawful.fitting.summary import as_html, summary
from lawful.laws import Axes, Law
from lawful.schema import StudyPlan
from lawful.storage.atomic import write_json
from lawful.storage.codec import converted, to_plain
from lawful.storage.json_files import Json, read_json

FORMAT = 3  # 1 held the law as text; 2 the runs left out one by one as loose objects
SAME_LOSS = 1e-6  # relative: between the losses that a fit records and those of its law, read back
StoredLaw = str | Mapping[str, Json]  # its class and fields: laws.stored builds it


@dataclass(frozen=True, kw_only=True)
class Fit(FittedLaw):
    """The result of `lawful.fit`: the fitted law, and the questions that it answers. Every field survives JSON but
    known_doubt."""

    def predict(
        self,
        *,
        params: float | None = None,
        tokens: float | None = None,
        flops: float | None = None,
        unique_tokens: float | None = None,
        interval: Interval = "mean",
        level: float = LEVEL,
        **others: float | str,
    ) -> Prediction:
        """The loss at one point; `others` are the columns that a formula reads: a number, or the name of a level.
        interval="mean": of the curve itself; "new_run": of one more run's loss, which adds the spread between runs.
        Raises LawfulError when an axis of the law is missing or one it lacks is given."""
        given = {"params": params, "tokens": tokens, "flops": flops, "unique_tokens": unique_tokens, **others}
        at = {
            name: self.model.level(name, value)
            if name in self.model.categories
            else float(argument(name, value, NonNegativeFloat if name in others else PositiveFloat))
            for name, value in given.items()
            if value is not None
        }
        return predict_one(self, at, argument("interval", interval, Interval), argument("level", level, Part))

    def allocate(self, *, flops: float, cost: Any = None) -> Allocation:
        """The best params and tokens for a budget; see lawful.fitting.allocate."""
        return allocate(self, flops=argument("flops", flops, PositiveFloat), cost=cost)

    def diminishing_returns(self, *, threshold: float | None = None) -> DiminishingReturns:
        """The point beyond which a doubling buys less than a threshold; see lawful.fitting.allocate."""
        return diminishing_returns(self, threshold=argument("threshold", threshold, PositiveFloat | None))

    def holdout(self, *, top: int = 1, largest: Largest | None = None) -> Holdout[Fit]:
        """Drop the `top` largest amounts of compute, params or tokens, refit, predict them, and say whether the
        forecasts held; see lawful.fitting.holdout."""
        return holdout(
            self, top=argument("top", top, PositiveInt), largest=argument("largest", largest, Largest | None)
        )

    def checklist(self, study: StudyPlan | None = None) -> tuple[Item, ...]:
        """The reproducibility checklist of arXiv:2502.18969, answered as far as is known."""
        return checklist(self, study)

    def plot(self) -> Any:
        """A matplotlib figure: the data and the law on the left, the residuals on the right."""
        return plot(self)

    def to_json(self, path: str | Path | None = None) -> dict[str, Json]:
        """Plain data, also written whole to `path` where one is given. Raises DeclarationError where the law cannot be
        stored, with the reason; the fit itself goes on working in memory."""
        law = laws.to_data(self.model)
        _expect_same_losses(laws.rebuilt(law, self.model), self)
        out = {
            "format": FORMAT,
            "law": law,
            **{one.name: to_plain(getattr(self, one.name)) for one in fields(FitRecord)},
        }
        where = argument("path", path, str | Path | None)
        if where is not None:
            write_json(Path(where), out)
        return out

    @classmethod
    def from_json(cls, source: Mapping[str, Json] | str | Path, *, law: str | Law | None = None) -> Fit:
        """The inverse of to_json, from its data or its file.

        law     of a fit with a law of your own: that law, or its FILE.py:CLASS, which is then imported. Without it,
                reading a fit imports nothing: a fit with a law that is not lawful's own is refused.
        """
        find = law_of if law is None else functools.partial(law_of, law=law)
        if isinstance(source, Mapping):
            return read_fit(source, find)
        path = Path(argument("source", source, Mapping | str | Path))
        raw = read_json(path)
        try:
            return read_fit(raw, find)
        except (DeclarationError, StoreError) as error:
            raise type(error)(f"{path}: {error}") from None

    def summary(self) -> str:
        """Text in the manner of statsmodels, warnings first."""
        return summary(self)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        """For notebooks."""
        return as_html(self)


FindLaw = Callable[[StoredLaw, FitRecord], Law]


def read_fit(raw: Mapping[str, Json], find: FindLaw | None = None, within: str = "") -> Fit:
    """The fit that `Fit.to_json` wrote, checked. within: its place in the file, for messages.

    find    gives the law: law_of where it is None, which imports nothing
    Raises StoreError where it is no such fit, DeclarationError where its law cannot be had.
    """
    if raw.get("format") not in (1, 2, FORMAT):
        raise DeclarationError(f"expected a fit of format {FORMAT}; it was written by another version of lawful.")
    law = raw.get("law")
    if not isinstance(law, (str, Mapping)):
        raise StoreError(f"{within and f'{within}.'}law: expected a law's class and fields, got {shown(law)}.")
    rest = {name: value for name, value in raw.items() if name not in ("format", "law")}
    record = converted(rest if raw["format"] == FORMAT else from_format_2(rest), FitRecord, within)
    model = (find or law_of)(law, record)
    lengths = {len(draw) for draw in record.draws} - {len(model.parameters)}
    if lengths:
        raise StoreError(
            f"{within and f'{within}.'}draws: expected {len(model.parameters)} parameters in each, got {min(lengths)}."
        )
    return Fit(model=model, **{one.name: getattr(record, one.name) for one in fields(FitRecord)})


def law_of(stored: StoredLaw, record: FitRecord, law: str | Law | None = None) -> Law:
    """The law of a stored fit. Raises DeclarationError where it is not at hand (see Fit.from_json), and where it does
    not give the losses that the fit recorded: then it is another law, or has been edited since."""
    model = laws.stored(stored) if law is None else laws.rebuilt(stored, law)
    _expect_same_losses(model, record)
    return model


def _expect_same_losses(law: Law, record: FitRecord) -> None:
    known = [row.axes for row in record.residuals]
    if lacking := [name for name in law.parameters if name not in record.params]:
        raise DeclarationError(f"law: {law.spec} has {', '.join(lacking)}, which this fit lacks: it is of another law.")
    if any(axis not in at for axis in law.inputs for at in known):
        raise DeclarationError(f"law: {law.spec} reads {', '.join(law.inputs)}; this fit is of another law.")
    if lacking := [axis for axis in law.inputs if axis not in record.data.pivot]:
        raise DeclarationError(f"law: {law.spec} reads {', '.join(lacking)}; this fit is of another law.")
    if not known:
        return
    values = {name: record.params[name].value for name in law.parameters}
    with np.errstate(all="ignore"):
        at = Axes.of({axis: [one[axis] for one in known] for axis in law.inputs}, record.data.pivot)
        losses = law.predict(values, at)
    recorded = np.array([row.predicted for row in record.residuals])
    if not np.allclose(losses, recorded, rtol=SAME_LOSS, atol=0, equal_nan=True):
        row = int(np.argmax(~np.isclose(losses, recorded, rtol=SAME_LOSS, atol=0, equal_nan=True)))
        raise DeclarationError(
            f"law: {law.spec} gives {losses[row]:.6g} where this fit recorded {recorded[row]:.6g} (row {row + 1}): it "
            "is another law than the one that was fitted, or was changed since. Fit again."
        )
