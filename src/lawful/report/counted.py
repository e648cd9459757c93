"""Losses beside those of counting alone: arms that are worse are no better than counting, and none is called ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lawful.fitting import headline
from lawful.fitting.answers import Answer
from lawful.report.tables import number
from lawful.schema import Observation, StudyPlan

LOSSES = ("loss", "best_weights_loss")  # what counts are judged by, in nats per token
NOBODY = "none: all worse than counts"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What baselines.json holds: count models, of a study's one corpus or of each."""

    baselines: Sequence[Observation]
    by_corpus: Mapping[str, Sequence[Observation]]

    def strongest(self, corpus: str) -> tuple[float, str] | None:
        """The lowest loss of counting on this corpus, and the name of its model; None where none is known."""
        entries = self.by_corpus.get(corpus) or self.baselines
        losses = [(value, str(one.get("name"))) for one in entries if (value := number(one.get("loss"))) is not None]
        return min(losses, default=None)


def beside_counts(answer: Answer, study: StudyPlan, rows: Sequence[Observation], counts: Counts) -> Answer:
    """The answer about arms, and what it may say: no arm is called ahead where every run of every arm is worse than the
    strongest count model of its own text; arms of which this is true are named.

    rows       the finished runs
    """
    if answer.status != "answered" or not (answer.crossings or answer.paired or answer.comparison):
        return answer
    gaps, models = _gaps(answer, study, rows, counts)
    worse = [arm for arm, of_arm in gaps.items() if min(of_arm) > 0]
    if not worse:
        return answer
    left_out = {item.run for item in answer.excluded}
    has_held_out = any(row.get("held_out") and row.get("run") not in left_out for row in rows)
    said = headline.worse_than_counts(answer.said, worse, gaps, models, has_held_out=has_held_out)
    answer = answer.saying(said)
    above = [gap for arm in worse for gap in gaps[arm]]
    by = f"by {min(above):.2g} to {max(above):.2g} nats per token"
    if len(worse) < len(gaps):
        text = (
            f"No better than counting, {', '.join(worse)}: each run has a higher loss than the strongest count model "
            f"of its own text, {by}."
        )
        return replace(answer, sentence=f"{answer.sentence} {text}".strip())
    text = (
        f"No better than counting: each of the {len(above)} runs has a higher loss than the strongest count model of "
        f"its own text, {by}. No arm is called ahead of another."
    )
    found = [pair.crossing for pair in answer.crossings if pair.crossing is not None]
    if not answer.paired and not any(crossing.leader or crossing.at is not None for crossing in found):
        text = f"{answer.sentence} {text}".strip()  # what it says of the laws stands
    crossings = tuple(
        replace(pair, crossing=replace(pair.crossing, leader=NOBODY)) if pair.crossing else pair
        for pair in answer.crossings
    )
    return replace(answer, sentence=text, crossings=crossings)


def _gaps(
    answer: Answer, study: StudyPlan, rows: Sequence[Observation], counts: Counts
) -> tuple[dict[str, list[float]], list[str]]:
    """Arm -> what each of its runs is above the strongest count model of its text, and the names of these models;
    empty where one is not known."""
    loss = answer.question.loss
    left_out = {item.run for item in answer.excluded}
    corpora = {run.run: run.corpus for run in study.runs}
    commands = {run.run for run in study.runs if run.kind == "command"}  # whose text nobody has counted
    gaps: dict[str, list[float]] = {}
    models: dict[str, None] = {}
    for row in rows:
        value = number(row.get(loss))
        if str(row.get("run")) in left_out or value is None or row.get("arm") in (None, ""):
            continue
        least = counts.strongest(corpora.get(str(row.get("run")), ""))
        if (
            str(row.get("run")) in commands
            or least is None
            or loss not in LOSSES
            or row.get("loss_unit") != "nats_per_token"
        ):
            return {}, []
        gaps.setdefault(str(row["arm"]), []).append(value - least[0])
        models[least[1]] = None
    return gaps, list(models)
