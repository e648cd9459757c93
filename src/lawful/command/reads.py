"""Where the numbers of a command's run are read: lines of JSON, a pattern over its output, a table, lawful.log."""

from __future__ import annotations

from dataclasses import dataclass, fields

from lawful.checks import check_fields, shown
from lawful.command import numbers
from lawful.command.template import names_in
from lawful.errors import DeclarationError

LOG_FILE = "lawful.jsonl"  # in the run's folder: where lawful.log.metrics writes
# what can be read of a run -> its column in the table
COLUMNS = {
    "step": "steps",
    "loss": "loss",
    "params": "params_non_embedding",
    "tokens": "tokens",
    "flops": "flops",
    "loss_train": "loss_train",
    "test_loss": "test_loss",
    "accuracy": "accuracy",
    "bits_per_byte": "bits_per_byte",
}


@dataclass(frozen=True, kw_only=True)
class _Named:
    """What each number is called in a file: a column, or a key ("val/loss" is also the key loss inside val)."""

    step: str = ""
    loss: str = ""
    params: str = ""
    tokens: str = ""
    flops: str = ""
    loss_train: str = ""
    test_loss: str = ""
    accuracy: str = ""
    bits_per_byte: str = ""

    @property
    def names(self) -> dict[str, str]:
        """What is read -> its name in the file."""
        return {name: found for name in COLUMNS if (found := getattr(self, name))}


@dataclass(frozen=True)
class _File(_Named):
    file: str

    def __post_init__(self) -> None:
        check_fields(self)
        names_in(self.file)
        if not self.file or not self.names:
            raise DeclarationError(
                f'{type(self).__name__}: expected a file and what is read in it, such as ("metrics.jsonl", '
                f'loss="val/loss", step="step"), got {shown(self.file)} and {self.names or "nothing"}.'
            )

    @property
    def looked_for(self) -> str:
        return " and ".join(self.names.values())


@dataclass(frozen=True)
class JSONLines(_File):
    """A file of JSON objects, one a line, that grows while the run trains. The last value of each number counts.

    Parameters
    ----------
    file : str
        Its path; relative to the run's own folder, {folder}. It may contain {names}, as the command does.
    loss, step, params, tokens, ... : str
        What each number is called there. "val/loss" is a key of this name, or the key loss inside val.

    Examples
    --------
    >>> JSONLines("metrics.jsonl", loss="val/loss", step="step").names
    {'step': 'step', 'loss': 'val/loss'}
    """


@dataclass(frozen=True)
class TableFile(_File):
    """A file or folder that lawful's readers of tables know (CSV, trainer_state.json, TensorBoard, ...): its last row.

    Parameters are those of JSONLines, with the names of columns.
    """


@dataclass(frozen=True)
class LogPattern:
    """Lines of the command's own output, standard error included: "step {step} ... val loss {loss}".

    Blanks match any number of blanks, "..." anything, and colours are left out. Counts may have a unit: 124M, 1.5 B,
    2e9. The last value of each number counts.

    Parameters
    ----------
    pattern : str
        With the names step, loss, params, tokens, flops, loss_train, test_loss, accuracy, bits_per_byte; {_} is any
        other number.
    """

    pattern: str

    def __post_init__(self) -> None:
        check_fields(self)
        try:
            numbers.compiled(self.pattern, tuple(COLUMNS))
        except DeclarationError as error:
            raise DeclarationError(f"LogPattern: {error}.") from None

    @property
    def names(self) -> dict[str, str]:
        return {name: name for name in names_in(self.pattern) if name in COLUMNS}

    @property
    def looked_for(self) -> str:
        return repr(self.pattern)


Reads = JSONLines | TableFile | LogPattern
LOGGED = JSONLines(LOG_FILE, **{name: name for name in COLUMNS})


def read_of(text: str) -> Reads:
    """A source as --reads names it: "log: val loss {loss}", "jsonl metrics.jsonl: loss=val/loss step=step", or "table
    trainer_state.json: loss=eval_loss"."""
    kind, colon, rest = text.partition(":")
    kind, _, file = kind.strip().partition(" ")
    if colon and kind == "log" and not file:
        return LogPattern(rest.strip())
    kinds: dict[str, type[JSONLines] | type[TableFile]] = {"jsonl": JSONLines, "table": TableFile}
    known = {one.name for one in fields(_Named)}
    pairs = [pair.partition("=") for pair in rest.split()]
    if not colon or kind not in kinds or any(name not in known or not value for name, _, value in pairs):
        raise DeclarationError(
            "--reads: expected 'log: val loss {loss}', 'jsonl FILE: loss=KEY step=KEY' or 'table FILE: loss=COLUMN', "
            f"got {shown(text)}; the numbers are {', '.join(COLUMNS)}."
        )
    return kinds[kind](file.strip(), **{name: value for name, _, value in pairs})
