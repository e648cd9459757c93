"""Errors: what a user can mend is one line; anything else is a bug, shows its traceback and says whose it is."""

from __future__ import annotations

import ast
import errno
import functools
import math
import os
import pickle
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import typer.main

import lawful
from lawful import cli, errors, tables
from lawful.errors import DeclarationError, LawfulError, MissingDependency, Refusal, in_short, in_words
from lawful.schema import Question
from lawful.storage.atomic import write_text
from lawful.storage.json_files import read_json
from records import write_plan

SOURCE = Path(lawful.__file__).parent
ROOT = SOURCE.parents[1]
FILES = sorted(SOURCE.rglob("*.py"))
SCREEN = 24, 2000  # lines, characters

# function -> why it may catch Exception: a library raises anything over a damaged file, or the error goes on or is kept
ANYTHING = {
    "storage/json_files.py:reading": "over a library's call only; names the file",
    "domains/music/sources.py:sources_in": "zipfile and tarfile",
    "domains/music/sources.py:_read": "zipfile and tarfile",
    "domains/music/scores.py:read_midi": "symusic",
    "domains/music/token_files.py:decoded": "MidiTok",
    "domains/music/token_files.py:_midi_tokenizer": "MidiTok",
    "domains/music/notation.py:_notated": "music21",
    "domains/music/sources.py:inner_xml": "zipfile",
    "domains/music/tokenizers/remi.py:encode_score": "MidiTok",
    "domains/music/tokenizers/remi.py:decode_score": "MidiTok",
    "executors/ray.py:_connected": "Ray, which raises Exception itself where a node does not start",
    "cli/__init__.py:_run": "a bug: its traceback is shown",
    "train/worker.py:conclude": "a bug: its traceback goes into worker.log, the run is recorded as failed",
}
# function -> why `except ValueError` covers more than one statement there
SEVERAL = {
    "executors/__init__.py:_ask": "a pipe that another thread closes in between",
}
# file -> why it raises an exception that is not ours
RAISED: dict[str, str] = {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_module_raises_our_errors_and_catches_no_more_than_it_must(path: Path) -> None:
    name = path.relative_to(SOURCE).as_posix()
    found = [f"line {line}: {fault}" for line, fault in _faults(name, ast.parse(path.read_text(encoding="utf-8")))]
    assert not found, f"{path}: " + "; ".join(found)


def test_a_planted_fault_of_each_kind_is_found() -> None:
    planted = """
raise ValueError("x")
raise RuntimeError
try:
    a()
except:
    pass
try:
    a()
except Exception:
    pass
try:
    b = float(a)
    c = b[0]
except (TypeError, ValueError):
    pass
try:
    b = float(a)
except ValueError:
    pass
try:
    a()
except BaseException:
    stop()
    raise
with suppress(Exception):
    pass
raise DataError("x")
"""
    assert [line for line, _ in _faults("x.py", ast.parse(planted))] == [2, 3, 6, 10, 15, 26]


def test_every_exception_to_the_rules_is_still_needed() -> None:
    used = {place for path in FILES for place in _places(path)}
    assert (set(ANYTHING) | set(SEVERAL)) <= used


def test_every_kind_of_error_survives_being_sent_to_another_process() -> None:
    for kind in (LawfulError, *LawfulError.__subclasses__()):
        made = Refusal("code", "words") if kind is Refusal else kind("words")
        again = pickle.loads(pickle.dumps(made))
        assert (type(again), str(again), vars(again)) == (type(made), str(made), vars(made))


@pytest.mark.parametrize("message", ["a" * 9000, "row\n" * 900, "x" * 1999 + "\n" * 30, "é" * 2001])
def test_no_message_is_longer_than_a_screen_and_its_end_is_kept(message: str) -> None:
    short = str(DeclarationError(message + "do this."))
    assert short.count("\n") < SCREEN[0] and len(short) <= SCREEN[1]
    assert short.endswith("do this.") and " more " in short
    assert in_short(short) == short, "an error is shortened once"


# --- the command line -------------------------------------------------------------------------------------------------


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str | int | None:
    """The exit status of `lawful ARGUMENTS`, through main()."""
    monkeypatch.setattr(sys, "argv", ["lawful", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


def fails_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(path: object, *more: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("lawful.tables.read_by_role", fail)


def test_an_error_of_ours_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "fit", "nowhere.csv") == 2
    assert re.fullmatch(r"lawful: nowhere\.csv: no such file; .*\n", capsys.readouterr().err)


def test_a_refusal_names_its_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fails_with(monkeypatch, Refusal("no_rows", "no run matches."))
    assert run(monkeypatch, "fit", "x.csv") == 2
    assert capsys.readouterr().err == "lawful: no run matches. (`lawful explain no_rows`)\n"


@pytest.mark.parametrize("error", [ValueError("could not convert string to float: 'abc'"), KeyError("N"), TypeError()])
def test_a_bug_shows_its_traceback_and_says_where_to_report_it(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(path: object, *more: object, **options: object) -> None:
        exec(compile("raise error", str(SOURCE / "run.py"), "exec"), {"error": error})

    monkeypatch.setattr("lawful.tables.read_by_role", fail)
    assert run(monkeypatch, "fit", "x.csv") == cli.BUG
    said = capsys.readouterr().err
    assert said.startswith("Traceback") and type(error).__name__ in said
    assert said.splitlines()[-1].startswith("lawful: this is a bug in lawful: please report it")


LAW = """
import numpy as np
from lawful.laws.power import Power

class Mine(Power):
    def terms(self, shape, x):
        return np.linalg.inv(np.zeros((2, 2)))
"""


def test_an_error_in_a_file_of_the_users_own_names_the_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Innermost is numpy's own code, outermost lawful's; the user's law lies between."""
    (tmp_path / "mine.py").write_text(LAW, encoding="utf-8")
    tables.write_csv(tmp_path / "runs.csv", ONE)
    assert run(monkeypatch, "fit", tmp_path / "runs.csv", "--law", f"{tmp_path / 'mine.py'}:Mine") == cli.BUG
    said = capsys.readouterr().err
    assert "Traceback" in said and "LinAlgError" in said
    assert said.splitlines()[-1] == (
        f"lawful: this is an error in your own file {tmp_path / 'mine.py'}, line 7; the traceback above says more."
    )


SYSTEM = {
    errno.EACCES: "you may not read or write this",
    errno.EPERM: "you may not read or write this",
    errno.EROFS: "a read-only file system",
    errno.ENOENT: "no such file or folder",
    errno.ENOTDIR: "a part of this path is a file",
    errno.EISDIR: "this is a folder",
    errno.EEXIST: "a file of this name is in the way",
    errno.ENAMETOOLONG: "this name is too long",
    errno.ELOOP: "symbolic links lead in a circle",
    errno.ENODEV: "no such device",
    errno.ENXIO: "no such device",
    errno.ENOSPC: "disk full",
    errno.EDQUOT: "disk full",
    errno.EIO: "the disk failed to read or write",
    errno.EMFILE: "too many open files",
}


@pytest.mark.parametrize("number", SYSTEM, ids=errno.errorcode.get)
def test_an_error_of_the_system_is_one_line_with_the_path_and_what_to_do(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails_with(monkeypatch, OSError(number, os.strerror(number), "there/runs.csv"))
    assert run(monkeypatch, "fit", "x.csv") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"lawful: there/runs.csv: {SYSTEM[number]}") and said.endswith(".\n")
    assert said.count("\n") == 1 and "Errno" not in said and re.search(r"[;:] [a-z]", said.partition(": ")[2])


def test_an_error_of_the_system_without_a_path_or_a_number_is_still_one_line() -> None:
    assert in_words(OSError(errno.ECONNREFUSED, "Connection refused")) == "Connection refused."
    assert in_words(OSError("two\nlines")) == "two lines."
    assert in_words(OSError(errno.EXDEV, "Cross-device link", "a", None, "b")) == "b: Cross-device link."


def folder_in_the_way(here: Path) -> Path:
    (here / "page.html").mkdir()
    return here / "page.html"


def below_a_file(here: Path) -> Path:
    (here / "file").write_text("x", encoding="utf-8")
    return here / "file" / "page.html"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (folder_in_the_way, "this is a folder, expected a file"),
        (below_a_file, "a file of this name is in the way"),
        (lambda here: here / ("n" * 300), "this name is too long"),
        (lambda here: Path("/dev/null/page.html"), "in the way"),
    ],
)
def test_a_place_that_cannot_be_written_is_named_as_the_user_named_it(
    place: Callable[[Path], Path], words: str, tmp_path: Path
) -> None:
    where = place(tmp_path)
    with pytest.raises(OSError) as caught:
        write_text(where, "x")
    said = in_words(caught.value)
    assert words in said and said.startswith((f"{where}: ", f"{where.parent}: ")) and ".tmp" not in said
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_folder_without_permission_is_named_by_the_file_that_was_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests may run as root, whom no permission stops."""

    def refuse(dir: Path, prefix: str, suffix: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), f"{dir}/{prefix}abc{suffix}")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(PermissionError) as caught:
        write_text(tmp_path / "page.html", "x")
    assert in_words(caught.value).startswith(f"{tmp_path / 'page.html'}: you may not read or write this")


def test_a_table_without_permission_is_not_taken_for_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss\n1e6,1e8,3\n", encoding="utf-8")

    def refuse(self: Path, *how: object, **more: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionError):
        lawful.read_runs(path)


def test_output_that_nobody_reads_any_more_ends_in_silence() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "lawful", "explain"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.stderr == "" and done.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_onto_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lawful", "explain"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2 and re.fullmatch(r"lawful: .*disk full.*\n", done.stderr)


def test_a_command_whose_output_is_closed_says_nothing_and_makes_no_traceback() -> None:
    done = subprocess.run(["sh", "-c", f"{sys.executable} -m lawful explain >&-"], capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr


def test_a_closed_standard_output_or_error_makes_no_traceback() -> None:
    for closing in (">&-", "2>&-"):
        command = f"{sys.executable} -m lawful fit nowhere.csv {closing}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
        assert done.returncode == 2 and "Traceback" not in done.stderr + done.stdout


def test_a_name_that_is_no_text_is_printed_all_the_same(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/r\xff.csv"
    done = subprocess.run([sys.executable, "-m", "lawful", "fit", path], capture_output=True)
    assert done.returncode == 2 and b"no such file" in done.stderr and b"Traceback" not in done.stderr


def test_a_run_that_fails_over_a_bug_records_its_place_and_where_the_traceback_is() -> None:
    from lawful.train.worker import _reason

    try:
        np.zeros(-1)
    except ValueError as error:
        said = _reason(error)
    line = test_a_run_that_fails_over_a_bug_records_its_place_and_where_the_traceback_is.__code__.co_firstlineno + 4
    assert said.startswith("ValueError: ") and f"{__file__}, line {line}; worker.log has the traceback" in said
    assert _reason(DeclarationError("steps: expected 1, got 0.")) == "steps: expected 1, got 0."
    assert _reason(OSError(errno.EACCES, "x", "there")).startswith("there: you may not read or write this")


def test_the_words_for_errors_of_the_system_name_each_number_once() -> None:
    assert set(SYSTEM) <= set(errors._IN_WORDS)


def test_asking_a_folder_writes_nothing_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plan(tmp_path, questions=(Question(name="size", asks="?", law="power_floor:params", params="params"),))
    tables.write_csv(tmp_path / "observations.csv", [{"run": str(i), **row} for i, row in enumerate(ONE)])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*")}
    assert run(monkeypatch, "fit", tmp_path, "--draws", "0") in (0, None)
    assert run(monkeypatch, "predict", tmp_path, "--draws", "0", "--params", "1e9") in (0, None)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*")} == before
    write_text(tmp_path / "after.txt", "writing works again")
    assert (tmp_path / "after.txt").exists()


# --- from Python ------------------------------------------------------------------------------------------------------

ODD = ["abc", [], {}, math.nan, -1, 10**400, b"x", np.zeros((3, 3)), [{}], object()]
SIZES = [10**6, 3 * 10**6, 10**7, 3 * 10**7, 10**8, 3 * 10**8]
RUNS = [{"params": n, "loss": 1.7 + 400 * n**-0.34, "arm": arm, "flops": 6e8 * n} for arm in "xy" for n in SIZES]
ONE = RUNS[: len(SIZES)]


@functools.cache
def one_fit() -> lawful.Fit:
    return lawful.fit(ONE, "power_floor", draws=0)


CALLS: dict[str, tuple[Callable[..., object], dict[str, object]]] = {
    "read_runs": (lawful.read_runs, {"source": RUNS, "params": "params", "cluster": "arm"}),
    "fit": (
        lawful.fit,
        {
            "source": ONE,
            "law": "power_floor",
            "objective": "robust",
            "loss": "loss",
            "fixed": {"E": 1.7},
            "bounds": {"alpha": (0, 1)},
            "draws": 0,
            "seed": 0,
        },
    ),
    "predict": (lambda **how: one_fit().predict(**how), {"params": 1e9, "interval": "mean", "level": 0.9}),
    "diminishing_returns": (lambda **how: one_fit().diminishing_returns(**how), {"threshold": 0.1}),
    "holdout": (lambda **how: one_fit().holdout(**how), {"top": 1}),
    "from_json": (lawful.Fit.from_json, {"source": {}}),
    "compare": (
        lawful.compare,
        {"source": RUNS, "by": "arm", "law": "power_floor", "floor": "own", "matters": 0.1},
    ),
    "crossover": (lawful.crossover, {"source": RUNS, "by": "arm", "arms": ("x", "y"), "draws": 200, "seed": 0}),
    "isoflop": (lawful.isoflop, {"source": RUNS, "method": "local"}),
    "fit_metrics": (
        lawful.fit_metrics,
        {"source": ONE, "metrics": ["loss"], "law": "power_floor", "draws": 200, "seed": 0},
    ),
    "isoflop_plan": (
        lawful.isoflop_plan,
        {"budgets": [1e15, 1e16, 1e17], "sizes": 5, "noise": 0.01, "span": 3.0, "draws": 20, "seed": 0},
    ),
    "optimum": (
        lawful.optimum,
        {"source": [{**row, "lr": 1e-3, "D": 1e9} for row in ONE], "over": ["lr"], "by": ["params", "D"]},
    ),
    "gate": (
        lambda **how: lawful.gate(**{"reference": one_fit(), **how}),
        {
            "source": [{**row, "loss": 0.99 * row["loss"]} for row in ONE],
            "at_least": 1.1,
            "baseline": None,
            "by": "arm",
        },
    ),
    "design": (
        lambda **how: lawful.design(one_fit(), **how),
        {"budget": 1e20, "target": "alpha", "candidates": [{"params": 1e9}]},
    ),
    "next_runs": (
        lambda **how: lawful.next_runs(**{"fit": one_fit(), **how}),
        {
            "goal": "alpha within .1",
            "budget": 1e20,
            "batch": 2,
            "ranges": {"params": (1e6, 1e9)},
            "candidates": None,
            "cost": None,
            "seed": 0,
        },
    ),
    "has_reached": (lambda **how: lawful.has_reached(**{"fit": one_fit(), **how}), {"goal": "alpha within .1"}),
    "simulate_campaign": (
        lawful.simulate_campaign,
        {
            "prior": "chinchilla",
            "goal": "N_exponent within .9",
            "budget": 1e17,
            "ranges": {"params": (1e6, 1e7), "tokens": (1e8, 1e9)},
            "batch": 8,
            "noise": 0.003,
            "campaigns": 1,
            "seed": 0,
        },
    ),
    "discover": (lawful.discover, {"source": ONE, "inputs": ["N"], "seed": 0, "progress": None}),
    "power": (
        lawful.power,
        {
            "law": "power_floor",
            "values": {"E": 1.7},
            "at": {"params": SIZES},
            "shift": 0.1,
            "sigma": 0.01,
            "level": 0.1,
        },
    ),
    "transfer": (
        lawful.transfer,
        {"source": ONE, "along": ["width"], "by": None, "rate": "learning_rate", "loss": "loss"},
    ),
    "run_study": (lawful.run_study, {"study": None, "folder": "nowhere"}),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_public_function_refuses_odd_arguments_in_its_own_words(name: str, tmp_path: Path) -> None:
    """Whatever the value of one argument: an answer, or an error of ours; never numpy's or Python's."""
    call, usual = CALLS[name]
    refused = 0
    for argument in usual:
        for odd in ODD:
            try:
                call(**{**usual, argument: odd})
            except LawfulError:
                refused += 1
            except OSError as error:
                assert error.errno == errno.ENOENT, "a path"
            except Exception as error:
                raise AssertionError(f"{name}({argument}={odd!r}) raised {type(error).__name__}: {error}") from error
    assert refused >= 5 * len(usual)


# --- what is not there ------------------------------------------------------------------------------------------------


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)


def test_a_package_that_is_missing_is_named_with_the_extra_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs.parquet").write_bytes(b"PAR1")
    without(monkeypatch, "pyarrow")
    with pytest.raises(MissingDependency, match=r"runs\.parquet: reading Parquet needs the package pyarrow.*\[table\]"):
        lawful.read_runs(tmp_path / "runs.parquet")


def test_a_package_that_does_not_import_is_not_said_to_be_missing() -> None:
    broken = MissingDependency.of("h5py", extra="emg", what="reading", error=ImportError("libhdf5.so: no such file"))
    assert "installed but does not import (libhdf5.so: no such file)" in str(broken)
    inner = MissingDependency.of("h5py", extra="emg", what="reading", error=ModuleNotFoundError("x", name="other"))
    assert "does not import" in str(inner)


def test_every_package_that_may_be_missing_is_in_the_extra_that_is_named() -> None:
    names = {"sklearn": "scikit-learn", "yaml": "pyyaml"}  # import name -> distribution
    found = 0
    for path in FILES:
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "MissingDependency.of":
                extra = next(word.value for word in call.keywords if word.arg == "extra")
                if isinstance(call.args[0], ast.Constant) and isinstance(extra, ast.Constant):
                    package = names.get(call.args[0].value, call.args[0].value)
                    brought = [re.split(r"[<>=\[]", line)[0] for line in _extras()[extra.value]]
                    assert package in brought, f"{path}:{call.lineno}: lawful[{extra.value}] does not bring {package}"
                    found += 1
    assert found >= 15


def test_an_unreadable_file_says_what_it_is_instead(tmp_path: Path) -> None:
    kinds = {
        b"\x89PNG\r\n\x1a\n\xff": "a PNG picture",
        b"\x1f\x8b\x08\x00": "gzip|Compressed file ended",
        b"PK\x03\x04\xff": "Excel",
    }
    for content, words in kinds.items():
        for name in ("runs.csv", "runs.jsonl"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(LawfulError, match=rf"{re.escape(str(tmp_path / name))}: expected .*{words}"):
                lawful.read_runs(tmp_path / name)
        (tmp_path / "study.json").write_bytes(content)
        with pytest.raises(LawfulError, match=rf"study\.json: expected JSON, got .*{words}"):
            read_json(tmp_path / "study.json")


# --- what messages name exists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if "templates" not in path.parts],  # which have options of other programs
    ids=lambda path: path.relative_to(SOURCE).as_posix(),
)
def test_the_commands_options_and_extras_that_messages_name_exist(path: Path) -> None:
    wrong = [f"line {line}: {fault}" for line, text in _texts(path) if (fault := _no_such(text))]
    assert not wrong, f"{path}: " + "; ".join(wrong)


def test_planted_names_that_do_not_exist_are_found() -> None:
    assert _no_such("`lawful fitt runs.csv` does it") and _no_such("`lawful fit --lawe power`")
    assert _no_such("give --datum FOLDER") and _no_such("pip install 'lawful[everything]'")
    assert _no_such("`lawful report FOLDER --workers 2`")
    assert not _no_such("`lawful fit --law power`, --data, pip install 'lawful[emg]', `lawful data prepare NAME`")


OTHERS = {"--help", "--force-reinstall", "--head"}  # options of pip, ray and others


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module but its docstrings; of an f-string the whole, its values as VALUE."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inside.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in ast.walk(node) if part is not node}
            parts = [part.value if isinstance(part, ast.Constant) else "VALUE" for part in node.values]
            yield node.lineno, "".join(map(str, parts))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.lineno, node.value


def _no_such(text: str) -> str:
    """What a message names and does not exist."""
    for extra in re.findall(r"lawful\[([a-z]+)\]", text):
        if extra not in _extras():
            return f"no extra {extra}"
    for words in re.findall(r"`lawful ([^`]+)`", text):
        if fault := _command_fault(words.split()):
            return fault
    if re.fullmatch(r"--[a-z-]+(=.*)?", text):  # an argument of a program that lawful starts, no message
        return ""
    for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"`(?!lawful)[^`]*`", "", text)):
        if option not in _every_option() | OTHERS:
            return f"no option {option}"
    return ""


@functools.cache
def _extras() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, list[str]] = project["optional-dependencies"]
    return found


@functools.cache
def _every_option() -> set[str]:
    commands = [_commands(), *_commands().commands.values(), *_commands().commands["data"].commands.values()]
    return {option for command in commands for option in _options(command)}


def _command_fault(words: list[str]) -> str:
    command = _commands()
    while words and hasattr(command, "commands") and words[0] != "...":
        name = words.pop(0)
        if name not in command.commands:
            return f"no command {name}"
        command = command.commands[name]
    wrong = [word for word in words if word.startswith("--") and word.split("=")[0] not in _options(command)]
    return f"no option {wrong[0]} of {command.name}" if wrong else ""


@functools.cache
def _commands() -> typer.core.TyperGroup:
    found = typer.main.get_command(cli.app)
    assert isinstance(found, typer.core.TyperGroup)
    return found


def _options(command: object) -> set[str]:
    return {name for part in command.params for name in (*part.opts, *part.secondary_opts)}  # type: ignore[attr-defined]


# --- rules ------------------------------------------------------------------------------------------------------------


def _faults(name: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for owner, node in _owned(tree):
        place = f"{name}:{owner}"
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
            if raised in ("ValueError", "Exception", "RuntimeError", "BaseException") and name not in RAISED:
                yield node.lineno, f"raises {raised}; expected a kind of lawful.errors"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            if {ast.unparse(kind) for kind in node.args} & {"Exception", "BaseException", "ValueError", "LawfulError"}:
                yield node.lineno, "suppresses more than it can know"
        if isinstance(node, ast.Try):
            for handler in node.handlers:
                kinds = _kinds(handler)
                goes_on = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(handler))
                if not handler.type or "BaseException" in kinds:
                    if not goes_on and name not in ("train/batched.py",):  # handed to the run, which raises
                        yield handler.lineno, "catches everything and does not raise it again"
                elif "Exception" in kinds and place not in ANYTHING:
                    yield handler.lineno, "catches Exception"
                elif "ValueError" in kinds and len(node.body) > 1 and place not in SEVERAL:
                    yield handler.lineno, "catches ValueError over more than one statement"


def _places(path: Path) -> Iterator[str]:
    name = path.relative_to(SOURCE).as_posix()
    for owner, node in _owned(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Try) and any({"Exception", "ValueError"} & set(_kinds(one)) for one in node.handlers):
            yield f"{name}:{owner}"


def _kinds(handler: ast.ExceptHandler) -> list[str]:
    if handler.type is None:
        return []
    return [ast.unparse(kind) for kind in getattr(handler.type, "elts", [handler.type])]


def _owned(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Every node with the name of the innermost function around it."""
    for node in ast.iter_child_nodes(tree):
        yield owner, node
        yield from _owned(node, node.name if isinstance(node, ast.FunctionDef) else owner)
