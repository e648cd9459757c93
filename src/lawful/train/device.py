"""What this machine computes with: device, precision, threads, and the fingerprint of its numerics."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import os
import platform
import resource
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from lawful import devices
from lawful.errors import DeviceError
from lawful.run import Precision


def pick_device(name: str) -> torch.device:
    """As lawful.devices has it; raises DeviceError where this machine has none such."""
    return torch.device(devices.pick(name))


def seed(where: torch.device, number: int) -> None:
    """Seed the random numbers of this device and of the CPU. torch.manual_seed asks every kind of device and takes a
    third of a millisecond, a twentieth of a small model's step."""
    torch.default_generator.manual_seed(number)
    if where.type == "cuda":
        with torch.cuda.device(where):  # else the first GPU's, where another is named
            torch.cuda.manual_seed(number)
    elif where.type == "mps":
        torch.mps.manual_seed(number)


def bf16_gain() -> float:
    """How many times as fast as in fp32 this CPU multiplies matrices in bf16. Takes a few milliseconds; .3 s where bf16
    is emulated, at a few percent of the speed."""
    kinds = torch.float32, torch.bfloat16
    matrices = {kind: torch.ones(256, 256, dtype=kind) for kind in kinds}
    times: dict[torch.dtype, list[float]] = {kind: [] for kind in kinds}
    for _ in range(5):  # in turn: a core that has idled is slow at first
        for kind, matrix in matrices.items():
            start = time.process_time()  # what others compute here decides nothing
            torch.mm(matrix, matrix)
            times[kind].append(time.process_time() - start)
    seconds = {kind: min(times[kind][1:]) for kind in kinds}
    return seconds[torch.float32] / seconds[torch.bfloat16]


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[Any]:
    """Master weights stay fp32; matrix products run in `precision`."""
    if precision == "fp32":
        return contextlib.nullcontext()
    if precision == "fp16" and device.type != "cuda":
        raise DeviceError(f"precision: fp16 needs a CUDA device, got {device.type}; use fp32 or bf16.")
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


def numerics(device: torch.device, precision: Precision, micro_batch: int, is_fused: bool, is_compiled: bool) -> str:
    """What decides the last bits of a result; a resume under another is allowed and recorded as a break."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    if device.type == "cpu":
        name += f":{torch.backends.cpu.get_cpu_capability()}"  # AVX2 and AVX512 sum in another order
    threads = torch.get_num_threads() if device.type == "cpu" else 0
    is_flushed = not torch.tensor(1e-30).mul(1e-10).item()
    return " ".join(
        [
            f"torch={torch.__version__.split('+')[0]}",
            f"device={device.type}:{name}".replace(" ", "_"),
            f"precision={precision}",
            f"threads={threads}",
            f"denormals={'flushed' if is_flushed else 'kept'}",
            f"micro_batch={micro_batch}",
            f"adamw={'fused' if is_fused else 'loop'}",
            f"compiled={'yes' if is_compiled else 'no'}",
        ]
    )


def keep_freed_memory() -> None:
    """Have glibc keep what is freed instead of returning it to the system and faulting it in again at every step.

    Measured on one core with a vocabulary of 50,257 (206 MB of logits a step): 1.8 times the steps per second.
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(AttributeError):  # another C library has no such call
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(-3, 2**31 - 1)  # M_MMAP_THRESHOLD
            mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """Numbers below 1e-38 count as 0 on this CPU, in threads begun meanwhile too: it is slow to work with them.

    Measured at .2M parameters in bf16 on real text, four pairs: 1.05 to 1.12 times the steps per second.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile makes kernels for this GPU: it needs Triton, which takes GPUs from Volta on and builds
    its launcher with a C compiler and Python's headers. Many images for running models have none."""
    if "1" in (os.environ.get("TORCHDYNAMO_DISABLE"), os.environ.get("TORCH_COMPILE_DISABLE")):
        return False  # torch.compile then gives the model back as it is
    has_compiler = bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))
    has_headers = Path(sysconfig.get_path("include"), "Python.h").exists()
    has_triton = importlib.util.find_spec("triton") is not None
    return has_triton and has_compiler and has_headers and torch.cuda.get_device_capability(device) >= (7, 0)


def forget_peak_memory(device: torch.device) -> None:
    """What is the most from here on, by peak_memory_bytes, on a CUDA device."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_bytes(device: torch.device) -> int:
    """Allocated on a CUDA device since the run began; else the process's largest resident set so far."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def use_of_gpu(device: torch.device, act: Callable[[], float], steps: int) -> tuple[float, int]:
    """How `steps` steps use a CUDA device: the share of time in which a kernel runs, and the most bytes allocated.

    act    makes them and returns a step's seconds
    """
    from torch.profiler import ProfilerActivity

    forget_peak_memory(device)
    seconds = act()
    with profiled(ProfilerActivity.CUDA) as recorded:
        act()
        synchronize(device)
    kernels = sum(event.self_device_time_total for event in recorded.key_averages()) / 1e6
    busy = min(kernels / steps / seconds, 1.0) if kernels else 1.0  # none recorded: the profiler is not allowed to
    return busy, peak_memory_bytes(device)


def profiled(activity: Any) -> Any:
    """torch's profiler over one stretch, silent where nothing is wrong."""
    from torch.profiler import profile

    # its library, read when it first starts, prints when a stretch begins and ends (torch 2.13), above its errors
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    # acc_events: else torch 2.10 to 2.12 warn that a next stretch would clear this one's events; there is none
    return profile(activities=[activity], acc_events=True)


def return_memory(device: torch.device) -> None:
    """Free what nothing refers to, and give what torch keeps of a GPU's memory to others that compute there."""
    gc.collect()  # the traceback of an error holds tensors in a cycle
    if device.type == "cuda":
        torch.cuda.empty_cache()


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
