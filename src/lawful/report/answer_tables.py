"""The tables of one answer: its parameters, how it was fitted, its forecasts, its arms, and how it moves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lawful.fitting.answer_records import SisterLaw
from lawful.fitting.answers import Answer
from lawful.fitting.comparison import Comparison
from lawful.fitting.records import HeldOut, Objective, Parameter
from lawful.fitting.result import Fit
from lawful.fitting.uncertainty import says_nothing
from lawful.report import tables
from lawful.report.evidence import Evidence
from lawful.report.law_curve import COUNTING
from lawful.report.table import Table
from lawful.report.tables import number
from lawful.report.words import arm_of, errors_of, fit_formula, held_out_summary
from lawful.response import LOG, Response

SUSPECTS = 5  # runs whose leaving out is shown, of those the fit tried


def parameters_table(answer: Answer, fit: Fit) -> Table:
    """Fitted parameters and what follows from them, with 95 % intervals."""
    columns = columns_of(answer)
    return Table(
        title="Parameters",
        header=("Parameter", "Value", "95 % interval", "What it is"),  # a phone shows the first three
        rows=[_parameter_row(name, one, fit.data.pivot, columns) for name, one in fit.params.items()],
        right=(1, 2),
    )


def _parameter_row(
    name: str, parameter: Parameter, pivot: Mapping[str, float], columns: Mapping[str, str]
) -> tuple[str, ...]:
    low, high = parameter.ci95
    meaning = parameter_meaning(name, pivot, columns)
    if parameter.at_bound:
        meaning = f"at its {parameter.at_bound} bound: {meaning}"
    elif parameter.role in ("derived", "fixed"):
        meaning = f"{parameter.role}: {meaning}" if meaning else parameter.role
    is_result = math.isfinite(parameter.value) and not (parameter.at_bound and not math.isfinite(high))
    shown = tables.estimate(parameter.value, low, high) if is_result else tables.DASH
    bounds = tables.DASH if parameter.role == "fixed" else tables.interval(low, high)
    return (tables.symbol(name), shown, bounds, meaning)


def parameter_meaning(name: str, pivot: Mapping[str, float], columns: Mapping[str, str]) -> str:
    axes = list(pivot)
    first = tables.axis_symbol(axes[0], columns.get(axes[0])) if axes else "x"
    known = {
        "E": "loss that remains at any size and length",
        "alpha": f"exponent of {first}",
        "beta": "exponent of D",
        "gamma": "exponent of the best loss above E, in C",
        "N_exponent": "the best N grows as C to this power",
        "D_exponent": "the best D grows as C to this power",
        "A": "coefficient of the size term, at N = 1",
        "B": "coefficient of the token term, at D = 1",
        "a": f"coefficient, at {first} = 1",
    }
    if name in known:
        return known[name]
    if name.endswith("_pivot"):
        axis = {"A": "params", "B": "tokens"}.get(name[0], axes[0] if axes else "")
        symbol = tables.axis_symbol(axis, columns.get(axis))
        at = tables.axis_amount(columns.get(axis, axis), pivot.get(axis))
        return f"loss of this term at {symbol} = {at}"
    return ""


def fit_facts(answer: Answer, fit: Fit) -> list[tuple[str, str]]:
    """How the fit was made: counts, counting convention, objective, certificate."""
    goodness, convergence = fit.goodness, fit.convergence
    is_log = fit.data.response.is_log
    spread = tables.percent if is_log else tables.general
    columns = columns_of(answer)
    counting = "; ".join(COUNTING.get(columns.get(axis, ""), columns.get(axis, axis)) for axis in fit.data.pivot)
    certificate = "certified" if convergence.is_certified else "not certified: " + "; ".join(_not_certified(fit))
    facts = [
        ("Runs", f"{goodness.n} in {goodness.clusters} clusters (runs that share noise count once)"),
        ("Loss" if is_log else "Metric", fit.data.loss if "loss" in fit.data.columns else ""),
        ("Counting", counting),
        ("Held out", held_out_summary(answer)),
        ("Residuals", f"{spread(goodness.rmse_log)} root mean square, of {'log loss' if is_log else 'the metric'}"),
        ("Objective", _objective(fit.objective)),
        ("Intervals", fit.interval_method),
        ("Minimum", f"{certificate}; {convergence.agree} of {convergence.starts} starts agree"),
    ]
    if goodness.sigma_run is not None and math.isfinite(goodness.sigma_run):
        facts.insert(4, ("Seed noise", f"{spread(goodness.sigma_run)} between replicates"))
    return [(name, text) for name, text in facts if text]


def _not_certified(fit: Fit) -> list[str]:
    """What keeps a fit's minimum from being certified: tests that failed, parameters at a bound."""
    sides = {name: fit.params[name].at_bound for name in fit.convergence.at_bounds if name in fit.params}
    return [*fit.convergence.problems, *(f"{name} is at its {side} bound" for name, side in sides.items())]


