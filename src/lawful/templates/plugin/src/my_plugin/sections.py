"""One more section of a study's page, the same in HTML and in Markdown. It reads only the study's folder."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from lawful.report.evidence import Evidence
from lawful.report.markup import tag
from lawful.report.section import Content, Section
from lawful.schema import CorpusRecord
from lawful.storage.codec import write_study
from lawful.storage.layout import Store

TITLE = "A fair die"


class Faces(Section):
    """The loss of a model that knows only the number of faces."""

    after = "baselines"

    def content(self, evidence: Evidence) -> Content | None:
        corpus = evidence.study.corpora.get("dice")
        if corpus is None:
            return None  # a study of something else
        faces = corpus.vocabulary
        said = f"A model that knows only that there are {faces} faces pays {math.log(faces):.3f} nats a throw."
        return Content(html=tag("section", tag("h2", TITLE), tag("p", said), id="dice"), markdown=(f"## {TITLE}", said))

    def example(self, folder: Path) -> None:
        store = Store(folder)
        corpus = CorpusRecord(fingerprint="0123456789abcdef", vocabulary=6, tokenizer="characters")
        write_study(store.study, replace(store.read_study(), corpora={"dice": corpus}))
