"""Plans of format 1, which lawful wrote until 2026-11: the same fields under the names of today."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lawful.checks import shown
from lawful.errors import StoreError
from lawful.schema import FORMAT, CorpusRecord, PlannedRun, Question, StudyPlan

_RUN_NAMES = {"id": "run", "label": "rung", "is_held_out": "held_out"}
_SEVERITIES = {"error": "severe", "caution": "warning"}


def from_format_1(path: Path, raw: Mapping[str, Any]) -> dict[str, Any]:
    """What codec.decode reads as a StudyPlan. Fields that only older versions had are left out.

    Raises StoreError, which names `path`, where a part is no object or list.
    """
    runs = [{_RUN_NAMES.get(name, name): value for name, value in one.items()} for one in _objects(path, raw, "rungs")]
    corpora = _object(path, raw, "corpora")
    settings = _object(path, raw, "settings")
    return {
        **_known(raw, StudyPlan),
        "format": FORMAT,  # as it is written again
        "settings": {name: str(value) for name, value in settings.items()},
        "runs": [_known({"arm": "", **one}, PlannedRun) for one in runs],
        "questions": [_known(one, Question) for one in _objects(path, raw, "questions")],
        "warnings": [
            {
                "code": one.get("code"),
                "severity": _SEVERITIES.get(str(one.get("severity")), one.get("severity")),
                "sentence": one.get("sentence"),
            }
            for one in _objects(path, raw, "warnings")
        ],
        "reported": [
            {"at": one.get("at"), "figures": {name: value for name, value in one.items() if name != "at"}}
            for one in _objects(path, raw, "reported")
        ],
        "corpora": {name: _corpus(path, name, facts) for name, facts in corpora.items()},
    }


def _corpus(path: Path, name: str, facts: Any) -> dict[str, Any]:
    own = _object(path, {f"corpora.{name}": facts}, f"corpora.{name}")
    known = _known(own, CorpusRecord)
    return {**known, "details": {key: value for key, value in own.items() if key not in known and value is not None}}


def _known(raw: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """The fields that the type has; one that is null has its default."""
    names = {one.name for one in dataclasses.fields(kind)}
    return {name: value for name, value in raw.items() if name in names and value is not None}


def _objects(path: Path, raw: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = raw.get(name) or []
    if not isinstance(value, list):
        raise StoreError(f"{path}: {name}: expected a list, got {shown(value)}.")
    return [_object(path, {f"{name}[{number}]": one}, f"{name}[{number}]") for number, one in enumerate(value)]


def _object(path: Path, raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = raw.get(name) or {}
    if not isinstance(value, dict):
        raise StoreError(f"{path}: {name}: expected an object, got {shown(value)}.")
    return value