def comparison_tables(answer: Answer) -> list[Table]:
    """Tables about the arms: possible explanations of their differences, differences in exponents, and how much of an
    input one arm needs relative to another."""
    if answer.comparison is None:
        return []
    made = [_explanations(answer.comparison), _differences(answer.comparison), _multipliers(answer.comparison)]
    return [table for table in made if table.rows]


def _explanations(found: Comparison) -> Table:
    rows = [
        (
            step.name,
            ", ".join(map(tables.symbol, step.own)) or "nothing",
            str(step.parameters),
            tables.general(step.aicc),
            tables.general(step.F, 3),
            _p_value(step.p),
        )
        for step in found.explanations
    ]
    return Table(
        title="How the arms differ: each law tested against the one in which everything differs",
        header=("Law", "Own to each arm", "Parameters", "AICc", "F", "p"),
        rows=rows,
        right=(2, 3, 4, 5),
    )


def _differences(found: Comparison) -> Table:
    rows = [
        (
            tables.symbol(one.parameter),
            f"{one.second} − {one.first}",
            tables.estimate(one.value, *one.ci95),
            tables.interval(*one.ci95),
            _p_value(one.p_holm),
            tables.general(one.equivalence, 2),
        )
        for one in found.differences
    ]
    return Table(
        title="Differences between arms",
        header=("Parameter", "Arms", "Difference", "95 % interval", "p (Holm)", "Smaller than, at 5 %"),
        rows=rows,
        right=(2, 3, 4, 5),
    )


def _multipliers(found: Comparison) -> Table:
    rows = [
        (
            f"{one.second} for what {one.first} reaches",
            one.of,
            tables.estimate(one.value, *one.ci95),
            tables.interval(*one.ci95),
            tables.loss(one.loss),
        )
        for one in found.multipliers
    ]
    return Table(
        title="What one arm needs at equal loss",
        header=("Arm", "Of", "Times", "95 % interval", "At loss"),
        rows=rows,
        right=(2, 3, 4),
    )


def _p_value(value: float | None) -> str:
    exact = number(value)
    return tables.DASH if exact is None else "< 0.0001" if exact < 1e-4 else tables.general(exact, 2)


def columns_of(answer: Answer) -> dict[str, str]:
    """The column of the table that stands for each axis: by the question, then as the fit used it."""
    return {**answer.question.columns, **(answer.fit.data.columns if answer.fit else {})}


def held_out_table(evidence: Evidence, *answers: Answer) -> Table:
    """Each forecast beside what came; of several answers, the arms of one comparison, with the arm's name."""
    items = [(answer, item) for answer in answers for item in answer.held_out]
    return _forecast_table("Held-out forecast", evidence, answers, items)


def added_table(evidence: Evidence, *answers: Answer) -> Table:
    """Likewise of the runs that were added to a finished study, and are fitted now."""
    items = [(answer, item) for answer in answers for item in answer.added]
    return _forecast_table("Forecast before it was added", evidence, answers, items)


def _forecast_table(
    title: str, evidence: Evidence, answers: Sequence[Answer], items: Sequence[tuple[Answer, HeldOut]]
) -> Table:
    known = {str(row.get("run")): row for row in evidence.rows}
    rows = []
    several = len(answers) > 1
    for of, item in items:
        row = known.get(item.run, {})
        rows.append(
            (
                item.run,
                *((arm_of(of),) if several else ()),
                tables.count(item.params or row.get(of.question.params)),
                tables.count(item.tokens or row.get(of.question.tokens)),
                str(item.seed if item.seed is not None else tables.DASH),
                tables.loss(item.predicted),
                _forecast_interval(of.fit.data.response if of.fit else LOG, *map(number, item.interval)),
                tables.loss(item.observed),
                tables.percent(item.error_relative, signed=True),
                "inside" if item.is_inside else "outside",
            )
        )
    return Table(
        title=title,
        header=("Run", *(("Arm",) if several else ()), "N", "D", "Seed", "Forecast", "95 % interval", "Came", "Error")
        + ("Interval",),
        rows=rows,
        right=tuple(range(1 + several, 8 + several)),
    )


