"""lawful studies: the built-in studies."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass

import typer

from lawful.cli.study_options import AsJson

WIDTH = 80  # columns of the narrowest terminal that is common


def register(app: typer.Typer) -> None:
    app.command()(studies)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A built-in study, as it is listed."""

    name: str
    question: str
    scales: list[str]
    axes: list[str]
    settings: dict[str, str]
    data: list[str]


def studies(as_json: AsJson = False) -> None:
    """List the built-in studies: question, scales, settings, and what data each needs."""
    from lawful import studies as built_in
    from lawful.study import declare, scales_of, settings_of

    found = []
    for name in built_in.names():
        module, _ = built_in.find(name)
        study = declare(module)
        corpora = {rung.training.corpus for rung in study.ladder}
        found.append(
            Listed(
                name=name,
                question=study.question,
                scales=list(scales_of(module)),
                axes=list(dict.fromkeys(axis for rung in study.ladder for axis in rung.at)),
                settings=settings_of(module),
                data=sorted({f"{c.name} ({'here' if c.is_available() else 'not on this machine'})" for c in corpora}),
            )
        )
    if as_json:
        print(json.dumps([asdict(entry) for entry in found], indent=1))
        return
    for entry in found:
        print(entry.name)
        for line in textwrap.wrap(entry.question, WIDTH - 2):
            print(f"  {line}")
        for words, parts in (("scales", entry.scales), ("axes", entry.axes), ("data", entry.data)):
            if parts:
                print(_wrapped(f"  {words:9} {', '.join(parts)}", 12))
        for number, (name, about) in enumerate(entry.settings.items()):
            print(_wrapped(f"  {'settings' if number == 0 else '':9} {name}: {about}", 14))
        print()
    print("Look at one: lawful plan NAME --scale smoke; with a setting: --set NAME=VALUE.")


def _wrapped(text: str, indent: int) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)
