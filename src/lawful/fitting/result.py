"""Fit: a law, its parameters, its uncertainty, its convergence certificate, its warnings. Immutable; JSON both ways."""

from __future__ import annotations

import functools
from collections.abc import Iterator, KeysView, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from lawful import laws
from lawful.checks import Part, PositiveFloat, argument, nearest, shown
from lawful.errors import DeclarationError, StoreError
from lawful.fitting.allocate import Allocation, allocate
from lawful.fitting.checklist import Item, checklist
from lawful.fitting.cost import FlopsPerToken
from lawful.fitting.diminishing import DiminishingReturns, diminishing_returns
from lawful.fitting.fit_frames import Frames, columns_of
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.holdout import Holdout, Largest, holdout
from lawful.fitting.levels import conf_int
from lawful.fitting.plot import plot, plot_compute
from lawful.fitting.predictions import Amount, Predictions, is_array, predict_arrays, predict_point, predict_rows
from lawful.fitting.quantiles import LEVEL
from lawful.fitting.records import FitRecord, Interval, Parameter, Prediction
from lawful.fitting.stored_fit import FORMAT, FindLaw, expect_same_losses, law_of, read_stored
from lawful.fitting.summary import as_html, in_brief, summary
from lawful.laws import Law
from lawful.schema import StudyPlan
from lawful.storage.atomic import write_json
from lawful.storage.codec import to_plain
from lawful.storage.json_files import Json, read_json
from lawful.tables.frames import MakeFrame, as_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes as MatplotlibAxes
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, repr=False)
class Fit(FittedLaw):
    """The result of `lawful.fit`: the fitted law, and the questions that it answers. Every field survives JSON but
    known_doubt."""

    def __getitem__(self, name: str) -> Parameter:
        """A parameter by its name: `fit["alpha"]`; `float(fit["alpha"])` is its value."""
        if name not in self.params:
            raise DeclarationError(
                f"{self.law} has no parameter {shown(name)}; it has {nearest(name, [*self.params])}."
            )
        return self.params[name]

    def __contains__(self, name: object) -> bool:
        return name in self.params

    def __iter__(self) -> Iterator[str]:
        """The names of the parameters, as `name in fit` and `fit[name]` know them."""
        return iter(self.params)

    def keys(self) -> KeysView[str]:
        """The names of the parameters: `dict(fit)` is name -> Parameter."""
        return {**self.params}.keys()

    def conf_int(self, level: float = LEVEL) -> dict[str, tuple[float, float]]:
        """Intervals of all parameters, fitted and derived.

        Parameters
        ----------
        level
            The share of intervals that hold the truth, from .5 on. (The `alpha` of statsmodels is 1 - level.)

        Returns
        -------
        dict
            Name -> (low, high); an end that the data do not determine is 0 or infinite.

        Notes
        -----
        At .95 these are `ci95`. At another level: percentiles of the bootstrap draws, widened as those of `ci95`; where
        runs are few, each half of the profile interval, scaled by Student's t.

        Examples
        --------
        >>> low, high = fit.conf_int(0.9)["alpha"]
        >>> low < float(fit["alpha"]) < high
        True
        """
        return conf_int(self, argument("level", level, Part))

    @overload
    def predict(  # type: ignore[overload-overlap]  # no column of a formula is called `table`
        self,
        *,
        params: float | None = None,
        tokens: float | None = None,
        flops: float | None = None,
        unique_tokens: float | None = None,
        interval: Interval = "new_run",
        level: float = LEVEL,
        **others: float | str,
    ) -> Prediction: ...

    @overload
    def predict(self, table: object, *, interval: Interval = "new_run", level: float = LEVEL) -> Predictions: ...

    @overload
    def predict(
        self,
        *,
        params: Amount | None = None,
        tokens: Amount | None = None,
        flops: Amount | None = None,
        unique_tokens: Amount | None = None,
        interval: Interval = "new_run",
        level: float = LEVEL,
        **others: Amount,
    ) -> Prediction | Predictions: ...

    def predict(
        self,
        table: object = None,
        *,
        params: Amount | None = None,
        tokens: Amount | None = None,
        flops: Amount | None = None,
        unique_tokens: Amount | None = None,
        interval: Interval = "new_run",
        level: float = LEVEL,
        **others: Amount,
    ) -> Prediction | Predictions:
        """Predict the loss of runs that were not made, with its interval.

        Parameters
        ----------
        table
            A DataFrame, or another table that `read_runs` takes, with the columns that the fit was made with: a
            prediction for each row.
        params, tokens, flops, unique_tokens
            The law's axes, counts in units of one: a number each, or arrays of shape (points,). FLOPs stand for the
            one of params and tokens that is left out, through C = 6 N D.
        interval
            "new_run": of one more run's loss, as `lawful predict` has it; "mean": of the curve itself.
        level
            The share of intervals that hold what comes.
        **others
            The columns that a formula reads: numbers, or names of levels.

        Returns
        -------
        Prediction or Predictions
            Of numbers a Prediction; of a table or arrays Predictions, with `value`, `low` and `high` of shape (points,)
            and `to_frame()`. Losses are in the unit of the fitted ones.

        Raises
        ------
        DeclarationError
            An axis of the law is missing, or one that it lacks is given.
        TableError
            A table cannot be read.

        Examples
        --------
        >>> one = fit.predict(params=7e9, tokens=1.4e11)
        >>> one.low < one.value < one.high
        True
        >>> fit.predict(params=[1e9, 7e9], tokens=1e11).value.shape
        (2,)
        """
        named = {"params": params, "tokens": tokens, "flops": flops, "unique_tokens": unique_tokens, **others}
        given = {name: value for name, value in named.items() if value is not None}
        kind, level = argument("interval", interval, Interval), argument("level", level, Part)
        if table is not None:
            if given:
                raise DeclarationError(f"predict: expected a table or {', '.join(given)}, got both.")
            return predict_rows(self, table, kind, level)
        if any(map(is_array, given.values())):
            return predict_arrays(self, given, kind, level)
        return predict_point(self, given, kind, level)

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
        return allocate(self, flops=flops, budget=budget, price=price, cost=cost, serve_tokens=serve_tokens, at=at)

    def diminishing_returns(
        self, *, threshold: float | None = None, at: Mapping[str, float | str] | None = None
    ) -> DiminishingReturns:
        """The point beyond which a doubling buys less than a threshold; see lawful.fitting.diminishing."""
        return diminishing_returns(self, threshold=argument("threshold", threshold, PositiveFloat | None), at=at)

    def holdout(self, *, top: int = 1, largest: Largest | None = None) -> Holdout[Fit]:
        """Drop the `top` largest amounts of compute, params or tokens, refit, predict them, and say whether the
        forecasts held; see lawful.fitting.holdout."""
        return holdout(self, top=top, largest=largest)

    def checklist(self, study: StudyPlan | None = None) -> tuple[Item, ...]:
        """The reproducibility checklist of arXiv:2502.18969, answered as far as is known."""
        return checklist(self, study)

    def to_frame(self, what: Frames = "parameters", kind: MakeFrame | None = None) -> Any:  # Any: of their own library
        """A part of the fit as a DataFrame.

        Parameters
        ----------
        what
            "parameters": one row each, by its name, with value, stderr, low and high (95 %) and role. "residuals": one
            row for each run, with its axes, the observed and predicted loss, residual_log = log(observed / predicted)
            (of another metric than a loss their difference) and standardised (in robust sigmas). "draws": one row for
            each bootstrap draw, one column for each parameter.
        kind
            What makes a table of columns: polars.DataFrame, pyarrow.table, dict, pandas.DataFrame. By default a
            pandas.DataFrame whose index names the parameters; the others have them in a column, "parameter".

        Examples
        --------
        >>> table = fit.to_frame()
        >>> float(table.loc["alpha", "value"]) == float(fit["alpha"])
        True
        """
        part = argument("what", what, Frames)
        return as_frame(columns_of(self, part), kind, index="parameter" if part == "parameters" else "")

    def plot(self, ax: MatplotlibAxes | None = None, against: str | None = None) -> Figure:
        """Draw the runs and the law along its first axis, with the 95 % band of the curve.

        Parameters
        ----------
        ax
            Axes of matplotlib to draw into; by default a figure of its own, with the residuals on the right.
        against
            Also the curve of a published law, dashed: "hoffmann" (`lawful laws --published`). The fit's law must read
            params and tokens.

        Returns
        -------
        matplotlib.figure.Figure
            The figure of `ax`, or a new one that no window shows; `figure.savefig` writes it.

        Examples
        --------
        >>> fit.plot().savefig("law.png")
        """
        return plot(self, ax, argument("against", against, str | None))

    def plot_compute(self, ax: MatplotlibAxes | None = None) -> Figure:
        """Draw loss against training compute, C = 6 N D: the runs, the law of each size, the compute-optimal frontier.

        Parameters
        ----------
        ax
            As in `plot`.

        Raises
        ------
        DeclarationError
            The law reads neither params and tokens nor FLOPs.
        """
        return plot_compute(self, ax)

    def save(self, path: str | Path) -> None:
        """Write the fit to a JSON file, which `lawful.load` reads; see to_json."""
        self.to_json(path)

    def to_json(self, path: str | Path | None = None) -> dict[str, Json]:
        """Plain data, also written whole to `path` where one is given. Raises DeclarationError where the law cannot be
        stored, with the reason; the fit itself goes on working in memory."""
        law = laws.to_data(self.model)
        expect_same_losses(laws.rebuilt(law, self.model), self)
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
        if not path.is_file():
            raise StoreError(f"{path}: no such file; expected a fit, as Fit.save writes it.")
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

    def __repr__(self) -> str:
        """Short: the law, its parameters with their intervals, n, the codes of its warnings."""
        return in_brief(self)

    def _repr_html_(self) -> str:
        """For notebooks."""
        return as_html(self)


def read_fit(raw: Mapping[str, Json], find: FindLaw | None = None, within: str = "") -> Fit:
    """As stored_fit.read_stored."""
    model, record = read_stored(raw, find, within)
    return Fit(model=model, **{one.name: getattr(record, one.name) for one in fields(FitRecord)})


def load(path: str | Path, *, law: str | Law | None = None) -> Fit:
    """Read a fit that `Fit.save` wrote.

    Parameters
    ----------
    path
        The JSON file.
    law
        Of a fit with a law of your own: that law, or its FILE.py:CLASS, which is then imported. Without it nothing is
        imported, and a fit with a law that is not lawful's own is refused.

    Raises
    ------
    StoreError, DeclarationError
        The file is no fit, or its law is not at hand.

    Examples
    --------
    >>> fit.save("fit.json")
    >>> lawful.load("fit.json") == fit
    True
    """
    return Fit.from_json(argument("path", path, str | Path), law=law)
