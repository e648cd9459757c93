"""Does the coordinate check of `lawful transfer` find a planted fault of a parametrisation?

    OMP_NUM_THREADS=1 python benchmarks/transfer_faults.py [--tables 20] [--begin 0]

Each table is a coordinate check, as in the study `transfer`: a decoder of four widths, two seeds, eight steps on text
that is drawn from a bigram table. Faults are planted in turn, under muP or CompleteP:

    logits      the forgotten 1/m of the logits
    rate        the forgotten 1/m of the hidden matrices' learning rate
    attention   the forgotten 1/m of the attention's scale, which is 1 / head size

m is the width over the base's. Beside each, the same check without the fault. Printed: the verdict of both, and the
slope that lies farthest from 0. Goal: at least 19 of 20 faults found; of the right ones none should be called a fault.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from dataclasses import dataclass
from typing import Any, Literal

import torch

import lawful
from lawful.families import OptimizerScale
from lawful.families.decoder import Decoder, DecoderModel
from lawful.fitting.transfer import ArmTransfer
from lawful.rules.coordinate_check import CoordinateCheck
from lawful.tasks.next_token import NextToken, Tokens

Fault = Literal["logits", "rate", "attention"]
FAULTS: tuple[Fault, ...] = ("logits", "rate", "attention")
WIDTHS = (16, 32, 64, 128)
VOCABULARY, CONTEXT, BATCH, STEPS, SEEDS = 96, 32, 16, 8, 2
RATE = 0.024


class ForgottenLogits(DecoderModel):
    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return super().forward(tokens) * self.spec.width_ratio


@dataclass(frozen=True, kw_only=True)
class Faulty(Decoder):
    fault: Fault

    def build(self, generator: torch.Generator) -> DecoderModel:
        model = (ForgottenLogits if self.fault == "logits" else DecoderModel)(self, generator)
        if self.fault == "attention":
            for block in model.blocks:
                block.attention.scale *= self.width_ratio
                block.shape = block.shape._replace(scale=block.attention.scale)  # which the fused block reads
        return model

    def optimizer_scale(self, name: str) -> OptimizerScale:
        own = super().optimizer_scale(name)
        return dataclasses.replace(own, rate=1.0) if self.fault == "rate" else own


def checked(family: Decoder, seed: int) -> dict[str, float]:
    """Train a few steps; by how much activations have changed."""
    model = family.build(torch.Generator().manual_seed(seed))
    groups = []
    for name, parameter in model.named_parameters():
        scale = family.optimizer_scale(name)
        groups.append({"params": [parameter], "lr": RATE * scale.rate, "eps": 1e-8 * scale.eps})
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), weight_decay=0.0)
    task = NextToken()
    for step in range(STEPS):
        optimizer.zero_grad()
        batch = text(seed, step)
        (task.loss(model, batch) / task.count(batch)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return CoordinateCheck(init_seed=seed).audit(model, task, text(0, STEPS))


def text(seed: int, step: int) -> Tokens:
    """Symbols of which each has three that follow it."""
    draw = torch.Generator().manual_seed(1000 * seed + step)
    symbols = torch.empty(BATCH, CONTEXT + 1, dtype=torch.long)
    symbols[:, 0] = torch.randint(VOCABULARY, (BATCH,), generator=draw)
    for place in range(CONTEXT):
        chosen = torch.randint(3, (BATCH,), generator=draw)
        symbols[:, place + 1] = (7 * symbols[:, place] + 31 * chosen + 5) % VOCABULARY
    return Tokens(inputs=symbols[:, :-1], targets=symbols[:, 1:])


def judged(parametrisation: Literal["mup", "completep"], fault: Fault | None, table: int) -> ArmTransfer:
    rows = []
    for width in WIDTHS:
        for seed in range(SEEDS):
            shape: dict[str, Any] = {
                "vocab_size": VOCABULARY,
                "width": width,
                "depth": 2,
                "heads": 2,
                "context": CONTEXT,
                "parametrisation": parametrisation,
                "base_width": WIDTHS[0],
                "base_depth": 2,
            }
            family = Decoder(**shape) if fault is None else Faulty(**shape, fault=fault)
            rows.append({"width": width, "loss": 1.0, **checked(family, SEEDS * table + seed)})
    return lawful.transfer(rows).arms[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=20)
    parser.add_argument("--begin", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found, wrong = 0, 0
    for table in range(asked.begin, asked.tables):
        began = time.process_time()
        fault = FAULTS[table % len(FAULTS)]
        parametrisation: Literal["mup", "completep"] = "mup" if table % 2 else "completep"
        with_fault, right = (judged(parametrisation, one, table) for one in (fault, None))
        found += with_fault.verdict == "does not transfer"
        wrong += right.verdict == "does not transfer"
        print(f"{table:3} {parametrisation:10} {fault:10} {farthest(with_fault)}   right: {farthest(right)}", end="")
        print(f"   {time.process_time() - began:.1f} s", flush=True)
    number = asked.tables - asked.begin
    print(f"faults found: {found} of {number}; right ones called a fault: {wrong} of {number}")


def farthest(arm: ArmTransfer) -> str:
    """Of the slopes that are not flat."""
    if not (slopes := [one for one in arm.slopes if one.verdict != "flat"]):
        return arm.verdict
    slope = max(slopes, key=lambda one: abs(one.value))
    return f"{arm.verdict:17} {slope.what} {slope.value:+.2f} [{slope.low:+.2f}, {slope.high:+.2f}]"


if __name__ == "__main__":
    main()
