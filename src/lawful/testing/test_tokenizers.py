"""What every tokenizer promises: a vocabulary that is known, and nothing lost."""

from __future__ import annotations

import numpy as np
import pytest

from lawful.errors import LawfulError
from lawful.run import from_json, to_json
from lawful.testing import loaded
from lawful.tokenizers import Tokenizer

TEXT = "a cab, a bad cab"
TOKENIZERS = {name: tokenizer for name, cls in loaded("tokenizers").items() for tokenizer in cls.examples()}
each_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)


@pytest.mark.parametrize("name", loaded("tokenizers"))
def test_a_tokenizer_has_an_example(name: str) -> None:
    assert name in TOKENIZERS, f"{name}: give it examples()"


@each_tokenizer
def test_a_tokenizer_survives_the_json_of_a_run(tokenizer: Tokenizer) -> None:
    assert from_json(to_json(tokenizer)) == tokenizer and hash(tokenizer) == hash(from_json(to_json(tokenizer)))
    assert tokenizer.name and 0 < tokenizer.vocab_size <= 2**16


@each_tokenizer
def test_a_text_comes_back_and_its_tokens_are_of_the_vocabulary(tokenizer: Tokenizer) -> None:
    tokenizer = tokenizer.trained([TEXT])
    try:
        tokens = tokenizer.encode(TEXT)
    except LawfulError as error:
        pytest.skip(f"it reads no such text: {error}")
    assert tokens.dtype == np.uint16 and tokens.ndim == 1 and int(tokens.max()) < tokenizer.vocab_size
    assert tokenizer.decode(tokens) == TEXT
    assert tokenizer.num_bytes(tokens) == len(TEXT.encode())
