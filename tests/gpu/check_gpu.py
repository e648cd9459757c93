"""Does lawful compute on this machine's GPU? `make check-gpu`: one line for each part, five minutes at most.

It needs torch, numpy, scipy and safetensors beside this checkout, nothing installed. --device cpu rehearses it on a
machine without a GPU: what needs one is then listed as not run.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import functools
import importlib.util
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 240.0  # after these no further part is begun
PATIENCE = 55.0  # seconds more, and it ends with all that it started, wherever it hangs
CONTEXT, BATCH = 64, 16


class NotRun(Exception):
    """What this machine lacks for a part."""


class Check:
    """The parts, each a method that returns its figure; wrong is what raises."""

    def __init__(self, device: str, folder: Path) -> None:
        self.device = device
        self.folder = folder

    # each with workers

    def smoke(self) -> str:
        """The study quickstart at scale smoke, planned with its timings and trained by workers, held-out runs too."""
        return self._smoke(self.device, is_whole=True)

    def auto(self) -> str:
        """The same with --device auto; without the timings of the plan and the held-out runs."""
        return self._smoke("auto", is_whole=False)

    def _smoke(self, named: str, *, is_whole: bool) -> str:
        from lawful import devices
        from lawful.conduct import train_study
        from lawful.executors.local import Local, available_cores
        from lawful.planning.plan import make_plan
        from lawful.storage.layout import Store
        from lawful.studies import quickstart

        folder = self.folder / f"smoke-{named}"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            declared, cores = quickstart.study("smoke"), available_cores()
            plan = make_plan(declared, device_name=named, cores=cores, is_timed=is_whole)
        plan.write(folder)
        train_study(folder, Local(device=named), is_anchors_only=not is_whole)
        study, found = Store(folder).read_study(), results(folder)
        kind = devices.pick(named)
        equal(study.device, kind, "planned device")
        for label, result in found.items():
            equal(result["status"], "finished", f"{label}: {result.get('reason')}")
            holds(f"device={kind}:" in result["numerics"], f"{label} ran on {result['numerics']}")
            holds(f"precision={study.precision} " in result["numerics"], f"{label} ran in {result['numerics']}")
            holds(result["loss"] < math.log(quickstart.PythonDocs().vocab_size) - 0.3, f"{label}: {result['loss']}")
        equal(len(found), 12 if is_whole else 9, "runs")
        equal([str(warning.message) for warning in caught], [], "warnings while planning")
        one = next(iter(found.values()))["numerics"].split()[1]
        return f"{len(found)} runs on {one} in {study.precision}, {study.workers} workers; weights written"

    def killed(self) -> str:
        """kill -9 of the command and its workers in the middle of a run; going on ends with equal weights."""
        from lawful.conduct import train_study
        from lawful.executors.local import Local
        from lawful.storage.layout import Store

        expected = self.undisturbed()
        folder, _ = self.planned("killed", **LADDER)
        store = Store(folder)
        ids = [rung.run for rung in store.read_study().runs]
        command = [sys.executable, __file__, "--device", self.device, "--train", str(folder)]
        child = subprocess.Popen(command, start_new_session=True)  # a group of its own, its workers in it

        def is_half_way() -> bool:
            done = {run_id for run_id in ids if store.result(run_id).exists()}
            begun = {run_id for run_id in ids if any(store.checkpoints(run_id).glob("*/MANIFEST.json"))}
            return bool(done and begun - done)

        try:
            while not is_half_way():
                holds(child.poll() is None, "the study ended before it could be killed")
                time.sleep(0.01)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        done = sum(store.result(run_id).exists() for run_id in ids)
        train_study(folder, Local(workers=1, device=self.device), is_anchors_only=True)
        equal(weights(folder), expected, "weights")
        return f"{len(expected)} of {len(expected)} weights equal; killed when {done} were done"

    def processes(self) -> str:
        """Three workers on one GPU come to the weights that one comes to."""
        from lawful.conduct import train_study
        from lawful.executors.local import Local

        expected = self.undisturbed()
        folder, _ = self.planned("processes", **LADDER)
        start = time.monotonic()
        train_study(folder, Local(workers=3, device=self.device), is_anchors_only=True)
        seconds = time.monotonic() - start
        equal(weights(folder), expected, "weights")
        return f"{len(expected)} weights equal; {seconds:.1f} s, one worker alone {self.undisturbed_seconds:.1f} s"

    def refused(self) -> str:
        """A worker that does not see the planned GPU trains nothing and says why."""
        from lawful.storage.json_files import read_json
        from lawful.storage.layout import Store

        self.needs_gpu()
        folder, (run, *_) = self.planned("refused", widths=(16,), steps=(20,))
        hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-m", "lawful.train.worker", str(folder), run.id]
        done = subprocess.run(command, env=hidden, capture_output=True, text=True, timeout=120)
        equal(done.returncode, 1, f"status of the worker ({done.stderr[-500:]})")
        reason = read_json(Store(folder).result(run.id))["reason"]
        holds("was planned on cuda" in reason, reason)
        return reason[:60] + "..."

    # in this process

    def stacked(self) -> str:
        """Three runs as one batched model come to what each comes to alone: in fp32, and in bf16 for each kind."""
        from lawful.storage.layout import Store
        from lawful.train.batched import train_batched
        from lawful.train.loop import start

        worst = {}
        kinds: tuple[dict[str, Any], ...] = (
            {"precision": "fp32"},
            {"precision": "bf16"},
            {"precision": "bf16", "mlp": "swiglu"},
            {"precision": "bf16", "positions": "learned", "is_tied": False},
        )
        for number, kind in enumerate(kinds):
            folder, runs = self.planned(f"stacked-{number}", widths=(32,), steps=(40,), seeds=3, **kind)
            store, data = Store(folder), runs[0].corpus.open(runs[0].data_fingerprint)
            starts = [functools.partial(start, run, data, store, self.place(batched_runs=len(runs))) for run in runs]
            found: dict[int, Any] = {}
            train_batched(starts, lambda number, outcome, found=found: found.update({number: outcome().columns()}))
            precision = kind["precision"]
            for run, row in zip(runs, (found[number] for number in range(len(runs))), strict=True):
                lone = self.alone(run, store)
                holds(f"stacked={len(runs)}" in row["numerics"], row["numerics"])
                off = abs(row["loss"] / lone["loss"] - 1)
                holds(off < (2e-4 if precision == "fp32" else 1e-2), f"{kind}: {row['loss']} stacked, {lone['loss']}")
                worst[precision] = max(worst.get(precision, 0.0), off)
        return ", ".join(f"{precision} losses within {off:.1e}" for precision, off in worst.items())

    def compiled(self) -> str:
        """torch.compile without CUDA graphs comes to what the plain model comes to."""
        return self._compiled("compiled", 0)

    def graphs(self) -> str:
        """The same as CUDA graphs, as models below 10M parameters are trained."""
        return self._compiled("graphs", 10_000_000)

    def _compiled(self, name: str, graphed_params: int) -> str:
        from lawful.storage.layout import Store
        from lawful.train import device, state

        self.needs_gpu()
        if not device.can_compile(self.place().device):
            raise NotRun("no Triton, C compiler or Python headers here: lawful then trains uncompiled")
        folder, (run, *_) = self.planned(name, widths=(96,), steps=(200,), precision="bf16")
        store = Store(folder)
        plain = self.alone(run, store)
        speeds = [speed(store, run)]
        former = state.COMPILE_MIN_STEPS, state.GRAPH_MAX_PARAMS
        state.COMPILE_MIN_STEPS, state.GRAPH_MAX_PARAMS = 1, graphed_params
        try:
            found = self.alone(run, store)
        finally:
            state.COMPILE_MIN_STEPS, state.GRAPH_MAX_PARAMS = former
        speeds.append(speed(store, run))
        holds("compiled=no" in plain["numerics"] and "compiled=yes" in found["numerics"], found["numerics"])
        close(found["loss"], plain["loss"], 2e-2)
        return f"loss {found['loss']:.4f}, plain {plain['loss']:.4f}; tokens/s {speeds[1]:.3g}, plain {speeds[0]:.3g}"

    def fp16(self) -> str:
        """fp16 with scaled losses comes to what fp32 comes to within rounding."""
        from lawful.storage.layout import Store

        self.needs_gpu()
        losses = {}
        for precision in ("fp32", "fp16"):
            folder, (run, *_) = self.planned(f"fp16-{precision}", widths=(48,), steps=(100,), precision=precision)
            found = self.alone(run, Store(folder))
            equal(found["status"], "finished", found.get("reason", ""))
            losses[precision] = found["loss"]
        close(losses["fp16"], losses["fp32"], 2e-2)
        return f"loss {losses['fp16']:.4f}, fp32 {losses['fp32']:.4f}"

    def fp32(self) -> str:
        """In fp32 the GPU comes to the CPU's loss."""
        import torch

        from lawful.storage.layout import Store

        self.needs_gpu()
        folder, (run, *_) = self.planned("fp32", widths=(32,), steps=(60,), precision="fp32")
        here = self.alone(run, Store(folder))
        folder, _ = self.planned("fp32-cpu", widths=(32,), steps=(60,), precision="fp32")
        there = self.alone(run, Store(folder), device=torch.device("cpu"))
        close(here["loss"], there["loss"], 1e-3)
        return f"loss {here['loss']:.6f}, the CPU's {there['loss']:.6f}"

    def elsewhere(self) -> str:
        """A run that was begun on the GPU goes on on the CPU where that is named, and counts a break."""
        from lawful.storage.json_files import read_json
        from lawful.storage.layout import Store
        from lawful.train import worker

        self.needs_gpu()
        folder, (run, *_) = self.planned("elsewhere", widths=(32,), steps=(60,), precision="fp32")
        store = Store(folder)

        def train(named: str, steps: int) -> str:
            options = worker.parse([str(folder), run.id, "--device", named])
            stop = StopAfter(steps)
            (status,) = worker.train_runs(store, [run.id], options, stop)  # type: ignore[arg-type]
            return status

        equal(train(self.device, 30), "interrupted", "on the GPU")
        equal(train("cpu", 1000), "finished", "on the CPU")
        found = read_json(store.result(run.id))
        equal(found["numerics_breaks"], 1, "counted breaks")
        holds("device=cpu:" in found["numerics"], found["numerics"])
        whole_folder, _ = self.planned("elsewhere-whole", widths=(32,), steps=(60,), precision="fp32")
        whole = self.alone(run, Store(whole_folder))
        close(found["loss"], whole["loss"], 1e-3)
        return f"1 break counted; loss {found['loss']:.6f}, all of it on the GPU {whole['loss']:.6f}"

    # what they share

    def needs_gpu(self) -> None:
        if self.device == "cpu":
            raise NotRun("no GPU")

    def planned(self, name: str, **settings: Any) -> tuple[Path, list[Any]]:
        """A new folder with a small ladder, and its runs."""
        from lawful.planning.plan import make_plan

        plan = make_plan(ladder(**settings), device_name=self.device, is_timed=False)
        plan.write(self.folder / name)
        return self.folder / name, list(plan.runs.values())

    def place(self, **options: Any) -> Any:
        from lawful.train.device import pick_device
        from lawful.train.loop import ExecutionConfig

        return ExecutionConfig(**{"device": pick_device(self.device), "checkpoint_seconds": math.inf, **options})

    def alone(self, run: Any, store: Any, **options: Any) -> dict[str, Any]:
        """What the run comes to in this process, from its start."""
        from lawful.train.loop import train

        return train(run, run.corpus.open(run.data_fingerprint), store, self.place(**options)).columns()

    @functools.cache  # noqa: B019 (one Check a process)
    def undisturbed(self) -> dict[str, str]:
        """The weights of the ladder that one worker trains."""
        from lawful.conduct import train_study
        from lawful.executors.local import Local

        folder, _ = self.planned("undisturbed", **LADDER)
        start = time.monotonic()
        train_study(folder, Local(workers=1, device=self.device), is_anchors_only=True)
        self.undisturbed_seconds = time.monotonic() - start
        return weights(folder)


