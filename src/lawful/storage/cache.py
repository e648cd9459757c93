"""Where prepared data is kept between studies."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where prepared corpora and probes are kept: LAWFUL_CACHE, else XDG_CACHE_HOME/lawful, else ~/.cache/lawful."""
    if named := os.environ.get("LAWFUL_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lawful"
