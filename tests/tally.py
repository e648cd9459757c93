"""What goes wrong on purpose, counted: the table of docs/reliability.md is written from what these tests tried.

A test of a fault takes the fixture `tally`, names the fault and counts:

    def test_a_node_dies_mid_study(tally):
        fault = tally("Ray: a node dies mid-study")
        for _ in range(3):
            ...
            fault.tried += 1
            fault.lost += runs that ended with no observation, or with one more than once
            fault.wrong += runs whose observation or weights differ from those of an undisturbed study
        fault.must_be_harmless()

or, where one assertion compares all, `with fault.struck(): assert_as_undisturbed(folder)`.

Tests that name the same fault add up. With LAWFUL_FAULTS_TABLE=docs/reliability.md (as `make faults` has it), the rows
of the faults that were tried are written there when the tests end; the rows of faults that this run did not try stay.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
HEAD = "| fault | times tried | runs lost | wrong commits | last tried |\n|---|---:|---:|---:|---|\n"


@dataclass
class Tally:
    fault: str
    tried: int = 0
    lost: int = 0
    wrong: int = 0

    @contextmanager
    def struck(self) -> Iterator[None]:
        """Around what finds a harm by an AssertionError."""
        self.tried += 1
        try:
            yield
        except AssertionError:
            self.wrong += 1
            raise

    def must_be_harmless(self) -> None:
        assert self.tried > 0, f"{self.fault}: the fault never struck"
        assert (self.lost, self.wrong) == (0, 0), f"{self.fault}: {self.lost} lost, {self.wrong} wrong of {self.tried}"


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Tally]]:
    tallies: list[Tally] = []

    def start(fault: str) -> Tally:
        tallies.append(Tally(fault))
        return tallies[-1]

    yield start
    request.node.user_properties += [("fault", asdict(one)) for one in tallies]


_counted: dict[str, Tally] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when != "teardown":
        return
    for name, value in report.user_properties:
        if name == "fault" and isinstance(value, dict):
            total = _counted.setdefault(value["fault"], Tally(value["fault"]))
            total.tried += value["tried"]
            total.lost += value["lost"]
            total.wrong += value["wrong"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    table = os.environ.get("LAWFUL_FAULTS_TABLE")
    if table and _counted and not hasattr(session.config, "workerinput"):  # of pytest-xdist, the one that sees it all
        page = Path(table)
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        page.write_text(with_rows(page.read_text(encoding="utf-8"), _counted, today), encoding="utf-8")


def with_rows(page: str, counted: dict[str, Tally], today: str) -> str:
    """The page with the rows of these faults in place of their former ones."""
    before, _, rest = page.partition(BEGIN)
    rows, _, after = rest.partition(END)
    known = {found[1]: found[0] for found in re.finditer(r"^\| (.+?) \| \d.*\|$", rows, re.MULTILINE)}
    for fault, one in counted.items():
        known[fault] = f"| {fault} | {one.tried} | {one.lost} | {one.wrong} | {today} |"
    return f"{before}{BEGIN}\n{HEAD}" + "".join(f"{known[fault]}\n" for fault in sorted(known)) + f"{END}{after}"
