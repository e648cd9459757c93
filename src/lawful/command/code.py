"""Which state of the code a command runs: the commit of its folder and what differs from it."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lawful.errors import DeclarationError, in_words

GIT_SECONDS = 60.0
MOST_BYTES = 2**28  # of a file that is hashed because the command names it


class Code:
    """The state of a folder's code at the time when this object is made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commit = _git(folder, "rev-parse", "HEAD").decode().strip()
        self._changes = (
            _git(folder, "diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv") if self.commit else b""
        )
        self._known: dict[tuple[str, ...], str] = {}

    def of(self, words: Sequence[str]) -> str:
        """The commit, with a hash of what differs from it. If the folder is in no repository: a hash of the files that
        the command names. Empty if there is neither.

        Files that git does not track are left out, since training writes some. Files that the command names are always
        counted, in the repository or outside of it.
        """
        named = self._named(words)
        key = tuple(str(path) for path in named)
        if key not in self._known:
            self._known[key] = self._state(named)
        return self._known[key]

    def _state(self, named: Sequence[Path]) -> str:
        if not self.commit:
            return f"files {self._digest(named)}" if named else ""
        inside = [path for path in named if self._is_inside(path)]  # git refuses a list that has a path outside
        unknown = _git(self.folder, "ls-files", "--others", "-z", "--", *map(str, inside)) if inside else b""
        others = {Path(os.fsdecode(name)) for name in unknown.split(b"\0")}
        named = [path for path in named if path not in inside or path in others]
        return f"{self.commit}+{self._digest(named)}" if self._changes or named else self.commit

    @functools.cached_property
    def _top(self) -> Path:
        return Path(os.fsdecode(_git(self.folder, "rev-parse", "--show-toplevel").rstrip(b"\n")))

    def _is_inside(self, path: Path) -> bool:
        """Whether the path, as the command names it, lies in the repository."""
        return Path(os.path.abspath(self.folder / path)).is_relative_to(self._top)

    def _named(self, words: Sequence[str]) -> list[Path]:
        """The words of the command that are names of files in the folder."""
        found = []
        texts = [*words, *" ".join(words).split()]  # one word may itself be a text for a shell
        for word in dict.fromkeys([*texts, *(text.partition("=")[2] for text in texts)]):  # --config=small.yaml
            try:
                if word and not os.path.isabs(word) and (self.folder / word).is_file():
                    found.append(Path(word))
            except (OSError, ValueError):
                continue  # a word that can be no path
        return found

    def _digest(self, files: Sequence[Path]) -> str:
        digest = hashlib.sha256(self._changes)
        for path in files:
            size = (self.folder / path).stat().st_size
            digest.update(f"\0{path}\0{size}\0".encode(errors="surrogateescape"))
            with (self.folder / path).open("rb") as file:
                digest.update(file.read(MOST_BYTES))
        return digest.hexdigest()[:12]


def _git(folder: Path, *arguments: str) -> bytes:
    """What git says; empty where it is not installed, or the folder is in no repository."""
    try:
        found = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments],
            capture_output=True,
            timeout=GIT_SECONDS,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except FileNotFoundError:
        return b""
    except subprocess.TimeoutExpired:
        raise DeclarationError(
            f"cwd: expected git to say the state of {folder} within {GIT_SECONDS:g} seconds, got nothing"
        ) from None
    except OSError as error:
        raise DeclarationError(f"cwd: {in_words(error)}") from None
    return found.stdout if found.returncode == 0 else b""
