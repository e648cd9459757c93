"""What a reader of a fit must be told, with stable codes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from lawful.fitting.clusters import ACROSS_SIZES, BY_ROUNDING, BY_SEED, MAY_BE_SEEDS, ONE_SEED
from lawful.fitting.data import Sample
from lawful.fitting.default_law import unread_axis
from lawful.fitting.fitted import FittedLaw, run_spread
from lawful.fitting.form import Doubt, Fixed
from lawful.fitting.number_text import interval
from lawful.fitting.prior import about_priors
from lawful.fitting.records import ErrorBars
from lawful.fitting.replicates import resolution
from lawful.fitting.shares import about_shares, counts_disagree
from lawful.fitting.sisters import Alternatives, Sister
from lawful.fitting.trends import FLOOR, MISFIT, SUSPECTED, Form, Rung
from lawful.response import Response
from lawful.schema import Observation, Warning

COARSE_SHARE = 0.3  # of the residuals' spread: rounding is then a tenth of their variance
EXACT = 1e-8  # a rounding that is smaller matters to no fit
LACKING = 0.005  # level of the F test against replicates: with the tests of form, 2 % of right laws are warned of
RIDGE = 1e-7  # smallest eigenvalue of the unit-diagonal Hessian below which a direction is not identified


def cautions(fit: FittedLaw, data: Sample, doubt: Doubt) -> tuple[Warning, ...]:
    """The warnings of a fit, the most severe first."""
    unread = unread_axis(fit.model, data.observations)
    found = [*about_form(doubt), *_about_convergence(fit), *([unread] if unread else [])]
    found += [*_about_data(fit), *_about_choices(fit), *about_priors(fit.priors)]
    return ranked(found)


def ranked(found: Iterable[Warning]) -> tuple[Warning, ...]:
    """The most severe first."""
    return tuple(sorted(found, key=lambda warning: warning.rank))


CARRIED = ("law_chosen", "unread_axis", "prior")  # with the severe ones, by whatever rests on a fit


def rests_on(fit: FittedLaw, among: Alternatives | None = None) -> tuple[Warning, ...]:
    """What a reader of an answer must know of the fit that it rests on: how its law came about, and what is severe.

    among   the laws that the answer averages over: then every doubt about the form is said, with them
    """
    said = [caution for caution in fit.warnings if caution.severity == "severe" or caution.code in CARRIED]
    if among is None:
        return tuple(said)
    average = f"This forecast averages over {among.listed}."
    form = [replace(caution, sentence=f"{caution.sentence} {average}") for caution in about_form(fit.doubt)]
    if not form:
        sentence = f"No test finds another form, but these {fit.goodness.n} runs do not rule one out. {average}"
        form = [Warning("form_uncertain", "note", sentence)]
    return (*form, *(caution for caution in said if caution.code not in {one.code for one in form}))


def how_chosen(fit: FittedLaw) -> str:
    """For the end of an error about the law: how it came about, where the user did not name it."""
    chosen = next((caution.sentence for caution in fit.warnings if caution.code == "law_chosen"), None)
    return "" if chosen is None else f" {chosen} Name another law where you know better."


def about_form(doubt: Doubt) -> list[Warning]:
    """The warnings about the law's form, or about one rung that explains as much as another form does."""
    if (rung := doubt.form.rung) is not None:
        return [_about_rung(rung, "")]
    found = _about_form_alone(doubt)
    if doubt.rival is not None:
        found.append(_about_rung(doubt.rival, " Another form of the law explains it about as well."))
    return found


def _about_rung(rung: Rung, besides: str) -> Warning:
    side = "above" if rung.shift > 0 else "below"
    sentence = (
        f"The runs at {rung.axis} {rung.size:.4g} lie {100 * abs(np.expm1(rung.shift)):.2g} % {side} the law of "
        f"the others (p = {rung.p:.1g}): undertrained, a learning rate at its edge, or another precision.{besides} "
        "Look at their curves; fit without them, and compare."
    )
    return Warning("rung_off", "warning", sentence)


def _about_form_alone(doubt: Doubt) -> list[Warning]:
    """At most one."""
    if doubt.fixed is not None and doubt.better is not None:
        return [_about_fixed(doubt.fixed, doubt.better, is_misfit=doubt.is_misfit)]
    better, among = "", doubt.alternatives
    if doubt.better is not None:
        better = f" {doubt.better.name} fits better: try --law {doubt.better.law.spec}."
        if among is not None and not among.is_fitting:
            better = f" {doubt.better.name} fits better, but not well: no law known here has this form."
    if doubt.is_misfit:
        seen = "The residuals follow a trend, and another law fits far better"
        if doubt.form.trend < MISFIT:
            seen = f"The residuals follow a trend ({_probability(doubt.form)})"
        sentence = (
            f"{seen}: the fitted formula does not fit these runs, and its parameters mean little."
            f"{better or ' No law known here fits better.'}"
        )
        return [Warning("misfit", "severe", sentence)]
    if doubt.alternatives is not None or doubt.form.trend < SUSPECTED:
        sentence = f"The residuals may follow a trend (p = {doubt.form.hint:.1g}).{better}"
        return [Warning("form_uncertain", "note", sentence)]
    return []