LADDER: dict[str, Any] = {"widths": (16, 24, 32, 48), "steps": (100, 300)}  # the widest is held out, and left out


def ladder(
    widths: tuple[int, ...], steps: tuple[int, ...], seeds: int = 1, precision: str = "auto", **family: Any
) -> Any:
    from lawful.corpora.python_docs import PythonDocs
    from lawful.families.decoder import Decoder
    from lawful.rules.backprop import Backprop
    from lawful.run import AdamW, Run, Schedule
    from lawful.study import Question, Study, grid
    from lawful.tasks.next_token import NextToken

    corpus = PythonDocs()

    def rung(width: int, steps: int, seed: int) -> Run:
        return Run(
            family=Decoder(
                vocab_size=corpus.vocab_size, width=width, depth=2, heads=width // 8, context=CONTEXT, **family
            ),
            corpus=corpus,
            task=NextToken(),
            rule=Backprop(),
            optimizer=AdamW(learning_rate=0.384 / width),
            schedule=Schedule(shape="wsd", warmup_steps=20),
            steps=steps,
            batch_size=BATCH,
            context=CONTEXT,
            init_seed=seed,
            data_seed=seed,
            eval_every=100,
            eval_tokens=8192,
            precision=precision,  # type: ignore[arg-type]
        )

    return Study(
        name="check",
        question="Does lawful compute on this GPU?",
        ladder=grid(rung, width=widths, steps=steps, seed=range(seeds)),
        held_out={"width": max(widths)} if len(widths) > 1 else {},
        questions=[Question(name="loss", asks="What is the loss of a size?", law="power")],  # a study needs one
    )


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """What each run came to, by its label; with the hash of the weights that lie there."""
    import hashlib

    from lawful.storage.json_files import read_json
    from lawful.storage.layout import Store

    store = Store(folder)
    found = {}
    for rung in store.read_study().runs:
        if store.result(rung.run).exists():
            found[rung.rung] = read_json(store.result(rung.run))
            if found[rung.rung]["status"] == "finished":
                written = hashlib.sha256(store.weights(rung.run).read_bytes()).hexdigest()
                equal(written, found[rung.rung]["weights_sha256"], f"weights of {rung.rung}")
    return found


