"""The only place that writes files: whole or not at all."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from lawful.errors import StoreError
from lawful.storage.json_files import as_text
from lawful.storage.lease import Lease, LeaseLost

MANY = 64  # files from which on the disk is waited for once for all of them
_writes_disabled = False


def disable_writes() -> None:
    """From now on this process writes no file: the first of those that train one run together writes for all."""
    global _writes_disabled
    _writes_disabled = True


@contextmanager
def read_only() -> Iterator[None]:
    """Inside, this process writes no file: a command that asks something of a folder leaves it as it was."""
    global _writes_disabled
    before, _writes_disabled = _writes_disabled, True
    try:
        yield
    finally:
        _writes_disabled = before


def write_whole(path: Path, write: Callable[[IO[bytes]], object], *, lease: Lease | None = None) -> None:
    """Write a file whole or not at all: temporary file beside it, fsync, rename, fsync of the folder.

    lease    under which to commit: the temporary file is made in its folder. Raises LeaseLost once another has it.
    """
    if _writes_disabled:
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
    if _writes_disabled:
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


def _expect_no_device(path: Path) -> None:
    """A rename would put a file in the place of /dev/null, for every program of the machine."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # not there, or in no folder: what writes it says so
    if path.parent == Path("/dev") or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise StoreError(f"{path}: expected the name of a file to write, got a device, pipe or socket.")


def _workplace(path: Path, lease: Lease | None) -> Path:
    _expect_no_device(path)
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
    write_text(path, as_text(value) + "\n", lease=lease)


def write_many_json(contents: Mapping[Path, Any]) -> None:
    """Write files of folders of their own, each whole or not at all, and wait for the disk twice in all: 10,000 files
    that wait three times each take minutes. Where the system has no such wait (Windows), each file is synced."""
    if _writes_disabled:
        return
    if len(contents) < MANY or not hasattr(os, "sync"):
        for path, value in contents.items():
            write_json(path, value)
        return
    written: dict[Path, Path] = {}
    mode = 0o666 & ~_umask()
    try:
        for path, value in contents.items():
            with _naming(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
                written[path] = Path(temporary)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(as_text(value).encode() + b"\n")
                os.chmod(temporary, mode)
        os.sync()
        for path, made in written.items():
            os.replace(made, path)
    except BaseException:
        for made in written.values():
            made.unlink(missing_ok=True)
        raise
    os.sync()


def open_log(path: Path) -> IO[bytes]:
    """A log, to be written on. One that has another name too, perhaps outside the study's folder, is copied first."""
    with suppress(FileNotFoundError):
        if path.stat().st_nlink > 1:
            with path.open("rb") as former:
                write_whole(path, functools.partial(shutil.copyfileobj, former))
    return path.open("ab")


def set_log_aside(path: Path) -> None:
    """Rename a log that is full to NAME.1, in place of the former one."""
    os.replace(path, path.with_name(f"{path.name}.1"))


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


@contextmanager
def _fenced(lease: Lease | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if lease is None or error.errno not in (errno.ENOENT, errno.ESTALE):
            raise
        lease.lost.set()
        raise LeaseLost(f"{lease.folder}: another process has taken this claim over.") from None


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
