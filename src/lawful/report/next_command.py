"""The whole command that carries out an answer's next step, for a reader to copy."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from lawful.fitting.answers import Answer
from lawful.report.evidence import Evidence


def next_command(evidence: Evidence, answer: Answer) -> str:
    """The whole command that the next step begins with, where there is one: another law, or after a refusal what the
    table can carry. Empty for a page that left its folder: its reader does not have the table."""
    if evidence.shared_table is not None:
        return ""
    law = re.search(r"--law ('[^']*'|\S+?)(?=[,.]?(?:\s|$))", answer.next_step)
    is_table = not evidence.runs
    try:
        told = shlex.split(evidence.study.command) if is_table else []
    except ValueError:  # a command that somebody wrote by hand
        return ""
    if is_table and told[:1] != ["lawful"]:
        return ""
    if law:
        folder = evidence.folder.name if evidence.folder.is_absolute() else str(evidence.folder)
        known = _without(told, ("--law",)) if is_table else ["lawful", "fit", folder]
        several = not is_table and len(evidence.study.questions) > 1
        return shlex.join([*known, *(["--question", answer.name] if several else [])]) + f" --law {law[1]}"
    if answer.status == "refused" and is_table:
        kept = _without(told, ("--law", "--by", "--out", "--bounds", "--fixed"))
        return shlex.join(["lawful", "check", *kept[2:]])
    return ""


def _without(told: Sequence[str], options: Sequence[str]) -> list[str]:
    """A command's words without these options and their values."""
    kept: list[str] = []
    is_value = False
    for word in told:
        if not is_value and word.partition("=")[0] not in options:
            kept.append(word)
        is_value = word in options
    return kept