def _probability(form: Form) -> str:
    """With the name of its test. Drawn signs give no less than one over their number: there it is a bound."""
    if form.trend == form.hint:
        return f"F test: p = {form.trend:.1g}"
    return f"F test with random signs: p {'≤' if form.trend < 1.1 * FLOOR else '='} {form.trend:.1g}"


def _about_fixed(fixed: Fixed, better: Sister, *, is_misfit: bool) -> Warning:
    names = " and ".join(fixed.names)
    free = f"(p = {fixed.p:.1g}): free, {' and '.join(f'{name} = {better.values[name]:.3g}' for name in fixed.names)}."
    if is_misfit:
        sentence = f"The value given for {names} is not that of these runs {free} The other parameters mean little."
        return Warning("misfit", "severe", sentence)
    return Warning("form_uncertain", "note", f"The value given for {names} may not be that of these runs {free}")


def _about_convergence(fit: FittedLaw) -> list[Warning]:
    found = []
    c = fit.convergence
    if c.problems:
        found.append(Warning("not_certified", "severe", "The optimum is not certified: " + "; ".join(c.problems) + "."))
    for name in c.at_bounds:
        p = fit.params[name]
        found.append(
            Warning(
                "at_bound",
                "warning",
                f"{name} lies at its {p.at_bound} bound ({p.value:.4g}): the data do not determine it.",
            )
        )
    if c.eigenvalues and 0 < c.eigenvalues[0] < RIDGE:
        found.append(
            Warning(
                "ridge",
                "severe",
                "The parameters lie on a flat ridge (smallest scaled eigenvalue "
                f"{c.eigenvalues[0]:.1e}): they are not identified one by one.",
            )
        )
    shapes = {s.name: s for s in fit.model.shapes}
    for name in fit.free:
        p = fit.params[name]
        if name not in shapes:
            continue
        size = (
            abs(p.value) if shapes[name].low >= 0 else max(abs(p.value), 1.0)
        )  # about 0, as the log of a place may be
        width = (p.ci95[1] - p.ci95[0]) / max(size, 1e-12)
        if p.at_bound or width > 2 or not np.isfinite(width):
            found.append(
                Warning(
                    "not_identified",
                    "severe",
                    f"{name} ({f'at its {p.at_bound} bound' if p.at_bound else f'{p.value:.3g}'}, 95 % interval "
                    f"{interval(*p.ci95)}): this table does not determine it.",
                )
            )
    return found


def _about_data(fit: FittedLaw) -> list[Warning]:
    found = []
    g = fit.goodness
    if g.n - len(fit.free) < 3:
        found.append(
            Warning(
                "few_dof",
                "warning",
                f"{g.n} runs for {len(fit.free)} parameters leave "
                f"{g.n - len(fit.free)} degree{'s' * (g.n - len(fit.free) != 1)} of freedom: the "
                "fit cannot be checked by its residuals.",
            )
        )
    if g.clusters < g.n and g.clusters < 10:
        found.append(
            Warning(
                "few_clusters",
                "warning",
                f"{g.n} rows come from only {g.clusters} independent clusters: intervals are wide, and rough.",
            )
        )
    found += about_clusters(fit.data.columns.get("cluster", ""), g.n, g.clusters)
    if fit.data.response.is_log:
        found += about_rounding([row.observed for row in fit.residuals], g.rmse_log)
    found += about_shares(fit)
    if fit.spread_slopes:
        found.append(_noise_varies(fit))
    if fit.error_bars is not None and fit.error_bars.is_off:
        found.append(_bars_disagree(fit.error_bars, fit.data.response))
    if alike := fit.data.alike:
        found.append(
            Warning(
                "rows_alike",
                "warning",
                f"{alike} rows say the same as an earlier one in all but their names. Losses have few digits: this may "
                "be chance: they count as runs of their own. If they are copies, the intervals are too narrow.",
            )
        )
    if g.sigma_run is None:
        found.append(
            Warning(
                "no_replicates",
                "note",
                "No two runs differ only in their seed: the spread between runs is taken from the residuals.",
            )
        )
    if g.lack_of_fit is not None and g.lack_of_fit["p"] < LACKING:
        found.append(
            Warning(
                "lack_of_fit",
                "warning",
                f"Residuals exceed the spread between seeds (F = "
                f"{g.lack_of_fit['F']:.3g}, p = {g.lack_of_fit['p']:.2g}): the law's form is not the data's.",
            )
        )
    dropped = fit.data.dropped
    if dropped:
        found.append(Warning("rows_dropped", "note", f"{len(dropped)} rows were left out: {_reasons(dropped)}."))
    return found


