"""An option out of its range is refused before the command begins, in one line that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lawful.cli import app
from lawful.errors import LawfulError
from lawful.executors.local import Local
from lawful.fitting.uncertainty import LEAST_DRAWS

TOY = str(Path(__file__).parents[1] / "toy_study.py")

ODD = [
    (("run", TOY), "--workers -2"),
    (("run", TOY), "--stack -2"),
    (("run", TOY), "--log foo"),
    (("run", TOY), "--checkpoint-seconds 0"),
    (("run", TOY), "--checkpoint-seconds nan"),
    (("run", TOY), "--checkpoint-seconds -1"),
    (("run", TOY), "--checkpoint-seconds inf"),
    (("run", TOY), "--cpus-per-run 0"),
    (("run", TOY), "--gpus-per-run nan"),
    (("run", TOY), "--gpus-per-run -0.5"),
    (("run", TOY), "--processes-per-run 0"),
    (("run", TOY), "--array-parallelism 0"),
    (("run", TOY), "--executor pigeon"),
    (("run", TOY), f"--out {TOY}"),
    (("run", "quickstart"), "--scale full"),
    (("plan", TOY), "--workers -1"),
    (("plan", TOY), "--stack -1"),
    (("plan", "quickstart"), "--set seeds=0"),
    (("plan", TOY), "--set seeds=1 --set seeds=2"),
    (("resume", "."), "--workers -1"),
    (("resume", "."), "--log wandbb"),
    (("sample", ".", "r"), "--temperature nan"),
    (("sample", ".", "r"), "--temperature -1"),
    (("sample", ".", "r"), "--top-k 0"),
    (("sample", ".", "r"), "--top-p nan"),
    (("sample", ".", "r"), "--top-p 0"),
    (("sample", ".", "r"), "--top-p 1.5"),
    (("sample", ".", "r"), "--seed -1"),
    (("sample", ".", "r"), "--length 0"),
    (("watch", "."), "--port 99999"),
    (("watch", "."), "--port -1"),
    (("fit", "t.csv"), "--draws -5"),
    (("fit", "t.csv"), f"--draws {LEAST_DRAWS - 1}"),
    (("fit", "t.csv"), "--seed -1"),
    (("predict", "t.csv"), "--params nan"),
    (("predict", "t.csv"), "--params 0"),
    (("predict", "t.csv"), "--tokens -1"),
    (("predict", "t.csv"), "--flops inf"),
    (("predict", "t.csv"), "--interval both"),
    (("allocate", "t.csv"), "--flops -1"),
    (("allocate", "t.csv"), "--flops nan"),
    (("allocate", "t.csv", "--flops", "1e9"), "--threshold nan"),
    (("allocate", "t.csv", "--flops", "1e9"), "--cost free"),
    (("holdout", "t.csv"), "--top 0"),
    (("isoflop", "t.csv"), "--method spline"),
    (("plan",), "--isoflop budgets=1e18..1e15x4"),
    (("plan",), "--isoflop budgets=1e15..1e18xmany"),
    (("plan",), "--isoflop budget=1e15..1e18x4"),
    (("plan",), "--isoflop budgets=nan,1,2"),
    (("plan", "nowhere.csv"), "--isoflop budgets=1e15..1e18x4"),
    (("gate", "t.csv", "--reference", "law.json"), "--at-least 0"),
    (("gate", "t.csv", "--reference", "law.json"), "--at-least nan"),
    (("design", "t.csv"), "--budget 0"),
    (("next", "t.csv", "--goal", "alpha within .1"), "--budget 0"),
    (("next", "t.csv", "--goal", "alpha within .1", "--budget", "1e20"), "--batch 0"),
    (("next", "t.csv", "--goal", "alpha within .1", "--budget", "1e20"), "--ranges params=1e6"),
    (("compare", "t.csv"), "--floor none"),
    (("power", "--sigma", "1"), "--shift nan"),
    (("power", "--shift", "0.1"), "--sigma 0"),
    (("power", "--shift", "0.1", "--sigma", "0.01"), "--params 1e6,,1e7"),
    (("power", "--shift", "0.1", "--sigma", "0.01"), "--floor auto"),
    (("power", "--shift", "0.1", "--sigma", "0.01", "--params", "1e6"), "--value alpha=nan"),
]


@pytest.mark.parametrize(("words", "option"), ODD, ids=lambda value: value if isinstance(value, str) else value[0])
def test_an_odd_option_is_refused_in_one_line_that_names_it(words: tuple[str, ...], option: str) -> None:
    result = CliRunner().invoke(app, [*words, *option.split()])
    assert isinstance(result.exception, LawfulError), (result.output, result.exception)
    message = str(result.exception)
    assert message.startswith(option.split()[0]) and "expected" in message and "\n" not in message


def test_an_executor_made_in_python_is_checked_likewise() -> None:
    with pytest.raises(
        LawfulError, match="Local: threads: .* got 0; checkpoint_seconds: .* nan; log: .* workers: .* -2"
    ):
        Local(workers=-2, threads=0, checkpoint_seconds=float("nan"), log=("wandbb",))  # type: ignore[arg-type]


def test_only_that_matches_nothing_writes_no_folder(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["run", TOY, "--out", str(tmp_path / "new"), "--only", "nothing"])
    assert "--only: expected a pattern" in str(result.exception)
    assert not (tmp_path / "new").exists()


def test_a_log_that_is_not_installed_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = CliRunner().invoke(app, ["run", TOY, "--log", "wandb"])
    assert "--log wandb needs the package wandb, which is not installed: pip install 'lawful[wandb]'" in str(
        result.exception
    )


def test_as_few_draws_as_there_can_be_percentiles_of_are_let_through() -> None:
    result = CliRunner().invoke(app, ["fit", "absent.csv", "--draws", str(LEAST_DRAWS)])
    assert "absent.csv: no such file" in str(result.exception)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--tokens 1e9", "expected one value of each axis for every run, got 5 of params and 1 of tokens"),
        ("--law power:tokens", "power reads tokens; got points of params"),
        ("--value nope=1", "power_floor has no parameter 'nope'; it has E, a_pivot, alpha"),
        ("--value alpha=-1", "value: alpha: expected a number from 0.01 to 10, got -1"),
        ("--value E=0 --value a_pivot=0", "expected values that give a loss above 0"),
        ("--shift 1e-300", "takes more than 1,000,000 seeds per arm to be seen"),
    ],
)
def test_points_and_values_that_a_law_cannot_have_are_refused_by_power(option: str, expected: str) -> None:
    ladder = ["--params", "1e6,1e7,1e8,1e9,3e9", "--sigma", "0.01", "--shift", "0.1"]
    assert expected in str(CliRunner().invoke(app, ["power", *ladder, *option.split()]).exception)


@pytest.mark.parametrize("options", [["--params", "1e9,1e10"], ["--params", "0"], ["--params", "many"]])
def test_one_count_is_not_a_list_and_its_option_is_named(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["predict", "no-such-table.csv", *options])
    assert str(result.exception).startswith("--params: expected a ")
