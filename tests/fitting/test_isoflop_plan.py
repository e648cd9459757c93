"""Plans of isoFLOP curves: centres from earlier runs, and promises that planted runs keep."""

import json

import numpy as np
import pytest
from planted import CHINCHILLA, chinchilla_loss
from typer.testing import CliRunner

import lawful
from lawful.cli import app
from lawful.cli.isoflop_plan import parsed, write_study
from lawful.errors import DeclarationError
from lawful.fitting.budget_curves import budgets_of
from lawful.study import declare, import_file, planned_run
from lawful.tables import write_csv

BUDGETS = [1e17, 1e18, 1e19]


def best_size(flops, law=CHINCHILLA):
    a, b = law["alpha"], law["beta"]
    return (a * law["A"] / (b * law["B"]) * (flops / 6) ** b) ** (1 / (a + b))


def curves(rng, budgets, *, sigma=0.002):
    return [
        {
            "params": n,
            "tokens": c / 6 / n,
            "flops": c,
            "loss": float(chinchilla_loss(n, c / 6 / n) * np.exp(sigma * rng.standard_normal())),
        }
        for c in budgets
        for n in best_size(c) * np.geomspace(1 / 6, 5, 7)
    ]


def test_earlier_budgets_say_where_the_next_are_centred():
    plan = lawful.isoflop_plan([1e20, 1e21, 1e22], earlier=curves(np.random.default_rng(0), BUDGETS), draws=20)
    assert plan.source == "earlier budgets"
    for flops, centre in plan.centres.items():
        assert centre.low < best_size(flops) < centre.high
        sizes = [point.params for point in plan.points if point.budget == flops]
        assert sizes[0] < best_size(flops) / 3 and sizes[-1] > 3 * best_size(flops) and len(sizes) == 7


def test_a_law_of_earlier_runs_centres_where_they_hold_no_curves():
    rng = np.random.default_rng(1)
    rows = [
        {"params": n, "tokens": d, "loss": float(chinchilla_loss(n, d) * np.exp(0.002 * rng.standard_normal()))}
        for n in np.geomspace(1e7, 1.3e9, 6)
        for d in (1e9, 5e9, 4e10)
    ]
    plan = lawful.isoflop_plan([1e19, 1e20, 1e21], earlier=rows, draws=20)
    assert plan.source == "a law of earlier runs" and 0.0005 < plan.noise < 0.004
    assert plan.centres[1e20].low < best_size(1e20) < plan.centres[1e20].high


def test_what_a_plan_promises_is_what_planted_runs_then_show():
    """The same points, run under one planted law many times and read by `isoflop`."""
    plan = lawful.isoflop_plan(BUDGETS, earlier=curves(np.random.default_rng(2), BUDGETS), draws=40, noise=0.002)
    rng = np.random.default_rng(3)
    truth = CHINCHILLA["beta"] / (CHINCHILLA["alpha"] + CHINCHILLA["beta"])
    away = []
    for _ in range(12):
        rows = [
            {"params": p.params, "tokens": p.tokens, "flops": p.flops, "loss": loss}
            for p in plan.points
            for loss in [float(chinchilla_loss(p.params, p.tokens) * np.exp(0.002 * rng.standard_normal()))]
        ]
        away.append(lawful.isoflop(rows).N_exponent - truth)
    promised = plan.expected["params"]
    assert np.std(away) == pytest.approx(promised.spread / 1.96, rel=0.7)
    assert abs(np.mean(away) - promised.bias) < promised.spread


def test_a_default_law_serves_where_nothing_is_known_and_shapes_come_from_the_recipe():
    plan = lawful.isoflop_plan([1e15, 1e16, 1e17, 1e18], draws=40)
    assert plan.source == "a default law" and len(plan.points) == 28
    assert all(p.shape is not None and p.shape.params_non_embedding == p.params for p in plan.points)
    assert all(p.flops == pytest.approx(p.budget, rel=1e-3) for p in plan.points)
    n, d = plan.expected["params"], plan.expected["tokens"]
    assert n.coverage > 0.8 and n.truth + d.truth == pytest.approx(1.0)
    noisier = lawful.isoflop_plan([1e15, 1e16, 1e17, 1e18], draws=40, noise=0.02)
    assert noisier.expected["params"].spread > 3 * n.spread


