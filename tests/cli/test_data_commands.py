"""lawful data list, prepare, verify: what they say and how they end."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lawful.cli import data as commands
from lawful.corpora import python_docs
from lawful.errors import LawfulError

runner = CliRunner()
app = typer.Typer()
commands.register(app)


@pytest.fixture(autouse=True)
def small_library_and_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    library = tmp_path / "library"
    library.mkdir()
    for number in range(30):
        (library / f"m{number}.py").write_text(f"def f{number}():\n    'Number {number}.'\n")
    monkeypatch.setattr(python_docs, "_library", lambda: library)
    monkeypatch.setenv("LAWFUL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_list_names_each_corpus_its_licence_and_what_is_prepared() -> None:
    before = runner.invoke(app, ["data", "list"])
    assert before.exit_code == 0
    for wanted in ("python_docs", "tiny_shakespeare", "licence", "PSF", "prepared  no; `lawful data prepare"):
        assert wanted in before.output
    runner.invoke(app, ["data", "prepare", "python_docs"])
    assert "characters (97), part=prose" in runner.invoke(app, ["data", "list"]).output


def test_prepare_tells_the_fingerprint_and_may_be_repeated(small_library_and_empty_cache: Path) -> None:
    outputs = [runner.invoke(app, ["data", "prepare", "python_docs"]) for _ in range(2)]
    assert [output.exit_code for output in outputs] == [0, 0]
    assert outputs[0].output == outputs[1].output
    [folder] = (small_library_and_empty_cache / "corpora" / "python_docs").glob("[!i]*")
    assert f"fingerprint {folder.name}" in outputs[0].output


def test_verify_ends_in_an_error_when_a_byte_is_wrong(small_library_and_empty_cache: Path) -> None:
    runner.invoke(app, ["data", "prepare", "python_docs"])
    good = runner.invoke(app, ["data", "verify", "python_docs"])
    assert good.exit_code == 0 and good.output.startswith("ok")
    [file] = small_library_and_empty_cache.glob("corpora/python_docs/*/validation.bin")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    bad = runner.invoke(app, ["data", "verify", "python_docs"])
    assert bad.exit_code == 1 and bad.output.startswith("damaged") and "expected SHA-256" in bad.output


def test_nothing_prepared_and_unknown_names_are_errors_that_say_what_to_do() -> None:
    nothing = runner.invoke(app, ["data", "verify", "python_docs"])
    assert isinstance(nothing.exception, LawfulError) and "`lawful data prepare python_docs`" in str(nothing.exception)
    unknown = runner.invoke(app, ["data", "prepare", "shakespear"])
    assert isinstance(unknown.exception, LawfulError)
    assert "python_docs, tiny_shakespeare" in str(unknown.exception)


def test_a_path_that_holds_no_shakespeare_is_an_error(tmp_path: Path) -> None:
    result = runner.invoke(app, ["data", "prepare", "tiny_shakespeare", "--data", str(tmp_path)])
    assert isinstance(result.exception, LawfulError) and "a folder without it" in str(result.exception)


def test_progress_is_silent_at_first_and_then_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    monkeypatch.setattr(commands.time, "monotonic", lambda: clock[0])
    report = commands.show_progress()
    for clock[0] in (101.0, 101.9):
        report("reading", 0.1)
    assert capsys.readouterr().err == ""
    clock[0] = 115.0
    report("reading", 0.5)
    assert capsys.readouterr().err == "reading: 50%, 15 s\n"
