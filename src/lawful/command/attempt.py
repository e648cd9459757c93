"""One run that is a command, from its first attempt to its result: started, followed, ended, judged."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lawful.command import nodes, process
from lawful.command.log import Log
from lawful.command.numbers import plain_text
from lawful.command.reads import COLUMNS, LOG_FILE
from lawful.command.record import CommandRun
from lawful.command.sources import Source, Values, opened
from lawful.command.template import placed
from lawful.errors import DeclarationError, in_words
from lawful.schema import Cell, Coordinate, RunRecord
from lawful.storage.atomic import write_text
from lawful.storage.codec import MOST
from lawful.storage.json_files import plain
from lawful.storage.layout import Store
from lawful.storage.lease import Lease

SAFE_PATH = "lawful"  # what PYTHONSAFEPATH is set to for our own workers; any text switches it on
PACE_SECONDS = 1.0  # lines that come together tell no speed
LAST_LINES = 5  # of the output, in the reason of a failure
LAST_LETTERS = 600
COUNTED = ("params", "tokens", "flops")
SURELY_COUNTED = 1e6  # of this size a number is no count in millions
OUT_OF_MEMORY = ("out of memory", "OutOfMemoryError", "MemoryError", "std::bad_alloc", "Cannot allocate memory")
VARIABLE_FOLDER, VARIABLE_COORDINATES = "LAWFUL_LOG_FOLDER", "LAWFUL_COORDINATES"  # as lawful.log reads them


class Stopped(Exception):
    """The run was told to stop before its end; it can go on."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and for whom a command runs.

    gpus    names for CUDA_VISIBLE_DEVICES; empty where it needs none: then the variable stays as it is
    echo    called with each line of output as it is written
    """

    store: Store
    lease: Lease | None
    should_stop: Callable[[], bool]
    gpus: Sequence[str] = ()
    echo: Callable[[bytes], None] | None = None


def train(run: CommandRun, at: Mapping[str, Coordinate], place: Place) -> RunRecord:
    """Run the command, again where it failed and may be tried again; how the run ended and what it told.

    Raises Stopped where place.should_stop() turned true.
    """
    own = place.store.run_folder(run.id)
    mark = str(own.resolve())
    has_begun = place.store.work(run.id).exists()
    if has_begun:
        process.kill_orphans(mark)
    for left in reversed(range(run.retries + 1)):
        attempt = _Attempt(run, at, place, is_resumed=has_begun and _can_go_on(run, place.store))
        result = attempt.result(mark)
        has_begun = True
        if result.status != "failed" or not left or not attempt.has_started:
            return result
    raise AssertionError("unreachable")


def _can_go_on(run: CommandRun, store: Store) -> bool:
    """Whether the arguments to go on are added: not where an attempt that writes to its folder left nothing there."""
    texts = (*run.words, *(text for _, text in run.environment))
    if not run.resume or not any("{folder}" in text for text in texts):
        return bool(run.resume)
    return any(name != LOG_FILE for name in os.listdir(store.work(run.id)))


class _Attempt:
    def __init__(self, run: CommandRun, at: Mapping[str, Coordinate], place: Place, *, is_resumed: bool) -> None:
        self.run, self.at, self.place, self.is_resumed = run, at, place, is_resumed
        self.work = place.store.work(run.id).absolute()
        if not is_resumed:
            shutil.rmtree(self.work, ignore_errors=True)  # what an attempt left that cannot be continued
        self.work.mkdir(parents=True, exist_ok=True)
        self.sources: list[Source] = [opened(source, self.work, Path(run.cwd)) for source in run.reads]
        self.latest: list[dict[str, float]] = [{} for _ in run.reads]
        self.first_not_finite: float | None = None
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.says_out_of_memory = False
        self.has_started = False
        self.record: IO[str] | None = None
        self.records = 0
        self.first_tokens: tuple[float, float] | None = None  # when, and how many

    def result(self, mark: str) -> RunRecord:
        metrics = self.place.store.metrics(self.run.id)
        if not self.is_resumed and metrics.exists():
            write_text(metrics, "", lease=self.place.lease)  # a new file: one who slept adds to the old one
        with Log(self.place.store.output(self.run.id)) as self.log, contextlib.ExitStack() as self.open_files:
            arguments = self.run.arguments(str(self.work), is_resumed=self.is_resumed)
            line = self.run.line(str(self.work), is_resumed=self.is_resumed)
            environment = self._environment(mark)
            if self.run.nodes > 1:
                try:
                    found = nodes.launch(arguments, nodes=self.run.nodes, run_id=self.run.id, environment=environment)
                except DeclarationError as error:
                    return self._failed(str(error))
                arguments, environment = list(found.arguments), {**environment, **found.environment}
            self.log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} in {self.run.cwd}: {line}".encode(errors="replace"))
            try:
                ended = process.run(
                    arguments,
                    cwd=Path(self.run.cwd),
                    environment=environment,
                    output=self._output,
                    tick=self._poll,
                    should_stop=self.place.should_stop,
                    seconds=None if self.run.minutes is None else 60 * self.run.minutes,
                    grace_seconds=self.run.grace_seconds,
                )
            except process.NotStarted as refused:
                if not Path(self.run.cwd).is_dir():
                    return self._failed(f"the folder in which it runs, {self.run.cwd}, is not there")
                return self._failed(f"{arguments[0]!r} cannot be started: {in_words(refused.error)}")
            self.has_started = True
            if ended.cause != "itself" or ended.status or ended.has_left:
                process.kill_orphans(mark)  # torchrun's ranks, for one, are in groups of their own
            self._poll(is_over=True)
        if ended.cause == "stopped":
            raise Stopped
        return self._judged(ended)

    def _environment(self, mark: str) -> dict[str, str]:
        started_with = dict(os.environ)
        if started_with.get("PYTHONSAFEPATH") == SAFE_PATH:
            del started_with["PYTHONSAFEPATH"]  # else `python train.py` finds no module beside train.py
        own = {
            **started_with,
            "OMP_NUM_THREADS": str(self.run.cores),
            "PYTHONUNBUFFERED": "1",  # else a line is seen when the next 8,192 bytes are full
            process.MARK: mark,
            VARIABLE_FOLDER: str(self.work),
            VARIABLE_COORDINATES: json.dumps(dict(self.at)),
        }
        if self.run.gpus and self.place.gpus:  # else a cluster's scheduler has set it
            own["CUDA_VISIBLE_DEVICES"] = ",".join(self.place.gpus[: self.run.gpus])
        return own | {name: placed(text, str(self.work)) for name, text in self.run.environment}

    def _output(self, line: bytes) -> None:
        self.log.write(line)
        if self.place.echo is not None:
            self.place.echo(line)
        text = plain_text(line.decode("utf-8", errors="replace")).rstrip()
        if text:
            self.last_lines.append(text)
            self.says_out_of_memory |= any(sign in text for sign in OUT_OF_MEMORY)
        for number, source in enumerate(self.sources):
            self._take(number, source.line(text))

    def _poll(self, *, is_over: bool = False) -> None:
        for number, source in enumerate(self.sources):
            self._take(number, source.poll(is_over=is_over))
        self.log.flush()
        if self.record is not None:
            self.record.flush()

    def _take(self, number: int, found: Sequence[Values]) -> None:
        for values in found:
            self.latest[number].update(values)
            if not _is_measurement(values.get("loss", 0.0)) and self.first_not_finite is None:
                self.first_not_finite = values.get("step", math.nan)
            if curve := self._curve(values):
                self._record().write(json.dumps(plain(curve)) + "\n")

    def _record(self) -> IO[str]:
        """The run's record, made with its first line: a run that told nothing has not begun."""
        if self.record is None:
            path = self.place.store.metrics(self.run.id)
            self.record = self.open_files.enter_context(path.open("a", encoding="utf-8"))
        return self.record

    def _curve(self, values: Values) -> dict[str, float]:
        """A line of the run's record, as our own runs write it; empty where the values are no point of a curve."""
        losses = {"validation_loss": values.get("loss"), "loss": values.get("loss_train")}
        kept = {name: value for name, value in losses.items() if value is not None}
        values = {name: value for name, value in values.items() if _is_measurement(value)}
        if not kept:
            return {}
        self.records += 1
        step = values.get("step", float(self.records))
        tokens = values.get("tokens")
        total = self.run.known.get("tokens")
        if tokens is None and total and self.run.steps and "step" in values:
            tokens = step * total / self.run.steps
        line: dict[str, float] = {"step": round(step), **kept}
        if tokens is not None:
            line["tokens"] = tokens
            line |= self._pace(tokens)
        return line

    def _pace(self, tokens: float) -> dict[str, float]:
        """Tokens a second since the first tokens that this attempt told of."""
        now = time.monotonic()
        if self.first_tokens is None:
            self.first_tokens = (now, tokens)
            return {}
        began, first = self.first_tokens
        if now - began < PACE_SECONDS or tokens <= first:
            return {}
        return {"tokens_per_second": (tokens - first) / (now - began)}

    def _judged(self, ended: process.Ended) -> RunRecord:
        found: dict[str, float] = {}
        for latest in self.latest:
            found = {**latest, **found}
        loss = found.get("loss")
        if loss is not None and not _is_measurement(loss):
            return self._diverged(loss, ended.seconds)
        if ended.cause == "time":
            return self._failed(f"stopped at its time limit of {self.run.minutes:g} minutes", ended)
        if ended.status:
            return self._failed(self._why(ended), ended)
        if missing := [name for name in self.run.measured if name not in found]:
            return self._failed("; ".join(map(self._not_found, missing)), ended)
        odd = [name for name in self.run.measured if not _is_measurement(found[name])]
        odd += [name for name in COUNTED if name not in odd and not _is_count(found.get(name, 1))]
        if odd:
            told = ", ".join(f"{name} {found[name]}" for name in odd)
            return self._failed(f"expected finite numbers, and whole counts of at least 1, got {told}", ended)
        if found["loss"] <= 0:
            return self._failed(f"expected a loss above 0, got {found['loss']:g}; read or print one that is", ended)
        return RunRecord(status="finished", measured=self._columns(found, ended))

    def _columns(self, found: Mapping[str, float], ended: process.Ended) -> dict[str, Cell]:
        known: dict[str, float] = dict(self.run.known)
        told = {
            name: round(value) if name in COUNTED else value
            for name, value in found.items()
            if name not in known and name != "step" and _is_measurement(value)
        }
        both = {**told, **known}
        columns: dict[str, Cell] = {COLUMNS[name]: value for name, value in told.items()}
        if "params" in both and "tokens" in both and not {"params", "tokens"} <= known.keys():  # else the plan has it
            columns["flops_6nd"] = round(6 * both["params"] * both["tokens"])
            columns |= {} if "flops" in both else {"flops": columns["flops_6nd"]}
        if self.run.unit:
            columns["loss_unit"] = self.run.unit
        columns["seconds"] = ended.seconds
        if "tokens" in both and ended.seconds and not self.is_resumed:
            columns["tokens_per_second"] = both["tokens"] / ended.seconds
        return columns

    def _diverged(self, loss: float, seconds: float) -> RunRecord:
        step = self.first_not_finite if self.first_not_finite is not None else math.nan
        at = f" first at step {step:.0f}" if math.isfinite(step) else ""
        measured: dict[str, Cell] = {"diverged_at_step": round(step)} if math.isfinite(step) else {}
        return RunRecord(status="diverged", reason=f"the loss is {loss}{at}", measured={**measured, "seconds": seconds})

    def _why(self, ended: process.Ended) -> str:
        """An exit status in words."""
        number = -ended.status if ended.status < 0 else ended.status - 128 if ended.status > 128 else 0
        name = next((one.name for one in signal.Signals if one.value == number), "") if number else ""
        how = f"killed by {name}" if name and ended.status < 0 else f"exit status {ended.status}"
        how += f" ({name})" if name and ended.status > 0 else ""
        if ended.out_of_memory:
            return f"out of memory: the kernel ended it ({how}); use fewer --workers or a smaller model"
        if self.says_out_of_memory:
            return f"out of memory, as its output says; it ended with {how}"
        if number == signal.SIGKILL:
            return f"{how}: not by lawful; often that is the kernel's answer to too little memory"
        return f"the command ended with {how}"

    def _not_found(self, name: str) -> str:
        looked = [
            f"{source.looked_for if len(source.names) == 1 else source.names[name]} in {one.place}"
            for source, one in zip(self.run.reads, self.sources, strict=True)
            if name in source.names
        ]
        return f"the command ended well, and no {name} was found: looked for {' and '.join(looked)}"

    def _failed(self, why: str, ended: process.Ended | None = None) -> RunRecord:
        last = " | ".join(self.last_lines)[-LAST_LETTERS:]
        log = self.place.store.output(self.run.id)
        said = f"; its last lines: {last}" if last else "; it wrote nothing"
        if self.is_resumed:
            said += f"; it went on from {self.work}: remove that folder to have the run begin anew"
        return RunRecord(
            status="failed",
            reason=f"{why}{said} ({log.parent.name}/{log.name} has its output)",
            measured={} if ended is None else {"seconds": ended.seconds},  # a GPU was paid for them
        )


def _is_count(value: float) -> bool:
    """Whole, but for large ones that were averaged or rounded: 10.65 may be millions. NaN tells nothing."""
    return math.isnan(value) or value >= SURELY_COUNTED or (value >= 1 and value == round(value))


def _is_measurement(value: float) -> bool:
    return math.isfinite(value) and abs(value) < MOST


def echo(line: bytes) -> None:
    """Write the line to standard error, unchanged."""
    with contextlib.suppress(OSError):
        sys.stderr.buffer.write(line + b"\n")
        sys.stderr.buffer.flush()


__all__ = ["LOG_FILE", "Place", "Stopped", "echo", "train"]
