"""What lawful attains on one GPU, in one table: `make bench-gpu`, eight minutes at most, results line by line.

    python benchmarks/gpu.py [--nanogpt FOLDER] [--data FOLDER] [--only large] [--skip study] [--device cpu --quick]

It needs torch, numpy, scipy and safetensors beside this checkout, nothing installed; a clone of nanoGPT for the
comparison with it; tiny_shakespeare's input.txt in the folder of --data where nothing can be fetched. Each part is a
process of its own that is ended at its limit. A row is printed and kept as soon as it is there; what no part reached is
"not run", with the reason. --device cpu --quick rehearses the parts with tiny models; nothing is kept then.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "gpu")]

from check_gpu import own_paths, use_wheels  # noqa: E402
from results import Row, paired, record, told  # noqa: E402

if TYPE_CHECKING:
    from lawful.run import Run

SECONDS = 460.0  # in all; a part whose time is over is ended
KEPT = ROOT / "benchmarks" / "results" / "gpu.json"
ASKS = "What does lawful attain on one GPU?"


class NotRun(Exception):
    """What this machine lacks for a part."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    part: str
    what: str
    unit: str
    goal: str


LARGE = ("85M", "300M")
SMALL = {".3M": (80, 4, ">= 25"), ".03M": (32, 2, ">= 40")}  # width, depth, goal of 64 stacked runs
GOALS = (
    *(
        Goal(part=name, what=f"{name} parameters, compiled, beside {peer}", unit=unit, goal=goal)
        for name in LARGE
        for peer, unit, goal in (
            ("products of square matrices in bf16", "TFLOP/s", ">= .6"),
            ("nanoGPT compiled", "tokens/s", ">= 1.05"),
        )
    ),
    *(
        Goal(part="small", what=f"{name} parameters, 64 runs stacked, beside one by one", unit="tokens/s", goal=goal)
        for name, (_, _, goal) in SMALL.items()
    ),
    Goal(part="compile", what="compiling the second shape of a ladder", unit="seconds by the clock", goal="<= 5"),
    Goal(part="plan", what="planning activation --scale full", unit="seconds by the clock", goal="<= 5"),
    Goal(part="study", what="shakespeare --scale full, command to page", unit="seconds by the clock", goal="<= 240"),
    Goal(
        part="study",
        what="its time as estimated after the first tenth, beside what it took",
        unit="seconds by the clock",
        goal=".8 to 1.2",
    ),
    Goal(part="rungs", what="activation --scale full, by its smallest rungs", unit="seconds by the clock", goal=""),
    Goal(part="several", what="runs on several GPUs, beside one", unit="tokens/s", goal="linear"),
)


def row(part: str, options: argparse.Namespace, number: int = 0) -> Row:
    goal = [each for each in GOALS if each.part == part][number]
    return Row(what=goal.what, unit=goal.unit, ours=None, goal=goal.goal)


def main() -> int:
    options = parse()
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(ROOT / "src"), *own_paths()]))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="bench-gpu-", ignore_cleanup_errors=True) as scratch:
        use_wheels(options.wheels, options.scratch / "wheels" if options.part else Path(scratch) / "wheels")
        if options.part:
            return run_part(options)
        options.scratch = Path(scratch)
        os.environ.setdefault("LAWFUL_CACHE", str(Path(scratch) / "cache"))
        return run_parts(options)


def run_parts(options: argparse.Namespace) -> int:
    """Each wanted part in a process of its own; its rows as they come."""
    begun, rows, failed = time.monotonic(), [], 0
    reasons = dict.fromkeys(PARTS, "left out, as asked")
    for name in PARTS:
        left = options.seconds - (time.monotonic() - begun)
        if name in options.skip or (options.only and name not in options.only):
            continue
        if left < 20:
            reasons[name] = f"{options.seconds:g} s were over"
            continue
        reasons[name] = ""
        for line in lines_of(name, options, left):
            if line.startswith("{"):
                rows += told([Row(**json.loads(line))])
                keep(rows, reasons, options)
            else:
                reasons[name] = line.removeprefix("not run: ")
                failed += not line.startswith("not run: ")
                print(f"{name}: {line}", flush=True)
    keep(rows, reasons, options)
    told(not_run(rows, reasons))
    print(f"{time.monotonic() - begun:.0f} s; {failed} parts failed", flush=True)
    return 1 if failed else 0


