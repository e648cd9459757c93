"""Every path and file format of a study's folder, and the only place that writes files: whole or not at all."""

from __future__ import annotations

import errno
import functools
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from lawful.errors import LawfulError, MissingDependency, StoreError

FORMAT = 1  # raised when a file of the study's folder changes its meaning
# A claim is taken over when its heartbeat has not changed for this time: longer than a busy disk stalls
LEASE_SECONDS = 60.0
MOST_JSON_BYTES = 2**28  # a study of a thousand runs has a few million; in memory they become 25 times as many
MOST_NESTED = 100  # lists and objects of JSON, one in the other
MOST_LINE_BYTES = 2**24  # of a record or table
MOST_TOKEN = 10**15  # of a claim; one is added with each taking
BEATS = 12  # heartbeats in that time


@dataclass(frozen=True)
class Store:
    """A study's folder: where each thing lies. Makes nothing until something is written.

    The folder may have come from somebody else. It may be a link itself, but below it every path must be a file or
    folder of its own: a path that is a link, a pipe or a device, or a name that leads elsewhere, is refused
    (StoreError), so that nothing outside the folder is read, written or removed. The check is made when the path is
    asked for; it does not protect against someone who changes the folder in the same moment.

    FOLDER/study.json                     the declaration, its rungs and questions (written by the plan)
    FOLDER/planning/                      who writes the plan now
    FOLDER/runs/ID/run.json               the Run, complete
    FOLDER/runs/ID/claims/TOKEN/          who is at it now (TOKEN.over: who was last), and what it has not committed yet
    FOLDER/runs/ID/metrics.jsonl          the record of training, a line per logged step
    FOLDER/runs/ID/checkpoints/STEP/      model, optimiser, state; MANIFEST.json last
    FOLDER/runs/ID/details.json           what a task keeps of single sequences for the report, by split
    FOLDER/runs/ID/worker.log             the traceback of a run that failed
    FOLDER/runs/ID/result.json            written last: the run is over, and how it ended
    FOLDER/trunks/KEY/STEP/               checkpoints shared by runs that differ only in their length
    FOLDER/samples/                       what trained models wrote: files, and samples.json, which describes them
    FOLDER/forecasts.json                 the held-out runs' losses, written before any of them began
    FOLDER/fits/QUESTION.json             one answer each
    FOLDER/slurm/JOB.json                 which runs each task of a Slurm job holds; beside it the logs of those tasks
    FOLDER/workers.log                    what worker processes of this machine and of Ray wrote to standard error
    FOLDER/tensorboard/LABEL/             event files, with --log tensorboard
    FOLDER/observations.csv               one row per run that has ended: the seam
    FOLDER/report.html, report.md, figures/
    """

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

    @property
    def study(self) -> Path:
        return self._at("study.json")

    @property
    def planning(self) -> Path:
        """The claim of the process that writes the plan."""
        return self._at("planning")

    @property
    def observations(self) -> Path:
        return self._at("observations.csv")

    @property
    def report(self) -> Path:
        return self._at("report.html")

    @property
    def report_markdown(self) -> Path:
        return self._at("report.md")

    @property
    def figures(self) -> Path:
        return self._at("figures")

    @property
    def baselines(self) -> Path:
        return self._at("baselines.json")

    @property
    def forecasts(self) -> Path:
        return self._at("forecasts.json")

    @property
    def samples(self) -> Path:
        return self._at("samples", "samples.json")

    def sample(self, name: str) -> Path:
        """A file that samples.json names."""
        return self._at("samples", name)

    @property
    def slurm(self) -> Path:
        return self._at("slurm")

    @property
    def workers_log(self) -> Path:
        return self._at("workers.log")

    @property
    def trunks(self) -> Path:
        return self._at("trunks")

    def tensorboard(self, label: str) -> Path:
        """A label may hold any text; here it is one name."""
        return self._at("tensorboard", re.sub(r"^\.|[/\\\0]", "_", label) or "_")

    def fit(self, question: str) -> Path:
        return self._at("fits", f"{question}.json")

    def fits(self, prefix: str = "") -> list[Path]:
        """The answers that are there and whose names begin so, in the order of their names."""
        names = sorted(path.stem for path in self._at("fits").glob("*.json") if path.name[0] != ".")
        return [self.fit(name) for name in names if name.startswith(prefix)]

    def run_folder(self, run_id: str) -> Path:
        return self._at("runs", run_id)

    def run(self, run_id: str) -> Path:
        return self._at("runs", run_id, "run.json")

    def metrics(self, run_id: str) -> Path:
        return self._at("runs", run_id, "metrics.jsonl")

    def result(self, run_id: str) -> Path:
        return self._at("runs", run_id, "result.json")

    def weights(self, run_id: str) -> Path:
        return self._at("runs", run_id, "model.safetensors")

    def best_weights(self, run_id: str) -> Path:
        return self._at("runs", run_id, "best.safetensors")

    def details(self, run_id: str) -> Path:
        return self._at("runs", run_id, "details.json")

    def claim(self, run_id: str) -> Path:
        return self._at("runs", run_id, "claims")

    def log(self, run_id: str) -> Path:
        return self._at("runs", run_id, "worker.log")

    def checkpoints(self, run_id: str) -> Path:
        return self._at("runs", run_id, "checkpoints")

    def trunk(self, trunk_id: str) -> Path:
        return self._at("trunks", trunk_id)

    def _at(self, *names: str) -> Path:
        path = self.folder
        for name in names:
            if not name or name.startswith(".") or set("/\\\0") & set(name):
                raise StoreError(f"{self.folder}: expected the name of a file in this folder, got {name[:80]!r}.")
            path = path / name
            expect_own(path)
        return path

    def read_study(self) -> dict[str, Any]:
        if not self.study.exists():
            raise StoreError(
                f"{self.folder}: expected a study's folder (one that holds study.json), got "
                f"{'a folder without it' if self.folder.is_dir() else 'no such folder'}; "
                "`lawful run STUDY --out DIR` makes one."
            )
        declaration = read_json(self.study)
        if declaration.get("format") != FORMAT:
            raise StoreError(
                f"{self.study}: expected format {FORMAT}, got {declaration.get('format')!r}; "
                "it was written by another version of lawful."
            )
        if problem := _misshapen(declaration):
            raise StoreError(f"{self.study}: expected a study as `lawful plan` writes it, got one in which {problem}.")
        return declaration


