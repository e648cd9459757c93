"""The fitting commands as a person types them: text, JSON, column flags, refusals that exit non-zero."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from lawful.cli import app
from lawful.laws import label
from lawful.schema import Question
from lawful.storage.layout import Store
from lawful.tables import write_csv
from records import edit_plan, planned_run, write_plan

SURFACE = ("--draws", "200")


def loss(n, d, gain=1.0):
    return 1.8 + 480 * n**-0.35 + 2100 * (gain * d) ** -0.37


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Two arms on a 5 x 4 grid under the usual names, and N, D, C, L under others."""
    rng = np.random.default_rng(0)
    rows = []
    for arm, gain in (("a", 1.0), ("b", 1.4)):
        for n in np.geomspace(1e7, 1e10, 5):
            for d in np.geomspace(1e9, 1e12, 4):
                value = float(loss(n, d, gain) * np.exp(0.003 * rng.standard_normal()))
                rows.append(
                    {"arm": arm, "params": float(n), "tokens": float(d), "loss": value, "size in units": float(n)}
                )
    path = tmp_path_factory.mktemp("tables") / "runs.csv"
    write_csv(path, rows, columns=list(rows[0]))
    return str(path)


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def said(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_fit_prints_the_law_and_its_intervals(table):
    out = said("fit", table, "--where", "arm=a", *SURFACE)
    assert out.startswith("read: columns: params 'params'") and "\nchinchilla: L = E + A N^-alpha + B D^-beta\n" in out
    assert "\nTenfold parameters cut the size part of the loss by " in out and "\nnext: " in out
    assert "certified" not in out  # but for --verbose
    assert "; certified: decrement" in said("fit", table, "--where", "arm=a", "--verbose", *SURFACE)


def test_fit_in_json_is_a_fit(table):
    from lawful.fitting import Fit

    raw = json.loads(said("fit", table, "--where", "arm=a", "--json", *SURFACE))
    assert Fit.from_json(raw).params["alpha"].value == pytest.approx(0.35, abs=0.03)


def test_fit_by_arm_gives_one_fit_for_each(table):
    out = json.loads(said("fit", table, "--by", "arm", "--json", "--draws", 0))
    assert [one["by"] for one in out] == ["a", "b"]


def test_fit_takes_its_axis_by_column(table):
    out = said(
        "fit", table, "--law", "power_floor", "--x", "size in units", "--where", "arm=a", "--where", "tokens>9e11"
    )
    assert "power_floor:params" in out


def test_predict_is_for_one_more_run_unless_told(table):
    one = json.loads(said("predict", table, "--where", "arm=a", "--params", "20B", "--tokens", "1e12", "--json"))[0]
    curve = json.loads(
        said(
            "predict", table, "--where", "arm=a", "--params", "20B", "--tokens", "1e12", "--interval", "mean", "--json"
        )
    )[0]
    assert one["low"] < curve["low"] < loss(2e10, 1e12) < curve["high"] < one["high"]
    assert curve["interval"] == "mean"


def test_allocate(table):
    out = said("allocate", table, "--where", "arm=a", "--flops", "1e21", "--threshold", "0.02", *SURFACE)
    assert "waste at most 5 % of the compute" in out
    assert "buys less than 0.02 (given)" in out
    assert (
        "params"
        in json.loads(said("allocate", table, "--where", "arm=a", "--flops", "1e21", "--json", *SURFACE))["allocation"]
    )


def test_compare(table):
    out = said("compare", table)
    assert "The arms differ (p < 0.0001); enough to explain it: a factor alone" in out
    assert json.loads(said("compare", table, "--json"))["verdict"] == "coefficients differ"


def test_replay_supports_a_claim_within_the_share_that_is_told(tmp_path):
    table = tmp_path / "line.csv"
    random = np.random.default_rng(0)
    rows = [
        f"{n},{(1.5 + 20 * n**-0.3) * np.exp(0.001 * random.standard_normal())}" for n in np.geomspace(1e5, 1e9, 12)
    ]
    table.write_text("\n".join(["params,loss", *rows]), encoding="utf-8")
    claim = ("replay", table, "--law", "power_floor", "--claim", "alpha=0.33", "--draws", 0)
    assert "\nalpha=0.33: supported\n" in said(*claim, "--within", 0.2)
    assert "\nalpha=0.33: " in said(*claim) and "within 10 % of 0.33, [0.297, 0.363]" in said(*claim)
    assert "\nalpha=0.33: contradicted\n" in said(*claim, "--within", 0.01)
    assert "expected a share above 0" in str(run(*claim, "--within", 0).exception)


def test_crossover(table):
    out = said("crossover", table, "--law", "power_floor:params", "--where", "tokens>9e11")
    assert "Neither a crossing nor a lead over the whole range of the data is established" in out


def test_holdout(table):
    out = said("holdout", table, "--where", "arm=a", "--top", 2, *SURFACE)
    assert "inside their 95 % intervals" in out


def test_isoflop(tmp_path):
    rows = [
        {"params": n, "flops": c, "loss": loss(n, c / 6 / n)}
        for c in (1e19, 1e20, 1e21)
        for n in (c / 6) ** 0.5 * np.geomspace(0.01, 3, 9)
    ]
    write_csv(tmp_path / "iso.csv", rows, columns=list(rows[0]))
    out = said("isoflop", tmp_path / "iso.csv")
    assert "N* grows as C^0.5" in out


def test_design_and_power(table):
    assert "most within the budget" in said("design", table, "--where", "arm=a", "--budget", "1e20", *SURFACE)
    by_point = said("design", table, "--where", "arm=a", "--target", "params=1e11,tokens=1e13", *SURFACE)
    assert "log loss at params 1e+11" in by_point
    ladder = "1e6,5.3e6,2.8e7,1.5e8,7.9e8"
    out = said("power", "--params", ladder, "--shift", 0.01, "--sigma", 0.005)
    assert "seeds per arm" in out


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study's folder: a size held out, a second metric, and two questions of which the second is about the metric."""
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("study")
    rows, rungs = [], []
    for i, n in enumerate(np.geomspace(1e7, 1e10, 6)):
        for d in np.geomspace(1e9, 1e12, 4):
            value = float(loss(n, d) * np.exp(0.003 * rng.standard_normal()))
            run = f"{i}-{d:.0f}"
            counts = {"params_non_embedding": int(n), "params_total": int(n) + 10**7, "tokens": int(d)}
            states = {"run": run, "cluster": run, "status": "finished", "held_out": i == 5}
            rows.append({**states, **counts, "loss": value, "wer": value / 10})
            rungs.append(planned_run(run, at={"size": i}))
    write_csv(folder / "observations.csv", rows, columns=list(rows[0]))
    surface = Question(name="surface", asks="?", law="chinchilla")
    errors = Question(name="errors", asks="?", law="power_floor", loss="wer", where={"tokens": "max"})
    write_plan(folder, *rungs, name="planted", questions=(errors, surface))
    return str(folder)


def test_a_study_is_asked_its_own_question_by_name_or_the_first_that_suits(study):
    first = json.loads(said("fit", study, "--question", "errors", "--json", "--draws", 0))
    assert (label(first["law"]), first["data"]["columns"]["loss"], first["goodness"]["n"]) == (
        "power_floor:params",
        "wer",
        5,
    )
    (dropped,) = json.loads(said("holdout", study, "--json", "--draws", 0))["rows"]
    assert dropped["observed"] < 0.5  # an error rate, not a loss
    assert "waste at most 5 %" in said("allocate", study, "--flops", "1e21", *SURFACE)  # of the surface: both axes
    assert "no 'speed'; it asks errors, surface" in str(run("fit", study, "--question", "speed").exception)


def test_what_is_told_goes_before_what_a_study_declares(study):
    told = json.loads(said("fit", study, "--law", "chinchilla", "--loss-column", "loss", "--json", "--draws", 0))
    assert (label(told["law"]), told["data"]["columns"]["loss"], told["goodness"]["n"]) == ("chinchilla", "loss", 20)
    other = ("fit", study, "--question", "surface", "--params-column", "params_total", "--json", "--draws", 0)
    assert json.loads(said(*other))["data"]["columns"]["params"] == "params_total"


def test_a_question_that_names_no_column_is_refused_and_not_answered_from_the_next_ones_rows(study, tmp_path):
    folder = tmp_path / "misspelt"
    shutil.copytree(study, folder)
    errors, surface = Store(folder).read_study().questions
    third = replace(surface, name="third")
    edit_plan(folder, questions=(errors, replace(surface, where={"toknes": "max"}), third))
    budget = ("allocate", folder, "--flops", "1e21", *SURFACE)
    assert "no column 'toknes'" in str(run(*budget).exception)
    assert run(*budget, "--question", "third").exit_code == 0


def test_what_is_told_of_a_folder_is_used_or_refused_never_passed_over(study):
    said_of = json.loads(said("fit", study, "--objective", "lad", "--json", "--draws", 0))
    assert said_of["objective"]["name"] == "lad"
    assert "expected one of robust" in str(run("fit", study, "--objective", "robsut").exception)
    assert "no column 'nope'" in str(run("fit", study, "--cluster", "nope").exception)
    assert "no column 'nope'" in str(run("predict", study, "--params", "1e9", "--loss-column", "nope").exception)


def test_a_misfit_is_said_once_by_allocate_and_a_forecast_of_other_laws_is_no_forecast_of_the_fitted_one(tmp_path):
    random = np.random.default_rng(0)
    lines = ["params,tokens,loss"]
    for n in np.geomspace(1e7, 1e9, 6):
        for d in np.geomspace(2e8, 2e10, 4):
            loss = ((2e9 / n) ** (0.1 / 0.12) + 4e9 / d) ** 0.12 * np.exp(0.004 * random.standard_normal())
            lines.append(f"{n},{d},{loss}")
    path = tmp_path / "kaplan.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert said("allocate", path, "--flops", "1e20").count("severe: misfit") == 1
    assert "not of this law alone" in said("predict", path, "--params", "1e9", "--tokens", "1e10")


def test_checklist(table):
    out = said("checklist", table, "--where", "arm=a")
    assert "items answered (arXiv:2502.18969)" in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("fit", "absent.csv"), "no such file"),
        (("fit", "{table}", "--law", "chincilla"), "no law is called"),
        (("fit", "{table}", "--loss-column", "wer"), "no column 'wer'"),
        (("fit", "{table}", "--where", "width=3"), "COLUMN=VALUE"),
        (("fit", "{table}", "--law", "chinchilla", "--where", "params<1e8", "--where", "arm=a"), "distinct value"),
        (("fit", "{table}", "--law", "power_floor"), "both params and tokens vary"),
        (("crossover", "{table}"), "both params and tokens vary"),
        (
            ("predict", "{table}", "--params", "1e9", "--where", "arm=a"),
            "chinchilla is fitted, as params and tokens vary apart",
        ),
        (("predict", "{table}", "--params", "1e9x", "--tokens", "1e9"), "expected a count"),
        (("crossover", "{table}", "--arms", "a"), "expected FIRST,SECOND"),
        (("allocate", "{table}", "--flops", "1e21", "--cost", "guess"), "--cost: expected 6nd, exact, or"),
        (("fit", "{table}", "--metric", "loss", "--by", "arm", "--verbose"), "neither --by nor --verbose beside"),
        (("fit", "{table}", "--metric", "loss", "--objective", "lad"), "--metric: expected no --objective beside it"),
        (("fit", "{table}", "--plot-columns", "2"), "--plot-columns: expected --plot FILE beside it"),
        (("fit", "{table}", "--by", "arm", "--share", "E", "--verbose"), "--share: expected no --verbose beside it"),
        (("predict", "{table}", "--metric", "loss", "--interval", "mean"), "--metric: expected no --interval beside"),
        (("plan", "{table}", "--isoflop", "budgets=1e20,1e21", "--scale", "full"), "expected no --scale beside it"),
        (("plan", "--isoflop", "budgets=1e20,1e21", "--grid", "a=1"), "--isoflop: expected no --grid beside it"),
        (("power", "--shift", "0.01", "--sigma", "0.01"), "points of the ladder"),
    ],
)
def test_what_cannot_be_done_is_said_and_exits_non_zero(table, arguments, complaint):
    result = run(*(argument.format(table=table) for argument in arguments))
    assert result.exit_code != 0
    assert complaint in str(result.exception)