def lines_of(name: str, options: argparse.Namespace, seconds: float) -> Iterator[str]:
    """What a part prints: rows as JSON, or one line why it has none. It is ended after so many seconds."""
    command = [sys.executable, __file__, *sys.argv[1:], "--part", name, "--scratch", str(options.scratch)]
    log = options.scratch / f"{name}.log"
    with log.open("wb") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
    over = threading.Timer(seconds, lambda: os.killpg(child.pid, signal.SIGKILL))
    over.start()
    last = ""
    with child:
        for line in child.stdout or ():
            last = line.strip()
            yield last
    code = child.returncode
    is_over = not over.is_alive()
    over.cancel()
    if code and not last.startswith("not run: "):
        told_last = log.read_text(errors="replace").strip().splitlines()[-1:]
        yield f"ended after {seconds:.0f} s" if is_over else f"failed: {' '.join(told_last)[:300]}"


def keep(rows: Sequence[Row], reasons: dict[str, str], options: argparse.Namespace) -> None:
    """A rehearsal is not kept; nor what a machine without a GPU could not run, where another has run it."""
    import torch

    has_gpu = torch.cuda.is_available()
    if options.device == "cuda" and not options.quick and (has_gpu or not KEPT.exists()):
        says = f"The GPU: {torch.cuda.get_device_name()}." if has_gpu else "No GPU was at hand."
        record("gpu", ASKS, [*rows, *not_run(rows, reasons)], says)


def not_run(rows: Sequence[Row], reasons: dict[str, str]) -> list[Row]:
    """A row for each goal that no part has reached."""
    found = {each.what for each in rows}
    return [
        Row(what=goal.what, unit=goal.unit, ours=None, goal=goal.goal, note=reasons[goal.part] or "its part gave none")
        for goal in GOALS
        if goal.what not in found
    ]


def run_part(options: argparse.Namespace) -> int:
    import torch

    torch.set_num_threads(1)
    try:
        if options.device == "cuda" and not torch.cuda.is_available():
            raise NotRun("torch sees no CUDA GPU here")
        for found in PARTS[options.part](options):
            print(json.dumps(asdict(found)), flush=True)
    except NotRun as lack:
        print(f"not run: {lack}", flush=True)
        return 1
    return 0


# parts


def large(options: argparse.Namespace, name: str) -> Iterator[Row]:
    """Steps of one run as the loop makes them, in turn with products and with nanoGPT's own steps."""
    import torch

    from lawful.train import device

    width, depth, heads, batch, context = {"85M": (768, 12, 12, 32, 1024), "300M": (1024, 24, 16, 16, 1024)}[name]
    side = 8192
    if options.quick:
        width, depth, heads, batch, context, side = 32, 2, 2, 4, 64, 256
    run, where = run_of(options, width, depth, heads, batch, context), torch.device(options.device)
    matrix = torch.randn(side, side, device=where, dtype=torch.bfloat16)
    tokens = batch * context
    step, limit, peer = step_of(run, where), lambda: torch.mm(matrix, matrix), nanogpt_step(options, run, where)
    ours, limits, theirs = [], [], []
    for _ in range(3):
        limits.append(2 * side**3 / seconds_of(limit, where) / 1e12)
        ours.append(tokens / seconds_of(step, where))
        if peer is not None:
            theirs.append(tokens / seconds_of(peer, where))
    flops = run.rule.training_flops_per_token(run.family, context) / 1e12
    first = row(name, options)
    peak = f"{device.peak_memory_bytes(where) / 2**30:.1f} GiB at most"
    rates = [flops * speed for speed in ours]
    yield paired(
        first.what, first.unit, rates, limits, goal=first.goal, note=f"{statistics.median(ours):.0f} tokens/s; {peak}"
    )
    if peer is None:
        raise NotRun("no clone of nanoGPT; --nanogpt FOLDER")
    second = row(name, options, 1)
    yield paired(second.what, second.unit, ours, theirs, goal=second.goal)


