"""Which device a name means on this machine, and how CUDA_VISIBLE_DEVICES names its GPUs; torch is imported late."""

from __future__ import annotations

import itertools
import os
import re
import subprocess

from lawful.errors import DeviceError

# CUDA ignores such an entry and all entries after it; people use them to hide the GPUs
HIDES = re.compile(r"|-\d+|NoDevFiles")
SHOWN = 200  # characters of CUDA_VISIBLE_DEVICES in a message; eight UUIDs are 330


def pick(name: str) -> str:
    """The device to use: cpu, mps, cuda or cuda:N. "auto" takes CUDA, else Apple's MPS, else the CPU.

    Raises DeviceError if the name is unknown or this machine has no such device.
    """
    if name == "cpu":
        return name
    import torch

    if name == "auto":
        return "cuda" if gpus() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceError("device: expected Apple's MPS, but torch sees none; use --device cpu.")
        return name
    numbered = re.fullmatch(r"cuda(?::(\d{1,4}))?", name, re.ASCII)
    if not numbered:
        raise DeviceError(
            f"device: expected auto, cpu, cuda or mps, got {name[:SHOWN]!r}; one of several GPUs is cuda:0, cuda:1, ..."
        )
    if not gpus():
        raise DeviceError(
            f"device: expected a CUDA GPU, but torch sees none{_why_none()}; "
            "use --device cpu, or a CUDA build of torch."
        )
    if numbered[1] is None:
        return name
    number, here = int(numbered[1]), count()
    if number >= here:
        last = f" to cuda:{here - 1}" if here > 1 else ""
        raise DeviceError(
            f"device: expected a GPU that torch sees, cuda:0{last}, got {name}; "
            "CUDA_VISIBLE_DEVICES, where it is set, numbers its own from 0."
        )
    return f"cuda:{number}"


def of_worker(named: str, planned: str) -> str:
    """The device of a worker: the one that the user named; for "auto", the planned one. There is no fallback."""
    if named != "auto":
        return pick(named)
    try:
        return pick(str(planned))  # a study.json that was edited may have anything
    except DeviceError as error:
        raise DeviceError(
            f"device: the study was planned on {planned}, and this process has no such device ({str(error)[:-1]}). "
            "Go on where there is one (on a cluster, --gpus-per-run reserves it), or name another: lawful resume "
            "FOLDER --device cpu."
        ) from None


def gpus() -> list[str]:
    """The CUDA GPUs that processes started here may use, each by its name for CUDA_VISIBLE_DEVICES.

    Raises DeviceError if torch does not see every GPU that the variable names. CUDA ignores an unknown name and all
    names after it, and it ignores all names if one of them is repeated. A process sees only the first MIG part that the
    variable names; another process may use the next.
    """
    import torch

    number = count()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None or not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return [str(each) for each in range(number)]
    names = (name.strip() for name in given.split(","))
    named = list(itertools.takewhile(lambda name: not HIDES.fullmatch(name), names))
    expected = 1 if named and all(name.startswith("MIG-") for name in named) else len(named)
    if number != expected or len(set(named)) < len(named):
        raise DeviceError(
            f"CUDA_VISIBLE_DEVICES: expected GPUs of this machine, each once, got {given[:SHOWN]!r}: it names "
            f"{len(named)}, and torch sees {number}. Correct or unset it (nvidia-smi -L lists the GPUs), or use "
            "--device cpu."
        )
    return named


def visible_gpus() -> list[str]:
    """As gpus(), for programs that lawful does not know: as CUDA_VISIBLE_DEVICES names them, else as the driver counts
    them; torch is not needed."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        names = (name.strip() for name in given.split(","))
        return list(dict.fromkeys(itertools.takewhile(lambda name: not HIDES.fullmatch(name), names)))
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"^GPU (\d+):", listed.stdout, re.MULTILINE)


def count() -> int:
    """How many GPUs torch can compute on. device_count alone counts what the driver lists, which may be too old for
    this torch; and it fails over a name that is a sign without a number."""
    import torch

    try:
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    except ValueError:
        return 0


def _why_none() -> str:
    import torch

    if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return f" (torch {torch.__version__} is a build without CUDA)"
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "" if given is None else f" (CUDA_VISIBLE_DEVICES is {given[:SHOWN]!r}, which hides them)"