OWN_LAW = """
from dataclasses import dataclass
from lawful.laws import OneAxisLaw, Term
@dataclass(frozen=True)
class Half(OneAxisLaw):
    exponent: float = 0.5
    name, formula, source, coefficients, shapes = "power_floor", "E + a x^-1/2", "a test", ("E", "a"), ()
    def terms(self, shape, x):
        return Term(), Term(-self.exponent * x[self.axis])
third = Half(axis="tokens", exponent=1 / 3)
"""


def test_a_law_of_ones_own_takes_an_axis_and_a_setting(table, tmp_path):
    law = tmp_path / "half.py"
    law.write_text(OWN_LAW, encoding="utf-8")
    arm = ("--where", "arm=a", "--json", "--draws", "0")
    for options, fields in (
        ((f"{law}:Half",), {"axis": "params", "exponent": 0.5}),
        ((f"{law}:Half:tokens",), {"axis": "tokens", "exponent": 0.5}),
        ((f"{law}:Half", "--x", "tokens"), {"axis": "tokens", "exponent": 0.5}),
        ((f"{law}:third",), {"axis": "tokens", "exponent": 1 / 3}),
        ((f"{law}:third", "--x", "params"), {"axis": "params", "exponent": 1 / 3}),
    ):
        raw = json.loads(said("fit", table, "--law", *options, *arm))
        assert raw["law"] == {"class": f"{law}:Half", "fields": fields}
    held = json.loads(said("holdout", table, "--law", f"{law}:third", *arm))
    assert held["fit"]["law"]["fields"]["exponent"] == 1 / 3
    crossed = said("crossover", table, "--law", f"{law}:Half", "--x", "tokens", "--json", "--draws", "200")
    said_of = json.loads(crossed)
    assert said_of["law"] == {"class": f"{law}:Half", "fields": {"axis": "tokens", "exponent": 0.5}}
    assert set(said_of["params"]) == {"a", "b"} and said_of["set95"]
    assert len(crossed) < 5000  # the answer, not the 200 draws of each fit behind it
    refused = run("fit", table, "--law", "chinchilla", "--x", "tokens", *arm)
    assert "--x: expected a law of one axis, got chinchilla" in str(refused.exception)


