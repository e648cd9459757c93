"""lawful publish: studies as a static site or a zip, to show to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(publish)


def publish(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of studies.")],
    out: Annotated[
        Path, typer.Option(help="The folder of the site, new or written by this command; or NAME.zip.")
    ] = Path("site"),
    keep_paths: Annotated[
        bool,
        typer.Option("--keep-paths", help="Leave folders of this machine, and its numerics, in pages and tables."),
    ] = False,
) -> None:
    """Write a site of studies to show to others: an index, each study's page, table, pictures and BibTeX. Weights, logs
    and configurations stay here, and so do the paths of this machine. Any web server can serve the folder."""
    from lawful.conduct import conclude
    from lawful.report.publish import publish as write
    from lawful.storage.layout import Store

    for folder in folders:
        questions = Store(folder).read_study().questions
        if not any(Store(folder).fit(question.name).exists() for question in questions):
            conclude(folder)
    page = write(folders, out, keeps_paths=keep_paths)
    studies = "1 study" if len(folders) == 1 else f"{len(folders)} studies"
    print(f"{studies}: {page.resolve()}")
