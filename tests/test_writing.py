"""Files are written whole, then renamed, by lawful.storage only; records that grow are opened for appending."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lawful

SOURCE = Path(lawful.__file__).parent
WRITERS = {"write_text", "write_bytes", "rename", "to_csv", "tofile"}  # of any object
FUNCTIONS = {"replace", "move", "copy", "copyfile", "copy2", "save", "savez"}  # of these modules
MODULES = {"np", "os", "shutil", "torch"}
ALLOWED = {
    "storage/atomic.py": "the one place that writes",
    "storage/layout.py": "copies the table of a study that is looked at while it runs",
    "storage/lease.py": "claims and heartbeats",
    "download.py": "resumes a .part file, and renames it once its hash is right",
}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_module_writes_files_through_the_store(path: Path) -> None:
    if path.relative_to(SOURCE).as_posix() in ALLOWED or {"testing", "tests"} & set(
        path.parts[len(SOURCE.parts) :]
    ):  # tests damage files
        return
    wrong = list(_writes(ast.parse(path.read_text(encoding="utf-8"))))
    assert not wrong, f"{path}: {'; '.join(wrong)}; use lawful.storage.atomic, which writes a file whole or not at all"


def test_a_planted_write_of_each_kind_is_found() -> None:
    planted = """
path.write_text("x")
open("a", "w")
path.open(mode="xb")
os.replace(a, b)
np.save("a", x)
write_text(path, "x")
path.open("a")
"x".replace("x", "y")
dataclasses.replace(x, a=1)
"""
    assert [text.split(":")[0] for text in _writes(ast.parse(planted))] == [f"line {line}" for line in range(2, 7)]


def _writes(tree: ast.Module) -> Iterator[str]:
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        function = call.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        owner = (
            function.value.id if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) else ""
        )
        if name == "open" and owner != "os":
            modes = [*call.args[: 1 if isinstance(function, ast.Attribute) else 2], *(k.value for k in call.keywords)]
            found = any(isinstance(mode, ast.Constant) and _creates(mode.value) for mode in modes)
        elif name in FUNCTIONS:
            found = owner in MODULES
        else:
            found = name in WRITERS and isinstance(function, ast.Attribute)
        if found:
            yield f"line {call.lineno}: {ast.unparse(call)[:60]}"


def _creates(mode: object) -> bool:
    return isinstance(mode, str) and len(mode) <= 3 and set(mode) <= set("rwxabt+") and bool(set(mode) & set("wx"))
