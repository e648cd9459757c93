"""Files that are parsed once for as long as they do not change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

Content = TypeVar("Content")


class Cached(Generic[Content]):
    """Parsed files, kept until their modification time or size changes."""

    def __init__(self, parse: Callable[[Path], Content]) -> None:
        self._parse = parse
        self._known: dict[Path, tuple[tuple[int, int], Content]] = {}

    def read(self, path: Path) -> Content | None:
        """None where there is no file."""
        try:
            facts = path.stat()
        except OSError:
            return None
        key = (facts.st_mtime_ns, facts.st_size)
        known = self._known.get(path)
        if known is None or known[0] != key:
            known = self._known[path] = (key, self._parse(path))
        return known[1]

    def changed_at(self, path: Path) -> float | None:
        """Seconds since 1970, of a file that was read; None of any other."""
        known = self._known.get(path)
        return known[0][0] / 1e9 if known else None
