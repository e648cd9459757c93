"""Recordings, split files and language models from somebody else: no other file is read by them, no memory filled."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lawful import unpack
from lawful.domains.emg import language_model, sessions, splits
from lawful.domains.emg.corpora.emg import Emg
from lawful.domains.emg.language_model import Arpa, open_language_model
from lawful.domains.emg.sessions import Keystroke
from lawful.errors import DataError

FIELDS = sessions.FIELDS


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Python's own, of which no refusal needs much."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def honest(path: Path, name: str = "one") -> Path:
    emg = np.random.Generator(np.random.PCG64(0)).normal(size=(200, 2, 16)).astype(np.float32)
    strokes = [Keystroke(key="a", start=1.001, end=1.003)]
    path.write_bytes(sessions.session_bytes(name=name, user="a", emg=emg, start=1.0, keystrokes=strokes, prompts=[]))
    return path


def without_series(path: Path) -> Any:
    file = h5py.File(honest(path), "r+")
    del file["emg2qwerty"]["timeseries"]
    return file


def external_link(path: Path, other: Path) -> None:
    with without_series(path) as file:
        file["emg2qwerty"]["timeseries"] = h5py.ExternalLink(str(other), "/emg2qwerty/timeseries")


def external_group(path: Path, other: Path) -> None:
    with without_series(path) as file:
        del file["emg2qwerty"]
        file["emg2qwerty"] = h5py.ExternalLink(str(other), "/emg2qwerty")


def soft_link_to_an_external_one(path: Path, other: Path) -> None:
    with without_series(path) as file:
        file["hidden"] = h5py.ExternalLink(str(other), "/emg2qwerty/timeseries")
        file["emg2qwerty"]["timeseries"] = h5py.SoftLink("/hidden")


def virtual(path: Path, other: Path) -> None:
    layout = h5py.VirtualLayout(shape=(200,), dtype=FIELDS)
    layout[:] = h5py.VirtualSource(str(other), "emg2qwerty/timeseries", shape=(200,), dtype=FIELDS)
    with without_series(path) as file:
        file["emg2qwerty"].create_virtual_dataset("timeseries", layout)


def external_storage(path: Path, other: Path) -> None:
    with without_series(path) as file:
        file["emg2qwerty"].create_dataset("timeseries", (200,), FIELDS, external=[(str(other), 0, 200 * 136)])


def far_too_long(path: Path, other: Path) -> None:
    with without_series(path) as file:
        file["emg2qwerty"].create_dataset("timeseries", (10**12,), FIELDS, chunks=(1000,))


def declared_only(path: Path, other: Path) -> None:
    with without_series(path) as file:
        file["emg2qwerty"].create_dataset("timeseries", (10**8,), FIELDS, chunks=(1000,))


def one_chunk_of_gigabytes(path: Path, other: Path) -> None:
    with without_series(path) as file:
        series = file["emg2qwerty"].create_dataset("timeseries", (200,), FIELDS, chunks=(20_000_000,), maxshape=(None,))
        assert series.chunks == (20_000_000,)


def rows_of_megabytes(path: Path, other: Path) -> None:
    wide = np.dtype([*((name, FIELDS[name]) for name in FIELDS.names), ("more", "u1", (10**6,))])
    with without_series(path) as file:
        file["emg2qwerty"].create_dataset("timeseries", (200,), wide, chunks=(1,))


def references(path: Path, other: Path) -> None:
    odd = np.dtype([("emg_right", "<f4", (16,)), ("time", h5py.ref_dtype), ("emg_left", "<f4", (16,))])
    with without_series(path) as file:
        file["emg2qwerty"].create_dataset("timeseries", (200,), odd)


def a_group(path: Path, other: Path) -> None:
    with without_series(path) as file:
        file["emg2qwerty"].create_group("timeseries")


def a_square(path: Path, other: Path) -> None:
    with without_series(path) as file:
        file["emg2qwerty"].create_dataset("timeseries", data=np.zeros((20, 10), FIELDS))


ATTACKS: dict[Callable[[Path, Path], None], str] = {
    external_link: "a link to ",
    external_group: "a link to ",
    soft_link_to_an_external_one: "a link to '/hidden'",
    virtual: "a virtual dataset, made of other files",
    external_storage: "got one in ",
    far_too_long: "expected at most 172,800,000 samples",
    declared_only: "13,600,000,000 bytes declared, of which 0 are there",
    one_chunk_of_gigabytes: "in chunks of",
    rows_of_megabytes: "samples of 1,024 bytes",
    references: "expected numbers in time, got object",
    a_group: "timeseries: a Group",
    a_square: "got shape",
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_recording_brings_in_no_other_file_and_fills_no_memory(
    tmp_path: Path, attack: Callable[[Path, Path], None]
) -> None:
    other = honest(tmp_path / "other.hdf5", name="secret")
    attack(tmp_path / "one.hdf5", other)
    session = sessions.Session(
        path=tmp_path / "one.hdf5",
        name="",
        user="",
        condition="",
        samples=200,
        start=0.0,
        keystrokes=(),
        positions=(),
        prompts=(),
        clock=sessions.Clock(rate=2000.0, gaps=(), outside=()),
    )
    for read in (lambda: sessions.read_session(tmp_path / "one.hdf5"), session.read, lambda: [*session.pieces(10)]):
        with pytest.raises(DataError, match=f"one.hdf5: .*{ATTACKS[attack]}"):
            read()


def test_an_honest_recording_is_read_in_whatever_way_it_is_stored(tmp_path: Path) -> None:
    rows = h5py.File(honest(tmp_path / "plain.hdf5"))["emg2qwerty/timeseries"][:]
    for number, how in enumerate(
        [{}, {"chunks": (50,)}, {"chunks": True, "compression": "gzip"}, {"maxshape": (None,)}]
    ):
        path = tmp_path / f"{number}.hdf5"
        with without_series(path) as file:
            file["emg2qwerty"].create_dataset("timeseries", data=rows, **how)
        assert np.array_equal(sessions.read_session(path).read()[:, 1], rows["emg_right"])


def bomb(levels: int) -> str:
    """Each list holds the one before ten times: 10 ** levels items in the end."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join([*lines, f"dataset: {{train: *a{levels - 1}}}"])