def small(options: argparse.Namespace) -> Iterator[Row]:
    import torch

    from lawful.train import batched

    size, where = 4 if options.quick else 64, torch.device(options.device)
    for number, (width, depth, _) in enumerate(SMALL.values()):
        run = run_of(options, width, depth, heads=2, batch=16, context=128)
        pairs = [(batched.probe(run, where, 1), batched.probe(run, where, size)) for _ in range(3)]
        goal, tokens = row("small", options, number), 16 * 128
        together = [size * tokens / seconds for _, seconds in pairs]
        note = f"{size} runs; {tokens} tokens a step of each"
        yield paired(goal.what, goal.unit, together, [tokens / one for one, _ in pairs], goal=goal.goal, note=note)


def compiling(options: argparse.Namespace) -> Iterator[Row]:
    import torch

    from lawful.train import device

    where = torch.device(options.device)
    if where.type != "cuda" or not device.can_compile(where):
        raise NotRun("runs are compiled on a CUDA GPU alone, with Triton, a C compiler and Python's headers")
    spent = []
    for width in (64, 96):
        start = time.perf_counter()
        step_of(run_of(options, width, 4, heads=4, batch=16, context=128), where, settling=1)
        device.synchronize(where)
        spent.append(time.perf_counter() - start)
    yield replace(row("compile", options), ours=spent[1], note=f"the first shape took {spent[0]:.1f} s")


def planning(options: argparse.Namespace) -> Iterator[Row]:
    import importlib

    from lawful.planning.plan import make_plan

    name, scale = ("quickstart", "smoke") if options.quick else ("activation", "full")
    study = importlib.import_module(f"lawful.studies.{name}").study(scale)
    start = time.perf_counter()
    planned = make_plan(study, device_name=options.device, cores=os.cpu_count() or 1).study
    spent = time.perf_counter() - start
    yield replace(row("plan", options), ours=spent, note=f"{len(planned.runs)} runs; the corpus prepared in it")


def whole_study(options: argparse.Namespace) -> Iterator[Row]:
    """The command, and what a look at the folder says once a tenth is done."""
    from lawful.errors import LawfulError
    from lawful.report.progress import study_status

    name, scale = ("quickstart", "smoke") if options.quick else ("shakespeare", "full")
    folder = options.scratch / "study"
    data = [] if options.data is None or options.quick else ["--data", str(options.data)]
    command = [sys.executable, "-m", "lawful", "run", name, "--scale", scale, "--out", str(folder)]
    start, began, estimated = time.monotonic(), None, None
    child = subprocess.Popen([*command, "--device", options.device, *data], stdout=sys.stderr)
    while child.poll() is None:
        time.sleep(0.25)
        if estimated is None and (folder / "study.json").exists():
            began = began or time.monotonic()
            try:
                status = study_status(folder)
            except LawfulError:  # it is being written
                continue
            if status.share_done >= 0.1 and status.seconds_left is not None:
                estimated = time.monotonic() - began + status.seconds_left
    took = time.monotonic() - start
    if child.returncode:
        raise SystemExit(f"lawful run {name} ended with status {child.returncode}")
    yield replace(row("study", options), ours=took, note=f"{name} --scale {scale}")
    if estimated is not None and began is not None:
        trained = start + took - began
        yield replace(row("study", options, 1), ours=estimated, theirs=trained, ratio=estimated / trained)


def rungs(options: argparse.Namespace) -> Iterator[Row]:
    raise NotRun("no part measures it yet: lawful run activation --scale full --only ...")


def several(options: argparse.Namespace) -> Iterator[Row]:
    """The same number of runs for each GPU, on one of them and on all."""
    import torch

    from lawful.train import batched

    if options.device != "cuda" or torch.cuda.device_count() < 2:
        raise NotRun("it needs two GPUs or more; which GPU each process is given is tested without one")
    run = run_of(options, 80, 4, heads=2, batch=16, context=128)
    count = torch.cuda.device_count()
    wheres = [torch.device(f"cuda:{number}") for number in range(count)]
    alone = [16 * 128 / batched.probe(run, where, 1) for where in wheres]
    with torch.multiprocessing.get_context("spawn").Pool(count) as pool:
        together = sum(
            16 * 128 / seconds for seconds in pool.starmap(batched.probe, [(run, where, 1) for where in wheres])
        )
    goal = row("several", options)
    yield replace(goal, ours=together, theirs=alone[0], ratio=together / alone[0], note=f"{count} GPUs")


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "85M": lambda options: large(options, "85M"),
    "small": small,
    "plan": planning,
    "compile": compiling,
    "study": whole_study,
    "300M": lambda options: large(options, "300M"),
    "several": several,
    "rungs": rungs,
}


