"""Forecasts of runs under way: read from the folder, shown live, and never a result."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from lawful.observe import write_observations
from lawful.report.mid_run import _are_rivals, _keys
from lawful.report.progress import study_status
from lawful.report.status_shown import status_json, status_table
from lawful.report.watch import Watch
from lawful.schema import RunRecord
from lawful.storage.codec import write_result
from lawful.storage.layout import Store
from lawful.storage.lease import claimed
from records import edit_plan, planned_run

Make = Callable[..., Path]
LADDER = {"widths": (16, 32, 64, 128), "tokens": (125_000, 250_000), "seeds": 1, "held_out": False}
RUN = 5


@pytest.fixture
def running(make_folder: Make) -> tuple[Path, str]:
    """A ladder of two arms, alike but for a factor; one run has 40 % of its steps."""
    folder = make_folder(**LADDER, arms=("gelu", "swiglu"), running=(RUN,))
    return folder, Store(folder).read_study().runs[RUN].run


def text(folder: Path) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(status_table(study_status(folder)))
    return captured.get()


def test_the_live_table_and_the_json_have_the_end_of_a_run_that_is_30_percent_done(running: tuple[Path, str]) -> None:
    """It comes from the other seven runs of its arm; the fabricated curves lead to the end with a noise of 2 %."""
    folder, run = running
    here = Store(folder)
    with claimed(here.claim(run)):
        status = study_status(folder)
        one = json.loads(json.dumps(status_json(status)))["runs"][RUN]
        assert one["end"]["runs"] == 7 and 0.3 <= one["end"]["share"] <= 0.4
        others = [other.loss for other in status.runs if other.state == "finished" and other.loss]
        assert min(others) * 0.9 < one["end"]["low"] < one["end"]["loss"] < one["end"]["high"] < max(others) * 1.1
        assert "ends at, 95 %" in text(folder) and f"{one['end']['low']:.1f}" in text(folder)
        assert all(other.end is None for other in status.runs if other.run != run)


def test_before_30_percent_there_is_no_column_and_without_kin_it_says_not_forecast_yet(
    running: tuple[Path, str],
) -> None:
    folder, run = running
    here = Store(folder)
    lines = here.metrics(run).read_text().splitlines(keepends=True)
    with claimed(here.claim(run)):
        here.metrics(run).write_text("".join(lines[: len(lines) // 2]))
        assert "ends at" not in text(folder) and study_status(folder).runs[RUN].end is None
        here.metrics(run).write_text("".join(lines))
        runs = Store(folder).read_study().runs
        edit_plan(folder, runs=tuple(replace(one, schedule="cosine") if one.run == run else one for one in runs))
        assert "not forecast yet" in text(folder) and study_status(folder).runs[RUN].end is None


def test_a_run_cannot_win_where_a_finished_rival_of_its_size_lies_below_the_interval(
    running: tuple[Path, str], tmp_path: Path
) -> None:
    """The rival is of the other arm. Of another size it would be none."""
    folder, run = running
    here = Store(folder)
    runs = here.read_study().runs
    rival = next(one for one in runs if one.arm == "swiglu" and one.rung.partition(",")[2] in runs[RUN].rung)
    larger = runs[-1]
    assert larger.params_non_embedding > rival.params_non_embedding
    with claimed(here.claim(run)):
        write_result(here.result(rival.run), RunRecord(status="finished", measured={"loss": 9.0}))
        write_result(here.result(larger.run), RunRecord(status="finished", measured={"loss": 0.5}))
        assert study_status(folder).runs[RUN].cannot_win == ""
        write_result(here.result(rival.run), RunRecord(status="finished", measured={"loss": 0.5}))
        sentence = study_status(folder).runs[RUN].cannot_win
        assert "cannot win" in sentence and sentence.endswith("of the same size and tokens, ended at 0.5000")
        assert " ".join(text(folder).split()).count("cannot win") == 1
        watch = Watch(folder, tmp_path / "workspace")
        watch.look()
        assert sentence in watch.line and watch.lost == sentence


def test_a_forecast_is_in_no_table(running: tuple[Path, str]) -> None:
    folder, run = running
    before = Store(folder).observations.read_text()
    study_status(folder)
    write_observations(folder)
    assert run not in before and run not in Store(folder).observations.read_text()


def test_another_seed_is_no_rival(make_folder: Make) -> None:
    folder = make_folder(**{**LADDER, "seeds": 2}, running=(RUN,))
    here = Store(folder)
    runs = here.read_study().runs
    sister = next(
        one
        for one in runs
        if one.run != runs[RUN].run and one.tokens == runs[RUN].tokens and one.params_total == runs[RUN].params_total
    )
    write_result(here.result(sister.run), RunRecord(status="finished", measured={"loss": 0.5}))
    with claimed(here.claim(runs[RUN].run)):
        assert study_status(folder).runs[RUN].cannot_win == ""


def test_commands_on_other_data_are_no_rivals() -> None:
    """lawful does not know what a command reads; a coordinate that is a text may name it."""
    at = {"trainer": "a", "data": "books", "width": 8}
    command = planned_run("0", at=at, arm="a", kind="command", corpus="")
    other_arm = replace(command, run="1", at={**at, "trainer": "b"}, arm="b")
    other_data = replace(other_arm, run="2", at={**other_arm.at, "data": "code"})
    other_width = replace(command, run="3", at={**at, "width": 16})
    assert [_are_rivals(command, one) for one in (other_arm, other_data, other_width)] == [True, False, True]


def test_kin_have_one_schedule_and_one_setting_of_all_that_is_no_size() -> None:
    """Width is told by the size; factor is not, since two runs of one size differ in it; kind is a text."""
    at = [
        {"width": 8, "factor": 1, "kind": "a", "seed": 0},
        {"width": 16, "factor": 1, "kind": "a", "seed": 1},
        {"width": 8, "factor": 2, "kind": "a", "seed": 0},
        {"width": 32, "factor": 1, "kind": "b", "seed": 0},
    ]
    runs = [planned_run(str(number), at=one, params_non_embedding=one["width"] ** 2) for number, one in enumerate(at)]
    keys = list(_keys([*runs, replace(runs[1], schedule="cosine")]))
    assert keys[0] == keys[1] and len(set(keys)) == 4


def test_damaged_lines_and_losses_that_are_no_logarithm_are_passed_over(running: tuple[Path, str]) -> None:
    folder, run = running
    here = Store(folder)
    with ExitStack() as held:
        held.enter_context(claimed(here.claim(run)))
        before = study_status(folder).runs[RUN].end
        with here.metrics(run).open("a") as record:
            record.write(
                '{"step": "x", "loss": 2}\n[1, "loss"]\n{"step": 50, "loss": -1}\n{"step": 51, "loss": NaN}\n{'
            )
        assert study_status(folder).runs[RUN].end == before
