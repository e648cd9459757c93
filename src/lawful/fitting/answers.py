"""An answer to a question of a study, as a record: what fits/QUESTION.json holds, read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from lawful.checks import shown
from lawful.errors import DeclarationError, StoreError
from lawful.fitting.answer_records import AnswerRecord
from lawful.fitting.asked import questions_of
from lawful.fitting.headline import of_answer
from lawful.fitting.headline_text import Headline
from lawful.fitting.older import answer_of_format_1
from lawful.fitting.result import Fit, read_fit
from lawful.fitting.stored_fit import FindLaw
from lawful.schema import FORMAT, Warning
from lawful.storage.atomic import write_json
from lawful.storage.codec import HASH, converted, expect_unchanged, to_plain, with_hash
from lawful.storage.json_files import Json, read_json
from lawful.storage.layout import Store


@dataclass(frozen=True, kw_only=True)
class Answer(AnswerRecord):
    """One question answered or refused; what fits/QUESTION.json holds.

    fit    None where refused, and where the question compares arms: each arm's own answer then stands beside it, named
           QUESTION--ARM
    """

    fit: Fit | None = None

    def with_headline(self, design: Sequence[Warning] = ()) -> Answer:
        """With the headline of what the other fields say. design: what the plan and its runs are warned of."""
        said = of_answer(self, self.fit, design)
        return self.saying(said)

    @property
    def said(self) -> Headline:
        return Headline(sentence=self.headline, basis=self.basis, next_step=self.next_step)

    def saying(self, said: Headline) -> Answer:
        basis = said.basis[:1].upper() + said.basis[1:]
        return replace(self, headline=said.sentence, basis=basis, next_step=said.next_step)

    def to_json(self) -> dict[str, Json]:
        """Raises DeclarationError where the law cannot be stored."""
        record = {one.name: to_plain(getattr(self, one.name)) for one in fields(AnswerRecord)}
        return {"format": FORMAT, **record, "fit": None if self.fit is None else self.fit.to_json()}

    @classmethod
    def from_json(cls, raw: Mapping[str, Json], find: FindLaw | None = None) -> Answer:
        """The inverse of to_json, checked. find: as in stored_fit.read_stored.

        Raises StoreError that names the field, DeclarationError where the law cannot be had.
        """
        written = raw.get("format", 1)
        if written not in (1, FORMAT):
            raise StoreError(
                f"expected an answer of format {FORMAT}, got {shown(written)}: `lawful report` makes it again."
            )
        rest = {name: value for name, value in raw.items() if name not in ("format", "fit")}
        record = converted(rest if written == FORMAT else answer_of_format_1(rest), AnswerRecord)
        fit = raw.get("fit")
        if fit is not None and not isinstance(fit, Mapping):
            raise StoreError(f"fit: expected an object, got {shown(fit)}.")
        return cls(
            fit=None if fit is None else read_fit(fit, find, "fit"),
            **{one.name: getattr(record, one.name) for one in fields(AnswerRecord)},
        )


def write_answer(path: Path, answer: Answer) -> None:
    write_json(path, with_hash(answer.to_json()))


def read_answer(path: Path, find: FindLaw | None = None) -> Answer:
    """Raises StoreError or DeclarationError, which name the file and the field."""
    return answer_in(path, read_json(path), find)


def answer_in(path: Path, raw: Mapping[str, Json], find: FindLaw | None = None) -> Answer:
    """As read_answer, of what the file holds."""
    if HASH in raw or "format" in raw:
        expect_unchanged(raw, path)
    try:
        return Answer.from_json({name: value for name, value in raw.items() if name != HASH}, find)
    except (StoreError, DeclarationError) as error:
        raise type(error)(f"{path}: {error}") from None


def read_answers(folder: str | Path) -> list[Answer]:
    """What answer_study wrote, in the order of the study's questions; questions not yet answered are absent."""
    home = Store(Path(folder))
    names = [question.name for question in questions_of(home.read_study())]
    paths = [path for name in names for path in (home.fit(name), *home.fits(f"{name}--"))]
    return [read_answer(path) for path in paths if path.exists()]
