"""Which commands may run: those of studies that this user planned, or allowed by their hash. Reading runs none."""

from __future__ import annotations

from lawful import trust
from lawful.command.record import CommandRun
from lawful.errors import DeclarationError, StoreError
from lawful.run import from_json, to_json
from lawful.schema import StudyPlan
from lawful.storage import codec
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store

SHOWN = 3  # commands in a message


def read_commands(store: Store, study: StudyPlan) -> dict[str, CommandRun]:
    """The commands of a study by run, as its folder has them. Raises StoreError where one is missing or was edited."""
    found = {}
    for planned in study.runs:
        path = store.run(planned.run)
        if not path.exists():
            raise StoreError(
                f"{path}: no such file, so the command cannot be run; `lawful run STUDY --out {store.folder}` plans it."
            )
        run = from_json(read_json(path))
        if not isinstance(run, CommandRun) or run.id != planned.run:
            raise StoreError(
                f"{path}: expected the command {planned.run}, got one whose hash is another; it was edited."
            )
        found[planned.run] = run
    return found


def hash_of(commands: dict[str, CommandRun]) -> str:
    """SHA-256 of all that the commands say, whatever their order."""
    return codec.digest([to_json(commands[run]) for run in sorted(commands)])


def commands_of(store: Store, study: StudyPlan, *, trusted: str = "") -> dict[str, CommandRun]:
    """As read_commands; raises StoreError where they may not run.

    trusted    the hash that whoever started this process allowed
    """
    commands = read_commands(store, study)
    own = hash_of(commands)
    if own != trusted and not trust.is_trusted(own):
        raise StoreError(
            f"{store.study} has commands (SHA-256 {own}) that you have not planned or run before: they would run as "
            f"programs, with your rights: {_listed(commands)}. Read them first, in runs/*/run.json; if you trust "
            f"them, say so: --trust {own[: trust.FEWEST_DIGITS]}"
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


def _listed(commands: dict[str, CommandRun]) -> str:
    texts = list(dict.fromkeys(f"in {run.cwd}: {run.text}" for run in commands.values()))
    more = f"; and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return "; ".join(text[:300] for text in texts[:SHOWN]) + more
