"""Check the type and range of an option before the command begins. The error is one line that names the option."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from lawful.checks import argument
from lawful.errors import DeclarationError

Check = Callable[[typer.CallbackParam, Any], Any]


def of(kind: Any) -> Check:
    """A callback for typer.Option that checks the value.

    kind    a type, with its range if it is a number, as in checks.py
    """

    def check(param: typer.CallbackParam, value: Any) -> Any:
        return None if value is None else argument(param.opts[-1], value, kind)

    return check


def counted(param: typer.CallbackParam, text: str | None) -> str | None:
    """For an option that is one count of at least 1, as people write it: 1e9, 70M."""
    return None if text is None else _expect_count(param, text)


def counted_each(param: typer.CallbackParam, text: str | None) -> str | None:
    """For an option that is several such counts with commas between them."""
    for part in () if text is None else text.split(","):
        _expect_count(param, part)
    return text


def _expect_count(param: typer.CallbackParam, text: str) -> str:
    from lawful.study import count

    try:
        number = count(text)
    except DeclarationError as error:
        raise DeclarationError(f"{param.opts[-1]}: {error}") from None
    if number < 1:
        raise DeclarationError(f"{param.opts[-1]}: expected a count of at least 1, got {text!r}.")
    return text


def cost(param: typer.CallbackParam, text: str) -> str:
    """For an option that is 6nd, exact, or a formula which reads D."""
    if text not in ("6nd", "exact"):
        from lawful.fitting.cost import names_in

        if "tokens" not in names_in(text):
            raise DeclarationError(f"{param.opts[-1]}: expected 6nd, exact, or a formula of N and D, got {text!r}.")
    return text