# what they measure


def run_of(options: argparse.Namespace, width: int, depth: int, heads: int, batch: int, context: int) -> Run:
    from lawful.corpora.python_docs import PythonDocs
    from lawful.families.decoder import Decoder
    from lawful.rules.backprop import Backprop
    from lawful.run import AdamW, Run, Schedule
    from lawful.tasks.next_token import NextToken

    corpus = PythonDocs()
    family = Decoder(vocab_size=corpus.vocab_size, width=width, depth=depth, heads=heads, context=context)
    return Run(
        family=family,
        corpus=corpus,
        task=NextToken(),
        rule=Backprop(),
        optimizer=AdamW(learning_rate=1e-4),
        schedule=Schedule(warmup_steps=10),
        steps=10_000,  # as long as runs that are compiled
        batch_size=batch,
        context=context,
        precision="bf16" if options.device == "cuda" else "fp32",
        eval_every=10_000,
        eval_tokens=context,
        init_seed=0,
        data_seed=0,
    )


def step_of(run: Run, where: object, settling: int = 3) -> Callable[[], object]:
    """One update as the loop makes it, compiled where the loop compiles; so many have been made."""
    import numpy as np
    import torch

    from lawful.train.state import ExecutionConfig, fresh_state
    from lawful.train.step import each_array, make_update

    assert isinstance(where, torch.device)
    state = fresh_state(run, ExecutionConfig(device=where))
    state.batch = each_array(run.task.probe(run, run.batch_size), np.asarray)
    state.compile()
    for _ in range(settling):
        make_update(state)
    return lambda: make_update(state)


def nanogpt_step(options: argparse.Namespace, run: Run, where: object) -> Callable[[], object] | None:
    """A step of nanoGPT's loop on the same shape: its model and optimizer, compiled on a GPU as it is shipped."""
    if options.nanogpt is None:
        return None
    import contextlib

    import torch

    assert isinstance(where, torch.device)
    sys.path.append(str(options.nanogpt))
    from model import GPT, GPTConfig  # type: ignore[import-not-found]

    family = run.family
    with contextlib.redirect_stdout(sys.stderr):  # it tells its counts
        config = GPTConfig(
            block_size=run.context,
            vocab_size=family.vocab_size,
            n_layer=family.depth,
            n_head=family.heads,
            n_embd=family.width,
            dropout=0.0,
            bias=False,
        )
        model = GPT(config).to(where)
        optimizer = model.configure_optimizers(0.1, 1e-4, (0.9, 0.95), where.type)
    forward = torch.compile(model) if where.type == "cuda" else model
    inputs = torch.randint(family.vocab_size, (run.batch_size, run.context), device=where)
    precise = torch.autocast("cuda", torch.bfloat16) if where.type == "cuda" else contextlib.nullcontext()

    def step() -> None:
        with precise:
            _, loss = forward(inputs, inputs)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(3):
        step()
    return step


def seconds_of(act: Callable[[], object], where: object, at_least: float = 2.0) -> float:
    """Of one call, by the clock."""
    from lawful.train import device

    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < at_least or not count:
        for _ in range(5):
            act()
        device.synchronize(where)  # type: ignore[arg-type]
        count += 5
    return (time.perf_counter() - start) / count


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal, nothing is kept")
    parser.add_argument("--quick", action="store_true", help="tiny models, nothing is kept")
    parser.add_argument("--only", action="append", choices=PARTS, default=[], help="this part; may be repeated")
    parser.add_argument("--skip", action="append", choices=PARTS, default=[], help="not this part; may be repeated")
    parser.add_argument("--nanogpt", type=Path, help="a clone of github.com/karpathy/nanoGPT")
    parser.add_argument("--data", type=Path, help="folder of tiny_shakespeare's input.txt; else it is fetched")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="after these nothing runs any more")
    parser.add_argument("--wheels", type=Path, help="folder of wheels of packages that may not be installed here")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
