"""Every fenced block of python, bash or console in the README and in docs/ runs, in order, in one folder a page.

A block with a title is the file of that name. Lines of a console block that begin with $ are run, the others are what
they print ("..." stands for anything). `<!-- not run: reason -->` above a block lets it out, and the site shows the
reason; `<!-- slow -->` on a page makes its test a slow one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ("python", "bash", "console")
BLOCK = re.compile(
    r"^ *(?:<!-- not run: (?P<reason>.*?) -->\s*)?```(?P<kind>\w+)?(?P<rest>[^\n]*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
SLOW = "<!-- slow -->"


@dataclass(frozen=True)
class Block:
    line: int
    kind: str
    title: str | None
    text: str
    reason: str | None  # why it is not run


def blocks(page: str) -> Iterator[Block]:
    for found in BLOCK.finditer(page):
        title = re.search(r'title="([^"]+)"', found["rest"])
        line = page[: found.start()].count("\n") + 1
        yield Block(line, found["kind"] or "", title and title[1], textwrap.dedent(found["text"]), found["reason"])


def run(page: str, folder: Path) -> int:
    """Run the page's blocks in order; how many there were. Python blocks share their names."""
    names: dict[str, object] = {"__name__": "__page__"}
    count = 0
    for block in blocks(page):
        if block.title is not None:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.reason is None and block.kind in RUN:
            count += 1
            if block.kind == "python":
                exec(compile(block.text, f"line {block.line}", "exec"), names)
            elif block.kind == "bash":
                shell(block.text, folder, block.line)
            else:
                console(block, folder)
    return count


def console(block: Block, folder: Path) -> None:
    for part in re.split(r"^(?=\$ )", block.text, flags=re.MULTILINE):
        if part.strip():
            command, _, expected = part.removeprefix("$ ").partition("\n")
            said = shell(command, folder, block.line)
            pattern = ".*?".join(re.escape(piece) for piece in expected.strip().split("..."))
            assert re.search(pattern, said, re.DOTALL), f"line {block.line}: expected\n{expected}\ngot\n{said}"


def shell(command: str, folder: Path, line: int) -> str:
    paths = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, **paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"line {line}: status {done.returncode}\n{command}\n{done.stdout}"
    return done.stdout


def finished_runs(path: Path) -> None:
    """The reader's own table: a planted law, with the noise of runs."""
    random = np.random.default_rng(0)
    lines = ["N,D,val_loss"]
    for n in np.geomspace(1e7, 1e9, 6):
        for d in np.geomspace(1e9, 1e11, 5):
            loss = (1.7 + 400 * n**-0.34 + 410 * d**-0.28) * np.exp(0.003 * random.standard_normal())
            lines.append(f"{n:.0f},{d:.0f},{loss:.5f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def parameters() -> Iterator[object]:
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        if any(block.kind in RUN and block.reason is None and block.title is None for block in blocks(page)):
            marks = [pytest.mark.slow] if SLOW in page else []
            yield pytest.param(path, marks=marks, id=path.relative_to(ROOT).as_posix())


@pytest.mark.parametrize("path", list(parameters()))
def test_the_blocks_of_a_page_run_in_order(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    finished_runs(tmp_path / "runs.csv")
    assert run(path.read_text(encoding="utf-8"), tmp_path) > 0


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_is_not_run_says_why_and_no_command_hides_outside_of_fences(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert page.count("```") % 2 == 0
    assert all(block.reason is None or len(block.reason) > 10 for block in blocks(page))
    outside = BLOCK.sub("", page)
    assert not re.search(r"^    (\$ )?(lawful|make|pip) ", outside, re.MULTILINE), "fence it, so that it is run"


def test_a_block_that_fails_is_found(tmp_path: Path) -> None:
    for page in ("```python\nassert 1 == 2\n```\n", "```bash\nfalse\n```\n", "```console\n$ echo a\nb\n```\n"):
        with pytest.raises(AssertionError):
            run(page, tmp_path)
    assert run("<!-- not run: it would fail here -->\n```bash\nfalse\n```\n", tmp_path) == 0
    with pytest.raises(AssertionError):
        run("- a list\n\n  ```bash\n  false\n  ```\n", tmp_path)
    assert run('```text title="a.txt"\nhello\n```\n```console\n$ cat a.txt\nhel...\n```\n', tmp_path) == 1
