"""Which study files this user trusts. lawful runs a Python file that a folder names only if it is trusted.

A study's folder may come from somebody else, and its study.json may name the Python file that declared the study.
Reading a folder never runs this file. Training runs it only if its SHA-256 is trusted: the user planned a study from
the same file before, or allowed it with --trust. A user's own law is different: the user names it in each command with
--law (see laws.stored).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from lawful.errors import DeclarationError, StoreError
from lawful.storage.atomic import write_text

FEWEST_DIGITS = 12  # of the SHA-256 in --trust: 48 bits, too many to find another file with the same digits by chance
_remembered: set[str] = set()  # trusted by this process; needed if the configuration folder is not writable


def config_folder() -> Path:
    """XDG_CONFIG_HOME/lawful, else ~/.config/lawful. Not the cache: a team may share that, and trust is one's own."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "lawful"


def remember(sha256: str, what: str) -> None:
    """Trust the file with this SHA-256 from now on.

    what    a note that is written into the record, for a person who reads it
    """
    if is_trusted(sha256):
        return
    _remembered.add(sha256)
    try:
        write_text(config_folder() / "trusted" / sha256, what + "\n")
    except OSError:
        pass  # no such folder on this machine, or not writable: trusted for as long as this process lives


def is_trusted(sha256: str) -> bool:
    return sha256 in _remembered or (config_folder() / "trusted" / sha256).is_file()


def allow(digits: str, own: tuple[Path, str] | None, folder: Path) -> None:
    """Trust the study's own file, as --trust asks. Raises DeclarationError if the digits are not those of the file.

    digits    the beginning of a SHA-256, at least FEWEST_DIGITS long
    own       the study's own file and its SHA-256; None if the study has none
    """
    path, sha256 = own or (None, "")
    if len(digits) < FEWEST_DIGITS or not sha256.startswith(digits.lower()):
        named = f"names {path}, {sha256}" if own else "names no file"
        raise DeclarationError(
            f"--trust: expected at least {FEWEST_DIGITS} digits of the SHA-256 of the study file that {folder} names, "
            f"got {digits!r}; it {named}."
        )
    remember(sha256, f"study file {path}")


def refusal(named_by: Path, path: Path, sha256: str) -> StoreError:
    """The error for a study file that a folder names and that this user has neither run nor allowed."""
    return StoreError(
        f"{named_by} names the study file {path} (SHA-256 {sha256}), which you have not run before: it would run as a "
        f"program, with your rights. Read it first; if you trust it, say so: --trust {sha256[:FEWEST_DIGITS]}"
    )


def run_file(path: Path, name: str, text: bytes) -> ModuleType:
    """Run a user's Python file and return its module.

    name    of the new module, in sys.modules too
    text    the content of the file, as it was read and checked. This text runs, never a compiled copy in __pycache__,
            which may be of another text
    """
    loader = _Source(name, str(path), text)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _Source(SourceFileLoader):
    """A loader that compiles the text it was given and does not read the file again."""

    def __init__(self, name: str, path: str, text: bytes) -> None:
        super().__init__(name, path)
        self.text = text

    def get_code(self, fullname: str) -> CodeType | None:
        return self.source_to_code(self.text, self.path)
