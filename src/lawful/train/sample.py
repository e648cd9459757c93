"""Let a trained model write from a run's final weights: text, or a file of the corpus's own kind; the same for the same
seed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import nn

from lawful.checks import NaturalInt, NonNegativeFloat, PositiveInt, Within, check_fields, shown
from lawful.errors import DataError, DeclarationError, DeviceError
from lawful.run import Run, from_json
from lawful.schema import PlannedRun, StudyPlan
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.study import own_module
from lawful.token_data import TokenData
from lawful.train import device as devices
from lawful.train.checkpoint import final_weights
from lawful.train.step import is_out_of_memory

LEAST_TEMPERATURE = 1e-30  # logits divided by less overflow; what is likeliest has all of the probability long before


@dataclass(frozen=True, kw_only=True)
class Draw:
    """How tokens are drawn.

    temperature  divides the logits; 0 takes the most likely
    top_k        among the k most likely only
    top_p        among the fewest that are together at least this likely only (arXiv:1904.09751)
    """

    temperature: NonNegativeFloat = 0.8
    top_k: PositiveInt | None = None
    top_p: Annotated[float, Within(above=0, at_most=1)] | None = None
    seed: NaturalInt = 0
    length: PositiveInt = 300

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Writer:
    """A run's trained model and its data."""

    planned: PlannedRun
    run: Run
    data: TokenData
    model: nn.Module
    device: torch.device


def open_writer(folder: Path, run: str, device: str = "cpu", *, own: str | None = None) -> Writer:
    """The trained model of a run, which writes tokens. Raises DeclarationError where its data are none.

    run      an id or a label, or the start of one that fits a single finished run
    own      the module of the study's own file, where that may run: own_module gives it
    """
    store = Store(folder)
    study = store.read_study()
    planned = _find(store, study, run)
    spec = from_json(read_json(store.run(planned.run)), also_from=own)
    try:
        data = spec.corpus.open(spec.data_fingerprint)
    except DataError:
        data = spec.corpus.without_tokens()
        if data is None:
            raise
    if not isinstance(data, TokenData):
        raise DeclarationError(f"sample: expected a model of tokens, got one of {spec.corpus.name}.")
    where = devices.pick_device(device)
    with _in_memory_of(where):
        model = spec.family.build(torch.Generator().manual_seed(0)).to(where).eval()
    model.load_state_dict(final_weights(store, planned.run), strict=False)
    return Writer(planned=planned, run=spec, data=data, model=model, device=where)


def sample_text(folder: Path, run: str, draw: Draw, *, prompt: str = "", device: str = "cpu") -> str:
    """`length` tokens after `prompt` (the corpus's first validation token where it is empty), the prompt included."""
    writer = open_writer(folder, run, device, own=own_module(Store(folder).read_study(), folder))
    if suffix := writer.data.sample_suffix:
        raise DeclarationError(f"sample: {writer.planned.rung} writes files; --out FILE{suffix} says where to.")
    if not prompt and not writer.data.arrays:
        raise DeclarationError(
            f"sample: the corpus {writer.run.corpus.name} is not prepared on this machine, so that there is no first "
            "token to begin with; give --prompt."
        )
    start = _encoded(writer.data, prompt) if prompt else np.asarray(writer.data.validation[:1])
    (tokens,) = write_on(writer, [[int(token) for token in start]], draw)
    return writer.data.decode(np.array(tokens))


def _encoded(data: TokenData, prompt: str) -> np.ndarray:
    """DeclarationError where nothing is left of it: keys, for one, drop what no key types."""
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise DeclarationError(f"--prompt: expected text in UTF-8, got {shown(prompt)}; write it in UTF-8.") from None
    tokens = data.encode(prompt)
    if not len(tokens):
        raise DeclarationError(
            f"--prompt: expected text that the tokenizer {data.tokenizer.name} has symbols for, got {shown(prompt)}; "
            "write another, or leave it out."
        )
    return tokens


def sample_file(
    folder: Path, run: str, out: Path, draw: Draw, *, prompt: Path | None = None, device: str = "cpu"
) -> str:
    """Write a sample, or the content of `prompt` and how the model goes on, into `out`; what it is, in words."""
    writer = open_writer(folder, run, device, own=own_module(Store(folder).read_study(), folder))
    if not writer.data.sample_suffix:
        raise DeclarationError(f"sample: --out: {writer.planned.rung} writes no files; leave --out away.")
    start = writer.data.sample_start(prompt)
    (tokens,) = write_on(writer, [start], draw, stop=start[0])
    return writer.data.write_sample(np.array(tokens), out)


@torch.no_grad()
def write_on(
    writer: Writer, starts: Sequence[Sequence[int]], draw: Draw, *, stop: int | None = None
) -> list[list[int]]:
    """Each start (all equally long) with up to `length` tokens after it; a row ends before a drawn `stop`. No token is
    drawn that stands for nothing."""
    context = writer.run.context
    tokenizer = writer.data.tokenizer
    rows = torch.tensor([list(start) for start in starts], device=writer.device)
    generator = torch.Generator().manual_seed(draw.seed)
    is_over = torch.zeros(len(rows), dtype=torch.bool)
    for _ in range(draw.length):
        with _in_memory_of(writer.device):
            logits = writer.model(rows[:, -context:])[:, -1].float().cpu()
        logits[:, tokenizer.vocab_size :] = -torch.inf  # a model may have room for more symbols than there are
        logits[:, tokenizer.unused.start : tokenizer.unused.stop] = -torch.inf
        drawn = _drawn(logits, draw, generator)
        rows = torch.cat((rows, drawn[:, None].to(writer.device)), dim=1)
        is_over |= drawn == stop if stop is not None else False
        if bool(is_over.all()):
            break
    written = []
    for start, row in zip(starts, rows.tolist(), strict=True):
        new = row[len(start) :]
        written.append([*start, *(new[: new.index(stop)] if stop in new else new)])
    return written


@contextlib.contextmanager
def _in_memory_of(where: torch.device) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(
            f"sample: the memory of {where} does not hold the model and one pass of it "
            f"({' '.join(str(error).split())[:200]}); use another --device, as cpu."
        ) from None


def _drawn(logits: torch.Tensor, draw: Draw, generator: torch.Generator) -> torch.Tensor:
    """A token for each row of logits [rows, vocabulary]."""
    if draw.temperature < LEAST_TEMPERATURE:
        return logits.argmax(-1)
    likeliest, logits = logits.argmax(-1), logits / draw.temperature
    if not logits.amax(-1).isfinite().all():  # so near to 0 that the division leaves the range of numbers
        return likeliest
    if draw.top_k is not None:
        least = logits.topk(min(draw.top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if draw.top_p is not None:
        ordered, order = logits.sort(descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)  # of those that are likelier
        ordered = ordered.masked_fill(before >= draw.top_p, -torch.inf)
        logits = torch.empty_like(logits).scatter_(1, order, ordered)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]


def _find(store: Store, study: StudyPlan, run: str) -> PlannedRun:
    finished = [planned for planned in study.runs if store.weights(planned.run).exists()]
    exact = [planned for planned in finished if run in (planned.run, planned.rung)]
    found = exact or [one for one in finished if one.run.startswith(run) or one.rung.startswith(run)]
    if len(found) != 1:
        names = ", ".join(f"{planned.run} ({planned.rung})" for planned in (found or finished)[:8])
        raise DeclarationError(
            f"sample: expected the id or label of one finished run, got {run!r}; finished: {names or 'none'}."
        )
    return found[0]
