"""What the names in the text of a formula stand for: columns, parameters, or numbers that take their place."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lawful.formula.parse import Name, leaves, parse, wrong

ROLES = {"N": "params", "D": "tokens", "C": "flops", "U": "unique_tokens"}
# names that a column may have and a parameter, too: single letters, and what the papers call exponents
USUAL = frozenset("alpha beta gamma delta epsilon eta theta kappa lambda mu nu rho sigma tau omega".split())


def with_columns(text: str, columns: Collection[str], roles: Mapping[str, str]) -> str:
    """A formula with its names of columns between backticks. Raises DeclarationError for a name that may be a column
    and a parameter."""
    out = text
    role_of = {roles[role]: role for role in ROLES.values() if role in roles}
    names = {leaf for leaf in leaves(parse(text)) if isinstance(leaf, Name) and not leaf.reading}
    for name in sorted(names, key=lambda name: -name.at):
        if name.name not in columns:
            continue
        if name.name in ROLES:
            if roles.get(ROLES[name.name], name.name) == name.name:
                continue
            other = f"input({ROLES[name.name]})"
        elif len(name.name) == 1 or name.name.lower() in USUAL:
            other = f"param({name.name})"
        else:
            read_as = role_of.get(name.name, name.name)
            out = f"{out[: name.at]}`{read_as}`{out[name.end :]}"
            continue
        wrong(
            text,
            name.at,
            f"{name.name} may be the column of that name or not: write input({name.name}) for the column, else "
            f"{other}.",
        )
    return out


def with_numbers(text: str, values: Mapping[str, float]) -> str:
    """A formula with numbers in place of some parameters."""
    places = {leaf for leaf in leaves(parse(text)) if isinstance(leaf, Name) and leaf.name in values}
    for name in sorted(places, key=lambda name: -name.at):
        if name.reading != "input":
            number = repr(float(values[name.name])).removesuffix(".0")
            text = text[: name.at] + (f"({number})" if number[0] == "-" else number) + text[name.end :]
    return text


def at_pivot(name: str) -> str:
    """A_pivot, and A_pivot[adamw]."""
    base, bracket, level = name.partition("[")
    return f"{base}_pivot{bracket}{level}"
