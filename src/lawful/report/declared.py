"""What two studies declare, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lawful.report import tables
from lawful.report.evidence import Evidence
from lawful.report.table import Table
from lawful.storage.codec import to_plain
from lawful.storage.json_files import Json

Pair = tuple[Evidence, Evidence]
# What of a declaration is compared, in words
DECLARED = {
    "question": "Question",
    "scale": "Scale",
    "settings": "Settings",
    "axes": "Ladder",
    "held_out": "Held out",
    "faults": "Faults",
    "precision": "Precision",
    "versions": "Versions",
    "created": "Planned",
}


def declaration_table(pair: Pair, labels: tuple[str, str]) -> Table:
    rows: list[tuple[str, ...]] = []
    plans = [to_plain(evidence.study) for evidence in pair]
    for key, name in DECLARED.items():
        one, two = (_declared(plan[key]) for plan in plans)
        rows += [
            (f"{name}, {part}" if part else name, one.get(part, tables.DASH), two.get(part, tables.DASH))
            for part in dict.fromkeys((*one, *two))
            if one.get(part) != two.get(part)
        ]
    records = [evidence.study.corpora for evidence in pair]
    for name in dict.fromkeys((*records[0], *records[1])):
        prints = [corpora[name].fingerprint if name in corpora else tables.DASH for corpora in records]
        if prints[0] != prints[1]:
            rows.append((f"Data, {name}", *prints))
    return Table(title="In what the declarations differ", header=("What", *labels), rows=rows)


def _declared(value: Json) -> dict[str, str]:
    """Its parts by name; a plain value has one, without a name."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    return {"": _plain(value)} if value not in (None, "", []) else {}


def _plain(value: Json) -> str:
    if isinstance(value, str):
        return tables.moment(value)
    if isinstance(value, Sequence):
        return ", ".join(map(_plain, value))
    return str(value) if isinstance(value, Mapping) else tables.coordinate(value)
