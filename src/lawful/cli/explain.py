"""lawful explain: what a code of a refusal or a warning means, or a law; lawful laws: all the laws."""

from __future__ import annotations

import textwrap
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from lawful.errors import DeclarationError

if TYPE_CHECKING:
    from lawful.laws import Law

Name = Annotated[
    str | None,
    typer.Argument(metavar="[CODE | LAW]", help="As printed beside a warning, or a law; none: all codes."),
]
WIDTH = 80  # columns of the narrowest terminal that is common


def register(app: typer.Typer) -> None:
    app.command()(explain)
    app.command("laws")(laws_command)


def laws_command(
    published: Annotated[bool, typer.Option("--published", help="Published fits, with their numbers instead.")] = False,
) -> None:
    """List the laws that can be fitted by name, each with its formula and what it is for."""
    if published:
        _published()
        return
    from lawful import registry
    from lawful.laws import FORMULA

    for name, entry in registry.found("laws").items():
        if name != FORMULA:
            law = entry.load()
            formula = law.text if hasattr(law, "text") else law.formula
            typer.echo(f"{name}\n{_indented(formula)}\n{_indented(law.when)}".rstrip())
    typer.echo("\nMore about one: lawful explain NAME.\nAny other law is a formula: --law 'E + A/N^alpha'.")


def _published() -> None:
    from lawful.fitting.published import PUBLISHED

    for one in PUBLISHED.values():
        exponents = ", ".join(f"{name} {value:g}" for name, value in one.exponents.items())
        rows = [("law", one.law), ("exponents", exponents), ("source", f"{one.source}; {one.where}")]
        rows += [("N counts", one.params), ("tokenizer", one.tokenizer), ("data", one.data), ("note", one.note)]
        typer.echo("\n".join([one.name, *(_row(name, text) for name, text in rows if text)]))
    typer.echo("\nHold a fit against one: lawful fit runs.csv --law chinchilla --against NAME.")


def explain(code: Name = None) -> None:
    """Say what the code of a refusal or a warning means, and what to do about it; or what a law is."""
    from lawful import registry
    from lawful.codes import CODES

    if code is not None and code not in CODES:
        laws = registry.found("laws")
        if code.partition(":")[0] in laws:
            from lawful.laws import named

            typer.echo(_about_law(named(code)))
            return
        near = get_close_matches(code, [*CODES, *laws], n=3, cutoff=0.4) or CODES
        raise DeclarationError(f"there is no code or law {code!r}; there are {', '.join(near)}.")
    for name in CODES if code is None else [code]:
        found = CODES[name]
        typer.echo(f"{name} ({found.kind})\n  {found.means}\n  What to do: {found.do}")


def _about_law(law: Law) -> str:
    from lawful.laws.formula import ROLES

    letters = {axis: f"{letter} ({axis})" for letter, axis in ROLES.items()}
    lines = [law.spec, _indented(law.formula), f"inputs: {', '.join(letters.get(axis, axis) for axis in law.inputs)}"]
    derive = getattr(law, "derive", {})
    lines += [_row(name, says + (f": {derive[name]}" if name in derive else "")) for name, says in law.meaning.items()]
    lines += [_row(name, text) for name, text in derive.items() if name not in law.meaning]
    bounds = getattr(law, "bounds", {})
    if bounds:
        lines.append(_row("bounds", ", ".join(f"{name}={low:g}:{high:g}" for name, (low, high) in bounds.items())))
    lines += [_row("use it", law.when), _row("not", law.when_not), _row("source", law.source)]
    return "\n".join(line for line in lines if line)


def _indented(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def _row(name: str, text: str) -> str:
    return textwrap.fill(f"{name:12} {text}", WIDTH, subsequent_indent=" " * 13, break_on_hyphens=False) if text else ""
