"""A study file: how it is read, which scales and settings it takes, and whether it may run."""

from __future__ import annotations

import hashlib
import inspect
import typing
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any

import lawful
from lawful import trust
from lawful.checks import (
    conform,
    in_file_of_user,
    shown,
    words_of,
)
from lawful.errors import DeclarationError, LawfulError
from lawful.run import STUDY_FILE
from lawful.schema import StudyPlan
from lawful.study.declaration import Study

Scale = typing.Literal["smoke", "quick", "full", "published"]


MOST_COUNT = 1e100  # products and powers of larger ones are beyond floating-point numbers
SCALES: tuple[str, ...] = typing.get_args(Scale)


def count(text: str | int | float) -> int:
    """1e6, 10M, 1_000_000, 4k, 2B are all counts. Raises LawfulError with what was expected."""
    if isinstance(text, (int, float)):
        number = float(text)
    else:
        cleaned = text.strip().replace("_", "")
        scale = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}.get(cleaned[-1:].lower(), 1.0)
        try:
            number = float(cleaned[:-1] if scale != 1.0 else cleaned) * scale
        except ValueError:
            raise DeclarationError(f"expected a count such as 1e6, 10M or 1_000_000, got {text[:40]!r}.") from None
    if number > MOST_COUNT:
        raise DeclarationError(f"expected a count of at most {MOST_COUNT:g}, got {str(text)[:40]!r}.")
    if not (number >= 0 and number == round(number)):
        raise DeclarationError(f"expected a whole number of at least 0, got {text!r}.")
    return round(number)


def declare(module: ModuleType, scale: str | None = None, settings: Mapping[str, str] | None = None) -> Study:
    """The Study that a study file declares: its value `study`, or what its function `study(scale, **settings)` gives.

    settings    the texts of --set NAME=VALUE, converted by the function's annotations; an unknown name is an error
                that lists the known ones
    """
    settings = dict(settings or {})
    name = _file_of_user(module) or module.__name__
    found = getattr(module, "study", None)
    if isinstance(found, Study):
        if settings or scale not in (None, found.scale):
            raise DeclarationError(
                f"{name}: its study is a fixed value and takes neither --scale nor --set; "
                "make `study` a function of scale and typed settings to allow them."
            )
        return found
    if not callable(found):
        raise DeclarationError(f"{name}: expected a Study or a function that returns one, called `study`; got none.")
    known = _parameters(module)
    given: dict[str, Any] = {}
    if scale is not None:
        if not (scales := scales_of(module)):
            raise DeclarationError(f"{name}: this study has no scales; leave --scale out.")
        if scale not in scales:
            raise DeclarationError(f"--scale: expected one of {', '.join(scales)}, got {scale!r}.")
        given["scale"] = scale
    for setting, text in settings.items():
        if setting not in known or setting == "scale":
            names = ", ".join(sorted(set(known) - {"scale"})) or "none"
            raise DeclarationError(f"--set: this study has no setting {setting!r}; it has {names}.")
        try:
            given[setting] = convert(text, known[setting])
        except LawfulError as error:
            raise DeclarationError(f"--set {setting}: {str(error).removesuffix('.')}.") from None
    needed = inspect.signature(found).parameters
    if missing := [name for name in known if name not in given and needed[name].default is inspect.Parameter.empty]:
        options = ("--scale NAME" if one == "scale" else f"--set {one}=VALUE" for one in missing)
        raise DeclarationError(f"{name}: this study has no default for {', '.join(missing)}; give {' '.join(options)}.")
    with in_file_of_user(_file_of_user(module)):
        study = found(**given)
    if not isinstance(study, Study):
        raise DeclarationError(f"{name}: expected study() to return a Study, got {shown(study)}.")
    return study


def scales_of(module: ModuleType) -> tuple[str, ...]:
    """The scales that a study file takes: those of the annotation Literal; where it has none, its default and the usual
    ones; none where it takes no scale."""
    kind = _parameters(module).get("scale")
    if kind is None:
        return ()
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)
    usual = inspect.signature(module.study).parameters["scale"].default
    return tuple(dict.fromkeys((*([usual] if isinstance(usual, str) else []), *SCALES)))


def settings_of(module: ModuleType) -> dict[str, str]:
    """The settings that a study file takes: name -> what it is, and its default where it has one."""
    kinds = {name: kind for name, kind in _parameters(module).items() if name != "scale"}
    usual = inspect.signature(module.study).parameters if kinds else {}
    defaults = {name: usual[name].default for name in kinds}
    return {
        name: words_of(_without_none(kind))
        + ("" if defaults[name] in (None, inspect.Parameter.empty, "", ()) else f", default {_as_set(defaults[name])}")
        for name, kind in kinds.items()
    }


