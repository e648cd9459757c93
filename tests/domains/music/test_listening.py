"""What the report shows of samples: no file from outside the folder, and no markup from a file's name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lawful.domains.music.sections import listening
from lawful.errors import StoreError
from lawful.report.page import write_report
from lawful.storage.atomic import write_json
from lawful.storage.layout import Store
from report.conftest import fabricate

OUTSIDE = "what lies outside"


def _with_samples(folder: Path, file: str, label: str = "width=8") -> None:
    shares = dict.fromkeys(listening.COLUMNS, 0.5)
    run = {"run": "a", "label": label, "loss": 1.0, "statistics": shares, "file": file, "notes": [[0, 1, 60]]}
    samples = {"draw": {"temperature": 1, "top_p": 0.9, "length": 3}, "samples_each": 1, "runs": [run]}
    write_json(Store(folder).samples, {**samples, "real": {"pieces": 1, "statistics": shares}})


@pytest.mark.parametrize("file", ["/OUTSIDE", "../../outside", "..", "link.mid", "pipe.mid", ""])
def test_the_page_holds_no_file_from_outside_the_folder(tmp_path: Path, file: str) -> None:
    folder, outside = fabricate(tmp_path / "study"), tmp_path / "outside"
    outside.write_text(OUTSIDE)
    _with_samples(folder, file.replace("/OUTSIDE", str(outside)))
    (folder / "samples" / "link.mid").symlink_to(outside)
    os.mkfifo(folder / "samples" / "pipe.mid")
    with pytest.raises(StoreError, match="expected the name of a file|got a link|got a pipe"):
        write_report(folder)


def test_a_sample_of_any_name_is_no_markup_in_markdown(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "study")
    _with_samples(folder, "x)<img src=x onerror=alert(1)>.mid", "<script>alert(1)</script>\n# a](b)")
    write_report(folder)
    text = Store(folder).report_markdown.read_text()
    assert "<img" not in text and "<script" not in text and "\n# a" not in text and "samples/x%29%3Cimg" in text
