"""The Ray executor on a real cluster of the test's own: the same study, the same numbers, whatever dies on the way."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from small_disk import small_disk
from tally import Tally

pytestmark = pytest.mark.cluster
pytest.importorskip("ray", reason="needs Ray: pip install 'lawful[ray]'")

Plan = Callable[[], Path]
Check = Callable[[Path], None]
Trains = Callable[[Path], bool]
Tallies = Callable[[str], Tally]
Wait = Callable[[Callable[[], object], str], None]
TOKEN = secrets.token_hex(32)  # of our own clusters; what `ray start` makes would stay in the home folder
START = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--node-ip-address=127.0.0.1"]


def started(*words: str) -> subprocess.Popen[bytes]:
    own = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    return subprocess.Popen(
        [*START, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, **own},
    )


@contextmanager
def a_cluster(folder: Path, cores: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A head of our own on a free port; stopped by its own ids, since `ray stop` would stop everyone's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    head = started(
        "--head", f"--port={port}", f"--num-cpus={cores}", "--include-dashboard=false", f"--temp-dir={folder}"
    )
    try:
        yield f"127.0.0.1:{port}", head
    finally:
        end(head)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """One core, so that a second node has work too."""
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:  # sockets need a short path
        with a_cluster(Path(folder), cores=1) as (address, head):
            wait_until_up(address, head)
            yield address


def wait_until_up(address: str, head: subprocess.Popen[bytes]) -> None:
    host, port = address.split(":")
    for _ in range(600):
        assert head.poll() is None, "the Ray head ended at once"
        with socket.socket() as client:
            if client.connect_ex((host, int(port))) == 0 and raylets_of(head):
                time.sleep(3)  # the head's node joins a moment after its process is there
                return
        time.sleep(0.1)
    raise AssertionError("the Ray head did not come up")


def resume(folder: Path, address: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lawful", "resume", str(folder), "--executor", "ray", "--address", address]
    return subprocess.Popen(
        [*command, "--device", "cpu", "--checkpoint-seconds", "0.3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "RAY_AUTH_TOKEN": TOKEN},
    )


def assert_ends_well(study: subprocess.Popen[str]) -> None:
    said, _ = study.communicate(timeout=240)
    assert study.returncode == 0, said


def test_a_study_under_ray_equals_the_same_under_the_local_executor(
    cluster: str, plan_one: Plan, assert_as_undisturbed: Check
) -> None:
    folder = plan_one()
    assert_ends_well(resume(folder, cluster))
    assert_as_undisturbed(folder)


def test_a_killed_worker_and_a_killed_task_of_ray_are_made_up_for(
    cluster: str, plan_one: Plan, assert_as_undisturbed: Check, trains: Trains, wait_for: Wait, tally: Tallies
) -> None:
    fault = tally("Ray: a worker, then the task that holds it, killed")
    folder = plan_one()
    study = resume(folder, cluster)
    for cut in ("lawful.train.worker", "ray::lawful"):  # our process, then Ray's own that holds it
        wait_for(lambda: trains(folder), "a run to train")
        kill(pids_with(cut))
        time.sleep(1)
    assert_ends_well(study)
    with fault.struck():
        assert_as_undisturbed(folder)


def test_commands_under_ray_end_with_the_local_table_though_a_worker_and_a_task_are_killed(
    cluster: str,
    plan_commands: Plan,
    assert_commands_as_undisturbed: Check,
    trains: Trains,
    wait_for: Wait,
    tally: Tallies,
) -> None:
    fault = tally("Ray: of commands, a worker, then the task that holds it, killed")
    folder = plan_commands()
    study = resume(folder, cluster)
    for cut in (("lawful.command.worker", str(folder)), ("ray::lawful",)):
        wait_for(lambda: trains(folder), "a command to run")
        kill(pids_with(*cut))
        time.sleep(1)
    assert_ends_well(study)
    with fault.struck():
        assert_commands_as_undisturbed(folder)


def test_a_lost_node_is_made_up_for(
    cluster: str, plan_one: Plan, assert_as_undisturbed: Check, trains: Trains, wait_for: Wait, tally: Tallies
) -> None:
    fault = tally("Ray: a node lost mid-study")
    node = started(f"--address={cluster}", "--num-cpus=1")
    try:
        wait_for(lambda: raylets_of(node), "the second node")
        folder = plan_one()
        study = resume(folder, cluster)
        wait_for(lambda: trains(folder), "a run to train")
        end(node)
        assert_ends_well(study)
        with fault.struck():
            assert_as_undisturbed(folder)
    finally:
        end(node)


def test_ctrl_c_checkpoints_what_runs_under_ray_and_leaves_no_worker(
    cluster: str, plan_one: Plan, assert_as_undisturbed: Check, trains: Trains, wait_for: Wait, tally: Tallies
) -> None:
    fault = tally("Ray: Ctrl+C mid-study")
    folder = plan_one()
    study = resume(folder, cluster)
    wait_for(lambda: trains(folder), "a run to train")
    os.killpg(study.pid, signal.SIGINT)
    said, _ = study.communicate(timeout=120)
    assert study.returncode == 130 and "lawful resume" in said, said
    wait_for(lambda: not pids_with("lawful.train.worker", str(folder)), "the workers to leave")
    begun = [path.parent for path in folder.glob("runs/*/metrics.jsonl")]  # Ray may take longer than a run to cancel
    kept = [(run / "result.json").exists() or any(run.glob("checkpoints/*/MANIFEST.json")) for run in begun]
    assert begun and all(kept), "nothing was checkpointed"
    assert_ends_well(resume(folder, cluster))
    with fault.struck():
        assert_as_undisturbed(folder)


def test_a_killed_head_loses_nothing_that_a_resume_on_another_cluster_does_not_find(
    plan_one: Plan, assert_as_undisturbed: Check, trains: Trains, wait_for: Wait, tally: Tallies
) -> None:
    fault = tally("Ray: the head killed mid-study")
    folder = plan_one()
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as place:
        with a_cluster(Path(place), cores=2) as (address, head):
            wait_until_up(address, head)
            study = resume(folder, address)
            wait_for(lambda: trains(folder), "a run to train")
            kill(processes_under(head.pid))
            said, _ = study.communicate(timeout=180)
            assert study.returncode != 0, said
            wait_for(lambda: not pids_with("lawful.train.worker", str(folder)), "the workers to leave")
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as place:
        with a_cluster(Path(place), cores=2) as (address, head):
            wait_until_up(address, head)
            assert_ends_well(resume(folder, address))
    with fault.struck():
        assert_as_undisturbed(folder)


def test_a_full_disk_under_ray_ends_the_study_with_the_words_disk_full(
    cluster: str, plan_one: Plan, assert_as_undisturbed: Check, tally: Tallies, tmp_path: Path
) -> None:
    fault = tally("Ray: a real file system that fills up; then room is made")
    with small_disk(tmp_path / "disk", "16m"):
        folder = Path(shutil.copytree(plan_one(), tmp_path / "disk" / "study"))
        ballast = tmp_path / "disk" / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(folder).free - 60_000))
        study = resume(folder, cluster)
        said, _ = study.communicate(timeout=240)
        assert study.returncode == 2 and "disk full" in said and "Traceback" not in said, said
        ballast.unlink()
        assert_ends_well(resume(folder, cluster))
        with fault.struck():
            assert_as_undisturbed(folder)


def test_no_cluster_is_an_error_that_says_how_to_start_one(plan_one: Plan) -> None:
    said, _ = (study := resume(plan_one(), "127.0.0.1:1")).communicate(timeout=120)
    assert study.returncode == 2 and "ray start --head" in said and "Traceback" not in said, said


def pids_with(*words: str) -> list[int]:
    """Processes whose command line holds all of these words."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if all(word in line for word in words):
                found.append(int(entry.name))
    return found


def processes_under(root: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, left = [], [root]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def raylets_of(node: subprocess.Popen[bytes]) -> list[int]:
    return sorted(set(processes_under(node.pid)) & set(pids_with("raylet/raylet")))


def kill(pids: Sequence[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def end(node: subprocess.Popen[bytes]) -> None:
    kill(processes_under(node.pid))
    node.wait()
