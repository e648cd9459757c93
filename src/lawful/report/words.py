"""The sentences and tables of content that the page and report.md share, so that both give the same numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lawful.fitting.collapse import Course, collapse
from lawful.fitting.uncertainty import says_nothing
from lawful.report import tables
from lawful.report.evidence import Evidence
from lawful.report.gallery import fitted_rows, held_out_rows
from lawful.report.law_curve import COUNTING
from lawful.report.tables import number
from lawful.schema import Warning
from lawful.storage.codec import to_plain

FAILURES = 3  # reasons of failed runs that stand at the top
SUSPECTS = 5  # runs whose leaving out is shown, of those the fit tried


@dataclass(frozen=True, kw_only=True)
class Table:
    """`right`: indices of the columns that hold numbers."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[int] = ()


def headline(evidence: Evidence) -> str:
    """The answer in one sentence: the first question's own, word for word; else why there is none yet."""
    if evidence.answers:
        return answer_sentence(evidence.answers[0])
    if not evidence.rows:
        return "No run has finished yet, so there is no answer."
    done = len(evidence.finished)
    return f"No law has been fitted yet; {tables.many(done, 'run')} {'has' if done == 1 else 'have'} finished."


def answer_sentence(answer: Mapping[str, Any]) -> str:
    if answer.get("sentence"):
        return str(answer["sentence"])
    if answer.get("status") == "refused":
        return f"No law is claimed. {answer.get('refusal') or 'The fit was refused.'}"
    return "The question was fitted, but its answer has no sentence."


def comparison_sentence(answer: Mapping[str, Any]) -> str:
    """In what the arms differ, where the answer's own sentence does not say it: empty otherwise."""
    sentence = str((answer.get("comparison") or {}).get("sentence") or "")
    return "" if sentence in answer_sentence(answer) else sentence


def question_name(name: Any) -> str:
    """loss--gelu is loss, gelu."""
    return str(name).replace("--", ", ")


def arm_of(answer: Mapping[str, Any]) -> str:
    return str((answer["question"].get("where") or {}).get("arm") or question_name(answer["question"]["name"]))


def alike(warnings: Sequence[Warning]) -> list[list[Warning]]:
    """Warnings of one code and severity together, in the order of the first of each."""
    groups: dict[tuple[str, int], list[Warning]] = {}
    for warning in warnings:
        groups.setdefault((warning.code, warning.rank), []).append(warning)
    return list(groups.values())


def progress_sentence(evidence: Evidence) -> str | None:
    """Says so when a study is not done; None when it is."""
    total, missing = len(evidence.runs), len(evidence.missing)
    if not missing:
        return None
    return f"{total - missing} of {total} runs have ended; what stands here will change as the rest do."


def failed_sentences(evidence: Evidence) -> list[str]:
    """How many runs failed, and why; nothing where none did. One that diverged did not fail: that is a result."""
    reasons: dict[str, list[str]] = {}
    for row in evidence.rows:
        if row.get("status") == "failed":
            reasons.setdefault(str(row.get("reason") or "no reason recorded"), []).append(str(row.get("rung")))
    failed = sum(map(len, reasons.values()))
    if not failed:
        return []
    found = [f"{failed} of {len(evidence.runs)} runs failed and stand in no fit; `lawful resume` tries them again."]
    for reason, rungs in list(reasons.items())[:FAILURES]:
        others = f" and {len(rungs) - 1} more" if len(rungs) > 1 else ""
        found.append(f"{tables.readable(rungs[0])}{others}: {reason}")
    return found


def severe_doubts(evidence: Evidence) -> list[str]:
    """What a reader must know before believing the answer."""
    several = len(evidence.answers) > 1
    return [
        (f"{warning.about}: " if several and warning.about not in ("design", "runs") else "") + warning.sentence
        for warning in evidence.warnings
        if warning.rank == 0
    ]


