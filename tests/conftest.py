"""What many tests share: a cache folder of their own, and a small study ready to train."""

from __future__ import annotations

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


@pytest.fixture
def toy_folder(tmp_path: Path) -> Callable[..., Path]:
    """Plan tests/toy_study.py into a new folder: toy_folder(steps=(20, 40), dropout=.1) -> the folder."""
    from lawful.study import import_file
    from lawful.train.plan import make_plan

    def plan(name: str = "toy", **settings: object) -> Path:
        declared = import_file(TOY).study(**settings)
        folder = tmp_path / name
        make_plan(declared, device_name="cpu", study_file=TOY, is_timed=False).write(folder)
        return folder

    return plan
