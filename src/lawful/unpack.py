"""Unpack archives and compressed files in memory, within limits of size and count. Nothing is written to disk."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from lawful.errors import DataError

MOST_GROWTH = 100  # times its own size that a packed file may hold: text packs 3 to 20 times, a bomb thousands
LEAST_ROOM = 2**30  # bytes that any packed file may hold
MOST_AT_ONCE = 2**27  # bytes read in one go; a header of a tar may declare a name of any length, which is read whole
MOST_MEMBERS = 1_000_000  # of an archive
_PACKED = {b"\x1f\x8b": gzip, b"BZh": bz2, b"\xfd7zXZ\x00": lzma}


def room(path: Path) -> int:
    """Bytes that the packed file may hold."""
    return max(LEAST_ROOM, MOST_GROWTH * path.stat().st_size)


def beginning(content: bytes, size: int = 4096) -> bytes:
    """How content begins, unpacked where it is packed; nothing where it is damaged."""
    packed: Any = next((module for magic, module in _PACKED.items() if content.startswith(magic)), None)
    if packed is None:
        return content[:size]
    try:
        return bytes(packed.open(io.BytesIO(content)).read(size))
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return b""


class Unpacked:
    """A binary stream of a file's content; gzip, bzip2 and xz are decompressed.

    Raises DataError when the content is longer than `room` allows.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._room, self._size = path, room(path), path.stat().st_size
        self._file = path.open("rb")
        head = self._file.read(6)
        self._file.seek(0)
        packed: Any = next((module for magic, module in _PACKED.items() if head.startswith(magic)), None)
        self._stream: Any = packed.open(self._file) if packed else self._file

    @property
    def share(self) -> float:
        """The share of the file on disk that was read so far."""
        return self._file.tell() / max(self._size, 1)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MOST_AT_ONCE:
            raise DataError(f"{self._path}: expected parts of at most {MOST_AT_ONCE:,} bytes, got one of {size:,}.")
        return self._within(self._stream.read(size))

    def readline(self, size: int) -> bytes:
        return self._within(self._stream.readline(size))

    def seek(self, place: int, whence: int = 0) -> int:
        if place > self._room:
            raise self._bomb()
        found: int = self._stream.seek(place, whence)
        return found

    def tell(self) -> int:
        found: int = self._stream.tell()
        return found

    def close(self) -> None:
        self._stream.close()
        self._file.close()

    def __enter__(self) -> Unpacked:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _within(self, content: bytes) -> bytes:
        if self._stream.tell() > self._room:
            raise self._bomb()
        return content

    def _bomb(self) -> DataError:
        return DataError(
            f"{self._path}: expected at most {self._room:,} bytes, unpacked, of a file of {self._size:,}; got more."
        )


def tar_members(stream: Unpacked) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """The members of a tar in their order. The content is None for a member that is no file; a file must be read before
    the next member is asked for."""
    with tarfile.open(fileobj=stream, mode="r:") as tar:  # type: ignore[call-overload]
        for number in itertools.count():
            if (member := tar.next()) is None:
                return
            if number >= MOST_MEMBERS:
                raise DataError(f"expected at most {MOST_MEMBERS:,} files in an archive, got more")
            yield member, tar.extractfile(member) if member.isfile() else None
            tar.members.clear()  # tarfile keeps every one


def zip_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The content of a member of a zip. It is read in small pieces: one piece of bzip2 or xz is decompressed whole,
    whatever its size."""
    with archive.open(entry) as file:
        return b"".join(iter(lambda: file.read(4096), b""))
