"""`lawful.discover`: a search for the formula of a table over a small grammar, chosen by rungs that are left out.

1. Forms grow from the simplest by one step at a time (grammar.py). Each is fitted to all rows. The best few of each
   length are grown further, up to one parameter more than the best form has.
2. The leaders are fitted again without some of the rungs, and predict these: five groups at random. To show how they
   extrapolate, they also predict the largest levels of each input.
3. The form with the least held-out error and length is chosen. Rungs drawn with replacement show how sure that is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lawful.checks import NaturalInt, checked
from lawful.errors import DeclarationError, Refusal, TableError
from lawful.fitting import solver
from lawful.fitting.data import Sample, read_table, refuse_too_little, sample
from lawful.fitting.default_law import JITTER, unread_axis
from lawful.fitting.grammar import Form, Writer, grown, shrunk, simplest
from lawful.fitting.search import Point, beside, by_squares, limits
from lawful.formula.names import ROLES
from lawful.laws import Array, Law
from lawful.laws.formula import Formula
from lawful.response import expect_loss
from lawful.tables import Observations

MOST_INPUTS = 4
MOST_PARAMETERS = 7  # of a form: the laws of the catalogue have 3 to 7
ROWS_EACH = 4  # of the table for each parameter of a form
LEAST_ROWS = 12
BEAM = 3  # forms of each length that are grown further. With 10 of any length, 2 of 9 planted laws were passed by
MOST_TRIED = 1000
LEADERS = 10  # forms that are held against rungs left out
GROUPS = 5  # of rungs, left out in turn
QUARTER = 0.25  # of the levels of an input: the largest, which are forecast
LEAST_LEVELS = 4  # of an input whose largest levels are left out
CLIP = 4.0  # robust sigmas: what lies farther off counts as so far off
NO_NOISE = 1e-7  # of log loss: smaller errors are rounding
RESAMPLES = 1000
# added to log n for each parameter. log n is the price of a number (BIC); 4 = 2 log 8 is the price of saying which of
# about eight steps was taken (extended BIC, Chen & Chen 2008), without which one of them helps by chance
STEP_PRICE = 4.0

Progress = Callable[[int, str], None]


@dataclass(frozen=True, kw_only=True)
class TriedForm:
    """One of the leading forms.

    formula       as `lawful fit --law` takes it, with these bounds
    values        the parameters of the best fit to all rows
    held_out      rms log error on rungs left out, five groups in turn
    beyond        the same on the largest levels of each input, left out in turn; None where there are too few levels
    chosen        share of resamples of the rungs in which this form is the choice
    """

    formula: str
    bounds: Mapping[str, tuple[float, float]]
    values: Mapping[str, float]
    parameters: int
    held_out: float
    beyond: float | None
    chosen: float

    @property
    def law(self) -> Law:
        return Law(self.formula, bounds=self.bounds)


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """forms: the leading ones, the choice first. tried: how many were fitted to all rows. unread: what else varies."""

    forms: tuple[TriedForm, ...]
    tried: int
    rows: int
    rungs: int
    inputs: tuple[str, ...]
    source: str
    seed: int
    unread: str = ""

    def __repr__(self) -> str:
        return f"<Discovery {self.formula}: the best of {self.tried} forms>"

    @property
    def formula(self) -> str:
        return self.forms[0].formula

    @property
    def law(self) -> Law:
        """For `lawful.fit(runs, found.law)`."""
        return self.forms[0].law

    @property
    def sentence(self) -> str:
        best = self.forms[0]
        beyond = "" if best.beyond is None else f", and the largest levels of each input by {100 * best.beyond:.2g} %"
        sure = "" if best.chosen >= 0.5 else " No form is clearly ahead: read the rivals below as equally likely."
        return (
            f"{best.formula} is the choice among {self.tried} forms on {self.rows} runs at {self.rungs} rungs: it "
            f"misses rungs left out by {100 * best.held_out:.2g} %{beyond}. It is chosen in {100 * best.chosen:.0f} % "
            f"of resamples of the rungs.{sure}{self.unread and f' Note: {self.unread}'}"
        )


@checked
def discover(
    source: Any,
    inputs: Sequence[str],
    *,
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    flops: str | None = None,
    cluster: str | None = None,
    seed: NaturalInt = 0,
    progress: Progress | None = None,
) -> Discovery:
    """Search for the formula of a table.

    Parameters
    ----------
    source
        Anything `read_runs` takes.
    inputs
        What the loss may depend on, up to four: N, D, C, a role (params), or a column's name.
    params, tokens, loss, flops, cluster
        The columns' names; those not given are recognised where they carry a usual name.
    seed
        Of the groups of rungs that are left out, and of the resamples.
    progress
        Called after each form with how many were tried and the formula that leads.

    Returns
    -------
    Discovery
        The choice, its rivals, how often each is chosen, how many were tried.

    Raises
    ------
    Refusal
        The table has too few rows, or too few levels of an input.
    LawfulError
        A bad table or argument.

    Notes
    -----
    Sums and products of powers, floors, couplings, breaks, interactions: see lawful.fitting.grammar. Powers are above
    0 along inputs where the loss rises. An interval of the chosen form alone does not include the choice.

    Examples
    --------
    >>> found = lawful.discover(runs, ["N", "D"])
    >>> found.formula
    'E + A*D^-alpha + B*N^-beta'
    """
    columns = {"params": params, "tokens": tokens, "loss": loss, "flops": flops, "cluster": cluster}
    columns |= dict.fromkeys(("unique_tokens", "stderr", "trials"))
    table = read_table(source, columns)
    expect_loss(table.response, "a search for a formula")
    shown = _shown(inputs, table)
    law = _powers(shown)
    data, _ = sample(table, law, columns).in_order()
    data = replace(data, row_noise=np.full(data.n, data.relative), spread_slopes={})  # rows weigh alike in each form
    _refuse(data, shown)
    writer = _writer(data, shown, table)
    tried = _search(data, writer, range(len(shown)), progress)
    leaders = sorted(tried.values(), key=lambda own: own.score)[:LEADERS]
    found = _chosen(leaders, data, len(tried), tuple(inputs), table.source, seed)
    left = unread_axis(law, data.observations)
    return replace(found, unread=left.sentence.replace(law.spec, "the search") if left else "")


@dataclass(frozen=True)
class _Tried:
    form: Form
    law: Formula
    point: Point
    score: float


def _shown(inputs: Sequence[str], table: Observations) -> dict[str, str]:
    """Axis of the table -> how a formula names it. Raises DeclarationError, TableError."""
    if not 1 <= len(inputs) <= MOST_INPUTS:
        raise DeclarationError(f"inputs: expected 1 to {MOST_INPUTS} names, such as N,D; got {len(inputs)}.")
    shown: dict[str, str] = {}
    for name in inputs:
        column = table.known_as(name)
        letter = next((own for own, role in ROLES.items() if table.roles.get(role) == column), None)
        if letter is None and column not in table.columns:
            letter = next((own for own, role in ROLES.items() if name in (own, role)), None)
            if letter is None:
                raise TableError(
                    f"{table.source}: inputs: expected columns of the table, or N, D, C; got {name!r}. It has "
                    f"{', '.join(table.columns)}."
                )
        if letter is None and "`" in column:
            raise TableError(f"{table.source}: inputs: no formula can name {column!r}, which holds a `: rename it.")
        if column == table.roles.get("loss"):
            raise DeclarationError(f"inputs: {name} is the loss, which the formula should give.")
        axis = ROLES[letter] if letter else column
        if axis in shown:
            raise DeclarationError(f"inputs: expected each input once, got {name} again ({axis}).")
        shown[axis] = letter or f"`{column}`"
    return shown


def _powers(shown: Mapping[str, str]) -> Formula:
    """A law that reads all inputs, to read the rows by."""
    return Formula(" + ".join(f"c{k}*{shown[name]}^-e{k}" for k, name in enumerate(shown)))


def _refuse(data: Sample, shown: Mapping[str, str]) -> None:
    for axis, values in data.values.items():
        if (values <= 0).any():
            raise TableError(
                f"{data.observations.source}: {axis}: expected numbers above 0, of which powers can be taken, got "
                f"{values.min():g}. Leave such rows out (--where '{axis}>0'), or add a column."
            )
    if data.n < LEAST_ROWS:
        raise Refusal(
            "too_few_points", f"A search for a formula needs at least {LEAST_ROWS} runs; got {data.n}. Add runs."
        )
    refuse_too_little(data, _powers(shown), 2)
    logs = np.stack([data.x.logs[axis] for axis in shown], axis=1)
    across = np.linalg.svd(logs - logs.mean(axis=0), compute_uv=False)[-1] / math.sqrt(data.n)
    if len(shown) > 1 and across <= JITTER:
        raise Refusal(
            "inputs_together",
            f"{data.observations.source}: {', '.join(shown)} vary together: in one direction their logarithms spread "
            f"by {across:.2g}, and it takes more than {JITTER:g} to tell which of them matters. Leave one out, or add "
            "runs in which they vary apart.",
        )


def _writer(data: Sample, shown: Mapping[str, str], table: Observations) -> Writer:
    logs = np.stack([np.ones(data.n), *(data.x.logs[axis] for axis in shown)], axis=1)
    slopes = np.linalg.lstsq(logs, np.log(data.loss), rcond=None)[0][1:]
    return Writer(
        shown=tuple(shown.values()),
        rising=frozenset(np.flatnonzero(slopes > 0).tolist()),
        pivot=tuple(data.x.pivot[axis] for axis in shown),
        taken=frozenset({*table.columns, *shown, *ROLES, *ROLES.values()}),
    )


def _search(data: Sample, writer: Writer, inputs: range, progress: Progress | None) -> dict[Form, _Tried]:
    """All forms that were fitted. Each round grows the leading forms of each length that were not grown yet."""
    tried: dict[Form, _Tried] = {}
    most = min(MOST_PARAMETERS, data.n // ROWS_EACH)
    leading: _Tried | None = None
    waiting = simplest(inputs)
    was_grown: set[Form] = set()
    while waiting:
        for form in waiting:
            if form in tried or form.parameters > most or len(tried) >= MOST_TRIED:
                continue
            tried[form] = found = _fitted(data, writer, form)
            if leading is None or found.score < leading.score:
                leading = found
            if progress is not None:
                progress(len(tried), leading.law.formula)
        leaders = _leaders(tried, most=leading.form.parameters + 1 if leading else 0)
        waiting = [
            new
            for form in leaders
            if form not in was_grown and len(tried) < MOST_TRIED
            for new in (*grown(form, inputs), *shrunk(form))
        ]
        was_grown.update(leaders)
    return tried


def _leaders(tried: Mapping[Form, _Tried], most: int) -> list[Form]:
    out = []
    for length in range(1, most + 1):
        own = [one for one in tried.values() if one.form.parameters == length]
        out += [one.form for one in sorted(own, key=lambda one: one.score)[:BEAM]]
    return out


def _fitted(data: Sample, writer: Writer, form: Form) -> _Tried:
    law = writer.law(form)
    point = by_squares(data.on(law), law, *limits(law, {}, {}))
    return _Tried(form, law, point, _score(point.residuals_log, form.parameters, data))


def _score(errors: Array, parameters: int, data: Sample) -> float:
    """The misfit and the length as one number, in units of twice a log likelihood. Clusters are the evidence."""
    return data.clusters * math.log(_mean_square(errors)) + parameters * _price(data)


def _price(data: Sample) -> float:
    return math.log(data.clusters) + STEP_PRICE


def _mean_square(errors: Array, weights: Array | None = None) -> float:
    limit = CLIP * 1.4826 * float(np.median(np.abs(errors)))
    return float(np.average(np.clip(errors, -limit, limit) ** 2, weights=weights)) + NO_NOISE**2


def _chosen(
    leaders: list[_Tried], data: Sample, tried: int, inputs: tuple[str, ...], source: str, seed: int
) -> Discovery:
    """The leaders in the order of their errors on rungs left out, with the price of their lengths."""
    rng = np.random.default_rng(seed)
    rung = rungs_of(data)
    number = int(rung.max()) + 1
    group = (rng.permutation(number) * GROUPS // number)[rung]
    inside = [group == k for k in range(GROUPS)]
    beyond = _largest(data)
    points = [beside(data.on(one.law), one.law, *limits(one.law, {}, {})) for one in leaders]
    errors, far = zip(*(_held_out(point, inside, beyond) for point in points), strict=True)
    lengths = np.array([one.form.parameters for one in leaders])
    scores = np.array([_score(own, length, data) for own, length in zip(errors, lengths, strict=True)])
    if _score(_from_the_mean(np.log(data.loss), inside), 1, data) <= scores.min():
        raise Refusal(
            "no_fall",
            f"{source}: the mean loss predicts rungs left out as well as any of {tried} forms in {', '.join(inputs)}: "
            "the loss does not depend on them in these runs. Take a wider range, or other inputs.",
        )
    counts = rng.multinomial(number, np.full(number, 1 / number), size=RESAMPLES)[:, rung]
    squares = np.stack([np.log([_mean_square(own, weights) for weights in counts]) for own in errors])
    best = np.argmin(data.clusters * squares + _price(data) * lengths[:, None], axis=0)
    share = np.bincount(best, minlength=len(leaders)) / RESAMPLES
    forms = []
    for k in np.argsort(scores):
        law, point = leaders[k].law, points[k]
        values = dict(zip(law.parameters, map(float, point.parameters), strict=True))
        values |= {name: float(value) for name, value in law.derived(values, data.x.pivot).items()}
        values = {name: values[name if name in values else fitted] for name, fitted in law.fitted_names.items()}
        forms.append(
            TriedForm(
                formula=law.formula,
                bounds=dict(law.bounds),
                values=values,
                parameters=int(lengths[k]),
                held_out=math.sqrt(_mean_square(errors[k])),
                beyond=math.sqrt(_mean_square(far[k])) if len(far[k]) else None,
                chosen=float(share[k]),
            )
        )
    return Discovery(
        forms=tuple(forms), tried=tried, rows=data.n, rungs=number, inputs=inputs, source=source, seed=seed
    )


def _from_the_mean(log_loss: Array, inside: list[Array]) -> Array:
    """Log errors of the mean of the other groups."""
    errors = np.zeros(len(log_loss))
    for is_out in inside:
        if is_out.any():
            errors[is_out] = log_loss[~is_out].mean() - log_loss[is_out]
    return errors


def rungs_of(data: Sample) -> Array:
    """The rung of each row, from 0 on: rows at one point, and rows that share noise, are of one rung."""
    points = np.stack([np.round(log, 6) for log in data.x.logs.values()], axis=1)
    rung = point = np.unique(points, axis=0, return_inverse=True)[1].ravel()
    while True:
        least = rung
        for groups in (point, data.cluster):
            lowest = np.full(int(groups.max()) + 1, data.n)
            np.minimum.at(lowest, groups, least)
            least = lowest[groups]
        least = np.unique(least, return_inverse=True)[1]
        if (least == rung).all():
            return np.asarray(rung)
        rung = least


def _largest(data: Sample) -> list[Array]:
    """For each input: which rows have its largest levels."""
    out = []
    for log in data.x.logs.values():
        levels = np.unique(rounded := np.round(log, 6))
        if len(levels) >= LEAST_LEVELS:
            out.append(rounded >= levels[-max(1, round(QUARTER * len(levels)))])
    return out


def _held_out(point: Point, inside: list[Array], beyond: list[Array]) -> tuple[Array, Array]:
    """Log errors of each row when its group is left out, and of the largest levels of each input, left out in turn."""
    is_kept = ~np.array([*inside, *beyond])
    starts = np.repeat(point.parameters[None], len(is_kept), axis=0)
    found = solver.solve(point.problem, starts, is_kept.astype(float), is_near=True)
    away = replace(point.problem, is_log=True).residuals(found.parameters)
    errors = np.zeros(point.problem.rows)
    for own, is_out in zip(away, inside, strict=False):
        errors[is_out] = own[is_out]
    far = [own[is_out] for own, is_out in zip(away[len(inside) :], beyond, strict=True)]
    return errors, np.concatenate(far) if far else np.empty(0)
