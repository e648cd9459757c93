"""Options that several commands on a study share, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lawful.checks import NaturalInt, PositiveFloat
from lawful.cli import options
from lawful.errors import DeclarationError

if TYPE_CHECKING:
    from lawful.schema import StudyPlan


Scale = Annotated[str | None, typer.Option(help="smoke (a minute or two), quick, full (for a GPU) or published.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="A setting of the study, NAME=VALUE; 1e6, 10M, 1_000_000.")
]
Price = Annotated[
    float | None,
    typer.Option(
        "--price-per-gpu-hour", help="For the forecast of what the study costs.", callback=options.of(PositiveFloat)
    ),
]
Data = Annotated[Path | None, typer.Option(help="Where your copy of the study's data lies.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Workers = Annotated[
    int,
    typer.Option(
        help="Worker processes; 0: one per core on the CPU, as many as pay on a GPU.", callback=options.of(NaturalInt)
    ),
]
Stack = Annotated[
    int,
    typer.Option(
        help="Runs of one shape trained as one batched model; 0: as many as pay.", callback=options.of(NaturalInt)
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, to standard output.")]
AnchorsOnly = Annotated[bool, typer.Option("--anchors-only", help="Leave the held-out rungs for a later resume.")]
TrustedLaws = Annotated[
    list[str] | None,
    typer.Option("--law", help="Import FILE.py:CLASS, a law of your own that a question names; may be repeated."),
]
Trust = Annotated[
    str | None,
    typer.Option(help="Let the study's own Python file, or its commands, run: 12 digits or more of their SHA-256."),
]


def _study_names(incomplete: str) -> list[str]:
    from lawful import studies as built_in

    return [name for name in built_in.names() if name.startswith(incomplete)]


StudyName = Annotated[
    str | None,
    typer.Argument(
        help="A built-in study, or the path of your own Python file; or give --command.", autocompletion=_study_names
    ),
]


def given_settings(pairs: list[str] | None) -> dict[str, str]:
    given: dict[str, str] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise DeclarationError(f"--set: expected NAME=VALUE, got {pair!r}.")
        if name in given:
            raise DeclarationError(f"--set {name}: expected once, got {given[name]!r} and {value!r}.")
        given[name] = value
    return given


def trust_laws(laws: list[str] | None) -> None:
    """Import the laws that the user names; a folder alone never makes lawful import a law."""
    from lawful.laws import named

    for law in laws or []:
        named(law)


def allow(digits: str | None, study: StudyPlan, folder: Path) -> None:
    """Trust the study's own Python file, if --trust names it."""
    from lawful import trust
    from lawful.command import trusted
    from lawful.storage.layout import Store
    from lawful.study import own_file

    if digits is None:
        return
    own = own_file(study)
    is_of_file = not study.is_of_commands or (own is not None and own[1].startswith(digits.lower()))
    if is_of_file and study.has_training:
        trust.allow(digits, own, folder)
    else:
        trusted.allow(digits, Store(folder), study)
