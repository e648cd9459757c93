"""The part of a report about typing: there where sessions were kept, labelled where it is made up, complete."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from lawful.domains.emg import keystroke_tables
from lawful.domains.emg.analyses.latency import measure
from lawful.domains.emg.analyses.per_user_error import answer_people
from lawful.domains.emg.records import EncoderCost, EncoderCosts, read_costs, read_people
from lawful.domains.emg.sections.keystrokes import Typing, keystrokes, markdown, section
from lawful.domains.emg.studies import emg
from lawful.report.evidence import read_evidence
from lawful.report.page import write_report
from lawful.run import to_json
from lawful.schema import CorpusRecord
from lawful.storage.layout import Store
from lawful.study import declare
from lawful.study import planned_run as planned_of
from records import edit_plan, planned_run, write_plan

ROW = {
    "status": "finished",
    "cer_insertions": 0.05,
    "cer_deletions": 0.1,
    "cer_substitutions": 0.05,
    "blank_share": 0.8,
    "test_cer": 0.4,
}


EMG = CorpusRecord(fingerprint="", vocabulary=98, is_synthetic=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four sizes, two people; written by hand."""
    rungs, rows = [], []
    for number, (size, wrong) in enumerate(((1e4, 60), (3e4, 45), (1e5, 30), (3e5, 20))):
        name = f"run{number}"
        at = {"width": number, "seed": 0}
        rungs.append(planned_run(name, at=at, params_non_embedding=int(size)))
        sessions = [
            {"session": f"s{user}", "user": user, "characters": 100, "insertions": 0, "deletions": 0}
            | {"substitutions": wrong + more, "reference": "ab", "decoded": "ac"}
            for user, more in (("u1", 0), ("u2", 5))
        ]
        example = {
            "session": "s1",
            "user": "u1",
            "power": [[[0.1] * 32] * 12] * 2,
            "past": 2,
            "emissions": [8, 5],
            "keys": {"a": [0.9] + [0.0] * 12, " ": [0.0] * 12 + [0.8]},
            "blank": [0.1] + [0.9] * 12,
            "reference": "a ",
            "decoded": "a ",
        }
        confusions = [["a", "a", 9], ["b", "c", 3], ["b", "", 1], ["⌫", "⏎", 2], ["", "x", 4]]
        details = {
            "validation": {
                "sessions": sessions,
                "confusions": confusions,
                "always_commonest_cer": 0.8,
                "example": example,
            }
        }
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        (run / "details.json").write_text(json.dumps(details))
        (run / "result.json").write_text(json.dumps({"status": "finished"}))
        rows.append({"run": name, "rung": name, "params_non_embedding": int(size), "cer": (wrong + 2.5) / 100, **ROW})
    rows.append(
        {"run": "run9", "rung": "run9", "cer": 0.99, **ROW, "status": "diverged", "reason": "collapsed: CER 99 %"}
    )
    write_plan(tmp_path, *rungs, name="emg", corpora={"emg": EMG})
    with (tmp_path / "observations.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)
    answer_people(tmp_path)
    return tmp_path


def test_it_says_what_is_made_up_what_the_best_does_and_where_a_doubling_stops_paying(folder: Path) -> None:
    found = keystrokes(read_evidence(folder))
    assert found is not None
    said = " ".join(found.sentences)
    assert found.sentences[0].startswith("Synthetic EMG: says nothing about people.")
    assert "(run3) gets 22.5 % of the characters wrong" in said and "over and over, 80.0 %" in said
    assert "the smallest size within 2 points of the largest is" in said and "parameters by the law [" in said
    assert "over 2 users and seeds" in said and "a doubling gains less than 1 point" in said
    assert "1 runs collapsed" in said
    titles = [table.title for table in found.tables]
    assert not any("Published" in title for title in titles)  # made-up errors stand beside no people's
    confused = next(table for table in found.tables if table.title.startswith("Most frequent mistakes"))
    assert ("b", "c", "3") in confused.rows and ("b", "nothing", "1") in confused.rows


def test_the_sweet_spot_stands_with_what_its_encoder_takes_where_that_was_measured(folder: Path) -> None:
    table = keystroke_tables.near_best_table
    people = read_people(Store(folder))
    assert people is not None and {row[5] for row in table(people, None).rows} == {"–"}
    costs = EncoderCosts(encoders=(EncoderCost(params=300_000, seconds=0.0125, bytes=1_200_000),))
    (row,) = [row for row in table(people, costs).rows if row[1] == "1"]
    assert row[3] == "300k" and row[4].startswith("0.0 [") and row[5:] == ("12.5 ms", "1.20MB")


def test_every_size_of_a_study_is_timed_once_and_its_bytes_are_those_of_all_its_weights(tmp_path: Path) -> None:
    study = declare(emg, "smoke", {"widths": "16,24"})
    rungs = [planned_of(rung, study.arm) for rung in study.ladder]
    write_plan(tmp_path, *rungs, name="emg")
    for rung in study.ladder:
        path = Store(tmp_path).run(rung.run.id)
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(to_json(rung.training)))
    measure(tmp_path)
    costs = read_costs(Store(tmp_path))
    assert costs is not None and [one.params for one in costs.encoders] == [one.params_non_embedding for one in rungs]
    assert all(one.seconds > 0 for one in costs.encoders)
    # beside the weights there are the 32 means and variances of the batch normalisation, and their counter
    assert [one.bytes for one in costs.encoders] == [4 * (one.params_total + 64) + 8 for one in rungs]
    before = Store(tmp_path).fit("latency").read_bytes()
    measure(tmp_path)
    assert Store(tmp_path).fit("latency").read_bytes() == before


