"""python_docs: gathered from files without running them, nothing twice, and no topic or module on both sides."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from lawful.corpora import python_docs
from lawful.corpora.python_docs import ALPHABET, PythonDocs
from lawful.errors import LawfulError
from lawful.tokenizers.bytes import Bytes

LONG = "A sentence that is long enough to be recognised when it comes a second time, word for word."


def library(folder: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(python_docs, "_library", lambda: folder)


def text_of(corpus: PythonDocs) -> str:
    data = corpus.prepare()
    return data.decode(data.train) + data.decode(data.validation)


def test_the_real_library_gives_about_two_megabytes_of_prose() -> None:
    data = PythonDocs().prepare()
    total = data.train_tokens + len(data.validation)
    assert 1.8e6 < total < 3.2e6
    assert 0.93 < data.train_tokens / total < 0.97
    assert data.facts()["python"] == f"{platform.python_implementation()} {platform.python_version()}"
    text = data.decode(data.train) + data.decode(data.validation)
    assert "The class of an instance" in text or "Metaclasses" in text  # from the topics
    assert "Serialize ``obj`` to a JSON formatted ``str``" in text  # the docstring of json.dumps
    assert text.count("\x1a") < 1e-4 * total


def test_the_real_library_gives_nine_to_eleven_megabytes_of_source() -> None:
    data = PythonDocs(part="source").prepare()
    assert 8e6 < data.train_tokens + len(data.validation) < 12e6
    assert "def dumps(" in data.decode(data.train) + data.decode(data.validation)


def test_docstrings_are_read_without_running_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    code = '''"""What the module is for."""
raise SystemExit("it was run")
class Box:
    """Holds things.

    More about it.
    """
    def open(self):
        """Lift the lid."""
        def inner():
            """Not reached by help()."""
try:
    async def late():
        """Comes later."""
except ImportError:
    pass
'''
    library(tmp_path, monkeypatch, {"box.py": code, "broken.py": "def (:\n", "silent.py": "x = 1\n"})
    text = text_of(PythonDocs())
    wanted = (
        "box\n\nWhat the module is for.\n\nbox.Box\n\nHolds things.\n\nMore about it.\n\n"
        "box.Box.open\n\nLift the lid.\n\nbox.late\n\nComes later.\n\n"
    )
    assert wanted in text
    assert "Not reached" not in text and "silent" not in text.split()


def test_tests_tables_and_what_a_build_writes_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    files = {name: f"{name}\n" for name in ("a.py", "b/c.py", "d.txt", "é.py")}
    skipped = (
        "test/t.py",
        "b/tests/t.py",
        "site-packages/s.py",
        "encodings/e.py",
        "_sysconfigdata_x.py",
        "config-3/c.py",
    )
    library(tmp_path, monkeypatch, files | dict.fromkeys(skipped, "LEFT OUT\n"))
    data = PythonDocs(part="source").prepare()
    text = data.decode(data.train) + data.decode(data.validation)
    assert sorted(text.split()) == ["\x1a.py", "a.py", "b/c.py"]
    assert data.facts()["documents"] == 3


def test_a_long_paragraph_is_kept_once_and_a_short_one_always(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    own = {name: f"# what only {name} says, " + ", ".join(name * 100) for name in "abcdefgh"}
    files = {f"{name}.py": f"{own[name]}\n\n{LONG}\n\nx = 1\n\n    {LONG}\n" for name in own}
    library(tmp_path, monkeypatch, files)
    text = text_of(PythonDocs(part="source"))
    assert text.count(LONG) == 1 and text.count("x = 1") == 8


def test_a_text_that_mostly_repeats_others_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    parts = [f"# part {number}: {LONG} And so on, {number} times." for number in range(9)]
    files = {f"m{number}.py": part + "\n" for number, part in enumerate(parts)}
    library(tmp_path, monkeypatch, files | {"z.py": "\n\n".join([*parts, "# gathered"]) + "\n"})
    monkeypatch.setitem(python_docs.TRAIN_SHARES, "prose", 0.5)
    text = text_of(PythonDocs(part="source"))
    assert all(text.count(part) == 1 for part in parts)  # whichever came first, the gathering or its parts


def test_drawn_lines_are_cut_to_eight_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    library(tmp_path, monkeypatch, {"a.py": "#" + "=" * 70 + "\nx = 1111111111\n", "b.py": "b\n"})
    assert "#========\nx = 1111111111\n" in text_of(PythonDocs(part="source"))


def test_a_package_lies_on_one_side_of_the_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    files = {f"p{package}/m{module}.py": f"p{package} {module} x\n" for package in range(20) for module in range(5)}
    library(tmp_path, monkeypatch, files)
    data = PythonDocs(part="source").prepare()
    sides = [
        {word for word in data.decode(tokens).split() if word.startswith("p")}
        for tokens in (data.train, data.validation)
    ]
    assert len(sides[0] | sides[1]) == 20 and not sides[0] & sides[1]
    assert len(sides[1]) == 1  # a twentieth


def test_the_same_files_in_another_place_have_the_same_fingerprint_and_changed_ones_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    files = {f"m{n}.py": f"def f{n}():\n    '''Number {n}.'''\n" for n in range(30)}
    fingerprints = []
    for place, changed in (("one", {}), ("two", {}), ("three", {"m3.py": "def f3():\n    '''Other.'''\n"})):
        library(tmp_path / place, monkeypatch, files | changed)
        fingerprints.append(PythonDocs().prepare().fingerprint)
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_text_becomes_printable_ascii_of_a_fixed_alphabet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    text = "caf\u00e9 \u201cquoted\u201d \u2014 it\u2019s\tx\r\n\f\n\n\n\nend  \n"
    files = {"a.py": text, "b.py": "b\n"}
    library(tmp_path, monkeypatch, files)
    assert 'caf\x1a "quoted" -- it\'s    x\n\nend\n\n' in text_of(PythonDocs(part="source"))
    assert len(ALPHABET) == 97 and sorted(ALPHABET)[2:] == [chr(code) for code in range(32, 127)]


def test_bytes_and_characters_are_the_same_text_so_that_their_bits_per_byte_compare(
    empty_cache: Path, small_library: None
) -> None:
    characters, as_bytes = PythonDocs().prepare(), PythonDocs(tokenizer=Bytes()).prepare()
    assert as_bytes.decode(as_bytes.validation) == characters.decode(characters.validation)
    assert as_bytes.num_bytes["validation"] == characters.num_bytes["validation"]
    assert as_bytes.fingerprint != characters.fingerprint


def test_progress_never_goes_back(empty_cache: Path) -> None:
    shares: list[float] = []
    PythonDocs(part="source").prepare(progress=lambda _, share: shares.append(share))
    assert shares == sorted(shares) and 0 <= shares[0] and shares[-1] <= 1


def test_a_path_and_an_unknown_part_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LawfulError, match="takes no path"):
        PythonDocs().prepare(tmp_path)
    with pytest.raises(LawfulError, match="part: expected one of prose, source, got 'all'"):
        PythonDocs(part="all")  # type: ignore[arg-type]


def test_a_python_without_its_sources_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    library(tmp_path, monkeypatch, {})
    with pytest.raises(LawfulError, match="got none; use a Python that carries its sources"):
        PythonDocs(part="source").prepare()


def test_the_cache_follows_a_file_that_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    library(tmp_path, monkeypatch, {"a.py": "a\n", "b.py": "b\n"})
    before = PythonDocs(part="source").prepare()
    (tmp_path / "a.py").write_text("c\n")
    os.utime(tmp_path / "a.py", ns=(1, 1))
    assert PythonDocs(part="source").prepare().fingerprint != before.fingerprint
