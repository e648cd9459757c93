"""A declaration's problems are all reported before any training; settings are typed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lawful import studies
from lawful.errors import LawfulError
from lawful.study import Question, Rung, Study, convert, count, declare, grid, import_file, settings_of

TOY = import_file(Path(__file__).parent / "toy_study.py")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e6", 10**6),
        ("10M", 10**7),
        ("1_000_000", 10**6),
        ("4k", 4000),
        ("2B", 2 * 10**9),
        ("1.5T", 15 * 10**11),
        (7, 7),
    ],
)
def test_counts_can_be_written_as_people_write_them(text: Any, value: int) -> None:
    assert count(text) == value


@pytest.mark.parametrize("text", ["", "ten", "1.5", "-3", "1e", "k", "nan", "inf"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(LawfulError, match="expected a"):
        count(text)


@pytest.mark.parametrize("text", ["1e101", "1e308", "1e400", "3" * 5000, "1e99k", "inf"])
def test_a_count_beyond_what_floating_point_numbers_multiply_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(LawfulError, match=r"expected a count of at most 1e\+100, got") as refused:
        count(text)
    assert len(str(refused.value)) < 120


def test_settings_are_converted_by_the_functions_annotations() -> None:
    study = declare(TOY, None, {"widths": "8,1_6", "steps": "20", "seeds": "3", "learning_rate": "2e-3"})
    assert len(study.ladder) == 2 * 3
    assert study.ladder[0].run.optimizer.learning_rate == 2e-3
    assert convert("yes", bool) is True


def test_an_unknown_setting_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(LawfulError, match="no setting 'sizes'; it has dropout, learning_rate, seeds, steps, widths"):
        declare(TOY, None, {"sizes": "3"})
    with pytest.raises(LawfulError, match="--set seeds: expected a count"):
        declare(TOY, None, {"seeds": "many"})
    with pytest.raises(LawfulError, match="has no scales"):
        declare(TOY, "quick")


def test_all_problems_of_a_declaration_are_reported_at_once() -> None:
    ladder = grid(lambda width, seed: _ladder((width,), (20,))[0].run, width=(8, 16), seed=(0, 1))
    question = Question(name="a", asks="?", law="power")
    with pytest.raises(LawfulError) as error:
        Study(name="s", question="?", ladder=ladder, questions=[question, question], held_out={"width": 768}, arm="mlp")
    text = str(error.value)
    assert "no rung has width=768; widths are 8, 16" in text
    assert "no axis is called 'mlp'; the axes are width, seed" in text
    assert "width=8,seed=0 and width=8,seed=1 are the same run" in text
    assert "two are called 'a'" in text


def test_holding_out_everything_is_refused() -> None:
    ladder = _ladder((8,), (20, 40))
    with pytest.raises(LawfulError, match="every rung is held out"):
        Study(name="s", question="?", ladder=ladder, questions=[], held_out={"width": 8})


def _ladder(widths: tuple[int, ...], steps: tuple[int, ...]) -> list[Rung]:
    return [
        replace(rung, held_out=False)
        for rung in TOY.study(widths=(*widths, 24), steps=steps).ladder
        if rung.at["width"] in widths
    ]


def test_an_empty_axis_is_named() -> None:
    with pytest.raises(LawfulError, match="got none for seed"):
        grid(lambda **_: None, width=(8,), seed=())  # type: ignore[arg-type, return-value]


def test_what_a_study_file_itself_raises_keeps_its_traceback(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("\n1 / 0")
    with pytest.raises(ZeroDivisionError) as raised:
        import_file(path)
    assert (raised.traceback[-1].path, raised.traceback[-1].lineno + 1) == (path, 2)
    with pytest.raises(LawfulError, match="no such file"):
        import_file(tmp_path / "absent.py")


def test_a_study_file_changed_since_it_was_planned_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.py"
    path.write_text("study = 1")
    with pytest.raises(LawfulError, match="got a changed one"):
        import_file(path, sha256="0" * 64)


def test_a_module_without_a_study_says_what_was_expected() -> None:
    with pytest.raises(LawfulError, match="expected a Study or a function that returns one"):
        declare(ModuleType("empty"))


@pytest.mark.parametrize("name", studies.names())
def test_every_built_in_study_opens_with_its_question_and_declares_itself(name: str) -> None:
    module, own_file = studies.find(name)
    assert own_file is None
    assert (module.__doc__ or "").strip().splitlines()[0].endswith("?")
    study = declare(module)
    assert study.name == name and study.questions and "seeds" in settings_of(module)


def test_an_unknown_study_lists_the_known_ones() -> None:
    with pytest.raises(LawfulError, match="quickstart, shakespeare.*got 'shakespear'"):
        studies.find("shakespear")
