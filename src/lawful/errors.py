"""The errors that lawful raises on purpose; any other exception is a bug.

Each message says where, what was expected, what came and what to do. The command line prints these (and the system's
own OSError) as one line and ends with status 2; anything else keeps its traceback. They are ValueErrors, so that code
which calls lawful may catch either.
"""

from __future__ import annotations


class LawfulError(ValueError):
    """Base of all errors that a user can mend."""


class DeclarationError(LawfulError):
    """A study, run, law, question, argument or option is not what it must be."""


class TableError(LawfulError):
    """A table of runs cannot be read, or not as it was asked to be."""


class DataError(LawfulError):
    """A corpus, recording, piece of music, tokenizer or download is missing, damaged or of another kind."""


class StoreError(LawfulError):
    """A study's folder is missing, damaged, from another version, or another study's."""


class DeviceError(LawfulError):
    """A device that was asked for is not there, or is not the one that was planned."""


class MissingDependency(LawfulError):
    """An optional package is not installed; the message names the extra that brings it."""


class Refusal(LawfulError):
    """The data do not support the answer that was asked for.

    Attributes
    ----------
    code : str
        A stable name for the reason; `lawful explain CODE` says more.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[Refusal], tuple[str, str]]:
        return type(self), (self.code, str(self))
