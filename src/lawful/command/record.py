"""CommandRun: a command filled in for one rung, as run.json holds it; its id is a hash of what decides its numbers."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lawful.checks import Count, NaturalInt, NonNegativeFloat, PositiveFloat, PositiveInt, check_fields
from lawful.command.reads import COLUMNS, LOGGED, Reads
from lawful.command.template import placed
from lawful.run import added, digest_of, to_json

# neither where a command runs nor how often it is tried changes what it computes
_NOT_IN_ID = (
    *("cwd", "cores", "gpus", "gpu_share", "nodes", "memory_gb", "resources"),
    *("minutes", "grace_seconds", "retries", "steps", "counts"),
)


@dataclass(frozen=True, kw_only=True)
class CommandRun:
    """A program with its arguments. Only {folder}, the run's own folder, is still to be put in.

    words          the program and its arguments; with a shell, one text
    resume         arguments that are added where an earlier attempt has begun
    environment    variables that are set, beside those that lawful was started with
    reads          where its numbers are; of a number that several give, the first source counts
    counts         column -> number that is known beforehand
    steps          how many steps the run has, if that is known: for the live table and the curves
    code           the state of the folder `cwd` when the study was planned; see code.py
    nodes          of Slurm, on each of which srun starts the command; cores and GPUs are of each
    memory_gb, resources    what a cluster reserves for the run beside cores and GPUs
    minutes        time limit of an attempt
    grace_seconds  between SIGTERM and SIGKILL
    retries        further attempts after one that failed
    """

    words: tuple[str, ...]
    is_shell: bool = False
    resume: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    reads: tuple[Reads, ...] = ()
    unit: str = ""
    counts: tuple[tuple[str, Count], ...] = ()
    steps: PositiveInt | None = None
    cwd: str = ""
    code: str = ""
    cores: PositiveInt = 1
    gpus: NaturalInt = 0
    gpu_share: PositiveFloat = 1.0
    nodes: PositiveInt = added(1)
    memory_gb: PositiveFloat | None = added(None)
    resources: tuple[tuple[str, PositiveFloat], ...] = added(())
    minutes: PositiveFloat | None = None
    grace_seconds: NonNegativeFloat = 10.0
    retries: NaturalInt = 0

    def __post_init__(self) -> None:
        check_fields(self)

    @functools.cached_property
    def id(self) -> str:
        own = to_json(self)
        return digest_of({name: value for name, value in own.items() if name not in _NOT_IN_ID})

    @property
    def known(self) -> dict[str, int]:
        return dict(self.counts)

    @property
    def measured(self) -> tuple[str, ...]:
        """What the output must tell before the run counts as finished: the loss, the counts that it alone knows, and
        what else the declaration names. Of lawful.log's names it may leave out the others."""
        read = {name for source in self.reads for name in _required(source)}
        return tuple(name for name in COLUMNS if name in read and name not in self.known)

    @property
    def text(self) -> str:
        """The command as one would type it; {folder} stands for the run's own folder."""
        return self.line("{folder}")

    def line(self, folder: str, *, is_resumed: bool = False) -> str:
        arguments = self.arguments(folder, is_resumed=is_resumed)
        return arguments[2] if self.is_shell else joined(arguments)

    def arguments(self, folder: str, *, is_resumed: bool = False) -> list[str]:
        words = [*self.words, *(self.resume if is_resumed else ())]
        made = [placed(word, folder, is_quoted=self.is_shell) for word in words]
        return ["/bin/sh", "-c", " ".join(made)] if self.is_shell else made


def joined(arguments: Sequence[str]) -> str:
    """The words as one command line; {folder} stands in it without quotes."""
    return shlex.join(word.replace("{folder}", "@folder@") for word in arguments).replace("@folder@", "{folder}")


def _required(source: Reads) -> Iterable[str]:
    return ("loss", "params", "tokens") if source == LOGGED else source.names.keys() - {"step"}
