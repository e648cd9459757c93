"""Whatever a file holds, its reader gives a value or one clear error that names it: never a library's traceback."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lawful.errors import LawfulError
from lawful.storage.codec import with_hash

from .readers import READERS, judge

MANY = os.environ.get("LAWFUL_FUZZ_EXAMPLES")
QUICK = settings(
    max_examples=int(MANY or 25),
    deadline=None,
    derandomize=not MANY,  # the same cases for everyone; `make fuzz` looks for new ones
    suppress_health_check=list(HealthCheck),
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.filterwarnings("default")  # libraries may warn about what they are given
@pytest.mark.parametrize("name", READERS)
def test_an_honest_file_is_read(name: str, tmp_path: Path) -> None:
    for example in READERS[name].examples():
        assert judge(READERS[name], example, tmp_path) is not None


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", READERS)
@QUICK
@given(data=st.data())
def test_damaged_bytes_are_refused_by_name_or_read(name: str, place: Path, data: st.DataObject) -> None:
    example = bytearray(data.draw(st.sampled_from(READERS[name].examples()), label="honest"))
    for _ in range(data.draw(st.integers(1, 4), label="edits")):
        where = data.draw(st.integers(0, len(example)), label="where")
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "drop", "repeat"]), label="kind")
        if kind == "flip" and where < len(example):
            example[where] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del example[where:]
        elif kind == "insert":
            example[where:where] = data.draw(st.binary(max_size=12))
        elif kind == "drop":
            del example[where : where + data.draw(st.integers(1, 64))]
        else:
            example[where:where] = example[: data.draw(st.integers(1, 64))]
    judge(READERS[name], bytes(example), place / name)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ["study", "run", "fit", "tokens", "jsonl", "checkpoint-manifest"])
@QUICK
@given(data=st.data())
def test_a_value_of_another_kind_anywhere_in_json_is_refused_by_name_or_read(
    name: str, place: Path, data: st.DataObject
) -> None:
    example = data.draw(st.sampled_from(READERS[name].examples()))
    value = json.loads(example.split(b"\n")[0] if name == "jsonl" else example)
    holder, key = data.draw(st.sampled_from(list(_places(value))), label="where")
    if data.draw(st.booleans(), label="remove") and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = data.draw(JSON_VALUES, label="what")
    judge(READERS[name], json.dumps(value).encode(), place / f"{name}-json")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from _places(item)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 5000,
        b"NaN",
        b'"\\ud800"',
        b"\xef\xbb\xbf{}",
    ],
    ids=["empty", "nul", "no-utf8", "deep-list", "deep-object", "many-digits", "nan", "half-a-letter", "marked"],
)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", READERS)
def test_the_usual_suspects_are_refused_by_name_or_read(name: str, content: bytes, tmp_path: Path) -> None:
    judge(READERS[name], content, tmp_path)


def test_an_archive_whose_member_has_no_name_is_refused_by_name(tmp_path: Path) -> None:
    """Found by the fuzzer: zipfile asks for the last letter of a name that has none."""
    entry = b"PK\x01\x02" + bytes(42)  # of the directory at the archive's end; its fields are all zero
    nameless = entry + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), 0, 0)
    (piece,) = judge(READERS["zip"], nameless, tmp_path)  # type: ignore[misc]
    assert "cannot be read" in piece.problem


@pytest.mark.parametrize("name", ["../outside", "a/b", ".hidden", "..\\outside"])
@pytest.mark.parametrize(("part", "key"), [("rungs", "id"), ("questions", "name")])
def test_a_study_from_elsewhere_cannot_name_files_outside_its_folder(
    tmp_path: Path, name: str, part: str, key: str
) -> None:
    from lawful.storage.layout import Store

    declared = json.loads(READERS["study"].examples()[1 if part == "rungs" else 0])
    declared[part][0][key] = name
    declared.pop("sha256", None)
    (tmp_path / "study.json").write_text(json.dumps(with_hash(declared) if part == "questions" else declared))
    with pytest.raises(LawfulError, match=r"study\.json.*expected (an id|names) that"):
        Store(tmp_path).read_study()
