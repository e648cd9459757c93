"""A command on several nodes of a Slurm job: srun starts it once on each, and torchrun is told where the others are."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lawful.errors import DeclarationError, in_words

FIRST_PORT, PORTS = 20_000, 10_000  # where the processes of a run meet: below the ports that Linux gives out itself
SCONTROL_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What starts the command on all nodes, and the variables that it then has beside its own."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


def launch(arguments: Sequence[str], *, nodes: int, run_id: str, environment: Mapping[str, str]) -> Launch:
    """The command by srun, one task a node, of the job in which this process is.

    MASTER_ADDR and MASTER_PORT are as torch.distributed reads them, PET_* as torchrun reads its options where the
    command line does not have them: `torchrun --nproc-per-node=8 train.py` needs no change. srun sets SLURM_NODEID.
    Raises DeclarationError where this is no job of so many nodes.
    """
    listed = environment.get("SLURM_JOB_NODELIST")
    if listed is None:
        raise DeclarationError(
            f"nodes: the command takes {nodes} nodes, which --executor slurm reserves; this is no job of Slurm's"
        )
    hosts = _hosts(listed)
    if len(hosts) != nodes:
        raise DeclarationError(f"nodes: expected a job of {nodes} nodes, got {len(hosts)} ({listed})")
    port = str(FIRST_PORT + int(run_id[:8], 16) % PORTS)
    srun = ["srun", "--overlap", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    return Launch(
        arguments=[*srun, "--export=ALL", *arguments],
        environment={
            "MASTER_ADDR": hosts[0],
            "MASTER_PORT": port,
            "PET_NNODES": str(nodes),
            "PET_RDZV_BACKEND": "c10d",
            "PET_RDZV_ENDPOINT": f"{hosts[0]}:{port}",
            "PET_RDZV_ID": run_id,
        },
    )


def _hosts(listed: str) -> list[str]:
    """The nodes of a list such as gpu[01-03,07], by Slurm's own command."""
    words = ["scontrol", "show", "hostnames", listed]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SCONTROL_SECONDS, check=True)
    except OSError as error:
        raise DeclarationError(f"nodes: scontrol cannot be started: {in_words(error)}") from None
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        raise DeclarationError(f"nodes: expected scontrol to tell the nodes of {listed}, got an error") from None
    return done.stdout.split()
