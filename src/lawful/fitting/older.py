"""Fits and answers of earlier versions, given the form of today before the codec checks them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def from_format_2(fit: Mapping[str, Any]) -> dict[str, Any]:
    """A fit of format 1 or 2: the runs that were left out one by one stood as loose objects."""
    moved = fit.get("sensitivity")
    if not isinstance(moved, dict) or not isinstance(outlier := moved.get("outlier", {}), dict):
        return dict(fit)
    rows = [_without_run(row) if isinstance(row, dict) else row for row in outlier.get("rows", ())]
    return {**fit, "sensitivity": {**moved, "outlier": rows}}


def _without_run(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"run": row.get("run"), "params": {name: value for name, value in row.items() if name != "run"}}


def answer_of_format_1(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer without a format: its pairs of arms stood as loose objects."""
    pairs = answer.get("crossings") or []
    return {
        **answer,
        "crossings": [_pair(one) if isinstance(one, dict) else one for one in pairs],
        "also": [_named(one) if isinstance(one, dict) else one for one in answer.get("also") or []],
    }


def _pair(one: Mapping[str, Any]) -> dict[str, Any]:
    if "refusal" in one:
        return {"arms": one.get("arms"), "refusal": one["refusal"]}
    return {"arms": one.get("arms"), "crossing": dict(one)}


def _named(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in one.items() if value is not None}