def key_facts(evidence: Evidence) -> list[tuple[str, str]]:
    """A few short facts that stand under the answer."""
    facts: list[tuple[str, str]] = []
    answer = evidence.answers[0] if evidence.answers else None
    fit = answer.get("fit") if answer else None
    total = len(evidence.runs)
    if answer and fit:
        goodness = fit["goodness"]
        facts.append(("Fitted on", f"{goodness['n']} runs, {goodness['clusters']} clusters"))
        facts.append(("Law", f"L = {fit_formula(fit)}"))
    elif answer and (found := answer.get("comparison")):
        facts.append(("Compared on", f"{found.get('n')} runs, {found.get('clusters')} clusters"))
        facts.append(("Arms", ", ".join(map(str, found.get("arms") or ()))))
        verdict = str(found.get("verdict"))
        decision = str(found.get("decision") or "").replace("not decided", "exponents: not decided")
        facts.append(("Verdict", verdict if decision in ("", verdict) else f"{verdict}; {decision}"))
    else:
        facts.append(("Finished", f"{len(evidence.finished)} of {total} runs"))
    question = answer["question"] if answer else to_plain(evidence.study.questions[0])
    rows = (fitted_rows(evidence, answer) if answer else []) or evidence.finished
    for column, name in ((question.get("params"), "Sizes"), (question.get("tokens"), "Tokens")):
        name = "Unique tokens" if column == "unique_tokens" else name
        values = [value for row in rows if (value := number(row.get(column or ""))) is not None]
        if values and max(values) > min(values):
            decades = math.log10(max(values) / min(values))
            wide = f", {decades:.1f} decades" if decades >= 0.1 else ""
            facts.append((name, f"{tables.count(min(values))} to {tables.count(max(values))}{wide}"))
    asked = [one for one in (answer, *evidence.arms_of(answer)) if one.get("held_out")] if answer else []
    if asked:
        facts.append(("Held-out error", held_out_summary(*asked)))
    return facts


def held_out_summary(*answers: Mapping[str, Any]) -> str:
    """The mean absolute error of the forecasts and how many intervals held."""
    items = [item for answer in answers for item in answer.get("held_out") or ()]
    errors = [abs(value) for item in items if (value := number(item.get("error_relative"))) is not None]
    if not errors:
        return "no held-out run has finished"
    inside = sum(1 for item in items if item.get("is_inside"))
    return f"{tables.percent(sum(errors) / len(errors))}, {inside} of {len(items)} in the interval"


def held_out_registered(evidence: Evidence, *answers: Mapping[str, Any]) -> str:
    """When the forecasts were made, and how one can tell that they were not changed since."""
    items = [item for answer in answers for item in answer.get("held_out") or ()]
    early = {str(item["run"]) for item in items if item.get("is_registered")}
    names = {answer["question"]["name"] for answer in answers}
    if not (early and evidence.registered):
        reasons = [entry["reason"] for entry in evidence.registered.get("refused", ()) if entry["question"] in names]
        why = f" ({reasons[0]})" if reasons else ""
        return f"These runs were set aside before training; their forecasts were not written before they began{why}."
    written = sorted(
        {
            str(entry.get("created") or evidence.registered["created"])
            for entry in evidence.registered["forecasts"]
            if entry["question"] in names and entry["run"] in early
        }
    )
    when = " and ".join(map(tables.moment, dict.fromkeys((written[0], written[-1]))))
    others = len({str(item["run"]) for item in items} - early)
    late = f"; those of {tables.many(others, 'other run')} were not" if others else ""
    which = "any of these runs" if len(written) == 1 and not others else "the runs that they are of"
    return (
        f"The forecasts were written on {when}, before {which} began "
        f"(SHA-256 {evidence.registered['sha256'][:16]}, forecasts.json){late}."
    )


