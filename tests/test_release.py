"""What a release carries beside the code says what the code says."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import lawful
from lawful.tables import by_role, write_csv

ROOT = Path(__file__).parents[1]
yaml = pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == lawful.__version__ and citation["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_the_conda_recipe_needs_what_the_package_needs(project: dict) -> None:
    recipe = (ROOT / "release" / "conda" / "meta.yaml").read_text(encoding="utf-8")
    run = recipe.split("  run:\n")[1].split("  run_constrained:")[0]
    needs = {line.strip("- ").replace(" ", "") for line in run.splitlines() if line.strip()}
    assert needs == {*project["dependencies"], f"python{project['requires-python']}"}


def test_no_range_of_the_library_is_a_single_version(project: dict) -> None:
    ranges = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    assert not [one for one in ranges if "==" in one or "<" in one]


def test_the_extra_named_all_brings_what_users_can_ask_for(project: dict) -> None:
    extras = project["optional-dependencies"]

    def brought(extra: str) -> set[str]:
        inner = [re.fullmatch(r"lawful\[(.+)\]", one) for one in extras[extra]]
        return {extra}.union(*(brought(name) for match in inner if match for name in match[1].split(",")))

    # kenlm needs a compiler; the others are for who works on lawful
    assert brought("all") == set(extras) - {"kenlm", "docs", "dev", "browser"}


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_a_workflow_runs_targets_and_files_that_are_here(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    targets = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    steps = [step for job in content["jobs"].values() for step in job["steps"]]
    for command in [str(step.get("run", "")) for step in steps]:
        assert all(target in targets for target in re.findall(r"make ([a-z-]+)", command)), command
        assert all((ROOT / named).exists() for named in re.findall(r"(?<!\S)(?:release|tests)/[\w./]+", command)), (
            command
        )
    assert content["permissions"] == {"contents": "read"}  # more only for the job that needs it


def test_the_oldest_versions_are_those_of_the_ranges() -> None:
    printed = subprocess.run(
        [sys.executable, ROOT / "release" / "oldest.py"], capture_output=True, text=True, check=True
    )
    assert "numpy==1.26\n" in printed.stdout and ">" not in printed.stdout


def test_the_completion_files_are_what_the_command_line_gives() -> None:
    spec = importlib.util.spec_from_file_location("completions", ROOT / "release" / "completions.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, shell in module.FILES.items():
        assert (module.PLACE / name).read_text(encoding="utf-8") == module.script(shell), (
            "python release/completions.py"
        )


@pytest.mark.parametrize(("gain", "fail_on", "status"), [(1.4, "no", 0), (1.0, "no", 1)])
def test_the_action_for_pull_requests_writes_a_comment_and_a_picture_and_fails_where_it_is_asked_to(
    gain: float, fail_on: str, status: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(4)

    def row(n: float, tokens: float, factor: float = 1.0) -> dict[str, float]:
        loss = 1.8 + 480 / (factor**0.5 * n) ** 0.35 + 2100 / (factor**0.5 * tokens) ** 0.37
        return {"params": n, "tokens": tokens, "loss": loss * float(np.exp(0.002 * rng.standard_normal()))}

    spread = [row(n, r * n) for n in np.geomspace(3e7, 3e9, 6) for r in (5, 20, 80)]
    lawful.fit(by_role(spread), law="chinchilla").save(tmp_path / "law.json")
    write_csv(
        tmp_path / "runs.csv",
        [row(n, 20 * n, gain) for n in (1e8, 2e8, 4e8, 8e8)],
        columns=["params", "tokens", "loss"],
    )
    environment = {**os.environ, "GATE_RUNS": "runs.csv", "GATE_REFERENCE": "law.json", "GATE_AT_LEAST": "1.1"}
    environment |= {"GATE_FAIL_ON": fail_on, "PYTHONPATH": str(Path(lawful.__file__).parents[1])}
    script = ROOT / ".github" / "actions" / "gate" / "gate.py"
    ended = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == status, ended.stdout + ended.stderr
    assert (tmp_path / "gate" / "comment.md").read_text().startswith("### ")
    assert (tmp_path / "gate" / "law.png").stat().st_size > 5_000
