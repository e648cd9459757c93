"""Where the runs that are under way will end, by the finished ones of the study; and which of them cannot win."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from lawful.errors import StoreError
from lawful.fitting.mid_run import EARLIEST, EndForecast, Losses, RunCurve, forecast_end
from lawful.report import tables
from lawful.report.cached import Cached
from lawful.report.tables import number
from lawful.schema import Coordinate, PlannedRun, RunRecord
from lawful.storage.json_files import object_of, read_bytes
from lawful.storage.layout import Store

MOST_RUNS = 40  # finished runs that one forecast reads: the nearest in size and tokens
MOST_LINES = 400  # of each kind that are parsed, evenly over the record
COUNTS = ("params_non_embedding", "tokens", "steps")  # what a forecast must know of a run beforehand
SAME_SIZE = 0.01  # runs whose parameters and tokens differ by less are rivals
_Key = tuple[Coordinate | None, ...]
_Points = Sequence[tuple[float, float]]


def forecasts(
    here: Store, planned: Sequence[PlannedRun], results: Sequence[RunRecord | None], steps_done: Mapping[str, int]
) -> dict[str, EndForecast]:
    """Run -> its forecast, where there is one. steps_done: of the runs that are not over."""
    due = [one for one in planned if steps_done.get(one.run, 0) >= EARLIEST * one.steps and _is_known(one)]
    if not due:
        return {}
    keys = dict(zip((one.run for one in planned), _keys(planned), strict=True))
    ended: dict[_Key, list[tuple[PlannedRun, float]]] = defaultdict(list)
    for one, result in zip(planned, results, strict=True):
        final = None if result is None or result.status != "finished" else result.number("loss")
        if final is not None and final > 0 and _is_known(one):
            ended[keys[one.run]].append((one, final))
    found = {}
    for one in due:
        near = sorted(ended[keys[one.run]], key=lambda pair: _distance(one, pair[0]))[:MOST_RUNS]
        curves = [_curve(here, other, final) for other, final in near]
        forecast = forecast_end(_curve(here, one, None), curves) if curves else None
        if forecast is not None:
            found[one.run] = forecast
    return found


def cannot_win(
    planned: Sequence[PlannedRun], results: Sequence[RunRecord | None], found: Mapping[str, EndForecast]
) -> dict[str, str]:
    """Run -> a sentence, where even the lower end of its forecast lies above the loss of a finished rival: a run of
    another arm, rate or setting on the same corpus, with as many parameters and tokens. Another seed is no rival."""
    sentences = {}
    for one in planned:
        if one.run not in found:
            continue
        rivals = [
            (loss, other)
            for other, result in zip(planned, results, strict=True)
            if result is not None and result.status == "finished" and _are_rivals(one, other)
            if (loss := result.number("loss")) is not None
        ]
        if not rivals:
            continue
        best, winner = min(rivals, key=lambda pair: pair[0])
        end = found[one.run]
        if end.low > best:
            sentences[one.run] = (
                f"{tables.readable(one.rung)} cannot win: forecast to end at {between(end)} (95 %), and "
                f"{tables.readable(winner.rung)}, of the same size and tokens, ended at {tables.loss(best)}"
            )
    return sentences


def between(end: EndForecast) -> str:
    """2.41 to 2.48, to the digits that the width supports."""
    low, high = tables.interval(end.low, end.high).strip("[]").split(", ")
    return f"{low} to {high}"


def _is_known(one: PlannedRun) -> bool:
    return not set(COUNTS) & set(one.unknown) and one.params_non_embedding > 0


def _keys(planned: Sequence[PlannedRun]) -> Iterator[_Key]:
    """What the runs that tell a run's end share with it. Coordinates that are texts belong to it, and those in which
    runs of one size and length differ; of the others, size and length tell all there is."""
    fixed = [
        (
            *(one.corpus, one.family, one.arm, one.bracket, bool(one.starts_from), one.kind),
            *(one.schedule, one.decay_fraction, one.rate_floor),
        )
        for one in planned
    ]
    names = dict.fromkeys(name for one in planned for name in one.at if name != "seed")
    others = [name for name in names if _differs(planned, fixed, name)]
    return ((*key, *(one.at.get(name) for name in others)) for one, key in zip(planned, fixed, strict=True))


def _differs(planned: Sequence[PlannedRun], fixed: Sequence[_Key], name: str) -> bool:
    """Whether the coordinate is a text, or runs that are alike in all else differ in it."""
    if any(isinstance(one.at.get(name), (str, bool)) for one in planned):
        return True
    seen: dict[_Key, Coordinate | None] = {}
    for one, key in zip(planned, fixed, strict=True):
        value = one.at.get(name)
        if seen.setdefault((*key, one.params_non_embedding, one.tokens), value) != value:
            return True
    return False


def _are_rivals(one: PlannedRun, other: PlannedRun) -> bool:
    def setting(run: PlannedRun) -> dict[str, Coordinate]:
        return {name: value for name, value in run.at.items() if name != "seed"}

    def texts(run: PlannedRun) -> dict[str, Coordinate]:
        """One may name the data of a command, whose corpus is not known; the arm may differ."""
        return {name: value for name, value in run.at.items() if isinstance(value, str) and value != run.arm}

    return (
        one.corpus == other.corpus
        and (one.kind != "command" or texts(one) == texts(other))
        and bool(one.starts_from) == bool(other.starts_from)
        and setting(one) != setting(other)
        and _is_known(other)
        and abs(one.params_non_embedding / other.params_non_embedding - 1) < SAME_SIZE
        and abs(one.tokens / other.tokens - 1) < SAME_SIZE
    )


def _distance(one: PlannedRun, other: PlannedRun) -> float:
    size = np.log(one.params_non_embedding / other.params_non_embedding)
    return float(np.hypot(size, np.log(one.tokens / other.tokens)))


def _curve(here: Store, one: PlannedRun, final: float | None) -> RunCurve:
    evaluations, training = _records.read(here.metrics(one.run)) or ((), ())
    return RunCurve(
        params=one.params_non_embedding,
        tokens=one.tokens,
        evaluations=_losses(evaluations, one.steps),
        training=_losses(training, one.steps),
        final=final,
    )


def _losses(points: _Points, steps: int) -> Losses:
    inside = [(step / steps, loss) for step, loss in points if step <= steps]
    array = np.array(inside, dtype=float).reshape(-1, 2)
    return Losses(share=array[:, 0], loss=array[:, 1])


def _read(path: Path) -> tuple[_Points, _Points]:
    """The evaluations and the training losses of a record, (step, loss) each; a torn or damaged line is passed over."""
    try:
        lines = read_bytes(path).split(b"\n")[:-1]
    except (OSError, StoreError):  # gone since, or too large
        return (), ()
    for name in ("validation_loss", "selection_loss"):
        if evaluations := _points(lines, name):
            break
    return evaluations, _points(lines, "loss")


def _points(lines: Iterable[bytes], name: str) -> _Points:
    with_name = [line for line in lines if f'"{name}"'.encode() in line]
    every = -(-len(with_name) // MOST_LINES) or 1
    by_step: dict[float, float] = {}
    for line in with_name[::-1][::every]:  # the newest of two lines for one step stands
        row = object_of(line) or {}
        step, loss = number(row.get("step")), number(row.get(name))
        if step and loss and step > 0 and loss > 0:
            by_step.setdefault(step, loss)
    return sorted(by_step.items())


_records = Cached(_read)
