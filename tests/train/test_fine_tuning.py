"""A run that starts from another's final weights: exactly these, only once that run is over, and in no law."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from in_process import Here
from lawful.conduct import groups, train_study
from lawful.errors import LawfulError
from lawful.fitting.answer import answer_study
from lawful.observe import observations, write_observations
from lawful.planning.plan import make_plan
from lawful.run import Run, Schedule, from_json, to_json
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.study import Rung, Study, import_file
from lawful.train import loop, worker

TOY = Path(__file__).parents[1] / "toy_study.py"


def tuned(parent: Run, learning_rate: float, steps: int = 12) -> Run:
    return replace(
        parent,
        optimizer=replace(parent.optimizer, learning_rate=learning_rate),
        schedule=Schedule(shape="wsd", warmup_steps=0),
        steps=steps,
        data_seed=9,
        starts_from=parent,
    )


def declared(*rates: float, **settings: object) -> Study:
    """The toy ladder, and its first run continued at each of these learning rates."""
    study: Study = import_file(TOY).study(**{"widths": (8, 16, 24), "steps": (10, 20), **settings})
    parent = next(rung for rung in study.ladder if rung.at["width"] == 8 and rung.at["steps"] == 10)
    more = [Rung(at={"width": 8, "tuned": rate, "seed": 0}, run=tuned(parent.run, rate)) for rate in rates]
    return dataclasses.replace(study, ladder=[*study.ladder, *more])


def planned(study: Study, folder: Path) -> Store:
    make_plan(study, device_name="cpu", study_file=TOY, is_timed=False).write(folder)
    return Store(folder)


def train_here(store: Store, run_id: str, *options: str) -> str:
    given = worker.parse([str(store.folder), "-", "--device", "cpu", *options])
    return worker.train_runs(store, [run_id], given, threading.Event())[0]


def ids(store: Store) -> tuple[str, list[str]]:
    """Of the run that is started from, and of those that do."""
    found = [rung for rung in store.read_study().runs if rung.starts_from]
    return found[0].starts_from, [rung.run for rung in found]


def test_it_begins_with_exactly_the_final_weights_of_the_other(tmp_path: Path) -> None:
    store = planned(declared(0.0, 0.01), tmp_path)
    parent, (still, moved) = ids(store)
    for run_id in (parent, still, moved):
        assert train_here(store, run_id) == "finished"
    first, unmoved, changed = (load_file(store.weights(run_id)) for run_id in (parent, still, moved))
    assert first.keys() == unmoved.keys()
    assert all(torch.equal(first[name], unmoved[name]) for name in first)  # at a rate of 0 nothing moves
    assert not all(torch.equal(first[name], changed[name]) for name in first)
    loss = {row["run"]: row["loss"] for row in observations(tmp_path)}
    assert loss[still] == loss[parent] > loss[moved]


def test_it_waits_for_the_other_and_says_so_where_it_is_made_to_begin(tmp_path: Path) -> None:
    store = planned(declared(0.01), tmp_path)
    parent, (child,) = ids(store)
    assert groups(store, store.read_study()).continued == []
    assert train_here(store, child) == "failed"
    assert f"{parent}; expected that run to be finished, got no result yet" in read_json(store.result(child))["reason"]
    train_here(store, parent)
    assert groups(store, store.read_study()).continued == [[child]]  # what failed is tried again
    store.weights(parent).write_bytes(b"other weights")
    assert train_here(store, child) == "failed"
    assert "expected SHA-256" in read_json(store.result(child))["reason"]


def test_interrupted_it_ends_in_the_same_bits(tmp_path: Path) -> None:
    weights = []
    for name in ("calm", "stopped"):
        store = planned(declared(0.01), tmp_path / name)
        parent, (child,) = ids(store)
        train_here(store, parent)
        if name == "stopped":
            run = from_json(read_json(store.run(child)), also_from="study_file")
            asked = iter([False] * 5 + [True])
            place = loop.ExecutionConfig(device=torch.device("cpu"), should_stop=lambda asked=asked: next(asked))
            with pytest.raises(loop.Interrupted, match="stopped at step 5"):
                loop.train(run, run.corpus.open(run.data_fingerprint), store, place)
        train_here(store, child)
        weights.append(store.weights(child).read_bytes())
    assert weights[0] == weights[1]


def test_it_comes_last_and_is_in_no_law_and_no_forecast(tmp_path: Path) -> None:
    store = planned(declared(0.01, steps=(10,)), tmp_path)
    parent, (child,) = ids(store)
    train_study(tmp_path, Here())
    assert read_json(store.result(child))["status"] == "finished"
    began = {run: store.metrics(run).stat().st_mtime for run in (parent, child)}
    held_out = [rung.run for rung in store.read_study().runs if rung.held_out]
    assert began[child] >= max(store.result(run).stat().st_mtime for run in held_out)
    assert child not in held_out
    write_observations(tmp_path)
    (answer,) = answer_study(tmp_path)
    (left,) = (item for item in answer.excluded if item.run == child)
    assert left.reason == "begins with another run's weights (fine-tuning)"


def test_the_other_runs_identity_is_part_of_its_own() -> None:
    first, second = (declared(0.01, learning_rate=rate).ladder[-1].run for rate in (0.01, 0.02))
    assert first.starts_from is not None and second.starts_from is not None
    same = replace(second, optimizer=first.optimizer, starts_from=replace(second.starts_from))
    assert replace(same, starts_from=first.starts_from).id == first.id != same.id
    assert replace(first, steps=20).trunk_id == first.trunk_id != replace(first, starts_from=None).trunk_id
    again = from_json(to_json(first), also_from="study_file")
    assert again.id == first.id and again.starts_from.id == first.starts_from.id


def test_what_cannot_be_started_from_is_refused_before_training() -> None:
    study = declared(0.01)
    *ladder, child = study.ladder
    stranger = replace(child.run, starts_from=replace(child.run.starts_from, init_seed=77))
    with pytest.raises(LawfulError, match="starts from a run that is not in this ladder"):
        dataclasses.replace(study, ladder=[*ladder, replace(child, run=stranger)])
    wider = next(rung.run for rung in ladder if rung.at["width"] == 16)
    with pytest.raises(LawfulError, match="must start from a run of the same family"):
        dataclasses.replace(study, ladder=[*ladder, replace(child, run=replace(child.run, starts_from=wider))])
    grandchild = Rung(at={"width": 8, "tuned": 2, "seed": 0}, run=tuned(child.run, 0.01))
    with pytest.raises(LawfulError, match="that started from nothing itself"):
        dataclasses.replace(study, ladder=[*study.ladder, grandchild])


def test_one_that_begins_above_guessing_and_comes_down_is_not_diverged(tmp_path: Path) -> None:
    """A model that is sure of one text knows another worse than guessing; slowly tuned to it, it is healthy."""
    study = declared()
    first = next(rung for rung in study.ladder if rung.at["width"] == 24 and rung.at["steps"] == 20)
    parent = replace(first.run, steps=300)
    corpus = replace(parent.corpus, seed=7, tokenizer=replace(parent.corpus.tokenizer, alphabet="jihgfedcba "))
    other = replace(tuned(parent, 1e-4, steps=30), corpus=corpus, eval_every=5)
    ladder = [*study.ladder, Rung(at={"width": 24, "long": 1}, run=parent), Rung(at={"tuned": 1}, run=other)]
    store = planned(dataclasses.replace(study, ladder=ladder), tmp_path)
    parent_id, (run_id,) = ids(store)
    train_here(store, parent_id)
    assert train_here(store, run_id) == "finished"
    assert read_json(store.result(run_id))["loss"] > 2.4, "it ends above guessing, below its start"
