"""What readers of tables promise: they look at any file or folder without failing, and name what they refuse."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lawful.errors import LawfulError
from lawful.plugins import Reader, Remark
from lawful.testing import loaded

READERS = sorted(loaded("readers"))
# names that trackers use: a reader that looks at names alone believes that these files are of its kind
NAMES = (
    "runs.csv",
    "metrics.csv",
    "metrics-all.jsonl",
    "trainer_state.json",
    "results_1.json",
    "events.out.tfevents.1.host",
    "run-a.wandb",
    "study.db",
    "train.log",
    "meta.yaml",
    ".hydra/overrides.yaml",
    "params.txt",
)
CONTENTS = {
    "nothing in it": b"",
    "bytes of no kind": bytes(range(256)) * 8,
    "text": "a b c\nd é f\n".encode(),
    "an object": b'{"results": {}, "log_history": 3, "hyperparameters": 1, "dataset_name": 2}',
    "a list": b"[[[1, null], {}]]",
    "a header": b"epoch,step,loss,val_loss\n",
    "a damaged table": b"epoch,step,loss\n1,x,2\n1,2\n",
    "deep": b"[" * 100_000,
    "a database": b"SQLite format 3\x00" + b"\x00" * 200,
    "a record file": b":W&B\xe1\xbe\x00" + b"\xff" * 90,
    "yaml": b"run_id: !!python/name:os.system a\nartifact_uri: [\nlifecycle_stage: active\n",
}


def new(name: str) -> Reader:
    reader: Reader = loaded("readers")[name]()
    return reader


@contextmanager
def released_after(seconds: float, pipe: Path) -> Iterator[None]:
    """Who waits at the pipe for longer is let go, and the test fails."""
    waited = []

    def release() -> None:
        with suppress(OSError):
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            waited.append(pipe)

    watch = threading.Timer(seconds, release)
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
        watch.join()
    assert not waited, f"the reader opened a pipe, and waited until somebody would write: {pipe.name}"


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str, Path], None]:
    """Ask a reader for a file or folder: its rows are mappings, or it refuses, and names what it refuses."""

    def ask(name: str, path: Path) -> None:
        reader = new(name)
        assert reader.reads(path) in (True, False)
        try:
            for part in reader.rows(path):
                assert isinstance(part, Remark) or all(isinstance(column, str) for column in part)
        except LawfulError as error:
            assert str(tmp_path) in str(error)

    return ask


@pytest.mark.parametrize("name", READERS)
def test_a_reader_says_what_it_reads(name: str) -> None:
    assert new(name).about and "\n" not in new(name).about


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", READERS)
def test_a_reader_names_a_file_that_is_of_another_kind_or_damaged(
    name: str, content: str, read: Callable[[str, Path], None], tmp_path: Path
) -> None:
    for place in (*NAMES, *(f"runs{suffix}" for suffix in new(name).suffixes)):
        file = tmp_path / place
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(CONTENTS[content])
        read(name, file)
    read(name, tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_a_reader_looks_at_foreign_folders_and_at_nothing(
    name: str, read: Callable[[str, Path], None], tmp_path: Path
) -> None:
    assert not new(name).reads(tmp_path) and not new(name).reads(tmp_path / "absent")
    (tmp_path / "photos" / "2024").mkdir(parents=True)
    (tmp_path / "photos" / "2024" / "a.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "notes.txt").write_text("bread, milk\n")
    assert not new(name).reads(tmp_path)
    read(name, tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
@pytest.mark.parametrize("name", READERS)
def test_a_reader_does_not_wait_at_a_pipe_or_follow_a_circle(
    name: str, read: Callable[[str, Path], None], tmp_path: Path
) -> None:
    (tmp_path / ".hydra").mkdir()
    for place in NAMES:
        os.mkfifo(tmp_path / place)
        with released_after(20, tmp_path / place):
            read(name, tmp_path / place)
    (tmp_path / "circle").symlink_to(tmp_path)
    read(name, tmp_path)
