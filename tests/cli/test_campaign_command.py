"""`lawful run --until`: a campaign from the command line, refused, killed and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from in_process import lawful
from lawful.schema.campaign import Campaign
from lawful.storage.campaigns import read_campaign
from lawful.storage.layout import Store
from planted_campaign import study_file

ASKED = ("--until", "alpha within .01", "--budget", "3e15", "--workers", "1")


def record(folder: Path) -> Campaign:
    found = read_campaign(Store(folder))
    assert found is not None
    return found


def test_a_campaign_is_run_to_its_page_and_each_round_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lawful.report.page.write_figures", lambda *_: None)  # they take seconds
    file, out = study_file(tmp_path), tmp_path / "out"
    said = lawful("run", file, *ASKED, "--batch", "2", "--out", out)
    found = record(out)
    assert found.end is not None and found.end.ending == "met"
    lines = [line for line in said.stderr.splitlines() if line.startswith("lawful: round ")]
    assert len(lines) == len(found.rounds) and all(f"round {i}" in line for i, line in enumerate(lines, start=1))
    assert "its goal is met" in said.stderr and "report: " in said.stdout
    page, text = (Store(out).report.read_text(), Store(out).report_markdown.read_text())
    assert 'id="campaign"' in page and 'href="#campaign"' in page and "chart-campaign" in page
    assert "The goal, alpha within .01, is met: half-width 0.00" in text and "## Campaign" in text
    answer = "The 95 % interval of alpha by all fitted runs is "
    assert answer in said.stdout and answer in text and "The goal is judged by 1.15 times as much, 0.00" in said.stdout
    assert "The whole ladder, 32 runs, takes 1.94 PFLOPs, of which the campaign took 0." in text
    assert "the folder holds a campaign" in lawful("run", file, "--out", out, expect=2).stderr
    changed = lawful("run", file, *ASKED, "--batch", "3", "--out", out, expect=2)
    assert "batch: 2 there, 3 now" in changed.stderr
    assert "since a campaign alone chooses its runs" in lawful("extend", out, expect=2).stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--budget", "3e15"), "expected --until beside them"),
        (("--until", "alpha within .01"), "expected --budget beside it"),
        ((*ASKED, "--only", "*seed=0"), "trains each of its rounds whole"),
        (("--until", "alpha below 1", "--budget", "3e15"), "goal: expected 'NAME within HALF-WIDTH'"),
        (("--until", "alpha within .01", "--budget", "soon"), "--budget: expected a count"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    assert said in lawful("run", study_file(tmp_path), *options, "--out", tmp_path / "out", expect=2).stderr
    assert not (tmp_path / "out").exists()


def test_a_campaign_of_a_command_line_goes_on_by_the_same_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the code of a command is that of the folder in which it runs
    monkeypatch.setattr("lawful.conduct.conclude", lambda folder, *_, **__: folder)  # the page takes seconds
    monkeypatch.setattr("lawful.cli.run.announce", lambda *_: None)
    study_file(tmp_path)
    words = (
        *("run", "--command", f"{sys.executable} -I -S {tmp_path}/train.py {{n}} {{d}} {{seed}} 0"),
        *("--grid", "n=10000,20000,50000,100000 d=1000000,3000000,10000000,30000000 seed=0..1"),
        *("--params", "{n}", "--tokens", "{d}", "--reads", "log: val loss {loss}", "--law", "power_floor:flops"),
        *("--until", "alpha within .5", "--budget", "1e14", "--workers", "1", "--out", tmp_path / "out"),
    )
    lawful(*words, "--max-hours", "1e-9", expect=75)
    assert record(tmp_path / "out").end is None
    lawful(*words)
    found = record(tmp_path / "out")
    assert (
        found.end is not None and "Give them again: lawful run" in lawful("resume", tmp_path / "out", expect=2).stderr
    )
    lawful(*words)
    assert record(tmp_path / "out") == found


@pytest.mark.slow
def test_a_campaign_that_is_killed_again_and_again_chooses_as_one_that_is_not(tmp_path: Path) -> None:
    """By SIGKILL to the process of `lawful run`, whose workers and programs then end by themselves."""

    def choices(folder: Path) -> list[object]:
        return [(one.kind, one.runs, one.look.half_width, one.look.table) for one in record(folder).rounds]

    def results() -> int:
        return len(list(hit.glob("runs/*/result.json")))

    def rounds() -> int:
        return len(record(hit).rounds) if Store(hit).campaign.exists() else 0

    calm, hit = tmp_path / "calm", tmp_path / "hit"
    lawful("run", study_file(tmp_path, pause=0.2), *ASKED, "--batch", "2", "--out", calm)
    command = [sys.executable, "-m", "lawful", "run", str(tmp_path / "toy.py"), *ASKED, "--batch", "2"]
    moments = [
        lambda: Store(hit).campaign.exists(),  # the rule is written, the plan perhaps not
        lambda: results() >= 3,  # in the middle of a round
        lambda: rounds() >= 2,  # a choice is written, its runs have not begun
        lambda: results() >= 9,
        lambda: rounds() >= 3,
    ]
    for is_now in moments:
        process = subprocess.Popen([*command, "--out", str(hit)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not is_now():
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*command, "--out", str(hit)], check=True, capture_output=True)
    assert choices(hit) == choices(calm)
    assert record(hit).end is not None
