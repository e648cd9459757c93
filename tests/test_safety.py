"""Nothing from outside is executed: no pickle is loaded, nothing is evaluated, and no server listens to the world."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lawful

SOURCE = Path(lawful.__file__).parent
UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}  # modules
EVALUATING = {"eval", "exec", "compile"}  # built in
OPEN_TO_ALL = {"0.0.0.0", "::", ""}  # addresses


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_module_neither_unpickles_nor_evaluates_nor_listens_to_the_world(path: Path) -> None:
    found = list(dangers(ast.parse(path.read_text(encoding="utf-8"))))
    assert not found, f"{path}: {'; '.join(found)}"


def test_a_planted_danger_of_each_kind_is_found() -> None:
    planted = """
import pickle
from joblib import load
torch.load(path)
np.load(path, allow_pickle=True)
pandas.read_pickle(path)
eval(text)
yaml.load(text)
tar.extractall(folder)
ThreadingHTTPServer(("0.0.0.0", 0), Page)
sock.bind(("", 80))
os.system("ls")
subprocess.run("ls", shell=True)
torch.load(path, weights_only=True)
np.load(path)
re.compile(text)
ThreadingHTTPServer(("127.0.0.1", 0), Page)
"""
    lines = [int(danger.split()[1].rstrip(":")) for danger in dangers(ast.parse(planted))]
    assert lines == list(range(2, 14))


def dangers(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if found := _danger(node):
            yield f"line {node.lineno}: {found}"  # type: ignore[attr-defined]


def _danger(node: ast.AST) -> str:
    if isinstance(node, ast.Import) and any(alias.name.split(".")[0] in UNPICKLING for alias in node.names):
        return "imports what unpickles"
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNPICKLING:
        return "imports what unpickles"
    if not isinstance(node, ast.Call):
        return ""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
    named = {word.arg: word.value for word in node.keywords}
    if name == "load" and owner == "torch" and not _is(named.get("weights_only"), True):
        return "torch.load without weights_only"
    if name == "read_pickle" or ("allow_pickle" in named and not _is(named["allow_pickle"], False)):
        return "unpickles"
    if (name in EVALUATING and not owner) or (name == "load" and owner == "yaml"):
        return "evaluates a text"
    if name in ("extractall", "unpack_archive"):
        return "unpacks an archive by the names in it"
    if (name in ("system", "popen") and owner == "os") or _is(named.get("shell"), True):
        return "runs a text in a shell"
    for argument in node.args[:1]:
        if isinstance(argument, ast.Tuple) and len(argument.elts) == 2 and ("Server" in name or name == "bind"):
            host = argument.elts[0]
            if isinstance(host, ast.Constant) and host.value in OPEN_TO_ALL:
                return "listens on every address"
    return ""


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
