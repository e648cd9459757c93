"""`lawful.fit`: a law fitted to a table of runs, with a certificate of convergence, intervals and warnings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lawful.checks import NaturalInt, checked
from lawful.fitting.cautions import ranked
from lawful.fitting.data import held_out_sample, read_table
from lawful.fitting.default_law import resolved
from lawful.fitting.fit_sample import fit_table
from lawful.fitting.holdout import about_held_out, score_held_out
from lawful.fitting.prior import Priors
from lawful.fitting.ranking import with_ranking
from lawful.fitting.result import Fit
from lawful.laws import Bounds, Law, with_bounds
from lawful.tables.responses import Asked


@checked
def fit(
    source: Any,
    law: str | Law | None = None,
    *,
    objective: str = "robust",
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    flops: str | None = None,
    unique_tokens: str | None = None,
    cluster: str | None = None,
    stderr: str | None = None,
    trials: str | None = None,
    response: str | None = None,
    chance: float | None = None,
    fixed: Mapping[str, float] | None = None,
    bounds: Bounds | None = None,
    prior: Priors | None = None,
    draws: NaturalInt = 1000,
    seed: NaturalInt = 0,
    keep_held_out: bool = False,
) -> Fit:
    """Fit a law to a table of runs.

    Parameters
    ----------
    source
        Anything `read_runs` takes: a path, a DataFrame of pandas or polars, rows, columns, or what it returned.
    law
        A name, a formula or a Law (default: chosen by whether the table's params and tokens vary, and vary apart).
    objective
        "robust" (Huber on log loss, delta = 1.345 robust sigma), "hoffmann" (delta 1e-3), "lad", "l2" (log), "l2-raw",
        or "huber:DELTA".
    params, tokens, loss, flops, unique_tokens
        The columns' names; those not given are recognised where they carry a usual name.
    cluster
        Column whose values mark rows that share noise; "none" makes every row its own cluster.
    stderr
        Column of the standard errors of the losses; the robust objective weighs rows by them. By default a column with
        such a name; "none": rows are not weighed by standard errors.
    trials
        Column of the numbers of test items behind an accuracy: its noise is then that of counts, and any further
        scatter is estimated.
    response
        "log" for a loss, "logit" for an accuracy, "identity" for another number; by default as the column's name says.
    chance
        For an accuracy: the share of right answers by guessing, .25 for four choices.
    fixed
        Parameter -> value; names as in `law.parameters`.
    prior
        Parameter -> (mean, standard error): your knowledge from outside these runs, as a normal distribution.
    bounds
        Parameter -> (low, high), in place of the law's own.
    draws
        Bootstrap refits over clusters: 0, or at least 200.
    seed
        Seed of the draws.
    keep_held_out
        Fit the rows that the table holds out, too.

    Returns
    -------
    Fit
        Parameters with intervals, a certificate of convergence, warnings; losses are in the table's unit.

    Raises
    ------
    Refusal
        The data cannot determine the law.
    LawfulError
        A bad table or argument.

    Notes
    -----
    Chinchilla's law and its objective: arXiv:2203.15556. Huber's delta: 95 % efficient under normal noise (Huber 1981).

    Examples
    --------
    >>> found = lawful.fit(runs, "chinchilla")
    >>> sorted(found.free)
    ['A_pivot', 'B_pivot', 'E', 'alpha', 'beta']
    """
    columns = {
        "params": params,
        "tokens": tokens,
        "loss": loss,
        "flops": flops,
        "unique_tokens": unique_tokens,
        "cluster": cluster,
        "stderr": stderr,
        "trials": trials,
    }
    is_named = law is not None
    if law is not None:
        law, bounds = with_bounds(law, bounds or {})
    table = read_table(source, columns, Asked(kind=response, chance=chance))
    choice = resolved(law, table)
    found = fit_table(
        table,
        choice.law,
        columns,
        objective=objective,
        fixed=fixed,
        bounds=bounds,
        prior=prior,
        draws=draws,
        seed=seed,
        keep_held_out=keep_held_out,
    )
    said = [] if choice.caution is None else [choice.caution]
    if not keep_held_out and (kept_back := held_out_sample(table, found.model, columns)) is not None:
        found = replace(found, held_out=score_held_out(found, kept_back))
        said += about_held_out(found.held_out)
    found = replace(found, warnings=ranked((*found.warnings, *said)))
    return Fit.of(found if is_named else with_ranking(found))
