"""Readers of run trackers: what belongs together, what is left out and said, and what they refuse to touch.

The files of OLMES, nanochat and open_lm are written here by hand, after the public source of those projects.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lawful import fit, plugins, read_runs
from lawful.errors import LawfulError, MissingDependency, TableError

DATA = Path(__file__).parent / "data"


def planted(n: float, d: float) -> float:
    return 1.8 + 400 * n**-0.34 + 410 * d**-0.28


def log_events(folder: Path, values: Sequence[tuple[int, str, float]], *, time: float = 1e9) -> None:
    """An event file as TensorBoard's own writer makes it."""
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"events.out.tfevents.{time:.0f}.host.1.0").open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=time, file_version="brain.Event:2").SerializeToString())
        for step, tag, value in values:
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            writer.write(Event(wall_time=time, step=step, summary=summary).SerializeToString())


def test_a_restart_from_a_checkpoint_sets_aside_what_came_after_it(tmp_path: Path) -> None:
    """The first file goes further than the second: its steps 3 to 5 are of a trajectory that was abandoned."""
    first = [(step, "val_loss", 4.0 if step < 3 else 9.0) for step in (1, 2, 3, 4, 5)]
    log_events(tmp_path / "run", first, time=2e9)
    log_events(tmp_path / "run", [(3, "val_loss", 3.0), (4, "val_loss", 2.0)], time=3e9)
    table = read_runs(tmp_path)
    assert [(row["step"], row["val_loss"]) for row in table] == [(1, 4.0), (2, 4.0), (3, 3.0), (4, 2.0)]
    assert any("3 in 1 runs" in said for said in table.said)


@pytest.mark.parametrize("names", [("eval/c4/loss", "eval/wiki/loss"), ("val_c4_loss", "val_wiki_loss")])
def test_a_training_loss_is_not_taken_where_a_validation_loss_names_its_data(names: tuple[str, str]) -> None:
    rows = [
        {"params": 10**i, "tokens": 10 ** (i + 2), "train/loss": 4 - 0.1 * i} | dict.fromkeys(names, 4.1 - 0.2 * i)
        for i in range(6, 10)
    ]
    first, second = names
    read_runs([{**row, second: 4.3} for row in rows], loss=first)
    with pytest.raises(TableError, match=f"'{first}' and '{second}' could each be the loss"):
        read_runs([{**row, second: 4.3} for row in rows])


def test_two_writers_at_once_are_refused_and_a_restart_is_not(tmp_path: Path) -> None:
    """Ranks that log into one folder: their losses are of one moment, and differ."""
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    for shift, loss in ((0.0, 4.0), (0.5, 4.5)):
        with (tmp_path / f"events.out.tfevents.{shift:.1f}.host").open("wb") as file:
            for step in (1, 2, 3):
                summary = Summary(value=[Summary.Value(tag="val_loss", simple_value=loss)])
                event = Event(wall_time=1e9 + step + shift, step=step, summary=summary)
                RecordWriter(file).write(event.SerializeToString())
    with pytest.raises(TableError, match="two at once: 'val_loss' at step 1 is 4 in .* and 4.5 in"):
        read_runs(tmp_path)


def test_the_experiments_of_mlflow_are_told_apart(tmp_path: Path) -> None:
    """The same sizes on two data sets, an experiment each: nothing else in the runs says so."""
    pytest.importorskip("yaml")
    shutil.copytree(DATA / "mlflow" / "mlruns", tmp_path / "mlruns")
    (first,) = (
        meta.parent for meta in (tmp_path / "mlruns").glob("*/meta.yaml") if list(meta.parent.glob("*/metrics"))
    )
    second = tmp_path / "mlruns" / "777"
    shutil.copytree(first, second)
    for meta in [second / "meta.yaml", *second.glob("*/meta.yaml")]:
        text = meta.read_text().replace("name: ladder", "name: wiki").replace("run_id: ", "run_id: w")
        meta.write_text(text.replace(first.name, "777"))
    for file in second.glob("*/metrics/val/loss"):
        lines = [line.split(" ") for line in file.read_text().splitlines()]
        file.write_text("".join(f"{time} {float(value) + 1} {step}\n" for time, value, step in lines))
    table = read_runs(tmp_path / "mlruns")
    assert {row["experiment"] for row in table} == {"ladder", "wiki"}
    with pytest.raises(LawfulError, match="experiment"):
        fit(tmp_path / "mlruns", "chinchilla", draws=0)
    assert "experiment" not in read_runs(DATA / "mlflow" / "mlruns").columns


