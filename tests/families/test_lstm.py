"""The LSTM: its size is matched to another family's, and a size that cannot be is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lawful.errors import LawfulError
from lawful.families.decoder import Decoder
from lawful.families.lstm import LSTM


@pytest.mark.parametrize(("width", "depth", "layers"), [(24, 1, 1), (48, 2, 2), (96, 3, 2), (128, 2, 2), (1024, 12, 4)])
def test_its_size_is_matched_to_the_decoders_within_five_percent(width: int, depth: int, layers: int) -> None:
    decoder = Decoder(vocab_size=443, width=width, depth=depth, heads=4, context=64).param_counts()
    lstm = LSTM.matched(decoder.non_embedding, vocab_size=443, width=width, depth=layers).param_counts()
    assert lstm.non_embedding == pytest.approx(decoder.non_embedding, rel=0.05)
    assert lstm.embedding == decoder.embedding


def test_a_size_that_no_number_of_units_comes_near_is_refused() -> None:
    with pytest.raises(LawfulError, match=r"within 5%.*fewer layers"):
        LSTM.matched(300, vocab_size=443, width=16, depth=4)


@pytest.mark.parametrize(
    ("kind", "precision", "expected"),
    [
        ("cuda", torch.bfloat16, "fp32"),
        ("cuda", torch.float16, "as it was"),
        ("cuda", None, "as it was"),
        ("cpu", torch.bfloat16, "as it was"),
    ],
)
def test_in_bf16_a_gpu_is_not_left_to_compute_it_in_fp16(
    kind: str, precision: torch.dtype | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch's AutocastRNN.cpp does, whatever autocast was asked for; where no loss is scaled, gradients vanish."""
    given: list[Any] = []

    class Layers(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            given.append(x)
            return torch.zeros(1), None

    model = LSTM(vocab_size=11, width=4, hidden=4, depth=1).build(torch.Generator().manual_seed(0))
    model.layers = Layers()  # type: ignore[assignment]
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda of: of == "cuda" and precision is not None)
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda of: precision)
    x = SimpleNamespace(device=torch.device(kind), float=lambda: "fp32")
    model._through(x)  # type: ignore[arg-type]
    assert given == ["fp32" if expected == "fp32" else x]
