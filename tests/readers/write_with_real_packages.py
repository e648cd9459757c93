"""Writes tests/readers/data with the real packages, from planted laws: L = 1.8 + 400 N^-.34 + 410 D^-.28, no noise.

The files there were written with torch 2.13.0, tensorboard 2.21.0, keras 3.15.1, lightning 2.6.6, transformers 5.24.0,
mlflow-skinny 3.17.2, wandb 0.31.0, optuna 5.0.0, hydra-core 1.3.8 and lm-eval 0.4.13 (VERSIONS prints those in use):

    python tests/readers/write_with_real_packages.py tests/readers/data
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

SIZES = (1e7, 4e7, 1.6e8)
BUDGETS = (1e9, 4e9)
PARTS = (0.25, 0.5, 1.0)  # of a budget, at which a run is evaluated
GRID = [(n, d) for n in SIZES for d in BUDGETS]
PACKAGES = "torch tensorboard keras lightning transformers mlflow-skinny wandb optuna hydra-core lm-eval".split()
HOST = "host"

os.environ |= {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_DISABLE_GIT": "true",
    "WANDB_DISABLE_CODE": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "KERAS_BACKEND": "torch",
    "HF_HUB_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
}


def loss(n: float, d: float) -> float:
    return 1.8 + 400 * n**-0.34 + 410 * d**-0.28


def tensorboard(out: Path) -> None:
    """plain: tags at different steps; parts: a log for training and one for validation; hparams; restart; scalars."""
    from torch.utils.tensorboard import SummaryWriter

    for i, (n, d) in enumerate(GRID):
        with SummaryWriter(str(out / "plain" / f"run-{i}")) as log:
            log.add_scalar("params", n, 0)
            for step in range(1, 9):
                log.add_scalar("tokens", d * step / 8, step)
                log.add_scalar("train/loss", loss(n, d * step / 8) - 0.2, step)
                if step % 4 == 0:
                    log.add_scalar("val/loss", loss(n, d * step / 8), step)
        for part in ("train", "validation"):
            with SummaryWriter(str(out / "parts" / f"run-{i}" / part)) as log:
                log.add_scalar("params", n, 0)
                for step in (1, 2, 4):
                    log.add_scalar("tokens", d * step / 4, step)
                    log.add_scalar("loss", loss(n, d * step / 4) - 0.2 * (part == "train"), step)
        with SummaryWriter(str(out / "hparams" / f"run-{i}")) as log:
            log.add_scalar("seen", d, 1)
            log.add_hparams({"params": n, "tokens": d, "lr": 3e-4, "act": "gelu"}, {"hparam/val_loss": loss(n, d)})
        for half in (0, 1):  # the first goes wrong from step 3 on, and further than the second
            with SummaryWriter(str(out / "restart" / f"run-{i}"), filename_suffix=f".{half}") as log:
                for step in (1, 2, 3, 4, 5) if half == 0 else (3, 4):
                    log.add_scalar("params", n, step)
                    log.add_scalar("tokens", d * step / 4, step)
                    log.add_scalar("val_loss", 9.0 if half == 0 and step > 2 else loss(n, d * step / 4), step)
        with SummaryWriter(str(out / "scalars" / f"run-{i}")) as log:
            for step in (1, 2):
                log.add_scalar("params", n, step)
                log.add_scalar("tokens", d * step / 2, step)
                at = loss(n, d * step / 2)
                log.add_scalars("loss", {"train": at - 0.2, "val": at}, step)
    for file in sorted(out.rglob("events*")):  # the name has the machine's
        words = file.name.split(".")
        file.rename(file.with_name(".".join([*words[:4], HOST, *words[-2:]])))


def keras(out: Path) -> None:
    """CSVLogger as Keras calls it, with the losses that were planted in place of those of a model."""
    import keras as real

    class Planted(real.callbacks.Callback):
        def __init__(self, n: float, d: float) -> None:
            super().__init__()
            self.n, self.d = n, d

        def on_epoch_end(self, epoch: int, logs: dict) -> None:
            at = self.d * (epoch + 1) / 3
            logs |= {"loss": loss(self.n, at) - 0.2, "val_loss": loss(self.n, at), "tokens": at}

    import numpy as np

    x = np.zeros((8, 2), dtype="float32")
    for i, (n, d) in enumerate(GRID):
        out.mkdir(parents=True, exist_ok=True)
        model = real.Sequential([real.layers.Input((2,)), real.layers.Dense(1)])
        model.compile(loss="mse")
        log = real.callbacks.CSVLogger(str(out / f"run-{i}.csv"))
        model.fit(x, x[:, :1], epochs=3, verbose=0, validation_data=(x, x[:, :1]), callbacks=[Planted(n, d), log])
        (out / f"run-{i}.json").write_text(json.dumps({"n_params": n}))


def lightning(out: Path) -> None:
    from lightning.pytorch.loggers import CSVLogger

    for i, (n, d) in enumerate(GRID):
        log = CSVLogger(str(out), name="", version=i)
        log.log_hyperparams({"n_params": n, "lr": 3e-4, "betas": (0.9, 0.95), "name": "3_14"})
        for step in (1, 2, 3, 4):
            at = d * step / 4
            log.log_metrics({"train_loss": loss(n, at) - 0.2, "tokens": at, "epoch": 0}, step=step)
            log.save()
            if step % 2 == 0:
                log.log_metrics({"val_loss": loss(n, at), "epoch": 0}, step=step)
        log.finalize("success")


def hugging_face(out: Path) -> None:
    """TrainerState and safetensors as the Trainer saves them, at two checkpoints of each run."""
    import torch
    from safetensors.torch import save_file
    from transformers import TrainerState

    for i, (side, d) in enumerate((side, d) for side in (1, 2, 4) for d in (1e5, 4e5)):
        n = 1000 * side**2 + 3  # the weights that are saved
        state = TrainerState()
        for step in (100, 200, 300, 400):
            at = d * step / 400
            state.global_step = step
            own = {"epoch": step / 400, "step": step, "num_input_tokens_seen": at}
            state.log_history.append({"loss": loss(n, at) - 0.2, "grad_norm": 1.0, "learning_rate": 1e-4, **own})
            if step % 200 == 0:
                state.log_history.append({"eval_loss": loss(n, at), "eval_runtime": 1.5, **own})
                folder = out / f"run-{i}" / f"checkpoint-{step}"
                folder.mkdir(parents=True)
                state.save_to_json(str(folder / "trainer_state.json"))
                weights = {"w": torch.zeros(50 * side, 20 * side, dtype=torch.int8), "b": torch.zeros(3)}
                save_file(weights, folder / "model.safetensors")
        state.log_history.append({"train_loss": 5.0, "total_flos": 6 * n * d, "train_runtime": 9.0, "step": 400})
        state.save_to_json(str(out / f"run-{i}" / "trainer_state.json"))


def mlflow(out: Path) -> None:
    import mlflow as real

    def log() -> None:
        real.set_experiment("ladder")
        for i, (n, d) in enumerate(GRID):
            with real.start_run(run_name=f"run-{i}"):
                real.log_params({"n_params": int(n), "optimizer": "adamw"})
                for part in PARTS:
                    step = int(100 * part)
                    real.log_metrics({"tokens": d * part, "train/loss": loss(n, d * part) - 0.2}, step=step)
                    real.log_metric("val/loss", loss(n, d * part), step=step)
        with real.start_run(run_name="killed"):
            real.log_param("n_params", 1)
            real.log_metrics({"tokens": 1.0, "val/loss": 99.0}, step=1)
            real.end_run("KILLED")
        again = real.MlflowClient().create_run(real.get_experiment_by_name("ladder").experiment_id)
        real.MlflowClient().log_metric(again.info.run_id, "val/loss", 99.0)
        real.MlflowClient().delete_run(again.info.run_id)

    out.mkdir(parents=True)
    real.set_tracking_uri(f"file:{out / 'mlruns'}")
    log()
    real.search_runs(search_all_experiments=True).pipe(
        lambda runs: runs.drop(columns=[name for name in runs if name.startswith(("tags.", "artifact_uri"))])
    ).to_csv(out / "search_runs.csv", index=False)
    for meta in out.rglob("meta.yaml"):  # they hold the folder's own path and the user
        lines = meta.read_text().replace(str(out), "/runs").splitlines()
        meta.write_text("\n".join("user_id: user" if line.startswith("user_id") else line for line in lines) + "\n")
    for tags in out.rglob("tags"):
        shutil.rmtree(tags)
    real.set_tracking_uri(f"sqlite:///{out / 'mlflow.db'}")
    log()
    with sqlite3.connect(out / "mlflow.db") as base:  # only what a reader asks for: 0.9 MB are empty tables
        kept = {"runs", "metrics", "params", "experiments"}
        base.execute("PRAGMA foreign_keys = OFF")
        for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if name not in kept and not name.startswith("sqlite"):
                base.execute(f"DROP TABLE {name}")
        base.execute("UPDATE runs SET user_id = 'user', artifact_uri = '/runs', source_name = ''")
        base.execute("UPDATE experiments SET artifact_location = '/runs'")
    base.close()
    shrink(out / "mlflow.db")


def wandb(out: Path) -> None:
    import wandb as real

    out.mkdir(parents=True)
    for i, (n, d) in enumerate(GRID):
        own = real.Settings(x_disable_meta=True, x_disable_stats=True, x_disable_machine_info=True, console="off",
                            host=HOST, disable_git=True, disable_code=True, x_save_requirements=False,
                            username="user", email="", program="train.py", program_abspath="/train.py",
                            root_dir="/")  # fmt: skip
        run = real.init(project="ladder", id=f"id{i}", name=f"run-{i}", dir=str(out), settings=own,
                        config={"n_params": n, "optim": {"lr": 3e-4, "name": "adamw"}})  # fmt: skip
        for part in PARTS:
            step = int(100 * part)
            run.log({"tokens": d * part, "train/loss": loss(n, d * part) - 0.2}, step=step)
            run.log({"val/loss": loss(n, d * part)}, step=step)
        run.summary["note"] = "done"
        run.finish(exit_code=1 if i == len(GRID) - 1 else 0)
    for folder in sorted((out / "wandb").glob("offline-run-*")):
        for part in folder.iterdir():
            if part.suffix != ".wandb":
                shutil.rmtree(part) if part.is_dir() else part.unlink()
    for part in (out / "wandb").iterdir():
        if not part.name.startswith("offline-run-"):
            part.unlink() if part.is_symlink() or part.is_file() else shutil.rmtree(part)


def optuna(out: Path) -> None:
    import optuna as real

    real.logging.set_verbosity(real.logging.WARNING)
    out.mkdir(parents=True)
    study = real.create_study(storage=f"sqlite:///{out / 'study.db'}", study_name="ladder")
    study.set_metric_names(["val_loss"])
    study.enqueue_trial({"n_params": 1, "act": "relu", "lr": 1e-4})
    for n, _ in GRID:
        study.enqueue_trial({"n_params": int(n), "act": "gelu", "lr": 3e-4})

    def objective(trial: real.Trial) -> float:
        n = trial.suggest_int("n_params", 1, 10**9)
        trial.suggest_categorical("act", ["relu", "gelu"])
        trial.suggest_float("lr", 1e-5, 1e-2, log=True)
        if n == 1:
            raise real.TrialPruned
        d = BUDGETS[(trial.number - 1) % len(BUDGETS)]
        trial.set_user_attr("tokens", d)
        return loss(n, d)

    study.optimize(objective, n_trials=len(GRID) + 1)
    study.trials_dataframe().to_csv(out / "trials.csv", index=False)
    shrink(out / "study.db")


def hydra(out: Path) -> None:
    """A sweep of jobs that write metrics.json."""
    out.mkdir(parents=True)
    job = out / "job.py"
    job.write_text(
        textwrap.dedent(
            """
            import json, hydra
            @hydra.main(version_base=None, config_path=None, config_name="base")
            def main(c):
                loss = 1.8 + 400 * c.model.n_params**-0.34 + 410 * c.tokens**-0.28
                json.dump({"val_loss": loss, "tokens": c.tokens}, open("metrics.json", "w"))
            from hydra.core.config_store import ConfigStore
            ConfigStore.instance().store("base", {"model": {"n_params": 0.0}, "tokens": 0.0, "lr": 3e-4})
            main()
            """
        )
    )
    sizes = ",".join(f"{n:.0f}" for n in SIZES)
    budgets = ",".join(f"{d:.0f}" for d in BUDGETS)
    words = ["-m", f"model.n_params={sizes}", f"tokens={budgets}", "hydra.job.chdir=true",
             "hydra.sweep.dir=multirun/2026-11-28/10-00-00"]  # fmt: skip
    subprocess.run([sys.executable, str(job), *words], check=True, cwd=out, stdout=subprocess.DEVNULL)
    job.unlink()
    for file in out.rglob("hydra.yaml"):  # it holds paths of the machine
        file.unlink()
    for file in [*out.rglob("*.log"), *out.rglob("multirun.yaml")]:
        file.unlink()


def lm_eval(out: Path) -> None:
    """EvaluationTracker, which writes the files, with results in the place of those of a model."""
    from lm_eval.loggers import EvaluationTracker

    for n in SIZES:
        tracker = EvaluationTracker(output_path=str(out))
        tracker.general_config_tracker.model_name = f"planted-{n:.0e}"
        tracker.general_config_tracker.model_name_sanitized = f"planted-{n:.0e}"
        results = {
            "results": {
                "wikitext": {"alias": "wikitext", "bits_per_byte,none": 0.5 + 400 * n**-0.34},
                "arc_easy": {"alias": "arc_easy", "acc,none": 0.4, "acc_stderr,none": 0.01},
            },
            "config": {"model": "hf", "model_args": f"pretrained=planted-{n:.0e}", "model_num_parameters": int(n)},
            "date": 1.0,
        }
        tracker.save_results_aggregated(results=results, samples={})


def shrink(path: Path) -> None:
    """Small pages: most of these files is room in pages of tables with few rows."""
    base = sqlite3.connect(path, isolation_level=None)
    base.execute("PRAGMA page_size = 512")
    base.execute("VACUUM")
    base.close()


def versions() -> str:
    return "\n".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)


def main() -> None:
    out = Path(sys.argv[1]).resolve()
    for write in (tensorboard, keras, lightning, hugging_face, mlflow, wandb, optuna, hydra, lm_eval):
        folder = out / write.__name__
        if sys.argv[2:] and write.__name__ not in sys.argv[2:]:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        write(folder)
    (out / "truth.csv").open("w").close()
    with (out / "truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("params", "tokens", "val_loss"), *((n, d, loss(n, d)) for n, d in GRID)])
    (out / "VERSIONS").write_text(versions() + "\n")


if __name__ == "__main__":
    main()
