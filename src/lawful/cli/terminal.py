"""Make what a command prints safe: control characters in names and tables are shown, and do not reach the terminal."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from lawful.report.tables import printable

if TYPE_CHECKING:
    from rich.console import Console

_NO_BREAK = "\0"  # stands for a space that is no place to break; printable text holds none


def answer_interrupts(said: str = "stopping") -> None:
    """From now on Ctrl+C is answered on standard error at once; then it raises KeyboardInterrupt, as ever. What is
    going on may take seconds to end."""

    def answer(number: int, frame: FrameType | None) -> None:
        if sys.stderr is not None:
            os.write(2, f"\nlawful: {said}.\n".encode())
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, answer)


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator: all that the command prints is made printable, also what libraries print."""

    @functools.wraps(command)
    def shown(*args: Any, **options: Any) -> None:
        with contextlib.ExitStack() as guarded:
            if sys.stdout is not None:  # None where the shell has closed it
                guarded.enter_context(contextlib.redirect_stdout(Printable(sys.stdout)))
            if sys.stderr is not None:
                guarded.enter_context(contextlib.redirect_stderr(Printable(sys.stderr)))
            command(*args, **options)

    return shown


def wrapped(text: str, width: int) -> str:
    """The text with long lines broken between words. A command stays whole, so that it can be copied; JSON too."""
    if text.startswith(("{", "[")):
        return text
    return "\n".join(line if len(line) <= width else _broken(line, width) for line in text.split("\n"))


def _broken(line: str, width: int) -> str:
    joined = re.sub("`[^`]*`", lambda quoted: quoted[0].replace(" ", _NO_BREAK), line)
    if "lawful " in joined:  # a command, to the end of the line
        return line
    lines = textwrap.wrap(joined, width, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace(_NO_BREAK, " ")


class Printable:
    """A text stream that writes control characters out (\\x1b) and, on a terminal, wraps long lines. It has no
    `buffer`, which would let control characters through."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        shown = printable(text)
        self.stream.write(wrapped(shown, shutil.get_terminal_size().columns) if self.stream.isatty() else shown)
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.stream, name)


def console(*, stderr: bool = False) -> Console:
    """A console of rich: its own colours reach the terminal, its text is made printable."""
    from rich import console as rich

    class Guarded(rich.Console):
        def render(self, renderable: Any, options: Any = None) -> Iterator[Any]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=printable(segment.text))

    # no emoji: rich takes :M: of H:M:S for one
    return Guarded(file=raw(sys.stderr if stderr else sys.stdout), emoji=False)


def raw(stream: Any) -> TextIO:
    """The stream below Printable, for lawful's own control characters."""
    found: TextIO = stream.stream if isinstance(stream, Printable) else stream
    return found
