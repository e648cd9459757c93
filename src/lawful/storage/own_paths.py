"""The check that what lies at a path of a study's folder is a file or folder of its own, no link and no pipe."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lawful.errors import StoreError

_own_links: set[Path] = set()  # made by this process


def allow_link(path: Path) -> None:
    """Let expect_own follow a link that this process made."""
    _own_links.add(path)


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
