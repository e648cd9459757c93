"""A study from options alone, and the file that `lawful new` writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lawful import trust
from lawful.cli import app
from lawful.cli.commands import CommandOptions, values_of
from lawful.command import CommandRun, trusted
from lawful.errors import DeclarationError, LawfulError, StoreError
from lawful.fitting.registered import read_forecasts
from lawful.observe import observations
from lawful.planning.commands import plan_commands
from lawful.run import from_json
from lawful.schema import RunRecord
from lawful.storage.codec import write_result, write_study
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.storage.lease import claimed

pytestmark = pytest.mark.usefixtures("without_figures")

TRAIN = """
import pathlib, sys
pathlib.Path("ran").touch()
print(f"val loss {1.5 + 30 * (48 * int(sys.argv[1]) ** 2) ** -0.4:.4f}")
"""
ASKED = [
    *("--command", f"{sys.executable} train.py {{width}} {{seed}}", "--grid", "width=16,24,32,48,64 seed=0..1"),
    *("--params", "12*4*{width}^2", "--tokens", "1e7", "--reads", "log: val loss {loss}", "--hold-out", "width=64"),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.py").write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trust, "_remembered", set())
    return tmp_path


def lawful(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "lawful", *arguments], capture_output=True, text=True)


def test_a_plan_shows_every_command_and_starts_none(here: Path) -> None:
    done = CliRunner().invoke(app, ["plan", *ASKED], env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    assert len(re.findall(r"train\.py \d+ [01]", done.output)) == 10
    assert "10 commands" in done.output
    assert not (here / "ran").exists()


LADDER = "width=16,24,32,48,64"
LONGER = f"{LADDER},96"


def planned_by_options() -> Store:
    """A finished study of options, without its processes."""
    options = CommandOptions(
        command=f"{sys.executable} train.py {{width}}",
        grid=LADDER,
        params="12*4*{width}^2",
        tokens="1e7",
        reads=["log: val loss {loss}"],
        hold_out="width=64",
        law="power:params",
        unit="nats",
    )
    declared = options.study(Path("out"), cores=2, gpus=0.0)
    assert declared is not None
    plan_commands(declared, settings=options.settings).write(Path("out"))
    store = Store(Path("out"))
    for number, planned in enumerate(store.read_study().runs):
        measured = {"loss": 30 * planned.params_non_embedding**-0.2 * (1 + 0.001 * (-1) ** number)}
        with claimed(store.claim(planned.run)) as lease:
            assert lease is not None
            write_result(store.result(planned.run), RunRecord(status="finished", measured=measured), lease=lease)
    return store


def extended(*options: str) -> str:
    done = CliRunner().invoke(app, ["extend", "out", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_study_of_options_is_extended_by_its_longer_grid(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = planned_by_options()
    before = {path.parent.name: path.read_bytes() for path in store.folder.glob("runs/*/run.json")}
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    Path("out").symlink_to("../out")
    assert "5 runs stay as they are, 1 are new" in extended("--grid", LONGER)
    study = store.read_study()
    new = study.runs[-1]
    assert (new.rung, new.params_non_embedding, new.tokens) == ("width=96", 48 * 96**2, 10**7)
    run = from_json(read_json(store.run(new.run)))
    assert isinstance(run, CommandRun) and (run.cwd, run.cores, run.unit) == (str(here), 2, "nats")
    assert study.name == "out" and study.settings["grid"] == LONGER
    for name, text in before.items():
        assert (store.folder / "runs" / name / "run.json").read_bytes() == text
    (forecast,) = (entry for entry in read_forecasts(store).forecasts if entry.run == new.run)
    assert forecast.predicted == pytest.approx(30 * (48 * 96**2) ** -0.2, rel=0.01)


def test_an_extension_that_is_none_is_refused(here: Path) -> None:
    planned_by_options()
    for options, says in (
        ([], "--grid: expected the whole ladder, the former rungs with the new ones"),
        (["--grid", "width=16,24,32,64,96"], "width=48: it is not declared"),
        (["--grid", LADDER], "expected new rungs, got the 5 that are there"),
        (["--grid", LONGER, "--tokens", "2e7"], "its params, tokens or flops are others now"),
        (["--grid", LONGER, "--reads", "log: loss {loss}"], "its run has changed"),
        (["--grid", LONGER, "--set", "a=1"], "--set, --data: a study that --command declared"),
        (["mine.py", "--grid", LONGER], "expected a study that --command declared, and no file"),
    ):
        with pytest.raises(LawfulError, match=re.escape(says)):
            CliRunner().invoke(app, ["extend", "out", *options], catch_exceptions=False)


def test_a_folder_that_does_not_keep_its_options_is_extended_by_all_of_them(here: Path) -> None:
    store = planned_by_options()
    kept = store.read_study().settings
    write_study(store.study, replace(store.read_study(), settings={}))  # as an older version wrote it
    with pytest.raises(DeclarationError, match=r"expected --command and its other options.*name='out'"):
        CliRunner().invoke(app, ["extend", "out", "--grid", LONGER], catch_exceptions=False)
    reads = ["--reads", "log: val loss {loss}"]
    others = [
        word for name in ("command", "params", "tokens", "hold_out", "law", "unit") for word in (name, kept[name])
    ]
    others[::2] = [f"--{name.replace('_', '-')}" for name in others[::2]]
    assert "5 runs stay as they are, 1 are new" in extended("--grid", LONGER, *reads, *others)


def test_a_received_study_of_options_is_extended_only_where_its_commands_are_trusted(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = planned_by_options()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(here / "another_user"))
    monkeypatch.setattr(trust, "_remembered", set())
    with pytest.raises(StoreError, match="that you have not planned or run before"):
        CliRunner().invoke(app, ["extend", "out", "--grid", LONGER], catch_exceptions=False)
    own = trusted.hash_of(trusted.read_commands(store, store.read_study()))
    assert "1 are new" in extended("--grid", LONGER, "--trust", own[:12])


def test_one_run_in_the_foreground_shows_its_output_then_the_rest_gives_a_page(here: Path) -> None:
    done = lawful("run", *ASKED, "--out", "out", "--only", "width=16,seed=0", "--echo")
    assert done.returncode == 0, done.stderr
    assert "val loss 2.1940" in done.stderr
    assert re.search(r"width=16,seed=0: finished, loss 2\.194", done.stdout)
    assert not (here / "out" / "report.html").exists()
    done = lawful("resume", "out")
    assert done.returncode == 0, done.stderr
    assert "runs that differ in their seed alone have the same loss" in done.stdout  # train.py takes no seed
    assert len(observations(here / "out")) == 10


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run"], "expected a study (a name, or the path of its Python file) or --command, got neither"),
        (["run", "quickstart", *ASKED], "got both"),
        (["run", "--grid", "a=1"], "--grid: expected --command beside it"),
        (["plan", *ASKED, "--scale", "quick"], "--scale, --set: a study that is given by --command has none"),
        (["plan", *ASKED, "--reads", "logs: x"], "--reads: expected 'log: val loss {loss}'"),
        (["plan", *ASKED[:2], "--grid", "width=16"], "{seed} has no value"),
        (["plan", "--command", "nothing_like_this {a}", "--grid", "a=1..4"], "expected a program that is installed"),
        (["run", *ASKED, "--out", "out", "--device", "cuda"], "--device"),
        (["plan", *ASKED[:-1], "width=48,64"], "--hold-out: expected one value of width, got 2"),
    ],
)
def test_what_does_not_go_together_is_refused_in_a_sentence(here: Path, arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code != 0
    assert says in str(done.exception)
    assert not (here / "ran").exists()


def test_values_of_a_grid_are_numbers_where_they_are_written_so() -> None:
    found = values_of("--grid", "width=64,96 seed=0..2 lr=1e-3,.5 tokens=1e6 act=gelu,007 n=-2..-1")
    assert found == {
        "width": [64, 96],
        "seed": [0, 1, 2],
        "lr": [0.001, 0.5],
        "tokens": [1_000_000],
        "act": ["gelu", "007"],
        "n": [-2, -1],
    }
    assert type(found["tokens"][0]) is int


@pytest.mark.parametrize("text", ["width", "width=", "width=1,,2", "a=1 a=2", "a=5..2", "a=0..99999999999", "1=2"])
def test_a_grid_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(DeclarationError, match="--grid: "):
        values_of("--grid", text)


def test_a_new_study_runs_as_it_is(here: Path) -> None:
    assert lawful("new", "my_study.py", "--trainer", "command").returncode == 0
    again = lawful("new", "my_study.py")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    done = CliRunner().invoke(app, ["plan", "my_study.py"])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["run", "my_study.py", "--only", "bins=4,seed=0", "--echo", "--out", "out"])
    assert done.exit_code == 0, done.output
    assert "bins=4,seed=0: finished, loss 0.09" in done.output


@pytest.mark.parametrize("trainer", ["huggingface", "lightning", "nanogpt"])
def test_the_study_of_each_trainer_is_planned_under_its_own_name(here: Path, trainer: str) -> None:
    """They are run, as they are written, by `make check-trainers`."""
    (here / "nanoGPT").mkdir()
    assert CliRunner().invoke(app, ["new", "mine.py", "--trainer", trainer]).exit_code == 0
    for name in ("mine.py", "mine_trainer.py"):
        compile((here / name).read_text(), name, "exec")
    done = CliRunner().invoke(app, ["plan", "mine.py", "--json"])
    assert done.exit_code == 0, done.output
    planned = json.loads(done.output)
    assert planned["name"] == "mine" and "my_study" not in done.output
    assert len({run["at"]["width"] for run in planned["runs"]}) == 6
    assert all(run["command"][1].endswith("mine_trainer.py") for run in planned["runs"])


def test_a_received_folder_is_read_and_runs_only_what_is_trusted(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [f"{sys.executable} train.py {{width}}", "--grid", "width=16,24", "--params", "{width}", "--tokens", "1"]
    asked = ["run", "--command", *asked, "--reads", "log: val loss {loss}", "--out", "out"]
    assert CliRunner().invoke(app, [*asked, "--only", "width=16", "--echo"]).exit_code == 0
    (here / "ran").unlink()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(here / "another_user"))
    monkeypatch.setattr(trust, "_remembered", set())
    for reading in (["status", "out"], ["report", "out"]):
        assert CliRunner().invoke(app, reading).exit_code == 0
    refused = CliRunner().invoke(app, ["resume", "out", "--echo"])
    told = re.search(r"they would run as programs, .* say so: --trust (\w{12})", str(refused.exception))
    assert told
    assert "train.py 24" in str(refused.exception)
    assert not (here / "ran").exists()
    allowed = CliRunner().invoke(app, ["resume", "out", "--echo", "--trust", told[1]])
    assert "width=24: finished" in allowed.output
    assert (here / "ran").exists()


@pytest.mark.parametrize("value", ["3" * 5000, "-" + "3" * 5000, "3" * 5000 + ".5"])
def test_a_number_of_a_grid_with_too_many_digits_is_refused_in_a_line(value: str) -> None:
    with pytest.raises(DeclarationError, match="--grid: expected a number of at most 300 digits, got 5,00") as refused:
        values_of("--grid", f"width=4,{value}")
    assert len(str(refused.value)) < 120
