"""Losses beside those of counting alone: arms that are worse have shown no learning, and none is called ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lawful.report.tables import number
from lawful.schema import StudyPlan

LOSSES = ("loss", "best_weights_loss")  # what counts are judged by, in nats per token
NOBODY = "none: all worse than counts"


def beside_counts(
    answer: Mapping[str, Any], study: StudyPlan, rows: Sequence[Mapping[str, Any]], counted: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The answer about arms, and what it may say: no arm is called ahead where every run of every arm is worse than the
    strongest count model of its own text; arms of which this is true are named.

    rows       the finished runs
    counted    what baselines.json holds
    """
    if answer.get("status") != "answered" or not (answer.get("crossings") or answer.get("paired")):
        return answer
    gaps = _gaps(answer, study, rows, counted)
    worse = [arm for arm, of_arm in gaps.items() if min(of_arm) > 0]
    if not worse:
        return answer
    above = [gap for arm in worse for gap in gaps[arm]]
    by = f"by {min(above):.2g} to {max(above):.2g} nats per token"
    if len(worse) < len(gaps):
        named = ", ".join(worse)
        text = (
            f"No better than counting, {named}: each run has a higher loss than the strongest count model of its own "
            f"text, {by}."
        )
        return {**answer, "sentence": f"{answer.get('sentence') or ''} {text}".strip()}
    text = (
        f"No better than counting: each of the {len(above)} runs has a higher loss than the strongest count model of "
        f"its own text, {by}. No arm is called ahead of another."
    )
    crossings = [{**one, "leader": NOBODY} if "refusal" not in one else one for one in answer.get("crossings") or ()]
    is_lead = any(one.get("leader") or one.get("at") is not None for one in answer.get("crossings") or ())
    if not is_lead and not answer.get("paired"):  # what it says of the laws stands
        text = f"{answer.get('sentence') or ''} {text}".strip()
    return {**answer, "sentence": text, "crossings": crossings}


def _gaps(
    answer: Mapping[str, Any], study: StudyPlan, rows: Sequence[Mapping[str, Any]], counted: Mapping[str, Any]
) -> dict[str, list[float]]:
    """Arm -> what each of its runs is above the strongest count model of its text; empty where one is not known."""
    loss = str(answer["question"].get("loss") or "loss")
    left_out = {str(item.get("run")) for item in answer.get("excluded") or ()}
    corpora = {run.run: run.corpus for run in study.runs}
    gaps: dict[str, list[float]] = {}
    for row in rows:
        value = number(row.get(loss))
        if str(row.get("run")) in left_out or value is None or row.get("arm") in (None, ""):
            continue
        least = _strongest(counted, corpora.get(str(row.get("run")), ""))
        if least is None or loss not in LOSSES or row.get("loss_unit") != "nats_per_token":
            return {}
        gaps.setdefault(str(row["arm"]), []).append(value - least)
    return gaps


def _strongest(counted: Mapping[str, Any], corpus: str) -> float | None:
    entries = counted.get("by_corpus", {}).get(corpus) or counted.get("baselines") or ()
    losses = [value for entry in entries if (value := number(entry.get("loss"))) is not None]
    return min(losses, default=None)
