"""Every path and file format of a study's folder, and the only place that writes files: whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

FORMAT = 1  # raised when a file of the study's folder changes its meaning


@dataclass(frozen=True)
class Store:
    """A study's folder: where each thing lies. Makes nothing until something is written.

    FOLDER/study.json                     the declaration, its rungs and questions (written by the plan)
    FOLDER/runs/ID/run.json               the Run, complete
    FOLDER/runs/ID/metrics.jsonl          the record of training, a line per logged step
    FOLDER/runs/ID/checkpoints/STEP/      model, optimiser, state; MANIFEST.json last
    FOLDER/runs/ID/details.json           what a task keeps of single sequences for the report, by split
    FOLDER/runs/ID/result.json            written last: the run is over, and how it ended
    FOLDER/trunks/KEY/STEP/               checkpoints shared by runs that differ only in their length
    FOLDER/samples/                       what trained models wrote: MIDI files, and samples.json, which describes them
    FOLDER/forecasts.json                 the held-out runs' losses, written before any of them began
    FOLDER/fits/QUESTION.json             one answer each
    FOLDER/slurm/JOB.json                 which runs each task of a Slurm job holds; beside it the logs of those tasks
    FOLDER/observations.csv               one row per run that has ended: the seam
    FOLDER/report.html, report.md, figures/
    """

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

    @property
    def study(self) -> Path:
        return self.folder / "study.json"

    @property
    def observations(self) -> Path:
        return self.folder / "observations.csv"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def report_markdown(self) -> Path:
        return self.folder / "report.md"

    @property
    def figures(self) -> Path:
        return self.folder / "figures"

    @property
    def baselines(self) -> Path:
        return self.folder / "baselines.json"

    @property
    def forecasts(self) -> Path:
        return self.folder / "forecasts.json"

    @property
    def samples(self) -> Path:
        return self.folder / "samples" / "samples.json"

    @property
    def slurm(self) -> Path:
        return self.folder / "slurm"

    def fit(self, question: str) -> Path:
        return self.folder / "fits" / f"{question}.json"

    def run_folder(self, run_id: str) -> Path:
        return self.folder / "runs" / run_id

    def run(self, run_id: str) -> Path:
        return self.run_folder(run_id) / "run.json"

    def metrics(self, run_id: str) -> Path:
        return self.run_folder(run_id) / "metrics.jsonl"

    def result(self, run_id: str) -> Path:
        return self.run_folder(run_id) / "result.json"

    def weights(self, run_id: str) -> Path:
        return self.run_folder(run_id) / "model.safetensors"

    def best_weights(self, run_id: str) -> Path:
        return self.run_folder(run_id) / "best.safetensors"

    def details(self, run_id: str) -> Path:
        return self.run_folder(run_id) / "details.json"

    def claim(self, run_id: str) -> Path:
        return self.run_folder(run_id) / "claim"

    def log(self, run_id: str) -> Path:
        return self.run_folder(run_id) / "worker.log"

    def checkpoints(self, run_id: str) -> Path:
        return self.run_folder(run_id) / "checkpoints"

    def trunk(self, trunk_id: str) -> Path:
        return self.folder / "trunks" / trunk_id

    def read_study(self) -> dict[str, Any]:
        if not self.study.exists():
            raise ValueError(
                f"{self.folder}: expected a study's folder (one that holds study.json), got "
                f"{'a folder without it' if self.folder.is_dir() else 'no such folder'}; "
                "`lawful run STUDY --out DIR` makes one."
            )
        declaration = read_json(self.study)
        if declaration.get("format") != FORMAT:
            raise ValueError(
                f"{self.study}: expected format {FORMAT}, got {declaration.get('format')!r}; "
                "it was written by another version of lawful."
            )
        return declaration


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file whole or not at all: temporary file beside it, fsync, rename, fsync of the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    write_whole(path, lambda file: file.write(text.encode()))


def write_bytes(path: Path, data: bytes) -> None:
    write_whole(path, lambda file: file.write(data))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(plain(value), indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Raises ValueError naming the file when it is not a JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected JSON, got a file that does not parse ({error}).") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(value).__name__}.")
    return value


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a record that may end in a torn one (a killed writer); a missing file is empty."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                return


def plain(value: Any) -> Any:
    """JSON-ready: tuples become lists, paths text, NaN and infinities the strings "nan", "inf", "-inf"."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    raise TypeError(f"expected plain data for JSON, got {type(value).__name__}: {value!r}")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_file(file: IO[Any]) -> None:
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power loss (a no-op where folders cannot be opened)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def claimed(path: Path, *, patience_seconds: float = 0.0) -> Iterator[bool]:
    """Hold an exclusive claim on a run while inside; False when another live process holds it.

    An flock, so that a killed holder's claim ends with it. Good on one machine.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience_seconds
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    yield False
                    return
                time.sleep(0.02)
        yield True


def is_claimed(path: Path) -> bool:
    """Whether a live process holds the claim at `path`."""
    if not path.exists():
        return False
    with claimed(path) as got:
        return not got


def cache_folder() -> Path:
    """Where prepared corpora and probes are kept: LAWFUL_CACHE, else XDG_CACHE_HOME/lawful, else ~/.cache/lawful."""
    if named := os.environ.get("LAWFUL_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lawful"


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
