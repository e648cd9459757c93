"""Optima of planted sweeps: their laws come back, edges and flat valleys are refused, cells are the evidence."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from sweeps import BATCH, LR, best_of, sweeps
from typer.testing import CliRunner

import lawful
from lawful.cli import app
from lawful.errors import DeclarationError, LawfulError, Refusal, TableError
from lawful.fitting.local_surface import cubic, surface
from lawful.fitting.optima_law import biased_reach, line
from lawful.fitting.quantiles import t_cdf, t_quantile
from lawful.tables import write_csv

OVER, BY = ["lr", "bs"], ["N", "D"]
SMALL = {"sizes": (1e8, 3e8, 9e8), "ratios": (10, 60), "rates": 7, "batches": 5}


@pytest.mark.parametrize("kind", [{}, {"valley": 0.8}, {"cubic": 1.0}, {"outliers": 0.05}, {"missing": 0.25}])
def test_the_laws_of_planted_optima_lie_in_their_intervals(kind):
    found = lawful.optimum(sweeps(np.random.default_rng(12), **kind), over=OVER, by=BY)
    rate, batch = found.laws["lr"].exponents, found.laws["bs"].exponents
    assert rate["N"].low <= LR[1] <= rate["N"].high and rate["D"].low <= LR[2] <= rate["D"].high
    assert batch["N"].low <= BATCH[1] <= batch["N"].high and batch["D"].low <= BATCH[2] <= batch["D"].high
    assert rate["N"].high - rate["N"].low < 0.5


def test_intervals_cover_over_many_tables():
    covered = 0
    for seed in range(8):
        rows = sweeps(np.random.default_rng(seed), batches=1, rates=7, sizes=(1e8, 3e8, 9e8), noise=0.002)
        one = lawful.optimum(rows, over=["lr"], by=BY).laws["lr"].exponents["N"]
        covered += one.low <= LR[1] <= one.high
    assert covered >= 6  # fewer come by chance in 1 of 170 where .95 are right


def skewed(rates, skew):
    """One sweep a cell, steeper on one side; the lowest point is where LR says, and no quadratic of a window's is."""
    rng = np.random.default_rng(3)
    for n in (1e8, 2e8, 4e8, 8e8):
        for d in (10 * n, 40 * n, 120 * n):
            for u in np.linspace(-2.4, 2.4, rates) + rng.uniform(-0.28, 0.28):
                rise = 0.02 * u**2 + skew * u**3 + 0.002 * rng.standard_normal()
                loss = (1.8 + 480 * n**-0.35 + 2100 * d**-0.37) * np.exp(rise)
                yield {"N": n, "D": d, "lr": best_of(LR, n, d) * np.exp(u), "loss": float(loss)}


@pytest.mark.parametrize("skew", [0.004, -0.004])
def test_optima_of_skewed_valleys_lie_in_their_intervals_where_a_sweep_has_eight_values(skew):
    """41 % of cells did, and a third of forecasts, while the wider window was taken to be wider than it was."""
    found = lawful.optimum(list(skewed(8, skew)), over=["lr"], by=BY)
    inside = sum(
        cell.settings["lr"].low <= best_of(LR, **_lower(cell.at)) <= cell.settings["lr"].high for cell in found.cells
    )
    ahead = found.laws["lr"].predict(N=4e9, D=8e10)
    assert inside >= 10 and ahead.low <= best_of(LR, 4e9, 8e10) <= ahead.high and not found.warnings


def _lower(at):
    return {name.lower(): value for name, value in at.items()}


def test_optima_of_skewed_valleys_lie_in_their_intervals_where_a_sweep_has_five_values():
    """None of 144 did: no window is larger than that of five runs. A cubic is."""
    found = lawful.optimum(list(skewed(5, 0.004)), over=["lr"], by=BY)
    inside = sum(
        cell.settings["lr"].low <= best_of(LR, **_lower(cell.at)) <= cell.settings["lr"].high for cell in found.cells
    )
    ahead = found.laws["lr"].predict(N=4e9, D=8e10)
    assert inside >= 10 and ahead.low <= best_of(LR, 4e9, 8e10) <= ahead.high and not found.warnings


def test_noise_widens_the_windows_of_all_cells_alike_so_that_intervals_hold():
    """With five runs a window, the cells that chance made steep were kept, and .77 of them held; half were refused."""
    inside = total = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rows = [
            {"N": n, "D": d, "lr": best_of(LR, n, d) * np.exp(u), "loss": 3 * float(np.exp(0.02 * u**2 + noise))}
            for n in (1e8, 2e8, 4e8, 8e8)
            for d in (10 * n, 40 * n, 120 * n)
            for u, noise in zip(
                np.linspace(-2.4, 2.4, 8) + rng.uniform(-0.28, 0.28), 0.02 * rng.standard_normal(8), strict=True
            )
        ]
        found = lawful.optimum(rows, over=["lr"], by=BY)
        total += len(found.read)
        inside += sum(
            cell.settings["lr"].low <= best_of(LR, **_lower(cell.at)) <= cell.settings["lr"].high for cell in found.read
        )
    assert total >= 44 and inside >= 0.88 * total  # of 48; fewer come by chance in 1 of 50 where .95 are right


