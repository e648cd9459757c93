"""Whole files or none, and errors that name the place."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from lawful import store
from lawful.store import Store


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    store.write_json(path, {"a": 1})

    def fail(file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        store.write_whole(path, fail)
    assert store.read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_file_is_synced_before_it_is_renamed_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("rename"), replace(a, b))[1])
    store.write_text(tmp_path / "a.txt", "whole")
    assert events == ["fsync", "rename", "fsync"]


def test_a_torn_last_line_of_a_record_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert [line["step"] for line in store.read_jsonl(path)] == [1, 2]
    assert list(store.read_jsonl(tmp_path / "absent.jsonl")) == []


def test_numbers_that_json_lacks_are_kept_as_words() -> None:
    assert store.plain({"a": math.nan, "b": (math.inf, np.float32(1.5)), "c": np.arange(2)}) == {
        "a": "nan",
        "b": ["inf", 1.5],
        "c": [0, 1],
    }
    with pytest.raises(TypeError, match="plain data"):
        store.plain(object())


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff"])
def test_a_file_that_is_no_json_object_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "study.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match="study.json: expected"):
        store.read_json(path)


def test_a_folder_that_is_no_studys_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lawful run STUDY --out"):
        Store(tmp_path).read_study()
    with pytest.raises(ValueError, match="no such folder"):
        Store(tmp_path / "absent").read_study()
    store.write_json(tmp_path / "study.json", {"format": 99})
    with pytest.raises(ValueError, match="another version"):
        Store(tmp_path).read_study()


def test_a_claim_excludes_others_and_ends_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "run" / "claim"
    assert not store.is_claimed(path)
    with store.claimed(path) as mine:
        assert mine and store.is_claimed(path)
        with store.claimed(path) as second:
            assert not second
    assert not store.is_claimed(path)
