"""Which commands may run: those of studies that this user planned, or allowed by their hash. Reading runs none."""

from __future__ import annotations

from collections.abc import Mapping

from lawful import trust
from lawful.command.record import CommandRun
from lawful.errors import DeclarationError, StoreError
from lawful.run import from_json
from lawful.schema import StudyPlan
from lawful.storage import codec
from lawful.storage.json_files import Json, read_json
from lawful.storage.layout import Store

SHOWN = 3  # commands in a message
Commands = Mapping[str, Json]  # run -> its run.json


def read_commands(store: Store, study: StudyPlan) -> Commands:
    """The commands of a study, as its folder has them. Raises StoreError where one is missing."""
    found = {}
    for planned in study.runs:
        if planned.kind != "command":
            continue
        path = store.run(planned.run)
        if not path.exists():
            raise StoreError(
                f"{path}: no such file, so the command cannot be run; `lawful run STUDY --out {store.folder}` plans it."
            )
        found[planned.run] = read_json(path)
    return found


def hash_of(commands: Commands) -> str:
    """SHA-256 of all that the commands say, whatever their order."""
    return codec.digest([commands[run] for run in sorted(commands)])


def command_of(commands: Commands, run_id: str, store: Store) -> CommandRun:
    """One of the commands. Raises StoreError where it was edited."""
    run = from_json(commands[run_id])
    if not isinstance(run, CommandRun) or run.id != run_id:
        raise StoreError(
            f"{store.run(run_id)}: expected the command {run_id}, got one whose hash is another; it was edited."
        )
    return run


def trusted_commands(store: Store, study: StudyPlan, *, trusted: str = "") -> Commands:
    """As read_commands; raises StoreError where they may not run.

    trusted    the hash that whoever started this process allowed
    """
    commands = read_commands(store, study)
    own = hash_of(commands)
    if own != trusted and not trust.is_trusted(own):
        raise StoreError(
            f"{store.study} has commands (SHA-256 {own}) that you have not planned or run before: they would run as "
            f"programs, with your rights: {_listed(commands, store)}. Read them first, in runs/*/run.json; if you "
            f"trust them{_left(commands, store)}, say so: --trust {own[: trust.FEWEST_DIGITS]}"
        )
    return commands


def allow(digits: str, store: Store, study: StudyPlan) -> None:
    """Trust the commands of a study, as --trust asks. Raises DeclarationError where the digits are not theirs."""
    own = hash_of(read_commands(store, study))
    if len(digits) < trust.FEWEST_DIGITS or not own.startswith(digits.lower()):
        raise DeclarationError(
            f"--trust: expected at least {trust.FEWEST_DIGITS} digits of the SHA-256 of this study's commands, got "
            f"{digits!r}; it is {own}."
        )
    trust.remember(own, f"commands of {store.folder.resolve()}")


def _left(commands: Commands, store: Store) -> str:
    """Name the files of earlier attempts from which runs would continue: a checkpoint may contain a program, too."""
    open_runs = [run for run in commands if not store.result(run).exists() and any(store.work(run).glob("*"))]
    if not open_runs:
        return ""
    folder = store.work(open_runs[0]).name
    return f", and the files in runs/*/{folder} from which {len(open_runs)} of them would go on"


def _listed(commands: Commands, store: Store) -> str:
    runs = [command_of(commands, run_id, store) for run_id in commands]
    texts = list(dict.fromkeys(f"in {run.cwd}: {run.text}" for run in runs))
    more = f"; and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return "; ".join(text[:300] for text in texts[:SHOWN]) + more
