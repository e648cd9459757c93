"""lawful watch: the report of a study while it runs."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from lawful.checks import Within
from lawful.cli import options


def register(app: typer.Typer) -> None:
    app.command()(watch)


def watch(
    folder: Annotated[Path, typer.Argument(help="A study's folder, on whatever machines its runs are.")],
    port: Annotated[
        int,
        typer.Option(
            help="On 127.0.0.1; 0: any that is free.",
            callback=options.of(Annotated[int, Within(at_least=0, at_most=65_535)]),
        ),
    ] = 0,
    opens: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open a browser; by default where there is a screen.")
    ] = None,
) -> None:
    """Serve a study's report to this machine while it runs, fitted again as runs finish; Ctrl+C ends it."""
    import webbrowser

    from lawful.report.watch import serve

    def ready(address: str) -> None:
        print(f"watching {folder} at {address} (Ctrl+C ends it)", flush=True)
        if _has_screen() if opens is None else opens:
            webbrowser.open(address)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.nice(10)  # the training goes first
    try:
        serve(folder, port=port, ready=ready, say=lambda what: print(what, flush=True))
    except KeyboardInterrupt:
        print("\nno longer watching; the study goes on as it was", file=sys.stderr)


def _has_screen() -> bool:
    return sys.stdout.isatty() and (
        sys.platform == "darwin" or bool(os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"})
    )
