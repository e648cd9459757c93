"""This machine: one single-threaded worker process per core, fed ids over a pipe."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lawful import store as files
from lawful.executors import Executor, Job
from lawful.store import Store

ATTEMPTS = 2  # how often a run may take its worker down before it counts as failed


@dataclass(frozen=True, kw_only=True)
class Local(Executor):
    """workers       processes; 0 means one per available core on the CPU, one on a GPU
    threads          CPU threads in each (two on a busy two-core machine measured 3.5 times slower than one)
    """

    workers: int = 0
    device: str = "auto"
    threads: int = 1
    micro_batch: int | None = None
    checkpoint_seconds: float = 30.0
    log: Sequence[str] = ()

    def submit(self, folder: Path, groups: Sequence[Sequence[str]]) -> LocalJob:
        return LocalJob(self, folder, groups)


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalJob(Job):
    def __init__(self, executor: Local, folder: Path, groups: Sequence[Sequence[str]]) -> None:
        self._executor = executor
        self._store = Store(folder)
        self._groups: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        for group in groups:
            self._groups.put(list(group))
        self._is_stopping = threading.Event()
        self._processes: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        count = min(executor.workers or available_cores(), len(groups))
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def is_over(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        with self._lock:
            self._is_stopping.set()
            for process in self._processes:
                if process.stdin and not process.stdin.closed:
                    process.stdin.close()  # the input's end tells a worker to checkpoint and leave
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        """One worker process, and its successors when it dies, until no group is left."""
        worker: subprocess.Popen[str] | None = None
        while not self._is_stopping.is_set():
            try:
                group = self._groups.get_nowait()
            except queue.Empty:
                break
            for run_id in group:
                for attempt in range(1, ATTEMPTS + 1):
                    if self._is_stopping.is_set():
                        break
                    worker = worker or self._start()
                    if worker is not None and self._ask(worker, run_id):
                        break
                    if worker is None:
                        break
                    status = worker.wait()
                    self._forget(worker)
                    worker = None
                    if attempt == ATTEMPTS and not self._is_stopping.is_set():
                        self._give_up(run_id, status)
        if worker is not None:
            self._dismiss(worker)

    def _start(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._is_stopping.is_set():
                return None
            options = self._executor
            command = [sys.executable, "-m", "lawful.train.worker", str(self._store.folder), "-"]
            command += ["--device", options.device, "--threads", str(options.threads)]
            command += ["--checkpoint-seconds", str(options.checkpoint_seconds)]
            if options.micro_batch:
                command += ["--micro-batch", str(options.micro_batch)]
            for sink in options.log:
                command += ["--log", sink]
            environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
            self._store.folder.mkdir(parents=True, exist_ok=True)
            with (self._store.folder / "workers.log").open("ab") as log:
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
                )
            self._processes.add(process)
            return process

    def _ask(self, worker: subprocess.Popen[str], run_id: str) -> bool:
        """Have the run done; False when the worker died over it."""
        assert worker.stdin is not None and worker.stdout is not None
        try:
            worker.stdin.write(run_id + "\n")
            worker.stdin.flush()
        except (OSError, ValueError):
            return False
        return bool(worker.stdout.readline())

    def _dismiss(self, worker: subprocess.Popen[str]) -> None:
        assert worker.stdin is not None
        try:
            with self._lock:
                if not worker.stdin.closed:
                    worker.stdin.write("end\n")
                    worker.stdin.close()
        except OSError:
            pass
        worker.wait()
        self._forget(worker)

    def _forget(self, worker: subprocess.Popen[str]) -> None:
        with self._lock:
            self._processes.discard(worker)
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass

    def _give_up(self, run_id: str, status: int) -> None:
        if not self._store.result(run_id).exists():
            how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
            reason = f"its worker ended {ATTEMPTS} times without a result ({how}); see workers.log"
            files.write_json(self._store.result(run_id), {"status": "failed", "reason": reason})