def _forecast_interval(response: Response, low: float | None, high: float | None) -> str:
    if low is None:
        return tables.DASH
    if high is None or says_nothing(low, high, response):
        return "not determined"
    return f"[{tables.loss(low)}, {tables.loss(high)}]"


def sensitivity_tables(fit: Fit) -> list[Table]:
    """How the parameters move when the analysis does: one table for each kind of change, the fit itself first."""
    found = fit.sensitivity
    chosen = {name: parameter.value for name, parameter in fit.params.items()}
    used = fit.objective.name
    made = []
    for variants, title, first in (
        (found.objective, "By the objective that is minimised", "Objective"),
        (found.counting, "By what counts as a parameter", "Counting"),
    ):
        if variants:
            rows = [(f"{name} (used here)" if name == used else name, values) for name, values in variants.items()]
            if used not in variants:
                rows = [("as used here", chosen), *rows]
            made.append(_variants_table(title, first, rows, like=next(iter(variants.values()))))
    if without := found.outlier[:SUSPECTS]:
        rows = [("none", chosen), *((one.run, one.params) for one in without)]
        made.append(
            _variants_table("By leaving out one run, those that fit worst first", "Without", rows, without[0].params)
        )
    return made


def _variants_table(
    title: str, first: str, rows: Sequence[tuple[str, Mapping[str, float]]], like: Mapping[str, float]
) -> Table:
    return Table(
        title=title,
        header=(first, *map(tables.symbol, like)),
        rows=[(label, *(_cell(values.get(name)) for name in like)) for label, values in rows],
        right=tuple(range(1, len(like) + 1)),
    )


def also_table(answer: Answer, fit: Fit) -> Table | None:
    """The other laws that were tried on the same rows, beside the one that answers."""
    if not answer.also:
        return None
    errors = errors_of(answer.held_out)
    rows = [
        (
            f"{fit_formula(fit)} (used here)",
            _shapes({name: one.value for name, one in fit.params.items()}),
            tables.general(fit.goodness.aicc),
            "0",
            tables.percent(sum(errors) / len(errors)) if errors else tables.DASH,
        ),
        *(_sister_row(sister, columns_of(answer)) for sister in answer.also),
    ]
    return Table(
        title="Other laws on the same runs",
        header=("Law", "Exponents", "AICc", "Δ AICc", "Held-out error"),
        rows=rows,
        right=(2, 3, 4),
    )


def _sister_row(sister: SisterLaw, columns: Mapping[str, str]) -> tuple[str, str, str, str, str]:
    fixed = ", ".join(f"{tables.symbol(name)} = {tables.general(value)}" for name, value in sister.fixed.items())
    axis = sister.law.rpartition(":")[2]
    name = tables.formula(sister.formula, axis, columns.get(axis)) + (f" with {fixed}" if fixed else "")
    if sister.refusal:
        return (f"{name}: refused, {sister.refusal}", "", tables.DASH, tables.DASH, tables.DASH)
    change = number(sister.delta_aicc)
    return (
        name,
        _shapes(sister.params),
        tables.general(sister.aicc),
        tables.DASH if change is None else f"{change:+.1f}",
        tables.percent(sister.held_out_error),
    )


def _shapes(params: Mapping[str, float]) -> str:
    known = {name: value for name in ("alpha", "beta", "gamma") if (value := number(params.get(name))) is not None}
    return ", ".join(f"{tables.symbol(name)} = {tables.general(value, 3)}" for name, value in known.items())


def _objective(objective: Objective) -> str:
    where = "residuals of log loss" if objective.is_log else "residuals of the metric itself"
    delta = number(objective.delta)
    return f"{objective.name} on {where}" + (f", δ = {tables.significant(delta, 3)}" if delta is not None else "")


def _cell(value: float | None) -> str:
    if value is None or math.isnan(value):
        return tables.DASH
    return tables.significant(value) if math.isfinite(value) else str(value)
