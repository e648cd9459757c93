"""What commands on a study say while they work and at the end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lawful.cli.terminal import console

if TYPE_CHECKING:
    from lawful.fitting.answers import Answer
    from lawful.schema import StudyPlan


def announce(folder: Path, page: Path) -> None:
    """The answers, a headline each with its interval and n, and where the page is."""
    from lawful.report.campaign import answer_sentence
    from lawful.report.evidence import first_answers
    from lawful.storage.campaigns import read_campaign
    from lawful.storage.layout import Store

    answers = first_answers(folder)
    for answer in answers:
        print_answer(answer)
    if (campaign := read_campaign(Store(folder))) is not None and (said := answer_sentence(campaign, answers)):
        print(said)
    print(f"report: {page.resolve()}")


def print_answer(answer: Answer) -> None:
    print(f"{answer.question.asks}\n  {answer.headline}" + (f"\n  {answer.basis}" if answer.basis else ""))


def say_warnings(study: StudyPlan) -> None:
    """The warnings of a plan, on standard error."""
    for warning in study.warnings:
        console(stderr=True).print(f"[yellow]{warning.severity}[/]: {warning.code}: {_escape(warning.sentence)}")


def tell(what: str) -> None:
    print(f"lawful: {what}", file=sys.stderr, flush=True)


def say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
