"""Finds everything that lawful uses by name: its own files, its domains' files, and what other packages bring.

There are three places, and nobody lists anything twice:

- a file in the folder of its kind, `lawful/laws/power.py`; its name is the file's name;
- a file in the same folder of a domain, `lawful/domains/DOMAIN/families/NAME.py`;
- an entry point of an installed package, in the group `lawful.KIND`: `[project.entry-points."lawful.laws"]` with
  `my_law = "my_package.laws:MyLaw"`.

Finding reads the names of files and the records of installed packages. It imports nothing; `Entry.load` imports one
thing. The user has installed the packages, so their code may run. A folder of runs never names a module to import: see
`module_of`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lawful.errors import DeclarationError

ROOT = Path(__file__).parent

# kind -> the class whose subclasses are of this kind; "" where an entry is the module itself
KINDS = {
    "laws": "lawful.laws:Law",
    "families": "lawful.families:Family",
    "corpora": "lawful.corpora:Corpus",
    "tokenizers": "lawful.tokenizers:Tokenizer",
    "tasks": "lawful.tasks:Task",
    "rules": "lawful.rules:Rule",
    "executors": "lawful.executors:Executor",
    "readers": "lawful.plugins:Reader",
    "studies": "",
    "columns": "",
    "analyses": "lawful.plugins:Analysis",
    "sections": "lawful.report.section:Section",
    "data_commands": "",
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that was found.

    module    where it is defined
    member    its name in the module; "": the module's only class of this kind, or the module itself
    package   who brings it: lawful, or the name of an installed package
    """

    kind: str
    name: str
    module: str
    member: str = ""
    package: str = "lawful"

    def load(self) -> Any:
        """The class, or the one thing of the class that the module holds (a law that is a formula); of studies, columns
        and commands the module. Raises DeclarationError where the entry point of another package is wrong."""
        base = KINDS[self.kind]
        if self.package == "lawful":
            module = importlib.import_module(self.module)
            return _only_one(module, _member(base)) if base else module
        try:
            value = _member(f"{self.module}:{self.member}") if self.member else importlib.import_module(self.module)
        except (ImportError, AttributeError) as error:
            raise DeclarationError(f"{self._says()}, which cannot be imported ({error}); repair the package.") from None
        is_one = bool(base) and isinstance(value, _member(base))
        if base and not (is_one or (isinstance(value, type) and issubclass(value, _member(base)))):
            raise DeclarationError(f"{self._says()}; expected a subclass of {base.replace(':', '.')}.")
        return value

    def _says(self) -> str:
        place = f"{self.module}:{self.member}" if self.member else self.module
        return f"the package {self.package} has the entry point lawful.{self.kind}: {self.name} = {place}"


def found(kind: str) -> dict[str, Entry]:
    """Everything of a kind by name, in the order of names, lawful's own first. Raises DeclarationError where two have
    one name."""
    all_of_kind = dict(built_in(kind))
    for entry in _of_packages().get(kind, ()):
        if other := all_of_kind.get(entry.name):
            raise DeclarationError(
                f"{kind}: two are called {entry.name!r}: one of {other.package}, one of {entry.package}. Remove one "
                "of the packages, or give its entry point another name."
            )
        all_of_kind[entry.name] = entry
    return all_of_kind


def find(kind: str, name: str) -> Entry | None:
    """The entry of this name. Other packages are only looked at where lawful has none: that takes 0.1 seconds."""
    return built_in(kind).get(name) or found(kind).get(name)


def every(kind: str) -> dict[str, Any]:
    """Everything of a kind, imported."""
    return {name: entry.load() for name, entry in found(kind).items()}


def name_of(kind: str, cls: type) -> str:
    """The name by which a class is found; "" for a class that is not registered."""
    if cls.__module__.startswith("lawful."):
        own = next((entry for entry in built_in(kind).values() if entry.module == cls.__module__), None)
        return own.name if own and own.load() is cls else ""
    place = (cls.__module__, cls.__qualname__)
    return next((name for name, entry in found(kind).items() if (entry.module, entry.member) == place), "")


@functools.cache
def built_in(kind: str) -> Mapping[str, Entry]:
    """What lawful and its domains bring, by name."""
    entries: dict[str, Entry] = {}
    for parent in ("lawful", *(f"lawful.domains.{name}" for name in domains())):
        folder = ROOT.joinpath(*parent.split(".")[1:], kind)
        for file in pkgutil.iter_modules([str(folder)]):
            module = f"{parent}.{kind}.{file.name}"
            if other := entries.get(file.name):
                raise DeclarationError(f"{kind}: two are called {file.name!r}: {other.module} and {module}.")
            entries[file.name] = Entry(kind=kind, name=file.name, module=module)
    return dict(sorted(entries.items()))


@functools.cache
def domains() -> tuple[str, ...]:
    """The folders in lawful/domains: each is a plug-in that comes with lawful."""
    return tuple(sorted(file.name for file in pkgutil.iter_modules([str(ROOT / "domains")])))


@functools.cache
def _of_packages() -> Mapping[str, tuple[Entry, ...]]:
    """kind -> the entry points of other packages. The import is here because it takes longer than all else."""
    from importlib.metadata import entry_points

    known = entry_points()
    return {
        kind: tuple(
            Entry(
                kind=kind,
                name=point.name,
                module=point.module,
                member=point.attr,
                package=point.dist.name if point.dist else "unknown",
            )
            for point in sorted(known.select(group=f"lawful.{kind}"))
        )
        for kind in KINDS
    }


def recorded(module: str) -> str:
    """The name of a module in a Run's JSON, from which its id is made. A file may move into a domain without a change
    of ids: lawful/domains/DOMAIN/KIND/NAME.py is recorded as lawful.KIND.NAME, another file of the domain as
    lawful.DOMAIN.NAME."""
    parts = module.split(".")
    if parts[:2] != ["lawful", "domains"]:
        return module
    return ".".join(["lawful", *(parts[3:] if parts[3:] and parts[3] in KINDS else parts[2:])])


def module_of(name: str) -> str | None:
    """The module to import for such a name, which may come from a folder of somebody else: lawful's own, or one that an
    entry point of an installed package names. None for any other."""
    parts = name.split(".")
    if parts[0] != "lawful" or len(parts) < 2:
        named = {entry.module for entries in _of_packages().values() for entry in entries}
        return name if name in named else None
    if parts[1] in KINDS and len(parts) > 2 and (entry := built_in(parts[1]).get(parts[2])):
        return ".".join([entry.module, *parts[3:]])
    return ".".join(["lawful", "domains", *parts[1:]]) if parts[1] in domains() else name


def _only_one(module: Any, base: type) -> Any:
    """The one class of the module that is of this kind and can be made, or the one thing of this kind."""
    if things := [value for value in vars(module).values() if isinstance(value, base)]:
        if len(things) > 1:
            raise DeclarationError(f"{module.__file__}: expected one {base.__name__}, got {len(things)}.")
        return things[0]
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]
    if len(classes) != 1:
        names = ", ".join(cls.__name__ for cls in classes) or "none"
        raise DeclarationError(f"{module.__file__}: expected one class that is a {base.__name__}, got {names}.")
    return classes[0]


def _member(place: str) -> Any:
    module, _, name = place.partition(":")
    return functools.reduce(getattr, name.split("."), importlib.import_module(module))


def installed_version(package: str) -> str:
    """The version of a package as it is installed here; "" where it is not."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
