"""What a user declares of a study of music is of its type and in its range, or refused by name."""

from __future__ import annotations

import pytest

from lawful import studies
from lawful.domains.music.corpora.music import NOTICES
from lawful.errors import DeclarationError
from lawful.linter import declared
from lawful.schema import CorpusRecord
from lawful.study import declare


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("tokens", "0"),
        ("batch_tokens", "0"),
        ("validation_share", "1"),
        ("learned", "-1"),
        ("vocabulary", "0"),
        ("layout", "dense"),
    ],
)
def test_a_setting_out_of_its_range_is_refused_by_name(setting: str, text: str) -> None:
    with pytest.raises(DeclarationError, match=f"^--set {setting}: expected"):
        declare(studies.find("music")[0], None, {setting: text})


def test_ids_of_runs_are_those_of_before_the_move() -> None:
    """As of 2026-11-27, when the corpus stood in lawful/corpora: folders hold such ids."""
    runs = {rung.run.id for rung in declare(studies.find("music")[0], "smoke").ladder}
    assert {"49ae707a08d2", "f25b213b70c5"} <= runs


def test_the_linter_says_the_notices_of_the_corpus() -> None:
    said = [
        warning.sentence
        for warning in declared([], {"music": CorpusRecord(fingerprint="", vocabulary=1, notices=tuple(NOTICES))}, None)
    ]
    assert len(NOTICES) > 0 and len(said) >= len(NOTICES)
