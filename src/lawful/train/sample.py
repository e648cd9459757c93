"""Let a trained decoder write: from a run's final weights, the same text for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from lawful import store as files
from lawful.run import from_json
from lawful.store import Store
from lawful.study import own_module
from lawful.train import device as devices


def sample_text(
    folder: Path,
    run: str,
    *,
    prompt: str = "",
    temperature: float = 0.8,
    top_k: int | None = None,
    seed: int = 0,
    length: int = 300,
    device: str = "cpu",
) -> str:
    """`length` tokens after `prompt` (the corpus's first validation token where it is empty), the prompt included.

    run          an id or a label, or the start of one that fits a single finished run
    temperature  divides the logits; 0 takes the most likely
    """
    if temperature < 0 or (top_k is not None and top_k < 1) or length < 1:
        raise ValueError(
            f"sample: expected temperature >= 0, top_k >= 1 and length >= 1, got {temperature}, {top_k} and {length}."
        )
    store = Store(folder)
    study = store.read_study()
    rung = _find(store, study, run)
    spec = from_json(files.read_json(store.run(rung["id"])), also_from=own_module(study))
    data = spec.corpus.open(spec.data_fingerprint)
    where = devices.pick_device(device)
    model = spec.family.build(torch.Generator().manual_seed(0)).to(where).eval()
    model.load_state_dict(load_file(store.weights(rung["id"])), strict=False)
    start = data.encode(prompt) if prompt else np.asarray(data.validation[:1])
    tokens = [int(token) for token in start]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _ in range(length):
            window = torch.tensor([tokens[-spec.context :]], device=where)
            tokens.append(_draw(model(window)[0, -1].float().cpu(), temperature, top_k, generator))
    return str(data.decode(np.array(tokens)))


def _draw(logits: torch.Tensor, temperature: float, top_k: int | None, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    logits = logits / temperature
    if top_k is not None:
        logits[logits < logits.topk(min(top_k, len(logits))).values[-1]] = -torch.inf
    return int(torch.multinomial(logits.softmax(-1), 1, generator=generator))


def _find(store: Store, study: dict[str, Any], run: str) -> dict[str, Any]:
    finished = [rung for rung in study["rungs"] if store.weights(rung["id"]).exists()]
    exact = [rung for rung in finished if run in (rung["id"], rung["label"])]
    found = exact or [rung for rung in finished if rung["id"].startswith(run) or rung["label"].startswith(run)]
    if len(found) != 1:
        names = ", ".join(f"{rung['id']} ({rung['label']})" for rung in (found or finished)[:8])
        raise ValueError(
            f"sample: expected the id or label of one finished run, got {run!r}; finished: {names or 'none'}."
        )
    return dict(found[0])
