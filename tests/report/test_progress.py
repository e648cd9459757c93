"""Progress is read from the folder alone: states, torn lines, what is left, and a table that fits a small terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lawful.report.plan import plan_table
from lawful.report.progress import clock_seconds, study_status
from lawful.report.status_shown import status_json, status_line, status_table
from lawful.schema import PlannedRun, RunRecord
from lawful.storage.codec import write_result
from lawful.storage.layout import Store
from lawful.storage.lease import claimed
from records import edit_plan, planned_run

Make = Callable[..., Path]
SMALL = {"widths": (16, 32, 64), "tokens": (125_000, 250_000), "seeds": 1}


def test_each_run_is_in_the_state_that_its_files_say(make_folder: Make) -> None:
    folder = make_folder(**SMALL, diverged=(0,), failed=(1,), running=(3,), waiting=(4,))
    here = Store(folder)
    rungs = here.read_study().runs
    with claimed(here.claim(rungs[3].run)):
        status = study_status(folder)
        assert [run.state for run in status.runs] == [
            "diverged",
            "failed",
            "finished",
            "running",
            "waiting",
            "finished",
        ]
        assert status.counts == {"finished": 2, "diverged": 1, "failed": 1, "running": 1, "waiting": 1}
        assert status.runs[3].step > 0
        assert "2 of 6 runs finished, 1 running, 1 waiting, 1 diverged, 1 failed" in status_line(status)
    assert study_status(folder).runs[3].state == "waiting"  # its holder is gone; it stopped part way
    assert study_status(folder).runs[3].step > 0


def test_a_torn_last_line_is_passed_over(make_folder: Make) -> None:
    folder = make_folder(**SMALL, running=(2,))
    here = Store(folder)
    rung = here.read_study().runs[2]
    before = study_status(folder).runs[2]
    with here.metrics(rung.run).open("a") as record:
        record.write('{"step": 999999, "tokens": 12')
    assert study_status(folder).runs[2] == before


def test_time_left_of_a_running_run_is_its_tokens_left_over_its_speed(make_folder: Make) -> None:
    folder = make_folder(**SMALL, waiting=tuple(range(6)))
    here = Store(folder)
    rung = here.read_study().runs[0]
    line = {"step": rung.steps // 2, "loss": 3.0, "tokens_per_second": 1000.0}
    here.metrics(rung.run).write_text(json.dumps(line) + "\n")
    with claimed(here.claim(rung.run)):
        run = study_status(folder).runs[0]
    assert run.tokens_per_second == 1000.0
    assert run.seconds_left == pytest.approx((rung.steps - rung.steps // 2) * rung.batch_tokens / 1000)


def test_time_left_of_the_study_follows_the_pace_that_was_measured(make_folder: Make) -> None:
    """The fabricated runs took 1.25 times their estimate; so will the waiting ones, on the two workers declared."""
    folder = make_folder(**SMALL, waiting=(0, 1, 2))
    study = edit_plan(folder, workers=2)
    left = [rung.seconds_estimate * 1.25 for rung in study.runs[:3]]
    assert study_status(folder).seconds_left == pytest.approx(max(sum(left) / 2, max(left)), rel=1e-6)


def rung(cluster: str, **more: Any) -> PlannedRun:
    return planned_run("a", cluster=cluster, **more)


def test_runs_of_a_trunk_follow_one_another_and_trunks_share_the_workers_longest_first() -> None:
    """By hand: 7 to one worker, 5 to the other, then 4 to the second: 9. A trunk of 6 + 5 takes 11."""
    trunks = [rung("a"), rung("b"), rung("c")]
    assert clock_seconds(trunks, [5, 7, 4], workers=2) == 9
    assert clock_seconds(trunks, [5, 7, 4], workers=1) == 16
    assert clock_seconds([rung("a"), rung("a"), rung("b")], [6, 5, 1], workers=3) == 11


def test_held_out_runs_wait_for_all_others_and_take_several_cores_each() -> None:
    others, held_out = [rung("a"), rung("b")], [rung("c", held_out=True), rung("d", held_out=True)]
    assert clock_seconds(others + held_out, [3, 1, 4, 5], workers=2) == 3 + 5
    wide = [replace(each, threads=2) for each in held_out]
    assert clock_seconds(others + wide, [3, 1, 4, 5], workers=2) == 3 + 9
    last = rung("e", starts_from="x")
    assert clock_seconds([*others, last], [3, 1, 2], workers=2) == 3 + 2


def test_stacked_runs_are_one_workers_work_and_share_its_time(make_folder: Make) -> None:
    """Three trunks that advance together at 1,000 tokens a second each: the study has a run's time left, not three
    times that, with one worker at it. Three that ended together took a third of their clock each."""
    folder = make_folder(**SMALL, waiting=(0, 1, 2))
    here = Store(folder)
    runs = [
        replace(each, cluster=str(number), stack=f"0-{number // 3}", held_out=False)
        for number, each in enumerate(here.read_study().runs)
    ]
    runs[:3] = [replace(each, steps=100, batch_tokens=1000) for each in runs[:3]]
    runs[3:] = [replace(each, seconds_estimate=(each.seconds_estimate or 0) / 3) for each in runs[3:]]
    study = edit_plan(folder, runs=tuple(runs))
    with ExitStack() as held:
        for each in study.runs[:3]:
            line = {"step": 50, "loss": 3.0, "tokens_per_second": 1000.0}
            here.metrics(each.run).write_text(json.dumps(line) + "\n")
            held.enter_context(claimed(here.claim(each.run)))
        status = study_status(folder)
    assert [run.seconds_left for run in status.runs[:3]] == pytest.approx([50.0] * 3)
    assert status.workers == 1 and status.seconds_left == pytest.approx(50.0)
    assert clock_seconds([rung("a", stack="s"), rung("b", stack="s"), rung("c")], [3, 3, 4], workers=2) == 6
    waiting = study_status(folder)
    halves = sum(each.seconds_estimate for each in study.runs[:3]) / 2
    assert waiting.seconds_left == pytest.approx(1.25 * halves, rel=1e-6)


def test_a_worker_that_is_idle_until_the_held_out_runs_begin_counts_among_those_to_come(make_folder: Make) -> None:
    folder = make_folder(**SMALL, waiting=(0, 4, 5))
    here = Store(folder)
    runs = [replace(each, held_out=number in (4, 5)) for number, each in enumerate(here.read_study().runs)]
    study = edit_plan(folder, workers=2, runs=tuple(runs))
    with claimed(here.claim(study.runs[0].run)):
        assert study_status(folder).workers == 2
    with claimed(here.claim(study.runs[4].run)):
        assert study_status(folder).workers == 1, "a run of the first stage waits, and only one is at work"


def test_a_finished_study_is_over_and_has_nothing_left(make_folder: Make) -> None:
    status = study_status(make_folder(**SMALL))
    assert status.is_over
    assert status.share_done == pytest.approx(1.0)
    assert status.seconds_left == 0
    assert "left" not in status_line(status)


def test_a_retried_result_is_read_again(make_folder: Make) -> None:
    folder = make_folder(**SMALL, failed=(0,))
    here = Store(folder)
    rung = here.read_study().runs[0]
    assert study_status(folder).runs[0].state == "failed"
    write_result(here.result(rung.run), RunRecord(status="finished", measured={"loss": 2.5, "tokens_per_second": 1e3}))
    assert study_status(folder).runs[0].state == "finished"


def test_the_table_fits_a_terminal_of_80_by_24(make_folder: Make) -> None:
    folder = make_folder(seeds=3, running=tuple(range(20)), diverged=(30,), failed=(31,))
    here = Store(folder)
    rungs = here.read_study().runs
    claims = [claimed(here.claim(rung.run)) for rung in rungs[:20]]
    try:
        for claim in claims:
            assert claim.__enter__()
        with open("/dev/null", "w") as nowhere:
            console = Console(width=80, height=24, record=True, file=nowhere)
            console.print(status_table(study_status(folder)))
    finally:
        for claim in claims:
            claim.__exit__(None, None, None)
    lines = console.export_text().rstrip("\n").split("\n")
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "50 of 72 finished · 20 running" in text
    assert "and 14 more running" in text
    assert "failed: out of memory" in text
    assert "size=16, tokens=125k, seed=0" in text


def test_a_label_from_data_is_not_read_as_console_markup(make_folder: Make) -> None:
    folder = make_folder(**SMALL)
    *others, last = Store(folder).read_study().runs
    study = edit_plan(folder, runs=(*others, replace(last, rung="[bold]size[/nonsense]")))
    with open("/dev/null", "w") as nowhere:
        console = Console(width=80, record=True, file=nowhere)
        console.print(status_table(study_status(folder)))
        console.print(plan_table(study))
    assert "[bold]size[/nonsense]" in console.export_text()


def test_the_json_has_the_counts_and_every_run(make_folder: Make) -> None:
    plain = json.loads(json.dumps(status_json(study_status(make_folder(**SMALL)))))
    assert plain["counts"]["finished"] == len(plain["runs"]) == 6
    assert plain["is_over"] is True


def test_a_second_look_at_200_runs_is_quick(make_folder: Make) -> None:
    folder = make_folder(
        widths=(16, 24, 32, 48, 64), tokens=(125_000, 250_000, 500_000, 1_000_000), seeds=10, points_per_run=5
    )
    study_status(folder)
    times = []
    for _ in range(5):
        start = time.process_time()
        study_status(folder)
        times.append(time.process_time() - start)
    assert min(times) < 0.05


def test_the_plan_counts_every_run_and_says_its_faults_and_warnings(make_folder: Make) -> None:
    folder = make_folder(**SMALL, faults=("Three points and one seed.",))
    runs = [
        replace(each, stack="0-0" if number < 4 else "") for number, each in enumerate(Store(folder).read_study().runs)
    ]
    study = edit_plan(folder, runs=tuple(runs))
    with open("/dev/null", "w") as nowhere:
        console = Console(width=80, record=True, file=nowhere)
        console.print(plan_table(study))
    text = console.export_text()
    assert "4 runs are stacked" in text
    assert max(map(len, text.split("\n"))) <= 80
    assert "6 runs" in text
    assert "Three points and one seed." in text
    assert "optimiser steps, of which 10 are" in " ".join(text.split())
    for rung in study.runs:
        assert f"size={rung.at['size']}" in text


def test_the_plan_says_how_long_an_epoch_is_where_no_warning_does(make_folder: Make) -> None:
    folder = make_folder(**SMALL)
    study = Store(folder).read_study()
    (name, corpus), *_ = study.corpora.items()
    longest = max(run.tokens for run in study.runs)
    for length, is_said in ((longest, True), (longest - 1, False), (None, False)):
        edited = edit_plan(folder, corpora={name: replace(corpus, train_tokens=length)})
        with open("/dev/null", "w") as nowhere:
            console = Console(width=200, record=True, file=nowhere)
            console.print(plan_table(edited))
        assert (f"One epoch is {longest:,} tokens of {name}." in console.export_text()) == is_said


def test_workers_beyond_all_counting_fill_no_memory() -> None:
    trunks = [rung(str(number)) for number in range(3)]
    assert clock_seconds(trunks, [5, 7, 4], workers=10**15) == 7
