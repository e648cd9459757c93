"""A Slurm of the test's own on this machine: munge, a controller, two virtual nodes, no accounting.

Needs Debian's slurm-wlm and munge, and root, since slurmd starts jobs as whoever sent them.

python tests/executors/slurm_cluster.py FOLDER    starts one, says how to use it, and stops it at Ctrl+C
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NODES, CORES = ("one", "two"), 2
PACKAGES = "slurm-wlm slurm-wlm-basic-plugins munge"
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")


def missing() -> str:
    """Why no Slurm can be started here; empty where it can."""
    absent = [name for name in NEEDED if shutil.which(name, path=search_path()) is None]
    if absent:
        return f"needs {', '.join(absent)}: apt-get install --no-install-recommends {PACKAGES}"
    return "" if os.geteuid() == 0 else "needs root"


def search_path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


@contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which sbatch and squeue speak to it. Every process is started and ended here, by its id."""
    environment = {**os.environ, "PATH": search_path(), "SLURM_CONF": str(folder / "slurm.conf")}
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    (folder / "slurm.conf").write_text(configuration(folder))
    processes: list[subprocess.Popen[bytes]] = []

    def start(*words: object) -> None:
        with (folder / f"{words[0]}.log").open("ab") as log:
            command = [str(word) for word in words]
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))

    try:
        socket_file = folder / "munge.socket"
        own = [f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("pid-file", "log-file", "seed-file")]
        start("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={socket_file}", *own)
        wait_for(socket_file.exists, folder)
        start("slurmctld", "-D", "-c", "-f", folder / "slurm.conf")
        for node in NODES:
            start("slurmd", "-D", "-c", "-N", node, "-f", folder / "slurm.conf")

        def are_idle() -> bool:
            command = ["sinfo", "--noheader", "--Node", "--format=%T"]
            said = subprocess.run(command, env=environment, capture_output=True, text=True).stdout.split()
            return said == ["idle"] * len(NODES)

        wait_for(are_idle, folder)
        yield environment
    finally:
        subprocess.run(["scancel", "--me"], env=environment, capture_output=True)
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def configuration(folder: Path) -> str:
    """Free ports, no accounting, and a scheduler that does not let a test wait."""
    host = socket.gethostname().split(".")[0]
    controller, *nodes = free_ports(1 + len(NODES))
    lines = {
        "ClusterName": "lawful",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": controller,
        "SlurmUser": "root",
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folder}/munge.socket",
        "CredType": "cred/munge",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "MpiDefault": "none",
        "JobAcctGatherType": "jobacct_gather/none",
        "AccountingStorageType": "accounting_storage/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CPU",
        "SchedulerParameters": "batch_sched_delay=0,sched_min_interval=0,bf_interval=1",
        "SlurmdParameters": "config_overrides",
        "ReturnToService": 2,
        "StateSaveLocation": f"{folder}/state",
        "SlurmdSpoolDir": f"{folder}/spool-%n",
        "SlurmctldPidFile": f"{folder}/slurmctld.pid",
        "SlurmdPidFile": f"{folder}/slurmd-%n.pid",
    }
    text = "".join(f"{name}={value}\n" for name, value in lines.items())
    for node, port in zip(NODES, nodes, strict=True):
        text += f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CORES} RealMemory=4000\n"
    return text + f"PartitionName=test Nodes={','.join(NODES)} Default=YES MaxTime=INFINITE State=UP\n"


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def wait_for(condition: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            logs = "\n".join(f"{path.name}: {path.read_text()[-800:]}" for path in sorted(folder.glob("*.log")))
            raise RuntimeError(f"Slurm did not come up within a minute.\n{logs}")
        time.sleep(0.1)


if __name__ == "__main__":
    if why := missing():
        sys.exit(f"slurm_cluster: {why}")
    with running(Path(sys.argv[1])) as environment:
        print(f"running; in another terminal: export SLURM_CONF={environment['SLURM_CONF']}", flush=True)
        try:
            time.sleep(1e9)
        except KeyboardInterrupt:
            print("stopping")
