"""Fit: a law, its parameters, its uncertainty, its convergence certificate, its warnings. Immutable; JSON both ways."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lawful import laws
from lawful.checks import Part, PositiveFloat, PositiveInt, argument
from lawful.errors import DeclarationError
from lawful.fitting.quantiles import LEVEL
from lawful.laws import Array, Axes, Law
from lawful.storage.atomic import write_json
from lawful.storage.json_files import plain, read_json, reading

if TYPE_CHECKING:
    from lawful.fitting.allocate import Allocation, DiminishingReturns
    from lawful.fitting.checklist import Item
    from lawful.fitting.form import Doubt
    from lawful.fitting.holdout import Holdout
    from lawful.fitting.sisters import Alternatives
    from lawful.schema import StudyPlan

FORMAT = 2  # 1 held the law as text
SAME_LOSS = 1e-6  # relative: between the losses that a fit records and those of its law, read back
Interval = Literal["mean", "new_run"]


@dataclass(frozen=True)
class Caution:
    """Something a reader must know. Codes are stable; severity is note, warning or severe."""

    code: str
    severity: Literal["note", "warning", "severe"]
    sentence: str


@dataclass(frozen=True)
class Parameter:
    """One number of a law. role: fitted, fixed, or derived from the others. ci95 and stderr are nan where unknown."""

    name: str
    value: float
    stderr: float
    ci95: tuple[float, float]
    role: Literal["fitted", "fixed", "derived"] = "fitted"
    at_bound: Literal["low", "high"] | None = None


@dataclass(frozen=True)
class Objective:
    """value is the sum over rows of Huber_delta(residual) (of r^2 / 2 for l2), the unit that papers print."""

    name: str
    value: float
    delta: float | None
    is_log: bool


@dataclass(frozen=True)
class Convergence:
    """Why the point is a minimum, in numbers. `is_certified`: no test failed, and no parameter is at a bound.

    decrement      relative Newton decrement: the share of the misfit that another Newton step would remove
    eigenvalues    of the Hessian at the point, scaled to a unit diagonal, free parameters only
    starts, agree  starts tried, and how many reached the best misfit to 1e-6 of it
    problems       the tests that failed
    """

    is_certified: bool
    decrement: float
    eigenvalues: tuple[float, ...]
    starts: int
    agree: int
    steps: int
    at_bounds: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Goodness:
    """n rows in `clusters` clusters; dof = clusters - fitted parameters; errors are of log loss (about relative).

    sigma_run     spread of log loss between replicates (same axes, another cluster); None without replicates
    lack_of_fit   F test of the residuals against the replicates: {"F", "dof", "p"}, or None
    """

    n: int
    clusters: int
    dof: int
    rmse_log: float
    sigma_log: float
    aicc: float
    bic: float
    sigma_run: float | None
    lack_of_fit: Mapping[str, float] | None


@dataclass(frozen=True)
class Residual:
    """One row as it was fitted. residual_log is log(observed / predicted); standardised is in robust sigmas."""

    run: str
    cluster: int
    axes: Mapping[str, float]
    observed: float
    predicted: float
    residual_log: float
    standardised: float


@dataclass(frozen=True)
class Prediction:
    """value and its interval at `level`; extrapolation is how far outside the data, as a factor (1 inside).

    laws   the laws that the forecast averages over with their weights; empty where it is the fitted law's own
    """

    value: float
    low: float
    high: float
    level: float
    interval: Interval
    at: Mapping[str, float]
    extrapolation: float
    warnings: tuple[Caution, ...] = ()
    laws: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class HeldOutRow:
    """A run that the table holds out: predicted for one more run, then looked at. error_relative: of the forecast."""

    run: str
    prediction: Prediction
    observed: float
    error_relative: float
    is_inside: bool


@dataclass(frozen=True)
class Fit:
    """The result of `lawful.fit`. Every field survives JSON; the law as its class and fields (laws.to_data).

    model         the law itself; `law` and `formula` are its texts for readers
    params        name -> Parameter, fitted ones first, then those derived from them (Chinchilla's A and B)
    covariance    of the fitted parameters in the order of `free`, robust to clusters
    draws         refits to resampled clusters (where these are few, to losses drawn from the fitted law and its noise),
                  one tuple per draw in the order of law.parameters
    bounds        those given by the user
    dof           degrees of freedom behind the widest interval
    data          facts: source, sha256, columns, clusters, levels, domain, pivot, dropped rows
    sensitivity   {"objective": {name: {parameter: value}}, "outlier": {...}, "counting": {...}}
    interval_method   how ci95 was made
    spread_slopes     axis -> d log sigma / d log axis of the runs' noise, where replicates show that it changes; sigmas
                      in `goodness` are then those at the pivot
    held_out      the finished runs that the table's column `held_out` keeps from the fit, predicted and scored
    known_doubt   of a fit made in this process, its `doubt`; not stored
    """

    model: Law
    formula: str
    params: Mapping[str, Parameter]
    objective: Objective
    convergence: Convergence
    goodness: Goodness
    data: Mapping[str, Any]
    covariance: tuple[tuple[float, ...], ...]
    draws: tuple[tuple[float, ...], ...]
    sensitivity: Mapping[str, Any]
    residuals: tuple[Residual, ...]
    warnings: tuple[Caution, ...]
    interval_method: str
    dof: float
    bounds: Mapping[str, tuple[float, float]]
    seed: int
    versions: Mapping[str, str] = field(default_factory=dict)
    spread_slopes: Mapping[str, float] = field(default_factory=dict)
    held_out: tuple[HeldOutRow, ...] = ()
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
        ranges: Mapping[str, Sequence[float]] = self.data["domain"]
        return ranges

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
        **others: float,
    ) -> Prediction:
        """The loss at one point; `others` are the columns that a formula reads. interval="mean": of the curve itself;
        "new_run": of one more run's loss, which adds the spread between runs. Raises LawfulError when an axis of
        the law is missing or one it lacks is given."""
        from lawful.fitting.predict import predict_one

        given = {"params": params, "tokens": tokens, "flops": flops, "unique_tokens": unique_tokens, **others}
        at = {name: float(argument(name, value, PositiveFloat)) for name, value in given.items() if value is not None}
        return predict_one(self, at, argument("interval", interval, Interval), argument("level", level, Part))

    def allocate(self, *, flops: float, cost: Any = None) -> Allocation:
        """The best params and tokens for a budget; see lawful.fitting.allocate."""
        from lawful.fitting.allocate import allocate

        return allocate(self, flops=argument("flops", flops, PositiveFloat), cost=cost)

    def diminishing_returns(self, *, threshold: float | None = None) -> DiminishingReturns:
        """The point beyond which a doubling buys less than a threshold; see lawful.fitting.allocate."""
        from lawful.fitting.allocate import diminishing_returns

        return diminishing_returns(self, threshold=argument("threshold", threshold, PositiveFloat | None))

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

    def loss(self, values: Mapping[str, Any], at: Mapping[str, Any]) -> Array:
        """The law at many points (arrays by axis); with values of shape (draws,), shape (draws, points)."""
        return self.model.predict(values, Axes.of(at, self.data["pivot"]))

    def to_json(self, path: str | Path | None = None) -> dict[str, Any]:
        """Plain data, also written whole to `path` where one is given. Raises DeclarationError where the law cannot be
        stored, with the reason; the fit itself goes on working in memory."""
        law = laws.to_data(self.model)
        held = dataclasses.asdict(dataclasses.replace(self, known_doubt=None))
        del held["model"], held["known_doubt"]
        out: dict[str, Any] = plain({"format": FORMAT, "law": law, **held})
        _expect_same_losses(laws.rebuilt(law, self.model), out)
        where = argument("path", path, str | Path | None)
        if where is not None:
            write_json(Path(where), out)
        return out

    @classmethod
    def from_json(cls, source: Mapping[str, Any] | str | Path, *, law: str | Law | None = None) -> Fit:
        """The inverse of to_json, from its data or its file.

        law     of a fit with a law of your own: that law, or its FILE.py:CLASS, which is then imported. Without it,
                reading a fit imports nothing: a fit with a law that is not lawful's own is refused.
        """
        if not isinstance(source, Mapping):
            path = Path(argument("source", source, Mapping | str | Path))
            with reading(path, "a fit as `lawful fit` writes it"):
                try:
                    return cls.from_json(read_json(path), law=law)
                except DeclarationError as error:
                    raise DeclarationError(f"{path}: {error}") from None
        if source.get("format") not in (1, FORMAT):
            raise DeclarationError(f"expected a fit of format {FORMAT}; it was written by another version of lawful.")
        try:
            return cls._from_data(dict(source), law)
        except (AttributeError, LookupError, TypeError) as error:
            raise DeclarationError(
                f"expected a fit as `lawful fit` writes it, got one that cannot be read "
                f"({type(error).__name__}: {error})."
            ) from error

    @classmethod
    def _from_data(cls, raw: dict[str, Any], law: str | Law | None) -> Fit:
        del raw["format"]
        raw["model"] = law_of(raw, law)
        del raw["law"]
        raw["params"] = {
            name: Parameter(
                **{
                    **p,
                    "value": _number(p["value"]),
                    "stderr": _number(p["stderr"]),
                    "ci95": tuple(map(_number, p["ci95"])),
                }
            )
            for name, p in raw["params"].items()
        }
        raw["objective"] = Objective(**raw["objective"])
        raw["convergence"] = Convergence(
            **{
                **raw["convergence"],
                "decrement": _number(raw["convergence"]["decrement"]),
                "eigenvalues": tuple(map(_number, raw["convergence"]["eigenvalues"])),
                "at_bounds": tuple(raw["convergence"]["at_bounds"]),
                "problems": tuple(raw["convergence"]["problems"]),
            }
        )
        raw["goodness"] = Goodness(**{k: _number(v) for k, v in raw["goodness"].items()})
        raw["residuals"] = tuple(Residual(**row) for row in raw["residuals"])
        raw["warnings"] = tuple(Caution(**row) for row in raw["warnings"])
        raw["held_out"] = tuple(map(_held_out_row, raw.get("held_out", ())))
        raw["covariance"] = tuple(tuple(map(_number, row)) for row in raw["covariance"])
        raw["draws"] = tuple(map(tuple, raw["draws"]))
        raw["bounds"] = {name: tuple(map(_number, pair)) for name, pair in raw["bounds"].items()}
        return cls(**raw)

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


def law_of(raw: Mapping[str, Any], law: str | Law | None = None) -> Law:
    """The law of a fit's JSON. Raises DeclarationError where it is not at hand (see Fit.from_json), and where it does
    not give the losses that the fit recorded: then it is another law, or has been edited since."""
    model = laws.stored(raw["law"]) if law is None else laws.rebuilt(raw["law"], law)
    _expect_same_losses(model, raw)
    return model


def _expect_same_losses(law: Law, raw: Mapping[str, Any]) -> None:
    residuals, params = raw.get("residuals") or (), raw["params"]
    known = [row.get("axes") or {} for row in residuals]
    if lacking := [name for name in law.parameters if name not in params]:
        raise DeclarationError(f"law: {law.spec} has {', '.join(lacking)}, which this fit lacks: it is of another law.")
    if any(axis not in at for axis in law.inputs for at in known):
        raise DeclarationError(f"law: {law.spec} reads {', '.join(law.inputs)}; this fit is of another law.")
    if not residuals:
        return
    values = {name: float(params[name]["value"]) for name in law.parameters}
    at = Axes.of({axis: [float(one[axis]) for one in known] for axis in law.inputs}, raw["data"]["pivot"])
    with np.errstate(all="ignore"):
        losses = law.predict(values, at)
    recorded = np.array([float(row["predicted"]) for row in residuals])
    if not np.allclose(losses, recorded, rtol=SAME_LOSS, atol=0, equal_nan=True):
        row = int(np.argmax(~np.isclose(losses, recorded, rtol=SAME_LOSS, atol=0, equal_nan=True)))
        raise DeclarationError(
            f"law: {law.spec} gives {losses[row]:.6g} where this fit recorded {recorded[row]:.6g} (row {row + 1}): it "
            "is another law than the one that was fitted, or was changed since. Fit again."
        )


def _held_out_row(raw: Mapping[str, Any]) -> HeldOutRow:
    prediction = {name: _number(value) if name != "interval" else value for name, value in raw["prediction"].items()}
    warnings = tuple(Caution(**one) for one in prediction["warnings"])
    return HeldOutRow(**{**raw, "prediction": Prediction(**{**prediction, "warnings": warnings})})


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value
