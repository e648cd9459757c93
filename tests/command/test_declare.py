"""A command is filled in with its rung's coordinates; what is missing or unused is an error before anything runs."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lawful.command import Command, JSONLines, LogPattern
from lawful.command.planned import planned_command
from lawful.errors import DeclarationError
from lawful.run import from_json, to_json
from lawful.schema import PlannedRun
from lawful.storage import codec

AT = {"depth": 3, "seed": 0}
LOSS = LogPattern("val loss {loss}")


def nanogpt(**changes: Any) -> Command:
    settings: dict[str, Any] = {
        "params": "12*{depth}*{width}^2",
        "tokens": 1_638_400,
        "reads": JSONLines("metrics.jsonl", loss="val/loss", step="step"),
        "unit": "nats per token",
        "width": 192,
        "steps": 100,
    }
    text = "python train.py --n_layer={depth} --n_embd={width} --max_iters={steps} --seed={seed} --out_dir={folder}"
    return Command(text, **{**settings, **changes})


def test_names_are_filled_and_the_folder_is_put_in_when_the_run_begins() -> None:
    run = nanogpt().filled(AT)
    assert run.arguments("/a b") == [
        *("python", "train.py", "--n_layer=3", "--n_embd=192", "--max_iters=100", "--seed=0", "--out_dir=/a b")
    ]
    assert run.known == {"params": 12 * 3 * 192**2, "tokens": 1_638_400, "flops": 6 * 12 * 3 * 192**2 * 1_638_400}
    assert run.text == "python train.py --n_layer=3 --n_embd=192 --max_iters=100 --seed=0 --out_dir={folder}"
    assert run.steps == 100
    assert run.unit == "nats_per_token"


@pytest.mark.parametrize("value", ["a b", "it's", "$HOME", "*", "{x}", "a;ls", '"', "", "ü\n"])
@pytest.mark.parametrize("is_shell", [False, True])
def test_a_value_arrives_as_one_argument_whatever_is_in_it(value: str, is_shell: bool) -> None:
    program = "import sys; sys.stdout.write(ascii(sys.argv[1:]))"
    run = Command(
        f"{sys.executable} -c {shlex.quote(program)} {{value}} {{folder}}", shell=is_shell, value=value, tokens=1
    ).filled({})
    done = subprocess.run(run.arguments("/a 'b"), capture_output=True, text=True, check=True)
    assert done.stdout == ascii([value, "/a 'b"])


def test_a_run_of_any_size_that_is_trained_today_can_be_declared() -> None:
    """FLOPs above 2^63: a billion parameters on twenty billion tokens has 1.2e20 of them."""
    run = Command("train", params="1e9", tokens=20_000_000_000, reads=LOSS).filled({"seed": 0})
    assert run.known["flops"] == 6 * 10**9 * 2 * 10**10
    assert from_json(to_json(run)) == run
    planned = codec.to_plain(planned_command(run, label="a", at={"seed": 0}, held_out=False, arm="", seed=0))
    assert codec.converted(planned, PlannedRun).flops == run.known["flops"]


def test_no_shell_reads_a_command_unless_asked() -> None:
    assert Command("echo $HOME; {x}", x=1).filled({}).arguments("") == ["echo", "$HOME;", "1"]
    assert Command("echo $HOME; {x}", x=1, shell=True).filled({}).arguments("")[:2] == ["/bin/sh", "-c"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"width": 192, "extra": 3}, "extra=3 is not used: nothing has {extra}"),
        ({"reads": LogPattern("step {step}")}, "expected a source of the loss"),
        ({"params": "12*{depht}"}, "{depht} has no value"),
        ({"params": "12*{depth"}, "no formula holds"),
        ({"params": "{depth}-3"}, "params: expected a count of at least 1, got 0"),
        ({"params": "__import__('os')"}, "params:"),
        ({"params": 1.5}, "params: expected a whole number"),
        (
            {"reads": JSONLines("m", loss="l", params="n")},
            "params: expected a number or a name to read it by, got both",
        ),
        ({"resume": "--from {nowhere}"}, "{nowhere} has no value"),
        ({"environment": {"A": "{nowhere}"}}, "{nowhere} has no value"),
        ({"seed": 4}, "seed: expected a name that is no coordinate"),
        ({"folder": "x"}, "folder: expected a name that is no coordinate"),
        ({"gpus": -1}, "gpus: expected a whole number of at least 0"),
        ({"gpu_share": 0.5}, "gpu_share: expected gpus=1"),
    ],
)
def test_what_is_missing_unused_or_no_count_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        nanogpt(**changes).filled(AT)
    assert says in str(refused.value)


def test_a_name_without_a_value_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(DeclarationError, match=r"\{widht\} has no value; there are seed, width, folder"):
        Command("a {widht} {width} {seed}", width=1).filled({"seed": 1})


def test_the_id_is_of_what_decides_the_numbers() -> None:
    run = nanogpt().filled(AT)
    assert from_json(to_json(run)) == run
    assert from_json(to_json(run)).id == run.id
    same = {"gpus": 2, "minutes": 5.0, "retries": 3, "grace_seconds": 1.0, "cwd": "/tmp", "cores": 2}
    assert nanogpt(**same).filled(AT).id == run.id
    others = [{"width": 256}, {"environment": {"A": "1"}}, {"unit": "bits"}, {"resume": "--go"}]
    others += [{"reads": JSONLines("metrics.jsonl", loss="train/loss")}]
    assert len({nanogpt(**other).filled(AT).id for other in others} | {run.id}) == 6


def test_flops_are_six_n_d_unless_said_or_read() -> None:
    assert Command("a", params=10, tokens=7).filled({}).known["flops"] == 420
    assert Command("a", params=10, tokens=7, flops="8*params*tokens").filled({}).known["flops"] == 560
    read = Command("a", params=10, tokens=7, reads=JSONLines("m", loss="l", flops="f")).filled({})
    assert "flops" not in read.known
    assert read.measured == ("loss", "flops")


def test_what_lawful_log_may_leave_out_is_not_required() -> None:
    assert Command("a", params=1).filled({}).measured == ("loss", "tokens")


def test_importing_commands_needs_neither_torch_nor_numpy() -> None:
    code = "import sys, lawful.command.worker; print([n for n in ('torch', 'numpy', 'pandas') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_file_of_another_run_is_never_read(tmp_path: Path) -> None:
    from commands import command, plan, script
    from lawful.study import grid

    script(tmp_path, "")

    def rung(seed: int) -> Command:
        return command("{seed}", reads=JSONLines("/tmp/shared.jsonl", loss="loss"))

    with pytest.raises(DeclarationError, match="seed=0 and seed=1 read the same file /tmp/shared.jsonl"):
        plan(tmp_path, grid(rung, seed=[0, 1]))


@pytest.mark.parametrize(
    "line", ["python t.py {width} > log.txt", "python t.py {width} 2>&1", "python {width} && ls", "A=1 python {width}"]
)
def test_what_only_a_shell_understands_is_refused_without_one(line: str) -> None:
    with pytest.raises(DeclarationError, match="only a shell"):
        Command(line, params=1, tokens=1, reads=LOSS).filled({"width": 1})


def test_signs_of_a_shell_in_quotes_are_arguments() -> None:
    run = Command("python '>' --say=\"a > b\" it\\'s {width}", params=1, tokens=1, reads=LOSS).filled({"width": 1})
    assert run.words == ("python", ">", "--say=a > b", "it's", "1")


@pytest.mark.parametrize("line", ["echo '{name}'", 'echo "so {name}"', "echo ok; cd '{folder}'; echo {name}"])
def test_a_name_in_quotes_of_a_shell_is_refused(line: str) -> None:
    with pytest.raises(DeclarationError, match="outside of quotes"):
        Command(line, params=1, tokens=1, reads=LOSS, shell=True).filled({"name": "$(id)"})


def test_a_name_beside_quotes_of_a_shell_is_filled() -> None:
    line = "echo 'a' \"it's\" \\' '{{' {name}"
    assert Command(line, params=1, tokens=1, reads=LOSS, shell=True).filled({"name": "b c"}).text.endswith("'b c'")


def test_a_command_with_nul_is_refused() -> None:
    with pytest.raises(DeclarationError, match="NUL"):
        Command("python 'a\0' {width}", params=1, tokens=1, reads=LOSS).filled({"width": 1})
