"""lawful explain: what a code of a refusal or a warning means, and what to do."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated

import typer

from lawful.errors import DeclarationError

Name = Annotated[str | None, typer.Argument(metavar="[CODE]", help="As printed beside a warning; none: all of them.")]


def register(app: typer.Typer) -> None:
    app.command()(explain)


def explain(code: Name = None) -> None:
    """Say what the code of a refusal or a warning means, and what to do about it."""
    from lawful.codes import CODES

    if code is not None and code not in CODES:
        near = get_close_matches(code, CODES, n=3, cutoff=0.4) or CODES
        raise DeclarationError(f"there is no code {code!r}; there are {', '.join(near)}.")
    for name in CODES if code is None else [code]:
        found = CODES[name]
        typer.echo(f"{name} ({found.kind})\n  {found.means}\n  What to do: {found.do}")