def _without_none(kind: Any) -> Any:
    """None beside a type is for leaving the setting out."""
    options = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, UnionType) else ()
    kept = tuple(option for option in options if option is not type(None))
    return typing.Union[kept] if kept else kind  # noqa: UP007  # of types that are known only now


def _as_set(value: object) -> str:
    """As --set takes it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _parameters(module: ModuleType) -> dict[str, Any]:
    """What a study's function can be told by name, and of what type: as annotated, or as its default."""
    found = getattr(module, "study", None)
    if isinstance(found, Study) or not callable(found):
        return {}
    with in_file_of_user(_file_of_user(module)):
        hints = typing.get_type_hints(found, include_extras=True)
    known = {}
    for name, parameter in inspect.signature(found).parameters.items():
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            usual = str if parameter.default in (None, parameter.empty) else type(parameter.default)
            known[name] = hints.get(name, usual)
    return known


def _file_of_user(module: ModuleType) -> str | None:
    """The file of a study that is not one of lawful's own."""
    path = getattr(module, "__file__", None)
    own = Path(lawful.__file__).parent
    return None if path is None or Path(path).is_relative_to(own) else path


def convert(text: str, kind: Any) -> Any:
    """A setting's text as its annotated type; None beside a type (`int | None`) is for leaving it out."""
    base = kind.__origin__ if typing.get_origin(kind) is typing.Annotated else kind
    origin, options = typing.get_origin(base), typing.get_args(base)
    options = tuple(option for option in options if option is not type(None))
    if origin in (typing.Union, UnionType):
        return convert(text, options[0])
    if origin is tuple:
        values = tuple(convert(part.strip(), options[0]) for part in text.split(",") if part.strip())
        if not values or len(set(values)) < len(values):
            raise DeclarationError(f"expected values with commas between them, each once, got {text!r}")
        return values
    if origin is typing.Literal:
        return conform({str(option): option for option in options}.get(text, text), kind)
    if base is int:
        return conform(count(text), kind)
    if base is float:
        try:
            number = float(text)
        except ValueError:
            raise DeclarationError(f"expected a number, got {text!r}") from None
        return conform(number, kind)
    if base is bool:
        if text.lower() not in ("yes", "no", "true", "false"):
            raise DeclarationError(f"expected yes or no, got {text!r}")
        return text.lower() in ("yes", "true")
    if base is str or base is Any:
        return text
    raise DeclarationError(f"a setting is a number, a text, yes or no, or several of one kind; its type is {base}")


def import_file(path: Path, *, sha256: str | None = None) -> ModuleType:
    """Import a user's own study file under the name `study_file`. This runs it, as `python FILE` would.

    sha256      what the file had when the study was planned; a changed file is refused
    """
    if not path.is_file() or path.suffix != ".py":
        what = f"a {path.suffix or 'file without suffix'}" if path.is_file() else "no such file"
        raise DeclarationError(f"{path}: expected a study's Python file, got {what}.")
    text = path.read_bytes()
    digest = hashlib.sha256(text).hexdigest()
    if sha256 is not None and digest != sha256:
        raise DeclarationError(
            f"{path}: expected the study file as it was planned (SHA-256 {sha256[:12]}), got a changed one "
            f"({digest[:12]}); `lawful run {path} --out DIR` plans it again and keeps the runs that are unchanged; "
            f"`lawful extend DIR {path}` adds rungs to a finished study."
        )
    with in_file_of_user(path):
        return trust.run_file(path, STUDY_FILE, text)


def own_file(study: StudyPlan) -> tuple[Path, str] | None:
    """The study's own Python file and its SHA-256 when it was planned, as study.json names them; None without one."""
    known = study.study_file
    return None if known is None else (Path(known.path), known.sha256)


def trusted_file(study: StudyPlan, folder: Path, *, trusted: str = "") -> tuple[Path, str] | None:
    """As own_file; raises StoreError where it may not run: neither has this user run a file of that SHA-256, nor is it
    `trusted`, the one that whoever started this process allowed."""
    known = own_file(study)
    if known is not None and known[1] != trusted and not trust.is_trusted(known[1]):
        raise trust.refusal(folder / "study.json", *known)
    return known


def own_module(study: StudyPlan, folder: Path, *, trusted: str = "") -> str | None:
    """Run the study's own file, if it has one and it may run, as it was planned; the module's name, for from_json."""
    known = trusted_file(study, folder, trusted=trusted)
    return import_file(known[0], sha256=known[1]).__name__ if known else None
