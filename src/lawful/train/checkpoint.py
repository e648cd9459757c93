"""Checkpoints: whole or not at all, with a manifest of SHA-256, two kept; no pickle anywhere."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from lawful.checks import shown
from lawful.errors import StoreError
from lawful.storage.atomic import write_folder
from lawful.storage.codec import read_result
from lawful.storage.json_files import Json, plain, read_json, reading
from lawful.storage.layout import Store
from lawful.storage.lease import Lease
from lawful.storage.own_paths import expect_own
from lawful.train import parallel

MANIFEST = "MANIFEST.json"
FILES = ("model.safetensors", "optimizer.safetensors", "state.json")
KEPT = 2


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """state is plain data: step, accumulated sums, numerics; tensors are on the CPU."""

    state: Mapping[str, Json]
    model: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, torch.Tensor]

    @property
    def step(self) -> int:
        return step_of(self.state)


def step_of(state: Mapping[str, Json]) -> int:
    step = state["step"]
    if not isinstance(step, int):
        raise StoreError(f"a checkpoint: step: expected a whole number, got {shown(step)}.")
    return step


def save(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Json],
    *,
    kept: int = KEPT,
    lease: Lease | None = None,
) -> Path:
    """Write FOLDER/STEP and delete all but the `kept` newest; a kill at any moment leaves the older ones whole.

    Raises LeaseLost, and commits nothing, when another process has taken the `lease` over."""
    target = folder / f"{step_of(state):09d}"
    files = {
        "model.safetensors": save_tensors(trained_tensors(model)),
        "optimizer.safetensors": save_tensors(optimizer_tensors(optimizer)),
        "state.json": (json.dumps(plain(state)) + "\n").encode(),
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    write_folder(target, {**files, MANIFEST: (json.dumps(digests, indent=1) + "\n").encode()}, lease=lease)
    if kept:
        for old in sorted(path for path in folder.iterdir() if path.name.isdigit())[:-kept]:
            shutil.rmtree(old, ignore_errors=True)
    return target


def newest(folder: Path, *, at_most: int | None = None) -> Checkpoint | None:
    """The newest whole checkpoint (with `at_most`, not beyond that step); damaged ones are passed over."""
    if not folder.is_dir():
        return None
    for path in sorted((p for p in folder.iterdir() if p.name.isdecimal()), reverse=True):
        if at_most is not None and int(path.name) > at_most:
            continue
        if (checkpoint := load(path)) is not None:
            return checkpoint
    return None


def load(path: Path) -> Checkpoint | None:
    """None unless every file is there, no link, and has the hash that the manifest says."""
    try:
        for name in ("", MANIFEST, *FILES):
            expect_own(path / name)
        manifest = read_json(path / MANIFEST)
        if set(manifest) != set(FILES):
            return None
        data = {name: (path / name).read_bytes() for name in manifest}
    except (OSError, StoreError):  # gone, half removed, or on a disk that fails: an older one may be whole
        return None
    if any(hashlib.sha256(data[name]).hexdigest() != digest for name, digest in manifest.items()):
        return None
    try:
        return Checkpoint(
            state=dict(json.loads(data["state.json"])),
            model=load_tensors(data["model.safetensors"]),
            optimizer=load_tensors(data["optimizer.safetensors"]),
        )
    except (ValueError, TypeError, KeyError, RecursionError, SafetensorError):  # a manifest that fits, but is not ours
        return None


def final_weights(where: Store, run_id: str) -> dict[str, torch.Tensor]:
    """What a finished run came to. Raises LawfulError when they are not those that its result names."""
    path, result = where.weights(run_id), read_result(where.result(run_id))
    if not path.is_file():
        raise StoreError(f"{path}: expected the weights of a finished run, got no such file; train it again.")
    weights = path.read_bytes()
    if (got := hashlib.sha256(weights).hexdigest()) != (expected := result.measured.get("weights_sha256")):
        raise StoreError(f"{path}: expected SHA-256 {expected}, got {got}; train it again.")
    with reading(path, "the weights of a finished run"):
        tensors: dict[str, torch.Tensor] = load_tensors(weights)
    return tensors


def restore(checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    load_model(model, checkpoint.model)
    missing = sorted(set(trained_tensors(model)) - set(checkpoint.model))
    if missing:
        raise StoreError(f"checkpoint: expected tensors {', '.join(missing)}, which it does not hold.")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    by_index: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in sorted(checkpoint.optimizer.items()):  # read from a hash map: one order for all processes
        index, _, name = key.partition(".")
        by_index.setdefault(int(index), {})[name] = parallel.like(tensor, parameters[int(index)])
    optimizer.load_state_dict({"state": by_index, "param_groups": optimizer.state_dict()["param_groups"]})


def load_model(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Whole tensors into a model that may be sharded."""
    now = model.state_dict()
    placed = {name: parallel.like(tensor, now[name]) if name in now else tensor for name, tensor in tensors.items()}
    model.load_state_dict(placed, strict=False)


def trained_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and persistent buffers, on the CPU; a tied tensor once, under the first of its names."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors[name] = parallel.whole(tensor.detach()).cpu().contiguous()
    return tensors


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    return {
        f"{index}.{name}": parallel.whole(torch.as_tensor(value).detach()).cpu().contiguous()
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
