"""Every code that the tool can show is explained, every explained code can be shown, and the page has them all."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import lawful
from lawful.codes import CODES
from lawful.fitting.mixtures import ONE_VALUE

SOURCE = Path(lawful.__file__).parent
ROOT = Path(__file__).parents[1]
MAKERS = {"Refusal", "Warning"}
HANDED_ON = {
    ("report/evidence.py", "str(raw.get('code'))"),  # of an answer's file
    ("fitting/mixtures.py", "code"),
    ("fitting/joint.py", "refusal.code"),
    ("fitting/pool.py", "refusal.code"),
    ("fitting/crossover.py", "refusal.code"),
}


def codes(tree: ast.AST) -> Iterator[ast.expr]:
    """The first argument of whatever makes a refusal or a warning, and the "code" of one that is a plain dict."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in MAKERS:
            yield from node.args[:1]
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "code")
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant):
                    yield value


def shown() -> dict[str, str]:
    """Code -> a file that makes it."""
    found = {code: "fitting/mixtures.py" for code, _ in ONE_VALUE.values()}
    for path in SOURCE.rglob("*.py"):
        where = path.relative_to(SOURCE).as_posix()
        for code in codes(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(code, ast.Constant):
                found[code.value] = where
            else:
                assert (where, ast.unparse(code)) in HANDED_ON, f"{where}: a code that is computed: {ast.unparse(code)}"
    return found


def test_every_code_that_can_be_shown_is_explained_and_every_explained_code_can_be_shown():
    assert set(shown()) == set(CODES)


def test_an_unexplained_code_would_be_found():
    tree = ast.parse('Warning("a", "note", "x"); Refusal("b", "y"); Warning("c", "note", "z"); w = {"code": "d"}')
    assert {code.value for code in codes(tree)} == {"a", "b", "c", "d"}


@pytest.mark.parametrize("name", CODES)
def test_an_explanation_says_what_and_what_to_do(name):
    for text in (CODES[name].means, CODES[name].do):
        assert text.endswith(".") and text[0] in "`ABCDEFGHIJKLMNOPQRSTUVWXYZ" and len(text) < 200


def test_the_page_of_the_documentation_is_the_one_made_from_the_codes():
    made = subprocess.run(
        [sys.executable, ROOT / "docs" / "make" / "errors.py"], capture_output=True, text=True, check=True
    ).stdout
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert page == made, "docs/errors.md is behind src/lawful/codes: make pages"


def test_a_code_is_explained_on_the_command_line():
    from lawful.cli import app

    one = CliRunner().invoke(app, ["explain", "not_identified"])
    assert one.exit_code == 0
    assert CODES["not_identified"].do in " ".join(one.output.split())
    everything = CliRunner().invoke(app, ["explain"]).output
    assert all(name in everything for name in CODES)
    wrong = CliRunner().invoke(app, ["explain", "not_identifed"])
    assert "not_identified" in str(wrong.exception)