def test_bounds_and_fixed_values_are_told_and_reach_every_command_that_fits(table):
    raw = json.loads(said("fit", table, "--where", "arm=a", "--fixed", "E=1.8", "--bounds", "alpha=0.1:0.34", "--json"))
    assert raw["params"]["E"] == {**raw["params"]["E"], "value": 1.8, "role": "fixed"}
    assert raw["params"]["alpha"]["value"] <= 0.34 and raw["bounds"] == {"alpha": [0.1, 0.34]}
    assert "needs" in said("compare", table, "--fixed", "E=1.8", "--bounds", "alpha=0.02:5")
    given = json.loads(said("allocate", table, "--where", "arm=a", "--flops", "1e20", "--fixed", "beta=0.5", "--json"))
    assert given["allocation"]["N_exponent"]["value"] > 0.55
    assert "of 0.35" in said(
        "replay", table, "--where", "arm=a", "--law", "chinchilla", "--claim", "alpha=0.35", "--fixed", "E=1.8"
    )
    for flag, text in (("--bounds", "alpha=1"), ("--bounds", "alpha=a:b"), ("--fixed", "E"), ("--fixed", "gamma=1")):
        failed = run("fit", table, flag, text)
        assert failed.exit_code != 0 and not isinstance(failed.exception, TypeError)


