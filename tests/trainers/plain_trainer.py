"""A plain PyTorch script: a small network is fitted to a rough function; a checkpoint is there whole or not at all."""

import json
import os
import sys

import torch
from torch import nn

width, steps, seed, folder = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]


def sample(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed))
    return x, sum(torch.sin(2**k * (x[:, :1] + k * x[:, 1:])) / 2 ** (k / 2) for k in range(6))


torch.manual_seed(seed)
model = nn.Sequential(nn.Linear(2, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
path, first = f"{folder}/checkpoint.pt", 0
if "--resume" in sys.argv and os.path.exists(path):
    state = torch.load(path)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    first = state["step"]
inputs, targets = sample(4096, 10**6)
for step in range(first, steps):
    x, y = sample(64, seed * 10**5 + step)
    loss = nn.functional.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if (step + 1) % 500 == 0:
        with torch.no_grad(), open(f"{folder}/metrics.jsonl", "a") as file:
            record = {"step": step + 1, "val": {"loss": nn.functional.mse_loss(model(inputs), targets).item()}}
            file.write(json.dumps(record) + "\n")
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
        torch.save(state, path + ".new")
        os.replace(path + ".new", path)
