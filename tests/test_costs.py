"""The law of what a command will take: planted costs come back, with an interval that holds them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lawful.costs import affordable, cost_law, estimates, gpu_hours
from lawful.schema import PlannedRun, RunRecord


def test_a_planted_cost_comes_back() -> None:
    work = [1e9, 4e9, 1.6e10, 6.4e10]
    law = cost_law(work, [3 + flops / 2e9 for flops in work])
    assert law is not None
    assert (law.start, law.flops_per_second) == pytest.approx((3, 2e9))
    found = law.seconds(1e12)
    assert (found.low, found.middle, found.high) == pytest.approx((503, 503, 503), rel=1e-6)


def test_its_interval_holds_what_a_large_run_took_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    work = np.geomspace(1e9, 3e10, 8)
    held = 0
    for _ in range(400):
        noise = random.normal(0, 0.1, 9)
        law = cost_law(list(work), list((2 + work / 1e9) * np.exp(noise[:8])))
        assert law is not None
        found = law.seconds(3e11)
        held += found.low < 302 * np.exp(noise[8]) < found.high
    assert 0.92 <= held / 400 <= 0.98


def test_a_start_below_nothing_is_none_and_one_size_gives_a_rate() -> None:
    work = [1e9, 2e9, 4e9]
    for law in (cost_law(work, [0.9, 2.0, 4.1]), cost_law([2e9] * 3, [1.9, 2.0, 2.1])):
        assert law is not None and law.start == 0
        assert law.seconds(1e10).middle == pytest.approx(10, rel=0.06)
    assert cost_law(work[:2], [1, 2]) is None


def test_seconds_that_do_not_grow_with_the_work_are_a_start_alone_and_its_interval_widens_with_the_work() -> None:
    law = cost_law([1e9, 2e9, 4e9, 8e9], [10.1, 10.05, 10.02, 9.98])
    assert law is not None and law.flops_per_second == float("inf")
    near, far = law.seconds(3e9), law.seconds(1e12)
    assert near.middle == far.middle == pytest.approx(10, rel=0.01)
    assert near.high < 10.5 and far.high > 20


def test_runs_of_one_size_leave_open_how_much_of_their_seconds_was_the_start() -> None:
    law = cost_law([2e9, 2e9, 2e9 + 1], [1.9, 2.0, 2.1])
    assert law is not None
    larger, smaller = law.seconds(2e10), law.seconds(2e8)
    assert larger.low < 2 < larger.middle < larger.high < 30, "a start alone would take 2 s, no start 20 s"
    assert smaller.low < 0.2 and smaller.high > 2


def test_only_runs_that_were_not_stopped_tell_what_the_others_of_their_arm_take() -> None:
    own = PlannedRun.example()
    planned = [replace(own, run=f"r{i}", flops=10**9 * i, arm="ab"[i > 5]) for i in range(1, 8)]
    told = {
        f"r{i}": RunRecord(status="finished", measured={"seconds": 1.0 * i, "tokens_per_second": 9.0})
        for i in range(1, 4)
    }
    stopped = {"r4": RunRecord(status="finished", measured={"seconds": 0.1})}
    found = estimates(planned, told | stopped)
    assert found.keys() == {"r5"}, "the arm of r6 and r7 has no law"
    assert found["r5"].middle == pytest.approx(5)
    assert not estimates(planned, dict(list(told.items())[:2]))


def on_gpus(*flops: float, gpus: float = 2.0, arm: str = "") -> list[PlannedRun]:
    return [replace(PlannedRun.example(), run=f"{arm}{own:.0e}", flops=round(own), gpus=gpus, arm=arm) for own in flops]


def ended(runs: list[PlannedRun], seconds_of: float = 1e-9) -> dict[str, RunRecord]:
    return {
        one.run: RunRecord(status="finished", measured={"seconds": one.flops * seconds_of, "tokens_per_second": 1.0})
        for one in runs
    }


def test_gpu_hours_are_seconds_times_gpus_spent_and_to_come() -> None:
    runs = on_gpus(1e12, 2e12, 4e12, 8e12)
    hours = gpu_hours(runs, ended(runs[:3]))
    assert hours is not None and hours.left is not None
    assert hours.spent == pytest.approx(2 * 7000 / 3600)
    assert (hours.left.low, hours.left.middle, hours.left.high) == pytest.approx([2 * 8000 / 3600] * 3, rel=1e-6)
    unknown = gpu_hours(runs, ended(runs[:2]))
    assert unknown is not None and unknown.left is None, "two runs tell no law"
    over = {**ended(runs[:3]), runs[3].run: RunRecord(status="failed", measured={"seconds": 3600.0})}
    whole = gpu_hours(runs, over)
    assert whole is not None and whole.spent == pytest.approx(2 * 10600 / 3600), "a failed run was paid for"
    assert gpu_hours([replace(one, gpus=0.0) for one in runs], {}) is None


def test_a_budget_lets_begin_what_makes_a_cost_law_then_what_it_has_room_for() -> None:
    runs = [*on_gpus(1e12, 2e12, 4e12, 8e12, 16e12, arm="a"), *on_gpus(1e12, 2e12, arm="b"), *on_gpus(9e15, gpus=0.0)]
    groups = [[one.run] for one in runs]
    first = affordable(groups, runs, {}, 100.0)
    assert first == [groups[0], groups[1], groups[2], groups[5], groups[6], groups[7]]
    over = ended([runs[at] for at in (0, 1, 2, 5, 6, 7)])
    left = [groups[3], groups[4]]
    spent = 2 * 10_000 / 3600
    assert affordable(left, runs, over, spent + 2 * 8_001 / 3600) == [groups[3]]
    assert affordable(left, runs, over, spent + 2 * 24_001 / 3600) == left
    assert affordable(left, runs, over, spent + 2 * 7_999 / 3600) == []
    assert affordable(groups[:1], runs, {}, 1e-9) == groups[:1] and affordable([groups[4]], runs, over, spent) == []