def test_losses_that_do_not_fall_are_refused_with_status_2(tmp_path):
    path = tmp_path / "flat.csv"
    write_csv(path, [{"params": n, "loss": 2.0} for n in (1e5, 3e5, 1e6, 3e6, 1e7)], columns=["params", "loss"])
    command = [sys.executable, "-m", "lawful", "fit", str(path), "--law", "power_floor"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "The loss does not fall with params in these 5 runs" in done.stderr


def test_next_lists_runs_with_a_reason_each_and_says_whether_they_are_enough(table):
    goal = ("--goal", "N_exponent within .005", "--budget", "1e21", "--batch", "20")
    words = ["next", str(table), "--where", "arm=a", "--draws", "0", *goal]
    ranges = ["--ranges", "params=1e6..1e10,tokens=1e8..1e12"]
    said = CliRunner().invoke(app, [*words, *ranges])
    assert said.exit_code == 0, said.output
    assert "enough is 0.005" in said.output
    assert "a new point; narrows the answer by" in said.output
    assert "the goal is then met" in said.output
    plan = json.loads(CliRunner().invoke(app, [*words, *ranges, "--json"]).output)
    assert plan["is_met"]
    assert plan["cost"] <= 1e21
    for odd in ("params=1e6", "params=a..b", "params=1e6..1e7,params=1e6..1e7"):
        refused = CliRunner().invoke(app, [*words, "--ranges", odd])
        assert "--ranges:" in str(refused.exception)
