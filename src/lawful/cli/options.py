"""Options are checked by their types and ranges before a command begins; one line names the option that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from lawful.checks import conform
from lawful.errors import DeclarationError

Check = Callable[[typer.CallbackParam, Any], Any]


def of(kind: Any) -> Check:
    """For typer.Option(callback=...): the value as `kind` says, a type with its range as in checks.py."""

    def check(param: typer.CallbackParam, value: Any) -> Any:
        if value is None:
            return None
        try:
            return conform(value, kind)
        except DeclarationError as error:
            raise DeclarationError(f"{param.opts[-1]}: {error}.") from None

    return check


def counted(param: typer.CallbackParam, text: str | None) -> str | None:
    """For an option that is a count of at least 1, or several with commas between them, as people write them."""
    from lawful.study import count

    for part in () if text is None else text.split(","):
        try:
            number = count(part)
        except DeclarationError as error:
            raise DeclarationError(f"{param.opts[-1]}: {error}") from None
        if number < 1:
            raise DeclarationError(f"{param.opts[-1]}: expected a count of at least 1, got {part!r}.")
    return text
