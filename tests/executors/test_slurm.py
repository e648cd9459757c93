"""The Slurm executor on a real Slurm of the test's own: the same study, the same numbers, whatever the queue does."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lawful.conduct import train_study
from lawful.errors import LawfulError
from lawful.executors.local import Local
from lawful.executors.slurm import Slurm, minutes_of
from lawful.planning.plan import make_plan
from lawful.study import import_file
from settled import settled
from tally import Tally

TOY = Path(__file__).parents[1] / "toy_study.py"
Plan = Callable[[], Path]
Check = Callable[[Path], None]
Trains = Callable[[Path], bool]
Tallies = Callable[[str], Tally]
Wait = Callable[..., None]

needs_submitit = pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="needs submitit: pip install 'lawful[slurm]'"
)


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    """The environment in which the commands speak to a Slurm of our own."""
    specification = importlib.util.spec_from_file_location("slurm_cluster", Path(__file__).parent / "slurm_cluster.py")
    assert specification and specification.loader
    cluster = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(cluster)
    if why := cluster.missing():
        pytest.skip(f"no Slurm can be started here: {why}")
    with tempfile.TemporaryDirectory(prefix="slurm", ignore_cleanup_errors=True) as folder:
        with cluster.running(Path(folder)) as environment:
            yield environment


def resume(folder: Path, slurm: dict[str, str], *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lawful", "resume", str(folder), "--executor", "slurm", "--device", "cpu"]
    return subprocess.Popen(
        [*command, "--checkpoint-seconds", "0.3", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=slurm,
    )


def assert_ends_well(study: subprocess.Popen[str]) -> None:
    said, _ = study.communicate(timeout=400)
    assert study.returncode == 0, said


def said_by(slurm: dict[str, str], *command: str) -> list[str]:
    return subprocess.run(command, env=slurm, capture_output=True, text=True, check=True).stdout.split()


def submissions(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / "slurm").glob("*.json"))


@pytest.mark.cluster
@needs_submitit
def test_a_study_under_slurm_equals_the_same_under_the_local_executor(
    slurm: dict[str, str], plan_one: Plan, assert_as_undisturbed: Check
) -> None:
    folder = plan_one()
    assert_ends_well(resume(folder, slurm, "--partition", "test", "--time", "10", "--array-parallelism", "2"))
    assert_as_undisturbed(folder)
    assert len(submissions(folder)) == 2, "an array of the anchors, then one of the held-out runs"


@pytest.mark.cluster
@needs_submitit
def test_a_task_that_is_requeued_and_one_that_is_out_of_time_go_on(
    slurm: dict[str, str], plan_one: Plan, assert_as_undisturbed: Check, trains: Trains, wait_for: Wait, tally: Tallies
) -> None:
    fault = tally("Slurm: a task put back into the queue, another told that its time is over")
    folder = plan_one()
    study = resume(folder, slurm)
    wait_for(lambda: trains(folder), "a run to train")
    (array,) = submissions(folder)
    said_by(slurm, "scontrol", "requeue", f"{array}_0")
    said_by(slurm, "scancel", "--signal=USR2", f"{array}_1")  # what Slurm sends a minute before the time limit
    assert_ends_well(study)
    with fault.struck():
        assert_as_undisturbed(folder)
    log = "".join(path.read_text() for path in (folder / "slurm").glob(f"{array}_1*.err"))
    # in Slurm's words, or in submitit's where it lives long enough
    assert "REQUEUE" in log or "Requeued job" in log, log


@pytest.mark.cluster
@needs_submitit
def test_commands_under_slurm_end_with_the_local_table_though_one_task_is_requeued_and_one_out_of_time(
    slurm: dict[str, str],
    plan_commands: Plan,
    assert_commands_as_undisturbed: Check,
    trains: Trains,
    wait_for: Wait,
    tally: Tallies,
) -> None:
    fault = tally("Slurm: of commands, a task put back into the queue, another told that its time is over")
    folder = plan_commands()
    study = resume(folder, slurm)
    wait_for(lambda: trains(folder), "a command to run")
    (array,) = submissions(folder)
    said_by(slurm, "scontrol", "requeue", f"{array}_0")
    said_by(slurm, "scancel", "--signal=USR2", f"{array}_1")
    assert_ends_well(study)
    with fault.struck():
        assert_commands_as_undisturbed(folder)


@pytest.mark.cluster
@needs_submitit
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_commands_through_submitit_without_slurm_give_the_local_table(
    plan_commands: Plan, assert_commands_as_undisturbed: Check
) -> None:
    folder = plan_commands()
    train_study(folder, Slurm(cluster="debug"))
    assert_commands_as_undisturbed(folder)


@pytest.mark.cluster
@pytest.mark.slow
@needs_submitit
def test_a_run_longer_than_the_time_limit_is_requeued_by_slurm_itself_and_goes_on(
    slurm: dict[str, str], tmp_path: Path, tally: Tallies
) -> None:
    """A minute is the shortest limit there is; submitit is told a quarter of it before the end."""
    fault = tally("Slurm: a time limit shorter than a run")
    declared = import_file(TOY).study(widths=(8, 16), steps=(30_000,))
    folder, calm = tmp_path / "limited", tmp_path / "calm"
    for one in (folder, calm):
        make_plan(declared, device_name="cpu", study_file=TOY, is_timed=False).write(one)
    study = resume(folder, slurm, "--time", "1", "--anchors-only")
    train_study(calm, Local(workers=1, device="cpu"), is_anchors_only=True)
    assert_ends_well(study)
    log = "".join(path.read_text() for path in (folder / "slurm").glob("*.err"))
    assert "timed-out" in log or "REQUEUE" in log or "Requeued job" in log, log
    with fault.struck():
        assert settled(folder) == settled(calm)


@pytest.mark.cluster
@needs_submitit
def test_a_cancelled_job_stops_the_study_and_a_resume_finishes_it(
    slurm: dict[str, str], plan_one: Plan, assert_as_undisturbed: Check, trains: Trains, wait_for: Wait, tally: Tallies
) -> None:
    fault = tally("Slurm: a job cancelled mid-study")
    folder = plan_one()
    study = resume(folder, slurm)
    wait_for(lambda: trains(folder), "a run to train")
    said_by(slurm, "scancel", *submissions(folder))
    said, _ = study.communicate(timeout=120)
    assert study.returncode == 75 and "lawful resume" in said, said
    assert_ends_well(resume(folder, slurm))
    with fault.struck():
        assert_as_undisturbed(folder)


@pytest.mark.cluster
@needs_submitit
def test_ctrl_c_cancels_the_jobs_and_a_resume_at_once_does_not_wait_for_them(
    slurm: dict[str, str], plan_one: Plan, assert_as_undisturbed: Check, trains: Trains, wait_for: Wait, tally: Tallies
) -> None:
    fault = tally("Slurm: Ctrl+C mid-study")
    folder = plan_one()
    study = resume(folder, slurm)
    wait_for(lambda: trains(folder), "a run to train")
    os.killpg(study.pid, signal.SIGINT)
    said, _ = study.communicate(timeout=120)
    assert study.returncode == 130, said
    assert any(folder.glob("runs/*/checkpoints/*/MANIFEST.json")), "nothing was checkpointed"
    assert_ends_well(resume(folder, slurm))
    with fault.struck():
        assert_as_undisturbed(folder)


@pytest.mark.cluster
@needs_submitit
def test_jobs_outlive_the_command_and_another_login_node_takes_them_over_without_doubling_them(
    slurm: dict[str, str], plan_one: Plan, assert_as_undisturbed: Check, trains: Trains, wait_for: Wait, tally: Tallies
) -> None:
    fault = tally("Slurm: the command killed, its jobs taken over from elsewhere")
    folder = plan_one()
    first = resume(folder, slurm, "--array-parallelism", "1")  # so that one task runs and one waits
    wait_for(lambda: trains(folder), "a run to train")
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    before = submissions(folder)
    second = resume(folder, slurm)
    assert_ends_well(second)
    assert len(before) == 1 and len(submissions(folder)) == 2, "the held-out runs alone were submitted again"
    with fault.struck():
        assert_as_undisturbed(folder)


@pytest.mark.cluster
@needs_submitit
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_slurm_the_path_through_submitit_is_the_same(plan_one: Plan, assert_as_undisturbed: Check) -> None:
    folder = plan_one()
    train_study(folder, Slurm(cluster="debug", device="cpu"))  # submitit's debug jobs leave their logs open
    assert_as_undisturbed(folder)


@pytest.mark.cluster
@needs_submitit
def test_a_machine_without_slurm_is_told_so(plan_one: Plan) -> None:
    study = resume(plan_one(), {**os.environ, "PATH": "/nonexistent"})
    said, _ = study.communicate(timeout=120)
    assert study.returncode == 2 and "expected sbatch and srun" in said and "Traceback" not in said, said


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [("60", 60), ("1:30", 2), ("1:00:00", 60), ("0:45:00", 45), ("2-0", 2880), ("1-12:30", 2190), ("1-00:00:01", 1441)],
)
def test_a_time_limit_is_read_as_slurm_reads_it(limit: str, minutes: int) -> None:
    assert minutes_of(limit) == minutes


@pytest.mark.parametrize("limit", ["", "soon", "1:2:3:4", "0", "-5"])
def test_a_time_limit_that_slurm_would_not_take_is_an_error(limit: str) -> None:
    with pytest.raises(LawfulError, match="--time"):
        minutes_of(limit)