def mirror(folder: Path, into: Path) -> Store:
    """A folder of links to a study's plan and runs, with a copy of its table, in which table, fits and report can be
    written anew; the study's own are not touched. What the study has not written yet is there as soon as it has."""
    into.mkdir(parents=True)
    if Store(folder).observations.exists():  # it may hold rows that no run explains any more
        shutil.copyfile(Store(folder).observations, Store(into).observations)
    for name in ("study.json", "runs", "forecasts.json", "baselines.json", "samples"):
        expect_own(folder / name)
        (into / name).symlink_to((folder / name).absolute())
        _own_links.add(into / name)
    return Store(into)


_own_links: set[Path] = set()  # made by this process


def expect_own(path: Path) -> None:
    """Raises StoreError where something lies at `path` that is neither file nor folder: a link, a pipe, a device."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return
    if path in _own_links:
        return expect_own(Path(os.readlink(path)))  # what it leads to may be another by now
    if not stat.S_ISLNK(mode):
        raise StoreError(f"{path}: expected a file or folder, got a pipe, socket or device; delete it.")
    raise StoreError(
        f"{path}: expected a file or folder, got a link to {os.readlink(path)[:200]!r}; links inside a study's folder "
        "are not followed. `cp -rL FOLDER COPY` makes a copy with the files in place of the links."
    )


_is_mute = False


def be_mute() -> None:
    """From now on this process writes no file: the first of those that train one run together writes for all."""
    global _is_mute
    _is_mute = True


@contextmanager
def read_only() -> Iterator[None]:
    """Inside, this process writes no file: a command that asks something of a folder leaves it as it was."""
    global _is_mute
    before, _is_mute = _is_mute, True
    try:
        yield
    finally:
        _is_mute = before


# what any reader of a study counts on; names become names of files
_STUDY = {"name": str, "rungs": list, "corpora": dict, "questions": list}
_RUNG = {"id": str, "label": str, "cluster": str, "steps": int, "at": dict, "is_held_out": bool}
_QUESTION = {"name": str}


def _misshapen(declaration: Mapping[str, Any]) -> str:
    """What is wrong with the kinds of a declaration's parts, if anything. Names become names of files."""
    problems: list[str] = []

    def look(where: str, value: Any, kinds: Mapping[str, type], needed: str) -> None:
        if not isinstance(value, dict):
            problems.append(f"{where} is {type(value).__name__}, no object")
            return
        for name, kind in kinds.items():
            if (name in value or name == needed) and not isinstance(value.get(name), kind):
                problems.append(f"{where} has no {name} ({kind.__name__})")

    look("the study", declaration, _STUDY, needed="rungs")
    for part, name, kinds in (("rungs", "id", _RUNG), ("questions", "name", _QUESTION)):
        for number, item in enumerate([] if problems else declaration.get(part, []), start=1):
            look(f"{part}, number {number}", item, kinds, needed=name)
            if not problems and ("/" in item[name] or "\\" in item[name] or item[name].startswith(".")):
                problems.append(f"{part}, number {number}: its {name} {item[name]!r} is no name for a file")
    return problems[0] if problems else ""


