"""What this machine can do for a study, and what of it is set up badly: the facts behind `lawful doctor`."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from lawful import devices
from lawful.registry import installed_version
from lawful.storage.cache import cache_folder
from lawful.train import device

GIB = 2**30
WORKER_GIB = 0.5  # resident, of a worker that trains a small model: torch alone takes 0.3
ROOM_GIB = 2.0  # on a disk: prepared data and the checkpoints of a study of small models
PACKAGES = ("lawful", "torch", "numpy", "scipy", "ray", "submitit")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """facts: what is here, by name; problems: what to mend, a sentence each"""

    facts: dict[str, str]
    problems: tuple[str, ...]


def examine(out: Path = Path()) -> Machine:
    """out    where studies would be written"""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    gpus = [torch.cuda.get_device_properties(number) for number in range(devices.count())]
    cache = cache_folder()
    versions = {name: installed_version(name) for name in PACKAGES}
    slurm = shutil.which("sbatch")
    facts = {
        "processor": f"{platform.processor() or platform.machine()}, {cores} of {os.cpu_count()} cores for us",
        "bf16 on the CPU": f"matrix products {device.bf16_gain():.1f} times as fast as in fp32",
        "memory": f"{memory:.1f} GiB",
        "GPUs": ", ".join(f"{gpu.name} ({gpu.total_memory / GIB:.0f} GiB)" for gpu in gpus)
        or ("Apple's MPS" if torch.backends.mps.is_available() else "none that torch sees"),
        "threads": f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}; a run has --cpus-per-run, or 1",
        "studies here": f"{out.resolve()}, {_free(out):.1f} GiB free",
        "cache": f"{cache}, {_free(cache):.1f} GiB free",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        + f", Python {platform.python_version()}",
        "Ray": versions["ray"] or "not installed (pip install 'lawful[ray]')",
        "Slurm": (slurm or "no sbatch here") + ("" if versions["submitit"] else "; submitit is not installed"),
    }
    problems = []
    if shutil.which("nvidia-smi") and not gpus:
        problems.append(
            f"There is an NVIDIA driver, but torch {torch.__version__} sees no GPU: install a CUDA build of torch "
            "that this driver is new enough for, or look at CUDA_VISIBLE_DEVICES."
        )
    if memory < cores * WORKER_GIB:
        problems.append(f"{cores} workers need about {cores * WORKER_GIB:.1f} GiB: give --workers {int(memory * 2)}.")
    for what, folder in (("Studies", out), ("The cache", cache)):
        if _free(folder) < ROOM_GIB:
            problems.append(f"{what} would be written to {folder}, which has {_free(folder):.1f} GiB left: make room.")
        if not os.access(_existing(folder), os.W_OK):
            problems.append(f"{what} cannot be written to {folder}: choose another (LAWFUL_CACHE names the cache).")
    if (load := os.getloadavg()[0]) > cores / 2:
        problems.append(
            f"The load is {load:.1f} on {cores} cores: others compute here, and estimates of time will be off."
        )
    if importlib.util.find_spec("safetensors") is None:
        problems.append(
            "safetensors is not installed, without which nothing can be saved: pip install 'lawful[train]'."
        )
    return Machine(facts=facts, problems=tuple(problems))


def _existing(folder: Path) -> Path:
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def _free(folder: Path) -> float:
    return shutil.disk_usage(_existing(folder)).free / GIB
