"""Whether the arms of a comparison were tuned alike: each one's learning rate bracketed at two settings at least."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from lawful.schema import Observation, PlannedRun, Question, Warning

LEAST_SETTINGS = 2  # so that the rule of the rate is tested along the ladder, and not at one point of it
LEAST_RATES = 3  # at a setting: the ladder's own, one below and one above


def untuned(
    runs: Sequence[PlannedRun], questions: Iterable[Question], rows: Iterable[Observation] | None = None
) -> list[Warning]:
    """A warning where an arm's learning rate was bracketed at fewer settings than two, or than it has.

    rows    the runs that have ended; None: what is planned counts
    Nothing is said of commands, whose rates are not known, nor where what is found was planted.
    """
    settings = bracketed_settings(runs, rows)
    if any(question.truth for question in questions):
        return []
    short = [arm for arm, (bracketed, of_arm) in settings.items() if bracketed < min(LEAST_SETTINGS, of_arm)]
    if not short:
        return []
    each = "; ".join(f"{arm} at {settings[arm][0]} of {settings[arm][1]}" for arm in short)
    text = (
        "learning rates not tuned alike: three rates or more were tried at fewer than two settings of an arm "
        f"({each}). An arm that is behind may only have a worse rate."
    )
    return [Warning("arms-not-tuned", "warning", text)]


def bracketed_settings(
    runs: Sequence[PlannedRun], rows: Iterable[Observation] | None = None
) -> Mapping[str, tuple[int, int]]:
    """arm -> at how many settings three learning rates or more were tried, and how many settings it has. Empty where
    there are no arms, or the rates of some runs are not known. A setting is what two seeds share."""
    own = [run for run in runs if not run.starts_from]
    arms = dict.fromkeys(run.arm for run in own)
    if len(arms) < 2 or any(run.kind == "command" for run in own):
        return {}
    over = None if rows is None else {row.get("run") for row in rows if row.get("status") in ("finished", "diverged")}
    names = dict.fromkeys(name for run in own for name in run.at if name != "seed")
    found = {}
    for arm in arms:
        of_arm = [run for run in own if run.arm == arm]
        ended = [run for run in of_arm if over is None or run.run in over]
        settings = {_key(run, ("seed",)) for run in of_arm if run.bracket is None and not run.held_out}
        # the coordinate that names the rate is `rate` in brackets, and any in a ladder that sweeps it
        found[arm] = (max(_swept(ended, name) for name in names), len(settings))
    return found


def _swept(runs: Sequence[PlannedRun], name: str) -> int:
    """At how many settings, this coordinate apart, there are enough rates of runs of one size, length and batch."""
    rates: dict[object, set[float]] = defaultdict(set)
    for run in runs:
        key = (*_key(run, ("seed", name)), run.params_non_embedding, run.tokens, run.batch_tokens)
        rates[key].add(run.learning_rate)
    return sum(len(tried) >= LEAST_RATES for tried in rates.values())


def _key(run: PlannedRun, without: Sequence[str]) -> tuple[object, ...]:
    return tuple((name, value) for name, value in run.at.items() if name not in without)