def write_whole(path: Path, write: Callable[[IO[bytes]], object], *, lease: Lease | None = None) -> None:
    """Write a file whole or not at all: temporary file beside it, fsync, rename, fsync of the folder.

    lease    under which to commit: the temporary file is made in its folder. Raises LeaseLost once another has it.
    """
    if _is_mute:
        return
    with _fenced(lease), _naming(path):
        descriptor, temporary = tempfile.mkstemp(dir=_workplace(path, lease), prefix=f".{path.name}.", suffix=".tmp")
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


def write_folder(path: Path, files: Mapping[str, bytes], *, lease: Lease | None = None) -> None:
    """Write a folder whole or not at all, as write_whole does a file; one that is there already is replaced."""
    if _is_mute:
        return
    with _fenced(lease), _naming(path):
        making = Path(tempfile.mkdtemp(dir=_workplace(path, lease), prefix=f".{path.name}."))
        former = making.with_name(making.name + ".old")
        try:
            for name, data in files.items():
                with (making / name).open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            os.chmod(making, 0o777 & ~_umask())
            sync_folder(making)
            with suppress(FileNotFoundError):
                os.replace(path, former)
            try:
                os.replace(making, path)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise  # else another process has just put its own there, whole
        finally:
            shutil.rmtree(making, ignore_errors=True)
            shutil.rmtree(former, ignore_errors=True)
    sync_folder(path.parent)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """An error of the system over a temporary file names the file that was to be written."""
    try:
        yield
    except OSError as error:
        if error.filename is None or Path(error.filename).name.startswith(f".{path.name}."):
            error.filename, error.filename2 = str(path), None
        raise


def _workplace(path: Path, lease: Lease | None) -> Path:
    if lease is not None:
        lease.folder.stat()  # before anything is made for one who lost it
    _make_folder(path.parent)
    return lease.folder if lease else path.parent


def _make_folder(folder: Path) -> None:
    """With its parents; what is made outlives a power loss."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def write_text(path: Path, text: str, *, lease: Lease | None = None) -> None:
    # half a character, which JSON can spell and UTF-8 cannot, is written out: \ud800
    write_whole(path, lambda file: file.write(text.encode(errors="backslashreplace")), lease=lease)


def write_bytes(path: Path, data: bytes, *, lease: Lease | None = None) -> None:
    write_whole(path, lambda file: file.write(data), lease=lease)


def write_json(path: Path, value: Any, *, lease: Lease | None = None) -> None:
    write_text(path, json.dumps(plain(value), indent=1, allow_nan=False) + "\n", lease=lease)


def open_log(path: Path) -> IO[bytes]:
    """A log, to be written on. One that has another name too, perhaps outside the study's folder, is copied first."""
    with suppress(FileNotFoundError):
        if path.stat().st_nlink > 1:
            with path.open("rb") as former:
                write_whole(path, functools.partial(shutil.copyfileobj, former))
    return path.open("ab")


