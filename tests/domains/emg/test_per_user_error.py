"""Error rates over people: a planted law comes back, and its interval is as wide as people differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lawful.domains.emg.analyses.per_user_error import _interval, answer_people
from records import planned_run, write_plan

SIZES = (1e4, 3e4, 1e5, 3e5, 1e6)


def planted(
    folder: Path, *, users: int, spread: float, alpha: float = 0.5, half: float = 2e4, characters: int = 20_000
) -> Path:
    """A study's folder whose people's log-odds lie around the law's, each person as far off it at every size."""
    numbers = np.random.Generator(np.random.PCG64(11))
    offsets = numbers.normal(0, spread, users)
    offsets -= offsets.mean()
    rungs = []
    for size in SIZES:
        for seed in (0, 1):
            name = f"run{size:.0f}-{seed}"
            at, held_out = {"width": int(size), "seed": seed}, size == max(SIZES)
            rungs.append(planned_run(name, at=at, params_non_embedding=int(size), held_out=held_out))
            sessions = []
            for user, offset in enumerate(offsets):
                odds = np.exp(-alpha * np.log(size / half) + offset)
                wrong = round(characters * odds / (1 + odds))
                for part in (wrong // 3, wrong - wrong // 3):  # two sessions each
                    errors = {"insertions": part // 4, "deletions": part // 4, "substitutions": part - 2 * (part // 4)}
                    sessions.append({"user": f"u{user}", "characters": characters // 2, **errors})
            run = folder / "runs" / name
            run.mkdir(parents=True)
            (run / "details.json").write_text(json.dumps({"validation": {"sessions": sessions}}))
            (run / "result.json").write_text(json.dumps({"status": "finished"}))
    write_plan(folder, *rungs, name="planted")
    return folder


def test_a_planted_law_comes_back_with_its_sweet_spot(tmp_path: Path) -> None:
    found = answer_people(planted(tmp_path, users=8, spread=0.2), points=2.0)
    assert found is not None
    law, spot = found.validation.law, found.validation.sweet_spot
    assert law is not None and spot is not None and spot.params is not None and spot.ci95 is not None
    assert law.alpha.value == pytest.approx(0.5, abs=0.02)
    low, high = law.alpha.ci95  # offsets in the odds leave the slope alone, so that only rounding is left
    assert low - 0.01 < 0.5 < high + 0.01
    sizes = np.geomspace(1e4, 1e9, 400_001)
    rate = 1 / (1 + (sizes / 2e4) ** 0.5)
    gain = rate - 1 / (1 + (2 * sizes / 2e4) ** 0.5)
    by_hand = sizes[np.flatnonzero(gain >= 0.02)[-1]]
    assert spot.params == pytest.approx(by_hand, rel=0.12)
    assert spot.ci95[0] <= spot.params <= spot.ci95[1]
    sizes_found = found.validation.sizes
    assert [size.is_held_out for size in sizes_found] == [False, False, False, False, True]
    assert sizes_found[0].sd_seeds == 0 and len(sizes_found[0].by_user) == 8


def test_the_more_people_differ_the_less_is_known_of_people(tmp_path: Path) -> None:
    widths = []
    for spread in (0.05, 0.6):
        found = answer_people(planted(tmp_path / str(spread), users=6, spread=spread))
        assert found is not None and found.validation.curve is not None
        curve = found.validation.curve
        widths.append(float(np.subtract(curve.high, curve.low).mean()))
    assert widths[1] > 4 * widths[0]


def test_the_smallest_size_near_the_best_is_the_one_that_the_planted_law_gives_by_hand(tmp_path: Path) -> None:
    found = answer_people(planted(tmp_path, users=8, spread=0.2, half=200))
    assert found is not None
    spots = {one.points: one for one in found.validation.near_best}
    rates = {size: 1 / (1 + (size / 200) ** 0.5) for size in SIZES}  # .124, .0755, .0428, .0252, .0139
    for points, trained in ((1.0, 1e6), (2.0, 3e5), (5.0, 1e5)):
        one = spots[points]
        allowed = rates[1e6] + points / 100
        assert one.params == pytest.approx(200 * (1 / allowed - 1) ** 2, rel=0.15)  # rates are of whole edits
        assert one.ci95[0] <= one.params <= one.ci95[1] and (one.best, one.trained) == (1e6, trained)
        assert one.gap == pytest.approx(100 * (rates[trained] - rates[1e6]), abs=0.15)
        assert one.gap_ci95[0] <= one.gap <= one.gap_ci95[1]


def test_where_errors_rise_with_size_no_size_is_near_the_best(tmp_path: Path) -> None:
    found = answer_people(planted(tmp_path, users=4, spread=0.1, alpha=-0.2, half=1e6))
    assert found is not None and found.validation.law is not None and found.validation.near_best == ()


def test_with_few_people_intervals_reach_further_out_as_students_t_does() -> None:
    draws = np.random.Generator(np.random.PCG64(0)).normal(size=200_000)
    reach = {users: _interval(draws, users)[1] for users in (4, 16, 1000)}
    # t quantiles from tables: 3.182 (3 degrees of freedom), 2.131 (15), 1.96; bootstrap sds are sqrt(1 - 1/n) too small
    assert reach[1000] == pytest.approx(1.96, abs=0.03)
    assert reach[16] == pytest.approx(2.131 * (16 / 15) ** 0.5, abs=0.03)
    assert reach[4] == pytest.approx(3.182 * (4 / 3) ** 0.5, abs=0.3)


def test_one_person_gives_no_interval_over_people(tmp_path: Path) -> None:
    found = answer_people(planted(tmp_path, users=1, spread=0.0))
    assert found is not None and found.validation.law is None
    assert "at least 2 users" in found.validation.refusal


def test_an_answer_on_more_runs_than_are_here_now_stays(tmp_path: Path) -> None:
    folder = planted(tmp_path, users=4, spread=0.1)
    answer_people(folder)
    before = (folder / "fits" / "by-user.json").read_bytes()
    next(folder.glob("runs/*/details.json")).unlink()
    assert answer_people(folder) is not None
    assert (folder / "fits" / "by-user.json").read_bytes() == before


def test_a_study_without_single_sessions_has_no_such_answer(tmp_path: Path) -> None:
    folder = planted(tmp_path, users=2, spread=0.1)
    for path in folder.glob("runs/*/details.json"):
        path.unlink()
    assert answer_people(folder) is None and not (folder / "fits").exists()
