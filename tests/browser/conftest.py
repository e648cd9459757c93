"""A real browser without a network, and a page for it: a fabricated study, as tests/report makes them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lawful.fitting.answers import write_answer
from lawful.report.evidence import read_evidence
from lawful.report.page import all_charts, page
from lawful.storage.atomic import write_text
from lawful.storage.layout import Store
from lawful.study import import_file

FABRICATED = Path(__file__).parents[1] / "report" / "conftest.py"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'lawful[browser]'")
    with playwright.sync_playwright() as tool:
        path = next((found for name in CHROMIUMS if (found := shutil.which(name))), None)
        if path is None and not Path(tool.chromium.executable_path).exists():
            pytest.skip("needs a browser: a chromium in the PATH, or `playwright install chromium`")
        launched = tool.chromium.launch(executable_path=path, args=["--no-sandbox"])  # as root in a container too
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """open_page(path or address, width=, dark=) -> the page, offline where it is a file; no error of its scripts."""
    opened, errors = [], []

    def opens(place: Path | str, *, width: int = 1280, dark: bool = False) -> Any:
        is_phone = width < 600
        context = browser.new_context(
            viewport={"width": width, "height": 844 if is_phone else 900},
            color_scheme="dark" if dark else "light",
            is_mobile=is_phone,
            has_touch=is_phone,
            offline=isinstance(place, Path),
            accept_downloads=True,
        )
        shown = context.new_page()
        shown.requests = []
        shown.on("request", lambda request: shown.requests.append(request.url))
        shown.on("pageerror", lambda error: errors.append(str(error)))
        shown.goto(place.as_uri() if isinstance(place, Path) else place)
        opened.append(context)
        return shown

    yield opens
    for context in opened:
        context.close()
    assert not errors


@pytest.fixture(scope="session")
def fabricate() -> Callable[..., Path]:
    """fabricate(folder, ...) -> the folder, with report.html; its law is the planted one."""
    made = import_file(FABRICATED)

    def write(folder: Path, **settings: Any) -> Path:
        made.fabricate(folder, **settings)
        here = Store(folder)
        write_answer(here.fit("loss"), made.plant_answer(folder))
        evidence = read_evidence(folder)
        write_text(here.report, page(evidence, all_charts(evidence)))
        return folder

    return write


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory, fabricate: Callable[..., Path]) -> Path:
    return fabricate(
        tmp_path_factory.mktemp("browser") / "study",
        widths=(16, 32, 64, 128),
        tokens=(125_000, 250_000, 500_000, 1_000_000),
        diverged=(5,),
        failed=(9,),
        points_per_run=20,
    )
