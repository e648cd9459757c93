"""lawful new-plugin: a package to begin with, which brings a law, a reader, a corpus, a study and a section."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from keyword import iskeyword
from pathlib import Path
from typing import Annotated

import typer

from lawful.errors import DeclarationError
from lawful.storage.atomic import write_text

NAME = "my_plugin"  # in the texts and names of lawful/templates/plugin


def register(app: typer.Typer) -> None:
    app.command("new-plugin")(new_plugin)


def new_plugin(
    folder: Annotated[Path, typer.Argument(help="The new package's folder; its name is the package's.")],
) -> None:
    """Write a package that adds to lawful: a law, a reader, a corpus, a study and a section, with their tests."""
    name = folder.name.replace("-", "_")
    if not (name.isidentifier() and not iskeyword(name) and name.isascii() and name == name.lower()):
        raise DeclarationError(
            f"expected a folder whose name can be a package's, such as my_plugin, got {folder.name!r}."
        )
    if folder.exists():
        raise DeclarationError(f"{folder}: expected a new folder, got one that is there; choose another name.")
    for place, text in _files(resources.files("lawful") / "templates" / "plugin"):
        write_text(folder / place.replace(NAME, name), text.replace(NAME, name))
    print(f"{folder}: a law, a reader, a corpus, a study and a section; pyproject.toml names each")
    print(f"next: cd {folder}, pip install -e '.[train,test]', then what README.md says")


def _files(folder: Traversable, before: str = "") -> list[tuple[str, str]]:
    """Path and text of every file below, in order."""
    found: list[tuple[str, str]] = []
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        place = f"{before}{entry.name}"
        if entry.is_dir():
            found += _files(entry, f"{place}/") if entry.name != "__pycache__" else []
        else:
            found.append((place, entry.read_text(encoding="utf-8")))
    return found
