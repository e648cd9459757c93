"""Records of a study's folder: what is read is what was written, or refused by file and field."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lawful.conduct import train_study
from lawful.errors import StoreError
from lawful.executors.local import Local
from lawful.schema import (
    CorpusRecord,
    LawData,
    PlannedRun,
    Question,
    Reported,
    RunRecord,
    StudyFile,
    StudyPlan,
    Versions,
    Warning,
)
from lawful.storage.codec import HASH, read_result, read_study, to_plain, with_hash, write_result, write_study
from lawful.storage.json_files import plain
from records import write_plan

GALLERY = Path(__file__).parents[1] / "docs" / "gallery"
RUN = PlannedRun(
    run="0123456789ab",
    rung="width=8,seed=0",
    at={"width": 8, "seed": 0, "rate": 0.5, "mlp": "gelu"},
    held_out=False,
    cluster="ba9876543210",
    params_by_group={"blocks": 700, "embedding": 80},
    arm="gelu",
    seed=0,
    params_total=780,
    params_embedding=80,
    params_non_embedding=700,
    tokens=4096,
    flops=10**25,  # beyond 64 bits
    flops_6nd=6 * 700 * 4096,
    steps=16,
    batch_tokens=256,
    context=32,
    learning_rate=0.01,
    weight_decay=0.1,
    schedule="wsd",
    precision="fp32",
    family="Decoder",
    corpus="toy",
)
PLAN = StudyPlan(
    name="toy",
    question="How does the loss fall?",
    scale="quick",
    settings={"seeds": "1"},
    held_out={"width": 48},
    arm="mlp",
    faults=("It is small.",),
    reported=(Reported(at={"width": 8}, figures={"loss": 2.5}),),
    axes={"width": (8, 12), "mlp": ("gelu",)},
    runs=(RUN, replace(RUN, run="ffffffffffff", rung="width=48,seed=0", held_out=True, seconds_estimate=1.5)),
    questions=(
        Question(name="size", asks="How?", law="power", where={"mlp": ("gelu", "swiglu"), "seed": 0}, fixed={"E": 0.5}),
        Question(name="own", asks="How?", law=LawData(formula="E + A * N^-alpha", bounds={"alpha": (0.0, 2.0)})),
    ),
    corpora={"toy": CorpusRecord(fingerprint="ab", vocabulary=10, value={"is": "x:Y"}, details={"hours": 0.5})},
    warnings=(Warning("few-sizes", "warning", "2 fitted sizes."),),
    versions=Versions(lawful="0.1"),
    study_file=StudyFile(path="toy.py", sha256="0" * 64),
    created="2026-11-28T00:00:00+00:00",
)
RESULT = RunRecord(status="finished", measured={"loss": 2.25, "tokens_per_second": 1e5, "masks_padding": True})


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_study(tmp_path / "study.json", PLAN)
    return tmp_path / "study.json"


def test_a_plan_is_read_as_it_was_written(study: Path) -> None:
    assert read_study(study) == PLAN


def test_a_result_is_read_as_it_was_written_and_a_loss_that_is_no_number_is_none(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_result(path, RESULT)
    assert read_result(path) == RESULT
    write_result(path, replace(RESULT, measured={"loss": float("nan")}))
    assert read_result(path).measured == {"loss": None}
    assert json.loads(path.read_text())["loss"] == "nan"


def everywhere(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The place of each value in JSON."""
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from everywhere(item, (*place, key))


def put(content: Any, place: tuple[str | int, ...], value: Any) -> None:
    for key in place[:-1]:
        content = content[key]
    content[place[-1]] = value


ODD = [None, True, -1, 0, 1.5, 10**400, 1e308, "", "3_14", "\x1b[2J", [], {}, [[]], {"a": {}}]


