"""Files that may hold music, alone or inside archives; nothing is unpacked to disk."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import io
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lawful import unpack
from lawful.errors import DataError, LawfulError, MissingDependency

MIDI = (".mid", ".midi")
NOTATION = {".abc": "abc", ".krn": "humdrum", ".mxl": "musicxml", ".musicxml": "musicxml", ".xml": "musicxml"}
TOKENS = (".json", ".jsonl")
VOCABULARY = "tokenizer.json"  # as MidiTok saves it: what the token files beside it, and in folders below, mean
KINDS = (*MIDI, *NOTATION, *TOKENS)
MOST_BYTES = 64 * 2**20  # of one file: no piece of music is larger, a bomb is
MOST_BYTES_OF_TOKENS = 2 * 2**30  # of a file of tokens that is no member of an archive: it may hold a whole corpus
PART_BYTES = 2**20  # of JSON lines
RESERVED = re.compile(r"\brights\b[^\n<]{0,60}\breserved\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file as it lies, or one inside an archive. `problem` says why its content is not here. vocabulary: of token
    files: MidiTok's tokenizer.json. first_line: of the file, with which the content begins, where it is a part."""

    name: str
    content: bytes = b""
    vocabulary: bytes = b""
    problem: str = ""
    first_line: int = 1


def files_in(path: Path) -> list[Path]:
    """The files that may hold music, and archives; in the order of their names. LawfulError when there is none."""
    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file() and _may_hold_music(file))
    if not found:
        raise DataError(
            f"--data {path}: expected music ({', '.join(KINDS)}; or a .zip or .tar of such files), got "
            f"{'a folder without any' if path.is_dir() else 'no such file or folder'}."
        )
    return found


def sources_in(file: Path) -> Iterator[Source]:
    """The file, or what an archive holds; nothing is unpacked to disk. A member that cannot be read says why. JSON
    lines come in parts, since a file of them may hold a whole corpus."""
    if is_in_parts(file):
        try:
            yield from (_with_vocabulary(part, file) for part in _parts(file))
        except OSError as error:
            yield Source(name=file.name, problem=f"cannot be read ({in_short(error)})")
        return
    members = _members(file)
    while True:
        try:
            member = next(members, None)
        except Exception as error:  # zipfile and tarfile raise anything over a damaged directory
            yield Source(name=file.name, problem=f"cannot be read ({in_short(error)})")
            return
        if member is None:
            return
        if member.name is None:
            most = MOST_BYTES_OF_TOKENS if file.suffix.lower() in TOKENS else MOST_BYTES
            is_large = member.size > most
            problem = f"expected at most {most:,} bytes, got {member.size:,}"
            source = Source(name=file.name, problem=problem) if is_large else _read(file.name, member)
            yield _with_vocabulary(source, file)
        elif (inner := _member(f"{file.name}/{member.name}", member)) is not None:
            yield _with_vocabulary(inner, file)


def is_in_parts(file: Path) -> bool:
    is_small = file.stat().st_size <= MOST_BYTES_OF_TOKENS
    return file.suffix.lower() == ".jsonl" and is_small and not zipfile.is_zipfile(file)


def _parts(file: Path) -> Iterator[Source]:
    """Whole lines, PART_BYTES or a line more at a time."""
    number, first, lines, size = 0, 1, list[bytes](), 0
    with file.open("rb") as opened:
        for line in iter(lambda: opened.readline(MOST_BYTES + 1), b""):
            number += 1
            if len(line) > MOST_BYTES:
                problem = (
                    f"line {number}: expected at most {MOST_BYTES:,} bytes, got more; the lines after it are left out"
                )
                yield Source(name=file.name, content=b"".join(lines), first_line=first)
                yield Source(name=file.name, problem=problem)
                return
            lines.append(line)
            size += len(line)
            if size >= PART_BYTES:
                yield Source(name=file.name, content=b"".join(lines), first_line=first)
                first, lines, size = number + 1, [], 0
    if lines or not number:
        yield Source(name=file.name, content=b"".join(lines), first_line=first)


def vocabulary_of(file: Path) -> Path | None:
    """The tokenizer.json in the file's folder or in the one above, where train, val and test have it together."""
    return next((path for folder in file.absolute().parents[:2] if (path := folder / VOCABULARY).is_file()), None)


def _with_vocabulary(source: Source, file: Path) -> Source:
    """With the tokenizer.json in the file's folder or the one above, where it holds tokens."""
    if source.problem or PurePosixPath(source.name).suffix.lower() not in TOKENS:
        return source
    found = vocabulary_of(file)
    if found is None:
        return source
    if (size := found.stat().st_size) > MOST_BYTES:
        return replace(source, problem=f"expected a {VOCABULARY} of at most {MOST_BYTES:,} bytes, got {size:,}")
    return replace(source, vocabulary=found.read_bytes())


