"""Runs that are done already become a study of commands; what is not done is trained, and a study is extended."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from commands import script
from lawful.cli import app
from lawful.cli.commands import CommandOptions
from lawful.conduct import train_study
from lawful.errors import DeclarationError, StoreError
from lawful.executors.local import Local
from lawful.fitting.registered import read_forecasts
from lawful.observe import observations, write_observations
from lawful.planning.adopt import adopted, write_adopted
from lawful.planning.commands import plan_commands
from lawful.planning.run_folders import is_folder_of_runs, read_folders
from lawful.storage.layout import Store
from lawful.study import Study, import_file
from lawful.tables import read_by_role

STUDY = """
from lawful import Command, LogPattern, Question, Study, grid

def rung(width: int, seed: int) -> Command:
    return Command(
        "{python} train.py {{width}} {{seed}}", params="12*4*{{width}}^2", tokens=1e6, unit="nats per token",
        reads=LogPattern("val loss {{loss}}"),
    )

study = Study(
    name="mine", question="?", ladder=grid(rung, width={widths}, seed=[0, 1]), held_out={{"width": {held_out}}},
    questions=[Question(name="size", asks="How does the loss fall?", law="power:params")],
)
"""
TRAIN = """
import sys
open("ran", "a").write(sys.argv[1] + "\\n")
print(f"val loss {30 * (48 * int(sys.argv[1])**2) ** -0.2 * (1 + 0.001 * (int(sys.argv[2]) - 1))}")
"""
WIDTHS = [16, 24, 32, 48, 64]


def loss(width: int, seed: int) -> float:
    return 30 * (48 * width**2) ** -0.2 * (1 + 0.001 * (seed - 1))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep of ten runs, and a study file that has a larger rung, too."""
    monkeypatch.chdir(tmp_path)
    script(tmp_path, TRAIN)
    declare([*WIDTHS, 96], 96)
    write({(width, seed): loss(width, seed) for width in WIDTHS for seed in (0, 1)})
    return tmp_path


def declare(widths: list[int], held_out: int) -> None:
    Path("mine.py").write_text(STUDY.format(python=sys.executable, widths=widths, held_out=held_out))


def write(losses: dict[tuple[int, int], float], **more: float) -> None:
    rows = [
        {"run": f"w{width}-{seed}", "config.width": width, "config.seed": seed, "val_loss": own, "tokens": 1e6}
        | {"params": 48 * width**2, **more}
        for (width, seed), own in losses.items()
    ]
    Path("sweep.json").write_text(json.dumps(rows))