@pytest.mark.parametrize("write", [write_study, write_result])
def test_no_odd_value_at_any_place_gives_another_error_than_ours_or_a_value_of_another_type(
    tmp_path: Path, write: Callable[[Path, Any], None]
) -> None:
    path = tmp_path / "record.json"
    record, read = (PLAN, read_study) if write is write_study else (RESULT, read_result)
    write(path, record)
    whole = path.read_text()
    refused, dice = 0, random.Random(0)
    for place in list(everywhere(json.loads(whole)))[1:]:
        for odd in dice.sample(ODD, 3):
            content = json.loads(whole)
            put(content, place, odd)
            content.pop(HASH, None)
            path.write_text(json.dumps(with_hash(content)))  # as someone would who knows about the hash
            try:
                found = read(path)
            except StoreError as error:
                assert str(error).startswith(f"{path}: ") and len(str(error)) < 600
                refused += 1
            else:
                again = to_plain(found) if write is write_study else {"format": 2, **plain(found.columns())}
                path.write_text(json.dumps(with_hash(again)))  # what is taken can be written and read again
                assert read(path) == found
    assert refused > 100 if write is write_study else refused > 5


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("runs", 1, "steps"), "16", r"runs\[1\].steps: expected a whole number, got a text"),
        (("runs", 1, "steps"), 0, r"runs\[1\].steps: expected a number of at least 1, got 0"),
        (("runs", 0, "stepz"), 16, r"runs\[0\] has the field 'stepz'; expected .*steps"),
        (
            ("runs", 0, "run"),
            "../../etc",
            r"run: expected an id that can be the name of a file.*runs\[0\]|runs\[0\]: run",
        ),
        (("corpora", "toy", "vocabulary"), 1e308, "expected a whole number, got a number"),
        (("runs", 0, "learning_rate"), 1e308, r"runs\[0\].learning_rate: expected a number below"),
        (("questions", 0, "along"), 7, r"questions\[0\].along: expected a text or nothing, got a whole number"),
        (("study_file", "sha256"), "abc", "study_file: sha256: expected 64 hexadecimal digits"),
        (("runs",), {}, "runs: expected a list, got an object"),
    ],
)
def test_an_error_names_the_field_what_was_expected_and_what_came(
    study: Path, place: tuple[str | int, ...], value: Any, said: str
) -> None:
    content = to_plain(PLAN)
    put(content, place, value)
    study.write_text(json.dumps(with_hash(content)))
    with pytest.raises(StoreError, match=said):
        read_study(study)


def test_a_missing_field_is_named(study: Path) -> None:
    content = to_plain(PLAN)
    del content["runs"][1]["tokens"]
    study.write_text(json.dumps(with_hash(content)))
    with pytest.raises(StoreError, match=r"runs\[1\]: expected the field tokens, got none"):
        read_study(study)


@pytest.mark.parametrize("name", ["study.json", "result.json"])
def test_no_flipped_bit_changes_what_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    read: Callable[[Path], Any] = read_study if name == "study.json" else read_result
    write_study(path, PLAN) if name == "study.json" else write_result(path, RESULT)
    whole, record = path.read_bytes(), read(path)
    dice = random.Random(0)
    flips = dice.sample(range(8 * len(whole)), 400)
    refused = 0
    for bit in flips:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            assert read(path) == record  # white space, for one, may become other white space
        except StoreError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 200


OF_FORMAT_1 = [path for path in sorted(GALLERY.glob("*/study.json")) if json.loads(path.read_text())["format"] == 1]


@pytest.mark.parametrize("folder", OF_FORMAT_1, ids=lambda path: path.parent.name)
def test_a_plan_of_format_1_is_read_with_every_run_and_number(folder: Path) -> None:
    raw = json.loads(folder.read_text())
    found = read_study(folder)
    assert found.name == raw["name"] and found.arm == raw["arm"] and found.created == raw["created"]
    names = {"id": "run", "label": "rung", "is_held_out": "held_out"}
    for old, new in zip(raw["rungs"], found.runs, strict=True):
        for name, value in old.items():
            assert getattr(new, names.get(name, name)) == value, name
    for name, facts in raw["corpora"].items():
        record = found.corpora[name]
        assert {**to_plain(record), **record.details}.items() >= facts.items()
    assert [one.code for one in found.warnings] == [one["code"] for one in raw["warnings"]]


def test_a_plan_of_format_1_that_is_written_again_keeps_its_runs(tmp_path: Path) -> None:
    found = read_study(OF_FORMAT_1[0])
    write_study(tmp_path / "study.json", found)
    assert found.runs and read_study(tmp_path / "study.json") == found


@pytest.mark.parametrize("written", [None, True, 1.0, "1", 3, 10**400, []])
def test_another_format_is_refused_and_says_what_can_still_be_done(tmp_path: Path, written: object) -> None:
    (tmp_path / "study.json").write_text(json.dumps({**to_plain(PLAN), "format": written}))
    with pytest.raises(StoreError, match="expected (format 2|JSON)"):
        read_study(tmp_path / "study.json")


def test_what_is_reserved_for_later_versions_is_read_and_refused_by_name_where_it_would_be_used(tmp_path: Path) -> None:
    write_plan(tmp_path, replace(RUN, kind="command", command=("python", "train.py")))
    with pytest.raises(StoreError, match="no such file, so the command cannot be run"):
        train_study(tmp_path, Local())


def test_a_study_edited_by_hand_is_refused_with_what_to_do(study: Path) -> None:
    study.write_text(study.read_text().replace('"scale": "quick"', '"scale": "full"'))
    with pytest.raises(StoreError, match="got a changed one .*damaged or edited; take the file from a copy"):
        read_study(study)
