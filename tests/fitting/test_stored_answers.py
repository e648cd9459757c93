"""fits/*.json: an answer is read as it was written, or refused by file and field; older ones are read, too."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lawful.errors import DeclarationError, StoreError
from lawful.fitting.absent_law import law_or_absent
from lawful.fitting.answer_records import ArmPair, Excluded, SisterLaw
from lawful.fitting.answers import Answer, read_answer, write_answer
from lawful.fitting.records import HeldOut, Parameter, Sensitivity, WithoutRun
from lawful.fitting.truth import Recovered
from lawful.laws.power_floor import PowerFloor
from lawful.schema import Observation, Question, Warning
from lawful.storage.codec import HASH, with_hash
from records import a_fit, comparison

LAW = PowerFloor("params")
VALUES = {"E": 1.5, "a_pivot": 0.5, "alpha": 0.3}
ROWS: list[Observation] = [{"run": f"r{n}", "params_non_embedding": n, "loss": 2.0} for n in (1_000, 10_000, 100_000)]
ANSWER = Answer(
    question=Question(name="size", asks="How?", law="power_floor", where={"arm": ("a", "b"), "seed": 0}),
    status="answered",
    sentence="Loss falls.",
    fit=replace(
        a_fit(LAW, VALUES, ROWS, draws=((1.4, 0.6, math.inf),)),
        params={name: Parameter(name, value, math.nan, (-math.inf, math.inf)) for name, value in VALUES.items()},
        sensitivity=Sensitivity(objective={"l2": VALUES}, outlier=(WithoutRun(run="nan", params=VALUES),)),
    ),
    held_out=(
        HeldOut(
            run="h",
            rung="width=8",
            params=1e6,
            tokens=None,
            seed=0,
            predicted=2.0,
            interval=(1.9, math.inf),
            observed=2.1,
            error_relative=-0.05,
            is_inside=True,
        ),
    ),
    excluded=(Excluded(run="inf", rung="nan", reason="failed: no memory"),),
    warnings=(Warning("ridge", "severe", "The parameters lie on a ridge."),),
    also=(SisterLaw(law="power:params", fixed={"E": 0.0}, formula="a x^-alpha", refusal="nan"),),
    comparison=comparison("the floor differs", alpha=(0.1, (-0.1, 0.3)), times=(math.nan, (math.nan, math.nan))),
    crossings=(ArmPair(arms=("a", "b"), refusal="no law of b"),),
    truth=(Recovered("alpha", 0.3, 0.31, (0.2, math.inf), True), Recovered("verdict", "inf", None, None, False)),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_answer(tmp_path / "size.json", ANSWER)
    return tmp_path / "size.json"


def rewritten(path: Path, content: dict[str, Any]) -> None:
    """As someone would who knows about the hash."""
    content.pop(HASH, None)
    path.write_text(json.dumps(with_hash(content)), encoding="utf-8")


def test_an_answer_is_read_as_it_was_written_also_where_numbers_are_infinite_and_names_look_so(path: Path) -> None:
    found = read_answer(path)
    assert found.fit is not None and ANSWER.fit is not None
    assert math.isnan(found.fit.params["E"].stderr) and found.fit.draws == ANSWER.fit.draws
    assert (found.excluded, found.also, found.truth) == (ANSWER.excluded, ANSWER.also, ANSWER.truth)
    assert json.dumps(found.to_json()) == json.dumps(ANSWER.to_json())


def test_a_digit_that_changed_is_found_by_the_hash(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace("2.1", "2.2"), encoding="utf-8")
    with pytest.raises(StoreError, match=r"size\.json: expected the content as it was written"):
        read_answer(path)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("fit", "params", "E", "value"), "1.5", r"fit\.params.*value: expected a number, got a text"),
        (("fit", "draws", 0, 1), "many", r"fit\.draws\[0\]\[1\]: expected a number, got a text"),
        (("held_out", 0, "observed"), "nan", r"held_out\[0\]\.observed: expected a number, got a text"),
        (("held_out", 0, "interval"), [1.9], r"held_out\[0\]\.interval: expected a list of length 2"),
        (("warnings", 0, "severity"), "bad", r"warnings\[0\]\.severity: invalid enum value 'bad'"),
        (("status",), "unsure", r"status: invalid enum value 'unsure'"),
        (("excluded", 0, "cause"), "x", r"excluded\[0\] has the field 'cause'; expected"),
        (("fit", "draws", 0), [1.4], r"fit\.draws: expected 3 parameters in each, got 1"),
        (("fit", "law"), 5, r"fit\.law: expected a law's class and fields, got 5"),
        (("fit", "data", "n"), 1e300, r"fit\.data\.n: expected a whole number"),
        (("format",), 9, r"expected an answer of format 2, got 9"),
    ],
)
def test_a_damaged_answer_is_refused_by_file_and_field(
    path: Path, place: tuple[str | int, ...], value: Any, said: str
) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    at = content
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    rewritten(path, content)
    with pytest.raises(StoreError, match=rf"size\.json: {said}"):
        read_answer(path)


def everywhere(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from everywhere(item, (*place, key))


def test_no_odd_value_at_any_place_gives_another_error_than_ours(path: Path) -> None:
    whole = path.read_text(encoding="utf-8")
    refused, dice = 0, random.Random(0)
    for place in list(everywhere(json.loads(whole)))[1:]:
        content = json.loads(whole)
        at = content
        for key in place[:-1]:
            at = at[key]
        at[place[-1]] = dice.choice([None, True, -1, 10**400, "", "nan", [], {}, [[]], {"a": {}}])
        rewritten(path, content)
        try:
            read_answer(path, law_or_absent)
        except (StoreError, DeclarationError) as error:
            assert str(error).startswith(f"{path}: ") and len(str(error)) < 600
            refused += 1
    assert refused > 150


def test_an_answer_of_before_there_was_a_format_is_read(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["format"], content[HASH], content["code"]
    content["crossings"] = [{"arms": ["a", "b"], "refusal": "no law of b"}]
    content["fit"]["format"] = 2
    content["fit"]["sensitivity"]["outlier"] = {"rows": [{"run": "nan", **VALUES}]}
    for warning in content["warnings"]:
        del warning["about"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert json.dumps(read_answer(path).to_json()) == json.dumps(ANSWER.to_json())


def test_an_answer_whose_law_is_not_at_hand_is_refused_to_who_computes_and_shown_to_who_reads(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    content["fit"]["law"] = {"class": "mine.py:Mine", "fields": {"shift": 2.0}}
    rewritten(path, content)
    with pytest.raises(DeclarationError, match=r"size\.json: .*mine\.py:Mine"):
        read_answer(path)
    shown = read_answer(path, law_or_absent).fit
    assert shown is not None and shown.law == "mine.py:Mine(shift=2.0)" and shown.values == VALUES
    with pytest.raises(DeclarationError, match="mine.py:Mine"):
        shown.predict(params=1e6)
