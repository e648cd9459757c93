"""Command lines with {names}: which names a text has, and the text filled with their values, quoted right."""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lawful.checks import shown
from lawful.errors import DeclarationError
from lawful.schema import Coordinate

# words by which a shell joins, sends and ends commands
_FOR_A_SHELL = re.compile(r"[|&;]+|[0-9]?>{1,2}(?:&[0-9])?|<{1,3}|[0-9&]?>{1,2}[^=>&][^>]*")
_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
FOLDER = "folder"  # the run's own folder for what it writes; its path is known when the run begins


@dataclass(frozen=True)
class _Part:
    """A piece of literal text, and the name that follows it ("" at the end), with how its value is formatted."""

    text: str
    name: str
    form: str


def names_in(text: str) -> list[str]:
    """The names of a template, each once. Raises DeclarationError where a brace is not closed or a name is no name."""
    return list(dict.fromkeys(part.name for part in _parts(text) if part.name))


def words_of(command: str) -> tuple[str, ...]:
    """The program and its arguments, split as a shell does before anything is filled in: a value never splits."""
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise DeclarationError(
            f"command: expected a command line, got {shown(command)} ({str(error).lower()})"
        ) from None
    signs = [word for word in _QUOTED.sub("quoted", command).split() if _FOR_A_SHELL.fullmatch(word)]
    if signs or (words and _ASSIGNMENT.match(words[0])):
        raise DeclarationError(
            f"command: expected words for a program, got {shown(signs[0] if signs else words[0])}, which only a shell "
            "understands: put it in quotes if the program shall have it; else use shell=True or environment={...}, or "
            "`sh -c '...'`"
        )
    return words


def check_shell(command: str) -> None:
    """Raises DeclarationError where a name stands in quotes: its value comes with its own."""
    quote = ""
    for sign in re.findall(r"\\.|['\"]|\{\{|\{\w[^}]*\}", command, flags=re.DOTALL):
        if sign.startswith("{") and sign != "{{" and quote:
            raise DeclarationError(
                f"command: expected {sign} outside of quotes, since its value is quoted for the shell, got it inside "
                f"of {quote}: {shown(command)}"
            )
        if sign in ("'", '"') and quote in ("", sign):
            quote = "" if quote else sign


def filled(text: str, values: Mapping[str, Coordinate], *, is_quoted: bool = False) -> str:
    """The text with its names replaced by their values, but for {folder}; literal braces stay doubled, so that `placed`
    can put the folder in later.

    is_quoted    each value is quoted for a shell
    """
    made = []
    for part in _parts(text):
        made.append(_doubled(part.text))
        if part.name == FOLDER:
            made.append("{folder}")
        elif part.name:
            value = _as_text(values[part.name], part)
            made.append(_doubled(shlex.quote(value) if is_quoted else value))
    return "".join(made)


def placed(text: str, folder: str, *, is_quoted: bool = False) -> str:
    """A filled text with the run's folder put in."""
    own = shlex.quote(folder) if is_quoted else folder
    return "".join(part.text + (own if part.name else "") for part in _parts(text))


def _as_text(value: Coordinate, part: _Part) -> str:
    try:
        text = format(value, part.form)
    except (ValueError, TypeError) as error:
        raise DeclarationError(f"command: {{{part.name}:{part.form}}}: {error}, got {shown(value)}") from None
    if "\0" in text:
        raise DeclarationError(f"command: {part.name}: expected a text without the character NUL, got {shown(value)}")
    return text


def _parts(text: str) -> Iterator[_Part]:
    if "\0" in text:
        raise DeclarationError(f"command: expected a text without the character NUL, got {shown(text)}")
    try:
        found = list(string.Formatter().parse(text))
    except ValueError as error:
        raise DeclarationError(
            f"command: expected {{name}}, and {{{{ or }}}} for a brace itself, got {shown(text)} ({error})"
        ) from None
    for literal, name, form, conversion in found:
        if name is not None and (not name.isidentifier() or conversion):
            raise DeclarationError(f"command: expected the name of a value between braces, got {{{name}}}")
        yield _Part(literal, name or "", form or "")


def _doubled(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
