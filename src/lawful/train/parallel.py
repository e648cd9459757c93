"""One run on several processes that torchrun started: each takes its rows of the same global batch, the first writes.

Every process makes the same decisions from the same numbers; in a process of its own each function does nothing.
Gradients are summed once a step after the backward pass, not by hooks inside it as DistributedDataParallel does, so
that every rule can be run so, and one process out of memory does not leave the others waiting.
"""

from __future__ import annotations

import datetime
import os
from typing import TYPE_CHECKING, TypeGuard

import torch
import torch.distributed as dist
from torch import nn

from lawful import devices
from lawful.errors import DeclarationError, DeviceError

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

PATIENCE = datetime.timedelta(days=7)  # of processes that wait for the next run


def join() -> None:
    """Meet the other processes, where torchrun started this one; gloo for the CPU, nccl for GPUs."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        if (number := int(os.environ["LOCAL_RANK"])) < devices.count():
            torch.cuda.set_device(number)
        dist.init_process_group(timeout=PATIENCE)


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def check_gpus() -> None:
    """Each process of this machine needs a GPU of its own."""
    here, count = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), devices.count()
    if processes() > 1 and here > count:
        raise DeviceError(
            f"--processes-per-run: expected a GPU for each process, got {here} processes, which see {count} GPUs; on a "
            "cluster, --gpus-per-run reserves them."
        )


def tell(run_id: str | None) -> None:
    """The first process names the run that all of them take up; None: there is none any more."""
    if processes() > 1:
        dist.broadcast_object_list([run_id])


def told() -> str | None:
    heard: list[str | None] = [None]
    dist.broadcast_object_list(heard)
    return heard[0]


def any_of(flag: bool) -> bool:
    """Whether it is true in some process."""
    if processes() == 1:
        return flag
    found = torch.tensor(int(flag))
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return bool(found)


def is_loss(error: Exception) -> bool:
    """Whether it says that another process died, and not that this run is at fault."""
    words = ("gloo", "NCCL", "Connection closed", "Connection reset")
    return processes() > 1 and (isinstance(error, dist.DistError) or any(word in str(error) for word in words))


def own_rows(rows: int) -> slice:
    """Which of a global batch's rows are this process's: as even as they go."""
    if rows < processes():
        raise DeclarationError(
            f"--processes-per-run: expected at most as many processes as the batch has windows, "
            f"got {processes()} processes and {rows} windows."
        )
    return slice(rows * rank() // processes(), rows * (rank() + 1) // processes())


def add_up(model: nn.Module, loss: torch.Tensor) -> torch.Tensor:
    """The loss summed over the processes; and so is each gradient, in place. FSDP has summed those that it holds."""
    if processes() == 1:
        return loss
    plain = [p.grad for p in model.parameters() if p.grad is not None and not _is_sharded(p.grad)]
    if plain:
        flat = torch.cat([gradient.flatten() for gradient in plain])
        dist.all_reduce(flat)
        for gradient, summed in zip(plain, torch.split(flat, [g.numel() for g in plain]), strict=True):
            gradient.copy_(summed.view_as(gradient))
    dist.all_reduce(loss)
    return loss


def shard(model: nn.Module) -> None:
    """FSDP2, in place: each process holds a part of each parameter and of what the optimiser keeps about it.

    Gathered layer by layer: the members of each list of modules, then what is left."""
    from torch.distributed.fsdp import fully_shard

    for module in model.modules():
        if isinstance(module, nn.ModuleList):
            for layer in module:
                fully_shard(layer)
    fully_shard(model)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor that may be sharded; every process must ask."""
    return tensor.full_tensor() if _is_sharded(tensor) else tensor


def like(full: torch.Tensor, example: torch.Tensor) -> torch.Tensor:
    """`full`, sharded where `example` is and has its shape."""
    if full.shape == example.shape and _is_sharded(example):
        from torch.distributed.tensor import distribute_tensor

        here = full.to(example.device)  # every process has all of it, and keeps its part: nothing is sent
        return distribute_tensor(here, example.device_mesh, example.placements, src_data_rank=None)
    return full


def _is_sharded(tensor: torch.Tensor) -> TypeGuard[DTensor]:
    """Asked only where several processes train one run: the import of torch.distributed.tensor, with sympy, takes a
    third of the processor time in which a worker starts."""
    if not dist.is_initialized():
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)
