"""The output of a command in a file of bounded length: the newest part, and the part before it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from lawful.storage.atomic import open_log, set_log_aside

MOST_BYTES = 8 * 2**20  # of the file; there are two at most


class Log:
    """Lines are added at the end; a file that is full is renamed to NAME.1, in place of the former one."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self._path, self._most = path, most_bytes
        self._file = open_log(path)
        self._size = self._file.tell()

    def write(self, line: bytes) -> None:
        if self._size > self._most:
            self._file.close()
            set_log_aside(self._path)
            self._file = open_log(self._path)
            self._size = 0
        self._file.write(line + b"\n")
        self._size += len(line) + 1

    def flush(self) -> None:
        self._file.flush()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
