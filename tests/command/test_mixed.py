"""Our own loop beside somebody else's trainer, in one study: planned, trained, compared, extended, received."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from commands import script
from lawful import trust
from lawful.cli import app
from lawful.command import trusted
from lawful.command.record import CommandRun
from lawful.conduct import train_study
from lawful.errors import StoreError
from lawful.executors.local import Local
from lawful.fitting.answer import answer_study
from lawful.fitting.registered import read_forecasts
from lawful.observe import observations
from lawful.planning.extend import plan_extension
from lawful.planning.plan import make_plan
from lawful.report.page import write_report
from lawful.report.plan import plan_table
from lawful.report.progress import study_status
from lawful.run import Run
from lawful.storage.atomic import write_json
from lawful.storage.layout import Store
from lawful.study import Study, declare, import_file

pytestmark = pytest.mark.usefixtures("without_figures")

TOY = Path(__file__).parents[1] / "toy_study.py"
BESIDE = """
from lawful import Command, LogPattern, Rung

_ours = study


def study(*, widths: tuple[int, ...] = (8, 16, 24, 32)) -> Study:
    ladder = []
    for rung in _ours(widths=widths, steps=(20,)).ladder:
        n = rung.run.family.param_counts().non_embedding
        theirs = Command(
            "PYTHON train.py {width} {n}", n=n, params=n, tokens=rung.run.tokens,
            reads=LogPattern("val loss {loss}"), unit="nats per token",
        )
        for trainer, run in (("ours", rung.run), ("theirs", theirs)):
            ladder.append(Rung(at={"trainer": trainer, **rung.at}, run=run))
    return Study(
        name="mixed", question="Do the two trainers agree?", ladder=ladder, arm="trainer",
        held_out={"width": max(widths)},
        questions=[Question(name="size", asks="Which falls faster?", law="power:params")],
    )
"""
TRAIN = """
import sys
print(f"val loss {4 * int(sys.argv[2]) ** -0.1}")
"""


def declared(folder: Path, **settings: str) -> tuple[Study, Path]:
    script(folder, TRAIN)
    path = folder / "mixed.py"
    path.write_text(TOY.read_text() + BESIDE.replace("PYTHON", sys.executable))
    return declare(import_file(path), None, settings), path


def test_our_runs_and_commands_are_one_study_with_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lawful.fitting.forecast.answer_study", partial(answer_study, draws=0))  # time
    study, path = declared(tmp_path)
    planned = make_plan(study, study_file=path, is_timed=False, device_name="cpu")
    planned = replace(planned, study=replace(planned.study, price_per_gpu_hour=2.0))
    assert [type(planned.runs[one.run]) for one in planned.study.runs] == [Run, CommandRun] * 4
    assert [one.arm for one in planned.study.runs] == ["ours", "theirs"] * 4
    console = Console(width=200, file=io.StringIO())
    console.print(plan_table(planned.study))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert shown.count("train.py") == 4 and "8 runs" in shown
    folder = tmp_path / "out"
    planned.write(folder)

    train_study(folder, Local(workers=1, device="cpu"))
    rows = observations(folder)
    assert {(row["arm"], row["status"], row["loss_unit"]) for row in rows} == {
        (arm, "finished", "nats_per_token") for arm in ("ours", "theirs")
    }
    assert [row["loss"] for row in rows if row["arm"] == "theirs"] == [
        4 * float(str(row["params_non_embedding"])) ** -0.1 for row in rows if row["arm"] == "theirs"
    ]
    pairs = {(row["params_non_embedding"], row["tokens"]) for row in rows}
    assert len(pairs) == 4, "the arms have the same N and D"
    assert {entry.question.partition("--")[2] for entry in read_forecasts(Store(folder)).forecasts} == {
        "ours",
        "theirs",
    }
    size = answer_study(folder, draws=0)[0]
    assert size.comparison is not None and size.comparison.arms == ("ours", "theirs")
    write_json(Store(folder).baselines, {"baselines": [{"loss": 0.5}]})  # counts of our own text are none of theirs
    page = write_report(folder).read_text(encoding="utf-8")
    assert "count of its own text" not in page and "count model of its own text" not in page
    assert "theirs" in page and study_status(folder).is_over

    longer, path = declared(tmp_path, widths="8,16,24,32,40")
    plan_extension(folder, longer, study_file=path, is_timed=False).write(folder)
    new = [one for one in Store(folder).read_study().runs if one.at["width"] == 40]
    assert {one.kind for one in new} == {"training", "command"} and len(Store(folder).read_study().runs) == 10
    assert Store(folder).read_study().price_per_gpu_hour == 2.0

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another_user"))
    monkeypatch.setattr(trust, "_remembered", set())
    own = trusted.hash_of(trusted.read_commands(Store(folder), Store(folder).read_study()))
    with pytest.raises(StoreError, match=f"--trust {own[:12]}"):
        train_study(folder, Local(workers=1, device="cpu"))
    refused = CliRunner().invoke(app, ["resume", str(folder), "--trust", own[:12]])
    assert "its own Python file" in str(refused.exception) or "--trust" in str(refused.exception)
    assert len(observations(folder)) == 8, "both the commands and the file must be trusted"
