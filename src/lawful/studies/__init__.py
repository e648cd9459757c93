"""The built-in studies, one file each: declarations only. The files of this folder are the list."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from lawful import registry
from lawful.errors import DeclarationError
from lawful.study import import_file


def names() -> list[str]:
    """The built-in studies, those of the domains and those of installed packages."""
    return list(registry.found("studies"))


def find(name_or_path: str) -> tuple[ModuleType, Path | None]:
    """A registered study by name, or a user's own by the path of its Python file; the module, and the path if its
    own."""
    if entry := registry.find("studies", name_or_path):
        return entry.load(), None
    path = Path(name_or_path)
    if path.suffix == ".py" or path.exists():
        return import_file(path), path
    raise DeclarationError(
        f"expected a study, one of {', '.join(names())}, or the path of a Python file; got {name_or_path!r}."
    )