def about_clusters(column: str, rows: int, clusters: int) -> list[Warning]:
    """What to say of clusters that no column names."""
    count = f"these {rows} rows count as {clusters} clusters."
    if column == BY_SEED:
        sentence = f"Runs of one seed and size at several lengths share noise, and no column says so: {count}"
        return [Warning("clustered_by_seed", "note", sentence)]
    if column == ACROSS_SIZES:
        sentence = f"Runs of one seed lie off their sizes' means together: they share noise across sizes, so {count}"
        return [Warning("clustered_by_seed", "warning", sentence)]
    if column == MAY_BE_SEEDS:
        sentence = (
            "Runs of one seed lie off their sizes' means together, though not so far that chance is ruled out. If they "
            "share noise across sizes, intervals are too narrow: fit again with cluster=seed, or add seeds."
        )
        return [Warning("seeds_may_share", "warning", sentence)]
    if column == ONE_SEED:
        sentence = "All runs have one seed and size: what they share is in no interval, and another seed would move it."
        return [Warning("one_seed", "warning", sentence)]
    if column == BY_ROUNDING:
        sentence = f"Replicates share the rounding of their losses: {count}"
        return [Warning("rounded", "warning", sentence)]
    return []


def about_rounding(losses: Sequence[float], spread: float) -> list[Warning]:
    """A warning where rounding is a good part of the spread of the residuals of log loss."""
    step = resolution(np.asarray(losses))
    own = step / math.sqrt(12) / float(np.median(losses))  # the standard deviation of a uniform error of that width
    if own < max(COARSE_SHARE * spread, EXACT):
        return []
    sentence = (
        f"Losses are given to {step:g}: rounding alone has a standard deviation of {100 * own:.2g} % of them, of "
        f"{100 * spread:.2g} % by which runs lie off the law. Give them with more digits."
    )
    return [Warning("rounded", "warning", sentence)]


def _noise_varies(fit: FittedLaw) -> Warning:
    """The spread of replicates at either end of the data. What the law misses is not a part of it."""
    typical = run_spread(fit)
    of_replicates = (fit.goodness.sigma_run or typical) / max(typical, 1e-300)
    ends = []
    for end in (0, 1):
        at = {axis: limits[end] for axis, limits in fit.data.domain.items()}
        ends.append(f"{100 * of_replicates * run_spread(fit, at):.2g} %")
    where = " and ".join(f"{axis} = {fit.data.domain[axis][0]:.3g}" for axis in fit.spread_slopes)
    far = " and ".join(f"{axis} = {fit.data.domain[axis][1]:.3g}" for axis in fit.spread_slopes)
    sentence = (
        f"The spread of replicates changes along the ladder, about {ends[0]} at {where} and {ends[1]} at {far}: "
        "runs weigh by that, and a new run's interval follows it."
    )
    return Warning("noise_varies", "note", sentence)


def _bars_disagree(bars: ErrorBars, response: Response) -> Warning:
    if bars.is_count:
        return counts_disagree(bars)
    left = f"the {100 * bars.extra:.2g} %" if response.is_log else "what"
    if bars.scatter > 1:
        why = (
            "They leave out what differs between runs (a seed, a setting), or the law's form is not the runs'. Rows "
            f"weigh by their bars and by {left} that they leave unexplained"
        )
    else:
        why = "They may be of single evaluations or seeds, not of the mean. Rows weigh by how the bars differ"
    sentence = (
        f"The {'losses' if response.is_log else 'numbers'} lie {bars.scatter:.2g} times as far from the law as the "
        f"error bars in {bars.column!r} say. {why}; intervals follow the scatter."
    )
    return Warning("error_bars_disagree", "warning", sentence)


def _reasons(dropped: Sequence[Observation]) -> str:
    reasons = [str(row["reason"]) for row in dropped]
    counts = {reason: reasons.count(reason) for reason in reasons}
    return "; ".join(
        f"{n} {'in ' if reason.startswith('column ') else ''}{reason.rstrip('.')}" for reason, n in counts.items()
    )


def _about_choices(fit: FittedLaw) -> list[Warning]:
    found = []
    shapes = [s.name for s in fit.model.shapes if s.name in fit.free]
    for name in shapes:
        low, high = fit.params[name].ci95
        under = {key: values[name] for key, values in fit.sensitivity.objective.items()}
        outside = {key: value for key, value in under.items() if not low <= value <= high}
        if outside:
            listed = ", ".join(f"{value:.3g} under {key}" for key, value in outside.items())
            found.append(
                Warning(
                    "objective_moves",
                    "warning",
                    f"The objective moves {name} out of its interval {interval(low, high)}: {listed}.",
                )
            )
        counted = {key: v[name] for key, v in fit.sensitivity.counting.items() if not low <= v[name] <= high}
        if counted:
            listed = ", ".join(f"{value:.3g} with {key}" for key, value in counted.items())
            found.append(
                Warning(
                    "counting_moves",
                    "warning",
                    f"How things are counted moves {name} out of its interval {interval(low, high)}: {listed}.",
                )
            )
        seen = 1e-3 * abs(fit.values[name])  # less is not seen in the figures that are shown
        moved = [row for row in fit.sensitivity.outlier if not low - seen <= row.params[name] <= high + seen]
        if moved:
            found.append(
                Warning(
                    "one_run_decides",
                    "warning",
                    f"Leaving out the one run {moved[0].run} moves {name} "
                    f"to {moved[0].params[name]:.3g}, out of its interval {interval(low, high)}.",
                )
            )
    return found
