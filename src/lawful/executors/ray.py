"""A Ray cluster: one task per trunk, packed by the resources that a run declares; worker processes stay warm."""

from __future__ import annotations

import errno
import importlib
import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from lawful.checks import NaturalInt, NonNegativeFloat
from lawful.errors import DeclarationError, LawfulError, MissingDependency
from lawful.executors import Executor, Job, Needs, OwnOptions, SharedOptions, Worker, expect_one_node, give_up
from lawful.storage.layout import Store
from lawful.storage.lease import is_claimed

PATIENCE_SECONDS = 60.0  # for the checkpoints of runs that are told to stop
LOSSES = 5  # how often the loss of a node or of Ray's own process is made up for, a group; a cluster loses nodes often
TOKEN_NAMES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")  # where Ray looks for its token, beside ~/.ray/auth_token


@dataclass(frozen=True, kw_only=True)
class Ray(Executor):
    """address        as ray.init takes it. auto: the cluster that RAY_ADDRESS names, or that runs on this machine;
                   local: one of our own, for as long as this process lives
    gpus_per_run   what Ray reserves for a run, beside its threads; a share lets several runs have one GPU
    cores          of a cluster of our own; 0: all
    """

    address: str = "auto"
    gpus_per_run: NonNegativeFloat = 0.0
    cores: NaturalInt = 0

    @classmethod
    def of_options(cls, shared: SharedOptions, options: OwnOptions) -> Executor:
        cores, gpus = options["workers"], options["gpus_per_run"]
        return cls(**shared, address=options["address"], gpus_per_run=gpus, cores=cores)

    def submit(self, folder: Path, groups: Sequence[Sequence[str]]) -> RayJob:
        return RayJob(self, folder.resolve(), groups)


class RayJob(Job):
    def __init__(self, executor: Ray, folder: Path, groups: Sequence[Sequence[str]]) -> None:
        self._ray = _connected(executor)
        self._store = Store(folder)
        task = self._ray.remote(_train)
        shared = {"name": "lawful", "max_retries": LOSSES, "scheduling_strategy": "SPREAD"}
        command, environment = executor.command(folder, groups), executor.environment()
        needs = executor.needs(folder, groups, gpus_per_run=executor.gpus_per_run)
        self._groups = {
            task.options(**shared, **_reserved(one)).remote(str(folder), command, environment, list(group)): group
            for one, group in zip(needs, groups, strict=True)
        }
        self._left = list(self._groups)
        self._is_disk_full = False

    def is_over(self) -> bool:
        while self._left:
            done, self._left = self._ray.wait(self._left, num_returns=len(self._left), timeout=0)
            for task in done:
                self._see(task)
            if not done:
                return False
        if self._is_disk_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._store.folder))
        return True

    def stop(self) -> None:
        """Ray says that a task is cancelled before its worker has checkpointed, and kills that worker when this process
        leaves: so we wait until no claim is held."""
        claims = [self._store.claim(run_id) for task in self._left for run_id in self._groups[task]]
        for task in self._left:
            self._ray.cancel(task, force=False)
        self._ray.wait(self._left, num_returns=len(self._left))
        self._left = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and any(is_claimed(claim) for claim in claims):
            time.sleep(0.1)

    def _see(self, task: Any) -> None:
        """A group that Ray gave up on is over; its runs stand as their folders say."""
        try:
            self._is_disk_full |= self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            for run_id in self._groups[task]:
                give_up(self._store, run_id, f"Ray gave its task up after {LOSSES} retries: {error}")


class Reserved(TypedDict, total=False):
    """Options of a task of Ray's: what it needs of a node; memory in bytes."""

    num_cpus: int
    num_gpus: float | None
    memory: int
    resources: dict[str, float]


def _reserved(needs: Needs) -> Reserved:
    """As options of a task of Ray's."""
    expect_one_node(needs.nodes)
    own: Reserved = {"num_cpus": needs.cores, "num_gpus": needs.gpus or None}
    if needs.memory_gb is not None:
        own["memory"] = round(needs.memory_gb * 1e9)
    if needs.resources:
        own["resources"] = dict(needs.resources)
    return own


def _connected(executor: Ray) -> Any:
    if any(name in os.environ for name in TOKEN_NAMES) or (Path.home() / ".ray" / "auth_token").exists():
        os.environ.setdefault(
            "RAY_AUTH_MODE", "token"
        )  # `ray start` asks for the token, but clients send none by default
    if executor.address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports a cluster that it starts to its makers
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise MissingDependency.of("ray", extra="ray", what="--executor ray", error=error) from None
    if ray.is_initialized():
        return ray
    host, colon, port = executor.address.rpartition(":")
    is_plain = colon and port.isdigit() and "/" not in host  # Ray itself would wait for minutes where nobody listens
    own = {"num_cpus": executor.cores or None, "include_dashboard": False} if executor.address == "local" else {}
    try:
        if is_plain and int(port) < 2**16:
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=executor.address, log_to_driver=False, logging_level="error", **own)
    except Exception as error:
        # Ray raises Exception itself where a node of its own does not start in time; its subclasses are told apart
        if type(error) is not Exception and not isinstance(error, (OSError, ValueError, RuntimeError)):
            raise
        why = " ".join(str(error).split())[:300]
        if executor.address == "local":
            raise LawfulError(
                f"--address local: expected Ray to start on this machine, got an error of its own ({why}). Run `lawful "
                "resume` again when the machine has less to do, or leave out --executor ray to train without it."
            ) from None
        raise DeclarationError(
            f"--address: expected a Ray cluster at {executor.address!r}, got none ({why}). "
            "Start one with `ray start --head`, or let lawful have one of its own with --address local."
        ) from None
    return ray


_kept: dict[tuple[Any, ...], Worker] = {}  # in a process of Ray's: the worker that the last task here left warm


def _train(folder: str, command: Sequence[str], environment: Mapping[str, str], group: Sequence[str]) -> bool:
    """The task, in a process of Ray's: whether the disk was full. That process ends when its driver does, and our
    worker's input with it."""
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")  # of this task: the next in this process may be given others
    key = (folder, tuple(command), tuple(environment.items()), gpus)
    if key not in _kept:
        while _kept:
            _kept.popitem()[1].leave()
        _kept[key] = Worker(Path(folder), command, environment)
    worker = _kept[key]
    thread = threading.Thread(target=worker.train, args=(group,))
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.5)  # Ray's cancellation arrives between two waits
    except BaseException:
        worker.interrupt()
        thread.join()
        raise
    finally:
        if worker.is_stopping:
            _kept.pop(key).leave()
    return worker.is_disk_full
