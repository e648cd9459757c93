"""What a fit holds besides its law, as records: parameters, certificate, goodness, residuals, facts of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lawful.checks import AnyFloat
from lawful.errors import DeclarationError
from lawful.response import LOG, Response
from lawful.schema import Observation, Warning

Interval = Literal["mean", "new_run"]


@dataclass(frozen=True)
class Parameter:
    """One number of a law. role: fitted, fixed, or derived from the others. ci95 and stderr are nan where unknown."""

    name: str
    value: AnyFloat
    stderr: AnyFloat
    ci95: tuple[AnyFloat, AnyFloat]
    role: Literal["fitted", "fixed", "derived"] = "fitted"
    at_bound: Literal["low", "high"] | None = None

    def __float__(self) -> float:
        return float(self.value)


@dataclass(frozen=True)
class Objective:
    """value is the sum over rows of Huber_delta(residual) (of r^2 / 2 for l2), the unit that papers print."""

    name: str
    value: AnyFloat
    delta: AnyFloat | None
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
    decrement: AnyFloat
    eigenvalues: tuple[AnyFloat, ...]
    starts: int
    agree: int
    steps: int
    at_bounds: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Goodness:
    """n rows in `clusters` clusters; dof = clusters - fitted parameters; errors are of log loss (about relative), of
    another response than a loss of the metric itself.

    sigma_run     spread between replicates (same axes, another cluster); None without replicates
    lack_of_fit   F test of the residuals against the replicates: {"F", "dof", "dof_replicates", "p"}, or None
    """

    n: int
    clusters: int
    dof: int
    rmse_log: AnyFloat
    sigma_log: AnyFloat
    aicc: AnyFloat
    bic: AnyFloat
    sigma_run: AnyFloat | None
    lack_of_fit: Mapping[str, AnyFloat] | None


@dataclass(frozen=True, kw_only=True)
class ErrorBars:
    """Standard errors of the losses, as the table gives them, against the scatter about the law; all of log loss, or in
    units of the response's noise: of an accuracy p, sqrt(p (1 - p)).

    column             that holds them, or the numbers of test items
    shortest, longest  of the rows that were fitted
    scatter            root mean square of the residuals over their bars: about 1 where the bars are right
    is_off             it is further from 1 than chance explains
    extra              standard deviation beside the bars that the rows share; 0 where the bars explain the scatter
    is_count           they follow from numbers of test items
    """

    column: str
    shortest: AnyFloat
    longest: AnyFloat
    scatter: AnyFloat
    is_off: bool
    extra: AnyFloat
    is_count: bool = False


@dataclass(frozen=True)
class Residual:
    """One row as it was fitted. residual_log is log(observed / predicted), of another response than a loss observed -
    predicted; standardised is in robust sigmas; error is the standard error that the table gives, as in ErrorBars."""

    run: str
    cluster: int
    axes: Mapping[str, AnyFloat]
    observed: AnyFloat
    predicted: AnyFloat
    residual_log: AnyFloat
    standardised: AnyFloat
    error: AnyFloat | None = None


@dataclass(frozen=True)
class Prediction:
    """value and its interval at `level`; extrapolation is how far outside the data, as a factor (1 inside).

    laws   the laws that the forecast averages over with their weights; empty where it is the fitted law's own
    """

    value: AnyFloat
    low: AnyFloat
    high: AnyFloat
    level: float
    interval: Interval
    at: Mapping[str, float | str]
    extrapolation: AnyFloat
    warnings: tuple[Warning, ...] = ()
    laws: Mapping[str, float] = field(default_factory=dict)

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        """Short: the value, its interval, where, and the codes of its warnings."""
        where = ", ".join(f"{axis}={one if isinstance(one, str) else f'{one:.4g}'}" for axis, one in self.at.items())
        of = "one more run" if self.interval == "new_run" else "the curve"
        codes = "".join(f"; {code}" for code in dict.fromkeys(warning.code for warning in self.warnings))
        ends = f"{self.value:.5g} [{self.low:.5g}, {self.high:.5g}]"
        return f"<Prediction {ends} at {where}; {100 * self.level:g} % interval of {of}{codes}>"


@dataclass(frozen=True)
class HeldOutRow:
    """A run that the table holds out: predicted for one more run, then looked at. error_relative: of the forecast."""

    run: str
    prediction: Prediction
    observed: float
    error_relative: AnyFloat
    is_inside: bool


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A run of which a law that did not see it says the loss (with the interval for a new run), beside what came.

    is_registered    forecast in forecasts.json before the run began
    """

    run: str
    rung: str
    params: float | None
    tokens: float | None
    seed: int | None
    predicted: AnyFloat
    interval: tuple[AnyFloat, AnyFloat]
    observed: float
    error_relative: AnyFloat
    is_inside: bool
    is_registered: bool = False


