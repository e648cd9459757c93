"""The LSTM: its size is matched to another family's, and a size that cannot be is refused."""

from __future__ import annotations

import pytest

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
