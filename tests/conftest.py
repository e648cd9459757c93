"""What many tests share: a cache folder of their own, and a small study ready to train."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tally import pytest_runtest_logreport, pytest_sessionfinish, tally  # noqa: F401

TOY = Path(__file__).parent / "toy_study.py"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tests neither read nor fill the user's cache, nor the record of what the user trusts."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.setenv("LAWFUL_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of data sets that are not in the repository. A test that uses it is marked needs_data."""
    return Path(os.environ["LAWFUL_DATA"])


@pytest.fixture(scope="session")
def data_file(data_folder: Path) -> Callable[[str], Path]:
    """data_file("tinyshakespeare/input.txt") -> its path; the test is skipped where the folder has no such file."""

    def find(name: str) -> Path:
        if not (path := data_folder / name).exists():
            pytest.skip(f"LAWFUL_DATA has no {name}")
        return path

    return find


def pytest_sessionstart() -> None:
    """No collection of garbage while the tests are collected: there is none, and each walks over all modules."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What is imported by now stays; a collection of garbage in a test does not walk over it again."""
    gc.enable()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before -m deselects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    no_data = pytest.mark.skip(reason="LAWFUL_DATA is not set: the folder of data sets that are not in the repository")
    for item in items:
        if "data_folder" in getattr(item, "fixturenames", ()):
            item.add_marker("needs_data")
        if item.get_closest_marker("needs_data") and not os.environ.get("LAWFUL_DATA"):
            item.add_marker(no_data)


@pytest.fixture
def toy_folder(tmp_path: Path) -> Callable[..., Path]:
    """Plan tests/toy_study.py into a new folder: toy_folder(steps=(20, 40), dropout=.1) -> the folder."""
    from lawful.planning.plan import make_plan
    from lawful.study import import_file

    def plan(name: str = "toy", **settings: object) -> Path:
        declared = import_file(TOY).study(**settings)
        folder = tmp_path / name
        make_plan(declared, device_name="cpu", study_file=TOY, is_timed=False).write(folder)
        return folder

    return plan


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures/, for tests that read their text alone: drawing is a third of a report's time."""
    monkeypatch.setattr("lawful.report.page.write_figures", lambda drawn, folder: None)
