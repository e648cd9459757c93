"""Fits and answers of earlier versions, given the form of today before the codec checks them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lawful.storage.json_files import Json


def from_format_2(fit: Mapping[str, Json]) -> dict[str, Json]:
    """A fit of format 1 or 2: the runs that were left out one by one stood as loose objects."""
    moved = fit.get("sensitivity")
    if not isinstance(moved, dict) or not isinstance(outlier := moved.get("outlier", {}), dict):
        return dict(fit)
    return {**fit, "sensitivity": {**moved, "outlier": _each(outlier.get("rows"), _without_run)}}


def _without_run(row: Mapping[str, Json]) -> dict[str, Json]:
    return {"run": row.get("run"), "params": {name: value for name, value in row.items() if name != "run"}}


def answer_of_format_1(answer: Mapping[str, Json]) -> dict[str, Json]:
    """An answer without a format: its pairs of arms stood as loose objects."""
    return {
        **answer,
        "crossings": _each(answer.get("crossings"), _pair),
        "also": _each(answer.get("also"), _named),
    }


def _each(found: Json, change: Callable[[Mapping[str, Json]], dict[str, Json]]) -> Json:
    """The list with each object changed; what is no list stays, for the codec to refuse."""
    if not isinstance(found, list):
        return found or []
    return [change(one) if isinstance(one, dict) else one for one in found]


def _pair(one: Mapping[str, Json]) -> dict[str, Json]:
    if "refusal" in one:
        return {"arms": one.get("arms"), "refusal": one["refusal"]}
    return {"arms": one.get("arms"), "crossing": dict(one)}


def _named(one: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in one.items() if value is not None}