def corpus_files(collections: Sequence[str]) -> list[Path]:
    """The files of music21's own corpus in these collections, without Roman-numeral analyses. Needs no import."""
    root = corpus_folder()
    if root is None:
        raise MissingDependency.of("music21", extra="music", what="the corpus of pieces")
    missing = [name for name in collections if not (root / name).is_dir()]
    if missing:
        raise DataError(
            f"collections: expected folders of music21's corpus, got {', '.join(missing)}; there are "
            f"{', '.join(sorted(path.name for path in root.iterdir() if path.is_dir() and path.name[0] != '_'))}."
        )
    return [
        file for name in collections for file in sorted((root / name).rglob("*")) if file.suffix.lower() in NOTATION
    ]


@functools.cache
def corpus_folder() -> Path | None:
    found = importlib.util.find_spec("music21")
    folder = Path(found.origin).parent / "corpus" if found is not None and found.origin else None
    return folder if folder is not None and folder.is_dir() else None


def reserves_rights(source: Source) -> bool:
    """Whether a notice inside the file itself says that rights are reserved."""
    content = inner_xml(source.content) if source.content.startswith(b"PK") else source.content
    return bool(RESERVED.search(content.decode("utf-8", errors="replace")))


def inner_xml(content: bytes) -> bytes:
    """The score inside compressed MusicXML."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.filename.startswith("META-INF")]
            scores = [entry for entry in entries if entry.filename.lower().endswith((".xml", ".musicxml"))]
            if not scores:
                raise DataError("expected compressed MusicXML, got an archive without a score")
            if scores[0].file_size > MOST_BYTES:
                raise DataError(f"expected at most {MOST_BYTES:,} bytes, got {scores[0].file_size:,}")
            return unpack.zip_member(archive, scores[0])
    except DataError:
        raise
    except Exception as error:  # zipfile raises anything over a damaged archive
        raise DataError(f"expected compressed MusicXML, got a damaged archive ({in_short(error)})") from error


def _may_hold_music(file: Path) -> bool:
    return file.name != VOCABULARY and (file.suffix.lower() in (*KINDS, ".zip") or _is_tar(file))


def _is_tar(file: Path) -> bool:
    return file.name.lower().endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))


class _Member(NamedTuple):
    """What an archive holds, or the file itself, which has no name in one."""

    name: str | None
    size: int
    read: Callable[[], bytes] | None  # None: a link or device


def _members(file: Path) -> Iterator[_Member]:
    left = unpack.room(file)
    if zipfile.is_zipfile(file) and file.suffix.lower() != ".mxl":
        with zipfile.ZipFile(file) as archive:
            for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
                if not entry.is_dir():
                    yield _Member(entry.filename, entry.file_size, functools.partial(unpack.zip_member, archive, entry))
                    if entry.file_size <= MOST_BYTES:
                        left -= entry.file_size
                    if left < 0:
                        raise DataError("it holds more than a hundred times its own size")
    elif _is_tar(file):
        with unpack.Unpacked(file) as stream:
            for member, content in unpack.tar_members(stream):
                if content is not None:
                    yield _Member(member.name, member.size, content.read)
                elif not member.isdir():
                    yield _Member(member.name, 0, None)
    else:
        yield _Member(None, file.stat().st_size, file.read_bytes)


def _member(where: str, member: _Member) -> Source | None:
    path = PurePosixPath(str(member.name).replace("\\", "/"))
    if member.read is None:
        return Source(name=where, problem="a link or device, not a file")
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        return Source(name=where, problem="its name leads outside the archive")
    if path.suffix.lower() not in KINDS or path.name == VOCABULARY:
        return None  # a readme beside the music is no loss
    if member.size > MOST_BYTES:
        return Source(name=where, problem=f"expected at most {MOST_BYTES:,} bytes, got {member.size:,}")
    return _read(where, member)


def _read(where: str, member: _Member) -> Source:
    assert member.read is not None
    try:
        return Source(name=where, content=member.read())
    except Exception as error:  # a damaged member: the others may be whole
        return Source(name=where, problem=f"cannot be read ({in_short(error)})")


def in_short(error: BaseException) -> str:
    """One line that says what happened; some libraries raise without words."""
    said = " ".join(str(error).split())[:160]
    return said if isinstance(error, LawfulError) and said else f"{type(error).__name__}{': ' + said if said else ''}"