def test_a_sweep_too_short_to_show_skew_says_so():
    rows = sweeps(np.random.default_rng(0), rates=3, batches=3, noise=0.0005)
    rows = [row for i, row in enumerate(rows) if i % 9]  # a corner is missing: eight runs, six coefficients
    (warning,) = [one for one in lawful.optimum(rows, over=OVER, by=BY).warnings if one.code == "skew_unseen"]
    assert warning.sentence.endswith("cells have too few runs to show skew: intervals are for even valleys.")


def test_the_interval_of_a_biased_estimate_is_that_of_its_two_tails():
    """Without bias Student's t; with much bias one tail beyond it."""
    assert biased_reach(0.0, 2.0, 10) == pytest.approx(2 * t_quantile(0.975, 10))
    assert biased_reach(30.0, 2.0, 10) == pytest.approx(30 + 2 * t_quantile(0.95, 10))
    assert biased_reach(1.0, 0.0, 10) == 1.0
    half = biased_reach(1.0, 2.0, 10)
    assert t_cdf(half / 2 - 0.5, 10) - t_cdf(-half / 2 - 0.5, 10) == pytest.approx(0.95)


def test_the_lowest_point_of_a_cubic_surface_is_found_beside_that_of_the_quadratic():
    x = np.stack([axis.ravel() for axis in np.meshgrid(np.arange(6.0), np.arange(5.0))], axis=1)
    a, b = x[:, 0] - 2.3, x[:, 1] - 1.8
    loss = 0.02 * a**2 + 0.01 * b**2 - 0.01 * a * b + 0.002 * a**3
    near = surface(x, loss)
    assert np.abs(near.at - [2.3, 1.8]).max() > 0.01
    assert cubic(x, loss, near).at == pytest.approx([2.3, 1.8], abs=1e-6)


def test_the_surface_of_losses_without_noise_is_the_quadratic_they_were_made_of():
    x = np.stack([axis.ravel() for axis in np.meshgrid(np.arange(7.0), np.arange(6.0))], axis=1)
    a, b = x[:, 0] - 3.3, x[:, 1] - 2.6
    found = surface(x, 1.0 + 0.02 * a**2 + 0.01 * b**2 - 0.02 * a * b)
    assert found.at == pytest.approx([3.3, 2.6]) and found.level == pytest.approx(1.0)
    assert found.curvature == pytest.approx(np.array([[0.04, -0.02], [-0.02, 0.02]]))


def test_a_line_through_equally_known_cells_is_least_squares():
    rng = np.random.default_rng(0)
    design = np.stack([np.ones(9), np.arange(9.0) - 4], axis=1)
    logs = design @ [1.0, 0.5] + 0.1 * rng.standard_normal(9)
    found = line(design, logs, np.full(9, 1e-8))
    expected, squares, *_ = np.linalg.lstsq(design, logs, rcond=None)
    assert found.values == pytest.approx(expected)
    by_hand = squares[0] / 7 * np.linalg.inv(design.T @ design)
    assert np.diag(found.covariance) == pytest.approx(np.diag(by_hand), rel=0.05)  # the scatter is one of a grid


def test_a_cell_whose_optimum_lies_at_an_edge_is_refused_and_named():
    rng = np.random.default_rng(3)
    rows = sweeps(rng, sizes=(1e8, 2e8, 4e8), ratios=(10, 40, 120))
    cut = best_of(LR, 4e8, 40 * 4e8) * 0.8
    rows = [row for row in rows if (row["N"], row["D"]) != (4e8, 40 * 4e8) or row["lr"] < cut]
    found = lawful.optimum(rows, over=OVER, by=BY)
    (gone,) = found.refused
    assert gone.at == {"N": 4e8, "D": 1.6e10} and "the best lr lies" in gone.refused and "edge" in gone.refused
    assert [one.code for one in found.warnings] == ["cells_left_out"] and found.laws["lr"].cells == 8


def test_more_runs_in_the_same_cells_do_not_make_the_law_surer():
    """Cells scatter about the law by 20 %; ten times the runs in each read them better, and no more cells."""
    few, many = (
        lawful.optimum(
            [row for seed in seeds for row in sweeps(np.random.default_rng(seed), scatter=0, noise=0.001, **SMALL)],
            over=OVER,
            by=BY,
        )
        for seeds in ([1], [1, 1, 1])
    )
    width = [found.laws["lr"].exponents["N"].high - found.laws["lr"].exponents["N"].low for found in (few, many)]
    assert width[1] > 0.5 * width[0]


