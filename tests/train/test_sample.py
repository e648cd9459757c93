"""What a model writes stands for something, whatever symbols its vocabulary has to spare."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from lawful.cli import app
from lawful.corpora.tiny_stories import TinyStories
from lawful.errors import DeclarationError, DeviceError
from lawful.families.decoder import Decoder
from lawful.planning.plan import make_plan
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule
from lawful.schema import PlannedRun
from lawful.storage.codec import write_result
from lawful.storage.layout import Store
from lawful.study import Question, Study, grid
from lawful.tasks.next_token import NextToken
from lawful.token_data import TokenData
from lawful.tokenizers import Tokenizer
from lawful.tokenizers.bytes import Bytes
from lawful.tokenizers.characters import Characters
from lawful.tokenizers.given import Given
from lawful.tokenizers.trained_bpe import TrainedBPE
from lawful.train import loop
from lawful.train.sample import Draw, Writer, _drawn, _encoded, write_on


def short_bpe() -> Tokenizer:
    """300 symbols, of which a text of two words fills few."""
    learned = TrainedBPE(vocab_size=300).trained(["aaaa bbbb"])
    assert learned.pieces is not None and len(learned.pieces) < 43
    return learned


@pytest.mark.parametrize("temperature", [0.0, 5e-324, 1e-35, 1.0])
@pytest.mark.parametrize("top_k", [None, 1000])
@pytest.mark.parametrize("make", [lambda: Characters(alphabet="ab"), Bytes, short_bpe])
def test_only_symbols_that_stand_for_something_are_drawn(make: Any, temperature: float, top_k: int | None) -> None:
    """The model has 50 outputs too many, and finds an output the likelier the higher its number is."""
    tokenizer: Tokenizer = make()

    def model(inputs: torch.Tensor) -> torch.Tensor:
        return torch.arange(tokenizer.vocab_size + 50.0).expand(*inputs.shape, -1) / 10

    data = TokenData(fingerprint="", arrays={}, num_bytes={}, tokenizer=tokenizer)
    writer = Writer(
        planned=PlannedRun.example(),
        run=SimpleNamespace(context=8),
        data=data,
        model=model,
        device=torch.device("cpu"),  # type: ignore
    )
    draw = Draw(temperature=temperature, top_k=top_k, length=200)
    (tokens,) = write_on(writer, [[0]], draw)
    assert len(tokens) == 201 and max(tokens) < tokenizer.vocab_size
    assert not set(tokens) & set(tokenizer.unused)
    assert data.decode(np.array(tokens)) != ""


@pytest.mark.parametrize("temperature", [1e-300, 1e-44, 1e-38])
@pytest.mark.parametrize("symbols", [[3.0, 9.0, 1.0], [-3.0, -1.0, -9.0], [0.0, 0.0, 0.0]])
def test_a_temperature_next_to_0_draws_as_0_does(temperature: float, symbols: list[float]) -> None:
    logits, generator = torch.tensor([symbols]), torch.Generator()
    (drawn,) = _drawn(logits, Draw(temperature=temperature), generator).tolist()
    assert symbols[drawn] == max(symbols)


def test_lawful_sample_writes_from_a_vocabulary_that_its_text_did_not_fill(tmp_path: Path) -> None:
    """A barely trained model finds every symbol about as likely: of 2,000, the text fills some 300."""
    stories = tmp_path / "stories.txt"
    stories.write_text("\n<|endoftext|>\n".join(f"Tom had {n} dogs and a cat." for n in range(200)))
    corpus = TinyStories(tokenizer=TrainedBPE(vocab_size=2000))

    def rung(width: int) -> Run:
        return Run(
            family=Decoder(vocab_size=2000, width=width, depth=1, heads=1, context=16),
            corpus=corpus,
            task=NextToken(),
            rule=Backprop(),
            optimizer=AdamW(learning_rate=0.01),
            schedule=Schedule(warmup_steps=0),
            steps=5,
            batch_size=2,
            context=16,
        )

    declared = Study(
        name="unfilled",
        question="Does it write?",
        ladder=grid(rung, width=(8, 16)),
        held_out={},
        questions=[Question(name="size", asks="How does the loss fall with size?", law="power_floor")],
    )
    plan = make_plan(declared, data=stories, device_name="cpu", is_timed=False)
    plan.write(tmp_path / "study")
    store = Store(tmp_path / "study")
    run = next(iter(plan.runs.values()))
    place = loop.ExecutionConfig(device=torch.device("cpu"))
    write_result(store.result(run.id), loop.train(run, run.corpus.open(run.data_fingerprint), store, place))
    words = ["sample", str(store.folder), run.id, "--length", "300", "--temperature", "1", "--prompt", "Tom"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("Tom")


def test_a_model_that_the_memory_does_not_hold_is_refused_in_words() -> None:
    def model(tokens: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the documentation.")

    data = TokenData(fingerprint="", arrays={}, num_bytes={}, tokenizer=Characters(alphabet="ab"))
    writer: Any = SimpleNamespace(
        run=SimpleNamespace(context=8), data=data, model=model, device=torch.device("cpu"), rung={"label": "width=8"}
    )
    with pytest.raises(DeviceError, match=r"^sample: the memory of cpu .*2.00 GiB.*--device, as cpu\.$"):
        write_on(writer, [[0]], Draw(length=3))


@pytest.mark.parametrize(
    ("tokenizer", "prompt", "said"),
    [
        (Given(symbols=5), " ", "--prompt: expected text that the tokenizer given has symbols for, got ' '"),
        (Bytes(), "\udcff", r"--prompt: expected text in UTF-8, got '\\udcff'"),
    ],
)
def test_a_prompt_of_which_nothing_can_be_read_is_refused(tokenizer: Tokenizer, prompt: str, said: str) -> None:
    data = TokenData(fingerprint="", arrays={}, num_bytes={}, tokenizer=tokenizer)
    with pytest.raises(DeclarationError, match=said):
        _encoded(data, prompt)
