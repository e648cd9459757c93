"""python_docs: the reference prose and the source code that every Python carries; always there, never downloaded."""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import re
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import ClassVar, Literal, final

from lawful.checks import check_fields
from lawful.corpora import Built, Progress, TokenCorpus
from lawful.errors import DataError
from lawful.tokenizers import Tokenizer
from lawful.tokenizers.characters import Characters

UNKNOWN = "\x1a"  # ASCII's own mark for a character that cannot be shown; one byte, so bytes and characters agree
ALPHABET = "\n" + "".join(map(chr, range(ord(" "), ord("~") + 1))) + UNKNOWN
# the topics are set with a printer's quotes and dashes
TYPEWRITTEN = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "--"})
TYPEWRITTEN[ord("\u2026")] = "..."
RULES = 2  # raised when the text is gathered or cleaned differently, so that older token files are made again
# some 110,000 or 200,000 validation characters: enough for a loss to .003 nats, cheap enough to measure each run
TRAIN_SHARES = {"prose": 0.95, "source": 0.98}
# tests of the library; code not part of it; caches; tables rather than text (character maps, the topics' own file)
SKIPPED = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "encodings", "pydoc_data"}
# and what differs between two builds of one version
WRITTEN_BY_THE_BUILD = ("_sysconfigdata", "_sysconfig_vars", "sitecustomize", "usercustomize")
REPEATED_CHARACTERS = 60  # a paragraph at least this long is kept only once: licences, and topics that quote others


@final
@dataclass(frozen=True, kw_only=True)
class PythonDocs(TokenCorpus):
    """Text of the running Python's standard library.

    part    "prose": the topics of its help() and all docstrings; "source": its source files, without tests

    A topic or a top-level module, with all it holds, lies on one side of the split; sides are decided by the order of
    the hashes of their names, so both hold the same mixture. The text is brought to printable ASCII, newlines and one
    mark for all else, so that the vocabulary is fixed. It depends on the version of Python: the fingerprint tells.
    """

    name: ClassVar[str] = "python_docs"
    licence: ClassVar[str] = "PSF License Version 2 (the documentation and standard library of Python)"
    source: ClassVar[str] = "pydoc_data.topics and the standard library of the running Python"

    tokenizer: Tokenizer = field(default_factory=lambda: Characters(alphabet=ALPHABET, unknown=UNKNOWN))
    part: Literal["prose", "source"] = "prose"

    def __post_init__(self) -> None:
        check_fields(self)

    def _source_key(self, data: Path | None) -> str:
        """Version, place, sizes and times of the files: nothing is read."""
        if data is not None:
            raise DataError(
                f"--data {data}: python_docs reads the running Python's own library and takes no path; "
                "leave --data out, or name another corpus (in the study activation: --set corpus=tiny_stories)."
            )
        stamps = [(name, path.stat().st_size, path.stat().st_mtime_ns) for name, path in _library_files()]
        return repr(
            (RULES, TRAIN_SHARES, platform.python_implementation(), platform.python_version(), str(_library()), stamps)
        )

    def _can_read(self, data: Path | None) -> bool:
        return True

    def _build(self, data: Path | None, progress: Progress) -> Built:
        documents = list(_prose(progress) if self.part == "prose" else _sources(progress))
        documents.sort(key=lambda document: (hashlib.sha256(document.group.encode()).digest(), document.name))
        texts = _without_repeats([_plain(document.text) for document in documents])
        sizes = [len(text) for text in texts]
        cut = _cut([document.group for document in documents], sizes, TRAIN_SHARES[self.part])
        train, validation = "".join(texts[:cut]), "".join(texts[cut:])
        sha256 = hashlib.sha256(f"{len(train)} {train}{validation}".encode()).hexdigest()
        progress("encoding", 0.95)
        tokenizer = self.tokenizer.trained([train])
        return Built(
            train=tokenizer.encode(train),
            validation=tokenizer.encode(validation),
            text_sha256=sha256,
            tokenizer=tokenizer,
            facts={
                "python": f"{platform.python_implementation()} {platform.python_version()}",
                "part": self.part,
                "documents": len(documents),
                "text_bytes": len(train) + len(validation),  # ASCII
            },
        )


@dataclass(frozen=True, kw_only=True)
class _Document:
    group: str  # what must not be torn between the splits
    name: str
    text: str


