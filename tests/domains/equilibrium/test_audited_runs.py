"""A rule's audit goes with its run: measured while it trains, in the table; a run above the limit is set aside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lawful.domains.equilibrium.families.equilibrium import Equilibrium
from lawful.domains.equilibrium.rules.eqprop import EqProp
from lawful.run import Run
from lawful.storage.json_files import read_jsonl
from lawful.storage.layout import Store
from lawful.study import import_file
from lawful.train import loop
from settled import lasting

TOY = Path(__file__).parents[2] / "toy_study.py"


def a_run(rule: EqProp, **others: Any) -> Run:
    toy = import_file(TOY)
    family = Equilibrium(variant="looped_mlp", vocab_size=toy.CORPUS.vocab_size, width=8, context=16, window=2)
    decoder = toy.study(widths=(8, 16), steps=(40,)).ladder[0].run
    return replace(decoder, family=family, rule=rule, eval_every=10, **others)


def trained(run: Run, folder: Path, **config: Any) -> tuple[dict[str, Any], Store]:
    store, where = Store(folder), torch.device("cpu")
    record = loop.train(run, run.corpus.prepare(), store, loop.ExecutionConfig(device=where, **config))
    return dict(record.columns()), store


def test_the_audit_is_measured_during_training_and_its_largest_value_is_a_column(tmp_path: Path) -> None:
    run = a_run(EqProp(beta=0.02))
    row, store = trained(run, tmp_path)
    errors = [line["gradient_error"] for line in read_jsonl(store.metrics(run.id)) if "gradient_error" in line]
    assert row["status"] == "finished" and len(errors) == 3  # and one of the final weights, which has no line
    assert 0 < max(errors) <= row["gradient_error"] < 0.05
    assert row["unsettled_share"] == 0


def test_flops_are_those_that_were_measured(tmp_path: Path) -> None:
    """The looser the tolerance, the fewer the steps; the plan cannot know how many."""
    tight, _ = trained(a_run(EqProp(beta=0.02)), tmp_path / "tight")
    loose, _ = trained(a_run(EqProp(beta=0.02, tolerance=1e-4)), tmp_path / "loose")
    assert loose["flops"] < tight["flops"] == tight["flops_spent"]


def test_a_run_whose_gradient_is_off_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    row, _ = trained(a_run(EqProp(beta=0.02, tolerance=0.2)), tmp_path)
    assert row["status"] == "diverged" and row["gradient_error"] > 0.05
    assert "off by up to" in row["reason"] and "not trained by equilibrium propagation" in row["reason"]
    assert row["loss"] > 0  # what it reached is still told


def test_a_resumed_run_remembers_its_audits_and_its_work(tmp_path: Path) -> None:
    run = a_run(EqProp(beta=0.02))
    whole, _ = trained(run, tmp_path / "whole")
    countdown = iter(range(1_000_000))
    with pytest.raises(loop.Interrupted):
        trained(run, tmp_path / "cut", should_stop=lambda: next(countdown) >= 27)
    resumed, _ = trained(run, tmp_path / "cut")
    assert lasting(resumed) == lasting(whole)