def weights(folder: Path) -> dict[str, str]:
    found = results(folder)
    for label, result in found.items():
        equal(result["status"], "finished", f"{label}: {result.get('reason')}")
    return {label: result["weights_sha256"] for label, result in found.items()}


def speed(store: Any, run: Any) -> float:
    """Tokens a second at the end of the run."""
    from lawful.storage.json_files import read_jsonl

    return float([line["tokens_per_second"] for line in read_jsonl(store.metrics(run.id)) if "grad_norm" in line][-1])


class StopAfter:
    """An event that is set once it has been asked so often: a run asks once a step."""

    def __init__(self, asked: int) -> None:
        self.left = asked

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


def holds(is_so: bool, what: str) -> None:
    if not is_so:
        raise AssertionError(what)


def equal(found: Any, expected: Any, what: str) -> None:
    holds(found == expected, f"{what}: expected {expected}, got {found}")


def close(found: float, expected: float, share: float) -> None:
    holds(abs(found / expected - 1) < share, f"loss: expected {expected} within {share:g}, got {found}")


PARTS: dict[str, Callable[[Check], str]] = {
    part.__name__: part
    for part in (
        Check.smoke,
        Check.auto,
        Check.killed,
        Check.processes,
        Check.stacked,
        Check.fp16,
        Check.fp32,
        Check.elsewhere,
        Check.refused,
        Check.compiled,
        Check.graphs,
    )
}


