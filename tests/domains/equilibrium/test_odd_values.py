"""What a user declares of equilibrium propagation is of its type and in its range, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from lawful import studies
from lawful.corpora.python_docs import PythonDocs
from lawful.domains.equilibrium.families.equilibrium import Equilibrium
from lawful.domains.equilibrium.rules.eqprop import EqProp
from lawful.errors import DeclarationError
from lawful.families.decoder import Decoder
from lawful.run import AdamW, Run, Schedule
from lawful.study import declare
from lawful.tasks.next_token import NextToken


@pytest.mark.parametrize(("setting", "text"), [("steps", "0"), ("characters", "0"), ("form", "half")])
def test_a_setting_out_of_its_range_is_refused_by_name(setting: str, text: str) -> None:
    with pytest.raises(DeclarationError, match=f"^--set {setting}: expected"):
        declare(studies.find("equilibrium")[0], None, {setting: text})


def test_an_odd_field_is_refused_where_it_is_written() -> None:
    odd: dict[str, Any] = {"variant": "full", "vocab_size": 97, "width": 8, "context": 8, "heads": 0}
    with pytest.raises(DeclarationError, match="Equilibrium: heads"):
        Equilibrium(**odd)
    with pytest.raises(DeclarationError, match="EqProp: beta: expected a number above 0"):
        EqProp(beta=-1.0)


def test_a_model_that_does_not_settle_is_refused() -> None:
    with pytest.raises(DeclarationError, match="rule: EqProp needs a model that settles, such as Equilibrium; got Dec"):
        Run(
            family=Decoder(vocab_size=97, width=8, depth=1, heads=1, context=16),
            corpus=PythonDocs(),
            task=NextToken(),
            rule=EqProp(beta=0.1),
            optimizer=AdamW(learning_rate=1e-3),
            schedule=Schedule(warmup_steps=2),
            steps=20,
            batch_size=4,
            context=16,
        )


def test_ids_of_runs_stay() -> None:
    """As of 2026-11-28, when the rule began to settle to a tolerance: folders hold such ids."""
    module, _ = studies.find("equilibrium")
    runs = [rung.run for rung in declare(module, "smoke").ladder]
    assert (runs[0].id, runs[-1].id) == ("68c080ee73a5", "46098e1be228")
