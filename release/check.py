"""What is released, tried in an empty environment: `make release-check`.

Builds sdist and wheel, installs the wheel with nothing else, measures it, and walks the README's door for tables.
Prints a line for each thing that was tried; status 1 where one failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_WHEEL = 1_400_000  # bytes
MOST_BESIDE = 60_000_000  # bytes of an environment, without numpy, scipy and pip
MOST_IMPORT = 0.3  # seconds of processor time
PROGRAM = "import lawful\nfit = lawful.fit(lawful.read_runs('runs.csv'), law='chinchilla')\nprint(fit.summary())\n"


class Check:
    """Runs what it is given, a line each, and remembers what failed."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def __call__(self, what: str, tried: Callable[[], str]) -> None:
        try:
            said, mark = tried(), "passed"
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            output = getattr(error, "stderr", None) or ""
            said, mark = f"{error} {output[-600:]}".strip(), "FAILED"
            self.failed.append(what)
        print(f"release-check: {mark}: {what}: {said}", flush=True)


def ran(*words: str | Path, folder: Path | None = None, status: int = 0) -> str:
    """What a command printed, without anything of this environment's Python; AssertionError for another status."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    ended = subprocess.run([str(word) for word in words], cwd=folder, env=outside, capture_output=True, text=True)
    assert ended.returncode == status, f"{words[0]} ended with {ended.returncode}: {ended.stderr[-600:]}"
    return ended.stdout


def environment(folder: Path) -> Path:
    """A new environment; its Python."""
    venv.create(folder, with_pip=True, clear=True)
    return folder / "bin" / "python"


def installed(python: Path, *what: str | Path) -> None:
    words = ("-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--constraint", ROOT / "constraints.txt")
    ran(python, *words, *what)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def expect_most(value: float, most: float, unit: str) -> str:
    assert value <= most, f"{value:,.4g} {unit}, expected at most {most:,.4g}"
    return f"{value:,.4g} {unit} (at most {most:,.4g})"


def built(python: Path, dist: Path) -> tuple[Path, Path]:
    """sdist and wheel, the wheel from the sdist: what is released can be built from what is released."""
    for path in [*dist.glob("lawful-*")] if dist.is_dir() else []:
        path.unlink()
    ran(python, "-m", "hatchling", "build", "-t", "sdist", "-d", dist, folder=ROOT)
    sdist = next(dist.glob("*.tar.gz"))
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as packed:
            packed.extractall(folder, filter="data")
        ran(
            python, "-m", "hatchling", "build", "-t", "wheel", "-d", dist.resolve(), folder=next(Path(folder).iterdir())
        )
    return sdist, next(dist.glob("*.whl"))


def expect_whole(wheel: Path) -> str:
    """Every file of src/lawful that git keeps is in the wheel, and nothing else."""
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("lawful/")}
    kept = ran("git", "ls-files", "src/lawful", folder=ROOT).split("\n")
    kept_names = {name.removeprefix("src/") for name in kept if name}
    assert packed == kept_names, f"differs in {sorted(packed ^ kept_names)[:5]}"
    return f"{len(packed)} files"


def import_time(python: Path) -> float:
    """Processor seconds of `import lawful`, without those of the interpreter's start; the best of three."""
    code = "import time; s = time.process_time(); import lawful; print(time.process_time() - s)"
    return min(float(ran(python, "-c", code)) for _ in range(3))


def table_door(python: Path, folder: Path) -> str:
    """What the README says of a table, by the installed command."""
    rows = [f"{n:.0f},{20 * n:.0f},{1.7 + 400 * n**-0.34 + 410 * (20 * n) ** -0.28 + 0.002 * s:.5f}" for s in (0, 1, 2)
            for n in (1e6, 3e6, 1e7, 3e7, 1e8, 3e8)]  # fmt: skip
    rows += [f"{n:.0f},{4e8:.0f},{1.7 + 400 * n**-0.34 + 410 * 4e8**-0.28 + 0.001:.5f}" for n in (1e6, 1e7, 1e8)]
    (folder / "runs.csv").write_text("params,tokens,loss\n" + "\n".join(rows) + "\n")
    lawful = python.parent / "lawful"
    ran(lawful, "check", "runs.csv", folder=folder)
    fitted = json.loads(ran(lawful, "fit", "runs.csv", "--law", "chinchilla", "--json", folder=folder))
    ran(lawful, "predict", "runs.csv", "--law", "chinchilla", "--params", "1e9", "--tokens", "2e10", folder=folder)
    ran(lawful, "report", "runs.csv", "--law", "chinchilla", "--out", "page.html", folder=folder)
    summary = ran(python, "-c", PROGRAM, folder=folder)
    assert "alpha" in summary and (folder / "page.html").stat().st_size > 50_000 and fitted
    modules = ran(python, "-X", "importtime", "-c", PROGRAM, folder=folder)
    assert "torch" not in modules
    refused = subprocess.run(
        [lawful, "fit", "runs.csv", "--law", "chinchilla", "--plot", "law.png"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert refused.returncode and "pip install 'lawful[report]'" in refused.stderr, refused.stderr
    return "check, fit, predict, report, Python; a picture names the extra that draws it"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    asked = parser.parse_args()
    check = Check()
    place = ROOT / "build" / "release"
    python = environment(place)
    installed(python, "hatchling")
    sdist, wheel = built(python, asked.dist)
    check("the wheel holds the package", lambda: expect_whole(wheel))
    check("size of the wheel", lambda: expect_most(wheel.stat().st_size, MOST_WHEEL, "bytes"))
    python = environment(place)
    before = size_of(place)
    installed(python, wheel)
    heavy = sum(size_of(folder) for name in ("numpy", "scipy") for folder in place.glob(f"lib/*/site-packages/{name}*"))
    all_in_all = size_of(place) - before
    check("size beside numpy and scipy", lambda: expect_most(all_in_all - heavy, MOST_BESIDE, "bytes"))
    print(f"release-check: numpy and scipy: {heavy:,} bytes; the sdist: {sdist.stat().st_size:,}", flush=True)
    check("import lawful", lambda: expect_most(import_time(python), MOST_IMPORT, "s of processor time"))
    with tempfile.TemporaryDirectory() as folder:
        check("the door for tables", lambda: table_door(python, Path(folder)))
    print("release-check: " + (f"FAILED: {', '.join(check.failed)}" if check.failed else "all passed"))
    return bool(check.failed)


if __name__ == "__main__":
    sys.exit(main())
