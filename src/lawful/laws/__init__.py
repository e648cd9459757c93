"""The laws by name, one file each; how a user names one of his own, and how a law is stored and read back.

What a law is stands in law.py.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import math
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from lawful import registry, trust
from lawful.checks import in_file_of_user, shown
from lawful.errors import DeclarationError
from lawful.law import FORMULA as FORMULA
from lawful.law import ONE_AXIS as ONE_AXIS
from lawful.law import Array as Array
from lawful.law import Axes as Axes
from lawful.law import Bounds as Bounds
from lawful.law import Law as Law
from lawful.law import Levels as Levels
from lawful.law import Number as Number
from lawful.law import OneAxisLaw as OneAxisLaw
from lawful.law import Points as Points
from lawful.law import Shape as Shape
from lawful.law import Term as Term
from lawful.law import Values as Values
from lawful.law import bounds_of as bounds_of
from lawful.law import class_name, member, settings, why_not_found
from lawful.law import has_axis as has_axis
from lawful.law import label as label
from lawful.law import on_axis as on_axis
from lawful.schema import Json

BUILT_IN = registry.built_in("laws")  # the files of this folder, and of the domains
OPERATORS = "+-*/^(`"


def named(spec: str | Law) -> Law:
    """A law from the text a user gives: `chinchilla`, `power_floor:tokens` (its axis after the colon),
    `my_package.my_law:MyLaw` or `path/to/my_law.py:MyLaw`, these with an axis, too.

    A user's own is imported, which runs the file; from then on this process may build it from stored data as well.
    Raises LawfulError with the known names.
    """
    if isinstance(spec, Law):
        return spec
    text = _text(spec)
    return _registered(text) or _formula(text) or _made(*_imported(text))


def with_bounds(law: str | Law, bounds: Bounds) -> tuple[str | Law, Bounds]:
    """A formula takes the bounds of its own parameters as its settings; the law, and the other bounds."""
    found = law if isinstance(law, Law) else _formula(_text(law)) or _named_formula(law)
    return found.bounded(bounds) if found and bounds else (law, bounds)


def _named_formula(spec: str) -> Law | None:
    """The formula of the catalogue that has this name; none where its axis is still to be chosen."""
    found = _registered(spec)
    return found if found is not None and type(found).__module__.endswith(f".{FORMULA}") and names_axis(spec) else None


def names_axis(spec: str) -> bool:
    """Whether a law's text leaves no axis to be chosen. A user's own law that names none has the one it was written
    with."""
    return spec not in BUILT_IN or not has_axis(named(spec))


def stored(data: str | Mapping[str, Json]) -> Law:
    """A law from what a file holds: the data of `to_data`, or the text in a question. It builds
    registered laws (registry.py), and those that this process was given by name before. The text names no other code
    to import. Raises LawfulError for others."""
    if isinstance(data, str):
        if law := _registered(data) or _formula(data):
            return law
        place, name, axis = _split(data)
        if f"{place}:{name}" in _NAMED:
            return _made(_NAMED[f"{place}:{name}"], axis)
        raise _not_ours(data)
    name, fields = _class_and_fields(data)
    entry = registry.find("laws", name)
    cls = entry.load() if entry else _NAMED.get(name)
    if not isinstance(cls, type):
        raise _not_ours(name)
    return _with_fields(cls, fields)


# what `named` was given in this process, by "MODULE:NAME" or "PATH:NAME"
_NAMED: dict[str, type[Law] | Law] = {}


def _not_ours(name: str) -> DeclarationError:
    return DeclarationError(
        f"law: {name!r} is not one of lawful's own laws, and reading a file imports no code. If you trust that code, "
        f"name it: --law {name!r} on the command line, law={name!r} in Python."
    )


def rebuilt(data: str | Mapping[str, Json], law: str | Law) -> Law:
    """The stored law, by the class that the user names for it. Raises DeclarationError where that is another one."""
    found = law if isinstance(law, Law) else _registered(law) or _formula(law) or _imported(law)[0]
    cls = found if isinstance(found, type) else type(found)
    if isinstance(data, str):  # an old file, which holds no fields
        return named(law)
    name, fields = _class_and_fields(data)
    if name.rpartition(":")[2] != (registry.name_of("laws", cls) or cls.__qualname__):
        raise DeclarationError(f"law: the fit was made with {name}, got {cls.__name__}.")
    own = _with_fields(cls, fields)
    if isinstance(found, Law) and (given := _plain_fields(found)) != _plain_fields(own):
        raise DeclarationError(f"law: the fit was made with {name} of {fields}, got one of {given}.")
    return own


def to_data(law: Law) -> dict[str, Json]:
    """The law as plain data: {"class": registered name, MODULE:CLASS or PATH:CLASS, "fields": its settings}.

    Raises DeclarationError with the reason where no other process could build the law from it: its class is defined in
    a notebook or a function, or a setting is not plain data.
    """
    cls = type(law)
    name = registry.name_of("laws", cls) or class_name(cls)
    if not hasattr(cls, "__dataclass_fields__") and vars(law):
        raise DeclarationError(
            f"law: {name} cannot be stored: it holds {', '.join(vars(law))}; make it a frozen dataclass with these as "
            "its fields."
        )
    fields = _plain_fields(law)
    again = _with_fields(cls, fields)
    if _plain_fields(again) != fields:
        raise DeclarationError(f"law: {name} cannot be stored: built from its own fields {fields} it has others.")
    _expect_same_attributes(law, again, name)
    return {"class": name, "fields": fields}


def _expect_same_attributes(law: Law, again: Law, name: str) -> None:
    """What a law holds beside its settings must follow from them, or it would be lost: an own __init__ or an InitVar
    that puts a number there, a slot, an attribute set by hand."""
    own = {item.name for item in settings(type(law))}
    mine, other = _attributes(law), _attributes(again)
    for key in sorted((mine.keys() | other.keys()) - own):
        if isinstance(getattr(type(law), key, None), functools.cached_property):
            continue
        if key not in mine or key not in other or not _is_same(mine[key], other[key]):
            raise DeclarationError(
                f"law: {name} cannot be stored: built from its own fields it has another {key} than this law; make "
                f"{key} a field of a frozen dataclass, and set it when the law is made."
            )


def _attributes(law: Law) -> dict[str, Any]:
    """All attributes of a law, also those in slots."""
    slots = [slot for cls in type(law).__mro__ for slot in np.atleast_1d(vars(cls).get("__slots__", ())).tolist()]
    return {**{slot: getattr(law, slot) for slot in slots if hasattr(law, slot)}, **getattr(law, "__dict__", {})}


def _is_same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    try:
        return bool(
            np.array_equal(a, b, equal_nan=isinstance(a, float) or getattr(a, "dtype", np.dtype("O")).kind in "fc")
        )
    except (TypeError, ValueError):
        return False


def _text(spec: object) -> str:
    if isinstance(spec, str):
        return spec
    name = getattr(spec, "__name__", "")
    raise DeclarationError(f"law: expected a name or a Law, got {spec!r}" + (f"; write {name}()." if name else "."))


def _class_and_fields(data: Json) -> tuple[str, Mapping[str, Json]]:
    name, fields = (data.get("class"), data.get("fields")) if isinstance(data, Mapping) else (None, None)
    if not isinstance(name, str) or not isinstance(fields, Mapping):
        raise DeclarationError(f"law: expected a class and its fields, got {data!r}.")
    return name, fields


def _registered(spec: str) -> Law | None:
    name, _, axis = spec.partition(":")
    entry = None if name.endswith(".py") or "." in name else registry.find("laws", name)
    return _made(entry.load(), axis) if entry else None


def _formula(spec: str) -> Law | None:
    """The law of a text that holds an operator and names no file or module."""
    if ":" in spec.split("`")[0] or spec.endswith(".py") or not any(sign in spec for sign in OPERATORS):
        return None
    cls: type[Law] = registry.built_in("laws")[FORMULA].load()
    return cls(spec)


def _imported(spec: str) -> tuple[type[Law] | Law, str]:
    """What a text names, imported, and its axis. The class, or the law that the user made of it himself."""
    place, name, axis = _split(spec)
    found = member(_user_module(place), name)
    cls = found if isinstance(found, type) else type(found)
    if not issubclass(cls, Law):
        got = "nothing of that name" if found is None else f"a {type(found).__name__}"
        raise DeclarationError(f"law: expected {name} in {place} to be a Law, got {got}.")
    _NAMED[f"{place}:{name}"] = found
    if not why_not_found(cls):
        _NAMED[class_name(cls)] = cls
    return found, axis


def _split(spec: str) -> tuple[str, str, str]:
    """The module, or the whole path of the file; the name in it; the axis. Raises DeclarationError for a bare word."""
    file, is_file, rest = spec.partition(".py:")
    place, rest = (str(Path(f"{file}.py").resolve()), rest) if is_file else spec.partition(":")[::2]
    name, _, axis = rest.partition(":")
    if not name:
        known = registry.found("laws")
        near = get_close_matches(spec, known, n=3, cutoff=0.5) or ["power", "power_floor", "chinchilla", "coupled"]
        raise DeclarationError(
            f"law: no law is called {shown(spec)}; there are {', '.join(near)} and others (`lawful laws`), a formula, "
            "or FILE.py:CLASS for your own."
        )
    return place, name, axis


def _made(found: type[Law] | Law, axis: str) -> Law:
    law: Law = _with_fields(found, {}) if isinstance(found, type) else found
    return on_axis(law, axis) if axis else law


def _with_fields(cls: type[Law], fields: Mapping[str, Json]) -> Law:
    if inspect.isabstract(cls):
        raise DeclarationError(f"law: {cls.__name__} does not define {', '.join(sorted(cls.__abstractmethods__))}.")
    known = settings(cls)
    if unknown := sorted(set(fields) - {item.name for item in known}):
        raise DeclarationError(f"law: {cls.__name__} has no field {', '.join(unknown)}.")
    nothing = dataclasses.MISSING
    needed = [item.name for item in known if item.default is nothing and item.default_factory is nothing]
    if missing := [name for name in needed if name not in fields]:
        raise DeclarationError(
            f"law: {cls.__name__} needs {', '.join(missing)}; write mine = {cls.__name__}(...) into its file, and name "
            "that: FILE.py:mine."
        )
    return cls(**{key: _unplain(value) for key, value in fields.items()})


def _plain_fields(law: Law) -> dict[str, Json]:
    return {item.name: _plain(getattr(law, item.name), law, item.name) for item in settings(type(law))}


def _plain(value: Any, law: Law, field: str) -> Json:
    """As JSON has it: tuples are lists; a number that JSON lacks is {"float": "inf"}."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or type(value) in (str, bool, int, float):
        found: Json = value
        return found
    if type(value) is tuple:
        return [_plain(item, law, field) for item in value]
    if type(value) is dict and all(isinstance(key, str) for key in value) and set(value) != {"float"}:
        return {key: _plain(item, law, field) for key, item in value.items()}
    raise DeclarationError(
        f"law: {type(law).__name__} cannot be stored: its field {field} is a {type(value).__name__}; expected a "
        "number, a text, True, False, None, or tuples and dicts of these."
    )


def _unplain(value: Json) -> Any:
    if isinstance(value, list):
        return tuple(map(_unplain, value))
    if isinstance(value, Mapping):
        number = value["float"] if set(value) == {"float"} else None
        if isinstance(number, str) and number in ("inf", "-inf", "nan"):
            return float(number)
        return {key: _unplain(item) for key, item in value.items()}
    return value


def _user_module(place: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            if not all(part.isidentifier() for part in place.split(".")):
                raise DeclarationError(f"law: expected a file or an importable module before the colon, got {place!r}.")
            return importlib.import_module(place)
        if not Path(place).is_file():
            raise DeclarationError(f"law: {place}: expected a Python file that defines it, got no such file.")
        module = _run_file(place, Path(place).read_bytes())
    except (ImportError, OSError) as error:
        raise DeclarationError(f"law: {place!r} cannot be imported ({error}).") from None
    sys.modules[place] = module
    return module


@functools.cache
def _run_file(path: str, text: bytes) -> ModuleType:
    """The module of a file, run once for each content. Its name is the path, so that its classes say where they are
    from."""
    with in_file_of_user(path):
        return trust.run_file(Path(path), path, text)
