"""Training throughput against nanoGPT's loop as shipped: same shapes, batch and data, in turn, on this CPU.

    git clone https://github.com/karpathy/nanoGPT FOLDER
    python benchmarks/throughput.py --nanogpt FOLDER [--rounds 3] [--seconds 10] [--only .8M] [--loss]

nanoGPT runs as one process with torch's default threads, fp32, eager, by its own train.py in a copy of FOLDER; lawful
as one single-threaded worker per core, in the precision that its plan chooses (where that is bf16, once in fp32 too);
small shapes with several runs stacked in each worker as well, as --stack has it.
Tokens a second are summed over the workers; the first five steps are left out on both sides.

With --loss, instead, both train for 600 steps from weights of the same distribution, with eight seeds (one line of its
train.py says another), and their validation losses are compared; nanoGPT estimates its own on 400 random batches, ours
is of the whole validation text.
"""

from __future__ import annotations

import argparse
import math
import os
import pickle
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from results import Row, paired, record, told

from lawful.conduct import train_study
from lawful.corpora.python_docs import PythonDocs
from lawful.executors.local import Local, allocator, available_cores
from lawful.families.decoder import Decoder
from lawful.planning.plan import make_plan
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule
from lawful.storage.atomic import write_bytes, write_text
from lawful.storage.json_files import read_json, read_jsonl
from lawful.storage.layout import Store
from lawful.study import Question, Study, grid, import_file
from lawful.tasks.next_token import NextToken

OF_CPUS = (
    "tcmalloc beside the C library's, which keeps freed memory as workers have it, four pairs in processor time on "
    "2026-11-28: 1.07 to 1.4 times at .03M, 1.03 to 1.17 at .2M, 1.01 to 1.1 at .8M, 1.00 to 1.02 at 3M. So it can be "
    "done without; apt-get install libtcmalloc-minimal4 brings it to Debian and Ubuntu."
    " In fp32 a step on one core takes as long as nanoGPT's (one thread each, processor time, three rounds in one "
    "process on 2026-11-28, an Intel with AVX512-BF16 without AMX, whose products in bf16 have half the speed of fp32: "
    ".93 to 1.09 times its speed at .03M to .8M, 1.02 at 3M; with instructions hidden down to AVX2 .99 to 1.00 at .03M "
    "to .8M): what is gained there is gained by a worker for each core. At 3M products take .8 of our step, at the "
    "speed of square ones, so 1.6 times in fp32 is out of reach from there on."
)
STACKED = 8
SETTLING = 5  # steps that are not counted
CORPUS = PythonDocs()


@dataclass(frozen=True, kw_only=True)
class Shape:
    name: str
    width: int
    depth: int
    heads: int
    batch: int
    context: int
    goal: str
    is_small: bool = False  # measured stacked, too

    def flops_per_step(self) -> float:
        run = run_of(self, 1, seed=0)
        return run.rule.training_flops_per_token(run.family, self.context) * self.batch * self.context


SHAPES = (
    Shape(name=".03M", width=32, depth=2, heads=2, batch=12, context=64, goal=">= 2", is_small=True),
    Shape(name=".2M", width=64, depth=4, heads=4, batch=12, context=64, goal=">= 2", is_small=True),
    Shape(name=".8M", width=128, depth=4, heads=4, batch=12, context=64, goal=">= 1.3"),  # nanoGPT's own CPU recipe
    Shape(name="3M", width=256, depth=4, heads=4, batch=16, context=128, goal=">= 2.3"),
    Shape(name="10M", width=384, depth=6, heads=6, batch=16, context=256, goal=">= 2.5"),  # its shakespeare_char
)


def main() -> None:
    options = parse()
    data = CORPUS.prepare(None, lambda what, share: None)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        peer = NanoGPT(options.nanogpt, Path(scratch) / "nanogpt", data)
        if options.loss:
            for shape in SHAPES[:3]:
                if options.only in ("", shape.name):
                    rows += told([compare_loss(shape, peer, Path(scratch), seeds=options.seeds)])
            return record("losses", "Does training come to the loss that nanoGPT's loop comes to?", rows)
        for shape in SHAPES:
            if options.only in ("", shape.name):
                rows += told(compare_speed(shape, peer, Path(scratch), options))
    says = f"nanoGPT runs as shipped. The workers' allocator is {allocator() or 'that of the C library'}. " + OF_CPUS
    return record("throughput", "How fast is training beside nanoGPT's loop?", rows, says)