def adopt(*words: str) -> str:
    done = CliRunner().invoke(app, ["adopt", "sweep.json", "--study", "mine.py", "--out", "out", *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_a_sweep_becomes_a_study_whose_missing_rungs_are_forecast_and_trained(here: Path) -> None:
    said = adopt()
    assert "10 runs are adopted, 2 are to do" in said
    assert not (here / "ran").exists()
    rows = observations(here / "out")
    assert [row["loss"] for row in rows] == [loss(width, seed) for width in WIDTHS for seed in (0, 1)]
    assert {row["loss_unit"] for row in rows} == {"nats_per_token"}
    assert all(str(row["reason"]).startswith("adopted from ") for row in rows)
    assert "width=64" in (here / "out" / "report.html").read_text(encoding="utf-8")
    train_study(here / "out", Local(workers=1))
    assert (here / "ran").read_text() == "96\n96\n", "what was adopted is not trained again"
    for entry in read_forecasts(Store(here / "out")).forecasts:
        assert entry.predicted == pytest.approx(loss(96, 0), rel=0.01)

    declare([*WIDTHS, 96, 128], 96)
    done = CliRunner().invoke(app, ["extend", "out", "mine.py"])
    assert done.exit_code == 0, (done.output, done.exception)
    assert "12 runs stay as they are, 2 are new" in done.output
    new = [entry for entry in read_forecasts(Store(here / "out")).forecasts if "width=128" in entry.rung]
    assert [entry.predicted for entry in new] == pytest.approx([loss(128, 1)] * 2, rel=0.01)


def test_rows_that_belong_to_no_rung_are_left_out_by_their_numbers(here: Path) -> None:
    write({(width, seed): loss(width, seed) for width in [*WIDTHS, 17] for seed in (0, 1)})
    planned = plan_commands(import_file(here / "mine.py").study, study_file=here / "mine.py")
    found = adopted(planned, read_by_role("sweep.json", {}))
    assert found.others == [11, 12] and len(found.results) == 10


def test_rows_of_runs_that_did_not_finish_are_no_results(here: Path) -> None:
    rows = json.loads(Path("sweep.json").read_text())
    for row, status in zip(rows, ("pruned", "crashed", "running", *["complete"] * 7), strict=True):
        row["status"] = status
    Path("sweep.json").write_text(json.dumps(rows))
    planned = plan_commands(import_file(here / "mine.py").study, study_file=here / "mine.py")
    found = adopted(planned, read_by_role("sweep.json", {}))
    assert found.unfinished == [1, 2, 3] and len(found.results) == 7


@pytest.mark.parametrize(
    ("losses", "more", "says"),
    [
        ({(96, 0): 3.0}, {}, "width=96,seed=0: expected a held-out run that is still to come"),
        ({(16, 0): 3.0}, {"params": 50_000}, "width=16,seed=0: the command says params 12,288, the table 50000"),
        ({(17, 0): 3.0}, {}, "expected a row of some rung, got 1 rows of none of them"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    here: Path, losses: dict[tuple[int, int], float], more: dict[str, float], says: str
) -> None:
    write(losses, **more)
    with pytest.raises(DeclarationError, match=says):
        adopt()
    assert not (here / "out").exists()


def test_several_rows_of_one_rung_are_refused_with_the_way_out(here: Path) -> None:
    rows = json.loads(Path("sweep.json").read_text())
    Path("sweep.json").write_text(json.dumps([*rows, {**rows[0], "run": "again", "val_loss": 3.0}]))
    with pytest.raises(
        DeclarationError, match=r"--reduce last .*\n  width=16,seed=0: expected one row, got 2 \(rows 1, 11\)"
    ):
        adopt()


def test_a_corrected_table_is_not_taken_in_silence_where_other_losses_are(here: Path) -> None:
    planned = plan_commands(import_file(here / "mine.py").study, study_file=here / "mine.py")
    found = adopted(planned, read_by_role("sweep.json", {}))
    write_adopted(here / "out", planned, found)
    write_adopted(here / "out", planned, found)
    write({(width, seed): loss(width, seed) + (width == 16) for width in WIDTHS for seed in (0, 1)})
    with pytest.raises(StoreError, match=r"got 2 with another \(width=16,seed=0; width=16,seed=1\); choose another"):
        write_adopted(here / "out", planned, adopted(planned, read_by_role("sweep.json", {})))


def test_a_table_without_a_loss_is_refused_with_the_option_that_names_it(here: Path) -> None:
    rows = [{**row, "value": row["val_loss"]} for row in json.loads(Path("sweep.json").read_text())]
    Path("sweep.json").write_text(
        json.dumps([{name: cell for name, cell in row.items() if name != "val_loss"} for row in rows])
    )
    with pytest.raises(DeclarationError, match="No column is recognised as the loss. Say which it is, .*--loss-column"):
        adopt()
    assert "10 runs are adopted" in adopt("--loss-column", "value")


def test_a_coordinate_without_a_column_is_refused(here: Path) -> None:
    rows = [
        {name: cell for name, cell in row.items() if name != "config.seed"}
        for row in json.loads(Path("sweep.json").read_text())
    ]
    Path("sweep.json").write_text(json.dumps(rows))
    with pytest.raises(
        DeclarationError, match="for the coordinate seed, got .*; call the column seed, config.seed or params.seed"
    ):
        adopt()


def test_a_sweep_becomes_a_study_without_a_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lawful.cli.adopt.announce", lambda folder, page: None)  # the page is another test's
    words = ("--command", f"{sys.executable} train.py {{width}} {{seed}}", "--params", "12*4*{width}^2")
    words += ("--tokens", "1e6", "--reads", "log: val loss {loss}", "--law", "power:params", "--hold-out", "width=96")
    words += ("--grid", "width=16,24,32,48,64,96 seed=0..1", "--out", "out")
    with pytest.raises(DeclarationError, match="expected --study or --command, got neither"):
        CliRunner().invoke(app, ["adopt", "sweep.json", "--out", "out"], catch_exceptions=False)
    with pytest.raises(DeclarationError, match="expected --study or --command, got both"):
        adopt(*words)
    monkeypatch.setattr("lawful.conduct.conclude", lambda folder, say: write_observations(folder))
    done = CliRunner().invoke(app, ["adopt", "sweep.json", *words], catch_exceptions=False)
    assert "10 runs are adopted, 2 are to do" in done.output
    study = Store(here / "out").read_study()
    assert study.name == "out" and study.settings["params"] == "12*4*{width}^2"
    assert [row["loss"] for row in observations(here / "out")] == [loss(w, seed) for w in WIDTHS for seed in (0, 1)]


def folder_of_runs(*, log: str = "val loss {loss}", reads: str = "log: val loss {loss}") -> Study:
    """The runs of the sweep as folders, half of them named by a config.json; the study that reads them."""
    for width in WIDTHS:
        for seed in (0, 1):
            own = Path("runs") / (f"width={width},seed={seed}" if seed else f"run-{width}")
            own.mkdir(parents=True)
            if not seed:
                (own / "config.json").write_text(json.dumps({"width": width, "seed": 0, "else": [1]}))
            (own / "train.log").write_text("val loss 9.5\n" + log.format(loss=loss(width, seed)) + "\n")
            (own / "m.jsonl").write_text(json.dumps({"val": {"loss": loss(width, seed)}, "step": 5}) + "\n")
    (Path("runs") / "width=17,seed=0").mkdir()
    options = CommandOptions(
        command=f"{sys.executable} train.py {{width}} {{seed}}",
        grid="width=16,24,32,48,64,96 seed=0..1",
        params="12*4*{width}^2",
        tokens="1e6",
        reads=[reads],
        hold_out="width=96",
    )
    found = options.study(Path("out"), cores=1, gpus=0)
    assert found is not None
    return found


@pytest.mark.parametrize("reads", ["log: val loss {loss}", "jsonl m.jsonl: loss=val/loss step=step"])
def test_a_folder_of_runs_is_adopted_by_what_the_study_reads(here: Path, reads: str) -> None:
    planned = plan_commands(folder_of_runs(reads=reads))
    assert is_folder_of_runs(Path("runs"))
    found = adopted(planned, read_folders(Path("runs"), planned))
    assert len(found.others) == 1
    by_rung = {run.rung: found.results.get(run.run) for run in planned.study.runs}
    for width in WIDTHS:
        for seed in (0, 1):
            result = by_rung[f"width={width},seed={seed}"]
            assert result is not None and result.measured["loss"] == loss(width, seed)
    assert not any(is_folder_of_runs(path) for path in (Path("sweep.json"), Path("nothing"), Path("runs/run-16")))


def test_a_folder_of_runs_that_does_not_tell_a_loss_is_refused_with_where_it_was_looked_for(here: Path) -> None:
    planned = plan_commands(folder_of_runs(log="loss of validation: {loss}", reads="log: held-out {loss}"))
    with pytest.raises(DeclarationError, match=r"the study reads:\n  run-16: no loss was found in train"):
        read_folders(Path("runs"), planned)
    (Path("runs") / "run-16" / "other.txt").touch()
    with pytest.raises(DeclarationError, match=r"run-16: expected one log .* got other.txt, train.log"):
        read_folders(Path("runs"), planned)
