"""The answer as a sentence that one can quote, with what it rests on and what to do next; of every kind of result.

A sentence has at most 25 words and two numbers. It claims nothing that a severe doubt takes back: then it states the
doubt. Arms are called equal only where a margin is excluded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lawful.fitting.allocate import Allocation
from lawful.fitting.answer_records import AnswerRecord
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.headline_arms import of_arms, of_paired
from lawful.fitting.headline_fit import of_fit
from lawful.fitting.headline_text import OF_EXPONENTS, WORDS, Headline, advice, capped, listed, short_doubt
from lawful.fitting.holdout import Holdout
from lawful.fitting.isoflop import IsoFlop
from lawful.fitting.number_text import amount, counted, factor, percent
from lawful.fitting.truth import Recovered
from lawful.schema import Warning

MOST_MISSED = 2  # planted values that are named one by one
NOT_OF_RUNS = ("data-missing",)  # a severe warning of a plan which says nothing about runs that were made
SHORT_REFUSALS = {
    "no_rows": "no finished run matches the question",
    "too_few_points": "there are no more runs than the law has parameters",
    "no_value": "some runs lack a number that the law needs",
    "too_few_levels": "the runs take too few different sizes or budgets",
    "one_cluster": "all runs share their noise",
    "no_fall": "the metric does not follow every axis of the law",
    "two_axes": "both size and data vary, and the law reads one of them",
    "inputs_together": "the inputs vary together",
    "few_arms": "too few arms are pooled",
    "own_runs": "the reference law was fitted to these very runs",
    "no_pairs": "no run of the baseline has the point and seed of a variant's run",
    "too_few_cells": "too few sweeps have their optimum inside",
    "nothing_in_common": "the published fit has no exponent in common with this one",
    "no_best_size": "the fitted law has no best size",
    "mixed_loss_units": "the losses are in different units",
    "pooled_settings": "runs of one size and length differ in a setting",
    "mixed_schedules": "runs have different learning-rate schedules",
    "mixed_data": "the runs were trained on different data",
    "undecayed_losses": "some losses were taken before the learning rate had decayed",
    "seconds_of_decay": "the seconds of some runs are of their decay alone",
    "padding_in_loss": "padding counts in the loss of some runs",
    "one_arm": "there is one arm only",
    "several_runs": "an arm has several runs of one level and seed",
    "no_replicates": "no level has two seeds, so the noise is not known",
    "no_shared_range": "the arms have no sizes in common",
    "too_few_budgets": "too few budgets have their lowest loss between two sizes",
}


def of_answer(answer: AnswerRecord, fit: FittedLaw | None, design: Sequence[Warning] = ()) -> Headline:
    """The headline of a study's question. design: the warnings of the plan and its runs, for any question."""
    severe = [one for one in (*design, *answer.warnings) if one.severity == "severe" and one.code not in NOT_OF_RUNS]
    if answer.status == "refused":
        return of_refusal(answer.code, answer.refusal or "")
    if answer.paired is not None or answer.comparison is not None or answer.crossings:
        said = (
            of_paired(answer.paired, severe)
            if answer.paired is not None
            else of_arms(answer.comparison, answer.crossings, severe)
        )
        return not_tuned(said) if any(one.code == "arms-not-tuned" for one in design) else said
    if fit is not None:
        return of_fit(fit, answer.held_out, severe, [*answer.warnings, *fit.warnings])
    return Headline(sentence="The question was answered, but its fit is not at hand.")


NOT_TUNED = "learning rates not tuned"


def not_tuned(said: Headline) -> Headline:
    """With the doubt that an arm may only have a worse learning rate; other clauses give way to it."""
    head = said.sentence.rstrip(".")
    while len(f"{head}; {NOT_TUNED}.".split()) > WORDS and ";" in head:
        head = head.rpartition(";")[0]
    if len(words := head.split()) + len(NOT_TUNED.split()) > WORDS:
        head = " ".join(words[: WORDS - len(NOT_TUNED.split()) - 1]) + " …"
    return replace(said, sentence=f"{head}; {NOT_TUNED}.")