def parameters_table(answer: Mapping[str, Any]) -> Table:
    """Fitted parameters and what follows from them, with 95 % intervals."""
    fit = answer["fit"]
    axes, columns = fit.get("data", {}).get("pivot") or {}, _columns(answer)
    rows = []
    for name, parameter in fit["params"].items():
        low, high = parameter.get("ci95") or (None, None)
        meaning = parameter_meaning(name, axes, columns)
        if parameter.get("at_bound"):
            meaning = f"at its {parameter['at_bound']} bound: {meaning}"
        elif parameter.get("role") in ("derived", "fixed"):
            meaning = f"{parameter['role']}: {meaning}" if meaning else str(parameter["role"])
        value = number(parameter["value"])
        is_result = value is not None and not (parameter.get("at_bound") and tables.number(high) is None)
        shown = tables.estimate(value, low, high) if is_result else tables.DASH
        bounds = tables.DASH if parameter.get("role") == "fixed" else tables.interval(low, high)
        rows.append((tables.symbol(name), meaning, shown, bounds))
    return Table(
        title="Parameters",
        header=("Parameter", "What it is", "Value", "95 % interval"),
        rows=rows,
        right=(2, 3),
    )


def parameter_meaning(name: str, pivot: Mapping[str, Any], columns: Mapping[str, Any]) -> str:
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


