"""An axis as a Range: the ladder's few values, and those between that only a campaign may choose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from commands import QUESTION, command
from lawful import Range
from lawful.command import Command
from lawful.errors import DeclarationError
from lawful.study import Study, grid


def rung(width: int, steps: int = 1, seed: int = 0) -> Command:
    return command("{width} {steps} {seed}", params="12*{width}^2", tokens="1e4*{steps}")


def test_a_range_is_a_geometric_ladder_and_the_points_between() -> None:
    axis = Range(16, 256, levels=3)
    assert axis.ladder == (16, 64, 256)
    assert axis.reachable == (16, 32, 64, 128, 256)
    assert Range(0.5, 2.0, levels=2).reachable == pytest.approx((0.5, 1.0, 2.0))
    assert all(value % 8 == 0 for value in Range(16, 512, multiple=8).reachable)
    assert Range(1, 3).reachable == (1, 2, 3)  # whole numbers that round to one stand once


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ((4, 2), {}, "expected ends above 0, the lower first, got 4 and 2"),
        ((0, 2), {}, "expected ends above 0"),
        (("a", 2), {}, "low: expected"),
        ((4, 8), {"levels": 1}, "levels: expected from 2 to 50, got 1"),
        ((4, 9), {"multiple": 4}, "multiples of 4, got 4 and 9"),
        ((4.0, 8.0), {"multiple": 4}, "expected whole ends"),
    ],
)
def test_a_range_that_is_none_is_refused(given: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        Range(*given, **options)


def test_the_study_trains_the_ladder_and_offers_the_rest() -> None:
    ladder = grid(rung, width=Range(16, 64, levels=3), steps=[1, 2], seed=range(2))
    study = Study(name="s", question="?", ladder=ladder, questions=[QUESTION], held_out={"width": 64})
    assert {one.at["width"] for one in study.ladder} == {16, 32, 64}
    assert {one.at["width"] for one in study.offered} == {23, 45}
    assert (len(study.ladder), len(study.offered)) == (12, 8)
    assert all(one.held_out == (one.at["width"] == 64) for one in (*study.ladder, *study.offered))
    assert replace(study, scale="full").offered == study.offered
    listed = grid(rung, width=[16, 32, 64], steps=[1, 2], seed=range(2))
    assert [one.run for one in study.ladder] == [one.run for one in listed]


def test_an_offered_rung_that_is_a_run_of_the_ladder_is_refused() -> None:
    ladder = grid(lambda width: command(f"{width}", params=width), width=[16, 32, 64])
    again = grid(lambda size: command(f"{size}", params=size), size=[32])
    with pytest.raises(DeclarationError, match="width=32 and size=32 are the same run"):
        Study(name="s", question="?", ladder=ladder, questions=[QUESTION], offered=again)