def merges(levels: int) -> str:
    lines = ["a0: &a0 {k: v}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, levels))]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (bomb(9), "without aliases"),
        (merges(9), "without aliases"),
        ("a: &a [*a]", "without aliases"),
        ("dataset: !!python/object/apply:os.system ['touch hacked']", "does not parse"),
        ("[" * 1_000_000, "at most 20 lists or mappings"),
        ("dataset: {train: [" + "[], " * 20_000 + "]", "does not parse"),
        ("x" * 2**20 + "x", "at most 1,048,576 bytes"),
        (
            "dataset: {train: [{user: a, session: ../../outside}]}",
            "expected the name of a session, got '../../outside'",
        ),
        ("dataset: {train: [{user: a, session: /etc/passwd}]}", "expected the name of a session"),
        ('dataset: {train: [{user: a, session: "a\\x1b]0;x"}]}', "expected the name of a session"),
        ("dataset: {train: [{user: a, session: .hidden}]}", "expected the name of a session"),
        ("dataset: {train: [{user: a, session: ''}]}", "expected the name of a session"),
    ],
)
def test_a_hostile_split_file_is_refused_at_once(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "split.yaml"
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(DataError, match=f"split.yaml: .*{said}"):
        splits.read_split(path)
    assert time.process_time() - began < 10
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_table_of_sessions_that_is_far_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    with path.open("wb") as file:
        file.truncate(splits.MOST_METADATA_BYTES + 1)
    with pytest.raises(DataError, match="at most 16,777,216 bytes, got one of 16,777,217"):
        splits.read_metadata(path)


def test_a_split_of_thousands_of_sessions_is_read_in_seconds(tmp_path: Path) -> None:
    many = tuple((f"u{n}", f"s{n}") for n in range(2000))
    (tmp_path / "split.yaml").write_text(splits.split_text(splits.Split(train=many, val=(), test=())))
    began = time.process_time()
    assert splits.read_split(tmp_path / "split.yaml").train == many
    assert time.process_time() - began < 20


def arpa(*lines: str) -> str:
    return "\\data\\\nngram 1=2\n\n\\1-grams:\n" + "\n".join(lines) + "\n\n\\end\\\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "\\data\\\nngram 1000000=0\nngram 1=1\n\\1-grams:\n-1 a\n\\end\\\n",
            "line 2: expected at most .* of at most 20",
        ),
        ("\\data\\\nngram 1=99999999999\n\\1-grams:\n-1 a\n\\end\\\n", "line 2: expected at most 50,000,000 n-grams"),
        ("\\data\\\nngram 1=" + "9" * 5000 + "\n", "the n-grams that its head declares"),
        ("\\data\\\nngram \u0661=\u0661\n\\\u0661-grams:\n-1 a\n\\end\\\n", "that its head declares"),
        (arpa("-1 a", "-1 b", "-1 c"), "expected the n-grams that its head declares"),
        (arpa("nan a", "-1 b"), "line 5: expected a log10 probability"),
        (arpa("inf a", "-1 b"), "line 5: expected a log10 probability"),
        (arpa("0.5 a", "-1 b"), "line 5: expected a log10 probability"),
        (arpa("-inf a", "-1 b"), "line 5: expected a log10 probability"),
        (arpa("-1 a nan", "-1 b"), "line 5: expected a log10 probability"),
        (arpa("-1 " + "a" * 70_000, "-1 b"), "line 5: expected at most 65,536 bytes"),
    ],
)
def test_a_hostile_language_model_is_refused_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "hostile.arpa"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=f"hostile.arpa.*{said}"):
        open_language_model(path)


