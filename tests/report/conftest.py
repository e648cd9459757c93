"""A fabricated study's folder: what a real one holds, its losses drawn from a planted Chinchilla law with seed noise.

By hand: python tests/report/conftest.py FOLDER [RUNS_PER_SIZE] writes one to look at.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lawful import tables
from lawful.fitting.answer_records import SisterLaw
from lawful.fitting.answers import Answer, write_answer
from lawful.fitting.records import HeldOut, Sensitivity, WithoutRun
from lawful.laws.chinchilla import Chinchilla
from lawful.schema import CorpusRecord, PlannedRun, Question, Versions, Warning
from lawful.storage.atomic import write_json
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from records import a_fit, planned_run, write_plan

PLANTED = {"E": 1.25, "A": 13.0, "alpha": 0.36, "B": 240.0, "beta": 0.44}
SEED_SIGMA = 0.004  # of log loss, between seeds
VOCABULARY = 65
WIDTHS = (16, 24, 40, 64, 96, 160)
TOKENS = (125_000, 250_000, 500_000, 1_000_000)
BATCH_TOKENS = 2048
FLOPS_PER_SECOND = 5e10


def planted_loss(params: float, tokens: float) -> float:
    """Hoffmann et al.: L = E + A N^-alpha + B D^-beta."""
    law = PLANTED
    return law["E"] + law["A"] * params ** -law["alpha"] + law["B"] * tokens ** -law["beta"]


def fabricate(
    folder: Path,
    *,
    widths: Sequence[int] = WIDTHS,
    tokens: Sequence[int] = TOKENS,
    seeds: int = 2,
    arms: Sequence[str] = (),
    held_out: bool = True,
    diverged: Sequence[int] = (),
    failed: Sequence[int] = (),
    running: Sequence[int] = (),
    waiting: Sequence[int] = (),
    faults: Sequence[str] = (),
    name: str = "shakespeare",
    questions: Sequence[Question] | None = None,
    answers: Sequence[Answer] = (),
    points_per_run: int = 60,
) -> Path:
    """Write the folder and return it. `diverged`, `failed`, `running` and `waiting` are indices into the rungs."""
    here = Store(folder)
    dice = random.Random(7)
    if questions is None:
        questions = [question("loss", "How does the loss fall with parameters and tokens?", "chinchilla")]
    rungs: list[PlannedRun] = []
    for arm in arms or ("",):
        for width in widths:
            for budget in tokens:
                for seed in range(seeds):
                    rungs.append(_rung(width, budget, seed, arm, held_out and width == max(widths)))
    axes: dict[str, list[Any]] = {"size": list(widths), "tokens": list(tokens), "seed": list(range(seeds))}
    if arms:
        axes = {"mlp": list(arms), **axes}
    fingerprint = hashlib.sha256(b"fabricated").hexdigest()[:16]
    write_plan(
        folder,
        *rungs,
        name=name,
        question="How does validation loss fall with the size of a small transformer and its training tokens?",
        settings={"seeds": str(seeds)},
        held_out={"size": max(widths)} if held_out else {},
        arm="mlp" if arms else None,
        faults=tuple(faults),
        precision="fp32",
        warnings=(
            Warning("short-warmup", "warning", "The smallest budget has 61 optimiser steps, of which 10 are warmup."),
        ),
        axes={axis: tuple(levels) for axis, levels in axes.items()},
        questions=tuple(questions),
        corpora={
            "tiny_shakespeare": CorpusRecord(
                fingerprint=fingerprint,
                train_tokens=1_003_854,
                validation_tokens=111_540,
                validation_bytes=111_540,
                vocabulary=VOCABULARY,
                tokenizer="characters",
                licence="public domain",
                source="tinyshakespeare/input.txt",
            )
        },
        versions=Versions(lawful="0.1.0", python="3.11.7", torch="2.13.0", numpy="2.4.6", commit="0123abc"),
        command=f"lawful run {name} --scale quick --out runs/{name}",
        created="2026-11-22T02:00:00+00:00",
    )
    write_json(
        here.baselines,
        {
            "corpus_fingerprint": fingerprint,
            "baselines": [
                {"name": "unigram", "n": 1, "loss": 3.31, "bits_per_byte": 4.78, "perplexity": 27.4, "params": 65},
                {"name": "bigram", "n": 2, "loss": 2.48, "bits_per_byte": 3.58, "perplexity": 12.0, "params": 1403},
                {"name": "5-gram", "n": 5, "loss": 1.67, "bits_per_byte": 2.41, "perplexity": 5.3, "params": 210_344},
            ],
        },
    )
    rows = []
    for index, rung in enumerate(rungs):
        write_json(here.run(rung.run), {"is": "lawful.run:Run", "steps": rung.steps})
        if index in waiting:
            continue
        status = "diverged" if index in diverged else "failed" if index in failed else "finished"
        final = planted_loss(rung.params_non_embedding, rung.tokens) * math.exp(dice.gauss(0, SEED_SIGMA))
        if rung.arm == "swiglu":
            final *= 0.985
        part = 0.4 if index in running or status != "finished" else 1.0
        _write_metrics(here.metrics(rung.run), rung, final, part, points_per_run, dice)
        if index in running:
            continue
        row = _observation(name, rung, final, status, fingerprint, axes)
        rows.append(row)
        write_json(here.result(rung.run), row)
    tables.write_csv(here.observations, rows)
    for answer in answers:
        write_answer(here.fit(answer.name), answer)
    return folder


def question(name: str, asks: str, law: str, **where: Any) -> Question:
    return Question(name=name, asks=asks, law=law, where=where)


def _rung(width: int, budget: int, seed: int, arm: str, held_out: bool) -> PlannedRun:
    at: dict[str, Any] = {"mlp": arm} if arm else {}
    at |= {"size": width, "tokens": budget, "seed": seed}
    label = ",".join(f"{name}={value}" for name, value in at.items())
    params = 12 * 4 * width**2 + 9 * width
    embedding = VOCABULARY * width
    steps = budget // BATCH_TOKENS
    flops = round(6.9 * (params + embedding) * budget)
    return planned_run(
        hashlib.sha256(label.encode()).hexdigest()[:12],
        rung=label,
        at=at,
        held_out=held_out,
        arm=arm,
        seed=seed,
        corpus="tiny_shakespeare",
        params_total=params + embedding,
        params_embedding=embedding,
        params_non_embedding=params,
        params_by_group={"embedding": embedding, "blocks": params},
        tokens=steps * BATCH_TOKENS,
        flops=flops,
        flops_6nd=6 * params * budget,
        steps=steps,
        learning_rate=round(0.08 * width**-0.7, 5),
        batch_tokens=BATCH_TOKENS,
        context=128,
        seconds_estimate=flops / FLOPS_PER_SECOND,
    )


def _observation(
    study: str, rung: PlannedRun, final: float, status: str, fingerprint: str, axes: dict[str, Any]
) -> dict[str, Any]:
    reasons = {
        "finished": "",
        "diverged": f"validation loss 5.2 above log({VOCABULARY}) = 4.17 after warmup",
        "failed": "out of memory at a micro-batch of 1",
    }
    is_finished = status == "finished"
    return {
        "study": study,
        "run": rung.run,
        "rung": rung.rung,
        "arm": rung.arm,
        "seed": rung.seed,
        "held_out": rung.held_out,
        "cluster": rung.cluster,
        "status": status,
        "reason": reasons[status],
        "params_total": rung.params_total,
        "params_embedding": rung.params_embedding,
        "params_non_embedding": rung.params_non_embedding,
        "tokens": rung.tokens,
        "unique_tokens": 1_003_854,
        "epochs": rung.tokens / 1_003_854,
        "flops": rung.flops,
        "flops_6nd": rung.flops_6nd,
        "loss": final if is_finished else None,
        "loss_unit": "nats_per_token",
        "bits_per_byte": final / math.log(2) if is_finished else None,
        "accuracy": 1 - final / 3 if is_finished else None,
        "loss_lowest_seen": final if is_finished else None,
        "loss_train": final - 0.03 if is_finished else None,
        "steps": rung.steps,
        "batch_tokens": rung.batch_tokens,
        "context": rung.context,
        "learning_rate": rung.learning_rate,
        "schedule": rung.schedule,
        "is_decayed": is_finished,
        "masks_padding": True,
        "precision": "fp32",
        "family": "decoder",
        "corpus": "tiny_shakespeare",
        "tokenizer": "characters",
        "vocabulary": VOCABULARY,
        "data_fingerprint": fingerprint,
        "validation_tokens": 111_540,
        "seconds": rung.seconds_estimate * 1.25,
        "tokens_per_second": rung.tokens / (rung.seconds_estimate * 1.25),
        "flops_per_second": FLOPS_PER_SECOND / 1.25,
        "peak_memory_bytes": 4e8,
        "weights_sha256": hashlib.sha256(rung.rung.encode()).hexdigest(),
        "numerics": "cpu fp32 1 thread micro-batch 16 AdamW foreach torch 2.13.0",
        "numerics_breaks": 0,
        "diverged_at_step": rung.steps // 2 if status == "diverged" else None,
        **{axis: rung.at[axis] for axis in axes if axis not in ("seed", "tokens")},
    }


def _write_metrics(path: Path, rung: PlannedRun, final: float, part: float, points: int, dice: random.Random) -> None:
    lines = []
    steps = rung.steps
    every = max(steps // points, 1)
    reached = int(steps * part)
    for step in range(every, reached + 1, every):
        seen = step * rung.batch_tokens
        loss = math.log(VOCABULARY) * (1 - seen / rung.tokens) ** 6 + final * (seen / rung.tokens) ** -0.12
        loss = min(loss, math.log(VOCABULARY) + 0.02)
        lines.append(
            {
                "step": step,
                "tokens": seen,
                "loss": loss * math.exp(dice.gauss(0, 0.02)),
                "learning_rate": rung.learning_rate,
                "grad_norm": 0.6,
                "tokens_per_second": FLOPS_PER_SECOND / 1.25 / (rung.flops / rung.tokens),
                "seconds": rung.seconds_estimate * 1.25 * step / steps,
                "peak_memory_bytes": 400_000_000,
                "flops_per_second": FLOPS_PER_SECOND / 1.25,
            }
        )
        if len(lines) % 6 == 0:
            lines.append({"step": step, "tokens": seen, "validation_loss": loss, "accuracy": 0.5})
    if part == 1.0:
        lines.append({"step": steps, "tokens": rung.tokens, "validation_loss": final, "accuracy": 0.5})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def plant_answer(folder: Path) -> Answer:
    """What fits/loss.json would hold had the fit found the planted law exactly, with draws close around it."""
    study = Store(folder).read_study()
    law, pivot = Chinchilla(), {"params": 80_000.0, "tokens": 350_000.0}
    values = {
        "E": PLANTED["E"],
        "A_pivot": PLANTED["A"] * pivot["params"] ** -PLANTED["alpha"],
        "B_pivot": PLANTED["B"] * pivot["tokens"] ** -PLANTED["beta"],
        "alpha": PLANTED["alpha"],
        "beta": PLANTED["beta"],
    }
    dice = random.Random(3)
    draws = tuple(tuple(value * math.exp(dice.gauss(0, 0.01)) for value in values.values()) for _ in range(50))
    finished = [row for rung in study.runs if (row := _result(folder, rung.run)) and row["status"] == "finished"]
    fitted = [row for row in finished if not row["held_out"]]
    fit = a_fit(
        law,
        values,
        fitted,
        draws=draws,
        sensitivity=Sensitivity(
            objective={"robust": values, "l2": values}, outlier=(WithoutRun(run=fitted[0]["run"], params=values),)
        ),
        warnings=(Warning("ridge", "severe", "The parameters lie on a ridge."),),
    )
    sister = SisterLaw(
        law="chinchilla",
        fixed={"E": 0.0},
        formula=law.formula,
        n=len(fitted),
        aicc=-60.0,
        delta_aicc=40.0,
        params=values,
        held_out_error=0.03,
    )
    return Answer(
        question=study.questions[0],
        status="answered",
        sentence="Loss falls as N^-0.360 [0.349, 0.371] and D^-0.440 [0.427, 0.453] <planted>.",
        fit=fit,
        held_out=tuple(_held_out(row) for row in finished if row["held_out"]),
        also=(sister,),
    ).with_headline()


def _held_out(row: dict[str, Any]) -> HeldOut:
    loss = planted_loss(row["params_non_embedding"], row["tokens"])
    return HeldOut(
        run=row["run"],
        rung=row["rung"],
        params=row["params_non_embedding"],
        tokens=row["tokens"],
        seed=row["seed"],
        predicted=loss,
        interval=(0.99 * loss, 1.01 * loss),
        observed=row["loss"],
        error_relative=loss / row["loss"] - 1,
        is_inside=abs(loss / row["loss"] - 1) < 0.01,
    )


def _result(folder: Path, run_id: str) -> dict[str, Any] | None:
    path = Store(folder).result(run_id)
    return read_json(path) if path.exists() else None


# Fixtures that hand out the functions: under importlib's import mode a test cannot import its conftest.


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """fabricate() into a fresh folder."""
    return lambda **settings: fabricate(tmp_path / "study", **settings)


@pytest.fixture(scope="session", name="fabricate")
def fabricate_fixture() -> Callable[..., Path]:
    return fabricate


@pytest.fixture(scope="session")
def planted_answer() -> Callable[[Path], Answer]:
    return plant_answer


@pytest.fixture(scope="session", name="planted_loss")
def planted_loss_fixture() -> Callable[[float, float], float]:
    return planted_loss


if __name__ == "__main__":
    import sys

    out = Path(sys.argv[1])
    if out.exists():
        shutil.rmtree(out)
    fabricate(out, diverged=(5,), failed=(9,), running=(40,), waiting=(41, 42, 43))
    print(out)