def _prose(progress: Progress) -> Iterator[_Document]:
    from pydoc_data.topics import topics

    for label, text in sorted(topics.items()):
        yield _Document(group=f"topic {label}", name=label, text=text)
    for group, name, source in _read_library(progress):
        module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if text := "\n\n".join(_docstrings(source, module)):
            yield _Document(group=group, name=name, text=text)


def _sources(progress: Progress) -> Iterator[_Document]:
    for group, name, source in _read_library(progress):
        yield _Document(group=group, name=name, text=source)


def _read_library(progress: Progress) -> Iterator[tuple[str, str, str]]:
    """(top-level module, file, text) of each file; a file that is not UTF-8 is read with its unknown bytes marked."""
    files = list(_library_files())
    for done, (name, path) in enumerate(files):
        progress("reading the standard library", 0.9 * done / len(files))
        yield name.split("/")[0].removesuffix(".py"), name, path.read_text(encoding="utf-8", errors="replace")


def _library_files() -> Iterator[tuple[str, Path]]:
    """Sorted by name, which is the path below the library with forward slashes."""
    library = _library()
    found: list[tuple[str, Path]] = []
    for folder, subfolders, files in os.walk(library):
        inside = Path(folder).relative_to(library)
        subfolders[:] = [name for name in subfolders if name not in SKIPPED and not name.startswith("config-")]
        found += [
            ((inside / name).as_posix(), Path(folder, name))
            for name in files
            if name.endswith(".py") and not name.startswith(WRITTEN_BY_THE_BUILD)
        ]
    if not found:
        raise DataError(
            f"python_docs: expected the standard library's .py files in {library}, got none; "
            "use a Python that carries its sources (python.org, pyenv, uv, Linux distributions)."
        )
    yield from sorted(found)


def _library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def _docstrings(source: str, module: str) -> Iterator[str]:
    """Each docstring below the dotted name of what it describes; the code is parsed, never run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in old modules
        try:
            tree = ast.parse(source)
        except SyntaxError:
            return
    yield from _docstrings_of(tree, module)


def _docstrings_of(node: ast.AST, name: str) -> Iterator[str]:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        docstring = ast.get_docstring(node)
        if docstring:
            yield f"{name}\n\n{docstring}"
    if isinstance(node, (ast.Module, ast.ClassDef, ast.If, ast.Try)):  # definitions inside functions are left out
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from _docstrings_of(child, f"{name}.{child.name}")
            else:
                yield from _docstrings_of(child, name)


def _plain(text: str) -> str:
    """Printable ASCII, newlines and the mark; tabs as spaces; one blank line at most; ends in a blank line.

    Rules and borders are cut to eight characters: they would be free predictions, and alike on both sides of the split.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "").expandtabs(8)
    text = re.sub(r"[^\n -~]", UNKNOWN, text.translate(TYPEWRITTEN))
    text = re.sub(r"([^\w\s])\1{8,}", r"\1\1\1\1\1\1\1\1", text)
    text = re.sub(r" +\n", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n\n"


def _without_repeats(texts: list[str]) -> list[str]:
    """Each long paragraph where it first occurs only, so that validation holds none that was trained on; a text that
    repeats more than it adds (a topic that gathers others) becomes empty."""
    seen: set[str] = set()
    kept = []
    for text in texts:
        paragraphs: list[str] = []
        new: set[str] = set()
        num_repeated = 0
        for paragraph in text.split("\n\n"):
            key = " ".join(paragraph.split())
            if len(key) >= REPEATED_CHARACTERS and (key in seen or key in new):
                num_repeated += len(paragraph)
            else:
                paragraphs.append(paragraph)
                new.add(key)
        rest = "\n\n".join(paragraphs)
        if num_repeated < len(rest):
            seen |= new
            kept.append(rest)
        else:
            kept.append("")
    return kept


def _cut(groups: list[str], sizes: list[int], train_share: float) -> int:
    """The document at which validation starts: the border between two groups that is nearest to the share."""
    total = sum(sizes)
    before = [0, *accumulate(sizes)]
    borders = [n for n in range(1, len(groups)) if groups[n] != groups[n - 1]]
    return min(borders, key=lambda n: abs(before[n] - train_share * total))
