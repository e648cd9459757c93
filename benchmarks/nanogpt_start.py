"""Our decoder begun with nanoGPT's weights: normal of .02, less into the residual stream. For throughput.py --loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from lawful.families.decoder import Decoder, DecoderModel


@dataclass(frozen=True, kw_only=True)
class StartedAsNanoGPT(Decoder):
    @torch.no_grad()
    def build(self, generator: torch.Generator) -> DecoderModel:
        model = super().build(generator)
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                into_stream = name.endswith(("attention.out.weight", "mlp.down.weight"))
                parameter.normal_(0.0, 0.02 / (math.sqrt(2 * self.depth) if into_stream else 1), generator=generator)
        return model
