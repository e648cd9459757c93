"""tiny_stories in the layouts of its public copies: JSON shards, JSON lines, the archive, token files."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lawful.corpora.tiny_stories import TinyStories
from lawful.errors import LawfulError
from lawful.storage import json_stream
from lawful.storage.json_stream import values_of
from lawful.studies.activation import study
from lawful.tokenizers.bytes import Bytes

STORIES = [f'Tim saw {n} "big" dogs.\n\nÜber, he said.' for n in range(20)]


def shard(first: int, last: int, key: str = "story") -> str:
    """As TinyStories_all_data has them."""
    return json.dumps(
        [{key: text, "summary": "a tale", "instruction": {"words": ["dog"]}} for text in STORIES[first:last]]
    )


def lines(first: int, last: int) -> str:
    return "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in STORIES[first:last])


def archive(path: Path, members: dict[str, str], mode: str = "w:gz") -> None:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, text in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))


def llama2_c(folder: Path) -> None:
    (folder / "TinyStories_all_data").mkdir()
    for number in range(4):
        text = shard(5 * number, 5 * number + 5)
        (folder / "TinyStories_all_data" / f"data0{number}.json").write_text(text)


def hub_lines(folder: Path) -> None:
    (folder / "train.jsonl").write_text(lines(5, 20), encoding="utf-8")
    (folder / "validation.jsonl").write_text(lines(0, 5), encoding="utf-8")
    (folder / "dataset_infos.json").write_text('{"default": {}}')


def karpathy(folder: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra lawful[table]")
    import pyarrow
    import pyarrow.parquet

    (folder / "data").mkdir()
    for name, part in (("train-00000-of-00001", STORIES[5:]), ("validation-00000-of-00001", STORIES[:5])):
        pyarrow.parquet.write_table(pyarrow.table({"text": part}), folder / "data" / f"{name}.parquet")


@pytest.mark.parametrize("layout", [llama2_c, hub_lines, karpathy])
def test_each_public_layout_gives_the_same_splits(
    layout: Callable[[Path], None], tmp_path: Path, empty_cache: Path
) -> None:
    layout(tmp_path)
    data = TinyStories(tokenizer=Bytes()).prepare(tmp_path)
    assert stories_of(data.train) == STORIES[5:]
    assert stories_of(data.validation) == STORIES[:5]


def test_the_archive_is_read_without_unpacking_it(tmp_path: Path, empty_cache: Path) -> None:
    path = tmp_path / "TinyStories_all_data.tar.gz"
    archive(
        path, {"./data00.json": shard(0, 10), "./._data01.json": "\0", "README": "no", "./data01.json": shard(10, 20)}
    )
    for data in (path, tmp_path):
        prepared = TinyStories(tokenizer=Bytes(), train_share=0.5).prepare(data)
        parts = stories_of(prepared.train), stories_of(prepared.validation)
        assert sum(parts, []) == STORIES and 9 <= len(parts[0]) <= 11
    assert {found.name for found in tmp_path.iterdir()} <= {path.name, empty_cache.name}


def test_token_files_are_refused_with_what_to_give_instead(tmp_path: Path) -> None:
    (tmp_path / "train.bin").write_bytes(b"\1\0" * 100)
    for data in (tmp_path, tmp_path / "train.bin"):
        with pytest.raises(LawfulError, match=r"token numbers \(\.bin\).*TinyStories_all_data, its \.tar\.gz"):
            TinyStories(tokenizer=Bytes()).prepare(data)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (shard(0, 5)[:-1], "a JSON list with its end, got 5 values and no end"),
        (shard(0, 5)[:-9], "expected JSON, got .* after 4 values"),
        (shard(0, 5) + shard(0, 5), "expected JSON, got .* after 5 values"),
        (
            shard(0, 5, key="tale"),
            r"json, value 1: expected an object with `text` or `story`, got an object with 'tale'",
        ),
        ('[{"text": 3}]', "value 1: expected an object with `text` or `story`"),
        ('["\\ud800"]', "value 1: expected text, got half of a character"),
        ("[" * 100_000, "lists nested too deeply"),
        ("[1" + "0" * 5000 + "]", "a number of too many digits"),
        ("[]", "expected stories, got 2 bytes without any"),
    ],
)
def test_a_damaged_shard_is_named(text: str, words: str, tmp_path: Path, empty_cache: Path) -> None:
    path = tmp_path / "data00.json"
    path.write_text(text)
    with pytest.raises(LawfulError, match=words) as raised:
        TinyStories(tokenizer=Bytes()).prepare(path)
    assert str(path) in str(raised.value) and len(str(raised.value)) < 1000


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_values_are_the_same_however_they_are_cut(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "READ_BYTES", size)
    text = '\ufeff [ {"a": "é]"}, 12345 ,"[x]", [1, 2]\n] '
    found = list(values_of(io.BytesIO(text.encode()), Path("x"), most_bytes=10**6))
    assert [value for value, _ in found] == [{"a": "é]"}, 12345, "[x]", [1, 2]]
    assert [text.encode()[:end].decode()[-1] for _, end in found] == ["}", "5", '"', "]"]


def test_a_value_without_an_end_is_not_taken_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "READ_BYTES", 100)
    read = []

    class Endless:
        def read(self, size: int, /) -> bytes:
            read.append(size)
            return b'"' + b"a" * (size - 1) if len(read) == 1 else b"a" * size

    with pytest.raises(LawfulError, match="values of at most 5,000 bytes, got a longer one"):
        list(values_of(Endless(), Path("x"), most_bytes=5000))
    assert sum(read) < 20_000


def stories_of(tokens: np.ndarray) -> list[str]:
    return [text.decode() for text in np.asarray(tokens).astype(np.uint8).tobytes().split(b"\xff")[:-1]]


def test_activation_takes_the_stories_where_they_are_on_this_machine(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample for tests does not count: a study would repeat it."""
    monkeypatch.setenv("LAWFUL_DATA", str(tmp_path))
    folder = tmp_path / "tinystories"
    folder.mkdir()
    corpora = []
    for name in (None, "sample.txt", "TinyStories-train.txt"):
        if name is not None:
            (folder / name).write_text("A story.\n<|endoftext|>\n")
        corpora.append(study("quick", seeds=1).ladder[0].training.corpus.name)
    assert corpora == ["python_docs", "python_docs", "tiny_stories"]
    assert study("quick", seeds=1, corpus="python").ladder[0].training.corpus.name == "python_docs"
