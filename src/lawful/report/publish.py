"""Studies as a static site: an index, and for each study its page, table, pictures and BibTeX; nothing else leaves."""

from __future__ import annotations

import dataclasses
import io
import re
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lawful
from lawful import tables
from lawful.errors import StoreError
from lawful.report import parts, words
from lawful.report.charts import Chart
from lawful.report.citation import bibtex
from lawful.report.evidence import Evidence, read_evidence
from lawful.report.figures import save, write_figures
from lawful.report.markup import Html, join, tag
from lawful.report.page import PUBLISHED, all_charts, finding_as_title, leading_chart, page
from lawful.report.private import OF_MACHINE, Hidden, without_machine
from lawful.storage.atomic import write_bytes, write_text
from lawful.storage.layout import Store
from lawful.storage.own_paths import expect_own

INDEX = "index.html"
PICTURES = (".png", ".svg", ".pdf", ".jpg")
FOR_PAPER = {1: "one-column", 2: "two-column"}  # PDF of the leading chart
RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{digit}" for name in ("com", "lpt") for digit in range(1, 10))}
EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file of a zip: the same site gives the same bytes


@dataclass(frozen=True)
class Published:
    """One study as it leaves: its name in addresses, its evidence without the machine, its charts, its citation."""

    name: str
    evidence: Evidence
    drawn: list[Chart]
    citation: str


def publish(folders: Sequence[Path], out: Path, *, keeps_paths: bool = False) -> Path:
    """Write the site to the folder `out`, or into one file where `out` ends in .zip; the path of what to open.

    Each folder is read as its report left it. Texts that name folders of this machine, and keys in command lines, are
    cut to "…" unless keeps_paths. Raises StoreError where a folder holds no study, or `out` holds files of others.
    """
    studies: list[Published] = []
    for folder in folders:
        if any(folder.resolve() == one.evidence.folder.resolve() for one in studies):
            raise StoreError(f"{folder}: expected each folder once, got it twice.")
        studies.append(_read(folder, {one.name.lower() for one in studies}, keeps_paths))
    with tempfile.TemporaryDirectory() as place:
        site = Path(place)
        for study in studies:
            _write_study(study, site / study.name, keeps_paths)
        write_text(site / INDEX, index(studies))
        names = sorted(str(path.relative_to(site)) for path in site.rglob("*") if path.is_file())
        if out.suffix.lower() == ".zip":
            _write_zip(site, names, out)
            return out
        _expect_free(out, [study.name for study in studies])
        for name in names:
            write_bytes(out / name, (site / name).read_bytes())
    return out / INDEX


def _read(folder: Path, taken: set[str], keeps_paths: bool) -> Published:
    evidence = read_evidence(folder)
    if not keeps_paths:
        evidence = without_machine(evidence, Hidden.of(folder))
    evidence = dataclasses.replace(evidence, shared_table=_table(folder, keeps_paths))
    return Published(
        name=address(folder.resolve().name, taken),
        evidence=evidence,
        drawn=all_charts(evidence),
        citation=bibtex(evidence),
    )


