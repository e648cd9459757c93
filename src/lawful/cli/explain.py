"""lawful explain: what a code, a law, a column, a parameter or a word of an answer means; lawful laws: all the laws."""

from __future__ import annotations

import textwrap
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from lawful.checks import shown
from lawful.errors import DeclarationError

if TYPE_CHECKING:
    from lawful.fitting.published import Published
    from lawful.laws import Law


def _completions(incomplete: str) -> list[str]:
    return [name for name in _known() if name.startswith(incomplete)]


Name = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[WORD]...",
        help="A code, as printed beside a warning; a law, a published fit, a parameter, a column, a word of an answer. "
        "None: the list of all.",
        autocompletion=_completions,
    ),
]
WIDTH = 80  # columns of the narrowest terminal that is common


def register(app: typer.Typer) -> None:
    app.command()(explain)
    app.command("laws")(laws_command)


def _published() -> None:
    from lawful.fitting.published import PUBLISHED

    for one in PUBLISHED.values():
        typer.echo(_about_published(one))
    typer.echo("\nHold a fit against one: lawful fit runs.csv --law chinchilla --against NAME.")


def _about_published(one: Published) -> str:
    exponents = ", ".join(f"{name} {value:g}" for name, value in one.exponents.items())
    rows = [("law", one.law), ("exponents", exponents), ("source", f"{one.source}; {one.where}")]
    rows += [("N counts", one.params), ("tokenizer", one.tokenizer), ("data", one.data), ("note", one.note)]
    return "\n".join([one.name, *(_row(name, text) for name, text in rows if text)])


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


def explain(word: Name = None) -> None:
    """Say what a word of an answer means: the code of a refusal or a warning and what to do about it, a law, a
    parameter, a column, any other term."""
    if not word:
        typer.echo(_everything())
        return
    asked = " ".join(word)
    found = _meanings(asked)
    if not found:
        near = _similar(asked)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "`lawful explain` lists the words."
        raise DeclarationError(f"nothing is called {shown(asked)}; {hint}")
    typer.echo("\n".join(found))


def _everything() -> str:
    """The names of all that is explained, by kind."""
    from lawful import registry
    from lawful.cli.glossary import WORDS
    from lawful.codes import CODES
    from lawful.fitting.published import PUBLISHED
    from lawful.laws import FORMULA
    from lawful.tables import COLUMNS

    of_kind: dict[str, list[str]] = {}
    for name, code in CODES.items():
        of_kind.setdefault(code.kind, []).append(name)
    kinds = {
        "Words of an answer": WORDS,
        **{f"Codes of a {kind}": names for kind, names in of_kind.items()},
        "Laws": [name for name in registry.found("laws") if name != FORMULA],
        "Published fits": PUBLISHED,
        "Columns of a table": COLUMNS,
    }
    listed = [f"{kind}\n{_indented(', '.join(names))}" for kind, names in kinds.items()]
    return "\n".join([*listed, "\nWhat one means: lawful explain WORD, such as `lawful explain pivot`."])


def _similar(asked: str) -> list[str]:
    """At most three names that may be meant: written alike in any letters, or with one of the words in their text."""
    by_key = {_key(name): name for name in _known()}
    near = [by_key[key] for key in get_close_matches(_key(asked), list(by_key), n=3, cutoff=0.55)]
    words = [word for word in asked.lower().split() if len(word) > 3]
    about = [name for name, text in _texts().items() if words and all(word in text.lower() for word in words)]
    return list(dict.fromkeys([*near, *sorted(about, key=len)]))[:3]


def _texts() -> dict[str, str]:
    """Name -> what is said of it, in the order of the list of names."""
    from lawful import registry
    from lawful.cli.glossary import WORDS
    from lawful.codes import CODES
    from lawful.fitting.published import PUBLISHED
    from lawful.laws import FORMULA
    from lawful.tables import COLUMNS

    laws = {name: entry.load() for name, entry in registry.found("laws").items() if name != FORMULA}
    return {
        **WORDS,
        **{name: f"{code.means} {code.do}" for name, code in CODES.items()},
        **{name: law.when for name, law in laws.items()},
        **{name: f"{one.source} {one.note}" for name, one in PUBLISHED.items()},
        **{name: about for name, (_, about) in COLUMNS.items()},
    }


def _known() -> list[str]:
    from lawful import registry
    from lawful.cli.glossary import WORDS
    from lawful.codes import CODES
    from lawful.fitting.published import PUBLISHED
    from lawful.tables import COLUMNS

    return [*CODES, *registry.found("laws"), *WORDS, *PUBLISHED, *COLUMNS]


def _meanings(asked: str) -> list[str]:
    """All that a word means, as it is written; where it means nothing so, in other letters or with other signs."""
    from lawful import registry
    from lawful.cli.glossary import WORDS
    from lawful.codes import CODES
    from lawful.fitting.published import PUBLISHED
    from lawful.laws import named
    from lawful.plugins import columns
    from lawful.tables import COLUMNS

    if asked in CODES:
        return [_about_code(asked)]
    if asked in PUBLISHED:
        return [_about_published(PUBLISHED[asked])]
    if asked.partition(":")[0] in registry.found("laws"):
        return [_about_law(named(asked))]
    own = [_row(asked, WORDS[asked])] if asked in WORDS else []
    if asked in COLUMNS:
        own.append(_row(asked, f"a column ({COLUMNS[asked][0]}): {COLUMNS[asked][1]}"))
    elif asked in (more := columns()):
        own.append(_row(asked, f"a column ({more[asked].unit}): {more[asked].about}"))
    of_laws: dict[str, list[str]] = {}
    for name, entry in registry.found("laws").items():
        if means := entry.load().meaning.get(asked):
            of_laws.setdefault(means, []).append(name)
    own += [_row(asked, f"in {', '.join(laws)}: {means}") for means, laws in of_laws.items()]
    if own:
        return own
    key = _key(asked)
    again = next((name for name in _known() if _key(name) == key and name != asked), None)
    return _meanings(again) if again else []


def _key(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum() or letter == "*")


def _about_code(name: str) -> str:
    from lawful.codes import CODES

    found = CODES[name]
    lines = (
        textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
        for text in (found.means, f"What to do: {found.do}")
    )
    return "\n".join([f"{name} ({found.kind})", *lines])


def _about_law(law: Law) -> str:
    from lawful.formula.names import ROLES

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
