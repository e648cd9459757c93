"""A watched page in a browser: it follows the study, and what the reader has done to it stays."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lawful.storage.layout import Store

pytestmark = pytest.mark.browser
SECONDS = 90  # that a refit may take on a machine with much else to do


def test_a_run_that_ends_is_shown_and_the_filter_the_sorting_and_the_place_stay(
    tmp_path: Path, fabricate: Callable[..., Path], open_page: Callable[..., Any]
) -> None:
    folder = fabricate(
        tmp_path / "study",
        widths=(16, 24, 40, 64),
        tokens=(125_000, 250_000, 500_000),
        seeds=2,
        held_out=False,
        points_per_run=8,
    )
    here = Store(folder)
    last = here.result(here.read_study().runs[-1].run)
    shutil.move(last, tmp_path / "result.json")
    command = [sys.executable, "-m", "lawful", "watch", str(folder), "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())  # type: ignore[union-attr]
        assert address
        page = open_page(address[0])
        page.get_by_text("23 of 24 runs finished").wait_for(timeout=SECONDS * 1000)
        page.fill("#runs input", "size=64")
        page.get_by_role("button", name="Loss", exact=True).click()
        page.evaluate("document.getElementById('runs').scrollIntoView({behavior: 'instant'})")
        place = page.evaluate("document.getElementById('runs').getBoundingClientRect().top")
        shutil.move(tmp_path / "result.json", last)
        page.get_by_text("24 of 24 runs finished").wait_for(timeout=SECONDS * 1000)
        page.wait_for_selector("#answer .notice.progress", state="detached", timeout=SECONDS * 1000)
        assert page.input_value("#runs input") == "size=64"
        assert page.text_content("#runs output") == "6 of 24 rows"
        assert page.get_attribute("#runs th:has-text('Loss')", "aria-sort") == "ascending"
        assert page.evaluate("document.getElementById('runs').getBoundingClientRect().top") == pytest.approx(
            place, abs=2
        )
        assert page.locator("#runs tbody tr:visible", has_text="not finished").count() == 0
        assert all(url.startswith((address[0], "data:", "blob:")) for url in page.requests)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=SECONDS) == 0
        page.get_by_text("No longer watched").wait_for(timeout=SECONDS * 1000)
    finally:
        process.kill()
        process.communicate()
