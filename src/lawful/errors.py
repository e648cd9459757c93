"""The errors that lawful raises on purpose; any other exception is a bug.

Each message says where, what was expected, what came and what to do. The command line prints these (and the system's
own OSError) as one line and ends with status 2; anything else keeps its traceback. They are ValueErrors, so that code
which calls lawful may catch either.
"""

from __future__ import annotations

import errno

MOST_LINES, MOST_CHARACTERS = 24, 2000  # of a message: it must fit on a screen of 80 x 25
LAST_LINES, LAST_CHARACTERS = 4, 500  # of these, what is kept of the end, where the way out stands


class LawfulError(ValueError):
    """Base of all errors that a user can mend. A message longer than a screen is cut in its middle."""

    def __init__(self, message: str) -> None:
        super().__init__(in_short(message))


class DeclarationError(LawfulError):
    """A study, run, law, question, argument or option is not what it must be."""


class TableError(LawfulError):
    """A table of runs cannot be read, or not as it was asked to be."""


class DataError(LawfulError):
    """A corpus, a file that it reads, a tokenizer or a download is missing, damaged or of another kind."""


class StoreError(LawfulError):
    """A study's folder is missing, damaged, from another version, or another study's."""


class DeviceError(LawfulError):
    """A device that was asked for is not there, or is not the one that was planned."""


class MissingDependency(LawfulError):
    """An optional package is not installed, or does not import; the message names the extra that brings it."""

    @classmethod
    def of(cls, package: str, *, extra: str, what: str, error: ImportError | None = None) -> MissingDependency:
        """`what` needs the package, which an extra of pyproject.toml brings; `error` came over its import."""
        if error is None or (isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == package):
            return cls(f"{what} needs the package {package}, which is not installed: pip install 'lawful[{extra}]'.")
        return cls(
            f"{what} needs the package {package}, which is installed but does not import ({error}): "
            f"pip install --force-reinstall 'lawful[{extra}]'."
        )


class Refusal(LawfulError):
    """The data do not support the answer that was asked for.

    Attributes
    ----------
    code : str
        A stable name for the reason; `lawful explain CODE` says more.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[Refusal], tuple[str, str]]:
        return type(self), (self.code, str(self))


def in_short(message: str) -> str:
    """The message, or its beginning and its end where it is longer than a screen."""
    lines = message.split("\n")
    if len(lines) > MOST_LINES:
        first = MOST_LINES - LAST_LINES - 1
        left_out = f"  ... ({len(lines) - first - LAST_LINES} more lines) ..."
        message = "\n".join([*lines[:first], left_out, *lines[-LAST_LINES:]])
    if len(message) > MOST_CHARACTERS:
        first = MOST_CHARACTERS - LAST_CHARACTERS - 50  # room for the words between
        left_out = f" ... ({len(message) - first - LAST_CHARACTERS:,} more characters) ... "
        message = message[:first] + left_out + message[-LAST_CHARACTERS:]
    return message


_DISK_FULL = "disk full; nothing that was finished is lost: make room, then give the command again"
# errno -> what failed, and what to do
_IN_WORDS = {
    errno.ENOSPC: _DISK_FULL,
    errno.EDQUOT: _DISK_FULL,
    errno.ENOENT: "no such file or folder; look at the path",
    errno.EACCES: "you may not read or write this; change its permissions, or name another place",
    errno.EPERM: "you may not read or write this; change its permissions, or name another place",
    errno.EROFS: "a read-only file system, where nothing can be written; name another place, or work on a copy",
    errno.ENOTDIR: "a part of this path is a file, expected a folder; name another place",
    errno.EISDIR: "this is a folder, expected a file; name another place",
    errno.EEXIST: "a file of this name is in the way; move it, or name another place",
    errno.ENAMETOOLONG: "this name is too long for the file system; choose a shorter one",
    errno.ELOOP: "symbolic links lead in a circle; name the real place",
    errno.ENODEV: "no such device; name another place",
    errno.ENXIO: "no such device; name another place",
    errno.EMFILE: "too many open files for one process; raise the limit (`ulimit -n 4096`)",
    errno.ENFILE: "too many open files on this machine; close other programs",
    errno.EIO: "the disk failed to read or write; what lies there may be damaged",
    errno.ESTALE: "the network file system lost this file; give the command again",
}


def in_words(error: OSError) -> str:
    """One line about an error of the system: where, what failed, what to do."""
    where = error.filename2 or error.filename  # of a renaming, the place that the user knows
    place = f"{where}: " if where is not None else ""
    words = _IN_WORDS.get(error.errno or 0)
    return in_short(f"{place}{words or error.strerror or ' '.join(str(error).split())}.")