def main() -> int:
    options = parse()
    sys.path.insert(0, str(ROOT / "src"))
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(ROOT / "src"), *own_paths()]))  # of the workers
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if options.train:
        return train(options)
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl+C: what is begun is put away on the way out
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    others = frozenset(children().get(os.getpid(), ()))  # of a program that calls this: not ours to end
    try:
        return check(options, others)
    finally:
        end_children(others)


def check(options: argparse.Namespace, others: frozenset[int]) -> int:
    limit = SECONDS if options.device == "cuda" else math.inf  # a rehearsal takes what it takes
    wanted = [name for name in PARTS if name not in options.skip and (not options.only or name in options.only)]
    begun, failed = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="check-gpu-", ignore_cleanup_errors=True) as folder:
        use_wheels(options.wheels, Path(folder) / "wheels")
        os.environ.setdefault("LAWFUL_CACHE", str(Path(folder) / "cache"))
        try:
            say("machine", "ok", None, machine(options.device), begun)
        except (ImportError, ValueError) as error:  # a package or a GPU is missing: no part could run
            hint = "; --wheels can bring it" if isinstance(error, ImportError) else ""
            say("machine", "FAILED", None, f"{type(error).__name__}: {error}{hint}", begun)
            return 1
        begun_part = ""

        def give_up() -> None:
            say(begun_part, "FAILED", time.monotonic() - start, f"it hangs: {limit + PATIENCE:g} s are over")
            faulthandler.dump_traceback(file=sys.stdout, all_threads=True)
            show_workers_log(Path(folder))
            sys.stdout.flush()
            end_children(others)
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(1)

        if math.isfinite(limit):
            watch = threading.Timer(limit + PATIENCE, give_up)
            watch.daemon = True
            watch.start()
            faulthandler.dump_traceback_later(limit + PATIENCE + 5, exit=True)  # where Python itself stands still
        run = Check(options.device, Path(folder))
        for name, part in PARTS.items():
            start, begun_part = time.monotonic(), name
            if name not in wanted or start - begun > limit:
                say(name, "skipped", 0.0, "as asked" if name not in wanted else f"not run: {limit:g} s are over")
                continue
            try:
                say(name, "ok", None, part(run), start)
            except NotRun as lack:
                say(name, "skipped", None, f"not run: {lack}", start)
            except Exception as error:
                failed += 1
                first = next(iter(str(error).splitlines()), "")
                say(name, "FAILED", None, f"{type(error).__name__}: {first[:300]}", start)
                print(traceback.format_exc(), flush=True)
                show_workers_log(Path(folder))
        if math.isfinite(limit):
            watch.cancel()
    faulthandler.cancel_dump_traceback_later()
    say("all", "FAILED" if failed else "ok", time.monotonic() - begun, f"{failed} failed")
    return 1 if failed else 0