@dataclass(frozen=True)
class Ranked:
    """A law of the fit's axes, and how it predicts runs that it is not fitted to.

    left_out   what was left out -> the rms error of log loss there
    error      their geometric mean, none counted below the noise about the law
    aicc       of the law on all rows
    """

    law: str
    left_out: Mapping[str, AnyFloat]
    error: AnyFloat
    aicc: AnyFloat


@dataclass(frozen=True, kw_only=True)
class PriorUsed:
    """A prior that the user stated, and what it did.

    mean, stderr        of the parameter, as stated
    alone, alone_ci95   what the rows give without any prior
    z                   how far the rows lie from the prior, in standard errors of their difference
    width               of the interval, over that without priors; 0 where that has no end
    """

    name: str
    mean: AnyFloat
    stderr: AnyFloat
    z: AnyFloat
    alone: AnyFloat
    alone_ci95: tuple[AnyFloat, AnyFloat]
    width: AnyFloat


@dataclass(frozen=True, kw_only=True)
class FitData:
    """Facts of the rows that were fitted.

    columns      role -> column: the axes of the law, loss, cluster
    levels       axis -> number of distinct values
    domain       axis -> smallest and largest value
    pivot        axis -> the value at which its centred logarithm is 0
    dropped      rows left out: {"row", "run", "rung", "reason"}
    alike        rows that say the same as an earlier one in all but their names
    loss_unit    what the losses are in; empty where the table does not say
    response     what the column is of which the law is: a loss, an accuracy, another number
    """

    source: str = ""
    sha256: str = ""
    columns: Mapping[str, str]
    n: int
    clusters: int
    levels: Mapping[str, int] = field(default_factory=dict)
    domain: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    loss_range: tuple[float, float] = (0.0, 0.0)
    pivot: Mapping[str, float]
    dropped: tuple[Observation, ...] = ()
    alike: int = 0
    loss_unit: str = ""
    response: Response = LOG

    @property
    def loss(self) -> str:
        """The column of the loss and its unit, in words."""
        if self.response.is_share:
            return f"{self.columns['loss']}, a share of {'wrong' if self.response.is_error else 'right'} answers"
        return f"{self.columns['loss']}, {f'in {self.loss_unit}' if self.loss_unit else 'in a unit that is not said'}"


@dataclass(frozen=True, kw_only=True)
class WithoutRun:
    """The law's parameters where one run is left out."""

    run: str
    params: Mapping[str, AnyFloat]


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """How the parameters move when the analysis does.

    objective    name of the objective -> parameters
    counting     what counts as an axis -> the law's shapes
    outlier      without each of the runs that fit worst
    """

    objective: Mapping[str, Mapping[str, AnyFloat]] = field(default_factory=dict)
    counting: Mapping[str, Mapping[str, AnyFloat]] = field(default_factory=dict)
    outlier: tuple[WithoutRun, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FitRecord:
    """Everything of a fit but its law.

    formula       of the law, for readers
    params        name -> Parameter, fitted ones first, then those derived from them (Chinchilla's A and B)
    covariance    of the fitted parameters in the order of `free`, robust to clusters
    draws         refits to resampled clusters (where these are few, to losses drawn from the fitted law and its noise),
                  one tuple per draw in the order of law.parameters
    bounds        those given by the user
    dof           degrees of freedom behind the widest interval
    interval_method   how ci95 was made
    spread_slopes     axis -> d log sigma / d log axis of the runs' noise, where replicates show that it changes; sigmas
                      in `goodness` are then those at the pivot
    error_bars        of the losses, where rows weigh by them; sigmas in `goodness` are then those of a typical row
    held_out      the finished runs that the table's column `held_out` keeps from the fit, predicted and scored
    ranking       the laws of these axes by their errors on runs left out, the best first; empty where it was not asked
    priors        those that the user stated, and what they did
    """

    formula: str
    params: Mapping[str, Parameter]
    objective: Objective
    convergence: Convergence
    goodness: Goodness
    data: FitData
    covariance: tuple[tuple[AnyFloat, ...], ...]
    draws: tuple[tuple[AnyFloat, ...], ...]
    sensitivity: Sensitivity
    residuals: tuple[Residual, ...]
    warnings: tuple[Warning, ...]
    interval_method: str
    dof: AnyFloat
    bounds: Mapping[str, tuple[AnyFloat, AnyFloat]]
    seed: int
    versions: Mapping[str, str] = field(default_factory=dict)
    spread_slopes: Mapping[str, AnyFloat] = field(default_factory=dict)
    held_out: tuple[HeldOutRow, ...] = ()
    error_bars: ErrorBars | None = None
    ranking: tuple[Ranked, ...] = ()
    priors: tuple[PriorUsed, ...] = ()


def expect_fit(found: object) -> None:
    """Raises DeclarationError where something else than a fit is given: a table is fitted first."""
    if not isinstance(found, FitRecord):
        raise DeclarationError(f"expected a fit, as lawful.fit(runs) gives it, got {type(found).__name__}.")
