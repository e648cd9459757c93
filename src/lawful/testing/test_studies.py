"""What every registered study promises: it opens with its question, and each of its scales can be declared."""

from __future__ import annotations

import pytest

from lawful import studies
from lawful.run import from_json, to_json
from lawful.study import declare, scales_of, settings_of
from lawful.testing import loaded

each_study = pytest.mark.parametrize("name", loaded("studies"))


@each_study
def test_a_study_opens_with_its_question_and_declares_itself(name: str) -> None:
    module, own_file = studies.find(name)
    assert own_file is None
    assert (module.__doc__ or "").strip().splitlines()[0].endswith("?")
    study = declare(module)
    assert study.name == name and study.questions and "seeds" in settings_of(module)


@each_study
def test_each_scale_declares_runs_that_survive_json_with_their_ids(name: str) -> None:
    module, _ = studies.find(name)
    for scale in scales_of(module) or (None,):
        run = declare(module, scale).ladder[0].run
        assert from_json(to_json(run)).id == run.id
