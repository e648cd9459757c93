"""Which Python files this user has run or named: the only ones that run because a study's folder names them.

A study's folder may come from somebody else, and study.json may name a Python file: the study's own, or a question's
law. Reading a folder runs no such file. Training runs the study's own file, and a fit its own law, only where the
file's SHA-256 is known: the user planned a study from that file, named it with --law, or allowed it with --trust.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from lawful import store
from lawful.errors import DeclarationError, StoreError

FEWEST_DIGITS = 12  # of a SHA-256 that --trust names: 48 bits, far more than anyone can aim at by trying
_remembered: set[str] = set()  # by this process, also where the user's folder cannot be written


def config_folder() -> Path:
    """XDG_CONFIG_HOME/lawful, else ~/.config/lawful. Not the cache: a team may share that, and trust is one's own."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "lawful"


def remember(sha256: str, what: str) -> None:
    """Trust the file of this SHA-256 from now on. what: a note for the reader of the record"""
    if is_trusted(sha256):
        return
    _remembered.add(sha256)
    try:
        store.write_text(config_folder() / "trusted" / sha256, what + "\n")
    except OSError:
        pass  # no such folder on this machine, or not writable: trusted for as long as this process lives


def is_trusted(sha256: str) -> bool:
    return sha256 in _remembered or (config_folder() / "trusted" / sha256).is_file()


def allow(prefix: str, named: Mapping[str, str], folder: Path) -> None:
    """What --trust asks for.

    named    SHA-256 -> what it is of; all code that the folder names
    """
    known = ", ".join(f"{sha256} ({what})" for sha256, what in named.items()) or "no file at all"
    found = [sha256 for sha256 in named if sha256.startswith(prefix.lower())]
    if len(prefix) < FEWEST_DIGITS or not found:
        raise DeclarationError(
            f"--trust: expected at least {FEWEST_DIGITS} digits of the SHA-256 of a file that {folder} names, "
            f"got {prefix!r}; it names {known}."
        )
    for sha256 in found:
        remember(sha256, named[sha256])


def refusal(named_by: object, what: str, allow: str) -> StoreError:
    """The error for code that a folder names and that this user has neither run nor allowed."""
    return StoreError(
        f"{named_by} names {what}, which you have not run before: it would run as a program, with your rights. "
        f"Read it first; if you trust it, say so: {allow}"
    )


def run_file(path: Path, name: str, text: bytes) -> ModuleType:
    """A new module of this name, made by running `text`, the file's content. The source itself runs, never a compiled
    copy of it in __pycache__, which may hold something else."""
    loader = _Source(name, str(path), text)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    loader.exec_module(module)
    return module


class _Source(SourceFileLoader):
    def __init__(self, name: str, path: str, text: bytes) -> None:
        super().__init__(name, path)
        self.text = text

    def get_code(self, fullname: str) -> CodeType | None:
        return self.source_to_code(self.text, self.path)
