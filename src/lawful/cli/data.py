"""The commands `lawful data ...`: which corpora there are, preparing one, checking what was prepared."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from lawful import registry
from lawful.cli.terminal import guarded, raw
from lawful.errors import DeclarationError
from lawful.report.tables import printable

if TYPE_CHECKING:
    from lawful.corpora import Corpus, Prepared

Name = Annotated[str, typer.Argument(help="Name of a corpus; `lawful data list` shows them.")]
Data = Annotated[
    Path | None, typer.Option("--data", help="Where the raw text lies, if you have it: a file or its folder.")
]

SHOWN_REMARKS = 20  # remarks that `prepare` prints; `verify` prints all
QUIET_SECONDS = 2.0  # shorter work is not worth a line


def register(app: typer.Typer) -> None:
    """Add the group `data`."""
    data = typer.Typer(cls=_DataGroup, no_args_is_help=True, help="Corpora: list, prepare, verify.")
    data.command("list", help="The corpora, where each comes from, and what is prepared already.")(list_corpora)
    data.command("prepare", help="Read a corpus and keep it as token files, ready for training; harmless to repeat.")(
        prepare
    )
    data.command("verify", help="Check every prepared file of a corpus against its hash and its text.")(verify)
    app.add_typer(data, name="data")


class _DataGroup(TyperGroup):
    """Also has the commands that domains and packages bring. They are looked for when `lawful data` is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *registry.found("data_commands")]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if own := super().get_command(ctx, cmd_name):
            return own
        if (entry := registry.find("data_commands", cmd_name)) is None:
            return None
        app = typer.Typer(add_completion=False, rich_markup_mode="rich")
        app.command(name=cmd_name)(guarded(entry.load().command))
        return typer.main.get_command(app)


def list_corpora() -> None:
    from lawful import corpora
    from lawful.storage.cache import cache_folder

    for name, corpus in corpora.known().items():
        typer.echo(f"{name}\n  licence   {corpus.licence}\n  source    {corpus.source}")
        lines = [_line(item) for item in corpora.prepared(name)]
        typer.echo("\n".join(f"  prepared  {line}" for line in lines or [f"no; `lawful data prepare {name}`"]))
    typer.echo(f"kept in {cache_folder() / 'corpora'}; LAWFUL_CACHE sets another place")


def prepare(name: Name, data: Data = None) -> None:
    prepared = _corpus(name).prepare(data, progress=show_progress())
    typer.echo(f"{name}: ready, fingerprint {prepared.fingerprint}")
    for fact, value in prepared.facts().items():
        typer.echo(f"  {fact:<18} {value:,}" if isinstance(value, int) else f"  {fact:<18} {value}")
    remarks = _corpus(name).remarks(fingerprint=prepared.fingerprint)
    _show_remarks(remarks[:SHOWN_REMARKS])
    if len(remarks) > SHOWN_REMARKS:
        typer.echo(f"  note   and {len(remarks) - SHOWN_REMARKS:,} more; `lawful data verify {name}` lists all")


def verify(name: Name, data: Data = None) -> None:
    from lawful import corpora

    raw = _corpus(name).inspect(data, progress=show_progress()) if data is not None else None
    if raw is not None:
        typer.echo(f"{'damaged' if raw else 'ok':<8} {data}")
        for problem in raw:
            typer.echo(f"         {problem}")
        _show_remarks(_corpus(name).remarks(data=data))
    found = corpora.prepared(name)
    if not found and raw is None:
        _corpus(name)
        raise DeclarationError(
            f"{name}: expected prepared data to verify, got none; `lawful data prepare {name}` makes it."
        )
    num_bad = int(bool(raw))
    for item in found:
        if item.corpus is None:
            problems = ["its corpus is of another version of lawful, or a class of your own: it cannot be checked here"]
        else:
            problems = item.corpus.verify(item.fingerprint, data, progress=show_progress())
        typer.echo(f"{'damaged' if problems else 'ok':<8} {_line(item)}")
        for problem in problems:
            typer.echo(f"         {problem}")
        if not problems and item.corpus is not None:
            _show_remarks(item.corpus.remarks(fingerprint=item.fingerprint))
        num_bad += bool(problems)
    if num_bad:
        raise typer.Exit(1)


def _show_remarks(remarks: list[str]) -> None:
    for remark in remarks:
        typer.echo(f"  note   {printable(remark)}")


def show_progress() -> Callable[[str, float], None]:
    """A progress report for work that may be long: silent for two seconds, then one line on standard error that is
    updated (without a terminal: a new line every ten seconds)."""
    started = time.monotonic()
    shown = started
    is_terminal = sys.stderr.isatty()

    def report(what: str, share: float) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - started < QUIET_SECONDS or now - shown < (0.2 if is_terminal else 10.0):
            return
        shown = now
        line = printable(f"{what}: {share:.0%}, {now - started:.0f} s")
        print(
            f"\r{line}\x1b[K" if is_terminal else line,
            end="\r" if is_terminal else "\n",
            file=raw(sys.stderr),
            flush=True,
        )

    return report


def _corpus(name: str) -> Corpus:
    from lawful import corpora

    known = corpora.known()
    if name not in known:
        raise DeclarationError(f"no corpus is called {name!r}; there are {', '.join(known)}.")
    return known[name]


def _line(item: Prepared) -> str:
    counts = " + ".join(f"{tokens:,}" for tokens in item.tokens.values()) + " tokens"
    corpus = item.corpus
    if corpus is None:
        return f"{item.fingerprint}  {counts}"
    fields = {name: value for name, value in vars(corpus).items() if name != "tokenizer" and value is not None}
    rest = ", ".join(f"{name}={value}" for name, value in fields.items())
    symbols = f"{corpus.known_facts()['tokenizer']} ({corpus.vocab_size:,})"
    return f"{item.fingerprint}  {counts}, {symbols}, {rest}"
