"""A watched study: the page follows the folder, the folder is not touched, and only the page is served."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from in_process import lawful
from lawful.errors import LawfulError
from lawful.report import watch as watching
from lawful.report.watch import ADDRESS, MOST_CONNECTIONS, Watch, _Handler, _Server
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from records import edit_plan

Make = Callable[..., Path]
SMALL = {
    "widths": (16, 24, 40, 64),
    "tokens": (125_000, 250_000, 500_000),
    "seeds": 1,
    "held_out": False,
    "points_per_run": 8,
}
SECONDS = 60  # that a page may take on a machine with much else to do


@pytest.fixture
def running(make_folder: Make, tmp_path: Path) -> tuple[Path, Callable[[], None]]:
    """A study of twelve runs of which one is not over, and what ends it."""
    folder = make_folder(**SMALL)
    (folder / "observations.csv").unlink()
    here = Store(folder)
    last = here.result(here.read_study().runs[-1].run)
    aside = tmp_path / "result.json"
    shutil.move(last, aside)
    return folder, lambda: shutil.move(aside, last)


def listing(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_run_that_ends_is_fitted_and_the_studys_folder_is_left_alone(
    running: tuple[Path, Callable[[], None]], tmp_path: Path
) -> None:
    folder, end = running
    before = listing(folder)
    watch = Watch(folder, tmp_path / "workspace")
    assert watch.look()
    assert "11 of 12 runs have ended" in watch.page
    assert "11 of 12 runs finished" in watch.line
    assert listing(folder) == before
    assert not watch.look()  # nothing is new
    end()
    assert watch.look()
    assert watch.version == 2
    assert "runs have ended" not in watch.page
    answer = read_json(watch.own.fit("loss"))
    assert answer["status"] == "answered"
    assert watch.headline == answer["headline"]
    assert {path.name for path in folder.iterdir()} == {"study.json", "runs", "baselines.json"}


def test_a_study_that_was_shared_without_its_runs_has_its_page_too(make_folder: Make, tmp_path: Path) -> None:
    folder = make_folder(**SMALL)
    shutil.rmtree(folder / "runs")
    before = listing(folder)
    watch = Watch(folder, tmp_path / "workspace")
    assert watch.look()
    assert "12 of 12 runs finished" in watch.line
    assert "runs have ended" not in watch.page
    assert read_json(watch.own.fit("loss"))["fit"]["goodness"]["n"] == 12
    assert listing(folder) == before


def test_a_folder_that_cannot_be_read_for_a_while_keeps_the_last_page(
    running: tuple[Path, Callable[[], None]], tmp_path: Path
) -> None:
    folder, end = running
    watch = Watch(folder, tmp_path / "workspace")
    watch.look()
    page = watch.page
    end()
    result = Store(folder).result(Store(folder).read_study().runs[0].run)
    whole = result.read_bytes()
    result.write_bytes(whole[:40])
    with pytest.raises(LawfulError, match="no JSON"):
        read_json(result)
    watch._refit_due = 0.0
    assert not watch._refit_or_redraw()
    assert watch.page == page
    result.write_bytes(whole)
    watch._refit_due = 0.0
    assert watch.look()
    assert watch.page != page


@pytest.mark.parametrize("name", ["result.json", "study.json"])
def test_a_half_copied_file_is_waited_for_and_named(
    running: tuple[Path, Callable[[], None]], tmp_path: Path, name: str
) -> None:
    folder, _ = running
    watch = Watch(folder, tmp_path / "workspace")
    watch.look()
    before, page = watch.line, watch.page
    here = Store(folder)
    path = here.study if name == "study.json" else here.result(watch.study.runs[3].run)
    whole = path.read_bytes()
    for half in (whole[:100], b"", whole[:-2]):
        path.write_bytes(half)
        assert not watch.look()
        assert watch.line.startswith(before) and f"waiting: {path}: expected JSON" in watch.line
        assert watch.page == page
        assert name == "study.json" or "study.json" not in watch.trouble
    path.write_bytes(whole)
    watch.look()
    assert watch.trouble == "" and watch.line == before


def test_a_study_that_is_planned_anew_is_followed(running: tuple[Path, Callable[[], None]], tmp_path: Path) -> None:
    folder, _ = running
    watch = Watch(folder, tmp_path / "workspace")
    watch.look()
    edit_plan(folder, runs=Store(folder).read_study().runs[:-1])
    watch.look()
    assert "11 of 11 runs finished" in watch.line


@pytest.fixture
def served(running: tuple[Path, Callable[[], None]], tmp_path: Path) -> Iterator[int]:
    """The port of a server whose page says `the page`."""
    server = _Server((ADDRESS, 0), _Handler)
    server.watch = Watch(running[0], tmp_path / "workspace")
    server.watch.page = "the page"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_connections_that_say_nothing_keep_no_reader_out(served: int) -> None:
    threads = threading.active_count()
    idle = [socket.create_connection((ADDRESS, served), timeout=SECONDS) for _ in range(3 * MOST_CONNECTIONS)]
    for number, one in enumerate(idle):
        one.sendall(b"GET / HT" if number % 2 else b"")  # half a request, or none
    try:
        began = time.monotonic()
        reader = http.client.HTTPConnection(ADDRESS, served, timeout=SECONDS)
        reader.request("GET", "/")
        assert reader.getresponse().read() == b"the page"
        assert time.monotonic() - began < watching.REQUEST_SECONDS / 2
        deadline = time.monotonic() + SECONDS
        while threading.active_count() - threads > MOST_CONNECTIONS and time.monotonic() < deadline:
            time.sleep(0.05)
        assert threading.active_count() - threads <= MOST_CONNECTIONS
        reader.close()
    finally:
        for one in idle:
            one.close()


def test_a_connection_that_stays_silent_is_closed(served: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Handler, "timeout", 0.2)
    with socket.create_connection((ADDRESS, served), timeout=SECONDS) as silent:
        assert silent.recv(10) == b""


def test_a_connection_that_sends_a_byte_now_and_then_is_closed_all_the_same(
    served: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "CONNECTION_SECONDS", 0.1)
    with socket.create_connection((ADDRESS, served), timeout=SECONDS) as slow, pytest.raises(OSError):
        for _ in range(200):
            slow.sendall(b"x")
            time.sleep(0.02)


def test_only_the_page_is_served_and_only_to_this_machine_until_ctrl_c(
    running: tuple[Path, Callable[[], None]],
) -> None:
    folder, _ = running
    command = [sys.executable, "-m", "lawful", "watch", str(folder), "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        first = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", first)
        assert found, first
        port = int(found[1])

        def get(path: str, host: str = "localhost") -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
            connection.putrequest("GET", path, skip_host=True)
            connection.putheader("Host", host)
            connection.endheaders()
            reply = connection.getresponse()
            body = reply.read()
            connection.close()
            return reply.status, body

        status, body = get("/")
        assert status == 200 and b"runs have ended" in body and b"connect-src &#x27;self&#x27;" in body
        status, body = get("/now")
        assert status == 200 and json.loads(body)["version"] == 1
        assert "11 of 12 runs finished" in json.loads(body)["line"]
        for path in (
            "/study.json",
            "/../study.json",
            "/..%2fstudy.json",
            "//etc/passwd",
            "/runs/",
            "/?x=../study.json",
        ):
            status, body = get(path)
            assert status == 404 and b"chinchilla" not in body, path
        assert get("/", host="elsewhere.example")[0] == 403
        assert _listening_addresses(port) <= {"0100007F"}  # 127.0.0.1, as /proc/net/tcp has it
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=SECONDS) == 0
        assert "Traceback" not in process.stderr.read()  # type: ignore[union-attr]
    finally:
        process.kill()
        process.communicate()


def test_a_port_that_is_taken_is_an_error_that_names_it(
    running: tuple[Path, Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "nice", lambda _: 0)  # which the command lowers its own priority with
    folder, _ = running
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = lawful("watch", folder, "--no-open", "--port", port, expect=2)
    assert f"--port: {port} cannot be had" in said.stderr


def _listening_addresses(port: int) -> set[str]:
    """Local addresses on which the port listens; empty where the machine does not tell."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    lines = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return {
        line[1].partition(":")[0] for line in lines if int(line[1].partition(":")[2], 16) == port and line[3] == "0A"
    }