def test_losses_on_two_data_sets_of_the_trainer_are_asked_about(tmp_path: Path) -> None:
    """eval_dataset={"c4": ..., "wiki": ...} writes eval_c4_loss and eval_wiki_loss; the training loss is no answer."""
    for i in range(3):
        history = [{"loss": 3.0, "step": 1}, {"eval_c4_loss": 3.5 - i, "step": 1}, {"eval_wiki_loss": 3.6, "step": 1}]
        (tmp_path / f"r{i}").mkdir()
        state = {"global_step": 1, "log_history": [{**entry, "params": 10**i * 1000} for entry in history]}
        (tmp_path / f"r{i}" / "trainer_state.json").write_text(json.dumps(state))
    with pytest.raises(TableError, match="'eval_c4_loss' and 'eval_wiki_loss' could each be the loss"):
        read_runs(tmp_path)


def test_a_loss_that_is_no_number_is_said_and_left_out(tmp_path: Path) -> None:
    log_events(tmp_path / "run", [(1, "loss", 4.0), (2, "loss", float("nan")), (3, "loss", 3.0)])
    table = read_runs(tmp_path)
    assert [row["step"] for row in table] == [1, 3]
    assert any("'loss' is NaN or infinite: 1 in 1 runs" in said for said in table.said)


def test_a_loss_of_training_alone_is_called_one(tmp_path: Path) -> None:
    """Keras' folder `train`, without `validation`."""
    log_events(tmp_path / "run" / "train", [(1, "epoch_loss", 4.0), (2, "epoch_loss", 3.0)])
    log_events(tmp_path / "run" / "validation", [(1, "epoch_loss", 4.5), (2, "epoch_loss", 3.5)])
    rows, _ = plugins.separated(plugins.readers_of(tmp_path)[0].rows(tmp_path))
    assert {"train/epoch_loss", "validation/epoch_loss"} <= rows[0].keys() and len(rows) == 2
    assert read_runs(tmp_path).roles["loss"] == "validation/epoch_loss"


def test_a_budget_that_does_not_count_up_is_asked_about(tmp_path: Path) -> None:
    """Tokens of the configuration are those of the whole run: the loss at its first step did not see them."""
    log = tmp_path / "version_0"
    log.mkdir()
    (log / "metrics.csv").write_text("epoch,step,val_loss\n0,1,5.0\n0,2,4.0\n")
    (log / "hparams.yaml").write_text("n_params: 1e7\ntokens: 1000000000\n")
    pytest.importorskip("yaml")
    with pytest.raises(TableError, match="--reduce last"):
        read_runs(tmp_path)
    table = read_runs(tmp_path, reduce="last")
    assert [row["val_loss"] for row in table] == [4.0]


def test_losses_of_several_sizes_without_tokens_are_asked_about_and_learning_curves_are_not(tmp_path: Path) -> None:
    rows = [{"run": n, "step": step, "N": n, "val_loss": 5.0 - step} for n in (1e6, 2e6) for step in (1, 2)]
    with pytest.raises(TableError, match="--tokens-column COLUMN"):
        read_runs(rows)
    assert len(read_runs(rows, tokens="step")) == 4 and len(read_runs(rows, reduce="last")) == 2
    assert len(read_runs([row for row in rows if row["N"] == 1e6])) == 2


