"""What a published page does not say: folders of this machine, and keys that a command line carries."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lawful.laws import Law
from lawful.report.evidence import Evidence

T = TypeVar("T")
HIDDEN = "…"
OF_MACHINE = frozenset({"numerics"})  # columns: the device, its threads, torch's build
OF_FORMULAS = frozenset({"law", "formula"})  # fields: A /N/D is no path

# A path from the root, ~ or a drive through a folder; not a unit (FLOPs/token), not an address (https://...).
_START = r"(?:~?/|[A-Za-z]:[\\/])"
_PATH = re.compile(rf"(?<![\w/.:~\\<]){_START}(?:[^\s'\"`<>|:;,()/\\]+[\\/])+[^\s'\"`<>|:;,()/\\]*")
_QUOTED = re.compile(rf"(['\"])({_START}[^'\"\n]*[\\/][^'\"\n]*)\1")
_SECRET = re.compile(  # --api-key VALUE, PASSWORD=VALUE, WANDB_API_KEY=VALUE; never --tokens 1e7
    r"(?i)(\b[\w-]*(?:api[_-]?key|secret|passwd|password|(?:access|auth|bearer)[_-]?token|_token|_key)\b"
    r"\s*[=: ]\s*['\"]?)[^\s'\"]+"
)


@dataclass(frozen=True)
class Hidden:
    """Hides the machine in a text. `folders`: replaced whole, also where their names have blanks."""

    folders: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> Hidden:
        """For a study's folder: its place, and the home, working and temporary folders of this machine."""
        here = folder.resolve()
        known = {here, here.parent, Path.home(), Path.cwd(), Path(tempfile.gettempdir())}
        return cls(tuple(sorted((str(one) for one in known if len(one.parts) > 1), key=len, reverse=True)))

    def __call__(self, text: str) -> str:
        if "/" in text or "\\" in text:
            for folder in self.folders:
                text = re.sub(rf"(?:file://)?{re.escape(folder)}(?![\w.-])", HIDDEN, text)
            text = _QUOTED.sub(lambda found: f"{found[1]}{_last(found[2])}{found[1]}", text.replace("file://", ""))
            text = _PATH.sub(lambda found: _last(found[0]), text)
        return _SECRET.sub(rf"\g<1>{HIDDEN}", text)


def _last(path: str) -> str:
    """The name at the path's end: it says which file, not where. Single letters (A /N/D) are no path."""
    names = [name for name in re.split(r"[/\\]", path) if name]
    return path if all(len(name) < 3 for name in names) else f"{HIDDEN}/{names[-1]}"


def without_machine(evidence: Evidence, hide: Callable[[str], str]) -> Evidence:
    """The evidence with `hide` applied to its texts, without the columns and versions that describe the machine."""
    rows, former = (
        tuple({name: cell for name, cell in row.items() if name not in OF_MACHINE} for row in some)
        for some in (evidence.rows, evidence.former)
    )
    study = evidence.study
    moved = dataclasses.replace(
        evidence,
        rows=rows,
        former=former,
        study=dataclasses.replace(study, versions=dataclasses.replace(study.versions, platform="")),
    )
    return dataclasses.replace(mapped(moved, hide), folder=evidence.folder)


def mapped(value: T, hide: Callable[[str], str]) -> T:
    """The value with `hide` applied to every text in it; a law, and any value without text, is not copied."""
    found: T = _mapped(value, hide)  # type: ignore[assignment]  # each branch returns the type that it was given
    return found


def _mapped(value: object, hide: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, Mapping):
        return {_mapped(name, hide): _mapped(one, hide) for name, one in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)([_mapped(one, hide) for one in value])
    if isinstance(value, Law) or not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    changed = {}
    for one in dataclasses.fields(value):
        old = getattr(value, one.name)
        if one.init and not (one.name in OF_FORMULAS and ".py:" not in str(old)):
            new = _mapped(old, hide)
            if new != old:
                changed[one.name] = new
    return dataclasses.replace(value, **changed) if changed else value
