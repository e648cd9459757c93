"""lawful new: a commented study file to begin with, which runs as it is."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from lawful.errors import DeclarationError
from lawful.storage.atomic import write_text

TRAINERS = ("command", "huggingface", "lightning", "nanogpt")  # each a folder of lawful/templates
NAME = "my_study"  # the study and its trainer there


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Studies")(new)


def new(
    file: Annotated[Path, typer.Argument(help="The study's Python file to write.")],
    trainer: Annotated[str, typer.Option(help=f"What trains: {', '.join(TRAINERS)}.")] = "command",
) -> None:
    """Write a commented study of your own trainer, which runs as it is, and a stand-in for the trainer."""
    if trainer not in TRAINERS:
        raise DeclarationError(f"--trainer: expected {', '.join(TRAINERS[:-1])} or {TRAINERS[-1]}, got {trainer!r}.")
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise DeclarationError(f"expected the name of a Python file, such as my_study.py, got {str(file)!r}.")
    program = file.with_name(f"{file.stem}_trainer.py")
    for path in (file, program):
        if path.exists():
            raise DeclarationError(f"{path}: expected a new file, got one that is there; choose another name.")
    templates = resources.files("lawful") / "templates" / trainer
    for path, template in ((file, f"{NAME}.py"), (program, f"{NAME}_trainer.py")):
        write_text(path, (templates / template).read_text(encoding="utf-8").replace(NAME, file.stem))
    print(f"{file}: the study; put your command, its size and its loss where the comments say")
    print(f"{program}: {'nanoGPT with a seed' if trainer == 'nanogpt' else 'a stand-in for your trainer'}")
    needs = "" if trainer == "command" else "what its first lines say is needed, then "
    print(f"next: {needs}lawful plan {file}, then lawful run {file}")
