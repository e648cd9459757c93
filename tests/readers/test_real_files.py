"""Readers of run trackers, on files of the real packages (see write_with_real_packages.py): the losses that were
planted come back at their sizes, tokens and runs."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lawful import plugins, read_runs
from lawful.errors import LawfulError, TableError

DATA = Path(__file__).parent / "data"
SIZES, BUDGETS = (1e7, 4e7, 1.6e8), (1e9, 4e9)


def planted(n: float, d: float) -> float:
    return 1.8 + 400 * n**-0.34 + 410 * d**-0.28


def needs(source: str) -> None:
    """Skip where what a reader needs is not installed."""
    for name, package in (("tensorboard", "tensorboard"), ("mlruns", "yaml"), ("lightning", "yaml"), ("hydra", "yaml")):
        if name in source:
            pytest.importorskip(package, reason=f"reading {source} needs the package {package}")


# source -> at which shares of a budget a run was evaluated, and the precision of what the package keeps
SOURCES = {
    "tensorboard/plain": ((0.5, 1.0), 1e-6),
    "tensorboard/parts": ((0.25, 0.5, 1.0), 1e-6),
    "tensorboard/hparams": ((1.0,), 1e-6),
    "tensorboard/restart": ((0.25, 0.5, 0.75, 1.0), 1e-6),
    "tensorboard/scalars": ((0.5, 1.0), 1e-6),
    "keras": ((1 / 3, 2 / 3, 1.0), 1e-9),
    "lightning": ((0.5, 1.0), 1e-9),
    "mlflow/mlruns": ((0.25, 0.5, 1.0), 1e-9),
    "mlflow/mlflow.db": ((0.25, 0.5, 1.0), 1e-9),
    "mlflow/search_runs.csv": ((1.0,), 1e-9),
    "wandb": ((0.25, 0.5, 1.0), 1e-9),
    "optuna/study.db": ((1.0,), 1e-9),
    "optuna/trials.csv": ((1.0,), 1e-9),
    "hydra": ((1.0,), 1e-9),
}


@pytest.mark.parametrize("source", SOURCES)
def test_the_planted_losses_come_back_at_their_sizes_and_tokens(source: str) -> None:
    needs(source)
    shares, precision = SOURCES[source]
    table = read_runs(DATA / source).of_ladder()
    places = {role: table.values(table.roles[role]) for role in ("params", "tokens", "loss")}
    expected = [(n, d * share) for n in SIZES for d in BUDGETS for share in shares]
    if source == "wandb":  # the last run failed: it is listed, not fitted
        expected = expected[: -len(shares)]
        assert [row["reason"] for row in table.dropped] == ["not finished: failed"] * 3
    found = zip(places["params"], places["tokens"], strict=True)
    assert sorted(found) == [pytest.approx(place, rel=1e-6) for place in sorted(expected)]
    for n, d, loss in zip(*places.values(), strict=True):
        assert loss == pytest.approx(planted(n, d), rel=precision)


@pytest.mark.parametrize("source", [name for name, (shares, _) in SOURCES.items() if len(shares) > 1])
def test_the_rows_of_a_run_are_one_cluster_and_reduce_takes_its_last(source: str) -> None:
    needs(source)
    table = read_runs(DATA / source, reduce="last").of_ladder()
    assert len({row[table.roles["cluster"]] for row in table}) == len(table) == 6 - (source == "wandb")
    assert {row[table.roles["tokens"]] for row in table} == set(BUDGETS)


def test_hugging_face_checkpoints_are_one_run_and_its_parameters_are_counted_in_its_weights() -> None:
    table = read_runs(DATA / "hugging_face")
    assert {row["params"] for row in table} == {1003, 4003, 16003}  # of the tensors that were saved
    assert len(table) == 12 and len({row["run"] for row in table}) == 6
    for row in table:
        assert row["eval_loss"] == pytest.approx(planted(row["params"], row["num_input_tokens_seen"]), rel=1e-9)
    assert any("12 in 6 runs" in said for said in table.said)
    one = read_runs(DATA / "hugging_face" / "run-0" / "checkpoint-200" / "trainer_state.json")
    assert len(one) == 1 and one.rows[0]["step"] == 200


def test_a_training_loss_of_the_trainer_is_not_called_a_loss(tmp_path: Path) -> None:
    log = '{"global_step": 2, "log_history": [{"loss": 3.5, "step": 1}, {"train_loss": 3.9, "step": 2}]}'
    (tmp_path / "trainer_state.json").write_text(log)
    table = read_runs(tmp_path)
    assert table.roles["loss"] == "train/loss" and any("training loss" in said for said in table.said)


def test_lm_eval_gives_each_models_size_and_numbers() -> None:
    table = read_runs(DATA / "lm_eval")
    assert {row["params"] for row in table} == set(SIZES)
    for row in table:
        assert row["wikitext/bits_per_byte"] == pytest.approx(0.5 + 400 * row["params"] ** -0.34)
        assert row["arc_easy/acc"] == 0.4


def test_settings_that_read_like_numbers_of_another_language_stay_text() -> None:
    pytest.importorskip("yaml")
    rows = [row for row in plugins.readers_of(DATA / "lightning")[0].rows(DATA / "lightning") if isinstance(row, dict)]
    assert {row["hparams.name"] for row in rows} == {"3_14"}  # YAML 1.1 reads it as 314


def test_a_run_that_was_killed_is_unfinished_and_what_it_logged_is_read(tmp_path: Path) -> None:
    """W&B writes an exit record last; a killed run has none, and may end within a record."""
    (whole,) = (DATA / "wandb").rglob("run-id0.wandb")
    content = whole.read_bytes()
    honest = [row["val/loss"] for row in plugins.separated(plugins.readers_of(whole)[0].rows(whole))[0]]
    cut = tmp_path / "run-id0.wandb"
    lengths = set()
    for size in range(300, len(content), 53):
        cut.write_bytes(content[:size])
        try:
            rows, said = plugins.separated(plugins.readers_of(cut)[0].rows(cut))
        except TableError as error:
            assert "got none with a number" in str(error)  # killed before its first step
            continue
        assert [row["val/loss"] for row in rows if "val/loss" in row] == honest[: len(rows)]
        if rows[0]["status"] == "unfinished":
            assert any("without an end" in text for text in said)
            lengths.add(len(rows))
    assert lengths == {1, 2, 3}


def test_a_later_status_of_mlflow_and_deleted_runs_are_said() -> None:
    pytest.importorskip("yaml")
    table = read_runs(DATA / "mlflow" / "mlruns")
    assert any("1 deleted runs" in said for said in table.said)
    assert [row["reason"] for row in table.of_ladder().dropped] == ["not finished: killed"]


def test_trials_that_were_pruned_are_listed_and_choices_have_their_names() -> None:
    table = read_runs(DATA / "optuna" / "study.db")
    assert [row["reason"] for row in table.of_ladder().dropped] == ["not finished: pruned"]
    assert {row["params.act"] for row in table.of_ladder()} == {"gelu"}


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("tensorboard/plain", "events*"),
        ("keras", "*"),
        ("lightning", "*"),
        ("hugging_face", "*"),
        ("mlflow", "*"),
        ("wandb", "*.wandb"),
        ("optuna", "*.db"),
        ("hydra", "*"),
        ("lm_eval", "*.json"),
    ],
)
def test_a_damaged_file_is_refused_by_name_or_read_never_a_traceback(source: str, files: str, tmp_path: Path) -> None:
    """LAWFUL_READER_FUZZ=600 tries so many mutations of each source."""
    needs(source)
    damage(DATA / source, files, tmp_path, count=int(os.environ.get("LAWFUL_READER_FUZZ", "25")))


def damage(source: Path, pattern: str, folder: Path, count: int) -> None:
    draw = random.Random(f"{source.name}")
    here = folder / "copy"
    shutil.copytree(source, here)
    files = sorted(file for file in here.rglob(pattern) if file.is_file())
    for _ in range(count):
        file = draw.choice(files)
        honest = file.read_bytes()
        file.write_bytes(mutated(honest, draw))
        try:
            for path in (here, file):
                for reader in plugins.readers_of(path):
                    try:
                        list(reader.rows(path))
                    except LawfulError as error:
                        assert str(here) in str(error), f"{reader}: it does not name the file: {error}"
        finally:
            file.write_bytes(honest)


def mutated(content: bytes, draw: random.Random) -> bytes:
    ways: list[Callable[[bytearray, int], bytes]] = [
        lambda c, i: bytes(c[:i]),
        lambda c, i: bytes(c[:i] + bytes([draw.randrange(256)]) + c[i + 1 :]),
        lambda c, i: bytes(c[:i] + c[i : i + 40] * 3 + c[i + 40 :]),
        lambda c, i: bytes(c[:i] + draw.choice([b"null", b"[]", b"1e999", b"-", b"\xff", b"{", b'"', b"\n"]) + c[i:]),
        lambda c, i: bytes(c[:i] + c[i + draw.randrange(1, 60) :]),
    ]
    return draw.choice(ways)(bytearray(content), draw.randrange(max(len(content), 1)))


def test_an_event_file_with_one_changed_byte_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    shutil.copytree(DATA / "tensorboard" / "plain", tmp_path / "plain")
    file = next((tmp_path / "plain" / "run-0").iterdir())
    content = bytearray(file.read_bytes())
    content[-10] ^= 1
    file.write_bytes(content)
    with pytest.raises(TableError, match="damaged record"):
        read_runs(tmp_path / "plain")
