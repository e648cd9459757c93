"""Which sessions exist, and which belong to a split: the metadata and split files beside the recordings."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lawful.errors import DataError, MissingDependency
from lawful.storage.json_files import reading

if TYPE_CHECKING:
    import yaml

METADATA = ("user", "session", "condition", "duration_mins", "num_keystrokes", "num_prompts", "quality_check_tags")
SPLITS = ("train", "val", "test")
MOST_METADATA_BYTES = 2**24  # of the table of sessions; the official one has some 100 kB
MOST_SPLIT_BYTES = 2**20  # of a split file; the official ones have at most 100 kB


def metadata_text(rows: Iterable[Mapping[str, str | float]]) -> str:
    """metadata.csv with the official columns."""
    held = io.StringIO()
    writer = csv.DictWriter(held, METADATA, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return held.getvalue()


def read_metadata(path: Path) -> list[dict[str, str]]:
    if (size := path.stat().st_size) > MOST_METADATA_BYTES:
        raise DataError(f"{path}: expected a table of at most {MOST_METADATA_BYTES:,} bytes, got one of {size:,}.")
    with reading(path, "a table of sessions (CSV)", DataError), path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns, rows = reader.fieldnames or (), list(reader)
    if missing := [name for name in ("user", "session") if name not in columns]:
        raise DataError(f"{path}: expected the columns user and session; missing: {', '.join(missing)}.")
    return rows


MOST_NESTED = 20  # the layout has 4


@dataclass(frozen=True, kw_only=True)
class Split:
    """Sessions by split: (user, session) each, in the file's order."""

    train: tuple[tuple[str, str], ...]
    val: tuple[tuple[str, str], ...]
    test: tuple[tuple[str, str], ...]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        yield from (*self.train, *self.val, *self.test)


def read_split(path: Path) -> Split:
    """An official split file: `dataset: {train, val, test: [{user, session}]}`. Raises LawfulError naming the place."""
    try:
        import yaml
    except ImportError as error:
        what = f"{path}: reading a split file"
        raise MissingDependency.of("yaml", extra="emg", what=what, error=error) from None
    if not path.is_file():
        raise DataError(f"{path}: expected a split file (YAML), got no such file.")
    if (size := path.stat().st_size) > MOST_SPLIT_BYTES:
        raise DataError(f"{path}: expected a split file of at most {MOST_SPLIT_BYTES:,} bytes, got {size:,}.")

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        depth = 0

        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):  # a few of them, one in the other, stand for billions of items
                raise DataError(f"{path}: expected a split file without aliases (*{self.peek_event().anchor}).")
            self.depth += 1
            if self.depth > MOST_NESTED:
                raise DataError(f"{path}: expected at most {MOST_NESTED} lists or mappings one in the other, got more.")
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

    with reading(path, "YAML", DataError):
        loader = Loader(path.read_text(encoding="utf-8"))
        try:
            found = loader.get_single_data()
        finally:
            loader.dispose()
    listed = found.get("dataset") if isinstance(found, dict) else None
    if not isinstance(listed, dict) or not listed.get("train"):
        raise DataError(f"{path}: expected `dataset:` with lists train, val and test, got {short(found)}.")
    parts: dict[str, tuple[tuple[str, str], ...]] = {}
    for name in SPLITS:
        entries = listed.get(name) or []
        if not isinstance(entries, list):
            raise DataError(f"{path}: {name}: expected a list of sessions, got {short(entries)}.")
        for place, entry in enumerate(entries):
            if not (isinstance(entry, dict) and {"user", "session"} <= set(entry)):
                raise DataError(f"{path}: {name}, entry {place + 1}: expected user and session, got {short(entry)}.")
            if not is_name(str(entry["session"])):  # of its file, and of those that are made of it
                got = short(entry["session"])
                raise DataError(f"{path}: {name}, entry {place + 1}: expected the name of a session, got {got}.")
        parts[name] = tuple((str(entry["user"]), str(entry["session"])) for entry in entries)
    counted = Counter(session for part in parts.values() for _, session in part)
    if repeated := sorted(session for session, count in counted.items() if count > 1):
        raise DataError(f"{path}: expected each session once, got {repeated[0]} more than once.")
    return Split(**parts)


def made_split(rows: Iterable[Mapping[str, str]]) -> Split:
    """A split of the sessions of metadata.csv, where no split file is given.

    A thirteenth of the users, chosen by a hash of their name, are for test (8 of 104, as in the official generic
    split), none where there are fewer than three; of each other user the last fifth of the sessions is for validation.
    """
    of_user: dict[str, list[str]] = {}
    for row in rows:
        of_user.setdefault(row["user"], []).append(row["session"])
    users = sorted(of_user, key=lambda user: hashlib.sha256(user.encode()).digest())
    num_test = max(1, round(len(users) / 13)) if len(users) >= 3 else 0
    parts: dict[str, list[tuple[str, str]]] = {name: [] for name in SPLITS}
    for place, user in enumerate(users):
        names = sorted(of_user[user])  # they begin with the time of the recording
        last = len(names) // 5 or min(1, len(names) - 1)
        cut = 0 if place < num_test else len(names) - last
        parts["train"] += [(user, name) for name in names[:cut]]
        parts["test" if place < num_test else "val"] += [(user, name) for name in names[cut:]]
    return Split(**{name: tuple(listed) for name, listed in parts.items()})


def is_name(text: str) -> bool:
    return 0 < len(text) <= 200 and text[0] != "." and text.isprintable() and not set("/\\") & set(text)


def split_text(split: Split, user: str = "generic") -> str:
    """The official form of a split file."""
    lines = [f"user: {user}", "", "dataset:"]
    for name in SPLITS:
        entries = getattr(split, name)
        lines.append(f"  {name}:" + ("" if entries else " []"))
        lines += [f"    - user: {json.dumps(who)}\n      session: {json.dumps(session)}" for who, session in entries]
    return "\n".join(lines) + "\n"


def short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."
