"""Command: what a study's rung returns where somebody else's program trains; filled in with the rung's coordinates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from lawful.checks import (
    NaturalInt,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Within,
    field_problems,
    nearest,
    refuse,
    shown,
)
from lawful.command import arithmetic
from lawful.command.reads import LOGGED, JSONLines, LogPattern, Reads, TableFile
from lawful.command.record import CommandRun
from lawful.command.template import FOLDER, check_shell, filled, names_in, words_of
from lawful.errors import DeclarationError
from lawful.schema import Coordinate

Count = int | float | str  # a number, or a formula of the rung's coordinates
RESERVED = (FOLDER,)
COUNTS = ("params", "tokens", "flops")


@dataclass(frozen=True, init=False)
class Command:
    """A run that is a command: the program of any trainer, started once for each rung.

    Parameters
    ----------
    command : str
        The command line. {name} is a coordinate of the rung, one of the further keyword arguments, or {folder}: the
        run's own folder. It is split into words before they are filled in; no shell reads it.
    params, tokens, flops : int, float or str
        N (by convention without embeddings), D and C: a number, a formula such as "12*{depth}*{width}^2", or left out
        where `reads` finds them in the output. FLOPs are 6 N D where nothing says otherwise.
    reads : LogPattern, JSONLines, TableFile, or several of them
        Where the loss, and what else is not known beforehand, is read; by default what lawful.log.metrics wrote.
    unit : str
        Of the loss: "nats per token".
    resume : str
        Arguments that are added where an earlier attempt of the run has begun. Without them it begins anew.
    cwd : str
        The folder in which the command runs; relative to that of the study's file. Its commit and changes are part of
        the run's id.
    environment : mapping of str to str
        Variables to set, with names in braces as in the command; part of the run's id.
    shell : bool
        The whole text is given to /bin/sh, the values quoted.
    cores, gpus, gpu_share : int, int, float
        CPU cores of a run; GPUs of a run, which it sees in CUDA_VISIBLE_DEVICES; the share of a GPU that it needs.
    nodes : int
        Nodes of a run; cores, GPUs and memory are of each. Only Slurm gives more than one: srun starts the command on
        all of them, and torchrun finds the others by the variables that it then has.
    memory_gb, resources : float, mapping of str to float
        What a cluster reserves for a run beside them: memory, and further resources by their names there, of Ray or
        gres of Slurm. The local executor does not look at them.
    minutes, grace_seconds, retries : float, float, int
        The time limit; how long the program may take to end when it is told to; attempts after one that failed.
    **values : str, int, float or bool
        Further values for the command. Each must be used.

    Examples
    --------
    >>> command = Command("python train.py --width={width} --out={folder}", params="12*{width}^2", tokens=1e6)
    >>> command.filled({"width": 64}).text
    'python train.py --width=64 --out={folder}'
    """

    command: str
    params: Count | None
    tokens: Count | None
    flops: Count | None
    reads: tuple[Reads, ...]
    unit: str
    resume: str
    cwd: str
    environment: Mapping[str, str]
    shell: bool
    cores: PositiveInt
    gpus: NaturalInt
    gpu_share: Annotated[float, Within(above=0, at_most=1)]
    nodes: PositiveInt
    memory_gb: PositiveFloat | None
    resources: Mapping[str, PositiveFloat]
    minutes: PositiveFloat | None
    grace_seconds: NonNegativeFloat
    retries: NaturalInt
    values: Mapping[str, Coordinate]

    def __init__(
        self,
        command: str,
        *,
        params: Count | None = None,
        tokens: Count | None = None,
        flops: Count | None = None,
        reads: Reads | Sequence[Reads] = LOGGED,
        unit: str = "",
        resume: str = "",
        cwd: str = ".",
        environment: Mapping[str, str] | None = None,
        shell: bool = False,
        cores: int = 1,
        gpus: int = 0,
        gpu_share: float = 1.0,
        nodes: int = 1,
        memory_gb: float | None = None,
        resources: Mapping[str, float] | None = None,
        minutes: float | None = None,
        grace_seconds: float = 10.0,
        retries: int = 0,
        **values: Coordinate,
    ) -> None:
        sources = (reads,) if isinstance(reads, (JSONLines, LogPattern, TableFile)) else reads
        given = {**locals(), "reads": sources, "environment": environment or {}, "resources": resources or {}}
        for name in self.__dataclass_fields__:
            object.__setattr__(self, name, given[name])
        problems = list(field_problems(self).values())
        if gpu_share != 1 and gpus != 1:
            problems.append(f"gpu_share: expected gpus=1 beside it, got gpus={shown(gpus)}")
        refuse("Command", problems)

    def filled(self, at: Mapping[str, Coordinate]) -> CommandRun:
        """The command of the rung at these coordinates. Raises DeclarationError that lists every problem: a {name}
        without a value, a value that nothing uses, a count that is none."""
        values = {**at, **self.values}
        problems = [
            f"{name}: expected a name that is no coordinate and is not {' or '.join(RESERVED)}; it is one"
            for name in self.values
            if name in RESERVED or (name in at and at[name] != self.values[name])
        ]
        problems += self._names_problems(values)
        refuse("Command", problems)
        try:
            counts = self._counts(values)
        except DeclarationError as error:
            raise DeclarationError(f"Command: {error}.") from None
        if self.shell:
            check_shell(f"{self.command} {self.resume}")
        words = (self.command,) if self.shell else words_of(self.command)
        extra = (self.resume,) if self.shell and self.resume else () if self.shell else words_of(self.resume)
        if not words or not words[0].strip():
            raise DeclarationError(f"Command: expected a program to run, got {shown(self.command)}.")
        run = CommandRun(
            words=tuple(filled(word, values, is_quoted=self.shell) for word in words),
            is_shell=self.shell,
            resume=tuple(filled(word, values, is_quoted=self.shell) for word in extra),
            environment=tuple((name, filled(text, values)) for name, text in self.environment.items()),
            reads=tuple(_placed(source, values) for source in self.reads),
            unit="_".join(self.unit.split()),
            counts=counts,
            steps=_steps(values),
            cwd=self.cwd,
            cores=self.cores,
            gpus=self.gpus,
            gpu_share=self.gpu_share,
            nodes=self.nodes,
            memory_gb=self.memory_gb,
            resources=tuple(self.resources.items()),
            minutes=self.minutes,
            grace_seconds=self.grace_seconds,
            retries=self.retries,
        )
        if "loss" not in run.measured:
            raise DeclarationError(f"Command: reads: expected a source of the loss, got {shown(self.reads)}.")
        return run

    def _names_problems(self, values: Mapping[str, Coordinate]) -> list[str]:
        texts = [self.command, self.resume, *self.environment.values(), *_files(self.reads)]
        problems, used = [], set()
        for text in texts:
            try:
                used |= set(names_in(text))
            except DeclarationError as error:
                problems.append(str(error))
        for what in COUNTS:
            formula = getattr(self, what)
            if isinstance(formula, str):
                try:
                    used |= arithmetic.names_of(what, formula) - {*COUNTS}
                except DeclarationError as error:
                    problems.append(str(error).removesuffix("."))
        known = [*values, *RESERVED]
        problems += [f"{{{name}}} has no value; there are {nearest(name, known)}" for name in sorted(used - set(known))]
        problems += [
            f"{name}={shown(self.values[name])} is not used: nothing has {{{name}}}"
            for name in self.values
            if name not in used and name != "steps"
        ]
        return problems

    def _counts(self, values: Mapping[str, Coordinate]) -> tuple[tuple[str, int], ...]:
        """N, D and C as far as they are known beforehand; each must be given or be read."""
        read = {name for source in self.reads if source != LOGGED for name in source.names}
        counts: dict[str, int] = {}
        for what in COUNTS:
            given = getattr(self, what)
            if given is not None and what in read:
                raise DeclarationError(f"{what}: expected a number or a name to read it by, got both")
            if isinstance(given, str):
                counts[what] = arithmetic.count_of(what, given, {**values, **counts})
            elif given is not None:
                counts[what] = _count(what, given)
        if "flops" not in read and "flops" not in counts and {"params", "tokens"} <= set(counts):
            counts["flops"] = 6 * counts["params"] * counts["tokens"]
        return tuple(counts.items())


def settled(run: CommandRun, *, cwd: str, code: str) -> CommandRun:
    """The command with what the plan decides."""
    return replace(run, cwd=cwd, code=code)


def _count(what: str, given: int | float) -> int:
    if isinstance(given, bool) or not math.isfinite(given) or given < 1 or round(given) != given:
        raise DeclarationError(f"{what}: expected a whole number of at least 1, got {shown(given)}")
    return round(given)


def _steps(values: Mapping[str, Coordinate]) -> int | None:
    """The number of steps, where a value of that name is one."""
    steps = values.get("steps")
    return steps if type(steps) is int and steps > 0 else None


def _files(sources: Sequence[Reads]) -> list[str]:
    return [source.file for source in sources if not isinstance(source, LogPattern)]


def _placed(source: Reads, values: Mapping[str, Coordinate]) -> Reads:
    return source if isinstance(source, LogPattern) else replace(source, file=filled(source.file, values))