def compare_speed(shape: Shape, peer: NanoGPT, scratch: Path, options: argparse.Namespace) -> list[Row]:
    flops = shape.flops_per_step() / (shape.batch * shape.context)
    steps = max(12, min(1000, round(options.seconds * 1e11 / shape.flops_per_step())))  # 100 GFLOP/s is a usual core
    ours: dict[str, list[float]] = {}
    theirs = []
    for number in range(options.rounds):
        theirs.append(peer.speed(shape, steps))
        folder = scratch / f"{shape.name}-{number}"
        planned, speed = our_speed(shape, steps, folder, "auto")
        ours.setdefault(planned, []).append(speed)
        if planned != "fp32" and not number:
            ours.setdefault("fp32", []).append(our_speed(shape, steps, folder / "fp32", "fp32")[1])
        if shape.is_small:
            seeds = available_cores() * STACKED
            planned, speed = our_speed(shape, steps // 4, folder / "stacked", "auto", seeds=seeds, stacked=STACKED)
            ours.setdefault(f"{planned}, {STACKED} runs stacked in each worker", []).append(speed)
    return [
        paired(
            f"{shape.name} parameters, {precision}",
            "tokens/s",
            speeds,
            theirs[: len(speeds)],
            goal=shape.goal if number == 0 else "",
            note=f"{flops * statistics.median(speeds) / 1e9:.0f} and {flops * statistics.median(theirs) / 1e9:.0f} "
            f"GFLOP/s; {shape.depth} layers of width {shape.width}, {shape.batch} x {shape.context} tokens a step",
        )
        for number, (precision, speeds) in enumerate(ours.items())
    ]


def compare_loss(shape: Shape, peer: NanoGPT, scratch: Path, seeds: int, steps: int = 600) -> Row:
    folder = scratch / f"{shape.name}-loss"
    train(shape, steps, folder, seeds=seeds, precision="auto", start=Path(__file__).with_name("nanogpt_start.py"))
    ours = [read_json(Store(folder).result(run_id))["loss"] for run_id in ids(folder)]
    theirs = [peer.loss(shape, steps, seed) for seed in range(seeds)]
    apart = statistics.mean(ours) - statistics.mean(theirs)
    error = math.hypot(statistics.stdev(ours), statistics.stdev(theirs)) / math.sqrt(seeds)
    return Row(
        what=f"{shape.name} parameters, validation loss after {steps} steps",
        unit="nats per token",
        ours=statistics.mean(ours),
        theirs=statistics.mean(theirs),
        note=f"means of {seeds} seeds; ours less theirs {apart:+.4f} +- {error:.4f}; one seed differs "
        f"from another by (standard deviation) {statistics.stdev(ours):.4f} of ours, "
        f"{statistics.stdev(theirs):.4f} of theirs",
    )


def family_of(shape: Shape) -> Decoder:
    return Decoder(
        vocab_size=CORPUS.vocab_size,
        width=shape.width,
        depth=shape.depth,
        heads=shape.heads,
        context=shape.context,
        positions="learned",
    )


def run_of(shape: Shape, steps: int, seed: int) -> Run:
    """nanoGPT's recipe for a CPU: cosine to a tenth, warmup of 100, beta2 .99."""
    return Run(
        family=family_of(shape),
        corpus=CORPUS,
        task=NextToken(),
        rule=Backprop(),
        optimizer=AdamW(learning_rate=1e-3, beta1=0.9, beta2=0.99, weight_decay=0.1),
        schedule=Schedule(shape="cosine", warmup_steps=min(100, steps // 4), floor=0.1),
        steps=steps,
        batch_size=shape.batch,
        context=shape.context,
        init_seed=seed,
        data_seed=seed,
        eval_every=steps,
        eval_tokens=shape.context,
    )


def our_speed(
    shape: Shape,
    steps: int,
    folder: Path,
    precision: str,
    executor: Local | None = None,
    seeds: int = 0,
    stacked: int = 1,
) -> tuple[str, float]:
    """The plan's precision, and tokens a second over all runs: one for each core, or as many as `seeds` says."""
    train(shape, steps, folder, seeds or available_cores(), precision, executor=executor, stacked=stacked)
    total = 0.0
    for run_id in ids(folder):
        lines = [line for line in read_jsonl(Store(folder).metrics(run_id)) if "tokens_per_second" in line]
        first, last = next(line for line in lines if line["step"] >= SETTLING), lines[-1]
        total += (last["tokens"] - first["tokens"]) / (last["seconds"] - first["seconds"])
    return Store(folder).read_study().precision, total


def train(
    shape: Shape,
    steps: int,
    folder: Path,
    seeds: int,
    precision: str,
    start: Path | None = None,
    executor: Local | None = None,
    stacked: int = 1,
) -> None:
    """start    the file whose family begins as nanoGPT does; None: as ours do, which is better at these sizes"""

    def rung(seed: int) -> Run:
        run = replace(run_of(shape, steps, seed), precision=precision)
        return replace(run, family=import_file(start).StartedAsNanoGPT(**vars(run.family))) if start else run

    study = Study(
        name="bench",
        question="How fast?",
        ladder=grid(rung, seed=range(seeds)),
        questions=[Question(name="size", asks="?", law="power_floor:params")],
    )
    make_plan(study, device_name="cpu", study_file=start, is_timed=False, stacked=stacked).write(folder)
    train_study(folder, executor or Local(device="cpu"))


def ids(folder: Path) -> list[str]:
    return [rung.run for rung in Store(folder).read_study().runs]


class NanoGPT:
    """A copy of a clone, with our tokens as its data set."""

    def __init__(self, clone: Path, folder: Path, data: Any) -> None:
        self.folder = folder
        shutil.copytree(clone, folder, ignore=shutil.ignore_patterns(".git", "assets", "*.ipynb", "data"))
        for name, split in (("train", "train"), ("val", "validation")):
            write_bytes(folder / "data" / "lawful" / f"{name}.bin", data.arrays[split].tobytes())
        write_bytes(folder / "data" / "lawful" / "meta.pkl", pickle.dumps({"vocab_size": data.vocab_size}))

    def speed(self, shape: Shape, steps: int) -> float:
        told = self._train(shape, steps, eval_interval=10**9, eval_iters=1)
        times = [float(ms) / 1e3 for ms in re.findall(r"iter \d+: loss [\d.]+, time ([\d.]+)ms", told)][SETTLING:]
        return shape.batch * shape.context * len(times) / sum(times)

    def loss(self, shape: Shape, steps: int, seed: int) -> float:
        script = self.folder / "train.py"
        write_text(script, re.sub(r"manual_seed\(\d+ \+", f"manual_seed({seed} +", script.read_text()))
        told = self._train(shape, steps, eval_interval=steps, eval_iters=400)
        return float(re.findall(r"step \d+: train loss [\d.]+, val loss ([\d.]+)", told)[-1])

    def _train(self, shape: Shape, steps: int, **more: int) -> str:
        settings: dict[str, Any] = {
            "device": "cpu",
            "compile": False,
            "dtype": "float32",
            "dataset": "lawful",
            "gradient_accumulation_steps": 1,
            "batch_size": shape.batch,
            "block_size": shape.context,
            "n_layer": shape.depth,
            "n_head": shape.heads,
            "n_embd": shape.width,
            "max_iters": steps,
            "lr_decay_iters": steps,
            "learning_rate": 1e-3,
            "min_lr": 1e-4,
            "warmup_iters": min(100, steps // 4),
            "beta2": 0.99,
            **more,
        }
        words = [f"--{name}={value}" for name, value in settings.items()]
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "train.py", *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"nanoGPT's train.py ended with status {done.returncode}:\n{done.stderr[-2000:]}")
        return done.stdout


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nanogpt", type=Path, required=True, help="a clone of github.com/karpathy/nanoGPT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of a side of a round, at 100 GFLOP/s")
    parser.add_argument("--only", default="", choices=["", *(shape.name for shape in SHAPES)])
    parser.add_argument("--loss", action="store_true", help="compare validation losses instead (some minutes)")
    parser.add_argument("--seeds", type=int, default=8, help="of --loss")
    options = parser.parse_args()
    if not (options.nanogpt / "train.py").exists():
        raise SystemExit(
            f"--nanogpt: expected a clone with train.py, got {options.nanogpt}; see this file's first lines."
        )
    return options


if __name__ == "__main__":
    main()