def test_a_plan_from_the_command_line(tmp_path):
    assert parsed("budgets=1e15..1e18x4 sizes=7")[0] == pytest.approx([1e15, 1e16, 1e17, 1e18])
    assert parsed("budgets=1e15,2e15,4e15,sizes=5") == ([1e15, 2e15, 4e15], 5)
    write_csv(tmp_path / "runs.csv", rows := curves(np.random.default_rng(0), BUDGETS), columns=list(rows[0]))
    words = ["plan", str(tmp_path / "runs.csv"), "--isoflop", "budgets=1e20..1e22x3 sizes=5"]
    text = CliRunner().invoke(app, words)
    assert text.exit_code == 0 and text.output.startswith("15 runs on 3 curves of equal compute, ")
    assert "N* ~ C^0.5" in text.output and "D* ~ C^0.4" in text.output
    assert len(json.loads(CliRunner().invoke(app, [*words, "--json"]).output)["points"]) == 15


@pytest.mark.parametrize("odd", [{"sizes": 3}, {"budgets": [1e15, 1e16]}, {"span": 1.0}, {"draws": 5}])
def test_a_plan_that_could_say_nothing_is_refused(odd):
    with pytest.raises(DeclarationError, match="expected"):
        lawful.isoflop_plan(**{"budgets": BUDGETS, **odd})


def test_a_plan_becomes_a_study_of_exactly_its_runs(tmp_path):
    pytest.importorskip("torch")
    file, plan = tmp_path / "curves.py", lawful.isoflop_plan([1e13, 1e14, 1e15], sizes=5, draws=20)
    write_study(plan, file, "budgets=1e13..1e15x3 sizes=5", None)
    assert "made by: lawful plan --isoflop 'budgets=1e13..1e15x3 sizes=5'" in file.read_text()
    study = declare(import_file(file), None, {})
    assert len(study.ladder) == len(plan.points) == 15
    for rung, point in zip(study.ladder, plan.points, strict=True):
        one = planned_run(rung, None)
        assert one.params_non_embedding == point.params and rung.at["budget"] == point.budget
        assert one.flops_6nd == pytest.approx(point.budget, rel=0.01)  # as near as isoflop asks
        assert one.learning_rate == pytest.approx(point.learning_rate, rel=1e-3)
        assert one.batch_tokens == pytest.approx(point.batch_tokens, abs=64)


def test_curves_whose_recorded_flops_differ_are_read_by_6nd():
    """As a study records them: with attention and the output layer, of which small models have the larger share."""
    rows = curves(np.random.default_rng(0), BUDGETS)
    recorded = [{**row, "flops": row["flops"] * (1 + 3e8 / row["params"])} for row in rows]
    assert len(budgets_of(np.array([row["flops"] for row in recorded]))) < 3
    found, right = lawful.isoflop(recorded), lawful.isoflop(rows)
    assert found.N_exponent == pytest.approx(right.N_exponent) and found.curves[0].flops == pytest.approx(1e17)
    assert found.warnings[0].code == "six_n_d" and "not equal FLOPs as recorded" in found.warnings[0].sentence


def test_a_study_is_written_only_where_a_file_can_be(tmp_path):
    plan = ["plan", "--isoflop", "budgets=1e13..1e15x3"]
    (tmp_path / "old.py").write_text("")
    for words, said in (
        ([*plan, "--write", str(tmp_path / "old.py")], "expected a new file"),
        ([*plan, "--write", str(tmp_path / "curves.txt")], "expected the name of a Python file"),
        (["plan", "quickstart", "--write", str(tmp_path / "new.py")], "expected --isoflop beside it"),
    ):
        assert said in str(CliRunner().invoke(app, words).exception)
    tiny = lawful.isoflop_plan([1e6, 1e7, 1e8], draws=20)
    with pytest.raises(DeclarationError, match="expected sizes that a decoder has"):
        write_study(tiny, tmp_path / "new.py", "", None)
    assert (tmp_path / "old.py").read_text() == "" and not (tmp_path / "new.py").exists()
