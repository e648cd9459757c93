"""Whole files or none, and errors that name the place."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lawful.errors import LawfulError, StoreError
from lawful.storage import lease as lease_module
from lawful.storage.atomic import MANY, open_log, write_folder, write_json, write_many_json, write_text, write_whole
from lawful.storage.json_files import plain, read_json, read_jsonl
from lawful.storage.layout import Store, mirror
from lawful.storage.lease import LeaseLost, claimed, is_claimed


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def fail(file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_whole(path, fail)
    assert read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_pipe_or_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "null"
    os.mkfifo(pipe)
    link.symlink_to("/dev/null")
    for path in (pipe, link):
        with pytest.raises(StoreError, match="expected the name of a file to write, got a device, pipe or socket"):
            write_text(path, "text")
    assert pipe.is_fifo() and link.is_symlink() and sorted(tmp_path.iterdir()) == [link, pipe]


def test_a_file_is_synced_before_it_is_renamed_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("rename"), replace(a, b))[1])
    write_text(tmp_path / "a.txt", "whole")
    assert events == ["fsync", "rename", "fsync"]


def test_many_files_are_written_as_one_is_and_the_disk_is_waited_for_before_and_after_the_renames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    replace = os.replace
    monkeypatch.setattr(os, "sync", lambda: events.append("sync"))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("rename"), replace(a, b))[1])
    odd = {"é": ["\ud800", 1e-7, 3 * 10**20, math.nan], "empty": {}}
    contents = {tmp_path / f"{i}" / "run.json": {"i": i, **odd} for i in range(MANY)}
    write_many_json(contents)
    assert events == ["sync", *["rename"] * MANY, "sync"]
    for path, value in contents.items():
        assert path.read_text() == json.dumps(plain(value), indent=1) + "\n"
        assert os.listdir(path.parent) == ["run.json"]


def test_many_files_of_which_one_cannot_be_written_leave_no_rubbish_and_none_of_them(tmp_path: Path) -> None:
    contents = {tmp_path / f"{i}" / "run.json": {"i": i} for i in range(MANY)}
    (tmp_path / f"{MANY - 1}").write_text("a file where a folder should be")
    with pytest.raises(OSError):
        write_many_json(contents)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != tmp_path]


def test_a_torn_last_line_of_a_record_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert [line["step"] for line in read_jsonl(path)] == [1, 2]
    assert list(read_jsonl(tmp_path / "absent.jsonl")) == []


@pytest.mark.parametrize("damaged", [b"{\x00}", b"[1]", b'{"step": ', b"[" * 500, b'{"step": ' + b"9" * 5000 + b"}"])
def test_a_damaged_line_in_the_middle_of_a_record_is_said_and_the_lines_after_it_stand(
    tmp_path: Path, damaged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + damaged + b'\n{"step": 3}\n')
    assert [line["step"] for line in read_jsonl(path)] == [1, 3]
    assert f"{path}: line 2 is damaged" in caplog.text


def test_numbers_that_json_lacks_are_kept_as_words() -> None:
    assert plain({"a": math.nan, "b": (math.inf, np.float32(1.5)), "c": np.arange(2)}) == {
        "a": "nan",
        "b": ["inf", 1.5],
        "c": [0, 1],
    }
    with pytest.raises(TypeError, match="plain data"):
        plain(object())


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff"])
def test_a_file_that_is_no_json_object_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "study.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(LawfulError, match="study.json: expected"):
        read_json(path)


def test_a_folder_that_is_no_studys_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(LawfulError, match="lawful run STUDY --out"):
        Store(tmp_path).read_study()
    with pytest.raises(LawfulError, match="no such folder"):
        Store(tmp_path / "absent").read_study()
    write_json(tmp_path / "study.json", {"format": 99})
    with pytest.raises(LawfulError, match="another version"):
        Store(tmp_path).read_study()


def test_a_folder_is_written_whole_and_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "7"
    write_folder(path, {"a": b"1", "b": b"2"})
    write_folder(path, {"a": b"3"})
    assert {file.name: file.read_bytes() for file in path.iterdir()} == {"a": b"3"}
    assert os.listdir(path.parent) == ["7"]


def test_a_claim_excludes_others_and_ends_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "run" / "claims"
    assert not is_claimed(path)
    with claimed(path) as mine:
        assert mine and is_claimed(path)
        with claimed(path) as second:
            assert not second
    assert not is_claimed(path)


def test_the_token_grows_with_each_taking_and_traces_of_former_holders_go(tmp_path: Path) -> None:
    tokens = []
    for _ in range(12):  # past 9: "10" comes after "9"
        with claimed(tmp_path / "claims") as lease:
            assert lease is not None
            tokens.append(lease.token)
    assert tokens == list(range(1, 13))
    assert os.listdir(tmp_path / "claims") == ["12.over"]


def held_by(claims: Path, token: int = 1, **facts: object) -> Path:
    """The claim as the holder of another machine would have left it, which promised a sign of life every .3 s."""
    folder = claims / str(token)
    folder.mkdir(parents=True)
    write_json(folder / "holder.json", {"machine": "m", "pid": 1, "started": "1", "lease_seconds": 0.3, **facts})
    (folder / "heartbeat").write_bytes(b"7")
    return folder


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_a_claim_of_another_machine_is_taken_once_its_heartbeat_was_seen_to_stand_still(
    tmp_path: Path, hours: int
) -> None:
    claims = tmp_path / "claims"
    folder = held_by(claims)
    for path in (folder, *folder.iterdir()):  # whatever its clock says
        os.utime(path, (time.time() + 3600 * hours,) * 2)
    assert is_claimed(claims)
    with claimed(claims) as lease:
        assert lease is None
    began = time.monotonic()
    with claimed(claims, patience_seconds=9) as lease:
        assert lease is not None and lease.token == 2
    assert time.monotonic() - began > 0.25


def test_a_claim_whose_heartbeat_moves_is_left_to_its_holder_without_waiting_for_long(tmp_path: Path) -> None:
    heart = held_by(tmp_path / "claims", lease_seconds=60) / "heartbeat"
    mover = threading.Timer(0.3, heart.write_bytes, [b"8"])
    mover.start()
    began = time.monotonic()
    with claimed(tmp_path / "claims", patience_seconds=60) as lease:
        assert lease is None
    assert time.monotonic() - began < 10
    mover.join()


def test_a_claim_whose_holder_died_before_it_could_say_who_it_is_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "LEASE_SECONDS", 0.2)
    (tmp_path / "claims" / "1").mkdir(parents=True)
    with claimed(tmp_path / "claims", patience_seconds=9) as lease:
        assert lease is not None and lease.token == 2


def test_who_lost_its_lease_can_commit_neither_a_file_nor_a_folder_and_makes_nothing(tmp_path: Path) -> None:
    claims = tmp_path / "claims"
    with claimed(claims) as lease:
        assert lease is not None
        write_text(tmp_path / "result.json", "before", lease=lease)
        held_by(claims, token=2)  # another machine takes it over, in the order that a taking has
        os.rename(lease.folder, claims / "1.over")
        for write in (
            lambda: write_text(tmp_path / "result.json", "after", lease=lease),
            lambda: write_folder(tmp_path / "checkpoints" / "3", {"a": b""}, lease=lease),
        ):
            with pytest.raises(LeaseLost, match="another process has taken"):
                write()
        assert lease.lost.is_set()
    assert (tmp_path / "result.json").read_text() == "before"
    assert sorted(os.listdir(tmp_path)) == ["claims", "result.json"]
    assert is_claimed(claims), "the one who took it has it still"


LAYOUT = {  # every path that a Store gives, as it is below the folder
    "study.json": lambda here: here.study,
    "observations.csv": lambda here: here.observations,
    "report.html": lambda here: here.report,
    "report.md": lambda here: here.report_markdown,
    "figures": lambda here: here.figures,
    "baselines.json": lambda here: here.baselines,
    "campaign.json": lambda here: here.campaign,
    "campaigning": lambda here: here.campaigning,
    "forecasts.json": lambda here: here.forecasts,
    "samples": lambda here: here.samples,
    "samples/samples.json": lambda here: here.samples,
    "samples/a.mid": lambda here: here.sample("a.mid"),
    "slurm": lambda here: here.slurm,
    "workers.log": lambda here: here.workers_log,
    "trunks": lambda here: here.trunks,
    "trunks/ab": lambda here: here.trunk("ab"),
    "tensorboard": lambda here: here.tensorboard("width=8"),
    "tensorboard/width=8": lambda here: here.tensorboard("width=8"),
    "fits": lambda here: here.fits(),
    "fits/size.json": lambda here: here.fits(),
    "runs": lambda here: here.run_folder("ab"),
    "runs/ab": lambda here: here.run("ab"),
    "runs/ab/run.json": lambda here: here.run("ab"),
    "runs/ab/metrics.jsonl": lambda here: here.metrics("ab"),
    "runs/ab/result.json": lambda here: here.result("ab"),
    "runs/ab/model.safetensors": lambda here: here.weights("ab"),
    "runs/ab/best.safetensors": lambda here: here.best_weights("ab"),
    "runs/ab/details.json": lambda here: here.details("ab"),
    "planning": lambda here: here.planning,
    "runs/ab/claims": lambda here: here.claim("ab"),
    "runs/ab/worker.log": lambda here: here.log("ab"),
    "runs/ab/work": lambda here: here.work("ab"),
    "runs/ab/output.log": lambda here: here.output("ab"),
    "runs/ab/checkpoints": lambda here: here.checkpoints("ab"),
}


@pytest.mark.parametrize("kind", ["link to a folder", "link to a file", "link to nothing", "pipe"])
@pytest.mark.parametrize("name", LAYOUT)
def test_no_path_of_a_studys_folder_is_a_link_or_a_pipe(tmp_path: Path, name: str, kind: str) -> None:
    place, outside = tmp_path / "study" / name, tmp_path / "outside"
    place.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(outside)
        if kind == "link to a folder":
            outside.mkdir()
        elif kind == "link to a file":
            outside.write_text("{}")
    with pytest.raises(StoreError, match="expected a file or folder, got a (link|pipe)") as caught:
        LAYOUT[name](Store(tmp_path / "study"))
    assert f"{place}:" in str(caught.value)


def test_every_path_that_a_store_gives_is_in_the_test_above() -> None:
    given = {name for name in vars(Store) if not name.startswith("_")} - {"folder", "read_study", "read_result"}
    used = {name for look in LAYOUT.values() for name in look.__code__.co_names}
    assert given - used == {"fit"}  # fits() asks it for each path


def test_the_studys_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    here = Store(tmp_path / "runs" / "toy")
    write_json(here.result("ab"), {"status": "finished"})
    assert (tmp_path / "disk" / "toy" / "runs" / "ab" / "result.json").exists()


@pytest.mark.parametrize("name", ["..", "../../outside", "/etc", "a/b", "", ".hidden", "a\\b", "a\0b"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    here = Store(tmp_path)
    for look in (here.result, here.trunk, here.claim, here.metrics):
        with pytest.raises(StoreError, match="expected the name of a file"):
            look(name)
    assert here.tensorboard(name).parent == tmp_path / "tensorboard"  # a label holds any text


@pytest.mark.parametrize("promised", [1e308, -1, 0, True, "9", "nan", None, [1], 10**400])
def test_a_lease_is_never_waited_for_longer_than_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, promised: object
) -> None:
    monkeypatch.setattr(lease_module, "LEASE_SECONDS", 0.2)
    held_by(tmp_path / "claims", lease_seconds=promised)
    assert is_claimed(tmp_path / "claims")
    with claimed(tmp_path / "claims", patience_seconds=9) as lease:
        assert lease is not None and lease.token == 2


def test_who_waits_for_a_claim_hears_that_it_shall_stop(tmp_path: Path) -> None:
    held_by(tmp_path / "claims", lease_seconds=60)
    stop = threading.Event()
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    began = time.monotonic()
    with claimed(tmp_path / "claims", patience_seconds=math.inf, should_stop=stop.is_set) as lease:
        assert lease is None
    assert time.monotonic() - began < 10
    timer.join()


@pytest.mark.parametrize("odd", ["²", "٣", "-1", "1e9", "9" * 200, "1.over.over", "000000000000000", "01"])
def test_a_name_among_the_claims_that_is_no_token_counts_for_nothing(tmp_path: Path, odd: str) -> None:
    (tmp_path / "claims" / odd).mkdir(parents=True)
    with claimed(tmp_path / "claims") as lease:
        assert lease is not None and lease.token == 1


@pytest.mark.parametrize("name", ["5", "5.over", "5/holder.json", "5/heartbeat"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_claim_that_is_a_link_or_a_pipe_is_refused_and_what_it_leads_to_stands(
    tmp_path: Path, name: str, kind: str
) -> None:
    place, outside = tmp_path / "claims" / name, tmp_path / "outside"
    place.parent.mkdir(parents=True)
    (outside / "kept").mkdir(parents=True)
    os.mkfifo(place) if kind == "pipe" else place.symlink_to(outside)
    with pytest.raises(StoreError, match=f"expected a file or folder, got a {kind}"):
        with claimed(tmp_path / "claims"):
            pass
    assert os.listdir(outside) == ["kept"]


def test_a_claim_after_which_no_other_can_be_counted_is_refused(tmp_path: Path) -> None:
    (tmp_path / "claims" / "999999999999998.over").mkdir(parents=True)
    with claimed(tmp_path / "claims") as lease:
        assert lease is not None and is_claimed(tmp_path / "claims")
    with pytest.raises(StoreError, match="expected claims below 999,999,999,999,999.*delete this folder"):
        with claimed(tmp_path / "claims", patience_seconds=math.inf):
            pass


def test_a_log_that_has_a_name_outside_is_not_written_through(tmp_path: Path) -> None:
    outside, log = tmp_path / "outside", tmp_path / "worker.log"
    outside.write_text("kept\n")
    os.link(outside, log)
    for _ in range(2):
        with open_log(log) as file:
            file.write(b"more\n")
    assert (outside.read_text(), log.read_text()) == ("kept\n", "kept\nmore\nmore\n")


def test_a_folder_of_links_follows_nothing_that_was_put_in_place_since(tmp_path: Path) -> None:
    folder, secret = tmp_path / "study", tmp_path / "secret.json"
    folder.mkdir()
    write_json(folder / "study.json", {})
    secret.write_text("{}")
    own = mirror(folder, tmp_path / "own")
    assert own.baselines == tmp_path / "own" / "baselines.json"
    (folder / "baselines.json").symlink_to(secret)
    with pytest.raises(StoreError, match="expected a file or folder, got a link"):
        _ = own.baselines
    os.mkfifo(folder / "forecasts.json")
    with pytest.raises(StoreError, match="expected a file or folder, got a pipe"):
        _ = own.forecasts


@pytest.mark.parametrize(
    "nest", ["[" * 200 + "]" * 200, '{"a":' * 200 + "1" + "}" * 200, "[1, " * 101 + "1" + "]" * 101]
)
def test_json_of_deep_lists_is_refused(tmp_path: Path, nest: str) -> None:
    (tmp_path / "a.json").write_text('{"x": ' + nest + "}")
    with pytest.raises(StoreError, match="nested too deeply"):
        read_json(tmp_path / "a.json")


HUNDRED = """
import os, sys, time
from pathlib import Path
from lawful.storage.atomic import write_json
from lawful.storage.layout import Store
from lawful.storage.lease import claimed

store, runs = Store(Path(sys.argv[1])), [f"run{i}" for i in range(8)]
for run in runs:
    store.claim(run).mkdir(parents=True)
children = []
for _ in range(100):
    if not (child := os.fork()):
        while not (store.folder / "go").exists():
            time.sleep(0.005)
        for run in runs:
            with claimed(store.claim(run)) as lease:
                if lease is not None and not store.result(run).exists():
                    with (store.folder / "committed").open("a") as file:
                        file.write(f"{run}\\n")
                    write_json(store.result(run), {"by": os.getpid()}, lease=lease)
        os._exit(0)
    children.append(child)
(store.folder / "go").touch()
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="starts its workers by fork")
def test_a_hundred_processes_that_go_for_the_same_runs_commit_each_once(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", HUNDRED, tmp_path], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    committed = (tmp_path / "committed").read_text().split()
    assert sorted(committed) == [f"run{i}" for i in range(8)]