def test_a_packed_language_model_that_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "LEAST_ROOM", 2**17)
    path = tmp_path / "bomb.arpa.gz"
    for filling in (b" " * 2**18, b"\n" * 2**18):
        path.write_bytes(gzip.compress(b"\\data\\\nngram 1=1\n" + filling))
        with pytest.raises(DataError, match=r"bomb.arpa.gz.*(at most 131,072 bytes, unpacked|at most 65,536 bytes)"):
            Arpa(path)


def test_more_ngrams_than_are_declared_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_model, "MOST_NGRAMS", 3)
    path = tmp_path / "many.arpa"
    path.write_text("\\data\\\nngram 1=1\n\\1-grams:\n" + "".join(f"-1 w{n}\n" for n in range(200_000)) + "\\end\\\n")
    began = time.process_time()
    with pytest.raises(DataError, match="declares"):
        Arpa(path)
    assert time.process_time() - began < 1


@pytest.mark.parametrize("size", [2**20, 8 * 2**30])
def test_an_archive_of_sessions_that_holds_more_than_any_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(unpack, "LEAST_ROOM", 2**18)
    split, archive = tmp_path / "split.yaml", tmp_path / "all.tar.gz"
    split.write_text(splits.split_text(splits.Split(train=(("a", "one"),), val=(), test=())))
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        entry = tarfile.TarInfo("data/one.hdf5")
        entry.size = 2**20
        tar.addfile(entry, io.BytesIO(bytes(2**20)))
    content = held.getvalue()
    if size > 2**20:  # only declared
        entry.size = size
        content = entry.tobuf(tarfile.GNU_FORMAT) + content[512:]
    archive.write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match="all.tar.gz.*expected at most"):
        sessions.extract(archive, [split], tmp_path / "into")
    assert not list((tmp_path / "into").glob("*")) if (tmp_path / "into").exists() else True


def test_a_fingerprint_that_leads_out_of_the_cache_is_refused() -> None:
    for fingerprint in ("../../outside", "/etc", "", "a/b", ".."):
        with pytest.raises(DataError, match="expected a fingerprint"):
            Emg().open(fingerprint)


def test_an_archive_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tar")
    with pytest.raises(DataError, match="expected an archive"):
        sessions.extract(tmp_path / "a.tar", [], tmp_path / "into")
