"""The checklist of "(Mis)Fitting scaling laws" (arXiv:2502.18969), answered from the records of a fit and a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lawful.fitting.fitted import FittedLaw
from lawful.fitting.number_text import symbol_of
from lawful.schema import CorpusRecord, PlannedRun, StudyPlan


@dataclass(frozen=True)
class Item:
    """answer is None where nothing recorded answers it: the author must."""

    section: str
    question: str
    answer: str | None


def checklist(fit: FittedLaw, study: StudyPlan | None = None) -> tuple[Item, ...]:
    """Every item of the paper's four parts. `study` is what study.json holds, where the runs are a study's."""
    sections = {
        "scaling law hypothesis": _hypothesis(fit),
        "training setup": _training(fit, study),
        "data collection": _collection(fit),
        "fitting": _fitting(fit),
    }
    return tuple(Item(section, question, answer) for section, items in sections.items() for question, answer in items)


def as_text(items: tuple[Item, ...]) -> str:
    lines: list[str] = []
    section = ""
    for item in items:
        if item.section != section:
            lines += ["", item.section]
            section = item.section
        lines.append(f"  [{'x' if item.answer else ' '}] {item.question}")
        lines.append(f"      {item.answer or 'not answered by what was recorded'}")
    answered = sum(item.answer is not None for item in items)
    return "\n".join([f"{answered} of {len(items)} items answered (arXiv:2502.18969)", *lines])


_Items = list[tuple[str, str | None]]


def _hypothesis(fit: FittedLaw) -> _Items:
    fixed = [f"{name} = {p.value:g} (fixed)" for name, p in fit.params.items() if p.role == "fixed"]
    axes = "; ".join(f"{axis}: {fit.data.columns.get(axis, axis)}" for axis in fit.model.inputs)
    additive = len(fit.model.coefficients) > 1
    return [
        ("What is the form of the law?", f"{symbol_of(fit)} = {fit.formula}"),
        ("What are the variables?", axes),
        ("Which parameters are fitted?", ", ".join([*fit.free, *fixed])),
        ("On what principle was the form chosen?", f"as in {fit.model.source}"),
        (
            "What is assumed about interactions between variables?",
            "terms add; none interact" if additive and len(fit.model.inputs) > 1 else None,
        ),
    ]


def _training(fit: FittedLaw, study: StudyPlan | None) -> _Items:
    runs = study.runs if study else ()
    sizes = fit.data.domain.get("params")
    tokens = fit.data.domain.get("tokens")
    corpora = study.corpora if study else {}
    rates = sorted({planned.learning_rate for planned in runs if "learning_rate" not in planned.unknown})
    schedules = sorted({planned.schedule for planned in runs if "schedule" not in planned.unknown})
    return [
        (
            "How many models are trained?",
            str(len(runs)) if runs else f"{fit.goodness.n} rows in {fit.goodness.clusters} clusters are fitted",
        ),
        ("Of which sizes?", f"{sizes[0]:.4g} to {sizes[1]:.4g} parameters" if sizes else None),
        ("On how much data?", f"{tokens[0]:.4g} to {tokens[1]:.4g} tokens" if tokens else None),
        (
            "On which data?",
            "; ".join(f"{name} (fingerprint {corpus.fingerprint})" for name, corpus in corpora.items()) or None,
        ),
        ("Is data repeated?", _repeats(runs, corpora)),
        (
            "How are parameters, data and compute counted?",
            ", ".join(
                f"{role} = {column}"
                for role, column in fit.data.columns.items()
                if role in ("params", "tokens", "flops")
            ),
        ),
        (
            "How are hyperparameters chosen, and do they scale with size?",
            f"learning rates {rates[0]:.3g} to {rates[-1]:.3g}, by the study's own rule" if rates else None,
        ),
        ("Which learning rate schedule?", ", ".join(schedules) or None),
        ("Which other choices of architecture?", None),
        ("Is the code given?", _versions(study)),
    ]


def _repeats(runs: Sequence[PlannedRun], corpora: Mapping[str, CorpusRecord]) -> str | None:
    unique = [float(corpus.train_tokens) for corpus in corpora.values() if corpus.train_tokens]
    tokens = [float(planned.tokens) for planned in runs]
    if not unique or not tokens:
        return None
    return f"at most {max(tokens) / min(unique):.3g} passes over the training split"


def _versions(study: StudyPlan | None) -> str | None:
    if study is None or not study.versions.lawful:
        return None
    return f"lawful {study.versions.lawful}, commit {study.versions.commit}; {study.command}".strip("; ")


def _collection(fit: FittedLaw) -> _Items:
    metric = "log loss" if fit.data.response.is_log else "the metric"
    clustered = fit.goodness.clusters < fit.goodness.n
    dropped = fit.data.dropped
    return [
        ("Are checkpoints given?", None),
        (
            "Which checkpoints of each run are used?",
            "several rows share a run or trunk, and count as one cluster" if clustered else "one row for each run",
        ),
        (
            "What metric, on what evaluation data?",
            f"column {fit.data.columns['loss']}",
        ),
        ("Is the metric transformed?", "residuals are of the logarithm of the loss" if fit.objective.is_log else "no"),
        (
            "Are rows left out, and why?",
            f"{len(dropped)}: " + ", ".join(sorted({str(row["reason"]) for row in dropped})) if dropped else "none",
        ),
        (
            "Are results repeated over seeds?",
            f"yes; spread between runs {fit.goodness.sigma_run:.3g} of {metric}" if fit.goodness.sigma_run else "no",
        ),
    ]


def _fitting(fit: FittedLaw) -> _Items:
    metric = "log loss" if fit.data.response.is_log else "the metric"
    c, g = fit.convergence, fit.goodness
    delta = "" if fit.objective.delta is None else f" with delta {fit.objective.delta:.3g}"
    alternatives = ", ".join(name for name in fit.sensitivity.objective if name != fit.objective.name)
    return [
        ("What is the objective?", f"{fit.objective.name}{delta}, sum over rows"),
        ("Which algorithm?", "Newton with exact Hessians, safeguarded, from a grid with the linear part solved"),
        ("With which tolerances?", f"relative Newton decrement {c.decrement:.1e} at the point"),
        ("How is it initialised?", f"{c.starts} starts, of which {c.agree} agree"),
        ("Are all points used?", f"{g.n} rows fitted, {len(fit.data.dropped)} left out"),
        ("Are results sensitive to the objective?", f"refitted under {alternatives}" if alternatives else None),
        ("What uncertainty is given?", f"95 % intervals by {fit.interval_method}"),
        (
            "How good is the fit?",
            f"rmse of {metric} {g.rmse_log:.3g}, AICc {g.aicc:.2f}, BIC {g.bic:.2f}"
            + "".join(f"; severe: {one.code}: {one.sentence}" for one in fit.warnings if one.severity == "severe"),
        ),
        ("Is it tested by extrapolation?", None),
    ]
