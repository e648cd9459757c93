"""How a study is cited: its CITATION.bib or CITATION.cff, or an entry of BibTeX made of its own data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import lawful
from lawful.errors import StoreError
from lawful.readers import yaml_of
from lawful.report import tables, words
from lawful.report.evidence import Evidence
from lawful.storage.json_files import Json, read_bytes
from lawful.storage.own_paths import expect_own

MOST_BYTES = 2**17  # of a file of citations
PLAIN = ("year", "url", "doi")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def bibtex(evidence: Evidence) -> str:
    """The study's own CITATION.bib as it is; else an entry from CITATION.cff and the study's data.

    Raises StoreError where one of these files is no citation.
    """
    own = evidence.folder / "CITATION.bib"
    expect_own(own)
    if own.is_file():
        text = read_bytes(own, MOST_BYTES).decode("utf-8", errors="replace").strip()
        if not re.match(r"(?s)(?:%[^\n]*\n|\s)*@\w+\s*[{(]", text):
            raise StoreError(f"{own}: expected BibTeX, such as @misc{{key, ...}}, got {text[:40]!r}.")
        return text + "\n"
    return entry(evidence, _cff(evidence.folder / "CITATION.cff"))


def entry(evidence: Evidence, given: Mapping[str, str]) -> str:
    """@misc with the question as its title and the headline as its note. `given`: fields that replace the study's."""
    study = evidence.study
    basis = words.basis(evidence).rstrip(".")
    date = re.match(r"(\d{4})-(\d\d)", given.get("date") or study.created)
    runs = tables.many(len(evidence.finished), "finished run")
    scale = f", {study.scale} scale" if study.scale else ""
    fields = {
        "title": given.get("title") or study.question,
        "author": given.get("author", ""),
        "year": date[1] if date else "",
        "howpublished": f"Scaling-law study {study.name}{scale}, {runs}; made with lawful {lawful.__version__}",
        "version": given.get("version", ""),
        "doi": given.get("doi", ""),
        "url": given.get("url", ""),
        "note": f"{words.headline(evidence)} {basis[:1].upper()}{basis[1:]}." if basis else words.headline(evidence),
    }
    lines = [f"  {name} = {{{text if name in PLAIN else _tex(text)}}},"
             for name, text in fields.items() if text]  # fmt: skip
    if date and 1 <= int(date[2]) <= 12:
        lines.append(f"  month = {MONTHS[int(date[2]) - 1]},")
    key = re.sub(r"[^a-z0-9]+", "-", study.name.lower()).strip("-") or "study"
    return "\n".join([f"@misc{{{key}{date[1] if date else ''},", *lines, "}"]) + "\n"


def _tex(text: str) -> str:
    """Title and names as they are written: an inner brace keeps capitals, a special sign prints itself."""
    return "{" + re.sub(r"[\\~^&%$#_{}]", lambda sign: _SPECIAL[sign[0]], " ".join(text.split())) + "}"


def _cff(path: Path) -> dict[str, str]:
    """The fields of a CITATION.cff that BibTeX has; empty where there is no such file."""
    expect_own(path)
    if not path.is_file():
        return {}
    found = yaml_of(path)
    if not isinstance(found, Mapping) or "cff-version" not in found:
        raise StoreError(f"{path}: expected a CITATION.cff, a mapping with cff-version, got something else.")
    names = {"title": "title", "date": "date-released", "version": "version", "doi": "doi", "url": "url"}
    fields = {name: found.get(key) for name, key in names.items()}
    people = found.get("authors")
    author = " and ".join(filter(None, map(_person, people))) if isinstance(people, list) else ""
    return {**{name: text for name, text in fields.items() if isinstance(text, str)}, "author": author}


def _person(one: Json) -> str:
    if not isinstance(one, Mapping):
        return ""
    family = f"{one.get('name-particle') or ''} {one.get('family-names') or ''}".strip()
    given = str(one.get("given-names") or "")
    return ", ".join(filter(None, (family, given))) or str(one.get("name") or one.get("alias") or "")
