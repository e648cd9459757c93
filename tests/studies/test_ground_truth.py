"""The tool's own proof: what was planted in data and arms comes back through training, fits, verdicts and the page."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lawful
from lawful.conduct import conclude, train_study
from lawful.corpora.zipf_recall import ZipfRecall
from lawful.errors import LawfulError
from lawful.executors import Executor, Job
from lawful.executors.local import Local
from lawful.fitting.answers import Answer, read_answers
from lawful.planning.plan import make_plan
from lawful.storage.layout import Store
from lawful.studies.ground_truth import MEETINGS, study
from lawful.study import Study
from lawful.train import worker

pytestmark = pytest.mark.usefixtures("without_figures")


class Here(Executor):
    """Every run by the worker's own function, in this process: starting one costs seconds."""

    def submit(self, folder: Path, groups: Sequence[Sequence[str]]) -> Job:
        options = worker.parse([str(folder), "-", "--device", "cpu"])
        for run_id in (run_id for group in groups for run_id in group):
            assert worker.train_runs(Store(folder), [run_id], options, threading.Event())[0] == "finished"
        return Over()


class Over(Job):
    def is_over(self) -> bool:
        return True

    def stop(self) -> None:
        pass


def whole_way(declared: Study, folder: Path, executor: Executor) -> dict[str, Answer]:
    """Plan, train, fit, report."""
    make_plan(declared, device_name="cpu", is_timed=False).write(folder)
    train_study(folder, executor)
    conclude(folder)
    return {answer.question.name: answer for answer in read_answers(folder)}


def rows(answer: Answer) -> dict[str, Any]:
    return {row.name: row for row in answer.truth}


def test_a_small_part_of_it_goes_the_whole_way_to_a_page_with_truth_beside_estimate(tmp_path: Path) -> None:
    whole = study("smoke", seeds=2)
    part = replace(
        whole,
        ladder=[rung for rung in whole.ladder if rung.at["arm"] != "exponent" and rung.at["grows"] == "data"],
        questions=[question for question in whole.questions if question.name in ("data", "coefficient")],
    )
    answers = whole_way(part, tmp_path, Here())
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(
        ("data", "coefficient", "coefficient--base", "coefficient--coefficient"), "answered"
    )
    found = rows(answers["data"])
    assert found["E"].planted == pytest.approx(0.9 * np.log(1 / 0.9) + 0.1 * np.log(15 / 0.1))
    assert found["alpha"].planted == pytest.approx(0.8 / 1.8)
    assert found["E"].is_inside and found["alpha"].is_inside
    assert 1.3 < rows(answers["coefficient"])["multiplier"].found < 3
    assert answers["data"].held_out[0].is_registered
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text()
        assert "Planted and recovered" in text
        assert "planted values inside their 95 % intervals" in text


def test_the_law_fits_the_exact_loss_of_a_learner_that_knows_what_it_met_with_the_planted_values() -> None:
    """No training: sums over all keys, at the rungs of the quick scale, a little noise."""
    declared = study("quick")
    corpus: ZipfRecall = declared.ladder[0].run.corpus
    noise = np.random.default_rng(0)
    for grows, law, exponent in (
        ("data", "power_floor:tokens", 0.8 / 1.8),
        ("size and data", "power_floor:params", 0.8),
    ):
        table = []
        for rung in declared.ladder:
            if (rung.at["grows"], rung.at["arm"], rung.held_out) != (grows, "base", False):
                continue
            family = rung.run.family
            exact = corpus.floor_nats + corpus.excess_nats(family.slots, rung.at["samples"])
            loss = exact * np.exp(3e-4 * noise.standard_normal())
            table.append({"params": family.param_counts().non_embedding, "tokens": rung.run.tokens, "loss": loss})
        fitted = lawful.fit(table, law, draws=0)
        assert fitted.params["E"].value == pytest.approx(corpus.floor_nats, abs=0.002)
        assert fitted.params["alpha"].value == pytest.approx(exponent, abs=0.02)


def test_every_run_of_the_matched_ladder_meets_its_rarest_key_equally_often() -> None:
    declared = study("quick")
    corpus: ZipfRecall = declared.ladder[0].run.corpus
    shares = np.arange(1, corpus.num_keys + 1) ** -(1 + corpus.a)
    shares /= shares.sum()
    for rung in declared.ladder:
        if rung.at["grows"] == "size and data":
            meetings = shares[rung.run.family.slots - 1] * rung.at["samples"]
            assert meetings == pytest.approx(MEETINGS, rel=0.04)


def test_settings_that_plant_nothing_are_refused() -> None:
    with pytest.raises(LawfulError, match="multiplier: expected a number above 1, got 1.0"):
        study("smoke", multiplier=1.0)
    with pytest.raises(LawfulError, match="expected one of smoke, quick, got 'full'"):
        study("full")


@pytest.mark.slow
def test_quick_scale_recovers_the_floor_and_the_exponents_and_tells_the_arms_apart(tmp_path: Path) -> None:
    answers = whole_way(study("quick"), tmp_path, Local(device="cpu"))
    for name in ("data", "size", "both"):
        assert {row: found.is_inside for row, found in rows(answers[name]).items()} == dict.fromkeys(
            rows(answers[name]), True
        )
    assert answers["coefficient"].comparison.verdict == "coefficients differ"
    assert rows(answers["coefficient"])["multiplier"].is_inside
    assert answers["exponent"].comparison.verdict == "exponents differ"
    assert rows(answers["exponent"])["alpha"]["is_inside"]
