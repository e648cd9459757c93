"""The built-in studies, one file each: declarations only. The files of this folder are the list."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from lawful.errors import DeclarationError
from lawful.study import import_file


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name_or_path: str) -> tuple[ModuleType, Path | None]:
    """A built-in study by name, or a user's own by the path of its Python file; the module, and the path if its own."""
    if name_or_path in names():
        return importlib.import_module(f"lawful.studies.{name_or_path}"), None
    path = Path(name_or_path)
    if path.suffix == ".py" or path.exists():
        return import_file(path), path
    raise DeclarationError(
        f"expected a study, one of {', '.join(names())}, or the path of a Python file; got {name_or_path!r}."
    )