def of_truth(first: Headline, found: Mapping[str, Sequence[Recovered]]) -> Headline:
    """The headline of a study that asks whether a fit recovers planted parameters.

    first    the headline of its first question
    found    question -> what was recovered
    """
    items = [one for of_question in found.values() for one in of_question]
    right = sum(one.is_inside for one in items)
    missed = [_missed(one, name) for name, of_question in found.items() for one in of_question if not one.is_inside]
    more = f"; and {len(missed) - MOST_MISSED} more" if len(missed) > MOST_MISSED else ""
    basis = f"missed: {'; '.join(missed[:MOST_MISSED])}{more}. " if missed else ""
    basis += "A value counts where its 95 % interval holds the planted one, a verdict where it is the planted one"
    step = first.next_step if not missed else "Look at what was not recovered: one interval in twenty misses."
    return Headline(
        sentence=f"{right} of {len(items)} planted values and verdicts were recovered.", basis=basis, next_step=step
    )


VERDICTS = {"decision": "whether the exponents agree", "verdict": "how the variants differ"}


def _missed(one: Recovered, question: str) -> str:
    """Which planted value or verdict was missed, and by how much."""
    what = f"{one.name} of question {question}, planted"
    if isinstance(one.planted, str) or isinstance(one.found, str) or one.found is None or one.interval is None:
        what = VERDICTS.get(one.name, one.name)
        return f"{what} (question {question}), planted {one.planted!r}, found {one.found or 'nothing'!r}"
    low, high = one.interval
    return f"{what} {one.planted:.3g}, found {one.found:.3g} (95 % interval {low:.3g} to {high:.3g})"


def of_refusal(code: str | None, refusal: str) -> Headline:
    why = SHORT_REFUSALS.get(code or "", "the runs cannot answer the question")
    return Headline(sentence=f"No law is claimed: {why}.", basis=refusal, next_step=advice(code) or "")


def of_one_setting(losses: Mapping[str, Sequence[float]], refusal: str) -> Headline:
    """The headline of a study that trains one setting with several seeds, which can have no law. losses: by arm."""
    each = {arm: sum(own) / len(own) for arm, own in losses.items()}
    fewest, most = min(map(len, losses.values())), max(map(len, losses.values()))
    of_several = f"mean of {most} seeds" if fewest == most else f"means of {fewest} to {most} seeds"
    over = "one seed" if most == 1 else of_several
    if len(each) == 1:
        (loss,) = each.values()
        sentence = f"A single setting was trained, so no law is claimed; its loss is {loss:.4g}."
        step = "Train at least four sizes, the largest held out, for a law that can be tested."
    else:
        sentence = "A single setting of each arm was trained: no law is claimed, and no arm is called better."
        over += ": " + ", ".join(f"{arm} {loss:.4g}" for arm, loss in each.items())
        step = "Train several seeds of each arm to compare them, and at least four sizes for a law."
    return Headline(sentence=sentence, basis=f"{over}. {refusal}", next_step=step)


def of_allocation(found: Allocation) -> Headline:
    """The best use of a budget."""
    severe = [one for one in found.warnings if one.severity == "severe"]
    low, high = found.params.low, found.params.high
    basis = f"95 % interval {amount(low)} to {amount(high)} parameters"
    if severe:
        sentence = f"No best size is quoted for this budget: {short_doubt(severe[0])}."
        return Headline(sentence=capped(sentence), basis=basis, next_step=advice(severe[0].code) or "")
    if not (0 < low and high < math.inf):
        sentence = "These runs do not determine the best size for this budget."
        return Headline(sentence=sentence, next_step=advice("not_bracketed") or "")
    size, tokens = amount(found.params.value), amount(found.tokens.value)
    sentence = f"This budget is spent best on {size} parameters and {tokens} tokens."
    first, last = found.band[0].value, found.band[1].value
    basis += f"; sizes from {amount(first)} to {amount(last)} waste at most 5 % of the compute"
    return Headline(sentence=sentence, basis=basis, next_step="Train one run on the way there before you rely on it.")


