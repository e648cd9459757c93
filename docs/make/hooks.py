"""What MkDocs is told beyond mkdocs.yml: pages made from the code, blocks that no test runs, pages not in the menu."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

MORE = {"how-to": "How to", "studies": "Studies", "concepts": "Concepts", "reference": "Reference"}


def on_config(config: Any) -> Any:
    """Pages that the menu does not name are added to it: to their folder's section, or at the end."""
    named = set(re.findall(r"[\w/.-]+\.md", str(config["nav"])))
    sections = {title: pages for entry in config["nav"] for title, pages in entry.items() if isinstance(pages, list)}
    root = Path(config["docs_dir"])
    for path in sorted(root.rglob("*.md")):
        name = path.relative_to(root).as_posix()
        if name not in named:
            folder = MORE.get(path.parent.name)
            (sections[folder] if folder else config["nav"]).append(name)
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    if page.file.src_uri == "reference/command-line.md":
        markdown = markdown.replace("<!-- commands -->", commands())
    if page.file.src_uri == "reference/table.md":
        markdown = markdown.replace("<!-- columns -->", columns())
    return re.sub(r"<!-- not run: (.*?) -->", r"*Not run by our tests: \1.*\n", markdown, flags=re.DOTALL)


def commands() -> str:
    """The help of every command, as it prints it."""
    import typer.main

    from lawful.cli import app

    return "\n".join(_helps(typer.main.get_command(app), ["lawful"]))


def _helps(command: Any, names: list[str]) -> list[str]:
    from typer.testing import CliRunner

    from lawful.cli import app

    text = CliRunner().invoke(app, [*names[1:], "--help"], env={"COLUMNS": "80", "NO_COLOR": "1"}).output
    lines = [f"## {' '.join(names)}", "", "```text", text.strip(), "```", ""]
    for name, child in getattr(command, "commands", {}).items():
        lines += _helps(child, [*names, name])
    return lines


def columns() -> str:
    from lawful.plugins import columns
    from lawful.tables import COLUMNS

    rows = [f"| `{name}` | {kind} | {means} |" for name, (kind, means) in COLUMNS.items()]
    rows += [f"| `{name}` | {column.unit} | {column.about} |" for name, column in columns().items()]
    return "\n".join(["| column | kind | means |", "|---|---|---|", *rows])
