"""A table of the best size and data at each budget is a source of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import lawful
from lawful.cli import app
from lawful.errors import Refusal, TableError
from lawful.fitting.isoflop import isoflop
from lawful.tables import read_runs, write_csv


def optima(seed: int = 0, spread: float = 0.05) -> list[dict[str, float]]:
    """N* = .09 C^.5 and D* = C / (6 N*), each read off with an error."""
    draw = np.random.default_rng(seed)
    rows = []
    for c in np.geomspace(1e18, 1e22, 9):
        n = 0.09 * c**0.5 * np.exp(spread * draw.standard_normal())
        rows.append({"C": float(c), "N_opt": float(n), "D_opt": float(c / 6 / n)})
    return rows


def test_the_growth_of_optima_is_that_of_a_straight_line_through_their_logarithms() -> None:
    stats = pytest.importorskip("scipy.stats")
    rows = optima()
    found = isoflop(rows)
    line = stats.linregress(np.log([row["C"] for row in rows]), np.log([row["N_opt"] for row in rows]))
    reach = stats.t.ppf(0.975, len(rows) - 2) * line.stderr
    assert found.N_exponent == pytest.approx(line.slope)
    assert found.N_exponent_ci95 == pytest.approx((line.slope - reach, line.slope + reach))
    assert found.D_exponent == pytest.approx(1 - line.slope)
    assert found.method == "given" and len(found.curves) == 9


# nanochat, dev/LOG.md of 2026-01-27: the best of each budget, by three counts of the parameters. (The two fits of the
# log's own text, .54 and .49, and so on, are rounded otherwise.)
BUDGETS = (1e18, 2e18, 5e18, 1e19)
COUNTED = {
    "projections and head": ((110_678_115, 167_797_457, 250_650_865, 381_758_347), 0.524, 0.104),
    "all": ((416_320_605, 560_239_841, 741_495_903, 988_644_331), 0.367, 0.073),
    "projections": ((80_259_665, 131_488_566, 220_985_474, 401_213_504), 0.681, 0.165),
}


@pytest.mark.parametrize("count", COUNTED)
def test_published_optima_grow_as_is_known_of_them(count: str) -> None:
    sizes, exponent, reach = COUNTED[count]
    rows = [{"FLOPs": c, "Eff Params": n} for c, n in zip(BUDGETS, sizes, strict=True)]
    found = isoflop(rows, method="given", params="Eff Params")
    assert found.N_exponent == pytest.approx(exponent, abs=2e-3)
    assert found.N_exponent_ci95[1] - found.N_exponent == pytest.approx(reach, abs=2e-3)


def test_a_table_of_one_run_a_budget_is_asked_whether_these_are_optima() -> None:
    rows = [
        {"C": row["C"], "N": row["N_opt"], "D": row["D_opt"], "loss": 3 - 0.1 * i} for i, row in enumerate(optima())
    ]
    with pytest.raises(Refusal, match="--method given"):
        isoflop(rows)
    assert isoflop(rows, method="given").N_exponent == isoflop(optima()).N_exponent


def test_intervals_hold_the_planted_exponent_as_often_as_they_say() -> None:
    found = [isoflop(optima(seed)).N_exponent_ci95 for seed in range(200)]
    assert 180 <= sum(low <= 0.5 <= high for low, high in found) <= 199


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (("C", "N_opt", "D_opt"), True),
        (("C", "N*", "D*"), True),
        (("compute", "optimal_params", "optimal_tokens"), True),
        (("FLOPs", "Optimal model size", "Optimal tokens"), True),
        (("C", "N_star", ""), True),
        (("C", "", "opt_tokens"), True),
        (("C", "params", "tokens"), False),
        (("C", "N", "D_opt"), False),
    ],
)
def test_optima_are_known_by_their_names(names: tuple[str, str, str], known: bool) -> None:
    rows = [{name: cell for name, cell in zip(names, row.values(), strict=True) if name} for row in optima()]
    assert read_runs(rows).is_of_optima == known
    if known:
        assert isoflop(rows).N_exponent == pytest.approx(isoflop(optima()).N_exponent, abs=1e-6)
    else:
        with pytest.raises(ValueError, match="loss"):
            isoflop(rows)


def test_units_of_optima_are_those_of_their_names_and_columns_may_be_told() -> None:
    rows = [{"C": row["C"], "N_opt (M)": row["N_opt"] / 1e6, "D_opt (B)": row["D_opt"] / 1e9} for row in optima()]
    found = isoflop(rows)
    assert found.curves[0].params == pytest.approx(optima()[0]["N_opt"])
    assert isoflop(rows, params="N_opt (M)").N_exponent == found.N_exponent


def test_what_optima_cannot_tell_is_refused_with_the_command_that_they_can_answer(tmp_path: Path) -> None:
    path = tmp_path / "optima.csv"
    write_csv(path, optima(), columns=list(optima()[0]))
    with pytest.raises(TableError, match=f"table of optima.*lawful isoflop {path}"):
        lawful.fit(path)
    checked = lawful.check(path)
    assert not checked.problem and checked.command == f"lawful isoflop {path}"
    assert checked.summary().endswith(f"next: lawful isoflop {path}")
    with pytest.raises(Refusal, match="2 budgets have their optimum, and 3 are needed"):
        isoflop(optima()[:2])
    with pytest.raises(TableError, match="needs the budget of each"):
        isoflop([{"N_opt": row["N_opt"]} for row in optima()])


def test_the_command_prints_the_exponents_and_what_they_leave_out(tmp_path: Path) -> None:
    path = tmp_path / "optima.csv"
    write_csv(path, optima(), columns=list(optima()[0]))

    def run(*more: str) -> Any:
        return CliRunner().invoke(app, ["isoflop", str(path), *more]).output

    assert "over 9 budgets (given)" in run() and "not what was uncertain in finding each" in run()
    assert json.loads(run("--json"))["N_exponent"] == pytest.approx(isoflop(optima()).N_exponent)
