"""What commands that have not begun will take: a law of seconds over FLOPs, from the study's finished runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lawful.schema import PlannedRun, RunRecord

FEWEST = 3  # finished runs: two parameters, and one more to see how far off the law is
LEVEL = 0.95  # of intervals
ONE_SIZE = 1.05  # FLOPs within this factor cannot tell a start from a rate
HOUR = 3600.0  # seconds
MOST_TIMES = 1e6  # an interval's end is at most so many times its middle


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds of a run, or hours of several (every run at the same end, since one law gives them), with the interval in
    which they are expected."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class CostLaw:
    """seconds = start + flops / flops_per_second. A run's own deviation is a share of its seconds.

    flops_per_second   infinite where larger runs took no longer
    freedom       finished runs that it was fitted to, less its free parameters
    only          the FLOPs of these runs where all are of one size: then nobody knows how long the start took
    spread        standard deviation of those shares
    uncertainty   of (start, 1 / flops_per_second): their covariance
    """

    start: float
    flops_per_second: float
    freedom: int
    spread: float
    uncertainty: tuple[tuple[float, float], tuple[float, float]]
    only: float | None = None

    def seconds(self, flops: float) -> Estimate:
        import numpy as np  # here, since `lawful status` of other studies needs neither
        from scipy.special import stdtrit

        middle = self.start + flops / self.flops_per_second
        at = np.array([1.0, flops]) / middle
        share = math.sqrt(self.spread**2 + float(at @ np.array(self.uncertainty) @ at))
        factor = min(math.exp(min(float(stdtrit(self.freedom, (1 + LEVEL) / 2)) * share, 700.0)), MOST_TIMES)
        as_before = middle if self.only is None else self.only / self.flops_per_second  # if all of it was the start
        return Estimate(middle=middle, low=min(middle, as_before) / factor, high=max(middle, as_before) * factor)


def cost_law(flops: Sequence[float], seconds: Sequence[float]) -> CostLaw | None:
    """The law by least squares over the shares by which it misses the seconds; None of too few runs.

    A start that would be negative is 0, and so it is where all runs are of one size; a rate that would be negative is
    infinite, and its uncertainty stays.
    """
    import numpy as np

    if len(flops) < FEWEST or min(flops) <= 0 or min(seconds) <= 0:
        return None
    work, took = np.array(flops, dtype=float), np.array(seconds, dtype=float)
    design = np.stack([1 / took, work / took], axis=1)
    scale = 1 / np.abs(design).max(axis=0)  # FLOPs are large
    has_start = max(flops) > ONE_SIZE * min(flops)
    only = None if has_start else float(max(flops))
    found = np.linalg.lstsq(design * scale, np.ones(len(took)), rcond=None)[0] * scale if has_start else np.zeros(2)
    if min(found) <= 0:
        has_start = found[0] > 0
        kept = design[:, 0 if has_start else 1]
        found = np.eye(2)[0 if has_start else 1] * kept.sum() / (kept @ kept)
    used = design if has_start else design[:, 1:]
    misses = design @ found - 1
    variance = float(misses @ misses) / (len(took) - used.shape[1])
    own = scale if has_start else scale[1:]
    inner = np.linalg.inv((used * own).T @ (used * own)) * np.outer(own, own) * variance
    whole = np.zeros((2, 2))
    whole[-inner.shape[0] :, -inner.shape[0] :] = inner
    return CostLaw(
        start=float(found[0]),
        flops_per_second=float(1 / found[1]) if found[1] else math.inf,
        freedom=len(took) - used.shape[1],
        spread=math.sqrt(variance),
        uncertainty=((whole[0, 0], whole[0, 1]), (whole[1, 0], whole[1, 1])),
        only=only,
    )


def estimates(planned: Sequence[PlannedRun], results: Mapping[str, RunRecord]) -> dict[str, Estimate]:
    """Run -> what it will take, of those without a result whose FLOPs are known beforehand and whose arm has a law.

    A run that was stopped part way tells no time, and neither does one that failed.
    """
    ended: dict[str, list[tuple[float, float]]] = {}
    for one in planned:
        result = results.get(one.run)
        if result is None or result.status != "finished" or result.number("tokens_per_second") is None:
            continue
        seconds, flops = result.number("seconds"), result.number("flops") or float(one.flops)
        if seconds and flops:
            ended.setdefault(one.arm, []).append((flops, seconds))
    laws = {arm: cost_law(*zip(*pairs, strict=True)) for arm, pairs in ended.items()}
    return {
        one.run: law.seconds(float(one.flops))
        for one in planned
        if one.run not in results and one.flops and (law := laws.get(one.arm)) is not None
    }


@dataclass(frozen=True, kw_only=True)
class GpuHours:
    """spent    by the runs that have ended: the last attempt of each, also of one that failed
    left     of the runs that have not, with the ends of its interval; None where no law tells it of each
    """

    spent: float
    left: Estimate | None


def gpu_hours(planned: Sequence[PlannedRun], results: Mapping[str, RunRecord]) -> GpuHours | None:
    """What the runs that take GPUs have spent and will; None where none does."""
    own = [one for one in planned if one.gpus]
    if not own:
        return None
    costs = estimates(planned, results)
    spent = sum(one.gpus * (results[one.run].number("seconds") or 0.0) for one in own if one.run in results)
    to_come = [(one.gpus, costs.get(one.run)) for one in own if one.run not in results]
    known = [(gpus, cost) for gpus, cost in to_come if cost is not None]
    left = Estimate(
        middle=sum(gpus * cost.middle for gpus, cost in known) / HOUR,
        low=sum(gpus * cost.low for gpus, cost in known) / HOUR,
        high=sum(gpus * cost.high for gpus, cost in known) / HOUR,
    )
    return GpuHours(spent=spent / HOUR, left=left if len(known) == len(to_come) else None)


def affordable(
    groups: Sequence[Sequence[str]],
    planned: Sequence[PlannedRun],
    results: Mapping[str, RunRecord],
    max_gpu_hours: float,
) -> list[list[str]]:
    """The groups that may begin now, so that the study as a whole spends no more GPU hours: by the upper ends of the
    intervals. Where an arm has no cost law yet, its first groups alone, as many as make one."""
    by_id = {one.run: one for one in planned}
    waiting = {run for group in groups for run in group}
    whole = gpu_hours(planned, results)
    left = max_gpu_hours - (whole.spent if whole else 0.0)
    costs = estimates(planned, {run: result for run, result in results.items() if run not in waiting})
    chosen: list[list[str]] = []
    without_law: dict[str, int] = {}  # arm -> groups of it that begin
    for group in groups:
        own = [by_id[run] for run in group if by_id[run].gpus]
        unknown = [one for one in own if one.run not in costs]
        if not own:
            chosen.append(list(group))
        elif unknown and left > 0 and without_law.get(unknown[0].arm, 0) < FEWEST:
            without_law[unknown[0].arm] = without_law.get(unknown[0].arm, 0) + 1
            chosen.append(list(group))
        elif not unknown and (needed := sum(one.gpus * costs[one.run].high for one in own) / HOUR) <= left:
            left -= needed
            chosen.append(list(group))
    return chosen
