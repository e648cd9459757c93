"""What reads other people's files, with an honest example of each file; shared by Hypothesis and by the fuzzer.

`judge` is the rule: whatever the bytes, a reader gives a value or raises a LawfulError that names the file.
"""

from __future__ import annotations

import functools
import io
import json
import math
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lawful import registry
from lawful.errors import LawfulError
from lawful.schema import PlannedRun, StudyPlan
from lawful.storage.codec import to_plain, with_hash
from lawful.storage.json_files import read_json, read_jsonl
from lawful.storage.layout import Store


class NotClear(AssertionError):
    """A reader raised something else than a LawfulError that names the file, or took nonsense for whole."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """name: of the file to be read, under a folder; read: gets its path; examples: make honest contents."""

    name: str
    read: Callable[[Path], object]
    examples: Callable[[], list[bytes]]


def judge(reader: Reader, content: bytes, folder: Path) -> object:
    """The value, or None when the file was refused as it should be."""
    path = folder / reader.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    try:
        value = reader.read(path)
    except NotClear:
        raise
    except LawfulError as error:
        if Path(reader.name).name not in str(error):
            raise NotClear(f"{reader.name}: refused without being named: {error!r}") from error
        return None
    except Exception as error:
        raise NotClear(f"{reader.name}: {type(error).__name__} came through: {error}") from error
    for left in folder.rglob("*"):
        if left.is_file() and left.name.endswith(".tmp"):
            raise NotClear(f"{left} was left behind")
    return value


def study(path: Path) -> object:
    from lawful.report.progress import study_status

    declared = Store(path.parent).read_study()
    return declared, study_status(path.parent)


def run(path: Path) -> object:
    from lawful.run import Run, from_json, to_json

    value = from_json(read_json(path))
    if isinstance(value, Run) and to_json(from_json(to_json(value))) != to_json(value):
        raise NotClear("a run that does not survive being written and read")
    return value


def table(path: Path) -> object:
    from lawful.tables import read_runs

    found = read_runs(path, params="params", tokens="tokens", loss="loss")
    for column in ("params", "tokens", "loss"):
        if not all(0 < number < math.inf for number in found.where(finished, "").numbers(column)):
            raise NotClear(f"{path.name}: took a {column} that is no positive number")
    return found


def finished(row: Mapping[str, Any]) -> bool:
    return row.get("status", "finished") in ("finished", "", None)


def pieces(path: Path) -> object:
    from lawful.domains.music.scores import pieces_in
    from lawful.domains.music.sources import sources_in

    before = set(path.parent.rglob("*"))
    found = [piece for source in sources_in(path) for piece in pieces_in(source)]
    for piece in found:
        if not piece.problem and piece.score is None and not piece.tokens:
            raise NotClear(f"{piece.name}: neither music nor a problem")
        if path.name not in piece.name:
            raise NotClear(f"{piece.name}: does not say which file it was in")
    if set(path.parent.rglob("*")) != before:
        raise NotClear(f"{path.name}: something was unpacked to disk")
    return found


def session(path: Path) -> object:
    from lawful.domains.emg.sessions import check_signal, read_session

    found = read_session(path)
    check_signal(found)
    if not np.isfinite(found.read(0, 10)).all():
        raise NotClear("a signal that is no number")
    return found


def extracted(path: Path) -> object:
    from lawful.domains.emg.sessions import extract
    from lawful.domains.emg.splits import Split, split_text

    split, into = path.with_name("split.yaml"), path.parent / "into"
    split.write_text(split_text(Split(train=(("a", "one"),), val=(), test=(("b", "two"),))))
    outside = {file for file in path.parent.rglob("*") if into not in file.parents}
    try:
        return extract(path, [split], into)
    finally:
        if {file for file in path.parent.rglob("*") if into not in file.parents} - outside - {into}:
            raise NotClear("something was written outside the folder")


def split_file(path: Path) -> object:
    from lawful.domains.emg.splits import read_split

    return read_split(path)


def metadata(path: Path) -> object:
    from lawful.domains.emg.splits import read_metadata

    return read_metadata(path)


def saved_checkpoint(path: Path) -> object:
    """Its weights are damaged; the other files are whole. The only right answers are nothing, or what was saved."""
    from lawful.train import checkpoint

    content, folder = path.read_bytes(), path.parent
    for name, data in checkpoint_files().items():
        (folder / name).write_bytes(content if name == path.name else data)
    found = checkpoint.load(folder)
    if found is not None and content != checkpoint_files()[path.name] and path.name != checkpoint.MANIFEST:
        raise NotClear("took a changed checkpoint for whole")
    return found


def fit(path: Path) -> object:
    from lawful.fitting.result import Fit

    return Fit.from_json(path)


def record(path: Path) -> object:
    return list(read_jsonl(path))


def text(value: object) -> bytes:
    return json.dumps(value).encode()


def study_example() -> list[bytes]:
    study = replace(StudyPlan.example(), runs=(replace(PlannedRun.example(), run="0123456789ab"),))
    former = {"id": "0123456789ab", "label": "width=8", "is_held_out": False}  # as format 1 had it
    run = {name: value for name, value in to_plain(study.runs[0]).items() if name not in ("run", "rung", "held_out")}
    old = {**to_plain(study), "format": 1, "rungs": [{**former, **run}]}
    del old["runs"]
    return [text(with_hash(to_plain(study))), text(old)]


@functools.cache
def run_example() -> list[bytes]:
    from lawful.run import to_json

    return [text(to_json(_run()))]


@functools.cache
def _run() -> Any:
    from lawful.corpora.python_docs import PythonDocs
    from lawful.families.decoder import Decoder
    from lawful.rules.backprop import Backprop
    from lawful.run import AdamW, Run, Schedule
    from lawful.tasks.next_token import NextToken

    return Run(
        family=Decoder(vocab_size=256, width=8, depth=1, heads=1, context=8),
        corpus=PythonDocs(),
        task=NextToken(),
        rule=Backprop(),
        optimizer=AdamW(learning_rate=1e-2),
        schedule=Schedule(warmup_steps=2),
        steps=60,
        batch_size=4,
        context=8,
    )


ROWS = [{"params": 10**n, "tokens": 2 * 10**n, "loss": 5.0 / n, "status": "finished"} for n in range(3, 9)]


def csv_example() -> list[bytes]:
    lines = [",".join(ROWS[0]), *(",".join(str(value) for value in row.values()) for row in ROWS)]
    return ["\n".join(lines).encode()]


def jsonl_example() -> list[bytes]:
    return ["".join(json.dumps(row) + "\n" for row in ROWS).encode()]


def parquet_example() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    held = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), held)
    return [held.getvalue()]


def tokens_example() -> list[bytes]:
    return [text([[1, 2, 3], [4, 5]]), text({"title": "a", "tokens": ["Bar", "Pitch_60"]}), text({"ids": [[1, 2]]})]


def lines_example() -> list[bytes]:
    return [b'{"tokens": [1, 2, 3]}\n{"tokens": ["Bar"], "title": "b"}\n[5, 6]\n']


def midi_example() -> list[bytes]:
    import symusic

    score = symusic.Score(480)
    track = symusic.Track(program=0)
    for place in range(4):
        track.notes.append(symusic.Note(480 * place, 480, 60 + place, 64))
    score.tracks.append(track)
    return [bytes(score.dumps_midi())]


@functools.cache
def session_example() -> list[bytes]:
    from lawful.domains.emg.sessions import Keystroke, session_bytes

    emg = np.random.Generator(np.random.PCG64(0)).normal(size=(40, 2, 16)).astype(np.float32)
    strokes = [Keystroke(key="a", start=1.001, end=1.003)]
    prompts = [{"name": "p", "start": 1.0, "end": 1.01}]
    return [session_bytes(name="one", user="a", emg=emg, start=1.0, keystrokes=strokes, prompts=prompts)]


def split_example() -> list[bytes]:
    from lawful.domains.emg.splits import Split, split_text

    return [split_text(Split(train=(("a", "one"),), val=(("a", "two"),), test=(("b", "three"),))).encode()]


def metadata_example() -> list[bytes]:
    return [b"user,session,condition\na,one,on\nb,two,on\n"]


@functools.cache
def zip_example() -> list[bytes]:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("tunes/a.mid", midi_example()[0])
        archive.writestr("../../outside.mid", midi_example()[0])
        archive.writestr("/tmp/absolute.json", "[1, 2]")
    return [held.getvalue()]


@functools.cache
def tar_example() -> list[bytes]:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name, data in {
            "data/one.hdf5": b"first",
            "../../two.hdf5": b"second",
            "metadata.csv": b"user,session\n",
            "a.mid": midi_example()[0],
            "../b.mid": b"",
        }.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("link.mid")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return [held.getvalue()]


@functools.cache
def checkpoint_files() -> dict[str, bytes]:
    import torch
    from torch import nn

    from lawful.train import checkpoint

    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    with tempfile.TemporaryDirectory() as folder:
        saved = checkpoint.save(Path(folder), model, optimizer, {"step": 1})
        return {path.name: path.read_bytes() for path in saved.iterdir()}


@functools.cache
def fit_example() -> list[bytes]:
    from lawful.fitting.estimate import fit as fit_law

    noise = np.random.Generator(np.random.PCG64(0)).normal(size=8)
    rows = [
        {"params": float(10**n), "loss": 2 + 50 * (10**n) ** -0.3 * math.exp(0.001 * e)}
        for n, e in zip(np.linspace(3, 8, 8), noise, strict=True)
    ]
    return [text(fit_law(rows, law="power_floor:params").to_json())]


READERS = {
    "study": Reader(name="study.json", read=study, examples=study_example),
    "run": Reader(name="run.json", read=run, examples=run_example),
    "csv": Reader(name="runs.csv", read=table, examples=csv_example),
    "jsonl": Reader(name="runs.jsonl", read=table, examples=jsonl_example),
    "parquet": Reader(name="runs.parquet", read=table, examples=parquet_example),
    "record": Reader(name="metrics.jsonl", read=record, examples=jsonl_example),
    "fit": Reader(name="fit.json", read=fit, examples=fit_example),
    "checkpoint-weights": Reader(
        name="model.safetensors", read=saved_checkpoint, examples=lambda: [checkpoint_files()["model.safetensors"]]
    ),
    "checkpoint-state": Reader(
        name="state.json", read=saved_checkpoint, examples=lambda: [checkpoint_files()["state.json"]]
    ),
    "checkpoint-manifest": Reader(
        name="MANIFEST.json", read=saved_checkpoint, examples=lambda: [checkpoint_files()["MANIFEST.json"]]
    ),
}
if "music" in registry.domains():
    READERS |= {
        "tokens": Reader(name="tokens.json", read=pieces, examples=tokens_example),
        "token-lines": Reader(name="tokens.jsonl", read=pieces, examples=lines_example),
        "midi": Reader(name="tune.mid", read=pieces, examples=midi_example),
        "zip": Reader(name="tunes.zip", read=pieces, examples=zip_example),
        "tar": Reader(name="tunes.tar", read=pieces, examples=tar_example),
    }
if "emg" in registry.domains():
    READERS |= {
        "sessions-tar": Reader(name="all.tar", read=extracted, examples=tar_example),
        "session": Reader(name="one.hdf5", read=session, examples=session_example),
        "split": Reader(name="split.yaml", read=split_file, examples=split_example),
        "metadata": Reader(name="metadata.csv", read=metadata, examples=metadata_example),
    }