def test_the_law_predicts_the_optimum_of_larger_runs():
    law = lawful.optimum(sweeps(np.random.default_rng(2)), over=OVER, by=BY).laws["lr"]
    there = law.predict(N=4e9, D=1.6e11)
    assert there.low <= best_of(LR, 4e9, 1.6e11) <= there.high
    of_cell = law.predict(N=4e9, D=1.6e11, is_of_cell=True)
    assert of_cell.low <= there.low and of_cell.high >= there.high
    assert law.predict(N=law.centre["N"], D=law.centre["D"]).value == pytest.approx(law.value.value)
    with pytest.raises(DeclarationError, match="lr: expected N, D, got N"):
        law.predict(N=1e9)
    with pytest.raises(DeclarationError, match="D to be a positive number"):
        law.predict(N=1e9, D=-1.0)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"over": ["rate"]}, TableError, "over: no column 'rate'"),
        ({"over": []}, DeclarationError, "expected different columns"),
        ({"over": "lr"}, DeclarationError, "over"),
        ({"over": ["lr", "N"]}, DeclarationError, "in both"),
        ({"by": ["N", "C"]}, TableError, "by: no column 'C'"),
        ({"over": ["lr", "bs", "N", "D"]}, DeclarationError, "at most 3 settings"),
    ],
)
def test_odd_questions_are_refused(change, error, said):
    with pytest.raises(error, match=said):
        lawful.optimum(sweeps(np.random.default_rng(0), **SMALL), **{"over": OVER, "by": BY, **change})


def test_tables_that_cannot_answer_are_refused_with_the_reason_of_each_cell():
    rows = sweeps(np.random.default_rng(0), **SMALL)
    with pytest.raises(Refusal, match="have an optimum over lr and bs; its law needs 5. N 1e.08") as few:
        lawful.optimum([row for row in rows if row["lr"] < best_of(LR, row["N"], row["D"])], over=OVER, by=BY)
    assert few.value.code == "too_few_cells"
    along = sweeps(np.random.default_rng(0), sizes=np.geomspace(1e8, 1e9, 6), ratios=(20,), batches=1)
    with pytest.raises(Refusal, match="go together"):
        lawful.optimum(along, over=["lr"], by=BY)
    with pytest.raises(TableError, match="expected a positive number"):
        lawful.optimum([{**row, "lr": row["lr"] - 1e-3} for row in rows], over=OVER, by=BY)
    with pytest.raises(Refusal, match="they are no sweep. Name it in `by` .--by N,D."):
        lawful.optimum(rows, over=OVER, by=["N"])
    arms = [{**row, "arm": "ab"[i % 2]} for i, row in enumerate(rows)]
    with pytest.raises(LawfulError, match="one arm"):
        lawful.optimum(arms, over=OVER, by=BY)


def test_the_command_prints_laws_cells_and_the_optimum_at_a_point(tmp_path):
    rows = sweeps(np.random.default_rng(0), **SMALL)
    write_csv(tmp_path / "runs.csv", rows, columns=list(rows[0]))
    words = ["optimum", str(tmp_path / "runs.csv"), "--over", "lr,bs", "--at", "N=2e9", "--at", "D=4e10"]
    text = CliRunner().invoke(app, words)
    assert text.exit_code == 0 and "lr* = 0.00" in text.output and "in D alone: D^" in text.output
    assert "half or twice it costs" in text.output and "at N 2e+09, D 4e+10:" in text.output
    out = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert len(out["cells"]) == 6 and out["at"]["lr"]["low"] < out["at"]["lr"]["high"]


@pytest.mark.needs_data
def test_the_step_law_is_in_the_intervals():
    data = os.environ.get("LAWFUL_DATA")
    path = Path(data or "") / "scaling_tables" / "dense_lr_bs_loss.csv"
    if data is None or not path.exists():
        pytest.skip("Step Law's table dense_lr_bs_loss.csv is not in LAWFUL_DATA")
    found = lawful.optimum(path, over=OVER, by=BY, loss="smooth loss")
    rate = found.laws["lr"].exponents
    assert rate["N"].low < -0.713 < rate["N"].high and rate["D"].low < 0.307 < rate["D"].high
    (alone,) = (law.exponents["D"] for law in found.alone["bs"] if law.inputs == ("D",))
    assert alone.low < 0.571 < alone.high
    for one, published in ((rate["N"], 0.119), (rate["D"], 0.074), (alone, 0.072)):
        assert one.high - one.low <= 2.5 * published


def test_a_setting_that_changes_along_a_sweep_is_not_pooled_and_one_that_follows_the_swept_one_is_no_other():
    rows = [
        {"N": n, "D": 20 * n, "lr": lr, "loss": (2 + (n / 1e7) ** -0.3) * (1 + 0.01 * np.log(lr / 0.01) ** 2)}
        for n in (1e7, 3e7, 1e8, 3e8)
        for lr in 0.0105 * 2.0 ** np.arange(-3, 4)
    ]
    mixed = [{**row, "weight_decay": 0.1 if row["lr"] < 0.01 else 0.0} for row in rows]
    with pytest.raises(Refusal, match="weight_decay") as refused:
        lawful.optimum(mixed, over=["lr"], by=["N"])
    assert refused.value.code == "pooled_settings"
    followed = [{**row, "min_lr": row["lr"] / 10, "batch_size": row["N"] / 1e5} for row in rows]
    assert lawful.optimum(followed, over=["lr"], by=["N"]).laws["lr"].exponents["N"].value == pytest.approx(0, abs=0.05)
