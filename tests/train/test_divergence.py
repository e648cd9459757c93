"""Planted losses through the real loop: slow, healthy runs end well; those that lost what they knew do not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lawful.baselines.ngram import ngram_baselines
from lawful.run import Run, Schedule, from_json
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.study import import_file
from lawful.tasks.next_token import NextToken
from lawful.train import divergence, loop

Folder = Callable[..., Path]
Judge = Callable[..., dict[str, Any]]
GUESSING = math.log(11)  # of the toy's eleven characters: 2.398
BETWEEN = 10  # steps from one evaluation to the next


@dataclass(frozen=True, kw_only=True)
class WithoutGuessing(NextToken):
    """No loss of guessing is known, and nothing is counted."""

    def worst_loss(self, run: Any) -> None:  # type: ignore[override]
        return None


def load(folder: Path) -> tuple[Run, Any, Store]:
    store = Store(folder)
    study = store.read_study()
    module = import_file(Path(study.study_file.path)).__name__
    run = from_json(read_json(store.run(study.runs[0].run)), also_from=module)
    return run, run.corpus.open(run.data_fingerprint), store


@pytest.fixture
def judge(toy_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """The result of a run whose evaluations are `losses`, the training losses between them the same."""

    def judged(start: float, losses: Sequence[float], training: Sequence[float] = (), **changes: Any) -> dict[str, Any]:
        run, data, store = load(toy_folder(widths=(8, 12), steps=(20,)))
        schedule = Schedule(warmup_steps=changes.pop("warmup_steps", 5))
        run = replace(run, steps=BETWEEN * len(losses), eval_every=BETWEEN, schedule=schedule, **changes)
        evaluations = iter([start, *losses, losses[-1]])  # the last is of all validation targets
        updates = iter(loss for loss in training or losses for _ in range(BETWEEN))
        last = [math.nan]

        def update(state: Any) -> loop.Update:
            last.append(next(updates))
            return loop.Update(last[-1], 1.0, 128)

        monkeypatch.setattr(
            loop, "evaluate", lambda *_, **__: {"loss": next(evaluations), "accuracy": 0.5, "targets": 512}
        )
        monkeypatch.setattr(loop, "make_update", update)
        monkeypatch.setattr(loop, "batch_loss", lambda *_: last[-1])
        return loop.train(run, data, store, loop.ExecutionConfig(device=torch.device("cpu"))).columns()

    return judged


@pytest.mark.parametrize(
    ("start", "losses"),
    [
        pytest.param(GUESSING + 1 / 6, [2.56, 2.55, 2.54, 2.53, 2.52, 2.51], id="slow, never below guessing"),
        pytest.param(GUESSING + 1 / 6, [2.2, 9.0, 9.0, 2.1, 2.0, 1.9], id="a spike, and recovery"),
        pytest.param(GUESSING + 1 / 6, [9.0, 2.1, 9.0, 2.1, 9.0, 2.0], id="spikes apart from each other"),
        pytest.param(GUESSING, [2.40, 2.39, 2.35, 2.3, 2.2, 2.0], id="muP: logits of zero at the start"),
        pytest.param(GUESSING + 1 / 6, [2.42, 2.401, 2.399, 2.402, 2.401, 2.40], id="uniform text: guessing is best"),
        pytest.param(GUESSING, [2.41, 2.42, 2.43, 2.42, 2.41, 2.41], id="uniform text, hovering above guessing"),
        pytest.param(GUESSING, [2.2, 2.0, 1.9, 1.88, 1.89, 1.9], id="healthy"),
    ],
)
def test_a_healthy_run_is_finished(judge: Judge, start: float, losses: list[float]) -> None:
    result = judge(start, losses)
    assert (result["status"], result["reason"]) == ("finished", "")


@pytest.mark.parametrize(
    ("start", "losses", "at", "why"),
    [
        (2.5, [2.2, 2.9, 3.5, 4.0, 4.0, 4.0], 40, "3.5 |4 .*above 2.5, that of its own start"),
        (2.5, [2.2, 2.1, 2.0, 1.9, 1.8, 3.5], 60, "above 2.5, that of its own start"),
        (GUESSING, [2.5, 2.5, 2.5, 2.5, 2.5, 2.5], 30, "that of (guessing|its own start)"),
        (1.5, [2.5, 2.5, 2.5, 2.5, 2.5, 2.5], 30, "that of guessing"),
        (2.5, [1.9, 1.8, 2.35, 2.36, 2.35, 2.35], 50, "that of counting single tokens, after 1.8 before"),
        (2.5, [1.9, 1.8, 1.75, 1.7, 1.65, 2.35], 60, "that of counting single tokens, after 1.65 before"),
        (2.5, [2.2, math.nan, 2.0, 2.0, 2.0, 2.0], 10, "not finite"),
        (2.5, [2.2, math.inf, 2.0, 2.0, 2.0, 2.0], 10, "not finite"),
    ],
)
def test_a_run_that_lost_what_it_knew_is_diverged(
    judge: Judge, start: float, losses: list[float], at: int, why: str
) -> None:
    result = judge(start, losses)
    assert result["status"] == "diverged" and result["diverged_at_step"] == at
    assert re.search(why, result["reason"]), result["reason"]


def test_an_evaluation_that_is_not_finite_ends_a_run_at_once_though_its_training_losses_are(judge: Judge) -> None:
    result = judge(2.5, [2.2, math.nan, 2.0], training=[2.2, 2.1, 2.0])
    assert result["status"] == "diverged" and result["diverged_at_step"] == 20
    assert "validation loss nan at step 20: not finite" in result["reason"]


def test_what_was_learned_by_heart_is_not_diverged(judge: Judge) -> None:
    assert judge(2.5, [2.2, 4.0, 5.0, 6.0, 7.0], training=[2.2, 1.0, 0.5, 0.2, 0.1])["status"] == "finished"


def test_the_warmup_is_not_judged(judge: Judge) -> None:
    losses = [9.0, 9.0, 9.0, 9.0, 2.2, 2.0]
    assert judge(2.5, losses, warmup_steps=40)["status"] == "finished"
    assert judge(2.5, losses, warmup_steps=5)["diverged_at_step"] == 30


def test_without_a_loss_of_guessing_a_run_is_held_against_its_own_start(judge: Judge) -> None:
    task = WithoutGuessing()
    assert task.worst_loss(None) is None
    assert judge(60.0, [20.0, 5.0, 3.0, 2.9], task=task)["status"] == "finished"
    assert judge(60.0, [59.0, 58.5, 58.0, 57.0], task=task)["status"] == "finished"
    assert judge(60.0, [20.0, 70.0, 80.0, 90.0], task=task)["diverged_at_step"] == 40


def test_a_resumed_run_knows_its_start_and_how_often_it_was_above(toy_folder: Folder) -> None:
    run, data, store = load(toy_folder(widths=(16, 24), steps=(40,), learning_rate=5.0))
    asked = iter(range(1000))
    with pytest.raises(loop.Interrupted):
        loop.train(
            run, data, store, loop.ExecutionConfig(device=torch.device("cpu"), should_stop=lambda: next(asked) >= 25)
        )
    result = loop.train(run, data, store, loop.ExecutionConfig(device=torch.device("cpu"))).columns()
    assert result["diverged_at_step"] == 30 and "that of its own start" in result["reason"]


def test_a_run_that_its_last_update_breaks_is_diverged_though_the_step_before_gave_a_low_training_loss(
    toy_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, data, store = load(toy_folder(widths=(16, 24), steps=(40,)))
    rate = loop.learning_rate
    monkeypatch.setattr(loop, "learning_rate", lambda run, step: 5.0 if step == 39 else rate(run, step))
    result = loop.train(run, data, store, loop.ExecutionConfig(device=torch.device("cpu"))).columns()
    assert result["status"] == "diverged" and result["diverged_at_step"] == 40


def test_the_loss_of_counting_is_that_of_the_unigram_baseline(toy_folder: Folder) -> None:
    _, data, _ = load(toy_folder(widths=(8, 12), steps=(20,)))
    (unigram,) = ngram_baselines(data, orders=(1,))
    assert divergence.counted_loss(data) == pytest.approx(unigram["loss"], rel=1e-3)
    assert divergence.counted_loss(object()) is None, "no runs of tokens"
