"""`lawful.transfer`: slopes of best rates and of activations' changes, and the verdicts on them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import lawful
from lawful.cli import app
from lawful.errors import DeclarationError, LawfulError, Refusal, TableError

Rows = list[dict[str, object]]
RATES = tuple(0.012 * 2.0**k for k in range(-4, 4))


def sweep(drift: float, *, widths: Sequence[int] = (32, 64, 128, 256), seed: int = 0, noise: float = 0.003) -> Rows:
    """Losses around a best rate of .006 at width 64 that changes as width^drift; steeper above it than below."""
    random = np.random.default_rng(seed)
    rows: Rows = []
    for width in widths:
        for rate in RATES:
            off = math.log(rate / (0.006 * (width / 64) ** drift))
            loss = (2 + 3 * width**-0.5) * (1 + 0.03 * off**2 + 0.004 * off**3) * math.exp(noise * random.normal())
            rows.append({"width": width, "learning_rate": rate, "loss": loss})
    return rows


def checks(slope: float, *, seed: int = 0, noise: float = 0.05) -> Rows:
    random = np.random.default_rng(seed)
    return [
        {
            "width": width,
            "learning_rate": 0.012,
            "loss": 3.0,
            "change_logits": 0.4 * (width / 64) ** slope * math.exp(noise * random.normal()),
        }
        for width in (32, 64, 128, 256)
        for _ in range(2)
    ]


@pytest.mark.parametrize("drift", [0.0, -0.5, -1.0, 0.7])
def test_the_drift_of_the_best_rate_is_recovered(drift: float) -> None:
    (slope,) = lawful.transfer(sweep(drift, widths=(32, 48, 64, 96, 128))).arms[0].slopes
    assert (slope.what, slope.along, slope.levels) == ("best rate", "width", 5)
    assert slope.value == pytest.approx(drift, abs=0.15)
    assert slope.low < slope.value < slope.high


def test_the_interval_of_a_drift_covers_it_in_about_95_of_100_tables() -> None:
    found = [lawful.transfer(sweep(-0.3, seed=seed, noise=0.006)).arms[0].slopes[0] for seed in range(60)]
    assert 53 <= sum(one.low <= -0.3 <= one.high for one in found) <= 60
    assert np.median([one.high - one.low for one in found]) < 0.6


def test_one_grid_step_over_the_widths_tried_is_the_limit_of_a_drift() -> None:
    (slope,) = lawful.transfer(sweep(0.0)).arms[0].slopes
    limit = math.log(2) / math.log(256 / 32)
    assert slope.limits == pytest.approx((-limit, limit))


@pytest.mark.parametrize(("drift", "verdict"), [(0.0, "transfers"), (-1.0, "does not transfer")])
def test_the_verdict_follows_the_interval(drift: float, verdict: str) -> None:
    assert lawful.transfer(sweep(drift, widths=(32, 48, 64, 128, 256))).arms[0].verdict == verdict


def test_two_sizes_with_much_noise_decide_nothing() -> None:
    assert lawful.transfer(sweep(0.0, widths=(64, 96), noise=0.02, seed=1)).arms[0].verdict == "not decided"


@pytest.mark.parametrize(("slope", "verdict"), [(0.0, "flat"), (1.0, "drifts"), (-1.0, "drifts"), (0.5, "drifts")])
def test_a_forgotten_factor_in_the_change_of_activations_is_found(slope: float, verdict: str) -> None:
    (found,) = lawful.transfer(checks(slope)).arms[0].slopes
    assert found.value == pytest.approx(slope, abs=0.1)
    assert found.verdict == verdict


def test_checks_and_sweeps_of_one_table_are_kept_apart_and_each_arm_has_its_own_verdict() -> None:
    rows = [
        {**row, "parametrisation": arm}
        for arm, by in (("standard", 1.0), ("mup", 0.0))
        for row in (*sweep(-by, seed=3), *checks(by, seed=4))
    ]
    found = lawful.transfer(rows)
    assert [(one.arm, one.verdict) for one in found.arms] == [
        ("standard", "does not transfer"),
        ("mup", "transfers"),
    ]
    assert [slope.what for slope in found.arms[0].slopes] == ["change_logits", "best rate"]


def test_the_slope_along_depth_is_at_a_fixed_width() -> None:
    rows = [
        {**row, "depth": depth, "learning_rate": float(row["learning_rate"]) * (depth / 2) ** -0.5}  # type: ignore[arg-type]
        for depth in (2, 4, 8)
        for row in sweep(0.0, seed=depth)
    ]
    slopes = {slope.along: slope for slope in lawful.transfer(rows).arms[0].slopes}
    assert slopes["width"].value == pytest.approx(0, abs=0.1)
    assert slopes["depth"].value == pytest.approx(-0.5, abs=0.1)


def test_a_size_whose_best_rate_is_an_end_of_those_tried_is_left_out_and_named() -> None:
    found = lawful.transfer([*sweep(0.0), *sweep(-4.0, widths=(512,))]).arms[0]
    assert found.left_out == ("width 512: the best rate tried is the lowest, 0.00075: try more on that side",)
    assert [one.value is None for one in found.best_rates] == [False] * 4 + [True]
    assert found.slopes[0].levels == 4


def test_the_table_of_a_study_is_read_by_the_names_of_its_coordinates() -> None:
    """Which it calls at_width, at_parametrisation."""
    own = [
        {"at_width": row["width"], "at_parametrisation": "mup", **{k: v for k, v in row.items() if k != "width"}}
        for row in sweep(0.0)
    ]
    found = lawful.transfer(own)
    assert (found.along, found.arms[0].arm, found.arms[0].slopes[0].along) == (("width",), "mup", "width")


@pytest.mark.parametrize(
    ("rows", "how", "kind", "says"),
    [
        (sweep(0.0, widths=(32,)), {}, Refusal, "two sizes at least"),
        (sweep(-9.0), {}, Refusal, "try more on that side"),
        (sweep(0.0), {"along": ["hidden"]}, TableError, "hidden"),
        (sweep(0.0), {"along": []}, LawfulError, "along"),
        (sweep(0.0), {"by": "arms"}, TableError, "arms"),
        (sweep(0.0), {"rate": "lr"}, LawfulError, "lr"),
        ([{**row, "learning_rate": 0.0} for row in sweep(0.0)], {}, TableError, "above 0"),
        ([{**row, "change_x": -1.0} for row in checks(0.0)], {}, TableError, "change_x"),
        ([{**row, "acc": 0.5} for row in sweep(0.0)], {"loss": "acc"}, DeclarationError, "acc"),
    ],
)
def test_what_cannot_be_judged_is_refused_by_name(
    rows: Rows, how: dict[str, object], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        lawful.transfer(rows, **how)  # type: ignore[arg-type]


def test_the_command_prints_a_verdict_for_each_arm_and_json_with_the_same(tmp_path: Path) -> None:
    rows = [{**row, "parametrisation": arm} for arm, by in (("a", -1.0), ("b", 0.0)) for row in sweep(by)]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]) + "\n")
    shown = CliRunner().invoke(app, ["transfer", str(path)], catch_exceptions=False).stdout
    assert "a: does not transfer (best rate changes as width^-" in shown
    assert "b: transfers (1 slopes, all flat)." not in shown and "b: transfers" in shown
    said = json.loads(CliRunner().invoke(app, ["transfer", str(path), "--json"], catch_exceptions=False).stdout)
    assert [one["verdict"] for one in said["arms"]] == ["does not transfer", "transfers"]
    assert said["arms"][1]["slopes"][0]["verdict"] == "flat"


@pytest.mark.parametrize(("widths", "ratio"), [((64, 128), 4), ((64, 128, 256, 512), 10)])
def test_a_rate_as_one_over_width_never_transfers_however_coarse_the_grid(widths, ratio):
    """One grid step over these sizes is more than a slope of 1."""
    rng = np.random.default_rng(0)
    rows = [
        {"width": width, "learning_rate": rate, "loss": 3 * np.exp(0.01 * np.log(rate * width) ** 2 + noise)}
        for width in widths
        for rate in 0.007 * float(ratio) ** np.arange(-3, 4)
        for noise in [0.0005 * rng.standard_normal()]
    ]
    assert lawful.transfer(rows).arms[0].verdict == "does not transfer"


@pytest.mark.parametrize("name", ["arm", "param", "optimizer"])
def test_sweeps_of_several_settings_are_not_pooled(name: str) -> None:
    """Of one that drifts and one that does not, the slope between them would be said of neither."""
    rows = [{**row, name: value} for value, drift in (("sp", -1.0), ("mup", 0.0)) for row in sweep(drift)]
    with pytest.raises(Refusal, match=f"'?{name}'?") as refused:
        lawful.transfer(rows)
    assert refused.value.code == "pooled_settings"
    assert [one.verdict for one in lawful.transfer(rows, by=name).arms] == ["does not transfer", "transfers"]


@pytest.mark.parametrize("name", ["parametrization", "parameterization"])
def test_parametrisations_are_told_apart_by_any_spelling(name: str) -> None:
    rows = [{**row, name: value} for value, drift in (("sp", -1.0), ("mup", 0.0)) for row in sweep(drift)]
    assert [one.arm for one in lawful.transfer(rows).arms] == ["sp", "mup"]


def test_what_follows_the_rate_and_what_follows_the_size_are_no_settings_of_their_own() -> None:
    rows = [{**row, "min_lr": row["learning_rate"] / 10, "batch_size": row["width"], "seed": 0} for row in sweep(-1.0)]
    assert lawful.transfer(rows).arms[0].verdict == "does not transfer"
