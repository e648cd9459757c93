"""The whole quickstart against the same ladder by a plain serial script, wall time, in turn.

    python benchmarks/quickstart.py [--scale smoke] [--rounds 1]

Ours is the command: plan, train, fit, report. The plain script is what one writes without a tool, with the same models:
each run from scratch, one after the other, torch's default threads, a validation loss at the end of each, no fit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

from results import paired, record, told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="quick", choices=("smoke", "quick"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        return plain(options.scale)
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    ours, theirs = [], []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "lawful", "run", "quickstart", "--scale", options.scale, "--out", folder]
            ours.append(seconds([*command, "--device", "cpu"], environment))
        theirs.append(seconds([sys.executable, __file__, "--plain", "--scale", options.scale], environment))
    row = paired(f"quickstart --scale {options.scale}", "seconds by the clock", ours, theirs, goal="<= 0.6")
    record("quickstart", "How long is a study beside a plain serial script?", told([row]))
    return None


def seconds(command: list[str], environment: dict[str, str]) -> float:
    start = time.monotonic()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def plain(scale: str) -> None:
    import torch
    import torch.nn.functional as F

    from lawful.studies.quickstart import study
    from lawful.train.optimizer import learning_rate

    data = None
    for rung in study(scale).ladder:
        run = rung.run
        data = data or run.corpus.prepare(None, lambda what, share: None)
        train, validation = (torch.from_numpy(data.arrays[name].astype("int64")) for name in ("train", "validation"))
        generator = torch.Generator().manual_seed(run.init_seed)
        model = run.family.build(generator)
        optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=run.optimizer.weight_decay)
        for step in range(run.steps):
            starts = torch.randint(len(train) - run.context, (run.batch_size,), generator=generator)
            x = torch.stack([train[i : i + run.context] for i in starts])
            y = torch.stack([train[i + 1 : i + 1 + run.context] for i in starts])
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(run, step)
            loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        with torch.no_grad():
            rows = (len(validation) - 1) // run.context
            x = validation[: rows * run.context].view(rows, run.context)
            y = validation[1 : rows * run.context + 1].view(rows, run.context)
            total = sum(
                F.cross_entropy(model(a).flatten(0, 1), b.flatten(), reduction="sum").item()
                for a, b in zip(x.split(128), y.split(128), strict=True)
            )
        print(rung.label, total / y.numel(), flush=True)


if __name__ == "__main__":
    main()
