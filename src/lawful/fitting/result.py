"""Fit: a law, its parameters, its uncertainty, its convergence certificate, its warnings. Immutable; JSON both ways."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lawful import laws
from lawful.checks import NonNegativeFloat, Part, PositiveFloat, PositiveInt, argument, shown
from lawful.errors import DeclarationError, StoreError
from lawful.fitting.older import from_format_2
from lawful.fitting.quantiles import LEVEL
from lawful.fitting.records import FitRecord, Interval, Parameter, Prediction
from lawful.laws import Array, Axes, Law, Values
from lawful.storage.atomic import write_json
from lawful.storage.codec import converted, to_plain
from lawful.storage.json_files import Json, read_json

if TYPE_CHECKING:
    from lawful.fitting.allocate import Allocation, DiminishingReturns
    from lawful.fitting.checklist import Item
    from lawful.fitting.cost import FlopsPerToken
    from lawful.fitting.form import Doubt
    from lawful.fitting.holdout import Holdout
    from lawful.fitting.sisters import Alternatives
    from lawful.schema import StudyPlan

FORMAT = 3  # 1 held the law as text; 2 the runs left out one by one as loose objects
SAME_LOSS = 1e-6  # relative: between the losses that a fit records and those of its law, read back
StoredLaw = str | Mapping[str, Json]  # its class and fields: laws.stored builds it


@dataclass(frozen=True, kw_only=True)
class Fit(FitRecord):
    """The result of `lawful.fit`: the record and its law. Every field survives JSON.

    model         the law itself, in JSON its class and fields (laws.to_data); `law` and `formula` are texts for readers
    known_doubt   of a fit made in this process, its `doubt`; not stored
    """

    model: Law
    known_doubt: Doubt | None = field(default=None, repr=False, compare=False)

    @functools.cached_property
    def doubt(self) -> Doubt:
        """Whether the law's form is that of the runs; see lawful.fitting.form."""
        from lawful.fitting.form import of_fit

        return self.known_doubt or of_fit(self)

    @functools.cached_property
    def alternatives(self) -> Alternatives | None:
        """The laws that a forecast averages over; None where it is the fitted law's own."""
        from lawful.fitting.form import unsuspected

        doubt = self.doubt
        is_decided = doubt.alternatives is not None or doubt.form.is_suspected or doubt.is_misfit
        return doubt.alternatives if is_decided else unsuspected(self)

    @property
    def domain(self) -> Mapping[str, Sequence[float]]:
        """Axis -> smallest and largest of the data."""
        return self.data.domain

    @property
    def law(self) -> str:
        return self.model.spec

    @property
    def free(self) -> tuple[str, ...]:
        return tuple(name for name in self.model.parameters if self.params[name].role == "fitted")

    @property
    def derived(self) -> dict[str, Parameter]:
        return {name: parameter for name, parameter in self.params.items() if parameter.role == "derived"}

    @property
    def values(self) -> dict[str, float]:
        """The law's own parameters, fitted and fixed."""
        return {name: self.params[name].value for name in self.model.parameters}

    @property
    def drawn(self) -> dict[str, Array]:
        """The draws by parameter name, each of shape (draws,)."""
        table = np.array(self.draws, dtype=float).reshape(-1, len(self.model.parameters))
        return dict(zip(self.model.parameters, table.T, strict=True))

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
        from lawful.fitting.predict import predict_one

        given = {"params": params, "tokens": tokens, "flops": flops, "unique_tokens": unique_tokens, **others}
        at = {
            name: self.model.level(name, value)
            if name in self.model.categories
            else float(argument(name, value, NonNegativeFloat if name in others else PositiveFloat))
            for name, value in given.items()
            if value is not None
        }
        return predict_one(self, at, argument("interval", interval, Interval), argument("level", level, Part))

    def allocate(
        self,
        *,
        flops: float | None = None,
        budget: float | None = None,
        price: str | None = None,
        cost: str | FlopsPerToken | None = None,
        serve_tokens: float = 0.0,
        at: Mapping[str, float | str] | None = None,
    ) -> Allocation:
        """The best params and tokens for a budget; see lawful.fitting.allocate."""
        from lawful.fitting.allocate import allocate

        return allocate(
            self,
            flops=argument("flops", flops, PositiveFloat | None),
            budget=argument("budget", budget, PositiveFloat | None),
            price=argument("price", price, str | None),
            cost=cost,
            serve_tokens=argument("serve_tokens", serve_tokens, NonNegativeFloat),
            at=at,
        )

    def diminishing_returns(
        self, *, threshold: float | None = None, at: Mapping[str, float | str] | None = None
    ) -> DiminishingReturns:
        """The point beyond which a doubling buys less than a threshold; see lawful.fitting.allocate."""
        from lawful.fitting.allocate import diminishing_returns

        return diminishing_returns(self, threshold=argument("threshold", threshold, PositiveFloat | None), at=at)

    def holdout(self, *, top: int = 1, largest: Literal["compute", "params", "tokens"] | None = None) -> Holdout:
        """Drop the `top` largest amounts of compute, params or tokens, refit, predict them, and say whether the
        forecasts held; see lawful.fitting.holdout."""
        from lawful.fitting.holdout import Largest, holdout

        return holdout(
            self, top=argument("top", top, PositiveInt), largest=argument("largest", largest, Largest | None)
        )

    def checklist(self, study: StudyPlan | None = None) -> tuple[Item, ...]:
        """The reproducibility checklist of arXiv:2502.18969, answered as far as is known."""
        from lawful.fitting.checklist import checklist

        return checklist(self, study)

    def plot(self) -> Any:
        """A matplotlib figure: the data and the law on the left, the residuals on the right."""
        from lawful.fitting.plot import plot

        return plot(self)

    def loss(self, values: Values, at: Mapping[str, float | Sequence[float] | Array]) -> Array:
        """The law at many points (arrays by axis); with values of shape (draws,), shape (draws, points)."""
        return self.model.predict(values, Axes.of(at, self.data.pivot))

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
        from lawful.fitting.summary import summary

        return summary(self)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        """For notebooks."""
        from lawful.fitting.summary import as_html

        return as_html(self)


def interval(low: float, high: float, digits: str = ".3g", *, width: int = 0) -> str:
    """[0.31, 0.37]; or what of it the data determine: at least 0.31, at most 0.37, not determined.

    A positive number is at least 0 anyway: from 0 to infinity is not determined.
    """
    first, last = (f"{end:{digits}}" for end in (low, high))
    if math.isfinite(low) and math.isfinite(high):
        return f"[{first:>{width}}, {last:>{width}}]"
    if math.isfinite(high):
        return f"at most {last}"
    return f"at least {first}" if math.isfinite(low) and low != 0 else "not determined"


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
