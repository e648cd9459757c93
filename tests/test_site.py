"""What the documentation site adds to its pages: the command line, the columns, why a block is not run."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import typer.main

from lawful.cli import app
from lawful.tables import COLUMNS

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "make" / "hooks.py")
assert spec is not None and spec.loader is not None
hooks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hooks)


def shown(name: str) -> str:
    page = SimpleNamespace(file=SimpleNamespace(src_uri=name))
    return hooks.on_page_markdown((ROOT / "docs" / name).read_text(encoding="utf-8"), page)


def test_the_reference_has_every_command_with_its_options() -> None:
    text = shown("reference/command-line.md")
    assert all(f"## lawful {name}\n" in text for name in typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert "## lawful data prepare\n" in text
    assert "--claim" in text and "--where" in text and "--executor" in text


def test_the_reference_has_every_column_of_the_table() -> None:
    text = shown("reference/table.md")
    assert all(f"| `{name}` |" in text for name in COLUMNS)


def test_the_reader_sees_why_a_block_is_not_run() -> None:
    assert "*Not run by our tests: it needs a GPU.*" in shown("how-to/gpu.md")


def test_a_page_that_the_menu_does_not_name_is_added_to_it(tmp_path: Path) -> None:
    for name in ("index.md", "new.md", "how-to/old.md", "how-to/new.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("# A page\n", encoding="utf-8")
    nav = [{"Home": "index.md"}, {"How to": [{"Old": "how-to/old.md"}]}]
    hooks.on_config({"docs_dir": str(tmp_path), "nav": nav})
    assert nav == [{"Home": "index.md"}, {"How to": [{"Old": "how-to/old.md"}, "how-to/new.md"]}, "new.md"]
