"""A cache of the tests' own, so that no contract reads or fills the user's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Shared by the session, since preparing a corpus takes seconds; a test that damages files takes empty_cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAWFUL_CACHE", str(folder))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield folder


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAWFUL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def small_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """python_docs is made from thirty lines instead of a whole Python, so that it can be made several times."""
    from lawful.corpora import python_docs

    for number in range(30):
        (tmp_path / "library").mkdir(exist_ok=True)
        (tmp_path / "library" / f"m{number}.py").write_text(f"def f{number}():\n    'Number {number}.'\n")
    monkeypatch.setattr(python_docs, "_library", lambda: tmp_path / "library")