def read_json(path: Path) -> dict[str, Any]:
    """Raises LawfulError naming the file when it is not a JSON object."""
    if (size := path.stat().st_size) > MOST_JSON_BYTES:
        raise StoreError(f"{path}: expected JSON of at most {MOST_JSON_BYTES:,} bytes, got a file of {size:,}.")
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, a number of too many digits, too deep a nest
        seen = _seen_instead(path, error) if isinstance(error, UnicodeDecodeError) else no_json(error)
        raise StoreError(f"{path}: expected JSON, got {seen}.") from None
    if not isinstance(value, dict):
        raise StoreError(f"{path}: expected a JSON object, got {type(value).__name__}.")
    return value


def parse_json(text: str | bytes, **how: Any) -> Any:
    """json.loads, and RecursionError where lists hold lists deeper than any function that walks through them may go.

    how   keywords of json.loads
    """
    value = json.loads(text, **how)
    level = [value]
    for _ in range(MOST_NESTED):
        if not level:
            return value
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
    raise RecursionError


def read_bytes(path: Path, most: int = MOST_JSON_BYTES) -> bytes:
    """Raises LawfulError where the file is larger: its name may be all that is left of a few bytes of an archive."""
    if (size := path.stat().st_size) > most:
        raise StoreError(f"{path}: expected a file of at most {most:,} bytes, got one of {size:,}.")
    return path.read_bytes()


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a record that may end in a torn one (a killed writer); a missing file is empty."""
    if not path.exists():
        return
    with path.open("rb") as file:
        while line := file.readline(MOST_LINE_BYTES):
            if not line.endswith(b"\n"):
                return
            try:
                value = parse_json(line)
            except (ValueError, RecursionError):
                return
            if not isinstance(value, dict):
                return
            yield value


@contextmanager
def reading(path: Path, what: str, kind: type[LawfulError] = StoreError) -> Iterator[None]:
    """Turn whatever a library raises over a file that is not `what` into one error of this kind that names the file.

    Only a call of the library belongs inside: an error of our own code would be taken for damage of the file. Errors
    of the system (a missing permission, a full disk) go through as they are, and so does a StoreError, which names its
    own file.
    """
    try:
        yield
    except (MissingDependency, StoreError):
        raise
    except LawfulError as error:
        if str(path) in str(error):
            raise
        raise kind(f"{path}: {error}") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # libraries raise OSErrors without a number
            raise
        raise kind(f"{path}: expected {what}, got {_seen_instead(path, error)}.") from error


# how files of other kinds begin -> what they are, and what to do
_BEGINNINGS = {
    b"\x1f\x8b": "a gzip-compressed file; unpack it first",
    b"PK\x03\x04": "a zip archive or an Excel file; unpack it, or save the table as CSV",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF document",
    b"PAR1": "a Parquet file; its name must end in .parquet",
    b"\x89HDF": "an HDF5 file",
}


def _seen_instead(path: Path, error: Exception) -> str:
    """What a file that does not parse is, as far as can be told."""
    begin = b""
    if path.is_file():
        with path.open("rb") as file:
            begin = file.read(8)
    for magic, words in _BEGINNINGS.items():
        if begin.startswith(magic) and isinstance(error, UnicodeDecodeError):
            return words
    if isinstance(error, UnicodeDecodeError):
        return f"text that is not UTF-8 (byte 0x{error.object[error.start]:02x}); save it as UTF-8"
    said = " ".join(str(error).split())[:200]
    return f"a file that does not parse ({type(error).__name__}{said and ': '}{said})"


def no_json(error: ValueError | RecursionError) -> str:
    """What json.loads took offence at."""
    if isinstance(error, json.JSONDecodeError):
        return f"text that is no JSON (at line {error.lineno}, column {error.colno})"
    return "lists nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"


def plain(value: Any) -> Any:
    """JSON-ready: tuples become lists, paths text, NaN and infinities the strings "nan", "inf", "-inf"."""
    if value is None or type(value) in (str, int, bool):  # first: tables are made of these
        return value
    if type(value) is float:
        return value if math.isfinite(value) else str(value)
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


def is_disk_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class LeaseLost(OSError):
    """Another process has taken the claim over; what this one has not committed stays uncommitted."""


@dataclass(frozen=True)
class Lease:
    """A claim that is held.

    folder    CLAIMS/TOKEN, the holder's own: whatever it commits is made here and renamed into place. Who takes the
              claim over removes this folder first, so that such a rename can no longer happen: the file system itself
              refuses it, even to a holder that slept between its last look and its rename.
    """

    folder: Path
    lost: threading.Event = field(default_factory=threading.Event)  # set by the heartbeat; a commit finds out by itself

    @property
    def token(self) -> int:
        return int(self.folder.name)

    def check(self) -> None:
        """Raises LeaseLost when another has taken the claim over: for what is not committed by a rename."""
        if not self.folder.is_dir():
            self.lost.set()
            raise LeaseLost(f"{self.folder}: another process has taken this claim over.")


@contextmanager
def claimed(
    claims: Path,
    *,
    patience_seconds: float = 0.0,
    lease_seconds: float = LEASE_SECONDS,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Lease | None]:
    """Hold an exclusive claim while inside; None when another process holds it. Good on any file system that several
    machines share: it rests on mkdir and rename alone, and on nobody's clock but one's own.

    Whoever makes the folder CLAIMS/TOKEN holds the claim; TOKEN grows by one with each taking. The holder's heartbeat
    is a file whose content changes; a claim is taken over when its holder is a process of this machine that is gone,
    or when this process has seen the heartbeat stand still for as long as the holder promised it would not.

    patience_seconds    how long to wait at most until one can tell whether the holder lives
    lease_seconds       how long this holder's heartbeat may stand still; others wait LEASE_SECONDS at most
    should_stop         asked while waiting; None once it says yes
    """
    claims.mkdir(parents=True, exist_ok=True)
    deadline, first = time.monotonic() + patience_seconds, _pulse(claims, _newest(claims)[0])
    while (lease := _take(claims, lease_seconds)) is None:
        if should_stop() or time.monotonic() >= deadline or _pulse(claims, _newest(claims)[0]) != first:
            yield None
            return
        time.sleep(0.05)
    is_over = threading.Event()
    heart = threading.Thread(
        target=_beat, args=(lease, min(lease_seconds, LEASE_SECONDS) / BEATS, is_over), daemon=True
    )
    heart.start()
    try:
        yield lease
    finally:
        is_over.set()
        heart.join()
        with suppress(OSError):  # lost: there is nothing to give back
            os.rename(lease.folder, lease.folder.with_name(f"{lease.token}.over"))


def is_claimed(claims: Path) -> bool:
    """Whether a live process holds the claim, as far as can be told; a process of another machine that died counts as
    alive until this one has watched it for the length of its lease."""
    token, is_over = _newest(claims)
    return not is_over and not _has_expired(claims, token)


def claimed_at(claims: Path) -> float | None:
    """When the claim was last taken, in seconds since 1970 by the clock of the file system."""
    token, is_over = _newest(claims)
    try:
        return (claims / (f"{token}.over" if is_over else f"{token}") / "holder.json").stat().st_mtime
    except OSError:
        return None


def _take(claims: Path, lease_seconds: float) -> Lease | None:
    """One try; None when it is held, or when another was quicker."""
    token, is_over = _newest(claims)
    if not is_over:
        if not _has_expired(claims, token):
            return None
        try:
            os.rename(claims / f"{token}", claims / f"{token}.over")
        except OSError:
            return None
    if token + 1 >= MOST_TOKEN:  # nobody would know the next for one
        raise StoreError(f"{claims}: expected claims below {MOST_TOKEN - 1:,}, got {token:,}; delete this folder.")
    lease = Lease(claims / f"{token + 1}")
    try:
        lease.folder.mkdir()
    except FileExistsError:
        return None
    (lease.folder / "holder.json").write_text(json.dumps({**_process(), "lease_seconds": lease_seconds}))
    (lease.folder / "heartbeat").write_bytes(b"%020d" % 0)
    if _newest(claims) != (token + 1, False):  # slept before the mkdir: others have had this token meanwhile
        shutil.rmtree(lease.folder, ignore_errors=True)
        return None
    for _ in range(10):  # a former holder that still lives may be writing there
        former = [name for name in os.listdir(claims) if name != lease.folder.name]
        if not former:
            break
        for name in former:
            shutil.rmtree(claims / name, ignore_errors=True)
    return lease


def _newest(claims: Path) -> tuple[int, bool]:
    """The newest token, and whether its holder is done; (0, True) when nobody ever took the claim."""
    try:
        names = os.listdir(claims)
    except (FileNotFoundError, NotADirectoryError):
        names = []
    tokens = [found for name in names if (found := re.fullmatch(r"([1-9][0-9]{0,14})(\.over)?", name, re.ASCII))]
    for found in tokens:
        expect_own(claims / found[0])
    return max(((int(found[1]), bool(found[2])) for found in tokens), default=(0, True))


_seen: dict[Path, tuple[tuple[int, bytes], float]] = {}  # the last pulse of each claim, and since when by our own clock


def _has_expired(claims: Path, token: int) -> bool:
    path = claims / f"{token}" / "holder.json"
    expect_own(path)
    try:
        holder = read_json(path)
    except (OSError, StoreError):  # dead before it could write it, or not there yet
        holder = {}
    pid = holder.get("pid")
    if holder.get("machine") == _machine() and isinstance(pid, int) and _started(pid) != holder.get("started"):
        return True
    pulse, now = _pulse(claims, token), time.monotonic()
    if claims not in _seen or _seen[claims][0] != pulse:
        _seen[claims] = (pulse, now)
    return now - _seen[claims][1] > _lease_seconds(holder.get("lease_seconds"))


def _lease_seconds(promised: Any) -> float:
    """What a holder promised, as far as we allow: whoever wrote it must not make us wait for ever."""
    is_number = isinstance(promised, (int, float)) and not isinstance(promised, bool)
    return promised if is_number and 0 < promised < LEASE_SECONDS else LEASE_SECONDS


def _pulse(claims: Path, token: int) -> tuple[int, bytes]:
    path = claims / f"{token}" / "heartbeat"
    expect_own(path)
    try:
        with path.open("rb") as file:
            return token, file.read(64)
    except OSError:
        return token, b""


def _beat(lease: Lease, every_seconds: float, is_over: threading.Event) -> None:
    for count in itertools.count(1):
        if is_over.wait(every_seconds):
            return
        try:
            with (lease.folder / "heartbeat").open("r+b") as file:  # in place: it needs no room on a full disk
                file.write(b"%020d" % count)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESTALE):
                lease.lost.set()
                return


@contextmanager
def _fenced(lease: Lease | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if lease is None or error.errno not in (errno.ENOENT, errno.ESTALE):
            raise
        lease.lost.set()
        raise LeaseLost(f"{lease.folder}: another process has taken this claim over.") from None


def _process() -> dict[str, Any]:
    return {"machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


@functools.cache
def _machine() -> str:
    """This machine since its last start, and the namespace in which its process numbers count (containers have their
    own); where the system does not say, its name and network address."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        import platform
        import uuid

        return f"{platform.node()} {uuid.getnode():x}"


def _started(pid: int) -> str:
    """When the process of that number began, in ticks, since numbers are used again; "" when none lives."""
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except OSError:
            pass
        return "?"
    try:
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if facts[0] in "ZX" else facts[19]  # a zombie is dead; proc(5): fields 3 and 22


def cache_folder() -> Path:
    """Where prepared corpora and probes are kept: LAWFUL_CACHE, else XDG_CACHE_HOME/lawful, else ~/.cache/lawful."""
    if named := os.environ.get("LAWFUL_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lawful"


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