def say(part: str, state: str, seconds: float | None, figure: str, start: float = 0.0) -> None:
    taken = time.monotonic() - start if seconds is None else seconds
    print(f"{part:10} {state:8} {taken:6.1f} s  {figure}", flush=True)


def children() -> dict[int, list[int]]:
    """Of each process, where the system lists processes in /proc."""
    found: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            parent = int(path.read_text(errors="replace").rpartition(")")[2].split()[1])
            found.setdefault(parent, []).append(int(path.parent.name))
    return found


def end_children(others: frozenset[int]) -> None:
    """Kill what this process has started and what that has started, but for `others`."""
    of = children()
    left = [child for child in of.get(os.getpid(), []) if child not in others]
    while left:
        child = left.pop()
        left += of.get(child, [])
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)


def show_workers_log(folder: Path) -> None:
    """The end of what workers said last."""
    logs = sorted(folder.glob("*/workers.log"), key=lambda path: path.stat().st_mtime)
    for log in logs[-1:]:
        print(f"{log.parent.name}/workers.log: ...\n{log.read_text(errors='replace')[-2000:]}", flush=True)


def machine(device: str) -> str:
    """What the parts run on; raises where something that all of them need is missing."""
    import numpy
    import safetensors
    import scipy
    import torch

    import lawful
    from lawful import devices

    gpu = torch.cuda.get_device_name() if devices.pick(device) == "cuda" else "no GPU"
    versions = [f"{module.__name__} {module.__version__}" for module in (lawful, torch, numpy, scipy, safetensors)]
    return f"{gpu}; {', '.join(versions)}, Python {sys.version.split()[0]}"


def train(options: argparse.Namespace) -> int:
    """What --train does, in a process that is to be killed."""
    from lawful.conduct import train_study
    from lawful.executors.local import Local

    executor = Local(workers=2, device=options.device, checkpoint_seconds=0.05)
    train_study(options.train, executor, is_anchors_only=True)
    return 0


def own_paths() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def use_wheels(folder: Path | None, place: Path) -> None:
    """Unpack the wheels whose modules are not installed, for this process and its workers."""
    if folder is None or not folder.is_dir():
        return
    for path in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(path) as wheel:
            tops = {name.split("/")[0].removesuffix(".py") for name in wheel.namelist() if ".dist-info/" not in name}
            if any(importlib.util.find_spec(top) is None for top in tops if top.isidentifier()):
                wheel.extractall(place)
    sys.path.append(str(place))
    os.environ["PYTHONPATH"] = os.pathsep.join([*own_paths(), str(place)])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="check_gpu.py", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal without a GPU")
    parser.add_argument("--only", action="append", choices=PARTS, default=[], help="this part; may be repeated")
    parser.add_argument("--skip", action="append", choices=PARTS, default=[], help="not this part; may be repeated")
    parser.add_argument("--wheels", type=Path, help="folder of wheels of packages that may not be installed here")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
