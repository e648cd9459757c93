"""Campaigns simulated before their first run."""

from __future__ import annotations

import numpy as np
import pytest

import lawful
from lawful.errors import DeclarationError
from lawful.fitting.simulate_campaign import SimulatedCampaign
from lawful.fitting.simulated_runs import reach_of, start_points
from lawful.tables import by_role

RANGES = {"params": (1e7, 1e9), "tokens": (1e8, 1e10)}
GRIDS = "lawful.fitting.simulate_campaign.GRIDS"
HOW = {"goal": "N_exponent within .15", "budget": 1e20, "ranges": RANGES, "campaigns": 1, "noise": 0.003}


@pytest.fixture(scope="module")
def found() -> SimulatedCampaign:
    return lawful.simulate_campaign("chinchilla", **HOW)


def test_a_campaign_keeps_to_its_budget_and_tells_what_it_took(found: SimulatedCampaign) -> None:
    for one in found.campaigns:
        assert 0 < one.looks[0].cost <= one.looks[-1].cost <= 1e20
        assert [look.reached.is_reached for look in one.looks[:-1]] == [False] * (len(one.looks) - 1)
    assert found.chance == np.mean([one.is_reached for one in found.campaigns])
    assert found.chance == 1
    assert found.cost < found.grid


def test_the_same_seed_simulates_the_same_campaigns(found: SimulatedCampaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GRIDS, ())
    assert lawful.simulate_campaign("chinchilla", **HOW).campaigns[0].looks == found.campaigns[0].looks


def test_a_sister_study_says_what_its_runs_are_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GRIDS, ())
    rng = np.random.default_rng(1)
    rows = [
        {
            "params": n,
            "tokens": d,
            "loss": (1.7 + 300 * n**-0.4 + 900 * d**-0.4) * np.exp(0.003 * rng.standard_normal()),
        }
        for n in np.geomspace(1e7, 1e9, 5)
        for d in np.geomspace(1e8, 1e10, 5)
    ]
    fit = lawful.fit(by_role(rows), "chinchilla", draws=0)
    found = lawful.simulate_campaign(fit, **{**HOW, "noise": None})
    assert found.campaigns[0].truth == pytest.approx(0.5, abs=0.1)
    assert "chinchilla" in found.prior


def test_a_goal_out_of_reach_spends_the_budget_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GRIDS, (4,))
    found = lawful.simulate_campaign(
        "chinchilla", **{**HOW, "goal": "N_exponent within 1e-6", "budget": 2e17, "batch": 20}
    )
    assert found.chance == 0
    assert found.cost <= 2e17
    assert found.grid == np.inf


def test_the_start_spreads_over_the_part_that_it_can_pay() -> None:
    points = start_points(reach_of(RANGES), 8e18)
    assert len({tuple(point.values()) for point in points}) == 8
    assert sum(6 * point["params"] * point["tokens"] for point in points) <= 8e18
    assert len({point["params"] for point in points}) >= 3
    assert len({point["tokens"] for point in points}) >= 3


def test_of_candidates_each_is_done_once_and_the_whole_ladder_stands_beside() -> None:
    ladder = [
        {"params": float(n), "tokens": float(d)} for n in np.geomspace(1e7, 1e9, 5) for d in np.geomspace(1e8, 1e10, 5)
    ]
    how = {**HOW, "ranges": None, "candidates": ladder, "goal": "N_exponent within .3"}
    found = lawful.simulate_campaign("chinchilla", **how)
    assert found.campaigns[0].runs <= len(ladder)
    assert found.grid == pytest.approx(sum(6 * point["params"] * point["tokens"] for point in ladder))
    assert found.cost < found.grid


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"prior": "power"}, "a law of params and tokens"),
        ({"prior": "banana"}, "banana"),
        ({"ranges": {"params": (1e7, 1e9)}}, "expected params and tokens"),
        ({"ranges": {"params": (1e9, 1e7), "tokens": (1e8, 1e10)}}, "smaller end first"),
        ({"ranges": None}, "got neither"),
        ({"candidates": [{"params": 1e8, "tokens": 1e9}]}, "got both"),
        ({"goal": "A_pivot within .1"}, "moves with them"),
        ({"budget": 1e3}, "the start cost"),
        ({"goal": "arms decided"}, "not there yet"),
        ({"goal": "delta within .1"}, "no parameter 'delta'"),
        ({"campaigns": 0}, "campaigns"),
        ({"noise": -1.0}, "noise"),
    ],
)
def test_what_no_campaign_can_have_is_refused_by_its_name(how: dict, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        lawful.simulate_campaign(**{"prior": "chinchilla", **HOW, **how})