def test_recordings_stand_beside_the_published_rates(folder: Path) -> None:
    edit_plan(folder, corpora={"emg": replace(EMG, is_synthetic=False)})
    found = keystrokes(read_evidence(folder))
    assert found is not None and "non-commercial" in found.sentences[0]
    assert any("Published" in table.title for table in found.tables)


def test_page_and_markdown_show_the_same_and_pictures_repeat_bit_by_bit(folder: Path) -> None:
    first, again = (keystrokes(read_evidence(folder)) for _ in range(2))
    assert first is not None and again is not None
    assert [one.svg for one in first.pictures] == [one.svg for one in again.pictures]
    assert [one.name for one in first.pictures] == ["typing-errors", "typing-example", "typing-keys"]
    html, text = str(section(first)), "\n".join(markdown(first))
    for picture in first.pictures:
        assert f'id="chart-{picture.name}"' in html and f"figures/{picture.name}.png" in text
        assert picture.alt
    write_report(folder)
    assert (folder / "figures" / "typing-keys.svg").read_bytes().startswith(b"<?xml")


def test_beam_search_stands_beside_greedy_decoding_where_it_was_asked_for(folder: Path) -> None:
    path = Store(folder).details("run3")
    details = json.loads(path.read_text())
    for session in details["validation"]["sessions"]:
        session["beam"] = {"insertions": 1, "deletions": 0, "substitutions": 9, "decoded": "ab"}
    spelling = {"path": "some/where/letters.arpa", "sha256": "", "weight": 0.8, "bonus": 0.5}
    details["validation"]["search"] = {
        "is": "lawful.tasks.ctc:Ctc",
        "beam": 50,
        "spelling": spelling,
    }  # as once written
    path.write_text(json.dumps(details))
    found = keystrokes(read_evidence(folder))
    assert found is not None
    (table,) = (table for table in found.tables if "beam" in table.title)
    assert "(beam 50, with letters.arpa at weight 0.8 and 0.5 a character)" in table.title
    assert table.rows == [("run3", "people that were trained on", "22.5", "10.0")]


def test_a_model_continued_on_a_person_stands_beside_the_one_it_began_with(folder: Path) -> None:
    home = Store(folder)
    test = [
        {"session": f"t{user}", "user": user, "characters": 50, "insertions": 0, "deletions": 0, "substitutions": wrong}
        for user, wrong in (("u8", 20), ("u9", 10))
    ]
    details = json.loads(home.details("run1").read_text()) | {"test": {"sessions": test}}
    home.details("run1").write_text(json.dumps(details))
    with home.observations.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, now in enumerate((5, 12)):
        name = f"own{number}"
        own = {**test[number], "substitutions": now}
        home.details(name).parent.mkdir()
        home.details(name).write_text(json.dumps({"validation": {"sessions": []}, "test": {"sessions": [own]}}))
        rows.append({"run": name, "rung": name, "cer": 0.01, **ROW, "starts_from": "run1"})
    with home.observations.open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)
    found = keystrokes(read_evidence(folder))
    assert found is not None
    assert "(run3) gets 22.5 %" in " ".join(found.sentences)  # the best is of the ladder, not one that knew the person
    assert "go from 30.0 % (sd 14.1) to 17.0 % (sd 9.9)" in found.sentences[-1]
    assert found.sentences[-1].endswith("the mean over 2 people, of whom 1 gain.")
    (table,) = (table for table in found.tables if "Fine-tuned" in table.title)
    assert table.rows == [("u8", "own0", "40.0", "10.0", "50"), ("u9", "own1", "20.0", "24.0", "50")]


def test_other_studies_have_no_such_part(folder: Path) -> None:
    Store(folder).fit("by-user").unlink()
    evidence = read_evidence(folder)
    assert Typing().content(evidence) is None