def test_values_of_one_step_that_lightning_wrote_on_two_lines_are_one_row(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,step,tokens,val_loss\n0,10,100,\n0,10,,4.0\n1,20,200,\n1,20,,3.0\n")
    table = read_runs(tmp_path)
    assert [(row["tokens"], row["val_loss"]) for row in table] == [(100.0, 4.0), (200.0, 3.0)]


def test_parameters_that_each_part_of_a_resumed_log_states_hold_at_all_steps(tmp_path: Path) -> None:
    log_events(tmp_path / "run", [(0, "params", 1e7), (1, "loss", 4.0)], time=1e9)
    log_events(tmp_path / "run", [(2, "params", 1e7), (3, "loss", 3.0)], time=2e9)
    assert [row["params"] for row in read_runs(tmp_path)] == [1e7, 1e7]


def test_the_folder_of_a_part_is_a_part_also_where_it_is_named_itself(tmp_path: Path) -> None:
    log_events(tmp_path / "run" / "train", [(1, "loss", 4.0)])
    table = read_runs(tmp_path / "run" / "train")
    assert table.roles["loss"] == "train/loss" and any("a training loss" in said for said in table.said)


def test_keras_goes_on_after_a_restart_with_the_later_epochs(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("epoch,loss,val_loss\n0,5,5.5\n1,4,4.5\n2,9,9.5\n1,4,4.4\n")
    table = read_runs(tmp_path)
    assert [(row["epoch"], row["val_loss"]) for row in table] == [(0, 5.5), (1, 4.4)]
    assert any("2 in 1 runs (a)" in said for said in table.said)


def test_hydra_gives_the_settings_of_each_job_to_what_its_tracker_wrote(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    for i, n in enumerate((10**7, 10**8)):
        job = tmp_path / "multirun" / "2026-01-01" / "10-00-00" / str(i)
        (job / ".hydra").mkdir(parents=True)
        (job / ".hydra" / "overrides.yaml").write_text(f"- +model.n_params={n}\n")
        (job / "trainer_state.json").write_text(
            json.dumps({"global_step": 9, "log_history": [{"eval_loss": 3.0 - i, "step": 9}]})
        )
    table = read_runs(tmp_path)
    assert [(row["config.model.n_params"], row["eval_loss"]) for row in table] == [(10**7, 3.0), (10**8, 2.0)]
    assert any("trainer_state" in said for said in table.said)


def test_a_job_that_wrote_two_tables_is_asked_about(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    (tmp_path / "0" / ".hydra").mkdir(parents=True)
    (tmp_path / "0" / ".hydra" / "overrides.yaml").write_text("- lr=1\n")
    for name in ("a.json", "b.json"):
        (tmp_path / "0" / name).write_text('{"loss": 3.0}')
    with pytest.raises(TableError, match=r"got 2: a\.json, b\.json"):
        read_runs(tmp_path)


def nanochat_log(n: int, batch: int, steps: Sequence[int]) -> str:
    lines = [
        "Parameter counts:",
        f"{'wte':24s}: 1,234",
        f"{'total':24s}: {n:,}",
        f"Estimated FLOPs per token: {6 * n:e}",
    ]
    lines += [f"Total batch size {batch:,} => gradient accumulation steps: 1", "Step 00000 | Validation bpb: 3.200000"]
    for step in steps:
        bpb = 0.5 + 40 * n**-0.34 + 41 * (batch * step) ** -0.28
        lines += [f"step {step:05d}/{steps[-1]:05d} (50.00%) | loss: 2.100000 | lrm: 1.00 | dt: 9.00ms"]
        lines += [f"Step {step:05d} | Validation bpb: {bpb:.6f}"]
    return "\n".join(lines) + "\n"


def test_nanochats_logs_give_bits_per_byte_at_the_tokens_seen(tmp_path: Path) -> None:
    for n in (10**7, 10**8):
        (tmp_path / f"d{n}.log").write_text(nanochat_log(n, 2**19, (250, 500)))
    table = read_runs(tmp_path)
    assert table.roles["loss"] == "val_bpb" and len(table) == 4
    for row in table:
        assert row["tokens"] == 2**19 * row["step"]
        assert row["val_bpb"] == pytest.approx(
            0.5 + 40 * row["params"] ** -0.34 + 41 * row["tokens"] ** -0.28, abs=1e-6
        )
    assert any("before the first step" in said for said in table.said)


@pytest.mark.parametrize(
    "line", ["Step 00250 | Validation bpb: 1.2.3", "Step 00250 | Validation bpb: ", "Stop 00250 | Validation bpb: 1.5"]
)
def test_a_damaged_validation_of_nanochat_is_refused_not_passed_over(tmp_path: Path, line: str) -> None:
    (tmp_path / "d4.log").write_text(nanochat_log(10**7, 2**19, (500, 750)) + line + "\n")
    with pytest.raises(TableError, match="d4.log: line 11: expected a validation as nanochat prints it"):
        read_runs(tmp_path)


def test_a_log_of_nanochat_with_a_second_training_in_it_is_refused(tmp_path: Path) -> None:
    """The speedrun script prints base, mid and chat training one after another, each from step 0."""
    (tmp_path / "d4.log").write_text(nanochat_log(10**7, 2**19, (250, 500)) * 2)
    with pytest.raises(TableError, match="step 0 again after step 500"):
        read_runs(tmp_path)


def test_validations_that_came_again_after_a_resume_are_said(tmp_path: Path) -> None:
    log = nanochat_log(10**7, 2**19, (250, 500))
    (tmp_path / "d4.log").write_text(log + "Step 00500 | Validation bpb: 1.000000\nMinimum validation bpb: 1.000000\n")
    table = read_runs(tmp_path)
    assert [row["val_bpb"] for row in table][1:] == [1.0]
    assert any("before a resume, which came again, are left out: 1" in said for said in table.said)


def test_a_file_that_is_no_log_is_named_where_it_lies_among_logs(tmp_path: Path) -> None:
    shutil.copytree(DATA / "keras", tmp_path / "keras")
    (tmp_path / "keras" / "run-9.csv").write_text("epch,loss,val_loss\n0,3,3\n")
    said = read_runs(tmp_path / "keras").said
    assert "files of another kind are not read: 1 (run-9.csv)" in said


@pytest.mark.parametrize("gone", ["run_id: ", "lifecycle_stage: ", "artifact_uri: "])
def test_a_run_of_mlflow_whose_description_is_damaged_is_refused(tmp_path: Path, gone: str) -> None:
    pytest.importorskip("yaml")
    shutil.copytree(DATA / "mlflow" / "mlruns", tmp_path / "mlruns")
    meta = sorted(tmp_path.glob("mlruns/*/*/meta.yaml"))[0]
    meta.write_text(meta.read_text().replace(gone, "x"))
    with pytest.raises(TableError, match="expected what MLflow writes about a run"):
        read_runs(tmp_path / "mlruns")


def test_a_metric_of_mlflow_without_its_step_is_not_one_of_step_0(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    shutil.copytree(DATA / "mlflow" / "mlruns", tmp_path / "mlruns")
    file = sorted(tmp_path.glob("mlruns/*/*/metrics/val/loss"))[0]
    file.write_text(file.read_text() + "1795837487604 4.5 \n")
    with pytest.raises(TableError, match="expected the number of a step, got ''"):
        read_runs(tmp_path / "mlruns")


def test_evaluations_with_other_numbers_of_examples_are_not_taken_for_one(tmp_path: Path) -> None:
    shutil.copytree(DATA / "lm_eval", tmp_path / "results")
    file = sorted((tmp_path / "results").rglob("results_*.json"))[0]
    value = json.loads(file.read_text())
    value["n-shot"] = {"wikitext": 0}
    file.write_text(json.dumps(value))
    value["n-shot"] = {"wikitext": 5}
    value["results"]["wikitext"]["bits_per_byte,none"] += 0.1
    file.with_name("results_later.json").write_text(json.dumps(value))
    with pytest.raises(TableError, match="'wikitext' .* with 0 examples in the prompt and one with 5"):
        read_runs(tmp_path / "results", loss="wikitext/bits_per_byte")


def test_olmes_gives_a_column_for_each_task(tmp_path: Path) -> None:
    for model in ("a", "b"):
        (tmp_path / model).mkdir()
        lines = [
            {"task_name": task, "metrics": {"primary_score": 0.5, "bits_per_byte_corr": 1.1}, "task_config": {}}
            | {"model_config": {"model": model, "revision": None}, "num_instances": 9}
            for task in ("arc_easy", "boolq")
        ]
        (tmp_path / model / "metrics-all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows, _ = plugins.separated(plugins.readers_of(tmp_path)[0].rows(tmp_path))
    assert [row["run"] for row in rows] == ["a", "b"] and rows[0]["boolq/primary_score"] == 0.5
    assert rows[1]["config.model"] == "b"


def test_open_lm_gives_a_loss_for_each_validation_set_and_asks_which(tmp_path: Path) -> None:
    for i, (n, d) in enumerate([(10**7, 10**9), (10**8, 10**9), (10**7, 10**10), (10**8, 10**10)]):
        model = {
            "name": f"m{i}",
            "dataset_name": "c4",
            "hyperparameters": {"tokens": d, "params": n, "params_no_embed": n // 2, "lr": 3e-3},
            "results": [
                {"loss": planted(n, d), "tokens": 245760, "val_data": ["eval/c4_val/shard-{0..9}.tar"]},
                {"loss": planted(n, d) + 1, "tokens": 245760, "val_data": ["eval/openlm/shard_0.tar"]},
            ],
        }
        (tmp_path / f"m{i}.json").write_text(json.dumps(model))
    with pytest.raises(TableError, match="val/c4_val/loss.*val/openlm/loss"):
        read_runs(tmp_path)
    table = read_runs(tmp_path, loss="val/c4_val/loss")
    assert table.roles["params"] == "hyperparameters.params" or table.roles["params"] == "config.params"
    for row in table:
        n, d = row[table.roles["params"]], row[table.roles["tokens"]]
        assert row["val/c4_val/loss"] == pytest.approx(planted(n, d))


@pytest.fixture
def fake_wandb(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Any]], None]:
    def install(runs: list[Any]) -> None:
        errors = SimpleNamespace(Error=type("Error", (Exception,), {}))

        class Api:
            def runs(self, path: str) -> list[Any]:
                if path != "team/ladder":
                    raise errors.Error(f"no project {path}")
                return runs

        monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(Api=Api, errors=errors))  # type: ignore[arg-type]

    return install


def test_a_project_of_wandb_gives_a_row_for_each_run(fake_wandb: Callable[[list[Any]], None]) -> None:
    runs = [
        SimpleNamespace(
            id=f"id{i}",
            name=f"run {i}",
            state="finished" if i else "crashed",
            config={"n_params": n, "_wandb": {}, "optim": {"lr": 1e-3}},
            summary={"val": {"loss": planted(n, d)}, "tokens": d, "_step": 9, "_timestamp": 1.0},
        )
        for i, (n, d) in enumerate([(1e7, 1e9), (1e8, 1e9), (1e7, 1e10), (1e8, 1e10)])
    ]
    fake_wandb(runs)
    table = read_runs("wandb://team/ladder")
    assert table.source == "wandb://team/ladder" and len(table) == 4 and len(table.of_ladder()) == 3
    for row in table:
        assert row["val.loss"] == planted(row["config.n_params"], row["tokens"])
    assert any("last value of each metric" in said for said in table.said)


def test_an_address_that_wandb_does_not_know_is_refused_by_name(fake_wandb: Callable[[list[Any]], None]) -> None:
    fake_wandb([])
    for address, words in (
        ("wandb://team/other", "no project team/other"),
        ("wandb://team", "ENTITY/PROJECT"),
        ("wandb://team/ladder", "got none"),
        ("https://example.org/a.csv", "another address"),
    ):
        with pytest.raises(TableError, match=words) as error:
            read_runs(address)
        assert address in str(error.value)


def test_an_absent_package_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingDependency, match=r"lawful\[wandb\]"):
        read_runs("wandb://team/ladder")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingDependency, match=r"lawful\[trackers\]"):
        read_runs(DATA / "lightning")


def test_a_link_is_not_followed_out_of_the_folder(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for folder, loss in ((own, 4.0), (other, 9.0)):
        folder.mkdir()
        (folder / "a.csv").write_text(f"epoch,loss,val_loss\n0,5,{loss}\n")
    (own / "linked").symlink_to(other)
    (own / "b.csv").symlink_to(other / "a.csv")
    (own / "a.json").symlink_to(other / "secret.json")
    (other / "secret.json").write_text('{"secret": 1}')
    table = read_runs(own)
    assert [row["val_loss"] for row in table] == [4.0] and "config.secret" not in table.columns


@pytest.mark.parametrize(
    "name", ["events.out.tfevents.1.host", "metrics.csv", "trainer_state.json", "run-a.wandb", "metrics-all.jsonl"]
)
def test_a_pipe_is_refused_and_not_waited_for(name: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    os.mkfifo(tmp_path / name)
    with pytest.raises(TableError):
        read_runs(tmp_path)


def test_yaml_makes_no_object_and_no_billion_items(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    (tmp_path / "metrics.csv").write_text("epoch,step,val_loss\n0,1,5.0\n")
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    (tmp_path / "hparams.yaml").write_text(
        bomb + "hook: !!python/object/apply:os.system ['touch here']\nn_params: 1e7\n"
    )
    rows, _ = plugins.separated(plugins.readers_of(tmp_path)[0].rows(tmp_path))
    assert rows[0]["hparams.n_params"] == 1e7 and rows[0]["hparams.hook"] == ["touch here"]
    assert rows[0]["hparams.i"] == ["*h"] * 9


def test_a_setting_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    (tmp_path / "metrics.csv").write_text("epoch,step,val_loss\n0,1,5.0\n")
    (tmp_path / "hparams.yaml").write_text("n_params: 1e7\nn_params: 1e8\n")
    with pytest.raises(TableError, match="n_params"):
        read_runs(tmp_path)


def test_a_database_with_views_in_the_place_of_tables_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    with sqlite3.connect(file) as base:
        for name in ("studies", "trials", "trial_params", "trial_values"):
            base.execute(f"CREATE TABLE {name} (study_id, study_name, trial_id, number, state)")
        base.execute(
            "CREATE VIEW trial_user_attributes AS WITH RECURSIVE n(trial_id) AS "
            "(SELECT 1 UNION ALL SELECT trial_id + 1 FROM n) SELECT trial_id, 'k' AS key, '1' AS value_json FROM n"
        )
    base.close()
    with pytest.raises(TableError, match="study"):
        read_runs(file)


def test_a_database_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    file.write_bytes((DATA / "optuna" / "study.db").read_bytes())
    before = sorted(tmp_path.iterdir())
    assert len(read_runs(file)) == 7 and sorted(tmp_path.iterdir()) == before  # nothing is left beside it
    (tmp_path / "study.db-wal").write_bytes(b"x")
    with pytest.raises(TableError, match="study.db"):
        read_runs(file)


def test_what_another_reader_would_have_read_is_said(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "trainer_state.json").write_text('{"global_step": 1, "log_history": [{"eval_loss": 3.5, "step": 1}]}')
    log_events(tmp_path / "runs", [(1, "loss", 4.0)])
    table = read_runs(tmp_path)
    assert table.roles["loss"] == "eval_loss" and any(
        "not read" in said and "TensorBoard" in said for said in table.said
    )


CASES = {  # of shared/cases/tables -> what is right: the case's README
    "tb/plain": {"alpha": 0.34, "beta": 0.28},
    "tb/async": {"B": 410},
    "tb/keras": {"E": 1.8},
    "tb/restart": {"E": 1.8, "alpha": 0.34},
    "tb/nan": {"E": 1.8, "alpha": 0.34},
    "tb/hparams": {"E": 1.8, "alpha": 0.34, "B": 410},
}


@pytest.mark.needs_data
@pytest.mark.parametrize("case", CASES)
def test_a_case_has_its_right_value(case: str, data_folder: Path) -> None:
    path = data_folder.parent / "cases" / "tables" / case
    if not path.exists():
        pytest.skip(f"no folder of cases beside LAWFUL_DATA with {case}")
    pytest.importorskip("tensorboard")
    found = fit(read_runs(path), "chinchilla", draws=0)
    for name, value in CASES[case].items():
        own = {**found.params, **found.derived}[name]
        assert (own if isinstance(own, float) else own.value) == pytest.approx(
            value, rel=0.02 if case == "tb/plain" else 1e-3
        )


@pytest.mark.needs_data
def test_lightnings_observations_are_the_rows_with_a_validation_loss(data_folder: Path) -> None:
    pytest.importorskip("yaml")
    path = data_folder.parent / "cases" / "tables" / "lightning"
    if not path.exists():
        pytest.skip("no folder of cases beside LAWFUL_DATA with lightning")
    table = read_runs(path, tokens="step")
    assert len(table) == 18 and len({row["run"] for row in table}) == 6 and table.roles["loss"] == "val_loss"
    for row in table:  # D was 2e7 tokens at each step, up to rounding of the file and noise of .003
        assert row["val_loss"] == pytest.approx(planted(row["hparams.n_params"], row["step"] * 2e7), rel=0.02)