def of_isoflop(found: IsoFlop) -> Headline:
    """How the best size grows with compute."""
    severe = [one for one in found.warnings if one.severity == "severe"]
    low, high = found.N_exponent_ci95
    budgets = sum(one.params is not None for one in found.curves)
    basis = f"95 % interval {factor(10**low)} to {factor(10**high)} times the parameters; {budgets} budgets"
    if severe:
        sentence = f"How the best size grows with compute is not decided: {short_doubt(severe[0])}."
        return Headline(sentence=capped(sentence), basis=basis, next_step=advice(severe[0].code) or "")
    if high - low > 1:
        sentence = "These runs do not determine how the best size grows with compute."
        return Headline(sentence=sentence, basis=basis, next_step=advice("not_bracketed") or "")
    sentence = f"Ten times the compute is spent best on {factor(10**found.N_exponent)} times the parameters and "
    sentence += f"{factor(10**found.D_exponent)} times the tokens."
    return Headline(sentence=sentence, basis=basis, next_step="Add one larger budget to test it.")


def of_holdout(found: Holdout[FittedLaw]) -> Headline:
    """Whether the forecasts of the largest runs held."""
    severe = [one for one in found.warnings if one.severity == "severe" and one.code not in (*OF_EXPONENTS, "misfit")]
    inside = sum(row.is_inside for row in found.rows)
    basis = f"{inside} of {len(found.rows)} inside their 95 % intervals; fitted on {counted(found.fit)}"
    if severe:
        return Headline(sentence=f"The forecasts are not judged: {short_doubt(severe[0])}.", basis=basis)
    is_log = found.fit.data.response.is_log
    reach, error = factor(found.reach), f"{percent(found.rmse_log)} %" if is_log else f"{found.rmse_log:.2g}"
    largest = {"6 N D": "compute", "params": "parameters", "flops": "compute"}.get(found.largest, found.largest)
    if found.verdict == "held":
        sentence = f"Forecasts at up to {reach} times the fitted {largest} held, "
        return Headline(sentence=f"{sentence}with an rms error of {error}.", basis=basis)
    if found.verdict == "no use":
        what = "the loss falls" if is_log else "the metric goes on changing"
        return Headline(sentence=f"The forecasts held, but are too wide to say that {what}.", basis=basis)
    sentence = f"The forecasts of the largest runs failed, with an rms error of {error}."
    return Headline(sentence=sentence, basis=basis, next_step=advice("held_out_missed") or "")


def worse_than_counts(
    before: Headline,
    worse: Sequence[str],
    gaps: Mapping[str, Sequence[float]],
    models: Sequence[str] = (),
    *,
    has_held_out: bool = False,
) -> Headline:
    """What is left of a sentence where every run of these arms has a higher loss than counting has.

    models         the names of the strongest count models: 5-gram
    has_held_out   whether some of these runs were held out: the basis then says that they count, too
    """
    model = f"a {models[0]} model" if len(models) == 1 else "an n-gram model"
    runs = sum(len(of_arm) for of_arm in gaps.values())
    step = f"Train larger models, or longer, until they beat {model}; then compare again."
    if len(worse) == len(gaps):
        sentence = f"Which of {listed(list(gaps), 'and')} is better was not judged: every run loses to {model}."
        above = [gap for of_arm in gaps.values() for gap in of_arm]
        basis = f"{min(above):.2g} to {max(above):.2g} nats per token above that of {model} of its own text"
        held = ", held-out ones too," if has_held_out else ""
        basis = f"the loss of each of the {runs} runs{held} is {basis}"
        return Headline(sentence=capped(sentence), basis=basis, next_step=step)
    tail = f"{listed(worse, 'and')} {'does' if len(worse) == 1 else 'do'} not beat {model}"
    sentence = f"{before.sentence.rstrip('.')}; {tail}."
    if len(sentence.split()) > WORDS:
        sentence = f"{before.sentence.partition(';')[0].rstrip('.')}; {tail}."
    said = Headline(sentence=capped(sentence), basis=before.basis, next_step=before.next_step or step)
    return not_tuned(said) if NOT_TUNED in before.sentence and NOT_TUNED not in said.sentence else said