def address(name: str, taken: set[str]) -> str:
    """A name of a folder that every file system and every address can hold, and that none of `taken` has."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:80].rstrip("-.") or "study"
    if plain.lower() in RESERVED or plain.lower() == INDEX:
        plain = f"study-{plain}"
    found, count = plain, 1
    while found.lower() in taken:
        count += 1
        found = f"{plain}-{count}"
    return found


def _table(folder: Path, keeps_paths: bool) -> bytes:
    """observations.csv without the columns and texts that describe the machine; empty where there is none."""
    path = Store(folder).observations
    if not path.exists():
        return b""
    hide, left_out = (str, set()) if keeps_paths else (Hidden.of(folder), OF_MACHINE)
    rows = [
        {name: hide(cell) if isinstance(cell, str) else cell for name, cell in row.items() if name not in left_out}
        for row in tables.read_rows(path)
    ]
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / path.name
        tables.write_csv(copy, rows, list(dict.fromkeys(name for row in rows for name in row)))
        return copy.read_bytes()


def _write_study(study: Published, into: Path, keeps_paths: bool) -> None:
    evidence = study.evidence
    document = page(evidence, study.drawn)
    if not keeps_paths:  # what plug-ins say of the folder
        for folder in Hidden.of(evidence.folder).folders:
            document = re.sub(rf"{re.escape(folder)}(?![\w.-])", "…", document)
    write_text(into / INDEX, document)
    write_text(into / "cite.bib", study.citation)
    if evidence.shared_table:
        write_bytes(into / "observations.csv", evidence.shared_table)
    write_figures(study.drawn, into / "figures")
    if lead := leading_chart(evidence, study.drawn):
        for columns, name in FOR_PAPER.items():
            save(finding_as_title(lead, evidence), into / "figures" / f"{lead.name}-{name}.pdf", columns)
    for contents in evidence.plugin_contents.values():
        for content in contents:
            for name, data in content.figures.items():
                if Path(name).name == name and Path(name).suffix.lower() in PICTURES:
                    write_bytes(into / "figures" / name, data)


def _write_zip(site: Path, names: Sequence[str], out: Path) -> None:
    expect_own(out)
    top = address(out.stem, set())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in names:
            packed.writestr(zipfile.ZipInfo(f"{top}/{name}", EPOCH), (site / name).read_bytes(), zipfile.ZIP_DEFLATED)
    write_bytes(out, buffer.getvalue())


def _expect_free(out: Path, names: Sequence[str]) -> None:
    """Raises StoreError where a file of somebody else would be replaced, or a link followed."""
    if out.exists() and not out.is_dir():
        raise StoreError(f"{out}: expected a folder, a name for a new one, or NAME.zip, got a file.")
    for place in (out, *(out / name for name in names)):
        if place != out:
            expect_own(place)
        if place.is_dir() and any(place.iterdir()) and not _is_ours(place, is_top=place == out):
            raise StoreError(
                f"{place}: expected a new or empty folder, or one that `lawful publish` wrote, got one with other "
                "files; choose another --out."
            )
        for name in (INDEX, "cite.bib", "observations.csv", "figures"):
            expect_own(place / name)


def _is_ours(place: Path, *, is_top: bool) -> bool:
    """Whether the folder holds a page of ours. A site's top may hold more (.git, README), but no other index."""
    path = place / INDEX
    expect_own(path)
    if not path.exists():
        return is_top and not (place / "study.json").exists()
    return f"<footer><p>{PUBLISHED} ".encode() in path.read_bytes()


def index(studies: Sequence[Published]) -> str:
    """The page that leads to the studies: of each its question, answer, chart and citation."""
    count = "1 study" if len(studies) == 1 else f"{len(studies)} studies"
    head = tag(
        "section",
        tag("h1", count),
        tag("nav", tag("ul", [tag("li", tag("a", one.evidence.study.name, href=f"#{one.name}")) for one in studies]),
            aria_label="On this page") if len(studies) > 1 else None,
        id="answer",
    )  # fmt: skip
    leads = [leading_chart(one.evidence, one.drawn) for one in studies]
    return parts.document(
        count,
        "; ".join(one.evidence.study.question for one in studies),
        [head, *(_shown(one, lead) for one, lead in zip(studies, leads, strict=True))],
        [lead for lead in leads if lead],
        f"{PUBLISHED} {lawful.__version__}.",
    )


def _shown(study: Published, lead: Chart | None) -> Html:
    evidence, plan = study.evidence, study.evidence.study
    doubt = dict(words.first_facts(evidence)).get("Severest doubt", "")
    places = [("Read the page", f"{study.name}/{INDEX}")]
    places += [("Table of runs (CSV)", f"{study.name}/observations.csv")] if evidence.shared_table else []
    if lead:
        figure = f"{study.name}/figures/{lead.name}"
        places += [("Chart (SVG)", f"{figure}.svg"), ("Chart for a paper (PDF)", f"{figure}-one-column.pdf")]
    places += [("BibTeX", f"{study.name}/cite.bib")]
    return tag(
        "section",
        tag(
            "p",
            tag("span", plan.name, class_="name"),
            tag("span", f"{plan.scale} scale") if plan.scale else None,
            tag("span", words.how_many_runs(evidence)),
            class_="eyebrow",
        ),
        tag("p", plan.question, class_="question"),
        tag("h2", parts.unbroken(words.headline(evidence))),
        tag("p", parts.unbroken(said), class_="basis") if (said := words.basis(evidence)) else None,
        parts.facts([("Severest doubt", doubt)], "first") if doubt else None,
        tag("p", [join(tag("a", name, href=place), " · ") for name, place in places[:-1]],
            tag("a", places[-1][0], href=places[-1][1])),
        tag("div", parts.chart(lead, name=f"{study.name}-{lead.name}", has_caption=False), class_="charts lead")
        if lead
        else None,
        tag("details", tag("summary", "How to cite it"), tag("pre", tag("code", study.citation))),
        id=study.name,
    )  # fmt: skip