def fit_facts(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How the fit was made: counts, counting convention, objective, certificate."""
    fit = answer["fit"]
    goodness, objective, convergence = fit["goodness"], fit["objective"], fit["convergence"]
    columns = _columns(answer)
    inputs = list(fit.get("data", {}).get("pivot") or ())
    counting = "; ".join(COUNTING.get(str(columns.get(axis)), str(columns.get(axis) or axis)) for axis in inputs)
    facts = [
        ("Runs", f"{goodness['n']} in {goodness['clusters']} clusters (runs that share noise count once)"),
        ("Counting", counting),
        ("Held out", held_out_summary(answer) if answer.get("held_out") else "nothing was held out"),
        ("Residuals", f"{tables.percent(goodness['rmse_log'])} root mean square, of log loss"),
        ("Objective", _objective(objective)),
        ("Intervals", str(fit.get("interval_method") or "")),
        (
            "Minimum",
            ("certified" if convergence.get("is_certified") else "not certified: " + "; ".join(_not_certified(fit)))
            + f"; {convergence.get('agree')} of {convergence.get('starts')} starts agree",
        ),
    ]
    if number(goodness.get("sigma_run")) is not None:
        facts.insert(4, ("Seed noise", f"{tables.percent(goodness['sigma_run'])} between replicates"))
    return [(name, text) for name, text in facts if text]


def _not_certified(fit: Mapping[str, Any]) -> list[str]:
    """What keeps a fit's minimum from being certified: tests that failed, parameters at a bound."""
    convergence = fit["convergence"]
    sides = {name: fit["params"].get(name, {}).get("at_bound") for name in convergence.get("at_bounds") or ()}
    return [
        *map(str, convergence.get("problems") or ()),
        *(f"{name} is at its {side} bound" for name, side in sides.items()),
    ]


def comparison_tables(answer: Mapping[str, Any]) -> list[Table]:
    """Of the arms: what may explain how they differ, the differences in exponents, how much one needs of another's."""
    found = answer.get("comparison")
    if not found:
        return []
    steps = [
        (
            str(step.get("name")),
            ", ".join(tables.symbol(str(name)) for name in step.get("own") or ()) or "nothing",
            str(step.get("parameters")),
            tables.general(step.get("aicc")),
            tables.general(step.get("F"), 3),
            _p_value(step.get("p")),
        )
        for step in found.get("explanations") or ()
    ]
    differences = [
        (
            tables.symbol(str(item.get("parameter"))),
            f"{item.get('second')} − {item.get('first')}",
            tables.estimate(item.get("value"), *_pair(item.get("ci95"))),
            tables.interval(*_pair(item.get("ci95"))),
            _p_value(item.get("p_holm")),
            tables.general(item.get("equivalence"), 2),
        )
        for item in found.get("differences") or ()
    ]
    multipliers = [
        (
            f"{item.get('second')} for what {item.get('first')} reaches",
            str(item.get("of") or "compute"),
            tables.estimate(item.get("value"), *_pair(item.get("ci95"))),
            tables.interval(*_pair(item.get("ci95"))),
            tables.loss(item.get("loss")),
        )
        for item in found.get("multipliers") or ()
    ]
    made = [
        Table(
            title="In what the arms may differ: each law against one in which all of it does",
            header=("Law", "Own to each arm", "Parameters", "AICc", "F", "p"),
            rows=steps,
            right=(2, 3, 4, 5),
        ),
        Table(
            title="Differences between arms",
            header=("Parameter", "Arms", "Difference", "95 % interval", "p (Holm)", "Smaller than, at 5 %"),
            rows=differences,
            right=(2, 3, 4, 5),
        ),
        Table(
            title="What one arm needs at equal loss",
            header=("Arm", "Of", "Times", "95 % interval", "At loss"),
            rows=multipliers,
            right=(2, 3, 4),
        ),
    ]
    return [table for table in made if table.rows]


def _pair(interval: Any) -> tuple[Any, Any]:
    low, high = interval or (None, None)
    return low, high


def _p_value(value: Any) -> str:
    exact = number(value)
    return tables.DASH if exact is None else "< 0.0001" if exact < 1e-4 else tables.general(exact, 2)


def _columns(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The column of the table that stands for each axis: by the question, then as the fit used it."""
    question = answer["question"]
    asked = {axis: question[axis] for axis in tables.AXIS_SYMBOLS if question.get(axis)}
    return {**asked, **((answer.get("fit") or {}).get("data", {}).get("columns") or {})}


def fit_formula(fit: Mapping[str, Any]) -> str:
    axis = next(iter(fit.get("data", {}).get("pivot") or ()), "")
    return tables.formula(str(fit["formula"]), axis, (fit.get("data", {}).get("columns") or {}).get(axis))


def held_out_table(evidence: Evidence, *answers: Mapping[str, Any]) -> Table:
    """Each forecast beside what came; of several answers, the arms of one comparison, with the arm's name."""
    known = {str(row.get("run")): row for row in evidence.rows}
    rows = []
    several = len(answers) > 1
    for of, item in ((answer, item) for answer in answers for item in answer.get("held_out") or ()):
        question = of["question"]
        low, high = item.get("interval") or (None, None)
        row = known.get(str(item.get("run")), {})
        rows.append(
            (
                str(item.get("run") or ""),
                *((arm_of(of),) if several else ()),
                tables.count(item.get("params") or row.get(question.get("params") or "params_non_embedding")),
                tables.count(item.get("tokens") or row.get(question.get("tokens") or "tokens")),
                str(item.get("seed") if item.get("seed") is not None else tables.DASH),
                tables.loss(item.get("predicted")),
                _forecast_interval(number(low), number(high)),
                tables.loss(item.get("observed")),
                tables.percent(item.get("error_relative"), signed=True),
                "inside" if item.get("is_inside") else "outside",
            )
        )
    return Table(
        title="Held-out forecast",
        header=("Run", *(("Arm",) if several else ()), "N", "D", "Seed", "Forecast", "95 % interval", "Came", "Error")
        + ("Interval",),
        rows=rows,
        right=tuple(range(1 + several, 8 + several)),
    )


def _forecast_interval(low: float | None, high: float | None) -> str:
    if low is None:
        return tables.DASH
    if high is None or says_nothing(low, high):
        return "not determined"
    return f"[{tables.loss(low)}, {tables.loss(high)}]"


def baselines_table(evidence: Evidence) -> Table:
    """Count models of the same text, and the best run, on the same validation tokens."""
    rows = [
        (
            f"{item.get('name')} counts",
            tables.count(item.get("params")),
            tables.loss(item.get("loss")),
            tables.significant(number(item.get("bits_per_byte")) or 0, 3)
            if number(item.get("bits_per_byte"))
            else tables.DASH,
            tables.general(item.get("perplexity"), 3),
        )
        for item in evidence.baselines
    ]
    done = [row for row in evidence.finished if number(row.get("loss")) is not None]
    if done:
        best = min(done, key=lambda row: number(row.get("loss")) or math.inf)
        value = number(best.get("loss")) or 0.0
        rows.append(
            (
                f"best run ({best.get('run')})",
                tables.count(best.get("params_total")),
                tables.loss(value),
                tables.significant(number(best.get("bits_per_byte")) or 0, 3)
                if number(best.get("bits_per_byte"))
                else tables.DASH,
                tables.general(math.exp(min(value, 700)), 3)
                if best.get("loss_unit") == "nats_per_token"
                else tables.DASH,
            )
        )
    return Table(
        title="Did the models learn more than counts?",
        header=("Model", "Parameters", "Loss", "Bits per byte", "Perplexity"),
        rows=rows,
        right=(1, 2, 3, 4),
    )


def baseline_sentence(evidence: Evidence) -> str:
    """Whether the best run beats the strongest count model."""
    known = [
        (value, str(item.get("name"))) for item in evidence.baselines if (value := number(item.get("loss"))) is not None
    ]
    losses = [value for row in evidence.finished if (value := number(row.get("loss"))) is not None]
    if not known or not losses:
        return ""
    strongest, name = min(known)
    gap = strongest - min(losses)
    word = "below" if gap > 0 else "above"
    verdict = "" if gap > 0 else " The models have not learned more than counting does."
    return f"The best run is {abs(gap):.3f} {word} the {name} count model, on the same validation tokens.{verdict}"


def left_out_table(evidence: Evidence) -> Table:
    """One row for each reason, every run named in it."""
    several = any(group.question for group in evidence.left_out)
    rows = []
    for group in evidence.left_out:
        runs = "; ".join(f"{run} ({tables.readable(rung)})" if rung else run for run, rung in group.runs)
        rows.append((group.reason, *((group.question or "all",) if several else ()), str(len(group.runs)), runs))
    header = ("Why", *(("Question",) if several else ()), "Runs", "Which")
    return Table(title="Left out of the fit", header=header, rows=rows, right=(2 if several else 1,))


def sensitivity_tables(answer: Mapping[str, Any]) -> list[Table]:
    """How the parameters move when the analysis does: one table for each kind of change, the fit itself first."""
    fit = answer.get("fit") or {}
    found = fit.get("sensitivity") or {}
    chosen = {name: parameter.get("value") for name, parameter in (fit.get("params") or {}).items()}
    used = (fit.get("objective") or {}).get("name")
    made = []
    for kind, title, first in (
        ("objective", "By the objective that is minimised", "Objective"),
        ("counting", "By what counts as a parameter", "Counting"),
    ):
        variants = {name: values for name, values in (found.get(kind) or {}).items() if isinstance(values, Mapping)}
        if variants:
            rows = [(f"{name} (used here)" if name == used else str(name), values) for name, values in variants.items()]
            if not any(name == used for name in variants):
                rows = [("as used here", chosen), *rows]
            made.append(_variants_table(title, first, rows, like=next(iter(variants.values()))))
    without = [row for row in (found.get("outlier") or {}).get("rows", ()) if isinstance(row, Mapping)][:SUSPECTS]
    if without:
        rows = [("none", chosen), *((str(row.get("run")), row) for row in without)]
        made.append(
            _variants_table("By leaving out one run, those that fit worst first", "Without", rows, like=without[0])
        )
    return made


def _variants_table(
    title: str, first: str, rows: Sequence[tuple[str, Mapping[str, Any]]], like: Mapping[str, Any] | None = None
) -> Table:
    names = [name for name in (like or rows[0][1]) if name != "run"]
    return Table(
        title=title,
        header=(first, *map(tables.symbol, names)),
        rows=[(label, *(_cell(values.get(name)) for name in names)) for label, values in rows],
        right=tuple(range(1, len(names) + 1)),
    )


def also_table(answer: Mapping[str, Any]) -> Table | None:
    """The other laws that were tried on the same rows, beside the one that answers."""
    others = [item for item in answer.get("also") or () if isinstance(item, Mapping)]
    fit = answer.get("fit")
    if not others or not fit:
        return None
    errors = [
        abs(value) for item in answer.get("held_out") or () if (value := number(item.get("error_relative"))) is not None
    ]
    rows = [
        (
            f"{fit_formula(fit)} (used here)",
            _shapes(fit["params"]),
            tables.general(fit["goodness"].get("aicc")),
            "0",
            tables.percent(sum(errors) / len(errors)) if errors else tables.DASH,
        )
    ]
    for item in others:
        fixed = ", ".join(
            f"{tables.symbol(name)} = {tables.general(value)}" for name, value in (item.get("fixed") or {}).items()
        )
        axis = str(item.get("law")).rpartition(":")[2]
        name = tables.formula(str(item.get("formula")), axis, _columns(answer).get(axis))
        name += f" with {fixed}" if fixed else ""
        if item.get("refusal"):
            rows.append((f"{name}: refused, {item['refusal']}", "", tables.DASH, tables.DASH, tables.DASH))
            continue
        change = number(item.get("delta_aicc"))
        rows.append(
            (
                name,
                _shapes(item.get("params") or {}),
                tables.general(item.get("aicc")),
                tables.DASH if change is None else f"{change:+.1f}",
                tables.percent(item.get("held_out_error")),
            )
        )
    return Table(
        title="Other laws on the same runs",
        header=("Law", "Exponents", "AICc", "Δ AICc", "Held-out error"),
        rows=rows,
        right=(2, 3, 4),
    )


def _shapes(params: Mapping[str, Any]) -> str:
    shown = []
    for name in ("alpha", "beta", "gamma"):
        value = params.get(name)
        value = value.get("value") if isinstance(value, Mapping) else value
        if number(value) is not None:
            shown.append(f"{tables.symbol(name)} = {tables.general(value, 3)}")
    return ", ".join(shown)


def collapse_tables(evidence: Evidence) -> list[tuple[str, Table]]:
    """For each fitted law whose runs compare: whether all sizes trained along one curve, in a sentence and a table."""
    made = []
    for answer in evidence.fitted:
        floor = (answer["fit"].get("params") or {}).get("E")
        rows = [*fitted_rows(evidence, answer), *held_out_rows(evidence, answer)]
        courses = [
            Course(
                params=float(row["params_non_embedding"]),
                seed=int(number(row.get("seed")) or 0),
                total_tokens=float(row["tokens"]),
                tokens=evidence.curves[row["run"]].tokens,
                loss=evidence.curves[row["run"]].loss,
            )
            for row in rows
            if number(row.get("params_non_embedding"))
            and row.get("run") in evidence.curves
            and evidence.curves[row["run"]].kind == "validation"
        ]
        found = collapse(courses, float(floor["value"])) if floor and len(courses) == len(rows) else None
        if found is None:
            continue
        arm = (answer["question"].get("where") or {}).get("arm")
        about = f" ({arm})" if arm else ""
        noise = (
            "" if found.seed_spread is None else f"; seeds of one size differ by {tables.percent(found.seed_spread)}"
        )
        sentence = (
            f"All sizes train along one curve{about}: their reducible losses, as shares of the last, depart by at most "
            f"{tables.percent(max(found.departs.values()))}{noise}."
            if found.broken is None
            else f"The size {tables.count(found.broken)} leaves the curve that the others share{about}, by "
            f"{tables.percent(found.departs[found.broken])}{noise}: its learning rate or warmup may not suit it."
        )
        table = Table(
            title="Loss collapse",
            header=("N", "Departs from the other sizes by"),
            rows=[(tables.count(size), tables.percent(value)) for size, value in found.departs.items()],
            right=(0, 1),
        )
        made.append((sentence, table))
    return made


def corpora_table(evidence: Evidence) -> Table:
    rows = [
        (
            name,
            corpus.fingerprint,
            tables.count(corpus.train_tokens),
            tables.count(corpus.validation_tokens),
            tables.count(corpus.vocabulary),
            corpus.licence,
        )
        for name, corpus in evidence.study.corpora.items()
    ]
    return Table(
        title="Data",
        header=("Corpus", "Fingerprint", "Training tokens", "Validation tokens", "Vocabulary", "Licence"),
        rows=rows,
        right=(2, 3, 4),
    )


def repeat_facts(evidence: Evidence) -> list[tuple[str, str]]:
    """Versions, commit, precision, numerics."""
    study = evidence.study
    facts = [("Commit", study.versions.commit or "not recorded")]
    if study.study_file:
        facts.append(("Declared in", f"{Path(study.study_file.path).name}, SHA-256 {study.study_file.sha256[:16]}"))
    versions = [(name, version) for name, version in asdict(study.versions).items() if name != "commit" and version]
    facts.append(("Versions", ", ".join(f"{name} {version}" for name, version in versions)))
    facts.append(("Precision", study.precision))
    facts.append(("Compute", _compute(evidence)))
    facts.append(("Numerics", _numerics([str(row["numerics"]) for row in evidence.rows if row.get("numerics")])))
    breaks = sum(int(number(row.get("numerics_breaks")) or 0) for row in evidence.rows)
    if breaks:
        facts.append(("Breaks in numerics", f"{breaks}, at resumes; bits may differ from an uninterrupted run"))
    fits = [answer["fit"] for answer in evidence.answers if answer.get("fit")]
    if fits:
        facts.append(
            ("Fit", f"seed {fits[0].get('seed')}, table {str(fits[0].get('data', {}).get('sha256', ''))[:16]}")
        )
    facts.append(("Planned", tables.moment(study.created)))
    return [(name, text) for name, text in facts if text]


def _numerics(found: Sequence[str]) -> str:
    """torch=2.13 device=cpu micro_batch=12 and the same with 15: torch=2.13 device=cpu micro_batch=12, 15."""
    distinct = list(dict.fromkeys(found))
    settings = [[part.partition("=") for part in one.split()] for one in distinct]
    if not all(mark for one in settings for _, mark, _ in one):
        return " · ".join(distinct)
    values: dict[str, dict[str, None]] = {}
    for name, _, value in (part for one in settings for part in one):
        values.setdefault(name, {})[value] = None
    return "; ".join(f"{name} {', '.join(sorted(some, key=_natural))}" for name, some in values.items())


def _natural(value: str) -> tuple[float, str]:
    return (number(value) or 0.0, value)


def _compute(evidence: Evidence) -> str:
    """What the runs cost, and what shared trunks saved."""
    priced = [(number(row.get("flops")), number(row.get("flops_spent"))) for row in evidence.finished]
    counted = sum(flops for flops, spent in priced if flops and spent is not None)
    paid = sum(spent for flops, spent in priced if flops and spent is not None)
    if not (counted and paid):
        return ""
    if paid > 0.999 * counted:
        return tables.flops(counted)
    return (
        f"{tables.flops(paid)} were spent where training each run from scratch would take {tables.flops(counted)}, "
        f"{counted / paid:.2f} times as much: budgets share trunks"
    )


def _objective(objective: Mapping[str, Any]) -> str:
    name = str(objective.get("name"))
    where = "residuals of log loss" if objective.get("is_log") else "residuals of the loss"
    delta = number(objective.get("delta"))
    return f"{name} on {where}" + (f", δ = {tables.significant(delta, 3)}" if delta is not None else "")


def _cell(value: Any) -> str:
    exact = number(value)
    if exact is not None:
        return tables.significant(exact)
    return tables.DASH if value is None or value == "nan" else str(value)
